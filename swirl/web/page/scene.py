"""What a page shows, gathered from one view of the board: values that templates only have to write down."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from swirl.effect import SeriesKey, State
from swirl.incident.causes import UNKNOWN, words_of
from swirl.sinks.wording import RULED_OUT, likely, probability
from swirl.web.page.chart import Chart, Deployment, draw
from swirl.web.page.choice import chosen, is_judged, part_of, roles, told_by
from swirl.web.page.figures import limits, name_of, telling_limits, typeset, value
from swirl.web.page.layout import lay_out
from swirl.web.page.stages import StageGraph, stage_graph, usual_values
from swirl.web.page.words import Fact, Standing, budget, eyesight, sight, standing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from swirl.effect import Incident, SeriesPoint
    from swirl.sinks.board import Track, View

__all__ = [
    "MOST_CHARTS",
    "Cause",
    "Scene",
    "Sign",
    "Stage",
    "causes",
    "charts_of",
    "deployments",
    "scene_of",
    "signs_of",
]

MOST_CHARTS = 60
"""Of one stage on one page."""

_WINDOWS = 120
_SIGNS = 40


class Sign(NamedTuple):
    """A row of the evidence.

    Attributes:
        role, stage, name: which series, and its part.
        usual, limits, now: in words.
        share: evidence, as a share of what an alarm takes; None where it is not known.
        onset_ms: since when it is outside, 0 for not.
    """

    role: str
    stage: str
    name: str
    usual: str
    limits: str
    now: str
    share: float | None
    onset_ms: int


class Cause(NamedTuple):
    """A row of the causes that were weighed."""

    name: str
    posterior: float
    told: str
    why: str
    verdict: str


class Stage(NamedTuple):
    """A stage and how many series it has, for links."""

    name: str
    series: int
    out: int


class Scene(NamedTuple):
    """One pipeline, ready to be written down."""

    view: View
    standing: Standing
    as_of_ms: int
    budget: str
    incident: Incident | None
    graph: StageGraph
    charts: list[Chart]
    shown: int
    series: int
    out: int
    signs: list[Sign]
    calm: int
    causes: list[Cause]
    stages: list[Stage]
    facts: list[Fact]
    eyesight: str


def scene_of(view: View, now_ms: int) -> Scene:
    """All that the page of a pipeline shows."""
    last, incident = view.last, view.open
    points = list(last.points()) if last is not None else []
    telling = roles(incident, points)
    settled = [p for p in points if is_judged(p) and p.state not in (State.UNMEASURED, State.LEARNING)]
    out = sum(p.state in (State.ANOMALY, State.HELD) for p in settled)
    facts = sight(view, now_ms)
    keys = chosen(lay_out(last.definition), points, telling) if last is not None else []
    return Scene(
        view=view,
        standing=standing(view, points),
        as_of_ms=last.end_ms if last is not None else 0,
        budget=budget(last.health if last is not None else None),
        incident=incident,
        graph=stage_graph(view, points, telling),
        charts=charts_of(view, keys, telling, incident),
        shown=len(keys),
        series=len(points),
        out=out,
        signs=signs_of(view, incident, points),
        calm=len(settled) - out,
        causes=causes(incident) if incident is not None else [],
        stages=_stages(points),
        facts=facts,
        eyesight=eyesight(facts),
    )


def charts_of(
    view: View, keys: Sequence[SeriesKey], telling: Mapping[SeriesKey, str], incident: Incident | None
) -> list[Chart]:
    """Charts of some series over the windows that are kept."""
    if not view.windows or not keys:
        return []
    most = _WINDOWS
    onset = incident.onset_ms if incident is not None else 0
    if onset and onset <= view.windows[-min(most, len(view.windows))].start_ms:
        most = 0  # all of them, to show how it was before
    marks = deployments(view)
    judged = any(state not in (State.UNMEASURED, State.LEARNING) for state in view.windows[-1].states)
    return [
        draw(
            track,
            role=telling.get(track.key, ""),
            fault_ms=onset,
            until_ms=incident.resolved_ms if incident is not None else 0,
            deployments=marks,
            judged=judged,
        )
        for track in map(_whole(view), view.tracks(keys, most))
    ]


def _whole(view: View) -> Callable[[Track], Track]:
    """A rate of a window that was covered in part is a guess: the line has a gap there."""
    whole = np.array([window.whole for window in view.windows])

    def cleaned(track: Track) -> Track:
        return track._replace(value=np.where(whole[-len(track.value) :], track.value, np.nan))

    return cleaned


def deployments(view: View) -> list[Deployment]:
    """Versions that appear while one looks; the same version at many stages at once is one deployment."""
    found: list[Deployment] = []
    seen: dict[str, set[str]] = {}
    for window in view.windows:
        for stage, versions in window.versions.items():
            known = seen.setdefault(stage, set(versions))
            for version in versions:
                mark = Deployment(stage, version, window.start_ms)
                if version not in known and not any(d[1:] == mark[1:] for d in found):
                    found.append(mark)
            # The newest window's are what is live: a version that comes back is a deployment again.
            seen[stage] = set(versions) or known
    return found


def signs_of(view: View, incident: Incident | None, points: Sequence[SeriesPoint]) -> list[Sign]:
    """The series that tell of the incident, most telling first; then others that are outside."""
    if incident is None:
        return []
    now = {point.key: point for point in points}
    found: list[Sign] = []
    told: list[SeriesKey] = []
    for piece in incident.evidence:
        key = SeriesKey(piece.stage, piece.metric, piece.label)
        told.append(key)
        part = part_of(incident, piece)
        point = now.get(key) if incident.state == "open" else None
        worst = (piece.worst or piece.now) if incident.state == "resolved" else piece.now
        found.append(
            Sign(
                part,
                piece.stage or incident.pipeline,
                name_of(key) if piece.stage else typeset(piece.name),
                typeset(piece.usual),
                limits(key, *telling_limits(key, point.low, point.high)) if point else "",
                typeset(worst) if point is None else value(key, point.value),
                _share(point),
                piece.onset_ms if part else 0,
            )
        )
    if incident.state == "resolved":
        return found
    outside = [p for p in points if p.state in (State.ANOMALY, State.HELD) and p.key not in told]
    outside = [p for p in outside if is_judged(p) and not told_by(p.key, told, list(now))]
    outside = outside[: _SIGNS - len(found)]
    usual = usual_values(view, [p.key for p in outside], incident.onset_ms)
    since = _left(view, [p.key for p in outside])
    return found + [_outside(p, usual, since[p.key]) for p in outside]


def _outside(point: SeriesPoint, usual: Mapping[SeriesKey, float], since_ms: int) -> Sign:
    key = point.key
    return Sign(
        "follows",
        key.stage,
        name_of(key),
        value(key, usual.get(key, point.expected)),
        limits(key, *telling_limits(key, point.low, point.high)),
        value(key, point.value),
        _share(point),
        since_ms,
    )


def _left(view: View, keys: Sequence[SeriesKey]) -> dict[SeriesKey, int]:
    """Start of the unbroken stretch of windows outside, up to now."""
    found = {}
    for track in view.tracks(keys):
        inside = np.flatnonzero(~np.isin(track.state, (State.ANOMALY, State.HELD)))
        first = int(inside[-1]) + 1 if inside.size else 0
        found[track.key] = int(track.start_ms[first]) if first < len(track.start_ms) else 0
    return found


def _share(point: SeriesPoint | None) -> float | None:
    return point.evidence if point is not None and isfinite(point.evidence) else None


def causes(incident: Incident) -> list[Cause]:
    """The cause that is told, then its rivals."""
    many = "" if incident.windows == 1 else "s"
    basis = f"{incident.windows} window{many} of evidence; {likely(incident.posterior)}."
    told = Cause(incident.cause, incident.posterior, probability(incident.posterior), typeset(basis), "told")
    # That it is unknown is told where none of the others is likely enough; it has no share of its own.
    rows = [] if incident.cause == words_of(UNKNOWN) else [told]
    for rival in incident.rivals:
        where = f"{rival.cause} at {rival.stage}" if rival.stage else rival.cause
        verdict = "ruled out" if rival.posterior < RULED_OUT else "possible"
        rows.append(Cause(where, rival.posterior, probability(rival.posterior), typeset(rival.why), verdict))
    return rows


def _stages(points: Sequence[SeriesPoint]) -> list[Stage]:
    counts: dict[str, list[int]] = {}
    for point in points:
        here = counts.setdefault(point.key.stage, [0, 0])
        here[0] += 1
        here[1] += is_judged(point) and point.state in (State.ANOMALY, State.HELD)
    return [Stage(name, series, out) for name, (series, out) in counts.items()]
