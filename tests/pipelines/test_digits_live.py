"""The digits pipeline as a process of its own, and the time in which it plays."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from swirl.testing.clock import ManualClock
from swirl_pipelines.ads.runner import Act
from swirl_pipelines.digits.__main__ import parse_acts
from swirl_pipelines.digits.runner import Runner
from swirl_pipelines.digits.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from swirl_pipelines.digits.images import Images


@pytest.fixture(scope="module")
def world() -> World:
    return World(1)


class Record:
    """How many were handed over, and when."""

    def __init__(self, seed: int = 1, rate: float = 400.0) -> None:
        self.clock = ManualClock()
        self.clock.advance(0.777)
        self.start = self.clock.now
        self.batches: list[tuple[float, int]] = []
        self.began: list[tuple[str, float]] = []
        self.work_s = 0.0
        self.runner = Runner(World(seed).scanner, self.take, self.clock, self.clock.advance, rate)

    def take(self, images: Images) -> None:
        self.batches.append((round(self.clock.now, 6), len(images)))
        self.clock.advance(self.work_s)

    def play(self, *seconds: float) -> None:
        acts = [Act(str(number), length, lambda: None) for number, length in enumerate(seconds)]
        self.runner.play(
            acts, lambda act, ms: self.began.append((act.name, round(ms / 1000 - self.start, 2)))
        )


def test_images_come_at_their_rate_in_batches_that_lie_within_one_second() -> None:
    record = Record()
    record.play(30.0)
    assert 0.97 < sum(count for _, count in record.batches) / 12_000 < 1.03
    inner = record.batches[:-1]
    assert {round(at % 0.5, 3) for at, _ in inner} == {0.005}
    assert all(later - at == pytest.approx(0.5) for (at, _), (later, _) in pairwise(inner))


def test_acts_begin_one_after_the_other() -> None:
    record = Record()
    record.play(1.0, 2.5, 0.25)
    assert record.began == [("0", 0.0), ("1", 1.0), ("2", 3.5)]


def test_a_slow_machine_gets_the_same_batches_later() -> None:
    fast, slow = Record(), Record()
    slow.work_s = 0.45
    fast.play(5.0)
    slow.play(5.0)
    assert [count for _, count in fast.batches] == [count for _, count in slow.batches]


def test_a_beat_in_which_nothing_arrived_is_no_batch() -> None:
    record = Record(rate=0.2)
    record.play(60.0)
    assert record.batches
    assert min(count for _, count in record.batches) >= 1


@pytest.mark.parametrize(
    ("rate", "beat"), [(0, 1), (-1, 1), (float("nan"), 1), (float("inf"), 1), (1, 0), (1, float("nan"))]
)
def test_a_rate_or_a_beat_that_cannot_be_is_refused(world: World, rate: float, beat: float) -> None:
    clock = ManualClock()
    with pytest.raises(ValueError, match="both must be above 0"):
        Runner(world.scanner, len, clock, clock.advance, rate, beat)


def test_acts_are_read_from_a_text(world: World) -> None:
    acts = parse_acts("healthy:33,dim:0.5,mailing:1,torn:2,mirrored:3,unscaled:4", world)
    assert [act.seconds for act in acts] == [33.0, 0.5, 1.0, 2.0, 3.0, 4.0]
    acts[1].begin()
    assert world.scanner.gain < 1
    acts[0].begin()
    assert world.scanner.gain == 1


@pytest.mark.parametrize("text", ["", "healthy", "dim:", "fire:3", "dim:-1", "dim:1e3", "dim:3,"])
def test_what_is_no_act_is_refused_with_what_to_write(world: World, text: str) -> None:
    with pytest.raises(ValueError, match="is no act; write name:seconds"):
        parse_acts(text, world)


def test_it_says_when_each_act_begins_and_ends_by_itself(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SWIRL_")}
    done = subprocess.run(
        [sys.executable, "-m", "swirl_pipelines.digits", "--acts", "healthy:0.6,dim:0.6"],
        env={**kept, "SWIRL_STATE": str(tmp_path), "SWIRL_HTTP": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == ["healthy", "dim"]
    assert 300 <= int(lines[1][1]) - int(lines[0][1]) <= 5_000


def test_acts_that_cannot_be_read_end_the_command_with_the_reason() -> None:
    command = [sys.executable, "-m", "swirl_pipelines.digits", "--acts", "fire:3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "is no act" in done.stderr
