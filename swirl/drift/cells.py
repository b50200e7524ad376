"""Distances between counts in cells: the population stability index, Jensen-Shannon and chi-square.

Numbers are counted in at most ten cells that hold about a tenth of the baseline each; labels are in one cell
each, those that are too rare for a chi-square law together.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import special

from swirl.cumulative import Curve, Grid
from swirl.drift.distance import GRID, SAME, Comparison, Distance, Sample, digest_error
from swirl.null_law import ChiSquareLaw, chance
from swirl.sketch import OVERFLOW, Distribution

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CELL_STATISTICS",
    "cell_counts",
    "cell_distance",
    "cell_edges",
    "cells_of",
    "chi_square",
    "jensen_shannon",
    "label_cells",
    "psi",
    "psi_of_cells",
]

Array = NDArray[np.float64]

CELL_STATISTICS = ("psi", "jensen-shannon", "chi-square")
"""Statistics over cells, which numbers and labels have; the others are of numbers only."""

_CELLS = 10
_LEAST_SHARE = 0.04
"""Cells with less of the baseline are joined."""
_LEAST_EXPECTED = 5.0


def cells_of(ranks: Array) -> NDArray[np.intp]:
    """Which points of a grid are the edges of cells of about a tenth of the baseline each.

    Args:
        ranks: of the points in the baseline, increasing.

    Example:
        >>> cells_of(np.array([0.05, 0.1, 0.7, 0.72, 0.8, 0.95]))
        array([1, 2, 4, 5])
    """
    wanted = np.arange(1, _CELLS) / _CELLS
    right = np.minimum(np.searchsorted(ranks, wanted), len(ranks) - 1)
    left = np.maximum(right - 1, 0)
    nearest = np.unique(np.where(wanted - ranks[left] < ranks[right] - wanted, left, right))
    kept: list[int] = []
    below = 0.0
    for at in nearest.tolist():
        if ranks[at] - below >= _LEAST_SHARE and 1 - ranks[at] >= _LEAST_SHARE:
            kept.append(at)
            below = float(ranks[at])
    return np.array(kept, dtype=np.intp)


def cell_edges(baseline: Distribution) -> list[float]:
    """Inner edges of cells that hold about a tenth of the baseline each; fewer where many values are equal.

    An edge lies midway between two values, never on one.

    Example:
        >>> d = Distribution(200)
        >>> d.update(np.repeat([0.0, 1.0], [700, 300]))
        0
        >>> cell_edges(d)
        [0.5]
    """
    if not baseline.count:
        return []
    curve = Curve(baseline)
    points = Grid.between(curve, GRID).points
    return [float(edge) for edge in points[cells_of(curve.at(points))]]


def cell_counts(sample: Distribution, edges: list[float]) -> Array:
    """How many values lie in each cell, shape ``(len(edges) + 1,)``."""
    if not edges or not sample.count:
        return np.concatenate(([float(sample.count)], np.zeros(len(edges))))
    ranks = Curve(sample).at(np.array(edges))
    return np.diff(ranks, prepend=0.0, append=1.0) * sample.count


def label_cells(
    baseline: Mapping[str, int], sample: Mapping[str, int], least: float = _LEAST_EXPECTED
) -> tuple[Array, Array]:
    """Counts of both by label; labels that are rare in both are counted together.

    Args:
        baseline: what is normal.
        sample: to compare with it.
        least: labels of which fewer are expected are rare.

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
    rare = (expected < least) | np.array([name == OVERFLOW for name in labels])
    kept, joined = counts[~rare], counts[rare].sum(axis=0)
    # New labels of some weight are what drift is about: together they are a cell of their own.
    if joined.max() >= least or not len(kept):
        kept = np.concatenate((kept, joined[None]))
    else:
        kept[kept.sum(axis=1).argmin()] += joined
    return kept[:, 0], kept[:, 1]


def psi_of_cells(a: Array, b: Array) -> float:
    """The population stability index of two arrays of counts, half a count added to each cell.

    Example:
        >>> round(psi_of_cells(np.array([500.0, 500.0]), np.array([60.0, 40.0])), 4)
        0.0397
    """
    p, q = (a + 0.5) / (a.sum() + 0.5 * len(a)), (b + 0.5) / (b.sum() + 0.5 * len(b))
    return float(((q - p) * np.log(q / p)).sum())


def _divergence(a: Array, b: Array) -> float:
    """Of Jensen and Shannon, in nats."""
    p, q = a / a.sum(), b / b.sum()
    middle = (p + q) / 2
    return max(float((special.rel_entr(p, middle) + special.rel_entr(q, middle)).sum()) / 2, 0.0)


def _square(a: Array, b: Array) -> float:
    """Of a contingency table, over its chance."""
    both = a + b
    a, b, both = a[both > 0], b[both > 0], both[both > 0]
    ratio = math.sqrt(float(b.sum()) / float(a.sum()))
    return float(((a * ratio - b / ratio) ** 2 / both).sum()) * chance(float(a.sum()), float(b.sum()))


def cell_distance(statistic: str, a: Array, b: Array, *, digests: float = 0.0) -> Distance | None:
    """A distance between counts in cells; None where there is nothing to compare.

    Args:
        statistic: one of :data:`CELL_STATISTICS`. Chi-square is given over its chance, so that it does not
            grow with the sample.
        a: counts of the baseline.
        b: counts of the sample.
        digests: what the errors of the summaries add to chance.
    """
    if len(a) < 2 or not a.sum() > 0 or not b.sum() > 0:
        return None
    unit = chance(float(a.sum()), float(b.sum()), digests=digests)
    law = ChiSquareLaw(float(len(a) - 1))
    if statistic == "psi":
        return Distance(psi_of_cells(a, b) / unit, law, unit, root=False)
    if statistic == "chi-square":
        return Distance(_square(a, b) / unit, law, unit, root=False)
    return Distance(8 * _divergence(a, b) / unit, law, unit / 8, root=True)


def _cells(baseline: Sample, sample: Sample) -> tuple[Array, Array, float]:
    """Counts in the same cells, and what the error of the summaries is worth in chance."""
    if isinstance(baseline, Distribution) and isinstance(sample, Distribution):
        edges = cell_edges(baseline)
        return cell_counts(baseline, edges), cell_counts(sample, edges), digest_error(baseline, sample)
    if isinstance(baseline, Distribution) or isinstance(sample, Distribution):
        raise TypeError("numbers and labels cannot be compared with each other")
    return (*label_cells(baseline, sample), 0.0)


def _by_cells(statistic: str, baseline: Sample, sample: Sample, cluster: float) -> Comparison:
    a, b, digests = _cells(baseline, sample)
    found = cell_distance(statistic, a, b, digests=digests)
    return SAME if found is None else found.compared(cluster)


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
    return _by_cells("psi", baseline, sample, cluster)


def jensen_shannon(baseline: Sample, sample: Sample, *, cluster: float = 1.0) -> Comparison:
    """The Jensen-Shannon distance: the root of the divergence in nats, at most 0.833.

    Null law: the divergence is, to second order, an eighth of the chi-square distance, so
    ``8 divergence ~ (1/N + 1/M) chi2(cells - 1)``.

    Example:
        >>> round(jensen_shannon({"a": 1000}, {"b": 1000}).statistic, 3)
        0.833
    """
    return _by_cells("jensen-shannon", baseline, sample, cluster)


def chi_square(baseline: Sample, sample: Sample, *, cluster: float = 1.0) -> Comparison:
    """Two samples in a contingency table. The baseline is a sample too, so a new label is no impossibility.

    The statistic is that of K. Pearson, over the size of a cluster.

    Example:
        >>> found = chi_square({"a": 90, "b": 10}, {"a": 35, "b": 15})
        >>> round(found.statistic, 3), round(found.p_value, 4)
        (9.6, 0.0019)
    """
    a, b, digests = _cells(baseline, sample)
    found = cell_distance("chi-square", a, b, digests=digests)
    if found is None:
        return SAME
    said = found.compared(cluster)
    return Comparison(found.squared / cluster, said.p_value, said.z)
