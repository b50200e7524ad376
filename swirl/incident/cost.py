"""What an incident cost against the baseline: records rejected, records failed, clicks missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from swirl.history import BUILT_IN
from swirl.incident import numbers
from swirl.residual import total

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swirl.history import History, WindowCounts

__all__ = ["Cost"]

_MATERIAL = 0.02
"""Less than this share of the usual count is told by no one."""

_KINDS = {"invalid": "records rejected", "errors": "records failed"}


class Cost(msgspec.Struct):
    """Counts by window against their usual values, summed over an incident.

    Attributes:
        counters: stage and counter, what may cost.
        usual: of each, the mean count of a baseline window.
        sums: of each, counted in the incident.
        windows: whole windows summed.
    """

    counters: list[tuple[str, str]] = []
    usual: list[float] = []
    sums: list[float] = []
    windows: int = 0

    def begin(self, history: History, onset_ms: int) -> None:
        """Learn the usual counts from the windows before the onset and sum up those since."""
        base = [w for w in history.windows if w.normal and w.whole and w.start_ms < onset_ms]
        self.counters = list(_counters(history)) if base else []
        self.usual = [sum(_count(w, s, c) for w in base) / len(base) for s, c in self.counters]
        self.sums, self.windows = [0.0] * len(self.counters), 0
        for window in history.windows:
            if window.start_ms >= onset_ms:
                self.add(window)

    def add(self, window: WindowCounts) -> None:
        """Sum up another window; one that was not covered to its length is left out."""
        if not window.whole:
            return
        self.windows += 1
        for at, (stage, counter) in enumerate(self.counters):
            self.sums[at] += _count(window, stage, counter)

    def sentence(self) -> str:
        """``"15.4 million records rejected, 1.5 million clicks missed."``, or ``""``."""
        parts: dict[str, float] = {}
        for (_, counter), usual, counted in zip(self.counters, self.usual, self.sums, strict=True):
            expected = usual * self.windows
            lost = counted - expected if counter in _KINDS else expected - counted
            if lost > max(_MATERIAL * expected, 3 * expected**0.5, 1.0):
                words = _KINDS.get(counter, f"{counter} missed")
                parts[words] = parts.get(words, 0.0) + lost
        return ", ".join(f"{numbers.amount(lost)} {words}" for words, lost in parts.items()) + (
            "." if parts else ""
        )


def _counters(history: History) -> Iterator[tuple[str, str]]:
    """What costs: rejected and failed records of each stage, and what the user's ratios count."""
    definition = history.definition
    if definition is None:
        return
    for counter in _KINDS:
        for stage in definition.stages:
            yield stage.name, counter
    for stage_name, counter in dict.fromkeys(r.numerator for r in definition.ratios):
        if counter not in BUILT_IN:
            yield stage_name, counter


def _count(window: WindowCounts, stage: str, counter: str) -> float:
    return total(window, stage).counter(counter)
