"""What a series would do by its level and season alone, and how well that has been forecasting it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swirl.detector import Kind
from swirl_detectors.season import bins_a_day
from swirl_detectors.whiten import FIRST

if TYPE_CHECKING:
    from swirl_detectors.profile import Columns, Profile
    from swirl_detectors.state import Array, State

__all__ = ["outlook"]


def outlook(
    kind: Kind, state: State, profile: Profile, rows: Columns, start_ms: int, window_ms: int
) -> tuple[Array, Array]:
    """Expected values and their standard deviations, in the units of the value; changes nothing.

    The short memory of the detector is left out: it follows faults too. The variance of one window is that
    of an innovation and of what quarters of an hour were off their forecast by; before a day is known it is
    that of the value about its level, which holds the unknown rhythm.

    Args:
        kind: of the series.
        state: of the rows.
        profile: of the series.
        rows: where they stand in the profile.
        start_ms: of the window that is asked for, now or later.
        window_ms: its length.

    Returns:
        Both of shape ``(n,)``; NaN where too little was learnt. Of positive values the median is expected.
    """
    season = profile.now(state, rows, start_ms, window_ms)
    value = state.level.copy() if season is None else state.level + season.lift
    known = state.bins_known >= bins_a_day(window_ms)
    variance = np.where(known, state.noise + state.part_square, np.maximum(state.variance, state.noise))
    deviation = np.sqrt(variance)
    if kind is Kind.RATIO:
        value = np.clip(value, 0.0, 1.0)
    elif kind is Kind.RATE:
        value = np.maximum(value, 0.0)
    elif kind is Kind.POSITIVE:
        value = np.exp(value)
        deviation = value * np.sqrt(np.expm1(np.minimum(variance, 100.0)))
    begun = state.points >= FIRST
    return np.where(begun, value, np.nan), np.where(begun, deviation, np.nan)
