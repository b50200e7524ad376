"""Records as ribbons, as wide as there are records a second: through a chain of stages, or across a graph."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swirl.web.page.layout import Layout

__all__ = ["Flow", "Map", "Node", "Ribbon", "chart_map", "ribbon"]

_WIDTH = 200.0
_TOP = 6.0
_THIN = 1.4
_BEGIN, _END = 0.3 * _WIDTH, 0.56 * _WIDTH
_LAYER, _LANE, _BOX, _TALL = 220.0, 74.0, 150.0, 46.0


class Flow(NamedTuple):
    """Records a second at a stage, now and usually: that arrive, that go on, that are invalid or fail."""

    arrive: float
    leave: float
    usual_arrive: float
    usual_leave: float
    lost: float = 0.0


class Ribbon(NamedTuple):
    """Paths in a box of 200 by ``height``: what flows and usually flows, their edges, what is lost."""

    flow: str
    edge: str
    usual: str
    usual_edge: str
    lost: str


def ribbon(flow: Flow, most: float, height: float, room: float) -> Ribbon:
    """The way of the records through one stage, from the left to the right.

    Args:
        flow: what is drawn.
        most: records a second that take the whole width, those of the widest stage.
        height: of the box.
        room: width of the widest ribbon.
    """
    scale = room / most if most > 0 else 0.0
    now, later = flow.arrive * scale, flow.leave * scale
    moved = abs(flow.leave - flow.usual_leave) > 0.1 * max(flow.usual_leave, 1e-9)
    usual = (flow.usual_arrive * scale, flow.usual_leave * scale)
    lost = ""
    if flow.lost * scale > 1.0:
        above, below = _TOP + now, _TOP + now - flow.lost * scale
        lost = (
            f"M58,{below + 1:.1f}C98,{below + 2:.1f} 114,{below + 14:.1f} 117,{height:g}H78"
            f"C76,{above + 6:.1f} 70,{above:.1f} 58,{above:.1f}Z"
        )
    return Ribbon(
        _shape(now, later),
        _edge(now, later),
        _shape(*usual) if moved else "",
        _edge(*usual) if moved else "",
        lost,
    )


def _shape(first: float, then: float) -> str:
    a, b = _TOP + max(first, _THIN), _TOP + max(then, _THIN)
    middle = (_BEGIN + _END) / 2
    return (
        f"M0,{_TOP:g}H{_WIDTH:g}V{b:.1f}H{_END:g}C{middle:g},{b:.1f} {middle:g},{a:.1f} {_BEGIN:g},{a:.1f}H0Z"
    )


def _edge(first: float, then: float) -> str:
    a, b = _TOP + max(first, _THIN), _TOP + max(then, _THIN)
    middle = (_BEGIN + _END) / 2
    return f"M0,{a:.1f}H{_BEGIN:g}C{middle:g},{a:.1f} {middle:g},{b:.1f} {_END:g},{b:.1f}H{_WIDTH:g}"


class Node(NamedTuple):
    """A stage on the map: its box, from its upper left corner."""

    stage: str
    x: float
    y: float


class Map(NamedTuple):
    """A branching graph from above.

    Attributes:
        width, height: of the box in which it is drawn.
        nodes: stages.
        arrows: one path a connection, as wide as the records that take it; and the role of its end.
    """

    width: float
    height: float
    nodes: tuple[Node, ...]
    arrows: tuple[tuple[str, str], ...]
    box: tuple[float, float] = (_BOX, _TALL)


def chart_map(layout: Layout, flows: Mapping[str, Flow]) -> Map:
    """Stages as boxes, layer after layer; between them ribbons that share the width of what arrives.

    A ribbon that passes a layer by has a lane of its own there, so it never runs behind a box.
    """
    lanes = _lanes(layout)
    height = max((len(lane) for lane in lanes), default=1) * _LANE
    width = (len(lanes) - 1) * _LAYER + _BOX
    place: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    for column, lane in enumerate(lanes):
        first = (height - len(lane) * _LANE) / 2
        for row, item in enumerate(lane):
            at = (column * _LAYER, first + row * _LANE + (_LANE - _TALL) / 2)
            place.setdefault(item, []).append(at)
    most = max((flow.arrive for flow in flows.values()), default=0.0)
    scale = (_TALL - 8) / most if most > 0 else 0.0
    arrows = []
    for arrow in layout.arrows:
        parent, stage = arrow
        arrive = flows[stage].arrive if stage in flows else 0.0
        wide = max(arrive / len(layout.parents[stage]) * scale, _THIN)
        way = [*place[parent,], *place.get(arrow, []), *place[stage,]]
        arrows.append((_along(way, wide), stage))
    nodes = tuple(Node(stage, *place[stage,][0]) for stage in layout.stages)
    return Map(width, height, nodes, tuple(arrows))


def _lanes(layout: Layout) -> list[list[tuple[str, ...]]]:
    """What stands in each layer, from above: stages, and arrows that pass by."""
    layer_of = {stage: number for number, layer in enumerate(layout.layers) for stage in layer}
    found: list[list[tuple[str, ...]]] = []
    above: dict[tuple[str, ...], float] = {}
    for number, layer in enumerate(layout.layers):
        items: dict[tuple[str, ...], float] = {}
        for stage in layer:
            parents = [above[parent, stage] for parent in layout.parents[stage]]
            items[stage,] = sum(parents) / len(parents) if parents else 0.0
        for parent, stage in layout.arrows:
            if layer_of[parent] < number < layer_of[stage]:
                items[parent, stage] = above[parent, stage]
        found.append(sorted(items, key=lambda item: items[item]))
        middle = (len(items) - 1) / 2
        lane = {item: row - middle for row, item in enumerate(found[-1])}
        for parent, stage in layout.arrows:
            if layer_of[parent] <= number < layer_of[stage]:
                above[parent, stage] = lane[(parent,) if layer_of[parent] == number else (parent, stage)]
    return found


def _along(way: list[tuple[float, float]], wide: float) -> str:
    """A band through places: from the right of the first box to the left of the last one."""
    points: list[tuple[float, float]] = []
    for x, y in way:
        middle = y + (_TALL - wide) / 2
        points += [(x, middle), (x + _BOX, middle)]
    points = points[1:-1]
    there = f"M{points[0][0]:g},{points[0][1]:.1f}" + _curve(points, 0.0)
    return f"{there}V{points[-1][1] + wide:.1f}{_curve(points[::-1], wide)}Z"


def _curve(points: list[tuple[float, float]], down: float) -> str:
    told = ""
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (x0 + x1) / 2
        told += f"C{middle:g},{y0 + down:.1f} {middle:g},{y1 + down:.1f} {x1:g},{y1 + down:.1f}"
    return told
