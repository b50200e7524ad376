"""How long things took, as a histogram with fixed bounds."""

from __future__ import annotations

import threading
from bisect import bisect_left
from itertools import accumulate
from math import fsum, isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Durations"]


class Durations:
    """A histogram; any thread may add to it.

    Args:
        name: of the metric.
        bounds: upper ends of the buckets, seconds, ascending; the last one, infinity, comes by itself.
        label: that tells several of them apart, ``""`` for none.

    Example:
        >>> told = Durations("told_seconds", (1.0, 10.0), "sink")
        >>> told.observe(0.4, "slack"); told.observe(4.0, "slack")
        >>> [(labels.get("le"), value) for _, labels, value in told.samples()]
        [('1.0', 1), ('10.0', 2), ('+Inf', 2), (None, 2), (None, 4.4)]
    """

    def __init__(self, name: str, bounds: Sequence[float], label: str = "") -> None:
        self._name, self._bounds, self._label = name, tuple(bounds), label
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        self._lock = threading.Lock()

    def begin(self, of: str = "") -> None:
        """Show zeros until there is something: what begins above zero is no increase to Prometheus."""
        with self._lock:
            self._counts.setdefault(of, self._none())
            self._sums.setdefault(of, 0.0)

    def observe(self, seconds: float, of: str = "") -> None:
        """Something took so long; what is negative took no time, and what is no number is left out."""
        if not isfinite(seconds):
            return
        seconds = max(0.0, seconds)
        with self._lock:
            counts = self._counts.setdefault(of, self._none())
            counts[bisect_left(self._bounds, seconds)] += 1
            self._sums[of] = fsum((self._sums.get(of, 0.0), seconds))

    def samples(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """Name, labels, value: the buckets, how many, and how long together."""
        with self._lock:
            told = [(of, list(counts), self._sums[of]) for of, counts in self._counts.items()]
        for of, counts, total in told:
            labels = {self._label: of} if self._label else {}
            bounds = (*map(str, self._bounds), "+Inf")
            for bound, below in zip(bounds, accumulate(counts), strict=True):
                yield f"{self._name}_bucket", {**labels, "le": bound}, below
            yield f"{self._name}_count", labels, sum(counts)
            yield f"{self._name}_sum", labels, total

    def _none(self) -> list[int]:
        return [0] * (len(self._bounds) + 1)
