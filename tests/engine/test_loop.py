"""The loop: order, ticks, slices, and a fold that fails."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

import pytest

from swirl.clock import SystemClock
from swirl.effect import Mute, MuteChanged, VerdictChanged
from swirl.engine.loop import MonitorLoop
from swirl.frame import Tick, Verdict, decode

if TYPE_CHECKING:
    from collections.abc import Generator

    from swirl.effect import Effect
    from swirl.monitor import Monitor


class Fold:
    """Stands in for a monitor: remembers what it was handed."""

    def __init__(self) -> None:
        self.next_offset = 0
        self.pipelines: tuple[str, ...] = ()
        self.seen: list[tuple[int, int, bytes]] = []
        self.changed = threading.Condition()

    def fold(self, offset: int, log_ms: int, payload: bytes) -> Generator[None, None, list[Effect]]:
        yield
        with self.changed:
            self.next_offset = offset + 1
            self.seen.append((offset, log_ms, payload))
            self.changed.notify_all()
        if payload == b"poison":
            raise ZeroDivisionError
        if payload == b"mute":
            return [MuteChanged("p", "began", Mute("", 0, 60_000))]
        return [VerdictChanged("p", Verdict(since_ms=offset))]

    def snapshot_steps(self) -> Generator[None, None, bytes]:
        yield
        return b"%d" % self.next_offset


class Clock(SystemClock):
    """Runs backwards."""

    def __init__(self) -> None:
        self.now = 1_000_000_000_000_000

    def time_ns(self) -> int:
        self.now -= 1_000_000_000
        return self.now


class Loop:
    """A loop with its surroundings."""

    def __init__(self, clock: SystemClock | None = None) -> None:
        self.fold = Fold()
        self.effects: list[Effect] = []
        self.saved: list[bytes] = []
        self.saves = threading.Event()
        self.loop = MonitorLoop(
            cast("Monitor", self.fold), clock or SystemClock(), self.effects.append, self._save
        )

    def _save(self, snapshot: bytes) -> None:
        self.saved.append(snapshot)
        self.saves.set()


def test_frames_are_folded_in_order_and_saved_at_the_end() -> None:
    it = Loop()
    for number in range(100):
        assert it.loop.put("p", b"%d" % number)
    it.loop.start()
    assert it.loop.drain(10)
    assert it.loop.close(10)
    assert [(offset, payload) for offset, _, payload in it.fold.seen] == [(n, b"%d" % n) for n in range(100)]
    assert [effect.identity for effect in it.effects] == [f"p/{n}/healthy" for n in range(100)]
    assert it.saved == [b"100"]


def test_the_log_time_never_goes_back_even_if_the_clock_does() -> None:
    it = Loop(Clock())
    for _ in range(5):
        it.loop.put("p", b"x")
    it.loop.start()
    assert it.loop.close(10)
    times = [log_ms for _, log_ms, _ in it.fold.seen]
    assert times == sorted(times)


def test_a_pipeline_that_says_nothing_gets_ticks() -> None:
    it = Loop()
    it.fold.pipelines = ("ads",)
    it.loop.start()
    with it.fold.changed:
        assert it.fold.changed.wait_for(lambda: len(it.fold.seen) >= 2, timeout=10)
    assert it.loop.close(10)
    assert {decode(payload) for _, _, payload in it.fold.seen} == {Tick("ads")}


@pytest.mark.filterwarnings("error")
def test_a_frame_that_the_fold_cannot_stand_is_left_out_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    it = Loop()
    for payload in (b"a", b"poison", b"poison", b"b"):
        it.loop.put("p", payload)
    it.loop.start()
    assert it.loop.close(10)
    assert len(it.effects) == 2
    assert it.loop.failed == 2
    assert len(caplog.records) == 1


def test_a_full_queue_refuses_and_counts() -> None:
    it = Loop()
    big = b"x" * 40_000_000
    assert it.loop.put("p", big)
    assert not it.loop.put("p", big)
    assert it.loop.overflowed == 1
    it.loop.start()
    assert it.loop.close(10)
    assert it.loop.stalled_s >= 0


def test_what_people_were_told_or_said_is_saved_at_once_not_in_half_a_minute() -> None:
    it = Loop()
    it.loop.start()
    it.loop.put("p", b"x")
    it.loop.put("p", b"mute")
    assert it.saves.wait(15)
    assert it.saved[0] == b"2"
    assert it.loop.close(10)
