"""Windows that are complete, and the series in them, point by point."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from swirl.effect.health import Health, Totals  # noqa: TC001 - msgspec reads the annotations
from swirl.frame import Definition  # noqa: TC001 - as above

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["COLUMNS", "SeriesKey", "SeriesPoint", "State", "WindowClosed"]


class SeriesKey(NamedTuple):
    """Names a series within its pipeline.

    Attributes:
        stage: the stage, or ``""`` for a ratio across stages.
        metric: ``records``, ``invalid_ratio``, ``prediction_ratio``, ``latency_p95``, ...
        label: the prediction's label, the feature or the custom metric; ``""`` where there is none.
    """

    stage: str
    metric: str
    label: str = ""


class State(IntEnum):
    """How a series stands in a window."""

    UNMEASURED = 0
    """Nothing was measured, or the window was not whole."""
    LEARNING = 1
    NORMAL = 2
    ANOMALY = 3
    """This point raised an alarm."""
    HELD = 4
    """In an incident and still far from normal."""
    CALM = 5
    """In an incident, back within its limits."""


COLUMNS = ("value", "numerator", "denominator", "expected", "low", "high", "evidence")
"""The rows of :attr:`WindowClosed.numbers`."""


class SeriesPoint(NamedTuple):
    """One series in one window, for people and exporters. Rates are per second, NaN is "not known"."""

    key: SeriesKey
    value: float
    numerator: float
    denominator: float
    expected: float
    low: float
    high: float
    evidence: float
    state: State


class WindowClosed(msgspec.Struct, frozen=True, tag="window"):
    """A window is complete (revision 0), or late records have changed it (1, 2, ...).

    Attributes:
        pipeline: its name.
        start_ms: event time; the window is ``[start_ms, start_ms + window_ms)``.
        window_ms: its length.
        revision: see above. Revised windows are shown, never judged again.
        exposure_ms: how much of the window was covered by emitters.
        whole: it was covered to its full length, so its points were judged.
        keys: the series, in the order of the columns.
        numbers: 64-bit floats, shape ``(len(COLUMNS), len(keys))``, as bytes.
        states: one :class:`State` a series, as bytes.
        definition: the stage graph.
        versions: stage -> versions seen in this window, by records, most first.
        totals: stage -> version -> totals.
        latency: stage -> (median, 0.95 and 0.99 quantile) of this window, seconds.
        health: of the monitoring itself.
    """

    pipeline: str
    start_ms: int
    window_ms: int
    revision: int
    exposure_ms: int
    whole: bool
    keys: tuple[SeriesKey, ...]
    numbers: bytes
    states: bytes
    definition: Definition
    versions: dict[str, tuple[str, ...]]
    totals: dict[str, dict[str, Totals]]
    latency: dict[str, tuple[float, float, float]]
    health: Health

    @property
    def identity(self) -> str:
        """The same for the same window and revision."""
        return f"{self.pipeline}/{self.start_ms}/{self.revision}"

    @property
    def end_ms(self) -> int:
        """First millisecond after the window."""
        return self.start_ms + self.window_ms

    def column(self, name: str) -> NDArray[np.float64]:
        """One of :data:`COLUMNS`, shape ``(len(keys),)``."""
        n = len(self.keys)
        return np.frombuffer(self.numbers, dtype=np.float64, count=n, offset=COLUMNS.index(name) * n * 8)

    def points(self) -> Iterator[SeriesPoint]:
        """The series one by one."""
        table = np.frombuffer(self.numbers, dtype=np.float64).reshape(len(COLUMNS), -1).T.tolist()
        for key, row, state in zip(self.keys, table, self.states, strict=True):
            yield SeriesPoint._make((key, *row, State(state)))

    def point(self, stage: str, metric: str, label: str = "") -> SeriesPoint | None:
        """The point of one series, None where there is none."""
        return next((p for p in self.points() if p.key == (stage, metric, label)), None)
