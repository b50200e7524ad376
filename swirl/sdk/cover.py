"""How far an emitter has come in event time: what its next frame makes complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swirl.sdk.recorder import Recorder

__all__ = ["Cover"]


class Cover:
    """The end of what is covered; it never goes back.

    Where no stage has an ``at=``, it follows the host's clock. Where all have one, it is the newest event
    time seen, and moves on with the host's clock while no record comes; before the first record it is 0,
    which covers nothing.

    Attributes:
        begun: there was a first record or a first frame.
        event_time: it follows event times.
        end_ms: the end of the last frame, milliseconds since 1970.
    """

    def __init__(self) -> None:
        self.begun = False
        self.event_time = False
        self.end_ms = 0
        self._host_ms = 0
        self._started = False

    def begin(self, now_ms: int) -> None:
        """The first record was made at this time."""
        self.begun = True
        self._host_ms = self._first_ms = max(0, now_ms)

    def advance(self, now_ms: int, recorders: Sequence[Recorder]) -> tuple[int, int]:
        """What a frame covers that is made now.

        Args:
            now_ms: host time of the flush.
            recorders: the stages, after their fold; what they saw of event times is taken from them.
        """
        passed, self._host_ms = max(0, now_ms - self._host_ms), now_ms
        timed = [r for r in recorders if r.times]
        self.event_time = bool(timed) and len(timed) == len(recorders)
        seen = [r.sums.tallies.take_times() for r in timed]
        newest = max((high for _, high in seen), default=-1)
        oldest = min((low for low, _ in seen if low >= 0), default=-1)
        if not self.event_time:
            return self._move(self._first_ms, now_ms)
        if newest >= 0:
            return self._move(oldest, newest)
        return self._move(self.end_ms, self.end_ms + passed) if self._started else (0, 0)

    def _move(self, first_ms: int, end_ms: int) -> tuple[int, int]:
        start = self.end_ms if self._started else first_ms
        self._started = True
        self.end_ms = max(start, end_ms)
        return start, self.end_ms
