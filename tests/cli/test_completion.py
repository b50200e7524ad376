"""``swirl completion``: scripts for shells, and what they offer."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from swirl.cli.completing import incident_ids, pipeline_names
from swirl.sinks.board import Board
from tests.cli.watched import NOWHERE, called, serving
from tests.sinks.scene import DATA, changed, window

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def shown() -> Iterator[str]:
    board = Board()
    for index in range(3):
        board.handle(window(index))
    board.handle(changed(DATA))
    with serving(board) as server:
        yield f"127.0.0.1:{server.port}"


def offered(http: str, *words: str) -> list[str]:
    """What bash would be told for a line whose last word is being typed."""
    environ = {
        **os.environ,
        "SWIRL_HTTP": http,
        "_SWIRL_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("swirl", *words)),
        "COMP_CWORD": str(len(words)),
    }
    script = "from swirl.cli.commands import group; group(prog_name='swirl')"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_its_script(shell: str) -> None:
    said = called("completion", shell)
    assert said.code == 0
    assert f"_SWIRL_COMPLETE={shell}_complete" in said.out
    path = shutil.which(shell)
    if path is not None:
        read = subprocess.run([path, "-n"], input=said.out, capture_output=True, text=True, check=False)
        assert (read.returncode, read.stderr) == (0, "")


def test_another_shell_is_a_mistake_in_the_call() -> None:
    assert called("completion", "tcsh").code == 2


def test_commands_pipelines_and_open_incidents_are_offered(shown: str) -> None:
    assert offered(shown, "incidents", "a") == ["ack"]
    assert offered(shown, "incidents", "ack", "") == [DATA.id]
    assert offered(shown, "incidents", "show", "nothing") == []
    assert offered(shown, "mute", "a") == ["ads"]


def test_nothing_is_offered_and_nothing_said_where_nobody_answers() -> None:
    assert offered(NOWHERE, "incidents", "ack", "") == []
    assert offered("nonsense", "mute", "") == []


def test_a_process_that_hangs_keeps_no_shell_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    context, argument = click.Context(click.Command("ack")), click.Argument(["x"])
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        monkeypatch.setenv("SWIRL_HTTP", f"127.0.0.1:{deaf.getsockname()[1]}")
        began = time.monotonic()
        assert incident_ids(context, argument, "") == []
        assert pipeline_names(context, argument, "") == []
        assert time.monotonic() - began < 3


def test_the_script_is_told_of_in_the_docs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
    for shell in ("bash", "zsh", "fish"):
        assert f"swirl completion {shell}" in text
