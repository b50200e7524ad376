"""The stage graph with its numbers: a cell for each stage, and how its records flow."""

from __future__ import annotations

from math import isfinite, log
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from swirl.effect import SeriesKey, State
from swirl.web.page.choice import top_label
from swirl.web.page.figures import amount, name_of, value
from swirl.web.page.layout import lay_out
from swirl.web.page.ribbons import Flow, Ribbon, chart_map, ribbon

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from swirl.effect import Incident, SeriesPoint
    from swirl.sinks.board import View
    from swirl.web.page.layout import Layout
    from swirl.web.page.ribbons import Map

__all__ = ["Cell", "Row", "StageGraph", "stage_graph", "usual_values"]

_BEFORE = 30
_MOVED = 0.3
"""Logarithm of the factor from which a rate of a stage that follows is told to differ."""

_COUNTERS = 2


class Row(NamedTuple):
    """A number of a stage; ``usual`` is told only where it is another."""

    name: str
    now: str
    usual: str = ""


class Cell(NamedTuple):
    """A stage: its part in the incident, numbers, ribbons sideways and downwards."""

    name: str
    role: str
    mark: str
    word: str
    after: tuple[str, ...]
    rows: tuple[Row, ...]
    lost: str
    usual_flow: bool
    across: Ribbon
    down: Ribbon


class StageGraph(NamedTuple):
    """All cells, layer by layer; a ``map`` where the graph branches."""

    layers: tuple[tuple[Cell, ...], ...]
    map: Map | None
    many: bool

    @property
    def cells(self) -> list[Cell]:
        """All of them."""
        return [cell for layer in self.layers for cell in layer]


def usual_values(view: View, keys: Sequence[SeriesKey], onset_ms: int) -> dict[SeriesKey, float]:
    """Medians of the last calm windows before an incident; without one, lately."""
    calm = [w for w in view.windows if w.whole and (not onset_ms or w.end_ms <= onset_ms)][-_BEFORE:]
    if not calm:
        return {}
    tracks = view._replace(windows=tuple(calm)).tracks(keys)
    found = {}
    for track in tracks:
        known = track.value[np.isfinite(track.value)]
        if known.size:
            found[track.key] = float(np.median(known))
    return found


def stage_graph(view: View, points: Sequence[SeriesPoint], telling: Mapping[SeriesKey, str]) -> StageGraph:
    """The graph of the newest window."""
    last = view.last
    if last is None:
        return StageGraph((), None, many=False)
    layout, incident = lay_out(last.definition), view.open
    now = {point.key: point for point in points}
    shown = {stage: _shown(points, stage) for stage in layout.stages}
    keys = [key for rows in shown.values() for key in rows]
    keys += [SeriesKey(stage, "out") for stage in layout.stages]
    usual = usual_values(view, keys, incident.onset_ms if incident else 0)
    flows = {stage: _flow(stage, now, usual) for stage in layout.stages}
    most = max((max(flow.arrive, flow.usual_arrive) for flow in flows.values()), default=0.0)
    pen = _Pen(layout, incident, telling, now, usual, flows, most)
    layers = tuple(tuple(pen.cell(stage, shown[stage]) for stage in layer) for layer in layout.layers)
    return StageGraph(layers, None if layout.chain else chart_map(layout, flows), many=len(layout.layers) > 6)


def _shown(points: Sequence[SeriesPoint], stage: str) -> list[SeriesKey]:
    """What a cell tells, in its order."""
    known = {point.key for point in points if point.key.stage == stage}
    wanted = [SeriesKey(stage, metric) for metric in ("records", "invalid_ratio", "latency_p95", "errors")]
    label = top_label(points, stage)
    wanted += [label] if label is not None else []
    wanted += sorted(key for key in known if key.metric == "count")[:_COUNTERS]
    return [key for key in wanted if key in known or key.metric in ("records", "latency_p95")]


def _flow(stage: str, now: Mapping[SeriesKey, SeriesPoint], usual: Mapping[SeriesKey, float]) -> Flow:
    def rate(metric: str) -> float:
        point = now.get(SeriesKey(stage, metric))
        return point.value if point is not None and isfinite(point.value) else 0.0

    arrive, leave = rate("records"), rate("out")
    return Flow(
        arrive,
        leave,
        usual.get(SeriesKey(stage, "records"), arrive),
        usual.get(SeriesKey(stage, "out"), leave),
        rate("invalid") + rate("errors"),
    )


class _Pen:
    """Writes the cells of one graph."""

    def __init__(
        self,
        layout: Layout,
        incident: Incident | None,
        telling: Mapping[SeriesKey, str],
        now: Mapping[SeriesKey, SeriesPoint],
        usual: Mapping[SeriesKey, float],
        flows: Mapping[str, Flow],
        most: float,
    ) -> None:
        self.layout, self.incident, self.telling = layout, incident, telling
        self.now, self.usual, self.flows, self.most = now, usual, flows, most

    def cell(self, stage: str, keys: Iterable[SeriesKey]) -> Cell:
        flow = self.flows[stage]
        role, mark, word = self._part(stage)
        rows = tuple(self._row(key, role) for key in keys)
        across, down = ribbon(flow, self.most, 80, 54), ribbon(flow, self.most, 64, 46)
        lost = f"{amount(flow.lost)}/s" if across.lost else ""
        return Cell(
            stage,
            role,
            mark,
            word,
            self.layout.parents[stage],
            rows,
            lost,
            bool(across.usual),
            across,
            down,
        )

    def _part(self, stage: str) -> tuple[str, str, str]:
        """Role, mark and word of a stage."""
        incident = self.incident
        if incident is not None and stage == incident.stage:
            return "root", "◆", "Root cause"
        if incident is not None and stage in incident.follows:
            return "follows", "◇", f"Follows from {incident.stage}" if incident.stage else "Follows"
        states = [p.state for key, p in self.now.items() if key.stage == stage]
        if any(state in (State.ANOMALY, State.HELD) for state in states):
            return "follows", "◇", "Outside its limits"
        if not states or all(state is State.UNMEASURED for state in states):
            return "", "–", "Not measured"
        if all(state in (State.LEARNING, State.UNMEASURED) for state in states):
            return "", "◔", "Learning"
        return "", "○", "Normal"

    def _row(self, key: SeriesKey, role: str) -> Row:
        point = self.now.get(key)
        if point is None or not isfinite(point.value):
            return Row(_row_name(key), "–")
        usual = self.usual.get(key)
        told = value(key, point.value).removesuffix("/s")
        if not role or usual is None or not self._is_out(key, point, usual):
            return Row(_row_name(key), told)
        return Row(_row_name(key), told, value(key, usual).removesuffix("/s"))

    def _is_out(self, key: SeriesKey, point: SeriesPoint, usual: float) -> bool:
        if point.state in (State.ANOMALY, State.HELD):
            return True
        rate = key.metric in ("records", "count")
        if not rate and key not in self.telling:
            return False
        return abs(log((max(point.value, 0.0) + 1.0) / (max(usual, 0.0) + 1.0))) > _MOVED


def _row_name(key: SeriesKey) -> str:
    name = name_of(key)
    return f"{name}/s" if key.metric in ("records", "errors", "count") else name
