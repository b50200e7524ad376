"""Samples of numbers or of labels: what one window of a distribution holds, and several together."""

from __future__ import annotations

from typing import Any

from swirl.sketch import Categories, Distribution

__all__ = ["DIGEST", "LABELS", "Sample", "count", "kept", "merged", "pack", "unpack"]

Sample = Distribution | dict[str, int]

DIGEST = 200
"""k of digests that are merged from many."""

LABELS = 200
"""Labels that are told apart."""


def count(sample: Sample) -> int:
    """How many values there are; a label that is counted below 0 counts as none."""
    return sample.count if isinstance(sample, Distribution) else sum(n for n in sample.values() if n > 0)


def kept(sample: Sample) -> Sample:
    """A copy, for a window may still change after it was judged."""
    if isinstance(sample, Distribution):
        return sample.copy()
    known = Categories(LABELS)
    known.add((label, n) for label, n in sample.items() if n > 0)
    return known.counts


def merged(a: Sample, b: Sample) -> Sample:
    """Both together; what is older gives way where they are not of the same sort.

    Example:
        >>> merged({"a": 1}, {"b": 2, "a": 3})
        {'a': 4, 'b': 2}
    """
    if isinstance(a, Distribution) and isinstance(b, Distribution):
        both = Distribution(DIGEST)
        both.merge(a)
        both.merge(b)
        return both
    if isinstance(a, Distribution) or isinstance(b, Distribution):
        return b
    known = Categories(LABELS)
    for part in (a, b):
        known.add((label, n) for label, n in sorted(part.items()) if n > 0)
    return known.counts


def pack(sample: Sample | None) -> Any:
    """A sample as types that MessagePack knows."""
    if isinstance(sample, Distribution):
        return [sample.count, sample.total, sample.encode()]
    return None if sample is None else dict(sample)


def unpack(data: Any) -> Sample | None:
    """What :func:`pack` packed."""
    if data is None:
        return None
    return {str(k): int(v) for k, v in data.items()} if isinstance(data, dict) else Distribution.decode(*data)
