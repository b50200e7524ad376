"""The figures that a person sees: rates for what one counts, ratios for predictions, then and now."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from swirl.effect import Evidence, SeriesKey
from swirl.incident import numbers
from swirl.residual import total

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swirl.frame import Definition
    from swirl.history import StageCounts, WindowCounts

__all__ = [
    "ENOUGH",
    "Figure",
    "evidence_of",
    "figure_of",
    "name_of",
    "recent",
    "text_of",
    "value_of",
]

ENOUGH = 100
"""Records from which one window is shown by itself; thinner ones are shown together."""


class Figure(NamedTuple):
    """What is shown for a residual series.

    Attributes:
        stage, metric, label: the shown series.
        name: what a person calls it.
    """

    stage: str
    metric: str
    label: str
    name: str


_SHOWN_AS = {
    "invalid_ratio": "invalid",
    "error_ratio": "errors",
    "latency_p95": "latency_p50",
    "counter_level": "count",
}

_NAMES = {
    "records": "{stage} input",
    "input_ratio": "{stage} input from its parents",
    "invalid": "{stage} invalid",
    "errors": "{stage} errors",
    "output_ratio": "{stage} output ratio",
    "prediction_ratio": "{label} ratio",
    "null_ratio": "{stage} nulls",
    "drift": "{stage} {label} drift",
    "prediction_drift": "{stage} prediction drift",
    "observed_drift": "{stage} {label} drift",
    "latency_p50": "{stage} time per record",
    "count": "{label}",
    "lag": "lag",
    "emitters": "{stage} emitters heard",
}

_RATES = ("records", "invalid", "errors", "count")
_FORMATS: dict[str, Callable[[float], str]] = {
    **dict.fromkeys(_RATES, numbers.rate),
    "output_ratio": numbers.ratio,
    "prediction_ratio": numbers.ratio,
    "null_ratio": numbers.ratio,
    "input_ratio": numbers.ratio,
    "latency_p50": numbers.seconds,
    "lag": numbers.seconds,
    "emitters": numbers.amount,
    "version_contrast": numbers.ratio,
    "version_latency": numbers.seconds,
}


def figure_of(key: SeriesKey, label: str, definition: Definition) -> Figure:
    """The figure for a residual series whose loudest label is given."""
    stage, metric = key.stage, _SHOWN_AS.get(key.metric, key.metric)
    if metric == "ratio":
        # What a person counts is shown as they count it: clicks a second, not clicks per ad.
        ratio = next((r for r in definition.ratios if r.name == label), None)
        stage, label = ratio.numerator if ratio else (stage, label)
        metric = label if label in _RATES else "count"
    return Figure(
        stage,
        metric,
        label if metric not in ("invalid", "errors", "records") else "",
        name_of(stage, metric, label),
    )


def name_of(stage: str, metric: str, label: str) -> str:
    """What a person calls it.

    Example:
        >>> name_of("ingest", "invalid", ""), name_of("classify", "prediction_ratio", "positive")
        ('ingest invalid', 'positive ratio')
    """
    return _NAMES.get(metric, "{stage} {label}").format(stage=stage, label=label)


def text_of(metric: str, value: float) -> str:
    """A figure's value with its unit."""
    if metric in ("drift", "prediction_drift", "observed_drift"):
        return f"{value:.0f} sigma" if value > 3 else "within chance"
    return _FORMATS.get(metric, numbers.amount)(value)


def value_of(figure: Figure, windows: Sequence[WindowCounts], window_ms: int) -> float:
    """The value over some windows; NaN where nothing was measured."""
    stage, metric, label, _ = figure
    if not windows:
        return float("nan")
    if metric == "lag":
        return float(np.median([w.lag_ms for w in windows])) / 1000
    if metric == "emitters":
        return float(np.median([w.heard.get(stage, 0) for w in windows]))
    if metric == "drift":
        z = [w.drift[stage][label] for w in windows if label in w.drift.get(stage, {})]
        return max(float(np.median(z)), 0.0) if z else float("nan")
    counts = [total(w, stage) for w in windows if metric not in _RATES or w.whole] or [
        total(w, stage) for w in windows
    ]
    if metric in _RATES:
        counter = label if metric == "count" else metric
        return sum(c.counter(counter) for c in counts) / len(counts) * 1000 / window_ms
    if metric == "latency_p50":
        timed = [c.latency for c in counts if c.latency > 0]
        return float(np.median(timed)) if timed else float("nan")
    return _ratio(counts, metric, label)


def _ratio(counts: Sequence[StageCounts], metric: str, label: str) -> float:
    if metric == "prediction_ratio":
        pairs = [(c.labels.get(label, 0), c.predictions) for c in counts]
    elif metric == "output_ratio":
        pairs = [(c.out, c.handled) for c in counts]
    elif metric == "null_ratio":
        pairs = [(c.nulls, c.values) for c in counts]
    else:
        return float("nan")
    n = sum(n for _, n in pairs)
    return sum(k for k, _ in pairs) / n if n else float("nan")


def recent(windows: Sequence[WindowCounts], stage: str) -> Sequence[WindowCounts]:
    """The windows that tell "now": the last one, or as many more as it takes to have enough records."""
    seen, taken = 0, 0
    for window in reversed(windows):
        taken += 1
        seen += total(window, stage).records
        if seen >= ENOUGH:
            break
    # A fault in which nothing arrives is told from the last window all the same.
    return windows[-taken:] if seen >= ENOUGH else windows[-1:] if seen == 0 else windows


def evidence_of(
    figure: Figure,
    usual: float,
    now: float,
    *,
    root: bool,
    onset_ms: int,
) -> Evidence:
    """The figure then and now, ready to be shown."""
    stage, metric, label, name = figure
    return Evidence(
        stage=stage,
        metric=metric,
        label=label,
        name=name,
        usual=text_of(metric, usual),
        now=text_of(metric, now),
        usual_value=usual,
        now_value=now,
        root=root,
        onset_ms=onset_ms,
    )
