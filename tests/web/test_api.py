"""The JSON of a board: what it says, and that it only reads."""

from __future__ import annotations

import json
import math
import socket
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from swirl.cli.reach import Reach, track_of
from swirl.effect import Incident, IncidentStep, Mute, MuteChanged, SeriesKey, State
from swirl.sinks.board import Board
from tests.cli.watched import serving
from tests.sinks.scene import DATA, DEPLOYMENT, NIGHT, changed, verdict, window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swirl.web import Server

INVALID = SeriesKey("ingest", "invalid")


@pytest.fixture
def board() -> Board:
    found = Board()
    for index in range(70):
        found.handle(window(index - 60, now={INVALID: 20_100.0} if index >= 60 else {}))
    found.handle(changed(DATA))
    found.handle(verdict())
    return found


@pytest.fixture
def server(board: Board) -> Iterator[Server]:
    with serving(board) as found:
        yield found


def get(server: Server, path: str, method: str = "GET") -> tuple[int, Any, dict[str, str]]:
    request = urllib.request.Request(server.url + path, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read()), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            body = error.read()
            return error.code, json.loads(body) if body[:1] == b"{" else body, dict(error.headers)


def test_pipelines_are_summed_up(server: Server, board: Board) -> None:
    board.handle(MuteChanged("ads", "began", Mute("classify", 1, 2, "anna", "new model")))
    status, answer, headers = get(server, "/api/pipelines")
    assert (status, headers["content-type"], headers["cache-control"]) == (
        200,
        "application/json",
        "no-store",
    )
    assert (answer["swirl"], answer["version"]) == ("0", board.version)
    (ads,) = answer["pipelines"]
    assert (ads["name"], ads["verdict"]["state"], ads["incident"]["id"]) == ("ads", "tripped", DATA.id)
    assert (ads["series"], ads["judged"], ads["anomalous"], ads["learning"]) == (8, 8, 1, False)
    assert ads["mutes"] == [
        {"stage": "classify", "since_ms": 1, "until_ms": 2, "who": "anna", "why": "new model"}
    ]


def test_a_pipeline_has_its_series_with_band_and_state_and_null_for_what_is_not_known(server: Server) -> None:
    status, answer, _ = get(server, "/api/pipelines/ads")
    assert status == 200
    series = {(each["stage"], each["metric"]): each for each in answer["series"]}
    assert series["ingest", "invalid"] == {
        "stage": "ingest",
        "metric": "invalid",
        "label": "",
        "value": 20_100.0,
        "expected": 10.0,
        "low": 2.0,
        "high": 22.0,
        "state": "anomaly",
    }
    assert series["ingest", "drift"]["low"] is None
    assert answer["stages"] == {"ingest": [], "classify": ["ingest"], "serve": ["classify"]}
    assert answer["health"]["frames"] == 8
    assert answer["left_out"] == 0


def test_texts_of_users_records_are_not_among_the_totals(server: Server) -> None:
    _, answer, _ = get(server, "/api/pipelines/ads")
    assert answer["totals"]["ingest"]["2026.11.1"]["invalid"] == 10
    assert "reasons" not in answer["totals"]["ingest"]["2026.11.1"]


def test_incidents_are_chosen_by_state_and_pipeline(server: Server, board: Board) -> None:
    board.handle(changed(DEPLOYMENT, "resolved"))
    for query, ids in (
        ("", [DEPLOYMENT.id, DATA.id]),
        ("?state=open", [DATA.id]),
        ("?state=resolved", [DEPLOYMENT.id]),
        ("?pipeline=other", []),
        ("?pipeline=ads&state=open", [DATA.id]),
    ):
        status, answer, _ = get(server, f"/api/incidents{query}")
        assert (status, [incident["id"] for incident in answer["incidents"]]) == (200, ids)
    status, answer, _ = get(server, "/api/incidents?state=sideways")
    assert (status, answer) == (400, {"error": "state is 'sideways'; it must be open or resolved"})


def test_an_incident_comes_with_what_was_told_of_it_and_the_series_that_tell_most(
    server: Server, board: Board
) -> None:
    board.handle(changed(DATA, "updated", "serve follows too."))
    _, answer, _ = get(server, f"/api/incidents/{DATA.id}")
    assert msgspec.convert(answer["incident"], Incident) == msgspec.structs.replace(DATA, revision=1)
    assert answer["told"] == [
        {"transition": "opened", "revision": 0, "reply": ""},
        {"transition": "updated", "revision": 1, "reply": "serve follows too."},
    ]
    keys = [(track["stage"], track["metric"], track["label"]) for track in answer["tracks"]]
    assert keys[:2] == [("ingest", "invalid_ratio", ""), ("classify", "prediction_ratio", "positive")]
    assert {len(track["start_ms"]) for track in answer["tracks"]} == {len(answer["tracks"][0]["value"])}


def test_an_incident_has_its_steps_wherever_it_is_answered(server: Server, board: Board) -> None:
    board.handle(changed(DATA, "updated", steps=NIGHT))
    one = get(server, f"/api/incidents/{DATA.id}")[1]["incident"]
    listed = get(server, "/api/incidents?state=open")[1]["incidents"][0]
    summary = get(server, "/api/pipelines/ads")[1]["summary"]["incident"]
    for incident in (one, listed, summary):
        assert msgspec.convert(incident["steps"], tuple[IncidentStep, ...]) == NIGHT


def test_a_series_survives_the_way_through_json(server: Server, board: Board) -> None:
    numbers = np.full((7, 1), math.nan)
    key = SeriesKey("ingest", "invalid_ratio")
    states = bytes([State.UNMEASURED])
    board.handle(window(11, keys=(key,), numbers=numbers.tobytes(), states=states))
    found = Reach([server.url]).incident(DATA.id)
    view = board.view("ads")
    assert found is not None
    assert view is not None
    sent, kept = track_of(found.tracks[0]), view.track(key)
    count = len(sent.start_ms)
    for column in ("start_ms", "value", "expected", "low", "high", "state"):
        np.testing.assert_array_equal(getattr(sent, column), getattr(kept, column)[-count:])
    assert (sent.key, sent.window_ms) == (kept.key, kept.window_ms)
    assert math.isnan(sent.value[-1])


def test_evidence_that_is_not_known_survives_the_way_through_json() -> None:
    strange = msgspec.structs.replace(
        DATA, evidence=(msgspec.structs.replace(DATA.evidence[0], usual_value=math.nan, now_value=math.inf),)
    )
    board = Board()
    board.handle(changed(strange))
    with serving(board) as server:
        (incident,) = Reach([server.url]).incidents()
    assert math.isnan(incident.evidence[0].usual_value)
    assert math.isnan(incident.evidence[0].now_value)


def test_what_is_not_there_is_told_as_json(server: Server) -> None:
    status, answer, headers = get(server, "/api/pipelines/none")
    assert (status, answer) == (404, {"error": "no pipeline 'none' here; known: ads"})
    assert headers["cache-control"] == "no-store"
    status, answer, _ = get(server, "/api/incidents/<script>alert(1)</script>")
    assert (status, answer) == (404, {"error": "no incident '<script>alert(1)</script>' here"})


def test_names_with_slashes_are_found(board: Board, server: Server) -> None:
    board.handle(window(0, pipeline="team/ads eu?x"))
    found = Reach([server.url]).pipeline("team/ads eu?x")
    assert found is not None
    assert found.summary.name == "team/ads eu?x"


def test_nothing_can_be_changed(server: Server) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        for path in ("/api/pipelines", f"/api/incidents/{DATA.id}", "/api/events"):
            assert get(server, path, method)[0] == 405


def test_thousands_of_series_are_bounded_and_the_rest_is_counted() -> None:
    keys = tuple(SeriesKey("ingest", "drift", f"feature {n}") for n in range(2500))
    board = Board()
    board.handle(window(keys=keys, numbers=np.ones((7, 2500)).tobytes(), states=bytes([State.NORMAL] * 2500)))
    with serving(board) as server:
        _, answer, _ = get(server, "/api/pipelines/ads")
    assert (len(answer["series"]), answer["left_out"]) == (2000, 500)


def test_events_tell_of_each_change(server: Server, board: Board) -> None:
    with urllib.request.urlopen(server.url + "/api/events", timeout=10) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert json.loads(stream.readline().removeprefix(b"data: ")) == {"version": board.version}
        stream.readline()
        board.handle(changed(DATA, "updated"))
        assert json.loads(stream.readline().removeprefix(b"data: ")) == {"version": board.version}


def test_those_who_follow_are_bounded_and_their_places_come_free(server: Server) -> None:
    streams = [urllib.request.urlopen(server.url + "/api/events", timeout=10) for _ in range(64)]
    for stream in streams:
        stream.readline()
    assert get(server, "/api/events")[0] == 503
    for stream in streams:
        stream.close()
    came = threading.Event()

    def follow() -> None:
        while not came.is_set():
            try:
                with urllib.request.urlopen(server.url + "/api/events", timeout=10) as stream:
                    stream.readline()
                    came.set()
            except urllib.error.HTTPError as error:
                error.close()

    thread = threading.Thread(target=follow)
    thread.start()
    assert came.wait(15)
    thread.join()


def test_a_server_with_followers_ends_soon(board: Board) -> None:
    with serving(board) as server, socket.create_connection((server.host, server.port)) as follower:
        follower.sendall(b"GET /api/events HTTP/1.1\r\nhost: x\r\n\r\n")
        assert follower.recv(100).startswith(b"HTTP/1.1 200")
        assert server.close(5)
