"""Acts against a clock that is moved by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from swirl.testing.clock import ManualClock
from swirl_pipelines.ads.feed import Feed
from swirl_pipelines.ads.runner import FOREVER, Act, PacedClock, Runner
from swirl_pipelines.ads.tweets import Tweet

TWEETS = [Tweet(1, "a lovely day", 3.0), Tweet(2, "an awful day", -3.0)]


class Record:
    """Who was handed what, and when."""

    def __init__(self, rate: float = 10_000.0, seed: int = 0) -> None:
        self.clock = ManualClock()
        self.batches: list[tuple[float, int]] = []
        self.began: list[tuple[str, float]] = []
        self.lag_s = self.work_s = 0.0
        feed = Feed(TWEETS, np.array([0.5, 0.5]), seed)
        self.runner = Runner(feed, self.take, self.clock, self.sleep, rate)
        self.start = self.clock.now

    def take(self, lines: list[bytes]) -> None:
        self.batches.append((self.clock.now - self.start, len(lines)))
        self.clock.advance(self.work_s)

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.clock.advance(seconds + self.lag_s)

    def play(self, *seconds: float) -> None:
        acts = [Act(str(number), length, lambda: None) for number, length in enumerate(seconds)]
        self.runner.play(acts, lambda act, ms: self.began.append((act.name, ms / 1_000 - self.start)))


def test_records_come_at_their_rate_in_small_batches() -> None:
    record = Record()
    record.play(20.0)
    assert len(record.batches) == 401
    assert 0.99 < sum(count for _, count in record.batches) / 200_000 < 1.01
    assert all(b - a < 0.051 for (a, _), (b, _) in pairwise(record.batches))


def test_the_rate_is_mildly_noisy() -> None:
    record = Record(rate=25_000.0)
    record.play(60.0)
    seconds, sizes = (np.array(column) for column in zip(*record.batches, strict=True))
    counts = np.bincount(seconds.astype(int), weights=sizes)[1:60]
    assert 0.003 < counts.std() / counts.mean() < 0.02


def test_no_batch_stands_astride_two_seconds() -> None:
    record = Record()
    record.clock.advance(0.777)
    record.play(3.0)
    inner = [round((record.start + at) * 1_000) % 50 for at, _ in record.batches[:-1]]
    assert set(inner) == {5}


def test_acts_begin_on_time_one_after_the_other() -> None:
    record = Record()
    record.play(1.0, 2.5, 0.5)
    assert [(name, round(at, 3)) for name, at in record.began] == [("0", 0.0), ("1", 1.0), ("2", 3.5)]
    assert round(record.batches[-1][0], 6) == 4.0


def test_a_slow_machine_gets_the_same_batches_and_catches_up() -> None:
    fast, slow = Record(), Record()
    slow.work_s = 0.049
    fast.play(2.0, 2.0)
    slow.play(2.0, 2.0)
    assert [size for _, size in fast.batches] == [size for _, size in slow.batches]
    assert slow.batches[-1][0] < 4.05


def test_a_machine_that_is_too_slow_gets_no_larger_batches() -> None:
    record = Record()
    record.work_s = 0.07
    record.play(1.0, 1.0)
    assert len(record.batches) <= 42
    assert max(size for _, size in record.batches) < 620


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = Record(seed=3), Record(seed=3)
    first.play(2.0)
    second.play(2.0)
    assert first.batches == second.batches


class Ticking:
    """``time.perf_counter_ns`` by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000
        monkeypatch.setattr("time.perf_counter_ns", lambda: self.now)


def test_a_paced_clock_runs_at_its_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    ticking = Ticking(monkeypatch)
    clock = PacedClock(4.0)
    start = clock.time_ns()
    ticking.now += 250
    assert clock.ticks() == 1_000
    assert clock.time_ns() - start == 1_000


def test_a_paced_clock_waits_at_its_limit_and_goes_on_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    ticking = Ticking(monkeypatch)
    clock = PacedClock()
    clock.pace(100)
    ticking.now += 500
    assert clock.ticks() == 100
    clock.pace(200)
    assert clock.ticks() == 100
    ticking.now += 30
    assert clock.ticks() == 130
    ticking.now += 300
    assert clock.ticks() == 200
    clock.pace(FOREVER)
    ticking.now += 1
    assert clock.ticks() == 201
