"""From a history to the residual series of every stage: what it did, given what it received."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isnan, log, nan
from typing import TYPE_CHECKING

import numpy as np

from swirl.effect import SeriesKey
from swirl.incident.graph import Graph
from swirl.incident.series import FEWEST_WINDOWS, Level, Ratio, Series, Span, Tied
from swirl.residual import InputModel, fit_load_to, fit_shares, outputs, total

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from swirl.frame import Definition, StageDefinition
    from swirl.history import History, StageCounts, WindowCounts

__all__ = ["BASELINE", "LAG_FLOOR_MS", "LATENCY_FLOOR", "LATENCY_FLOOR_SECONDS", "Residuals", "collect"]

BASELINE = 96
"""Baseline windows that are used at most."""

LATENCY_FLOOR = 0.2
LATENCY_FLOOR_SECONDS = 0.001
"""Latency counts as changed from 20 % and 1 ms on: machines are noisy, and nobody waits for less."""

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
        more_emitters: stage -> emitters known in the evidence as a multiple of the baseline's.
    """

    graph: Graph
    definition: Definition
    windows: list[WindowCounts]
    span: Span
    counts: dict[str, list[StageCounts]] = field(default_factory=dict)
    series: dict[SeriesKey, Series] = field(default_factory=dict)
    whole_inputs: dict[str, Level] = field(default_factory=dict)
    alive: dict[str, float] = field(default_factory=dict)
    more_emitters: dict[str, float] = field(default_factory=dict)

    def column(self, stage: str, name: str) -> NDArray[np.float64]:
        """A counter of a stage by window, shape ``(size,)``."""
        return np.array([getattr(c, name) for c in self.counts[stage]], dtype=np.float64)

    def counter(self, stage: str, name: str) -> NDArray[np.float64]:
        """A counter of a stage, built in or the user's own."""
        if name in _BUILT_IN:
            return self.column(stage, name)
        return np.array([c.counters.get(name, 0.0) for c in self.counts[stage]], dtype=np.float64)

    @property
    def evidence(self) -> list[WindowCounts]:
        """The windows of the evidence."""
        return self.windows[self.span.first : self.span.stop]


_BUILT_IN = frozenset({"records", "invalid", "errors", "out", "predictions", "nulls", "values"})


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


def collect(history: History, onset_ms: int, last_ms: int) -> Generator[None, None, Residuals | None]:
    """All residual series for the evidence ``[onset, last]``; None without a graph or a window."""
    windows = [w for w in history.windows if w.start_ms <= last_ms]
    span = span_of(windows, onset_ms)
    if history.definition is None or not history.definition.stages or span is None:
        return None
    found = Residuals(Graph(history.definition), history.definition, windows, span)
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
        yield from _arrivals(found, stage)
        _transfers(found, stages[stage])
        yield
        _labels(found, stage)
        yield
        _features(found, stages[stage])
        yield from _latency(found, stage)
        _custom(found, stage)
        yield
    _lag(found)
    return found


def _note_emitters(found: Residuals, stage: str) -> None:
    shares = [w.heard.get(stage, 0) / w.known[stage] for w in found.evidence if w.known.get(stage)]
    found.alive[stage] = float(np.median(shares)) if shares else 1.0
    usual = [found.windows[i].known.get(stage, 0) for i in found.span.base.tolist()]
    now = [w.known.get(stage, 0) for w in found.evidence]
    found.more_emitters[stage] = float(np.median(now)) / max(float(np.median(usual)), 1.0) if usual else 1.0


def _gone(window: WindowCounts, stage: str) -> bool:
    """No emitter of the stage was heard, though some should have been."""
    return window.known.get(stage, 0) > 0 and window.heard.get(stage, 0) == 0


def _heard(window: WindowCounts, stage: str) -> float:
    """Share of the stage's emitters that was heard, half an emitter at least."""
    known = window.known.get(stage, 0)
    return min(max(window.heard.get(stage, 0), 0.5) / known, 1.0) if known else 1.0


def _silent(window: WindowCounts) -> bool:
    return any(window.heard.get(s, 0) < known for s, known in window.known.items())


def _arrivals(found: Residuals, stage: str) -> Generator[None, None, None]:
    """Records that arrived: at a source as they are, elsewhere given what the parents sent."""
    windows = found.windows
    # A window that is not covered to its length tells no rate, unless silence is why: that is corrected for.
    usable = [w.whole or _silent(w) for w in windows]
    ln = [
        log(c.records + 0.5) if ok and not _gone(w, stage) else nan
        for c, w, ok in zip(found.counts[stage], windows, usable, strict=True)
    ]
    whole = [
        log(c.records + 0.5) - log(_heard(w, stage)) if ok else nan
        for c, w, ok in zip(found.counts[stage], windows, usable, strict=True)
    ]
    if not found.graph.parents[stage]:
        level = Level(np.array(ln), found.span)
        if level.known:
            found.series[SeriesKey(stage, "records")] = level
            found.whole_inputs[stage] = Level(np.array(whole), found.span)
        return
    yield
    yield from _given_parents(found, stage, np.array(ln), np.array(whole))


def _given_parents(
    found: Residuals, stage: str, ln: NDArray[np.float64], whole: NDArray[np.float64]
) -> Generator[None, None, None]:
    parents = found.graph.parents[stage]
    sent = {parent: [outputs(c) for c in found.counts[parent]] for parent in parents}
    yield
    base = np.zeros(found.span.size, dtype=np.bool_)
    base[found.span.base] = True
    model = fit_shares(stage, found.column(stage, "records"), sent, base)
    yield
    if model is None:
        return
    forecast = _forecasts(model, sent)
    found.series[SeriesKey(stage, "input_ratio")] = _input_level(found.span, model, ln, forecast)
    yield
    filled = _forecasts(model, {p: _without_gaps(found, p, parts) for p, parts in sent.items()})
    heard = [min(1.0 if _gone(w, p) else _heard(w, p) for p in parents) for w in found.windows]
    filled = [f / h for f, h in zip(filled, heard, strict=True)]
    found.whole_inputs[stage] = _input_level(found.span, model, whole, filled)


def _forecasts(model: InputModel, sent: dict[str, list[dict[str, float]]]) -> list[float]:
    columns = [[part.get(label, 0.0) for part in sent[parent]] for parent, label in model.parents]
    return [sum(b * x for b, x in zip(model.shares, row, strict=True)) for row in zip(*columns, strict=True)]


def _without_gaps(found: Residuals, parent: str, parts: list[dict[str, float]]) -> list[dict[str, float]]:
    """What a parent sent; where it was silent, as much as usual."""
    if not any(_gone(w, parent) for w in found.windows):
        return parts
    base = [parts[i] for i in found.span.base.tolist()]
    labels = sorted({label for part in base for label in part})
    usual = {label: float(np.median([part.get(label, 0.0) for part in base])) for label in labels}
    return [usual if _gone(w, parent) else part for w, part in zip(found.windows, parts, strict=True)]


def _input_level(span: Span, model: InputModel, ln: NDArray[np.float64], forecast: list[float]) -> Level:
    x, widen = [], []
    before = forecast[:1] + forecast[:-1]
    for y, now, last in zip(ln.tolist(), forecast, before, strict=True):
        low, high = sorted((log(max(now, 0.0) + 0.5), log(max(last, 0.0) + 0.5)))
        x.append(y - low if y < low else y - high if y > high else y * 0.0)
        widen.append(model.widening(0.0 if isnan(y) else np.exp(y) - 0.5, now))
    return Level(np.array(x), span, widen=np.array(widen))


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


def _transfers(found: Residuals, stage: StageDefinition) -> None:
    name = stage.name
    records, invalid, errors, out = (found.column(name, c) for c in ("records", "invalid", "errors", "out"))
    handled = records - invalid - errors
    if stage.validates or invalid.any():
        found.series[SeriesKey(name, "invalid_ratio")] = Ratio(invalid, records, found.span)
    found.series[SeriesKey(name, "error_ratio")] = Ratio(errors, records - invalid, found.span)
    passed_on = _ratio_or_level(found, out, handled)
    if passed_on is not None:
        found.series[SeriesKey(name, "output_ratio")] = passed_on
    values = found.column(name, "values")
    if values.any():
        found.series[SeriesKey(name, "null_ratio")] = Ratio(found.column(name, "nulls"), values, found.span)


def _labels(found: Residuals, stage: str) -> None:
    predictions = found.column(stage, "predictions")
    usual: dict[str, int] = {}
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
        k = np.array([c.labels.get(label, 0) for c in found.counts[stage]], dtype=np.float64)
        members.append(Ratio(np.minimum(k, predictions), predictions, found.span, label))
    found.series[SeriesKey(stage, "prediction_ratio")] = Tied(members, len(members))


def _features(found: Residuals, stage: StageDefinition) -> None:
    prefix = f"{stage.name}/"
    names = sorted({key for w in found.windows for key in w.drift if key.startswith(prefix)})
    members = []
    for key in names:
        # Already in sigmas of its null law; rows that come in clusters make it larger, so the baseline counts
        # too.
        level = Level(
            np.array([w.drift.get(key, nan) for w in found.windows]),
            found.span,
            floor=1.0,
            clip=_LARGE,
            label=key.removeprefix(prefix),
        )
        level.centre = max(level.centre, 0.0)
        if level.known:
            members.append(level)
    if members:
        found.series[SeriesKey(stage.name, "drift")] = Tied(members, len(members))


_LARGE = 1e6


def _latency(found: Residuals, stage: str) -> Generator[None, None, None]:
    counts = found.counts[stage]
    model = fit_load_to(stage, [counts[i] for i in found.span.base.tolist()])
    if model is None:
        return
    yield
    x, widen = [], []
    for count, window in zip(counts, found.windows, strict=True):
        judged = model.judge(count) if window.whole else None
        value = nan if judged is None else judged[0]
        x.append(value)
        widen.append(0.0 if judged is None else model.widening(count.records, value))
    least = latency_floor(float(np.exp(model.centre)))
    found.series[SeriesKey(stage, "latency_p50")] = Level(
        np.array(x), found.span, floor=0.02, widen=np.array(widen), least=least, usual=model.centre
    )


def latency_floor(usual: float) -> tuple[float, float]:
    """The smallest falls and rises of ln latency that count, given the usual latency in seconds.

    Example:
        >>> [round(x, 2) for x in latency_floor(0.010)]
        [0.22, 0.18]
        >>> latency_floor(5e-6)[0]
        inf
    """
    share = max(LATENCY_FLOOR, LATENCY_FLOOR_SECONDS / usual)
    return (-log(1 - share) if share < 1 else float("inf")), log(1 + share)


def _custom(found: Residuals, stage: str) -> None:
    """The user's ratios whose numerator the stage counts, and its other counters per record."""
    members = []
    used = {r.numerator for r in found.definition.ratios} | {r.denominator for r in found.definition.ratios}
    for ratio in found.definition.ratios:
        if ratio.numerator[0] == stage and ratio.denominator[0] in found.counts:
            member = _ratio_or_level(
                found, found.counter(*ratio.numerator), found.counter(*ratio.denominator), ratio.name
            )
            members += [member] if member is not None else []
    base = [found.counts[stage][i] for i in found.span.base.tolist()]
    for name in sorted({name for c in base for name in c.counters}):
        if (stage, name) not in used:
            member = _ratio_or_level(found, found.counter(stage, name), found.column(stage, "records"), name)
            members += [member] if member is not None else []
    if members:
        found.series[SeriesKey(stage, "ratio")] = Tied(members, len(members))


def _lag(found: Residuals) -> None:
    lags = [max(float(w.lag_ms), 1.0) for w in found.windows]
    usual = float(np.median([lags[i] for i in found.span.base.tolist()]))
    x = np.log(np.array(lags))
    found.series[SeriesKey("", "lag")] = Level(
        x, found.span, floor=0.1, least=(float("inf"), log(1 + LAG_FLOOR_MS / usual))
    )
