"""A real fault leaves the thresholds alone; a false alarm raises them."""

from __future__ import annotations

import numpy as np
import pytest

from swirl.detector import Kind, Points
from swirl_detectors.change import ChangeBank, ChangeDetector

WINDOW_MS = 1_000
ALLOWED = 1 / (7 * 86_400 * 20)
ROWS = np.arange(2)


def limits_after(*, fault: bool, held: bool, chance: bool) -> tuple[float, float]:
    """The alarm limits of a ratio of 0.8 after 60 windows, with ten windows at 0.2 among them or not."""
    rng = np.random.default_rng(0)
    bank = ChangeDetector(warm_up=30).build(Kind.RATIO)
    assert isinstance(bank, ChangeBank)
    bank.grow(2)
    holding = False
    scores = None
    for window in range(61):
        if window % 10 == 0:
            bank.refresh(ALLOWED)
        broken = fault and 34 <= window < 44
        k = float(rng.binomial(25_000, 0.2 if broken else 0.8))
        points = Points(window * WINDOW_MS, WINDOW_MS, np.array([k, 25_000 - k]), np.full(2, 25_000.0))
        scores = bank.score(ROWS, points)
        if held and scores.alarm.any() and not holding:
            bank.hold(ROWS)
            holding = True
        if holding and window == 52:
            bank.release(ROWS, chance=chance)
            holding = False
        if not holding and not broken:
            bank.learn(ROWS, points)
    assert scores is not None
    return float(scores.low[0]), float(scores.high[0])


def test_after_a_real_fault_the_limits_are_as_narrow_as_without_it() -> None:
    quiet = limits_after(fault=False, held=True, chance=False)
    after = limits_after(fault=True, held=True, chance=False)
    assert quiet[0] > 0.6
    assert after[0] == pytest.approx(quiet[0], abs=0.05)


def test_after_a_false_alarm_the_limits_are_wider() -> None:
    quiet = limits_after(fault=False, held=True, chance=False)
    assert limits_after(fault=True, held=True, chance=True)[0] < quiet[0] - 0.1
    assert limits_after(fault=True, held=False, chance=False)[0] < quiet[0] - 0.1
