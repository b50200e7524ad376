"""What a number of sigmas is worth, in nats, and how many of them noise with a memory and spikes makes."""

from __future__ import annotations

from math import log, sqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "CAP",
    "FEWEST_WINDOWS",
    "LARGEST",
    "as_normal",
    "autocorrelation",
    "beyond_spikes",
    "log_evidence",
    "pooling",
    "spikes",
]

FEWEST_WINDOWS = 8
"""A baseline shorter than this has no scale."""

CAP = 10.0
"""What one series can say at most, in nats: z = 5 and z = 500 weigh the same. Size says how bad, not what."""

LARGEST = 40.0
"""Sigmas beyond this say no more."""
_FAR, _NEAR = 4.5, 3.0
"""Robust sigmas from which a window is far out, and to which it is brought near."""
_SPIKES = 0.1
"""Where more windows than this are far out, that is the law of the series and no spikes."""


def log_evidence(z: float) -> float:
    """Nats for "moved, by something between 0 and 30 sigma" against "did not move", at most :data:`CAP`.

    Example:
        >>> [round(log_evidence(z), 1) for z in (0, 2.24, 3, 5, 40)]
        [-9.0, 0.0, 2.0, 10.0, 10.0]
    """
    return min(z * z / 2 - 2.5, CAP) if z > 2.24 else max(4 * (z - 2.24), -9.0)


def autocorrelation(values: NDArray[np.float64]) -> float:
    """Lag-1 autocorrelation of a baseline, in [0, 0.9]; a little added, for the estimate is biased down."""
    if len(values) <= 20:
        return 0.15
    h = values - values.mean()
    energy = float(np.sum(h * h))
    return min(max(float(np.sum(h[1:] * h[:-1])) / max(energy, 1e-12) + 0.05, 0.0), 0.9)


def spikes(values: NDArray[np.float64], least: float) -> tuple[float, NDArray[np.float64]]:
    """The share of lone values of a baseline that are far out, and the values with those brought near.

    Args:
        values: of the baseline.
        least: the scale is no smaller.

    Example:
        >>> share, calm = spikes(np.array([0.0, 1, -1, 0.5, -0.5, 1, -1, 0, 0.2, 9, -0.2, 0.1]), 0.1)
        >>> round(share, 3), round(float(calm.max()), 1)
        (0.083, 2.3)
    """
    if len(values) < FEWEST_WINDOWS:
        return 0.0, values
    centre = float(np.median(values))
    scale = max(1.4826 * float(np.median(np.abs(values - centre))), least)
    share = float(np.mean(np.abs(values - centre) > _FAR * scale))
    if not 0 < share <= _SPIKES:
        return 0.0, values
    return share, np.clip(values, centre - _NEAR * scale, centre + _NEAR * scale)


def beyond_spikes(share: float) -> float:
    """Sigmas that one window may count for in a series of which this share of the windows is far out.

    That the window is another spike is as likely as their share: :func:`log_evidence` of the answer is its
    logarithm.
    """
    return sqrt(2 * (log(1 / share) + 2.5)) if share > 0 else LARGEST


def pooling(windows: int, rho: float, baseline: int) -> float:
    """Variance of a mean of autocorrelated windows, times their number, and the baseline's own error.

    Example:
        >>> round(pooling(3, 0.0, 90), 2), round(pooling(3, 0.5, 30), 2)
        (1.03, 2.13)
    """
    between = sum((1 - k / windows) * rho**k for k in range(1, windows))
    return 1 + 2 * between + windows / baseline * (1 + rho) / (1 - rho)


def as_normal(z: float, degrees: float) -> float:
    """A Student t of so many degrees of freedom as the z of the same tail (first order, N. Wallace, 1959)."""
    size = sqrt(degrees * log(1 + z * z / degrees))
    return size if z > 0 else -size
