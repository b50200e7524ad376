"""Mergeable summaries: what leaves the user's process instead of the records.

A :class:`Distribution` summarises numbers (a t-digest with exact count, sum, minimum and maximum),
:class:`Categories` counts labels under a cap. Both are deterministic: the same summaries merged in the same
order give the same bytes.

The t-digest is that of Apache DataSketches (``tdigest_float``), described in T. Dunning and O. Ertl,
"Computing Extremely Accurate Quantiles Using t-Digests", 2019.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import datasketches
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["OVERFLOW", "Categories", "Distribution", "cap_label"]

OVERFLOW = "(other)"
"""The label under which everything beyond the cap is counted."""

LABEL_LENGTH = 80
LARGEST = 3.4e38
"""Beyond this a number does not fit the digest's 32-bit floats."""
_MAX_K = 1000
_MOST = 1 << 32
"""The digest counts what it keeps together in 32 bits, and would begin at 0 again."""


class Distribution:
    """A summary of numbers that can be merged: about 1 kB at ``k=100`` and 2 kB at ``k=200``.

    The largest error of a rank is about 0.0024 at ``k=100`` and 0.0006 at ``k=200``.

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

    __slots__ = ("_digest", "count", "total")

    def __init__(self, k: int = 100) -> None:
        self._digest = datasketches.tdigest_float(k)
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
            self._digest.update(array.astype(np.float32))
            self.count += int(array.size)
            self.total += float(array.sum())
        return left_out

    def merge(self, other: Distribution) -> None:
        """Add what another summary has seen, as long as both together stay below 2**32 numbers."""
        if other.count and self.count + other.count < _MOST:
            self._digest.merge(other._digest)
            self.count += other.count
            self.total += other.total

    def copy(self) -> Distribution:
        """Another summary with the same content."""
        return self.decode(self.count, self.total, self.encode())

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

    def encode(self) -> bytes:
        """The digest in DataSketches' own portable format."""
        return bytes(self._digest.serialize())

    @classmethod
    def decode(cls, count: int, total: float, digest: bytes) -> Distribution:
        """Read what :meth:`encode` wrote.

        Raises:
            ValueError: the bytes are no digest, or one of other size or count, or of too many numbers, or
                hold values that are not finite.
        """
        self = cls.__new__(cls)
        try:
            self._digest = datasketches.tdigest_float.deserialize(digest)
        except (IndexError, ValueError, RuntimeError, MemoryError) as error:
            raise ValueError(f"not a t-digest: {error}") from None
        if self._digest.k > _MAX_K or count >= _MOST or self._digest.get_total_weight() != count:
            raise ValueError("the t-digest does not belong to its count")
        ends = (self._digest.get_min_value(), self._digest.get_max_value()) if count else (0.0, 0.0)
        if not (isfinite(total) and -LARGEST <= ends[0] <= ends[1] <= LARGEST):
            raise ValueError("the t-digest holds values that are not finite")
        self.count = count
        self.total = total
        return self


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
            if label in mine:
                mine[label] += count
            elif len(mine) - (OVERFLOW in mine) < self.cap and label != OVERFLOW:
                mine[label] = count
            else:
                mine[OVERFLOW] = mine.get(OVERFLOW, 0) + count
