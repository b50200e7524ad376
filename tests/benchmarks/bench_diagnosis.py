"""How right is the diagnosis, in short, and what does it cost? ``detection/diagnosis.py`` has all of it.

Run it with ``python -m tests.benchmarks.bench_diagnosis [cases]``.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from swirl.incident.diagnose import diagnose
from tests.benchmarks.detection.diagnosis import EVIDENCE, Scores, judged
from tests.incident.simulator import BENIGN, Case, World, cases, drain

CASES = 1000
SEED = 400_001


def costs(drawn: list[tuple[Case, int]]) -> tuple[float, float]:
    """Mean milliseconds of a diagnosis, and the 99th percentile of its slices."""
    spent, slices = [], []
    for case, window in drawn:
        run = diagnose(case.history, case.start(window), case.start(window + EVIDENCE - 1))
        begin = time.process_time()
        drain(run)
        spent.append(time.process_time() - begin)
        run = diagnose(case.history, case.start(window), case.start(window + EVIDENCE - 1))
        ended = False
        while not ended:
            begin = time.process_time()
            ended = next(run, _ENDED) is _ENDED
            slices.append(time.process_time() - begin)
    return 1000 * float(np.mean(spent)), 1000 * float(np.quantile(slices, 0.99))


_ENDED = object()


def rows(count: int = CASES) -> list[tuple[str, float, str]]:
    """(name, value, limit) of what is measured."""
    drawn = list(cases(SEED, count))
    found = judged(drawn)
    scores, everything = Scores.of(found), Scores.of(found, telling=False)
    faults = [j for j in found if j.case.cause not in BENIGN]
    stages = [j.diagnosis.stage == j.case.stage for j in faults if j.case.stage and j.diagnosis.stage]
    innocent = [j.said == "bad_deployment" for j in faults if j.case.innocent and j.case.telling]
    hard = Scores.of(judged(cases(SEED + 1, count // 2, world=World(hostile=True))))
    mean, slices = costs(drawn[:100])
    return [
        ("diagnosis: right cause and stage, of what can be told apart", scores.right, ">= 0.93"),
        ("diagnosis: wrong", scores.wrong, "<= 0.02"),
        ("diagnosis: no cause named", scores.unknown, ""),
        ("diagnosis: fault dismissed", scores.dismissed, "<= 0.03"),
        ("diagnosis: benign told as incident", scores.told, "<= 0.02"),
        ("diagnosis: right cause and stage, all", everything.right, ""),
        ("diagnosis: wrong, all", everything.wrong, ""),
        ("diagnosis: right stage, where one is named", float(np.mean(stages)), ">= 0.95"),
        (
            "diagnosis: innocent deployment blamed, where something clears it",
            float(np.mean(innocent)),
            "<= 0.02",
        ),
        ("diagnosis: right under hostile noise", hard.right, ">= 0.88"),
        ("diagnosis: ms each, 6 stages, 136 windows", mean, "<= 50"),
        ("diagnosis: ms of a slice, 99th percentile", slices, "<= 1"),
    ]


if __name__ == "__main__":
    for name, value, limit in rows(int(sys.argv[1]) if len(sys.argv) > 1 else CASES):
        print(f"{name:65s} {value:8.3f}  {limit}")
