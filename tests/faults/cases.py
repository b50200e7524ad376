"""Random faults that befall random pipelines, and what was told of them. One past has many futures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from swirl.effect import WindowClosed
from swirl.incident.causes import CAUSES
from swirl.testing import HarnessState
from swirl.testing.drill import KINDS, Fault
from tests.faults.plan import Plan
from tests.faults.world import FLUSH_S, LATEST_S, WINDOW_S, World

__all__ = [
    "PAST_WINDOWS",
    "WEAKEST",
    "Case",
    "Past",
    "Said",
    "Watch",
    "fits",
    "longest_wait",
    "past",
    "play",
    "random_fault",
]

PAST_WINDOWS = 400
"""A little over an hour: people's own bands look back so far."""
SETTLED_WINDOWS = 3
"""Of an incident, after which what it says is held against it."""
WAIT_WINDOWS = 30
"""After a fault has its full strength; who was told of nothing by then was not told."""
WEAKEST = 0.05
_QUIET_AGAIN = 120

Watch = Callable[[WindowClosed], None]
"""Something else that looks at the same windows."""


class Said(NamedTuple):
    """The root stage and the cause that an incident names."""

    stage: str = ""
    cause: str = ""


class Past(NamedTuple):
    """What lies behind a pipeline when something happens.

    Attributes:
        plan: of the pipeline.
        state: to go on from.
        windows: that were quiet, after the warm-up.
        told: incidents in them: false alarms.
    """

    plan: Plan
    state: HarnessState
    windows: int
    told: list[Said]


class Case(NamedTuple):
    """A fault, and what was told of it.

    Attributes:
        seed: of the pipeline, and of the case.
        fault: what happened.
        identifiable: what there is to see tells its cause from others.
        early: an incident was there before the fault: the case says nothing.
        first, settled, final: what was said first, three windows later, and in the end.
        delay: windows of virtual time from the onset to the telling.
        twice: titles of further incidents.
    """

    seed: tuple[int, int]
    fault: Fault
    identifiable: bool
    early: bool = False
    first: Said = Said()
    settled: Said = Said()
    final: Said = Said()
    delay: int = 0
    twice: tuple[str, ...] = ()

    @property
    def told(self) -> bool:
        """There was an incident."""
        return bool(self.settled.cause)

    @property
    def stage_right(self) -> bool:
        """The root stage after three windows."""
        return self.settled.stage == self.fault.stage

    @property
    def cause_right(self) -> bool:
        """The cause after three windows."""
        return self.fault.names(self.settled.cause)

    @property
    def right(self) -> bool:
        """Both."""
        return self.stage_right and self.cause_right

    @property
    def unknown(self) -> bool:
        """It was told without a cause."""
        return self.settled.cause == CAUSES["unknown"].words


# -- which faults a pipeline can have


def fits(kind: str, of: Plan) -> list[str]:
    """The stages at which a pipeline can have a fault of a kind; ``""`` is the whole pipeline."""
    sources = [of.steps[i].name for i in of.rates]
    featured = [i for i in of.rates if _featured(of, i)]
    if kind in ("skew", "silence"):
        return _processes(of)
    if kind == "late":
        return sources if of.timed and len(sources) == 1 else []
    if kind == "nulls":
        return [s.name for i, s in enumerate(of.steps) if s.features and (s.validates or i in of.rates)]
    if kind == "format":
        return [s.name for i, s in enumerate(of.steps) if s.validates and (i in of.rates or of.seed % 3 == 0)]
    if KINDS[kind].hits == "features":
        return [of.steps[i].name for i in featured]
    if KINDS[kind].hits == "labels":
        return [step.name for step in of.steps if step.labels]
    if KINDS[kind].hits == "source":
        return sources
    return [""] if KINDS[kind].hits == "pipeline" else [step.name for step in of.steps]


def _processes(of: Plan) -> list[str]:
    if of.services:
        return [step.name for step in of.steps]
    if of.processes == 1:
        return []
    return ["" if len(of.steps) > 1 else of.steps[0].name]


def random_fault(rng: np.random.Generator, kind: str, of: Plan, now: float) -> Fault:
    """A fault of a kind, with a strength log-uniform from 5 % on, that begins now."""
    places = fits(kind, of)
    stage = places[int(rng.integers(len(places)))]
    strength = float(np.exp(rng.uniform(math.log(WEAKEST), 0.0))) if KINDS[kind].graded else 1.0
    ramp, until, share = 0, math.inf, 1.0
    if kind in ("concept", "rolling"):
        ramp = int(rng.integers(8, 31)) if kind == "concept" else int(rng.integers(3, 9))
    elif kind in ("drift", "daily", "weekly", "holiday"):
        ramp = int(rng.integers(30, 61))
    elif kind in ("nulls", "format", "errors", "slow") and rng.random() < 0.2:
        ramp = int(rng.integers(3, 16))
    if kind == "late":
        # The backlog grows: so many seconds of every second are held back.
        return Fault(kind, stage, strength, now, LATEST_S * strength / float(rng.uniform(0.2, 0.8)))
    if kind == "surge":
        ramp, until = int(rng.choice([0, 2, 5])), now + WINDOW_S * int(rng.integers(8, 31))
    style = int(rng.integers(3)) if kind == "innocent" else -1
    if kind == "canary" or style == 1:
        share = float(rng.uniform(0.05, 0.2))
    if style == 2:
        ramp = int(rng.integers(3, 9))
    return Fault(kind, stage, strength, now, ramp * WINDOW_S, until, share)


def identifiable(fault: Fault, of: Plan) -> bool:
    """Whether what there is to see can tell cause and stage.

    A canary needs enough records, of which some are wrong; drift a source whose features are not all those of
    another source as well. Everything else that is detected is held against the monitor.
    """
    if KINDS[fault.kind].hits == "features":
        showing = {of.steps[i].name: _featured(of, i) for i in of.rates}
        return all(showing[fault.stage] != other for name, other in showing.items() if name != fault.stage)
    if fault.kind != "canary":
        return True
    index = next(i for i, step in enumerate(of.steps) if step.name == fault.stage)
    seen = 3 * WINDOW_S * of.records_a_second()[index] * fault.share
    return seen >= 100.0 and seen * fault.strength >= 10.0


def _featured(of: Plan, source: int) -> list[int]:
    return [i for i in of.below(source) if of.steps[i].features]


# -- what happens


def past(of: Plan, windows: int = PAST_WINDOWS, watch: Watch | None = None) -> Past:
    """A quiet past of a pipeline."""
    world = World(of, 0)
    for _ in _windows(world, windows, watch):
        pass
    opened = world.harness.incidents
    for _ in _windows(world, _QUIET_AGAIN, watch):
        if all(incident.state == "resolved" for incident in world.harness.incidents):
            break
    told = [Said(incident.stage, incident.cause) for incident in opened]
    return Past(world.plan, world.harness.save(), max(0, windows - 60), told)


def _windows(world: World, count: int, watch: Watch | None = None) -> Iterator[int]:
    for number in range(count):
        world.run(WINDOW_S)
        if watch is not None:
            fresh = world.harness.windows[-8:]
            for window in fresh:
                watch(window)
        yield number


def play(
    before: Past, kind: str, seed: int, watch: Watch | None = None, began: Callable[[], None] | None = None
) -> Case:
    """Let a fault of a kind befall a pipeline, and note what is told.

    Args:
        before: where it begins.
        kind: of the fault.
        seed: of the case.
        watch: sees the windows too.
        began: called when the fault begins.
    """
    rng = np.random.default_rng([before.plan.seed, seed, 74])
    world = World(before.plan, seed, resume=before.state)
    world.run(FLUSH_S * int(rng.integers(2, 13)))
    if watch is not None:
        for window in world.harness.windows:
            watch(window)
    fault = random_fault(rng, kind, before.plan, world.now)
    case = Case((before.plan.seed, seed), fault, identifiable(fault, before.plan))
    if world.harness.incidents:
        return case._replace(early=True)
    world.faults.append(fault)
    if began is not None:
        began()
    return _watched(world, case, watch)


def _watched(world: World, case: Case, watch: Watch | None) -> Case:
    """Go on to the end, however early it was told: who else watches shall have the same time."""
    began_ms, settles = world.now * 1000.0, 0
    for number in _windows(world, longest_wait(case.fault), watch):
        told = world.harness.incidents
        if told and not case.first.cause:
            case = case._replace(first=Said(told[0].stage, told[0].cause), delay=number + 1)
            settles = number + SETTLED_WINDOWS
            if told[0].opened_ms <= began_ms and case.fault.kind != "late":
                return case._replace(early=True)  # its window was over before the fault began
        if told and number <= settles:
            case = case._replace(settled=Said(told[0].stage, told[0].cause))
    told = world.harness.incidents
    further = tuple(f"{incident.stage}: {incident.cause}" for incident in told[1:])
    return case._replace(final=Said(told[0].stage, told[0].cause), twice=further) if told else case


def longest_wait(fault: Fault) -> int:
    """Windows in which somebody should be told."""
    lasts = fault.ramp if math.isinf(fault.until) else fault.until - fault.onset
    return round(lasts / WINDOW_S) + WAIT_WINDOWS
