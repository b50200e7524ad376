"""A pool in an incident: what its other series do is not taken for chance, and they are not forgotten."""

from __future__ import annotations

import numpy as np
import pytest

from swirl.detector import Kind, Points
from swirl_detectors.change import ChangeBank, ChangeDetector
from swirl_detectors.cusum import overlap
from tests.detectors.streams import MINUTE, every

QUARTER = 15 * MINUTE
SERIES = 50
LEARNT = 400
REST = every(SERIES)[2:]


def lived(
    bank: ChangeBank,
    first: int,
    last: int,
    *,
    held: int = 0,
    shift: float = 0.0,
    refreshed: bool = True,
) -> ChangeBank:
    """Normal windows of a quarter of an hour, with as many rows held and all rows shifted."""
    rng, rows = np.random.default_rng(first), every(SERIES)
    bank.hold(rows[:held])
    for t in range(first, last):
        if refreshed and t % 4 == 0:
            bank.refresh(1e-6)
        value = shift + rng.standard_normal(SERIES)
        points = Points(t * QUARTER, QUARTER, value, np.ones(SERIES))
        bank.score(rows, points)
        bank.learn(rows[held:], points)
    bank.release(rows[:held])
    return bank


def fresh() -> ChangeBank:
    bank = ChangeBank(Kind.LEVEL)
    bank.grow(SERIES)
    return bank


@pytest.fixture(scope="module")
def learnt() -> dict[str, object]:
    return lived(fresh(), 0, LEARNT).snapshot()


def again(snapshot: dict[str, object]) -> ChangeBank:
    return ChangeDetector().build(Kind.LEVEL, snapshot)


def rest(bank: ChangeBank, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """A field of the state of the series that are not held."""
    return np.array(getattr(bank._pages[0].state, name)[..., REST])


def test_a_weak_fault_of_a_pool_of_which_two_are_held_leaves_the_tails_of_the_rest_unmoved(
    learnt: dict[str, object],
) -> None:
    before = again(learnt)
    among_two, among_one = (
        lived(again(learnt), LEARNT, LEARNT + 200, held=held, shift=0.6, refreshed=False) for held in (2, 1)
    )
    for name in ("counts", "excesses", "watched"):
        assert np.array_equal(rest(among_two, name), rest(before, name)), name
        assert rest(among_one, name).sum() > 1.2 * rest(before, name).sum(), name
    for bank in (before, among_two, among_one):
        bank.refresh(1e-6)
    limits = [rest(bank, "limit").mean() for bank in (before, among_two, among_one)]
    assert limits[1] == pytest.approx(limits[0], rel=0.01)
    assert limits[2] > 1.2 * limits[0]


def test_a_weak_fault_of_a_pool_in_trouble_is_hardly_learnt(learnt: dict[str, object]) -> None:
    level = rest(again(learnt), "level")
    moved = [
        rest(lived(again(learnt), LEARNT, LEARNT + 150, held=held, shift=1.0), "level") - level
        for held in (2, 1)
    ]
    assert moved[0].mean() < 0.5 * moved[1].mean()


def test_after_the_trouble_the_tails_are_learnt_again(learnt: dict[str, object]) -> None:
    bank = lived(again(learnt), LEARNT, LEARNT + 50, held=2)
    counts, watched = rest(bank, "counts").sum(), rest(bank, "watched")
    lived(bank, LEARNT + 50, LEARNT + 150, refreshed=False)
    assert rest(bank, "counts").sum() > counts
    assert (rest(bank, "watched") == watched + 100).all()


def test_a_pool_that_is_in_trouble_for_very_long_neither_forgets_its_tails_nor_stops_learning(
    learnt: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swirl_detectors.page._LONGEST", 100.0)
    end = LEARNT + 800
    troubled, quiet = (lived(again(learnt), LEARNT, end, held=held) for held in (2, 0))
    for name in ("watched", "counts", "excesses"):
        assert rest(troubled, name).sum() > 0.4 * rest(quiet, name).sum(), name
    assert rest(troubled, "limit").mean() == pytest.approx(rest(quiet, "limit").mean(), rel=0.05)
    moved = []
    for bank, held in ((troubled, 2), (quiet, 0)):
        before = rest(bank, "level")
        lived(bank, end, end + 300, held=held, shift=1.0)
        moved.append((rest(bank, "level") - before).mean())
    assert moved[0] > 0.3 * moved[1]


def test_a_clock_that_went_back_does_not_keep_the_pool_in_trouble(learnt: dict[str, object]) -> None:
    bank = lived(again(learnt), LEARNT + 10_000, LEARNT + 10_010, held=2)
    watched, counts = rest(bank, "watched"), rest(bank, "counts").sum()
    lived(bank, LEARNT, LEARNT + 100, refreshed=False)
    assert (rest(bank, "watched") == watched + 100).all()
    assert rest(bank, "counts").sum() > counts


def test_one_series_on_its_own_is_no_pool_in_trouble() -> None:
    bank = ChangeBank(Kind.LEVEL)
    bank.grow(1)
    for t in range(20):
        bank.hold(every(1) if t == 10 else every(0))
        bank.score(every(1), Points(t * QUARTER, QUARTER, np.zeros(1), np.ones(1)))
    assert bank._pages[0].state.trouble[0] == 0


def test_alarms_overlap_as_documented_and_the_less_the_rarer_they_are() -> None:
    documented = {1e-2: 0.32, 1e-4: 0.6, 5e-6: 0.78, 2e-7: 0.97}
    assert {alarms: round(overlap(alarms), 2) for alarms in documented} == documented
    over_all = [overlap(10.0**-power) for power in range(301)]
    assert over_all == sorted(over_all)
    assert (min(over_all), max(over_all)) == (0.3, 1.0)
    assert [overlap(alarms) for alarms in (1e-300, 1.0, 1e9)] == [1.0, 0.3, 0.3]
