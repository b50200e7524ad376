"""One detector and the series of a pipeline that it judges."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from swirl.detector import Points, Scores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from swirl.detector import Bank, Detector, Kind
    from swirl.frame import DetectorDefinition
    from swirl.sketch import Distribution

__all__ = ["Seat", "combined", "configured", "select"]


def configured(wanted: DetectorDefinition, known: Mapping[str, type[Detector]]) -> Detector | None:
    """The configuration that a user asked for; None where there is no such detector or option.

    Example:
        >>> from dataclasses import dataclass
        >>> from swirl.frame import DetectorDefinition
        >>> @dataclass(frozen=True)
        ... class Record:
        ...     warm_up: int = 60
        >>> configured(DetectorDefinition("record", {"warm_up": 10}), {"record": Record})
        Record(warm_up=10)
        >>> configured(DetectorDefinition("record", {"sides": "up"}), {"record": Record}) is None
        True
    """
    found = known.get(wanted.name)
    if found is None:
        return None
    try:
        return found(**wanted.options)
    except (TypeError, ValueError):
        return None


class Seat:
    """The bank of one detector, and which rows of the table of series are its rows.

    What a detector raises ends its own learning, not the fold: it begins anew, and the error is counted.

    Args:
        detector: its configuration.
        kind: of the series.
        resume: what :meth:`snapshot` gave.

    Attributes:
        failures: errors that the detector raised.
        bank: its running form.
    """

    def __init__(self, detector: Detector, kind: Kind, resume: Mapping[str, Any] | None = None) -> None:
        self.detector = detector
        self.kind = kind
        self.failures = 0
        self._rows: list[int] = []
        self._places: dict[int, int] = {}
        self._left: set[int] = set()
        self._failed = False
        """The points of this window are too much for it."""
        self._index: tuple[NDArray[np.intp], NDArray[np.intp]] | None = None
        self.bank: Bank = detector.build(kind, resume["bank"] if resume is not None else None)
        if resume is not None:
            self.failures = int(resume["failures"])
            self._left = set(resume["left"])
            for row in resume["rows"]:
                self._take(row)

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
            self.bank.grow(len(self._rows))

    def dismiss(self, row: int) -> None:
        """Judge a row no more; its place is kept."""
        self._index = None
        self._left.add(row)

    def refer(self, row: int, sample: Distribution | dict[str, int], *, instead: bool) -> None:
        """Give a row its baseline, if the detector takes one; ``instead`` of another that was given."""
        refer = getattr(self.bank, "refer", None)
        if refer is not None:
            if instead:
                self.bank.release(self.places([row]), adopt=True)
            refer(self._places[row], sample)

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
        try:
            return table, self.bank.score(bank, some)
        except Exception:  # noqa: BLE001 - a detector is anyone's code; the others go on
            self._begin_anew()
            return table, Scores.neutral(some)

    def learn(self, points: Points, held: NDArray[np.bool_]) -> None:
        """Take the points that were scored last as normal, except for rows of the table that are held."""
        table, bank = self._judged()
        if held.any():
            free = ~held[table]
            table, bank = table[free], bank[free]
        if not table.size or self._failed:
            return
        try:
            self.bank.learn(bank, select(points, table))
        except Exception:  # noqa: BLE001 - as above
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._failed = True
        self.failures += 1
        self.bank = self.detector.build(self.kind)
        self.bank.grow(len(self._rows))

    def places(self, rows: Sequence[int]) -> NDArray[np.intp]:
        """Where rows of the table are in the bank, in order; those that are not there are left out."""
        return np.array(sorted(self._places[row] for row in rows if row in self._places), dtype=np.intp)

    def snapshot(self) -> dict[str, Any]:
        """Of types that MessagePack knows."""
        return {
            "name": self.detector.name,
            "rows": self._rows,
            "left": sorted(self._left),
            "failures": self.failures,
            "bank": self.bank.snapshot(),
        }


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
