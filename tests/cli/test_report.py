"""What the demo prints."""

from __future__ import annotations

import io

from rich.console import Console

from swirl.cli.judge import Fault, Outcome, judge
from swirl.cli.report import Played, closing, closing_lines, window_line
from swirl.cli.scene import Scene, Told
from swirl.effect import Incident, State
from tests.cli.effects import BROKEN, BUGGY, ONSET_MS, incident, opened, window


def heard(told: Incident) -> Told:
    return Told(opened(told), told.onset_ms + 1_700)


ACTS = (
    Played("healthy", ONSET_MS - 10_000, ONSET_MS),
    Played("data pipeline broken", ONSET_MS, ONSET_MS + 5_000),
    Played("bug in a new model", ONSET_MS + 20_000, ONSET_MS + 25_000),
)
FAULTS = (
    Fault("data pipeline broken", "ingest: data pipeline broken", ONSET_MS, ONSET_MS + 5_000),
    Fault("bug in a new model", "classify: bad deployment", ONSET_MS + 20_000, ONSET_MS + 25_000),
)


def played() -> Scene:
    scene = Scene(lambda: ONSET_MS)
    for second in range(-10, 0):
        scene.handle(window(ONSET_MS + second * 1_000))
    for second in range(5):
        scene.handle(window(ONSET_MS + second * 1_000, BROKEN, state=State.HELD))
        scene.handle(window(ONSET_MS + (20 + second) * 1_000, BUGGY, state=State.HELD))
    return scene


def table(outcome: Outcome) -> str:
    out = io.StringIO()
    Console(file=out, width=80).print(closing(outcome, played().view(), ACTS, 1_000))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def told_right() -> Outcome:
    bug = incident("classify", "bad deployment", onset_ms=ONSET_MS + 20_000, version="2026.11.2")
    return judge(FAULTS, [heard(incident()), heard(bug)], 1_000)


def test_the_closing_table_says_what_was_done_and_what_was_said() -> None:
    assert (
        table(told_right())
        == """\
2 of 2 faults named right, no false alarm; 0 of 480 frames lost.

act                   invalid/s  positive  clicks/s  Swirl said
────────────────────────────────────────────────────────────────────────────────
healthy                      10      0.80     2 003  nothing, in 10 windows
data pipeline broken     20 000      0.20        10  ◆ ingest: data pipeline
                                                     broken, after 1.7 s
bug in a new model           10      0.20        30  ◆ classify: bad deployment
                                                     2026.11.2, after 1.7 s"""
    )


def test_the_closing_table_admits_what_was_missed_or_wrong() -> None:
    wrong = incident("ingest", "input drift")
    early = incident(onset_ms=ONSET_MS - 5_000)
    shown = " ".join(table(judge(FAULTS, [heard(early), heard(wrong)], 1_000)).split())
    assert shown.startswith("0 of 2 faults named right, 1 false alarm;")
    assert "nothing: missed" in shown
    assert "a false alarm" in shown
    assert "◆ ingest: input drift, after 1.7 s (not" in shown


def test_the_closing_lines_give_times() -> None:
    assert closing_lines(told_right(), 1_000) == [
        "data pipeline broken: injected 03:12:20 UTC, told 03:12:21 UTC, 1.7 windows later",
        "bug in a new model: injected 03:12:40 UTC, told 03:12:41 UTC, 1.7 windows later",
    ]
    early = judge(FAULTS[:1], [heard(incident(onset_ms=ONSET_MS - 5_000))], 1_000)
    assert closing_lines(early, 1_000) == [
        "data pipeline broken: injected 03:12:20 UTC, told never",
        "false alarm: ingest: data pipeline broken since 03:12:15 UTC",
    ]


def test_a_window_is_a_line() -> None:
    scene = Scene(lambda: ONSET_MS)
    scene.handle(window(ONSET_MS, state=State.LEARNING, whole=False))
    scene.handle(window(ONSET_MS + 1_000, state=State.LEARNING))
    scene.handle(window(ONSET_MS + 2_000))
    scene.handle(window(ONSET_MS + 3_000, BROKEN, state=State.ANOMALY))
    windows = scene.view().windows
    partial, learning, healthy, out = (window_line(glance, "healthy") for glance in windows)
    assert partial.endswith("– partial window, not judged")
    assert learning.endswith("◔ learning")
    assert healthy == (
        "03:12:22  healthy                 in 25 010/s  invalid     10/s  positive 0.80"
        "  clicks 2 003/s  ○ healthy"
    )
    assert out.endswith("◇ outside its limits")
    assert window_line(windows[-1], "x", "ingest: it broke").endswith("◆ ingest: it broke")
