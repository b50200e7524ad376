"""All detectors of one pipeline: points in, scores out, with the budget shared among the series."""

from __future__ import annotations

from math import fsum, isnan
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from swirl.budget import alarms_per_window
from swirl.detector import Kind, Points, Scores
from swirl.effect import SeriesKey, State
from swirl.incident.life import Anomaly
from swirl.series import Measured, SeriesTable, is_material

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from swirl.detector import Bank, Detector

__all__ = ["Judge", "Judged"]


class Judged(NamedTuple):
    """The series of one kind in one window, as a person sees them; arrays of shape ``(n,)``.

    Attributes:
        keys: in order of rows.
        numbers: value, numerator, denominator, expected, low, high, evidence; shape ``(7, n)``.
        states: :class:`State` of each.
    """

    keys: Sequence[SeriesKey]
    numbers: NDArray[np.float64]
    states: NDArray[np.uint8]


class Judge:
    """The banks of one pipeline.

    Args:
        detectors: which detectors judge a kind, in order; what the first one expects is shown.
        table: which series there are.
        false_alarms_a_week: the budget of the pipeline.
        window_ms: length of its windows.
    """

    def __init__(
        self,
        detectors: Mapping[Kind, Sequence[Detector]],
        table: SeriesTable,
        false_alarms_a_week: float,
        window_ms: int,
    ) -> None:
        self._detectors = detectors
        self.table = table
        self._a_week, self._window_ms = false_alarms_a_week, window_ms
        self._banks: dict[Kind, list[Bank]] = {}
        self._last: dict[Kind, Points] = {}
        self._refreshed_at = 0
        self.held: set[SeriesKey] = set()
        self.alarms: list[Anomaly] = []
        self.loud: set[SeriesKey] = set()

    def judge(
        self, measured: Iterable[Measured], start_ms: int, exposure_ms: int, *, whole: bool
    ) -> Iterator[Judged]:
        """Score a window, kind by kind. Afterwards ``alarms`` and ``loud`` hold what it showed."""
        self.alarms, self.loud, self._last = [], set(), {}
        arranged = self.table.arrange(measured, start_ms, self._window_ms)
        if self._refreshed_at == 0 or len(self.table) > 1.2 * self._refreshed_at:
            self.refresh()
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
        banks = self._banks_of(kind)
        keys = self.table.keys[kind]
        rows = np.arange(len(keys), dtype=np.intp)
        scores = Scores.neutral(points)
        if whole and banks:
            self._last[kind] = points
            scores = _combined([bank.score(rows, points) for bank in banks])
        numbers = _as_seen(kind, points, scores, measured, exposure_ms)
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
                self.alarms.append(Anomaly(keys[row], start_ms, since_ms, evidence, direction))

    def _note_held(self, kind: Kind, scores: Scores, states: NDArray[np.uint8]) -> None:
        for key in sorted(self.held):
            if self.table.kind(key) is kind:
                row = self.table.row(key)
                loud = bool(scores.loud[row])
                if states[row] != State.UNMEASURED:
                    states[row] = State.HELD if loud else State.CALM
                if loud:
                    self.loud.add(key)

    def _banks_of(self, kind: Kind) -> list[Bank]:
        banks = self._banks.get(kind)
        if banks is None:
            banks = self._banks[kind] = [detector.build(kind) for detector in self._detectors.get(kind, ())]
        for bank in banks:
            bank.grow(len(self.table.keys[kind]))
        return banks

    def learn(self) -> None:
        """Take the window that was judged last as normal, except for series that are held."""
        for kind, points in self._last.items():
            keys = self.table.keys[kind]
            free = (
                np.array([key not in self.held for key in keys], dtype=np.bool_)
                if self.held
                else np.ones(len(keys), np.bool_)
            )
            rows = np.flatnonzero(free)
            if len(rows) == 0:
                continue
            some = points if len(rows) == len(keys) else _select(points, rows)
            for bank in self._banks[kind]:
                bank.learn(rows, some)

    def hold(self, keys: Iterable[SeriesKey]) -> None:
        """The series are in an incident."""
        fresh = {key for key in keys if key in self.table} - self.held
        self.held |= fresh
        for kind, rows in self._rows(fresh):
            for bank in self._banks_of(kind):
                bank.hold(rows)

    def release(self, keys: Iterable[SeriesKey], *, adopt: bool, chance: bool) -> None:
        """The incident is over; see :meth:`swirl.detector.Bank.release`."""
        over = set(keys) & self.held
        self.held -= over
        for kind, rows in self._rows(over):
            for bank in self._banks_of(kind):
                bank.release(rows, adopt=adopt, chance=chance)

    def _rows(self, keys: set[SeriesKey]) -> Iterator[tuple[Kind, NDArray[np.intp]]]:
        for kind in Kind:
            rows = sorted(self.table.row(key) for key in keys if self.table.kind(key) is kind)
            if rows:
                yield kind, np.array(rows, dtype=np.intp)

    def refresh(self) -> None:
        """Set all thresholds anew. All that may raise an alarm shares the pipeline's budget evenly."""
        self._refreshed_at = max(len(self.table), 1)
        banks = [
            (bank, len(keys))
            for kind, keys in self.table.keys.items()
            if keys
            for bank in self._banks_of(kind)
        ]
        share = alarms_per_window(self._a_week, sum(size for _, size in banks), self._window_ms)
        for bank, _ in banks:
            bank.refresh(share)

    @property
    def expected_alarms(self) -> float:
        """False alarms that the limits have allowed so far."""
        return fsum(getattr(bank, "expected_alarms", 0.0) for banks in self._banks.values() for bank in banks)

    def standardised_drift(self) -> dict[str, dict[str, float]]:
        """Stage -> feature -> its drift as a z by its null law; measured ones only."""
        found: dict[str, dict[str, float]] = {}
        keys = self.table.keys[Kind.DISTRIBUTION]
        for bank in self._banks.get(Kind.DISTRIBUTION, []):
            z = getattr(bank, "z", None)
            if z is not None and Kind.DISTRIBUTION in self._last:
                for key, value in zip(keys, np.asarray(z).tolist(), strict=False):
                    if key.metric == "drift" and not isnan(value):
                        found.setdefault(key.stage, {})[key.label] = value
        return found

    def snapshot(self) -> dict[str, Any]:
        """Of types that MessagePack knows."""
        return {
            "series": [[kind.value, [list(key) for key in keys]] for kind, keys in self.table.keys.items()],
            "refused": self.table.refused,
            "banks": [
                [kind.value, [bank.snapshot() for bank in banks]] for kind, banks in self._banks.items()
            ],
            "held": [list(key) for key in sorted(self.held)],
            "refreshed": self._refreshed_at,
        }

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take what ``snapshot`` gave."""
        for kind, keys in data["series"]:
            for key in keys:
                self.table.add(SeriesKey(*key), Kind(kind))
        self.table.refused = data["refused"]
        for name, states in data["banks"]:
            kind = Kind(name)
            built = self._detectors.get(kind, ())
            self._banks[kind] = [
                detector.build(kind, state) for detector, state in zip(built, states, strict=True)
            ]
        self.held = {key for held in data["held"] if (key := SeriesKey(*held)) in self.table}
        self._refreshed_at = data["refreshed"]


def _select(points: Points, rows: NDArray[np.intp]) -> Points:
    samples = [points.samples[row] for row in rows.tolist()] if points.samples else ()
    return Points(points.start_ms, points.window_ms, points.value[rows], points.weight[rows], samples)


def _combined(scores: Sequence[Scores]) -> Scores:
    """Several detectors of one kind: any of them may raise the alarm, so the nearest limits are shown."""
    first = scores[0]
    if len(scores) == 1:
        return first
    low, high = first.low, first.high
    evidence, alarm, loud, accumulated, since = (
        first.evidence,
        first.alarm,
        first.loud,
        first.accumulated,
        first.since_ms,
    )
    for other in scores[1:]:
        louder = other.evidence > evidence
        low, high = np.fmax(low, other.low), np.fmin(high, other.high)
        since = np.where(louder, other.since_ms, since)
        accumulated = np.where(louder, other.accumulated, accumulated)
        evidence, alarm, loud = np.maximum(evidence, other.evidence), alarm | other.alarm, loud | other.loud
    return Scores(
        first.value,
        evidence,
        first.expected,
        low,
        high,
        alarm,
        loud,
        accumulated,
        since,
        first.learning,
    )


def _as_seen(
    kind: Kind, points: Points, scores: Scores, measured: Sequence[Measured | None], exposure_ms: int
) -> NDArray[np.float64]:
    """The columns that people see: rates per second, levels in their own unit."""
    n = len(points.value)
    numbers = np.full((7, n), np.nan)
    shown = np.stack([scores.value, scores.expected, scores.low, scores.high])
    if kind is Kind.RATE:
        per_second = 1000.0 / max(exposure_ms, 1)
        shown *= per_second
        numbers[1], numbers[2] = points.value, exposure_ms / 1000.0
    elif kind is Kind.RATIO:
        numbers[1], numbers[2] = points.value, points.weight
        with np.errstate(divide="ignore", invalid="ignore"):
            shown[0] = np.where(points.weight > 0, points.value / points.weight, np.nan)
    elif kind is Kind.LEVEL:
        scale = np.array([1.0 if m is None else m.scale for m in measured])
        rate = np.array([0.0 if m is None else m.rate for m in measured])
        if rate.any():
            curved = rate != 0
            with np.errstate(over="ignore"):
                shown = np.where(curved, scale * np.exp(np.where(curved, rate, 0.0) * shown), scale * shown)
    numbers[0], numbers[3:6], numbers[6] = shown[0], shown[1:], scores.evidence
    return numbers
