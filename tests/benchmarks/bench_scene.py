"""Is it told, and told right, and nothing that is not there? The long form of ``tests/acceptance``.

All in virtual time through the testing kit: 50 healthy hours with a daily shape, 200 faults of the demo's two
kinds, 50 benign surges. About eight minutes of one processor; two are used where there are two.
"""

from __future__ import annotations

import math
import os
import sys
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING

import numpy as np

from tests.acceptance.scene import Fault, Outcome, faults, healthy, surges

if TYPE_CHECKING:
    from collections.abc import Sequence

SEED = 20_261
HOURS = 50.0
PASTS, FAULTS_A_PAST = 20, 10
SURGE_PASTS, SURGES_A_PAST = 10, 5
ALLOWED_A_WEEK = 1.0
"""The budget that the scene runs with, which is the default."""
CLEAR, STRONG = 0.25, 0.5


def played() -> tuple[Outcome, list[Fault], list[Outcome]]:
    """All scenes, the longest first."""
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1), mp_context=get_context("spawn")) as pool:
        calm: Future[Outcome] = pool.submit(healthy, SEED, HOURS)
        broken = [pool.submit(faults, SEED + past, FAULTS_A_PAST) for past in range(1, PASTS + 1)]
        busy = [pool.submit(surges, SEED - past, SURGES_A_PAST) for past in range(1, SURGE_PASTS + 1)]
        return (
            calm.result(),
            [fault for future in broken for fault in future.result()],
            [future.result() for future in busy],
        )


def rows() -> list[tuple[str, float, float | None]]:
    """Name, value, limit."""
    calm, befell, busy = played()
    for fault in befell:
        if fault.early or not fault.right or (fault.strength >= STRONG and fault.delay > 2):
            print("worth a look:", fault, file=sys.stderr)
    print("told in healthy hours:", calm.told, file=sys.stderr)
    print("told in surges:", [title for outcome in busy for title in outcome.told], file=sys.stderr)
    # What is promised for a part of a week is its share, and chance may give one more.
    allowed = math.ceil(ALLOWED_A_WEEK * HOURS / (7 * 24))
    surged = sum(len(outcome.told) for outcome in busy)
    return [
        (f"incidents in {HOURS:.0f} healthy hours", len(calm.told), allowed),
        *_of_faults(befell),
        (f"incidents in {SURGE_PASTS * SURGES_A_PAST} benign surges of 3x", surged, 2),
    ]


def _of_faults(befell: Sequence[Fault]) -> list[tuple[str, float, float | None]]:
    told = [fault for fault in befell if fault.detected and not fault.early]
    clear = [fault for fault in befell if fault.strength >= CLEAR]
    strong = [fault.delay for fault in befell if fault.strength >= STRONG and fault.detected]
    weak = [fault for fault in befell if fault.strength < CLEAR]
    return [
        (f"incidents told before the fault, of {len(befell)}", sum(f.early for f in befell), None),
        ("root stage or cause wrong, share of the detected", _share([not f.right for f in told]), 0.05),
        ("the same at the first word", _share([not _first_right(f) for f in told]), None),
        ("faults missed, share of all", _share([not f.detected for f in befell]), None),
        (f"faults missed, share from strength {CLEAR:.0%} up", _share([not f.detected for f in clear]), 0.05),
        (
            f"faults missed, share of the {len(weak)} weaker ones",
            _share([not f.detected for f in weak]),
            None,
        ),
        ("delay in windows from strength 50 % up, 95 % point", float(np.quantile(strong, 0.95)), 2.0),
        (
            "delay in windows, all that were told, 95 % point",
            float(np.quantile([f.delay for f in told], 0.95)),
            None,
        ),
    ]


def _first_right(fault: Fault) -> bool:
    return fault._replace(settled=fault.first).right


def _share(cases: Sequence[bool]) -> float:
    return sum(cases) / len(cases)
