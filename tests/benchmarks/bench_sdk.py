"""What a decorated call costs beyond the bare call, beside its floor and beside what people use today.

The floor is two readings of ``perf_counter_ns`` and one list append. All are measured in turns by the time of
the processor, in many short rounds, and the medians compared, so that a busy machine slows all alike.
"""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from itertools import repeat
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import datasketches
import numpy as np
import prometheus_client
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from swirl import Pipeline
from swirl.clock import SystemClock
from swirl.sdk.transport import Transport
from swirl.settings import EmitterSettings

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS = 1_000
ROUNDS = 101
FLUSH = 20_000
VALUES = 100_000
THREADED_CALLS = 64 * 4_000

Row = tuple[str, float, float | None]


class _Nowhere(Transport):
    """A transport that keeps nothing."""

    def send(self, pipeline: str, payload: bytes, lost: Callable[[], object] = bool) -> None:
        pass

    def close(self, timeout: float) -> None:
        pass


def _pipeline() -> Pipeline:
    """A pipeline that folds only when it is told to."""
    pipeline = Pipeline("bench", settings=EmitterSettings(buffer_records=10_000_000))
    pipeline.rebind(SystemClock(), _Nowhere(), threaded=False)
    return pipeline


def bare(mood: str) -> str:
    """The function that is measured."""
    return mood


async def bare_async(mood: str) -> str:
    """The same, async."""
    return mood


def _is_valid(mood: str) -> bool:
    return mood != ""


def _loop(function: Callable[[str], object]) -> Callable[[], None]:
    def run() -> None:
        for _ in repeat(None, CALLS):
            function("positive")

    return run


def _floor() -> Callable[[], None]:
    times: list[int] = []

    def run() -> None:
        append, ticks = times.append, perf_counter_ns
        for _ in repeat(None, CALLS):
            ticks()
            append(ticks())
        times.clear()

    return run


def _empty() -> None:
    for _ in repeat(None, CALLS):
        pass


def _prometheus(*, cached: bool) -> Callable[[str], str]:
    registry = prometheus_client.CollectorRegistry()
    latency = prometheus_client.Histogram("latency_seconds", "Latency", registry=registry)
    invalid = prometheus_client.Counter("invalid", "Invalid", registry=registry)
    predictions = prometheus_client.Counter("predictions", "Predictions", ["label"], registry=registry)
    children = {"positive": predictions.labels("positive")}

    def call(mood: str) -> str:
        with latency.time():
            result = bare(mood)
        if not _is_valid(result):
            invalid.inc()
        if cached:
            children[result].inc()
        else:
            predictions.labels(result).inc()
        return result

    def call_cached(mood: str) -> str:
        start = perf_counter_ns()
        result = bare(mood)
        latency.observe((perf_counter_ns() - start) * 1e-9)
        if not _is_valid(result):
            invalid.inc()
        children[result].inc()
        return result

    return call_cached if cached else call


def _opentelemetry() -> Callable[[str], str]:
    meter = MeterProvider([InMemoryMetricReader()]).get_meter("bench")
    latency, invalid = meter.create_histogram("latency"), meter.create_counter("invalid")
    predictions = meter.create_counter("predictions")

    def call(mood: str) -> str:
        start = perf_counter_ns()
        result = bare(mood)
        latency.record((perf_counter_ns() - start) * 1e-9, {"stage": "classify"})
        if not _is_valid(result):
            invalid.add(1, {"stage": "classify"})
        predictions.add(1, {"stage": "classify", "label": result})
        return result

    return call


def _in_turns(
    runs: dict[str, Callable[[], None]], calls: int = CALLS, after: Callable[[], object] = bool
) -> dict[str, float]:
    """Median nanoseconds a call by name, measured in turns; ``after`` each round something is cleared."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    after()
    gc.collect()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            for name, run in runs.items():
                start = time.thread_time_ns()
                run()
                taken[name].append((time.thread_time_ns() - start) / calls)
                after()
    finally:
        gc.enable()
    return {name: statistics.median(times) for name, times in taken.items()}


def _fold() -> float:
    """Median nanoseconds a record of fold and frame, for flushes of 20 000 records."""
    pipeline = _pipeline()
    stage = pipeline.stage(name="classify", valid=_is_valid, predicts=True)(bare)
    taken = []
    for _ in range(ROUNDS):
        for _ in repeat(None, FLUSH):
            stage("positive")
        start = time.thread_time_ns()
        pipeline.emit_now()
        taken.append((time.thread_time_ns() - start) / FLUSH)
    return statistics.median(taken)


def _calls() -> list[Row]:
    hot = _pipeline()
    hot_call = _loop(hot.stage(name="classify", valid=_is_valid, predicts=True)(bare))
    runs = {
        "empty": _empty,
        "bare": _loop(bare),
        "floor": _floor(),
        "swirl": hot_call,
        "prometheus": _loop(_prometheus(cached=False)),
        "cached": _loop(_prometheus(cached=True)),
        "opentelemetry": _loop(_opentelemetry()),
    }
    taken = _in_turns(runs, after=hot.emit_now)
    floor = taken["floor"] - taken["empty"]
    over = {name: taken[name] - taken["bare"] for name in runs}
    folded = over["swirl"] + _fold()
    rows: list[Row] = [
        ("floor: two clock readings and an append, ns", floor, None),
        ("decorated call beyond the bare call, ns", over["swirl"], 500.0),
        ("the same with its fold and its share of a frame, ns", folded, None),
        ("decorated call / floor", over["swirl"] / floor, 4.0),
    ]
    peers = {"prometheus": (5.0, 4.0), "cached": (3.0, 2.5), "opentelemetry": (20.0, 15.0)}
    titles = {
        "prometheus": "prometheus_client as documented",
        "cached": "prometheus_client with cached children",
        "opentelemetry": "OpenTelemetry metrics SDK",
    }
    for peer, (alone, with_it) in peers.items():
        rows.append((f"decorated call / {titles[peer]}", over["swirl"] / over[peer], 1 / alone))
        rows.append((f"decorated call with fold / {titles[peer]}", folded / over[peer], 1 / with_it))
    return rows


def _async_calls() -> Row:
    pipeline = _pipeline()
    plain = _loop(pipeline.stage(name="plain", valid=_is_valid, predicts=True)(bare))
    later = pipeline.stage(name="later", valid=_is_valid, predicts=True)(bare_async)

    async def many(function: Callable[[str], Any]) -> None:
        for _ in repeat(None, CALLS):
            await function("positive")

    def awaited(function: Callable[[str], Any]) -> Callable[[], None]:
        def run() -> None:
            many_of_them = many(function)
            try:
                many_of_them.send(None)
            except StopIteration:
                return

        return run

    runs = {"bare": _loop(bare), "plain": plain, "bare async": awaited(bare_async), "async": awaited(later)}
    taken = _in_turns(runs, after=pipeline.emit_now)
    ratio = (taken["async"] - taken["bare async"]) / (taken["plain"] - taken["bare"])
    return ("overhead of an async stage / of a plain one", ratio, 1.5)


def _throughput(stage: Callable[[str], object], n: int) -> float:
    """Calls a second of ``n`` threads together, from when all are ready."""
    ready = threading.Barrier(n + 1)

    def work() -> None:
        ready.wait()
        for _ in repeat(None, THREADED_CALLS // n):
            stage("positive")

    threads = [threading.Thread(target=work) for _ in range(n)]
    for thread in threads:
        thread.start()
    ready.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    return THREADED_CALLS / (time.perf_counter() - start)


def _threads() -> Row:
    """Throughput of one thread over that of 64, the best of each, since other programs run too."""
    pipeline = _pipeline()
    stage = pipeline.stage(name="classify", valid=_is_valid, predicts=True)(bare)
    rates: dict[int, list[float]] = {1: [], 64: []}
    for _ in range(15):
        for n, rate in rates.items():
            rate.append(_throughput(stage, n))
            pipeline.emit_now()
    title = "throughput of 1 thread / of 64 (at most 1, and a tenth for noise)"
    return (title, max(rates[1]) / max(rates[64]), 1.1)


def _observe_many() -> Row:
    pipeline = _pipeline()
    stage = pipeline.stage(name="classify")(bare)
    values = np.random.default_rng(7).lognormal(size=VALUES)
    small = values.astype(np.float32)

    def ours() -> None:
        stage.observe_many("price", values)
        pipeline.emit_now()

    def digest() -> None:
        datasketches.tdigest_float(100).update(small)

    taken = _in_turns({"ours": ours, "digest": digest}, VALUES)
    return (
        f"observe_many of {VALUES} numbers, sent / bare t-digest update",
        taken["ours"] / taken["digest"],
        1.3,
    )


def _import() -> Row:
    """Seconds of ``import swirl`` over those of ``import numpy``, each in fresh processes, in turns."""
    taken: dict[str, list[float]] = {"numpy": [], "swirl": []}
    script = "import time; start = time.perf_counter(); import {0}; print(time.perf_counter() - start)"
    # What is installed has its bytecode beside it; a work tree may not.
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}
        for _ in range(16):
            for name, times in taken.items():
                command = [sys.executable, "-c", script.format(name)]
                done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
                times.append(float(done.stdout))
    ratio = statistics.median(taken["swirl"]) / statistics.median(taken["numpy"])
    return ("import swirl / import numpy", ratio, 1.5)


def rows() -> list[Row]:
    """``(name, value, limit)``."""
    return [*_calls(), _async_calls(), _threads(), _observe_many(), _import()]


if __name__ == "__main__":
    for name, value, limit in rows():
        print(f"{name:<72} {value:10.3f} {'' if limit is None else f'{limit:10.3f}'}")
