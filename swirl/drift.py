"""How far two summaries lie apart, and how far chance alone would take them.

A habit such as "PSI above 0.1" calls a third of all windows of 100 values drift where there is none. So each
statistic
here comes with its null law: what it does by chance when both summaries are of the same distribution, given
    how many
values they hold. The laws are for independent values; where values come in clusters, divide by the size of a
cluster (``cluster=``), or judge the statistic against its own history, as the drift detector does.

Conventions: natural logarithms everywhere; numbers are compared in at most ten cells that hold about a tenth
of the baseline each; labels in one cell each, those that are too rare for a chi-square law together.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special, stats

from swirl.sketch import OVERFLOW, Distribution

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Sample = Distribution | Mapping[str, int]

__all__ = [
    "Comparison",
    "cell_counts",
    "cell_edges",
    "chance",
    "chi_square",
    "chi_square_deviate",
    "jensen_shannon",
    "kolmogorov_smirnov",
    "label_cells",
    "psi",
    "psi_of_cells",
    "wasserstein",
]

CELLS = 10
_LEAST_SHARE = 0.04
"""Cells with less of the baseline are joined: an interpolation across a gap between values looks like such a
cell."""
_LEAST_GAP = 0.05
"""Centres of cells that are so much nearer than their neighbours: the same value, but for an
interpolation."""
_LEAST_EXPECTED = 5.0
_RANKS = np.linspace(0, 1, 129)
_DIGEST = 4e-5
"""The error of a digest of k = 100 is worth so much chance: that of 25 000 values."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a statistic says.

    Attributes:
        statistic: in its own units.
        p_value: probability of so much or more by chance.
        z: the same as a standard normal deviate, large where it drifts; finite where the p-value is 0.
    """

    statistic: float
    p_value: float
    z: float


def chi_square_deviate(x: float, freedom: float) -> float:
    """A chi-square variable as a standard normal deviate.

    E. Wilson and M. Hilferty, "The distribution of chi-square", 1931: its cube root is nearly normal.

    Example:
        >>> round(chi_square_deviate(16.919, 9), 2)
        1.65
    """
    spread = 2 / (9 * freedom)
    return (math.cbrt(x / freedom) - (1 - spread)) / math.sqrt(spread)


def cell_edges(baseline: Distribution) -> list[float]:
    """Inner edges of cells that hold about a tenth of the baseline each; fewer where many values are equal.

    An edge lies midway between two values, never on one, since a digest splits the weight of equal values.

    Example:
        >>> d = Distribution(200)
        >>> d.update(np.repeat([0.0, 1.0], [700, 300]))
        0
        >>> len(cell_edges(d))
        1
    """
    if not baseline.count:
        return []
    centres = [baseline.quantile((i + 0.5) / CELLS) for i in range(CELLS)]
    edges = _between(centres)
    kept: list[float] = []
    below = 0.0
    for edge, rank in zip(edges, baseline.cdf(edges) if edges else (), strict=True):
        if rank - below >= _LEAST_SHARE and 1 - rank >= _LEAST_SHARE and (not kept or edge > kept[-1]):
            kept.append(edge)
            below = rank
    return kept


def cell_counts(sample: Distribution, edges: list[float]) -> Array:
    """How many values lie in each cell, shape ``(len(edges) + 1,)``."""
    shares = np.ones(len(edges) + 1)
    if edges:
        ranks = sample.cdf(edges)
        shares[:-1] = ranks
        shares[1:] -= ranks
    return shares * sample.count


def label_cells(baseline: Mapping[str, int], sample: Mapping[str, int]) -> tuple[Array, Array]:
    """Counts of both by label; labels that are rare in both are counted together.

    Example:
        >>> label_cells({"a": 900, "b": 100}, {"a": 80, "b": 10, "c": 1, "d": 9})
        (array([900., 100.,   0.]), array([80., 10., 10.]))
    """
    labels = sorted(set(baseline) | set(sample))
    counts = np.array([[baseline.get(name, 0), sample.get(name, 0)] for name in labels], dtype=float).reshape(
        -1, 2
    )
    total = counts.sum(axis=0)
    if not total.all():
        return counts[:, 0], counts[:, 1]
    expected = counts.sum(axis=1) * total.min() / total.sum()
    rare = (expected < _LEAST_EXPECTED) | np.array([name == OVERFLOW for name in labels])
    kept, joined = counts[~rare], counts[rare].sum(axis=0)
    # New labels of some weight are what drift is about: together they are a cell of their own.
    if joined.max() >= _LEAST_EXPECTED or not len(kept):
        kept = np.concatenate((kept, joined[None]))
    else:
        kept[kept.sum(axis=1).argmin()] += joined
    return kept[:, 0], kept[:, 1]


def _cells(baseline: Sample, sample: Sample) -> tuple[Array, Array, float]:
    """Counts in the same cells, and what the error of the summaries is worth in chance."""
    if isinstance(baseline, Distribution) and isinstance(sample, Distribution):
        edges = cell_edges(baseline)
        return cell_counts(baseline, edges), cell_counts(sample, edges), _DIGEST
    if isinstance(baseline, Distribution) or isinstance(sample, Distribution):
        raise TypeError("numbers and labels cannot be compared with each other")
    return (*label_cells(baseline, sample), 0.0)


def chance(n: float, m: float, *, cluster: float = 1.0, digests: bool = False) -> float:
    """``1/N + 1/M``, what squared distances of two samples are measured in; a little more between digests.

    Example:
        >>> chance(10_000, 500)
        0.0021
    """
    return cluster * (1 / n + 1 / m) + (_DIGEST if digests else 0.0)


def _by_chi_square(statistic: float, x: float, cells: int) -> Comparison:
    freedom = max(cells - 1, 1)
    return Comparison(statistic, float(special.chdtrc(freedom, x)), chi_square_deviate(x, freedom))


def _nothing(a: Array, b: Array) -> bool:
    return len(a) < 2 or not a.sum() > 0 or not b.sum() > 0


_SAME = Comparison(0.0, 1.0, 0.0)


def psi_of_cells(a: Array, b: Array) -> float:
    """The population stability index of two arrays of counts, half a count added to each cell.

    Example:
        >>> round(psi_of_cells(np.array([500.0, 500.0]), np.array([60.0, 40.0])), 4)
        0.0397
    """
    p, q = (a + 0.5) / (a.sum() + 0.5 * len(a)), (b + 0.5) / (b.sum() + 0.5 * len(b))
    return float(((q - p) * np.log(q / p)).sum())


def psi(baseline: Sample, sample: Sample, *, cluster: float = 1.0) -> Comparison:
    """The population stability index, ``sum((q - p) ln(q / p))`` over cells.

    Null law: ``(1/N + 1/M) chi2(cells - 1)`` (B. Yurdakul and J. Naranjo, "Statistical properties of the
    population stability index", 2020).

    Args:
        baseline: numbers or counts by label, what is normal.
        sample: of the same sort.
        cluster: how many values in a row are alike; 1 for independent ones.

    Example:
        >>> found = psi({"a": 8000, "b": 2000}, {"a": 60, "b": 40})
        >>> round(found.statistic, 3), round(found.p_value, 7)
        (0.198, 9.6e-06)
    """
    a, b, error = _cells(baseline, sample)
    if _nothing(a, b):
        return _SAME
    statistic = psi_of_cells(a, b)
    return _by_chi_square(
        statistic, statistic / (chance(float(a.sum()), float(b.sum()), cluster=cluster) + error), len(a)
    )


def jensen_shannon(baseline: Sample, sample: Sample, *, cluster: float = 1.0) -> Comparison:
    """The Jensen-Shannon distance: the root of the divergence in nats, at most 0.833.

    Null law: the divergence is, to second order, an eighth of the chi-square distance, so
    ``8 divergence ~ (1/N + 1/M) chi2(cells - 1)``.

    Example:
        >>> round(jensen_shannon({"a": 1000}, {"b": 1000}).statistic, 3)
        0.833
    """
    a, b, error = _cells(baseline, sample)
    if _nothing(a, b):
        return _SAME
    p, q = a / a.sum(), b / b.sum()
    middle = (p + q) / 2
    divergence = float((special.rel_entr(p, middle) + special.rel_entr(q, middle)).sum()) / 2
    return _by_chi_square(
        math.sqrt(max(divergence, 0.0)),
        8 * divergence / (chance(float(a.sum()), float(b.sum()), cluster=cluster) + error),
        len(a),
    )


def chi_square(baseline: Sample, sample: Sample, *, cluster: float = 1.0) -> Comparison:
    """Two samples in a contingency table. The baseline is a sample too, so a new label is no impossibility.

    Example:
        >>> found = chi_square({"a": 90, "b": 10}, {"a": 35, "b": 15})
        >>> round(found.statistic, 3), round(found.p_value, 4)
        (9.6, 0.0019)
    """
    a, b, error = _cells(baseline, sample)
    if _nothing(a, b):
        return _SAME
    both = a + b
    some = both > 0
    a, b, both = a[some], b[some], both[some]
    ratio = math.sqrt(float(b.sum()) / float(a.sum()))
    sampling = chance(float(a.sum()), float(b.sum()))
    x = float(((a * ratio - b / ratio) ** 2 / both).sum()) * sampling / (sampling * cluster + error)
    return _by_chi_square(x, x, len(a))


def kolmogorov_smirnov(baseline: Distribution, sample: Distribution, *, cluster: float = 1.0) -> Comparison:
    """The largest difference of the two cumulative distributions, in [0, 1].

    Null law: Kolmogorov's, at the effective size ``N M / (N + M)`` (N. Smirnov, 1948): c(0.05) = 1.358.
    Digests do not keep many equal values together exactly, so it rejects too often where there are few
    values of much weight each: without drift hardly ever at 300 counts of a Poisson law of mean 3, nearly
    always at 2 000. The other statistics of digests suffer from it less; labels do not suffer at all.

    Example:
        >>> a, b = Distribution(200), Distribution(200)
        >>> _ = a.update(np.linspace(0, 1, 1000)), b.update(np.linspace(0.1, 1.1, 1000))
        >>> found = kolmogorov_smirnov(a, b)
        >>> round(found.statistic, 2), found.p_value < 1e-3
        (0.1, True)
    """
    if not baseline.count or not sample.count:
        return _SAME
    points = _between(_points(baseline, sample))
    if not points:
        return _SAME
    distance = float(np.abs(baseline.cdf(points) - sample.cdf(points)).max())
    size = 1 / chance(baseline.count, sample.count, cluster=cluster, digests=True)
    p = float(special.kolmogorov(math.sqrt(size) * distance))
    return Comparison(distance, p, _deviate(p))


def _deviate(p: float) -> float:
    return float(stats.norm.isf(min(max(p, 1e-300), 1 - 1e-16)))


def wasserstein(baseline: Distribution, sample: Distribution, *, cluster: float = 1.0) -> Comparison:
    """The Wasserstein-1 distance, ``integral |F - G|``, in standard deviations of the baseline.

    Null law: by chance the root of ``N M / (N + M)`` times F - G is a Brownian bridge along F, so the mean
    and the variance of its absolute integral follow from those of folded normal variables; a gamma law with
    both is taken.

    Example:
        >>> a, b = Distribution(200), Distribution(200)
        >>> _ = a.update(np.linspace(-1, 1, 2001)), b.update(np.linspace(-0.9, 1.1, 2001))
        >>> round(wasserstein(a, b).statistic, 2)
        0.17
    """
    if not baseline.count or not sample.count:
        return _SAME
    points = _points(baseline, sample)
    if len(points) < 2:
        return _SAME
    f, g = baseline.cdf(points), sample.cdf(points)
    step = np.diff(points)
    distance = float(_area(np.abs(f - g), step))
    middle = (f[1:] + f[:-1]) / 2
    deviation = math.sqrt(max(float(_variance(f, points)), 0.0))
    if deviation <= 0:
        return Comparison(math.inf, 0.0, _deviate(0.0))
    mean, variance = _bridge_area(middle, step)
    size = 1 / chance(baseline.count, sample.count, cluster=cluster, digests=True)
    p = float(stats.gamma.sf(distance * math.sqrt(size), mean**2 / variance, scale=variance / mean))
    return Comparison(distance / deviation, p, _deviate(p))


def _points(a: Distribution, b: Distribution) -> list[float]:
    """Where both are compared: their quantiles at many ranks, ends included."""
    return sorted({d.quantile(float(rank)) for d in (a, b) for rank in _RANKS})


def _between(points: list[float]) -> list[float]:
    """Midway between points, since a digest splits the weight of values that are equal."""
    gaps = [b - a for a, b in itertools.pairwise(points)]
    wide = [gap > _LEAST_GAP * max(gaps[max(i - 1, 0) : i + 2]) for i, gap in enumerate(gaps)]
    return [(a + b) / 2 for (a, b), good in zip(itertools.pairwise(points), wide, strict=True) if good]


def _area(height: Array, step: Array) -> float:
    return float(((height[1:] + height[:-1]) / 2 * step).sum())


def _variance(f: Array, points: list[float]) -> float:
    """Of a distribution given at points, its mass in the middle of each step."""
    x = np.array(points)
    mass, middle = np.diff(f, prepend=0.0), np.concatenate((x[:1], (x[1:] + x[:-1]) / 2))
    mean = float((mass * middle).sum())
    return float((mass * (middle - mean) ** 2).sum())


def _bridge_area(u: Array, step: Array) -> tuple[float, float]:
    """Mean and variance of the integral of |bridge(F(x))| over x, from F and the length of each step."""
    u = np.clip(u, 1e-9, 1 - 1e-9)
    spread = np.sqrt(u * (1 - u))
    low, high = np.minimum.outer(u, u), np.maximum.outer(u, u)
    rho = np.minimum(low * (1 - high) / np.outer(spread, spread), 1.0)
    folded = 2 / np.pi * (np.sqrt(1 - rho**2) + rho * np.arcsin(rho) - 1) * np.outer(spread, spread)
    mean, variance = (
        float(np.sqrt(2 / np.pi) * (spread * step).sum()),
        float((folded * np.outer(step, step)).sum()),
    )
    return mean, max(variance, 1e-300)
