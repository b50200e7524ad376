"""What is different where a window is a run: how often there is one, warm-up, budget, calm."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from swirl.budget import WEEK_MS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swirl.detector import Detector, Kind
    from swirl.frame import Definition
    from swirl.settings import MonitorSettings

__all__ = ["Terms", "period_of", "terms_of"]

_WARM_UP = 10
"""Runs before which only overwhelming evidence raises an alarm."""

_CALM_RUNS = 1
"""A run as usual ends an incident: it is all of its data, not a minute of it."""

_RUNS_A_FALSE_ALARM = 100
_LONGEST_S = 1e9


class Terms(NamedTuple):
    """On what terms the windows of a pipeline are judged.

    Attributes:
        period_ms: of a pipeline that runs in batches, from one run to the next; 0: it runs all the time.
        window_ms: length of a window; where windows are runs, from one to the next.
        a_week: false alarms.
        settings: with calm and warm-up in windows of this kind.
        detectors: kind of series -> the detectors that judge it.
    """

    period_ms: int
    window_ms: int
    a_week: float
    settings: MonitorSettings
    detectors: Mapping[Kind, Sequence[Detector]]


def terms_of(
    period_ms: int, settings: MonitorSettings, detectors: Mapping[Kind, Sequence[Detector]]
) -> Terms:
    """The terms of a pipeline with such a period: those of the settings, or what becomes of them for runs."""
    a_week = settings.false_alarms_a_week
    if not period_ms:
        return Terms(0, round(settings.window_seconds * 1000), a_week, settings, detectors)
    return Terms(
        period_ms,
        period_ms,
        _budget_of_runs(a_week, period_ms),
        replace(settings, calm_windows=_CALM_RUNS, warm_up_windows=_WARM_UP),
        {kind: tuple(map(_sooner, some)) for kind, some in detectors.items()},
    )


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


def _budget_of_runs(a_week: float, period_ms: int) -> float:
    """False alarms a week of a pipeline in batches: as asked for, or so many in 100 runs if that is less.

    One false alarm a week would be one in seven runs of a daily pipeline.

    Example:
        >>> round(_budget_of_runs(1.0, 86_400_000), 3), _budget_of_runs(1.0, 900_000)
        (0.07, 1.0)
    """
    return a_week * min(1.0, WEEK_MS / _RUNS_A_FALSE_ALARM / period_ms)


def _sooner(detector: Detector) -> Detector:
    """The same detector with a warm-up that counts runs."""
    names: list[str] = [field.name for field in fields(detector)] if is_dataclass(detector) else []
    warm_up = getattr(detector, "warm_up", 0)
    if "warm_up" not in names or warm_up <= _WARM_UP:
        return detector
    return replace(detector, warm_up=_WARM_UP)  # type: ignore[type-var] # it is a dataclass, as was seen
