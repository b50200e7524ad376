"""Several detectors for one kind of series: one budget, and the nearest limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest

from swirl.detector import Kind, Points, Rows, Scores
from swirl.effect import SeriesKey, State
from swirl.monitor import default_detectors
from swirl.monitor.judge import Judge
from swirl.monitor.seating import Seating
from swirl.monitor.seen import Judged
from swirl.series import Measured, SeriesTable
from swirl.settings import MonitorSettings

WEEK_OF_MINUTES = 7 * 24 * 60
RATE, RATIO = SeriesKey("a", "records"), SeriesKey("a", "invalid_ratio")


@dataclass
class Limits:
    """A bank with fixed limits, which raises an alarm outside them."""

    low: float
    high: float
    shares: list[float] = field(default_factory=list)
    size: int = 0

    def grow(self, size: int) -> None:
        self.size = size

    def score(self, rows: Rows, points: Points) -> Scores:
        none = Scores.neutral(points)
        alarm = (points.value < self.low) | (points.value > self.high)
        low, high = np.full(len(rows), self.low), np.full(len(rows), self.high)
        no = np.zeros(len(rows), np.bool_)
        evidence = np.where(alarm, 2.0, 0.5)
        return Scores(points.value, evidence, none.expected + 5, low, high, alarm, no, no, none.since_ms, no)

    def learn(self, rows: Rows, points: Points) -> None: ...

    def hold(self, rows: Rows) -> None: ...

    def release(self, rows: Rows, *, adopt: bool = False, chance: bool = False) -> None: ...

    def refresh(self, alarms_per_window: float) -> None:
        self.shares.append(alarms_per_window)

    def snapshot(self) -> dict[str, Any]:
        return {"size": self.size}


@dataclass(frozen=True)
class FixedLimits:
    """Its configuration."""

    name: ClassVar[str] = "limits"
    kinds: ClassVar[frozenset[Kind]] = frozenset(Kind)
    bank: Limits

    def build(self, kind: Kind, resume: dict[str, Any] | None = None) -> Limits:
        return self.bank


def judged(judge: Judge, rate: float) -> dict[Kind, Judged]:
    measured = [Measured(RATE, Kind.RATE, rate), Measured(RATIO, Kind.RATIO, 1, 10)]
    kinds = judge.judge(measured, 0, 60_000, whole=True)
    return {Kind.RATE if RATE in part.keys else Kind.RATIO: part for part in kinds}


@pytest.fixture
def banks() -> list[Limits]:
    return [Limits(10, 1000), Limits(60, float("nan")), Limits(0, 10)]


@pytest.fixture
def judge(banks: list[Limits]) -> Judge:
    first, second, third = (FixedLimits(bank) for bank in banks)
    return Judge(Seating({Kind.RATE: (first, second), Kind.RATIO: (third,)}, SeriesTable(10), 3.0, 60_000))


def test_two_detectors_of_one_series_share_the_budget_with_all_others(
    judge: Judge, banks: list[Limits]
) -> None:
    judged(judge, 100.0)
    assert sum(bank.shares[-1] * bank.size for bank in banks) == pytest.approx(3.0 / WEEK_OF_MINUTES)
    assert len({bank.shares[-1] for bank in banks}) == 1


def test_the_limits_that_are_shown_are_those_that_would_raise_the_alarm(judge: Judge) -> None:
    inside = judged(judge, 120.0)[Kind.RATE]
    assert inside.numbers[4:6, 0].tolist() == [1.0, 1000 / 60]
    assert judge.alarms == []
    below = judged(judge, 30.0)[Kind.RATE]
    assert below.numbers[0, 0] < below.numbers[4, 0]
    assert below.states[0] == State.ANOMALY
    assert [alarm.key for alarm in judge.alarms] == [RATE]


def test_a_series_that_finds_no_place_any_more_is_not_held_after_a_restart(judge: Judge) -> None:
    judged(judge, 100.0)
    judge.seating.hold([RATE, RATIO])
    fewer = Judge(
        Seating(
            {Kind.RATE: (FixedLimits(Limits(0, 1)),) * 2, Kind.RATIO: (FixedLimits(Limits(0, 1)),)},
            SeriesTable(1),
            3.0,
            60_000,
        )
    )
    fewer.restore(judge.snapshot())
    assert fewer.seating.held == {RATE}
    assert judged(fewer, 100.0)


def test_all_detectors_have_the_warm_up_of_the_settings() -> None:
    found = default_detectors(MonitorSettings(warm_up_windows=17))
    assert {getattr(d, "warm_up", None) for detectors in found.values() for d in detectors} == {17}


def test_a_series_that_is_judged_as_a_ratio_to_another_is_shown_in_its_own_unit_and_has_its_floor_there() -> (
    None
):
    slowest = SeriesKey("a", "latency_p95")
    judge = Judge(Seating(default_detectors(MonitorSettings()), SeriesTable(10), 1000.0, 60_000))
    for number in range(200):
        tail = 1.3 if number < 150 else 3.0
        measured = [Measured(slowest, Kind.POSITIVE, tail + 0.001 * (number % 5), scale=1e-6)]
        (part,) = judge.judge(measured, number * 60_000, 60_000, whole=True)
        assert part.numbers[0, 0] == pytest.approx(tail * 1e-6, rel=0.01)
        # A millionth of a second more is nothing that a person must be told of.
        assert judge.alarms == []
        assert list(judge.learn())
