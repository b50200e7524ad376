"""The stage graph: who sends to whom, and who suffers when something breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swirl.frame import Definition

__all__ = ["Graph"]


class Graph:
    """Stages with their parents, in an order in which every parent comes before its children.

    Args:
        definition: stages and their ``after``; parents that are not defined are left out, and of a cycle
            (which emitters of different versions may make together) the stages keep the order of the
            definition.

    Attributes:
        stages: names, most upstream first.
        parents, children, ancestors, descendants: by name, each in the order of ``stages``.
        sources: stages without parents.
    """

    def __init__(self, definition: Definition) -> None:
        after = {stage.name: stage.after for stage in definition.stages}
        parents = {
            name: [p for p in dict.fromkeys(ps) if p in after and p != name] for name, ps in after.items()
        }
        self.stages = _ordered(parents)
        place = {name: index for index, name in enumerate(self.stages)}
        # An arrow against the order would close a cycle.
        self.parents = {
            n: sorted((p for p in parents[n] if place[p] < place[n]), key=place.__getitem__)
            for n in self.stages
        }
        self.children = {n: [c for c in self.stages if n in self.parents[c]] for n in self.stages}
        self.ancestors = {name: self._reached(name, self.parents) for name in self.stages}
        self.descendants = {name: self._reached(name, self.children) for name in self.stages}
        self.sources = [name for name in self.stages if not self.parents[name]]

    def _reached(self, name: str, step: dict[str, list[str]]) -> list[str]:
        found: set[str] = set()
        todo = list(step[name])
        while todo:
            stage = todo.pop()
            if stage not in found:
                found.add(stage)
                todo += step[stage]
        return [stage for stage in self.stages if stage in found]

    def place(self, stage: str) -> int:
        """Where a stage stands in the order; what is no stage comes last."""
        return self.stages.index(stage) if stage in self.stages else len(self.stages)


def _ordered(parents: dict[str, list[str]]) -> list[str]:
    order: list[str] = []
    waiting = list(parents)
    while waiting:
        ready = [name for name in waiting if all(p in order for p in parents[name])] or waiting[:1]
        order += ready
        waiting = [name for name in waiting if name not in ready]
    return order
