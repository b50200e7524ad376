"""The points of a closed window that are judged."""

from __future__ import annotations

from math import exp, nan
from typing import TYPE_CHECKING

from swirl.contrast import version_contrasts
from swirl.detector import Kind
from swirl.effect import SeriesKey
from swirl.history import StageCounts, WindowCounts, segments_of
from swirl.residual import total
from swirl.segments import segment_ratios
from swirl.series.counts import counter, merged_categories, merged_distribution
from swirl.series.table import Measured, SeriesTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from swirl.frame import Definition, RatioDefinition, StageDefinition
    from swirl.residual import InputModel, LoadModel
    from swirl.window import Tally, Window

__all__ = ["measure"]

_WAY_WINDOWS = 4
"""Windows before the last one that records may take from stage to stage."""


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


def _distributions(stage: str, parts: Mapping[str, Tally]) -> Iterator[Measured]:
    names = {name for tally in parts.values() for name in tally.distributions} - {"latency"}
    for name in sorted(names):
        sample = merged_distribution(parts, name)
        yield Measured(_drift_key(stage, name), Kind.DISTRIBUTION, nan, 1.0, sample)
    categories = {
        name for tally in parts.values() for name in tally.categories if name.startswith("feature:")
    }
    for name in sorted(categories):
        counts = merged_categories(parts, name)
        key = _drift_key(stage, name)
        yield Measured(key, Kind.DISTRIBUTION, nan, 1.0, counts)
        yield Measured(key._replace(metric="cardinality"), Kind.DISTRIBUTION, nan, 1.0, counts)


def _drift_key(stage: str, name: str) -> SeriesKey:
    if name == "prediction":
        return SeriesKey(stage, "prediction_drift")
    if name.startswith("feature:"):
        return SeriesKey(stage, "drift", name.removeprefix("feature:"))
    return SeriesKey(stage, "observed_drift", name)


def _ratio(ratio: RatioDefinition, stages: Mapping[str, StageCounts]) -> Iterator[Measured]:
    top, bottom = counter(stages, ratio.numerator), counter(stages, ratio.denominator)
    key = SeriesKey(ratio.numerator[0], "ratio", ratio.name)
    if bottom <= 0:
        return
    # Which of the two it is for good is decided by the first window: one that can exceed one is a level.
    if top <= bottom:
        yield Measured(key, Kind.RATIO, top, bottom)
    yield Measured(key, Kind.LEVEL, top / bottom)
