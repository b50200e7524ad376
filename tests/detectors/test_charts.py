"""Detectors whose law under no change is known: they keep a promise without learning a tail."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from swirl.detector import Kind, Points
from swirl_detectors.contrast import ContrastDetector
from swirl_detectors.level import LevelDetector

if TYPE_CHECKING:
    from swirl.scalar import SeriesBank

SERIES, MINUTE = 20, 60_000
Numbers = NDArray[np.float64]
Law = Callable[[np.random.Generator, Numbers], Numbers]


def alarms(bank: SeriesBank, draw: Law, windows: int, share: float) -> int:
    """How many a bank raises."""
    bank.grow(SERIES)
    bank.refresh(share)
    rng, rows, found = np.random.default_rng(0), np.arange(SERIES), 0
    state = np.zeros(SERIES)
    for window in range(windows):
        state = draw(rng, state)
        points = Points(window * MINUTE, MINUTE, state, np.ones(SERIES))
        scores = bank.score(rows, points)
        found += int(scores.alarm.sum())
        bank.learn(rows, points)
    return found


LAWS: dict[str, Law] = {
    "normal": lambda rng, s: rng.normal(size=len(s)),
    "cauchy": lambda rng, s: rng.standard_cauchy(len(s)),
    "AR(1) 0.9": lambda rng, s: 0.9 * s + rng.normal(size=len(s)),
    "on a grid": lambda rng, s: rng.poisson(3.0, len(s)).astype(float),
}


@pytest.mark.parametrize("law", LAWS)
def test_ranks_keep_the_promise_within_a_factor_of_two_whatever_the_law(law: str) -> None:
    promised = 40
    found = alarms(LevelDetector().build(Kind.LEVEL), LAWS[law], 2000, promised / 2000 / SERIES)
    assert promised / 2 <= found <= 2 * promised


def test_a_contrast_keeps_the_promise_within_a_factor_of_two() -> None:
    promised = 40
    found = alarms(ContrastDetector().build(Kind.LEVEL), LAWS["normal"], 2000, promised / 2000 / SERIES)
    assert promised / 4 <= found <= 2 * promised


def test_one_outlier_never_moves_a_level_and_a_shift_does() -> None:
    bank = LevelDetector().build(Kind.POSITIVE)
    bank.grow(1)
    rng, row, one = np.random.default_rng(0), np.arange(1), np.ones(1)
    told = []
    for window in range(420):
        value = np.exp(rng.normal(size=1)) * (1e6 if window == 300 else 8.0 if window >= 400 else 1.0)
        points = Points(window * MINUTE, MINUTE, value, one)
        scores = bank.score(row, points)
        bank.learn(row, points)
        told += [window] if scores.alarm[0] else []
    assert told
    assert 400 < told[0] < 412


def test_a_level_keeps_so_many_values_and_no_more() -> None:
    bank = LevelDetector().build(Kind.LEVEL)
    bank.grow(1)
    rng = np.random.default_rng(0)
    for window in range(2000):
        points = Points(window * MINUTE, MINUTE, rng.normal(size=1), np.ones(1))
        bank.score(np.arange(1), points)
        bank.learn(np.arange(1), points)
    (state,) = bank.snapshot()["detectors"]
    assert len(state["values"]) == len(state["sorted"]) == 256
    assert state["sorted"] == sorted(state["values"])
