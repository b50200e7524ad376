"""Random pipelines with random faults, as the histories that a monitor would keep.

One case is one pipeline, WINDOWS windows and one fault that begins with window FAULT. Every count is kept per
version: row 0 of an array is the old version, row 1 the new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from swirl.history import History, StageCounts, WindowCounts
from tests.incident.faults import BENIGN, CAUSES, FAULT, WINDOWS, Planner, step
from tests.incident.pipelines import (
    PLAIN,
    Array,
    ImpossibleError,
    Rng,
    Stage,
    World,
    definition_of,
    expit,
    logit,
    make_pipeline,
    pick,
)

__all__ = ["BENIGN", "CAUSES", "FAULT", "WINDOWS", "Case", "World", "cases", "detected", "drain", "simulate"]

ORIGIN_MS = 1_795_230_000_000
_FORECAST_ERROR = 0.05
_SPREAD = 0.8


@dataclass
class Case:
    """A history, and the truth about it."""

    history: History
    stages: list[Stage]
    cause: str
    stage: str
    strength: float
    innocent: bool
    """A deployment that did nothing is near."""
    telling: bool
    """Something tells the truth from everything else."""
    second: tuple[str, str] | None
    forecasts: Mapping[str, Mapping[int, tuple[float, float]]]
    """Of sources: start of a window -> expected records and their standard deviation."""

    def start(self, window: int) -> int:
        return self.history.windows[window].start_ms


def simulate(rng: Rng, cause: str = "", strength: float | None = None, world: World = PLAIN) -> Case:
    """A random pipeline with a fault of a cause, any if none is named."""
    while True:
        try:
            return _Simulation(
                rng, make_pipeline(rng, world), cause or pick(rng, CAUSES), strength, world
            ).run()
        except ImpossibleError:
            continue


class _Simulation:
    def __init__(
        self, rng: Rng, stages: list[Stage], cause: str, strength: float | None, world: World
    ) -> None:
        self.rng, self.stages, self.cause, self.world = rng, stages, cause, world
        self.strength = strength or float(np.exp(rng.uniform(np.log(0.04), 0)))
        planner = Planner(rng, stages, cause, self.strength, world)
        self.root = planner.plan()
        self.fault, self.one_process, self.sources = planner.fault, planner.one_process, planner.sources
        self.window_ms = pick(rng, [10_000, 60_000])
        self.under_way = rng.uniform(0, 0.3)
        self.flow: list[dict[str, Array]] = []
        self.expected: dict[int, Array] = {}

    def run(self) -> Case:
        counted = [self._count(s) for s in self.stages]
        lag = np.min([counted[i]["lag"] for i in self.sources], axis=0)
        windows = [self._window(t, counted, float(lag[t])) for t in range(WINDOWS)]
        history = History(self.window_ms, windows)
        history.definition = definition_of(self.stages)
        second, telling = self.fault.second, self.fault.telling
        if self.cause == "source_throttled" and not self.world.season:
            telling = False
        return Case(
            history,
            self.stages,
            self.cause,
            f"s{self.root}" if self.root >= 0 else "",
            self.strength,
            self.fault.deployed,
            telling,
            (second[0], f"s{second[1]}") if second else None,
            self._forecasts(windows) if self.world.season else {},
        )

    def _forecasts(self, windows: list[WindowCounts]) -> dict[str, dict[int, tuple[float, float]]]:
        """What a seasonal baseline expects: it knows the rhythm, within 5 %."""
        found = {}
        for i, expected in self.expected.items():
            error = float(np.exp(self.rng.normal(0, _FORECAST_ERROR)))
            found[f"s{i}"] = {
                w.start_ms: (error * float(e), _FORECAST_ERROR * float(e))
                for w, e in zip(windows, expected, strict=True)
            }
        return found

    def _wander(self, sd: float) -> Array:
        """Autocorrelated noise."""
        rho = 0.8 if self.world.hostile else 0.5
        e = self.rng.normal(0, 1, WINDOWS)
        x = np.zeros(WINDOWS)
        x[0] = e[0]
        for t in range(1, WINDOWS):
            x[t] = rho * x[t - 1] + np.sqrt(1 - rho * rho) * e[t]
        if self.world.hostile:
            x = x + self.rng.choice([-5, 0, 5], WINDOWS, p=[0.01, 0.98, 0.01])
        return sd * x

    def _trend(self) -> Array | float:
        if not self.world.trend:
            return 0.0
        return float(self.rng.normal(0, self.world.trend)) * np.arange(WINDOWS) / 100

    def _by_version(self, totals: Array, index: int) -> Array:
        new = self.rng.binomial(totals, self.fault.new_version[index])
        return np.stack([totals - new, new])

    def _arriving(self, s: Stage) -> dict[str, Array]:
        """Records by version, and which share of them is late, malformed, skewed and shifted."""
        return self._from_parents(s) if s.parents else self._from_outside(s)

    def _from_outside(self, s: Stage) -> dict[str, Array]:
        rng, fault, zero = self.rng, self.fault, np.zeros((2, WINDOWS))
        late = fault.late.get(s.index, np.zeros(WINDOWS))
        rate = float(np.exp(rng.uniform(np.log(10), np.log(50_000)))) * self.window_ms / 1000
        wander = np.exp(self._wander(float(rng.uniform(0.01, 0.08))) + self._trend())
        self.expected[s.index] = rate * fault.season
        totals = rng.poisson(rate * wander * fault.season * fault.arrive.get(s.index, np.ones(WINDOWS)))
        records = self._by_version(rng.binomial(totals, 1 - late), s.index)
        shift = zero + fault.shift.get(s.index, 0)
        return {"records": records, "late": late, "malformed": zero, "skew": zero, "shift": shift}

    def _from_parents(self, s: Stage) -> dict[str, Array]:
        records, late = np.zeros((2, WINDOWS), dtype=int), np.zeros(WINDOWS)
        mixed = {k: np.zeros((2, WINDOWS)) for k in ("malformed", "skew", "shift")}
        for parent, kind, share in s.parents:
            sent = {k: _later(x, self.world.late) for k, x in self.flow[parent].items()}
            part = sent["first" if kind == "first" else "out"].astype(int)
            part = self.rng.binomial(part, share) if kind == "split" else part
            part = np.round((1 - self.under_way) * part + self.under_way * _later(part, 1)).astype(int)
            records = records + part
            late = np.maximum(late, sent["late"])
            mixed = {k: m + part * sent[k] for k, m in mixed.items()}
        mixed = {k: m / np.maximum(records, 1) for k, m in mixed.items()}
        if not self.one_process:
            whole = np.maximum(records.sum(0), 1)
            mixed = {k: np.tile((m * records).sum(0) / whole, (2, 1)) for k, m in mixed.items()}
            records = self._by_version(records.sum(0), s.index)
        return {"records": records, "late": late, **mixed}

    def _queued(self, s: Stage, records: Array, usual: float) -> Array:
        totals = records.sum(0).astype(float)
        done, backlog, most = totals.copy(), 0.0, self.fault.capacity[s.index][0] * usual
        for t in range(FAULT, WINDOWS):
            done[t] = min(totals[t] + backlog, most)
            backlog += totals[t] - done[t]
        return np.asarray(np.round(records * done / np.maximum(totals, 1)).astype(int))

    def _bug(self, index: int) -> dict[str, Array]:
        bug = {k: np.zeros((2, WINDOWS)) for k in ("invalid", "errors", "labels", "out", "latency")}
        if self.fault.bug and self.fault.bug[0] == index:
            rows = slice(0, 2) if self.fault.everywhere else slice(1, 2)
            bug[self.fault.bug[1]][rows] = self.fault.bug[2] * step(FAULT)
        return bug

    def _count(self, s: Stage) -> dict[str, Array]:
        rng, fault, i = self.rng, self.fault, s.index
        came, bug = self._arriving(s), self._bug(i)
        records, malformed = came["records"], came["malformed"]
        usual = max(float(records[:, :FAULT].sum()) / FAULT, 1.0)
        if fault.capacity.get(i, (0, ""))[1] == "queue":
            records = self._queued(s, records, usual)
        if i in fault.malformed:
            malformed = np.maximum(malformed, fault.malformed[i])
            came["skew"] = came["skew"] + fault.skew * fault.malformed[i]
        found = fault.found if s.validates else 0.0
        ordinary: Any = 0.0
        if s.validates:
            ordinary = expit(logit(s.invalid) + self._wander(s.noise["invalid"]) + self._trend())
        invalid = rng.binomial(records, np.clip(ordinary + malformed * found + bug["invalid"], 0, 1))
        left = malformed * (1 - found) / np.maximum(1 - malformed * found, 1e-9)
        failing = expit(logit(s.errors) + self._wander(s.noise["errors"])) + left * fault.raises
        failing = failing + fault.errors.get(i, 0) + bug["errors"]
        errors = rng.binomial(records - invalid, np.clip(failing, 0, 1))
        handled = records - invalid - errors
        works = np.arange(WINDOWS) < FAULT if i in fault.down else np.ones(WINDOWS, dtype=bool)
        labels = self._labelled(s, handled * works, came, left, bug["labels"])
        passing: Any = s.passed_on * np.exp(self._wander(s.noise["out"])) if s.passed_on < 1 else 1.0
        passing = passing * (1 - bug["out"]) * fault.passed_on.get(i, 1)
        out = rng.binomial(handled, np.clip(passing, 0, 1)) * works
        came |= {"records": records, "invalid": invalid, "errors": errors, "out": out, "labels": labels}
        first = labels[0] if s.predicts else out * 0
        self.flow.append(
            {k: came[k] for k in ("skew", "shift", "late", "out")} | {"malformed": left, "first": first}
        )
        return self._seen(s, usual, came, left, malformed, bug["latency"])

    def _labelled(self, s: Stage, handled: Array, came: dict[str, Array], left: Array, bug: Array) -> Array:
        """Predictions by label, version and window."""
        kinds, fault = len(s.leanings), self.fault
        if not kinds:
            return np.zeros((0, 2, WINDOWS), dtype=int)
        moved = 0 if kinds == 2 else int(self.rng.integers(kinds))
        lean = np.tile(s.leanings[:, None, None], (1, 2, WINDOWS))
        drift = came["skew"] + fault.sensitivity * came["shift"] + fault.labels.get(s.index, 0) + bug
        lean[moved] += self._wander(s.noise["labels"]) + self._trend() + drift
        usual = np.exp(lean - lean.max(0))
        bad = np.full(kinds, (1 - fault.first_if_bad) / (kinds - 1))
        bad[0] = fault.first_if_bad
        p = usual / usual.sum(0) * (1 - left) + bad[:, None, None] * left
        p = p / p.sum(0)
        return np.asarray(np.moveaxis(self.rng.multinomial(handled, np.moveaxis(p, 0, -1)), -1, 0))

    def _seen(
        self, s: Stage, usual: float, n: dict[str, Array], left: Array, malformed: Array, slower: Array
    ) -> dict[str, Array]:
        """What of it reaches the monitor: silent emitters thin every count of a record together."""
        rng, fault, i = self.rng, self.fault, s.index
        records = n["records"]
        whole = np.maximum(records.sum(0), 1)
        known = fault.processes.get(i, s.emitters * np.ones(WINDOWS))
        # More processes share the load; fewer than usual are taken only where there is less of it for each.
        shared = s.emitters / known
        busy = s.load * records.sum(0) / usual * (shared if fault.own_source else np.minimum(shared, 1))
        load = np.log((1 - s.load) / (1 - np.minimum(busy, 0.95)))
        ln_latency = np.log(s.latency) + load + self._wander(s.noise["latency"])
        ln_latency = ln_latency + np.log(fault.latency.get(i, 1) + slower)
        ln_latency = ln_latency + rng.normal(0, 1, (2, WINDOWS)) * _SPREAD / np.sqrt(np.maximum(records, 1))
        moved = ((n["shift"] + 3 * malformed) * records).sum(0) / whole
        drift = np.abs(moved) / np.sqrt(1 / np.minimum(whole, 5000) + 0.03**2) + rng.normal(0, 1, WINDOWS)
        nulls = rng.binomial(records, np.clip(s.nulls + (malformed * 0.8 if fault.nulls else 0), 0, 1))
        alive = np.clip(fault.alive.get(i, np.ones(WINDOWS)), 0, 1)
        seen = {k: rng.binomial(n[k], alive) for k in ("invalid", "errors")}
        seen["clicks"] = rng.binomial(self._clicked(s, n, left, whole), alive)
        handled = records - n["invalid"] - n["errors"]
        seen["labels"] = rng.binomial(n["labels"], alive)
        out = rng.binomial(n["out"], alive)
        kept = rng.binomial(handled - n["out"], alive)
        if s.predicts and i not in fault.down:
            out = np.minimum(out, seen["labels"].sum(0))
            kept = seen["labels"].sum(0) - out
        seen |= {"out": out, "records": out + kept + seen["invalid"] + seen["errors"]}
        seen["nulls"] = np.minimum(rng.binomial(nulls, alive), seen["records"])
        lag = np.exp(self._wander(0.2)) + 20 * n["late"]
        return seen | {
            "latency": np.exp(ln_latency), "drift": np.where(whole > 20, drift, np.nan), "heard":
            np.round(alive * known), "known": known, "lag": lag,
        }  # fmt: skip

    def _clicked(self, s: Stage, n: dict[str, Array], left: Array, whole: Array) -> Array:
        dulled = np.exp(-0.5 * np.abs((n["skew"] * n["records"]).sum(0) / whole))
        dulled = dulled * (1 - 0.7 * (left * n["records"]).sum(0) / whole)
        rate = (s.clicks or 0) * np.exp(self._wander(s.noise["clicks"])) * dulled
        return np.asarray(self.rng.poisson(n["out"] * rate * self.fault.clicks.get(s.index, 1)))

    def _window(self, t: int, counted: list[dict[str, Array]], lag: float) -> WindowCounts:
        window = WindowCounts(ORIGIN_MS + t * self.window_ms, lag_ms=round(2000 * lag))
        for s, seen in zip(self.stages, counted, strict=True):
            window.heard[s.name], window.known[s.name] = int(seen["heard"][t]), int(seen["known"][t])
            window.stages[s.name] = {
                str(version + 1): _stage_counts(
                    s, {k: x[..., version, t] for k, x in seen.items() if x.ndim > 1}
                )
                for version in (0, 1)
                if seen["records"][version, t] > 0
            }
            if s.features and np.isfinite(seen["drift"][t]) and seen["heard"][t]:
                window.drift[s.name] = {"x": float(seen["drift"][t])}
        return window


def _later(x: Array, windows: int) -> Array:
    """What was so many windows ago; the first window stands for those before it."""
    if not windows:
        return x
    return np.concatenate([np.repeat(x[..., :1], windows, -1), x[..., :-windows]], -1)


def _stage_counts(s: Stage, n: dict[str, Any]) -> StageCounts:
    labels = {label: int(k) for label, k in zip(s.labels, n["labels"], strict=True)} if s.predicts else {}
    return StageCounts(
        records=int(n["records"]),
        invalid=int(n["invalid"]),
        errors=int(n["errors"]),
        out=int(n["out"]),
        predictions=sum(labels.values()),
        labels=labels,
        nulls=int(n["nulls"]) if s.features else 0,
        values=int(n["records"]) if s.features else 0,
        latency=float(n["latency"]),
        latency_spread=_SPREAD,
        counters={"clicks": float(n["clicks"])} if s.clicks else {},
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


def cases(
    seed: int,
    count: int,
    cause: str = "",
    world: World = PLAIN,
    strength: float | None = None,
) -> Iterator[tuple[Case, int]]:
    """Cases that were detected, with the window of their detection."""
    rng = np.random.default_rng(seed)
    while count:
        case = simulate(rng, cause, strength, world)
        window = detected(case)
        if window is not None:
            count -= 1
            yield case, window
