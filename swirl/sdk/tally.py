"""The sums of one version of one stage in one second of event time: what becomes a slice of a frame."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from swirl.frame import Slice, Summary
from swirl.sketch import Categories, Distribution

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Tally"]

_MOST = float(1 << 52)
"""Readers refuse counters from 2**53 on; a sum stops here."""


_FEW = 500


class Tally:
    """Counters, categories and distributions that grow until the next frame takes them.

    Args:
        cap: labels kept apart per category.
    """

    __slots__ = ("_cap", "categories", "counters", "distributions")

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self.counters: dict[str, float] = {}
        self.categories: dict[str, Categories] = {}
        self.distributions: dict[str, Distribution] = {}

    def count(self, name: str, n: float) -> None:
        """Add to a counter; ``n`` is finite and not negative."""
        if n:
            self.counters[name] = min(self.counters.get(name, 0) + n, _MOST)

    def label(self, category: str, text: str, n: int) -> None:
        """Add to the count of a label; the text is capped already."""
        known = self.categories.get(category)
        if known is None:
            known = self.categories[category] = Categories(self._cap)
        known.add(((text, n),))

    def numbers(self, name: str, values: NDArray[np.float64]) -> int:
        """Add to a distribution. What is not finite is counted under ``non_finite``.

        Returns:
            How many were added.
        """
        if not values.size:
            return 0
        known = self.distributions.get(name)
        if known is None:
            known = self.distributions[name] = Distribution()
        # Many sorted values cost the digest a third less, sorting included; few are not worth it.
        left_out = known.update(np.sort(values) if values.size > _FEW else values)
        self.count("non_finite", left_out)
        return int(values.size) - left_out

    def piece(self, stage: str, version: str, bucket_ms: int) -> Slice:
        """The sums as they travel."""
        return Slice(
            stage=stage,
            version=version,
            bucket_ms=bucket_ms,
            counters=self.counters,
            categories={name: c.counts for name, c in self.categories.items()},
            distributions={
                name: Summary(d.count, d.total, d.encode())
                for name, d in self.distributions.items()
                if d.count and math.isfinite(d.total)
            },
        )
