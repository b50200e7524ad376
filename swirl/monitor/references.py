"""Baselines that were given with the definition: training data, known before the first window."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from swirl.effect import SeriesKey
from swirl.sketch import Distribution

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from swirl.frame import Definition, Summary

__all__ = ["Given", "Reference", "references"]

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


class Given:
    """Which series are judged against the baseline that was given for them.

    Attributes:
        unreadable: baselines in the definition that could not be read.
    """

    def __init__(self) -> None:
        self.unreadable = 0
        self._references: dict[SeriesKey, Reference] = {}
        self._handed: dict[SeriesKey, bytes] = {}
        """The digests of those that detectors have."""
        self._outlived: set[SeriesKey] = set()
        """Series whose reference is not their baseline any more."""

    def define(self, definition: Definition) -> None:
        """Take over which baselines there are."""
        self._references, self.unreadable = references(definition)

    def __iter__(self) -> Iterator[SeriesKey]:
        return iter(self._references)

    def __contains__(self, key: SeriesKey) -> bool:
        return key in self._references

    @property
    def withdrawn(self) -> list[SeriesKey]:
        """Series whose baseline was handed over and is in the definition no more."""
        return [key for key in self._handed if key not in self._references]

    def counts(self, key: SeriesKey) -> bool:
        """Whether a series is judged against the baseline that was given."""
        return key in self._handed and key not in self._outlived

    def sample(self, key: SeriesKey) -> Distribution | dict[str, int] | None:
        """The baseline of a series, while it is the one that was given."""
        return self._references[key].sample if key in self._references and self.counts(key) else None

    def is_due(self, key: SeriesKey) -> bool:
        """Whether a baseline is there that was not handed over yet."""
        return self._handed.get(key) != self._references[key].digest

    def hand_over(self, key: SeriesKey) -> Distribution | dict[str, int]:
        """Give the baseline of a series away; it counts from now on."""
        self._handed[key] = self._references[key].digest
        return self._references[key].sample

    def take_back(self, key: SeriesKey) -> bool:
        """Forget that a series was handed a baseline; whether it was."""
        self._outlived.discard(key)
        return self._handed.pop(key, None) is not None

    def outlive(self, keys: Iterable[SeriesKey]) -> None:
        """Another level is normal now: what was given counts again when another is given."""
        self._outlived |= self._handed.keys() & keys

    def snapshot(self) -> dict[str, Any]:
        """Of types that MessagePack knows."""
        return {
            "referred": [[list(key), digest] for key, digest in self._handed.items()],
            "outlived": [list(key) for key in sorted(self._outlived)],
        }

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take what ``snapshot`` gave."""
        self._handed = {SeriesKey(*key): digest for key, digest in data["referred"]}
        self._outlived = {SeriesKey(*key) for key in data["outlived"]}
