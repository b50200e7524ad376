"""What goes wrong in one segment: diagnosed by its own numbers, as if there were no other.

The series of a segment raise the alarm. The diagnosis of the whole pipeline may not see it: one of eight
segments moves the whole by an eighth of what happened.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from swirl.frame import Definition, StageDefinition
from swirl.history import History, SegmentCounts, StageCounts, WindowCounts, segments_of
from swirl.incident.causes import UNKNOWN
from swirl.incident.diagnose import Diagnosis, diagnose
from swirl.incident.graph import Graph
from swirl.incident.hypotheses import LOUD
from swirl.incident.residuals import span_of
from swirl.incident.series import Ratio, Span
from swirl.incident.sigmas import FEWEST_WINDOWS
from swirl.segments import plain_key, segment_of
from swirl.steps import finished

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from numpy.typing import NDArray

    from swirl.effect import SeriesKey
    from swirl.incident.case import Case, Present
    from swirl.incident.text import Told

    Measure = Callable[[SegmentCounts], tuple[int, int]]

__all__ = ["Concentration", "concentrated", "in_words", "narrow", "narrowed", "placed", "seen_in", "within"]

NEARLY_ALL = 0.8
"""Share of an excess from which it is one segment's."""

_MOST, _NOTHING_ELSEWHERE = 0.65, 2.0
"""A share that may be that much: as far as sigmas can tell nothing has moved elsewhere."""

_TRIED = 4
"""Segments that are diagnosed: the loudest."""

_MILDER = 0.25
"""Elsewhere it is less than so much as bad: a segment that has nearly all records is not the place of a fault
for that alone."""

_FEW = 30
_BREATH = 16
"""Windows between two pauses."""

_BENIGN = 0.5


class Concentration(NamedTuple):
    """Where an excess comes from.

    Attributes:
        segment: the one with most of it.
        now: the ratio there, in the evidence.
        elsewhere: the ratio in all others.
        share: of the excess.
        sigmas: by which all others together have moved.
    """

    segment: str
    now: float
    elsewhere: float
    share: float
    sigmas: float

    @property
    def is_clear(self) -> bool:
        """Nearly all of it is in the segment, within what so many records can tell."""
        quiet = abs(self.sigmas) < _NOTHING_ELSEWHERE
        return self.share > NEARLY_ALL or (quiet and self.share > _MOST)


def within(history: History, stage: str, segment: str) -> History:
    """The history of one stage as if it were a source, and only this segment existed.

    Windows in which records of the stage have no segment at all say nothing of it, and count as not whole.
    """
    return finished(_within(history, stage, segment))


def _within(history: History, stage: str, segment: str) -> Generator[None, None, History]:
    found = History(history.window_ms)
    for start in range(0, len(history.windows), _BREATH):
        found.windows += [_only(w, stage, segment) for w in history.windows[start : start + _BREATH]]
        yield
    stages = history.definition.stages if history.definition is not None else ()
    defined = next((s for s in stages if s.name == stage), StageDefinition(stage))
    found.definition = Definition((msgspec.structs.replace(defined, after=(), features=(), detectors=()),))
    return found


def _only(window: WindowCounts, stage: str, segment: str) -> WindowCounts:
    versions = window.stages.get(stage, {})
    placed = any(counts.segments for counts in versions.values())
    records = sum(counts.records for counts in versions.values())
    return WindowCounts(
        window.start_ms,
        {stage: {v: _alone(c.segments[segment]) for v, c in versions.items() if segment in c.segments}},
        heard={stage: window.heard[stage]} if stage in window.heard else {},
        known={stage: window.known[stage]} if stage in window.known else {},
        lag_ms=window.lag_ms,
        whole=window.whole and (placed or not records),
        normal=window.normal,
    )


def _alone(part: SegmentCounts) -> StageCounts:
    return StageCounts(
        records=part.records,
        invalid=part.invalid,
        errors=part.errors,
        out=part.records - part.invalid - part.errors,
        predictions=part.predictions,
        labels=part.labels,
    )


def seen_in(history: History, key: SeriesKey) -> tuple[History, SeriesKey]:
    """The history in which a judged series is a plain one of its stage, and its key there."""
    segment = segment_of(key)
    return (within(history, key.stage, segment), plain_key(key)) if segment else (history, key)


def narrowed(
    history: History,
    onset_ms: int,
    last_ms: int,
    keys: Sequence[SeriesKey],
    whole: Diagnosis,
    *,
    before: str = "",
) -> Generator[None, None, Diagnosis]:
    """The diagnosis of the segment in which it happens, where that of the whole has nothing to say.

    Args:
        history: of the pipeline.
        onset_ms: start of the first anomalous window.
        last_ms: start of the newest window.
        keys: series that are far from normal.
        whole: the diagnosis of all segments together.
        before: the segment in which it was seen until now.

    Returns:
        That of a segment, which bears its name; or ``whole``.
    """
    if history.definition is None or (whole.benign < _BENIGN and whole.cause != UNKNOWN):
        return whole
    graph = Graph(history.definition)
    found: list[Diagnosis] = []
    for stage, segment in (yield from _loudest(history, onset_ms, last_ms, keys)):
        alone = yield from _within(history, stage, segment)
        local = yield from diagnose(alone, onset_ms, last_ms)
        if local.residuals is not None:
            found.append(replace(local, segment=segment))
    # Where the whole is loud as well, a segment has to say more than it.
    mute = whole.benign >= _BENIGN or bool(before) or all(segment_of(key) for key in keys)
    told = [d for d in found if d.benign < _BENIGN and (mute or d.cause != UNKNOWN)]
    # What goes wrong in a segment goes wrong for it in the stages below, too.
    told.sort(key=lambda d: graph.place(d.residuals.graph.stages[0]) if d.residuals is not None else 0)
    excused = [d for d in found if d.benign - d.chance >= _BENIGN and whole.chance >= _BENIGN]
    return next(iter([*told, *excused]), whole)


def _loudest(
    history: History, onset_ms: int, last_ms: int, keys: Sequence[SeriesKey]
) -> Generator[None, None, list[tuple[str, str]]]:
    """Stages and segments, those with the largest deviations first."""
    windows = [w for w in history.windows if w.start_ms <= last_ms]
    span = span_of(windows, onset_ms)
    if span is None or len(span.base) < FEWEST_WINDOWS:
        return []
    loud: dict[tuple[str, str], float] = {}
    parts: dict[str, list[dict[str, SegmentCounts]]] = {}
    for key in sorted(key for key in keys if segment_of(key)):
        if key.stage not in parts:
            parts[key.stage] = yield from _parts(windows, key.stage)
        pair = key.stage, segment_of(key)
        loud[pair] = max(abs(_sigmas(parts[key.stage], span, key)), loud.get(pair, 0.0))
        yield
    return sorted(loud, key=lambda pair: (-loud[pair], pair))[:_TRIED]


def _parts(
    windows: Sequence[WindowCounts], stage: str
) -> Generator[None, None, list[dict[str, SegmentCounts]]]:
    """The counts of a stage by segment, window by window."""
    found: list[dict[str, SegmentCounts]] = []
    for start in range(0, len(windows), _BREATH):
        found += [segments_of(w, stage) for w in windows[start : start + _BREATH]]
        yield
    return found


def _sigmas(parts: list[dict[str, SegmentCounts]], span: Span, key: SeriesKey) -> float:
    segment, plain = segment_of(key), plain_key(key)
    own = [part.get(segment, _NOTHING) for part in parts]
    if plain.metric == "records":
        k = np.array([c.records for c in own], dtype=np.float64)
        n = np.array([sum(c.records for c in part.values()) for part in parts], dtype=np.float64)
    else:
        k, n = _columns(own, _measure(plain.metric, plain.label))
    return Ratio(k, n, span).z() or 0.0


_NOTHING = SegmentCounts()


def _measure(metric: str, label: str) -> Measure:
    if metric == "invalid_ratio":
        return lambda c: (c.invalid, c.records)
    if metric == "error_ratio":
        return lambda c: (c.errors, c.records - c.invalid)
    return lambda c: (c.labels.get(label, 0), c.predictions)


def _columns(
    parts: Sequence[SegmentCounts], measure: Measure
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    pairs = np.array([measure(c) for c in parts], dtype=np.float64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def concentrated(history: History, stage: str, onset_ms: int, last_ms: int) -> Concentration | None:
    """Where the excess of invalid records, of errors or of a label comes from, whichever moved most.

    Args:
        history: of the pipeline.
        stage: the root of an incident.
        onset_ms: start of the first anomalous window.
        last_ms: start of the newest window.

    Returns:
        The segment with most of it; None where nothing moved, where the stage has no segments, or where the
        others do not do much better.
    """
    return finished(_concentrated(history, stage, onset_ms, last_ms))


def _concentrated(
    history: History, stage: str, onset_ms: int, last_ms: int
) -> Generator[None, None, Concentration | None]:
    windows = [w for w in history.windows if w.start_ms <= last_ms]
    span = span_of(windows, onset_ms)
    if span is None or len(span.base) < FEWEST_WINDOWS:
        return None
    parts = yield from _parts(windows, stage)
    names = sorted({name for part in parts for name in part})
    if len(names) < 2:
        return None
    labels = sorted({label for part in parts for c in part.values() for label in c.labels})
    metrics = [("invalid_ratio", ""), ("error_ratio", ""), *(("prediction_ratio", one) for one in labels)]
    loudest: tuple[float, dict[str, Ratio]] = (LOUD, {})
    for metric in metrics:
        moved = yield from _by_segment(parts, names, span, _measure(*metric))
        loudest = max(loudest, moved, key=lambda pair: pair[0])
    return _where(loudest[1]) if loudest[1] else None


def _by_segment(
    parts: list[dict[str, SegmentCounts]], names: list[str], span: Span, measure: Measure
) -> Generator[None, None, tuple[float, dict[str, Ratio]]]:
    """How many sigmas the one has moved that moved most, and the ratio of each."""
    ratios = {}
    for name in names:
        ratios[name] = Ratio(*_columns([part.get(name, _NOTHING) for part in parts], measure), span)
        yield
    own = {name: float(ratio.n[span.base].sum()) for name, ratio in ratios.items()}
    usual = sum(ratio.usual * own[name] for name, ratio in ratios.items()) / max(sum(own.values()), 1.0)
    for name, ratio in ratios.items():
        if own[name] < _FEW:  # one that has no past is held against all
            ratio.usual = usual
    return max(abs(ratio.z() or 0.0) for ratio in ratios.values()), ratios


def _where(ratios: dict[str, Ratio]) -> Concentration | None:
    excess = sum(ratio.excess for ratio in ratios.values())
    segment = max(ratios, key=lambda name: ratios[name].excess / excess if excess else 0.0)
    own, others = ratios[segment], [r for name, r in sorted(ratios.items()) if name != segment]
    n, columns = own.counted[1], [(r.k, r.n) for r in others]
    k_rest, n_rest = (np.sum(np.stack(side), axis=0) for side in zip(*columns, strict=True))
    rest = Ratio(k_rest, n_rest, own.span)
    other_n = rest.counted[1]
    if not (excess and n and other_n):
        return None
    if abs(excess - own.excess) / other_n > _MILDER * abs(own.excess) / n:
        return None
    return Concentration(segment, own.now, rest.now, own.excess / excess, rest.z() or 0.0)


def in_words(segment: str) -> str:
    """A segment as a person calls it.

    Example:
        >>> in_words("DE"), in_words("(other)")
        ('segment DE', 'the segments that are not kept apart')
    """
    return "the segments that are not kept apart" if segment == "(other)" else f"segment {segment}"


def placed(
    told: Told, diagnosis: Diagnosis, history: History, onset_ms: int, last_ms: int
) -> Generator[None, None, Told]:
    """What is told, with the segment in which it happens, if it is one."""
    if diagnosis.segment:
        where = in_words(diagnosis.segment)
        lines = tuple(
            msgspec.structs.replace(line, name=f"{line.name} in {diagnosis.segment}")
            for line in told.evidence
        )
        sentence = f"In {where}, {told.sentence}"
        return replace(told, segment=diagnosis.segment, sentence=sentence, evidence=lines)
    found = (yield from _concentrated(history, told.stage, onset_ms, last_ms)) if told.stage else None
    if found is None or not found.is_clear:
        return told
    sentence = f"{told.sentence} Nearly all of it in {in_words(found.segment)}."
    return replace(told, segment=found.segment, sentence=sentence)


def narrow(present: Present, case: Case) -> Present:
    """The window, and those since the incident was loud last, as an incident of one segment sees them."""
    if not case.segment or case.incident is None:
        return present
    since = min(case.loud_end_ms, present.window.start_ms)
    late = [w for w in present.history.windows if w.start_ms >= since]
    history = within(History(present.history.window_ms, late), case.incident.stage, case.segment)
    return present._replace(window=history.windows[-1], history=history)
