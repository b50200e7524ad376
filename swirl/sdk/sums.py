"""The fold: what a stage recorded becomes sums per version and second of event time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from swirl.sdk.note import BUILT_IN_COUNTERS, BUILT_IN_DISTRIBUTIONS, Note, prediction
from swirl.sdk.segments import CATEGORIES, LABELS, Segments
from swirl.sdk.tally import Tally
from swirl.sketch import LABEL_LENGTH, OVERFLOW, cap_label

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from swirl.frame import Slice
    from swirl.sdk.columns import Columns, Numbers
    from swirl.sdk.recorder import Gate
    from swirl.sdk.version import Version

__all__ = ["MANY_TALLIES", "PIECE", "Sums"]

PIECE = 500
"""Records folded in one go. In work on more, numpy lets go of the interpreter, and a busy host that takes it
gives it back after 5 ms only."""

MANY_TALLIES = 500
"""So many seconds and versions of a stage are better sent before the flush is due."""

_MOST_TALLIES = 4 * MANY_TALLIES
_KNOWN_TEXTS = 1000
_FEW = 4
_BELIEVED_MS = 60_000
"""Event times further ahead of the clock do not move what is covered."""


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
        newest_ms: newest believable event time since the last report, -1 for none.
        oldest_ms: the oldest.
    """

    def __init__(self, stage: str, gate: Gate, version: Version, *, times: bool) -> None:
        self.predicts = ""
        self.features: dict[str, None] = {}
        self.large = False
        self.segmented = False
        self.segments = Segments(self.text, self.complain, gate.labels)
        self.newest_ms = self.oldest_ms = -1
        self._stage = stage
        self._gate = gate
        self._version = version
        self._times = times
        self._last_ms = -1
        self._lost = 0
        self._names: set[str] = set()
        self._texts: dict[str, str] = {}
        self._tallies: dict[tuple[str, int], Tally] = {}

    def __len__(self) -> int:
        return len(self._tallies)

    def take(self, before_ms: int | None = None) -> list[Slice]:
        """The sums as slices, oldest first; the next ones begin at zero.

        Args:
            before_ms: sums of seconds from here on are kept for the next time.
        """
        tallies, self._tallies = self._tallies, {}
        keys = sorted(tallies, key=lambda key: (key[1], key[0]))
        if before_ms is not None:
            self._tallies = {key: tallies[key] for key in keys if key[1] >= before_ms}
        return [tallies[key].piece(self._stage, *key) for key in keys if key not in self._tallies]

    def take_lost(self) -> int:
        """Records left out since the last time this was asked."""
        lost, self._lost = self._lost, 0
        return lost

    def take_times(self) -> tuple[int, int]:
        """Oldest and newest event time since the last time this was asked, -1 for none."""
        seen = self.oldest_ms, self.newest_ms
        self.newest_ms = self.oldest_ms = -1
        return seen

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
        times = self._times_of(ends, offset, least_ms, notes)
        for tally, where in self.groups(ends, times):
            if where is None:
                self._add(tally, seconds, notes)
            else:
                self._add(tally, seconds[where], [notes[i] for i in where.tolist()])

    def _times_of(
        self, ends: NDArray[np.int64], offset: int, least_ms: int, notes: list[Any]
    ) -> NDArray[np.int64] | int:
        """Event times of records; one of them where all belong to one second."""
        if not self._times:
            first = max((int(ends.min()) + offset) // 1_000_000, least_ms)
            last = max((int(ends.max()) + offset) // 1_000_000, least_ms)
            if first // 1000 == last // 1000:
                return first
        times: NDArray[np.int64] = np.maximum((ends + offset) // 1_000_000, least_ms)
        if self._times:
            self._set_times(times, notes)
        return times

    def groups(
        self, ends: NDArray[np.int64], times: NDArray[np.int64] | int, weight: int = 1
    ) -> Iterator[tuple[Tally, NDArray[np.intp] | None]]:
        """The tallies of records, with the indices of those that belong to each; None for all.

        Args:
            ends: ticks at which they were done, shape ``(n,)``.
            times: event times in milliseconds, shape ``(n,)``, or one of them if all are of one second.
            weight: records that each of them stands for.
        """
        buckets = np.asarray(times - times % 1000)
        one_bucket = isinstance(times, int) or int(buckets.min()) == int(buckets.max())
        only = int(buckets.flat[0])
        for version, mask in self._version.split(ends):
            found = [only] if one_bucket else np.unique(buckets if mask is None else buckets[mask]).tolist()
            for bucket in found:
                here = (
                    mask
                    if one_bucket
                    else (buckets == bucket if mask is None else (buckets == bucket) & mask)
                )
                where = None if here is None else np.flatnonzero(here)
                tally = self._tally(version, bucket)
                if tally is not None:
                    yield tally, where
                else:
                    self._lost += weight * (len(ends) if where is None else len(where))

    def _tally(self, version: str, bucket_ms: int) -> Tally | None:
        """The sums of a version and second; None if there are too many already."""
        tally = self._tallies.get((version, bucket_ms))
        if tally is None and len(self._tallies) < _MOST_TALLIES:
            tally = self._tallies[version, bucket_ms] = Tally(self._gate.labels)
        return tally

    def _set_times(self, times: NDArray[np.int64], notes: list[Any]) -> None:
        """Put event times in the place of the times at which it was done."""
        host_ms = int(times.max())
        where = [i for i, note in enumerate(notes) if note.__class__ is Note and note.at is not None]
        if where:
            times[where] = [notes[i].at for i in where]
            self.saw(times[where], host_ms)

    def saw(self, times: NDArray[np.int64], host_ms: int) -> None:
        """Event times were seen at a time of the host; those far ahead of it are not believed."""
        times = times[times <= host_ms + _BELIEVED_MS]
        if times.size:
            low, high = int(times.min()), int(times.max())
            self.newest_ms = max(self.newest_ms, high)
            self.oldest_ms = low if self.oldest_ms < 0 else min(self.oldest_ms, low)
            self._last_ms = max(self._last_ms, high)

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
        name = self._feature_name(name)
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

    def _feature_name(self, name: object) -> str:
        text = _name(name)
        if text not in self.features:
            if len(self.features) >= self._gate.labels:
                return OVERFLOW
            self.features[text] = None
        return text

    def complain(self, hook: str, error: BaseException) -> None:
        """Remember the first failure of a hook."""
        self._gate.complain(self._stage, hook, error)

    def text(self, value: str) -> str:
        """A text of the user's as it may leave: redacted, capped."""
        known = self._texts.get(value)
        if known is None:
            if len(self._texts) >= _KNOWN_TEXTS:
                self._texts.clear()
            known = self._texts[value] = self._presentable(value)
        return known

    def _presentable(self, value: str) -> str:
        redact = self._gate.redact
        if redact is None:
            return cap_label(value)
        try:
            return cap_label(redact(value))
        except Exception as error:  # noqa: BLE001 - what cannot be redacted does not leave
            self.complain("redact", error)
            return "(redacted)"

    def add_counts(self, marks: list[Any], offset: int, least_ms: int) -> None:
        """Add ``count`` calls: ticks, name and number of each, one after the other."""
        for tally, name, values in self._by_name(marks, offset, least_ms):
            if self._is_free(tally, name, len(values), _is_own_counter(name)):
                for value in self._floats(tally, name, values):
                    if 0 <= value < float("inf"):
                        tally.count(name, int(value) if value.is_integer() else value)
                    else:
                        tally.count("hook_errors", 1)
                        self._gate.complain(
                            self._stage, f"count({name!r})", ValueError(f"{value!r} is no count")
                        )

    def add_observations(self, marks: list[Any], offset: int, least_ms: int) -> None:
        """Add ``observe`` calls: ticks, name and number of each, one after the other."""
        for tally, name, values in self._by_name(marks, offset, least_ms):
            self.observe(tally, name, np.array(self._floats(tally, name, values), dtype=np.float64))

    def observe(self, tally: Tally, name: str, values: NDArray[np.float64]) -> None:
        """Add numbers to a distribution of the user's own."""
        name = self.own_name(name)
        if self._is_free(tally, name, 1, name in BUILT_IN_DISTRIBUTIONS or name.startswith("feature:")):
            tally.numbers(name, values)

    def add_batch(self, batch: Columns | Numbers, offset: int, least_ms: int) -> None:
        """Add many records or numbers at once."""
        host_ms = max((batch.ticks + offset) // 1_000_000, least_ms)
        try:
            batch.fold(self, self._place(host_ms))
        except Exception as error:  # noqa: BLE001 - whatever was given, the host must not feel it
            self.complain("batch", error)
            self._lost += batch.records

    def _place(self, host_ms: int) -> int:
        """The event time of what has none of its own: that of the stage's newest record, else the host's."""
        return self._last_ms if self._times and self._last_ms >= 0 else host_ms

    def _by_name(
        self, marks: list[Any], offset: int, least_ms: int
    ) -> Iterator[tuple[Tally, str, list[Any]]]:
        if not marks:
            return
        ends = np.fromiter(marks[0::3], np.int64, len(marks) // 3)
        times = np.maximum((ends + offset) // 1_000_000, least_ms)
        if self._times and self._last_ms >= 0:
            times[:] = self._last_ms
        names, values = marks[1::3], marks[2::3]
        for tally, where in self.groups(ends, times):
            by_name: dict[str, list[Any]] = {}
            for i in range(len(names)) if where is None else where.tolist():
                by_name.setdefault(self.own_name(names[i]), []).append(values[i])
            for name, found in by_name.items():
                yield tally, name, found

    def own_name(self, name: object) -> str:
        """A name of the user's own: capped, and counted with others where there are too many."""
        text = _name(name)
        if text not in self._names:
            if len(self._names) >= self._gate.labels:
                return OVERFLOW
            self._names.add(text)
        return text

    def _is_free(self, tally: Tally, name: str, n: int, taken: bool) -> bool:  # noqa: FBT001 - private
        if taken:
            tally.count("hook_errors", n)
            error = ValueError("Swirl keeps a metric of this name itself; choose another")
            self.complain(f"metric {name!r}", error)
        return not taken

    def _floats(self, tally: Tally, name: str, values: list[Any]) -> list[float]:
        found = []
        for value in values:
            try:
                found.append(_as_float(value))
            except Exception as error:  # noqa: BLE001 - whatever was given, the host must not feel it
                tally.count("hook_errors", 1)
                self.complain(f"metric {name!r}", error)
        return found


def _counted(notes: list[Any]) -> Iterable[tuple[Any, int]]:
    """How often each note occurs."""
    try:
        distinct = dict.fromkeys(notes)
        if len(distinct) <= _FEW:  # a list counts a few values faster than a dictionary
            return [(note, notes.count(note)) for note in distinct]
        return Counter(notes).items()
    except Exception:  # noqa: BLE001 - a prediction may be unhashable, or fail when hashed or compared
        return [(note, 1) for note in notes]


def _is_own_counter(name: str) -> bool:
    """Whether Swirl itself counts under this name."""
    return name in BUILT_IN_COUNTERS or name in CATEGORIES or name.startswith(("null:", LABELS))


def _name(name: object) -> str:
    try:
        return cap_label(name)
    except Exception:  # noqa: BLE001 - whatever was given for a name, the host must not feel it
        return "(unreadable)"


def _as_float(value: Any) -> float:
    if value is None:
        return float("nan")
    if isinstance(value, (str, bytes)):
        raise TypeError("a text is no number")
    return float(value)
