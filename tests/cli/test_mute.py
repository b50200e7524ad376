"""``swirl mute`` and ``swirl unmute``: planned work, seen to begin and to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from swirl.cli.send import seen
from swirl.frame import Act, decode
from tests.cli.watched import NOWHERE, Watched, called, watched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Here = tuple[Watched, dict[str, str]]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    with watched(tmp_path) as found:
        yield found


def test_planned_work_begins_and_ends(here: Here) -> None:
    process, environ = here
    said = called("mute", "ads", "--for", "2h", "--why", "migration", "--who", "anna", **environ)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("ads is muted until ")
    assert said.out.endswith("UTC: still watched, told afterwards in one line.\n")
    view = process.board.view("ads")
    assert view is not None
    assert [(mute.who, mute.why, mute.stage) for mute in view.mutes] == [("anna", "migration", "")]
    said = called("unmute", "ads", **environ)
    assert (said.code, said.out) == (0, "ads is muted no longer.\n")


def test_one_stage_is_muted_alone(here: Here) -> None:
    process, environ = here
    said = called("mute", "ads", "--stage", "classify", "--for", "30m", "--why", "new model", **environ)
    assert said.out.startswith("ads / classify is muted until ")
    act = decode(process.received[-1])
    assert isinstance(act, Act)
    assert (act.act, act.stage, act.for_ms, act.via) == ("mute", "classify", 1_800_000, "command")
    said = called("unmute", "ads", **environ)
    assert (said.code, "ads is not muted" in said.words) == (1, True)
    assert called("unmute", "ads", "--stage", "classify", **environ).code == 0


def test_what_is_said_twice_is_seen_twice(here: Here) -> None:
    _, environ = here
    for _ in range(2):
        assert called("mute", "ads", "--for", "2h", "--why", "migration", **environ).code == 0


def test_an_incident_while_muted_is_listed_as_muted(here: Here) -> None:
    process, environ = here
    assert called("mute", "ads", "--for", "2h", "--why", "migration", **environ).code == 0
    process.break_upstream()
    assert called("incidents", "list", **environ).out.rstrip().endswith("· muted")


def test_an_unknown_pipeline_or_stage_is_told_with_those_that_are_known(here: Here) -> None:
    process, environ = here
    said = called("mute", "adds", "--for", "1h", "--why", "x", **environ)
    assert (said.code, said.words) == (1, "Error: there is no pipeline 'adds'. Known are: ads")
    said = called("mute", "ads", "--stage", "clasify", "--for", "1h", "--why", "x", **environ)
    assert (said.code, said.words) == (
        1,
        "Error: ads has no stage 'clasify'; it has: ingest, classify, serve",
    )
    assert process.received == []


def test_without_a_page_it_is_sent_and_not_confirmed(here: Here) -> None:
    process, environ = here
    said = called("mute", "ads", "--for", "1h", "--why", "x", **{**environ, "SWIRL_HTTP": NOWHERE})
    assert said.code == 4
    assert said.out.startswith("Sent, not confirmed: nobody answers")
    assert seen(lambda: len(process.received) == 1)


def test_how_long_and_why_must_be_said() -> None:
    for missing in (("--why", "x"), ("--for", "1h")):
        said = called("mute", "ads", *missing)
        assert (said.code, "Missing option" in said.words) == (2, True)
    assert called("mute", "ads", "--why", "x", "--for", "31d").code == 2
