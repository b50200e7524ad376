"""The state of many series as rows of one array: what the change detector keeps, 2.9 kB a series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = [
    "BINS",
    "CHANNELS",
    "FIELDS",
    "HEIGHT",
    "LAGS",
    "PRIOR_COVARIANCE",
    "SIDES",
    "TILTS",
    "Sides",
    "State",
    "forget_memory",
    "new_table",
]

TILTS = 5
CHANNELS = 2 * TILTS
"""Each tilt up, then each tilt down."""

LAGS = 4
"""Averages of past residuals that the next one is forecast from."""

Sides = Literal["both", "up", "down"]
"""Which changes are looked for."""

SIDES: dict[Sides, slice] = {
    "both": slice(0, CHANNELS),
    "up": slice(0, TILTS),
    "down": slice(TILTS, CHANNELS),
}
"""The channels that look for them."""

BINS = 96
"""A quarter of an hour each."""


class State:
    """Named views of an array of shape ``(HEIGHT, n)``, the ``table``; writing to them writes to it.

    Attributes:
        held: 1 while in an incident.
        points: learnt.
        level: of the value (ratio: of k/n; positive: of the logarithm), season apart.
        weight: that the level rests on, in windows (ratio: in records of independent worth).
        variance, variance_points: of the value about its level (level and positive only).
        scale2, scale_points: of the standardised innovations.
        spread: sums over points of ``q, 1, o, o^2, q o``: the law of dispersion, ``q`` the squared
            innovation, ``o`` the size of the point.
        cubes, cube_points: sum of z^3: skewness.
        model_skew: what the binomial or Poisson law would make of it.
        size: mean denominator (ratio only).
        lags: last residual, and averages of the last ones, faster and slower.
        lifts: what the season added to the forecast, averaged as the lags are.
        coefficients: of the lags in the forecast.
        plain_scale2: variance of the residuals, without a forecast of them.
        memory: nats by which the forecasts of the residuals were better than none, within bounds.
        trusted: 1 from when they were trusted until nothing speaks for them.
        covariance: of the coefficients, upper triangle.
        gain: how much of the profile is in the forecast.
        profile_value, profile_profile: sums of value times profile, and profile squared.
        noise: variance of one innovation in the units of the value.
        rebased: what the level was moved by at once, in its units, until the lags know of it.
        bin, bin_sum, bin_points: the part of the week being collected; -1 for none.
        bin_seen: its windows, with those that were not learnt.
        bins_known: parts of a day that were seen on an earlier one.
        profile_mean: sum of the day's means.
        bins_agreed: parts that enough days agreed on.
        restless: 1 where the first day moved much and slowly, 1/2 where a little.
        origin: of the means of day and week, which are kept about it.
        hour_sum, hour_points: the hour being collected.
        weeks_known, week_known: hours of the week that were seen; 1 once the week is in the forecast.
        week_mean, week_gain: the level that the week was learnt at; how much of it is in the forecast.
        week_value, week_profile: sums of value times what the week adds to the day, and of that squared.
        part_square: mean square of what parts of a day are off their forecast by.
        like, likeness: the weekday that today is like; nats for each weekday against that one.
        recent, recent_points, recent_square: value minus forecast over the last windows in which the series
            was held: mean, how many, mean square about the mean.
        seasoned: 1 once the tail was told that the season is known.
        spends: false alarms a window that the thresholds in force allow.
        watched: windows that the tails were looked at.
        troubled: start of the last window in which much of the pool was in an incident; -1 for none.
        trouble: such windows, less those that were not, from 0 on.
        evidence, peak: of each channel: present value, highest in this excursion.
        onset: start of the window where the excursion began.
        tilt: of each pair of channels, in sigmas; limits of z in ``clip``.
        cost: of each channel: the cumulant function at its tilt.
        floor, limit: of each channel, in nats: where the tail begins; the threshold.
        counts, excesses: of excursions, over the floor and over the second floor.
        cut, cut_by: what the last alarm cut off, over the floor, and the channel that raised it, from 1 on; 0
            for none, negative while it is not in the tails because it was no chance.
    """

    held: Array
    points: Array
    level: Array
    weight: Array
    variance: Array
    variance_points: Array
    scale2: Array
    scale_points: Array
    spread: Array
    cubes: Array
    cube_points: Array
    model_skew: Array
    size: Array
    lags: Array
    lifts: Array
    coefficients: Array
    covariance: Array
    plain_scale2: Array
    memory: Array
    trusted: Array
    gain: Array
    profile_value: Array
    profile_profile: Array
    noise: Array
    rebased: Array
    bin: Array
    bin_sum: Array
    bin_points: Array
    bin_seen: Array
    bins_known: Array
    profile_mean: Array
    bins_agreed: Array
    restless: Array
    origin: Array
    hour_sum: Array
    hour_points: Array
    weeks_known: Array
    week_known: Array
    week_mean: Array
    week_gain: Array
    week_value: Array
    week_profile: Array
    part_square: Array
    like: Array
    likeness: Array
    recent: Array
    recent_points: Array
    recent_square: Array
    seasoned: Array
    spends: Array
    watched: Array
    troubled: Array
    trouble: Array
    evidence: Array
    peak: Array
    onset: Array
    tilt: Array
    clip: Array
    cost: Array
    floor: Array
    limit: Array
    counts: Array
    excesses: Array
    cut: Array
    cut_by: Array

    __slots__ = (*__annotations__, "table")

    def __init__(self, table: Array) -> None:
        self.table = table
        for name, part in FIELDS.items():
            setattr(self, name, table[part])


_HEIGHTS = {
    "spread": 5,
    "likeness": 7,
    "lags": LAGS,
    "lifts": LAGS,
    "coefficients": LAGS,
    "covariance": LAGS * (LAGS + 1) // 2,
    "evidence": CHANNELS,
    "peak": CHANNELS,
    "onset": CHANNELS,
    "tilt": TILTS,
    "clip": TILTS,
    "cost": CHANNELS,
    "floor": CHANNELS,
    "limit": CHANNELS,
    "counts": 2 * CHANNELS,
    "excesses": 2 * CHANNELS,
    "cut": CHANNELS,
}


def _places() -> dict[str, int | slice]:
    places: dict[str, int | slice] = {}
    at = 0
    for name in State.__annotations__:
        height = _HEIGHTS.get(name, 0)
        places[name] = slice(at, at + height) if height else at
        at += height or 1
    return places


FIELDS = _places()
HEIGHT = sum(_HEIGHTS.get(name, 1) for name in FIELDS)

PRIOR_COVARIANCE: Array = np.diag((0.1, 0.2, 0.1, 0.1))[np.triu_indices(LAGS)][:, None]
"""Of the coefficients of the lags, which are 0 on average; upper triangle."""


def new_table(n: int) -> Array:
    """State of ``n`` series of which nothing is known, shape ``(HEIGHT, n)``."""
    table = np.zeros((HEIGHT, n))
    state = State(table)
    state.scale2[:] = 1.0
    state.plain_scale2[:] = 1.0
    state.bin[:] = -1.0
    state.troubled[:] = -1.0
    state.covariance[:] = PRIOR_COVARIANCE
    return table


def forget_memory(state: State, forgets: Mask) -> None:
    """Learn the short memory anew: what followed a season that is known now would follow chance."""
    state.coefficients[:, forgets] = 0.0
    state.covariance[:, forgets] = PRIOR_COVARIANCE
    state.memory[forgets] = 0.0
