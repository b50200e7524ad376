"""The demo's live screen, 80 columns and 24 lines: the smallest terminal anyone has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite, nan
from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple

from rich.box import ROUNDED
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from swirl.cli import figures
from swirl.cli.scene import ADS, ARRIVED, CLASSIFIED, CLICKS, INVALID, POSITIVE, Reading
from swirl.sinks.wording import clock_time, cut, duration, plain, probability, reasons

if TYPE_CHECKING:
    from rich.console import RenderableType

    from swirl.cli.scene import View
    from swirl.effect import Incident, SeriesKey

__all__ = ["WIDTH", "Caption", "draw"]

WIDTH = 80
BAD, FOLLOWS, DIM, PLAIN = "bold red", "yellow", "bright_black", "default"
_BAR, _SPARK, _CHANCE_BAR, _RIVALS = 12, 20, 10, 3
_LINES = 9
_SHOWS = 0.2
"""A change by less than this share of the usual is not marked on the screen."""
_WIDE, _WIDE_RATIO = 2.5, 0.4
_OLD_MS = 5_000
"""After so long without a window the screen says that it is old."""
_INNER = WIDTH - 4


@dataclass(frozen=True)
class Caption:
    """What the demo says beside what Swirl says.

    Attributes:
        act, acts: number of the act, and how many there are.
        told: what is happening, up to three lines.
        rate: usual records a second.
        now_ms: event time.
    """

    act: int
    acts: int
    told: str
    rate: float
    now_ms: int


class _Node(NamedTuple):
    title: str
    stage: str
    key: SeriesKey


_NODES = (
    _Node("tweets", "", ARRIVED),
    _Node("→ ingest", "ingest", ARRIVED),
    _Node("→ classify", "classify", CLASSIFIED),
    _Node("→ serve", "serve", ADS),
    _Node("→ clicks", "clicks", CLICKS),
)


def draw(view: View, caption: Caption) -> RenderableType:
    """The screen."""
    return Group(
        _head(view, caption),
        Text(""),
        _graph(view, caption.rate),
        Text(""),
        _numbers(view, caption.rate),
        Text(""),
        _incident(view.incident, caption.now_ms) if view.incident else _calm(view, caption),
        _foot(view),
    )


def _head(view: View, caption: Caption) -> Table:
    behind_ms = caption.now_ms - view.windows[-1].end_ms if view.windows else 0
    if behind_ms > _OLD_MS:
        state = Text.assemble(
            ("– ", "bold"), (f"no window for {duration(behind_ms // 1000 * 1000)}", "bold reverse")
        )
    elif view.open:
        state = Text.assemble(
            ("◆ ", BAD), (f"{view.open} incident{'s' if view.open > 1 else ''} open", "bold")
        )
    elif view.learning:
        state = Text.assemble(("◔ ", DIM), ("learning", "bold"))
    else:
        state = Text.assemble(("○ ", DIM), ("healthy", "bold"))
    table = Table.grid(expand=True)
    table.add_column()
    table.add_column(justify="right")
    right = f"act {caption.act} of {caption.acts} · event time {clock_time(caption.now_ms)}"
    table.add_row(Text.assemble(("Swirl ", DIM), ("ads", "bold"), "  ", state), Text(right, DIM))
    return table


def _graph(view: View, rate: float) -> Table:
    """One column a stage: name, state, and records a second with a bar as long as the flow is wide."""
    table = Table.grid(expand=True, padding=(0, 1))
    columns = [_column(view, node, rate) for node in _NODES]
    for _ in columns:
        table.add_column(ratio=1, no_wrap=True)
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    return table


def _column(view: View, node: _Node, rate: float) -> tuple[Text, Text, Text, Text, Text]:
    now, usual = _now(view, node.key).value, view.usual.get(node.key, Reading()).value
    word, style = _standing(view, node)
    flows, missing = figures.bar(now, usual, rate, _BAR)
    off = isfinite(now) and isfinite(usual) and abs(now - usual) > 0.1 * usual
    return (
        Text(node.title, "bold"),
        Text(word, style),
        Text(flows, "white") + Text(missing, DIM),
        Text(figures.per_second(now), style if style == FOLLOWS else PLAIN),
        Text(f"usual {figures.number(figures.rounded(usual, 2))}" if off else "", DIM),
    )


def _standing(view: View, node: _Node) -> tuple[str, str]:
    """Mark, word and colour of a stage."""
    if not node.stage:
        return "source", DIM
    incident = view.incident
    if incident is not None:
        if incident.stage == node.stage:
            return "◆ root cause", BAD
        if node.stage in _suffering(incident):
            return "◇ follows", FOLLOWS
    return ("◔ learning", DIM) if view.learning else ("○ healthy", DIM)


class _Line(NamedTuple):
    title: str
    key: SeriesKey
    stage: str
    low: float
    high: float
    log: bool = False


def _numbers(view: View, rate: float) -> Table:
    lines = (
        _Line("ingest invalid", INVALID, "ingest", rate / 25_000, rate * 1.6, log=True),
        _Line("positive ratio", POSITIVE, "classify", 0.0, 1.0),
        _Line("clicks", CLICKS, "clicks", 0.0, rate * 0.092),
    )
    table = Table.grid(padding=(0, 1, 0, 0))
    for side in ("left", "right", "left", "left", "left"):
        table.add_column(justify="right" if side == "right" else "left", no_wrap=True)
    for line in lines:
        table.add_row(*_number(view, line))
    return table


def _number(view: View, line: _Line) -> tuple[Text, Text, Text, Text, Text]:
    now, usual, is_ratio = _now(view, line.key), view.usual.get(line.key, Reading()), line.key == POSITIVE
    mark, style = _mark(view, line, now)
    windows = view.windows[-_SPARK:]
    onset_ms = view.incident.onset_ms if view.incident and mark.plain else None
    before = [w.value(line.key) for w in windows if onset_ms is None or w.end_ms <= onset_ms]
    after = [w.value(line.key) for w in windows[len(before) :]]
    drawn = [figures.spark(part, line.low, line.high, log=line.log) for part in (before, after)]
    return (
        Text(line.title),
        Text((figures.ratio if is_ratio else figures.per_second)(now.value).rjust(8), style),
        Text(drawn[0].rjust(_SPARK - len(after)), DIM) + Text(drawn[1], style),
        Text(_band(usual, is_ratio=is_ratio).ljust(17), DIM),
        mark,
    )


def _band(usual: Reading, *, is_ratio: bool) -> str:
    """The alarm limits. After a few windows of learning they are too wide to tell a person anything."""
    if not (isfinite(usual.low) and isfinite(usual.high)):
        return "usual not known yet"
    if usual.high - usual.low > (_WIDE_RATIO if is_ratio else _WIDE * usual.value):
        return f"usual about {figures.ratio(usual.value) if is_ratio else figures.number(usual.value)}"
    return (figures.usual_ratio if is_ratio else figures.usual_rate)(usual.low, usual.high)


def _mark(view: View, line: _Line, now: Reading) -> tuple[Text, str]:
    """``◆ since 03:12:20`` at the root, ``◇`` where it follows and shows, nothing where all is as usual."""
    incident = view.incident
    if incident is None or line.stage not in _suffering(incident):
        return Text(""), PLAIN
    usual = view.usual.get(line.key, Reading()).value
    if not abs(now.value - usual) > _SHOWS * usual:
        return Text(""), PLAIN
    piece = next((e for e in incident.evidence if (e.stage, e.metric) in _same(line.key)), None)
    since = clock_time((piece.onset_ms if piece else 0) or incident.onset_ms).removesuffix(" UTC")
    mark, style = ("◆", BAD) if incident.stage == line.stage else ("◇", FOLLOWS)
    return Text(f"{mark} since {since}", style), style


def _suffering(incident: Incident) -> set[str]:
    """The root and what follows from it; clicks come after serve."""
    found = {incident.stage, *incident.follows}
    return found | {"clicks"} if "serve" in found else found


def _same(key: SeriesKey) -> set[tuple[str, str]]:
    """Under which metrics an incident may speak of a figure."""
    also = {"invalid": "invalid_ratio", "count": "ratio"}.get(key.metric, key.metric)
    return {(key.stage, key.metric), (key.stage, also)}


def _now(view: View, key: SeriesKey) -> Reading:
    return view.windows[-1].readings.get(key, Reading()) if view.windows else Reading(nan)


def _incident(incident: Incident, now_ms: int) -> Panel:
    where = plain(f"{incident.pipeline} / {incident.title}" if incident.stage else incident.title)
    lasted = duration(max(0, (now_ms - incident.onset_ms) // 1000 * 1000))
    title = cut(f"◆ {where} since {clock_time(incident.onset_ms)}, {lasted}", WIDTH - 6)
    told = [*_wrapped(_sentence(incident), 4), *_wrapped(f"Look first {plain(incident.look_first)}", 2)]
    lines = Text("\n".join(told))
    lines.highlight_words(["Look first"], "bold")
    return Panel(
        Group(lines, _causes(incident, _LINES - len(told))),
        title=Text(title, BAD),
        title_align="left",
        border_style="red",
        box=ROUNDED,
        padding=(0, 1),
    )


def _wrapped(text: str, most: int) -> list[str]:
    """At most so many lines; the space within a number is no place to break."""
    tied = re.sub(r"(?<=\d) (?=[\d%])", "\u00a0", text)
    lines = wrap(tied, _INNER, max_lines=most, placeholder=" …", break_on_hyphens=False)
    return [line.replace("\u00a0", " ") for line in lines]


def _sentence(incident: Incident) -> str:
    """What it is, what speaks for it, what follows."""
    moved = [e for e in incident.evidence if e.usual and e.now and e.stage in incident.follows]
    follows = ", ".join(f"{plain(e.name)} {plain(e.usual)} → {plain(e.now)}" for e in moved[:3])
    versions = plain(incident.version_line)
    parts = [plain(incident.sentence), reasons(incident), versions[:1].upper() + versions[1:]]
    parts += [f"The rest follows: {follows}"] if follows else []
    return " ".join(part.rstrip(".") + "." for part in parts if part)


def _causes(incident: Incident, most: int) -> Table:
    basis = f"on {incident.windows} window{'s' if incident.windows != 1 else ''} of evidence"
    rows = [(incident.cause, incident.posterior, basis)]
    rows += [(rival.cause, rival.posterior, rival.why) for rival in incident.rivals[:_RIVALS]]
    rows = rows[: max(1, most)]
    name, chance = min(24, max(len(row[0]) for row in rows)), 7
    table = Table.grid(padding=(0, 1))
    for width in (name, _CHANCE_BAR, chance, _INNER - name - _CHANCE_BAR - chance - 3):
        table.add_column(width=width, no_wrap=True, overflow="ellipsis")
    table.columns[2].justify = "right"
    for cause, posterior, why in rows:
        leads = posterior > 0.5
        flows = "█" * int(posterior * 10) + ("▌" if posterior * 10 % 1 >= 0.5 else "") or "▏"
        style = "bold" if leads else PLAIN
        table.add_row(
            Text(plain(cause), style),
            Text(flows, PLAIN if leads else DIM),
            Text(probability(posterior), style),
            Text(plain(why), DIM),
        )
    return table


def _calm(view: View, caption: Caption) -> Panel:
    """What is happening while nothing is wrong; the last incident's end stays in sight."""
    title = "◔ learning what is usual"
    if view.windows and not view.learning:
        title = f"○ all {view.windows[-1].judged} series are as usual"
    told: list[RenderableType] = [Text(caption.told)]
    over = view.resolved
    if over is not None:
        took = duration(over.resolved_ms - over.onset_ms)
        when = f"resolved at {clock_time(over.resolved_ms)} after {took}"
        line = f"✓ {plain(over.pipeline)} / {plain(over.title)}: {when}"
        told += [Text(""), Text(line, "bold"), *([Text(plain(over.cost), DIM)] if over.cost else [])]
    return Panel(
        Group(*told),
        title=Text(title),
        title_align="left",
        border_style=DIM,
        box=ROUNDED,
        padding=(0, 1),
        height=11,
    )


def _foot(view: View) -> Text:
    health = view.health
    if health is None:
        return Text("waiting for the first window · Ctrl-C: quit", DIM)
    sent = health.frames + health.frames_missing
    told = f"{figures.number(health.frames)} of {figures.number(sent)} frames"
    return Text(f"{told}, {figures.number(health.dropped_records)} records dropped · Ctrl-C: quit", DIM)
