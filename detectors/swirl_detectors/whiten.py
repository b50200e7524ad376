"""One step ahead, from the past only: points become standard normal under no change.

Level, season, dispersion and a short linear memory (HAR: F. Corsi, "A Simple Approximate Long-Memory Model of
Realized Volatility", 2009) are learnt as they go, and what is still unknown about them widens the forecast:
recursive residuals (R. Brown, J. Durbin, J. Evans, "Techniques for Testing the Constancy of Regression
Relationships over Time", 1975, sec. 2), read as a Student and turned into a normal variable (D. Wallace,
"Bounds on Normal Approximations to Student's and the Chi-Square Distributions", 1959). So the first hour of a
series is judged by the same measure as its last, as in self-starting charts (D. Hawkins, 1987; C.
Quesenberry, 1991).

The memory is used only as far as it has proved better than none (a Bayes factor of the one-step forecasts,
with the odds against it): a series that was steady so far is not believed to wander as soon as it shifts, and
one that wanders without bound is followed.

Everything is elementwise over series, so that a series' numbers do not depend on its neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swirl.detector import Kind
from swirl_detectors.dispersion import COUNTED, dispersion, least_variance
from swirl_detectors.step import Step

if TYPE_CHECKING:
    from swirl_detectors.season import Season
    from swirl_detectors.state import Array, Mask, State

__all__ = [
    "CAUTION",
    "FIRST",
    "measured",
    "remember",
    "to_value",
    "whiten",
]

RATES = (1.0, 0.25, 0.08, 0.02)
"""The lags: averages of past residuals, each point at these weights; the first is the last residual."""

FIRST = 8
"""Points before which no residual is judged."""

CAUTION = 3.0
"""Nats that forecasts of the residuals must have been worth until they are used by half."""

_ROWS, _COLUMNS = np.triu_indices(len(RATES))
_AT = np.zeros((len(RATES), len(RATES)), dtype=np.intp)
_AT[_ROWS, _COLUMNS] = _AT[_COLUMNS, _ROWS] = np.arange(len(_ROWS))
_WEIGHTS = np.array(RATES)[:, None]
_LARGEST_COUNT = 1e15
_LARGEST = 1e100
_TINY = 1e-12
_LATELY = 2
"""The lag that says what the last dozen of windows were like."""
_LEAP = 1.0
_MOVED = 0.05
"""Deviations by which the forecast must have moved until their change counts."""


def measured(kind: Kind, value: Array, weight: Array) -> Mask:
    """Which points say anything: numbers that a series of this kind can have."""
    if kind is Kind.RATIO:
        return (weight > 0) & (weight <= _LARGEST_COUNT) & (value >= 0) & (value <= weight)
    if kind is Kind.LEVEL:
        return np.isfinite(value)
    return (value >= 0) & (value < np.inf)


def _values(kind: Kind, value: Array, weight: Array) -> Array:
    if kind is Kind.RATIO:
        return value / weight
    if kind is Kind.RATE:
        return np.minimum(value, _LARGEST_COUNT)
    if kind is Kind.POSITIVE:
        return np.log(np.maximum(value, _TINY))
    return np.clip(value, -_LARGEST, _LARGEST)


def whiten(kind: Kind, state: State, value: Array, weight: Array, season: Season | None) -> Step:
    """Forecast the points and standardise what they are off by; learns nothing.

    Args:
        kind: of all the series.
        state: of the series.
        value: measured values or numerators, shape ``(n,)``.
        weight: denominators (ratio only).
        season: what it adds now; None where no series knows one.
    """
    step = Step()
    y = _values(kind, value, weight)
    step.value, step.count = y, weight
    step.any_known = season is not None
    start = (value + 0.5) / (weight + 1) if kind is Kind.RATIO else y
    step.forecast = level = np.where(state.points == 0, start, state.level)
    if season is None:
        step.day = step.week = step.lift = np.zeros_like(y)
    else:
        step.day, step.week = season.day, season.week
        step.forecast = level + season.lift
    _variance(kind, state, step)
    if season is not None:
        _carry_over(kind, state, step, season.enter(state))
        step.lift = (step.forecast - state.level) / step.deviation
    _innovate(kind, state, step)
    if season is not None and season.doubted.any():
        _doubt(state, step, season.doubted)
    return step


def _variance(kind: Kind, state: State, step: Step) -> None:
    """Fill in share, size, dispersion, deviation and worth."""
    forecast, weight = step.forecast, state.weight
    if kind is Kind.RATIO:
        share = np.where(weight > 0, (forecast * weight + 0.5) / (weight + 1), forecast)
        step.share = share = np.clip(share, 1e-6, 1 - 1e-6)
        variance = share * (1 - share) / step.count
        step.size = step.count - 1
    elif kind is Kind.RATE:
        least = np.maximum(forecast, 0.02 * state.level)
        points = state.points
        step.share = step.size = variance = np.maximum((least * points + 0.5) / (points + 1), 1e-3)
    else:
        variance = np.maximum(state.variance, least_variance(kind, state))
        step.share = step.size = np.zeros_like(forecast)
    ones = np.ones_like(forecast)
    step.dispersion = dispersion(kind, state, step.size) if kind in COUNTED else ones
    step.deviation = np.sqrt(variance * step.dispersion)
    step.worth = step.count / step.dispersion if kind is Kind.RATIO else ones


def _carry_over(kind: Kind, state: State, step: Step, moved: Array) -> None:
    """What the season says anew has moved the forecast, and with it the deviations that the lags are in."""
    far = np.abs(moved) > _MOVED * step.deviation
    if kind in COUNTED and far.any():
        before = Step()
        before.forecast, before.count = step.forecast - moved, step.count
        _variance(kind, state, before)
        units = np.where(far, before.deviation / step.deviation, 1.0)
        state.lags *= units
        state.lifts *= units
    moved /= step.deviation
    state.lags -= moved
    state.lifts += moved


def _innovate(kind: Kind, state: State, step: Step) -> None:
    """Fill in residual, forecast of it, innovation and z."""
    step.residual = residual = (step.value - step.forecast) / step.deviation
    lags, covariance = state.lags, state.covariance
    step.slopes = slopes = np.array([_dot(covariance[at], lags) for at in _AT])
    step.leverage = _dot(slopes, lags)
    step.remembered = _dot(state.coefficients, lags)
    step.trust = trust = 1 / (1 + np.exp(CAUTION - state.memory))
    step.lagged = lagged = trust * step.remembered
    skew = np.abs(state.model_skew)
    step.spread = spread = _spread(kind, step, skew)
    innovation = (residual - lagged) / spread
    some = np.where(state.weight > 0, state.weight, step.worth)
    step.level_unknown = step.worth / some
    unknown = 1 + trust * trust * step.leverage + step.level_unknown
    scale2 = state.plain_scale2 + trust * (state.scale2 - state.plain_scale2)
    step.error2 = np.maximum(scale2 * unknown, _TINY)
    step.z = step.z_up = step.z_down = _standardised(state, step, innovation)


def _standardised(state: State, step: Step, innovation: Array) -> Array:
    t = innovation / np.sqrt(step.error2)
    freedom = np.maximum(state.scale_points - 2, 1.0)
    z = (8 * freedom + 1) / (8 * freedom + 3) * np.sqrt(freedom * np.log1p(t * t / freedom))
    return np.where(state.points >= FIRST, np.copysign(z, t), 0.0)


def _doubt(state: State, step: Step, doubted: Mask) -> None:
    """Where the season may be that of a fault, each side believes the forecast that surprises it less.

    The first day was watched without a season, and a fault of it may have been taken for one. Where the
    season leaps, the values may as well go on as they were.
    """
    before = state.lags + state.lifts
    leaps = np.abs(step.lift - state.lifts[-1]) > _LEAP
    lately = np.where(leaps, (1 - step.trust) * before[_LATELY], 0.0)
    without = step.residual + step.lift - step.trust * _dot(state.coefficients, before) - lately
    other = np.where(doubted, _standardised(state, step, without / step.spread), step.z)
    step.z_up, step.z_down = np.minimum(step.z, other), np.maximum(step.z, other)
    step.z = np.copysign(np.minimum(np.abs(step.z), np.abs(other)), step.z)


def _dot(a: Array, b: Array) -> Array:
    """Sum over the lags, one after another."""
    products = a * b
    total = products[0]
    for product in products[1:]:
        total += product
    return np.asarray(total)


def remember(state: State, step: Step) -> None:
    """Move the lags on. What is odd is remembered as if it had been as forecast."""
    bound = (5 + 2 * np.abs(state.model_skew)) * np.sqrt(state.scale2) * step.spread
    bound = np.where(step.odd, 0.0, bound)
    kept = step.lagged + np.minimum(np.maximum(step.residual - step.lagged, -bound), bound)
    begun = state.points >= FIRST - 1
    step.kept = kept = np.where(begun, kept, 0.0)
    state.lags += begun * _WEIGHTS * (kept - state.lags)
    state.lags[0] = kept
    if step.any_known:
        state.lifts += begun * _WEIGHTS * (step.lift - state.lifts)
        state.lifts[0] = step.lift


def _spread(kind: Kind, step: Step, skew: Array) -> Array:
    """The variance belongs to the forecast, not to the level."""
    if kind not in COUNTED:
        return np.ones_like(skew)
    least = 0.2 + 0.8 * np.minimum(0.5 * skew, 1.0)
    share, ahead = step.share, step.lagged * step.deviation
    if kind is Kind.RATE:
        return np.sqrt(np.maximum(share + ahead, least * share) / share)
    other = 1 - share
    p = np.minimum(np.maximum(share + ahead, least * share), 1 - least * other)
    return np.asarray(np.sqrt(p * (1 - p) / (share * other)))


def to_value(kind: Kind, state: State, step: Step, z: Array) -> Array:
    """The value, in the units that people see, whose z would be the given one; shape as ``z``, ``(., n)``.

    Infinite, or the end of the scale, where the series would have to leave by a million standard deviations.
    """
    freedom = np.maximum(state.scale_points - 2, 1.0)
    root = z * (8 * freedom + 3) / (8 * freedom + 1)
    t = np.sqrt(freedom * np.expm1(np.minimum(root * root / freedom, 600.0)))
    t = np.where(t > 1e6, np.inf, t)
    error = np.copysign(t, z) * np.sqrt(step.error2)
    y = step.forecast + (step.lagged + error * step.spread) * step.deviation
    if kind is Kind.RATIO:
        y = np.clip(y, 0.0, 1.0)
    elif kind is Kind.RATE:
        y = np.maximum(y, 0.0)
    return np.asarray(np.exp(y) if kind is Kind.POSITIVE else y)
