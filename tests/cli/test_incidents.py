"""``swirl incidents``: what is wrong, what people say of it, and what they are told of that."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import swirl.cli.acting
from swirl.cli.send import seen
from swirl.cli.span import milliseconds
from swirl.effect import Incident, SeriesKey
from swirl.engine.share import ShareServer
from swirl.engine.store import StateFolder
from swirl.frame import Act, decode
from swirl.sinks.board import Board
from swirl.web import serve
from tests.cli.watched import NOWHERE, Watched, called, serving, watched
from tests.sinks.scene import DATA, DEPLOYMENT, NIGHT, changed, window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Here = tuple[Watched, dict[str, str]]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    with watched(tmp_path) as found:
        yield found


def told(*steps: Incident) -> Board:
    """A board of the made-up scene."""
    board = Board()
    for index in range(40):
        board.handle(
            window(index - 30, now={SeriesKey("ingest", "invalid"): 20_100.0} if index >= 30 else {})
        )
    for incident in steps:
        board.handle(changed(incident))
    return board


@pytest.fixture
def shown() -> Iterator[dict[str, str]]:
    with serving(told(DATA)) as server:
        yield {"SWIRL_HTTP": f"127.0.0.1:{server.port}"}


# -- reading


def test_the_list_tells_what_is_wrong_since_when(shown: dict[str, str]) -> None:
    said = called("incidents", "list", **shown)
    assert said.code == 0
    assert said.out == f"◆ {DATA.id}  ads / ingest: data pipeline broken since 03:12:20 UTC\n"


def test_the_list_for_machines_is_incidents(shown: dict[str, str]) -> None:
    said = called("incidents", "list", "--json", **shown)
    assert msgspec.convert(json.loads(said.out), list[Incident]) == [DATA]


def test_what_people_have_said_stands_beside_it() -> None:
    more = msgspec.structs.replace(
        DATA,
        acknowledged_by="anna",
        acknowledged_ms=1,
        snoozed_until_ms=DATA.onset_ms + 3_600_000,
        muted=True,
    )
    with serving(told(more)) as server:
        said = called("incidents", "list", "--url", server.url)
    assert said.out.rstrip().endswith("· muted, acknowledged by anna, snoozed until 04:12:20 UTC")


def test_a_list_of_one_pipeline_leaves_the_others_out() -> None:
    board = told(DATA)
    board.handle(window(0, pipeline="shop"))
    with serving(board) as server:
        said = called("incidents", "list", "--pipeline", "shop", "--url", server.url)
        assert said.out == "○ no incident is open\n"
        said = called("incidents", "list", "--pipeline", "ads", "--url", server.url)
    assert said.out.startswith("◆")


def test_a_pipeline_that_is_none_is_not_told_as_calm(shown: dict[str, str]) -> None:
    said = called("incidents", "list", "--pipeline", "adds", **shown)
    assert (said.code, said.out) == (1, "")
    assert said.words == "Error: there is no pipeline 'adds'. Known are: ads"


def test_what_is_over_is_listed_when_asked_for() -> None:
    board = told(DATA)
    board.handle(changed(DATA, "resolved", ending="calm"))
    with serving(board) as server:
        assert called("incidents", "list", "--url", server.url).out == "○ no incident is open\n"
        every = called("incidents", "list", "--all", "--url", server.url).out
    assert every.startswith(f"✓ {DATA.id}  ads / ingest: resolved at 03:12:50 UTC after 30 s · by itself")


def test_an_incident_is_shown_with_its_evidence(shown: dict[str, str]) -> None:
    said = called("incidents", "show", DATA.id, **shown)
    assert said.code == 0
    for part in (
        DATA.sentence,
        "positive ratio 0.80 → 0.21",
        "Ruled out: input drift",
        "State: open",
    ):
        assert part in said.out
    assert "Steps" not in said.out


def test_the_steps_of_an_incident_say_when_they_were() -> None:
    with serving(told(msgspec.structs.replace(DATA, steps=NIGHT))) as server:
        said = called("incidents", "show", DATA.id, "--url", server.url)
        as_json = json.loads(called("incidents", "show", DATA.id, "--json", "--url", server.url).out)
    assert said.out.partition("Steps, UTC:\n")[2].splitlines() == [
        "             03:12:21  opened        ingest: cause unknown",
        "             03:12:23  cause named   ingest: data pipeline broken",
        "             03:13:55  acknowledged  Anna is on it.",
        "                    …  6 more, not kept",
        "  2026-11-22 03:12:20  resolved      Resolved by Anna: the feed was repaired.",
    ]
    assert as_json["incident"]["steps"][1] == {
        "at_ms": NIGHT[1].at_ms,
        "revision": 1,
        "kind": "named",
        "words": "ingest: data pipeline broken",
    }


def test_on_a_terminal_an_incident_is_a_panel(shown: dict[str, str]) -> None:
    said = called("incidents", "show", DATA.id, FORCE_COLOR="1", COLUMNS="80", **shown)
    assert said.code == 0
    assert "╭─" in said.out
    assert "\x1b[" in said.out


def test_an_incident_for_machines_has_its_series(shown: dict[str, str]) -> None:
    answer = json.loads(called("incidents", "show", DATA.id, "--json", **shown).out)
    assert answer["incident"]["id"] == DATA.id
    assert [track["metric"] for track in answer["tracks"]][:2] == ["invalid_ratio", "prediction_ratio"]


def test_its_chart_goes_into_a_file(shown: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "chart.png"
    said = called("incidents", "show", DATA.id, "--chart", str(file), **shown)
    assert (said.code, file.read_bytes()[:8]) == (0, b"\x89PNG\r\n\x1a\n")
    said = called("incidents", "show", DATA.id, "--chart", str(tmp_path / "none" / "chart.png"), **shown)
    assert said.code == 1
    assert "cannot be written" in said.words


def test_an_unknown_incident_is_told_with_those_that_are_open(shown: dict[str, str]) -> None:
    for command in (("show",), ("ack",), ("resolve", "--why", "x")):
        said = called("incidents", command[0], "ads-20200101-000000", *command[1:], **shown)
        assert said.code == 1
        assert f"there is no incident 'ads-20200101-000000'. Open are: {DATA.id}." in said.words


def test_nobody_who_answers_is_told_with_what_to_do() -> None:
    said = called("incidents", "list", SWIRL_HTTP=NOWHERE)
    assert said.code == 3
    assert "nobody answers: http://127.0.0.1:1 (connection refused)" in said.words
    assert "swirl.watch()" in said.words


def test_where_the_page_is_elsewhere_its_address_is_told_without_its_token(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.announce("http://127.0.0.1:2/?token=hidden")
    share = ShareServer(folder.socket_path, lambda _pipeline, _payload: None)
    try:
        said = called("incidents", "list", SWIRL_HTTP=NOWHERE, SWIRL_STATE=str(tmp_path))
        assert said.words.endswith("or give --url http://127.0.0.1:2")
    finally:
        share.close()
    said = called("incidents", "list", SWIRL_HTTP=NOWHERE, SWIRL_STATE=str(tmp_path))
    assert said.words.endswith("or give --url http://host:port")


def test_what_is_no_swirl_is_told_as_such() -> None:
    for body in ("hello", "{}", '{"incidents": 3}', "[1, 2]"):
        app = Starlette(routes=[Route("/api/incidents", lambda _, body=body: PlainTextResponse(body))])
        server = serve(app, "127.0.0.1:0")
        said = called("incidents", "list", "--url", server.url)
        assert server.close(10)
        assert (said.code, "no Swirl of this version" in said.words) == (3, True)


def test_an_address_that_is_none_is_a_mistake_in_the_call() -> None:
    for url in ("file:///etc/passwd", "http://", "host:port", "http://host:99999"):
        said = called("incidents", "list", "--url", url)
        assert (said.code, "it must be http://host:port" in said.words) == (2, True)
    assert called("incidents", "list", SWIRL_HTTP="").code == 2


def test_several_workers_are_one_and_an_incident_of_two_counts_once() -> None:
    newer = msgspec.structs.replace(DATA, revision=3, acknowledged_by="anna", acknowledged_ms=1)
    with serving(told(DATA, DEPLOYMENT)) as one, serving(told(newer)) as two:
        said = called("incidents", "list", "--url", one.url, "--url", two.url)
        first, second = said.out.splitlines()
        assert first.startswith(f"◆ {DEPLOYMENT.id}")
        assert second.endswith("acknowledged by anna")
        said = called("incidents", "list", "--url", one.url, "--url", f"http://{NOWHERE}")
        assert (said.code, len(said.out.splitlines())) == (0, 2)
        assert f"http://{NOWHERE} does not answer: connection refused" in said.err


# -- acting

ACTS: dict[tuple[str, ...], tuple[str, Callable[[Incident], bool]]] = {
    ("ack",): ("is acknowledged by anna.", lambda i: i.acknowledged_by == "anna"),
    ("snooze", "--for", "30m"): ("is snoozed by anna until ", lambda i: i.snoozed_until_ms > 0),
    ("resolve", "--why", "feed repaired"): ("is resolved by anna, after ", lambda i: i.ended_by == "anna"),
    ("new-normal", "--why", "new feed"): (
        "is normal from here on, says anna.",
        lambda i: i.ending == "new_normal",
    ),
    ("false-alarm", "--why", "a test"): ("a false alarm, says anna.", lambda i: i.ending == "false_alarm"),
    ("confirm", "--cause", "input drift"): ("is confirmed by anna.", lambda i: i.judged == "confirmed"),
}


@pytest.mark.parametrize("command", ACTS, ids=lambda command: command[0])
def test_an_act_takes_effect_and_is_told_in_one_sentence(here: Here, command: tuple[str, ...]) -> None:
    process, environ = here
    incident = process.break_upstream()
    said = called("incidents", command[0], incident.id, *command[1:], "--who", "anna", **environ)
    words, holds = ACTS[command]
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("ads / ingest: data pipeline broken ")
    assert words in said.out
    assert len(said.out.splitlines()) == 1
    assert holds(process.incident(incident.id))
    act = decode(process.received[-1])
    assert isinstance(act, Act)
    assert (act.via, act.who, act.pipeline) == ("command", "anna", "ads")


def test_what_is_over_is_not_acknowledged_but_may_be_judged(here: Here) -> None:
    process, environ = here
    incident = process.break_upstream()
    assert called("incidents", "resolve", incident.id, "--why", "done", **environ).code == 0
    said = called("incidents", "ack", incident.id, **environ)
    assert said.code == 1
    assert "is over already" in said.words
    assert called("incidents", "confirm", incident.id, **environ).code == 0


def test_a_cause_or_stage_that_is_none_is_refused_with_those_there_are(here: Here) -> None:
    process, environ = here
    incident = process.break_upstream()
    said = called("incidents", "confirm", incident.id, "--cause", "bad weather", **environ)
    assert said.code == 1
    assert "there is no cause 'bad weather'; known are: data pipeline broken, bad deployment," in said.words
    said = called("incidents", "confirm", incident.id, "--stage", "clasify", **environ)
    assert (said.code, said.words) == (
        1,
        "Error: ads has no stage 'clasify'; it has: ingest, classify, serve",
    )
    assert process.received == []


def test_a_second_judgement_that_says_something_else_is_refused(here: Here) -> None:
    process, environ = here
    incident = process.break_upstream()
    assert called("incidents", "confirm", incident.id, **environ).code == 0
    assert called("incidents", "confirm", incident.id, **environ).code == 0
    assert called("incidents", "resolve", incident.id, "--why", "done", **environ).code == 0
    for other in (("confirm", "--cause", "input drift"), ("false-alarm", "--why", "a test")):
        said = called("incidents", other[0], incident.id, *other[1:], **environ)
        assert said.code == 1
        assert "is judged already: confirmed. The first judgement stays" in said.words
    assert process.incident(incident.id).judged == "confirmed"


def test_without_a_page_an_act_is_sent_and_not_confirmed(here: Here) -> None:
    process, environ = here
    incident = process.break_upstream()
    said = called("incidents", "ack", incident.id, "--who", "anna", **{**environ, "SWIRL_HTTP": NOWHERE})
    assert said.code == 4
    assert said.out.startswith("Sent, not confirmed: nobody answers")
    assert seen(lambda: process.incident(incident.id).acknowledged_by == "anna")
    said = called("incidents", "ack", incident.id, "--who", "ben", **{**environ, "SWIRL_HTTP": ""})
    assert said.code == 4
    assert said.out.startswith("Sent, not confirmed: SWIRL_HTTP is empty")
    assert seen(lambda: process.incident(incident.id).acknowledged_by == "ben")
    said = called("incidents", "ack", "nonsense", **{**environ, "SWIRL_HTTP": NOWHERE})
    assert (said.code, "no identity of an incident" in said.words) == (1, True)


def test_what_does_not_show_is_told_as_not_shown(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    process, environ = here
    incident = process.break_upstream()
    process.deaf = True
    monkeypatch.setattr(swirl.cli.acting, "seen", partial(seen, patience_s=0.3))
    said = called("incidents", "ack", incident.id, **environ)
    assert said.code == 4
    assert f"did not show within 10 s. Look with: swirl incidents show {incident.id}" in said.out


def test_where_nobody_takes_an_act_it_is_told_what_to_do(shown: dict[str, str], tmp_path: Path) -> None:
    said = called("incidents", "ack", DATA.id, SWIRL_STATE=str(tmp_path), **shown)
    assert said.code == 3
    assert "as the same user as the pipeline that watches" in said.words


def test_a_second_snooze_in_the_same_words_is_seen_too(here: Here) -> None:
    process, environ = here
    incident = process.break_upstream()
    for span in ("1h", "2h"):
        assert called("incidents", "snooze", incident.id, "--for", span, **environ).code == 0
    assert process.incident(incident.id).revision >= 2


def test_spans_are_read_or_refused_with_a_reason() -> None:
    assert [milliseconds(text) for text in ("90s", "30m", " 2H ", "1d", "1h30m")] == [
        90_000,
        1_800_000,
        7_200_000,
        86_400_000,
        5_400_000,
    ]
    for text in ("", "soon", "2", "-1h", "0s", "31d", "1h nonsense", "1.5h", "9999999s"):
        with pytest.raises(ValueError, match=r"30d|is no span of time"):
            milliseconds(text)
    said = called("incidents", "snooze", DATA.id, "--for", "tomorrow")
    assert (said.code, "write 90s, 30m, 2h, 1d or 1h30m" in said.words) == (2, True)
