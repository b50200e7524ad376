"""The command line."""

from __future__ import annotations

import builtins
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

import swirl.cli
from swirl.cli.commands import group
from swirl.cli.settings import table
from swirl.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DOCS = Path(__file__).parents[2] / "docs" / "commands.md"


def called(*arguments: str, **environ: str) -> tuple[int, str]:
    result = CliRunner().invoke(group, arguments, env=environ)
    return result.exit_code, result.output


def commands(within: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in within.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


EVERY = dict(commands(group))


@pytest.mark.parametrize("command", [(), ("incidents",), *EVERY])
def test_every_command_has_help(command: Sequence[str]) -> None:
    code, output = called(*command, "--help")
    assert code == 0
    assert "Usage:" in output


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_every_command_and_option_is_documented_and_how_it_ends(command: tuple[str, ...]) -> None:
    parts = re.split(r"^## ", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (told,) = [part for part in parts if part.startswith(f"`swirl {' '.join(command)}`")]
    named = {option for parameter in EVERY[command].params for option in parameter.opts if option[:2] == "--"}
    spans = set(re.findall(r"`(--[a-z-]+)`", told))
    assert spans == named
    assert "Ends " in told or command[0] == "incidents"


def test_the_documented_exit_codes_are_those_of_the_commands() -> None:
    from swirl.cli.acting import NOT_SEEN
    from swirl.cli.reach import Nobody, Unknown

    codes = re.findall(r"^\| (\d) \|", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert list(map(int, codes)) == [0, Unknown.exit_code, 2, Nobody.exit_code, NOT_SEEN]


def test_it_says_its_version() -> None:
    code, output = called("--version")
    assert (code, output.split()[:2]) == (0, ["swirl,", "version"])


def test_settings_shows_what_differs_and_hides_secrets() -> None:
    code, output = called("settings", SWIRL_WINDOW_SECONDS="60", SWIRL_SLACK_TOKEN="xoxb-secret")
    assert code == 0
    assert "* SWIRL_WINDOW_SECONDS        60 " in output
    assert "* SWIRL_SLACK_TOKEN           (set)" in output
    assert "secret" not in output


def test_settings_hide_who_logs_in_within_an_address() -> None:
    code, output = called("settings", SWIRL_ALERTMANAGER="http://ada:secret@alerts:9093/am")
    assert code == 0
    assert "http://(set)@alerts:9093/am" in output
    assert "secret@" not in output


def test_settings_without_anything_set_are_the_defaults() -> None:
    assert not [line for line in table({})[:-1] if line.startswith("*")]


def test_a_bad_setting_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SWIRL_WINDOW_SECONDS", "soon")
    monkeypatch.setattr(sys, "argv", ["swirl", "settings"])
    with pytest.raises(SystemExit) as end:
        swirl.cli.main()
    assert end.value.code == 2
    assert capsys.readouterr().err == "swirl: SWIRL_WINDOW_SECONDS is 'soon'; it must be a number\n"
    with pytest.raises(SettingsError):
        table()


def test_a_missing_extra_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def without_click(name: str, *given: Any, **named: Any) -> Any:
        if name == "click":
            raise ImportError(name)
        return real(name, *given, **named)

    monkeypatch.delitem(sys.modules, "swirl.cli.commands")
    monkeypatch.setattr(builtins, "__import__", without_click)
    with pytest.raises(SystemExit) as end:
        swirl.cli.main()
    assert end.value.code == 2
    assert "pip install 'swirl-monitor[watch]'" in capsys.readouterr().err
