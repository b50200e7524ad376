"""Counts by segment: how many records of each, and what became of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from swirl.sdk.note import prediction, segment
from swirl.sketch import OVERFLOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from swirl.sdk.note import Note
    from swirl.sdk.tally import Tally

__all__ = ["CATEGORIES", "LABELS", "MOST_SEGMENTS", "Segments"]

CATEGORIES = ("segment", "segment_invalid", "segment_error")
"""Categories of counts by segment; those of predictions are :data:`LABELS` and the label."""

LABELS = "segment_label:"

MOST_SEGMENTS = 20
"""Segments of a stage that are kept apart; the others are counted together."""

_MOST_LABELS = 10
"""Labels whose counts are kept apart by segment; every one of them may have all segments."""


class Segments:
    """The segments and labels of one stage that are kept apart: those that came first.

    Args:
        text: makes a text of the user's presentable.
        complain: is told of a value that is no segment.
        cap: of labels in a category; fewer segments than that may be kept apart.
    """

    def __init__(
        self, text: Callable[[str], str], complain: Callable[[str, BaseException], None], cap: int
    ) -> None:
        self._text = text
        self._complain = complain
        self._cap = min(MOST_SEGMENTS, cap)
        self._segments: set[str] = set()
        self._labels: set[str] = set()

    def add_notes(self, tally: Tally, notes: Iterable[Note]) -> None:
        """Count records one by one, those that say where they belong."""
        found = Counter((n.segment, n.records, _fate(n)) for n in notes if n.segment is not None)
        for (name, records, fate), k in found.items():
            shown = self._own(name or "")
            if records:
                tally.label("segment", shown, records * k)
            if fate:
                label = fate.startswith(LABELS)
                tally.label(self._label(fate.removeprefix(LABELS)) if label else fate, shown, k)

    def add_column(
        self,
        tally: Tally,
        values: NDArray[Any] | list[Any],
        invalid: NDArray[np.bool_] | None,
        predictions: NDArray[Any] | list[Any] | None,
    ) -> None:
        """Count many records at once.

        Args:
            tally: that they go to.
            values: their segments, shape ``(n,)``; null where there is none.
            invalid: which are invalid, shape ``(n,)``.
            predictions: shape ``(n,)``; numbers among them are not counted by segment.
        """
        names, codes = _coded(values, self._read(tally), self._own)
        valid = np.ones(len(codes), dtype=np.bool_) if invalid is None else ~invalid
        _count(tally, ["segment"], names, codes)
        _count(tally, ["segment_invalid"], names, codes[~valid])
        if predictions is not None and not (
            isinstance(predictions, np.ndarray) and predictions.dtype.kind == "f"
        ):
            labels, of_label = _coded(predictions, _label_of, self._label)
            _count(tally, labels, names, codes[valid], of_label[valid])

    def _read(self, tally: Tally) -> Callable[[Any], str | None]:
        def read(value: Any) -> str | None:
            try:
                return segment(value)
            except Exception as error:  # noqa: BLE001 - a value of the user's may raise anything
                tally.count("hook_errors", 1)
                self._complain("segments", error)
                return None

        return read

    def _own(self, name: str) -> str:
        # What is redacted to nothing has a segment all the same.
        return _kept(self._text(name) or OVERFLOW, self._segments, self._cap)

    def _label(self, label: str) -> str:
        return LABELS + _kept(self._text(label), self._labels, _MOST_LABELS)


def _fate(note: Note) -> str:
    """The category in which a record counts beside its segment; empty for none."""
    if note.invalid is not None:
        return "segment_invalid"
    if note.error is not None:
        return "segment_error"
    return LABELS + note.prediction if isinstance(note.prediction, str) else ""


def _kept(text: str, known: set[str], cap: int) -> str:
    if text not in known and text != OVERFLOW:
        if len(known) >= cap:
            return OVERFLOW
        known.add(text)
    return text


def _label_of(value: Any) -> str | None:
    """A label; None for a number, and for what is counted as an error where all predictions are added."""
    try:
        plain = prediction(value)
    except Exception:  # noqa: BLE001 - a value of the user's may raise anything
        return None
    return plain if isinstance(plain, str) else None


def _coded(
    values: NDArray[Any] | list[Any], read: Callable[[Any], str | None], shown: Callable[[str], str]
) -> tuple[list[str], NDArray[np.intp]]:
    """The names under which values count, ``""`` for those that do not, and of each which one, ``(n,)``."""
    found: list[str | None]
    if isinstance(values, np.ndarray):
        distinct, codes = np.unique(values, return_inverse=True)
        found, codes = [read(value) for value in distinct.tolist()], codes.reshape(-1)
    else:
        found, codes = _distinct(values, read)
    places: dict[str, int] = {}
    for text in found:
        places.setdefault("" if text is None else shown(text), len(places))
    names = ["" if text is None else shown(text) for text in found]
    return list(places), np.array([places[name] for name in names], dtype=np.intp)[codes]


def _distinct(
    values: list[Any], read: Callable[[Any], str | None]
) -> tuple[list[str | None], NDArray[np.intp]]:
    index: dict[Any, int] = {}
    found: list[str | None] = []
    codes = np.empty(len(values), dtype=np.intp)
    for i, value in enumerate(values):
        try:
            code = index.setdefault(value, len(found))
        except Exception:  # noqa: BLE001 - a value may be unhashable, or fail when it is hashed or compared
            code = len(found)
        if code == len(found):
            found.append(read(value))
        codes[i] = code
    return found, codes


def _count(
    tally: Tally,
    categories: list[str],
    names: list[str],
    codes: NDArray[np.intp],
    of_category: NDArray[np.intp] | None = None,
) -> None:
    """Add to one category, or each record to its own; what has no name counts nowhere."""
    wide = len(names)
    both = codes if of_category is None else of_category * wide + codes
    for place, k in enumerate(np.bincount(both, minlength=1).tolist()):
        if k and categories[place // wide] and names[place % wide]:
            tally.label(categories[place // wide], names[place % wide], k)
