"""The plain rates that are shown beside the series that are judged."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, NamedTuple

from swirl.effect import SeriesKey
from swirl.history import BUILT_IN, StageCounts
from swirl.residual import total
from swirl.series.counts import counter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from swirl.frame import Definition
    from swirl.history import WindowCounts

__all__ = ["Shown", "show"]


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
