"""The simulated laws that the promises of the change detector are measured on.

A cell names a law and a kind of series. :meth:`Cell.start` gives a source of windows for many independent
series; sources keep what they need between blocks, so that a month is drawn block by block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swirl.detector import Kind

__all__ = ["CELLS", "HEAVIER", "Cell", "binomial", "normal", "poisson"]

Array = NDArray[np.float64]
Block = tuple[Array, Array]
"""Values and weights, shape ``(windows, rows)``."""
Source = Callable[[int, int], Block]
"""Draws ``windows`` windows, the first of which has the given number."""
Start = Callable[[np.random.Generator, int, int], Source]
"""Makes a source from a generator, how many rows, and how many windows a day has."""


@dataclass(frozen=True)
class Cell:
    """A law of healthy series.

    Attributes:
        name: as in the tables.
        kind: of the series.
        start: see :data:`Start`.
    """

    name: str
    kind: Kind
    start: Start


def _plain(values: Array) -> Block:
    return values, np.ones_like(values)


def _independent(draw: Callable[[np.random.Generator, tuple[int, int]], Array]) -> Start:
    def start(rng: np.random.Generator, rows: int, _: int) -> Source:
        return lambda _, windows: _plain(draw(rng, (windows, rows)))

    return start


def normal(mean: float = 0.0) -> Start:
    """Independent normal values of standard deviation 1."""
    return _independent(lambda rng, shape: rng.normal(mean, 1.0, shape))


def _autoregression(
    rng: np.random.Generator, rows: int, phi: float | Array, noise: Callable[[tuple[int, int]], Array]
) -> Callable[[int], Array]:
    """Windows of AR(1) series of variance 1, if the noise has it."""
    last: Array = rng.standard_normal(rows)
    scale = np.sqrt(1 - np.square(phi))

    def draw(windows: int) -> Array:
        nonlocal last
        values: Array = np.asarray(scale * noise((windows, rows)))
        for at in range(windows):
            last = values[at] = phi * last + values[at]
        return values

    return draw


def _autoregressive(phi: float, shape_of: Callable[[Array], Array] = lambda x: x) -> Start:
    def start(rng: np.random.Generator, rows: int, _: int) -> Source:
        draw = _autoregression(rng, rows, phi, rng.standard_normal)
        return lambda _, windows: _plain(shape_of(draw(windows)))

    return start


def binomial(n: int, p: float, *, alike: float = 0.0, varied: bool = False) -> Start:
    """k of n, beta-binomial where the odds of a window vary (``alike``: the correlation of its
    records), n log-normal where ``varied``."""

    def start(rng: np.random.Generator, rows: int, _: int) -> Source:
        def draw(_: int, windows: int) -> Block:
            shape = windows, rows
            size = np.full(shape, float(n))
            if varied:
                size = np.maximum(1.0, np.floor(np.exp(rng.normal(np.log(n), 0.8, shape))))
            share: float | Array = p
            if alike:
                worth = 1 / alike - 1
                share = rng.beta(p * worth, (1 - p) * worth, shape)
            return rng.binomial(size.astype(np.int64), share).astype(float), size

        return draw

    return start


def _counts(rng: np.random.Generator, mean: Array, dispersion: float) -> Array:
    if dispersion > 1:
        mean = rng.gamma(mean / (dispersion - 1), dispersion - 1)
    return rng.poisson(mean).astype(float)


def poisson(mean: float, *, dispersion: float = 1.0, zeros: float = 0.0) -> Start:
    """Counts; negative binomial where the dispersion is above 1; a share of ``zeros`` put in."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
        counts = _counts(rng, np.full(shape, mean), dispersion)
        return counts * (rng.random(shape) >= zeros) if zeros else counts

    return _independent(draw)


def _seasonal_rate(mean: float, amplitude: float, dispersion: float) -> Start:
    def start(rng: np.random.Generator, rows: int, a_day: int) -> Source:
        day, half = rng.random(rows), rng.random(rows)

        def draw(first: int, windows: int) -> Block:
            turn = ((first + np.arange(windows)) / a_day)[:, None]
            shape = np.sin(2 * np.pi * (turn + day)) + 0.3 * np.sin(4 * np.pi * (turn + half))
            return _plain(_counts(rng, mean * np.maximum(1 + amplitude * shape, 0.02), dispersion))

        return draw

    return start


def _seasonal_latency(amplitude: float) -> Start:
    def start(rng: np.random.Generator, rows: int, a_day: int) -> Source:
        phase = rng.random(rows)
        noise = _autoregression(rng, rows, 0.5, rng.standard_normal)

        def draw(first: int, windows: int) -> Block:
            turn = ((first + np.arange(windows)) / a_day)[:, None]
            return _plain(np.exp(5 + 0.2 * noise(windows) + amplitude * np.sin(2 * np.pi * (turn + phase))))

        return draw

    return start


def _walk(step: float) -> Start:
    """A level that wanders without bound, ``step`` sigma a window, under normal noise."""

    def start(rng: np.random.Generator, rows: int, _: int) -> Source:
        level = np.zeros(rows)

        def draw(_: int, windows: int) -> Block:
            nonlocal level
            path = level + np.cumsum(step * rng.standard_normal((windows, rows)), axis=0)
            level = path[-1]
            return _plain(path + rng.standard_normal((windows, rows)))

        return draw

    return start


def _mixed_values(rng: np.random.Generator, rows: int, _: int) -> Source:
    """Normal, t of 3, AR .5, AR .9 and Laplace side by side."""
    law = np.arange(rows) % 5

    def noise(shape: tuple[int, int]) -> Array:
        values = rng.standard_normal(shape)
        values[:, law == 1] = rng.standard_t(3, (shape[0], int((law == 1).sum())))
        values[:, law == 4] = rng.laplace(0, 1, (shape[0], int((law == 4).sum())))
        return values

    phi = np.where(law == 2, 0.5, np.where(law == 3, 0.9, 0.0))
    draw = _autoregression(rng, rows, phi, noise)
    return lambda _, windows: _plain(draw(windows))


def _mixed_ratios(rng: np.random.Generator, rows: int, a_day: int) -> Source:
    """Five kinds of ratio side by side, of 1 to 5000 records."""
    laws = [
        binomial(1, 0.2),
        binomial(50, 0.3, alike=2 / 49),
        binomial(500, 0.01),
        binomial(500, 0.3, alike=2 / 499),
        binomial(5000, 0.5, alike=4 / 4999),
    ]
    parts = [law(rng, len(range(at, rows, 5)), a_day) for at, law in enumerate(laws)]

    def draw(first: int, windows: int) -> Block:
        value, weight = np.empty((windows, rows)), np.empty((windows, rows))
        for at, part in enumerate(parts):
            value[:, at::5], weight[:, at::5] = part(first, windows)
        return value, weight

    return draw


def _outliers(share: float, times: float) -> Start:
    """Normal, a share of the windows so many times as far out."""
    return _independent(
        lambda rng, shape: rng.standard_normal(shape) * np.where(rng.random(shape) < share, times, 1.0)
    )


def _cox(mean: float, phi: float, sd: float) -> Start:
    """Counts whose rate is the exponential of an AR(1)."""

    def start(rng: np.random.Generator, rows: int, _: int) -> Source:
        draw = _autoregression(rng, rows, phi, rng.standard_normal)
        return lambda _, windows: _plain(rng.poisson(mean * np.exp(sd * draw(windows))).astype(float))

    return start


def _logit(n: int, phi: float, sd: float) -> Start:
    """k of n whose log odds are an AR(1)."""

    def start(rng: np.random.Generator, rows: int, _: int) -> Source:
        draw = _autoregression(rng, rows, phi, rng.standard_normal)

        def ratio(_: int, windows: int) -> Block:
            share = 1 / (1 + np.exp(1.4 - sd * draw(windows)))
            return rng.binomial(n, share).astype(float), np.full(share.shape, float(n))

        return ratio

    return start


CELLS: tuple[Cell, ...] = (
    Cell("normal", Kind.LEVEL, normal()),
    Cell("AR(1) 0.5", Kind.LEVEL, _autoregressive(0.5)),
    Cell("AR(1) 0.9", Kind.LEVEL, _autoregressive(0.9)),
    Cell("log-normal .5", Kind.POSITIVE, _independent(lambda r, s: r.lognormal(5, 0.5, s))),
    Cell("log-normal, AR .5", Kind.POSITIVE, _autoregressive(0.5, lambda x: np.exp(5 + 0.3 * x))),
    Cell("gamma(4) with log taken", Kind.POSITIVE, _independent(lambda r, s: r.gamma(4.0, 1.0, s))),
    Cell("t, 3 dof", Kind.LEVEL, _independent(lambda r, s: r.standard_t(3, s))),
    Cell("Bernoulli n=1 p=.2", Kind.RATIO, binomial(1, 0.2)),
    Cell("Bernoulli n=1 p=.01", Kind.RATIO, binomial(1, 0.01)),
    Cell("binomial n50 p.3", Kind.RATIO, binomial(50, 0.3)),
    Cell("binomial n500 p.01", Kind.RATIO, binomial(500, 0.01)),
    Cell("binomial n5000 p.5", Kind.RATIO, binomial(5000, 0.5)),
    Cell("beta-binomial n500, 3x", Kind.RATIO, binomial(500, 0.3, alike=2 / 499)),
    Cell("beta-binomial n50 p.05, 3x", Kind.RATIO, binomial(50, 0.05, alike=2 / 49)),
    Cell("beta-binomial n~200 varied", Kind.RATIO, binomial(200, 0.2, alike=0.01, varied=True)),
    Cell("Poisson 2", Kind.RATE, poisson(2.0)),
    Cell("Poisson 100", Kind.RATE, poisson(100.0)),
    Cell("negative binomial 20, 3x", Kind.RATE, poisson(20.0, dispersion=3.0)),
    Cell("negative binomial 1000, 3x", Kind.RATE, poisson(1000.0, dispersion=3.0)),
    Cell("zero-inflated 30 %, Poisson 10", Kind.RATE, poisson(10.0, zeros=0.3)),
    Cell("seasonal rate 100, +-50 %", Kind.RATE, _seasonal_rate(100.0, 0.5, 1.0)),
    Cell("seasonal NB 200, +-60 %, 3x", Kind.RATE, _seasonal_rate(200.0, 0.6, 3.0)),
    Cell("seasonal latency, AR .5", Kind.POSITIVE, _seasonal_latency(0.3)),
    Cell("random walk .02 sigma/window", Kind.LEVEL, _walk(0.02)),
    Cell("random walk .1 sigma/window", Kind.LEVEL, _walk(0.1)),
    Cell("mixed values", Kind.LEVEL, _mixed_values),
    Cell("mixed ratios", Kind.RATIO, _mixed_ratios),
)
"""All laws of the table."""

HEAVIER: tuple[Cell, ...] = (
    Cell("Laplace", Kind.LEVEL, _independent(lambda r, s: r.laplace(0, 1, s))),
    Cell("log-normal as it is", Kind.LEVEL, _independent(lambda r, s: r.lognormal(0, 0.5, s))),
    Cell("1 % outliers x6", Kind.LEVEL, _outliers(0.01, 6.0)),
    Cell("Cox, AR .8", Kind.RATE, _cox(20.0, 0.8, 0.3)),
    Cell("logit AR .7", Kind.RATIO, _logit(200, 0.7, 0.3)),
)
"""Laws with heavy or long-lived noise."""
