"""The live screen of ``swirl watch``: what has colour is wrong, and a mark says so too."""

from __future__ import annotations

from math import isfinite, nan
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich.console import Group
from rich.layout import Layout
from rich.table import Table
from rich.text import Text

from swirl.charts.scale import number, scale_of, usual_of
from swirl.charts.telling import name_of_series, same_series, usual_before, windows_before
from swirl.cli import figures
from swirl.cli.news import standing, work
from swirl.cli.reach import track_of
from swirl.effect import State
from swirl.sinks.console import incident_panel
from swirl.sinks.wording import clock_time, duration, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from swirl.cli.watch import Glimpse
    from swirl.effect import Incident
    from swirl.sinks.board import Track
    from swirl.web.api import PipelineAnswer, Summary

__all__ = ["Shown", "draw", "framed"]

BAD, FOLLOWS, DIM, PLAIN = "bold red", "yellow", "bright_black", "default"
_WIDEST, _STAGES, _WORKS = 110, 6, 4
_SPARK, _LEAST, _NAME = 24, 6, 24
_OLD_S = 15.0
"""After so long without an answer the screen says that it is old."""


class Shown(NamedTuple):
    """What is drawn.

    Attributes:
        glimpse: how things stand.
        detail: of the only pipeline, None for several or where it is not to be had.
        age_s: seconds since somebody answered.
    """

    glimpse: Glimpse
    detail: PipelineAnswer | None
    age_s: float


def draw(shown: Shown, width: int) -> RenderableType:
    """All that there is to see."""
    return Group(_body(shown, width), _foot(shown))


def _body(shown: Shown, width: int) -> RenderableType:
    wide = min(width, _WIDEST)
    still = [incident for incident in shown.glimpse.incidents if incident.state == "open"]
    parts: list[RenderableType] = [_head(shown, still), *_planned(shown.glimpse.pipelines), Text("")]
    if shown.detail is not None:
        parts += _one(shown.detail, wide)
    else:
        parts.append(_every(shown.glimpse.pipelines))
    for incident in still[:2]:
        parts += [Text(""), incident_panel(incident, wide)]
    if not still:
        parts += [Text(""), *_over(shown.glimpse.incidents)]
    return Group(*parts)


def framed(shown: Shown, width: int) -> RenderableType:
    """The screen, whose last line stays where the terminal is too low for the rest."""
    screen = Layout()
    screen.split_column(Layout(_body(shown, width)), Layout(_foot(shown), size=1))
    return screen


def _foot(shown: Shown) -> Text:
    silent = [f" · {url} does not answer" for url in shown.glimpse.silent]
    return Text("q or Ctrl-C: quit" + "".join(silent), DIM)


def _head(shown: Shown, still: Sequence[Incident]) -> Table:
    table = Table.grid(expand=True)
    table.add_column()
    table.add_column(justify="right")
    pipelines = shown.glimpse.pipelines
    name = pipelines[0].name if len(pipelines) == 1 else f"{len(pipelines)} pipelines"
    newest = max((s.start_ms + s.window_ms for s in pipelines), default=0)
    right = f"event time {clock_time(newest)}" if newest else "waiting for the first window"
    state = _state(shown, still)
    table.add_row(Text.assemble(("Swirl ", DIM), (plain(name), "bold"), "  ") + state, Text(right, DIM))
    return table


def _planned(pipelines: Sequence[Summary]) -> list[Text]:
    """Why nobody is told: planned work, a line each."""
    lines = [work(summary.name, mute) for summary in pipelines for mute in summary.mutes]
    more = [f"– and {len(lines) - _WORKS} more"] if len(lines) > _WORKS else []
    return [Text(line, "bold") for line in (*lines[:_WORKS], *more)]


def _state(shown: Shown, still: Sequence[Incident]) -> Text:
    if shown.age_s > _OLD_S:
        old = duration(int(shown.age_s) * 1000)
        return Text.assemble(("– ", "bold"), (f"nobody answers for {old}", "bold reverse"))
    if still:
        many = "s" if len(still) > 1 else ""
        return Text.assemble(("◆ ", BAD), (f"{len(still)} incident{many} open", "bold"))
    if shown.glimpse.pipelines and all(summary.learning for summary in shown.glimpse.pipelines):
        return Text.assemble(("◔ ", DIM), ("learning", "bold"))
    return Text.assemble(("○ ", DIM), ("no incident open", "bold"))


def _every(pipelines: Sequence[Summary]) -> Table:
    """One line a pipeline; those with an incident come first."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="ellipsis", no_wrap=True)
    for summary in sorted(pipelines, key=lambda s: (s.incident is None, s.name))[:30]:
        style = BAD if summary.incident is not None and not summary.incident.muted else DIM
        table.add_row(Text(plain(summary.name), "bold"), Text(standing(summary), style))
    if not pipelines:
        table.add_row(Text("no pipeline yet", DIM), Text(""))
    return table


def _over(incidents: Sequence[Incident]) -> list[Text]:
    ended = [incident for incident in incidents if incident.state == "resolved"][:3]
    return [
        Text(
            f"✓ {plain(i.pipeline)} / {plain(i.title)}: resolved at {clock_time(i.resolved_ms)} "
            f"after {duration(i.resolved_ms - i.onset_ms)}",
            DIM,
        )
        for i in ended
    ]


def _one(detail: PipelineAnswer, width: int) -> list[RenderableType]:
    incident = detail.summary.incident
    parts: list[RenderableType] = [_graph(detail, incident, width), Text("")]
    tracks = [track_of(track) for track in detail.tracks]
    if tracks:
        parts.append(_numbers(tracks, incident, width))
    return parts


def _graph(detail: PipelineAnswer, incident: Incident | None, width: int) -> Table:
    """One column a stage: name, state, and its records a second with a bar as long as the flow is wide."""
    rates = {each.stage: each.value for each in detail.series if each.metric == "records"}
    stages = list(detail.stages)[:_STAGES]
    most = max((rate for rate in rates.values() if rate is not None), default=1.0) or 1.0
    table = Table.grid(padding=(0, 1))
    room = max(8, width // max(1, len(stages)) - 1)
    for _ in stages:
        table.add_column(width=room, no_wrap=True, overflow="ellipsis")
    rows = [_stage(detail, stage, incident, (rates.get(stage), most), room - 2) for stage in stages]
    for row in zip(*rows, strict=True):
        table.add_row(*row)
    return table


def _stage(
    detail: PipelineAnswer, stage: str, incident: Incident | None, flow: tuple[float | None, float], room: int
) -> tuple[Text, Text, Text, Text]:
    word, style = ("◔ learning", DIM) if detail.summary.learning else ("○ healthy", DIM)
    if incident is not None and stage == incident.stage:
        word, style = "◆ root cause", BAD
    elif incident is not None and stage in incident.follows:
        word, style = "◇ follows", FOLLOWS
    rate = nan if flow[0] is None else flow[0]
    full, _ = figures.bar(rate, nan, flow[1], room)
    arrow = "→ " if detail.stages[stage] else ""
    return (
        Text(f"{arrow}{plain(stage)}", "bold"),
        Text(word, style),
        Text(full, "white"),
        Text(figures.per_second(rate), style if style == FOLLOWS else PLAIN),
    )


def _numbers(tracks: Sequence[Track], incident: Incident | None, width: int) -> Table:
    """One line a series; what is left of the width is for its past."""
    rows = [_number(track, incident) for track in tracks]
    table = Table.grid(padding=(0, 1, 0, 0))
    widths = [max(len(row[column].plain) for row in rows) for column in range(4)]
    widths[0] = min(widths[0], _NAME)
    for side, wide in zip(("left", "right", "left", "left"), widths, strict=True):
        justify: Any = side
        table.add_column(justify=justify, width=wide, no_wrap=True, overflow="ellipsis")
    room = max(_LEAST, min(_SPARK, width - sum(widths) - 5))
    for track, (name, value, usual, mark) in zip(tracks, rows, strict=True):
        past = _past(track, incident, mark.style or DIM, room)
        table.add_row(name, value, Text.assemble(past, " ", usual), mark)
    table.columns[2].width = widths[2] + room + 1
    return table


def _past(track: Track, incident: Incident | None, style: Any, room: int) -> Text:
    onset_ms = incident.onset_ms if incident is not None else None
    usual, before = usual_before(track, onset_ms), windows_before(track, onset_ms)
    scale = scale_of(track, usual.level, usual.low)
    values, shown = track.value.tolist(), max(0, len(track.value) - room)
    parts = values[shown : max(shown, before)], values[max(shown, before) :]
    drawn = [figures.spark(part, scale.floor, scale.top, log=scale.log) for part in parts]
    return Text(" " * (room - sum(map(len, drawn)))) + Text(drawn[0], DIM) + Text(drawn[1], style)


def _number(track: Track, incident: Incident | None) -> tuple[Text, Text, Text, Text]:
    """Its name, its value now, what is usual, and its mark."""
    usual = usual_before(track, incident.onset_ms if incident is not None else None)
    mark, style = _mark(track, incident)
    key, now = track.key, float(track.value[-1]) if len(track.value) else nan
    name = f"{key.label} ratio" if key.metric == "prediction_ratio" else name_of_series(key)
    return (
        Text(plain(name)),
        Text(number(key.metric, now), style),
        Text(usual_of(key.metric, *usual), DIM),
        mark,
    )


def _mark(track: Track, incident: Incident | None) -> tuple[Text, str]:
    """``◆ since 03:12:20`` at the root, ``◇`` where it follows, nothing where all is as usual."""
    every = incident.evidence if incident is not None else ()
    piece = next((e for e in every if same_series(track.key, e.stage, e.metric, e.label)), None)
    moved = piece is not None and not (
        isfinite(piece.usual_value)
        and abs(piece.now_value - piece.usual_value) <= 0.2 * abs(piece.usual_value)
    )
    if incident is None or piece is None or not moved:
        wrong = bool(len(track.state)) and bool(np.isin(track.state[-1], (State.ANOMALY, State.HELD)))
        return (Text("◇ outside its limits", FOLLOWS), FOLLOWS) if wrong else (Text(""), PLAIN)
    since = clock_time(piece.onset_ms or incident.onset_ms).removesuffix(" UTC")
    mark, style = ("◆", BAD) if piece.root else ("◇", FOLLOWS)
    return Text(f"{mark} since {since}", style), style
