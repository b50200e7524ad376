"""What a window that was normal teaches: level, dispersion, scale, skewness and the short memory.

Recursive least squares and running means, with what is odd bounded, so that one window cannot spoil them. The
forecasts that rest on them are made in :mod:`swirl_detectors.whiten`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swirl.detector import Kind
from swirl_detectors.dispersion import COUNTED, least_variance
from swirl_detectors.season import learn_gains
from swirl_detectors.state import LAGS, PRIOR_COVARIANCE
from swirl_detectors.whiten import CAUTION, FIRST

if TYPE_CHECKING:
    from swirl_detectors.state import Array, Mask, State
    from swirl_detectors.step import Step

__all__ = ["learn"]

MEMORY = 5000
"""Windows that the level rests on."""

_ROWS, _COLUMNS = np.triu_indices(LAGS)
_LEAST_MEMORY, _MOST_MEMORY = -4.0, 8.0
_FORGIVING = 0.008
"""Nats a window that the memory must go on to be worth."""
_FORGETTING = 300.0
"""Where trust was lost the coefficients have faded to 1/e after so many windows."""
_YOUNG, _LOCAL = 300, 50.0
"""The level of a series that wandered in its first windows is that of the last ones."""
_TINY = 1e-12


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
    state.trusted[:] = np.where(memory > CAUTION, 1.0, np.where(memory < 0, 0.0, state.trusted))
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
        settled, np.minimum(square, 25 * np.maximum(state.variance, least_variance(kind, state))), square
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
    before = np.maximum(state.variance, least_variance(kind, state))
    state.variance += np.where(begun, (square - state.variance) / np.maximum(points, 1.0), 0.0)
    if kind not in COUNTED:
        _keep_noise(kind, state, before)


def _keep_noise(kind: Kind, state: State, before: Array) -> None:
    """The variance about a level that wanders comes and goes; that of the innovations need not."""
    judged = state.points > FIRST
    turned = np.where(judged, before / np.maximum(state.variance, least_variance(kind, state)), 1.0)
    state.scale2 *= turned
    state.plain_scale2 *= turned
    state.lags *= np.sqrt(turned)
    state.lifts *= np.sqrt(turned)
