"""A judged window as a person sees it: every series in its own unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from swirl.detector import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from swirl.detector import Points, Scores
    from swirl.effect import SeriesKey
    from swirl.series import Measured

__all__ = ["Judged", "as_seen"]


class Judged(NamedTuple):
    """The series of one kind in one window, as a person sees them; arrays of shape ``(n,)``.

    Attributes:
        keys: in order of rows.
        numbers: value, numerator, denominator, expected, low, high, evidence; shape ``(7, n)``.
        states: :class:`swirl.effect.State` of each.
    """

    keys: Sequence[SeriesKey]
    numbers: NDArray[np.float64]
    states: NDArray[np.uint8]


def as_seen(
    kind: Kind, points: Points, scores: Scores, measured: Sequence[Measured | None], exposure_ms: int
) -> NDArray[np.float64]:
    """The columns that people see: rates per second, levels in their own unit.

    Returns:
        As ``numbers`` of :class:`Judged`.
    """
    n = len(points.value)
    numbers = np.full((7, n), np.nan)
    shown = np.stack([scores.value, scores.expected, scores.low, scores.high])
    if kind is Kind.RATE:
        per_second = 1000.0 / max(exposure_ms, 1)
        shown *= per_second
        numbers[1], numbers[2] = points.value, exposure_ms / 1000.0
    elif kind is Kind.RATIO:
        numbers[1], numbers[2] = points.value, points.weight
        with np.errstate(divide="ignore", invalid="ignore"):
            shown[0] = np.where(points.weight > 0, points.value / points.weight, np.nan)
    elif kind in (Kind.LEVEL, Kind.POSITIVE):
        scale = np.array([1.0 if m is None else m.scale for m in measured])
        rate = np.array([0.0 if m is None else m.rate for m in measured])
        curved = rate != 0
        with np.errstate(over="ignore"):
            shown = np.where(curved, scale * np.exp(np.where(curved, rate, 0.0) * shown), scale * shown)
    numbers[0], numbers[3:6], numbers[6] = shown[0], shown[1:], scores.evidence
    return numbers
