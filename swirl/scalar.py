"""A detector for one series, put into a bank.

Write a class with ``score(point)`` and ``learn(point)``; the library gives it rows, warm-up, holding,
snapshots and the false-alarm budget. Ten lines of yours judge as well as a bank of arrays, only slower.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from swirl.detector import Kind, Points, Rows, Scores, restoring

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl.sketch import Distribution

__all__ = ["Point", "SeriesBank", "SeriesDetector"]

_VERSION = 1
_FIRST_SHARE = 5e-6
_EXTRA = 12.0


@dataclass(frozen=True, slots=True)
class Point:
    """One series in one window; see :class:`swirl.detector.Points`.

    Attributes:
        start_ms, window_ms: event time.
        value: count, numerator or value; never NaN.
        weight: denominator of a ratio, above 0; otherwise 1.
        sample: of a distribution.
    """

    start_ms: int
    window_ms: int
    value: float
    weight: float = 1.0
    sample: Distribution | dict[str, int] | None = None

    @property
    def shown(self) -> float:
        """What a person calls the value: the ratio, or the value itself."""
        return self.value / self.weight


class SeriesDetector(Protocol):
    """A detector for one series. Its attributes are its state: numbers, strings, lists, dicts, bytes."""

    def score(self, point: Point) -> float:
        """How surprising the point is, in nats: minus the logarithm of its probability.

        Called once a window, before :meth:`learn`. NaN or below 0 is taken as no surprise.
        """
        ...

    def learn(self, point: Point) -> None:
        """Take the point as normal."""
        ...


class SeriesBank:
    """A bank of one detector object per series.

    An alarm is a surprise with a probability below the series' share of the budget; before the warm-up is
    over it takes 12 nats more.

    Args:
        kind: of the series.
        factory: makes the detector of a new series.
        warm_up: points before which only overwhelming evidence raises an alarm.

    Example:
        >>> class Novelty:
        ...     "Laplace's rule of succession: how probable is a new record?"
        ...     def __init__(self) -> None:
        ...         self.points, self.highest = 0, 0.0
        ...     def score(self, point: Point) -> float:
        ...         return float(np.log(self.points + 2)) if point.value > self.highest else 0.0
        ...     def learn(self, point: Point) -> None:
        ...         self.points, self.highest = self.points + 1, max(self.highest, point.value)
        >>> bank = SeriesBank(Kind.LEVEL, Novelty, warm_up=10)
        >>> bank.grow(1)
        >>> bank.refresh(0.01)
        >>> row, one = np.arange(1), np.ones(1)
        >>> for window, value in enumerate([5.0] * 200 + [6.0]):
        ...     points = Points(window * 1000, 1000, np.array([value]), one)
        ...     scores = bank.score(row, points)
        ...     bank.learn(row, points)
        >>> scores.alarm, scores.evidence.round(2)
        (array([ True]), array([1.15]))
    """

    def __init__(self, kind: Kind, factory: Callable[[], SeriesDetector], warm_up: int = 60) -> None:
        self.kind = kind
        self.expected_alarms = 0.0
        self._factory = factory
        self._warm_up = warm_up
        self._share = _FIRST_SHARE
        self._detectors: list[SeriesDetector] = []
        self._points: list[int] = []
        self._held: set[int] = set()
        self._alarmed: set[int] = set()

    def grow(self, size: int) -> None:
        """Make room: rows ``0 .. size - 1`` exist from now on. Never shrinks."""
        while len(self._detectors) < size:
            self._detectors.append(self._factory())
            self._points.append(0)

    def _point(self, points: Points, at: int) -> Point | None:
        value, weight = float(points.value[at]), float(points.weight[at])
        sample = points.samples[at] if self.kind is Kind.DISTRIBUTION else None
        if self.kind is Kind.DISTRIBUTION:
            return Point(points.start_ms, points.window_ms, 0.0, 1.0, sample) if sample is not None else None
        if not np.isfinite(value) or (self.kind is not Kind.LEVEL and value < 0):
            return None
        if self.kind is Kind.RATIO and not value <= weight < np.inf:
            return None
        if self.kind is not Kind.RATIO:
            weight = 1.0
        return Point(points.start_ms, points.window_ms, value, weight) if weight > 0 else None

    def score(self, rows: Rows, points: Points) -> Scores:
        """Judge the points by what was learnt before them."""
        none = Scores.neutral(points)
        value, evidence = np.full(len(rows), np.nan), none.evidence.copy()
        alarm, loud, learning = none.alarm.copy(), none.loud.copy(), none.learning.copy()
        limit = -float(np.log(self._share))
        self._alarmed.clear()
        for at, row in enumerate(rows.tolist()):
            point = self._point(points, at)
            learning[at] = self._points[row] < self._warm_up
            if point is None:
                continue
            value[at] = point.shown
            nats = self._detectors[row].score(point)
            needed = limit + (_EXTRA if learning[at] else 0.0)
            evidence[at] = nats / needed if nats > 0 else 0.0
            if row in self._held:
                loud[at] = nats > limit / 2
            elif nats > needed:
                alarm[at] = True
                self._alarmed.add(row)
        return Scores(
            value,
            evidence,
            none.expected,
            none.low,
            none.high,
            alarm,
            loud,
            none.accumulated,
            none.since_ms,
            learning,
        )

    def learn(self, rows: Rows, points: Points) -> None:
        """Take the points that were scored last as normal; those that raised an alarm are left out."""
        for at, row in enumerate(rows.tolist()):
            point = self._point(points, at)
            if point is not None and row not in self._alarmed:
                self._detectors[row].learn(point)
                self._points[row] += 1
                self.expected_alarms += self._share if self._points[row] >= self._warm_up else 0.0

    def hold(self, rows: Rows) -> None:
        """The rows are in an incident: they raise no alarm, and are ``loud`` while far from normal."""
        self._held.update(rows.tolist())

    def release(self, rows: Rows, *, adopt: bool = False, chance: bool = False) -> None:  # noqa: ARG002 - it has no tails
        """The incident is over. With ``adopt`` the rows begin anew."""
        for row in rows.tolist():
            self._held.discard(row)
            if adopt:
                self._detectors[row], self._points[row] = self._factory(), 0

    def refresh(self, alarms_per_window: float) -> None:
        """Set the threshold.

        Args:
            alarms_per_window: false alarms allowed per series and window, above 0.
        """
        self._share = max(alarms_per_window, 1e-300)

    def snapshot(self) -> dict[str, Any]:
        """All state between two windows: the attributes of each detector."""
        return {
            "version": _VERSION,
            "kind": self.kind.value,
            "share": self._share,
            "expected_alarms": self.expected_alarms,
            "points": list(self._points),
            "held": sorted(self._held),
            "detectors": [_plain(vars(detector)) for detector in self._detectors],
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over the state of a bank of the same kind.

        Raises:
            SnapshotError: the snapshot is of another version or kind, or damaged.
        """
        with restoring(snapshot, _VERSION, self.kind):
            self.grow(len(snapshot["detectors"]))
            for detector, state in zip(self._detectors, snapshot["detectors"], strict=True):
                vars(detector).update(copy.deepcopy(state))
            self._points, self._held = list(snapshot["points"]), set(snapshot["held"])
            self._share, self.expected_alarms = float(snapshot["share"]), float(snapshot["expected_alarms"])


def _plain(value: Any) -> Any:
    """A copy of types that MessagePack knows: a detector that somebody wrote may hold numpy's numbers."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return _plain(value.tolist())
    return value
