"""Mergeable summaries: what leaves the user's process instead of the records.

A :class:`Distribution` summarises numbers (a t-digest with exact count, sum, minimum and maximum),
:class:`Categories` counts labels under a cap. Both are deterministic: the same summaries merged in the same
order give the same bytes.

The t-digest is that of Apache DataSketches (``tdigest_float``), described in T. Dunning and O. Ertl,
"Computing Extremely Accurate Quantiles Using t-Digests", 2019.
"""

from __future__ import annotations

import struct
from math import isfinite
from typing import TYPE_CHECKING, Any

import datasketches
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["OVERFLOW", "Categories", "Distribution", "cap_label"]

OVERFLOW = "(other)"
"""The label under which everything beyond the cap is counted."""

MOST_COUNTED = 1 << 62
"""Counts rise no further: absurd ones must not pass what fits the 64 bits that a snapshot has for them."""

LABEL_LENGTH = 80
LARGEST = 3.4e38
"""Beyond this a number does not fit the digest's 32-bit floats."""
_MAX_K = 1000
_MOST = 1 << 32
"""The digest counts what it keeps together in 32 bits, and would begin at 0 again."""

_CENTROID = np.dtype([("mean", "<f4"), ("weight", "<u4")])
_HEADER = struct.Struct("<BBBHBHIIff")
"""Of DataSketches' portable format of a ``tdigest<float>``: longs of preamble, version, family, k, flags,
what it leaves free, centroids, values in the buffer, smallest, largest. The centroids follow."""
_NATIVE = (1, 20)
"""Version and family. DataSketches reads formats of others besides, which nobody sends."""
_FREE_AT, _EXACT = 6, 1
"""What DataSketches leaves free says that the centroids are values and how many there are of each."""
_DISTINCT = 128
"""As long as there are no more different values, each is counted by itself."""
_PROBE = 256
_HEAVY = 100
"""A value of more than a hundredth of all weight is written as three centroids."""


class Distribution:
    """A summary of numbers that can be merged: about 1 kB at ``k=100`` and 2 kB at ``k=200``.

    The largest error of a rank is about 0.0024 at ``k=100`` and 0.0006 at ``k=200``. Up to 128 different
    values (of 32 bits) are counted one by one, without any error: grids, counts, codes and short samples.

    Args:
        k: how fine; memory grows with it.

    Example:
        >>> d = Distribution()
        >>> d.update([1.0, 2.0, 3.0, float("nan")])
        1
        >>> d.count, d.total, d.low, d.high
        (3, 6.0, 1.0, 3.0)
        >>> d.quantile(0.5)
        2.0
    """

    __slots__ = ("_built", "_exact", "_k", "count", "total")

    def __init__(self, k: int = 100) -> None:
        self._k = k
        self._exact: dict[float, int] | None = {}
        # The digest, built when somebody asks for it while values are counted one by one.
        self._built: Any = None
        self.count = 0
        self.total = 0.0

    def update(self, values: ArrayLike) -> int:
        """Add numbers. What is not finite is left out, since a digest would keep it for ever.

        Args:
            values: any shape; converted to 64-bit floats.

        Returns:
            How many were left out.
        """
        array = np.asarray(values, dtype=np.float64).ravel()
        left_out = 0
        # Where there is a NaN, neither end is below the limit.
        if array.size and not (array.min() > -LARGEST and array.max() < LARGEST):
            keep = np.abs(array) < LARGEST
            left_out = int(array.size - np.count_nonzero(keep))
            array = array[keep]
        if array.size:
            self._add(array.astype(np.float32))
            self.count += int(array.size)
            self.total += float(array.sum())
        return left_out

    def _add(self, values: NDArray[np.float32]) -> None:
        if self._exact is not None:
            # A few of many tell at once that most values differ.
            probe = values[:: values.size // _PROBE + 1]
            if len(set(probe.tolist())) <= _DISTINCT:
                found, counts = np.unique(values + np.float32(0.0), return_counts=True)
                if self._count(zip(found.tolist(), counts.tolist(), strict=True)):
                    return
        self._spread().update(values)

    def _count(self, counts: Iterable[tuple[float, int]]) -> bool:
        """Count values one by one; False, with nothing counted, if they are too many."""
        if self._exact is None:
            return False
        both = dict(self._exact)
        for value, count in counts:
            both[value] = both.get(value, 0) + count
        if len(both) > _DISTINCT:
            return False
        self._exact, self._built = both, None
        return True

    def _spread(self) -> Any:
        """The digest, from now on instead of counts one by one."""
        digest = self._digest
        self._exact = None
        return digest

    @property
    def _digest(self) -> Any:
        if self._built is None:
            if self.count > 1:
                self._built = datasketches.tdigest_float.deserialize(self._packed())
            else:
                self._built = datasketches.tdigest_float(self._k)
                self._built.update(np.array(list(self._exact or ()), dtype=np.float32))
        return self._built

    def merge(self, other: Distribution) -> None:
        """Add what another summary has seen, as long as both together stay below 2**32 numbers."""
        if other.count and self.count + other.count < _MOST:
            if other._exact is None or not self._count(other._exact.items()):
                self._spread().merge(other._digest)
            self.count += other.count
            self.total += other.total

    def copy(self) -> Distribution:
        """Another summary with the same content."""
        return self.decode(self.count, self.total, self.encode())

    @property
    def exact(self) -> bool:
        """Whether every value is counted by itself."""
        return self._exact is not None

    @property
    def low(self) -> float:
        """The smallest number, NaN if there is none."""
        return float(self._digest.get_min_value()) if self.count else float("nan")

    @property
    def high(self) -> float:
        """The largest number, NaN if there is none."""
        return float(self._digest.get_max_value()) if self.count else float("nan")

    @property
    def mean(self) -> float:
        """The mean, NaN if there is none."""
        return self.total / self.count if self.count else float("nan")

    def quantile(self, rank: float) -> float:
        """The number at a rank in [0, 1], NaN if there is none."""
        return float(self._digest.get_quantile(rank)) if self.count else float("nan")

    def rank(self, value: float) -> float:
        """The share of numbers at or below a value, in [0, 1]; NaN if there is none."""
        return float(self._digest.get_rank(value)) if self.count else float("nan")

    def cdf(self, points: Sequence[float]) -> NDArray[np.float64]:
        """The cumulative distribution at increasing points, shape ``(len(points),)``."""
        return np.asarray(self._digest.get_cdf(list(points))[:-1], dtype=np.float64)

    def centroids(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Means and weights of what is kept together, increasing by mean, shape ``(n,)`` each.

        Where values are counted one by one, these are the values, and how many there are of each.

        Example:
            >>> d = Distribution()
            >>> d.update([1.0, 4.0, 1.0])
            0
            >>> d.centroids()
            (array([1., 4.]), array([2., 1.]))
        """
        if self._exact is not None:
            known = np.array(sorted(self._exact.items()), dtype=np.float64).reshape(-1, 2)
            return known[:, 0], known[:, 1]
        data = self.encode()
        kept = np.frombuffer(data, _CENTROID, _HEADER.unpack_from(data)[6], _HEADER.size)
        return kept["mean"].astype(np.float64), kept["weight"].astype(np.float64)

    def encode(self) -> bytes:
        """The digest in DataSketches' own portable format."""
        exact = self._exact is not None and self.count > 1
        return self._packed() if exact else bytes(self._digest.serialize())

    def _packed(self) -> bytes:
        """Values that are counted one by one, as centroids.

        Readers that do not know of this draw a line from the middle of a centroid to that of the next. So a
        value of some weight is written as one of its own, all but two, and one.
        """
        values, counts = self.centroids()
        heavy = (counts * _HEAVY > counts.sum()) & (counts > 2)
        times = np.where(heavy, 3, 1)
        first = (np.cumsum(times) - times)[heavy]
        out = np.empty(int(times.sum()), _CENTROID)
        out["mean"], out["weight"] = np.repeat(values, times), np.repeat(counts, times)
        out["weight"][first] = out["weight"][first + 2] = 1
        out["weight"][first + 1] = counts[heavy] - 2
        head = (2, 1, 20, self._k, 0, _EXACT, len(out), 0, values[0], values[-1])
        return _HEADER.pack(*head) + out.tobytes()

    @classmethod
    def decode(cls, count: int, total: float, digest: bytes) -> Distribution:
        """Read what :meth:`encode` wrote.

        Raises:
            ValueError: the bytes are no digest, or one of other size or count, or of too many numbers, or
                hold values that are not finite.
        """
        self = cls.__new__(cls)
        try:
            built = self._built = datasketches.tdigest_float.deserialize(digest)
        except (IndexError, ValueError, RuntimeError, MemoryError) as error:
            raise ValueError(f"not a t-digest: {error}") from None
        if built.k > _MAX_K or count >= _MOST or built.get_total_weight() != count:
            raise ValueError("the t-digest does not belong to its count")
        ends = (built.get_min_value(), built.get_max_value()) if count else (0.0, 0.0)
        finite = isfinite(total) and -LARGEST <= ends[0] <= ends[1] <= LARGEST
        if digest[:3] != bytes((2 if count > 1 else 1, *_NATIVE)):
            raise ValueError("the t-digest is not in DataSketches' own format")
        if not finite or (count > 1 and not _is_finite(digest)):
            raise ValueError("the t-digest holds values that are not finite")
        self.count = count
        self.total = total
        self._k = built.k
        self._exact = _counted(digest, count, ends) if count > 1 else dict.fromkeys(ends[:count], 1)
        return self


def _is_finite(data: bytes) -> bool:
    """Whether all that an encoded digest of several numbers holds between its ends is finite."""
    header = _HEADER.unpack_from(data)
    kept = np.frombuffer(data, _CENTROID, header[6], _HEADER.size)
    buffered = np.frombuffer(data, "<f4", header[7], _HEADER.size + kept.nbytes)
    return bool(np.isfinite(kept["mean"]).all() and np.isfinite(buffered).all())


def _counted(data: bytes, total: int, ends: tuple[float, float]) -> dict[float, int] | None:
    """The values of an encoded digest, if it says that they were counted one by one and that can be.

    Whoever else sets the mark may keep values in the buffer, or centroids that are no values: that is a
    digest like any other.
    """
    if data[_FREE_AT] != _EXACT:
        return None
    kept = np.frombuffer(data, _CENTROID, _HEADER.unpack_from(data)[6], _HEADER.size)
    found: dict[float, int] = {}
    for value, count in kept.tolist():
        found[value] = found.get(value, 0) + count
    if not 0 < len(found) <= _DISTINCT or sum(found.values()) != total or 0 in found.values():
        return None
    return found if (min(found), max(found)) == ends else None


def cap_label(label: object) -> str:
    r"""A label as text of at most 80 characters, without control characters.

    Example:
        >>> cap_label("text\nmissing"), len(cap_label("x" * 1000))
        ('text missing', 80)
    """
    text = label if type(label) is str else str(label)
    if len(text) > LABEL_LENGTH:
        text = text[: LABEL_LENGTH - 1] + "…"
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


class Categories:
    """Counts by label. Labels beyond the cap are counted together under :data:`OVERFLOW`.

    Args:
        cap: how many labels are kept apart; those that come first keep their place.

    Example:
        >>> c = Categories(cap=2)
        >>> c.add({"a": 3, "b": 1, "c": 5})
        >>> c.counts
        {'a': 3, 'b': 1, '(other)': 5}
    """

    __slots__ = ("cap", "counts")

    def __init__(self, cap: int = 50) -> None:
        self.cap = cap
        self.counts: dict[str, int] = {}

    def add(self, counts: Mapping[str, int] | Iterable[tuple[str, int]]) -> None:
        """Add counts by label. Labels are taken as they are: :func:`cap_label` them where they arise."""
        mine = self.counts
        for label, count in counts.items() if hasattr(counts, "items") else counts:
            kept = label
            if label not in mine and (len(mine) - (OVERFLOW in mine) >= self.cap or label == OVERFLOW):
                kept = OVERFLOW
            mine[kept] = min(mine.get(kept, 0) + count, MOST_COUNTED)
