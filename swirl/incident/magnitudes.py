"""Effects must be large enough to explain what they are said to explain."""

from __future__ import annotations

from math import isfinite, log
from typing import TYPE_CHECKING

from swirl.effect import SeriesKey
from swirl.incident.causes import MUST
from swirl.incident.series import Level, Ratio, Tied

if TYPE_CHECKING:
    from swirl.incident.series import Series
    from swirl.incident.signs import Signs

__all__ = ["fit_magnitudes"]

_LEAST_REJECTED = 0.1
"""Of the records that fail where data are broken, so many are found invalid at the least."""
_LET_THROUGH = 3.0
"""Broken records that a check lets through, for each that it finds, at the most."""


def fit_magnitudes(signs: Signs, name: str, stage: str, gains: dict[SeriesKey, float]) -> None:
    """Take back what a cause at a stage gains from series that moved more than it can move them."""
    if name == "data_broken" and SeriesKey(stage, "invalid_ratio") in gains:
        _fit_errors(signs, stage, gains)
        _fit_labels(signs, stage, gains)
    if name == "slow_stage":
        _fit_inputs(signs, stage, gains)


def _fit_errors(signs: Signs, stage: str, gains: dict[SeriesKey, float]) -> None:
    """The invalid records must be a material part of what is lost."""
    invalid, errors = SeriesKey(stage, "invalid_ratio"), SeriesKey(stage, "error_ratio")
    rejected, failed = signs.r.series[invalid], signs.r.series.get(errors)
    if (
        signs.z.get(errors, 0.0) > 4
        and isinstance(rejected, Ratio)
        and isinstance(failed, Ratio)
        and rejected.excess < _LEAST_REJECTED * failed.excess
    ):
        gains[invalid] = log(1 - MUST)


def _fit_labels(signs: Signs, stage: str, gains: dict[SeriesKey, float]) -> None:
    """Labels move by no more than the broken records that came through; drift says nothing of how many."""
    if signs.z.get(SeriesKey(stage, "drift"), 0.0) > 3:
        return
    found = max(_more(signs.r.series.get(SeriesKey(stage, m))) for m in ("invalid_ratio", "null_ratio"))
    for key in [k for k, gain in gains.items() if k.metric == "prediction_ratio" and gain > 0]:
        if abs(_more(signs.r.series[key])) > _LET_THROUGH * max(found, 0.0):
            gains[key] = 0.0


def _more(series: Series | None) -> float:
    """How far a ratio is above its usual value; 0 where it is not known."""
    lead = series.lead if isinstance(series, Tied) else series
    if not isinstance(lead, Ratio) or not isfinite(lead.now):
        return 0.0
    return lead.now - lead.usual


def _fit_inputs(signs: Signs, stage: str, gains: dict[SeriesKey, float]) -> None:
    """To hold its source back to a fraction f, a stage needs about 1 / f of the time per record."""
    latency = signs.r.series.get(SeriesKey(stage, "latency_p50"))
    if not isinstance(latency, Level):
        return
    for key in [k for k in gains if k in signs.inputs and gains[k] > 0]:
        if latency.change() < 0.5 * abs(signs.inputs[key].x):
            gains[key] = 0.0
