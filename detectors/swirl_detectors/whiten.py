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
from swirl_detectors.season import learn_gains
from swirl_detectors.state import PRIOR_COVARIANCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swirl_detectors.season import Season
    from swirl_detectors.state import Array, Mask, State

__all__ = [
    "COUNTED",
    "Step",
    "dispersion",
    "learn",
    "measured",
    "nominal_skew",
    "remember",
    "to_value",
    "whiten",
]

COUNTED = frozenset({Kind.RATIO, Kind.RATE})
"""Their variance follows from their level: binomial and Poisson laws, or more dispersed."""

MEMORY = 5000
"""Windows that the level rests on."""

RATES = (1.0, 0.25, 0.08, 0.02)
"""The lags: averages of past residuals, each point at these weights; the first is the last residual."""

FIRST = 8
"""Points before which no residual is judged."""

_ROWS, _COLUMNS = np.triu_indices(len(RATES))
_AT = np.zeros((len(RATES), len(RATES)), dtype=np.intp)
_AT[_ROWS, _COLUMNS] = _AT[_COLUMNS, _ROWS] = np.arange(len(_ROWS))
_WEIGHTS = np.array(RATES)[:, None]
_CAUTION = 3.0
"""Nats that forecasts of the residuals must have been worth until they are used by half."""
_LEAST_MEMORY, _MOST_MEMORY = -4.0, 8.0
_FORGIVING = 0.008
"""Nats a window that the memory must go on to be worth."""
_FORGETTING = 300.0
"""Where trust was lost the coefficients have faded to 1/e after so many windows."""
_YOUNG, _LOCAL = 300, 50.0
"""The level of a series that wandered in its first windows is that of the last ones."""
_LARGEST_COUNT = 1e15
_LARGEST = 1e100
_TINY = 1e-12


class Step:
    """What one pass worked out of its points, needed to learn them; shapes ``(n,)`` and ``(., n)``.

    Attributes:
        value: y: k/n, the count, the value, or its logarithm.
        size: of the point: n - 1, the expected count, or 0.
        day, week: what time of day adds to the level, and what the week adds to that; 0 where not known.
        forecast: of the value, without the memory.
        deviation: standard deviation of the value about it.
        lift: what the season adds to the forecast, in deviations; 0 where no series knows one.
        dispersion: variance against the binomial or Poisson one.
        worth: in the mean: n / dispersion, or 1.
        remembered: forecast of the residual from the lags.
        trust: in that forecast, from 0 to 1: what it was worth so far.
        lagged: the part of it that is used.
        spread: standard deviation at the forecast against that at the level.
        leverage: x' P x of the lags.
        slopes: P x.
        level_unknown: variance of the level, against that of a point.
        error2: variance of the innovation, with that of the forecast itself.
        z: standard normal under no change; 0 while nothing can be said.
        share: expected p, or count (RATIO and RATE).
        kept: the residual, bounded, as the memory takes it.
        any_known: some series has a season.
        ready: the warm-up is over.
        caution: nats on top of the thresholds for slow changes.
        excess: of excursions that ended with this point over their floor, by channel.
        quiet: the pool is not in an incident: what the point does is chance.
        suspect: it is, and this series seems to be part of it.
        alarm: the point raised one.
        odd: the point is too far off to be remembered: in the warm-up, and in an incident.
    """

    value: Array
    count: Array
    size: Array
    day: Array
    week: Array
    kept: Array
    forecast: Array
    lift: Array
    deviation: Array
    dispersion: Array
    worth: Array
    residual: Array
    lagged: Array
    spread: Array
    leverage: Array
    slopes: Array
    remembered: Array
    trust: Array
    level_unknown: Array
    error2: Array
    z: Array
    share: Array
    ready: Mask
    caution: Array
    excess: Array
    quiet: Mask
    suspect: Mask
    alarm: Mask
    odd: Mask
    any_known: bool

    __slots__ = tuple(__annotations__)

    def take(self, positions: NDArray[np.intp]) -> Step:
        """The same for some of the points."""
        part = Step()
        for name in self.__slots__:
            mine = getattr(self, name)
            setattr(part, name, mine if isinstance(mine, bool) else mine[..., positions])
        return part


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


def dispersion(kind: Kind, state: State, size: Array) -> Array:
    """Variance of a Pearson residual at a given size: a line through the squared innovations, shrunk to 1."""
    q, count, o, oo, qo = state.spread
    prior = 10 + 30 * state.model_skew**2
    mean = (q + prior) / (count + prior)
    some = np.maximum(count, 1.0)
    centre = o / some
    slope = np.maximum(qo / some - centre * q / some, 0.0) / (
        np.maximum(oo / some - centre * centre, 0.0)
        + 0.02 * centre * centre
        + prior * centre * centre / (count + prior)
        + _TINY
    )
    slope = np.minimum(slope, 0.95 * mean / np.maximum(centre, 1e-300))
    line = np.where(count < 30, np.maximum(mean, 0.2), np.maximum(mean + slope * (size - centre), 0.2 * mean))
    return np.where(size < 0.5, 1.0, line) if kind is Kind.RATIO else line


def nominal_skew(kind: Kind, state: State) -> Array:
    """The skewness that a binomial or Poisson law would have, at the dispersion that was learnt."""
    if kind is Kind.RATIO:
        n = np.maximum(state.size, 1.0)
        d = dispersion(kind, state, n - 1)
        p = np.clip(state.level, 1e-4, 1 - 1e-4)
        return (2 * d - 1) / np.sqrt(d) * (1 - 2 * p) / np.sqrt(n * p * (1 - p))
    if kind is Kind.RATE:
        mean = np.maximum(state.level, 0.05)
        d = dispersion(kind, state, mean)
        return (2 * d - 1) / np.sqrt(d) / np.sqrt(mean)
    return np.zeros_like(state.level)


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
    moved = None
    if season is None:
        step.day = step.week = step.lift = np.zeros_like(y)
    else:
        step.day, step.week = season.day, season.week
        step.forecast = level + season.lift
        moved = season.enter(state)
    _variance(kind, state, step)
    if moved is not None:
        moved /= step.deviation
        state.lags -= moved
        state.lifts += moved
    _innovate(kind, state, step, None if season is None else season.doubted)
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
        variance = np.maximum(state.variance, _still(kind, state))
        step.share = step.size = np.zeros_like(forecast)
    ones = np.ones_like(forecast)
    step.dispersion = dispersion(kind, state, step.size) if kind in COUNTED else ones
    step.deviation = np.sqrt(variance * step.dispersion)
    step.worth = step.count / step.dispersion if kind is Kind.RATIO else ones


def _still(kind: Kind, state: State) -> Array:
    """The least variance: a series that never moves is judged against a millionth of its level."""
    return 1e-12 * state.level * state.level + (1e-12 if kind is Kind.POSITIVE else 1e-24)


def _innovate(kind: Kind, state: State, step: Step, doubted: Mask | None) -> None:
    """Fill in residual, forecast of it, innovation and z."""
    step.residual = residual = (step.value - step.forecast) / step.deviation
    lags, covariance = state.lags, state.covariance
    step.slopes = slopes = np.array([_dot(covariance[at], lags) for at in _AT])
    step.leverage = _dot(slopes, lags)
    step.remembered = _dot(state.coefficients, lags)
    step.trust = trust = 1 / (1 + np.exp(_CAUTION - state.memory))
    step.lagged = lagged = trust * step.remembered
    skew = np.abs(state.model_skew)
    step.spread = spread = _spread(kind, step, skew)
    innovation = (residual - lagged) / spread
    if doubted is not None:
        innovation = _doubt(state, step, innovation, doubted)
    some = np.where(state.weight > 0, state.weight, step.worth)
    step.level_unknown = step.worth / some
    unknown = 1 + trust * trust * step.leverage + step.level_unknown
    scale2 = state.plain_scale2 + trust * (state.scale2 - state.plain_scale2)
    step.error2 = np.maximum(scale2 * unknown, _TINY)
    judged = state.points >= FIRST
    t = innovation / np.sqrt(step.error2)
    freedom = np.maximum(state.scale_points - 2, 1.0)
    z = (8 * freedom + 1) / (8 * freedom + 3) * np.sqrt(freedom * np.log1p(t * t / freedom))
    step.z = np.where(judged, np.copysign(z, t), 0.0)


def _doubt(state: State, step: Step, innovation: Array, doubted: Mask) -> Array:
    """Where the season may be that of a fault, what would surprise without it as well counts, and no more.

    The first day was watched without a season, and a fault of it may have been taken for one.
    """
    step.lift = lift = (step.forecast - state.level) / step.deviation
    if not doubted.any():
        return innovation
    without = step.residual + lift - step.trust * _dot(state.coefficients, state.lags + state.lifts)
    without /= step.spread
    least = np.where(np.abs(without) < np.abs(innovation), without, innovation)
    return np.where(doubted, np.where(without * innovation > 0, least, 0.0), innovation)


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


def learn(kind: Kind, state: State, step: Step) -> None:
    """Take the points of the last step as normal."""
    fade = 1 - 1 / MEMORY
    skew = np.abs(state.model_skew)
    judged = state.points >= FIRST
    _learn_memory(kind, state, step, skew, judged)
    if kind in COUNTED:
        _learn_dispersion(kind, state, step, skew)
    step_off = step.value - step.forecast
    # A burst is no season.
    value = np.where(judged, step.forecast + step.kept * step.deviation, step.value)
    if step.any_known:
        learn_gains(state, step, value)
    _learn_level(kind, state, step, step_off, skew, fade)
    state.bin_sum += value
    state.bin_points += 1
    state.points += 1


def _learn_memory(kind: Kind, state: State, step: Step, skew: Array, judged: Mask) -> None:
    """Coefficients by recursive least squares, scale of the innovations, skewness of z."""
    scale2 = state.scale2
    base = step.deviation**2 if kind in COUNTED else state.variance
    state.noise[:] = np.where(judged, base * scale2, state.noise)
    bound = 4 * np.sqrt(scale2)
    innovation = (step.residual - step.remembered) / step.spread
    error = np.minimum(np.maximum(innovation, -bound), bound)
    gain = np.where(judged, 1 / np.maximum(scale2 + step.leverage, _TINY), 0.0)
    slopes = step.slopes
    state.coefficients += slopes * (error * gain)
    state.covariance -= slopes[_ROWS] * slopes[_COLUMNS] * gain
    # What was learnt of a fault in the first hours must not wait for the next one.
    lost = state.trusted * (1 - step.trust) / _FORGETTING
    state.coefficients -= lost * state.coefficients
    state.covariance += lost * (PRIOR_COVARIANCE - state.covariance)
    counted = np.minimum(state.scale_points + 1, float(MEMORY))
    prior = 10 + 50 * skew * skew if kind in COUNTED else np.zeros_like(skew)
    unknown = 1 + step.level_unknown
    most = 25 + 5 * skew * skew
    least = _TINY if kind in COUNTED else 1e-4
    gained = np.zeros_like(skew)
    for held, square, sign in (
        (scale2, innovation**2 / (unknown + step.leverage), -1.0),
        (state.plain_scale2, step.residual**2 / unknown, 1.0),
    ):
        capped = np.minimum(square, most * np.maximum(held, _TINY))
        gained += sign * (
            np.log(np.maximum(held, _TINY)) + np.minimum(square / np.maximum(held, _TINY), 16.0)
        )
        moved = held + (capped - held) / (counted + prior)
        held[:] = np.where(judged, np.maximum(moved, least), held)
    gained += np.log(unknown) - np.log(unknown + step.leverage)
    memory = state.memory - _FORGIVING * (state.memory > 0) + gained / 2
    most = _MOST_MEMORY * np.minimum(1 + state.points / MEMORY, 2.0)
    memory = np.minimum(np.maximum(memory, _LEAST_MEMORY), most)
    state.memory[:] = memory = np.where(judged, memory, state.memory)
    state.trusted[:] = np.where(memory > _CAUTION, 1.0, np.where(memory < 0, 0.0, state.trusted))
    state.scale_points[:] = np.where(judged, counted, state.scale_points)
    fade = np.where(judged, 1 - 1 / MEMORY, 1.0)
    limit = 5 + 3 * skew
    z = np.minimum(np.maximum(step.z, -limit), limit)
    state.cubes[:] = state.cubes * fade + z * z * z
    state.cube_points[:] = state.cube_points * fade + judged


def _learn_dispersion(kind: Kind, state: State, step: Step, skew: Array) -> None:
    d = step.dispersion
    innovation = (step.residual - step.remembered) / step.spread
    unknown = 1 + step.leverage + step.level_unknown
    square = np.minimum(innovation**2 * d / unknown, (25 + 5 * skew * skew) * d)
    begun = state.points >= 1
    size = step.size
    fade = np.where(begun, 1 - 1 / MEMORY, 1.0)
    sums = np.array((square, np.ones_like(square), size, size * size, square * size))
    state.spread[:] = state.spread * fade + np.where(begun, sums, 0.0)
    if kind is Kind.RATIO:
        state.size += (step.count - state.size) / np.minimum(state.points + 1, 1000.0)


def _learn_level(kind: Kind, state: State, step: Step, off: Array, skew: Array, fade: float) -> None:
    worth = step.worth
    young = np.where(state.points < _YOUNG, step.trust, 0.0)
    weight = state.weight * (fade - young / _LOCAL) + worth
    square = off * off * (weight - worth) / weight
    settled = state.variance_points > 20
    square = np.where(
        settled, np.minimum(square, 25 * np.maximum(state.variance, _still(kind, state))), square
    )
    bound = (6 + 3 * skew) * step.deviation if kind in COUNTED else 5 * np.sqrt(state.variance)
    move = np.where(settled, np.minimum(np.maximum(off, -bound), bound), off)
    # The very first point is the level: (k + 1/2) / (n + 1) until then.
    level = np.where(state.points == 0, step.forecast, state.level)
    state.level[:] = level + worth / weight * move
    state.weight[:] = weight
    begun = state.points >= 1
    points = np.where(begun, np.minimum(state.variance_points + 1, float(MEMORY)), state.variance_points)
    state.variance_points[:] = points
    before = np.maximum(state.variance, _still(kind, state))
    state.variance += np.where(begun, (square - state.variance) / np.maximum(points, 1.0), 0.0)
    if kind not in COUNTED:
        _keep_noise(kind, state, before)


def _keep_noise(kind: Kind, state: State, before: Array) -> None:
    """The variance about a level that wanders comes and goes; that of the innovations need not."""
    judged = state.points > FIRST
    turned = np.where(judged, before / np.maximum(state.variance, _still(kind, state)), 1.0)
    state.scale2 *= turned
    state.plain_scale2 *= turned
    state.lags *= np.sqrt(turned)
    state.lifts *= np.sqrt(turned)
