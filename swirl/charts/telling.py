"""Which series tell most of an incident, and which versions went out while they did."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from swirl.effect import SeriesKey, State
from swirl.incident.figures import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swirl.effect import Incident, WindowClosed
    from swirl.sinks.board import Track, View

__all__ = [
    "SERIES",
    "Deployment",
    "Usual",
    "deployments",
    "name_of_series",
    "same_series",
    "telling",
    "usual_before",
    "windows_before",
]

SERIES = 3
"""How many series a chart shows."""
_BEFORE = 45
"""Windows before the fault: enough to see what is usual."""
_AFTER = 6
"""Windows after the end of an incident that is over."""
_FEWEST = 60
_ALSO: dict[str, tuple[str, ...]] = {
    "invalid": ("invalid_ratio",),
    "errors": ("error_ratio",),
    "latency_p50": ("latency_p95",),
    "count": ("counter_level", "ratio"),
    "emitters": ("records",),
    "lag": ("records",),
    "version_contrast": ("invalid_ratio", "records"),
    "version_latency": ("latency_p50",),
}
"""What is shown in the place of a figure that is no series of the windows."""
_NAMED = frozenset(
    (
        "records",
        "invalid",
        "errors",
        "output_ratio",
        "null_ratio",
        "drift",
        "prediction_drift",
        "latency_p50",
        "count",
    )
)
_USUAL = ("invalid", "prediction_ratio", "count", "latency_p50", "records")
"""Metrics that a person wants to see while nothing is wrong, in their order."""


class Deployment(msgspec.Struct, frozen=True):
    """Another version of a stage has taken over.

    Attributes:
        at_ms: start of the window in which it did most of the work for the first time.
        stage: which one.
        version: the new one.
    """

    at_ms: int
    stage: str
    version: str


def telling(incident: Incident | None, view: View) -> list[Track]:
    """The series that tell most, at most :data:`SERIES`, over the windows that matter.

    They are those of the evidence, in its order. Without an incident, or where its evidence is no series of
    the windows, they are what a person looks at first: invalid records, predictions, counts.

    Args:
        incident: whose; None while nothing is wrong.
        view: the pipeline as it stands.
    """
    if view.last is None:
        return []
    keys: list[SeriesKey] = []
    for key in _wanted(incident, view.last):
        if key not in keys:
            keys.append(key)
        if len(keys) == SERIES:
            break
    first, last = _span(incident, view)
    return [_cut(view.track(key), first, last) for key in keys]


def deployments(view: View) -> list[Deployment]:
    """The versions that went out during the windows of a view, oldest first."""
    found: list[Deployment] = []
    now: dict[str, str] = {}
    for window in view.windows:
        for stage, versions in window.versions.items():
            version = versions[0] if versions else ""
            if version and now.get(stage, version) != version:
                found.append(Deployment(window.start_ms, stage, version))
            if version:
                now[stage] = version
    return found


def same_series(key: SeriesKey, stage: str, metric: str, label: str) -> bool:
    """Whether a series shows what a piece of evidence speaks of."""
    return key.stage == stage and (
        (key.metric == metric and (key.label == label or not label)) or key.metric in _ALSO.get(metric, ())
    )


def name_of_series(key: SeriesKey) -> str:
    """What a person calls a series.

    Example:
        >>> name_of_series(SeriesKey("ingest", "invalid_ratio"))
        'ingest invalid ratio'
        >>> name_of_series(SeriesKey("serve", "ratio", "clicks per ad"))
        'clicks per ad'
    """
    stage, metric, label = key
    if metric in _NAMED:
        return name_of(stage, metric, label)
    words = () if metric in ("ratio", "counter_level") and label else (metric.replace("_", " "),)
    return " ".join(part for part in ("" if metric == "ratio" and label else stage, *words, label) if part)


class Usual(NamedTuple):
    """The limits before the fault, and the level there; NaN where they are not known."""

    low: float
    high: float
    level: float


def windows_before(track: Track, onset_ms: int | None) -> int:
    """How many windows lie before the fault; all, if there is none."""
    return len(track.start_ms) if onset_ms is None else int(np.sum(track.start_ms < onset_ms))


def usual_before(track: Track, onset_ms: int | None) -> Usual:
    """The last limits before the fault, and the median of what was measured there."""
    fault = windows_before(track, onset_ms)
    judged = np.flatnonzero(track.state[:fault] >= State.NORMAL)
    limits = judged[np.isfinite(track.low[judged]) | np.isfinite(track.high[judged])]
    values = track.value[:fault][np.isfinite(track.value[:fault])]
    level = float(np.median(values)) if len(values) else float("nan")
    if not len(limits):
        return Usual(float("nan"), float("nan"), level)
    return Usual(float(track.low[limits[-1]]), float(track.high[limits[-1]]), level)


def _wanted(incident: Incident | None, window: WindowClosed) -> Iterator[SeriesKey]:
    there = set(window.keys)
    for piece in incident.evidence if incident is not None else ():
        own = SeriesKey(piece.stage, piece.metric, piece.label)
        also = (SeriesKey(piece.stage, metric, "") for metric in _ALSO.get(piece.metric, ()))
        yield from [key for key in (own, *also) if key in there][:1]
    stages = [incident.stage, *incident.follows] if incident is not None else []
    stages += [stage.name for stage in window.definition.stages]
    judged = {key for key, state in zip(window.keys, window.states, strict=True) if state >= State.NORMAL}
    for among in (judged, there - judged):
        for metric in _USUAL:
            found = [
                key for stage in stages for key in window.keys if key[:2] == (stage, metric) and key in among
            ]
            yield from found[:1]


def _span(incident: Incident | None, view: View) -> tuple[int, int]:
    """The starts of the first and the last window that are shown."""
    starts = [window.start_ms for window in view.windows]
    if incident is None:
        return starts[-min(len(starts), _FEWEST)], starts[-1]
    ended = incident.resolved_ms or starts[-1]
    last = sum(start < ended for start in starts) - 1
    last = min(len(starts) - 1, last + _AFTER) if incident.resolved_ms else len(starts) - 1
    onset = sum(start < incident.onset_ms for start in starts)
    before = max(_BEFORE, (last - onset) // 2, _FEWEST - (last - onset))
    return starts[min(max(0, onset - before), max(0, last))], starts[max(0, last)]


def _cut(track: Track, first_ms: int, last_ms: int) -> Track:
    inside = (track.start_ms >= first_ms) & (track.start_ms <= last_ms)
    return track._replace(
        start_ms=track.start_ms[inside],
        value=track.value[inside],
        expected=track.expected[inside],
        low=track.low[inside],
        high=track.high[inside],
        state=track.state[inside],
    )
