"""The learnt tail: what it promises on tails that are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swirl.budget import (
    MEMORY,
    SECOND_FLOOR,
    Tails,
    alarms_per_window,
    exceedance,
    remembered,
    tail_law,
    thresholds,
)

FLOOR, NOMINAL = 2.0, 0.02


def counted(rates: np.ndarray[tuple[int], np.dtype[np.float64]], slope: float, windows: float) -> Tails:
    """One channel whose excursions over the floor come at given rates, with exponential excesses of a given
    slope."""
    rng = np.random.default_rng(1)
    counts, excesses = np.zeros((2, 1, len(rates))), np.zeros((2, 1, len(rates)))
    for i, rate in enumerate(rates.tolist()):
        excess = rng.exponential(1 / slope, rng.poisson(rate * windows))
        for tier, over in enumerate((excess, excess[excess > SECOND_FLOOR] - SECOND_FLOOR)):
            counts[tier, 0, i], excesses[tier, 0, i] = len(over), over.sum()
    one = np.ones((1, len(rates)))
    return Tails(
        counts, excesses, windows * one, FLOOR * one, NOMINAL * one, 40 * one[:, :1], 40 * one[:, :1]
    )


@pytest.mark.parametrize("pool", [True, False])
@pytest.mark.parametrize("slope", [0.5, 1.0, 2.0])
def test_the_threshold_of_a_long_history_is_that_of_the_true_tail(slope: float, *, pool: bool) -> None:
    alarms, rate = 1e-6, 0.03
    limits = thresholds(tail_law(counted(np.full(10, rate), slope, 1e6), pool=pool), alarms)
    assert limits == pytest.approx(FLOOR + np.log(rate / alarms) / slope, rel=0.05)


def test_a_short_history_raises_the_threshold() -> None:
    known, unknown = (counted(np.array([NOMINAL]), 1.0, windows) for windows in (1e6, 0.0))
    assert thresholds(tail_law(unknown), 1e-7)[0, 0] > thresholds(tail_law(known), 1e-7)[0, 0] + 1


def test_a_budget_that_was_overspent_raises_the_threshold() -> None:
    tails = counted(np.full(3, NOMINAL), 1.0, 20_000.0)
    before = thresholds(tail_law(tails), 1e-6)
    tails.excesses[:, 0, 1] += 10 * 12.0
    after = thresholds(tail_law(tails), 1e-6)
    assert after[0, 1] > before[0, 1] + 0.5


def test_a_pool_lends_to_what_is_new_and_leaves_alone_what_differs() -> None:
    rates = np.full(20, NOMINAL)
    tails = counted(rates, 2.0, 20_000.0)
    tails.counts[:, :, 0] = tails.excesses[:, :, 0] = 0
    tails.windows[:, 0] = 0
    alone = thresholds(tail_law(tails, pool=False), 1e-6)[0]
    pooled = thresholds(tail_law(tails), 1e-6)[0]
    assert pooled[0] < alone[0]
    wild = counted(rates, 1.0, 20_000.0)
    wild.excesses[:, :, 5] *= 4
    assert thresholds(tail_law(wild), 1e-6)[0, 5] > thresholds(tail_law(wild), 1e-6)[0, 6] + 2


def test_thresholds_spend_what_they_were_given() -> None:
    law = tail_law(counted(np.array([0.01, 0.02, 0.05]), 1.0, 5_000.0))
    assert exceedance(law, thresholds(law, 1e-6)) == pytest.approx(1e-6)
    assert (exceedance(law, thresholds(law, 1e-6) + 3) < 1e-6).all()


@given(
    st.lists(st.tuples(st.integers(0, 500), st.floats(0, 1e4), st.floats(0, 1e5)), min_size=1, max_size=5),
    st.floats(1e-12, 1e-2),
    st.booleans(),
)
def test_thresholds_are_finite_whatever_was_counted(
    seen: list[tuple[int, float, float]],
    alarms: float,
    pool: bool,  # noqa: FBT001 - hypothesis passes it by place
) -> None:
    n, y, w = (np.array(column, dtype=float)[None] for column in zip(*seen, strict=True))
    one = np.ones_like(n)
    tails = Tails(
        np.stack((n, n // 2)), np.stack((y, y / 2)), w, FLOOR * one, NOMINAL * one, one[:, :1], one[:, :1]
    )
    limits = thresholds(tail_law(tails, pool=pool), alarms)
    assert np.isfinite(limits).all()
    assert (limits > FLOOR).all()


def test_the_budget_is_shared_by_series_and_windows() -> None:
    share = alarms_per_window(2.0, 50, 10_000)
    assert share * 50 * 60_480 == pytest.approx(2.0)
    assert alarms_per_window(1.0, 0, 10_000) == alarms_per_window(1.0, 1, 10_000)


def test_tails_fade_and_never_below_nothing() -> None:
    assert remembered(0) == 1.0
    assert remembered(3 * MEMORY) == 0.0
