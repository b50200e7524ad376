from __future__ import annotations

import pytest

from swirl.testing import ManualClock


def test_it_stands_still_until_it_is_advanced() -> None:
    clock = ManualClock(start=100.0)
    assert (clock.now, clock.ticks(), clock.time_ns()) == (100.0, 0, 100_000_000_000)
    clock.advance(0.25)
    clock.advance(0.0)
    assert (clock.now, clock.ticks(), clock.time_ns()) == (100.25, 250_000_000, 100_250_000_000)


def test_it_is_not_turned_back() -> None:
    with pytest.raises(ValueError, match="0 or more seconds"):
        ManualClock().advance(-1.0)


def test_many_small_steps_add_up_exactly() -> None:
    clock = ManualClock(start=0.0)
    for _ in range(10_000):
        clock.advance(0.1)
    assert clock.now == 1000.0
