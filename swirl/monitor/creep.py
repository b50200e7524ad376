"""Series that have left their baseline by small steps, as anomalies with a sentence of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swirl.baseline import METRIC
from swirl.effect import SeriesKey
from swirl.incident import numbers
from swirl.incident.life import Anomaly

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl.baseline import Creep

__all__ = ["CAUSE", "anomaly_of", "key_of"]

CAUSE = "slow creep"


def key_of(key: SeriesKey) -> SeriesKey:
    """Under which name a creeping series is told: other limits hold for the series itself."""
    return SeriesKey(key.stage, METRIC, f"{key.metric}:{key.label}")


def anomaly_of(creep: Creep, start_ms: int, window_ms: int) -> Anomaly:
    """What is told of a series that has crept away.

    Example:
        >>> from swirl.baseline import Creep
        >>> day = 24 * 3600 * 1000
        >>> key = SeriesKey("classify", "prediction_ratio", "positive")
        >>> creep = Creep(key, 20.0, 0.8, 0.72, -0.0105, 20_000 * day, 1)
        >>> anomaly_of(creep, 20_010 * day, 60_000).said[1].partition(";")[0]
        'positive ratio has crept from 0.80 to 0.72 in 10 d, by 1 % a day'
    """
    text = _text(creep.key.metric, window_ms)
    name = f"{creep.key.label} {_NAMES.get(creep.key.metric, creep.key.metric.replace('_', ' '))}".strip()
    sentence = (
        f"{name} has crept from {text(creep.before)} to {text(creep.now)} "
        f"in {numbers.duration(start_ms - creep.since_ms)}, by {numbers.percent(abs(creep.a_day))} a day; "
        "no day stood out from the one before"
    )
    direction = 1 if creep.now > creep.before else -1
    return Anomaly(key_of(creep.key), start_ms, start_ms, 1.0, direction, (CAUSE, sentence))


_NAMES = {
    "prediction_ratio": "ratio",
    "counter_level": "a record",
    "latency_p95": "0.95 quantile of the time a record",
}


def _text(metric: str, window_ms: int) -> Callable[[float], str]:
    if metric == "records":
        return lambda count: numbers.rate(count * 1000 / window_ms)
    if metric.endswith("_ratio") or metric == "ratio":
        return numbers.ratio
    return numbers.seconds if metric.startswith("latency") else numbers.amount
