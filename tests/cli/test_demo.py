"""The demo as a whole: through the real monitor, engine and Slack client."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from swirl.cli import demo
from swirl.cli.acts import BROKEN, FLUSH_S, HEALTHY, INTRO, SETTINGS, TITLES, WINDOW_MS, acts
from swirl.cli.demo import Options, run
from swirl.settings import EmitterSettings, MonitorSettings
from swirl_pipelines.ads.runner import Act
from swirl_pipelines.ads.tweets import made_up_tweets
from swirl_pipelines.ads.world import World

if TYPE_CHECKING:
    pass

SWIRL = Path(sys.executable).with_name("swirl")


def two_short_acts(world: World) -> list[Act]:
    return [Act(HEALTHY, 4.0, world.repair), Act(BROKEN, 3.0, world.break_upstream)]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_both_faults_are_told_apart_in_time_and_nothing_else_is_said() -> None:
    command = [str(SWIRL), "demo", "--headless", "--synthetic", "--speed", "4", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 faults named right, no false alarm; 0 of" in done.stdout
    assert "SYNTHETIC FEED" in done.stdout
    assert "Swirl: ◆ ads / ingest: data pipeline broken since" in done.stdout
    assert "Swirl: ◆ ads / classify: bad deployment 2026.11.2 since" in done.stdout
    assert (
        'swirl_incident_open{cause="data pipeline broken",pipeline="ads",stage="ingest"} 1.0' in done.stdout
    )
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_a_fault_that_is_missed_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "acts", two_short_acts)
    monkeypatch.setattr(World, "break_upstream", lambda self: None)
    out = io.StringIO()
    code = run(Options(speed=4.0, headless=True, synthetic=True), Console(file=out, width=80))
    assert code == 1
    assert "0 of 1 faults named right" in out.getvalue()
    assert "told never" in out.getvalue()


def test_the_live_screen_ends_with_the_closing_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "acts", two_short_acts)
    out = io.StringIO()
    console = Console(file=out, width=80, height=24, force_terminal=True, highlight=False)
    run(Options(speed=4.0, synthetic=True), console)
    before, _, after = out.getvalue().partition("\x1b[?1049l")
    assert "\x1b[?1049h" in before
    assert "→ classify" in before
    assert "Swirl said" in after


def test_ctrl_c_ends_it_cleanly(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [str(SWIRL), "demo", "--headless", "--synthetic"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, bufsize=1
    )
    assert process.stdout is not None
    try:
        next(line for line in process.stdout if line.startswith("-- act 1"))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert out.endswith("Interrupted.\n")
    assert err == ""
    assert list(tmp_path.iterdir()) == []


def test_the_world_falls_back_to_made_up_tweets_and_says_so(
    monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    from swirl_pipelines.ads import fetch as module

    def offline() -> Path:
        raise module.FetchError("no network")

    monkeypatch.setattr(module, "fetch", offline)
    demo._world(Options(), said.append)
    assert said == [
        "SYNTHETIC FEED: the tweets and their ratings are made up (no network); the model is VADER."
    ]


@pytest.fixture
def said() -> list[str]:
    return []


def test_the_acts_leave_time_for_all_of_it_within_ninety_seconds() -> None:
    played = acts(World(made_up_tweets(1, 200)))
    assert sum(act.seconds for act in played) <= 83
    assert {act.name for act in played} >= {HEALTHY, *TITLES}


def test_what_the_demo_says_of_its_settings_is_true() -> None:
    usual, emitter = MonitorSettings(), EmitterSettings()
    told = [
        f"windows of {SETTINGS.window_seconds:g} s ({usual.window_seconds:g} s:",
        f"lateness {SETTINGS.lateness_seconds:g} s ({usual.lateness_seconds:g} s:",
        f"a flush every {FLUSH_S:g} s ({emitter.flush_seconds:g} s:",
        f"{SETTINGS.warm_up_windows} windows of learning ({usual.warm_up_windows}:",
        f"after {SETTINGS.calm_windows} calm windows ({usual.calm_windows}:",
    ]
    assert not [each for each in told if each not in INTRO]
    assert SETTINGS.window_seconds * 1_000 == WINDOW_MS
