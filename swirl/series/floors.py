"""Changes that are too small to tell a person of."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swirl.effect import SeriesKey

__all__ = ["FLOORS", "is_material"]

FLOORS: dict[str, tuple[float, float]] = {
    "records": (0.02, 0.0),
    "input_ratio": (0.02, 0.0),
    "counter_level": (0.02, 0.0),
    "latency_p50": (0.2, 0.001),
    "latency_p95": (0.2, 0.001),
    "lag": (0.2, 1.0),
    "segment_ratio": (0.1, 0.0),
}
"""Metric -> the change, relative and absolute, below which nobody is told however sure the detector is."""

_RELATIVE_FLOOR = 0.01


def is_material(key: SeriesKey, value: float, expected: float, *, accumulated: bool = False) -> bool:
    """Whether a change is large enough to tell a person of.

    Example:
        >>> from swirl.effect import SeriesKey
        >>> is_material(SeriesKey("a", "latency_p50"), 9e-6, 5e-6)
        False
        >>> is_material(SeriesKey("a", "prediction_ratio", "yes"), 0.2, 0.8)
        True
    """
    if not (isfinite(value) and isfinite(expected)):
        return isfinite(value)
    relative, absolute = FLOORS.get(key.metric, (_RELATIVE_FLOOR, 0.0))
    floor = max(relative * abs(expected), absolute)
    # The last of many small steps may lie anywhere around the shift that they add up to.
    return abs(value - expected) > floor * (0.5 if accumulated else 1.0)
