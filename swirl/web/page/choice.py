"""Which series are worth a chart: always the same few, and those that tell of the incident."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from swirl.effect import SeriesKey, State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swirl.effect import Evidence, Incident, SeriesPoint
    from swirl.web.page.layout import Layout

__all__ = ["chosen", "is_judged", "part_of", "roles", "told_by", "top_label"]

_USUALLY = 6
_MOST = 12
_SHOWN_BESIDE = frozenset({"invalid", "errors", "out", "count"})
"""Rates that have the limits of another series."""


_PAIRS = (("invalid", "invalid_ratio"), ("errors", "error_ratio"))
_PAIRED = frozenset(metric for pair in _PAIRS for metric in pair)


def is_judged(point: SeriesPoint) -> bool:
    """Whether the series has limits of its own, or will have."""
    metric = point.key.metric
    if metric == "records":
        return point.numerator == point.numerator
    return metric not in _SHOWN_BESIDE


def top_label(points: Sequence[SeriesPoint], stage: str) -> SeriesKey | None:
    """The ratio of the commonest prediction of a stage, None where it predicts no labels."""
    found = [p for p in points if p.key.stage == stage and p.key.metric == "prediction_ratio"]
    return (
        max(found, key=lambda p: (p.expected == p.expected, p.expected, p.key.label)).key if found else None
    )


def part_of(incident: Incident, piece: Evidence) -> Literal["root", "follows", ""]:
    """The part of a piece of evidence: what stands elsewhere, or did not move, is shown for comparison."""
    if piece.root:
        return "root"
    moved = piece.usual != (piece.worst or piece.now)
    near = piece.stage in ("", incident.stage, *incident.follows)
    return "follows" if moved and near else ""


def roles(incident: Incident | None, points: Sequence[SeriesPoint]) -> dict[SeriesKey, str]:
    """Series that tell of the incident: ``"root"`` for those of the root, ``"follows"`` for the rest."""
    if incident is None:
        return {}
    said = {SeriesKey(e.stage, e.metric, e.label): e for e in incident.evidence}
    found: dict[SeriesKey, str] = {
        key: part for key, piece in said.items() if (part := part_of(incident, piece))
    }
    shown = _metrics(incident)
    for point in points:
        out = incident.state == "open" and point.state in (State.ANOMALY, State.HELD)
        of_root = point.key.stage == incident.stage and point.key.metric in shown
        if out or (of_root and point.key.metric in _PAIRED):
            found.setdefault(point.key, "root" if of_root else "follows")
    return found


def _metrics(incident: Incident) -> set[str]:
    """What the root shows: a rate or the ratio behind it, it is the same."""
    shown = {e.metric for e in incident.evidence if e.root}
    return shown | {metric for pair in _PAIRS if shown & set(pair) for metric in pair}


def chosen(layout: Layout, points: Sequence[SeriesPoint], telling: dict[SeriesKey, str]) -> list[SeriesKey]:
    """Series that get a chart, in an order that does not change while the graph does not.

    Args:
        layout: of the stages.
        points: of the newest window.
        telling: what :func:`roles` found.
    """
    known = [point.key for point in points]
    usual = _usual(layout, points)
    named = [key for key in telling if key in known and key not in usual]
    # A rate is shown rather than its ratio, and one label of two says it all.
    named = [key for key in named if not told_by(key, [*usual, *named], known)]
    return [*usual, *sorted(named, key=_order(layout))][:_MOST]


def _usual(layout: Layout, points: Sequence[SeriesPoint]) -> list[SeriesKey]:
    known = {point.key for point in points}
    kinds: list[list[SeriesKey]] = [
        [SeriesKey(s, "records") for s in layout.stages if not layout.parents[s]],
        [SeriesKey(s, "invalid") for s in layout.stages if SeriesKey(s, "invalid_ratio") in known],
        [key for s in layout.stages if (key := top_label(points, s)) is not None],
        [key for key in known if key.metric == "count"],
        [key for key in known if key.metric in ("drift", "observed_drift")],
        [SeriesKey(s, "latency_p95") for s in layout.stages],
        [key for key in known if key.metric == "ratio"],
        [SeriesKey(s, "records") for s in layout.stages if layout.parents[s]],
    ]
    order = _order(layout)
    there = [sorted((key for key in kind if key in known), key=order) for kind in kinds]
    found: list[SeriesKey] = []
    for rank in range(_USUALLY):
        found += [key for kind in there for key in kind[rank : rank + 1]]
    return sorted(found[:_USUALLY], key=order)


def told_by(key: SeriesKey, others: Sequence[SeriesKey], known: Sequence[SeriesKey]) -> bool:
    """Whether others already tell what a series tells: its rate, or of two labels the other one.

    Args:
        key: the series.
        others: that are shown, it may be among them.
        known: all that there are.
    """
    rate = {"invalid_ratio": "invalid", "error_ratio": "errors"}.get(key.metric)
    if rate is not None:
        return SeriesKey(key.stage, rate) in others
    if key.metric != "prediction_ratio" or sum(k[:2] == key[:2] for k in known) != 2:
        return False
    first = next((k for k in others if k[:2] == key[:2]), key)
    return first != key


_METRICS = ("records", "invalid", "errors", "prediction_ratio", "count", "ratio", "drift", "latency_p95")


def _order(layout: Layout) -> Callable[[SeriesKey], tuple[int, int, str, str]]:
    """By place in the graph, then by metric."""
    places = {stage: place for place, stage in enumerate(layout.stages)}
    ranks = {metric: rank for rank, metric in enumerate(_METRICS)}

    def rank(key: SeriesKey) -> tuple[int, int, str, str]:
        place = places.get(key.stage, len(places))
        return place, ranks.get(key.metric, len(ranks)), key.metric, key.label

    return rank
