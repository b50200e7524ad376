"""One detector and the series of a pipeline that it judges."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np

from swirl.detector import Points, Scores
from swirl.errors import SnapshotError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from swirl.detector import Bank, Detector, Kind
    from swirl.frame import DetectorDefinition
    from swirl.sketch import Distribution

__all__ = ["Seat", "combined", "configured", "select"]

Result = TypeVar("Result")


def configured(wanted: DetectorDefinition, known: Mapping[str, type[Detector]]) -> Detector | None:
    """The configuration that a user asked for; None where there is no such detector or option.

    Example:
        >>> from dataclasses import dataclass
        >>> from swirl.frame import DetectorDefinition
        >>> @dataclass(frozen=True)
        ... class Record:
        ...     warm_up: int = 60
        ...     kinds = ()
        >>> configured(DetectorDefinition("record", {"warm_up": 10}), {"record": Record})
        Record(warm_up=10)
        >>> configured(DetectorDefinition("record", {"sides": "up"}), {"record": Record}) is None
        True
    """
    found = known.get(wanted.name)
    if found is None:
        return None
    try:
        detector = found(**wanted.options)
        for kind in detector.kinds:
            detector.build(kind).grow(1)
    except Exception:  # noqa: BLE001 - options are a user's, and the detector may be anyone's
        return None
    return detector


class Seat:
    """The bank of one detector, and which rows of the table of series are its rows.

    What a detector raises ends its own learning, not the fold: it begins anew, and the error is counted.

    Args:
        detector: its configuration.
        kind: of the series.
        renewed: is told when the bank has begun anew, to hold, refer and refresh it as it was.
        resume: what :meth:`snapshot` gave.

    Attributes:
        failures: errors that the detector raised.
        bank: its running form.
    """

    def __init__(
        self,
        detector: Detector,
        kind: Kind,
        renewed: Callable[[Seat], object],
        resume: Mapping[str, Any] | None = None,
    ) -> None:
        self.detector = detector
        self.kind = kind
        self.failures = 0
        self._renewed = renewed
        self._rows: list[int] = []
        self._places: dict[int, int] = {}
        self._left: set[int] = set()
        self._failed = False
        """The points of this window are too much for it."""
        self._renewing = False
        self._index: tuple[NDArray[np.intp], NDArray[np.intp]] | None = None
        self.bank: Bank = detector.build(kind)
        if resume is not None:
            self._resume(resume)

    def _resume(self, resume: Mapping[str, Any]) -> None:
        self.failures = int(resume["failures"])
        self._left = set(resume["left"])
        for row in resume["rows"]:
            self._take(row)
        try:
            self.bank = self.detector.build(self.kind, resume["bank"])
        except SnapshotError:
            # Written by another version of it: the others need not learn anew for that.
            self.failures += 1
        self.bank.grow(len(self._rows))

    def _take(self, row: int) -> None:
        self._places[row] = len(self._rows)
        self._rows.append(row)

    def __contains__(self, row: int) -> bool:
        return row in self._places and row not in self._left

    @property
    def rows(self) -> list[int]:
        """The rows of the table that it judges."""
        return [row for row in self._rows if row not in self._left]

    @property
    def size(self) -> int:
        """How many series it judges."""
        return len(self._rows) - len(self._left)

    def admit(self, row: int) -> None:
        """Judge a row of the table from now on."""
        self._index = None
        self._left.discard(row)
        if row not in self._places:
            self._take(row)
            self._try(lambda: self.bank.grow(len(self._rows)), None)

    def dismiss(self, row: int) -> None:
        """Judge a row no more; its place is kept."""
        self._index = None
        self._left.add(row)

    def _try(self, action: Callable[[], Result], otherwise: Result) -> Result:
        """Do what a detector is asked for; anyone's code may raise anything."""
        try:
            return action()
        except Exception:  # the others go on
            if self._renewing:
                raise
            self._begin_anew()
            return otherwise

    def _begin_anew(self) -> None:
        self._failed = True
        self.failures += 1
        self.bank = self.detector.build(self.kind)
        self._renewing = True
        try:
            self.bank.grow(len(self._rows))
            self._renewed(self)
        except Exception:  # noqa: BLE001 - it cannot even begin: it is asked again with the next window
            self.bank = self.detector.build(self.kind)
        finally:
            self._renewing = False

    # -- what its bank may offer beside judging

    def refer(self, row: int, sample: Distribution | dict[str, int]) -> None:
        """Give a row its baseline, if the detector takes one."""
        refer = getattr(self.bank, "refer", None)
        if refer is not None:
            self._try(lambda: refer(self._places[row], sample), None)

    def hold(self, rows: Sequence[int]) -> None:
        """Rows of the table are in an incident."""
        places = self._places_of(rows)
        if places.size:
            self._try(lambda: self.bank.hold(places), None)

    def release(self, rows: Sequence[int], *, adopt: bool = False, chance: bool = False) -> None:
        """Rows of the table are in an incident no more."""
        places = self._places_of(rows)
        if places.size:
            self._try(lambda: self.bank.release(places, adopt=adopt, chance=chance), None)

    def refresh(self, share: float) -> None:
        """Set the thresholds."""
        self._try(lambda: self.bank.refresh(share), None)

    def moved(self, row: int) -> list[tuple[str, float, float]]:
        """What moved in a distribution: label or interval, its share before and its share now."""
        moved = getattr(self.bank, "moved", None)
        if moved is None:
            return []
        return self._try(lambda: [(str(w), float(a), float(b)) for w, a, b in moved(self._places[row])], [])

    def deviate(self, row: int) -> float:
        """A row as a standard normal deviate by its null law; NaN where there is none."""
        z = getattr(self.bank, "z", None)
        return float("nan") if z is None else self._try(lambda: float(z[self._places[row]]), float("nan"))

    def forecast(self, row: int, start_ms: int, window_ms: int) -> tuple[float, float]:
        """What level and season make of a window, and the standard deviation; NaN where nobody knows."""
        nothing = float("nan"), float("nan")
        forecast = getattr(self.bank, "forecast", None)
        if forecast is None:
            return nothing

        def asked() -> tuple[float, float]:
            expected, sd = forecast(self._places_of([row]), start_ms, window_ms)
            return float(expected[0]), float(sd[0])

        return self._try(asked, nothing)

    # -- judging

    def _judged(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The rows that are judged: in the table, in order, and their places in the bank."""
        if self._index is None:
            kept = [(row, place) for row, place in self._places.items() if row not in self._left]
            kept.sort(key=lambda pair: pair[1])
            table, bank = np.array(kept, dtype=np.intp).reshape(-1, 2).T
            self._index = np.ascontiguousarray(table), np.ascontiguousarray(bank)
        return self._index

    def score(self, points: Points) -> tuple[NDArray[np.intp], Scores]:
        """The rows of the table that are judged, and what the detector thinks of them.

        Args:
            points: of all rows of the table.
        """
        table, bank = self._judged()
        some = select(points, table)
        self._failed = False
        return table, self._try(lambda: _sound(self.bank.score(bank, some), len(table)), Scores.neutral(some))

    def learn(self, points: Points, held: NDArray[np.bool_]) -> None:
        """Take the points that were scored last as normal, except for rows of the table that are held."""
        table, bank = self._judged()
        if held.any():
            free = ~held[table]
            table, bank = table[free], bank[free]
        if table.size and not self._failed:
            self._try(lambda: self.bank.learn(bank, select(points, table)), None)

    def _places_of(self, rows: Sequence[int]) -> NDArray[np.intp]:
        """Where rows of the table are in the bank, in order; those that are not judged are left out."""
        return np.array(sorted(self._places[row] for row in rows if row in self), dtype=np.intp)

    def snapshot(self) -> dict[str, Any]:
        """Of types that MessagePack knows."""
        return {
            "name": self.detector.name,
            "configuration": repr(self.detector),
            "rows": self._rows,
            "left": sorted(self._left),
            "failures": self.failures,
            "bank": self._try(self._packable, None),
        }

    def _packable(self) -> dict[str, Any]:
        state = self.bank.snapshot()
        if not type(self.bank).__module__.startswith("swirl"):
            msgspec.msgpack.encode(state)  # somebody else's may hold what cannot be written
        return state


def _sound(scores: Scores, n: int) -> Scores:
    """Scores of the right shape.

    Raises:
        ValueError: they are not.
    """
    if any(getattr(scores, field.name).shape != (n,) for field in fields(Scores)):
        raise ValueError(f"a detector gave scores that are not of {n} series")
    return scores


def select(points: Points, rows: NDArray[np.intp]) -> Points:
    """The points of some rows."""
    if len(rows) == len(points.value):
        return points
    samples = [points.samples[row] for row in rows.tolist()] if points.samples else ()
    return Points(points.start_ms, points.window_ms, points.value[rows], points.weight[rows], samples)


def combined(points: Points, parts: Sequence[tuple[NDArray[np.intp], Scores]]) -> Scores:
    """Several detectors of one kind: any of them may raise the alarm, so the nearest limits are shown.

    What is shown and expected of a row comes from the first detector that judges it.
    """
    n = len(points.value)
    if len(parts) == 1 and len(parts[0][0]) == n:
        return parts[0][1]
    found = {f.name: getattr(Scores.neutral(points), f.name).copy() for f in fields(Scores)}
    found["value"][:] = np.nan
    seen = np.zeros(n, dtype=np.bool_)
    for rows, scores in parts:
        first = ~seen[rows]
        for name in ("value", "expected", "learning", "since_ms"):
            found[name][rows] = np.where(first, getattr(scores, name), found[name][rows])
        louder = scores.evidence > found["evidence"][rows]
        for name in ("evidence", "since_ms", "accumulated"):
            found[name][rows] = np.where(louder, getattr(scores, name), found[name][rows])
        found["low"][rows] = np.fmax(found["low"][rows], scores.low)
        found["high"][rows] = np.fmin(found["high"][rows], scores.high)
        for name in ("alarm", "loud"):
            found[name][rows] |= getattr(scores, name)
        seen[rows] = True
    return Scores(**found)
