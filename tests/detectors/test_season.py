"""The baseline of day and week: what it forecasts, what does not bend it, and what a holiday does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from swirl.detector import Kind, Points
from swirl.errors import SnapshotError
from swirl_detectors.change import ChangeBank, ChangeDetector
from swirl_detectors.season import DAY_MS, bins_a_day, week_part
from tests.detectors.streams import MINUTE, differing, every

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Factor = Callable[[float], float]

QUARTER = 15 * MINUTE
A_DAY = DAY_MS // QUARTER
MONDAY = 4 * DAY_MS
SHARE = 1e-5


def points(window: int, value: Any, window_ms: int = QUARTER) -> Points:
    value = np.atleast_1d(np.asarray(value, dtype=float))
    return Points(MONDAY + window * window_ms, window_ms, value, np.ones(len(value)))


def bank_of(kind: Kind, series: int = 1) -> ChangeBank:
    bank = ChangeBank(kind, pool=False)
    bank.grow(series)
    bank.refresh(SHARE)
    return bank


def weekend(days: float) -> float:
    """Half on Saturday and Sunday, entered and left within six hours around midnight."""
    part = days % 7
    off = min(max((part - 5) * 4 + 0.5, 0.0), 1.0) - min(max((part - 7) * 4 + 0.5, 0.0), 1.0)
    return float((1 + 0.5 * np.sin(2 * np.pi * (days - 0.3))) * (1 - 0.5 * off))


def live(
    bank: ChangeBank, factor: Factor, first: float, last: float, *, series: int = 1
) -> NDArray[np.int64]:
    """Poisson windows of a quarter of an hour, as a monitor runs them; alarms of each series."""
    rng = np.random.default_rng(round(first * A_DAY))
    rows = every(series)
    until, alarms = np.zeros(series, dtype=int), np.zeros(series, dtype=np.int64)
    held = np.zeros(series, dtype=bool)
    bank.release(rows)
    for window in range(round(first * A_DAY), round(last * A_DAY)):
        if window % 24 == 0:
            bank.refresh(SHARE)
        now = points(window, rng.poisson(1000 * factor(window / A_DAY), series))
        scores = bank.score(rows, now)
        bank.learn(rows[~held & ~scores.alarm], now)
        until[scores.alarm | scores.loud] = window + 8
        over = held & (until <= window)
        bank.release(rows[over], chance=True)
        bank.hold(rows[scores.alarm])
        held = (held & ~over) | scores.alarm
        alarms += scores.alarm
    return alarms


def expected_at(bank: ChangeBank, day: float, rows: NDArray[np.intp] | None = None) -> NDArray[np.float64]:
    start = MONDAY + round(day * A_DAY) * QUARTER
    return bank.forecast(every(1) if rows is None else rows, start, QUARTER)[0]


def test_before_a_day_is_known_the_forecast_is_the_level_then_the_day_then_the_week() -> None:
    bank = bank_of(Kind.RATE)
    live(bank, weekend, 0, 1)
    night, noon = (float(expected_at(bank, 1 + part)[0]) for part in (0.05, 0.55))
    assert night == noon
    live(bank, weekend, 1, 3)
    for part in (0.05, 0.55, 0.8):
        assert expected_at(bank, 3 + part)[0] == pytest.approx(1000 * weekend(3 + part), rel=0.1)
    assert expected_at(bank, 5.55)[0] > 1500 * weekend(5.55)
    live(bank, weekend, 3, 14)
    for day in (14.55, 15.05, 19.3, 19.55, 20.8):
        assert expected_at(bank, day)[0] == pytest.approx(1000 * weekend(day), rel=0.13), day


def test_a_known_weekend_is_no_alarm_and_a_monday_like_one_is() -> None:
    series = 8
    bank = bank_of(Kind.RATE, series)
    live(bank, weekend, 0, 19, series=series)
    assert live(bank, weekend, 19, 21, series=series).sum() <= 2
    # Some are taken for a weekend before there is enough evidence of a fault.
    assert (live(bank, lambda day: weekend(day - 2), 21, 22, series=series) > 0).sum() >= 6


def test_a_holiday_costs_about_one_alarm_and_does_not_bend_its_weekday() -> None:
    series = 8
    bank = bank_of(Kind.RATE, series)

    def holiday(days: float) -> float:
        return weekend(days) * (0.5 if 16 <= days < 17 else 1.0)

    live(bank, holiday, 0, 16, series=series)
    assert live(bank, holiday, 16, 17, series=series).mean() <= 2
    live(bank, holiday, 17, 23, series=series)
    rows = every(series)
    assert expected_at(bank, 23.55, rows) == pytest.approx(np.full(series, 1000 * weekend(23.55)), rel=0.1)


def test_on_a_holiday_the_forecast_becomes_that_of_the_day_it_is_like() -> None:
    bank = bank_of(Kind.RATE)
    live(bank, weekend, 0, 16)
    live(bank, lambda days: weekend(days + 3), 16, 16.5)
    assert expected_at(bank, 16.6)[0] == pytest.approx(1000 * weekend(19.6), rel=0.15)
    assert expected_at(bank, 17.6)[0] == pytest.approx(1000 * weekend(17.6), rel=0.15)


def test_a_fall_by_a_third_is_an_alarm_and_not_taken_for_a_weekend() -> None:
    series = 8
    bank = bank_of(Kind.RATE, series)
    live(bank, weekend, 0, 16, series=series)
    assert (live(bank, lambda days: 0.67 * weekend(days), 16, 17, series=series) > 0).sum() >= 6
    rows = every(series)
    assert np.median(expected_at(bank, 16.9, rows)) == pytest.approx(1000 * weekend(16.9), rel=0.15)


def test_a_burst_inside_a_quarter_of_an_hour_does_not_become_the_season() -> None:
    quiet, burst = bank_of(Kind.RATE), bank_of(Kind.RATE)
    rng = np.random.default_rng(1)
    for window in range(1440 + 720):
        value = float(rng.poisson(100 + 50 * np.sin(2 * np.pi * window / 1440)))
        for bank, factor in ((quiet, 1.0), (burst, 20.0 if 904 <= window < 907 else 1.0)):
            now = points(window, value * factor, MINUTE)
            bank.score(every(1), now)
            bank.learn(every(1), now)
    start = MONDAY + (1440 + 905) * MINUTE
    usual, after = (bank.forecast(every(1), start, MINUTE)[0][0] for bank in (quiet, burst))
    assert after == pytest.approx(usual, rel=0.1)


def test_a_new_level_scales_the_season_of_a_rate_and_moves_that_of_a_level() -> None:
    for kind in (Kind.RATE, Kind.LEVEL):
        bank = bank_of(kind)

        def shape(days: float, kind: Kind = kind) -> float:
            wave = np.sin(2 * np.pi * days)
            return float(1 + (0.5 if kind is Kind.RATE else 0.2) * wave)

        live(bank, shape, 0, 3)
        steady = expected_at(bank, 4.25)[0] - expected_at(bank, 4.75)[0]
        bank.hold(every(1))
        for window in range(3 * A_DAY, 3 * A_DAY + A_DAY):
            fallen = 500 * shape(window / A_DAY) if kind is Kind.RATE else 1000 * shape(window / A_DAY) - 500
            bank.score(every(1), points(window, fallen))
        bank.release(every(1), adopt=True)
        high, low = expected_at(bank, 4.25)[0], expected_at(bank, 4.75)[0]
        assert high - low == pytest.approx(steady * (0.5 if kind is Kind.RATE else 1.0), rel=0.4), kind


def test_a_forecast_changes_nothing_and_agrees_with_the_scores() -> None:
    bank = bank_of(Kind.RATE, 3)
    live(bank, weekend, 0, 9, series=3)
    before = bank.snapshot()
    expected, deviation = bank.forecast(every(3), MONDAY + 9 * DAY_MS, QUARTER)
    assert bank.snapshot() == before
    scores = bank.score(every(3), points(9 * A_DAY, np.full(3, 500.0)))
    assert expected == pytest.approx(scores.expected, rel=0.25)
    assert (deviation > 10).all()
    assert (deviation < 200).all()
    nothing, none = bank.forecast(np.zeros(0, dtype=np.intp), MONDAY, QUARTER)
    assert len(nothing) == len(none) == 0
    fresh = bank_of(Kind.LEVEL)
    assert np.isnan(fresh.forecast(every(1), MONDAY, QUARTER)).all()


@pytest.mark.parametrize("kind", [Kind.RATE, Kind.RATIO, Kind.LEVEL, Kind.POSITIVE])
def test_a_forecast_is_in_the_units_of_the_value(kind: Kind) -> None:
    bank = bank_of(kind)
    rng = np.random.default_rng(2)
    for window in range(150):
        value = rng.binomial(500, [0.3]) * (1.0 if kind is not Kind.POSITIVE else 1e-3)
        now = Points(window * QUARTER, QUARTER, value.astype(float), np.full(1, 500.0))
        bank.score(every(1), now)
        bank.learn(every(1), now)
    expected, deviation = bank.forecast(every(1), 150 * QUARTER, QUARTER)
    unit = {Kind.RATIO: 1 / 500, Kind.POSITIVE: 1e-3}.get(kind, 1.0)
    assert expected[0] == pytest.approx(150 * unit, rel=0.1)
    assert deviation[0] == pytest.approx(np.sqrt(500 * 0.3 * 0.7) * unit, rel=0.5)


def test_a_series_with_a_known_week_resumes_bit_for_bit_and_alone_is_as_among_others() -> None:
    bank = bank_of(Kind.RATE, 3)
    live(bank, weekend, 0, 9, series=3)
    resumed = ChangeDetector().build(Kind.RATE, bank.snapshot())
    rng = np.random.default_rng(3)
    for window in range(9 * A_DAY, 10 * A_DAY):
        value = rng.poisson(900, 3).astype(float)
        value[window % 3] = np.nan if window % 7 == 0 else value[window % 3]
        a, b = (each.score(every(3), points(window, value)) for each in (bank, resumed))
        assert not differing(a, b)
        for each in (bank, resumed):
            each.learn(every(3), points(window, value))
    assert bank.snapshot()["profiles"] == resumed.snapshot()["profiles"]


def test_a_series_does_not_depend_on_its_neighbours() -> None:
    many, one = bank_of(Kind.RATE, 3), bank_of(Kind.RATE, 1)
    rng = np.random.default_rng(4)
    for window in range(9 * A_DAY):
        value = rng.poisson(1000 * weekend(window / A_DAY), 3).astype(float)
        if window % 5 == 0:
            value[:2] = np.nan
        a, b = many.score(every(3), points(window, value)), one.score(every(1), points(window, value[2:]))
        assert np.array_equal(a.expected[2:], b.expected, equal_nan=True)
        many.learn(every(3), points(window, value))
        one.learn(every(1), points(window, value[2:]))


def test_a_damaged_profile_is_refused() -> None:
    bank = bank_of(Kind.RATE, 2)
    snapshot = bank.snapshot()
    snapshot["profiles"] = [snapshot["profiles"][0][:-1]]
    with pytest.raises(SnapshotError, match="damaged"):
        ChangeDetector().build(Kind.RATE, snapshot)


@pytest.mark.parametrize("kind", [Kind.RATE, Kind.LEVEL, Kind.POSITIVE])
def test_hostile_values_and_clocks_do_not_poison_the_season(kind: Kind) -> None:
    bank = bank_of(kind, 4)
    rng = np.random.default_rng(6)
    hostile = [np.nan, np.inf, -np.inf, 1e300, -1e300, 0.0, -5.0]
    for window in range(9 * A_DAY):
        at = window if window % 50 else max(window - 700, 0)
        value = np.array([rng.poisson(100), 7.0, 1e12 + rng.normal(), rng.poisson(3)], dtype=float)
        value[3] = hostile[window % 7] if window % 3 == 0 else value[3]
        scores = bank.score(every(4), points(at, value))
        bank.learn(every(4), points(at, value))
        bank.refresh(SHARE) if window % 96 == 0 else None
    expected, deviation = bank.forecast(every(4), MONDAY + 9 * DAY_MS, QUARTER)
    assert np.isfinite(scores.evidence).all()
    assert np.isfinite(expected[:3]).all()
    assert expected[:3] == pytest.approx([100, 7, 1e12], rel=0.2)
    assert np.isfinite(deviation[:3]).all()
    assert not np.isnan(np.frombuffer(bank.snapshot()["pages"][0])).any()


def test_all_state_of_a_series_is_at_most_four_kilobytes() -> None:
    bank = bank_of(Kind.RATE, 1000)
    snapshot = bank.snapshot()
    size = sum(len(data) for name in ("pages", "profiles") for data in snapshot[name])
    assert size <= 4096 * 1000


@pytest.mark.parametrize("minutes", [1, 7, 15, 40, 60, 61, 360, 1440, 4000])
def test_windows_of_any_length_have_their_parts_of_day_and_week(minutes: int) -> None:
    length = minutes * MINUTE
    parts = bins_a_day(length)
    assert 1 <= parts <= 96
    bank = bank_of(Kind.LEVEL)
    rng = np.random.default_rng(7)
    for window in range(400):
        assert 0 <= week_part(MONDAY + window * length, parts) < 7 * parts
        now = points(window, rng.normal(size=1), length)
        scores = bank.score(every(1), now)
        bank.learn(every(1), now)
    assert abs(scores.expected[0]) < 2


def test_a_fault_of_the_first_day_does_not_alarm_at_the_same_hour_of_the_second() -> None:
    """It was too short to be told, and its quarters of an hour have become the season's."""
    series = 60
    again, without = (second_day(factor, series) for factor in (1.5, 1.0))
    assert again.sum() <= without.sum() + 2


def second_day(factor: float, series: int) -> NDArray[np.int64]:
    """Alarms from 9 to 12 on the second day of a rate that was so many times its season from 10 to 11 on the
    first."""
    bank, rng, rows = bank_of(Kind.RATE, series), np.random.default_rng(8), every(series)
    alarms = np.zeros(series, dtype=np.int64)
    for window in range(1440 + 720):
        usual = 100 * (1 + 0.5 * np.sin(2 * np.pi * window / 1440))
        now = points(window, rng.poisson(usual * (factor if 600 <= window < 660 else 1.0), series), MINUTE)
        if window % 60 == 0:
            bank.refresh(SHARE)
        scores = bank.score(rows, now)
        bank.learn(rows, now)
        if window >= 1440 + 540:
            alarms += scores.alarm
    return alarms
