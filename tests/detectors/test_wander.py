"""What wanders is followed, what shifts is found, and the first hours do not spoil the later ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from swirl.budget import alarms_per_window
from swirl.detector import Kind, Points
from swirl_detectors.change import ChangeBank
from swirl_detectors.state import TILTS
from tests.detectors.streams import MINUTE, every

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Levels = Callable[[int], NDArray[np.float64] | float]

SLOW = [0, 1, TILTS, TILTS + 1]


def share() -> float:
    return alarms_per_window(1.0, 1, MINUTE)


def window(t: int, value: NDArray[np.float64]) -> Points:
    return Points(t * MINUTE, MINUTE, value, np.ones_like(value))


def watched(
    levels: Levels, windows: int, *, series: int, kind: Kind = Kind.LEVEL, seed: int = 1
) -> tuple[ChangeBank, NDArray[np.float64]]:
    """A bank after so many windows of normal noise about the levels, and the alarms of each series. After an
    alarm a series is held for half an hour."""
    rng, bank = np.random.default_rng(seed), ChangeBank(kind, pool=False)
    bank.grow(series)
    alarms, until = np.zeros(series), np.zeros(series)
    for t in range(windows):
        if t % 60 == 0:
            bank.refresh(share())
        value = levels(t) + rng.standard_normal(series)
        points = window(t, np.maximum(0, np.round(100 + 10 * value)) if kind is Kind.RATE else value)
        alarm = bank.score(every(series), points).alarm
        bank.learn(np.flatnonzero(until <= t), points)
        bank.release(np.flatnonzero(until == t), chance=True)
        bank.hold(np.flatnonzero(alarm))
        until[alarm] = t + 30
        alarms += alarm
    return bank, alarms


def found(bank: ChangeBank, start: int, sigmas: float, *, kind: Kind = Kind.LEVEL) -> NDArray[np.bool_]:
    """Which series tell of a shift within 150 windows."""
    series = bank.snapshot()["size"]
    rng, told = np.random.default_rng(2), np.zeros(series, dtype=np.bool_)
    bank.release(every(series))
    for t in range(start, start + 150):
        value = sigmas + rng.standard_normal(series)
        points = window(t, np.maximum(0, np.round(100 + 10 * value)) if kind is Kind.RATE else value)
        told |= bank.score(every(series), points).alarm
        bank.learn(np.flatnonzero(~told), points)
    return told


def test_a_shift_of_one_sigma_ten_hours_after_the_start_is_not_taken_for_wander() -> None:
    bank, _ = watched(lambda _: 0.0, 600, series=200)
    assert found(bank, 600, 1.0).mean() > 0.97


@pytest.mark.parametrize(("kind", "least"), [(Kind.LEVEL, 0.5), (Kind.RATE, 0.8)])
def test_a_fault_inside_the_warm_up_does_not_hide_the_next_one(kind: Kind, least: float) -> None:
    bank, _ = watched(lambda t: 3.0 * (20 <= t < 40), 1000, series=100, kind=kind)
    assert found(bank, 1000, 1.0, kind=kind).mean() > least


def test_the_end_of_a_short_fault_inside_the_warm_up_is_no_alarm() -> None:
    _, alarms = watched(lambda t: 3.0 * (20 <= t < 40), 120, series=200)
    assert alarms.mean() < 0.05


@pytest.mark.parametrize("step", [0.02, 0.1])
def test_a_level_that_wanders_without_bound_is_followed(step: float) -> None:
    """Five days of 100 series; without a memory this is dozens of times the budget."""
    rng, level = np.random.default_rng(5), np.zeros(100)

    def wander(_: int) -> NDArray[np.float64]:
        level[:] += step * rng.standard_normal(100)
        return level

    windows = 5 * 1440
    _, alarms = watched(wander, windows, series=100)
    assert alarms.sum() / (100 * windows * share()) < 2.5


def test_slow_channels_learn_their_tails_on_the_first_day_and_raise_no_alarm() -> None:
    rng, bank = np.random.default_rng(4), ChangeBank(Kind.LEVEL, pool=False)
    bank.grow(50)
    raised = set()
    for t in range(1400):
        if t % 60 == 0:
            bank.refresh(share())
        points = window(t, 0.5 * (t > 300) + rng.standard_normal(50))
        alarm = bank.score(every(50), points).alarm
        raised |= set((bank._pages[0].state.cut_by[alarm] - 1).astype(int).tolist())
        bank.learn(every(50), points)
    assert not raised & set(SLOW)
    assert raised
    assert bank._pages[0].state.counts[SLOW].sum() > 50


def test_slow_channels_begin_on_the_second_day() -> None:
    bank, _ = watched(lambda _: 0.0, 1560, series=50)
    assert found(bank, 1560, 0.5).mean() > 0.8


def test_a_million_points_leave_no_more_behind_than_a_few() -> None:
    series, rng = 500, np.random.default_rng(3)
    bank = ChangeBank(Kind.RATE)
    bank.grow(series)
    sizes = []
    for t in range(2000):
        if t % 60 == 0:
            bank.refresh(1e-6)
        points = window(t, rng.poisson(20.0, series).astype(float))
        bank.score(every(series), points)
        bank.learn(every(series), points)
        if t in (100, 1999):
            sizes.append(len(msgspec.msgpack.encode(bank.snapshot())))
    assert sizes[1] <= 1.01 * sizes[0]
    assert sizes[1] / series <= 4_000
