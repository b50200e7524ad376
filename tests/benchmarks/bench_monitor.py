"""What the fold costs: applying a frame beside the digest merges in it, closing a window per series."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from swirl.frame import Definition, Frame, Slice, StageDefinition, Summary, definition_hash, encode
from swirl.monitor import Monitor
from swirl.settings import MonitorSettings
from swirl.sketch import Distribution

if TYPE_CHECKING:
    from collections.abc import Callable

START = 1_767_571_200_000
SETTINGS = MonitorSettings(window_seconds=1, lateness_seconds=0, retained_windows=0, series=100_000)


def summary(rng: np.random.Generator, n: int, k: int = 100) -> Summary:
    d = Distribution(k)
    d.update(rng.lognormal(size=n))
    return Summary(d.count, d.total, d.encode())


def frame(number: int, bucket: int, slices: tuple[Slice, ...], definition: Definition) -> bytes:
    covers = (bucket, bucket + 250)
    known = definition if number == 1 else None
    return encode(Frame("p", b"e" * 16, number, bucket, covers, definition_hash(definition), known, slices))


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def apply_beside_merges() -> float:
    """Frames of three stages, each with a latency, two features and counters, within one window."""
    rng = np.random.default_rng(0)
    names = ("ingest", "classify", "serve")
    definition = Definition(
        tuple(StageDefinition(name, names[max(0, i - 1) : i]) for i, name in enumerate(names))
    )
    frames, parts = [], []
    for number in range(1, 241):
        slices = []
        for stage in names:
            summaries = {name: summary(rng, 2_000) for name in ("latency", "feature:a", "feature:b")}
            parts.append(summaries)
            counters = {"records": 2_000.0, "invalid": 3.0, "out": 1_997.0, "predictions": 1_997.0}
            slices.append(Slice(stage, "1", START, counters, {"label": {"yes": 1_500, "no": 497}}, summaries))
        frames.append(frame(number, START, tuple(slices), definition))
    ratios = []
    for _ in range(5):
        monitor = Monitor(SETTINGS)
        applied = timed(lambda m=monitor: [m.apply(n, START, f) for n, f in enumerate(frames)])  # type: ignore[misc]
        totals = [Distribution() for _ in range(9)]

        def merge(totals: list[Distribution] = totals) -> None:
            for index, summaries in enumerate(parts):
                for place, one in enumerate(summaries.values()):
                    totals[index % 3 * 3 + place].merge(Distribution.decode(one.count, one.total, one.digest))

        ratios.append(applied / timed(merge))
    return median(ratios)


def close_per_series(series: int) -> tuple[float, float]:
    """Microseconds a series to close a window of label ratios, and bytes a series in the snapshot."""
    rng = np.random.default_rng(1)
    labels = 50
    stages = tuple(
        StageDefinition(f"s{number}", predicts="label") for number in range(max(1, series // labels))
    )
    definition = Definition(stages)
    monitor = Monitor(SETTINGS)
    times = []
    for second in range(40):
        bucket = START + second * 1000
        slices = tuple(
            Slice(
                stage.name,
                "1",
                bucket,
                {"records": 5_000.0, "out": 5_000.0, "predictions": 5_000.0},
                {"label": {str(label): int(n) for label, n in enumerate(rng.poisson(100, labels))}},
            )
            for stage in stages
        )
        half = Frame(
            "p",
            b"e" * 16,
            2 * second + 1,
            bucket,
            (bucket, bucket + 500),
            definition_hash(definition),
            definition,
            slices,
        )
        rest = Frame(
            "p", b"e" * 16, 2 * second + 2, bucket, (bucket + 500, bucket + 1000), definition_hash(definition)
        )
        monitor.apply(2 * second, bucket, encode(half))
        payload = encode(rest)
        times.append(timed(lambda s=second, b=bucket, p=payload: monitor.apply(2 * s + 1, b, p)))  # type: ignore[misc]
    count = len(stages) * (labels + 3)  # and records, error ratio and output ratio of each stage
    return median(times[-15:]) / count * 1e6, len(monitor.snapshot()) / count


def rows() -> list[tuple[str, float, float | None]]:
    """Name, value, limit."""
    found: list[tuple[str, float, float | None]] = [
        ("apply, over the digest merges in it", apply_beside_merges(), 2.0)
    ]
    cost = {}
    for series, limit in ((100, None), (1_000, 5.0), (10_000, 5.0)):
        cost[series], size = close_per_series(series)
        found.append((f"window close, us a series at {series}", cost[series], limit))
        found.append((f"snapshot, bytes a series at {series}", size, 8_000.0 if series > 100 else None))
    found.append(("window close, 10 000 series over ten times 1 000", cost[10_000] / cost[1_000], 1.3))
    return found


if __name__ == "__main__":
    for name, value, limit in rows():
        print(f"{name:55s} {value:10.2f}  {'' if limit is None else limit}")
