"""Which series there are, and the points of a window in their rows."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from swirl.detector import Kind, Points
from swirl.segments import segment_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from swirl.effect import SeriesKey
    from swirl.sketch import Distribution

__all__ = ["Measured", "SeriesTable"]


class Measured(NamedTuple):
    """A point to be judged.

    Attributes:
        key: the series.
        kind: of its numbers.
        value, weight: see :class:`swirl.detector.Points`.
        sample: of a distribution.
        scale, rate: a person sees ``scale * value``, or where ``rate`` is not 0 ``scale * exp(rate *
            value)``.
    """

    key: SeriesKey
    kind: Kind
    value: float
    weight: float = 1.0
    sample: Distribution | dict[str, int] | None = None
    scale: float = 1.0
    rate: float = 0.0


class SeriesTable:
    """Which series there are, and in which row of its bank each one is. Rows are never given away again.

    Args:
        cap: how many series there may be; further ones are counted in ``refused`` and left out.
    """

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self.refused = 0
        self.keys: dict[Kind, list[SeriesKey]] = {kind: [] for kind in Kind}
        self.labels: dict[str, list[SeriesKey]] = {}
        """Stage -> the series of its labels."""
        self.segments: dict[str, dict[str, list[SeriesKey]]] = {}
        """Stage -> segment -> its series."""
        # One look-up a point: the kinds are numbered because hashing an enum's member is slow.
        self._number = {kind: number for number, kind in enumerate(Kind)}
        self._places: dict[SeriesKey, tuple[Kind, int, int]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: SeriesKey) -> bool:
        return key in self._places

    def kind(self, key: SeriesKey) -> Kind:
        """Of a series that is there."""
        return self._places[key][0]

    def row(self, key: SeriesKey) -> int:
        """Its row in the bank of its kind."""
        return self._places[key][2]

    def add(self, key: SeriesKey, kind: Kind) -> bool:
        """Make room for a series; False when there is none."""
        if len(self._places) >= self.cap:
            self.refused += 1
            return False
        self._places[key] = kind, self._number[kind], len(self.keys[kind])
        self.keys[kind].append(key)
        if key.metric == "prediction_ratio":
            self.labels.setdefault(key.stage, []).append(key)
        elif name := segment_of(key):
            self.segments.setdefault(key.stage, {}).setdefault(name, []).append(key)
        return True

    def arrange(
        self, measured: Iterable[Measured], start_ms: int, window_ms: int
    ) -> dict[Kind, tuple[Points, list[Measured | None]]]:
        """The points of each kind in order of rows, all rows of the kind, NaN where nothing was measured."""
        found: list[list[Measured | None]] = [[None] * len(keys) for keys in self.keys.values()]
        for point in measured:
            place = self._places.get(point.key)
            if place is None:
                if self.add(point.key, point.kind):
                    found[self._number[point.kind]].append(point)
            elif place[0] is point.kind:  # a ratio that once was above one is a level for good
                found[place[1]][place[2]] = point
        return {
            kind: (_points(kind, rows, start_ms, window_ms), rows)
            for kind, rows in zip(self.keys, found, strict=True)
            if rows
        }


def _points(kind: Kind, rows: Sequence[Measured | None], start_ms: int, window_ms: int) -> Points:
    value = np.array([nan if point is None else point.value for point in rows], dtype=np.float64)
    weight = np.array([0.0 if point is None else point.weight for point in rows], dtype=np.float64)
    samples = [None if point is None else point.sample for point in rows] if kind is Kind.DISTRIBUTION else ()
    return Points(start_ms, window_ms, value, weight, samples)
