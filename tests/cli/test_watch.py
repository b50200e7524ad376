"""``swirl watch``: lines, JSON and a screen, from a process that lives, is silent, and comes back."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING

import msgspec
import pytest
from rich.console import Console

from swirl.cli.news import News, Newsroom
from swirl.cli.reach import Reach
from swirl.cli.watch import Glimpse, _hearing
from swirl.cli.watch_screen import Shown, draw
from swirl.effect import Incident, Mute, MuteChanged, SeriesKey
from swirl.sinks.board import Board
from tests.cli.watched import NOWHERE, called, serving
from tests.sinks.scene import DATA, DEPLOYMENT, changed, verdict, window

if TYPE_CHECKING:
    from collections.abc import Iterator

INVALID = SeriesKey("ingest", "invalid")
COMMAND = [sys.executable, "-m", "swirl", "watch"]


def healthy() -> Board:
    board = Board()
    for index in range(-30, 0):
        board.handle(window(index))
    return board


def broken(board: Board) -> Board:
    for index in range(5):
        board.handle(window(index, now={INVALID: 20_100.0}))
    board.handle(verdict())
    board.handle(changed(DATA))
    return board


def screen(shown: Shown, width: int = 80) -> str:
    console = Console(width=width, highlight=False, file=io.StringIO())
    with console.capture() as said:
        console.print(draw(shown, width))
    return said.get()


def glimpse(url: str) -> Glimpse:
    reach = Reach([url])
    return Glimpse(reach.pipelines(), reach.incidents(every=True), dict(reach.silent))


# -- lines


def test_how_things_stand_is_told_at_once() -> None:
    with serving(healthy()) as server:
        said = called("watch", "--once", "--url", server.url)
        assert said.code == 0
        assert re.fullmatch(r"\d\d:\d\d:\d\d UTC  ads: ○ healthy, 8 series\n", said.out)
    with serving(broken(healthy())) as server:
        first, second = called("watch", "--once", "--url", server.url).out.splitlines()
    assert first.endswith("ads: ◆ ingest: data pipeline broken")
    assert (
        f"◆ {DATA.id} opened: ads / ingest: data pipeline broken since 03:12:20 UTC. {DATA.sentence}"
        in second
    )


def test_for_machines_each_line_is_an_object() -> None:
    board = broken(healthy())
    board.handle(MuteChanged("ads", "began", Mute("", 1, 2, "anna", "migration")))
    with serving(board) as server:
        lines = called("watch", "--once", "--json", "--url", server.url).out.splitlines()
    found = [json.loads(line) for line in lines]
    assert [each["kind"] for each in found] == ["pipeline", "mute", "incident"]
    assert found[0]["pipeline"]["name"] == "ads"
    assert (found[1]["transition"], found[1]["mute"]["why"]) == ("began", "migration")
    assert found[2]["transition"] == "opened"
    assert msgspec.convert(found[2]["incident"], Incident) == DATA


def test_only_the_pipelines_that_were_asked_for_are_told() -> None:
    board = broken(healthy())
    board.handle(window(0, pipeline="shop"))
    with serving(board) as server:
        said = called("watch", "shop", "--once", "--url", server.url)
        assert [line.split("  ")[1] for line in said.out.splitlines()] == ["shop: ○ healthy, 8 series"]
        said = called("watch", "nothing", "--once", "--url", server.url)
    assert (said.code, said.words) == (1, "Error: there is no pipeline 'nothing'. Known are: ads, shop")


def test_nobody_at_the_beginning_is_told_with_what_to_do() -> None:
    said = called("watch", "--once", SWIRL_HTTP=NOWHERE)
    assert said.code == 3
    assert "nobody answers" in said.words


def test_each_step_is_told_once_in_its_order() -> None:
    board = broken(healthy())
    with serving(board) as server:
        reach = Reach([server.url])

        def steps(ident: str) -> object:
            answer = reach.incident(ident)
            return answer.told if answer is not None else ()

        room = Newsroom(steps)  # type: ignore[arg-type]

        def news() -> list[News]:
            return list(room.look(*glimpse(server.url)[:2]))

        assert [each.data.get("transition") for each in news()] == [None, "opened"]
        assert news() == []
        board.handle(changed(DATA, "updated", "serve follows too."))
        board.handle(changed(DATA, "resolved", "All series are back."))
        updated, resolved = news()
        assert updated.words.endswith("updated: serve follows too.")
        assert resolved.words == f"✓ {DATA.id} resolved: All series are back."
        board.handle(MuteChanged("ads", "began", Mute("classify", 1, 3_600_000, "anna", "new model")))
        assert [each.words for each in news()] == [
            "– ads / classify is muted until 01:00:00 UTC by anna: new model"
        ]
        board.handle(MuteChanged("ads", "ended", Mute("classify", 1, 2)))
        board.handle(changed(DEPLOYMENT))
        assert [each.words.partition(":")[0] for each in news()] == [
            "– ads / classify is muted no longer",
            f"◆ {DEPLOYMENT.id} opened",
        ]


def test_what_is_over_before_one_looks_is_no_news() -> None:
    board = healthy()
    board.handle(changed(DATA, "resolved"))
    with serving(board) as server:
        found = called("watch", "--once", "--json", "--url", server.url).out.splitlines()
    assert [json.loads(line)["kind"] for line in found] == ["pipeline"]


def read(stream: int, until: str, seconds: float = 60.0) -> str:
    """What is written until something appears in it."""
    said, deadline = "", time.monotonic() + seconds
    while until not in said:
        left = deadline - time.monotonic()
        ready, _, _ = select.select([stream], [], [], max(0.0, left))
        assert ready, f"{until!r} did not come, only {said!r}"
        piece = os.read(stream, 65_536).decode(errors="replace")
        assert piece, f"it ended with {said!r}"
        said += piece
    return said


def test_in_a_pipe_a_change_is_a_line_and_a_silence_is_told_once() -> None:
    board = healthy()
    with serving(board) as server:
        child = subprocess.Popen([*COMMAND, "--url", server.url], stdout=subprocess.PIPE)
        assert child.stdout is not None
        out = child.stdout.fileno()
        read(out, "healthy")
        broken(board)
        assert read(out, "opened").count("\n") == 1
    said = read(out, "nobody answers")
    assert "connection refused" in said
    child.terminate()
    child.wait(10)
    child.stdout.close()


def test_one_of_several_processes_that_falls_silent_is_named_and_so_is_its_return() -> None:
    before, now = {"http://a": "refused"}, {"http://b": "refused"}
    assert [news.words for news in _hearing(before, now)] == [
        "– http://b does not answer: refused",
        "– http://a answers again",
    ]
    assert list(_hearing(now, now)) == []
    with serving(healthy()) as server:
        text = screen(Shown(Glimpse([], [], {"http://b": "refused"}), None, 0.0))
        said = called("watch", "--once", "--url", server.url, "--url", f"http://{NOWHERE}")
    assert "http://b does not answer" in text
    assert said.code == 0
    assert said.out.splitlines()[-1].endswith(f"– http://{NOWHERE} does not answer: connection refused")


def test_a_reader_that_has_enough_ends_it_in_peace() -> None:
    with serving(broken(healthy())) as server:
        command = f"{sys.executable} -m swirl watch --url {server.url} | head -n 1"
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.stdout.count("\n") == 1
        assert done.stderr == ""


def test_a_terminal_that_has_no_marks_is_no_reason_to_fail() -> None:
    with serving(broken(healthy())) as server:
        environ = {**os.environ, "PYTHONIOENCODING": "latin-1"}
        command = [*COMMAND, "--once", "--url", server.url]
        done = subprocess.run(command, env=environ, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"ads: ? ingest: data pipeline broken" in done.stdout


# -- the screen


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 100))
    yield ours, theirs
    os.close(ours)


@pytest.mark.parametrize(("key", "code"), [(b"q", 0), (b"\x03", 0)], ids=["q", "Ctrl-C"])
def test_on_a_terminal_it_is_a_screen_that_a_key_ends(
    terminal: tuple[int, int], key: bytes, code: int
) -> None:
    ours, theirs = terminal
    with serving(broken(healthy())) as server:
        environ = {**os.environ, "TERM": "xterm"}
        child = subprocess.Popen(
            [sys.executable, "-c", _CONTROLLING, "watch", "--url", server.url],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environ,
            start_new_session=True,
        )
        before = termios.tcgetattr(theirs)
        said = read(ours, "quit")
        assert "root cause" in said
        os.write(ours, key)
        assert child.wait(20) == code
        assert termios.tcgetattr(theirs) == before
        os.close(theirs)


_CONTROLLING = """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from swirl.cli import main
main()
"""


def test_one_pipeline_has_its_stages_series_and_incident() -> None:
    with serving(broken(healthy())) as server:
        text = screen(Shown(glimpse(server.url), Reach([server.url]).pipeline("ads"), 0.0))
    lines = text.splitlines()
    assert lines[0].startswith("Swirl ads  ◆ 1 incident open")
    assert lines[0].endswith("event time 03:12:25 UTC")
    assert re.search(r"ingest +→ classify +→ serve", lines[2])
    assert re.search(r"◆ root cause +◇ follows +◇ follows", lines[3])
    assert "25 000/s" in lines[5]
    assert re.search(r"positive ratio +0\.80 ▇+ usual 0\.77–0\.83 +◇ since 03:12:20", text)
    assert "Look first at what feeds ingest" in text
    assert all(len(line.rstrip()) <= 80 for line in lines)


def test_a_calm_pipeline_says_so_and_what_was_last() -> None:
    board = healthy()
    board.handle(changed(DATA, "resolved"))
    with serving(board) as server:
        text = screen(Shown(glimpse(server.url), Reach([server.url]).pipeline("ads"), 0.0))
    assert text.startswith("Swirl ads  ○ no incident open")
    assert "✓ ads / ingest: data pipeline broken: resolved at 03:12:50 UTC after 30 s" in text


def test_several_pipelines_are_a_line_each_those_with_an_incident_first() -> None:
    board = broken(healthy())
    board.handle(window(0, pipeline="aardvark"))
    with serving(board) as server:
        lines = screen(Shown(glimpse(server.url), None, 0.0)).splitlines()
    assert lines[0].startswith("Swirl 2 pipelines  ◆ 1 incident open")
    assert [line.split()[0] for line in lines[2:4]] == ["ads", "aardvark"]


def test_planned_work_stands_on_the_screen_with_who_and_why() -> None:
    board = broken(healthy())
    until_ms = DATA.onset_ms + 3_600_000
    for stage in ("", "a", "b", "c", "d"):
        board.handle(MuteChanged("ads", "began", Mute(stage, 1, until_ms, "anna", "migration")))
    with serving(board) as server:
        lines = screen(Shown(glimpse(server.url), Reach([server.url]).pipeline("ads"), 0.0)).splitlines()
    assert lines[1].rstrip() == "– ads is muted until 04:12:20 UTC by anna: migration"
    assert lines[2].startswith("– ads / a is muted until")
    assert lines[5].rstrip() == "– and 1 more"


def test_an_incident_that_one_has_not_heard_of_is_told_with_what_it_is() -> None:
    board = broken(healthy())
    board.handle(changed(DATA, "updated", "It is worse: 0.1."))
    with serving(board) as server:
        last = called("watch", "--once", "--url", server.url).out.splitlines()[-1]
    assert last.endswith(
        f"◆ {DATA.id} updated: ads / ingest: data pipeline broken since 03:12:20 UTC. It is worse: 0.1."
    )


def test_a_screen_that_is_old_says_so() -> None:
    with serving(broken(healthy())) as server:
        text = screen(Shown(glimpse(server.url), None, 20.0))
    assert "– nobody answers for 20 s" in text


def test_names_of_users_cannot_paint_the_terminal() -> None:
    board = Board()
    board.handle(window(0, pipeline="a\x1b[31m\x07ds"))
    with serving(board) as server:
        text = screen(Shown(glimpse(server.url), Reach([server.url]).pipeline("a\x1b[31m\x07ds"), 0.0))
        said = called("watch", "--once", "--url", server.url).out
    assert "\x1b" not in text + said
    assert "\x07" not in text + said
