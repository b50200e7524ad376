"""What a board shows, as JSON: for the commands and for scripts. It reads and changes nothing.

Numbers that are not known are ``null``. Times are milliseconds since 1970.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from swirl.charts.telling import Deployment, deployments, telling
from swirl.effect import Health, Incident, Mute, State, Totals
from swirl.errors import MissingExtraError
from swirl.frame import Verdict  # noqa: TC001 - msgspec reads the annotations

try:
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route
except ImportError as error:
    raise MissingExtraError(error.name or "starlette", "watch") from None

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from swirl.effect import IncidentChanged, WindowClosed
    from swirl.sinks.board import Board, Track, View

__all__ = [
    "IncidentAnswer",
    "IncidentsAnswer",
    "PipelineAnswer",
    "PipelinesAnswer",
    "SeriesNow",
    "Step",
    "Summary",
    "TrackAnswer",
    "api_routes",
]

_SERIES = 2000
"""Series of one pipeline in one answer; what goes beyond is counted."""
_INCIDENTS = 500
_STEPS = 100
_LISTENERS = 64
"""Who follows the events at once; the next one is asked to come later."""
_LOOK_S, _BEAT_S = 0.25, 10.0
_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class SeriesNow(msgspec.Struct, frozen=True):
    """One series in the last window; see :class:`swirl.effect.SeriesPoint`."""

    stage: str
    metric: str
    label: str
    value: float | None
    expected: float | None
    low: float | None
    high: float | None
    state: str


class Summary(msgspec.Struct, frozen=True):
    """One pipeline in a line.

    Attributes:
        name: of the pipeline.
        verdict: what it was told.
        learning: no series is judged yet.
        start_ms, window_ms: of the last window, 0 before the first.
        series, judged, anomalous: how many there are, have limits, and are outside them.
        incident: the open one, None if there is none.
        mutes: planned work that goes on.
    """

    name: str
    verdict: Verdict
    learning: bool
    start_ms: int
    window_ms: int
    series: int
    judged: int
    anomalous: int
    incident: Incident | None
    mutes: tuple[Mute, ...]


class PipelinesAnswer(msgspec.Struct, frozen=True):
    """All pipelines, by name; ``swirl`` is the version of what answers, ``version`` that of the board."""

    swirl: str
    version: int
    pipelines: tuple[Summary, ...]


class TrackAnswer(msgspec.Struct, frozen=True):
    """One series over the windows that matter; see :class:`swirl.sinks.board.Track`."""

    stage: str
    metric: str
    label: str
    window_ms: int
    start_ms: tuple[int, ...]
    value: tuple[float | None, ...]
    expected: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    state: tuple[int, ...]


class PipelineAnswer(msgspec.Struct, frozen=True):
    """One pipeline.

    Attributes:
        summary: of it.
        stages: of the graph, each with the stages whose output it takes.
        series: as they are now; ``left_out`` more are not shown.
        tracks: the series that tell most of how it does, or of its open incident.
        versions: stage -> versions in the last window, by records, most first.
        totals: stage -> version -> totals since the start, without the labels of users.
        health: of the monitoring itself, None before the first window.
    """

    summary: Summary
    stages: dict[str, tuple[str, ...]]
    series: tuple[SeriesNow, ...]
    left_out: int
    tracks: tuple[TrackAnswer, ...]
    versions: dict[str, tuple[str, ...]]
    totals: dict[str, dict[str, Totals]]
    health: Health | None


class IncidentsAnswer(msgspec.Struct, frozen=True):
    """Incidents, newest first."""

    incidents: tuple[Incident, ...]


class Step(msgspec.Struct, frozen=True):
    """What this process told of an incident at one step; see :class:`swirl.effect.IncidentChanged`."""

    transition: str
    revision: int
    reply: str


class IncidentAnswer(msgspec.Struct, frozen=True):
    """An incident with its steps and all that belongs to it.

    Attributes:
        incident: as it stands; its own ``steps`` say when what happened.
        told: what this process told of it since it watches, in the words of the thread, newest last.
        tracks: the series that tell most of it.
        deployments: what went out meanwhile.
    """

    incident: Incident
    told: tuple[Step, ...]
    tracks: tuple[TrackAnswer, ...]
    deployments: tuple[Deployment, ...]


def api_routes(board: Board, version: str) -> list[BaseRoute]:
    """The routes below ``/api``; all of them only read.

    Args:
        board: what is shown.
        version: of Swirl.
    """
    return _Api(board, version).routes()


class _Api:
    def __init__(self, board: Board, version: str) -> None:
        self._board, self._version, self._listeners = board, version, 0

    def routes(self) -> list[BaseRoute]:
        # Plain functions, so that a long answer is made in a thread and keeps nobody waiting.
        plain: tuple[tuple[str, Callable[[Request], Response]], ...] = (
            ("/api/pipelines", self.pipelines),
            ("/api/pipelines/{name:path}", self.pipeline),
            ("/api/incidents", self.incidents),
            ("/api/incidents/{ident:path}", self.incident),
        )
        return [*(Route(path, answer) for path, answer in plain), Route("/api/events", self.events)]

    def pipelines(self, _: Request) -> Response:
        version, views = self._board.version, self._board.views()
        return _json(PipelinesAnswer(self._version, version, tuple(_summary(view) for view in views)))

    def pipeline(self, request: Request) -> Response:
        name = request.path_params["name"]
        view = self._board.view(name)
        if view is None:
            known = ", ".join(v.name for v in self._board.views()) or "none"
            return _refused(404, f"no pipeline {name!r} here; known: {known}")
        window = view.last
        series = _series_now(window)
        return _json(
            PipelineAnswer(
                _summary(view),
                {stage.name: stage.after for stage in window.definition.stages} if window else {},
                series[:_SERIES],
                max(0, len(series) - _SERIES),
                tuple(_track(track) for track in telling(view.open, view)),
                window.versions if window else {},
                _totals(window),
                window.health if window else None,
            )
        )

    def incidents(self, request: Request) -> Response:
        state, pipeline = request.query_params.get("state", ""), request.query_params.get("pipeline", "")
        if state not in {"", "open", "resolved"}:
            return _refused(400, f"state is {state!r}; it must be open or resolved")
        every = [i for view in self._board.views() if pipeline in {"", view.name} for i in view.incidents]
        chosen = [incident for incident in every if state in {"", incident.state}]
        chosen.sort(key=lambda incident: (incident.opened_ms, incident.id), reverse=True)
        return _json(IncidentsAnswer(tuple(chosen[:_INCIDENTS])))

    def incident(self, request: Request) -> Response:
        ident = request.path_params["ident"]
        found = self._board.incident(ident)
        view = self._board.view(found.pipeline) if found is not None else None
        if found is None or view is None:
            return _refused(404, f"no incident {ident!r} here")
        told = [_told(step) for step in view.steps if step.incident.id == ident][-_STEPS:]
        tracks = tuple(_track(track) for track in telling(found, view))
        return _json(IncidentAnswer(found, tuple(told), tracks, tuple(deployments(view))))

    async def events(self, request: Request) -> Response:
        if self._listeners >= _LISTENERS:
            return _refused(503, f"{_LISTENERS} follow already; try again later")
        return StreamingResponse(self._follow(request), headers=_HEADERS, media_type="text/event-stream")

    async def _follow(self, request: Request) -> AsyncIterator[bytes]:
        """A line with the board's version whenever it is another one, and a comment now and then."""
        told, quiet = -1, 0.0
        self._listeners += 1
        try:
            while not await request.is_disconnected():
                version = self._board.version
                if version != told:
                    told, quiet = version, 0.0
                    yield b'data: {"version":%d}\n\n' % version
                elif quiet >= _BEAT_S:
                    quiet = 0.0
                    yield b": still here\n\n"
                await asyncio.sleep(_LOOK_S)
                quiet += _LOOK_S
        finally:
            self._listeners -= 1


def _json(answer: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json", headers=_HEADERS)


def _refused(status: int, why: str) -> Response:
    return Response(msgspec.json.encode({"error": why}), status, _HEADERS, "application/json")


def _summary(view: View) -> Summary:
    window = view.last
    states = window.states if window is not None else b""
    judged = sum(state >= State.NORMAL for state in states)
    anomalous = sum(state in (State.ANOMALY, State.HELD) for state in states)
    return Summary(
        view.name,
        view.verdict,
        judged == 0,
        window.start_ms if window is not None else 0,
        window.window_ms if window is not None else 0,
        len(states),
        judged,
        anomalous,
        view.open,
        view.mutes,
    )


def _series_now(window: WindowClosed | None) -> tuple[SeriesNow, ...]:
    points = window.points() if window is not None else ()
    return tuple(
        SeriesNow(*point.key, point.value, point.expected, point.low, point.high, point.state.name.lower())
        for point in points
    )


def _totals(window: WindowClosed | None) -> dict[str, dict[str, Totals]]:
    if window is None:
        return {}
    own: dict[str, Any] = {"reasons": {}, "error_types": {}, "labels": {}}
    return {
        stage: {version: msgspec.structs.replace(total, **own) for version, total in versions.items()}
        for stage, versions in window.totals.items()
    }


def _told(step: IncidentChanged) -> Step:
    return Step(step.transition, step.incident.revision, step.reply)


def _track(track: Track) -> TrackAnswer:
    value, expected, low, high = (
        tuple(column.tolist()) for column in (track.value, track.expected, track.low, track.high)
    )
    starts, states = tuple(track.start_ms.tolist()), tuple(track.state.tolist())
    return TrackAnswer(*track.key, track.window_ms, starts, value, expected, low, high, states)
