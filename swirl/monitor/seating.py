"""Who judges what: the series of one pipeline and their detectors, which share its budget."""

from __future__ import annotations

from itertools import chain
from math import fsum
from typing import TYPE_CHECKING, Any

from swirl.budget import alarms_per_window
from swirl.detector import Kind
from swirl.effect import SeriesKey
from swirl.monitor.choice import Choice
from swirl.monitor.references import Given
from swirl.monitor.seats import Seat

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from swirl.detector import Detector
    from swirl.frame import Definition
    from swirl.series import SeriesTable

__all__ = ["Seating"]


class Seating:
    """The seats of one pipeline.

    Args:
        detectors: which detectors judge a kind, in order.
        table: which series there are.
        false_alarms_a_week: the budget of the pipeline.
        window_ms: length of its windows.
        warm_up: windows, for detectors that a user names without saying how many.

    Attributes:
        table: which series there are.
        window_ms: length of the windows.
        given: the baselines that came with the definition.
        held: series that are in an incident.
    """

    def __init__(
        self,
        detectors: Mapping[Kind, Sequence[Detector]],
        table: SeriesTable,
        false_alarms_a_week: float,
        window_ms: int,
        warm_up: int = 60,
    ) -> None:
        self.given = Given()
        self.held: set[SeriesKey] = set()
        self._choice = Choice(detectors, warm_up)
        self.table, self.window_ms = table, window_ms
        self._a_week = false_alarms_a_week
        self._seats: dict[Kind, list[Seat]] = {kind: [] for kind in Kind}
        self._seated: dict[Kind, int] = dict.fromkeys(Kind, 0)
        self._refreshed_at = 0
        self._share = alarms_per_window(false_alarms_a_week, 1, window_ms)
        self._postponed: set[SeriesKey] = set()
        """Series in an incident that shall be judged by other detectors when it is over."""

    def of(self, kind: Kind) -> list[Seat]:
        """The seats of a kind that judge anything."""
        return [seat for seat in self._seats[kind] if seat.size]

    # -- detectors

    def define(self, definition: Definition) -> None:
        """Take over which detectors and which baselines the stages want."""
        self.given.define(definition)
        for key in self.given.withdrawn:
            self._learn_again(key)
        if self._choice.define(definition):
            for kind, seated in self._seated.items():
                for row in range(seated):
                    # Who is in an incident is judged to its end by those who know what was normal.
                    if self.table.keys[kind][row] in self.held:
                        self._postponed.add(self.table.keys[kind][row])
                    else:
                        self._seat(kind, row)
                self._seats[kind] = self.of(kind)
        for key in self.given:
            if key in self.table and self.table.row(key) < self._seated[self.table.kind(key)]:
                self._refer(key)

    def seat_newcomers(self, kind: Kind) -> None:
        """Give the series that the table has got since to the detectors that shall judge them."""
        for row in range(self._seated[kind], len(self.table.keys[kind])):
            key = self.table.keys[kind][row]
            self._seat(kind, row)
            self._seated[kind] = row + 1
            if key in self.given:
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
                if (sample := self.given.sample(key)) is not None:
                    seat.refer(row, sample)

    def _renew(self, seat: Seat) -> None:
        """Tell a bank that has begun anew what the one before it was told."""
        keys = self.table.keys[seat.kind]
        for row in seat.rows:
            if (sample := self.given.sample(keys[row])) is not None:
                seat.refer(row, sample)
        seat.hold([row for row in seat.rows if keys[row] in self.held])
        seat.refresh(self._share)

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

    # -- baselines that were given

    def _refer(self, key: SeriesKey) -> None:
        """Hand the baseline of a series over, once."""
        if self.given.is_due(key):
            self._learn_again(key)
            sample, row = self.given.hand_over(key), self.table.row(key)
            for seat in self._seats[self.table.kind(key)]:
                if row in seat:
                    seat.refer(row, sample)

    def _learn_again(self, key: SeriesKey) -> None:
        """Let the baseline go that a series was handed, if it was."""
        if self.given.take_back(key) and key in self.table:
            row = self.table.row(key)
            for seat in self._seats[self.table.kind(key)]:
                seat.release([row], adopt=True)
                seat.hold([row] if key in self.held else [])

    # -- incidents

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
            self.given.outlive(over)

    def _rows(self, keys: set[SeriesKey]) -> Iterator[tuple[Seat, list[int]]]:
        for kind, seats in self._seats.items():
            rows = [self.table.row(key) for key in sorted(keys) if self.table.kind(key) is kind]
            for seat in seats if rows else ():
                yield seat, rows

    # -- the budget

    def refresh_if_grown(self) -> None:
        """Share the budget anew where there are clearly more series than last time."""
        if self._refreshed_at == 0 or len(self.table) > 1.2 * self._refreshed_at:
            self.refresh()

    def refresh(self) -> None:
        """Set all thresholds anew. All that may raise an alarm shares the pipeline's budget evenly."""
        self._refreshed_at = max(len(self.table), 1)
        seats = [seat for seat in chain.from_iterable(self._seats.values()) if seat.size]
        self._share = alarms_per_window(self._a_week, sum(seat.size for seat in seats), self.window_ms)
        for seat in seats:
            seat.refresh(self._share)

    @property
    def expected_alarms(self) -> float:
        """False alarms that the limits have allowed so far."""
        return fsum(
            getattr(seat.bank, "expected_alarms", 0.0) for seat in chain.from_iterable(self._seats.values())
        )

    # -- state

    def snapshot(self) -> dict[str, Any]:
        """Of types that MessagePack knows."""
        return {
            "seated": [[kind.value, seated] for kind, seated in self._seated.items()],
            "seats": [
                [kind.value, [seat.snapshot() for seat in seats]] for kind, seats in self._seats.items()
            ],
            **self.given.snapshot(),
            "held": [list(key) for key in sorted(self.held)],
            "postponed": [list(key) for key in sorted(self._postponed)],
            "share": self._share,
            "refreshed": self._refreshed_at,
        }

    def restore(self, data: Mapping[str, Any], definition: Definition | None) -> None:
        """Take what ``snapshot`` gave, once the table has its series.

        Args:
            data: the snapshot.
            definition: of the pipeline, as it was then.
        """
        if definition is not None:
            self._choice.define(definition)
            self.given.define(definition)
        self.given.restore(data)
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
