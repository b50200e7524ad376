"""Counts as the models take them: of all versions of a stage together, and such as no formula breaks on."""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from swirl.history import StageCounts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from swirl.history import WindowCounts

__all__ = ["LEAST_WINDOWS", "MOST", "Numbers", "bounded", "is_timed", "outputs", "thinness", "total"]

N = TypeVar("N", int, float)
Numbers = Any
"""A number, or an array of them: the formulas are elementwise."""

LEAST_WINDOWS = 12
"""Fewer baseline windows than this give no model."""

MOST = 1e15
"""Counts are taken for no more than this: what is larger is no count."""

_SHORTEST, _LONGEST = 1e-12, 1e9
"""Seconds between which a time per record is taken for one."""

_NOTHING = StageCounts()


def bounded(counts: Numbers, most: float = MOST) -> NDArray[np.float64]:
    """Counts as an array of floats that no formula here can break on: from 0 to :data:`MOST`, 0 for NaN.

    Example:
        >>> bounded([3, -1, float("nan"), 1e300]).tolist()
        [3.0, 0.0, 0.0, 1000000000000000.0]
    """
    found: NDArray[np.float64] = np.clip(
        np.nan_to_num(np.asarray(counts, dtype=np.float64), posinf=most), 0.0, most
    )
    return found


def total(window: WindowCounts, stage: str) -> StageCounts:
    """What all versions of a stage did in a window; the latency is the mean over records, in logarithms."""
    versions = window.stages.get(stage)
    if not versions:
        return _NOTHING
    if len(versions) == 1:
        return next(iter(versions.values()))
    return _summed([versions[v] for v in sorted(versions)])


def is_timed(counts: StageCounts) -> bool:
    """Whether a time per record was measured, and is one.

    Example:
        >>> [is_timed(StageCounts(10, latency=seconds)) for seconds in (0.01, 0.0, 1e300)]
        [True, False, False]
    """
    return counts.records > 0 and _SHORTEST <= counts.latency <= _LONGEST


def outputs(counts: StageCounts) -> dict[str, float]:
    """What a stage may have handed on: all that it passed on under ``""``, and its predictions by label."""
    return {"": float(counts.out), **{label: float(n) for label, n in counts.labels.items() if label}}


def thinness(usual: float, count: Numbers) -> Numbers:
    """How much larger than usual the variance of a mean over so few records is, less one."""
    found: Numbers = np.maximum(usual / np.maximum(count, 1.0), 1.0) - 1.0
    return found


def _summed(parts: Sequence[StageCounts]) -> StageCounts:
    timed = [(p.records, p.latency, p.latency_spread) for p in parts if is_timed(p)]
    weight = sum(n for n, _, _ in timed)
    return StageCounts(
        records=sum(p.records for p in parts),
        invalid=sum(p.invalid for p in parts),
        errors=sum(p.errors for p in parts),
        out=sum(p.out for p in parts),
        predictions=sum(p.predictions for p in parts),
        labels=_added([p.labels for p in parts]),
        nulls=sum(p.nulls for p in parts),
        values=sum(p.values for p in parts),
        hook_errors=sum(p.hook_errors for p in parts),
        non_finite=sum(p.non_finite for p in parts),
        latency=exp(sum(n * log(x) for n, x, _ in timed) / weight) if weight else 0.0,
        latency_spread=sum(n * s for n, _, s in timed) / weight if weight else 0.0,
        counters=_added([p.counters for p in parts]),
        reasons=_added([p.reasons for p in parts]),
        error_types=_added([p.error_types for p in parts]),
    )


def _added(counts: Sequence[Mapping[str, N]]) -> dict[str, N]:
    found: dict[str, N] = {}
    for part in counts:
        for label, count in part.items():
            found[label] = found[label] + count if label in found else count
    return found
