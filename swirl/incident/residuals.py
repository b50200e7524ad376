"""From a history to the residual series of every stage: what it did, given what it received."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log, nan
from typing import TYPE_CHECKING

import numpy as np

from swirl.contrast import latency_floor
from swirl.effect import SeriesKey
from swirl.incident.arrivals import arrivals
from swirl.incident.graph import Graph
from swirl.incident.series import Level, Ratio, Series, Span, Tied
from swirl.incident.sigmas import FEWEST_WINDOWS
from swirl.residual import (
    bounded,
    fit_load_to,
    is_timed,
    total,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from swirl.frame import Definition, StageDefinition
    from swirl.history import History, StageCounts, WindowCounts

__all__ = [
    "BASELINE",
    "LAG_FLOOR_MS",
    "Forecasts",
    "Residuals",
    "collect",
    "span_of",
]

Forecasts = Mapping[str, Mapping[int, tuple[float, float]]]
"""Of sources: stage -> start of a window, ms -> expected records and their standard deviation.

For the windows of the evidence or more; what is not finite or not positive is left out."""

BASELINE = 96
"""Baseline windows that are used at most."""

LAG_FLOOR_MS = 1000.0
"""Lag counts as changed from 1 s on."""

_GAP = 12
"""So many windows before the onset, or fewer, are no baseline: a slow onset may have begun in them."""
_LABELS = 50


@dataclass
class Residuals:
    """Everything that diagnosis reasons about.

    Attributes:
        graph: the stages.
        definition: as emitted.
        windows: the windows looked at, oldest first.
        span: which of them are baseline and evidence.
        counts: stage -> its counts by window, versions summed.
        series: the residual series by key, in graph order.
        whole_inputs: input residuals corrected for emitters that were not heard, by stage: for ``monitoring
            blind``.
        alive: stage -> share of known emitters heard in the evidence, the median window.
        gone: stage -> windows in which none of its emitters was heard, though some should have been.
        heard: stage -> share of its emitters heard by window, half an emitter at least.
        whole: windows that were covered to their length.
        forecasts: of the records of sources, where they are known.
        usable: those, and windows that were not because emitters are silent: that is corrected for.
        processes: stage -> ln of its emitters by window as a multiple of the usual number, those that said
            goodbye left out; shape ``(size,)``.
    """

    graph: Graph
    definition: Definition
    windows: list[WindowCounts]
    span: Span
    counts: dict[str, list[StageCounts]] = field(default_factory=dict)
    series: dict[SeriesKey, Series] = field(default_factory=dict)
    whole_inputs: dict[str, Level] = field(default_factory=dict)
    alive: dict[str, float] = field(default_factory=dict)
    processes: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    gone: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    heard: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    forecasts: Forecasts = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.whole = np.array([w.whole for w in self.windows], dtype=np.bool_)
        self.usable = np.array([w.whole or _silent(w) for w in self.windows], dtype=np.bool_)

    def column(self, stage: str, name: str) -> NDArray[np.float64]:
        """A number of a stage's counts by window, shape ``(size,)``."""
        return bounded([getattr(c, name) for c in self.counts[stage]])

    def counter(self, stage: str, name: str) -> NDArray[np.float64]:
        """A counter of a stage, built in or the user's own."""
        return bounded([c.counter(name) for c in self.counts[stage]])

    @property
    def evidence(self) -> list[WindowCounts]:
        """The windows of the evidence."""
        return self.windows[self.span.first : self.span.stop]


def span_of(windows: Sequence[WindowCounts], onset_ms: int) -> Span | None:
    """Baseline and evidence among windows of which the last is the newest of the evidence."""
    first = next((i for i, w in enumerate(windows) if w.start_ms >= onset_ms), None)
    if first is None:
        return None
    fit = [i for i, w in enumerate(windows[:first]) if w.normal and w.whole]
    gap = min(_GAP, max(0, (len(fit) - 15) // 4))
    base = fit[max(0, len(fit) - gap - BASELINE) : len(fit) - gap]
    clean = np.array([i >= first or w.normal for i, w in enumerate(windows)], dtype=np.bool_)
    return Span(np.array(base, dtype=np.intp), first, len(windows), clean)


def collect(
    history: History, onset_ms: int, last_ms: int, forecasts: Forecasts | None = None
) -> Generator[None, None, Residuals | None]:
    """All residual series for the evidence ``[onset, last]``; None without a graph or a window."""
    windows = [w for w in history.windows if w.start_ms <= last_ms]
    span = span_of(windows, onset_ms)
    if history.definition is None or not history.definition.stages or span is None:
        return None
    found = Residuals(Graph(history.definition), history.definition, windows, span, forecasts=forecasts or {})
    for stage in found.graph.stages:
        counts: list[StageCounts] = []
        for start in range(0, len(windows), 64):
            counts += [total(w, stage) for w in windows[start : start + 64]]
            yield
        found.counts[stage] = counts
        _note_emitters(found, stage)
    if len(span.base) < FEWEST_WINDOWS:
        return found
    stages = {s.name: s for s in found.definition.stages}
    for stage in found.graph.stages:
        yield from arrivals(found, stage)
        yield from _transfers(found, stages[stage])
        yield from _labels(found, stage)
        yield from _features(found, stages[stage])
        yield from _latency(found, stage)
        yield from _custom(found, stage)
    _lag(found)
    return found


def _silent(window: WindowCounts) -> bool:
    return any(window.heard.get(s, 0) < known for s, known in window.known.items())


def _note_emitters(found: Residuals, stage: str) -> None:
    known = bounded([w.known.get(stage, 0) for w in found.windows])
    heard = bounded([w.heard.get(stage, 0) for w in found.windows])
    now = slice(found.span.first, found.span.stop)
    found.gone[stage] = (known > 0) & (heard == 0)
    found.heard[stage] = np.where(
        known > 0, np.minimum(np.maximum(heard, 0.5) / np.maximum(known, 1), 1.0), 1.0
    )
    shares = (heard[now] / np.maximum(known[now], 1))[known[now] > 0]
    found.alive[stage] = float(np.median(shares)) if len(shares) else 1.0
    usual = known[found.span.base]
    counted = len(usual) > 0 and float(np.median(usual)) >= 1
    found.processes[stage] = (
        np.log(np.maximum(known, 0.5) / float(np.median(usual))) if counted else np.zeros(found.span.size)
    )


def _ratio_or_level(
    found: Residuals, k: NDArray[np.float64], n: NDArray[np.float64], label: str = ""
) -> Ratio | Level | None:
    """A ratio, or where the numerator may exceed the denominator its logarithm."""
    base_n = n[found.span.base]
    if base_n.sum() < 1:
        return None
    if not np.any(k > n):
        return Ratio(k, n, found.span, label)
    enough = n > 0
    x = np.where(enough, np.log((k + 0.5) / (np.maximum(n, 1.0) + 0.5)), np.nan)
    usual = float(k[found.span.base].mean())
    # A count scatters by its root at least; a thin window by more than an ordinary one.
    widen = 1 / np.maximum(k + 0.5, usual * 0.1) - 1 / max(usual + 0.5, 1.0)
    level = Level(x, found.span, widen=np.maximum(widen, 0.0), label=label)
    return level if level.known else None


def _transfers(found: Residuals, stage: StageDefinition) -> Generator[None, None, None]:
    name = stage.name
    records, invalid, errors, out = (found.column(name, c) for c in ("records", "invalid", "errors", "out"))
    yield
    if stage.validates or invalid.any():
        found.series[SeriesKey(name, "invalid_ratio")] = Ratio(invalid, records, found.span)
    found.series[SeriesKey(name, "error_ratio")] = Ratio(errors, records - invalid, found.span)
    yield
    passed_on = _ratio_or_level(found, out, found.column(name, "handled"))
    if passed_on is not None:
        found.series[SeriesKey(name, "output_ratio")] = passed_on
    values = found.column(name, "values")
    if values.any():
        found.series[SeriesKey(name, "null_ratio")] = Ratio(found.column(name, "nulls"), values, found.span)
    yield


def _labels(found: Residuals, stage: str) -> Generator[None, None, None]:
    predictions = found.column(stage, "predictions")
    usual: dict[str, int] = {}
    yield
    for index in found.span.base.tolist():
        for label, count in found.counts[stage][index].labels.items():
            usual[label] = usual.get(label, 0) + count
    now = sorted(
        {label for c in found.counts[stage][found.span.first :] for label in c.labels} - usual.keys()
    )
    labels = [*sorted(usual, key=lambda label: (-usual[label], label)), *now][:_LABELS]
    if not labels or predictions[found.span.base].sum() < 1:
        return
    members = []
    # Of two labels one says it all: the one that is commoner in the baseline.
    for label in labels[:1] if len(labels) == 2 else labels:
        k = bounded([c.labels.get(label, 0) for c in found.counts[stage]])
        members.append(Ratio(np.minimum(k, predictions), predictions, found.span, label))
        yield
    found.series[SeriesKey(stage, "prediction_ratio")] = Tied(members, len(members))


def _features(found: Residuals, stage: StageDefinition) -> Generator[None, None, None]:
    drift = [w.drift.get(stage.name, {}) for w in found.windows]
    yield
    members = []
    for name in sorted({name for part in drift for name in part}):
        # Already in sigmas of its null law; rows that come in clusters make it larger, so the baseline counts
        # too.
        level = Level(
            np.clip(np.array([part.get(name, nan) for part in drift]), -_LARGE, _LARGE),
            found.span,
            floor=1.0,
            clip=_LARGE,
            label=name,
        )
        level.centre = max(level.centre, 0.0)
        if level.known:
            members.append(level)
        yield
    if members:
        found.series[SeriesKey(stage.name, "drift")] = Tied(members, len(members))


_LARGE = 1e6


def _latency(found: Residuals, stage: str) -> Generator[None, None, None]:
    counts = found.counts[stage]
    model = fit_load_to(stage, [counts[i] for i in found.span.base.tolist()])
    yield
    if model is None:
        return
    records, latency = found.column(stage, "records"), found.column(stage, "latency")
    measured = found.whole & np.array([is_timed(c) for c in counts], dtype=np.bool_)
    shared = np.exp(found.processes[stage])
    value = model.judge(np.where(measured, records, model.usual), np.where(measured, latency, 1.0), shared)
    x = np.where(measured, value, nan)
    widen = model.widening(records, value, shared)
    least = latency_floor(float(np.exp(model.centre)))
    level = Level(x, found.span, floor=0.02, widen=widen, least=least, usual=model.centre)
    found.series[SeriesKey(stage, "latency_p50")] = level
    yield


def _custom(found: Residuals, stage: str) -> Generator[None, None, None]:
    """The user's ratios whose numerator the stage counts, and its other counters per record."""
    members = []
    used = {r.numerator for r in found.definition.ratios}
    for ratio in found.definition.ratios:
        if ratio.numerator[0] == stage and ratio.denominator[0] in found.counts:
            member = _ratio_or_level(
                found, found.counter(*ratio.numerator), found.counter(*ratio.denominator), ratio.name
            )
            members += [member] if member is not None else []
            yield
    base = [found.counts[stage][i] for i in found.span.base.tolist()]
    for name in sorted({name for c in base for name in c.counters}):
        if (stage, name) not in used:
            member = _ratio_or_level(found, found.counter(stage, name), found.column(stage, "records"), name)
            members += [member] if member is not None else []
            yield
    if members:
        found.series[SeriesKey(stage, "ratio")] = Tied(members, len(members))


def _lag(found: Residuals) -> None:
    lags = [max(float(w.lag_ms), 1.0) for w in found.windows]
    usual = float(np.median([lags[i] for i in found.span.base.tolist()]))
    x = np.log(np.array(lags))
    found.series[SeriesKey("", "lag")] = Level(
        x, found.span, floor=0.1, least=(float("inf"), log(1 + LAG_FLOOR_MS / usual))
    )
