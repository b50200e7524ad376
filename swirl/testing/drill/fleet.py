"""A harness whose processes come and go, fall silent, and have clocks of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swirl.frame import Tick, encode
from swirl.sdk.transport import Transport
from swirl.testing.harness import Harness

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl.sdk.pipeline import Pipeline
    from swirl.testing.clock import ManualClock

__all__ = ["Fleet", "SkewedClock"]


class SkewedClock:
    """The time of a machine whose clock is wrong; durations are right.

    Args:
        clock: the right one.
        seconds: that this one is ahead, negative: behind.
    """

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        self._clock = clock
        self._ahead_ns = round(seconds * 1e9)

    def ticks(self) -> int:
        """As of the right clock."""
        return self._clock.ticks()

    def time_ns(self) -> int:
        """Nanoseconds since 1970, as this machine believes."""
        return self._clock.time_ns() + self._ahead_ns


class _Lost(Transport):
    """Takes frames that never arrive."""

    def send(self, pipeline: str, payload: bytes, lost: Callable[[], object]) -> None:
        """Nothing comes of it."""

    def close(self, timeout: float) -> None:
        """There is nothing to close."""


class Fleet(Harness):
    """A :class:`~swirl.testing.Harness` over the processes of one pipeline; each is a ``swirl.Pipeline``.

    Args:
        pipelines: those that are there from the beginning, all of the same name.
        **given: as for a harness.

    Example:
        >>> import swirl
        >>> def process():
        ...     shop = swirl.Pipeline("shop")
        ...     @shop.stage
        ...     def check(order): ...
        ...     return shop, check
        >>> (one, check), (two, other) = process(), process()
        >>> fleet = Fleet(one, window_seconds=10, lateness_seconds=0)
        >>> fleet.drive(lambda: check(1), per_second=2, seconds=20)
        >>> fleet.join(two)
        >>> fleet.drive(lambda: (check(1), other(1)), per_second=2, seconds=30)
        >>> [window.health.emitters for window in fleet.windows]
        [1, 1, 2, 2, 2]
    """

    def __init__(self, *pipelines: Pipeline, **given: Any) -> None:
        super().__init__(*pipelines, **given)
        self._identities = len(pipelines)
        self._silent: list[Pipeline] = []

    def join(self, pipeline: Pipeline) -> None:
        """Another process begins."""
        self._bind(pipeline)
        self._pipelines = (*self._pipelines, pipeline)

    def _bind(self, pipeline: Pipeline) -> None:
        identity = self._identities.to_bytes(16, "big")
        self._identities += 1
        pipeline.rebind(clock=self.clock, transport=self, threaded=False, emitter=identity)

    def leave(self, pipeline: Pipeline) -> None:
        """A process says goodbye."""
        pipeline.close(0.0)
        self._pipelines = tuple(each for each in self._pipelines if each is not pipeline)

    def restart(self) -> None:
        """All processes say goodbye and begin anew."""
        for pipeline in self._pipelines:
            pipeline.close(0.0)
            self._bind(pipeline)

    def silence(self, pipeline: Pipeline) -> None:
        """The frames of a process are lost from now on."""
        pipeline._emitter.transport = _Lost()  # noqa: SLF001 - the harness is the pipelines' transport
        self._silent.append(pipeline)

    def skew(self, pipeline: Pipeline, seconds: float) -> None:
        """The clock of a process is wrong from now on, by so many seconds."""
        pipeline._emitter.clock = SkewedClock(self.clock, seconds)  # noqa: SLF001 - and their clock

    def _flush(self) -> None:
        super()._flush()
        if len(self._silent) == len(self._pipelines):
            for pipeline in self._pipelines[:1]:
                self._apply(encode(Tick(pipeline.name)))
