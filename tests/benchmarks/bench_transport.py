"""What the way to Kafka costs its host: processor time of all threads, and the slowest calls in an outage.

Each run is a fresh process that sends 10 000 records a second through three stages. The cost is its processor
time beyond that of the same process with ``SWIRL_OFF``. Runs with the broker and without take turns, and the
middle ratio of neighbours counts: what else the machine does falls on both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from swirl.errors import SwirlError
from swirl.kafka.topics import create_missing
from swirl.testing.broker import Broker, free_port

ROOT = Path(__file__).resolve().parents[2]
RECORDS_A_SECOND = 10_000
WARM_UP_SECONDS, SECONDS = 4.0, 6.0
"""The first is long enough to find out that there is no broker."""
COSTS, PAIRS = 3, 6

CHILD = """
import gc, json, sys, time
import numpy as np
import swirl

rate, warm_up, seconds, timed = json.loads(sys.argv[1])
ads = swirl.Pipeline("ads", version="1")

@ads.stage(valid=lambda tweet: tweet >= 0)
def ingest(line):
    return line

@ads.stage(after=ingest, predicts=True)
def classify(tweet):
    return "positive" if tweet & 7 else "negative"

@ads.stage(after=classify)
def serve(mood):
    return mood

spent = np.zeros(int(3 * rate * (warm_up + seconds) * 1.1), dtype=np.int64)
kept, number, clock = memoryview(spent), 0, time.perf_counter_ns
gc.disable()
gc.freeze()
step = rate // 100
begin = due = time.perf_counter()
measured, processor, first = False, 0.0, 0
while (now := time.perf_counter()) < begin + warm_up + seconds:
    if not measured and now >= begin + warm_up:
        measured, processor, first, since = True, time.process_time(), number, now
    if timed:
        for tweet in range(step):
            a = clock()
            ingest(tweet)
            b = clock()
            mood = classify(tweet)
            c = clock()
            serve(mood)
            kept[number], kept[number + 1], kept[number + 2] = b - a, c - b, clock() - c
            number += 3
    else:
        for tweet in range(step):
            ingest(tweet)
            serve(classify(tweet))
        number += 3 * step
    due += 0.01
    time.sleep(max(0.0, due - time.perf_counter()))
share = (time.process_time() - processor) / (now - since)
slow = float(np.quantile(spent[first:number], 0.999)) if timed else 0.0
print(json.dumps([share, slow, (number - first) / 3 / (now - since)]))
"""

Row = tuple[str, float, float | None]


def _run(address: str, topics: str, *, timed: bool, off: bool = False) -> tuple[float, float]:
    """Share of a core, and the call's 99.9th percentile in nanoseconds if it is timed."""
    given = {"SWIRL_KAFKA": address, "SWIRL_TOPICS": topics, "SWIRL_OFF": "1" if off else "0"}
    told = json.dumps([RECORDS_A_SECOND, WARM_UP_SECONDS, SECONDS, timed])
    done = subprocess.run(
        [sys.executable, "-c", CHILD, told],
        cwd=ROOT,
        env={**os.environ, **given},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    share, slow, rate = json.loads(done.stdout)
    if rate < 0.98 * RECORDS_A_SECOND:
        print(f"only {rate:.0f} records a second were made: the machine is too busy")
    return share, slow


def rows() -> list[Row]:
    """``(name, value, limit)``; none where there is no broker to be had."""
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder) / "kafka")
        try:
            broker.start()
        except SwirlError as error:
            print(f"no broker, so nothing is measured: {error}")
            return []
        try:
            create_missing(broker.settings(topics="bench"), partitions=1)
            return _rows(broker.address)
        finally:
            broker.kill()


def _rows(address: str) -> list[Row]:
    # The lowest of each: what else runs on the machine makes all of it dearer, and nothing cheaper.
    bare = min(_run(address, "bench", timed=False, off=True)[0] for _ in range(COSTS))
    cost = min(_run(address, "bench", timed=False)[0] for _ in range(COSTS)) - bare
    up, down = [], []
    nowhere = f"127.0.0.1:{free_port()}"
    for _ in range(PAIRS):
        up.append(_run(address, "bench", timed=True)[1])
        down.append(_run(nowhere, "bench", timed=True)[1])
    return [
        ("the loop itself at 10 000 records a second, % of a core", 100 * bare, None),
        ("all threads of Swirl beside it, three stages, % of a core", 100 * cost, 4.0),
        ("p99.9 of a decorated call with the broker up, us", median(up) / 1e3, None),
        ("p99.9 without a broker / with it", median(d / u for d, u in zip(down, up, strict=True)), 1.2),
    ]


if __name__ == "__main__":
    for name, value, limit in rows():
        print(f"{name:<72} {value:10.3f} {'' if limit is None else f'{limit:10.3f}'}")
