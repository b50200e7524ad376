"""What the fold costs: a frame beside its digest merges and among many emitters, a window per series."""

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
    from collections.abc import Callable, Iterator

START = 1_767_571_200_000
OWN = {"ingest": {"invalid": 3.0}, "classify": {"predictions": 90.0}, "serve": {"clicks": 9.0}}
"""Counters that only one of the stages has."""

FRAMES_A_SECOND = 2_400
"""Of one pipeline on one core: 2 000 emitters that flush once a second, and room for what brings them."""

FLEETS = (
    (10, 10_000, 1, 0),
    (200, 10_000, 1, 0),
    (2_000, 100, 1, 0),
    (2_000, 10_000, 1, 0),
    (2_000, 100, 5, 0),
    (2_000, 10_000, 5, 0),
    (2_000, 10_000, 1, 500),
)
"""Emitters of one pipeline, records a second of each, seconds between its frames, how many die."""

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


def fleet_frame_us(emitters: int, records: int, flush_s: int = 1, dead: int = 0) -> float:
    """Microseconds of processor time a frame, of one pipeline of so many emitters.

    Frames are those of the ads scene: three stages with a latency each. Flushes are spread evenly and do not
    fall on full seconds, so each frame holds one second more than it is long. The windows of 10 s that end
    meanwhile are in the figure.

    Args:
        emitters: of the one pipeline.
        records: a second of each emitter.
        flush_s: seconds between two frames of an emitter.
        dead: so many of them fall silent without a goodbye before the time is taken.
    """
    rng = np.random.default_rng(2)
    names = ("ingest", "classify", "serve")
    definition = Definition(
        tuple(StageDefinition(name, names[max(0, i - 1) : i]) for i, name in enumerate(names))
    )
    known = definition_hash(definition)
    monitor = Monitor(MonitorSettings(window_seconds=10))
    parts = {n: summary(rng, n) for n in (max(2, records * 37 // 100), max(2, records * 63 // 100), records)}
    first, last, middle = parts

    def slices(begin_ms: int) -> Iterator[Slice]:
        for stage in names:
            for second in range(flush_s + 1):
                n = first if second == 0 else last if second == flush_s else middle
                bucket = begin_ms - begin_ms % 1000 + second * 1000
                counters = {"records": float(n), "out": float(n)} | OWN[stage]
                labels = {"label": {"positive": n - n // 5, "negative": n // 5}}
                shown = labels if stage == "classify" else {}
                yield Slice(stage, "1", bucket, counters, shown, {"latency": parts[n]})

    spent = 0.0
    frames = 0
    turns = max(4, 40 // flush_s) if emitters < 1_000 else max(4, 26 // flush_s)
    for turn in range(1, turns + 1):
        measured = turn > turns // 2
        payloads = []
        for number in range(dead if measured else 0, emitters):
            end = START + turn * flush_s * 1000 + number * flush_s * 1000 // emitters
            covers = (end - flush_s * 1000, end)
            told = definition if turn == 1 else None
            identity = number.to_bytes(16, "big")
            frame = Frame("ads", identity, turn, end, covers, known, told, tuple(slices(covers[0])))
            payloads.append((end + 20, encode(frame)))
        began = time.process_time()
        for log_ms, payload in payloads:
            monitor.apply(monitor.next_offset, log_ms, payload)
        if measured:
            spent += time.process_time() - began
            frames += len(payloads)
    return spent / frames * 1e6


def rows() -> list[tuple[str, float, float | None]]:
    """Name, value, limit."""
    found: list[tuple[str, float, float | None]] = [
        ("apply, over the digest merges in it", apply_beside_merges(), 2.0)
    ]
    for emitters, records, flush_s, dead in FLEETS:
        us = fleet_frame_us(emitters, records, flush_s, dead)
        name = f"frame of {emitters} emitters at {records} records/s, flush {flush_s} s"
        limit = flush_s * 1e6 / FRAMES_A_SECOND if emitters == 2_000 else None
        found.append((f"{name}{f', {dead} dead' if dead else ''}, us", us, limit))
        if not dead:
            found.append(("  that is emitters a core", flush_s * 1e6 / us, None))
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
