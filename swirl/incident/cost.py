"""What an incident cost against the baseline: records rejected, records failed, clicks missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from swirl.incident import numbers
from swirl.residual import total

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swirl.history import History, WindowCounts

__all__ = ["Cost"]

_MATERIAL = 0.02
"""Less than this share of the usual count is told by no one."""

_MARK = "\x1f"
"""Between stage and counter: no name holds it."""

_KINDS = {"invalid": "records rejected", "errors": "records failed"}


class Cost(msgspec.Struct):
    """Counts by window against their usual values, summed over an incident.

    Attributes:
        usual: stage and counter -> mean count of a baseline window.
        sums: stage and counter -> counted in the incident.
        windows: whole windows summed.
    """

    usual: dict[str, float] = {}
    sums: dict[str, float] = {}
    windows: int = 0

    def begin(self, history: History, onset_ms: int) -> None:
        """Learn the usual counts from the windows before the onset and sum up those since."""
        base = [w for w in history.windows if w.normal and w.whole and w.start_ms < onset_ms]
        counters = list(_counters(history))
        if base:
            self.usual = {
                f"{s}{_MARK}{c}": sum(_count(w, s, c) for w in base) / len(base) for s, c in counters
            }
        self.sums, self.windows = dict.fromkeys(self.usual, 0.0), 0
        for window in history.windows:
            if window.start_ms >= onset_ms:
                self.add(window)

    def add(self, window: WindowCounts) -> None:
        """Sum up another window; one that was not covered to its length is left out."""
        if not window.whole:
            return
        self.windows += 1
        for name in self.sums:
            stage, counter = name.split(_MARK)
            self.sums[name] += _count(window, stage, counter)

    def sentence(self) -> str:
        """``"15.4 million records rejected, 1.5 million clicks missed."``, or ``""``."""
        parts: dict[str, float] = {}
        for name, usual in self.usual.items():
            counter = name.split(_MARK)[1]
            expected = usual * self.windows
            lost = self.sums[name] - expected if counter in _KINDS else expected - self.sums[name]
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
        if counter not in ("records", "invalid", "errors", "out", "predictions"):
            yield stage_name, counter


def _count(window: WindowCounts, stage: str, counter: str) -> float:
    counts = total(window, stage)
    return float(getattr(counts, counter)) if counter in _KINDS else counts.counters.get(counter, 0.0)
