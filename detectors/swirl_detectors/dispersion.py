"""The variance of a point: a binomial or Poisson law at its level, as far as the series keeps to one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swirl.detector import Kind

if TYPE_CHECKING:
    from swirl_detectors.state import Array, State

__all__ = ["COUNTED", "dispersion", "least_variance", "nominal_skew"]

COUNTED = frozenset({Kind.RATIO, Kind.RATE})
"""Their variance follows from their level: binomial and Poisson laws, or more dispersed."""

_TINY = 1e-12


def dispersion(kind: Kind, state: State, size: Array) -> Array:
    """Variance of a Pearson residual at a given size: a line through the squared innovations, shrunk to 1."""
    q, count, o, oo, qo = state.spread
    prior = 10 + 30 * state.model_skew**2
    mean = (q + prior) / (count + prior)
    some = np.maximum(count, 1.0)
    centre = o / some
    slope = np.maximum(qo / some - centre * q / some, 0.0) / (
        np.maximum(oo / some - centre * centre, 0.0)
        + 0.02 * centre * centre
        + prior * centre * centre / (count + prior)
        + _TINY
    )
    slope = np.minimum(slope, 0.95 * mean / np.maximum(centre, 1e-300))
    line = np.where(count < 30, np.maximum(mean, 0.2), np.maximum(mean + slope * (size - centre), 0.2 * mean))
    return np.where(size < 0.5, 1.0, line) if kind is Kind.RATIO else line


def nominal_skew(kind: Kind, state: State) -> Array:
    """The skewness that a binomial or Poisson law would have, at the dispersion that was learnt."""
    if kind is Kind.RATIO:
        n = np.maximum(state.size, 1.0)
        d = dispersion(kind, state, n - 1)
        p = np.clip(state.level, 1e-4, 1 - 1e-4)
        return (2 * d - 1) / np.sqrt(d) * (1 - 2 * p) / np.sqrt(n * p * (1 - p))
    if kind is Kind.RATE:
        mean = np.maximum(state.level, 0.05)
        d = dispersion(kind, state, mean)
        return (2 * d - 1) / np.sqrt(d) / np.sqrt(mean)
    return np.zeros_like(state.level)


def least_variance(kind: Kind, state: State) -> Array:
    """The least variance: a series that never moves is judged against a millionth of its level."""
    return 1e-12 * state.level * state.level + (1e-12 if kind is Kind.POSITIVE else 1e-24)
