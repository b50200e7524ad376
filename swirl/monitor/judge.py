"""All detectors of one pipeline asked for one window after the other: points in, scores and alarms out."""

from __future__ import annotations

from math import isfinite, isnan, nan
from typing import TYPE_CHECKING, Any

import numpy as np

from swirl.detector import Kind, Points, Scores
from swirl.effect import SeriesKey, State
from swirl.incident.life import Anomaly
from swirl.monitor.seats import combined
from swirl.monitor.seen import Judged, as_seen
from swirl.series import Measured, is_material

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from swirl.frame import Definition
    from swirl.monitor.seating import Seating

__all__ = ["SKEW", "Judge"]

SKEW = "train/serve skew"
"""The words of an incident in which data are unlike the reference that was given for them."""


class Judge:
    """The detectors of one pipeline.

    Args:
        seating: who judges which series; of several detectors, what the first one expects is shown.

    Attributes:
        seating: who judges which series.
        table: which series there are.
        alarms: of the window that was judged last.
        loud: series in an incident that were strange in it, too.
    """

    def __init__(self, seating: Seating) -> None:
        self.seating, self.table = seating, seating.table
        self.alarms: list[Anomaly] = []
        self.loud: set[SeriesKey] = set()
        self._last: dict[Kind, Points] = {}

    def judge(
        self, measured: Iterable[Measured], start_ms: int, exposure_ms: int, *, whole: bool
    ) -> Iterator[Judged]:
        """Score a window, kind by kind. Afterwards ``alarms`` and ``loud`` hold what it showed."""
        self.alarms, self.loud, self._last = [], set(), {}
        arranged = self.table.arrange(measured, start_ms, self.seating.window_ms)
        for kind in arranged:
            self.seating.seat_newcomers(kind)
        self.seating.refresh_if_grown()
        for kind, (points, rows) in arranged.items():
            yield self._judge(kind, points, rows, exposure_ms, whole=whole)

    def _judge(
        self,
        kind: Kind,
        points: Points,
        measured: Sequence[Measured | None],
        exposure_ms: int,
        *,
        whole: bool,
    ) -> Judged:
        keys = self.table.keys[kind]
        scores = Scores.neutral(points)
        seats = self.seating.of(kind)
        if whole and seats:
            self._last[kind] = points
            scores = combined(points, [seat.score(points) for seat in seats])
        numbers = as_seen(kind, points, scores, measured, exposure_ms)
        states = np.where(scores.learning, State.LEARNING, State.NORMAL).astype(np.uint8)
        states[np.isnan(numbers[0])] = State.UNMEASURED
        if not whole:
            states[:] = State.UNMEASURED
        self._note_alarms(points.start_ms, keys, scores, numbers, states)
        self._note_held(kind, scores, states)
        return Judged(tuple(keys), numbers, states)

    def _note_alarms(
        self,
        start_ms: int,
        keys: Sequence[SeriesKey],
        scores: Scores,
        numbers: NDArray[np.float64],
        states: NDArray[np.uint8],
    ) -> None:
        for row in np.flatnonzero(scores.alarm).tolist():
            value, expected = float(numbers[0, row]), float(numbers[3, row])
            if is_material(keys[row], value, expected, accumulated=bool(scores.accumulated[row])):
                states[row] = State.ANOMALY
                direction = -1 if value < expected else 1
                since_ms, evidence = int(scores.since_ms[row]), float(scores.evidence[row])
                said = self._skew(keys[row], value)
                self.alarms.append(Anomaly(keys[row], start_ms, since_ms, evidence, direction, said))

    def _skew(self, key: SeriesKey, value: float) -> tuple[str, str]:
        """What is said of a series that is unlike the reference that was given for it."""
        if not self.seating.given.counts(key):
            return "", ""
        what = key.label or "what it predicts"
        return SKEW, f"{what} is not distributed as in its reference (distance {value:.2g})"

    def _note_held(self, kind: Kind, scores: Scores, states: NDArray[np.uint8]) -> None:
        for key in sorted(self.seating.held):
            if self.table.kind(key) is kind:
                row = self.table.row(key)
                loud = bool(scores.loud[row])
                if states[row] != State.UNMEASURED:
                    states[row] = State.HELD if loud else State.CALM
                if loud:
                    self.loud.add(key)

    def learn(self) -> Iterator[tuple[Kind, Points, NDArray[np.bool_]]]:
        """Take the window that was judged last as normal, except for series that are held.

        Yields:
            What was learnt: kind, points of all rows, and which of them are held.
        """
        for kind, points in self._last.items():
            held = np.zeros(len(points.value), dtype=np.bool_)
            held[[self.table.row(key) for key in self.seating.held if self.table.kind(key) is kind]] = True
            for seat in self.seating.of(kind):
                seat.learn(points, held)
            yield kind, points, held

    # -- what the detectors know beside

    def standardised_drift(self) -> dict[str, dict[str, float]]:
        """Stage -> feature -> its drift as a z by its null law; measured ones only."""
        found: dict[str, dict[str, float]] = {}
        if Kind.DISTRIBUTION not in self._last:
            return found
        keys = self.table.keys[Kind.DISTRIBUTION]
        for seat in self.seating.of(Kind.DISTRIBUTION):
            for row in seat.rows:
                value = seat.deviate(row)
                if keys[row].metric == "drift" and not isnan(value):
                    found.setdefault(keys[row].stage, {})[keys[row].label] = value
        return found

    def forecasts(self, start_ms: int) -> dict[str, tuple[float, float]]:
        """Source -> records that its level and season make of a window, and their standard deviation."""
        found: dict[str, tuple[float, float]] = {}
        for row, key in enumerate(self.table.keys[Kind.RATE]):
            for seat in self.seating.of(Kind.RATE):
                expected, sd = nan, nan
                if row in seat and key.stage not in found:
                    expected, sd = seat.forecast(row, start_ms, self.seating.window_ms)
                if isfinite(expected) and isfinite(sd):
                    found[key.stage] = expected, sd
        return found

    def moved(self) -> dict[str, dict[str, list[tuple[str, float, float]]]]:
        """Stage -> feature -> what moved in it, of features that raised an alarm or are loud."""
        found: dict[str, dict[str, list[tuple[str, float, float]]]] = {}
        for key in sorted({alarm.key for alarm in self.alarms} | self.loud):
            if self.table.kind(key) is not Kind.DISTRIBUTION:
                continue
            row = self.table.row(key)
            for seat in self.seating.of(Kind.DISTRIBUTION):
                told = seat.moved(row) if row in seat else []
                if told:
                    found.setdefault(key.stage, {})[key.label] = told
        return found

    # -- state

    def snapshot(self) -> dict[str, Any]:
        """Of types that MessagePack knows."""
        return {
            "series": [[kind.value, [list(key) for key in keys]] for kind, keys in self.table.keys.items()],
            "refused": self.table.refused,
            **self.seating.snapshot(),
        }

    def restore(self, data: Mapping[str, Any], definition: Definition | None = None) -> None:
        """Take what ``snapshot`` gave.

        Args:
            data: the snapshot.
            definition: of the pipeline, as it was then.
        """
        for kind, keys in data["series"]:
            for key in keys:
                self.table.add(SeriesKey(*key), Kind(kind))
        self.table.refused = data["refused"]
        self.seating.restore(data, definition)
