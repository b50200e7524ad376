"""Which weekday a day is like: on a holiday a Wednesday runs as a Sunday does.

While a day runs, nats are summed by which the shape of every weekday explains its parts better than the shape
in use. The day is taken for another once that leads by :data:`SURE`, and at midnight UTC for its own weekday.
Older parts fade, and a part that no shape fits speaks for none, so that a level that is new to all of them
stays a fault. Shapes are told apart only where they are two standard deviations of a point apart: what is
smaller stays with the detector, which takes longer to find it than a shape would take to swallow it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swirl_detectors.rhythm import learn_part
from swirl_detectors.season import WEEKDAYS, week_part
from swirl_detectors.state import State

if TYPE_CHECKING:
    from swirl_detectors.profile import Columns, Profile
    from swirl_detectors.state import Array, Mask

__all__ = ["SURE", "turn"]

SURE = 5.0
"""Nats by which another weekday must explain the day better."""

_FADE = 0.9
_MOST = 2.0
"""Nats that one part can say."""
_APART = 2.0
_REST = 0.25
"""The share of what a day is off by that a shape may leave."""
_BACK = 1.0
_STEP = 0.02


def turn(profile: Profile, state: State, rows: Columns, start_ms: int, parts: int) -> None:
    """Close the parts of the week that are over: choose the day's type, then learn them.

    Args:
        profile: of the series.
        state: of the rows.
        rows: where they stand in the profile.
        start_ms: of the window that is to be judged.
        parts: of a day.
    """
    now = week_part(start_ms, parts)
    past = state.bin != now
    if not past.any():
        return
    for old in np.unique(state.bin[past & (state.bin >= 0)]).astype(np.intp).tolist():
        at = np.flatnonzero(state.bin == old)
        if at.size == len(past):
            _close(profile, state, rows, old % (WEEKDAYS * parts), now, parts)
        else:
            part = State(np.take(state.table, at, axis=1))
            columns = at if isinstance(rows, slice) else rows[at]
            _close(profile, part, columns, old % (WEEKDAYS * parts), now, parts)
            state.table[:, at] = part.table
    weekday = now // parts
    other = past & ((state.bin < 0) | (state.bin // parts != weekday))
    state.like[other] = weekday
    state.likeness[:, other] = 0.0
    state.bin[past] = now
    state.bin_sum[past] = 0.0
    state.bin_points[past] = 0.0
    state.bin_seen[past] = 0.0


def _close(profile: Profile, state: State, columns: Columns, old: int, now: int, parts: int) -> None:
    known = state.bins_known >= parts
    if known.any():
        _compare(profile, state, columns, old, parts, known)
    learn_part(profile, state, columns, old, now, parts)


def _compare(profile: Profile, state: State, columns: Columns, old: int, parts: int, known: Mask) -> None:
    """Hold the part of the week that is over against the shape of every weekday."""
    at = (old % parts + 0.5) / parts
    scale = profile.scale(state, parts)
    by_week = state.week_known > 0
    shapes = []
    current = np.zeros_like(state.level)
    if by_week.any():
        fine = profile.fine(columns, at, parts)
        believed = np.where(by_week, state.week_gain * scale, 0.0)
        for weekday in range(WEEKDAYS):
            shape = believed * profile.week_at(state, columns, weekday, at, parts, fine)
            current = np.where(state.like == weekday, shape, current)
            shapes.append(shape)
    points = np.maximum(state.bin_points, 1.0)
    forecast = state.level + scale * state.gain * profile.day_at(state, columns, at, parts) + current
    measured = known & (state.bin_points > 0)
    # A series that is held is not learnt: what it is off by is followed apart.
    waits = known & (state.held > 0) & (state.recent_points > 0)
    off = np.where(measured, state.bin_sum / points - forecast, np.where(waits, state.recent, 0.0))
    chance = np.maximum(state.part_square, state.noise / points)
    if shapes:
        _choose(
            state,
            [shape - current for shape in shapes],
            off,
            chance,
            by_week & (measured | waits),
            old // parts,
        )
    square = np.minimum(off * off, 9 * np.maximum(chance, 1e-300))
    begun = np.where(state.part_square > 0, state.part_square + _STEP * (square - state.part_square), chance)
    state.part_square[:] = np.where(measured, begun, state.part_square)


def _choose(state: State, apart: list[Array], off: Array, chance: Array, seen: Mask, own: int) -> None:
    """Sum the nats for each weekday, and take the day for the best that is sure.

    Args:
        state: of the series.
        apart: by how much the shape of each weekday lies above the one in use.
        off: the part above its forecast.
        chance: variance of that.
        seen: which series had a part.
        own: the weekday that it is.
    """
    chance = np.maximum(chance, 1e-300)
    misfit = np.minimum(off * off / chance / 2, _MOST)
    for weekday, by in enumerate(apart):
        other = np.minimum((off - by) ** 2 / chance / 2, _MOST)
        told = seen & (by * by >= _APART * _APART * state.noise)
        gain = misfit - other
        # A shape that explains half of what is off is no explanation.
        gain = np.where(np.abs(off - by) <= _REST * np.abs(off), gain, np.minimum(gain, 0.0))
        if weekday == own:
            # What does not go on to explain the day gives it back.
            back = (state.like != own) & (np.abs(off) > _REST * np.abs(by))
            gain = np.where(back, _BACK, gain)
        likeness = state.likeness[weekday] * _FADE + np.where(told, gain, 0.0)
        state.likeness[weekday] = np.where(seen, likeness, state.likeness[weekday])
    best = state.likeness.argmax(axis=0)
    lead = state.likeness.max(axis=0)
    switched = seen & (lead > SURE) & (best != state.like)
    if switched.any():
        state.like[switched] = best[switched]
        state.likeness[:, switched] -= lead[switched]
        # What was gathered against the other shape says nothing against this one.
        for gathered in (state.lags, state.evidence, state.peak, state.recent, state.recent_points):
            gathered[..., switched] = 0.0
