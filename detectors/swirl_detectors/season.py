"""The shape of a day and of a week, as means by time over earlier days and weeks.

A *day* is the mean of each quarter of an hour over earlier days, a *week* the mean of each hour over earlier
weeks; both are interpolated. The day is used once all of it was seen, the week once as much as six of its
days was. What they say enters the forecast by two gains, least squares shrunk to 0, so that a series without
a season has none. Which weekday a day is like is told by :mod:`swirl_detectors.daytype`.

Sees: rhythms of a day and a week, of any form, with quarters of an hour (day) and hours (week) as their
grain. Does not see: months, years, holidays by their name. Rests on UTC, which only moves where a day begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swirl_detectors.state import BINS

if TYPE_CHECKING:
    from swirl_detectors.state import Array, Mask, State
    from swirl_detectors.step import Step

__all__ = [
    "DAY_MS",
    "WEEKDAYS",
    "Season",
    "bins_a_day",
    "caution",
    "learn_gains",
    "settled",
    "week_part",
]

DAY_MS = 24 * 3600 * 1000
WEEKDAYS = 7
MEMORY = 20_000
"""Windows that the gains rest on."""

_THURSDAY = 3
"""The first of January 1970, counted from Monday."""
_SHRINK = 50.0
CAUTION = 0.6
"""Nats for each e-fold by which what moves slowly outweighs chance."""
_SLOWEST = 20.0
_MOST_PARTS = 0.9


def bins_a_day(window_ms: int) -> int:
    """How many parts a day has: quarters of an hour, or windows where these are longer.

    Example:
        >>> bins_a_day(60_000), bins_a_day(3_600_000)
        (96, 24)
    """
    return max(1, min(BINS, DAY_MS // window_ms))


def week_part(start_ms: int, parts: int) -> int:
    """The part of the week in which a window begins, from Monday 0:00 UTC on.

    Args:
        start_ms: of the window.
        parts: of a day.

    Example:
        >>> monday = 4 * DAY_MS
        >>> week_part(monday + 15 * 60_000, 96)
        1
    """
    weekday = (start_ms // DAY_MS + _THURSDAY) % WEEKDAYS
    return int(weekday * parts + start_ms % DAY_MS * parts // DAY_MS)


class Season:
    """What time of day and of week add to the level of some series; shapes ``(n,)``.

    Attributes:
        day, week: by the day alone, and what the week adds to that.
        gain, week_gain: how much of them is in the forecast.
        lift: both, by their gains: what is added to the level.
        doubted: too few days agree on this part of the day.
    """

    __slots__ = ("day", "doubted", "gain", "lift", "week", "week_gain")

    def __init__(self, state: State, day: Array, week: Array, known: Mask, doubted: Mask) -> None:
        noise = _SHRINK * np.maximum(state.noise, 1e-300)
        gain = np.maximum(state.profile_value, 0.0) / (state.profile_profile + noise)
        week_gain = np.maximum(state.week_value, 0.0) / (state.week_profile + noise)
        self.day, self.week, self.doubted = day, week, doubted & known
        self.gain = np.where(known, np.minimum(gain, 1.05), 0.0)
        self.week_gain = np.where(state.week_known > 0, np.minimum(week_gain, 1.05), 0.0)
        self.lift = self.gain * day + self.week_gain * week

    def enter(self, state: State) -> Array:
        """Put the gains in force, and tell by how much that and a new level move the forecast."""
        moved = (self.gain - state.gain) * self.day + (self.week_gain - state.week_gain) * self.week
        moved += state.rebased
        state.rebased[:] = 0.0
        state.gain[:], state.week_gain[:] = self.gain, self.week_gain
        return moved


def settled(state: State, parts: int) -> Mask:
    """Whose season is known well enough to be watched for slow changes.

    A series that moves much and slowly in a day may have a weekend: it has to be seen for a week. Of one that
    moves a little, days have to agree: it may as well wander.
    """
    steady = (state.restless == 0) | ((state.restless < 1) & (state.bins_agreed >= _MOST_PARTS * parts))
    return np.asarray((state.bins_known >= parts) & (steady | (state.week_known > 0)))


def caution(state: State, parts: int) -> Array:
    """Nats to add to the thresholds for slow changes, of series whose rhythm is not yet known.

    They grow with the variance of what moves slowly against that of one innovation: on the first day of the
    value about its level, later of the parts of a day about their forecast.

    Args:
        state: of the series.
        parts: of a day.
    """
    day = state.bins_known >= parts
    slow = np.where(day, state.part_square, state.variance - state.noise) / np.maximum(state.noise, 1e-300)
    return np.where(
        ~settled(state, parts) & (state.noise > 0), CAUTION * np.log1p(np.clip(slow, 0.0, _SLOWEST)), 0.0
    )


def learn_gains(state: State, step: Step, value: Array) -> None:
    """Least squares of the value on day and week, each with the other taken off."""
    off = value - state.level
    keep = np.where(step.day != 0, 1 - 1 / MEMORY, 1.0)
    day, week = step.day, step.week
    state.profile_profile[:] = state.profile_profile * keep + day * day
    state.profile_value[:] = state.profile_value * keep + day * (off - state.week_gain * week)
    keep = np.where(state.week_known > 0, 1 - 1 / MEMORY, 1.0)
    state.week_profile[:] = state.week_profile * keep + week * week
    state.week_value[:] = state.week_value * keep + week * (off - state.gain * day)
