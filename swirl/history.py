"""What the last windows of a pipeline counted: the raw material of residuals and of diagnosis.

Kept as plain counts per stage and version, so that detection, diagnosis and the figures that a person sees
are all worked out from the same numbers. Incident windows are marked, and baselines leave them out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from swirl.frame import Definition

__all__ = [
    "BUILT_IN",
    "LENGTH",
    "History",
    "SegmentCounts",
    "StageCounts",
    "WindowCounts",
    "forecasts_of",
    "segments_of",
]

LENGTH = 192
"""How many windows are kept."""

BUILT_IN = (
    "records",
    "invalid",
    "errors",
    "out",
    "predictions",
    "nulls",
    "values",
    "hook_errors",
    "non_finite",
)
"""Names of counters that are not the user's own; so is every name with a colon."""


class SegmentCounts(msgspec.Struct, array_like=True):
    """What one version of one stage counted in one window of one segment, such as a country.

    Attributes:
        records, invalid, errors, predictions, labels: as in :class:`StageCounts`.
    """

    records: int = 0
    invalid: int = 0
    errors: int = 0
    predictions: int = 0
    labels: dict[str, int] = {}


class StageCounts(msgspec.Struct, omit_defaults=True):
    """What one version of one stage counted in one window.

    Attributes:
        records: that arrived.
        invalid: of them.
        errors: exceptions, of those that were not invalid.
        out: records that it passed on.
        predictions: valid predictions; the denominator of ``labels``.
        labels: predictions by label.
        nulls, values: feature values that were null, of all.
        latency: geometric middle of the time per record, seconds (the median); 0 where nothing was measured.
        latency_spread: standard deviation of its natural logarithm, from the quartiles.
        counters: the user's own.
        reasons: invalid records by reason, the five commonest.
        error_types: errors by exception type, the five commonest.
        hook_errors, non_finite: see :class:`swirl.frame.Slice`.
        segments: the same by segment, of records that have one; see :func:`segments_of`.
    """

    records: int = 0
    invalid: int = 0
    errors: int = 0
    out: int = 0
    predictions: int = 0
    labels: dict[str, int] = {}
    nulls: int = 0
    values: int = 0
    latency: float = 0.0
    latency_spread: float = 0.0
    counters: dict[str, float] = {}
    reasons: dict[str, int] = {}
    error_types: dict[str, int] = {}
    hook_errors: int = 0
    non_finite: int = 0
    segments: dict[str, SegmentCounts] = {}

    @property
    def handled(self) -> int:
        """Records that could be passed on: neither errors nor invalid ones that were held back.

        Example:
            >>> StageCounts(records=10, invalid=3, out=7).handled
            7
            >>> StageCounts(records=10, invalid=3, out=9).handled
            9
        """
        return max(self.records - self.invalid - self.errors, min(self.out, self.records - self.errors))

    def counter(self, name: str) -> float:
        """A counter by its name, built in or the user's own; 0 where it did not count.

        Example:
            >>> counts = StageCounts(records=10, counters={"labels": 2.0})
            >>> counts.counter("records"), counts.counter("labels"), counts.counter("latency")
            (10.0, 2.0, 0.0)
        """
        return float(getattr(self, name)) if name in BUILT_IN else self.counters.get(name, 0.0)


class WindowCounts(msgspec.Struct, omit_defaults=True):
    """One closed window of a pipeline.

    Attributes:
        start_ms: its start, event time.
        stages: stage name -> version -> counts. A stage that did nothing in a covered window is absent or
            zero.
        drift: stage name -> feature -> standardised drift (a z by the null law).
        forecasts: of sources whose season is known: stage name -> expected records and their standard
            deviation.
        moved: of features that raised an alarm or are loud: stage name -> feature -> label or interval, its
            share before and its share now.
        heard: stage name -> emitters whose frames had come in time when the window closed.
        known: stage name -> emitters that should have been heard (those that said goodbye excepted).
        lag_ms: time of sending minus event time of the newest record when the window closed.
        whole: the window was covered to its full length.
        normal: it lies in no incident and may serve as baseline.
    """

    start_ms: int
    stages: dict[str, dict[str, StageCounts]] = {}
    drift: dict[str, dict[str, float]] = {}
    heard: dict[str, int] = {}
    known: dict[str, int] = {}
    lag_ms: int = 0
    whole: bool = True
    normal: bool = True
    moved: dict[str, dict[str, list[tuple[str, float, float]]]] = {}
    forecasts: dict[str, tuple[float, float]] = {}


def forecasts_of(history: History) -> dict[str, dict[int, tuple[float, float]]]:
    """What was forecast of sources: stage -> start of a window -> expected records, standard deviation."""
    found: dict[str, dict[int, tuple[float, float]]] = {}
    for window in history.windows:
        for stage, forecast in window.forecasts.items():
            found.setdefault(stage, {})[window.start_ms] = forecast
    return found


def segments_of(window: WindowCounts, stage: str) -> dict[str, SegmentCounts]:
    """What all versions of a stage counted by segment in a window."""
    found: dict[str, SegmentCounts] = {}
    for _, counts in sorted(window.stages.get(stage, {}).items()):
        for name, part in counts.segments.items():
            found[name] = _both(found[name], part) if name in found else part
    return found


def _both(one: SegmentCounts, other: SegmentCounts) -> SegmentCounts:
    labels = dict(one.labels)
    for label, count in other.labels.items():
        labels[label] = labels.get(label, 0) + count
    return SegmentCounts(
        one.records + other.records,
        one.invalid + other.invalid,
        one.errors + other.errors,
        one.predictions + other.predictions,
        labels,
    )


class History:
    """The last :data:`LENGTH` windows of one pipeline, oldest first. While everyone is gone there are none.

    Attributes:
        window_ms: length of a window.
        windows: oldest first.
        definition: the stage graph now.
    """

    def __init__(self, window_ms: int, windows: list[WindowCounts] | None = None) -> None:
        self.window_ms = window_ms
        self.windows: list[WindowCounts] = windows or []
        self.definition: Definition | None = None

    def append(self, window: WindowCounts) -> None:
        """Add the next window and let the oldest go."""
        self.windows.append(window)
        del self.windows[:-LENGTH]

    def find(self, start_ms: int) -> WindowCounts | None:
        """The window that starts then, if it is still kept."""
        if not self.windows:
            return None
        index = (start_ms - self.windows[0].start_ms) // self.window_ms
        if 0 <= index < len(self.windows) and self.windows[index].start_ms == start_ms:
            return self.windows[index]
        return next((w for w in self.windows if w.start_ms == start_ms), None)
