"""What chance makes of a distance between two samples of one distribution.

A *distance* here is squared and measured in :func:`chance`, ``1/N + 1/M``: so it does not depend on the
sizes, and where values come in clusters of ``c``, it is ``c`` times as large. That factor, the *dispersion*,
can be learnt from distances between samples that did not drift, and the law of each kind of distance is known
but for it. A *deviate* is the standard normal number that is exceeded as often by chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "ChiSquareLaw",
    "GammaLaw",
    "KolmogorovLaw",
    "Law",
    "chance",
    "chi_square_deviate",
    "ratio_evidence",
    "ratio_limit",
]

_LEAST = -4.0
"""No deviate is lower: two samples that are exactly alike say no more than that."""
_MOST = 1e12
_SKEWNESS = 1.2
"""Of the area between two cumulative distributions."""
_AREA_SHAPE = 4 / _SKEWNESS**2
_LEAST_AREA = -2.5
"""Below this a moved gamma variable ends sooner than areas do."""


class Law(Protocol):
    """The law of a distance when nothing drifts and values are independent."""

    @property
    def mean(self) -> float:
        """The mean of the distance."""
        ...

    @property
    def freedom(self) -> float:
        """Of a chi-square variable that varies, relative to its mean, as the distance does."""
        ...

    def deviate(self, distance: float) -> float:
        """The distance as a standard normal deviate."""
        ...

    def distance(self, deviate: float) -> float:
        """The distance that has a deviate: the inverse of :meth:`deviate`."""
        ...

    def p_value(self, distance: float) -> float:
        """The probability of so much or more."""
        ...


def chance(n: float, m: float, *, cluster: float = 1.0, digests: float = 0.0) -> float:
    """``1/N + 1/M``, what squared distances of two samples are measured in.

    Args:
        n: values in the one sample.
        m: values in the other.
        cluster: how many values in a row are alike.
        digests: what the errors of the summaries add.

    Example:
        >>> chance(10_000, 500)
        0.0021
    """
    return cluster * (1 / n + 1 / m) + digests


def chi_square_deviate(x: float, freedom: float) -> float:
    """A chi-square variable as a standard normal deviate.

    E. Wilson and M. Hilferty, "The distribution of chi-square", 1931: its cube root is nearly normal.

    Example:
        >>> round(chi_square_deviate(16.919, 9), 2)
        1.65
    """
    spread = 2 / (9 * freedom)
    return (math.cbrt(x / freedom) - (1 - spread)) / math.sqrt(spread)


def _chi_square(deviate: float, freedom: float) -> float:
    spread = 2 / (9 * freedom)
    root = max(1 - spread + deviate * math.sqrt(spread), 0.0)
    return root * root * root * freedom


@dataclass(frozen=True, slots=True)
class ChiSquareLaw:
    """Distances between cells: the population stability index, Jensen-Shannon, chi-square.

    Attributes:
        freedom: cells less one.

    Example:
        >>> law = ChiSquareLaw(9.0)
        >>> round(law.p_value(16.919), 3), round(law.distance(law.deviate(16.919)), 3)
        (0.05, 16.919)
    """

    freedom: float

    @property
    def mean(self) -> float:
        """Of the distance."""
        return self.freedom

    def deviate(self, distance: float) -> float:
        """The distance as a standard normal deviate."""
        return max(chi_square_deviate(min(distance, _MOST), self.freedom), _LEAST)

    def distance(self, deviate: float) -> float:
        """The distance that has a deviate."""
        return _chi_square(deviate, self.freedom)

    def p_value(self, distance: float) -> float:
        """The probability of so much or more."""
        return float(special.chdtrc(self.freedom, distance))


@dataclass(frozen=True, slots=True)
class KolmogorovLaw:
    """The square of the largest difference of two cumulative distributions (N. Smirnov, 1948).

    Small samples are brought in line by :func:`stephens`. The tail is ``2 exp(-2 distance)``, that of a
    chi-square variable of 3.29 degrees of freedom with the same mean.

    Attributes:
        missed: by how much the root of the distance falls short because differences are looked at in a few
            points only; see :meth:`at_points`.

    Example:
        >>> law = KolmogorovLaw()
        >>> round(law.p_value(1.358**2), 3), round(law.deviate(1.358**2), 2), round(law.distance(1.645), 2)
        (0.05, 1.64, 1.84)
        >>> round(law.distance(law.deviate(400.0)))
        400
    """

    missed: float = 0.0

    @classmethod
    def at_points(cls, ranks: NDArray[np.float64]) -> KolmogorovLaw:
        """The law where differences are looked at in points of some ranks.

        The highest of steps falls short of the highest of a path by 0.583 roots of the length of a step (M.
        Broadie, P. Glasserman, S. Kou, "A Continuity Correction for Discrete Barrier Options", 1997).
        """
        gaps = np.diff(ranks, prepend=0.0, append=1.0)
        return cls(min(0.583 * math.sqrt(float((gaps * gaps).sum())), 0.45))

    @property
    def mean(self) -> float:
        """Of the distance."""
        return math.pi**2 / 12 - 2 * self.missed * math.log(2) * math.sqrt(math.pi / 2) + self.missed**2

    @property
    def freedom(self) -> float:
        """Of a chi-square variable that varies as much."""
        return math.pi**2 / 3 * (1 - self.missed)

    def deviate(self, distance: float) -> float:
        """The distance as a standard normal deviate."""
        distance = (math.sqrt(min(distance, _MOST)) + self.missed) ** 2
        if distance > 3:
            return float(-special.ndtri_exp(math.log(2) - 2 * distance))
        p = float(special.kolmogorov(math.sqrt(distance)))
        return max(float(-special.ndtri(p)), _LEAST)

    def distance(self, deviate: float) -> float:
        """The distance that has a deviate."""
        tail = float(special.log_ndtr(-deviate))
        far = tail < math.log(2) - 6
        root = math.sqrt((math.log(2) - tail) / 2) if far else float(special.kolmogi(math.exp(tail)))
        return max(root - self.missed, 0.0) ** 2

    def p_value(self, distance: float) -> float:
        """The probability of so much or more."""
        return float(special.kolmogorov(math.sqrt(distance) + self.missed))

    @staticmethod
    def stephens(distance: float, size: float) -> float:
        """A distance between samples of little size as one between large ones.

        M. Stephens, "EDF Statistics for Goodness of Fit and Some Comparisons", 1974, table 1A.

        Args:
            distance: squared, in chance.
            size: ``N M / (N + M)``.
        """
        root = math.sqrt(size)
        return distance * (1 + 0.12 / root + 0.11 / size) ** 2


@dataclass(frozen=True, slots=True)
class GammaLaw:
    """The square of an area between two cumulative distributions.

    The area is taken for a gamma variable that is moved, so that besides mean and variance its skewness is
    that of areas under Brownian bridges: 1.28 for the bridge itself (L. Shepp, "On the integral of the
    absolute value of the pinned Wiener process", 1982), 1.2 to 1.3 along continuous laws, 1.0 where there are
    two values. One that is not moved has twice its relative spread, 0.73 along a normal law, and is passed
    1.6 times too often at 1 %.

    Attributes:
        shape: square of the mean over the variance of the area.
        scale: variance over mean of the area.

    Example:
        >>> law = GammaLaw(5.309, 0.05902)
        >>> round(law.p_value(0.575**2), 3), round(law.deviate(0.575**2), 2)
        (0.049, 1.66)
        >>> round(law.distance(law.deviate(0.6)), 3)
        0.6
    """

    shape: float
    scale: float

    @property
    def mean(self) -> float:
        """Of the distance."""
        return self.shape * (self.shape + 1) * self.scale**2

    @property
    def freedom(self) -> float:
        """Of a chi-square variable that varies as much."""
        fourth = 4 * self.shape + 4 * math.sqrt(self.shape) * _SKEWNESS + 2 + 1.5 * _SKEWNESS**2
        return 2 * (self.shape + 1) ** 2 / fourth

    def deviate(self, distance: float) -> float:
        """The distance as a standard normal deviate."""
        return max(chi_square_deviate(2 * self._moved(distance), 2 * _AREA_SHAPE), _LEAST_AREA)

    def distance(self, deviate: float) -> float:
        """The distance that has a deviate."""
        spreads = (_chi_square(deviate, 2 * _AREA_SHAPE) / 2 - _AREA_SHAPE) / math.sqrt(_AREA_SHAPE)
        area = self.scale * (self.shape + spreads * math.sqrt(self.shape))
        return max(area, 0.0) ** 2

    def p_value(self, distance: float) -> float:
        """The probability of so much or more."""
        return float(special.gammaincc(_AREA_SHAPE, self._moved(distance)))

    def _moved(self, distance: float) -> float:
        """A gamma variable of scale 1 that is as many standard deviations from its mean as the area."""
        spreads = (math.sqrt(distance) / self.scale - self.shape) / math.sqrt(self.shape)
        return min(max(_AREA_SHAPE + spreads * math.sqrt(_AREA_SHAPE), 0.0), _MOST)


def ratio_evidence(ratio: float, freedom: float, known: float) -> float:
    """Nats of surprise at a distance that is so many times what is usual.

    Args:
        ratio: distance over usual distance.
        freedom: of the distance.
        known: degrees of freedom that the usual distance was learnt from.

    Returns:
        Minus the logarithm of the probability of such an F or a larger one.

    Example:
        >>> round(ratio_evidence(9.0, 9.0, 30.0), 1), round(ratio_limit(13.8, 9.0, 30.0), 2)
        (13.1, 9.6)
    """
    share = known / (known + freedom * ratio)
    return -math.log(max(float(special.betainc(known / 2, freedom / 2, share)), 1e-300))


def ratio_limit(nats: float, freedom: float, known: float) -> float:
    """The ratio at which :func:`ratio_evidence` gives so many nats."""
    share = float(special.betaincinv(known / 2, freedom / 2, math.exp(-nats)))
    return known * (1 - share) / (freedom * share) if share > 0 else float(np.inf)
