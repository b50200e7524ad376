"""A level judged by ranks alone: whatever the law of the values, and however wild its outliers."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass
from math import inf, nan, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, ClassVar

from swirl.detector import Kind
from swirl_detectors.charts import ChartBank, moved, surprise

if TYPE_CHECKING:
    from swirl.scalar import Point

__all__ = ["LevelDetector", "RankLevel"]

_TILTS = (0.5, 1.0, 2.0)
_KEPT = 256
_FIRST = 20
_FADE = 0.995
_LEAST_ROOM = 0.1
_normal = NormalDist()


class RankLevel:
    """CUSUMs over normal scores of ranks among the last 256 values.

    Under no change the rank of a new value among the old ones is uniform, whatever their law, so its normal
    score is a standard normal variable: a chart without a distribution (the scores are those of B. van der
    Waerden, 1952). What the last score says of the next is taken out first, with a correlation that is
    learnt.
    """

    def __init__(self) -> None:
        self.values = [inf] * _KEPT
        self.sorted = [inf] * _KEPT
        self.count = 0
        self.last = 0.0
        self.product = self.square = 0.0
        self.evidence = [0.0] * (2 * len(_TILTS))

    def score(self, point: Point) -> float:
        """Nats that the level is another, by this value and those before it."""
        if self.count < _FIRST:
            return 0.0
        rho = self._correlation
        z = (self._normal_score(point.shown) - rho * self.last) / sqrt(1 - rho * rho)
        self.evidence = moved(self.evidence, z, _TILTS)
        return surprise(self.evidence, _TILTS)

    def _normal_score(self, value: float) -> float:
        """Equal values share the middle of their ranks."""
        below, upto = bisect_left(self.sorted, value), bisect_right(self.sorted, value)
        return _normal.inv_cdf(((below + upto) / 2 + 0.5) / (min(self.count, _KEPT) + 1))

    @property
    def _correlation(self) -> float:
        return min(max(self.product / (self.square + 10), 0.0), 1 - _LEAST_ROOM)

    def learn(self, point: Point) -> None:
        """Keep the value; it takes the place of the oldest of 256."""
        value = point.shown
        if self.count:
            z = self._normal_score(value)
            self.product = _FADE * self.product + z * self.last
            self.square = _FADE * self.square + self.last * self.last
            self.last = z
        oldest = self.count % _KEPT
        del self.sorted[bisect_left(self.sorted, self.values[oldest])]
        insort(self.sorted, value)
        self.values[oldest] = value
        self.count += 1

    @property
    def expected(self) -> float:
        """The median."""
        n = min(self.count, _KEPT)
        return self.sorted[n // 2] if n else nan


@dataclass(frozen=True)
class LevelDetector:
    """Finds that a level has moved, by ranks: for quantiles of latency and other numbers with wild tails.

    Its currency is nats with a null law that is known for any distribution of the values. One value, however
    far out, says no more than that it is the largest of 257, so a single outlier never raises an alarm.

    Args:
        warm_up: points before which only overwhelming evidence raises an alarm.

    Example:
        >>> import numpy as np
        >>> from swirl.detector import Points
        >>> rng = np.random.default_rng(1)
        >>> bank = LevelDetector().build(Kind.POSITIVE)
        >>> bank.grow(1)
        >>> row, one = np.arange(1), np.ones(1)
        >>> for window in range(330):
        ...     latency = np.exp(rng.standard_t(2, 1)) * (0.01 if window < 300 else 0.1)
        ...     points = Points(window * 60_000, 60_000, latency, one)
        ...     scores = bank.score(row, points)
        ...     bank.learn(row, points)
        ...     if scores.alarm[0]:
        ...         print(window)
        ...         break
        311
    """

    name: ClassVar[str] = "level"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.LEVEL, Kind.POSITIVE})

    warm_up: int = 60

    def build(self, kind: Kind, resume: dict[str, Any] | None = None) -> ChartBank:
        """A bank for series of one kind; ``resume`` is what its ``snapshot`` gave.

        Raises:
            SnapshotError: the snapshot is of another version or kind.
        """
        bank = ChartBank(kind, RankLevel, self.warm_up)
        if resume is not None:
            bank.restore(resume)
        return bank
