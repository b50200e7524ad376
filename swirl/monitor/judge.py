"""All detectors of one pipeline: points in, scores out, with the budget shared among the series."""

from __future__ import annotations

from itertools import chain
from math import fsum, isfinite, isnan, nan
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from swirl.budget import alarms_per_window
from swirl.detector import Kind, Points, Scores
from swirl.effect import SeriesKey, State
from swirl.incident.life import Anomaly
from swirl.monitor.choice import Choice
from swirl.monitor.references import references
from swirl.monitor.seats import Seat, combined
from swirl.series import Measured, SeriesTable, is_material

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from swirl.detector import Detector
    from swirl.frame import Definition
    from swirl.monitor.references import Reference

__all__ = ["SKEW", "Judge", "Judged"]

SKEW = "train/serve skew"
"""The words of an incident in which data are unlike the reference that was given for them."""


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
        warm_up: windows, for detectors that a user names without saying how many.
    """

    def __init__(
        self,
        detectors: Mapping[Kind, Sequence[Detector]],
        table: SeriesTable,
        false_alarms_a_week: float,
        window_ms: int,
        warm_up: int = 60,
    ) -> None:
        self._choice = Choice(detectors, warm_up)
        self.table = table
        self._a_week, self._window_ms = false_alarms_a_week, window_ms
        self._seats: dict[Kind, list[Seat]] = {kind: [] for kind in Kind}
        self._seated: dict[Kind, int] = dict.fromkeys(Kind, 0)
        """Distributions that count labels."""
        self._references: dict[SeriesKey, Reference] = {}
        self._referred: dict[SeriesKey, bytes] = {}
        self._outlived: set[SeriesKey] = set()
        """Series whose reference is not their baseline any more."""
        self._last: dict[Kind, Points] = {}
        self._refreshed_at = 0
        self._share = alarms_per_window(false_alarms_a_week, 1, window_ms)
        self._postponed: set[SeriesKey] = set()
        """Series in an incident that shall be judged by other detectors when it is over."""
        self.held: set[SeriesKey] = set()
        self.alarms: list[Anomaly] = []
        self.loud: set[SeriesKey] = set()
        self.unreadable = 0
        """Baselines in the definition that could not be read."""

    # -- who judges what

    def define(self, definition: Definition) -> None:
        """Take over which detectors and which baselines the stages want."""
        self._references, self.unreadable = references(definition)
        for key in [key for key in self._referred if key not in self._references]:
            self._forget_reference(key)
        if self._choice.define(definition):
            for kind, seated in self._seated.items():
                for row in range(seated):
                    # Who is in an incident is judged to its end by those who know what was normal.
                    if self.table.keys[kind][row] in self.held:
                        self._postponed.add(self.table.keys[kind][row])
                    else:
                        self._seat(kind, row)
                self._seats[kind] = [seat for seat in self._seats[kind] if seat.size]
        for key in self._references:
            if key in self.table and self.table.row(key) < self._seated[self.table.kind(key)]:
                self._refer(key)

    def _seat(self, kind: Kind, row: int) -> None:
        """Give a series to the detectors that shall judge it, and to no others."""
        key = self.table.keys[kind][row]
        wanted = self._choice.of(key.stage, key.metric, kind)
        seats = self._seats[kind]
        for detector in wanted:
            if not any(seat.detector == detector for seat in seats):
                seats.append(Seat(detector, kind, self._renew))
        for seat in seats:
            if seat.detector not in wanted:
                if row in seat:
                    seat.dismiss(row)
            elif row not in seat:
                seat.admit(row)
                if self._is_referred(key):
                    seat.refer(row, self._references[key].sample)

    def _renew(self, seat: Seat) -> None:
        """Tell a bank that has begun anew what the one before it was told."""
        keys = self.table.keys[seat.kind]
        for row in seat.rows:
            if self._is_referred(keys[row]):
                seat.refer(row, self._references[keys[row]].sample)
        seat.hold([row for row in seat.rows if keys[row] in self.held])
        seat.refresh(self._share)

    def _seat_newcomers(self, kind: Kind) -> None:
        for row in range(self._seated[kind], len(self.table.keys[kind])):
            key = self.table.keys[kind][row]
            self._seat(kind, row)
            self._seated[kind] = row + 1
            if key in self._references:
                self._refer(key)

    # -- baselines that were given

    def _is_referred(self, key: SeriesKey) -> bool:
        """Whether its baseline is the one that was given."""
        return key in self._references and key in self._referred and key not in self._outlived

    def _refer(self, key: SeriesKey) -> None:
        """Hand the baseline of a series over, once."""
        reference = self._references[key]
        known = key in self._referred
        if known and self._referred[key] == reference.digest:
            return
        if known:
            self._forget_reference(key)
        self._referred[key] = reference.digest
        row = self.table.row(key)
        for seat in self._seats[self.table.kind(key)]:
            if row in seat:
                seat.refer(row, reference.sample)

    def _forget_reference(self, key: SeriesKey) -> None:
        """Its baseline is learnt again, or another one is given."""
        del self._referred[key]
        self._outlived.discard(key)
        if key in self.table:
            row = self.table.row(key)
            for seat in self._seats[self.table.kind(key)]:
                seat.release([row], adopt=True)
                seat.hold([row] if key in self.held else [])

    @property
    def unknown_detectors(self) -> tuple[str, ...]:
        """Names that stages asked for and nobody has, or with options that they do not have."""
        return self._choice.unknown

    @property
    def failures(self) -> dict[str, int]:
        """Errors that detectors raised, by their name."""
        found: dict[str, int] = {}
        for seat in chain.from_iterable(self._seats.values()):
            if seat.failures:
                found[seat.detector.name] = found.get(seat.detector.name, 0) + seat.failures
        return found

    # -- windows

    def judge(
        self, measured: Iterable[Measured], start_ms: int, exposure_ms: int, *, whole: bool
    ) -> Iterator[Judged]:
        """Score a window, kind by kind. Afterwards ``alarms`` and ``loud`` hold what it showed."""
        self.alarms, self.loud, self._last = [], set(), {}
        arranged = self.table.arrange(measured, start_ms, self._window_ms)
        for kind in arranged:
            self._seat_newcomers(kind)
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
        keys = self.table.keys[kind]
        scores = Scores.neutral(points)
        seats = [seat for seat in self._seats[kind] if seat.size]
        if whole and seats:
            self._last[kind] = points
            scores = combined(points, [seat.score(points) for seat in seats])
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
                said = self._skew(keys[row], value)
                self.alarms.append(Anomaly(keys[row], start_ms, since_ms, evidence, direction, said))

    def _skew(self, key: SeriesKey, value: float) -> tuple[str, str]:
        """What is said of a series that is unlike the reference that was given for it."""
        if key not in self._referred or key in self._outlived:
            return "", ""
        what = key.label or "what it predicts"
        return SKEW, f"{what} is not distributed as in its reference (distance {value:.2g})"

    def _note_held(self, kind: Kind, scores: Scores, states: NDArray[np.uint8]) -> None:
        for key in sorted(self.held):
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
            held[[self.table.row(key) for key in self.held if self.table.kind(key) is kind]] = True
            for seat in self._seats[kind]:
                if seat.size:
                    seat.learn(points, held)
            yield kind, points, held

    def hold(self, keys: Iterable[SeriesKey]) -> None:
        """The series are in an incident."""
        fresh = {key for key in keys if key in self.table} - self.held
        self.held |= fresh
        for seat, rows in self._rows(fresh):
            seat.hold(rows)

    def release(self, keys: Iterable[SeriesKey], *, adopt: bool, chance: bool) -> None:
        """The incident is over; see :meth:`swirl.detector.Bank.release`."""
        over = set(keys) & self.held
        self.held -= over
        for seat, rows in self._rows(over):
            seat.release(rows, adopt=adopt, chance=chance)
        for key in sorted(over & self._postponed):
            self._seat(self.table.kind(key), self.table.row(key))
        self._postponed -= over
        if adopt:
            # What was given as the baseline is not the new normal; it counts again when another is given.
            self._outlived |= over & self._referred.keys()

    def _rows(self, keys: set[SeriesKey]) -> Iterator[tuple[Seat, list[int]]]:
        for kind, seats in self._seats.items():
            rows = [self.table.row(key) for key in sorted(keys) if self.table.kind(key) is kind]
            for seat in seats if rows else ():
                yield seat, rows

    def refresh(self) -> None:
        """Set all thresholds anew. All that may raise an alarm shares the pipeline's budget evenly."""
        self._refreshed_at = max(len(self.table), 1)
        seats = [seat for seat in chain.from_iterable(self._seats.values()) if seat.size]
        self._share = alarms_per_window(self._a_week, sum(seat.size for seat in seats), self._window_ms)
        for seat in seats:
            seat.refresh(self._share)

    @property
    def expected_alarms(self) -> float:
        """False alarms that the limits have allowed so far."""
        return fsum(
            getattr(seat.bank, "expected_alarms", 0.0) for seat in chain.from_iterable(self._seats.values())
        )

    def standardised_drift(self) -> dict[str, dict[str, float]]:
        """Stage -> feature -> its drift as a z by its null law; measured ones only."""
        found: dict[str, dict[str, float]] = {}
        if Kind.DISTRIBUTION not in self._last:
            return found
        keys = self.table.keys[Kind.DISTRIBUTION]
        for seat in self._seats[Kind.DISTRIBUTION]:
            for row in seat.rows:
                value = seat.deviate(row)
                if keys[row].metric == "drift" and not isnan(value):
                    found.setdefault(keys[row].stage, {})[keys[row].label] = value
        return found

    def forecasts(self, start_ms: int) -> dict[str, tuple[float, float]]:
        """Source -> records that its level and season make of a window, and their standard deviation."""
        found: dict[str, tuple[float, float]] = {}
        for row, key in enumerate(self.table.keys[Kind.RATE][: self._seated[Kind.RATE]]):
            for seat in self._seats[Kind.RATE]:
                expected, sd = nan, nan
                if row in seat and key.stage not in found:
                    expected, sd = seat.forecast(row, start_ms, self._window_ms)
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
            for seat in self._seats[Kind.DISTRIBUTION]:
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
            "seated": [[kind.value, seated] for kind, seated in self._seated.items()],
            "seats": [
                [kind.value, [seat.snapshot() for seat in seats]] for kind, seats in self._seats.items()
            ],
            "referred": [[list(key), digest] for key, digest in self._referred.items()],
            "outlived": [list(key) for key in sorted(self._outlived)],
            "held": [list(key) for key in sorted(self.held)],
            "postponed": [list(key) for key in sorted(self._postponed)],
            "share": self._share,
            "refreshed": self._refreshed_at,
        }

    def restore(self, data: Mapping[str, Any], definition: Definition | None = None) -> None:
        """Take what ``snapshot`` gave.

        Args:
            data: the snapshot.
            definition: of the pipeline, as it was then.
        """
        if definition is not None:
            self._choice.define(definition)
            self._references, self.unreadable = references(definition)
        for kind, keys in data["series"]:
            for key in keys:
                self.table.add(SeriesKey(*key), Kind(kind))
        self.table.refused = data["refused"]
        self._referred = {SeriesKey(*key): digest for key, digest in data["referred"]}
        self._outlived = {SeriesKey(*key) for key in data["outlived"]}
        self._seated = {Kind(kind): min(n, len(self.table.keys[Kind(kind)])) for kind, n in data["seated"]}
        self.held = {key for held in data["held"] if (key := SeriesKey(*held)) in self.table}
        for name, seats in data["seats"]:
            self._restore_seats(Kind(name), seats)
        self._postponed = {SeriesKey(*key) for key in data["postponed"]} & self.held
        self._share = float(data["share"])
        self._refreshed_at = data["refreshed"]

    def _restore_seats(self, kind: Kind, saved: Sequence[Mapping[str, Any]]) -> None:
        """Seats of detectors that are still wanted, in their order; the others' series find new ones."""
        waiting = list(self._choice.all_of(kind))
        self._seats[kind] = []
        for state in saved:
            found = _configured_alike(state, waiting, saved)
            if found is not None:
                waiting.remove(found)
                seat = Seat(found, kind, self._renew, state)
                for row in seat.rows:
                    if row >= len(self.table.keys[kind]):
                        seat.dismiss(row)
                self._seats[kind].append(seat)
        if len(self._seats[kind]) < len(saved) or waiting:
            for row in range(self._seated[kind]):
                if self.table.keys[kind][row] not in self.held:
                    self._seat(kind, row)


def _configured_alike(
    state: Mapping[str, Any], waiting: Sequence[Detector], saved: Sequence[Mapping[str, Any]]
) -> Detector | None:
    """The detector whose state it is: of the same options, or the only one of its name."""
    exact = [d for d in waiting if repr(d) == state["configuration"]]
    named = [d for d in waiting if d.name == state["name"]]
    alone = len(named) == 1 and sum(other["name"] == state["name"] for other in saved) == 1
    return exact[0] if exact else named[0] if alone else None


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
    elif kind in (Kind.LEVEL, Kind.POSITIVE):
        scale = np.array([1.0 if m is None else m.scale for m in measured])
        rate = np.array([0.0 if m is None else m.rate for m in measured])
        curved = rate != 0
        with np.errstate(over="ignore"):
            shown = np.where(curved, scale * np.exp(np.where(curved, rate, 0.0) * shown), scale * shown)
    numbers[0], numbers[3:6], numbers[6] = shown[0], shown[1:], scores.evidence
    return numbers
