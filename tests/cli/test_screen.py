"""The screen at 80 columns and 24 lines."""

from __future__ import annotations

import io
from dataclasses import replace

import msgspec
import pytest
from rich.console import Console

from swirl.cli.scene import INVALID, POSITIVE, Scene
from swirl.cli.screen import Caption, draw
from swirl.effect import IncidentChanged, Rival, State
from tests.cli.effects import BROKEN, BUGGY, HEALTHY, ONSET_MS, incident, opened, window

CAPTION = Caption(2, 5, "The upstream has renamed “text” to “full_text”.", 25_000, ONSET_MS + 8_000)


def lines(
    scene: Scene, caption: Caption = CAPTION, *, behind_ms: int = 1_000, colour: bool = False
) -> list[str]:
    view = scene.view()
    if view.windows:
        caption = replace(caption, now_ms=view.windows[-1].end_ms + behind_ms)
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=colour, no_color=not colour, highlight=False)
    console.print(draw(view, caption))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def healthy(count: int = 25) -> Scene:
    scene = Scene(lambda: ONSET_MS)
    for back in range(count, 0, -1):
        scene.handle(window(ONSET_MS - back * 1_000))
    return scene


def broken() -> Scene:
    scene = healthy()
    scene.handle(window(ONSET_MS, BROKEN, state=State.ANOMALY))
    scene.handle(opened(incident()))
    for later in range(1, 7):
        scene.handle(window(ONSET_MS + later * 1_000, BROKEN, state=State.HELD))
    return scene


def test_an_open_incident_looks_as_drawn() -> None:
    assert lines(broken()) == """\
Swirl ads  ◆ 1 incident open                act 2 of 5 · event time 03:12:28 UTC

tweets          → ingest        → classify      → serve         → clicks
source          ◆ root cause    ◇ follows       ◇ follows       ◇ follows
████████████    ████████████    ██░░░░░░░░░░    ▏░░░░░░░░░      ▏
25 010/s        25 010/s        5 010/s         1 002/s         10/s
                                usual 25 000    usual 20 000    usual 2 000

ingest invalid 20 000/s ▃▃▃▃▃▃▃▃▃▃▃▃▃███████ usual 2–22        ◆ since 03:12:20
positive ratio     0.20 ▇▇▇▇▇▇▇▇▇▇▇▇▇▂▂▂▂▂▂▂ usual 0.77–0.83   ◇ since 03:12:20
clicks             10/s ▇▇▇▇▇▇▇▇▇▇▇▇▇▁▁▁▁▁▁▁ usual 1 720–2 290 ◇ since 03:12:25

╭─ ◆ ads / ingest: data pipeline broken since 03:12:20 UTC, 8 s ───────────────╮
│ ingest rejects 20 000 records/s as invalid, usually 10/s. 99.7 % give the    │
│ reason “text missing”. The rest follows: positive ratio 0.80 → 0.20, clicks  │
│ 2 000/s → 10/s.                                                              │
│ Look first at what feeds ingest: its source and schema. Not at the model.    │
│ data pipeline broken █████████▌   0.968 on 1 window of evidence              │
│ input drift          ▏            0.021 drift alone fails no check           │
│ bad deployment       ▏            0.006 2026.11.1 ran 42 windows inside its… │
│ source outage        ▏          < 0.001 25 010 records/s still arrive        │
╰──────────────────────────────────────────────────────────────────────────────╯
480 of 480 frames, 0 records dropped · Ctrl-C: quit
""".splitlines()  # fmt: skip


def test_a_healthy_screen_is_calm() -> None:
    shown = lines(healthy())
    assert shown[0].startswith("Swirl ads  ○ healthy")
    assert "○ all 6 series are as usual" in shown[12]
    assert not any("◆" in line or "◇" in line for line in shown)


def test_a_healthy_screen_is_nearly_without_colour() -> None:
    shown = "\n".join(lines(healthy(), colour=True))
    assert "\x1b[31m" not in shown
    assert "\x1b[33m" not in shown


def test_before_the_first_window_nothing_is_claimed() -> None:
    shown = lines(Scene(lambda: ONSET_MS))
    assert shown[0].startswith("Swirl ads  ◔ learning")
    assert shown[5].split() == ["–"] * 5
    assert shown[-1].startswith("waiting for the first window")


def test_the_model_is_the_root_where_it_is_to_blame() -> None:
    scene = healthy()
    scene.handle(window(ONSET_MS, BUGGY, state=State.ANOMALY))
    told = incident("classify", "bad deployment", version="2026.11.2")
    told = msgspec.structs.replace(told, follows=("serve",), evidence=told.evidence[1:])
    scene.handle(opened(told))
    shown = lines(scene)
    assert shown[3].split() == [
        "source",
        "○",
        "healthy",
        "◆",
        "root",
        "cause",
        "◇",
        "follows",
        "◇",
        "follows",
    ]
    assert shown[8].endswith("usual 2–22")
    assert shown[9].endswith("◆ since 03:12:20")
    assert shown[10].endswith("◇ since 03:12:25")


def test_limits_that_are_still_wide_are_not_shown_as_usual() -> None:
    scene = Scene(lambda: ONSET_MS)
    scene.handle(window(ONSET_MS, {**HEALTHY, INVALID: (10, 0, 25_000), POSITIVE: (0.8, 0.3, 1.0)}))
    shown = lines(scene)
    assert shown[8].endswith("usual about 10")
    assert shown[9].endswith("usual about 0.80")
    assert shown[10].endswith("usual 1 720–2 290")


def test_an_old_screen_looks_old() -> None:
    shown = lines(healthy(), behind_ms=12_400)
    assert shown[0].startswith("Swirl ads  – no window for 12 s")


def test_the_last_incident_stays_in_sight_when_it_is_over() -> None:
    scene = broken()
    scene.handle(IncidentChanged("resolved", incident(resolved_ms=ONSET_MS + 20_000, revision=1)))
    scene.handle(window(ONSET_MS + 20_000))
    shown = lines(scene)
    assert any(
        "✓ ads / ingest: data pipeline broken: resolved at 03:12:40 UTC after 20 s" in line for line in shown
    )


@pytest.mark.parametrize("scene", [Scene(lambda: ONSET_MS), healthy(1), healthy(), broken()])
def test_it_always_fits(scene: Scene) -> None:
    shown = lines(scene, replace(CAPTION, told="word " * 90))
    assert len(shown) <= 24
    assert max(len(line) for line in shown) <= 80


def test_long_texts_of_an_incident_are_cut_to_fit() -> None:
    scene = healthy()
    long = "a sentence that does not want to end, " * 20
    told = msgspec.structs.replace(
        incident(), sentence=long, look_first=long, rivals=(Rival(long, "ingest", 0.1, long),) * 9
    )
    scene.handle(opened(told))
    shown = lines(scene)
    assert len(shown) <= 24
    assert max(len(line) for line in shown) <= 80


def test_control_characters_of_a_users_labels_do_not_reach_the_terminal() -> None:
    scene = healthy()
    told = msgspec.structs.replace(incident(), reasons=(("text\x1b[2Jmissing", 0.997),))
    scene.handle(opened(told))
    assert "\x1b" not in "\n".join(lines(scene))
