"""A random pipeline that runs: really decorated stages, fed with batches through a harness in virtual time.

Every lane is a way of records through processes. Records are good, or bad since a fault broke them. What a
fault does to counts is done here; what the monitor makes of it is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from swirl.testing.drill import level, traffic
from tests.faults.site import DAY_S, FLUSH_S, WINDOW_S, BoomError, Lane, Site

if TYPE_CHECKING:
    from swirl.testing import HarnessState
    from swirl.testing.drill import Fault
    from tests.faults.plan import Plan, Step

__all__ = ["FLUSH_S", "LATEST_S", "WINDOW_S", "Detail", "World"]

_BEFORE_FLUSH_S = 0.1
LATEST_S = 120.0
"""Of late data at full strength."""
_DEPLOYED = ("deployment", "canary", "rolling")
_BREAKING = ("nulls", "format")


@dataclass
class Flow:
    """Records on their way: counts, and what a mean record has suffered."""

    good: int = 0
    bad: int = 0
    odd: float = 0.0
    shift: float = 0.0

    def mix(self, good: int, bad: int, other: Flow) -> None:
        """Take in some records of another flow."""
        whole = self.good + self.bad + good + bad
        weight = (good + bad) / whole if whole else 0.0
        self.odd += weight * (other.odd - self.odd)
        self.shift += weight * (other.shift - self.shift)
        self.good, self.bad = self.good + good, self.bad + bad


@dataclass(frozen=True)
class Detail:
    """What a fault is like beyond its strength, drawn once for a world.

    Attributes:
        found: share of the broken records that a stage with a check refuses.
        raises: share of the others that make a stage raise.
        bad_first: share of the commonest label among broken records.
        sensitivity: how much labels follow drifted features, in log odds.
        direction: of a concept shift.
        bug: what a bad version does.
        capacity: of a slow stage, as a factor of what comes.
        held_back: a slow stage holds its sources back.
        grows: with another process comes its part of the traffic.
    """

    found: float
    raises: float
    bad_first: float
    sensitivity: float
    direction: float
    bug: str
    capacity: float
    held_back: bool
    grows: bool

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Detail:
        """At random."""
        return cls(
            found=float(rng.uniform(0.6, 1.0)),
            raises=float(rng.uniform(0.0, 0.1)),
            bad_first=float(rng.choice([0.02, 0.5, 0.98])),
            sensitivity=float(rng.normal(0.0, 1.0)),
            direction=float(rng.choice([-1.0, 1.0])),
            bug=str(rng.choice(["labels", "labels", "invalid", "errors", "latency"])),
            capacity=float(rng.uniform(0.3, 1.3)),
            held_back=bool(rng.random() < 0.5),
            grows=bool(rng.random() < 0.5),
        )

    def bug_of(self, step: Step) -> str:
        """What a bad version does at a stage that can do it."""
        can = {"labels": bool(step.labels), "invalid": step.validates}
        return self.bug if can.get(self.bug, True) else "errors"


class World(Site):
    """A pipeline at work.

    Args:
        plan: how it is made.
        seed: of the traffic, and of what a fault is like in detail.
        resume: go on from where another world of the same plan was saved.
    """

    def __init__(self, plan: Plan, seed: int, resume: HarnessState | None = None) -> None:
        self._rng = np.random.default_rng([plan.seed, seed, 72])
        self.detail = Detail.drawn(self._rng)
        super().__init__(plan, -float(self._rng.integers(20, 300)), resume)
        self.rates = plan.records_a_second()
        self._noise: dict[tuple[int, str], float] = {}
        self._steps = 0

    # -- time

    def run(self, seconds: float) -> None:
        """Let records come for so long, a multiple of :data:`FLUSH_S`."""
        for _ in range(round(seconds / FLUSH_S)):
            if self._steps % (WINDOW_S // FLUSH_S) == 0:
                self._drift_on()
            self._steps += 1
            self.harness.advance(FLUSH_S - _BEFORE_FLUSH_S)
            self.change()
            self._send()
            self.harness.advance(_BEFORE_FLUSH_S)

    def _drift_on(self) -> None:
        """Noise with a memory: one number for each stage and quantity, the same for all processes."""
        memory, spikes = self.plan.memory, self.plan.spikes
        for index, step in enumerate(self.plan.steps):
            for name, sd in step.noise.items():
                fresh, spike = self._rng.standard_normal(), self._rng.random()
                before = self._noise.get((index, name), sd * self._rng.standard_normal())
                now = memory * before + np.sqrt(1.0 - memory**2) * sd * fresh
                self._noise[index, name] = now
                if spike < spikes:
                    self._noise[index, name + "!"] = 5.0 * sd * float(np.sign(fresh))
                else:
                    self._noise.pop((index, name + "!"), None)

    def _wander(self, index: int, name: str) -> float:
        return self._noise[index, name] + self._noise.get((index, name + "!"), 0.0)

    # -- records

    def _level(self, kinds: str | tuple[str, ...], step: Step) -> float:
        return level(self.faults, kinds, step.name, self.now) if self.faults else 0.0

    def _send(self) -> None:
        shares = self.shares()
        counts = {source: self._arriving(source) for source in self.plan.rates}
        parts = {source: self._rng.multinomial(n, shares) for source, n in counts.items()}
        scaled = self._has("scale_out")
        for number, lane in enumerate(self.lanes):
            # A version that takes over gets its part of the machines; who scales out adds to them.
            lane.machines = 1.0 / self.first_lanes if scaled else shares[number]
            self._pass(lane, {source: int(part[number]) for source, part in parts.items()})

    def _arriving(self, source: int) -> int:
        step, day = self.plan.steps[source], 2.0 * np.pi * (self.now % DAY_S) / DAY_S
        rate = self.plan.rates[source] * FLUSH_S * (1.0 + self.plan.swing * np.sin(day))
        rate *= np.exp(self._wander(source, "traffic")) * traffic(self.faults, step.name, self.now)
        for fault in self.faults:
            rate *= self._held(fault, source)
        count = int(self._rng.poisson(rate))
        return 2 * count if self._level("doubled", step) else count

    def _held(self, fault: Fault, source: int) -> float:
        """The factor on the traffic that a fault elsewhere brings about."""
        begun = fault.level(self.now) / fault.strength
        if fault.kind == "scale_out" and self.detail.grows:
            return 1.0 + begun / self.first_lanes
        if fault.kind == "late" and 0.0 < begun < 1.0:
            return max(0.0, 1.0 - LATEST_S * fault.strength / fault.ramp)
        reaches = fault.kind == "slow" and self.place(fault.stage) in self.plan.below(source)
        return 1.0 + (min(1.0, self.detail.capacity) - 1.0) * begun * (reaches and self.detail.held_back)

    def _pass(self, lane: Lane, arriving: dict[int, int]) -> None:
        flows = [Flow() for _ in self.plan.steps]
        sent: list[tuple[list[int], list[int], Flow]] = []
        for index, step in enumerate(self.plan.steps):
            flow = flows[index]
            if index in arriving:
                odd, shift = self._level("unit", step), 1.5 * self._level("drift", step)
                flow.mix(arriving[index], 0, Flow(odd=odd, shift=shift))
            for edge in step.edges:
                good, bad, passed = sent[edge.parent]
                taken = [
                    int(self._rng.binomial(sum(n) if edge.label < 0 else n[edge.label], edge.share))
                    for n in (good, bad)
                ]
                flow.mix(taken[0], taken[1], passed)
            sent.append(self._work(lane, index, step, flow))

    def _work(self, lane: Lane, index: int, step: Step, flow: Flow) -> tuple[list[int], list[int], Flow]:
        """A batch of a stage: what it passes on, by label, good and bad."""
        rng = self._rng
        bug = self._level(_DEPLOYED, step) if lane.at[index].versions[index] != "1" else 0.0
        kind = self.detail.bug_of(step)
        broken = int(rng.binomial(flow.good, self._level(_BREAKING, step)))
        good, bad = flow.good - broken, flow.bad + broken
        if not good + bad:
            return [0] * max(1, len(step.labels)), [0] * max(1, len(step.labels)), flow
        invalid = refused = 0
        if step.validates:
            usual = self._odds(step.invalid, index, "invalid")
            invalid = int(rng.binomial(good, _more(usual, 0.5 * bug if kind == "invalid" else 0.0)))
            refused = int(rng.binomial(bad, self.detail.found))
        failing = self._level("errors", step) + (0.5 * bug if kind == "errors" else 0.0)
        failed = int(rng.binomial(good - invalid, _more(self._odds(step.errors, index, "errors"), failing)))
        spoilt = int(rng.binomial(bad - refused, self.detail.raises))
        handled = (good - invalid - failed, bad - refused - spoilt)
        labels = [self._labelled(index, step, n, flow, bug if kind == "labels" else 0.0, worst=i == 1)
                  for i, n in enumerate(handled)]  # fmt: skip
        self._report(lane, index, step, flow, sum(handled), (invalid + refused, failed + spoilt), labels,
                     bad - spoilt, 1.0 + (4.0 * bug if kind == "latency" else 0.0))  # fmt: skip
        return labels[0], labels[1], flow

    def _odds(self, share: float, index: int, name: str) -> float:
        return float(_expit(_logit(share) + self._wander(index, name)))

    def _labelled(
        self, index: int, step: Step, count: int, flow: Flow, bug: float, *, worst: bool
    ) -> list[int]:
        if not step.labels:
            return [count]
        chances = np.array(step.labels)
        first = _logit(step.labels[0]) + self._wander(index, "labels")
        first += self.detail.direction * 2.0 * self._level("concept", step)
        first += self.detail.sensitivity * (flow.odd + flow.shift / 1.5)
        chances[1:] *= (1.0 - _expit(first)) / chances[1:].sum()
        chances[0] = self.detail.bad_first if worst else _expit(first)
        if worst:
            chances[1:] *= (1.0 - self.detail.bad_first) / chances[1:].sum()
        swapped = 1.0 - (1.0 - bug) * (1.0 - self._level("labels", step))
        chances = (1.0 - swapped) * chances + swapped * np.roll(chances, 1)
        found: list[int] = self._rng.multinomial(count, chances / chances.sum()).tolist()
        return found

    def _report(
        self,
        lane: Lane,
        index: int,
        step: Step,
        flow: Flow,
        handled: int,
        lost: tuple[int, int],
        labels: list[list[int]],
        bad: int,
        slower: float,
    ) -> None:
        """Hand the batch to the decorated stage, as a user's vectorised pipeline does."""
        stage, (invalid, failed) = lane.at[index].stages[index], lost
        count = handled + invalid
        load = count / (FLUSH_S * self.rates[index] * lane.machines)
        given: dict[str, Any] = {"seconds": count * self._seconds(index, step, load) * slower}
        if step.validates:
            given["invalid"] = invalid
        if step.labels:
            by_label = [a + b for a, b in zip(*labels, strict=True)]
            given["predictions"] = np.repeat(np.arange(len(by_label), dtype=np.int8), by_label)
        if step.features:
            given["features"] = self._features(step, count, min(bad, count), flow)
        if self.plan.timed:
            delay = LATEST_S * self._late(index)
            given["at"] = self.now - delay - float(self._rng.exponential(0.3))
        stage.batch(count, **given)
        for _ in range(failed):
            try:
                stage(BoomError(given.get("at", self.now)))
            except BoomError:
                continue
        if step.clicks and handled:
            chance = self._odds(step.clicks, index, "clicks")
            doubled = any(self._level("doubled", self.plan.steps[s]) for s in self.plan.rates
                          if index in self.plan.below(s))  # fmt: skip
            stage.count("clicks", int(self._rng.binomial(handled, chance * (0.65 if doubled else 1.0))))

    def _late(self, index: int) -> float:
        return max(
            (self._level("late", self.plan.steps[s]) for s in self.plan.rates if index in self.plan.below(s)),
            default=0.0,
        )

    def _seconds(self, index: int, step: Step, load: float) -> float:
        """Per record: with the load, with what holds the stage up, and with the machine's own noise."""
        noise = self._wander(index, "latency") + 0.03 * self._rng.normal()
        factor = np.exp(step.load * np.log(max(load, 0.02)) + noise)
        slow = self._level("slow", step)
        factor *= max(
            1.0 + 5.0 * slow, 1.0 / min(1.0, self.detail.capacity) if slow and self.detail.held_back else 1.0
        )
        return float(step.latency * factor)

    def _features(self, step: Step, count: int, bad: int, flow: Flow) -> dict[str, Any]:
        columns = {}
        for number in range(step.features):
            values = self._rng.normal(10.0 + number, 2.0, count)
            if number == 0:
                values += 2.0 * flow.shift
                odd = int(self._rng.binomial(count, flow.odd))
                values[count - odd :] *= 1000.0
            nulls = int(self._rng.binomial(count, step.nulls))
            values[: max(nulls, bad if self._has("nulls") and number == 0 else 0)] = np.nan
            columns[f"x{number}"] = values
        return columns

    def _has(self, kind: str) -> bool:
        return any(fault.kind == kind for fault in self.faults)


def _more(share: float, extra: float) -> float:
    return min(1.0, share + extra * (1.0 - share))


def _logit(share: float) -> float:
    return float(np.log(share / (1.0 - share)))


def _expit(x: float) -> float:
    return float(1.0 / (1.0 + np.exp(-x)))
