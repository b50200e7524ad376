"""What people would use on the same series, and two that look at nothing: for comparison.

Each method watches every judged series of a pipeline by itself, at its customary settings, and names no
cause. The stage that it points to is that of the first series that alarms, in the order of flow.
"""

from __future__ import annotations

import copy
import importlib
import math
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from swirl.effect import SeriesKey, WindowClosed

__all__ = ["METHODS", "Person", "methods"]

HOUR_WINDOWS = 360
CHUNKS = 10
SIGMAS = 3.0
_SHOWN = frozenset({"invalid", "errors", "out", "count"})
"""Metrics that are shown as plain rates beside the series that are judged."""


class Method(Protocol):
    """Looks at one series."""

    def update(self, value: float) -> bool:
        """Take the next value; whether it alarms."""
        ...


class TenChunks:
    """Mean +- 3 sigma of ten chunks, which are taken afresh every hour."""

    def __init__(self) -> None:
        self._chunks: list[float] = []
        self._seen = 0

    def update(self, value: float) -> bool:
        """Outside of the band of the ten chunks."""
        if self._seen % HOUR_WINDOWS < CHUNKS:
            self._chunks = [*self._chunks, value][-CHUNKS:]
            self._seen += 1
            return False
        self._seen += 1
        return _outside(value, self._chunks)


class HourBand:
    """``avg_over_time(x[1h]) +- 3 * stddev_over_time(x[1h])``, the band of many Prometheus rules."""

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=HOUR_WINDOWS)
        self._sum = self._squares = self._origin = 0.0

    def update(self, value: float) -> bool:
        """Outside of the band of the last hour, itself left out."""
        if not self._values:
            self._origin = value
        outside = False
        if len(self._values) >= CHUNKS:
            n = len(self._values)
            mean = self._sum / n
            sd = math.sqrt(max(0.0, self._squares / n - mean * mean))
            outside = abs(value - self._origin - mean) > SIGMAS * sd
        self._add(value - self._origin)
        return outside

    def _add(self, value: float) -> None:
        if len(self._values) == HOUR_WINDOWS:
            oldest = self._values[0]
            self._sum, self._squares = self._sum - oldest, self._squares - oldest * oldest
        self._values.append(value)
        self._sum, self._squares = self._sum + value, self._squares + value * value


class Rivers:
    """A drift detector of river at its defaults."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector

    def update(self, value: float) -> bool:
        """Whatever it says."""
        self._detector.update(value)
        return bool(self._detector.drift_detected)


class Never:
    """Says nothing, ever."""

    def update(self, value: float) -> bool:
        """No."""
        return False


class Always:
    """Cries all the time."""

    def update(self, value: float) -> bool:
        """Yes."""
        return True


def _outside(value: float, usual: list[float]) -> bool:
    mean = math.fsum(usual) / len(usual)
    sd = math.sqrt(math.fsum((x - mean) ** 2 for x in usual) / (len(usual) - 1))
    return abs(value - mean) > SIGMAS * sd


METHODS: dict[str, Callable[[], Method]] = {
    "never alarm": Never,
    "always alarm": Always,
    "mean ± 3 sigma of ten chunks": TenChunks,
    "PromQL band of the last hour": HourBand,
}


def methods() -> dict[str, Callable[[], Method]]:
    """All of them by name."""
    drift = importlib.import_module("river.drift")  # it ships no types
    return METHODS | {
        "Page-Hinkley of river": lambda: Rivers(drift.PageHinkley()),
        "ADWIN of river": lambda: Rivers(drift.ADWIN()),
    }


class Person:
    """Somebody who watches the windows of a pipeline by one method.

    Attributes:
        alarms: starts of the windows that alarmed, with the stage that it points to.
    """

    def __init__(self, make: Callable[[], Method], stages: list[str]) -> None:
        self._make = make
        self._stages = [*stages, ""]
        self._series: dict[SeriesKey, Method] = {}
        self._last_ms = -1
        self.alarms: list[tuple[int, str]] = []

    def watch(self, window: WindowClosed) -> None:
        """Take a window; one that was seen is left out."""
        if window.start_ms <= self._last_ms:
            return
        self._last_ms = window.start_ms
        loud = []
        for point in window.points():
            if point.key.metric not in _SHOWN and math.isfinite(point.value):
                method = self._series.get(point.key)
                if method is None:
                    method = self._series[point.key] = self._make()
                if method.update(point.value):
                    loud.append(self._stages.index(point.key.stage))
        if loud:
            self.alarms.append((window.start_ms, self._stages[min(loud)]))

    def copy(self) -> Person:
        """Another one who has seen the same."""
        other = Person(self._make, self._stages[:-1])
        other._series, other._last_ms = copy.deepcopy(self._series), self._last_ms
        return other

    def incidents(self, apart_windows: int, window_ms: int) -> int:
        """How often somebody is called, if alarms that are less apart are one incident."""
        starts = [start for start, _ in self.alarms]
        return sum(
            1 for i, start in enumerate(starts) if i == 0 or start - starts[i - 1] > apart_windows * window_ms
        )
