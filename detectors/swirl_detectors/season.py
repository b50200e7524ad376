"""The shape of a day: the mean of each quarter of an hour over earlier days, interpolated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swirl_detectors.state import BINS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swirl_detectors.state import Array, Mask, State

__all__ = ["DAY_MS", "Profile", "bins_a_day"]

DAY_MS = 24 * 3600 * 1000


def bins_a_day(window_ms: int) -> int:
    """How many parts a day has: quarters of an hour, or windows where these are longer.

    Example:
        >>> bins_a_day(60_000), bins_a_day(3_600_000)
        (96, 24)
    """
    return max(1, min(BINS, DAY_MS // window_ms))


class Profile:
    """Means by time of day, UTC, and how often each was visited; shapes ``(BINS, n)``.

    A part of a day joins the mean when it is over, so that a point is never judged by itself.
    """

    def __init__(self, n: int) -> None:
        self.means: Array = np.zeros((BINS, n))
        self.visits: Array = np.zeros((BINS, n))

    def turn(self, state: State, rows: NDArray[np.intp] | slice, part: int) -> None:
        """Close the parts of the day that are over.

        Args:
            state: of the rows.
            rows: where they stand in the profile.
            part: the part of the day that the points are of.
        """
        past = state.bin != part
        if not past.any():
            return
        at = np.flatnonzero(past & (state.bin_points > 0))
        if at.size:
            columns = at if isinstance(rows, slice) else rows[at]
            old = state.bin[at].astype(np.intp)
            visits = self.visits[old, columns]
            state.bins_known[at] += visits == 0
            visits += 1
            step = np.maximum(0.2, 1 / visits) * (
                state.bin_sum[at] / state.bin_points[at] - self.means[old, columns]
            )
            self.visits[old, columns] = visits
            self.means[old, columns] += step
            state.profile_mean[at] += step
        state.bin[past] = part
        state.bin_sum[past] = 0.0
        state.bin_points[past] = 0.0

    def now(
        self, state: State, rows: NDArray[np.intp] | slice, start_ms: int, window_ms: int
    ) -> tuple[Array | None, Mask]:
        """What the time of day adds to the level, and for which rows that is known.

        Returns:
            The sum is None where no row knows its season.
        """
        parts = bins_a_day(window_ms)
        known = state.bins_known >= parts
        if not known.any():
            return None, known
        middle = (start_ms % DAY_MS + window_ms / 2) / DAY_MS * parts - 0.5
        left = int(np.floor(middle))
        share = middle - left
        here = (1 - share) * self.means[left % parts, rows] + share * self.means[(left + 1) % parts, rows]
        return here - state.profile_mean / parts, known

    def shift(self, rows: NDArray[np.intp], by: Array) -> None:
        """Move the means that were learnt to a new level."""
        self.means[:, rows] += np.where(self.visits[:, rows] > 0, by, 0.0)
