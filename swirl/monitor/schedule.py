"""When the next run of a pipeline is due: on which days of the week, and at which hours, it runs at all.

A run is due one period after the last one, unless it never runs at that time of the week. That is learnt from
the weeks before, so that a job of the weekdays is not missed on Saturday.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

__all__ = ["Schedule"]

WEEK_MS = 7 * 86_400_000

_WEEKS = 4
"""So many weeks are looked back."""
_FEWEST_WEEKS = 2
"""Weeks without a run at a time, before it is taken for one at which none is due."""
_RARELY = 4
"""A time that has seen no more than one run in so many weeks is none at which one is due."""
_SHORTEST_MS = 3_600_000
"""Runs that are less apart have no times of the week."""


class Schedule:
    """The log times at which runs began, of the last four weeks.

    Args:
        period_ms: from one run to the next, where one is due.
        begun_ms: earlier beginnings, increasing.

    Example:
        >>> day = 86_400_000
        >>> weekdays = Schedule(day, [n * day for n in range(19) if n % 7 < 5])
        >>> weekdays.next_ms(17 * day) // day, weekdays.next_ms(18 * day) // day
        (18, 21)
        >>> Schedule(day, [0, day]).next_ms(4 * day) // day
        5
    """

    def __init__(self, period_ms: int, begun_ms: list[int] | None = None) -> None:
        self._period_ms = period_ms
        self.begun_ms = begun_ms or []

    def note(self, begun_ms: int) -> None:
        """A run began; what is older than four weeks is forgotten."""
        if not _SHORTEST_MS <= self._period_ms <= WEEK_MS // 2:
            return
        if not self.begun_ms or begun_ms > self.begun_ms[-1]:
            self.begun_ms.append(begun_ms)
        del self.begun_ms[: bisect_left(self.begun_ms, begun_ms - _WEEKS * WEEK_MS - self._period_ms // 2)]
        # Runs by hand between those that are due do not make it grow.
        most = 2 * _WEEKS * WEEK_MS // self._period_ms
        del self.begun_ms[:-most]

    def next_ms(self, last_ms: int) -> int:
        """Log time at which a run is due after one that began at ``last_ms``."""
        usual_ms = last_ms + self._period_ms
        if self._is_due(usual_ms):
            return usual_ms
        return next((at for at in self._times(last_ms) if self._is_due(at)), usual_ms)

    def _times(self, last_ms: int) -> list[int]:
        """The times of runs of the weeks before, in the week after one, increasing."""
        found = {begun + back * WEEK_MS for begun in self.begun_ms for back in range(1, _WEEKS + 1)}
        return sorted(at for at in found if last_ms + self._period_ms // 2 < at <= last_ms + WEEK_MS)

    def _is_due(self, at_ms: int) -> bool:
        """Whether runs began at this time in the weeks before in which there were any."""
        weeks = [
            self._ran(at_ms - back * WEEK_MS, self._period_ms // 2)
            for back in range(1, _WEEKS + 1)
            if self._ran(at_ms - back * WEEK_MS, WEEK_MS // 2) and self._is_known(at_ms - back * WEEK_MS)
        ]
        return len(weeks) < _FEWEST_WEEKS or _RARELY * sum(weeks) > len(weeks)

    def _ran(self, about_ms: int, within_ms: int) -> bool:
        """Whether a run began no further than this from a time."""
        first = bisect_left(self.begun_ms, about_ms - within_ms)
        return first < bisect_right(self.begun_ms, about_ms + within_ms)

    def _is_known(self, at_ms: int) -> bool:
        """Whether runs were noted at that time already."""
        return bool(self.begun_ms) and at_ms >= self.begun_ms[0] - self._period_ms // 2
