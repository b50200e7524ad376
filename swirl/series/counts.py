"""Tallies as numbers: what history keeps of a stage, and what is added up over its versions."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

from swirl.history import BUILT_IN, StageCounts
from swirl.segments import count_segments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swirl.sketch import Distribution
    from swirl.window import Tally

__all__ = ["count_stage", "counter", "merged_categories", "merged_distribution"]

_TOP = 5


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


def counter(stages: Mapping[str, StageCounts], place: tuple[str, str]) -> float:
    """A counter of a stage, built in or the user's own."""
    counts = stages.get(place[0])
    return counts.counter(place[1]) if counts is not None else 0.0


def merged_distribution(parts: Mapping[str, Tally], name: str) -> Distribution | None:
    """One distribution of a stage over all its versions."""
    found = [tally.distributions[name] for tally in parts.values() if name in tally.distributions]
    if len(found) <= 1:
        return found[0] if found else None
    whole = found[0].copy()
    for other in found[1:]:
        whole.merge(other)
    return whole


def merged_categories(parts: Mapping[str, Tally], name: str) -> dict[str, int]:
    """How often each label came at a stage, over all its versions."""
    merged: dict[str, int] = {}
    for tally in parts.values():
        for label, count in tally.labels(name).items():
            merged[label] = merged.get(label, 0) + count
    return merged
