"""From numbers to places on a chart, and the few ticks beside them."""

from __future__ import annotations

from datetime import UTC, datetime
from math import ceil, floor, isfinite, log10
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from swirl.incident import numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from swirl.sinks.board import Track

__all__ = ["Scale", "Tick", "number", "scale_of", "time_ticks", "unit_of", "usual_of"]

_RATES = {"records": "records/s", "invalid": "records/s", "errors": "records/s", "out": "records/s"}
_LOG_FROM = 50.0
_DECADES = 5
_SHARE = 0.1
"""Ratios that never come so far are shown larger than between 0 and 1: nobody could see them move."""
_TALL = 4.0
"""A limit so many times above all that was measured is beyond the chart: the band goes up to its edge."""
_BEYOND_ONE = frozenset({"ratio", "input_ratio"})
_WIDE = 2.5
"""A band so many times as wide as the level tells less than the level does."""
_EDGE, _ROOM = 1.08, 1.35
"""Height of a chart over its highest value, without and with room for words."""
_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
_STEPS_S = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)


class Tick(NamedTuple):
    """A number beside an axis."""

    value: float
    label: str


class Scale(NamedTuple):
    """An axis from 0 at its foot to 1 at its head.

    Attributes:
        floor, top: values at foot and head; ``floor`` is above 0 where it is logarithmic.
        log: whether it is.
        ticks: values and what stands beside them.
        unit: of the ticks, ``""`` where there is none.
    """

    floor: float
    top: float
    log: bool
    ticks: tuple[Tick, ...]
    unit: str

    def place(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where values lie, within [0, 1]; NaN stays NaN.

        Example:
            >>> Scale(0.0, 20.0, False, (), "").place(np.array([5.0, 40.0, -1.0])).tolist()
            [0.25, 1.0, 0.0]
        """
        inside = np.clip(value, self.floor, self.top)
        if self.log:
            return np.asarray(np.log(inside / self.floor) / np.log(self.top / self.floor))
        return np.asarray((inside - self.floor) / (self.top - self.floor))


def unit_of(metric: str) -> str:
    """``"rate"``, ``"ratio"``, ``"seconds"`` or ``""``: what the values of a series are.

    Example:
        >>> [unit_of(metric) for metric in ("records", "invalid_ratio", "latency_p95", "drift")]
        ['rate', 'ratio', 'seconds', '']
    """
    if metric in _RATES or metric == "count":
        return "rate"
    if metric == "ratio" or metric.endswith("_ratio"):
        return "ratio"
    return "seconds" if metric.startswith("latency") else ""


def number(metric: str, value: float) -> str:
    """A value with its unit.

    Example:
        >>> number("records", 20134.0), number("prediction_ratio", 0.2), number("latency_p50", 0.0123)
        ('20 100/s', '0.20', '12 ms')
    """
    shown: dict[str, Callable[[float], str]] = {
        "rate": numbers.rate,
        "ratio": numbers.ratio,
        "seconds": numbers.seconds,
    }
    return shown.get(unit_of(metric), numbers.amount)(value) if isfinite(value) else "–"


def usual_of(metric: str, low: float, high: float, level: float) -> str:
    """What is usual, in words: the band, or the level where the band is wide or open.

    A limit that nothing can cross, such as 0 of a rate, is none; so is one that is not known.

    Example:
        >>> usual_of("records", 2.0, 22.1, 10.0), usual_of("prediction_ratio", 0.77, 0.83, 0.8)
        ('usual 2–22', 'usual 0.77–0.83')
        >>> usual_of("invalid", 0.0, 4.5, 0.1), usual_of("prediction_ratio", 0.0, 1.0, 0.8)
        ('usual 0.1/s, alarm above 4.5', 'usual 0.80')
        >>> nan = float("nan")
        >>> usual_of("output_ratio", 0.9, 1.0, 0.99), usual_of("drift", nan, nan, nan)
        ('usual 0.99, alarm below 0.90', '')
    """
    unit = unit_of(metric)
    below = isfinite(low) and not (unit and low <= 0)
    above = isfinite(high) and not (unit == "ratio" and high >= 1 and metric not in _BEYOND_ONE)
    first, last = number(metric, low).removesuffix("/s"), number(metric, high).removesuffix("/s")
    if below and above and not (isfinite(level) and high - low > _WIDE * abs(level)):
        bare, _, of = first.rpartition(" ")
        return f"usual {bare if unit == 'seconds' and last.endswith(f' {of}') else first}–{last}"
    limits = [f"alarm below {first}"] if below else []
    limits += [f"alarm above {last}"] if above else []
    return ", ".join([*([f"usual {number(metric, level)}"] if isfinite(level) else []), *limits[-1:]])


def scale_of(track: Track, usual: float, low: float) -> Scale:
    """The axis of a series.

    Linear from 0, ratios from 0 to 1; logarithmic where the view goes beyond 50 times of what is usual.

    Args:
        track: what is shown.
        usual: its level before the fault, NaN where it is not known.
        low: the lower limit there; where it is near the foot, there is room for words above the band.
    """
    unit = unit_of(track.key.metric)
    values = track.value[np.isfinite(track.value)]
    most = float(values.max()) if len(values) else 0.0
    limits = track.high[np.isfinite(track.high) & (track.high <= _TALL * max(most, 1e-300))]
    least = min(0.0, float(values.min()) if len(values) else 0.0)
    most = max(most, float(limits.max()) if len(limits) else 0.0) or (1.0 if least >= 0.0 else 0.0)
    if unit == "ratio" and _SHARE < most <= 1.0 and least >= 0.0:
        return Scale(0.0, 1.0, log=False, ticks=(Tick(0.0, "0"), Tick(0.5, "0.5"), Tick(1.0, "1")), unit="")
    if unit != "ratio" and usual > 0 and most > _LOG_FROM * usual and least >= 0.0:
        return _logarithmic(track.key.metric, most, usual)
    room = _ROOM if not low > most / 4 else _EDGE
    return _linear(track.key.metric, least, most, room)


def _linear(metric: str, least: float, most: float, room: float) -> Scale:
    size, word = _sized(metric, most)
    step = _step((most - least) / size / 2.0)
    count = range(floor(least / size / step), floor(most / size / step * (1 + 1e-9)) + 1)
    ticks = tuple(Tick(n * step * size, _tick(n * step)) for n in count)
    top = max(most * room, ticks[-1].value)
    return Scale(min(least * _EDGE, 0.0), top, log=False, ticks=ticks, unit=word)


def _logarithmic(metric: str, most: float, usual: float) -> Scale:
    size, word = _sized(metric, usual)
    top = most * 1.6
    low = max(floor(log10(usual / size / 2)), ceil(log10(top / size)) - _DECADES)
    decades = list(range(low, floor(log10(top / size)) + 1))
    chosen = decades[1 if len(decades) > 2 else 0 :: max(1, ceil((len(decades) - 1) / 2))]
    ticks = tuple(Tick(10.0**decade * size, _tick(10.0**decade)) for decade in chosen)
    return Scale(10.0**low * size, top, log=True, ticks=ticks, unit=f"{word}, log" if word else "log")


def _sized(metric: str, value: float) -> tuple[float, str]:
    """The unit of the ticks: its size, and its name."""
    if unit_of(metric) == "seconds":
        return next(((s, name) for s, name in ((1e-6, "us"), (1e-3, "ms")) if value < 1000 * s), (1.0, "s"))
    return 1.0, _RATES.get(metric, "/s" if unit_of(metric) == "rate" else "")


def _step(wanted: float) -> float:
    """The smallest nice number that is not below."""
    decade = 10.0 ** floor(log10(wanted))
    return next(nice * decade for nice in _NICE if nice * decade >= wanted * (1 - 1e-9))


def _tick(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.6g}{letter}"
    return f"{value:.6g}"


def time_ticks(first_ms: int, last_ms: int) -> list[Tick]:
    """Round times of day within a span, UTC; at most five.

    Example:
        >>> [tick.label for tick in time_ticks(1795230480_000, 1795230780_000)]
        ['03:08', '03:09', '03:10', '03:11', '03:12', '03:13']
    """
    seconds = max(1.0, (last_ms - first_ms) / 1000)
    step = next((s for s in _STEPS_S if seconds / s <= 5.5), 86_400 * ceil(seconds / 86_400 / 5))
    first = ceil(first_ms / 1000 / step) * step
    form = "%H:%M:%S" if step < 60 else "%H:%M" if step < 86_400 else "%d %b"
    times = range(first, last_ms // 1000 + 1, step)
    return [Tick(1000.0 * at, f"{datetime.fromtimestamp(at, UTC):{form}}") for at in times]
