"""Windows of one length in event time, one after the other, closed by the watermark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swirl.monitor.placing import Complete
from swirl.window import Window

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from typing import Any

    from swirl.frame import Frame
    from swirl.incident.life import Anomaly
    from swirl.monitor.emitters import Emitters
    from swirl.monitor.placing import Closed
    from swirl.series import Measured
    from swirl.window import EventClock

__all__ = ["Tumbling"]

_WHOLE = 0.99
"""A window covered to this share counts as whole: emitters do not flush on its edges."""

_LONGEST_GAP = 64
"""Windows that one frame may cover, or that may pass without any, before the rest is skipped."""


class Tumbling:
    """See :class:`swirl.monitor.placing.Placing`.

    Args:
        window_ms: length of a window.
        clock: event time of the pipeline.
        emitters: of the pipeline.
        closed: windows that were told.

    Attributes:
        window_ms: see above.
        open: windows that fill, by their start.
    """

    def __init__(self, window_ms: int, clock: EventClock, emitters: Emitters, closed: Closed) -> None:
        self.window_ms = window_ms
        self.open: dict[int, Window] = {}
        self._clock, self._emitters, self._closed = clock, emitters, closed
        self._next_ms = -1
        self._resting = True
        """Nobody has begun, or everyone has said goodbye and all is told."""

    @property
    def usual_ms(self) -> int:
        """All windows have the same length."""
        return self.window_ms

    @property
    def awake(self) -> bool:
        """Whether time passes: once everyone has said goodbye and all is told, it stands still."""
        return not self._resting and (bool(self.open) or self._emitters.expected())

    def settle(self) -> None:
        """A record has come: everyone may have left before it."""
        self._resting = self._resting or not (self.open or self._emitters.expected())

    def take(self, log_ms: int, frame: Frame) -> None:
        """Note what a frame covers."""
        start, end = frame.covers
        if frame.run_ms:  # of a run whose definition is not known yet
            return
        # Who begins with a clock that runs ahead begins when it is right.
        if self._resting and not self._clock.is_future(log_ms, end):
            self._begin(frame)
        if self._clock.heard(log_ms, end, frame.sent_ms):
            self._emitters.cover(frame.emitter, end, log_ms, self._clock.floor(log_ms))
            self._cover(start, end)

    def _begin(self, frame: Frame) -> None:
        """The first frame, or the first after everyone had gone: windows begin where it does."""
        start, end = frame.covers
        oldest = end - _LONGEST_GAP * self.window_ms
        first = max(
            oldest, min([start, *(piece.bucket_ms for piece in frame.slices if piece.bucket_ms > oldest)])
        )
        self._next_ms = max(self._next_ms, first - first % self.window_ms)
        self._resting = False

    def _cover(self, start_ms: int, end_ms: int) -> None:
        size = self.window_ms
        first = max(start_ms, self._next_ms, end_ms - _LONGEST_GAP * size)
        for start in range(first - first % size, end_ms, size):
            self._opened(start).coverage.add(max(first, start), min(end_ms, start + size))

    def window_for(self, log_ms: int, frame: Frame, event_ms: int) -> tuple[Window | None, str]:  # noqa: ARG002 - others go by the frame
        """The window an event time belongs to, and the cause under which its records are counted as late."""
        start = event_ms - event_ms % self.window_ms
        if self._clock.is_future(log_ms, event_ms):
            return None, "future"
        if start >= self._next_ms and not self._resting:
            return self._opened(start), ""
        if start in self._closed:
            window = self._closed[start][0]
            window.revised = True
            return window, "revised"
        return None, "closed"

    def _opened(self, start: int) -> Window:
        window = self.open.get(start)
        if window is None:
            window = self.open[start] = Window(start)
        return window

    def has_to_close(self, log_ms: int) -> bool:
        """Let log time pass; whether the watermark has passed the end of a window."""
        if self.awake:
            self._clock.passed(log_ms, self._emitters.covered(log_ms))
        return self._has_to_close(self._clock.watermark_ms)

    def _has_to_close(self, watermark: int) -> bool:
        return 0 <= self._next_ms <= watermark - self.window_ms

    def next_to_close(self, log_ms: int) -> Complete | None:
        """The next window that the watermark has passed."""
        start = self._next_start(self._clock.watermark_ms)
        if start is None:
            return None
        self._next_ms = start + self.window_ms
        window = self.open.pop(start, None) or Window(start)
        exposure = window.coverage.length
        whole = exposure >= _WHOLE * self.window_ms
        heard, known = self._emitters.by_stage(log_ms)
        # As it was when something came last: who sends nothing any more is silent, not late.
        return Complete(window, self.window_ms, exposure, whole, (), heard, known, self._clock.lag_ms)

    def _next_start(self, watermark: int) -> int | None:
        if not self._has_to_close(watermark):
            return None
        first_open = min(self.open, default=None)
        if not self._emitters.expected():
            # Everyone has said goodbye: what is open is told, and time stands still until someone comes.
            if first_open is None or first_open + self.window_ms > watermark:
                return None
            self._next_ms = first_open
            return first_open
        target = min(watermark - self.window_ms, watermark if first_open is None else first_open)
        behind = (target - self._next_ms) // self.window_ms
        if behind > _LONGEST_GAP:
            self._next_ms += (behind - _LONGEST_GAP) * self.window_ms
        return self._next_ms

    def measured(self, complete: Complete) -> Iterable[Measured]:  # noqa: ARG002 - see the protocol
        """Nothing but its counts."""
        return ()

    def told(self, alarms: list[Anomaly], complete: Complete) -> list[Anomaly]:  # noqa: ARG002 - as above
        """The alarms as they are."""
        return alarms

    def parts(self) -> Generator[tuple[str, Any], None, None]:
        """State by name, of types that MessagePack knows."""
        yield "next", self._next_ms
        yield "resting", self._resting
        yield "open", [window.snapshot() for window in self.open.values()]

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take what ``parts`` gave."""
        self._next_ms, self._resting = data["next"], data["resting"]
        self.open = {window[0]: Window.restore(window) for window in data["open"]}
