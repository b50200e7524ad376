"""Healthy streams of every kind, seeded, and the loop that a monitor runs."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from swirl.detector import Bank, Kind, Points, Scores
from swirl.sketch import Distribution

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MINUTE = 60_000


def stream(
    kind: Kind, series: int, windows: int, *, seed: int = 0, window_ms: int = MINUTE
) -> Iterator[Points]:
    """Windows of several healthy series, each with a law of its own; a series does not depend on how many
    there are."""
    draws = [list(_series(kind, np.random.default_rng([seed, i]), i, windows)) for i in range(series)]
    for window in range(windows):
        now = [draw[window] for draw in draws]
        value = np.array([v for v, _, _ in now], dtype=float)
        weight = np.array([w for _, w, _ in now], dtype=float)
        samples = [s for _, _, s in now] if kind is Kind.DISTRIBUTION else ()
        yield Points(window * window_ms, window_ms, value, weight, samples)


def _series(
    kind: Kind, rng: np.random.Generator, number: int, windows: int
) -> Iterator[tuple[float, float, Distribution | dict[str, int] | None]]:
    for window in range(windows):
        day = 1 + 0.3 * np.sin(2 * np.pi * window / 1440)
        if kind is Kind.RATIO:
            n = (50, 500, 20)[number % 3] + int(rng.integers(0, 5))
            yield float(rng.binomial(n, (0.3, 0.01, 0.8)[number % 3])), float(n), None
        elif kind is Kind.RATE:
            yield float(rng.poisson((20.0, 0.3, 900.0)[number % 3] * day)), 1.0, None
        elif kind is Kind.DISTRIBUTION:
            yield 0.0, 1.0, _sample(rng, number)
        else:
            x = float(rng.standard_normal())
            yield (float(np.exp(0.3 * x - 5)) if kind is Kind.POSITIVE else x + day - 1), 1.0, None


def _sample(rng: np.random.Generator, number: int) -> Distribution | dict[str, int]:
    if number % 2:
        return dict(zip("abcd", rng.multinomial(300, [0.4, 0.3, 0.2, 0.1]).tolist(), strict=True))
    seen = Distribution()
    seen.update(rng.normal(size=300))
    return seen


def every(series: int) -> NDArray[np.intp]:
    return np.arange(series)


def run(bank: Bank, points: Iterator[Points] | list[Points], rows: NDArray[np.intp]) -> list[Scores]:
    """Score and learn, window by window."""
    scores = []
    for window in points:
        scores.append(bank.score(rows, window))
        bank.learn(rows, window)
    return scores


def differing(a: Scores, b: Scores, *, but: tuple[str, ...] = ()) -> list[str]:
    """The fields that are not the same, bit for bit."""
    return [
        field.name
        for field in fields(Scores)
        if field.name not in but
        and not np.array_equal(getattr(a, field.name), getattr(b, field.name), equal_nan=True)
    ]


def part(points: Points, rows: NDArray[np.intp]) -> Points:
    """The points of some rows."""
    samples = [points.samples[i] for i in rows.tolist()] if points.samples else ()
    return Points(points.start_ms, points.window_ms, points.value[rows], points.weight[rows], samples)
