"""Incidents on a terminal as a panel, and as plain lines where there is no terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swirl.effect import IncidentChanged, MuteChanged
from swirl.errors import MissingExtraError
from swirl.sinks.wording import (
    attended,
    came_back,
    duration,
    ending,
    follow,
    headline,
    how_sure,
    judged,
    plain,
    planned,
    possible,
    probability,
    reasons,
    ruled_out,
    sentence,
)

try:
    from rich.box import ROUNDED
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text
except ImportError:
    raise MissingExtraError("rich", "watch") from None

if TYPE_CHECKING:
    from rich.console import RenderableType

    from swirl.effect import Effect, Evidence, Incident

__all__ = ["ConsoleSink", "incident_lines", "incident_panel"]

BAD, DIM = "bold red", "bright_black"
_BAR = 10


class ConsoleSink:
    """Prints each step of an incident and each turn of planned work; what is muted is not told.

    Args:
        console: where to; standard error by default, so that a pipeline's own output stays clean.
    """

    name = "console"

    def __init__(self, console: Console | None = None) -> None:
        self._console = Console(stderr=True, highlight=False) if console is None else console

    def handle(self, effect: Effect) -> None:
        """Print an incident's step, or planned work in one line; other effects are not for people to read."""
        if isinstance(effect, MuteChanged):
            self._console.print(Text(planned(effect)), soft_wrap=not self._console.is_terminal)
            return
        if not isinstance(effect, IncidentChanged) or effect.incident.muted:
            return
        if not self._console.is_terminal:
            for line in incident_lines(effect):
                self._console.out(line, highlight=False)
            return
        if effect.transition not in {"opened", "resolved"} and effect.reply:
            self._console.print(Text(plain(effect.reply), "bold"))
        self._console.print(incident_panel(effect.incident, min(self._console.width, 100)))


def incident_panel(incident: Incident, width: int) -> RenderableType:
    """An incident as a panel of ``width`` columns; its marks carry the state where colours do not."""
    ended = incident.state == "resolved"
    title = Text(f"{'✓' if ended else '◆'} {headline(incident)}", "bold" if ended else BAD)
    title.truncate(width - 6, overflow="ellipsis")
    body: list[RenderableType] = [_numbers(incident), _causes(incident)]
    if ended:
        body = [Text(_over(incident)), _numbers(incident)]
    else:
        body[:0] = [Text(part) for part in _sentences(incident)]
        body.insert(len(body) - 2, Text.assemble(("Look first ", "bold"), plain(incident.look_first)))
    style = DIM if ended else "red"
    return Panel(
        Group(*body),
        title=title,
        title_align="left",
        border_style=style,
        box=ROUNDED,
        padding=(0, 1),
        width=width,
    )


def incident_lines(change: IncidentChanged) -> list[str]:
    """A step of an incident as plain lines: for pipes, logs and CI."""
    incident = change.incident
    lines = [f"{'✓' if incident.state == 'resolved' else '◆'} {headline(incident)} ({change.transition})"]
    if change.transition != "opened" and change.reply:
        lines.append(plain(change.reply))
    if incident.state == "resolved":
        over = (ending(incident), came_back(incident), judged(incident), plain(incident.cost))
        return [*lines, *(part for part in over if part)]
    lines += [part for part in _sentences(incident) if part]
    lines.append(f"Look first {plain(incident.look_first)}")
    lines += [f"  {plain(e.name)} {plain(e.usual)} → {plain(e.now)}" for e in incident.evidence]
    said = [how_sure(incident).capitalize()]
    said += [f"Possible: {told}" for told in [possible(incident)] if told]
    said += [f"Ruled out: {told}" for told in [ruled_out(incident)] if told]
    return [*lines, ". ".join(said) + "."]


def _sentences(incident: Incident) -> list[str]:
    told = [incident.sentence, reasons(incident), follow(incident), sentence(incident.version_line)]
    first = " ".join(plain(part) for part in told if part)
    extra = [plain(incident.second)] if incident.second else []
    extra += [part for part in (attended(incident), came_back(incident), judged(incident)) if part]
    if incident.preliminary:
        extra.append("Preliminary: the next window may name another cause.")
    return [first, *extra]


def _over(incident: Incident) -> str:
    said = (ending(incident), came_back(incident), judged(incident), plain(incident.cost))
    return " ".join([f"Was: {plain(incident.cause)}.", *(part for part in said if part)])


def _numbers(incident: Incident) -> Table:
    ended = incident.state == "resolved"
    table = Table.grid(padding=(0, 2, 0, 0))
    for side in ("left", "right", "left"):
        table.add_column(justify="right" if side == "right" else "left", no_wrap=True)
    for piece in incident.evidence:
        now = Text(plain(piece.now), "default" if ended else BAD if piece.root else "yellow")
        table.add_row(Text(plain(piece.name)), now, Text(_compared(piece, ended=ended), DIM))
    return table


def _compared(piece: Evidence, *, ended: bool) -> str:
    return f"worst {plain(piece.worst)}" if ended and piece.worst else f"usual {plain(piece.usual)}"


def _causes(incident: Incident) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(width=_BAR)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    many = "" if incident.windows == 1 else "s"
    basis = f"{incident.windows} window{many} of {duration(incident.window_ms)}" if incident.windows else ""
    rows = [(incident.cause, incident.posterior, basis)]
    rows += [(rival.cause, rival.posterior, rival.why) for rival in incident.rivals[:4]]
    for cause, posterior, why in rows:
        style = "bold" if posterior > 0.5 else "default"
        bar = Text("█" * round(posterior * _BAR) or "▏", style if posterior > 0.5 else DIM)
        table.add_row(
            Text(plain(cause), style), bar, Text(probability(posterior), style), Text(plain(why), DIM)
        )
    return table
