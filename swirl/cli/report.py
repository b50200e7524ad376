"""What the demo prints: a line a window where there is no terminal, and the closing table."""

from __future__ import annotations

from math import isfinite, nan
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from swirl.cli import figures
from swirl.cli.scene import ARRIVED, CLICKS, INVALID, POSITIVE
from swirl.sinks.wording import clock_time, duration, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from swirl.cli.judge import Finding, Outcome
    from swirl.cli.scene import Glance, View
    from swirl.effect import SeriesKey

__all__ = ["Played", "closing", "closing_lines", "window_line"]

BAD, FOLLOWS, DIM = "bold red", "yellow", "bright_black"


class Played(NamedTuple):
    """An act as it was.

    Attributes:
        name: see :class:`swirl_pipelines.ads.runner.Act`.
        start_ms, end_ms: event time.
    """

    name: str
    start_ms: int
    end_ms: int


def window_line(glance: Glance, act: str, title: str = "") -> str:
    """One window on one line.

    Args:
        glance: the window.
        act: name of the act in which it lies.
        title: of the incident that is open.
    """
    if title:
        state = f"◆ {plain(title)}"
    elif not glance.whole:
        state = "– partial window, not judged"
    elif glance.alarm:
        state = "◇ outside its limits"
    else:
        state = "○ healthy" if glance.judged else "◔ learning"
    numbers = (
        f"in {figures.per_second(glance.value(ARRIVED)):>8}",
        f"invalid {figures.per_second(glance.value(INVALID)):>8}",
        f"positive {figures.ratio(glance.value(POSITIVE)):>4}",
        f"clicks {figures.per_second(glance.value(CLICKS)):>7}",
    )
    return f"{clock_time(glance.start_ms).removesuffix(' UTC')}  {act:<22}  {'  '.join(numbers)}  {state}"


def _mean(view: View, act: Played, key: SeriesKey) -> float:
    """Over the whole windows that lie in an act."""
    inside = [w for w in view.windows if w.whole and act.start_ms <= w.start_ms and w.end_ms <= act.end_ms]
    values = [value for value in (window.value(key) for window in inside) if isfinite(value)]
    return fmean(values) if values else nan


def _headline(outcome: Outcome) -> str:
    right, alarms = sum(finding.right for finding in outcome.findings), len(outcome.false_alarms)
    told = f"{right} of {len(outcome.findings)} faults named right"
    return f"{told}, {alarms or 'no'} false alarm{'s' if alarms > 1 else ''}"


def _lost(view: View) -> str:
    health = view.health
    if health is None:
        return "no frame came"
    sent = health.frames + health.frames_missing
    return f"{figures.number(health.frames_missing)} of {figures.number(sent)} frames lost"


def _said(finding: Finding, seconds: int) -> str:
    if not finding.told_ms:
        return "nothing: missed"
    version = f" {plain(finding.version)}" if finding.version else ""
    wrong = "" if finding.right else f" (not {finding.fault.title!r} within 3 windows + {seconds} s)"
    delay = duration(finding.told_ms - finding.fault.injected_ms)
    return f"◆ {plain(finding.said)}{version}, after {delay}{wrong}"


def closing(
    outcome: Outcome, view: View, acts: Sequence[Played], window_ms: int, *, ruled: bool = True
) -> RenderableType:
    """The closing table: what was done, what the numbers did, what Swirl said.

    Args:
        outcome: see :func:`swirl.cli.judge.judge`.
        view: the scene at the end.
        acts: those with a line of their own: the healthy one and the faults.
        window_ms: length of a window.
        ruled: with a line below the head.
    """
    table = Table(
        box=SIMPLE_HEAD if ruled else None,
        padding=(0, 1, 0, 0),
        expand=True,
        header_style=DIM,
        show_edge=False,
        border_style=DIM,
    )
    for name in ("act", "invalid/s", "positive", "clicks/s", "Swirl said"):
        text = name in {"act", "Swirl said"}
        table.add_column(name, justify="left" if text else "right", no_wrap=name != "Swirl said")
    findings = {finding.fault.name: finding for finding in outcome.findings}
    for act in acts:
        finding = findings.get(act.name)
        styles = _styles(finding)
        numbers = (figures.number, INVALID), (figures.ratio, POSITIVE), (figures.number, CLICKS)
        cells = [
            Text(show(_mean(view, act, key)), style)
            for (show, key), style in zip(numbers, styles, strict=True)
        ]
        table.add_row(
            act.name, *cells, _said(finding, outcome.seconds) if finding else _quiet(act, outcome, window_ms)
        )
    return Group(Text.assemble((_headline(outcome) + "; ", "bold"), _lost(view) + "."), Text(""), table)


def _styles(finding: Finding | None) -> tuple[str, str, str]:
    """The root's figure is red, those that follow are yellow."""
    if finding is None:
        return "default", "default", "default"
    return (BAD, FOLLOWS, FOLLOWS) if finding.fault.title.startswith("ingest") else ("default", BAD, FOLLOWS)


def _quiet(act: Played, outcome: Outcome, window_ms: int) -> str:
    wrong = [i for i in outcome.false_alarms if act.start_ms <= i.onset_ms < act.end_ms]
    if wrong:
        return f"◆ {plain(wrong[0].title)}: a false alarm"
    return f"nothing, in {(act.end_ms - act.start_ms) // window_ms} windows"


def closing_lines(outcome: Outcome, window_ms: int) -> list[str]:
    """When each fault was injected and told, and what should not have been said: for the eyes of CI."""
    lines = []
    for finding in outcome.findings:
        fault = finding.fault
        told = clock_time(finding.told_ms) if finding.told_ms else "never"
        delay = (
            f", {(finding.told_ms - fault.injected_ms) / window_ms:.1f} windows later"
            if finding.told_ms
            else ""
        )
        lines.append(f"{fault.name}: injected {clock_time(fault.injected_ms)}, told {told}{delay}")
    lines += [f"false alarm: {plain(i.title)} since {clock_time(i.onset_ms)}" for i in outcome.false_alarms]
    return lines or ["no fault was injected"]
