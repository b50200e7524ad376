"""How right is the diagnosis, and what does it cost? The long form of the accuracies that the tests check.

Run it with ``python -m tests.benchmarks.bench_diagnosis [cases]``.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from swirl.incident.causes import CHANCE, UNKNOWN
from swirl.incident.diagnose import Diagnosis, diagnose
from tests.incident.simulator import BENIGN, Case, cases, drain

CASES = 2000
SEED = 400_001
EVIDENCE = 3


def judged(count: int = CASES, seed: int = SEED) -> tuple[list[tuple[Case, Diagnosis]], float]:
    """Cases with their diagnoses after three windows, and the mean seconds that one took."""
    found, spent = [], 0.0
    for case, window in cases(seed, count):
        begin = time.process_time()
        diagnosis: Diagnosis = drain(
            diagnose(case.history, case.start(window), case.start(window + EVIDENCE - 1))
        )
        spent += time.process_time() - begin
        found.append((case, diagnosis))
    return found, spent / count


def rows(count: int = CASES) -> list[tuple[str, float, str]]:
    """(name, value, limit) of what is measured."""
    found, seconds = judged(count)
    faults = [(c, d, d.cause if d.benign < 0.5 else CHANCE) for c, d in found if c.cause not in BENIGN]
    clear = [said == c.cause for c, _, said in faults if c.cause != "source_throttled"]
    stages = [d.stage == c.stage for c, d, _ in faults if c.stage and d.stage]
    benign = [d.benign < 0.5 for c, d in found if c.cause in BENIGN]
    innocent = [d.cause == "bad_deployment" for c, d, _ in faults if c.innocent]
    wrong = [said not in (c.cause, UNKNOWN, CHANCE) for c, _, said in faults]
    return [
        ("diagnosis: right cause, of what can be told apart", float(np.mean(clear)), ">= 0.93"),
        ("diagnosis: right cause, all", float(np.mean([said == c.cause for c, _, said in faults])), ""),
        ("diagnosis: wrong cause", float(np.mean(wrong)), "<= 0.05"),
        ("diagnosis: no cause named", float(np.mean([said == UNKNOWN for _, _, said in faults])), ""),
        ("diagnosis: fault dismissed", float(np.mean([said == CHANCE for _, _, said in faults])), "<= 0.03"),
        ("diagnosis: right stage, where one is named", float(np.mean(stages)), ">= 0.95"),
        ("diagnosis: benign told as incident", float(np.mean(benign)), "<= 0.06"),
        # Nearly all were cut over at the root stage just before the fault: nothing tells them apart.
        ("diagnosis: innocent deployment blamed", float(np.mean(innocent)), "<= 0.08"),
        ("diagnosis: ms each, 6 stages, 136 windows", 1000 * seconds, "<= 50"),
    ]


if __name__ == "__main__":
    for name, value, limit in rows(int(sys.argv[1]) if len(sys.argv) > 1 else CASES):
        print(f"{name:55s} {value:8.3f}  {limit}")
