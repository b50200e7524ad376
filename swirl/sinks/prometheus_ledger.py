"""What keeps exported series honest: counters that never go back, and the end of what is gone.

The monitor keeps totals of the newest versions only, so a sum over versions falls when one is let go; a
counter that falls looks to Prometheus as if it had begun anew, and all of it would count as new.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from numpy.typing import NDArray

    from swirl.effect import SeriesKey, WindowClosed

__all__ = ["KEEP_MS", "Count", "Ledger", "Measured"]

KEEP_MS = 3_600_000
"""Of event time: a version, a label or a series that was not heard of for so long is exported no more."""


class Count(NamedTuple):
    """A total that is to become a counter.

    Attributes:
        name: of the metric.
        labels: in full.
        value: the total now.
        ends: it is of a label or a version, and over when it stands still while its stage goes on.
    """

    name: str
    labels: dict[str, str]
    value: float
    ends: bool = False


class _Line:
    __slots__ = ("base", "changed_ms", "total")

    def __init__(self, total: float, now_ms: int) -> None:
        self.base, self.total, self.changed_ms = 0.0, total, now_ms


class Ledger:
    """The counters of one pipeline. Bounded by what the last window has."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, ...], _Line] = {}

    def settle(
        self, counts: Iterable[Count], now_ms: int, stages: Container[str]
    ) -> list[tuple[str, dict[str, str], float]]:
        """What to export of these totals.

        A stage that stands still keeps its counters as long as it is one of the pipeline's.

        Args:
            counts: all totals of the pipeline.
            now_ms: event time.
            stages: that the pipeline has now.

        Returns:
            Name, labels, value; without what is gone.
        """
        lines: dict[tuple[str, ...], _Line] = {}
        shown: list[tuple[Count, _Line]] = []
        moved: dict[str, int] = {}
        for count in counts:
            key = (count.name, *count.labels.values())
            line = lines[key] = self._entered(key, count.value, now_ms)
            stage = count.labels["stage"]
            moved[stage] = max(moved.get(stage, 0), line.changed_ms)
            shown.append((count, line))
        self._lines = lines
        gone = {stage for stage, at in moved.items() if stage not in stages and now_ms - at > KEEP_MS}
        return [
            (count.name, count.labels, line.base + count.value)
            for count, line in shown
            if count.labels["stage"] not in gone
            and not (count.ends and moved[count.labels["stage"]] - line.changed_ms > KEEP_MS)
        ]

    def _entered(self, key: tuple[str, ...], total: float, now_ms: int) -> _Line:
        line = self._lines.get(key)
        if line is None:
            return _Line(total, now_ms)
        if total != line.total:
            line.base += max(0.0, line.total - total)
            line.total, line.changed_ms = total, now_ms
        return line


class Measured:
    """When each series of a pipeline was last measured."""

    def __init__(self) -> None:
        self._keys: tuple[SeriesKey, ...] = ()
        self._last = np.empty(0, np.int64)

    def known(self, window: WindowClosed) -> NDArray[np.bool_]:
        """Which columns of a window are still worth showing, shape ``(len(keys),)``."""
        now = window.end_ms
        if window.keys != self._keys:
            before = dict(zip(self._keys, self._last.tolist(), strict=True))
            last = [before.get(key, now) for key in window.keys]
            self._keys, self._last = window.keys, np.array(last, np.int64)
        self._last[~np.isnan(window.column("value"))] = now
        known: NDArray[np.bool_] = now - self._last <= KEEP_MS
        return known
