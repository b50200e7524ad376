"""Four views of a series: the value, against its time of day, its step, and its spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from swirl_detectors.season import DAY_MS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swirl.detector import Rows

    Array = NDArray[np.float64]

__all__ = ["VIEWS", "Recent"]

VIEWS = 4
"""Value, residual, step, spread."""

_SPAN = 64
"""Points in a mean and in a spread."""
_BEFORE = 2 * _SPAN - 1
_BINS = 96
_BIN_MS = DAY_MS // _BINS
_VISITS = 3
_STEP = 0.02
"""Part of a mean by time of day that a point renews, where three fall into a quarter of an hour; less where
more do."""
_MOST_VISITS = 60_000


class Recent:
    """The last 127 points of many series, and their means by time of day (UTC)."""

    def __init__(self) -> None:
        self.points: Array = np.zeros(0)
        self._ring: Array = np.zeros((0, _BEFORE))
        self._means: Array = np.zeros((0, _BINS))
        self._visits = np.zeros((0, _BINS), dtype=np.uint16)

    def grow(self, size: int) -> None:
        """Make room for so many series."""
        new = max(0, size - len(self.points))
        self.points = np.concatenate((self.points, np.zeros(new)))
        self._ring = np.concatenate((self._ring, np.zeros((new, _BEFORE))))
        self._means = np.concatenate((self._means, np.zeros((new, _BINS))))
        self._visits = np.concatenate((self._visits, np.zeros((new, _BINS), dtype=np.uint16)))

    def forget(self, rows: Rows) -> None:
        """Begin anew."""
        self.points[rows] = 0.0
        self._visits[rows] = 0
        self._means[rows] = 0.0

    def views(self, rows: Rows, value: Array, start_ms: int, window_ms: int) -> tuple[Array, Array]:
        """The views of the next points, and what is expected of these.

        Returns:
            Shapes ``(4, n)``, NaN where too little was seen; and ``(n,)``: the mean of this time of day
            where it is known, or of the last points; NaN before the first.
        """
        ring, points = self._ring[rows], self.points[rows]
        base = ring[:, -1:]
        last = np.concatenate((ring[:, _SPAN:] - base, value[:, None] - base), axis=1)
        mean = _mean(last)
        spread = np.sqrt(_mean((last - mean[:, None]) ** 2))
        step = mean - _mean(ring[:, :_SPAN] - base)
        day = self._of_day(rows, start_ms, window_ms)
        known = np.stack((points >= 0, np.isfinite(day), points >= _BEFORE, points >= _SPAN - 1))
        views = np.where(known, np.stack((value, value - day, step, spread)), np.nan)
        return views, np.where(np.isfinite(day), day, self._mean_of_last(ring, points))

    def _of_day(self, rows: Rows, start_ms: int, window_ms: int) -> Array:
        """The mean of this quarter of an hour; NaN until it was seen on an earlier day and three times."""
        part = _part(start_ms)
        least = max(_VISITS, -(-_BIN_MS // window_ms))
        return np.where(self._visits[rows, part] >= least, self._means[rows, part], np.nan)

    def _mean_of_last(self, ring: Array, points: Array) -> Array:
        age = np.arange(_SPAN, 0, -1)
        seen = np.minimum(points, _SPAN)
        sums = np.cumsum(np.where(age <= seen[:, None], ring[:, -_SPAN:], 0.0), axis=1)[:, -1]
        return np.where(points > 0, sums / np.maximum(seen, 1.0), np.nan)

    def learn(self, rows: Rows, value: Array, start_ms: int, window_ms: int) -> None:
        """Take the points, each of another row."""
        self._ring[rows] = np.concatenate((self._ring[rows, 1:], value[:, None]), axis=1)
        self.points[rows] += 1
        part = _part(start_ms)
        visits = np.minimum(self._visits[rows, part] + 1.0, _MOST_VISITS)
        least = _STEP * min(1.0, _VISITS * window_ms / _BIN_MS)
        mean = self._means[rows, part]
        self._means[rows, part] = mean + np.maximum(least, 1 / visits) * (value - mean)
        self._visits[rows, part] = visits.astype(np.uint16)

    def snapshot(self) -> dict[str, Any]:
        """All state, of types that MessagePack knows."""
        numbers = np.concatenate((self.points[:, None], self._ring, self._means), axis=1)
        return {"numbers": numbers.astype("<f8").tobytes(), "visits": self._visits.astype("<u2").tobytes()}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over the state of as many series as there are.

        Raises:
            ValueError, TypeError, KeyError: the snapshot is damaged.
        """
        numbers = np.frombuffer(snapshot["numbers"], dtype="<f8").astype(np.float64)
        numbers = numbers.reshape(len(self.points), 1 + _BEFORE + _BINS)
        self.points = numbers[:, 0].copy()
        self._ring, self._means = numbers[:, 1 : 1 + _BEFORE].copy(), numbers[:, 1 + _BEFORE :].copy()
        visits = np.frombuffer(snapshot["visits"], dtype="<u2").astype(np.uint16)
        self._visits = visits.reshape(self._visits.shape)


def _part(start_ms: int) -> int:
    return start_ms % DAY_MS // _BIN_MS


def _mean(values: Array) -> Array:
    """Of each row: added in order, so that it does not depend on how many rows there are."""
    return np.asarray(np.cumsum(values, axis=1)[:, -1] / values.shape[1])
