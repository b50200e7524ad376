"""The processes of a random pipeline, really decorated, and the faults that change them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

import swirl
from swirl.testing.drill import Fault, Fleet

if TYPE_CHECKING:
    from swirl.testing import HarnessState
    from tests.faults.plan import Plan, Step

__all__ = ["FLUSH_S", "START", "WINDOW_S", "BoomError", "Lane", "Process", "Site"]

WINDOW_S, FLUSH_S = 10, 5
START = 1_767_571_200.0
DAY_S = 86_400


class BoomError(Exception):
    """What a stage raises that fails, for a record of an event time."""

    def __init__(self, at: float) -> None:
        super().__init__(at)
        self.at = at


@dataclass
class Process:
    """One process of the pipeline.

    Attributes:
        pipeline: its own.
        stages: its decorated functions, by number.
        versions: of its stages, by number.
    """

    pipeline: swirl.Pipeline
    stages: list[Any] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)


@dataclass
class Lane:
    """Which process does the work of each stage, for a share of the records, with a share of the machines."""

    at: list[Process]
    share: float
    machines: float = 1.0


class Site:
    """Processes and the lanes through them, watched by one harness.

    Args:
        plan: of the pipeline.
        skew_s: of the clock that a fault puts back.
        resume: go on from where another site of the same plan was saved.

    Attributes:
        harness: what drives and watches it.
        faults: what goes wrong; those to come are in it as well.
    """

    def __init__(self, plan: Plan, skew_s: float, resume: HarnessState | None = None) -> None:
        self.plan = plan
        self.faults: list[Fault] = []
        self._begun: list[Fault] = []
        self._skew_s = skew_s
        self.processes = [self._process() for _ in range(plan.processes)]
        self.lanes = self._lanes()
        midnight = (
            START + float(np.random.default_rng([plan.seed, 73]).integers(DAY_S // WINDOW_S)) * WINDOW_S
        )
        self.harness = Fleet(
            *(process.pipeline for process in self.processes),
            window_seconds=WINDOW_S,
            flush_seconds=FLUSH_S,
            start=midnight,
            keep_windows=200,
            resume=resume,
        )

    @property
    def now(self) -> float:
        """Seconds since 1970 of virtual time."""
        return self.harness.clock.now

    @property
    def first_lanes(self) -> int:
        """How many lanes there are before a fault adds one."""
        return 1 if self.plan.services else self.plan.processes

    def shares(self) -> list[float]:
        """Of the records, by lane: who joined takes from all others alike."""
        joined = sum(lane.share for lane in self.lanes[self.first_lanes :])
        return [
            lane.share if i >= self.first_lanes else (1.0 - joined) / self.first_lanes
            for i, lane in enumerate(self.lanes)
        ]

    def _process(self) -> Process:
        pipeline = swirl.Pipeline("drilled")
        process = Process(pipeline, versions=["1"] * len(self.plan.steps))
        for index, step in enumerate(self.plan.steps):
            process.stages.append(self._decorated(process, index, step))
        for index, step in enumerate(self.plan.steps):
            if step.clicks:
                stage = process.stages[index]
                pipeline.ratio(f"clicks {step.name}", (stage, "clicks"), per=(stage, "out"))
        return process

    def _decorated(self, process: Process, index: int, step: Step) -> Any:
        def work(record: object) -> object:
            if isinstance(record, Exception):
                raise record
            return record

        return process.pipeline.stage(
            name=step.name,
            after=[process.stages[edge.parent] for edge in step.edges],
            version=lambda: process.versions[index],
            valid=(lambda _: True) if step.validates else None,
            predicts=bool(step.labels),
            at=(lambda record: record.at) if self.plan.timed else None,
        )(work)

    def _lanes(self) -> list[Lane]:
        if self.plan.services:
            return [Lane(self.processes[:], 1.0)]
        whole = len(self.plan.steps)
        return [Lane([process] * whole, 1.0 / len(self.processes)) for process in self.processes]

    def change(self) -> None:
        """Let faults begin that are due."""
        for fault in self.faults:
            if fault.onset <= self.now and fault not in self._begun:
                self._begun.append(fault)
                getattr(self, f"_begin_{fault.kind}", lambda fault: None)(fault)
            if fault.kind in ("rolling", "innocent") and fault in self._begun:
                self._roll(fault)

    def _begin_deployment(self, fault: Fault) -> None:
        for process in self.processes:
            self._release(process, fault)

    def _release(self, process: Process, fault: Fault) -> None:
        """A process runs a new version: of one stage, or where an image holds all of them, of all."""
        index = self.place(fault.stage)
        alone = self.plan.services or self.plan.seed % 2 == 0
        for i in [index] if alone else range(len(self.plan.steps)):
            process.versions[i] = "2"

    def _begin_canary(self, fault: Fault) -> None:
        self._release(self._join(fault, fault.share), fault)

    def _begin_rolling(self, fault: Fault) -> None:
        self._release(self._join(fault, 0.0), fault)

    def _begin_innocent(self, fault: Fault) -> None:
        if fault.share < 1.0:
            self._begin_canary(fault)
        elif fault.ramp:
            self._begin_rolling(fault)
        else:
            self._begin_deployment(fault)

    def _roll(self, fault: Fault) -> None:
        if fault.ramp and len(self.lanes) > 1:
            new = self.lanes[-1]
            new.share = min(1.0, (self.now - fault.onset) / fault.ramp)

    def _begin_scale_out(self, fault: Fault) -> None:
        self._join(fault, 1.0 / (len(self.lanes) + 1))

    def _join(self, fault: Fault, share: float) -> Process:
        """Another process takes a share of the records; among services it does the work of one stage."""
        process = self._process()
        self.harness.join(process.pipeline)
        self.processes.append(process)
        at = [process] * len(self.plan.steps)
        if self.plan.services:
            at = self.lanes[0].at[:]
            at[self.place(fault.stage) if fault.stage else 0] = process
        self.lanes.append(Lane(at, share))
        return process

    def _begin_restart(self, fault: Fault) -> None:
        self.harness.restart()

    def _begin_silence(self, fault: Fault) -> None:
        self.harness.silence(self._victim(fault).pipeline)

    def _begin_skew(self, fault: Fault) -> None:
        self.harness.skew(self._victim(fault).pipeline, self._skew_s)

    def _victim(self, fault: Fault) -> Process:
        return self.processes[self.place(fault.stage) if self.plan.services else 0]

    def place(self, stage: str) -> int:
        """The number of a stage."""
        return next(i for i, step in enumerate(self.plan.steps) if step.name == stage)
