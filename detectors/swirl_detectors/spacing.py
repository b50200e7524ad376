"""How far a value is from all that were seen before: past values of many series, thinned and bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swirl.detector import Rows

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Offsets = NDArray[np.float32]

__all__ = ["GENERATION", "Range", "Spacing"]

GENERATION = 5_000
"""Values of one generation: two are remembered, so that what was seen is forgotten after 5 000 to 10 000."""

_WIDTH = 256
"""Places for values of one generation; the last is always infinite, which ends a search."""
_HALVES = (128, 64, 32, 16, 8, 4, 2, 1)
_GRAIN = 0.003
"""A value that is closer to a remembered one than this part of the range is not remembered itself."""
_REACH = 0.5
"""One value can widen the range by this part of it, however far off it is."""
_FEW = 20
"""Values before which the range is nothing to go by, and each may widen it at will."""
_MOST = 1e12


class Range(NamedTuple):
    """What was seen of each view, shapes ``(v, n)``.

    Attributes:
        low, high: equal where nothing was seen.
        number: of the values, the next one included.
    """

    low: Array
    high: Array
    number: Array

    def within(self, value: Array, reach: float) -> Array:
        """The values, or the ends of the range widened on both sides by so many times itself."""
        width = self.high - self.low
        beyond = np.where((self.number > _FEW) & (width > 0), reach * width, np.inf)
        inside = np.minimum(np.maximum(value, self.low - beyond), self.high + beyond)
        return np.where(self.number == 1, value, inside)


class Spacing:
    """Some views of many series, each a scalar, and their past values.

    For ``n`` independent draws from a density ``f`` the distance ``D`` of the next one to the nearest of
    them obeys ``P(D > d) ~ exp(-2 n f d)``. So ``n D / R``, with ``R`` the range so far, is nearly pivotal:
    it does not depend on scale, offset or the number of draws.

    Past values are kept sorted, at most 255 of each of two generations, single precision, relative to the
    first.

    Args:
        gaps: views, the first ones, in which a value in a gap between past ones is new too.
        records: views, the others, in which only a value beyond all past ones is new.

    Example:
        >>> spacing = Spacing(gaps=1, records=1)
        >>> spacing.grow(1)
        >>> row = np.arange(1)
        >>> for value in np.random.default_rng(1).normal(size=1000):
        ...     spacing.learn(row, np.full((2, 1), value))
        >>> for value in (0.0, 3.5, 8.0):
        ...     print(spacing.novelty(row, np.full((2, 1), value)).round(1).tolist())
        [[1.1], [0.0]]
        [[34.5], [0.0]]
        [[582.5], [582.5]]
    """

    def __init__(self, *, gaps: int, records: int) -> None:
        self._gaps = gaps
        views = gaps + records
        self._low: Array = np.zeros((2, views, 0))
        self._high: Array = np.zeros((2, views, 0))
        self._count: Array = np.zeros((2, views, 0))
        self._anchor: Array = np.zeros((gaps, 0))
        self._nets = np.zeros((2, gaps, 0, _WIDTH), dtype=np.float32)

    @property
    def size(self) -> int:
        """How many series there are."""
        return int(self._anchor.shape[1])

    def grow(self, size: int) -> None:
        """Make room for so many series."""
        new = max(0, size - self.size)
        wide = (2, self._low.shape[1], new)
        self._low = np.concatenate((self._low, np.full(wide, np.inf)), axis=2)
        self._high = np.concatenate((self._high, np.full(wide, -np.inf)), axis=2)
        self._count = np.concatenate((self._count, np.zeros(wide)), axis=2)
        self._anchor = np.concatenate((self._anchor, np.zeros((self._gaps, new))), axis=1)
        fresh = np.full((2, self._gaps, new, _WIDTH), np.inf, dtype=np.float32)
        self._nets = np.concatenate((self._nets, fresh), axis=2)

    def forget(self, rows: Rows) -> None:
        """Begin anew."""
        self._low[..., rows], self._high[..., rows], self._count[..., rows] = np.inf, -np.inf, 0.0
        self._nets[:, :, rows] = np.inf

    def seen(self, rows: Rows) -> Range:
        """The range and the number of the values that are remembered."""
        counts = self._count[..., rows]
        count = counts[0] + counts[1]
        low, high = self._low[..., rows], self._high[..., rows]
        some = count > 0
        return Range(
            np.where(some, np.minimum(low[0], low[1]), 0.0),
            np.where(some, np.maximum(high[0], high[1]), 0.0),
            count + 1,
        )

    def novelty(self, rows: Rows, value: Array) -> Array:
        """``n D / R`` of the next values; learns nothing.

        Args:
            rows: of the series, shape ``(n,)``.
            value: of each view, shape ``(v, n)``; NaN where it is not known.

        Returns:
            Shape ``(v, n)``; 0 while all past values are the same, and where the value is not known.
        """
        past = self.seen(rows)
        width = past.high - past.low
        varied = (width > 0) & np.isfinite(value)
        apart = np.maximum(value - past.high, past.low - value)
        known = np.where(varied[: self._gaps], value[: self._gaps], self._anchor[:, rows])
        near = self._nearest((0, 1), rows, self._offset(rows, known))[0]
        apart[: self._gaps] = np.minimum(near[0], near[1])
        share = np.where(varied, apart, 0.0) / np.where(varied, width, 1.0)
        return np.minimum(past.number * np.minimum(np.maximum(share, 0.0), _MOST), _MOST)

    def _offset(self, rows: Rows, value: Array) -> Offsets:
        return (value - self._anchor[:, rows]).astype(np.float32)

    def _nearest(
        self, generations: tuple[int, ...], rows: Rows, offset: Offsets
    ) -> tuple[Array, NDArray[np.intp]]:
        """Distance to the nearest value of each generation, infinite where there is none; how many are below.

        Shapes ``(generations, gaps, n)``.
        """
        flat = self._nets.reshape(-1)
        start = np.array(generations)[:, None] * self._gaps + np.arange(self._gaps)
        start = (start[:, :, None] * self.size + rows) * _WIDTH
        at = start.copy()
        for half in _HALVES:
            at += half * (flat[at + (half - 1)] < offset)
        above = flat[at] - offset
        under = np.where(at > start, offset - flat[at - 1], np.float32(np.inf))
        return np.minimum(above, under).astype(np.float64), at - start

    def learn(self, rows: Rows, value: Array) -> None:
        """Remember values, each row at most once; NaN is not remembered."""
        past = self.seen(rows)
        known = np.isfinite(value)
        inside = past.within(value, _REACH)
        self._low[0][:, rows] = np.fmin(self._low[0][:, rows], inside)
        self._high[0][:, rows] = np.fmax(self._high[0][:, rows], inside)
        self._count[0][:, rows] += known
        gaps = slice(self._gaps)
        first = known[gaps] & (past.number[gaps] == 1)
        self._anchor[:, rows] = np.where(first, value[gaps], self._anchor[:, rows])
        offset = self._offset(rows, np.where(known[gaps], value[gaps], self._anchor[:, rows]))
        apart, below = (found[0] for found in self._nearest((0,), rows, offset))
        grain = _GRAIN * (past.high[gaps] - past.low[gaps])
        view, at = np.nonzero(known[gaps] & (apart > grain))
        if at.size:
            self._insert(view, rows[at], offset[view, at], below[view, at])
        view, at = np.nonzero(self._count[0][:, rows] >= GENERATION)
        if at.size:
            self._turn(view, rows[at])

    def _insert(self, view: Rows, rows: Rows, offset: Offsets, below: NDArray[np.intp]) -> None:
        old = self._nets[0, view, rows]
        place, column = np.arange(_WIDTH), below[:, None]
        moved = np.concatenate((old[:, :1], old[:, :-1]), axis=1)
        new = np.where(place < column, old, np.where(place == column, offset[:, None], moved))
        over = np.flatnonzero(new[:, -1] < np.inf)
        if over.size:
            new[over] = _thinned(new[over])
        self._nets[0, view, rows] = new

    def _turn(self, view: Rows, rows: Rows) -> None:
        """A generation is full: it becomes the former one, and the one before it is forgotten."""
        for kept, empty in ((self._low, np.inf), (self._high, -np.inf), (self._count, 0.0)):
            kept[1, view, rows] = kept[0, view, rows]
            kept[0, view, rows] = empty
        gap = view < self._gaps
        view, rows = view[gap], rows[gap]
        self._nets[1, view, rows] = self._nets[0, view, rows]
        self._nets[0, view, rows] = np.inf

    def snapshot(self) -> dict[str, Any]:
        """All state, of types that MessagePack knows."""
        return {
            "ranges": np.stack((self._low, self._high, self._count)).astype("<f8").tobytes(),
            "anchor": self._anchor.astype("<f8").tobytes(),
            "nets": self._nets.astype("<f4").tobytes(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over the state of as many series as there are.

        Raises:
            ValueError, TypeError, KeyError: the snapshot is damaged.
        """
        ranges = np.frombuffer(snapshot["ranges"], dtype="<f8").astype(np.float64)
        self._low, self._high, self._count = ranges.reshape(3, *self._low.shape)
        anchor = np.frombuffer(snapshot["anchor"], dtype="<f8").astype(np.float64)
        self._anchor = anchor.reshape(self._anchor.shape)
        self._nets = np.frombuffer(snapshot["nets"], dtype="<f4").astype(np.float32).reshape(self._nets.shape)


def _thinned(full: Offsets) -> Offsets:
    """Rows of sorted values, without the upper one of the closest two."""
    drop = np.diff(full, axis=1).argmin(axis=1)[:, None] + 1
    end = np.full((len(full), 1), np.inf, dtype=np.float32)
    return np.where(np.arange(_WIDTH) < drop, full, np.concatenate((full[:, 1:], end), axis=1))
