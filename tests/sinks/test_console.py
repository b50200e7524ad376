from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

from swirl.effect import IncidentChanged, Mute, MuteChanged, Rival
from swirl.sinks.console import ConsoleSink, incident_lines, incident_panel
from tests.sinks.scene import DATA, DEPLOYMENT, START, changed, verdict, window

OPENED = """\
╭─ ◆ ads / ingest: data pipeline broken since 03:12:20 UTC ────────────────────╮
│ ingest rejects 20 100/s as invalid, usually 10/s. 99.7 % give the reason     │
│ “text missing”, 0.3 % “text truncated”. classify and serve follow.           │
│ Look first at what feeds ingest: the source and its schema. Not at the       │
│ model.                                                                       │
│ ingest invalid  20 100/s  usual 10/s                                         │
│ positive ratio      0.21  usual 0.80                                         │
│ clicks              10/s  usual 2 000/s                                      │
│ data pipeline broken ██████████   0.968 2 windows of 1 s                     │
│ input drift          ▏            0.021 drift alone fails no check           │
│ bad deployment       ▏            0.006 no version changed                   │
│ source outage        ▏          < 0.001 25 010 records/s still arrive        │
╰──────────────────────────────────────────────────────────────────────────────╯
"""

RESOLVED = """\
╭─ ✓ ads / ingest: resolved at 03:12:50 UTC after 30 s ────────────────────────╮
│ Was: data pipeline broken. 400 000 records rejected, 40 000 clicks missed.   │
│ ingest invalid  20 100/s  worst 20 130/s                                     │
│ positive ratio      0.21  worst 0.20                                         │
│ clicks              10/s  worst 9/s                                          │
╰──────────────────────────────────────────────────────────────────────────────╯
"""


def screen(*, terminal: bool = True, width: int = 80) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_an_opening_is_a_panel_as_drawn() -> None:
    console = screen()
    ConsoleSink(console).handle(changed(DATA))
    assert shown(console) == OPENED


def test_an_end_is_a_short_panel() -> None:
    console = screen()
    ConsoleSink(console).handle(changed(DATA, "resolved"))
    assert shown(console) == RESOLVED


def test_a_change_says_first_what_is_new() -> None:
    console = screen()
    ConsoleSink(console).handle(
        changed(DATA, "updated", "Half recovered.", preliminary=True, second="serve is slow.")
    )
    lines = shown(console).splitlines()
    assert lines[0] == "Half recovered."
    assert any("serve is slow." in line for line in lines)
    assert any("Preliminary: the next window may name another cause." in line for line in lines)


def test_a_bad_deployment_names_its_version_and_what_it_explains() -> None:
    console = screen()
    console.print(incident_panel(DEPLOYMENT, 80))
    assert "◆ ads / classify: bad deployment 2026.11.2 since 03:13:20 UTC" in shown(console)
    assert "explains 99 % of the effect" in shown(console)


@pytest.mark.parametrize("width", [40, 80, 100])
def test_the_panel_keeps_the_width_that_is_given(width: int) -> None:
    console = screen(width=120)
    console.print(incident_panel(DATA, width))
    assert {len(line) for line in shown(console).splitlines()} == {width}


def test_without_a_terminal_there_are_plain_lines() -> None:
    console = screen(terminal=False)
    ConsoleSink(console).handle(changed(DATA))
    top, sentence, first, *numbers, judgement = shown(console).splitlines()
    assert top == "◆ ads / ingest: data pipeline broken since 03:12:20 UTC (opened)"
    assert sentence.startswith("ingest rejects 20 100/s as invalid, usually 10/s. 99.7 % give the reason")
    assert sentence.endswith("“text missing”, 0.3 % “text truncated”. classify and serve follow.")
    assert first == "Look first at what feeds ingest: the source and its schema. Not at the model."
    assert numbers == [
        "  ingest invalid 10/s → 20 100/s",
        "  positive ratio 0.80 → 0.21",
        "  clicks 2 000/s → 10/s",
    ]
    assert judgement.startswith(
        "97 % likely. Ruled out: input drift at ingest (drift alone fails no check), bad"
    )
    assert judgement.endswith("source outage at ingest (25 010 records/s still arrive).")


def test_plain_lines_of_an_end_tell_what_it_cost() -> None:
    assert incident_lines(changed(DATA, "resolved", "Nothing of the fault was learnt.")) == [
        "✓ ads / ingest: resolved at 03:12:50 UTC after 30 s (resolved)",
        "Nothing of the fault was learnt.",
        "400 000 records rejected, 40 000 clicks missed.",
    ]


def test_explanations_that_are_still_possible_are_told_apart() -> None:
    rivals = (Rival("input drift", "ingest", 0.4, "the features moved"),)
    lines = incident_lines(
        changed(msgspec.structs.replace(DATA, rivals=rivals, posterior=0.6, reasons=(), follows=()))
    )
    assert lines[-1] == "60 % likely. Possible: input drift at ingest, 40 % likely (the features moved)."


def test_markup_and_control_characters_of_users_do_nothing() -> None:
    hostile = msgspec.structs.replace(DATA, sentence="[red]a\x1b[31m[/red]\r\nb", pipeline="[blink]ads\x07")
    for terminal in (True, False):
        console = screen(terminal=terminal)
        ConsoleSink(console).handle(changed(hostile))
        assert "[red]a [31m[/red] b" in shown(console)
        assert "◆ [blink]ads / ingest" in shown(console)
        assert "\x1b" not in shown(console)


def test_other_effects_are_not_printed() -> None:
    console = screen()
    sink = ConsoleSink(console)
    sink.handle(window())
    sink.handle(verdict())
    assert shown(console) == ""


def test_it_writes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    ConsoleSink().handle(changed(DATA))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "data pipeline broken" in captured.err


def test_who_is_on_it_and_how_it_ended_is_shown() -> None:
    taken = msgspec.structs.replace(DATA, acknowledged_by="mara", acknowledged_ms=START + 105_000, reopened=1)
    ended = changed(
        DATA, "resolved", ending="new_normal", ended_by="mara", why="campaign", judged="confirmed"
    )
    for terminal in (True, False):
        console = screen(terminal=terminal, width=120)
        sink = ConsoleSink(console)
        sink.handle(IncidentChanged("acknowledged", taken))
        sink.handle(ended)
        said = " ".join(shown(console).split())
        assert "Acknowledged by mara at 03:14:05 UTC." in said
        assert "It came back once." in said
        assert "mara says that this is the new normal: campaign." in said
        assert "It was a true alarm." in said


def test_a_step_after_the_opening_says_first_what_is_new() -> None:
    console = screen()
    back = IncidentChanged("reopened", msgspec.structs.replace(DATA, reopened=1), "It came back.")
    ConsoleSink(console).handle(back)
    assert shown(console).splitlines()[0] == "It came back."


def test_what_is_muted_is_not_shown_and_planned_work_is_one_line() -> None:
    for terminal in (True, False):
        console = screen(terminal=terminal, width=120)
        sink = ConsoleSink(console)
        sink.handle(IncidentChanged("opened", msgspec.structs.replace(DATA, muted=True)))
        sink.handle(MuteChanged("ads", "began", Mute("", START, START + 60_000, "[red]mara")))
        assert shown(console).splitlines() == [
            "ads: planned work until 03:13:20 UTC by [red]mara. What happens is told afterwards."
        ]
