"""The values from which on a series would raise an alarm for novelty, as a person sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swirl_detectors.spacing import Range

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = ["HALF", "ends"]

HALF = 15.0
"""The novelty that is worth ln 2 nats."""


def ends(past: Range, usual: Array, seasonal: Mask, nats: Array) -> tuple[Array, Array]:
    """The lowest and the highest value that are worth less than so many nats as value and as residual.

    Beyond both ranges the novelties are linear in the value, so the sum of the two logarithms makes a
    quadratic equation. A value outside raises an alarm; one inside may, together with step and spread, or
    in a gap.

    Args:
        past: ranges of value and residual, the first two views.
        usual: the mean of this time of day, shape ``(n,)``.
        seasonal: where that is known.
        nats: that value and residual must give together.

    Returns:
        Low and high, NaN while the value has no range.

    Example:
        >>> from swirl_detectors.spacing import Range
        >>> past = Range(np.array([[0.0], [-1.0]]), np.array([[10.0], [1.0]]), np.full((2, 1), 101.0))
        >>> low, high = ends(past, np.array([5.0]), np.array([True]), np.array([4.0]))
        >>> low.round(2), high.round(2)
        (array([-2.21]), array([12.21]))
        >>> (np.log1p(101 * (high - 10) / 10 / HALF) + np.log1p(101 * (high - 5 - 1) / 2 / HALF)).round(6)
        array([4.])
    """
    (low, low2), (high, high2), (count, count2) = past.low[:2], past.high[:2], past.number[:2]
    known, both = high > low, seasonal & (high2 > low2)
    slope = np.where(known, count / (HALF * np.where(known, high - low, 1.0)), 0.0)
    slope2 = np.where(both, count2 / (HALF * np.where(both, high2 - low2, 1.0)), 0.0)
    goal = np.exp(np.clip(nats, 0.0, 300.0))
    above = high + _beyond(slope, slope2, np.where(both, high - usual - high2, 0.0), goal)
    below = low - _beyond(slope, slope2, np.where(both, usual + low2 - low, 0.0), goal)
    return np.where(known, below, np.nan), np.where(known, above, np.nan)


def _beyond(slope: Array, slope2: Array, ahead: Array, goal: Array) -> Array:
    """The larger root of ``(1 + slope u)(1 + slope2 (u + ahead)) = goal``, at least 0 and ``-ahead``."""
    line = slope * (1 + slope2 * ahead) + slope2
    rest = 1 + slope2 * ahead - goal
    root = np.sqrt(np.maximum(line * line - 4 * slope * slope2 * rest, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(line > 0, -2 * rest / (line + root), (root - line) / (2 * slope * slope2))
    return np.where(np.isfinite(found), np.maximum(found, np.maximum(-ahead, 0.0)), np.inf)
