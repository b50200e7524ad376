"""CUSUMs in nats over one series whose law under no change is known: a standard normal variable.

``C <- max(0, C + tilt z - tilt^2 / 2)``, each tilt up and down (E. Page, 1954). Such a chart passes ``h``
about ``tilt^2 / 2 exp(-1.166 tilt - h)`` times a window (D. Siegmund, "Sequential Analysis", 1985, ch. X),
which turns its height into nats of surprise.
"""

from __future__ import annotations

from dataclasses import replace
from math import exp, log
from typing import TYPE_CHECKING, Protocol

import numpy as np

from swirl.scalar import SeriesBank, SeriesDetector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swirl.detector import Points, Rows, Scores

__all__ = ["ChartBank", "Charted", "moved", "surprise"]

_OVERLAP = 0.6
"""Charts over the same points raise so many alarms for one that each would raise alone."""


def moved(charts: Sequence[float], z: float, tilts: Sequence[float], keep: float = 1.0) -> list[float]:
    """The charts after one more point.

    Args:
        charts: as they stand, one for each tilt up, then one for each down.
        z: the point, a standard normal variable under no change.
        tilts: the sizes of change that they look for, in sigmas.
        keep: share of what was gathered that still counts.

    Example:
        >>> moved([0.0, 1.0], 3.0, [1.0])
        [2.5, 0.0]
    """
    signed = (*tilts, *(-tilt for tilt in tilts))
    return [max(keep * c + tilt * z - tilt * tilt / 2, 0.0) for c, tilt in zip(charts, signed, strict=True)]


def surprise(charts: Sequence[float], tilts: Sequence[float]) -> float:
    """Nats: minus the logarithm of how often a window the highest of the charts stands so high by chance.

    Example:
        >>> round(surprise([10.0, 0.0], [1.0]), 2)
        11.68
    """
    both = (*tilts, *tilts)
    return max(
        c - log(len(both) * _OVERLAP * tilt * tilt / 2 * exp(-1.166 * tilt))
        for c, tilt in zip(charts, both, strict=True)
    )


class Charted(SeriesDetector, Protocol):
    """A detector of one series that keeps such charts.

    Attributes:
        evidence: the charts.
    """

    evidence: list[float]

    @property
    def expected(self) -> float:
        """The value that is expected, NaN while it is not known."""
        ...


class ChartBank(SeriesBank):
    """A bank of detectors that keep charts: these begin anew after an alarm, and after each loud window."""

    def score(self, rows: Rows, points: Points) -> Scores:
        """Judge the points by what was learnt before them."""
        scores = super().score(rows, points)
        expected = np.full(len(rows), np.nan)
        for at, row in enumerate(rows.tolist()):
            detector: Charted = self.charted(row)
            expected[at] = detector.expected
            if scores.alarm[at] or scores.loud[at]:
                detector.evidence = [0.0] * len(detector.evidence)
        return replace(scores, expected=np.where(np.isnan(scores.value), np.nan, expected))

    def charted(self, row: int) -> Charted:
        """The detector object of a series."""
        return self._detectors[row]  # type: ignore[return-value] # what the factory of such a bank makes
