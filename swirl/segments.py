"""Segments of a stage, such as countries: their counts in a window, and which series each of them has.

What goes wrong in one of eight segments moves the whole by an eighth, and the whole has the noise of all
eight. So every segment has ratios of its own, as far as it is large enough to say something.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from swirl.effect import SeriesKey
from swirl.history import SegmentCounts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from swirl.frame import StageDefinition
    from swirl.history import StageCounts
    from swirl.window import Tally

__all__ = ["MOST_SEGMENTS", "PLAIN", "Ratio", "count_segments", "plain_key", "segment_of", "segment_ratios"]

MOST_SEGMENTS = 20
"""Segments of a stage that have series."""

PLAIN = {
    "segment_ratio": "records",
    "segment_invalid_ratio": "invalid_ratio",
    "segment_error_ratio": "error_ratio",
    "segment_prediction_ratio": "prediction_ratio",
}
"""Metric of a segment -> the metric of a stage that would be its only segment."""

Ratio = tuple[SeriesKey, int, int]
"""A series, and its numerator and denominator in a window."""

_KEPT = 2 * MOST_SEGMENTS
"""Segments whose counts a window keeps: the largest, more than have series, since one of these may shrink."""

_LABELS = 10
_WATCHED_LABELS = 5
_LEAST_SHARE = 0.01
_SIGMAS = 2.0
_MARK = ": "


def segment_of(key: SeriesKey) -> str:
    """The segment that a series is of, ``""`` for a series of the whole stage.

    Example:
        >>> segment_of(SeriesKey("classify", "segment_prediction_ratio", "DE: positive"))
        'DE'
        >>> segment_of(SeriesKey("classify", "prediction_ratio", "positive"))
        ''
    """
    if key.metric not in PLAIN:
        return ""
    return key.label.partition(_MARK)[0] if key.metric == "segment_prediction_ratio" else key.label


def plain_key(key: SeriesKey) -> SeriesKey:
    """The series of a stage that would have only this segment; the key itself where it is of none.

    Example:
        >>> plain_key(SeriesKey("classify", "segment_prediction_ratio", "DE: positive"))
        SeriesKey(stage='classify', metric='prediction_ratio', label='positive')
    """
    if key.metric not in PLAIN:
        return key
    label = key.label.partition(_MARK)[2] if key.metric == "segment_prediction_ratio" else ""
    return SeriesKey(key.stage, PLAIN[key.metric], label)


def count_segments(tally: Tally, records: int) -> dict[str, SegmentCounts]:
    """The counts of the largest segments; no part is larger than its whole, whatever a frame said.

    Args:
        tally: of a version of a stage.
        records: of the stage.

    Example:
        >>> from swirl.window import Tally
        >>> from swirl.frame import Slice
        >>> tally = Tally()
        >>> tally.add(Slice("s", "", 0, {}, {"segment": {"DE": 9, "FR": 5}, "segment_invalid": {"FR": 7}}))
        0
        >>> count_segments(tally, records=8)["FR"]
        SegmentCounts(records=5, invalid=5, errors=0, predictions=0, labels={})
    """
    counts = _named(tally.labels("segment"))
    if not counts:
        return {}
    invalid, errors = _named(tally.labels("segment_invalid")), _named(tally.labels("segment_error"))
    by_label = _by_label(tally)
    largest = sorted(counts, key=lambda name: (-counts[name], name))[:_KEPT]
    found = {}
    for name in largest:
        whole = min(counts[name], records)
        bad = min(invalid.get(name, 0), whole)
        labels = {label: part[name] for label, part in by_label.items() if part.get(name, 0) > 0}
        predictions = min(sum(labels.values()), whole)
        labels = {label: min(k, predictions) for label, k in labels.items()}
        found[name] = SegmentCounts(whole, bad, min(errors.get(name, 0), whole - bad), predictions, labels)
    return found


def _named(counts: Mapping[str, int]) -> dict[str, int]:
    """Without empty names, and without the mark that parts a segment from a label."""
    found: dict[str, int] = {}
    for name, count in counts.items():
        text = name.replace(_MARK, ":")
        if text and count > 0:
            found[text] = found.get(text, 0) + count
    return found


def _by_label(tally: Tally) -> dict[str, dict[str, int]]:
    """Label -> segment -> predictions, of the commonest labels."""
    prefix = "segment_label:"
    parts = {
        c.removeprefix(prefix): _named(tally.labels(c)) for c in tally.categories if c.startswith(prefix)
    }
    common = sorted(parts, key=lambda label: (-sum(parts[label].values()), label))[:_LABELS]
    return {label: parts[label] for label in sorted(common)}


def segment_ratios(
    stage: StageDefinition,
    counts: StageCounts,
    segments: Mapping[str, SegmentCounts],
    known: Mapping[str, Sequence[SeriesKey]],
) -> Iterator[Ratio]:
    """The ratios of the segments of a stage in a window. Where no record has a segment there are none.

    Args:
        stage: the stage.
        counts: of the whole stage.
        segments: counts by segment, of all versions.
        known: segment -> the series that it has already.
    """
    placed = sum(part.records for part in segments.values())
    if placed <= 0:
        return
    for name in [*known, *_newcomers(segments, known, placed)]:
        part = segments.get(name, _NOTHING)
        before = known.get(name, ())
        yield SeriesKey(stage.name, "segment_ratio", name), part.records, placed
        judged = SeriesKey(stage.name, "segment_invalid_ratio", name)
        if stage.validates or part.invalid or judged in before:
            yield judged, part.invalid, part.records
        yield SeriesKey(stage.name, "segment_error_ratio", name), part.errors, part.records - part.invalid
        for label in _labels(counts, before):
            key = SeriesKey(stage.name, "segment_prediction_ratio", name + _MARK + label)
            yield key, part.labels.get(label, 0), part.predictions


_NOTHING = SegmentCounts()


def _newcomers(segments: Mapping[str, SegmentCounts], known: Mapping[str, object], placed: int) -> list[str]:
    """Segments that now get series: the largest, if they clearly hold a hundredth of the records.

    Clearly: by two standard deviations of a count, so that a small one does not slip in by chance.
    """
    fresh = [
        name
        for name, part in segments.items()
        if name not in known and part.records - _SIGMAS * sqrt(part.records) >= _LEAST_SHARE * placed
    ]
    fresh.sort(key=lambda name: (-segments[name].records, name))
    return fresh[: max(0, MOST_SEGMENTS - len(known))]


def _labels(counts: StageCounts, before: Sequence[SeriesKey]) -> list[str]:
    """The labels that are watched in a segment: those that are, then the commonest of the stage.

    Of two labels one says it all.
    """
    watched = [plain_key(key).label for key in before if key.metric == "segment_prediction_ratio"]
    room = 1 if len(counts.labels) <= 2 else _WATCHED_LABELS
    common = sorted(counts.labels, key=lambda label: (-counts.labels[label], label))
    return watched + [label for label in common if label not in watched][: max(0, room - len(watched))]
