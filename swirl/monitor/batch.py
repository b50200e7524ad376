"""What is different where a window is a run: how often there is one, warm-up, budget, calm."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING

from swirl.budget import WEEK_MS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swirl.detector import Detector, Kind
    from swirl.frame import Definition

__all__ = ["CALM_RUNS", "WARM_UP", "budget_of_runs", "for_runs", "period_of"]

WARM_UP = 10
"""Runs before which only overwhelming evidence raises an alarm."""

CALM_RUNS = 1
"""A run as usual ends an incident: it is all of its data, not a minute of it."""

_RUNS_A_FALSE_ALARM = 100
_LONGEST_S = 1e9


def period_of(definition: Definition) -> int:
    """Milliseconds from one run to the next; 0 where the pipeline runs all the time.

    Example:
        >>> from swirl.frame import Definition
        >>> [period_of(Definition((), run_seconds=s)) for s in (0.0, 3600.0, -1.0, float("nan"))]
        [0, 3600000, 0, 0]
    """
    seconds = definition.run_seconds
    if not isfinite(seconds) or not 0 < seconds <= _LONGEST_S:
        return 0
    return max(1000, round(seconds * 1000))


def budget_of_runs(a_week: float, period_ms: int) -> float:
    """False alarms a week of a pipeline in batches: as asked for, or so many in 100 runs if that is less.

    One false alarm a week would be one in seven runs of a daily pipeline.

    Example:
        >>> round(budget_of_runs(1.0, 86_400_000), 3), budget_of_runs(1.0, 900_000)
        (0.07, 1.0)
    """
    return a_week * min(1.0, WEEK_MS / _RUNS_A_FALSE_ALARM / period_ms)


def for_runs(detectors: Mapping[Kind, Sequence[Detector]]) -> dict[Kind, tuple[Detector, ...]]:
    """The same detectors with a warm-up that counts runs."""
    return {kind: tuple(map(_sooner, some)) for kind, some in detectors.items()}


def _sooner(detector: Detector) -> Detector:
    names: list[str] = [field.name for field in fields(detector)] if is_dataclass(detector) else []
    warm_up = getattr(detector, "warm_up", 0)
    if "warm_up" not in names or warm_up <= WARM_UP:
        return detector
    return replace(detector, warm_up=WARM_UP)  # type: ignore[type-var] # it is a dataclass, as was seen
