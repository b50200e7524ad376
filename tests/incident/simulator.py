"""Random pipelines with random faults, as the histories that a monitor would keep.

One case is one pipeline, WINDOWS windows and one fault that begins with window FAULT. Every count is kept per
version: row 0 of an array is the old version, row 1 the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from swirl.frame import Definition, RatioDefinition, StageDefinition
from swirl.history import History, StageCounts, WindowCounts

WINDOWS, FAULT = 136, 100
ORIGIN_MS = 1_795_230_000_000
CAUSES = (
    "data_broken", "bad_deployment", "source_outage", "source_throttled", "source_doubled", "input_drift",
    "concept_shift", "downstream_broken", "slow_stage", "stage_errors", "blind", "stage_down", "late_data",
    "surge", "rhythm", "chance",
)  # fmt: skip
BENIGN = frozenset({"surge", "rhythm", "chance"})

Array = NDArray[Any]
Rng = np.random.Generator
X = TypeVar("X")


class ImpossibleError(Exception):
    """This pipeline cannot have that fault: draw another one."""


@dataclass
class Stage:
    """A stage as it behaves when all is well."""

    index: int
    parents: list[tuple[int, str, float]]
    """(parent, ``all``, ``positive`` or ``split``, share)"""
    validates: bool
    invalid: float
    errors: float
    passed_on: float
    predicts: bool
    positive: float
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
    new_version: Array = field(default_factory=lambda: np.zeros((12, WINDOWS)))
    down: set[int] = field(default_factory=set)
    bug: tuple[int, str, float] | None = None
    doubled_emitters: int = -1
    innocent: bool = False
    found: float = 0.8
    skew: float = 0.0
    nulls: bool = False
    positive_if_bad: float = 0.5
    sensitivity: float = 0.0
    raises: float = 0.0


@dataclass
class Case:
    """A history, and the truth about it."""

    history: History
    stages: list[Stage]
    cause: str
    stage: str
    strength: float
    innocent: bool

    def start(self, window: int) -> int:
        return self.history.windows[window].start_ms


def logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


def expit(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def pick(rng: Rng, choices: Sequence[X]) -> X:
    if not choices:
        raise ImpossibleError
    return choices[int(rng.integers(len(choices)))]


def step(at: int, ramp: int = 0) -> Array:
    t = np.arange(WINDOWS)
    return (t >= at).astype(float) if ramp <= 0 else np.clip((t - at + 1) / ramp, 0, 1)


def make_pipeline(rng: Rng) -> list[Stage]:
    count = int(rng.integers(1, 13))
    two_sources = count >= 3 and rng.random() < 0.3
    stages: list[Stage] = []
    for i in range(count):
        parents: list[tuple[int, str, float]] = []
        if i > 0 and not (two_sources and i == 1):
            near = np.arange(max(0, i - 3), i)
            merges = i >= 2 and (rng.random() < 0.2 or (two_sources and i == 2))
            for p in rng.choice(near, size=min(2 if merges else 1, len(near)), replace=False):
                positive = stages[p].predicts and rng.random() < 0.45
                kind = "positive" if positive else "split" if rng.random() < 0.2 else "all"
                parents.append((int(p), kind, float(rng.uniform(0.2, 0.8)) if kind == "split" else 1.0))
        stages.append(_stage(rng, i, parents))
    if not any(s.predicts for s in stages):
        lucky = pick(rng, stages)
        lucky.predicts, lucky.passed_on = True, 1.0
    inner = {p for s in stages for p, _, _ in s.parents}
    for s in stages:
        if s.index not in inner and rng.random() < 0.7:
            s.clicks = float(10 ** rng.uniform(-2, -0.3))
    return stages


def _stage(rng: Rng, index: int, parents: list[tuple[int, str, float]]) -> Stage:
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
        predicts=predicts,
        positive=float(expit(np.asarray(rng.normal(0, 1.5)))),
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


def simulate(rng: Rng, cause: str = "", strength: float | None = None) -> Case:
    """A random pipeline with a fault of a cause, any if none is named."""
    while True:
        try:
            return _Simulation(rng, make_pipeline(rng), cause or pick(rng, CAUSES), strength).run()
        except ImpossibleError:
            continue


class _Simulation:
    def __init__(self, rng: Rng, stages: list[Stage], cause: str, strength: float | None) -> None:
        self.rng, self.stages, self.cause = rng, stages, cause
        self.strength = strength or float(np.exp(rng.uniform(np.log(0.04), 0)))
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
            positive_if_bad=pick(rng, [0.02, 0.5, 0.98]),
            sensitivity=float(rng.normal(0, 1)),
            raises=float(rng.uniform(0, 0.1)),
        )

    def below(self, index: int) -> list[Stage]:
        return [s for s in self.stages if s.index == index or index in ancestors(self.stages, s.index)]

    def deploy(self, index: int, style: str, at: int) -> None:
        ramp = int(self.rng.integers(3, 8)) if style == "rolling" else 0
        share = 0.05 * step(at) if style == "canary" else step(at, ramp)
        for j in range(len(self.stages)) if self.one_process else [index]:
            self.fault.new_version[j] = np.maximum(self.fault.new_version[j], share)

    # Faults

    def plan(self) -> int:
        draw: Callable[[], int] = getattr(self, f"_{self.cause}")
        root = draw()
        if self.cause != "bad_deployment" and self.rng.random() < 0.12:
            at = FAULT - int(self.rng.integers(-1, 7))
            self.deploy(
                int(self.rng.integers(len(self.stages))), pick(self.rng, ["cutover", "rolling", "canary"]), at
            )
            self.fault.innocent = True
        return root

    def _data_broken(self) -> int:
        root = pick(
            self.rng,
            [s.index for s in self.stages if s.validates and (not s.parents or self.rng.random() < 0.3)],
        )
        self.fault.malformed[root] = self.strength * step(FAULT)
        return root

    def _bad_deployment(self) -> int:
        rng = self.rng
        root = int(rng.integers(len(self.stages)))
        s = self.stages[root]
        style = pick(rng, ["canary", "cutover", "cutover", "rolling"])
        self.deploy(
            root, style, FAULT - (int(rng.integers(1, 3)) if rng.random() < 0.2 and style == "cutover" else 0)
        )
        kinds = (
            (["labels"] * 3 if s.predicts else ["out"])
            + (["invalid"] if s.validates else [])
            + ["errors", "latency"]
        )
        kind = pick(rng, kinds)
        size = {"invalid": 0.5, "errors": 0.5, "labels": 3 * pick(rng, [-1, 1]), "out": 0.8, "latency": 4}[
            kind
        ]
        self.fault.bug = (root, kind, size * self.strength)
        return root

    def _source_outage(self) -> int:
        root = pick(self.rng, self.sources)
        self.fault.arrive[root] = 1 + (pick(self.rng, [0, 0, float(self.rng.uniform(0, 0.03))]) - 1) * step(
            FAULT
        )
        return root

    def _source_throttled(self) -> int:
        root = pick(self.rng, self.sources)
        self.fault.arrive[root] = 1 - (0.1 + 0.75 * self.strength) * step(FAULT)
        return root

    def _source_doubled(self) -> int:
        root = pick(self.rng, self.sources)
        self.fault.arrive[root] = 1 + step(FAULT)
        # People do not click twice on the same thing.
        self.fault.clicks = {
            s.index: 1 - self.rng.uniform(0.2, 0.5) * step(FAULT) for s in self.below(root) if s.clicks
        }
        self.fault.doubled_emitters = root if self.rng.random() < 0.3 else -1
        return root

    def _input_drift(self) -> int:
        root = pick(self.rng, self.sources)
        pick(self.rng, [s for s in self.below(root) if s.features])
        self.fault.shift[root] = self.strength * 1.5 * step(FAULT, pick(self.rng, [0, 5, 15, 30]))
        return root

    def _concept_shift(self) -> int:
        root = pick(self.rng, [s.index for s in self.stages if s.predicts])
        self.fault.labels[root] = (
            pick(self.rng, [-1, 1]) * 2 * self.strength * step(FAULT, int(self.rng.integers(8, 31)))
        )
        return root

    def _downstream_broken(self) -> int:
        root = pick(self.rng, [s.index for s in self.stages if s.clicks])
        self.fault.clicks[root] = 1 - self.strength * step(FAULT)
        return root

    def _slow_stage(self) -> int:
        root = int(self.rng.integers(len(self.stages)))
        capacity, mode = float(self.rng.uniform(0.3, 1.3)), pick(self.rng, ["sync", "queue"])
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

    def _surge(self) -> int:
        size, ramp = float(np.exp(self.rng.uniform(np.log(1.3), np.log(5)))), pick(self.rng, [0, 2, 5])
        for i in self.sources if self.rng.random() < 0.6 else [pick(self.rng, self.sources)]:
            self.fault.arrive[i] = 1 + (size - 1) * step(FAULT, ramp)
        return -1

    def _rhythm(self) -> int:
        size, ramp = float(np.exp(self.rng.normal(0, 0.35))), int(self.rng.integers(8, 31))
        self.fault.arrive = {i: 1 + (size - 1) * step(FAULT, ramp) for i in self.sources}
        self.fault.labels = {
            s.index: self.rng.normal(0, 0.03) * step(FAULT, ramp) for s in self.stages if s.predicts
        }
        return -1

    def _chance(self) -> int:
        return -1

    # Traffic

    def run(self) -> Case:
        root = self.plan()
        window_ms = pick(self.rng, [10_000, 60_000])
        self.window_ms = window_ms
        self.under_way = self.rng.uniform(0, 0.3)
        self.flow: list[dict[str, Array]] = []
        counted = [self._count(s) for s in self.stages]
        lag = np.min([counted[i]["lag"] for i in self.sources], axis=0)
        windows = [self._window(t, counted, float(lag[t])) for t in range(WINDOWS)]
        history = History(window_ms, windows)
        history.definition = definition_of(self.stages)
        return Case(
            history,
            self.stages,
            self.cause,
            f"s{root}" if root >= 0 else "",
            self.strength,
            self.fault.innocent,
        )

    def _wander(self, sd: float) -> Array:
        """Autocorrelated noise."""
        e = self.rng.normal(0, 1, WINDOWS)
        x = np.zeros(WINDOWS)
        x[0] = e[0]
        for t in range(1, WINDOWS):
            x[t] = 0.5 * x[t - 1] + np.sqrt(0.75) * e[t]
        return sd * x

    def _by_version(self, totals: Array, index: int) -> Array:
        new = self.rng.binomial(totals, self.fault.new_version[index])
        return np.stack([totals - new, new])

    def _arriving(self, s: Stage) -> tuple[Array, Array, Array, Array, Array]:
        """Records by version, share that is late, malformed, skewed and shifted."""
        rng, fault, zero = self.rng, self.fault, np.zeros((2, WINDOWS))
        if not s.parents:
            late = fault.late.get(s.index, np.zeros(WINDOWS))
            rate = float(np.exp(rng.uniform(np.log(10), np.log(50_000)))) * self.window_ms / 1000
            wander = np.exp(self._wander(float(rng.uniform(0.01, 0.08))))
            totals = rng.poisson(rate * wander * fault.arrive.get(s.index, np.ones(WINDOWS)))
            records = self._by_version(rng.binomial(totals, 1 - late), s.index)
            return records, late, zero, zero, zero + fault.shift.get(s.index, 0)
        records, late = np.zeros((2, WINDOWS), dtype=int), np.zeros(WINDOWS)
        mixed = [zero, zero, zero]
        for parent, kind, share in s.parents:
            sent = self.flow[parent]
            part = sent["positive" if kind == "positive" else "out"]
            part = rng.binomial(part, share) if kind == "split" else part
            part = np.round(
                (1 - self.under_way) * part + self.under_way * np.hstack([part[:, :1], part[:, :-1]])
            ).astype(int)
            records = records + part
            late = np.maximum(late, sent["late"])
            mixed = [m + part * sent[k] for m, k in zip(mixed, ("malformed", "skew", "shift"), strict=True)]
        malformed, skew, shift = (m / np.maximum(records, 1) for m in mixed)
        if not self.one_process:
            whole = np.maximum(records.sum(0), 1)
            malformed, skew, shift = (
                np.tile((m * records).sum(0) / whole, (2, 1)) for m in (malformed, skew, shift)
            )
            records = self._by_version(records.sum(0), s.index)
        return records, late, malformed, skew, shift

    def _queued(self, s: Stage, records: Array, usual: float) -> Array:
        totals = records.sum(0).astype(float)
        done, backlog, most = totals.copy(), 0.0, self.fault.capacity[s.index][0] * usual
        for t in range(FAULT, WINDOWS):
            done[t] = min(totals[t] + backlog, most)
            backlog += totals[t] - done[t]
        return np.asarray(np.round(records * done / np.maximum(totals, 1)).astype(int))

    def _count(self, s: Stage) -> dict[str, Array]:
        rng, fault, i = self.rng, self.fault, s.index
        records, late, malformed, skew, shift = self._arriving(s)
        usual = max(float(records[:, :FAULT].sum()) / FAULT, 1.0)
        if fault.capacity.get(i, (0, ""))[1] == "queue":
            records = self._queued(s, records, usual)
        if i in fault.malformed:
            malformed = np.maximum(malformed, fault.malformed[i])
            skew = skew + fault.skew * fault.malformed[i]
        bug = {k: np.zeros((2, WINDOWS)) for k in ("invalid", "errors", "labels", "out", "latency")}
        if fault.bug and fault.bug[0] == i:
            bug[fault.bug[1]][1] = fault.bug[2] * step(FAULT)
        found = fault.found if s.validates else 0.0
        ordinary = (
            expit(logit(s.invalid) + self._wander(s.noise["invalid"])) if s.validates else np.zeros(WINDOWS)
        )
        invalid = rng.binomial(records, np.clip(ordinary + malformed * found + bug["invalid"], 0, 1))
        left = malformed * (1 - found) / np.maximum(1 - malformed * found, 1e-9)
        failing = (
            expit(logit(s.errors) + self._wander(s.noise["errors"]))
            + left * fault.raises
            + fault.errors.get(i, 0)
            + bug["errors"]
        )
        errors = rng.binomial(records - invalid, np.clip(failing, 0, 1))
        handled = records - invalid - errors
        works = np.arange(WINDOWS) < FAULT if i in fault.down else np.ones(WINDOWS, dtype=bool)
        lean = (
            logit(s.positive)
            + self._wander(s.noise["labels"])
            + skew
            + fault.sensitivity * shift
            + fault.labels.get(i, 0)
            + bug["labels"]
        )
        positive = (
            rng.binomial(handled, expit(lean) * (1 - left) + fault.positive_if_bad * left) * works
            if s.predicts
            else handled * 0
        )
        passing = (s.passed_on * np.exp(self._wander(s.noise["out"])) if s.passed_on < 1 else 1) * (
            1 - bug["out"]
        )
        out = rng.binomial(handled, np.clip(passing * fault.passed_on.get(i, 1), 0, 1)) * works
        self.flow.append(
            {"malformed": left, "skew": skew, "shift": shift, "late": late, "out": out, "positive": positive}
        )
        return self._seen(
            s,
            usual,
            {"records": records, "invalid": invalid, "errors": errors, "out": out, "positive": positive},
            late,
            left,
            malformed,
            skew,
            shift,
            bug["latency"],
        )

    def _seen(
        self,
        s: Stage,
        usual: float,
        n: dict[str, Array],
        late: Array,
        left: Array,
        malformed: Array,
        skew: Array,
        shift: Array,
        slower: Array,
    ) -> dict[str, Array]:
        """What of it reaches the monitor: silent emitters thin every count of a record together."""
        rng, fault, i = self.rng, self.fault, s.index
        records = n["records"]
        whole = np.maximum(records.sum(0), 1)
        load = np.log((1 - s.load) / (1 - np.minimum(s.load * records.sum(0) / usual, 0.95)))
        ln_latency = (
            np.log(s.latency)
            + load
            + self._wander(s.noise["latency"])
            + np.log(fault.latency.get(i, 1) + slower)
        )
        ln_latency = ln_latency + rng.normal(0, 1, (2, WINDOWS)) * 0.8 / np.sqrt(np.maximum(records, 1))
        moved = ((shift + 3 * malformed) * records).sum(0) / whole
        drift = np.abs(moved) / np.sqrt(1 / np.minimum(whole, 5000) + 0.03**2) + rng.normal(0, 1, WINDOWS)
        nulls = rng.binomial(records, np.clip(s.nulls + (malformed * 0.8 if fault.nulls else 0), 0, 1))
        dulled = np.exp(-0.5 * np.abs((skew * records).sum(0) / whole)) * (
            1 - 0.7 * (left * records).sum(0) / whole
        )
        clicks = rng.poisson(
            n["out"]
            * (s.clicks or 0)
            * np.exp(self._wander(s.noise["clicks"]))
            * dulled
            * fault.clicks.get(i, 1)
        )
        alive = np.clip(fault.alive.get(i, np.ones(WINDOWS)), 0, 1)
        seen = {
            k: rng.binomial(x, alive)
            for k, x in (
                ("invalid", n["invalid"]),
                ("errors", n["errors"]),
                ("nulls", nulls),
                ("clicks", clicks),
            )
        }
        handled = records - n["invalid"] - n["errors"]
        out, kept = rng.binomial(n["out"], alive), rng.binomial(handled - n["out"], alive)
        seen["positive"] = np.minimum(rng.binomial(n["positive"], alive), out + kept)
        seen |= {"out": out, "handled": out + kept, "records": out + kept + seen["invalid"] + seen["errors"]}
        seen["nulls"] = np.minimum(seen["nulls"], seen["records"])
        extra = s.emitters * step(FAULT) if fault.doubled_emitters == i else 0
        return seen | {
            "latency": np.exp(ln_latency), "drift": np.where(whole > 20, drift, np.nan), "heard":
            np.round(alive * s.emitters) + extra, "known": s.emitters + extra * np.ones(WINDOWS), "lag":
            np.exp(self._wander(0.2)) + 20 * late,
        }  # fmt: skip

    def _window(self, t: int, counted: list[dict[str, Array]], lag: float) -> WindowCounts:
        window = WindowCounts(ORIGIN_MS + t * self.window_ms, lag_ms=round(2000 * lag))
        for s, seen in zip(self.stages, counted, strict=True):
            window.heard[s.name], window.known[s.name] = int(seen["heard"][t]), int(seen["known"][t])
            window.stages[s.name] = {
                str(version + 1): _stage_counts(s, {k: x[version, t] for k, x in seen.items() if x.ndim == 2})
                for version in (0, 1)
                if seen["records"][version, t] > 0
            }
            if s.features and np.isfinite(seen["drift"][t]) and seen["heard"][t]:
                window.drift[s.name] = {"x": float(seen["drift"][t])}
        return window


def _stage_counts(s: Stage, n: dict[str, Any]) -> StageCounts:
    handled, positive = int(n["handled"]), int(n["positive"])
    return StageCounts(
        records=int(n["records"]),
        invalid=int(n["invalid"]),
        errors=int(n["errors"]),
        out=int(n["out"]),
        predictions=handled if s.predicts else 0,
        labels={"positive": positive, "negative": handled - positive} if s.predicts else {},
        nulls=int(n["nulls"]) if s.features else 0,
        values=int(n["records"]) if s.features else 0,
        latency=float(n["latency"]),
        latency_spread=0.8,
        counters={"clicks": float(n["clicks"])} if s.clicks else {},
    )


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


def drain(generator: Any) -> Any:
    """Run a generator to its end and return its value."""
    while True:
        try:
            next(generator)
        except StopIteration as stop:
            return stop.value


def detected(case: Case) -> int | None:
    """A stand-in for the detectors: the first window with a series beyond 5 sigma or a silent emitter."""
    from swirl.incident.residuals import collect
    from swirl.incident.series import Level, Ratio, Tied

    found = drain(collect(case.history, case.start(FAULT), case.start(WINDOWS - 1)))
    loudest = np.zeros(WINDOWS)
    for series in found.series.values():
        for member in series.members if isinstance(series, Tied) else [series]:
            assert isinstance(member, Ratio | Level)
            by_window = np.nan_to_num(np.abs(member.by_window()))
            if isinstance(member, Level):
                quiet = (-member.least[0] < member.x - member.centre) & (
                    member.x - member.centre < member.least[1]
                )
                by_window = np.where(quiet, 0, by_window)
            loudest = np.maximum(loudest, by_window)
    for t in range(FAULT, WINDOWS - 5):
        window = case.history.windows[t]
        if loudest[t] > 5 or any(window.heard[s] < known for s, known in window.known.items()):
            return t
    return FAULT + int(np.argmax(loudest[FAULT : WINDOWS - 5])) if case.cause == "chance" else None


def cases(seed: int, count: int, cause: str = "") -> Iterator[tuple[Case, int]]:
    """Cases that were detected, with the window of their detection."""
    rng = np.random.default_rng(seed)
    while count:
        case = simulate(rng, cause)
        window = detected(case)
        if window is not None:
            count -= 1
            yield case, window
