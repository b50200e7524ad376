"""What a window costs in the detectors: microseconds a series, bytes a series."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from swirl.detector import Bank, Kind, Points
from swirl.sketch import Distribution
from swirl_detectors.cardinality import CardinalityDetector
from swirl_detectors.change import ChangeDetector
from swirl_detectors.drift import DriftDetector
from swirl_detectors.flatline import FlatlineDetector
from swirl_detectors.novelty import NoveltyDetector
from swirl_detectors.silence import SilenceDetector
from swirl_detectors.spread import SpreadDetector

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["rows"]

MINUTE = 60_000
Row = tuple[str, float, float]


def _numbers(kind: Kind, series: int) -> Callable[[int], Points]:
    rng = np.random.default_rng(0)

    def window(at: int) -> Points:
        weight = np.full(series, 500.0 if kind is Kind.RATIO else 1.0)
        if kind is Kind.RATIO:
            value = rng.binomial(500, 0.3, series).astype(float)
        elif kind is Kind.RATE:
            value = rng.poisson(50, series).astype(float)
        else:
            value = np.exp(rng.normal(size=series))
        return Points(at * 15 * MINUTE, 15 * MINUTE, value, weight)

    return window


def _distributions(series: int) -> Callable[[int], Points]:
    rng = np.random.default_rng(0)

    def window(at: int) -> Points:
        samples: list[Distribution | dict[str, int] | None] = []
        for number in range(series):
            if number % 2:
                samples.append(
                    dict(zip("abcdefghij", rng.multinomial(1000, [0.1] * 10).tolist(), strict=True))
                )
            else:
                seen = Distribution()
                seen.update(rng.normal(size=1000))
                samples.append(seen)
        nothing = np.zeros(series)
        return Points(at * MINUTE, MINUTE, nothing, nothing, samples)

    return window


def _measure(
    bank: Bank, window: Callable[[int], Points], series: int, *, warm: int, timed: int
) -> tuple[float, float]:
    """Least processor time of score and learn, microseconds a series and window; bytes a series."""
    bank.grow(series)
    bank.refresh(1e-6)
    every = np.arange(series)
    spent = []
    for at in range(warm + timed):
        points = window(at)
        start = time.process_time()
        bank.score(every, points)
        bank.learn(every, points)
        spent.append(time.process_time() - start)
    size = len(msgspec.msgpack.encode(bank.snapshot()))
    return min(spent[warm:]) / series * 1e6, size / series


def rows() -> list[Row]:
    """Name, value and limit of each figure; a day is learnt before, so that the season is in it."""
    table: list[Row] = []
    for kind in sorted(ChangeDetector.kinds, key=lambda k: k.value):
        for series, limit in ((20, 40.0), (100, 10.0), (1_000, 2.0), (10_000, 2.0)):
            bank = ChangeDetector().build(kind)
            cost, size = _measure(bank, _numbers(kind, series), series, warm=100, timed=20)
            table.append((f"change, {kind.value}, {series} series: us a point", cost, limit))
        table.append((f"change, {kind.value}: bytes a series", size, 4_000.0))
    cost, size = _measure(
        SilenceDetector().build(Kind.RATE), _numbers(Kind.RATE, 1_000), 1_000, warm=50, timed=20
    )
    table += [("silence, 1000 series: us a point", cost, 5.0), ("silence: bytes a series", size, 8_000.0)]
    spread = SpreadDetector().build(Kind.POSITIVE)
    cost, size = _measure(spread, _numbers(Kind.POSITIVE, 1_000), 1_000, warm=100, timed=20)
    table += [("spread, 1000 series: us a point", cost, 5.0), ("spread: bytes a series", size, 8_000.0)]
    others: list[tuple[str, Bank, float, float]] = [
        ("novelty", NoveltyDetector().build(Kind.LEVEL), 10.0, 32_000.0),
        ("flatline", FlatlineDetector().build(Kind.LEVEL), 5.0, 8_000.0),
    ]
    for name, other, limit, most in others:
        cost, size = _measure(other, _numbers(Kind.LEVEL, 1_000), 1_000, warm=100, timed=20)
        table += [(f"{name}, 1000 series: us a point", cost, limit), (f"{name}: bytes a series", size, most)]
    cardinality = CardinalityDetector().build(Kind.DISTRIBUTION)
    cost, size = _measure(cardinality, _distributions(100), 100, warm=20, timed=20)
    table += [
        ("cardinality, 100 series: us a series", cost, 60.0),
        ("cardinality: bytes a series", size, 32_000.0),
    ]
    drift = DriftDetector().build(Kind.DISTRIBUTION)
    cost, size = _measure(drift, _distributions(100), 100, warm=20, timed=20)
    return [
        *table,
        ("drift, 100 series: us a series", cost, 150.0),
        ("drift: bytes a series", size, 32_000.0),
    ]


if __name__ == "__main__":
    for name, value, limit in rows():
        print(f"{name:50} {value:12.2f}  limit {limit:g}")
