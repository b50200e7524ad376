"""Seasonal laws for the benchmark of the seasonal baseline, and two without a season as a control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from swirl.detector import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Shape = Callable[[Array], Array]
    """Factor on the level at times in days, shape ``(windows, 1)`` to ``(windows, series)``."""

__all__ = ["DAY", "LAWS", "Law"]

DAY = 1440
"""Windows of a minute."""

HOLIDAY = 16
"""The third Wednesday, when the first day is a Monday."""


@dataclass(frozen=True)
class Law:
    """A law that draws windows of many series.

    Attributes:
        kind: of the series.
        shape: makes the shapes of some series from a generator.
        draw: values at a factor on the level, and the denominators.
        days: that are run: what has no week has shown all of itself after two.
    """

    kind: Kind
    shape: Callable[[np.random.Generator, int], Shape]
    draw: Callable[[np.random.Generator, Array], tuple[Array, float]]
    days: int = 14


def _day(amplitude: float) -> Callable[[np.random.Generator, int], Shape]:
    """A wave a day and a smaller one of half a day, with phases of the series' own."""

    def make(rng: np.random.Generator, series: int) -> Shape:
        whole, half = rng.random(series), rng.random(series)

        def factor(days: Array) -> Array:
            wave = np.sin(2 * np.pi * (days + whole)) + 0.3 * np.sin(4 * np.pi * (days + half))
            return np.maximum(1 + amplitude * wave, 0.02)

        return factor

    return make


def _weekend(*, holiday: bool) -> Callable[[np.random.Generator, int], Shape]:
    """Saturday and Sunday at half, in a time zone of the series' own, entered within two hours."""

    def make(rng: np.random.Generator, series: int) -> Shape:
        day, zone = _day(0.5)(rng, series), rng.integers(-11, 13, series) / 24

        def off(days: Array) -> Array:
            whole = np.floor(days)
            free = whole % 7 >= 5
            return np.where(holiday & (whole == HOLIDAY), 1.0, free.astype(np.float64))

        def factor(days: Array) -> Array:
            local = days + zone
            around = [off(local + minutes / DAY) for minutes in range(-60, 61, 10)]
            return np.asarray(day(days) * (1 - 0.5 * np.mean(around, axis=0)))

        return factor

    return make


def _weekdays(rng: np.random.Generator, series: int) -> Shape:
    """Every weekday has a level and an hour of its own."""
    level, hour = rng.uniform(0.6, 1.4, (7, series)), rng.uniform(-0.1, 0.1, (7, series))
    phase = rng.random(series)

    def factor(days: Array) -> Array:
        whole = np.floor(days[:, 0]).astype(np.intp)
        part = days - whole[:, None]
        shape = np.zeros((len(days), series))
        for other in (-1, 0, 1):
            # Neighbouring days pass into each other within three hours around midnight.
            share = np.clip(0.5 + (0.5 - np.abs(part - 0.5 - other)) * 8, 0.0, 1.0)
            at = (whole + other) % 7
            shape += share * level[at] * (1 + 0.4 * np.sin(2 * np.pi * (days + phase + hour[at])))
        return shape

    return factor


def _flat(_: np.random.Generator, series: int) -> Shape:
    return lambda days: np.ones((len(days), series))


def _normal(rng: np.random.Generator, factor: Array) -> tuple[Array, float]:
    return rng.standard_normal(factor.shape), 1.0


def _rate(mean: float, times: float = 1.0) -> Callable[[np.random.Generator, Array], tuple[Array, float]]:
    """Poisson counts, or counts of so many times its variance."""

    def draw(rng: np.random.Generator, factor: Array) -> tuple[Array, float]:
        rate = mean * factor
        rate = rng.gamma(rate / (times - 1), times - 1) if times > 1 else rate
        return rng.poisson(rate).astype(np.float64), 1.0

    return draw


def _latency(rng: np.random.Generator, factor: Array) -> tuple[Array, float]:
    """Its logarithm is autoregressive, 0.5, anew in every block that is drawn."""
    noise = rng.standard_normal(factor.shape)
    for window in range(1, len(noise)):
        noise[window] = 0.5 * noise[window - 1] + np.sqrt(0.75) * noise[window]
    return np.exp(5 + 0.2 * noise) * factor, 1.0


def _ratio(rng: np.random.Generator, factor: Array) -> tuple[Array, float]:
    return rng.binomial(500, np.minimum(0.2 * factor, 1.0)).astype(np.float64), 500.0


LAWS = {
    "seasonal rate 100, 50 %": Law(Kind.RATE, _day(0.5), _rate(100)),
    "seasonal NB 200, 60 %, 3x": Law(Kind.RATE, _day(0.6), _rate(200, 3)),
    "seasonal latency, AR 0.5": Law(Kind.POSITIVE, _day(0.3), _latency),
    "seasonal ratio 0.2 of 500": Law(Kind.RATIO, _day(0.4), _ratio),
    "weekly rate, weekend at half": Law(Kind.RATE, _weekend(holiday=False), _rate(100), days=28),
    "the same, a holiday in week 3": Law(Kind.RATE, _weekend(holiday=True), _rate(100), days=28),
    "a shape for every weekday": Law(Kind.RATE, _weekdays, _rate(100), days=28),
    "normal": Law(Kind.LEVEL, _flat, _normal),
    "Poisson 100": Law(Kind.RATE, _flat, _rate(100)),
}
"""All start on a Monday, UTC."""
