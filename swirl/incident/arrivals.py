"""Records that arrived at a stage, against what was forecast of a source or what its parents sent."""

from __future__ import annotations

from math import isfinite, log, log1p, nan
from typing import TYPE_CHECKING

import numpy as np

from swirl.effect import SeriesKey
from swirl.incident.series import Level
from swirl.residual import InputModel, between, bounded, fit_shares, later, outputs

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from swirl.incident.residuals import Residuals
    from swirl.incident.series import Span

__all__ = ["arrivals"]


def arrivals(found: Residuals, stage: str) -> Generator[None, None, None]:
    """Records that arrived: at a source as they are, elsewhere given what the parents sent."""
    records = np.where(found.usable, found.column(stage, "records"), nan)
    arrived = np.where(found.gone[stage], nan, records)
    whole = (records + 0.5) / found.heard[stage] - 0.5
    if found.graph.parents[stage]:
        yield from _given_parents(found, stage, arrived, whole)
        return
    season, widen = _season(found, stage)
    level = Level(np.log(arrived + 0.5) - season, found.span, widen=widen)
    if level.known:
        found.series[SeriesKey(stage, "records")] = level
        found.whole_inputs[stage] = Level(np.log(whole + 0.5) - season, found.span)
    yield


def _season(found: Residuals, stage: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far forecasts lie from the usual input, as logarithms, and their variance; 0 without one."""
    season, variance = np.zeros(found.span.size), np.zeros(found.span.size)
    known = found.forecasts.get(stage)
    if not known:
        return season, variance
    base = found.column(stage, "records")[found.span.base]
    usual = float(np.median(np.log(base + 0.5)))
    for index, window in enumerate(found.windows):
        expected, sd = known.get(window.start_ms, (nan, nan))
        if isfinite(expected) and isfinite(sd) and expected > 0 and sd >= 0:
            season[index] = log(expected + 0.5) - usual
            # Of a log-normal law.
            variance[index] = log1p(min(sd / expected, 10.0) ** 2)
    return season, variance


def _given_parents(
    found: Residuals, stage: str, arrived: NDArray[np.float64], whole: NDArray[np.float64]
) -> Generator[None, None, None]:
    parents = found.graph.parents[stage]
    sent = {}
    for parent in parents:
        sent[parent] = [outputs(c) for c in found.counts[parent]]
        yield
    base = np.zeros(found.span.size, dtype=np.bool_)
    base[found.span.base] = True
    model = fit_shares(stage, found.column(stage, "records"), sent, base)
    yield
    if model is None:
        return
    forecast = _forecasts(model, sent)
    found.series[SeriesKey(stage, "input_ratio")] = _input_level(found.span, model, arrived, forecast)
    yield
    gone = [p for p in parents if found.gone[p].any()]
    filled = _forecasts(model, {p: _without_gaps(found, p, x) if p in gone else x for p, x in sent.items()})
    # The counts of a parent that is heard in part stand for more.
    for parent in parents:
        filled = filled / np.where(found.gone[parent], 1.0, found.heard[parent])
    found.whole_inputs[stage] = _input_level(found.span, model, whole, filled)
    yield


def _forecasts(model: InputModel, sent: dict[str, list[dict[str, float]]]) -> NDArray[np.float64]:
    forecast = np.zeros(len(next(iter(sent.values()))))
    for (parent, label), share in zip(model.parents, model.shares, strict=True):
        forecast += share * bounded([part.get(label, 0.0) for part in sent[parent]])
    return forecast


def _without_gaps(found: Residuals, parent: str, parts: list[dict[str, float]]) -> list[dict[str, float]]:
    """What a parent sent; where it was silent, as much as usual."""
    base = [parts[i] for i in found.span.base.tolist()]
    labels = sorted({label for part in base for label in part})
    usual = {label: float(np.median([part.get(label, 0.0) for part in base])) for label in labels}
    return [usual if gone else part for gone, part in zip(found.gone[parent].tolist(), parts, strict=True)]


def _input_level(
    span: Span, model: InputModel, arrived: NDArray[np.float64], forecast: NDArray[np.float64]
) -> Level:
    forecast = later(forecast, model.late)
    before = later(forecast, 1)
    widen = model.widening(np.nan_to_num(arrived), forecast)
    return Level(between(arrived, forecast, before), span, widen=widen)
