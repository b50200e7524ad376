"""What is normal for a distribution of numbers: its ranks at points between its values.

The baseline is the mean of what its windows' digests say at fixed points, so errors that all digests make
alike cancel when the next window is compared with it, and the others average out.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from swirl.cumulative import Curve, Grid
from swirl.drift import (
    GRID,
    Distance,
    area_law,
    cell_distance,
    cells_of,
    kolmogorov_distance,
    wasserstein_distance,
)
from swirl.null_law import GammaLaw, KolmogorovLaw
from swirl.sketch import Distribution
from swirl_detectors.moved import LEAST_COUNT, Moved, most_moved
from swirl_detectors.samples import DIGEST, Sample, pack, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["NumberBaseline"]

_DIGESTS = 6e-6
"""What digests add to chance once errors that all make alike have cancelled."""
_TAIL = 0.005


class NumberBaseline:
    """Ranks at points between the values of the first windows, averaged over all windows.

    Attributes:
        count: of all numbers.
        windows: that were learnt.

    Example:
        >>> known, now = NumberBaseline(), Distribution()
        >>> _ = now.update(np.linspace(40, 140, 1000))
        >>> before = Distribution()
        >>> _ = before.update(np.linspace(0, 100, 1000))
        >>> known.learn(before)
        >>> known.begin()
        >>> for name, share, share_now in known.moved(now):
        ...     print(name, round(share, 2), round(share_now, 2))
        above 100 0.0 0.4
        below 9.685 0.1 0.0
        9.685 to 19.32 0.1 0.0
        19.32 to 28.93 0.1 0.0
        28.93 to 40.62 0.12 0.01
    """

    def __init__(self) -> None:
        self.count = 0
        self.windows = 0
        self._digest: Distribution | None = Distribution(DIGEST)
        self._grid = Grid(np.empty(0), np.empty(0))
        self._ties = self._below = np.empty(0)
        # Records below and above the grid.
        self._outside = np.zeros(2)
        self._steps = np.empty(0)
        self._deviation = 0.0
        self._set_at = 0
        self._cells = np.empty(0, dtype=np.intp)
        self._area = GammaLaw(1.0, 1.0)
        self._points_law = KolmogorovLaw()
        self._exact = True
        # What was compared last, for it is learnt next.
        self._compared: tuple[Distribution, Curve, Array] | None = None

    def takes(self, sample: Sample) -> bool:
        """Whether a sample is of this sort."""
        return isinstance(sample, Distribution)

    def begin(self) -> None:
        """From now on samples are compared: the points are chosen from what was learnt."""
        digest = self._digest
        if digest is None or not digest.count:
            return
        curve = Curve(digest)
        self._grid, self._ties = Grid.between(curve, GRID), curve.ties
        self._below, self._outside = np.zeros(len(self._grid.points)), np.zeros(2)
        self._add(curve, curve.at(self._grid.points))
        self._exact, self._digest = digest.exact, None
        self._set()

    def _add(self, curve: Curve, ranks: Array) -> None:
        low, high = float(self._grid.bounds[0]), float(self._grid.bounds[-1])
        self._below += ranks * curve.count
        ends = curve.at(np.array([low]), below=True)[0], 1 - curve.at(np.array([high]))[0]
        self._outside += np.array(ends) * curve.count

    def _set(self) -> None:
        """Cells and law stay while the baseline grows, but the first of them rest on little."""
        ranks = self._below / self.count
        self._cells = cells_of(ranks)
        if not self._cells.size:
            self._cells = np.arange(min(len(ranks), 2))
        self._points_law = KolmogorovLaw.at_points(ranks)
        self._set_area(ranks)
        self._set_at = self.count

    def _set_area(self, ranks: Array) -> None:
        """The length of each step, its law, and the standard deviation: all of the middle, tails drawn in.

        No law is known of an area under the outermost half percents.
        """
        inside = (ranks >= _TAIL) & (ranks <= 1 - _TAIL)
        if not inside.any():
            inside[:] = True
        self._steps = np.where(inside, self._grid.steps, 0.0)
        self._area = area_law(ranks, self._steps)
        first, last = np.flatnonzero(inside)[[0, -1]].tolist()
        bounds = self._grid.bounds
        value, share = (
            np.clip(bounds, bounds[first], bounds[last + 1]),
            np.diff(ranks, prepend=0.0, append=1.0),
        )
        mean = float((value * share).sum())
        deviation = float(np.sqrt(np.maximum(((value - mean) ** 2 * share).sum(), 0.0)))
        self._deviation = deviation if deviation > 0 else float(bounds[-1] - bounds[0]) / 4

    def learn(self, sample: Sample) -> None:
        """Take a sample as normal."""
        assert isinstance(sample, Distribution)
        self.count += sample.count
        self.windows += 1
        if self._digest is not None:
            self._digest.merge(sample)
            return
        self._add(*self._ranks(sample))
        self._compared = None
        self._exact &= sample.exact
        if self.count >= 2 * self._set_at:
            self._set()

    def _ranks(self, sample: Distribution) -> tuple[Curve, Array]:
        if self._compared is not None and self._compared[0] is sample:
            return self._compared[1:]
        curve = Curve(sample, self._ties)
        return curve, curve.at(self._grid.points)

    def compare(
        self,
        sample: Sample,
        statistic: str,
        cluster: float = 1.0,  # noqa: ARG002 - it matters for labels
    ) -> Distance | None:
        """How far a sample lies off; None before :meth:`begin`."""
        assert isinstance(sample, Distribution)
        if self._digest is not None:
            return None
        self._compared = None
        curve, g = self._ranks(sample)
        self._compared = sample, curve, g
        f = self._below / self.count
        digests = 0.0 if self._exact and sample.exact else _DIGESTS
        n, m = float(self.count), float(sample.count)
        if statistic == "ks":
            largest = float(np.abs(f - g).max())
            return kolmogorov_distance(largest, n, m, law=self._points_law, digests=digests)
        if statistic == "wasserstein":
            area = float((np.abs(f - g) * self._steps).sum())
            return wasserstein_distance(area, self._deviation, self._area, n, m, digests=digests)
        a, b = (np.diff(x[self._cells], prepend=0.0, append=1.0) for x in (f, g))
        return cell_distance(statistic, a * n, b * m, digests=digests)

    @staticmethod
    def statistic(wanted: str) -> str:
        """The statistic that is used where one is wanted."""
        return wanted

    def moved(self, sample: Sample) -> list[Moved]:
        """Which intervals moved most: their ends, share before, share now."""
        if not isinstance(sample, Distribution) or not sample.count or self._digest is not None:
            return []
        curve = Curve(sample, self._ties)
        edges = self._grid.points[self._cells]
        low, high = float(self._grid.bounds[0]), float(self._grid.bounds[-1])
        before = np.diff(self._below[self._cells] / self.count, prepend=0.0, append=1.0)
        now = np.diff(curve.at(edges), prepend=0.0, append=1.0)
        ends = [f"{edge:.4g}" for edge in edges.tolist()]
        names = [
            f"below {ends[0]}",
            *map(" to ".join, itertools.pairwise(ends)),
            f"above {ends[-1]}",
        ]
        found = list(zip(names, before.tolist(), now.tolist(), strict=True))
        under, over = curve.at(np.array([low]), below=True)[0], 1 - curve.at(np.array([high]))[0]
        for name, at, outside, share in (
            (f"below {low:.4g}", 0, self._outside[0], under),
            (f"above {high:.4g}", -1, self._outside[1], over),
        ):
            if outside == 0 and share * sample.count >= LEAST_COUNT and name != found[at][0]:
                found[at] = (found[at][0], found[at][1], found[at][2] - float(share))
                found.append((name, 0.0, float(share)))
        return most_moved([(name, b, max(n, 0.0)) for name, b, n in found], float(sample.count))

    def pack(self) -> dict[str, Any]:
        """As types that MessagePack knows."""
        return {
            "count": self.count,
            "windows": self.windows,
            "digest": pack(self._digest),
            "arrays": [
                x.astype("<f8").tobytes()
                for x in (
                    self._grid.points,
                    self._grid.bounds,
                    self._ties,
                    self._below,
                    self._outside,
                    self._steps,
                )
            ],
            "cells": self._cells.tolist(),
            "exact": self._exact,
            "set_at": self._set_at,
            "laws": [self._deviation, self._area.shape, self._area.scale, self._points_law.missed],
        }

    @classmethod
    def unpack(cls, data: dict[str, Any]) -> NumberBaseline:
        """What :meth:`pack` packed."""
        self = cls()
        self.count, self.windows = int(data["count"]), int(data["windows"])
        digest = unpack(data["digest"])
        self._digest = digest if isinstance(digest, Distribution) else None
        arrays = [np.frombuffer(x, dtype="<f8").astype(np.float64) for x in data["arrays"]]
        self._grid = Grid(*arrays[:2])
        self._ties, self._below, self._outside, self._steps = arrays[2:]
        self._cells = np.array(data["cells"], dtype=np.intp)
        self._exact, self._set_at = bool(data["exact"]), int(data["set_at"])
        self._deviation, shape, scale, missed = (float(number) for number in data["laws"])
        self._area, self._points_law = GammaLaw(shape, scale), KolmogorovLaw(missed)
        return self
