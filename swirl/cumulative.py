"""The cumulative distribution that a digest stands for, with equal values kept together.

A t-digest knows few things: means and weights of neighbouring values. Where many values are equal, several of
its centroids lie on that value, and the one that spans two of them lies between, its mean telling how many
are of which. So what repeats is a tie, what lies between two neighbouring ties is shared out to them, single
values are exact (as are all where a summary counts them one by one), and only the rest is spread out evenly
from mean to mean (T. Dunning and O. Ertl, "Computing Extremely Accurate Quantiles Using t-Digests", 2019,
sec. 2.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from swirl.sketch import Distribution

__all__ = ["Curve", "Grid"]

Array = NDArray[np.float64]

_FEW = 6
"""Ties with more centroids between them than these have other values between them."""
_CLOSE = 1e-6


class Curve:
    """The cumulative distribution of one digest.

    Args:
        sample: with one value at least.
        ties: values that are known to repeat, increasing; those of the digest itself are added.

    Attributes:
        count: of the values.
        ties: values that repeat, increasing.
        exact, exact_weight: values that are known as they are, increasing, and how many there are of each.
        loose, loose_weight: means of what is spread out, increasing, and how many values each stands for.

    Example:
        >>> from swirl.sketch import Distribution
        >>> seen = Distribution()
        >>> _ = seen.update(np.repeat([0.0, 1.0, 2.0], [7_000, 2_000, 1_000]))
        >>> curve = Curve(seen)
        >>> curve.ties, curve.at(np.array([0.5, 1.5])).round(6)
        (array([0., 1., 2.]), array([0.7, 0.9]))
    """

    __slots__ = ("_ends", "count", "exact", "exact_weight", "loose", "loose_weight", "ties")

    def __init__(self, sample: Distribution, ties: Array | None = None) -> None:
        means, weights = sample.centroids()
        self.count = float(sample.count)
        self._ends = sample.low, sample.high
        own = means[weights > 1] if sample.exact else means[1:][means[1:] == means[:-1]]
        self.ties = self._all_ties(own, ties)
        known = np.full(means.shape, fill_value=True) if sample.exact else weights == 1
        if self.ties.size:
            place = np.minimum(np.searchsorted(self.ties, means), self.ties.size - 1)
            known |= self.ties[place] == means
        self.loose, self.loose_weight = means[~known], weights[~known]
        self.exact, self.exact_weight = means[known], weights[known]
        if self.ties.size > 1 and self.loose.size:
            self._share_out()

    @staticmethod
    def _all_ties(own: Array, ties: Array | None) -> Array:
        if ties is None or not ties.size:
            return np.unique(own) if own.size else own
        return np.unique(np.concatenate((own, ties))) if own.size else ties

    def _share_out(self) -> None:
        """What lies between two ties with nothing else between them is of these two."""
        ties, means = self.ties, self.loose
        gap = np.searchsorted(ties, means) - 1
        inside = (gap >= 0) & (gap < ties.size - 1)
        crowd = np.bincount(gap[inside], minlength=ties.size)
        mixed = inside & (crowd[np.clip(gap, 0, ties.size - 1)] <= _FEW)
        if not mixed.any():
            return
        low, high = ties[gap[mixed]], ties[gap[mixed] + 1]
        weight = self.loose_weight[mixed]
        upper = weight * (means[mixed] - low) / (high - low)
        value = np.concatenate((self.exact, low, high))
        order = np.argsort(value, kind="stable")
        self.exact = value[order]
        self.exact_weight = np.concatenate((self.exact_weight, weight - upper, upper))[order]
        self.loose, self.loose_weight = means[~mixed], self.loose_weight[~mixed]

    def at(self, points: Array, *, below: bool = False) -> Array:
        """The share of values at or below each point.

        Args:
            points: in any order, shape ``(n,)``.
            below: without those that equal the point.

        Returns:
            In [0, 1], shape ``(n,)``.
        """
        known = np.concatenate(([0.0], np.cumsum(self.exact_weight)))
        counted = known[np.searchsorted(self.exact, points, side="left" if below else "right")]
        if self.loose.size:
            middle = np.cumsum(self.loose_weight) - self.loose_weight / 2
            whole = float(self.loose_weight.sum())
            low, high = self._ends
            x = np.concatenate(([low], self.loose, [high]))
            counted = counted + np.interp(points, x, np.concatenate(([0.0], middle, [whole])))
        return np.minimum(counted / self.count, 1.0)

    def positions(self) -> Array:
        """All values and means, increasing, each once."""
        return np.unique(np.concatenate((self.exact, self.loose)))

    @property
    def deviation(self) -> float:
        """The standard deviation, what is spread out taken at its means."""
        value = np.concatenate((self.exact, self.loose))
        share = np.concatenate((self.exact_weight, self.loose_weight)) / self.count
        mean = float((value * share).sum())
        return float(np.sqrt(((value - mean) ** 2 * share).sum()))

    def beyond(self, low: float, high: float) -> tuple[float, float]:
        """By how much values lie below ``low`` and above ``high``, on average over all values."""
        found = []
        for sign, end in ((-1.0, low), (1.0, high)):
            over = (np.maximum(sign * (self.exact - end), 0.0) * self.exact_weight).sum()
            over += (np.maximum(sign * (self.loose - end), 0.0) * self.loose_weight).sum()
            found.append(float(over) / self.count)
        return found[0], found[1]


@dataclass(frozen=True, slots=True)
class Grid:
    """Where curves are compared: at points between the values of a baseline, never on one that repeats.

    Attributes:
        points: increasing, shape ``(n,)``; one at least.
        bounds: values that the points lie between, shape ``(n + 1,)``.

    Example:
        >>> from swirl.sketch import Distribution
        >>> seen = Distribution()
        >>> _ = seen.update(np.repeat([0.0, 1.0, 2.0], [7_000, 2_000, 1_000]))
        >>> grid = Grid.between(Curve(seen), 100)
        >>> grid.points, grid.bounds
        (array([0.5, 1.5]), array([0., 1., 2.]))
    """

    points: Array
    bounds: Array

    @classmethod
    def between(cls, curve: Curve, most: int) -> Grid:
        """A grid of at most so many points, closer in rank towards the ends where there are more values.

        Where all values are equal there are two points, close by on both sides.
        """
        values = curve.positions()
        if len(values) == 1:
            step = _CLOSE * max(abs(float(values[0])), _CLOSE)
            return cls(values + step * np.array([-1, 1]), values + step * np.array([-2, 0, 2]))
        middle = (values[1:] + values[:-1]) / 2
        kept = np.arange(len(middle))
        if len(middle) > most:
            ranks = curve.at(middle)
            evenly = (1 - np.cos(np.pi * np.arange(most) / (most - 1))) / 2
            kept = np.unique(np.minimum(np.searchsorted(ranks, evenly), len(middle) - 1))
        inner = (kept[1:] + kept[:-1] + 1) // 2
        return cls(middle[kept], values[np.concatenate(([0], inner, [len(values) - 1]))])

    @property
    def steps(self) -> Array:
        """The length that each point stands for, shape ``(n,)``."""
        return np.asarray(np.diff(self.bounds))
