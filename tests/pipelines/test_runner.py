"""Acts against a clock that is moved by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from swirl.testing.clock import ManualClock
from swirl_pipelines.ads.feed import Feed
from swirl_pipelines.ads.runner import Act, Runner
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


def test_a_slow_machine_gets_larger_batches_and_keeps_event_time() -> None:
    record = Record()
    record.lag_s = 0.1
    record.play(10.0, 10.0)
    assert 0.98 < sum(count for _, count in record.batches) / 200_000 < 1.02
    assert record.began[1][1] - record.began[0][1] < 10.2


def test_work_that_takes_past_the_end_of_an_act_is_no_trouble() -> None:
    record = Record()
    record.work_s = 0.07
    record.play(0.31, 0.33, 1.0)
    assert all(0 <= at - due < 0.15 for (_, at), due in zip(record.began, (0.0, 0.31, 0.64), strict=True))


def test_what_a_long_pause_missed_is_lost() -> None:
    record = Record()
    record.lag_s = 30.0
    record.play(60.0)
    assert sum(count for _, count in record.batches) < 21_000


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = Record(seed=3), Record(seed=3)
    first.play(2.0)
    second.play(2.0)
    assert first.batches == second.batches
