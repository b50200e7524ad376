"""Metrics of the user's own: counters and distributions that a stage has beside those that Swirl keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from swirl.sdk.note import BUILT_IN_COUNTERS, BUILT_IN_DISTRIBUTIONS
from swirl.sdk.segments import CATEGORIES, LABELS
from swirl.sdk.texts import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from swirl.sdk.tallies import Tallies
    from swirl.sdk.tally import Tally

__all__ = ["OwnMetrics"]


class OwnMetrics:
    """The user's own metrics of one stage.

    Args:
        tallies: that they go to.
        complain: is told of a name that is taken, and of what is no number.
        most: names that are kept apart.
    """

    def __init__(self, tallies: Tallies, complain: Callable[[str, BaseException], None], most: int) -> None:
        self._tallies = tallies
        self._complain = complain
        self._names = Names(most)

    def add_counts(self, marks: list[Any], offset: int, least_ms: int) -> None:
        """Add ``count`` calls: ticks, name and number of each, one after the other."""
        for tally, name, values in self._by_name(marks, offset, least_ms):
            if self._is_free(tally, name, len(values), _is_own_counter(name)):
                for value in self._floats(tally, name, values):
                    if 0 <= value < float("inf"):
                        tally.count(name, int(value) if value.is_integer() else value)
                    else:
                        tally.count("hook_errors", 1)
                        self._complain(f"count({name!r})", ValueError(f"{value!r} is no count"))

    def add_observations(self, marks: list[Any], offset: int, least_ms: int) -> None:
        """Add ``observe`` calls: ticks, name and number of each, one after the other."""
        for tally, name, values in self._by_name(marks, offset, least_ms):
            self.observe(tally, name, np.array(self._floats(tally, name, values), dtype=np.float64))

    def observe(self, tally: Tally, name: str, values: NDArray[np.float64]) -> None:
        """Add numbers to a distribution."""
        name = self._names(name)
        if self._is_free(tally, name, 1, name in BUILT_IN_DISTRIBUTIONS or name.startswith("feature:")):
            tally.numbers(name, values)

    def _by_name(
        self, marks: list[Any], offset: int, least_ms: int
    ) -> Iterator[tuple[Tally, str, list[Any]]]:
        if not marks:
            return
        ends = np.fromiter(marks[0::3], np.int64, len(marks) // 3)
        times = np.maximum((ends + offset) // 1_000_000, least_ms)
        if self._tallies.place_ms is not None:
            times[:] = self._tallies.place_ms
        names, values = marks[1::3], marks[2::3]
        for tally, where in self._tallies.groups(ends, times):
            by_name: dict[str, list[Any]] = {}
            for i in range(len(names)) if where is None else where.tolist():
                by_name.setdefault(self._names(names[i]), []).append(values[i])
            for name, found in by_name.items():
                yield tally, name, found

    def _is_free(self, tally: Tally, name: str, n: int, taken: bool) -> bool:  # noqa: FBT001 - private
        if taken:
            tally.count("hook_errors", n)
            error = ValueError("Swirl keeps a metric of this name itself; choose another")
            self._complain(f"metric {name!r}", error)
        return not taken

    def _floats(self, tally: Tally, name: str, values: list[Any]) -> list[float]:
        found = []
        for value in values:
            try:
                found.append(_as_float(value))
            except Exception as error:  # noqa: BLE001 - whatever was given, the host must not feel it
                tally.count("hook_errors", 1)
                self._complain(f"metric {name!r}", error)
        return found


def _is_own_counter(name: str) -> bool:
    """Whether Swirl itself counts under this name."""
    return name in BUILT_IN_COUNTERS or name in CATEGORIES or name.startswith(("null:", LABELS))


def _as_float(value: Any) -> float:
    if value is None:
        return float("nan")
    if isinstance(value, (str, bytes)):
        raise TypeError("a text is no number")
    return float(value)
