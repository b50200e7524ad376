"""Distances between cumulative distributions: the largest difference, and the area between them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swirl.cumulative import Curve, Grid
from swirl.drift.distance import GRID, SAME, Comparison, Distance, digest_error
from swirl.null_law import GammaLaw, KolmogorovLaw, chance

if TYPE_CHECKING:
    from swirl.sketch import Distribution

__all__ = [
    "area_law",
    "kolmogorov_distance",
    "kolmogorov_smirnov",
    "wasserstein",
    "wasserstein_distance",
]

Array = NDArray[np.float64]


def kolmogorov_distance(
    largest: float, n: float, m: float, *, law: KolmogorovLaw | None = None, digests: float = 0.0
) -> Distance:
    """The distance of two cumulative distributions from their largest difference.

    Args:
        largest: difference, in [0, 1].
        n: values in the baseline.
        m: values in the sample.
        law: where it was not looked at everywhere.
        digests: what the errors of the summaries add to chance.
    """
    unit = chance(n, m, digests=digests)
    unit /= KolmogorovLaw.stephens(1.0, 1 / unit)
    return Distance(largest * largest / unit, law or KolmogorovLaw(), unit, root=True)


def kolmogorov_smirnov(baseline: Distribution, sample: Distribution, *, cluster: float = 1.0) -> Comparison:
    """The largest difference of the two cumulative distributions, in [0, 1].

    Null law: Kolmogorov's, at the effective size ``N M / (N + M)`` (N. Smirnov, 1948): c(0.05) = 1.358. Where
    many values are equal it rejects less often than promised, as it does on the values themselves.

    Example:
        >>> from swirl.sketch import Distribution
        >>> a, b = Distribution(200), Distribution(200)
        >>> _ = a.update(np.linspace(0, 1, 1000)), b.update(np.linspace(0.1, 1.1, 1000))
        >>> found = kolmogorov_smirnov(a, b)
        >>> round(found.statistic, 2), found.p_value < 1e-3
        (0.1, True)
    """
    if not baseline.count or not sample.count:
        return SAME
    f, g = Curve(baseline), Curve(sample)
    f, g = Curve(baseline, g.ties), Curve(sample, f.ties)
    points = np.concatenate((f.positions(), g.positions()))
    sides = [f.at(points, below=below) - g.at(points, below=below) for below in (False, True)]
    largest = float(np.abs(sides).max())
    digests = digest_error(baseline, sample)
    return kolmogorov_distance(largest, baseline.count, sample.count, digests=digests).compared(cluster)


def wasserstein_distance(
    area: float, deviation: float, law: GammaLaw, n: float, m: float, *, digests: float = 0.0
) -> Distance:
    """The distance of two cumulative distributions from the area between them.

    Args:
        area: in units of the values.
        deviation: of the baseline, above 0; the statistic is in such units.
        law: of :func:`area_law`.
        n: values in the baseline.
        m: values in the sample.
        digests: what the errors of the summaries add to chance.
    """
    unit = chance(n, m, digests=digests)
    area, law = area / deviation, GammaLaw(law.shape, law.scale / deviation)
    return Distance(area * area / unit, law, unit, root=True)


def wasserstein(baseline: Distribution, sample: Distribution, *, cluster: float = 1.0) -> Comparison:
    """The Wasserstein-1 distance, ``integral |F - G|``, in standard deviations of the baseline.

    Null law: by chance the root of ``N M / (N + M)`` times F - G is a Brownian bridge along F, so the mean
    and the variance of its absolute integral follow from those of folded normal variables; a moved gamma law
    with both is taken (:class:`swirl.null_law.GammaLaw`).

    Example:
        >>> from swirl.sketch import Distribution
        >>> a, b = Distribution(200), Distribution(200)
        >>> _ = a.update(np.linspace(-1, 1, 2001)), b.update(np.linspace(-0.9, 1.1, 2001))
        >>> round(wasserstein(a, b).statistic, 2)
        0.17
    """
    if not baseline.count or not sample.count:
        return SAME
    f = Curve(baseline)
    g = Curve(sample, f.ties)
    grid = Grid.between(f, GRID)
    low, high = float(grid.bounds[0]), float(grid.bounds[-1])
    ranks = f.at(grid.points)
    area = float((np.abs(ranks - g.at(grid.points)) * grid.steps).sum()) + sum(g.beyond(low, high))
    deviation = f.deviation
    if not deviation > 0:
        return Comparison(math.inf, 0.0, KolmogorovLaw().deviate(1e6)) if area > 0 else SAME
    law, digests = area_law(ranks, grid.steps), digest_error(baseline, sample)
    found = wasserstein_distance(area, deviation, law, baseline.count, sample.count, digests=digests)
    return found.compared(cluster)


def area_law(ranks: Array, steps: Array) -> GammaLaw:
    """The law of the integral of |bridge(F(x))| over x, from F at points and the length each stands for.

    Example:
        >>> law = area_law(np.array([0.5]), np.array([1.0]))
        >>> round(law.shape * law.scale, 3)
        0.399
    """
    u = np.clip(ranks, 1e-9, 1 - 1e-9)
    spread = np.sqrt(u * (1 - u))
    low, high = np.minimum.outer(u, u), np.maximum.outer(u, u)
    rho = np.minimum(low * (1 - high) / np.outer(spread, spread), 1.0)
    folded = 2 / np.pi * (np.sqrt(1 - rho**2) + rho * np.arcsin(rho) - 1) * np.outer(spread, spread)
    mean = float(np.sqrt(2 / np.pi) * (spread * steps).sum())
    variance = float((folded * np.outer(steps, steps)).sum())
    if not (mean > 0 and variance > 0):
        return GammaLaw(1.0, 1e-30)
    return GammaLaw(mean**2 / variance, variance / mean)
