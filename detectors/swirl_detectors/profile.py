"""The means behind the season: of each quarter of an hour over days, of each hour over weeks.

What they learn of a part of the week that is over is in :mod:`swirl_detectors.rhythm`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from swirl.detector import Kind
from swirl_detectors.season import DAY_MS, WEEKDAYS, Season, bins_a_day, week_part
from swirl_detectors.state import BINS, State

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swirl_detectors.state import Array, Mask

    Columns = NDArray[np.intp] | slice

__all__ = ["AGREED", "HOURS", "Profile", "hour_of"]

HOURS = 24

AGREED = 3
"""Days that have to agree on a part of the day until it is believed."""


@lru_cache
def _parts_of_hours(parts: int) -> tuple[tuple[int, ...], ...]:
    """The parts of a day whose middle lies in each of its hours."""
    hours = min(HOURS, parts)
    return tuple(
        tuple(part for part in range(parts) if hour_of(part, parts) == hour) for hour in range(hours)
    )


def hour_of(part: int, parts: int) -> int:
    """The hour of the week in which the middle of a part of the week lies."""
    weekday, part = divmod(part, parts)
    hours = min(HOURS, parts)
    return weekday * hours + (2 * part + 1) * hours // (2 * parts)


def _between(at: float) -> tuple[int, float]:
    """The middle of a part that lies before, and how far the next one is in."""
    left = int(np.floor(at - 0.5))
    return left, at - 0.5 - left


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
        self.kind = kind
        self.day = np.zeros((BINS, n), dtype=np.float32)
        self.visits = np.zeros((BINS, n), dtype=np.uint8)
        self.week = np.zeros((WEEKDAYS * HOURS, n), dtype=np.float32)
        self.week_visits = np.zeros((WEEKDAYS * HOURS, n), dtype=np.uint8)

    def grow(self, new: int) -> None:
        """Make room for more series."""
        fresh = Profile(self.kind, new)
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
        here = (1 - share) * self.single(self.day, left % parts, rows)
        here += share * self.single(self.day, (left + 1) % parts, rows)
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
        return self.hour(left % hours, rows, parts), self.hour((left + 1) % hours, rows, parts)

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
            here = self.single(self.week, hour, rows) - hour_of_day + centre
            ends.append(np.where(self.week_visits[hour, rows] > 0, here, 0.0))
        return np.asarray((1 - share) * ends[0] + share * ends[1])

    def scale(self, state: State, parts: int) -> Array | float:
        """By how much the level of a rate is above the one that the shapes were learnt at."""
        if self.kind is not Kind.RATE:
            return 1.0
        base = self._base(state, parts)
        return np.where(base > 0, np.clip(state.level / np.maximum(base, 1e-9), 0.25, 4.0), 1.0)

    def _base(self, state: State, parts: int) -> Array:
        """The level that the shapes were learnt at."""
        by_week = state.week_known > 0
        return np.asarray(state.origin + np.where(by_week, state.week_mean, state.profile_mean / parts))

    def single(self, means: NDArray[np.float32], row: int, columns: Columns) -> Array:
        """One part or hour of some series, in double precision."""
        return means[row, columns].astype(np.float64)

    def hour(self, hour: int, rows: Columns, parts: int) -> Array:
        """The day's mean over one of its hours."""
        inside = _parts_of_hours(parts)[hour]
        total = self.single(self.day, inside[0], rows)
        for part in inside[1:]:
            total += self.single(self.day, part, rows)
        return total / len(inside)
