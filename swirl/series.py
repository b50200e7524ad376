"""From a closed window to the points of its series.

Series are conditional by construction: what a stage did given what it received, so that an effect that is
passed on leaves no trace downstream. Plain rates are shown beside them and are not judged. A ratio keeps its
numerator and its denominator to the end.

========================  ============  =======================================================
metric                    kind          what it is
========================  ============  =======================================================
records                   rate          records that arrived; judged at sources
input_ratio               level         records that arrived, as a factor of what was sent
invalid_ratio             ratio         invalid of records
error_ratio               ratio         errors of records that were not invalid
output_ratio              ratio         passed on, of records that were neither invalid nor errors
prediction_ratio          ratio         one label of all valid predictions
null_ratio                ratio         null feature values of all
ratio                     ratio         the user's own, of one stage or across two
counter_level             level         the user's own counter per record, unless a ratio has it on top
latency_p50               level         median time per record, given the load
latency_p95               positive      0.95 quantile of the time per record, given its median
lag                       positive      time of sending minus event time, of what came last
version_contrast          level         newest version against the others in the same window, in sigmas
drift                     distribution  a feature against its baseline
prediction_drift          distribution  numeric predictions, or labels of which a reference is given
cardinality               distribution  different labels of a feature, given how many records there are
observed_drift            distribution  the user's own observation against its baseline
segment_ratio             ratio         records of one segment, of all that have a segment
segment_invalid_ratio     ratio         invalid of the records of one segment
segment_error_ratio       ratio         errors of its records that were not invalid
segment_prediction_ratio  ratio         one label of its valid predictions: ``"DE: positive"``
invalid, errors, out      shown         per second; their limits are those of their ratio
count                     shown         the user's own counter per second
========================  ============  =======================================================
"""

from __future__ import annotations

from math import exp, isfinite, log, nan
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from swirl.contrast import version_contrasts
from swirl.detector import Kind, Points
from swirl.effect import SeriesKey
from swirl.history import BUILT_IN, StageCounts, WindowCounts, segments_of
from swirl.residual import total
from swirl.segments import count_segments, segment_of, segment_ratios

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from swirl.frame import Definition, RatioDefinition, StageDefinition
    from swirl.residual import InputModel, LoadModel
    from swirl.sketch import Distribution
    from swirl.window import Tally, Window

__all__ = [
    "FLOORS",
    "Measured",
    "SeriesTable",
    "Shown",
    "count_stage",
    "counter",
    "is_material",
    "measure",
    "merged_distribution",
    "show",
]

FLOORS: dict[str, tuple[float, float]] = {
    "records": (0.02, 0.0),
    "input_ratio": (0.02, 0.0),
    "counter_level": (0.02, 0.0),
    "latency_p50": (0.2, 0.001),
    "latency_p95": (0.2, 0.001),
    "lag": (0.2, 1.0),
    "segment_ratio": (0.1, 0.0),
}
"""Metric -> the change, relative and absolute, below which nobody is told however sure the detector is."""

_RELATIVE_FLOOR = 0.01
_TOP = 5
_WAY_WINDOWS = 4
"""Windows before the last one that records may take from stage to stage."""


class Measured(NamedTuple):
    """A point to be judged.

    Attributes:
        key: the series.
        kind: of its numbers.
        value, weight: see :class:`swirl.detector.Points`.
        sample: of a distribution.
        scale, rate: a person sees ``scale * value``, or where ``rate`` is not 0 ``scale * exp(rate *
            value)``.
    """

    key: SeriesKey
    kind: Kind
    value: float
    weight: float = 1.0
    sample: Distribution | dict[str, int] | None = None
    scale: float = 1.0
    rate: float = 0.0


class Shown(NamedTuple):
    """A plain rate beside a judged series.

    Attributes:
        key: the series.
        value: per second.
        judged: the series whose limits, times ``factor``, are its own.
        factor: see there.
    """

    key: SeriesKey
    value: float
    judged: SeriesKey
    factor: float


def is_material(key: SeriesKey, value: float, expected: float, *, accumulated: bool = False) -> bool:
    """Whether a change is large enough to tell a person of.

    Example:
        >>> is_material(SeriesKey("a", "latency_p50"), 9e-6, 5e-6)
        False
        >>> is_material(SeriesKey("a", "prediction_ratio", "yes"), 0.2, 0.8)
        True
    """
    if not (isfinite(value) and isfinite(expected)):
        return isfinite(value)
    relative, absolute = FLOORS.get(key.metric, (_RELATIVE_FLOOR, 0.0))
    floor = max(relative * abs(expected), absolute)
    # The last of many small steps may lie anywhere around the shift that they add up to.
    return abs(value - expected) > floor * (0.5 if accumulated else 1.0)


def count_stage(tally: Tally) -> StageCounts:
    """A tally reduced to the counts that history keeps.

    No part is larger than its whole, whatever a frame said: ratios rest on that.
    """
    latency = tally.distributions.get("latency")
    middle = spread = 0.0
    if latency is not None and latency.count:
        middle = max(latency.quantile(0.5), 1e-9)
        spread = log(max(latency.quantile(0.75), 1e-9) / max(latency.quantile(0.25), 1e-9)) / 1.349
    own = {n: c for n, c in tally.counters.items() if n not in BUILT_IN and ":" not in n}
    records, values = tally.count("records"), tally.count("values")
    invalid = min(tally.count("invalid"), records)
    return StageCounts(
        records=records,
        invalid=invalid,
        errors=min(tally.count("errors"), records - invalid),
        out=tally.count("out"),
        predictions=tally.count("predictions"),
        labels=dict(tally.labels("label")),
        nulls=min(tally.count("nulls"), values),
        values=values,
        hook_errors=tally.count("hook_errors"),
        non_finite=tally.count("non_finite"),
        latency=middle,
        latency_spread=spread,
        counters=own,
        reasons=_top(tally.labels("reason")),
        error_types=_top(tally.labels("error")),
        segments=count_segments(tally, records),
    )


def _top(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_TOP])


def _added(left: Mapping[str, int], right: Mapping[str, int]) -> dict[str, int]:
    merged = dict(left)
    for label, count in right.items():
        merged[label] = merged.get(label, 0) + count
    return merged


class SeriesTable:
    """Which series there are, and in which row of its bank each one is. Rows are never given away again.

    Args:
        cap: how many series there may be; further ones are counted in ``refused`` and left out.
    """

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self.refused = 0
        self.keys: dict[Kind, list[SeriesKey]] = {kind: [] for kind in Kind}
        self.labels: dict[str, list[SeriesKey]] = {}
        """Stage -> the series of its labels."""
        self.segments: dict[str, dict[str, list[SeriesKey]]] = {}
        """Stage -> segment -> its series."""
        # One look-up a point: the kinds are numbered because hashing an enum's member is slow.
        self._number = {kind: number for number, kind in enumerate(Kind)}
        self._places: dict[SeriesKey, tuple[Kind, int, int]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: SeriesKey) -> bool:
        return key in self._places

    def kind(self, key: SeriesKey) -> Kind:
        """Of a series that is there."""
        return self._places[key][0]

    def row(self, key: SeriesKey) -> int:
        """Its row in the bank of its kind."""
        return self._places[key][2]

    def add(self, key: SeriesKey, kind: Kind) -> bool:
        """Make room for a series; False when there is none."""
        if len(self._places) >= self.cap:
            self.refused += 1
            return False
        self._places[key] = kind, self._number[kind], len(self.keys[kind])
        self.keys[kind].append(key)
        if key.metric == "prediction_ratio":
            self.labels.setdefault(key.stage, []).append(key)
        elif name := segment_of(key):
            self.segments.setdefault(key.stage, {}).setdefault(name, []).append(key)
        return True

    def arrange(
        self, measured: Iterable[Measured], start_ms: int, window_ms: int
    ) -> dict[Kind, tuple[Points, list[Measured | None]]]:
        """The points of each kind in order of rows, all rows of the kind, NaN where nothing was measured."""
        found: list[list[Measured | None]] = [[None] * len(keys) for keys in self.keys.values()]
        for point in measured:
            place = self._places.get(point.key)
            if place is None:
                if self.add(point.key, point.kind):
                    found[self._number[point.kind]].append(point)
            elif place[0] is point.kind:  # a ratio that once was above one is a level for good
                found[place[1]][place[2]] = point
        return {
            kind: (_points(kind, rows, start_ms, window_ms), rows)
            for kind, rows in zip(self.keys, found, strict=True)
            if rows
        }


def _points(kind: Kind, rows: Sequence[Measured | None], start_ms: int, window_ms: int) -> Points:
    value = np.array([nan if point is None else point.value for point in rows], dtype=np.float64)
    weight = np.array([0.0 if point is None else point.weight for point in rows], dtype=np.float64)
    samples = [None if point is None else point.sample for point in rows] if kind is Kind.DISTRIBUTION else ()
    return Points(start_ms, window_ms, value, weight, samples)


def measure(
    window: Window,
    now: WindowCounts,
    before: WindowCounts | None,
    definition: Definition,
    table: SeriesTable,
    models: tuple[Mapping[str, InputModel], Mapping[str, LoadModel]],
    earlier: Sequence[WindowCounts] = (),
) -> Iterator[Measured]:
    """The points of a closed window, to be judged.

    Args:
        window: it.
        now: its counts.
        before: those of the window before it.
        definition: the stage graph.
        table: which series there are.
        models: of input and of load, by stage.
        earlier: the windows before this one, oldest first: they tell which version of a stage is the newest,
            and what is still on its way.
    """
    inputs, loads = models
    stages = {stage: total(now, stage) for stage in now.stages}
    tallies = window.by_stage()
    numerators = {ratio.numerator for ratio in definition.ratios}
    for stage in definition.stages:
        counts = stages.get(stage.name) or StageCounts()
        yield from _transfers(stage, counts, table.labels.get(stage.name, ()))
        past = earlier[-2 : -2 - _WAY_WINDOWS : -1]
        yield from _arrivals(stage, counts, now, before, past, inputs.get(stage.name))
        parts = tallies.get(stage.name, {})
        yield from _times(stage.name, now, parts, loads.get(stage.name))
        yield from _distributions(stage.name, parts)
        for name in sorted(counts.counters):
            if (stage.name, name) not in numerators and counts.records:
                yield Measured(
                    SeriesKey(stage.name, "counter_level", name),
                    Kind.LEVEL,
                    counts.counters[name] / counts.records,
                )
    for ratio in definition.ratios:
        yield from _ratio(ratio, stages)
    for reference in definition.references:
        labels = stages[reference.stage].labels if reference.stage in stages else {}
        if "label" in reference.categories and labels:
            key = SeriesKey(reference.stage, "prediction_drift")
            yield Measured(key, Kind.DISTRIBUTION, nan, 1.0, dict(labels))
    for contrast in version_contrasts(now, definition, earlier):
        label = f"{contrast.metric}:{contrast.label}" if contrast.label else contrast.metric
        yield Measured(SeriesKey(contrast.stage, "version_contrast", label), Kind.LEVEL, contrast.z)
    # Last, so that where there are too many series it is these that are left out.
    for stage in definition.stages:
        if stage.name in stages:
            yield from _of_segments(stage, stages[stage.name], now, table)
    if now.lag_ms > 0:
        yield Measured(SeriesKey("", "lag"), Kind.POSITIVE, now.lag_ms / 1000)


def _transfers(stage: StageDefinition, counts: StageCounts, known: Sequence[SeriesKey]) -> Iterator[Measured]:
    """What the stage did with what it received."""
    name, valid = stage.name, counts.records - counts.invalid
    if stage.validates or counts.invalid:
        yield Measured(SeriesKey(name, "invalid_ratio"), Kind.RATIO, counts.invalid, counts.records)
    yield Measured(SeriesKey(name, "error_ratio"), Kind.RATIO, counts.errors, valid)
    if counts.out <= counts.handled:  # a generator that yields several a record has no such ratio
        yield Measured(SeriesKey(name, "output_ratio"), Kind.RATIO, counts.out, counts.handled)
    labels, ratio, predictions = counts.labels, Kind.RATIO, counts.predictions
    for key in known:
        yield Measured(key, ratio, labels.get(key.label, 0), predictions)
    for label in sorted(labels.keys() - {key.label for key in known}):
        yield Measured(SeriesKey(name, "prediction_ratio", label), ratio, labels[label], predictions)
    if counts.values:
        yield Measured(SeriesKey(name, "null_ratio"), Kind.RATIO, counts.nulls, counts.values)


def _of_segments(
    stage: StageDefinition, counts: StageCounts, now: WindowCounts, table: SeriesTable
) -> Iterator[Measured]:
    segments = segments_of(now, stage.name)
    for key, k, n in segment_ratios(stage, counts, segments, table.segments.get(stage.name, {})):
        yield Measured(key, Kind.RATIO, k, n)


def _arrivals(
    stage: StageDefinition,
    counts: StageCounts,
    now: WindowCounts,
    before: WindowCounts | None,
    past: Sequence[WindowCounts],
    model: InputModel | None,
) -> Iterator[Measured]:
    """Records that arrived: a rate at a source, otherwise given what the parents sent."""
    if not stage.after:
        yield Measured(SeriesKey(stage.name, "records"), Kind.RATE, counts.records)
    elif model is not None:
        found = model.residual(now, before, past)
        if found is not None:
            residual, sd = found
            yield Measured(SeriesKey(stage.name, "input_ratio"), Kind.LEVEL, residual / sd, rate=sd)


def _times(
    stage: str, now: WindowCounts, parts: Mapping[str, Tally], model: LoadModel | None
) -> Iterator[Measured]:
    found = model.residual(now) if model is not None else None
    whole = merged_distribution(parts, "latency")
    if whole is None or not whole.count:
        return
    if found is not None:
        residual, sd = found
        median = max(whole.quantile(0.5), 1e-9)
        yield Measured(
            SeriesKey(stage, "latency_p50"), Kind.LEVEL, residual / sd, scale=median / exp(residual), rate=sd
        )
    middle = max(whole.quantile(0.5), 1e-9)
    tail = max(whole.quantile(0.95), 1e-9) / middle
    yield Measured(SeriesKey(stage, "latency_p95"), Kind.POSITIVE, tail, scale=middle)


def merged_distribution(parts: Mapping[str, Tally], name: str) -> Distribution | None:
    """One distribution of a stage over all its versions."""
    found = [tally.distributions[name] for tally in parts.values() if name in tally.distributions]
    if len(found) <= 1:
        return found[0] if found else None
    whole = found[0].copy()
    for other in found[1:]:
        whole.merge(other)
    return whole


def _distributions(stage: str, parts: Mapping[str, Tally]) -> Iterator[Measured]:
    names = {name for tally in parts.values() for name in tally.distributions} - {"latency"}
    for name in sorted(names):
        sample = merged_distribution(parts, name)
        yield Measured(_drift_key(stage, name), Kind.DISTRIBUTION, nan, 1.0, sample)
    categories = {
        name for tally in parts.values() for name in tally.categories if name.startswith("feature:")
    }
    for name in sorted(categories):
        counts: dict[str, int] = {}
        for tally in parts.values():
            counts = _added(counts, tally.labels(name))
        key = _drift_key(stage, name)
        yield Measured(key, Kind.DISTRIBUTION, nan, 1.0, counts)
        yield Measured(key._replace(metric="cardinality"), Kind.DISTRIBUTION, nan, 1.0, counts)


def _drift_key(stage: str, name: str) -> SeriesKey:
    if name == "prediction":
        return SeriesKey(stage, "prediction_drift")
    if name.startswith("feature:"):
        return SeriesKey(stage, "drift", name.removeprefix("feature:"))
    return SeriesKey(stage, "observed_drift", name)


def counter(stages: Mapping[str, StageCounts], place: tuple[str, str]) -> float:
    """A counter of a stage, built in or the user's own."""
    counts = stages.get(place[0])
    return counts.counter(place[1]) if counts is not None else 0.0


def _ratio(ratio: RatioDefinition, stages: Mapping[str, StageCounts]) -> Iterator[Measured]:
    top, bottom = counter(stages, ratio.numerator), counter(stages, ratio.denominator)
    key = SeriesKey(ratio.numerator[0], "ratio", ratio.name)
    if bottom <= 0:
        return
    # Which of the two it is for good is decided by the first window: one that can exceed one is a level.
    if top <= bottom:
        yield Measured(key, Kind.RATIO, top, bottom)
    yield Measured(key, Kind.LEVEL, top / bottom)


def show(
    now: WindowCounts, definition: Definition, judged: Mapping[SeriesKey, float], exposure_s: float
) -> Iterator[Shown]:
    """The plain rates of a window, per second.

    Args:
        now: its counts.
        definition: the stage graph.
        judged: what a person sees of the judged series in this window.
        exposure_s: seconds of the window that were covered, above 0.
    """
    stages = {stage: total(now, stage) for stage in now.stages}
    ratios = {ratio.numerator: ratio for ratio in reversed(definition.ratios)}
    for stage in definition.stages:
        name, counts = stage.name, stages.get(stage.name) or StageCounts()
        valid = counts.records - counts.invalid
        if stage.after:
            ratio_key = SeriesKey(name, "input_ratio")
            factor = judged.get(ratio_key, nan)
            rate = counts.records / exposure_s
            yield Shown(SeriesKey(name, "records"), rate, ratio_key, rate / factor if factor > 0 else nan)
        yield Shown(
            SeriesKey(name, "invalid"),
            counts.invalid / exposure_s,
            SeriesKey(name, "invalid_ratio"),
            counts.records / exposure_s,
        )
        yield Shown(
            SeriesKey(name, "errors"),
            counts.errors / exposure_s,
            SeriesKey(name, "error_ratio"),
            valid / exposure_s,
        )
        yield Shown(
            SeriesKey(name, "out"),
            counts.out / exposure_s,
            SeriesKey(name, "output_ratio"),
            counts.handled / exposure_s,
        )
        in_ratios = {place[1] for place in ratios if place[0] == name and place[1] not in BUILT_IN}
        for own in sorted(counts.counters.keys() | in_ratios):
            ratio = ratios.get((name, own))
            key = SeriesKey(name, "ratio", ratio.name) if ratio else SeriesKey(name, "counter_level", own)
            per = counter(stages, ratio.denominator) if ratio else counts.records
            yield Shown(
                SeriesKey(name, "count", own),
                counts.counters.get(own, 0.0) / exposure_s,
                key,
                per / exposure_s,
            )
