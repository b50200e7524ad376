"""Baselines that were given with the definition: training data, known before the first window."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from swirl.effect import SeriesKey
from swirl.sketch import Distribution

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swirl.frame import Definition, Summary

__all__ = ["Reference", "references"]

_encode = msgspec.msgpack.Encoder().encode


class Reference(NamedTuple):
    """The baseline of one series.

    Attributes:
        digest: 8 bytes that differ where the baseline does.
        sample: numbers, or counts by label.
    """

    digest: bytes
    sample: Distribution | dict[str, int]


def references(definition: Definition) -> tuple[dict[SeriesKey, Reference], int]:
    """The baselines of a definition by series, and how many could not be read."""
    found: dict[SeriesKey, Reference] = {}
    unreadable = 0
    for reference in definition.references:
        for name, counts in reference.categories.items():
            key = _key(reference.stage, name)
            if key is not None and sum(counts.values()) > 0:
                found[key] = Reference(_digest(sorted(counts.items())), dict(counts))
        for key, summary in _numbers(reference.stage, reference.distributions):
            try:
                sample = Distribution.decode(summary.count, summary.total, summary.digest)
            except ValueError:
                unreadable += 1
                continue
            if sample.count:
                found[key] = Reference(_digest([summary.count, summary.digest]), sample)
    return found, unreadable


def _numbers(stage: str, distributions: dict[str, Summary]) -> Iterator[tuple[SeriesKey, Summary]]:
    for name, summary in distributions.items():
        key = _key(stage, name)
        if key is not None:
            yield key, summary


def _key(stage: str, name: str) -> SeriesKey | None:
    if name in ("label", "prediction"):
        return SeriesKey(stage, "prediction_drift")
    if name.startswith("feature:"):
        return SeriesKey(stage, "drift", name.removeprefix("feature:"))
    return None


def _digest(content: object) -> bytes:
    return blake2b(_encode(content), digest_size=8).digest()
