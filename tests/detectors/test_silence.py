"""The silence detector: dense and sparse streams, nights, and how long it waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from swirl.budget import alarms_per_window
from swirl.detector import Kind, Points
from swirl_detectors.silence import SilenceBank, SilenceDetector
from tests.detectors.streams import MINUTE, every, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEANS = np.array([25_000, 2_000, 100, 10, 5, 1, 0.3, 0.05, 0.01, 0.003])
SERIES = len(MEANS)


def bank_of(series: int = SERIES) -> SilenceBank:
    bank = SilenceDetector().build(Kind.RATE)
    bank.grow(series)
    bank.refresh(alarms_per_window(1, series, MINUTE))
    return bank


def window(at: int, count: NDArray[Any]) -> Points:
    return Points(at * MINUTE, MINUTE, count.astype(float), np.ones(len(count)))


def alarms(bank: SilenceBank, windows: list[Points]) -> int:
    told = 0
    for at, now in enumerate(windows):
        if at % 60 == 0:
            bank.refresh(alarms_per_window(1, len(now.value), MINUTE))
        told += int(run(bank, [now], every(len(now.value)))[0].alarm.sum())
    return told


def test_streams_that_are_normally_sparse_stay_within_the_budget() -> None:
    """Two days of Poisson counts, from 25 000 a minute to one in six hours; and with gamma rates."""
    rng = np.random.default_rng(1)
    assert alarms(bank_of(), [window(t, rng.poisson(MEANS)) for t in range(2 * 1440)]) <= 1
    bursty = [window(t, rng.poisson(MEANS * rng.gamma(0.5, 2, SERIES))) for t in range(2 * 1440)]
    assert alarms(bank_of(), bursty) <= 2


def test_a_silence_is_told_the_later_the_sparser_the_stream() -> None:
    rng = np.random.default_rng(2)
    bank = bank_of()
    alarms(bank, [window(t, rng.poisson(MEANS)) for t in range(2 * 1440)])
    delay = np.zeros(SERIES)
    for t in range(3000):
        scores = bank.score(every(SERIES), window(2 * 1440 + t, np.zeros(SERIES)))
        delay[scores.alarm & (delay == 0)] = t + 1
    assert (delay[:3] <= 4).all()
    assert (delay[:8] > 0).all()
    assert (np.diff(delay[:8]) >= 0).all()
    assert 8 <= delay[5] <= 60


def test_one_silence_raises_one_alarm() -> None:
    rng = np.random.default_rng(3)
    bank = bank_of(3)
    run(bank, [window(t, rng.poisson(100, 3)) for t in range(300)], every(3))
    scores = [bank.score(every(3), window(300 + t, np.zeros(3))) for t in range(50)]
    assert sum(int(s.alarm.sum()) for s in scores) == 3
    assert (scores[40].since_ms == 300 * MINUTE).all()


def test_a_held_series_is_loud_while_it_is_silent_and_calm_with_the_first_event() -> None:
    bank = bank_of(1)
    run(bank, [window(t, np.full(1, 50.0)) for t in range(300)], every(1))
    bank.hold(every(1))
    loud = [bool(bank.score(every(1), window(300 + t, np.zeros(1))).loud[0]) for t in range(20)]
    assert all(loud[5:])
    assert not bank.score(every(1), window(320, np.ones(1))).loud[0]


def test_a_shop_that_closes_at_night_is_told_of_once() -> None:
    rng = np.random.default_rng(4)
    bank = bank_of(5)
    open_ = [max(0.0, float(np.sin(t / 1440 * 2 * np.pi))) for t in range(3 * 1440)]
    days = [window(t, rng.poisson(MEANS[:5] * share)) for t, share in enumerate(open_)]
    alarms(bank, days[:1440])
    assert alarms(bank, days[1440:]) == 0


def test_only_counts_are_judged() -> None:
    with pytest.raises(ValueError, match="counts"):
        SilenceDetector().build(Kind.LEVEL)
