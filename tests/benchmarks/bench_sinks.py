"""What a scrape costs, beside prometheus_client rendering the very same samples from plain gauges."""

from __future__ import annotations

import time

import numpy as np
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from swirl.effect import SeriesKey, State
from swirl.sinks.prometheus import PrometheusSink
from tests.sinks.scene import window

SERIES = 10_000
LIMIT = 1.2


def rows() -> list[tuple[str, float, float]]:
    """``(name, value, limit)``: a ratio of times, best of five in turns."""
    ours, plain = _swirl(SERIES), _plain(SERIES)
    assert len(generate_latest(ours).splitlines()) >= 5 * SERIES
    times = [(_seconds(ours), _seconds(plain)) for _ in range(5)]
    ratio = min(a for a, _ in times) / min(b for _, b in times)
    return [(f"scrape of {SERIES} series / plain gauges with the same samples", ratio, LIMIT)]


def _seconds(registry: CollectorRegistry) -> float:
    start = time.perf_counter()
    generate_latest(registry)
    return time.perf_counter() - start


def _swirl(series: int) -> CollectorRegistry:
    numbers = np.arange(7.0 * series).reshape(7, series) + 0.5
    keys = tuple(SeriesKey(f"stage_{i % 10}", "drift", f"feature_{i}") for i in range(series))
    sink = PrometheusSink()
    sink.handle(window(keys=keys, numbers=numbers.tobytes(), states=bytes([State.NORMAL] * series)))
    registry = CollectorRegistry()
    sink.register(registry)
    return registry


def _plain(series: int) -> CollectorRegistry:
    registry = CollectorRegistry()
    for column in ("value", "expected", "low", "high", "evidence"):
        gauge = Gauge(f"plain_{column}", column, ("pipeline", "stage", "metric", "label"), registry=registry)
        for i in range(series):
            gauge.labels("ads", f"stage_{i % 10}", "drift", f"feature_{i}").set(i + 0.5)
    return registry


if __name__ == "__main__":
    for name, value, limit in rows():
        print(f"{name}: {value:.2f} (limit {limit})")
