"""The fold: what a stage recorded becomes sums, per version and second of event time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from swirl.sdk.note import Note, prediction
from swirl.sdk.own import OwnMetrics
from swirl.sdk.segments import Segments
from swirl.sdk.tallies import Tallies
from swirl.sdk.texts import Names, Texts
from swirl.sketch import LABEL_LENGTH, cap_label

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from swirl.sdk.columns import Columns, Numbers
    from swirl.sdk.recorder import Gate
    from swirl.sdk.tally import Tally
    from swirl.sdk.version import Version

__all__ = ["PIECE", "Sums"]

PIECE = 500
"""Records folded in one go. In work on more, numpy lets go of the interpreter, and a busy host that takes it
gives it back after 5 ms only."""

_FEW = 4


class Sums:
    """What one stage has done since the last frame.

    Args:
        stage: its name.
        gate: that of its pipeline: cap of labels, ``redact``, complaints.
        version: what tells its version.
        times: its records have event times of their own.

    Attributes:
        predicts: ``"label"`` or ``"number"``, once a prediction was seen.
        features: names of the features seen, in order.
        large: a prediction was seen that should not be kept until the fold.
        segmented: every record is a note that may say its segment.
        segments: those that are kept apart.
        tallies: the sums themselves.
        text: makes a text of the user's fit to leave.
        own: metrics of the user's own.
    """

    def __init__(self, stage: str, gate: Gate, version: Version, *, times: bool) -> None:
        self._stage = stage
        self._gate = gate
        self.predicts = ""
        self.features = Names(gate.labels)
        self.large = False
        self.segmented = False
        self.tallies = Tallies(stage, gate.labels, version, times=times)
        self.text = Texts(gate.redact, self.complain)
        self.segments = Segments(self.text, self.complain, gate.labels)
        self.own = OwnMetrics(self.tallies, self.complain, gate.labels)

    def add_records(self, piece: list[Any], offset: int, least_ms: int) -> None:
        """Add records of the hot path.

        Args:
            piece: end, begin and note of each, one after the other.
            offset: nanoseconds since 1970 at tick 0.
            least_ms: nothing was done before.
        """
        n = len(piece) // 3
        ends = np.fromiter(piece[0::3], np.int64, n)
        seconds: NDArray[np.float64] = (ends - np.fromiter(piece[1::3], np.int64, n)) * np.float64(1e-9)
        notes = piece[2::3]
        times = self.tallies.times_of(ends, offset, least_ms, notes)
        for tally, where in self.tallies.groups(ends, times):
            if where is None:
                self._add(tally, seconds, notes)
            else:
                self._add(tally, seconds[where], [notes[i] for i in where.tolist()])

    def _add(self, tally: Tally, seconds: NDArray[np.float64], notes: list[Any]) -> None:
        n = len(notes)
        tally.count("records", n)
        tally.count("out", n)
        # What failed has the same begin and end: its time says nothing of the stage at work.
        tally.numbers("latency", seconds if seconds.min() > 0 else seconds[seconds > 0])
        if self.segmented:
            self.segments.add_notes(tally, notes)
        if notes[0].__class__ is Note:
            notes = self._opened(tally, notes)
        if self.predicts == "number":
            numbers = [note for note in notes if note.__class__ is float]
            self.add_numbers(tally, np.array(numbers, dtype=np.float64))
            notes = [note for note in notes if note.__class__ is not float]
        self._add_notes(tally, _counted(notes))

    def _opened(self, tally: Tally, notes: list[Any]) -> list[Any]:
        """Ordinary notes give way to their predictions, counted together; their features are added."""
        opened: list[Any] = []
        columns: dict[str, list[float | str | None]] = {}
        for note in notes:
            if (
                note.__class__ is Note
                and note.invalid is None
                and note.error is None
                and note.records == note.out == 1
                and not note.failed
            ):
                opened.append(note.prediction)
                for name, value in note.features:
                    columns.setdefault(name, []).append(value)
            else:
                opened.append(note)
        for name, values in columns.items():
            self.add_feature(tally, name, values)
        return opened

    def _add_notes(self, tally: Tally, counted: Iterable[tuple[Any, int]]) -> None:
        columns: dict[str, list[float | str | None]] = {}
        for note, k in counted:
            if note.__class__ is not Note:
                self.predict(tally, note, k)
                continue
            tally.counters["records"] += (note.records - 1) * k
            tally.counters["out"] += (note.out - 1) * k
            tally.count("hook_errors", note.failed * k)
            if note.invalid is not None:
                tally.count("invalid", k)
                tally.label("reason", self.text(note.invalid), k)
            elif note.error is not None:
                tally.count("errors", k)
                tally.label("error", cap_label(note.error), k)
            else:
                self.predict(tally, note.prediction, k)
            for name, value in note.features:
                columns.setdefault(name, []).extend([value] * k)
        for name, values in columns.items():
            self.add_feature(tally, name, values)

    def predict(self, tally: Tally, value: object, k: int) -> None:
        """Add a prediction that was made ``k`` times."""
        if value is None:
            return
        try:
            plain = prediction(value)
        except Exception as error:  # noqa: BLE001 - a user's object may raise anything when looked at
            tally.count("hook_errors", k)
            self.complain("predicts", error)
            self.large = True
            return
        if isinstance(plain, float):
            self.add_numbers(tally, np.full(k, plain))
        elif plain is not None:
            self.large = self.large or len(plain) > LABEL_LENGTH
            self.predicts = self.predicts or "label"
            tally.count("predictions", k)
            tally.label("label", self.text(plain), k)

    def add_numbers(self, tally: Tally, values: NDArray[np.float64]) -> None:
        """Add predictions that are numbers."""
        if values.size:
            self.predicts = self.predicts or "number"
            tally.count("predictions", tally.numbers("prediction", values))

    def add_feature(
        self, tally: Tally, name: str, values: NDArray[np.float64] | list[float | str | None]
    ) -> None:
        """Add a feature of several records."""
        name = self.features(name)
        if isinstance(values, list):
            numbers = np.array([v for v in values if v.__class__ is float], dtype=np.float64)
            nulls = values.count(None)
            if len(numbers) + nulls < len(values):
                for text, k in Counter(v for v in values if isinstance(v, str)).items():
                    tally.label(f"feature:{name}", self.text(text), k)
        else:
            numbers = values[~np.isnan(values)]
            nulls = values.size - numbers.size
        tally.count("values", len(values))
        tally.count("nulls", nulls)
        tally.count(f"null:{name}", nulls)
        tally.numbers(f"feature:{name}", numbers)

    def complain(self, hook: str, error: BaseException) -> None:
        """Remember the first failure of a hook."""
        self._gate.complain(self._stage, hook, error)

    def add_batch(self, batch: Columns | Numbers, offset: int, least_ms: int) -> None:
        """Add many records or numbers at once."""
        host_ms = max((batch.ticks + offset) // 1_000_000, least_ms)
        place_ms = self.tallies.place_ms
        try:
            batch.fold(self, host_ms if place_ms is None else place_ms)
        except Exception as error:  # noqa: BLE001 - whatever was given, the host must not feel it
            self.complain("batch", error)
            self.tallies.lost += batch.records


def _counted(notes: list[Any]) -> Iterable[tuple[Any, int]]:
    """How often each note occurs."""
    try:
        distinct = dict.fromkeys(notes)
        if len(distinct) <= _FEW:  # a list counts a few values faster than a dictionary
            return [(note, notes.count(note)) for note in distinct]
        return Counter(notes).items()
    except Exception:  # noqa: BLE001 - a prediction may be unhashable, or fail when hashed or compared
        return [(note, 1) for note in notes]
