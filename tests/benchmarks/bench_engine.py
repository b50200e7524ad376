"""What the host feels of being watched: the slowest calls of a busy loop, with ``swirl.watch`` and without.

Each run is a fresh process that calls a decorated function as fast as it can and times every call. The runs
with and without take turns, and the middle ratio of neighbours counts: what else the machine does falls on
both. Without a watch nobody takes the records, so both the folding of the records and the monitor are in the
ratio.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

PAIRS = 8
SECONDS = 6.0
WARM_UP_SECONDS = 1.0
RANKS = (0.5, 0.99, 0.999, 0.9999)

CHILD = """
import gc, json, os, sys, time
import numpy as np
import swirl

watched, state, warm_up, seconds, *ranks = json.loads(sys.argv[1])
ads = swirl.Pipeline("ads", version="1")

@ads.stage(valid=lambda mood: mood is not None, predicts=True)
def classify(tweet):
    return "positive" if tweet & 7 else "negative"

if watched:
    from swirl.settings import MonitorSettings
    swirl.watch(http="", state=state, window_seconds=1)

spent = np.zeros(int((warm_up + seconds) * 3_000_000), dtype=np.int64)
clock, kept, number = time.perf_counter_ns, memoryview(spent), 0
begin = clock() + int(warm_up * 1e9)
end = begin + int(seconds * 1e9)
gc.freeze()
last = clock()
while last < end:
    classify(number)
    now = clock()
    if now > begin:
        kept[number] = now - last
    last = clock()
    number += 1
measured = spent[:number][spent[:number] > 0]
print(json.dumps([float(x) for x in np.quantile(measured, ranks)] + [len(measured), float(measured.max())]))
sys.stdout.flush()
os._exit(0)
"""


def run(*, watched: bool) -> list[float]:
    """Latencies in nanoseconds at the ranks, how many calls there were, the slowest."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        arguments = json.dumps([watched, str(Path(folder)), WARM_UP_SECONDS, SECONDS, *RANKS])
        done = subprocess.run(
            [sys.executable, "-c", CHILD, arguments], check=True, capture_output=True, text=True
        )
    found: list[float] = json.loads(done.stdout)
    return found


def rows() -> list[tuple[str, float, float | None]]:
    """Name, value, limit."""
    off: list[list[float]] = []
    on: list[list[float]] = []
    for pair in range(PAIRS):
        # Who comes first takes turns too.
        for watched in (False, True) if pair % 2 else (True, False):
            (on if watched else off).append(run(watched=watched))
    last = RANKS.index(0.9999)
    quietest = min(run[last] for run in on) / min(run[last] for run in off)
    usual = median(a[last] / b[last] for a, b in zip(on, off, strict=True))
    found: list[tuple[str, float, float | None]] = [
        ("host stall: p99.99 of a call, watched over not", quietest, 3.0),
        ("the same, the middle one of neighbouring runs", usual, None),
    ]
    for title, runs in (("watched", on), ("not watched", off)):
        found += [
            (f"us a call, {title}, p{100 * rank:g}", median(r[place] for r in runs) / 1000, None)
            for place, rank in enumerate(RANKS)
        ]
        found.append((f"us, slowest call, {title}", median(r[-1] for r in runs) / 1000, None))
    return found
