"""Incidents in words, for ``swirl incidents list`` and ``show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.console import Console

from swirl.charts import draw
from swirl.cli.reach import Unknown, track_of
from swirl.effect import IncidentChanged
from swirl.sinks.console import incident_lines, incident_panel
from swirl.sinks.wording import clock_time, headline, moment, plain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from swirl.effect import Incident
    from swirl.web.api import IncidentAnswer

__all__ = ["drawn", "lines_of_life", "listed", "one_line", "shown"]

_WIDEST = 100


def listed(found: Sequence[Incident], *, every: bool, as_json: bool) -> list[str]:
    """The lines of a list."""
    if as_json:
        return [msgspec.json.encode(list(found)).decode()]
    if not found:
        return ["○ no incident is known" if every else "○ no incident is open"]
    width = max(len(plain(incident.id)) for incident in found)
    return [f"{_mark(incident)} {plain(incident.id):<{width}}  {one_line(incident)}" for incident in found]


def one_line(incident: Incident) -> str:
    """What it is, and what people have said of it."""
    said = _said(incident)
    return headline(incident) + (f" · {', '.join(said)}" if said else "")


def _mark(incident: Incident) -> str:
    return "✓" if incident.state == "resolved" else "◆"


def _said(incident: Incident) -> list[str]:
    """In the order in which people say it."""
    ended = incident.state == "resolved"
    parts = [
        ("muted", incident.muted),
        (f"acknowledged by {incident.acknowledged_by or 'somebody'}", incident.acknowledged_ms and not ended),
        (f"snoozed until {clock_time(incident.snoozed_until_ms)}", incident.snoozed_until_ms and not ended),
        ("came back" + (f" {incident.reopened} times" if incident.reopened > 1 else ""), incident.reopened),
        (_ENDINGS.get(incident.ending, "").format(who=incident.ended_by or "somebody"), ended),
        ("confirmed", incident.judged == "confirmed"),
        ("a false alarm", incident.judged == "false_alarm" and incident.ending != "false_alarm"),
    ]
    return [plain(words) for words, so in parts if so and words]


_ENDINGS = {
    "calm": "by itself",
    "resolved": "by {who}",
    "new_normal": "new normal, says {who}",
    "false_alarm": "a false alarm, says {who}",
    "adopted": "it lasted so long that it is the new normal",
    "left": "the pipeline runs at other times now",
}


def lines_of_life(answer: IncidentAnswer) -> list[str]:
    """What people have said of it, and what happened when, in words."""
    incident = answer.incident
    steps = _steps(incident)
    said = _said(incident)
    lines = [", ".join([f"State: {incident.state}", *said])]
    if incident.why:
        lines.append(f"Why: {plain(incident.why)}")
    return [*lines, *(["Steps, UTC:", *steps] if steps else [])]


def _steps(incident: Incident) -> list[str]:
    """A line for each, in columns: when, what, and the particulars."""
    times = [moment(step.at_ms, incident.onset_ms).removesuffix(" UTC") for step in incident.steps]
    wide = max(map(len, times), default=0)
    widest = max((len(step.happened) for step in incident.steps), default=0)
    lines = []
    for time, (missing, step) in zip(times, incident.story, strict=True):
        if missing:
            lines.append(f"  {'…':>{wide}}  {missing} more, not kept")
        lines.append(f"  {time:>{wide}}  {step.happened:<{widest}}  {plain(step.words)}".rstrip())
    return lines


def shown(answer: IncidentAnswer, *, as_json: bool) -> None:
    """Print one incident: a panel where there is a terminal, lines where there is none."""
    if as_json:
        click.echo(msgspec.json.encode(answer).decode())
        return
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(incident_panel(answer.incident, min(console.width, _WIDEST)))
    else:
        last = answer.told[-1] if answer.told else None
        step: Any = last.transition if last is not None else "opened"
        change = IncidentChanged(step, answer.incident, last.reply if last is not None else "")
        for line in incident_lines(change):
            click.echo(line)
    click.echo(plain(answer.incident.id))
    for line in lines_of_life(answer):
        click.echo(line)


def drawn(answer: IncidentAnswer, file: Path, *, dark: bool) -> None:
    """Draw its most telling series into a file.

    Raises:
        Unknown: the file cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    tracks = [track_of(track) for track in answer.tracks]
    png = draw(answer.incident, tracks, deployments=answer.deployments, dark=dark, show_labels=True)
    try:
        file.write_bytes(png)
    except OSError as error:
        raise Unknown(f"{file} cannot be written: {error.strerror}") from None
