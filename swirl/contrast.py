"""The newest version of a stage against the others in the same window, where everything else is equal.

A canary of 5 % hardly moves the total of its stage, but beside the old version it stands out: the records of
one window are spread over the versions by nothing that has to do with them. So no season, no incident
upstream and no mixture of the two while a deployment rolls can fake a difference.
"""

from __future__ import annotations

from heapq import nsmallest
from math import inf, isfinite, log, sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from swirl.frame import Definition
    from swirl.history import StageCounts, WindowCounts

__all__ = [
    "LEAST_RECORDS",
    "VersionContrast",
    "counts_of",
    "deviance_root",
    "latency_floor",
    "mantel_haenszel",
    "newest_version",
    "version_contrasts",
]

LEAST_RECORDS = 30
"""Records of each version below which the two are not compared."""

MOST_VERSIONS = 8
"""Versions of a stage that are compared in one window, those with the most records: the work goes by them."""

LATENCY_FLOOR = 0.2
LATENCY_FLOOR_SECONDS = 0.001
"""Latency counts as changed from 20 % and 1 ms on: machines are noisy, and nobody waits for less."""

LATENCY_ERROR = 0.03
"""Standard deviation of ln latency between equal versions: they run in different processes."""

_MOST = 1e15
"""Counts are taken for no more than this."""

_LABELS = 50
_SPREAD = 0.1
"""The ln latency of single records scatters by this much at least."""


class VersionContrast(NamedTuple):
    """The newest version of a stage against the others in one window.

    Attributes:
        stage: its name.
        metric: what was compared, as in :mod:`swirl.series`; ``ratio`` for the user's own.
        label: of the prediction or the ratio, ``""`` where there is none.
        z: sigmas, positive where the newest version has more. Standard normal where the versions are alike
            and records are independent; a change of the odds below 1 % is never significant.
    """

    stage: str
    metric: str
    label: str
    z: float


def version_contrasts(
    now: WindowCounts, definition: Definition, windows: Sequence[WindowCounts] = ()
) -> list[VersionContrast]:
    """Every metric of every stage that ran in two versions or more, in the order of the definition.

    Of more than 8 versions only the 8 with the most records are compared.

    Args:
        now: the window.
        definition: the stage graph, and the user's ratios within one stage.
        windows: those before, oldest first: they say which version is the newest.

    Example:
        >>> from swirl.frame import Definition, StageDefinition
        >>> from swirl.history import StageCounts, WindowCounts
        >>> old = StageCounts(1900, out=1900, predictions=1900, labels={"yes": 1520, "no": 380})
        >>> new = StageCounts(100, out=100, predictions=100, labels={"yes": 20, "no": 80})
        >>> now = WindowCounts(0, {"classify": {"1": old, "2": new}})
        >>> found = version_contrasts(now, Definition((StageDefinition("classify"),)))
        >>> [(c.metric, c.label, round(c.z, 1)) for c in found if c.z]
        [('prediction_ratio', 'no', 12.3), ('prediction_ratio', 'yes', -12.3)]
    """
    found: list[VersionContrast] = []
    for stage in definition.stages:
        versions = _largest(now.stages.get(stage.name, {}))
        if len(versions) < 2:
            continue
        newest = newest_version(versions, [w.stages.get(stage.name, {}) for w in windows])
        new = versions[newest]
        old = [versions[v] for v in sorted(versions) if v != newest]
        own = [r for r in definition.ratios if r.numerator[0] == r.denominator[0] == stage.name]
        found += [VersionContrast(stage.name, *part) for part in _ratios(old, new)]
        found += [
            VersionContrast(stage.name, "ratio", r.name, z)
            for r in own
            if (z := _own(old, new, r.numerator[1], r.denominator[1])) is not None
        ]
        if (z := _latency(old, new)) is not None:
            found.append(VersionContrast(stage.name, "latency_p50", "", z))
    return found


def _largest(versions: Mapping[str, StageCounts]) -> dict[str, StageCounts]:
    present = [(v, c) for v, c in versions.items() if c.records > 0]
    return dict(nsmallest(MOST_VERSIONS, present, key=lambda one: (-one[1].records, one[0])))


def newest_version(
    versions: Mapping[str, StageCounts], windows: Sequence[Mapping[str, StageCounts]] = ()
) -> str:
    """The version that came last; among those that came together the one with the fewest records.

    Example:
        >>> from swirl.history import StageCounts
        >>> a, b = StageCounts(900), StageCounts(100)
        >>> newest_version({"a": a, "b": b}), newest_version({"a": a, "b": b}, [{"b": b}])
        ('b', 'a')
    """
    present = sorted(v for v, c in versions.items() if c.records > 0)
    first = {
        v: next((i for i, seen in enumerate(windows) if v in seen and seen[v].records > 0), len(windows))
        for v in present
    }
    return max(present, key=lambda v: (first[v], -versions[v].records, v))


def counts_of(metric: str, label: str, c: StageCounts) -> tuple[float, float]:
    """Numerator and denominator of a built-in ratio of one version."""
    if metric == "invalid_ratio":
        return float(c.invalid), float(c.records)
    if metric == "error_ratio":
        return float(c.errors), float(c.records - c.invalid)
    if metric == "output_ratio":
        return float(c.out), float(c.handled)
    return float(c.labels.get(label, 0)), float(c.predictions)


def mantel_haenszel(k: NDArray[np.float64], n: NDArray[np.float64]) -> tuple[float, float] | None:
    """New against old inside each window: z as a deviance, and the difference of the two ratios.

    Args:
        k: numerators, old in row 0 and new in row 1, shape ``(2, windows)``.
        n: denominators likewise.

    Returns:
        None where either version has fewer than :data:`LEAST_RECORDS` records.

    Source: N. Mantel and W. Haenszel, "Statistical aspects of the analysis of data from retrospective
    studies of disease", 1959; the root of the deviance in place of the normal approximation.
    """
    if not (np.isfinite(k).all() and np.isfinite(n).all()) or n.sum(1).min() < LEAST_RECORDS:
        return None
    n = np.clip(n, 0.0, _MOST)
    k = np.clip(k, 0.0, n)
    both = np.maximum(n.sum(0), 1)
    p = k.sum(0) / both
    half = n[0] * n[1] / both
    difference = float((k[1] - n[1] * p).sum())
    variance = max(float((half * p * (1 - p)).sum()), 1e-9)
    new_n = float(n[1].sum())
    expected = max(float((n[1] * p).sum()), 1e-9)
    rate = min(expected / new_n, 1 - 1e-12)
    root = float(deviance_root(np.array([k[1].sum()]), np.array([new_n]), rate)[0])
    z = root * sqrt(expected * (1 - rate) / variance / (1 + 1e-4 * variance))
    return z, difference / max(float(half.sum()), 1e-9)


def deviance_root(k: NDArray[np.float64], n: NDArray[np.float64], r: float) -> NDArray[np.float64]:
    """Signed root of the binomial deviance with continuity correction: a z that stays right at small counts.

    Example:
        >>> deviance_root(np.array([0.0, 50.0]), np.array([20.0, 100.0]), 0.1).round(2)
        array([-1.32, 10.  ])
    """
    mean = n * r
    k = np.where(k > mean, np.maximum(k - 0.5, mean), np.minimum(k + 0.5, mean))
    hit = np.where(k > 0, k * np.log(np.maximum(k, 1e-9) / np.maximum(mean, 1e-9)), 0.0)
    miss = np.where(n > k, (n - k) * np.log(np.maximum(n - k, 1e-9) / np.maximum(n - mean, 1e-9)), 0.0)
    found: NDArray[np.float64] = np.sign(k - mean) * np.sqrt(np.maximum(2 * (hit + miss), 0.0))
    return found


def latency_floor(usual: float) -> tuple[float, float]:
    """The smallest falls and rises of ln latency that count, given the usual latency in seconds.

    Example:
        >>> [round(x, 2) for x in latency_floor(0.010)]
        [0.22, 0.18]
        >>> latency_floor(5e-6)[0]
        inf
    """
    share = max(LATENCY_FLOOR, LATENCY_FLOOR_SECONDS / usual)
    return (-log(1 - share) if share < 1 else inf), log(1 + share)


def _ratios(old: Sequence[StageCounts], new: StageCounts) -> Iterator[tuple[str, str, float]]:
    labels = sorted({label for c in (*old, new) for label in c.labels})[:_LABELS]
    compared = [(m, "") for m in ("invalid_ratio", "error_ratio", "output_ratio")]
    for metric, label in [*compared, *(("prediction_ratio", label) for label in labels)]:
        counts = [counts_of(metric, label, c) for c in old]
        k_new, n_new = counts_of(metric, label, new)
        k = np.array([[sum(k for k, _ in counts)], [k_new]], dtype=np.float64)
        n = np.array([[sum(n for _, n in counts)], [n_new]], dtype=np.float64)
        if metric == "output_ratio" and np.any(k > n):  # a generator that yields several a record
            continue
        found = mantel_haenszel(k, n)
        if found is not None:
            yield metric, label, found[0]


def _own(old: Sequence[StageCounts], new: StageCounts, top: str, bottom: str) -> float | None:
    """A count of the user per another: given both together, the new version has its share of it."""
    k = np.array([sum(c.counter(top) for c in old), new.counter(top)])
    n = np.array([sum(c.counter(bottom) for c in old), new.counter(bottom)])
    if not (np.isfinite(k).all() and np.isfinite(n).all()) or k.min() < 0 or n.min() < LEAST_RECORDS:
        return None
    k, n = np.minimum(k, _MOST), np.minimum(n, _MOST)
    share = float(n[1] / n.sum())
    root = float(deviance_root(k[1:], np.array([k.sum()]), share)[0])
    return root / sqrt(1 + 1e-4 * float(k.sum()) * share * (1 - share))


def _latency(old: Sequence[StageCounts], new: StageCounts) -> float | None:
    timed = [c for c in old if 0 < c.latency < inf and c.records > 0]
    records = sum(c.records for c in timed)
    if min(records, new.records) < LEAST_RECORDS or not 0 < new.latency < inf:
        return None
    usual = sum(c.records * log(c.latency) for c in timed) / records
    spread = sum(c.records * _spread(c) for c in timed) / records
    gap = log(new.latency) - usual
    least = latency_floor(max(float(np.exp(usual)), 1e-9))
    if -least[0] < gap < least[1]:
        return 0.0
    variance = spread**2 / records + _spread(new) ** 2 / new.records
    return gap / sqrt(variance + LATENCY_ERROR**2)


def _spread(counts: StageCounts) -> float:
    """The scatter of ln latency, within reason."""
    measured = counts.latency_spread
    return min(max(measured, _SPREAD), 10.0) if isfinite(measured) else 1.0
