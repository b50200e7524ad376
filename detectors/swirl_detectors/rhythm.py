"""What the means of day and week learn of a part of the week that is over.

A part joins its mean by a bounded step, freed of the level where that is known apart. Of the first days it
has to be found out which of them a fault bent: a part on which two days differ begins anew with the second,
what an incident hid is filled in from what lies beside it, and what alarms at the same time on three days in
a row is no fault but the rhythm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swirl.detector import Kind
from swirl_detectors.profile import AGREED, HOURS, hour_of
from swirl_detectors.season import WEEKDAYS
from swirl_detectors.state import forget_memory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swirl_detectors.profile import Columns, Profile
    from swirl_detectors.state import Array, Mask, State

__all__ = ["learn_part", "shift"]

UNLIKE = 0.15
"""What a day that is not like its weekday counts in that weekday's mean."""

_CLIP = 4.0
"""Standard deviations of a part by which it moves its mean at most: a burst is no season."""
_LARGEST = 1e30
_AGAIN = 0.95
_WORTH = 60.0
"""A new shape is believed to repeat itself as if it had done so, by this gain, for so many windows."""
_APART = 12
"""Twelfths of a day: what two parts so far apart have in common lasts."""
_RESTLESS, _UNEASY = 0.5, 0.03
_MOST = 0.75
"""The share of a day that must have been seen for the rest to be filled in."""


def learn_part(profile: Profile, state: State, columns: Columns, old: int, now: int, parts: int) -> None:
    """Take a part of the week that is over into the means, and its hour if that is over too.

    Args:
        profile: the means.
        state: of the series.
        columns: where they stand in the profile.
        old: the part of the week.
        now: the part that begins.
        parts: of a day.
    """
    visited = profile.visits[old % parts, columns] > 0
    # What an incident left of a part is its edges: they say less than an earlier day.
    some = (state.bin_points > 0) & (~visited | (3 * state.bin_points >= 2 * state.bin_seen))
    mean = np.where(some, state.bin_sum / np.maximum(state.bin_points, 1.0), 0.0)
    first = some & (state.bins_known == 0)
    state.origin[first] = mean[first]
    _learn_day(profile, state, columns, old % parts, parts, mean, some)
    # Where an incident is over, what it was off by belongs to no later part.
    state.recent_points[state.held == 0] = 0.0
    state.hour_sum += np.where(some, state.bin_sum, 0.0)
    state.hour_points += np.where(some, state.bin_points, 0.0)
    hours = min(HOURS, parts)
    hour = hour_of(old, parts)
    if hour != hour_of(now, parts):
        _learn_week(profile, state, columns, *divmod(hour, hours), parts)
        state.hour_sum[:] = 0.0
        state.hour_points[:] = 0.0


def _freed(profile: Profile, state: State, mean: Array, known: Mask, base: Array) -> Array:
    """A mean about the origin, as it would be were the level that of the shapes."""
    if profile.kind is Kind.RATE:
        scale = np.where((base > 0) & known, state.level / np.maximum(base, 1e-9), 1.0)
        return np.asarray(mean / np.clip(scale, 0.25, 4.0) - state.origin)
    return mean - state.origin - np.where(known, state.level - base, 0.0)


def _learn_day(
    profile: Profile, state: State, columns: Columns, part: int, parts: int, mean: Array, some: Mask
) -> None:
    known = state.bins_known >= parts
    # A part that comes again says that a day has passed.
    passed = some & ~known & (profile.visits[part, columns] > 0) & (state.bins_known >= _MOST * parts)
    if passed.any():
        _fill_day(profile, state, columns, parts, np.flatnonzero(passed))
        _begin_day(profile, state, columns, parts, passed)
        known = known | passed
    freed = _freed(profile, state, mean, known, state.origin + state.profile_mean / parts)
    before, visits = profile.single(profile.day, part, columns), profile.visits[part, columns].copy()
    gain = np.maximum(0.2, 1 / (visits + 1.0))
    after = _moved(state, before, freed, gain, known & (visits > 1))
    # A fault that the first day did not tell from a rhythm: where the next day differs, it counts alone.
    differs = (visits == 1) & (np.abs(freed - before) > _bound(state))
    after = np.where(differs, np.clip(freed, -_LARGEST, _LARGEST), after)
    # What alarms at the same time on days that follow each other is a rhythm.
    hidden = known & ~some & (state.recent_points > 0) & (state.bin_seen > 0)
    hidden &= state.points > 2 * AGREED * parts * state.bin_seen
    again = hidden & (visits == 1)
    after = np.where(again, np.clip(before + state.recent, -_LARGEST, _LARGEST), after)
    profile.day[part, columns] = np.where(some | again, after, before)
    state.profile_mean += profile.single(profile.day, part, columns) - before
    counted = np.where(differs, 1, np.minimum(visits, 254) + 1)
    fewer = np.where(hidden, np.maximum(np.minimum(visits, AGREED) - 1, 1), visits)
    profile.visits[part, columns] = np.where(some, counted, fewer)
    state.bins_known += some & (visits == 0)
    state.bins_agreed += some & (counted == AGREED)
    begins = ~known & (state.bins_known >= parts)
    if begins.any():
        _begin_day(profile, state, columns, parts, begins)


def _fill_day(profile: Profile, state: State, columns: Columns, parts: int, at: NDArray[np.intp]) -> None:
    """Parts that an incident hid lie between their neighbours."""
    places = np.arange(parts)
    rows = at if isinstance(columns, slice) else columns[at]
    for row, series in zip(rows.tolist(), at.tolist(), strict=True):
        seen = np.flatnonzero(profile.visits[:parts, row])
        day = np.interp(places, seen, profile.day[seen, row].astype(np.float64), period=parts)
        profile.day[:parts, row] = day
        profile.visits[:parts, row] = np.maximum(profile.visits[:parts, row], 1)
        state.profile_mean[series] = profile.day[:parts, row].astype(np.float64).sum()
        state.bins_known[series] = parts


def _begin_day(profile: Profile, state: State, columns: Columns, parts: int, begins: Mask) -> None:
    mean = state.profile_mean / parts
    shape = [profile.single(profile.day, part, columns) - mean for part in range(parts)]
    energy = _slow_energy(shape, max(1, parts // _APART))
    _believe(state.profile_value, state.profile_profile, energy, begins)
    # The level of a few hours is not that of the day.
    level = np.where(begins, state.origin + mean, state.level)
    state.rebased += level - state.level
    state.level[:] = level
    moves = (energy > _RESTLESS * state.noise) + 1.0 * (energy > _UNEASY * state.noise)
    state.restless[begins] = moves[begins] / 2


def _bound(state: State) -> Array:
    least = state.noise / np.maximum(8.0, state.bin_points / 2)
    return np.asarray(_CLIP * np.sqrt(np.maximum(state.part_square, least)))


def _moved(state: State, before: Array, value: Array, gain: Array, bounded: Mask) -> Array:
    bound = np.where(bounded, _bound(state), np.inf)
    after = before + gain * np.minimum(np.maximum(value - before, -bound), bound)
    return np.asarray(np.clip(after, -_LARGEST, _LARGEST))


def _learn_week(
    profile: Profile, state: State, columns: Columns, weekday: int, hour: int, parts: int
) -> None:
    hours = min(HOURS, parts)
    at = weekday * hours + hour
    some, known = state.hour_points > 0, state.week_known > 0
    mean = np.where(some, state.hour_sum / np.maximum(state.hour_points, 1.0), 0.0)
    freed = _freed(profile, state, mean, known, state.origin + state.week_mean)
    before, visits = profile.single(profile.week, at, columns), profile.week_visits[at, columns].copy()
    gain = np.maximum(0.3, 1 / (visits + 1.0))
    gain *= np.where((state.like == weekday) | (visits == 0), 1.0, UNLIKE)
    after = _moved(state, before, freed, gain, known & (visits > 1))
    profile.week[at, columns] = np.where(some, after, before)
    step = profile.single(profile.week, at, columns) - before
    state.week_mean += np.where(known & (visits > 0), step / (WEEKDAYS * hours), 0.0)
    profile.week_visits[at, columns] = np.where(some, np.minimum(visits, 254) + 1, visits)
    first = some & (visits == 0)
    state.weeks_known += first
    if first.any() and hour:
        _fill(profile, state, columns, weekday, hour, parts, first)
    # An hour that comes again says that a week has passed.
    begins = ~known & some & (visits > 0) & (state.bins_known >= parts)
    begins &= state.weeks_known >= (WEEKDAYS - 1) * hours
    if begins.any():
        _begin_week(profile, state, columns, parts, begins)


def _fill(
    profile: Profile, state: State, columns: Columns, weekday: int, hour: int, parts: int, first: Mask
) -> None:
    """Hours that an incident hid differ from the day's shape as the one after them does."""
    hours = min(HOURS, parts)
    here, fine = (
        profile.single(profile.week, weekday * hours + hour, columns),
        profile.hour(hour, columns, parts),
    )
    missing = first & (state.bins_known >= parts)
    for earlier in range(hour - 1, -1, -1):
        at = weekday * hours + earlier
        missing = missing & (profile.week_visits[at, columns] == 0)
        if not missing.any():
            return
        shape = profile.hour(earlier, columns, parts)
        filled = shape + here - fine
        if profile.kind is Kind.RATE:
            below = np.maximum(fine + state.origin, 1e-9)
            filled = (shape + state.origin) * np.maximum(here + state.origin, 0.0) / below - state.origin
        filled = np.clip(filled, -_LARGEST, _LARGEST)
        profile.week[at, columns] = np.where(missing, filled, profile.single(profile.week, at, columns))
        profile.week_visits[at, columns] = np.where(missing, 1, profile.week_visits[at, columns])
        state.weeks_known += missing


def _begin_week(profile: Profile, state: State, columns: Columns, parts: int, begins: Mask) -> None:
    """The week is known: by how much it differs from the day says how much it is believed at first."""
    hours = min(HOURS, parts)
    state.week_known[begins] = 1.0
    state.week_mean[begins] = (state.level - state.origin)[begins]
    mean = state.profile_mean / parts - state.week_mean
    shape = []
    for at in range(WEEKDAYS * hours):
        off = profile.single(profile.week, at, columns) - profile.hour(at % hours, columns, parts) + mean
        shape.append(np.where(profile.week_visits[at, columns] > 0, off, 0.0))
    energy = _slow_energy(shape, max(1, hours // _APART))
    _believe(state.week_value, state.week_profile, energy, begins)
    forget_memory(state, begins & (state.restless == 1))


def shift(profile: Profile, state: State, rows: Columns, by: Array, parts: int) -> None:
    """Move a day of which only a part was seen to a new level; known shapes are free of the level.

    The day of a series that moved all along stays: what looked like a new level may be its rhythm. So
    does a week that is not yet known, as it may be its first weekend.
    """
    moved = np.where((state.bins_known < parts) & (state.trusted == 0), by, 0.0)
    if moved.any():
        visited = profile.visits[:, rows] > 0
        day = profile.day[:, rows].astype(np.float64)
        profile.day[:, rows] = np.where(visited, np.clip(day + moved, -_LARGEST, _LARGEST), day)
        state.profile_mean += moved * state.bins_known
        state.bin_sum += moved * state.bin_points


def _believe(value: Array, profile: Array, energy: Array, begins: Mask) -> None:
    """A new shape is believed to come again by how far it is from flat, its mean square, against noise."""
    profile[begins] = _WORTH * energy[begins]
    value[begins] = _AGAIN * profile[begins]


def _slow_energy(shape: list[Array], apart: int) -> Array:
    """Mean square of what lasts: products over two hours, in which noise has no part."""
    total = np.zeros_like(shape[0])
    for here, there in zip(shape, shape[apart:] + shape[:apart], strict=True):
        total += here * there
    return np.maximum(total / len(shape), 0.0)
