"""The flatline detector: series that stop moving, and those that never moved much."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from swirl.budget import alarms_per_window
from swirl.detector import Kind, Points
from swirl.errors import SnapshotError
from swirl_detectors.flatline import FlatlineBank, FlatlineDetector
from tests.detectors.streams import MINUTE, differing, every, part, run, stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def windows(values: Array, *, first: int = 0) -> list[Points]:
    """One window for each row of values, shape ``(windows, series)``."""
    one = np.ones(values.shape[1])
    return [Points((first + at) * MINUTE, MINUTE, row, one) for at, row in enumerate(values)]


def bank_of(series: int, kind: Kind = Kind.LEVEL) -> FlatlineBank:
    bank = FlatlineDetector().build(kind)
    bank.grow(series)
    bank.refresh(alarms_per_window(1, series, MINUTE))
    return bank


def alarms(bank: FlatlineBank, values: Array, *, first: int = 0) -> list[int]:
    """Windows with an alarm, refreshed every hour."""
    found = []
    for at, window in enumerate(windows(values, first=first)):
        if at % 60 == 0:
            bank.refresh(alarms_per_window(1, values.shape[1], MINUTE))
        found += [first + at] * int(run(bank, [window], every(values.shape[1]))[0].alarm.sum())
    return found


def noise(length: int, series: int = 1, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(length, series))


def test_a_series_that_stands_still_is_told_of_once_within_a_quarter_of_an_hour() -> None:
    bank = bank_of(1)
    assert alarms(bank, noise(600)) == []
    found = alarms(bank, np.full((200, 1), 0.25), first=600)
    assert len(found) == 1
    assert found[0] <= 615
    scores = bank.score(every(1), windows(np.full((1, 1), 0.25), first=800)[0])
    assert scores.since_ms[0] == 601 * MINUTE


def test_a_second_standstill_is_told_too_when_the_first_was_an_incident() -> None:
    bank = bank_of(1)
    alarms(bank, noise(600))
    for first in (600, 800):
        still = windows(np.full((30, 1), 0.25), first=first)
        told = [bool(bank.score(every(1), window).alarm[0]) for window in still]
        assert sum(told) == 1
        bank.hold(every(1))
        bank.score(every(1), windows(noise(1), first=first + 30)[0])
        bank.release(every(1))
        run(bank, windows(noise(100, seed=first), first=first + 40), every(1))


@pytest.mark.parametrize(
    "law",
    [
        pytest.param(lambda rng, n: rng.poisson(2.0, (n, 5)), id="small counts"),
        pytest.param(lambda rng, n: rng.normal(size=(n, 5)).round(0), id="coarse rounding"),
        pytest.param(
            lambda rng, n: np.repeat(rng.normal(size=(n // 5, 5)), 5, axis=0), id="every fifth window"
        ),
        pytest.param(lambda rng, n: (rng.random((n, 5)) < 0.02).cumsum(axis=0), id="steps at random"),
        pytest.param(lambda rng, n: (rng.random((n, 5)) < 0.9) * 1.0, id="nearly always one"),
    ],
)
def test_a_series_whose_own_repeats_are_long_stays_within_the_budget(
    law: Callable[[np.random.Generator, int], Array],
) -> None:
    values = np.asarray(law(np.random.default_rng(1), 2 * 1440), dtype=float)
    assert len(alarms(bank_of(5), values)) <= 1


def test_a_series_that_never_varied_is_normal() -> None:
    bank = bank_of(2)
    values = np.full((3000, 2), 5.0)
    values[:, 1] = np.arange(3000) // 300
    assert alarms(bank, values) == []


def test_it_takes_more_repeats_where_repeats_are_usual() -> None:
    rng = np.random.default_rng(2)
    draws = (rng.normal(size=2000), rng.integers(0, 4, 2000), rng.integers(0, 2, 2000))
    values = np.column_stack(draws).astype(np.float64)
    bank = bank_of(3)
    alarms(bank, values)
    delay = np.zeros(3)
    for at in range(200):
        scores = bank.score(every(3), windows(np.ones((1, 3)), first=2000 + at)[0])
        delay[scores.alarm & (delay == 0)] = at + 1
    assert (delay > 0).all()
    assert (np.diff(delay) > 0).all()


def test_zeros_of_a_count_are_left_to_the_silence_detector_and_levels_at_zero_are_not() -> None:
    counts = np.random.default_rng(3).poisson(50, (600, 1)).astype(float)
    for kind, told in ((Kind.RATE, 0), (Kind.LEVEL, 1)):
        bank = bank_of(1, kind)
        assert alarms(bank, counts) == []
        assert len(alarms(bank, np.zeros((100, 1)), first=600)) == told


def test_a_window_without_a_value_neither_ends_nor_continues_a_run() -> None:
    bank, other = bank_of(1), bank_of(1)
    still = np.full((12, 1), 0.5)
    gaps = np.insert(still, 6, np.nan, axis=0)
    for one in (bank, other):
        run(one, windows(noise(300)), every(1))
    plain = run(bank, windows(still, first=300), every(1))
    gappy = run(other, windows(gaps, first=300), every(1))
    assert gappy[6].evidence[0] == 0
    assert gappy[-1].evidence[0] == plain[-1].evidence[0]


def test_a_held_series_is_loud_while_it_stands_still_and_calm_with_the_first_move() -> None:
    bank = bank_of(1)
    run(bank, windows(noise(300)), every(1))
    bank.hold(every(1))
    found = [bank.score(every(1), window) for window in windows(np.full((20, 1), 0.5), first=300)]
    assert all(s.loud[0] for s in found[10:])
    assert not any(s.alarm[0] for s in found)
    assert not bank.score(every(1), windows(np.full((1, 1), 0.6), first=320)[0]).loud[0]


def test_standing_still_is_normal_once_a_person_says_so() -> None:
    bank = bank_of(1)
    run(bank, windows(noise(300)), every(1))
    bank.hold(every(1))
    run(bank, windows(np.full((20, 1), 0.5), first=300), every(1))
    bank.release(every(1), adopt=True)
    assert alarms(bank, np.full((500, 1), 0.5), first=320) == []


def test_a_run_does_not_explain_itself_while_it_lasts() -> None:
    """Learnt as it went on, the evidence would stay below what an alarm takes for ever."""
    bank = bank_of(1)
    run(bank, windows(noise(300)), every(1))
    evidence = [s.evidence[0] for s in run(bank, windows(np.full((12, 1), 0.5), first=300), every(1))]
    assert (np.diff(evidence) > 0).all()


def test_a_false_alarm_raises_the_threshold_and_a_real_one_does_not() -> None:
    delays = []
    for chance in (False, True):
        bank = bank_of(1)
        run(bank, windows(noise(600)), every(1))
        for first in range(600, 900, 50):
            for window in windows(np.full((20, 1), 0.5), first=first):
                bank.score(every(1), window)
            bank.hold(every(1))
            bank.score(every(1), windows(noise(1, seed=first), first=first + 20)[0])
            bank.release(every(1), chance=chance)
            bank.refresh(alarms_per_window(1, 1, MINUTE))
        told = [bool(bank.score(every(1), w).alarm[0]) for w in windows(np.full((90, 1), 0.7), first=1000)]
        delays.append(told.index(True))
    assert delays[1] > delays[0]


@pytest.mark.parametrize("kind", [Kind.LEVEL, Kind.POSITIVE, Kind.RATE])
def test_nonsense_poisons_nothing(kind: Kind) -> None:
    bank = bank_of(3, kind)
    run(bank, list(stream(kind, 3, 70)), every(3))
    for value in (np.nan, np.inf, -np.inf, -1.0, 1e300, 5e-324):
        for at in (70, -5):
            run(bank, windows(np.full((1, 3), value), first=at), every(3))
    after = run(bank, list(stream(kind, 3, 60, seed=1)), every(3))
    assert all(np.isfinite(s.evidence).all() and np.isfinite(s.expected).all() for s in after)
    assert not any(s.alarm.any() for s in after)


def test_it_resumes_bit_for_bit_and_judges_a_series_alone_as_among_others() -> None:
    found = list(stream(Kind.RATE, 4, 300))
    bank, alone = FlatlineDetector().build(Kind.RATE), FlatlineDetector().build(Kind.RATE)
    bank.grow(4)
    alone.grow(1)
    run(bank, found[:150], every(4))
    run(alone, [part(window, every(1)) for window in found[:150]], every(1))
    other = FlatlineDetector().build(
        Kind.RATE, msgspec.msgpack.decode(msgspec.msgpack.encode(bank.snapshot()))
    )
    for window in found[150:]:
        scores = run(bank, [window], every(4))[0]
        assert not differing(scores, run(other, [window], every(4))[0])
        single = run(alone, [part(window, every(1))], every(1))[0]
        assert single.evidence[0] == scores.evidence[0]
    assert bank.snapshot() == other.snapshot()


def test_a_foreign_snapshot_and_a_foreign_kind_are_refused() -> None:
    data = bank_of(2).snapshot()
    for wrong in ({}, {**data, "version": 99}, {**data, "kind": "rate"}, {**data, "table": b"12345678"}):
        with pytest.raises(SnapshotError):
            FlatlineDetector().build(Kind.LEVEL, wrong)
    with pytest.raises(ValueError, match="not a ratio"):
        FlatlineDetector().build(Kind.RATIO)


def test_a_million_points_need_no_more_memory_than_a_hundred_thousand() -> None:
    bank = bank_of(500)
    rng = np.random.default_rng(5)
    sizes = []
    for at in range(2000):
        run(bank, windows(rng.normal(size=(1, 500)).round(1), first=at), every(500))
        if at in (199, 1999):
            sizes.append(len(msgspec.msgpack.encode(bank.snapshot())))
    assert abs(sizes[0] - sizes[1]) < 20
    assert sizes[1] / 500 < 200
