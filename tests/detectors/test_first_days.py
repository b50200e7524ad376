"""The first days of a rhythm: how it comes into the forecast, and what incidents leave of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from swirl.detector import Kind, Points
from swirl_detectors.change import ChangeBank
from swirl_detectors.season import DAY_MS
from tests.detectors.streams import MINUTE, every

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

MONDAY = 4 * DAY_MS
SHARE = 1e-5


def wave(day: float) -> float:
    return float(1 + 0.5 * np.sin(2 * np.pi * day))


class Life:
    """Poisson series with a daily rhythm, held where the test says so.

    Args:
        series: how many.
        window_ms: length of the windows.
        pooled: they share their tails.
    """

    def __init__(self, series: int, window_ms: int = 5 * MINUTE) -> None:
        self.bank = ChangeBank(Kind.RATE, pool=False)
        self.bank.grow(series)
        self.bank.refresh(SHARE)
        self.rows = every(series)
        self.window_ms, self.a_day = window_ms, DAY_MS // window_ms
        self.rng = np.random.default_rng(3)
        self.held = np.zeros(series, dtype=np.bool_)
        self.window = 0

    def until(
        self,
        day: float,
        *,
        factor: Callable[[float], float] = wave,
        held: Callable[[float], bool] = lambda _: False,
        times: float = 1.0,
    ) -> Array:
        """Go on until a day; the alarms of each series, by window."""
        alarms = []
        while self.window < round(day * self.a_day):
            if self.window * self.window_ms % (60 * MINUTE) == 0:
                self.bank.refresh(SHARE)
            now = self.window / self.a_day
            self._hold(held=held(now))
            points = self._points(100 * times * factor(now))
            scores = self.bank.score(self.rows, points)
            self.bank.learn(self.rows[~self.held], points)
            alarms.append(scores.alarm)
            self.window += 1
        return np.array(alarms, dtype=float)

    def _points(self, mean: float) -> Points:
        value = self.rng.poisson(mean, len(self.rows)).astype(float)
        start = MONDAY + self.window * self.window_ms
        return Points(start, self.window_ms, value, np.ones(len(value)))

    def _hold(self, *, held: bool) -> None:
        if held and not self.held.any():
            self.bank.hold(self.rows)
        elif self.held.any() and not held:
            self.bank.release(self.rows)
        self.held[:] = held

    def expected(self, day: float) -> float:
        """The mean forecast of all series, as a share of what is true."""
        start = MONDAY + round(day * self.a_day) * self.window_ms
        return float(self.bank.forecast(self.rows, start, self.window_ms)[0].mean() / (100 * wave(day)))


def between(first: float, last: float) -> Callable[[float], bool]:
    return lambda day: first <= day < last


def test_the_hour_in_which_a_rhythm_is_first_known_costs_no_alarms() -> None:
    """The deviations change with the forecast: what the memory holds is carried over in the new ones."""
    life = Life(80, window_ms=MINUTE // 3)
    life.until(1.0, factor=lambda day: wave(day + 0.7))
    assert life.until(1.03, factor=lambda day: wave(day + 0.7)).any(axis=0).mean() < 0.03


def test_the_level_of_a_rhythm_is_that_of_its_whole_day() -> None:
    life = Life(20, window_ms=MINUTE)
    life.until(1.001)
    assert life.expected(1.25) == pytest.approx(1.0, abs=0.04)
    assert life.expected(1.75) == pytest.approx(1.0, abs=0.15)


def test_the_edges_of_an_incident_are_not_learnt_as_the_rhythm() -> None:
    life = Life(20)
    incident = between(1.503, 1.54)
    life.until(1.5)
    # Its first window is not held yet.
    life.until(1.54, held=incident, times=1.35)
    life.until(2.45)
    for day in (2.502, 2.51, 2.53):
        assert life.expected(day) == pytest.approx(1.0, abs=0.12), day


def test_an_hour_that_the_first_day_did_not_show_lies_between_its_neighbours() -> None:
    life = Life(20)
    life.until(1.3, held=between(0.22, 0.28))
    assert life.expected(1.35) == pytest.approx(1.0, abs=0.1)
    assert life.expected(2.25) == pytest.approx(1.0, abs=0.12)


def test_a_new_level_in_the_first_day_of_a_rhythm_does_not_move_what_was_seen() -> None:
    """What looked like a new level was noon."""
    life = Life(20)
    life.until(0.3, held=between(0.2, 0.3))
    life.bank.release(life.rows, adopt=True)
    life.until(1.4)
    for day in (1.45, 1.9):
        assert life.expected(day) == pytest.approx(1.0, abs=0.12), day


def test_what_is_held_at_the_same_hour_of_three_days_is_a_rhythm() -> None:
    def batch(day: float) -> float:
        return wave(day) * (2.0 if 0.5 <= day % 1 < 0.53 else 1.0)

    life = Life(20, window_ms=15 * MINUTE)
    life.until(7.0)
    days = []
    for day in range(7, 12):
        life.until(day + 1.0, factor=batch, held=between(day + 0.5, day + 0.53))
        days.append(life.expected(day + 1 + 0.516))
    assert days[0] == pytest.approx(1.0, abs=0.1)
    assert days[1] == pytest.approx(1.0, abs=0.1)
    assert days[-1] == pytest.approx(2.0, abs=0.4)


def test_doubt_about_a_new_rhythm_leans_to_no_side() -> None:
    """Slow charts on the second and third day: rises are as rare as falls, and both are rare."""
    rng = np.random.default_rng(5)
    series, a_day = 60, 720
    bank = ChangeBank(Kind.LEVEL, pool=False)
    bank.grow(series)
    bank.refresh(1e-4)
    rows, rises, falls = every(series), 0, 0
    for window in range(3 * a_day):
        if window % 30 == 0:
            bank.refresh(1e-4)
        value = 0.6 * np.sin(2 * np.pi * window / a_day) + rng.standard_normal(series)
        points = Points(MONDAY + window * 2 * MINUTE, 2 * MINUTE, value, np.ones(series))
        scores = bank.score(rows, points)
        bank.learn(rows, points)
        if window >= a_day:
            rises += int((scores.alarm & (scores.value > scores.expected)).sum())
            falls += int((scores.alarm & (scores.value < scores.expected)).sum())
    promised = series * 2 * a_day * 1e-4
    assert rises + falls < 2 * promised
