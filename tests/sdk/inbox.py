"""A transport that keeps what it is given, a clock turned by hand, and pipelines wired to both."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from swirl import Pipeline
from swirl.frame import Frame, Slice, decode
from swirl.sdk.transport import Transport
from swirl.settings import EmitterSettings
from swirl.sketch import Distribution

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl.clock import Clock

START = 1_767_571_200
"""Seconds since 1970 at which a hand-turned clock begins."""


class HandClock:
    """Moves by ``step`` nanoseconds at each reading of its ticks, and otherwise when told."""

    def __init__(self, step: int = 1_000) -> None:
        self.step = step
        self.passed = 0
        self.origin = START * 1_000_000_000

    def ticks(self) -> int:
        self.passed += self.step
        return self.passed

    def time_ns(self) -> int:
        return self.origin + self.passed

    def advance(self, seconds: float) -> None:
        self.passed += round(seconds * 1e9)


class Inbox(Transport):
    """Keeps frames; refuses them while ``broken``."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.broken = False
        self.closed = False
        self.refused = 0
        self.came = threading.Condition()

    def send(self, pipeline: str, payload: bytes, lost: Callable[[], object] = bool) -> None:
        with self.came:
            if self.broken:
                self.refused += 1
                self.came.notify_all()
                raise ConnectionError("the inbox is broken")
            self.payloads.append(payload)
            self.came.notify_all()

    def close(self, timeout: float) -> None:
        self.closed = True

    def wait(self, until: Callable[[], bool], seconds: float = 20.0) -> bool:
        """Wait until something holds; looked at whenever a frame comes."""
        with self.came:
            return self.came.wait_for(until, seconds)

    @property
    def frames(self) -> list[Frame]:
        found = []
        for payload in list(self.payloads):
            frame = decode(payload)
            assert isinstance(frame, Frame)
            found.append(frame)
        return found

    def slices(self, stage: str) -> list[Slice]:
        return [piece for frame in self.frames for piece in frame.slices if piece.stage == stage]

    def counter(self, stage: str, name: str) -> float:
        return sum(piece.counters.get(name, 0) for piece in self.slices(stage))

    def counters(self, stage: str) -> dict[str, float]:
        names = sorted({name for piece in self.slices(stage) for name in piece.counters})
        return {name: n for name in names if (n := self.counter(stage, name))}

    def category(self, stage: str, name: str) -> dict[str, int]:
        total: dict[str, int] = {}
        for piece in self.slices(stage):
            for label, n in piece.categories.get(name, {}).items():
                total[label] = total.get(label, 0) + n
        return total

    def distribution(self, stage: str, name: str) -> Distribution:
        total = Distribution()
        for piece in self.slices(stage):
            if name in piece.distributions:
                summary = piece.distributions[name]
                total.merge(Distribution.decode(summary.count, summary.total, summary.digest))
        return total


def wired(
    name: str = "ads", *, clock: Clock | None = None, settings: EmitterSettings | None = None, **given: Any
) -> tuple[Pipeline, Inbox]:
    """A pipeline that emits when it is told to, and where its frames go."""
    inbox = Inbox()
    pipeline = Pipeline(name, settings=settings or EmitterSettings(), **given)
    pipeline.rebind(clock or HandClock(), inbox, threaded=False, emitter=b"e" * 16)
    return pipeline, inbox


def threaded(name: str = "ads", **given: Any) -> tuple[Pipeline, Inbox]:
    """A pipeline with its thread and the machine's clock, and where its frames go."""
    inbox = Inbox()
    settings = EmitterSettings(flush_seconds=0.02, **given)
    return Pipeline(name, settings=settings, transport=inbox), inbox
