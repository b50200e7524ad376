"""What a distance between two summaries says, by its null law."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swirl.sketch import Distribution

if TYPE_CHECKING:
    from swirl.null_law import Law

__all__ = ["GRID", "SAME", "Comparison", "Distance", "Sample", "digest_error"]

Sample = Distribution | Mapping[str, int]

GRID = 128
"""Points at which cumulative distributions are compared."""

_DIGEST = 4e-5
"""The error of a digest of k = 100 is worth so much chance: that of 25 000 values."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a statistic says.

    Attributes:
        statistic: in its own units.
        p_value: probability of so much or more by chance.
        z: the same as a standard normal deviate, large where it drifts; finite where the p-value is 0.
    """

    statistic: float
    p_value: float
    z: float


@dataclass(frozen=True, slots=True)
class Distance:
    """How far a sample lies from a baseline.

    Attributes:
        squared: in chance, as :mod:`swirl.null_law` has it.
        law: of ``squared`` without drift.
        unit: of the statistic, which is ``squared * unit``, or the root of that where ``root`` is set.
        root: the statistic is a length, no square.
    """

    squared: float
    law: Law
    unit: float
    root: bool

    def shown(self, squared: float) -> float:
        """The statistic of a squared distance."""
        return math.sqrt(max(squared * self.unit, 0.0)) if self.root else squared * self.unit

    @property
    def statistic(self) -> float:
        """In its own units."""
        return self.shown(self.squared)

    def compared(self, cluster: float = 1.0) -> Comparison:
        """What it says of values that are alike in clusters of some size."""
        squared = self.squared / cluster
        return Comparison(self.statistic, self.law.p_value(squared), self.law.deviate(squared))


SAME = Comparison(0.0, 1.0, 0.0)
"""Where there is nothing to compare."""


def digest_error(baseline: Distribution, sample: Distribution) -> float:
    """What the errors of two summaries of numbers add to chance."""
    return 0.0 if baseline.exact and sample.exact else _DIGEST
