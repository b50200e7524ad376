"""Event time: tumbling windows, the watermark that closes them, and what of a window was really covered.

Everything here is driven by what is in the log. Windows are half-open, ``[start, end)``, in integer
milliseconds.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

import msgspec

from swirl.sketch import MOST_COUNTED, Categories, Distribution

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from swirl.frame import Slice

__all__ = ["Coverage", "EventClock", "Tally", "Window"]

_LABELS = 200
"""Labels kept apart in a window, over all emitters together."""


class EventClock(msgspec.Struct):
    """The watermark of one pipeline: event time up to which nothing more is expected.

    It stands at the newest event time less the lateness, and waits there for emitters that are behind, but
    not for longer than the grace. When nothing comes for longer than the grace, it moves on by the log time
    that passed, not to the log time: old data that is replayed has a past of its own.

    Attributes:
        lateness_ms: how long a window waits after its end.
        skew_ms: how far event time may run ahead of the log.
        grace_ms: how long nothing may come before it counts as silence.
        newest_ms: newest event time, -1 before the first.
        moved_ms: log time at which it was seen.
        watermark_ms: never goes back.
        lag_ms: how long after the newest event time its emitter sent it. Of the way to the log it says
            nothing: an outage there makes no record old.

    Example:
        >>> clock = EventClock(lateness_ms=500, skew_ms=60_000, grace_ms=3_000)
        >>> clock.heard(log_ms=10_000, event_ms=10_000), clock.passed(log_ms=10_000)
        (True, 9500)
        >>> clock.passed(log_ms=12_000), clock.passed(log_ms=14_000)
        (9500, 13500)
        >>> clock.heard(log_ms=14_000, event_ms=99_000)
        False
        >>> clock.heard(log_ms=20_000, event_ms=20_000), clock.passed(log_ms=20_000, covered_ms=18_000)
        (True, 18000)
    """

    lateness_ms: int
    skew_ms: int
    grace_ms: int
    newest_ms: int = -1
    moved_ms: int = 0
    watermark_ms: int = -1
    lag_ms: int = 0

    def is_future(self, log_ms: int, event_ms: int) -> bool:
        """Whether an event time runs ahead of the log further than clocks may differ."""
        return event_ms > log_ms + self.skew_ms

    def heard(self, log_ms: int, event_ms: int, sent_ms: int | None = None) -> bool:
        """Take a new event time, which was sent at a time. False: it lies in the future and moved nothing."""
        if self.is_future(log_ms, event_ms):
            return False
        if event_ms > self.newest_ms:
            self.newest_ms, self.moved_ms = event_ms, log_ms
            self.lag_ms = max(0, (log_ms if sent_ms is None else sent_ms) - event_ms)
        return True

    def passed(self, log_ms: int, covered_ms: int | None = None) -> int:
        """Let log time pass; returns the watermark.

        Args:
            log_ms: now.
            covered_ms: event time that all emitters have covered who are waited for; None: nobody is.
        """
        if self.newest_ms >= 0:
            reached = self._reached(log_ms)
            if covered_ms is not None and covered_ms < reached:
                reached = max(covered_ms, self.floor(log_ms))
            self.watermark_ms = max(self.watermark_ms, reached)
        return self.watermark_ms

    def _reached(self, log_ms: int) -> int:
        """Where the watermark would stand if nobody were behind."""
        silent_ms = log_ms - self.moved_ms
        return self.newest_ms - self.lateness_ms + (silent_ms if silent_ms > self.grace_ms else 0)

    def floor(self, log_ms: int) -> int:
        """Event time for which nobody is waited any more.

        The newest event time may be that of a single clock that runs ahead of all others: then it is the log
        that says how late it is.
        """
        return min(self._reached(log_ms), log_ms - self.lateness_ms) - self.grace_ms


class Coverage:
    """The union of half-open intervals.

    Example:
        >>> c = Coverage()
        >>> for interval in ((0, 10), (20, 30), (8, 15)): c.add(*interval)
        >>> c.intervals, c.length
        ([(0, 15), (20, 30)], 25)
    """

    __slots__ = ("intervals",)

    def __init__(self, intervals: Iterable[tuple[int, int]] = ()) -> None:
        self.intervals: list[tuple[int, int]] = list(intervals)

    def add(self, start: int, end: int) -> None:
        """Add ``[start, end)``."""
        if end <= start:
            return
        kept = self.intervals
        if kept and kept[-1][0] <= start <= kept[-1][1]:  # the usual case: time goes on
            kept[-1] = (kept[-1][0], max(kept[-1][1], end))
            return
        apart = [i for i in kept if i[1] < start or i[0] > end]
        touching = [i for i in kept if not (i[1] < start or i[0] > end)]
        merged = (min([start, *(i[0] for i in touching)]), max([end, *(i[1] for i in touching)]))
        apart.insert(bisect_right(apart, merged), merged)
        self.intervals = apart

    @property
    def length(self) -> int:
        """How much is covered."""
        return sum(end - start for start, end in self.intervals)


class Tally:
    """What one version of one stage did in one window: slices merged.

    Attributes:
        counters: by name.
        categories: name -> counts by label.
        distributions: name -> summary.
    """

    __slots__ = ("categories", "counters", "distributions")

    def __init__(self) -> None:
        self.counters: dict[str, float] = {}
        self.categories: dict[str, Categories] = {}
        self.distributions: dict[str, Distribution] = {}

    def add(self, piece: Slice) -> int:
        """Merge a slice; returns how many of its distributions were unreadable and left out."""
        counters = self.counters
        for name, count in piece.counters.items():
            counters[name] = min(counters.get(name, 0) + count, MOST_COUNTED)
        for name, counts in piece.categories.items():
            known = self.categories.get(name)
            if known is None:
                known = self.categories[name] = Categories(_LABELS)
            known.add(counts)
        unreadable = 0
        for name, summary in piece.distributions.items():
            try:
                other = Distribution.decode(summary.count, summary.total, summary.digest)
            except ValueError:
                unreadable += 1
                continue
            mine = self.distributions.setdefault(name, other)
            if mine is not other:
                mine.merge(other)
        return unreadable

    def count(self, name: str) -> int:
        """A built-in counter, which is whole."""
        return int(self.counters.get(name, 0))

    def labels(self, name: str) -> Mapping[str, int]:
        """Counts by label of one category."""
        found = self.categories.get(name)
        return found.counts if found is not None else {}

    def snapshot(self) -> list[Any]:
        """Of types that MessagePack knows."""
        return [
            self.counters,
            {name: c.counts for name, c in self.categories.items()},
            {name: (d.count, d.total, d.encode()) for name, d in self.distributions.items()},
        ]

    @classmethod
    def restore(cls, data: list[Any]) -> Tally:
        """What ``snapshot`` gave."""
        self = cls()
        self.counters = dict(data[0])
        for name, counts in data[1].items():
            self.categories[name] = Categories(_LABELS)
            self.categories[name].counts = dict(counts)
        self.distributions = {name: Distribution.decode(*parts) for name, parts in data[2].items()}
        return self


class Window:
    """One window while it fills, and while late records may still revise it.

    Attributes:
        start_ms: event time.
        tallies: ``(stage, version)`` -> what was counted.
        coverage: which part of it emitters have made complete.
        revision: how often it was told.
        revised: late records have come since it was told last.
    """

    __slots__ = ("coverage", "revised", "revision", "start_ms", "tallies")

    def __init__(self, start_ms: int) -> None:
        self.start_ms = start_ms
        self.tallies: dict[tuple[str, str], Tally] = {}
        self.coverage = Coverage()
        self.revision = 0
        self.revised = False

    def add(self, piece: Slice) -> int:
        """Merge a slice; returns how many distributions were unreadable."""
        tally = self.tallies.get((piece.stage, piece.version))
        if tally is None:
            tally = self.tallies[piece.stage, piece.version] = Tally()
        return tally.add(piece)

    def by_stage(self) -> dict[str, dict[str, Tally]]:
        """Stage -> version -> tally, in order of names."""
        stages: dict[str, dict[str, Tally]] = {}
        for stage, version in sorted(self.tallies):
            stages.setdefault(stage, {})[version] = self.tallies[stage, version]
        return stages

    def snapshot(self) -> list[Any]:
        """Of types that MessagePack knows."""
        tallies = [[stage, version, tally.snapshot()] for (stage, version), tally in self.tallies.items()]
        return [self.start_ms, tallies, self.coverage.intervals, self.revision, self.revised]

    @classmethod
    def restore(cls, data: list[Any]) -> Window:
        """What ``snapshot`` gave."""
        self = cls(data[0])
        self.tallies = {(stage, version): Tally.restore(tally) for stage, version, tally in data[1]}
        self.coverage = Coverage((start, end) for start, end in data[2])
        self.revision, self.revised = data[3], data[4]
        return self
