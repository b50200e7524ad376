"""What a scrape costs, beside prometheus_client rendering the very same samples from plain gauges."""

from __future__ import annotations

import time

import numpy as np
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from swirl.effect import SeriesKey, State, Totals
from swirl.sinks.prometheus import PrometheusSink
from tests.sinks.scene import DATA as INCIDENT
from tests.sinks.scene import changed, verdict, window

SERIES = 10_000
LIMIT = 1.2


def rows() -> list[tuple[str, float, float]]:
    """``(name, value, limit)``: a ratio of times, best of five in turns."""
    ours = _swirl(SERIES)
    plain, samples = _plain(ours)
    assert samples > 5 * SERIES
    assert len(generate_latest(plain).splitlines()) - len(generate_latest(ours).splitlines()) < 500
    times = [(_seconds(ours), _seconds(plain)) for _ in range(5)]
    ratio = min(a for a, _ in times) / min(b for _, b in times)
    return [(f"scrape of {SERIES} series, {samples} samples / the same from plain gauges", ratio, LIMIT)]


def _seconds(registry: CollectorRegistry) -> float:
    start = time.perf_counter()
    generate_latest(registry)
    return time.perf_counter() - start


def _swirl(series: int) -> CollectorRegistry:
    """A pipeline of many series, with reasons, labels and versions as a large one has."""
    numbers = np.arange(7.0 * series).reshape(7, series) + 0.5
    keys = tuple(SeriesKey(f"stage_{i % 10}", "drift", f"feature_{i}") for i in range(series))
    counts = {f"label_{i}": 10 for i in range(50)}
    totals = {
        f"stage_{i}": {
            str(v): Totals(1000, 500, 0, 500, 500, counts, labels=counts, latency_seconds=1.0)
            for v in range(8)
        }
        for i in range(10)
    }
    sink = PrometheusSink()
    states = bytes([State.NORMAL] * series)
    sink.handle(window(keys=keys, numbers=numbers.tobytes(), states=states, totals=totals))
    sink.handle(changed(INCIDENT))
    sink.handle(verdict())
    registry = CollectorRegistry()
    sink.register(registry)
    return registry


def _plain(ours: CollectorRegistry) -> tuple[CollectorRegistry, int]:
    """Gauges with the same names, labels and values; how many samples that are."""
    registry, samples = CollectorRegistry(), 0
    gauges: dict[tuple[str, ...], Gauge] = {}
    for family in ours.collect():
        for sample in family.samples:
            key = (sample.name, *sample.labels)
            if key not in gauges:
                name = f"plain_{'_'.join(key)}"
                gauges[key] = Gauge(name, family.documentation, tuple(sample.labels), registry=registry)
            child = gauges[key].labels(*sample.labels.values()) if sample.labels else gauges[key]
            child.set(sample.value)
            samples += 1
    return registry, samples


if __name__ == "__main__":
    for name, value, limit in rows():
        print(f"{name}: {value:.2f} (limit {limit})")
