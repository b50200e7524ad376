"""The spread detector: it sees what leaves the mean alone, and keeps the budget on laws of other shapes."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from swirl.budget import alarms_per_window
from swirl.detector import Bank, Kind, Points
from swirl.errors import SnapshotError
from swirl_detectors.change import ChangeBank
from swirl_detectors.spread import SpreadBank, SpreadDetector
from tests.detectors.streams import MINUTE, differing, every, run, stream

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, float], Array]


def shaken(rng: np.random.Generator, series: int, spread: float) -> Array:
    return spread * rng.standard_normal(series)


def latency(rng: np.random.Generator, series: int, spread: float) -> Array:
    return np.exp(3 + 0.3 * spread * rng.standard_normal(series))


def count(rng: np.random.Generator, series: int, spread: float) -> Array:
    """Poisson of mean 40, dispersed by the square of the spread."""
    mean = np.full(series, 40.0)
    if spread > 1:
        mean = rng.gamma(40 / (spread**2 - 1), spread**2 - 1, series)
    return rng.poisson(mean).astype(float)


def share_of_fifty(rng: np.random.Generator, series: int, spread: float) -> Array:
    share: Array | float = 0.3
    if spread > 1:
        worth = 49 / (spread**2 - 1) - 1
        share = rng.beta(0.3 * worth, 0.7 * worth, series)
    return rng.binomial(50, share, series).astype(float)


KINDS: list[tuple[Kind, Draw, float]] = [
    (Kind.LEVEL, shaken, 1.0),
    (Kind.POSITIVE, latency, 1.0),
    (Kind.RATE, count, 1.0),
    (Kind.RATIO, share_of_fifty, 50.0),
]


def points(t: int, value: Array, weight: float = 1.0) -> Points:
    return Points(t * MINUTE, MINUTE, value, np.full(len(value), weight))


def told(bank: Bank, draw: Draw, weight: float, spread: float, windows: int) -> Array:
    """After how many windows of another spread each series raises an alarm; infinite where it does not."""
    rng, found = np.random.default_rng(2), np.full(40, np.inf)
    for t in range(windows):
        now = points(600 + t, draw(rng, 40, spread), weight)
        alarm = bank.score(every(40), now).alarm
        found = np.where(alarm & np.isinf(found), t + 1.0, found)
        bank.learn(np.flatnonzero(np.isinf(found)), now)
    return found


def learnt(bank: Bank, draw: Draw, weight: float, spread: float = 1.0) -> None:
    rng = np.random.default_rng(1)
    bank.grow(40)
    for t in range(600):
        if t % 60 == 0:
            bank.refresh(1e-5)
        run(bank, [points(t, draw(rng, 40, spread), weight)], every(40))


@pytest.mark.parametrize(("kind", "draw", "weight"), KINDS, ids=[kind.value for kind, _, _ in KINDS])
def test_a_spread_that_doubles_is_found_within_a_few_dozen_windows(
    kind: Kind, draw: Draw, weight: float
) -> None:
    bank = SpreadBank(kind)
    learnt(bank, draw, weight)
    assert np.median(told(bank, draw, weight, 2.0, 60)) <= 30


def test_a_spread_that_halves_is_found_and_only_by_who_looks_down() -> None:
    both, up = SpreadBank(Kind.LEVEL), SpreadBank(Kind.LEVEL, sides="up")
    for bank in (both, up):
        learnt(bank, shaken, 1.0)
    assert np.isfinite(told(both, shaken, 1.0, 0.4, 60)).mean() > 0.9
    assert np.isinf(told(up, shaken, 1.0, 0.4, 60)).all()


def test_it_sees_earlier_than_the_change_detector_what_leaves_the_mean_alone() -> None:
    spread, mean = SpreadBank(Kind.LEVEL), ChangeBank(Kind.LEVEL)
    for bank in (spread, mean):
        learnt(bank, shaken, 1.0)
    late = told(mean, shaken, 1.0, 1.6, 200)
    assert np.median(told(spread, shaken, 1.0, 1.6, 200)) < np.median(late)


LAWS: dict[str, tuple[Kind, Draw]] = {
    "normal": (Kind.LEVEL, shaken),
    "t of 3": (Kind.LEVEL, lambda rng, s, _: rng.standard_t(3, s)),
    "Poisson": (Kind.RATE, lambda rng, s, _: rng.poisson(4.0, s).astype(float)),
}


@pytest.mark.parametrize("law", LAWS)
def test_it_spends_a_part_of_its_budget_and_no_more_than_twice(law: str) -> None:
    """A day and a half of 150 series on their own, each promised four alarms a week."""
    kind, draw = LAWS[law]
    share, rng, alarms = alarms_per_window(4.0, 1, MINUTE), np.random.default_rng(3), 0
    bank, until = SpreadBank(kind, pool=False), np.zeros(150)
    bank.grow(150)
    for t in range(2160):
        if t % 60 == 0:
            bank.refresh(share)
        now = points(t, draw(rng, 150, 1.0))
        alarm = bank.score(every(150), now).alarm
        bank.learn(np.flatnonzero(until <= t), now)
        bank.release(np.flatnonzero(until == t), chance=True)
        bank.hold(np.flatnonzero(alarm))
        until[alarm] = t + 30
        alarms += int(alarm.sum()) * (t >= 300)
    assert 0.2 <= alarms / (share * 150 * 1860) <= 2.0


@pytest.mark.parametrize("kind", [kind for kind, _, _ in KINDS])
def test_it_resumes_bit_for_bit_and_says_nothing_of_what_was_not_measured(kind: Kind) -> None:
    windows = list(stream(kind, 5, 200))
    bank = SpreadDetector().build(kind)
    bank.grow(5)
    bank.refresh(1e-5)
    run(bank, windows[:100], every(5))
    bank.hold(np.array([1]))
    other = SpreadDetector().build(kind, msgspec.msgpack.decode(msgspec.msgpack.encode(bank.snapshot())))
    nothing = Points(100 * MINUTE, MINUTE, np.full(5, np.nan), np.zeros(5))
    huge = Points(101 * MINUTE, MINUTE, np.full(5, 1e300), np.ones(5))
    for window in [nothing, huge, *windows[102:]]:
        a, b = run(bank, [window], every(5))[0], run(other, [window], every(5))[0]
        assert not differing(a, b)
        assert np.isfinite(a.evidence).all()
    assert bank.snapshot() == other.snapshot()
    with pytest.raises(SnapshotError):
        SpreadDetector().build(kind, {**bank.snapshot(), "version": 99})


def test_a_word_that_is_no_side_is_refused() -> None:
    with pytest.raises(ValueError, match="both"):
        SpreadDetector(sides="wide")  # type: ignore[arg-type] # what is tested
