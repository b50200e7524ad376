"""What goes wrong in a simulated pipeline: one fault of each cause, its strength, and the attacks.

An attack makes a fault harder to tell:

================  =======================================================================================
attack            what it does
================  =======================================================================================
deployment        a deployment of any stage arrives in the same windows
canary            a bad deployment takes 5 % of the records
two faults        a second stage fails on its records, beside the first if that can be
no check          data breaks where nothing validates it
raises            broken records raise instead of being invalid
back pressure     a slow stage holds its source back to 15 to 50 %
drift too         the features drift together with a concept
step              a concept shifts, or a rhythm changes, at once
no version        a deployment whose version was not changed
growing           broken data or throttling that grows over 15 windows
================  =======================================================================================

and the cause ``alien`` is in no table: records are lost in silence, stages get faster, clicks rise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tests.incident.pipelines import Array, ImpossibleError, Rng, Stage, World, ancestors, pick

__all__ = ["BENIGN", "CAUSES", "FAULT", "WINDOWS", "Fault", "Planner", "step"]

WINDOWS, FAULT = 136, 100
"""Windows of a case, and the first of its fault."""

CAUSES = (
    "data_broken", "bad_deployment", "source_outage", "source_throttled", "source_doubled", "input_drift",
    "concept_shift", "downstream_broken", "slow_stage", "stage_errors", "blind", "stage_down", "late_data",
    "surge", "rhythm", "chance", "scaled_out", "scaled_in", "restarted",
)  # fmt: skip
_LIKE_A_DEPLOYMENT = frozenset({"data_broken", "stage_errors", "slow_stage"})
"""What a new version that takes over at the same stage in the same windows might do just as well."""

BENIGN = frozenset({"surge", "rhythm", "chance", "scaled_out", "scaled_in", "restarted"})


def step(at: int, ramp: int = 0) -> Array:
    t = np.arange(WINDOWS)
    return (t >= at).astype(float) if ramp <= 0 else np.clip((t - at + 1) / ramp, 0, 1)


@dataclass
class Fault:
    """What goes wrong, in which window and by how much."""

    arrive: dict[int, Array] = field(default_factory=dict)
    malformed: dict[int, Array] = field(default_factory=dict)
    late: dict[int, Array] = field(default_factory=dict)
    capacity: dict[int, tuple[float, str]] = field(default_factory=dict)
    latency: dict[int, Array] = field(default_factory=dict)
    alive: dict[int, Array] = field(default_factory=dict)
    clicks: dict[int, Array] = field(default_factory=dict)
    errors: dict[int, Array] = field(default_factory=dict)
    labels: dict[int, Array] = field(default_factory=dict)
    passed_on: dict[int, Array] = field(default_factory=dict)
    shift: dict[int, Array] = field(default_factory=dict)
    season: Array = field(default_factory=lambda: np.ones(WINDOWS))
    new_version: Array = field(default_factory=lambda: np.zeros((12, WINDOWS)))
    processes: dict[int, Array] = field(default_factory=dict)
    """Emitters by window that are there and have not said goodbye."""
    own_source: bool = False
    """Each process has a source of its own."""
    down: set[int] = field(default_factory=set)
    bug: tuple[int, str, float] | None = None
    everywhere: bool = False
    """The bug is in all versions."""
    deployed: bool = False
    """An innocent deployment is near."""
    second: tuple[str, int] | None = None
    found: float = 0.8
    skew: float = 0.0
    nulls: bool = False
    first_if_bad: float = 0.5
    sensitivity: float = 0.0
    raises: float = 0.0
    telling: bool = True
    """Something tells the fault from everything else."""


class Planner:
    """Draws a fault.

    Args:
        rng: of the case.
        stages: the pipeline.
        cause: of the fault.
        strength: of what can be weak, in (0, 1].
        world: for its attack.
    """

    def __init__(self, rng: Rng, stages: list[Stage], cause: str, strength: float, world: World) -> None:
        self.rng, self.stages, self.cause, self.strength = rng, stages, cause, strength
        self.attack = world.attack
        self.one_process = bool(rng.random() < 0.4)
        emitters = int(rng.integers(1, 5))
        if self.one_process:
            for s in stages:
                s.emitters = emitters
        self.sources = [s.index for s in stages if not s.parents]
        self.fault = Fault(
            found=float(rng.uniform(0.6, 1)),
            skew=float(rng.normal(0, 2)),
            nulls=bool(rng.random() < 0.5),
            first_if_bad=pick(rng, [0.02, 0.5, 0.98]),
            sensitivity=float(rng.normal(0, 1)),
            raises=float(rng.uniform(0, 0.1)),
        )

    def plan(self) -> int:
        """The root stage, -1 for none; what goes wrong is in ``fault``."""
        draw: Callable[[], int] = getattr(self, f"_{self.cause}")
        root = draw()
        if self.attack == "deployment":
            self._innocent(root, FAULT - int(self.rng.integers(0, 3)))
        elif self.attack == "two faults":
            self._second(root)
        elif self.cause != "bad_deployment" and self.rng.random() < 0.12:
            self._innocent(root, FAULT - int(self.rng.integers(-1, 7)))
        return root

    def _below(self, index: int) -> list[Stage]:
        return [s for s in self.stages if s.index == index or index in ancestors(self.stages, s.index)]

    def _innocent(self, root: int, at: int) -> None:
        where, style = int(self.rng.integers(len(self.stages))), self._style()
        self._deploy(where, style, at)
        self.fault.deployed = True
        at_root = self.one_process or where == root
        if style == "cutover" and at_root and 0 <= FAULT - at <= 2 and self.cause in _LIKE_A_DEPLOYMENT:
            self.fault.telling = False

    def _style(self) -> str:
        return pick(self.rng, ["cutover", "rolling", "canary"])

    def _deploy(self, index: int, style: str, at: int) -> None:
        ramp = int(self.rng.integers(3, 8)) if style == "rolling" else 0
        share = 0.05 * step(at) if style == "canary" else step(at, ramp)
        for j in range(len(self.stages)) if self.one_process else [index]:
            self.fault.new_version[j] = np.maximum(self.fault.new_version[j], share)

    def _second(self, root: int) -> None:
        others = [s.index for s in self.stages if s.index != root]
        near = ancestors(self.stages, max(root, 0))
        apart = [i for i in others if root not in ancestors(self.stages, i) and i not in near]
        stage = pick(self.rng, apart or others)
        self.fault.errors[stage] = 0.3 * step(FAULT + int(self.rng.integers(0, 2)))
        self.fault.second = ("stage_errors", stage)

    # Faults

    def _data_broken(self) -> int:
        choices = [s.index for s in self.stages if s.validates and (not s.parents or self.rng.random() < 0.3)]
        if self.attack == "no check":
            choices = [s.index for s in self.stages if not s.validates and (s.features or s.predicts)]
        root = pick(self.rng, choices)
        self.fault.malformed[root] = self.strength * step(FAULT, 15 if self.attack == "growing" else 0)
        if self.attack == "raises":
            self.fault.raises, self.fault.found = 0.9, 0.1
        return root

    def _bad_deployment(self) -> int:
        rng = self.rng
        root = int(rng.integers(len(self.stages)))
        s = self.stages[root]
        style = (
            "canary" if self.attack == "canary" else pick(rng, ["canary", "cutover", "cutover", "rolling"])
        )
        early = int(rng.integers(1, 3)) if rng.random() < 0.2 and style == "cutover" else 0
        if self.attack == "no version":
            self.fault.everywhere = True
        else:
            self._deploy(root, style, FAULT - early)
        kinds = ["labels"] * 3 if s.predicts else ["out"]
        kind = pick(rng, kinds + (["invalid"] if s.validates else []) + ["errors", "latency"])
        sizes = {"invalid": 0.5, "errors": 0.5, "labels": 3 * pick(rng, [-1, 1]), "out": 0.8, "latency": 4}
        self.fault.bug = (root, kind, sizes[kind] * self.strength)
        return root

    def _source_outage(self) -> int:
        root = pick(self.rng, self.sources)
        left = pick(self.rng, [0, 0, float(self.rng.uniform(0, 0.03))])
        self.fault.arrive[root] = 1 + (left - 1) * step(FAULT)
        return root

    def _source_throttled(self) -> int:
        root = pick(self.rng, self.sources)
        ramp = 15 if self.attack == "growing" else 0
        self.fault.arrive[root] = 1 - (0.1 + 0.75 * self.strength) * step(FAULT, ramp)
        return root

    def _source_doubled(self) -> int:
        root = pick(self.rng, self.sources)
        self.fault.arrive[root] = 1 + step(FAULT)
        # People do not click twice on the same thing.
        clicked = [s.index for s in self._below(root) if s.clicks]
        self.fault.clicks = {i: 1 - self.rng.uniform(0.2, 0.5) * step(FAULT) for i in clicked}
        if self.rng.random() < 0.3:
            self._scale(root, self.stages[root].emitters * step(FAULT))
            # With nobody to click, two consumers of one source look like two of two sources.
            self.fault.telling = bool(clicked)
        return root

    def _input_drift(self) -> int:
        root = pick(self.rng, self.sources)
        pick(self.rng, [s for s in self._below(root) if s.features])
        self.fault.shift[root] = self.strength * 1.5 * step(FAULT, pick(self.rng, [0, 5, 15, 30]))
        return root

    def _concept_shift(self) -> int:
        root = pick(self.rng, [s.index for s in self.stages if s.predicts])
        ramp = 0 if self.attack == "step" else int(self.rng.integers(8, 31))
        self.fault.labels[root] = pick(self.rng, [-1, 1]) * 2 * self.strength * step(FAULT, ramp)
        if self.attack == "drift too":
            self.fault.shift[pick(self.rng, self.sources)] = 0.8 * self.strength * step(FAULT, 10)
        return root

    def _downstream_broken(self) -> int:
        root = pick(self.rng, [s.index for s in self.stages if s.clicks])
        self.fault.clicks[root] = 1 - self.strength * step(FAULT)
        return root

    def _slow_stage(self) -> int:
        root = int(self.rng.integers(len(self.stages)))
        bounds = (0.15, 0.5) if self.attack == "back pressure" else (0.3, 1.3)
        capacity, mode = float(self.rng.uniform(*bounds)), pick(self.rng, ["sync", "queue"])
        self.fault.capacity[root] = (capacity, mode)
        less = min(1.0, capacity)
        self.fault.latency[root] = np.maximum(1 + 5 * self.strength * step(FAULT), step(FAULT) / less)
        for a in sorted(ancestors(self.stages, root) | {root}) if mode == "sync" else []:
            if a in self.sources:
                self.fault.arrive[a] = 1 + (less - 1) * step(FAULT)
            if a != root:
                self.fault.latency[a] = 1 + (1 / less - 1) * self.rng.uniform(0, 0.8) * step(FAULT)
        return root

    def _stage_errors(self) -> int:
        root = int(self.rng.integers(len(self.stages)))
        self.fault.errors[root] = 0.6 * self.strength * step(FAULT)
        return root

    def _blind(self) -> int:
        """Frames stop, the work goes on."""
        root = int(self.rng.integers(len(self.stages)))
        emitters = self.stages[root].emitters
        silent = int(self.rng.integers(1, emitters + 1))
        if len(self.stages) == 1 or (self.one_process and emitters == 1):
            raise ImpossibleError
        if self.one_process and silent == emitters:
            silent -= 1
        gone = range(len(self.stages)) if self.one_process else [root]
        self.fault.alive = {j: 1 - silent / emitters * step(FAULT) for j in gone}
        return -1 if self.one_process else root

    def _stage_down(self) -> int:
        if self.one_process:
            raise ImpossibleError
        root = pick(self.rng, sorted({p for s in self.stages for p, _, _ in s.parents}))
        self.fault.alive[root] = 1 - step(FAULT)
        self.fault.down.add(root)
        return root

    def _late_data(self) -> int:
        if len(self.sources) > 1:
            raise ImpossibleError  # the lag is that of the pipeline: a second source hides it
        root = pick(self.rng, self.sources)
        self.fault.late[root] = self.rng.uniform(0.2, 1) * step(FAULT)
        return root

    def _alien(self) -> int:
        for _ in range(int(self.rng.integers(1, 4))):
            s = pick(self.rng, self.stages)
            kind = pick(self.rng, ["passed_on", "latency"] + (["clicks"] if s.clicks else []))
            size = self.strength * step(FAULT)
            effect = {"passed_on": 1 - 0.6 * size, "latency": 1 / (1 + 3 * size), "clicks": 1 + 2 * size}
            getattr(self.fault, kind)[s.index] = effect[kind]
        return -1

    # What is nobody's fault

    def _surge(self) -> int:
        size, ramp = float(np.exp(self.rng.uniform(np.log(1.3), np.log(5)))), pick(self.rng, [0, 2, 5])
        for i in self.sources if self.rng.random() < 0.6 else [pick(self.rng, self.sources)]:
            self.fault.arrive[i] = 1 + (size - 1) * step(FAULT, ramp)
        return -1

    def _rhythm(self) -> int:
        size = float(np.exp(self.rng.normal(0, 0.35)))
        ramp = 0 if self.attack == "step" else int(self.rng.integers(8, 31))
        self.fault.season = 1 + (size - 1) * step(FAULT, ramp)
        predicting = [s.index for s in self.stages if s.predicts]
        self.fault.labels = {i: self.rng.normal(0, 0.03) * step(FAULT, ramp) for i in predicting}
        return -1

    def _chance(self) -> int:
        return -1

    def _scale(self, index: int, more: Array) -> None:
        """So many emitters more than usual, at a stage or in all of them."""
        for j in range(len(self.stages)) if self.one_process else [index]:
            self.fault.processes[j] = self.stages[j].emitters + more

    def _sourced(self, index: int) -> None:
        """Each process has a source of its own, so that traffic follows their number, or they share one."""
        if self.rng.random() < 0.4:
            return
        self.fault.own_source = True
        for j in self.sources if self.one_process else [index]:
            share = self.fault.processes[j] / self.stages[j].emitters
            if j in self.sources:
                # A process that comes in the middle of a window does half a window's work.
                begin = float(self.rng.uniform(0, 1))
                share[FAULT] = 1 + (share[FAULT] - 1) * begin
                self.fault.arrive[j] = share

    def _scaled_out(self) -> int:
        where = int(self.rng.integers(len(self.stages)))
        emitters = self.stages[where].emitters
        self._scale(where, int(self.rng.integers(1, emitters + 2)) * step(FAULT))
        self._sourced(where)
        return -1

    def _scaled_in(self) -> int:
        where = int(self.rng.integers(len(self.stages)))
        emitters = self.stages[where].emitters
        if emitters < 2:
            raise ImpossibleError
        self._scale(where, -int(self.rng.integers(1, emitters)) * step(FAULT))
        self._sourced(where)
        return -1

    def _restarted(self) -> int:
        """One emitter after the other says goodbye and comes again, for a window or two each."""
        where = int(self.rng.integers(len(self.stages)))
        emitters = self.stages[where].emitters
        if emitters < 2:
            raise ImpossibleError
        away = emitters * int(self.rng.integers(1, 3))
        self._scale(where, step(FAULT + away) - step(FAULT))
        self._sourced(where)
        if self.rng.random() < 0.5:
            self._deploy(where, "rolling", FAULT)
        return -1
