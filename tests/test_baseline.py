"""Baselines by day: what creeps away is seen against a week that does not follow it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from swirl.baseline import DAY_MS, Baselines, Creep
from swirl.detector import Kind, Points
from swirl.effect import SeriesKey
from swirl.series import SeriesTable
from tests.incident.simulator import drain

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOWS = 24
START = 1_767_225_600_000


class Week:
    """Series that are fed day by day."""

    def __init__(self, kind: Kind, series: int = 20, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.kind, self.series, self.day = kind, series, 0
        self.table = SeriesTable(1000)
        metric = "invalid_ratio" if kind is Kind.RATIO else "records"
        self.keys = [SeriesKey("s", metric, str(number)) for number in range(series)]
        for key in self.keys:
            self.table.add(key, kind)
        self.baselines = Baselines(self.table)
        self.found: list[tuple[int, Creep]] = []

    def live(self, days: int, level: Callable[[int], float], noise: float = 0.02) -> None:
        for _ in range(days):
            weekend = 0.5 if self.day % 7 >= 5 else 1.0
            means = level(self.day) * weekend * np.exp(self.rng.normal(0, noise, self.series))
            for window in range(WINDOWS):
                self.window(START + self.day * DAY_MS + window * DAY_MS // WINDOWS, means)
            self.day += 1

    def window(self, start_ms: int, means: np.ndarray) -> None:
        found = drain(self.baselines.turn(start_ms, 0.1))
        self.found += [(self.day, creep) for creep in found]
        weight = np.full(self.series, 5000.0 if self.kind is Kind.RATIO else 1.0)
        value = (
            self.rng.binomial(5000, np.minimum(means, 1.0)).astype(float)
            if self.kind is Kind.RATIO
            else self.rng.poisson(means).astype(float)
        )
        points = Points(start_ms, DAY_MS // WINDOWS, value, weight)
        self.baselines.learn(self.kind, points, np.zeros(self.series, np.bool_))


@pytest.mark.parametrize(("kind", "level"), [(Kind.RATE, 1000.0), (Kind.RATIO, 0.3)])
def test_a_series_that_stays_is_not_told_for_ten_weeks_whatever_its_weekends_do(
    kind: Kind, level: float
) -> None:
    week = Week(kind)
    week.live(70, lambda _: level)
    assert week.found == []


@pytest.mark.parametrize(("kind", "level"), [(Kind.RATE, 1000.0), (Kind.RATIO, 0.3)])
@pytest.mark.parametrize("step", [-0.01, 0.01])
def test_one_percent_a_day_is_told_within_three_weeks_and_said_in_percent_a_day(
    kind: Kind, level: float, step: float
) -> None:
    week = Week(kind)
    week.live(28, lambda day: level * (1 + step) ** day)
    days = [day for day, _ in week.found]
    assert len(days) == week.series
    assert max(days) <= 24
    assert np.median([creep.a_day for _, creep in week.found]) == pytest.approx(step, rel=0.3)
    assert {creep.version for _, creep in week.found} == {1}


def test_a_wandering_level_is_told_less_often_than_one_that_creeps() -> None:
    week = Week(Kind.RATE)
    walk = np.exp(np.random.default_rng(1).normal(0, 0.005, 100).cumsum())
    week.live(70, lambda day: 1000.0 * walk[day])
    assert len(week.found) <= 2


def test_what_is_adopted_is_the_baseline_from_then_on_and_the_old_one_can_be_put_back() -> None:
    week = Week(Kind.RATE, series=1)
    week.live(28, lambda day: 1000.0 * 0.99**day)
    (key,) = week.keys
    ((_, creep),) = week.found
    assert week.baselines.loud == {key}
    week.baselines.adopt([key])
    assert week.baselines.loud == frozenset()
    assert [number for number, _, _ in week.baselines.versions(key)] == [1, 2]
    week.live(28, lambda _: 1000.0 * 0.99**28)
    assert len(week.found) == 1
    assert week.baselines.go_back(key)
    assert [mean for _, _, mean in week.baselines.versions(key)] == [pytest.approx(creep.before)]
    week.live(2, lambda _: 1000.0 * 0.99**28)
    assert len(week.found) == 2
    assert not week.baselines.go_back(key)
    assert not week.baselines.go_back(SeriesKey("s", "nothing"))


def test_days_that_were_half_unseen_do_not_count() -> None:
    week = Week(Kind.RATE, series=1)
    week.live(10, lambda _: 1000.0)
    for _ in range(20):
        week.window(START + week.day * DAY_MS, np.array([1.0]))
        week.day += 1
    week.live(10, lambda _: 1000.0)
    assert week.found == []


def test_what_is_held_or_not_measured_is_left_out() -> None:
    week = Week(Kind.LEVEL, series=2)
    drain(week.baselines.turn(START, 0.1))
    for day in range(1, 9):
        for window in range(WINDOWS):
            start = START + day * DAY_MS + window * DAY_MS // WINDOWS
            drain(week.baselines.turn(start, 0.1))
            values = np.array([np.nan if window % 2 else 5.0, 1e300])
            points = Points(start, DAY_MS // WINDOWS, values, np.ones(2))
            week.baselines.learn(Kind.LEVEL, points, np.array([False, window % 3 == 0]))
    assert week.baselines.versions(week.keys[0])[0][2] == pytest.approx(5.0)
    assert week.baselines.versions(week.keys[1]) == []


def test_a_snapshot_goes_on_exactly_and_its_size_does_not_grow() -> None:
    one, other = Week(Kind.RATE, series=3), Week(Kind.RATE, series=3)
    one.live(30, lambda day: 1000.0 * 0.995**day)
    size = len(str(one.baselines.snapshot()))
    other.baselines.restore(one.baselines.snapshot())
    other.rng.bit_generator.state = one.rng.bit_generator.state
    other.day, other.found = one.day, list(one.found)
    for week in (one, other):
        week.live(30, lambda day: 1000.0 * 0.995**day)
    assert other.found == one.found
    assert other.baselines.snapshot() == one.baselines.snapshot()
    assert len(str(one.baselines.snapshot())) < 1.2 * size


@pytest.mark.parametrize("metric", ["input_ratio", "latency_p50", "lag", "version_contrast"])
def test_distributions_residuals_and_differences_of_versions_have_no_baseline_here(metric: str) -> None:
    table = SeriesTable(10)
    table.add(SeriesKey("s", metric), Kind.LEVEL)
    baselines = Baselines(table)
    for day in range(5):
        drain(baselines.turn(START + day * DAY_MS, 1.0))
        points = Points(START + day * DAY_MS, DAY_MS, np.ones(1), np.ones(1))
        baselines.learn(Kind.LEVEL, points, np.zeros(1, np.bool_))
        baselines.learn(Kind.DISTRIBUTION, points, np.zeros(1, np.bool_))
    assert baselines.series == ()
