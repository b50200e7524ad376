"""How series and numbers are written on the page: names, units, narrow spaces."""

from __future__ import annotations

import re
from math import isfinite, nan
from typing import TYPE_CHECKING

from swirl.incident import numbers
from swirl.sinks.wording import plain

if TYPE_CHECKING:
    from swirl.effect import SeriesKey

__all__ = ["RATES", "amount", "limits", "name_of", "telling_limits", "tick", "typeset", "unit_of", "value"]

THIN = "\u202f"
"""A narrow space at which no line breaks."""

RATES = frozenset({"records", "invalid", "errors", "out", "count"})
"""Metrics that are so many a second."""

_SECONDS = frozenset({"latency_p50", "latency_p95", "lag"})
_DISTANCES = frozenset({"drift", "prediction_drift", "observed_drift"})

_NAMES = {
    "records": "records",
    "invalid": "invalid",
    "errors": "errors",
    "out": "passed on",
    "count": "{label}",
    "counter_level": "{label} per record",
    "input_ratio": "input per record of its parents",
    "invalid_ratio": "invalid ratio",
    "error_ratio": "error ratio",
    "output_ratio": "output ratio",
    "prediction_ratio": "{label} ratio",
    "null_ratio": "nulls of {label}",
    "ratio": "{label}",
    "latency_p50": "median latency",
    "latency_p95": "p95 latency",
    "lag": "lag",
    "version_contrast": "new version against old, {label}",
    "drift": "drift of {label}",
    "prediction_drift": "drift of predictions",
    "observed_drift": "drift of {label}",
    "cardinality": "different values of {label}",
    "segment_ratio": "share of {label}",
    "segment_invalid_ratio": "invalid ratio of {label}",
    "segment_error_ratio": "error ratio of {label}",
    "segment_prediction_ratio": "ratio of {label}",
}

_GROUP = re.compile(r"(?<=\d) (?=(?:\d{3}\b|(?:[mu]?s|min|h|d|%|million)(?:\W|$)))")


def typeset(text: object) -> str:
    """Text of the core, set for the page: no line breaks inside a number or before its unit.

    Example:
        >>> typeset("ingest rejects 2 340/s in 12 ms").replace(THIN, "_")
        'ingest rejects 2_340/s in 12_ms'
    """
    return _GROUP.sub(THIN, plain(str(text))).replace(f"{THIN}us", f"{THIN}µs")


def name_of(key: SeriesKey) -> str:
    """What a person calls the series, within its stage."""
    pattern = _NAMES.get(key.metric, key.metric.replace("_", " ") + " {label}")
    return plain(pattern.replace("{label}", key.label))


def unit_of(key: SeriesKey) -> str:
    """What stands behind the name of the series, ``""`` for ratios."""
    return "/s" if key.metric in RATES else "sigma" if key.metric == "version_contrast" else ""


def value(key: SeriesKey, x: float) -> str:
    """A value of a series with its unit; "–" where nothing was measured."""
    if not isfinite(x):
        return "–"
    if key.metric in RATES:
        return typeset(numbers.rate(x))
    if key.metric in _SECONDS:
        return typeset(numbers.seconds(x)) if x > 0 else f"0{THIN}s"
    if key.metric in _DISTANCES:
        return f"{x:.2f}" if x >= 0.005 else "0.00"
    if "ratio" in key.metric:
        return numbers.ratio(x)
    return typeset(numbers.amount(x))


def telling_limits(key: SeriesKey, low: float, high: float) -> tuple[float, float]:
    """Limits without those that nothing can cross: below 0 of a rate, above 1 of a share."""
    if key.metric != "version_contrast" and low <= 0:
        low = nan
    if "ratio" in key.metric and key.metric not in ("ratio", "input_ratio") and high >= 1:
        high = nan
    return low, high


def limits(key: SeriesKey, low: float, high: float) -> str:
    """Two alarm limits in words, ``""`` where there is none.

    Example:
        >>> from swirl.effect import SeriesKey
        >>> limits(SeriesKey("a", "invalid"), 2.0, 22.0), limits(SeriesKey("a", "invalid"), nan, 22.0)
        ('2–22', 'above 22')
    """
    below, above = value(key, low).removesuffix("/s"), value(key, high).removesuffix("/s")
    if isfinite(low) and isfinite(high):
        return f"{below}–{above}"
    if isfinite(high):
        return f"above {above}"
    return f"below {below}" if isfinite(low) else ""


def amount(x: float) -> str:
    """A count with thin spaces."""
    return typeset(numbers.amount(x)) if isfinite(x) else "–"


def tick(key: SeriesKey, x: float) -> str:
    """A value on an axis: 1k rather than 1 000.

    Example:
        >>> from swirl.effect import SeriesKey
        >>> tick(SeriesKey("a", "records"), 20000.0), tick(SeriesKey("a", "latency_p95"), 0.02)
        ('20k', '20 ms')
    """
    if key.metric in _SECONDS and x:
        for unit, size in (("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)):
            if x / size < 1000 or unit == "s":
                return f"{x / size:g} {unit}"
    for mark, size in (("M", 1e6), ("k", 1e3)):
        if abs(x) >= size:
            return f"{x / size:g}{mark}"
    return f"{x:g}"
