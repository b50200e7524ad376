"""Where the stages of a graph stand: layers by the longest way from a source, lanes within a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from swirl.incident.graph import Graph

if TYPE_CHECKING:
    from swirl.frame import Definition

__all__ = ["Layout", "lay_out"]


class Layout(NamedTuple):
    """A picture of a stage graph before it is drawn.

    Attributes:
        layers: of stages; every arrow goes to a later layer.
        arrows: ``(from, to)``, in the order of the graph.
        parents: of each stage.
        chain: one stage a layer, each taking only from the one before it.
    """

    layers: tuple[tuple[str, ...], ...]
    arrows: tuple[tuple[str, str], ...]
    parents: dict[str, tuple[str, ...]]
    chain: bool

    @property
    def stages(self) -> tuple[str, ...]:
        """All of them, layer by layer."""
        return tuple(stage for layer in self.layers for stage in layer)


def lay_out(definition: Definition) -> Layout:
    """Layers by the longest path; in a layer each stage stands near the middle of its parents.

    Example:
        >>> from swirl.frame import Definition, StageDefinition as Stage
        >>> stages = Stage("a"), Stage("b", ("a",)), Stage("c", ("a",)), Stage("d", ("b", "c"))
        >>> lay_out(Definition(stages)).layers
        (('a',), ('b', 'c'), ('d',))
    """
    graph = Graph(definition)
    depth: dict[str, int] = {}
    for stage in graph.stages:
        depth[stage] = 1 + max((depth[parent] for parent in graph.parents[stage]), default=-1)
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for stage in graph.stages:
        layers[depth[stage]].append(stage)
    lane: dict[str, float] = {}
    for layer in layers:
        layer.sort(key=lambda stage: _middle([lane[p] for p in graph.parents[stage]]))
        lane.update({stage: index - (len(layer) - 1) / 2 for index, stage in enumerate(layer)})
    arrows = tuple((parent, stage) for stage in graph.stages for parent in graph.parents[stage])
    parents = {stage: tuple(graph.parents[stage]) for stage in graph.stages}
    chain = all(len(layer) == 1 for layer in layers) and len(arrows) == max(0, len(layers) - 1)
    return Layout(tuple(map(tuple, layers)), arrows, parents, chain)


def _middle(lanes: list[float]) -> float:
    return sum(lanes) / len(lanes) if lanes else 0.0
