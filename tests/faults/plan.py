"""Random pipelines, as they behave when all is well: 1 to 6 stages, chains, fan-in, fan-out, two sources."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

__all__ = ["Edge", "Plan", "Step", "plan", "scene"]

FEWEST, MOST = 10.0, 5000.0
"""Records a second."""


class Edge(NamedTuple):
    """What a stage takes of another one: all of it, one label's records, or a share."""

    parent: int
    label: int = -1
    share: float = 1.0


@dataclass(frozen=True)
class Step:
    """A stage. Shares in [0, 1], seconds per record; the noise is in log odds or in ln."""

    name: str
    edges: tuple[Edge, ...]
    validates: bool
    invalid: float
    errors: float
    labels: tuple[float, ...]
    features: int
    nulls: float
    clicks: float
    latency: float
    load: float
    noise: dict[str, float] = field(default_factory=dict)

    def chance(self, label: int) -> float:
        """Of a label, 1 for all of them."""
        return self.labels[label] if label >= 0 else 1.0


@dataclass(frozen=True)
class Plan:
    """A pipeline.

    Attributes:
        seed: that made it.
        steps: in the order of flow.
        rates: source -> records a second.
        processes: how many there are; in a pipeline of services every stage is a process of its own.
        services: see there.
        timed: records carry event times.
        swing: of the day, a share of the traffic.
        memory: of the noise from window to window.
        spikes: chance of a jump of five standard deviations, a window and series.
    """

    seed: int
    steps: tuple[Step, ...]
    rates: dict[int, float]
    processes: int
    services: bool
    timed: bool
    swing: float
    memory: float = 0.5
    spikes: float = 0.0

    def below(self, index: int) -> list[int]:
        """A stage and all that its records reach."""
        found = [index]
        for i, step in enumerate(self.steps):
            if any(edge.parent in found for edge in step.edges):
                found.append(i)
        return sorted(set(found))

    def records_a_second(self) -> list[float]:
        """How many records come to each stage."""
        rates: list[float] = []
        for i, step in enumerate(self.steps):
            taken = [
                rates[edge.parent]
                * edge.share
                * (1.0 if edge.label < 0 else self.steps[edge.parent].labels[edge.label])
                for edge in step.edges
            ]
            rates.append(self.rates.get(i, 0.0) + sum(taken))
        return rates


def plan(seed: int, *, hostile: bool = False) -> Plan:
    """The pipeline of a seed; ``hostile``: noise with a long memory, and spikes."""
    rng = np.random.default_rng([seed, 71])
    count = int(rng.integers(1, 7))
    two_sources = count >= 3 and rng.random() < 0.3
    steps: list[Step] = []
    for index in range(count):
        steps.append(_step(rng, index, _edges(rng, index, steps, two_sources=two_sources)))
    services = count > 1 and rng.random() < 0.25
    return Plan(
        seed,
        tuple(steps),
        {
            i: float(np.exp(rng.uniform(np.log(FEWEST), np.log(MOST))))
            for i, s in enumerate(steps)
            if not s.edges
        },
        processes=count if services else int(rng.integers(1, 4)),
        services=services,
        timed=bool(rng.random() < 0.3),
        swing=float(rng.uniform(0.0, 0.4)),
        memory=0.8 if hostile else 0.5,
        spikes=0.02 if hostile else 0.0,
    )


def scene(*, timed: bool = False) -> Plan:
    """Ingest, classify, serve the positive ones, two processes: plain enough that nothing is hard to tell."""
    noise = {"invalid": 0.05, "errors": 0.1, "labels": 0.02, "clicks": 0.04, "latency": 0.03, "traffic": 0.03}
    parts = [
        ("ingest", (), (), 2, 0.0),
        ("classify", (Edge(0),), (0.8, 0.2), 0, 0.0),
        ("serve", (Edge(1, label=0),), (), 0, 0.1),
    ]
    steps = tuple(
        Step(name, edges, not edges, 0.002, 0.001, labels, features, 0.01, clicks, 0.02, 0.3, noise)
        for name, edges, labels, features, clicks in parts
    )
    return Plan(11, steps, {0: 300.0}, processes=2, services=False, timed=timed, swing=0.2)


def _rate(rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(FEWEST), np.log(MOST))))


def _edges(rng: np.random.Generator, index: int, steps: list[Step], *, two_sources: bool) -> tuple[Edge, ...]:
    if index == 0 or (two_sources and index == 1):
        return ()
    near = np.arange(max(0, index - 3), index)
    merges = index >= 2 and (rng.random() < 0.2 or (two_sources and index == 2))
    parents = [0, 1] if two_sources and index == 2 else rng.choice(near, 2 if merges else 1, replace=False)
    return tuple(_edge(rng, int(parent), steps[int(parent)]) for parent in parents)


def _edge(rng: np.random.Generator, parent: int, step: Step) -> Edge:
    if step.labels and rng.random() < 0.45:
        return Edge(parent, label=int(np.argmax(step.labels)))
    return Edge(parent, share=float(rng.uniform(0.2, 0.8)) if rng.random() < 0.2 else 1.0)


def _step(rng: np.random.Generator, index: int, edges: tuple[Edge, ...]) -> Step:
    noise = {"invalid": (0.02, 0.15), "errors": (0.05, 0.3), "labels": (0.01, 0.06), "clicks": (0.02, 0.1)}
    noise |= {"latency": (0.02, 0.08), "traffic": (0.02, 0.08)}
    return Step(
        name=f"s{index}",
        edges=edges,
        validates=bool(rng.random() < 0.75),
        invalid=float(10 ** rng.uniform(-4, -1.5)),
        errors=float(10 ** rng.uniform(-5, -2.5)),
        labels=_labels(rng) if rng.random() < 0.4 else (),
        features=int(rng.integers(1, 3)) if rng.random() < 0.5 else 0,
        nulls=float(10 ** rng.uniform(-4, -1.3)),
        clicks=float(10 ** rng.uniform(-2, -0.3)) if rng.random() < 0.35 else 0.0,
        latency=float(10 ** rng.uniform(-2.5, -0.5)),
        load=float(rng.uniform(0.1, 0.6)),
        noise={name: float(rng.uniform(*bounds)) for name, bounds in noise.items()},
    )


def _labels(rng: np.random.Generator) -> tuple[float, ...]:
    """Two to four labels, of which one is clearly the commonest."""
    first = float(rng.uniform(0.55, 0.95))
    rest = rng.dirichlet(np.full(int(rng.integers(1, 4)), 2.0)) * (1.0 - first)
    return (first, *(float(x) for x in rest))
