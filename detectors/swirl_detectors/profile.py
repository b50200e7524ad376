"""The means behind the season: of each quarter of an hour over days, of each hour over weeks."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from swirl.detector import Kind
from swirl_detectors.season import DAY_MS, WEEKDAYS, Season, bins_a_day, week_part
from swirl_detectors.state import BINS, State, forget_memory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swirl_detectors.state import Array, Mask

    Columns = NDArray[np.intp] | slice

__all__ = ["AGREED", "HOURS", "Profile"]

HOURS = 24

AGREED = 3
"""Days that have to agree on a part of the day until it is believed."""

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


@lru_cache
def _parts_of_hours(parts: int) -> tuple[tuple[int, ...], ...]:
    """The parts of a day whose middle lies in each of its hours."""
    hours = min(HOURS, parts)
    return tuple(
        tuple(part for part in range(parts) if _hour_of(part, parts) == hour) for hour in range(hours)
    )


def _hour_of(part: int, parts: int) -> int:
    """The hour of the week in which the middle of a part of the week lies."""
    weekday, part = divmod(part, parts)
    hours = min(HOURS, parts)
    return weekday * hours + (2 * part + 1) * hours // (2 * parts)


def _between(at: float) -> tuple[int, float]:
    """The middle of a part that lies before, and how far the next one is in."""
    left = int(np.floor(at - 0.5))
    return left, at - 0.5 - left


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


class Profile:
    """Means by time of day and of week, UTC, and how often each was visited.

    They are kept in single precision about an origin of the series' own. A part joins its mean when it is
    over, so that a point is never judged by itself. Once a shape is known, what is learnt of it is freed of
    the level, so that a level that moves does not bend it.

    Args:
        kind: of the series. The season of a rate is a factor on its level; to others it is added.
        n: how many there are.

    Attributes:
        day, visits: shape ``(BINS, n)``.
        week, week_visits: shape ``(168, n)``.
    """

    def __init__(self, kind: Kind, n: int) -> None:
        self._kind = kind
        self.day = np.zeros((BINS, n), dtype=np.float32)
        self.visits = np.zeros((BINS, n), dtype=np.uint8)
        self.week = np.zeros((WEEKDAYS * HOURS, n), dtype=np.float32)
        self.week_visits = np.zeros((WEEKDAYS * HOURS, n), dtype=np.uint8)

    def grow(self, new: int) -> None:
        """Make room for more series."""
        fresh = Profile(self._kind, new)
        for name in ("day", "visits", "week", "week_visits"):
            setattr(self, name, np.concatenate((getattr(self, name), getattr(fresh, name)), axis=1))

    def pack(self) -> bytes:
        """All of it, for a snapshot."""
        shapes = self.day.astype("<f4").tobytes() + self.week.astype("<f4").tobytes()
        return shapes + self.visits.tobytes() + self.week_visits.tobytes()

    def unpack(self, data: bytes) -> None:
        """Take over what ``pack`` gave for as many series.

        Raises:
            ValueError: the data are of another size.
        """
        n = self.day.shape[1]
        shapes = np.frombuffer(data[: 4 * (BINS + WEEKDAYS * HOURS) * n], dtype="<f4").astype(np.float32)
        visits = np.frombuffer(data[shapes.nbytes :], dtype=np.uint8).copy()
        self.day, self.week = np.split(shapes.reshape(BINS + WEEKDAYS * HOURS, n), [BINS])
        self.visits, self.week_visits = np.split(visits.reshape(BINS + WEEKDAYS * HOURS, n), [BINS])

    # What the season says
    # ------------------------------------------------------------------------------------------------

    def now(self, state: State, rows: Columns, start_ms: int, window_ms: int) -> Season | None:
        """What time of day and of week add to the level; None where no row knows its day. Changes nothing."""
        parts = bins_a_day(window_ms)
        known = state.bins_known >= parts
        if not known.any():
            return None
        at = (start_ms % DAY_MS + window_ms / 2) / DAY_MS
        day = np.where(known, self.day_at(state, rows, at, parts), 0.0)
        week = np.zeros_like(day)
        if (state.week_known > 0).any():
            weekday = week_part(start_ms, parts) // parts
            like = np.where(state.bin // parts == weekday, state.like, weekday)
            fine = self.fine(rows, at, parts)
            for other in range(WEEKDAYS):
                alike = (like == other) & (state.week_known > 0)
                if alike.any():
                    here = self.week_at(state, rows, other, at, parts, fine)
                    week = here if alike.all() else np.where(alike, here, week)
        scale = self.scale(state, parts)
        return Season(state, day * scale, week * scale, known, self._doubted(rows, at * parts, parts))

    def day_at(self, state: State, rows: Columns, at: float, parts: int) -> Array:
        """The day's shape about its mean, at a time of day from 0 to 1."""
        left, share = _between(at * parts)
        here = (1 - share) * self._single(self.day, left % parts, rows)
        here += share * self._single(self.day, (left + 1) % parts, rows)
        return np.asarray(here - state.profile_mean / parts)

    def _doubted(self, rows: Columns, at: float, parts: int) -> Mask:
        """Whether a part around a time of day, in parts, was not seen on enough days that agree."""
        left, _ = _between(at)
        return np.asarray(
            (self.visits[left % parts, rows] < AGREED) | (self.visits[(left + 1) % parts, rows] < AGREED)
        )

    def fine(self, rows: Columns, at: float, parts: int) -> tuple[Array, Array]:
        """The day's means over the two hours around a time of day."""
        hours = min(HOURS, parts)
        left, _ = _between(at * hours)
        return self._hour(left % hours, rows, parts), self._hour((left + 1) % hours, rows, parts)

    def week_at(
        self, state: State, rows: Columns, weekday: int, at: float, parts: int, fine: tuple[Array, Array]
    ) -> Array:
        """What a weekday adds to the day's shape at a time of day; 0 in hours that were never visited."""
        hours = min(HOURS, parts)
        left, share = _between(at * hours)
        centre = state.profile_mean / parts - state.week_mean
        ends = []
        for step, hour_of_day in enumerate(fine):
            hour = (weekday * hours + left + step) % (WEEKDAYS * hours)
            here = self._single(self.week, hour, rows) - hour_of_day + centre
            ends.append(np.where(self.week_visits[hour, rows] > 0, here, 0.0))
        return np.asarray((1 - share) * ends[0] + share * ends[1])

    def scale(self, state: State, parts: int) -> Array | float:
        """By how much the level of a rate is above the one that the shapes were learnt at."""
        if self._kind is not Kind.RATE:
            return 1.0
        base = self._base(state, parts)
        return np.where(base > 0, np.clip(state.level / np.maximum(base, 1e-9), 0.25, 4.0), 1.0)

    def _base(self, state: State, parts: int) -> Array:
        """The level that the shapes were learnt at."""
        by_week = state.week_known > 0
        return np.asarray(state.origin + np.where(by_week, state.week_mean, state.profile_mean / parts))

    def _single(self, means: NDArray[np.float32], row: int, columns: Columns) -> Array:
        return means[row, columns].astype(np.float64)

    def _hour(self, hour: int, rows: Columns, parts: int) -> Array:
        inside = _parts_of_hours(parts)[hour]
        total = self._single(self.day, inside[0], rows)
        for part in inside[1:]:
            total += self._single(self.day, part, rows)
        return total / len(inside)

    # What the season learns
    # ------------------------------------------------------------------------------------------------

    def learn_part(self, state: State, columns: Columns, old: int, now: int, parts: int) -> None:
        """Take a part of the week that is over into the means, and its hour if that is over too.

        Args:
            state: of the series.
            columns: where they stand in the profile.
            old: the part of the week.
            now: the part that begins.
            parts: of a day.
        """
        known = self.visits[old % parts, columns] > 0
        # What an incident left of a part is its edges: they say less than an earlier day.
        some = (state.bin_points > 0) & (~known | (3 * state.bin_points >= 2 * state.bin_seen))
        mean = np.where(some, state.bin_sum / np.maximum(state.bin_points, 1.0), 0.0)
        first = some & (state.bins_known == 0)
        state.origin[first] = mean[first]
        self._learn_day(state, columns, old % parts, parts, mean, some)
        state.hour_sum += np.where(some, state.bin_sum, 0.0)
        state.hour_points += np.where(some, state.bin_points, 0.0)
        hours = min(HOURS, parts)
        hour = _hour_of(old, parts)
        if hour != _hour_of(now, parts):
            self._learn_week(state, columns, *divmod(hour, hours), parts)
            state.hour_sum[:] = 0.0
            state.hour_points[:] = 0.0

    def _freed(self, state: State, mean: Array, known: Mask, base: Array) -> Array:
        """A mean about the origin, as it would be were the level that of the shapes."""
        if self._kind is Kind.RATE:
            scale = np.where((base > 0) & known, state.level / np.maximum(base, 1e-9), 1.0)
            return np.asarray(mean / np.clip(scale, 0.25, 4.0) - state.origin)
        return mean - state.origin - np.where(known, state.level - base, 0.0)

    def _learn_day(
        self, state: State, columns: Columns, part: int, parts: int, mean: Array, some: Mask
    ) -> None:
        known = state.bins_known >= parts
        # A part that comes again says that a day has passed.
        passed = some & ~known & (self.visits[part, columns] > 0) & (state.bins_known >= _MOST * parts)
        if passed.any():
            self._fill_day(state, columns, parts, np.flatnonzero(passed))
            self._begin_day(state, columns, parts, passed)
            known = known | passed
        freed = self._freed(state, mean, known, state.origin + state.profile_mean / parts)
        before, visits = self._single(self.day, part, columns), self.visits[part, columns].copy()
        gain = np.maximum(0.2, 1 / (visits + 1.0))
        after = self._moved(state, before, freed, gain, known & (visits > 1))
        # A fault that the first day did not tell from a rhythm: where the next day differs, it counts alone.
        differs = (visits == 1) & (np.abs(freed - before) > self._bound(state))
        after = np.where(differs, np.clip(freed, -_LARGEST, _LARGEST), after)
        # What alarms at the same time on days that follow each other is a rhythm.
        hidden = known & (visits > 0) & ~some & (state.recent_points > 0)
        hidden &= state.points > 2 * AGREED * parts * state.bin_seen
        again = hidden & (visits == 1)
        after = np.where(again, np.clip(before + state.recent, -_LARGEST, _LARGEST), after)
        self.day[part, columns] = np.where(some | again, after, before)
        state.recent_points[state.held == 0] = 0.0
        state.profile_mean += self._single(self.day, part, columns) - before
        counted = np.where(differs, 1, np.minimum(visits, 254) + 1)
        fewer = np.where(hidden, np.maximum(np.minimum(visits, AGREED) - 1, 1), visits)
        self.visits[part, columns] = np.where(some, counted, fewer)
        state.bins_known += some & (visits == 0)
        state.bins_agreed += some & (counted == AGREED)
        begins = ~known & (state.bins_known >= parts)
        if begins.any():
            self._begin_day(state, columns, parts, begins)

    def _fill_day(self, state: State, columns: Columns, parts: int, at: NDArray[np.intp]) -> None:
        """Parts that an incident hid lie between their neighbours."""
        places = np.arange(parts)
        rows = at if isinstance(columns, slice) else columns[at]
        for row, series in zip(rows.tolist(), at.tolist(), strict=True):
            seen = np.flatnonzero(self.visits[:parts, row])
            day = np.interp(places, seen, self.day[seen, row].astype(np.float64), period=parts)
            self.day[:parts, row] = day
            self.visits[:parts, row] = np.maximum(self.visits[:parts, row], 1)
            state.profile_mean[series] = self.day[:parts, row].astype(np.float64).sum()
            state.bins_known[series] = parts

    def _begin_day(self, state: State, columns: Columns, parts: int, begins: Mask) -> None:
        mean = state.profile_mean / parts
        shape = [self._single(self.day, part, columns) - mean for part in range(parts)]
        energy = _slow_energy(shape, max(1, parts // _APART))
        _believe(state.profile_value, state.profile_profile, energy, begins)
        # The level of a few hours is not that of the day.
        level = np.where(begins, state.origin + mean, state.level)
        state.rebased += level - state.level
        state.level[:] = level
        moves = (energy > _RESTLESS * state.noise) + 1.0 * (energy > _UNEASY * state.noise)
        state.restless[begins] = moves[begins] / 2

    def _bound(self, state: State) -> Array:
        least = state.noise / np.maximum(8.0, state.bin_points / 2)
        return np.asarray(_CLIP * np.sqrt(np.maximum(state.part_square, least)))

    def _moved(self, state: State, before: Array, value: Array, gain: Array, bounded: Mask) -> Array:
        bound = np.where(bounded, self._bound(state), np.inf)
        after = before + gain * np.minimum(np.maximum(value - before, -bound), bound)
        return np.asarray(np.clip(after, -_LARGEST, _LARGEST))

    def _learn_week(self, state: State, columns: Columns, weekday: int, hour: int, parts: int) -> None:
        hours = min(HOURS, parts)
        at = weekday * hours + hour
        some, known = state.hour_points > 0, state.week_known > 0
        mean = np.where(some, state.hour_sum / np.maximum(state.hour_points, 1.0), 0.0)
        freed = self._freed(state, mean, known, state.origin + state.week_mean)
        before, visits = self._single(self.week, at, columns), self.week_visits[at, columns].copy()
        gain = np.maximum(0.3, 1 / (visits + 1.0))
        gain *= np.where((state.like == weekday) | (visits == 0), 1.0, UNLIKE)
        after = self._moved(state, before, freed, gain, known & (visits > 1))
        self.week[at, columns] = np.where(some, after, before)
        step = self._single(self.week, at, columns) - before
        state.week_mean += np.where(known & (visits > 0), step / (WEEKDAYS * hours), 0.0)
        self.week_visits[at, columns] = np.where(some, np.minimum(visits, 254) + 1, visits)
        first = some & (visits == 0)
        state.weeks_known += first
        if first.any() and hour:
            self._fill(state, columns, weekday, hour, parts, first)
        # An hour that comes again says that a week has passed.
        begins = ~known & some & (visits > 0) & (state.bins_known >= parts)
        begins &= state.weeks_known >= (WEEKDAYS - 1) * hours
        if begins.any():
            self._begin_week(state, columns, parts, begins)

    def _fill(self, state: State, columns: Columns, weekday: int, hour: int, parts: int, first: Mask) -> None:
        """Hours that an incident hid differ from the day's shape as the one after them does."""
        hours = min(HOURS, parts)
        here, fine = (
            self._single(self.week, weekday * hours + hour, columns),
            self._hour(hour, columns, parts),
        )
        missing = first & (state.bins_known >= parts)
        for earlier in range(hour - 1, -1, -1):
            at = weekday * hours + earlier
            missing = missing & (self.week_visits[at, columns] == 0)
            if not missing.any():
                return
            shape = self._hour(earlier, columns, parts)
            filled = shape + here - fine
            if self._kind is Kind.RATE:
                below = np.maximum(fine + state.origin, 1e-9)
                filled = (shape + state.origin) * np.maximum(here + state.origin, 0.0) / below - state.origin
            filled = np.clip(filled, -_LARGEST, _LARGEST)
            self.week[at, columns] = np.where(missing, filled, self._single(self.week, at, columns))
            self.week_visits[at, columns] = np.where(missing, 1, self.week_visits[at, columns])
            state.weeks_known += missing

    def _begin_week(self, state: State, columns: Columns, parts: int, begins: Mask) -> None:
        """The week is known: by how much it differs from the day says how much it is believed at first."""
        hours = min(HOURS, parts)
        state.week_known[begins] = 1.0
        state.week_mean[begins] = (state.level - state.origin)[begins]
        mean = state.profile_mean / parts - state.week_mean
        shape = []
        for at in range(WEEKDAYS * hours):
            off = self._single(self.week, at, columns) - self._hour(at % hours, columns, parts) + mean
            shape.append(np.where(self.week_visits[at, columns] > 0, off, 0.0))
        energy = _slow_energy(shape, max(1, hours // _APART))
        _believe(state.week_value, state.week_profile, energy, begins)
        forget_memory(state, begins & (state.restless == 1))

    def shift(self, state: State, rows: Columns, by: Array, parts: int) -> None:
        """Move a day of which only a part was seen to a new level; known shapes are free of the level.

        The day of a series that moved all along stays: what looked like a new level may be its rhythm. So
        does a week that is not yet known, as it may be its first weekend.
        """
        moved = np.where((state.bins_known < parts) & (state.trusted == 0), by, 0.0)
        if moved.any():
            visited = self.visits[:, rows] > 0
            day = self.day[:, rows].astype(np.float64)
            self.day[:, rows] = np.where(visited, np.clip(day + moved, -_LARGEST, _LARGEST), day)
            state.profile_mean += moved * state.bins_known
            state.bin_sum += moved * state.bin_points
