"""Random ML pipelines when all is well: 1 to 12 stages, chains, fan-in, fan-out, one or two sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from swirl.frame import Definition, RatioDefinition, StageDefinition

__all__ = [
    "PLAIN",
    "Array",
    "ImpossibleError",
    "Rng",
    "Stage",
    "World",
    "ancestors",
    "definition_of",
    "expit",
    "logit",
    "make_pipeline",
    "pick",
]

Array = NDArray[Any]
Rng = np.random.Generator
X = TypeVar("X")


class ImpossibleError(Exception):
    """This pipeline cannot have that fault: draw another one."""


@dataclass(frozen=True)
class World:
    """What makes life harder for whoever diagnoses.

    Attributes:
        hostile: autocorrelation .8 and 2 % spikes of 5 sigma in every rate and ratio.
        late: whole windows that records take from one stage to the next.
        trend: standard deviation of the ln growth of traffic, and of the logits of labels and of invalid
            records, over 100 windows.
        season: a forecast of every source is known, with an error of 5 %.
        labels: labels of a prediction; 0: two in six of ten stages, else three to eight.
        attack: something that is made to mislead, see :mod:`tests.incident.faults`.
    """

    hostile: bool = False
    late: int = 0
    trend: float = 0.0
    season: bool = False
    labels: int = 0
    attack: str = ""


PLAIN = World()


@dataclass
class Stage:
    """A stage as it behaves when all is well."""

    index: int
    parents: list[tuple[int, str, float]]
    """(parent, ``all``, ``first`` label or ``split``, share)"""
    validates: bool
    invalid: float
    errors: float
    passed_on: float
    leanings: Array
    """Logits of the labels that it predicts; none where it predicts nothing."""
    features: bool
    nulls: float
    clicks: float | None
    latency: float
    load: float
    emitters: int
    noise: dict[str, float]

    @property
    def name(self) -> str:
        return f"s{self.index}"

    @property
    def predicts(self) -> bool:
        return len(self.leanings) > 0

    @property
    def labels(self) -> list[str]:
        two = len(self.leanings) == 2
        return ["positive", "negative"] if two else [f"label {k}" for k in range(len(self.leanings))]


def logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def expit(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def pick(rng: Rng, choices: Sequence[X]) -> X:
    if not choices:
        raise ImpossibleError
    return choices[int(rng.integers(len(choices)))]


def make_pipeline(rng: Rng, world: World) -> list[Stage]:
    count = int(rng.integers(1, 13))
    two_sources = count >= 3 and rng.random() < 0.3
    stages: list[Stage] = []
    for i in range(count):
        parents: list[tuple[int, str, float]] = []
        if i > 0 and not (two_sources and i == 1):
            near = np.arange(max(0, i - 3), i)
            merges = i >= 2 and (rng.random() < 0.2 or (two_sources and i == 2))
            for p in rng.choice(near, size=min(2 if merges else 1, len(near)), replace=False):
                first = stages[p].predicts and rng.random() < 0.45
                kind = "first" if first else "split" if rng.random() < 0.2 else "all"
                parents.append((int(p), kind, float(rng.uniform(0.2, 0.8)) if kind == "split" else 1.0))
        stages.append(_stage(rng, i, parents, world))
    if not any(s.predicts for s in stages):
        lucky = pick(rng, stages)
        lucky.leanings, lucky.passed_on = _leanings(rng, world), 1.0
    inner = {p for s in stages for p, _, _ in s.parents}
    for s in stages:
        if s.index not in inner and rng.random() < 0.7:
            s.clicks = float(10 ** rng.uniform(-2, -0.3))
    return stages


def _leanings(rng: Rng, world: World) -> Array:
    count = world.labels or (2 if rng.random() < 0.6 else int(rng.integers(3, 9)))
    if count == 2:
        return np.array([rng.normal(0, 1.5), 0.0])
    return rng.normal(0, 1, count)


def _stage(rng: Rng, index: int, parents: list[tuple[int, str, float]], world: World) -> Stage:
    predicts = bool(rng.random() < (0.35 if index else 0.2))
    bounds = {
        "invalid": (0.02, 0.15),
        "errors": (0.05, 0.3),
        "labels": (0.01, 0.06),
        "out": (0, 0.03),
        "clicks": (0.02, 0.1),
        "latency": (0.02, 0.08),
    }
    return Stage(
        index=index,
        parents=parents,
        validates=bool(rng.random() < 0.75),
        invalid=float(10 ** rng.uniform(-4, -1.5)),
        errors=float(10 ** rng.uniform(-5, -2.5)),
        passed_on=1.0 if predicts or rng.random() < 0.5 else float(rng.uniform(0.3, 1)),
        leanings=_leanings(rng, world) if predicts else np.zeros(0),
        features=bool(rng.random() < 0.5),
        nulls=float(10 ** rng.uniform(-4, -1.3)),
        clicks=None,
        latency=float(10 ** rng.uniform(-2, -0.5)),
        load=float(rng.uniform(0.1, 0.6)),
        emitters=int(rng.integers(1, 5)),
        noise={k: float(rng.uniform(*b)) for k, b in bounds.items()},
    )


def ancestors(stages: list[Stage], index: int) -> set[int]:
    found: set[int] = set()
    todo = [p for p, _, _ in stages[index].parents]
    while todo:
        p = todo.pop()
        if p not in found:
            found.add(p)
            todo += [q for q, _, _ in stages[p].parents]
    return found


def definition_of(stages: list[Stage]) -> Definition:
    return Definition(
        tuple(
            StageDefinition(
                s.name,
                tuple(f"s{p}" for p, _, _ in s.parents),
                validates=s.validates,
                predicts="label" if s.predicts else "",
                features=("x",) if s.features else (),
            )
            for s in stages
        ),
        tuple(
            RatioDefinition(f"clicks {s.name}", (s.name, "clicks"), (s.name, "out"))
            for s in stages
            if s.clicks
        ),
    )
