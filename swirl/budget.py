"""From "at most N false alarms a week" to thresholds, by the tail of a detector's own evidence.

A detector gathers evidence in nats. Each rise of the evidence from 0 and back is an *excursion*, and
excursions are nearly independent of each other. If the detector's model were true, an excursion would
exceed ``h`` with probability about ``exp(-h)`` (D. Siegmund, "Sequential Analysis", 1985, ch. X, for the
constant). Models are never quite true, so the model is only the prior: how often excursions pass a floor,
and by how much, is learnt from the series itself and, where there are several, from all series of its
kind in the pipeline.

An excess over the floor is taken as exponential with a slope under a Gamma prior, which makes the
prediction a Lomax law: a short history raises the thresholds by itself, a long one costs nothing. A
second tier does the same for excesses over a higher floor, with the first as its prior, because the far
tail need not continue the near one. An alarm counts as an excursion that was cut off at the threshold: it
adds excess and no count, so a budget that has been overspent raises the thresholds. What a real incident
cut off is kept out of the tails.

Detectors of other kinds spend the same budget if they answer in this currency: evidence in nats with a
tail that is learnt here, or a p-value from a null law, as ``-log(p)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = [
    "MEMORY",
    "SECOND_FLOOR",
    "WEEK_MS",
    "TailLaw",
    "Tails",
    "alarms_per_window",
    "exceedance",
    "remembered",
    "tail_law",
    "thresholds",
]

WEEK_MS = 7 * 24 * 3600 * 1000

SECOND_FLOOR = 3.0
"""How far above the first floor the second lies, in nats."""

MEMORY = 20_000
"""After so many windows what was learnt of a tail has faded to 1/e."""

_TIER_WEIGHT = 20.0
"""The first tier's forecast counts like so many excursions over the second floor."""


@dataclass(frozen=True, slots=True)
class Tails:
    """What was counted of excursions, by channel (``c`` of them) and series (``s`` of them).

    Attributes:
        counts: excursions over the floor, and over the floor + :data:`SECOND_FLOOR`; shape ``(2, c, s)``.
        excesses: sums of their excesses over these two; shape ``(2, c, s)``.
        windows: how long was looked; shape ``(c, s)``.
        floor: in nats; shape ``(c, s)``.
        nominal: excursions over the floor a window that the model expects; shape ``(c, s)``.
        prior_count: excursions that the prior of the slope is worth; shape ``(c, 1)``.
        prior_excess: the sum of their excesses; shape ``(c, 1)``. A slope of 1 where both are equal.
    """

    counts: Array
    excesses: Array
    windows: Array
    floor: Array
    nominal: Array
    prior_count: Array
    prior_excess: Array


@dataclass(frozen=True, slots=True)
class TailLaw:
    """``rate * (1 + (h - floor) / scale) ** -shape`` excursions over ``h`` a window; all ``(c, s)``."""

    floor: Array
    rate: Array
    scale: Array
    shape: Array


def alarms_per_window(a_week: float, series: int, window_ms: int) -> float:
    """The share of the budget of one series in one window.

    Args:
        a_week: false alarms a week that the pipeline may raise.
        series: how many of its series are watched; at least 1 is taken.
        window_ms: length of a window.

    Example:
        >>> alarms_per_window(1.0, 20, 60_000) * 20 * 7 * 24 * 60
        1.0
    """
    return a_week * window_ms / WEEK_MS / max(series, 1)


def remembered(windows: int) -> float:
    """The part of a tail that is kept when so many windows have passed since it was last faded.

    Example:
        >>> remembered(200)
        0.99
    """
    return max(0.0, 1.0 - windows / MEMORY)


def tail_law(tails: Tails, *, pool: bool = True) -> TailLaw:
    """The predictive law of each series' tail, by channel.

    Args:
        tails: what was counted.
        pool: learn from all series together and from how alike they are; without it each is on its own.

    Example:
        >>> one, none = np.ones((1, 1)), np.zeros((2, 1, 1))
        >>> none = Tails(none, none, 0 * one, 2 * one, 0.02 * one, 40 * one, 40 * one)
        >>> law = tail_law(none)
        >>> thresholds(law, 1e-6).round(2)
        array([[13.24]])
    """
    pool = pool and tails.counts.shape[2] > 1
    shape, scale, rate = _pooled_tier(tails) if pool else _own_tier(tails)
    counts, excesses = tails.counts[1], tails.excesses[1]
    expected = rate * (1 + SECOND_FLOOR / scale) ** -shape
    mean = (scale + SECOND_FLOOR) / shape
    if pool:
        counts, excesses, typical = _across(counts), _across(excesses), mean.mean(axis=1, keepdims=True)
        seen = _across(expected * tails.windows)
    else:
        typical, seen = mean, expected * tails.windows
    oftener = (_TIER_WEIGHT + counts) / (_TIER_WEIGHT + seen)
    longer = (_TIER_WEIGHT + excesses / typical) / (_TIER_WEIGHT + counts)
    shape = shape + counts
    return TailLaw(tails.floor + SECOND_FLOOR, oftener * expected, mean * longer * shape, shape)


def _own_tier(tails: Tails) -> tuple[Array, Array, Array]:
    """Shape, scale and rate of the first tier, each series on its own."""
    n, nominal = tails.counts[0], tails.nominal * tails.windows
    return (
        tails.prior_count + n,
        tails.prior_excess + tails.excesses[0],
        (10 + n) / (10 + nominal) * tails.nominal,
    )


def _pooled_tier(tails: Tails) -> tuple[Array, Array, Array]:
    """The same with the pool as prior, worth as much as the series are alike.

    A series' own history may flatten its slope against the pool's, never steepen it: the best of many series
    is seldom as good as it looks.
    """
    n, excess, nominal = tails.counts[0], tails.excesses[0], tails.nominal * tails.windows
    total = _across(n)
    slope = (tails.prior_count + total) / (tails.prior_excess + _across(excess))
    alike = _likeness(n, excess * slope, n, 6.0, 10.0)
    alike = np.where(total > 0, alike, 40.0)
    shape = 1 / (1 / (alike + n) + 1 / (tails.prior_count + total))
    scale = np.maximum((alike / slope + excess) / (alike + n), 1 / slope) * shape
    oftener = (20 + total) / (20 + _across(nominal))
    expected = oftener * nominal
    alike = _likeness(n, expected, expected, 1.0, 3.0)
    rate = oftener * (alike + n) / (alike + expected) * tails.nominal
    return shape, scale, rate


def _likeness(n: Array, forecast: Array, size: Array, noise: float, least: float) -> Array:
    """How many excursions the pool is worth to one series, by moments: 2000 if they differ by chance only."""
    beyond_chance = _across((forecast - n) ** 2 - n) + 0.5 * np.sqrt(_across(2 * n**2 + noise * n))
    return np.clip(_across(size**2) / np.maximum(beyond_chance, 1e-9), least, 2000.0)


def _across(values: Array) -> Array:
    return np.asarray(values.sum(axis=1, keepdims=True))


def thresholds(law: TailLaw, alarms: float) -> Array:
    """The evidence that excursions exceed ``alarms`` times a window.

    Args:
        law: of :func:`tail_law`.
        alarms: false alarms allowed per channel, series and window; above 0.

    Returns:
        Thresholds in nats, shape ``(c, s)``, at least half a nat above the first floor.
    """
    nats = np.log(np.maximum(law.rate, 1e-300) / alarms)
    limits = law.floor + law.scale * np.expm1(nats / law.shape)
    return np.maximum(limits, law.floor - SECOND_FLOOR + 0.5)


def exceedance(law: TailLaw, limits: Array) -> Array:
    """False alarms a window, per channel and series, that given thresholds spend; shape ``(c, s)``.

    Example:
        >>> law = TailLaw(*(np.full((1, 1), x) for x in (5.0, 0.001, 40.0, 40.0)))
        >>> exceedance(law, thresholds(law, 1e-6)).round(9)
        array([[1.e-06]])
    """
    return law.rate * np.maximum(1 + (limits - law.floor) / law.scale, 1e-9) ** -law.shape
