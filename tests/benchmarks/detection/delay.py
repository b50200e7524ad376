"""How soon is a change found? Mean delay over that of the best detector there is, at equal false-alarm rates.

The best is the CUSUM that knows both sides of the change (G. Moustakides, "Optimal Stopping Times for
Detecting Changes in Distributions", 1986). Its threshold is set so that it raises as many false alarms as the
bank did in the same run.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from swirl.detector import Kind, Points
from tests.benchmarks.detection.budget import Fleet, Pools, Supervisor
from tests.benchmarks.detection.cells import Cell, binomial, normal, poisson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tests.benchmarks.detection.cells import Array, Start

__all__ = ["CASES", "Case", "Change", "Delay", "measured", "oracle", "section"]

MINUTE = 60_000
A_DAY, A_WEEK = 1440, 10_080
HISTORIES = (3_000, A_WEEK)
HORIZON = 1_200
"""A change that is not found after so many windows never is, and counts as so many."""

COUNTED_FROM = 300


@dataclass(frozen=True)
class Change:
    """What a law becomes, and what the CUSUM that knows it makes of a window.

    Attributes:
        name: in the table.
        after: the law.
        slope, cost: nats a window: ``slope * value - cost``.
        limit: of the ratio after a week; None where the mean delay itself has a limit.
    """

    name: str
    after: Start
    slope: float
    cost: float
    limit: float | None


@dataclass(frozen=True)
class Case:
    """A law before, and the changes that follow on the same histories."""

    before: Cell
    changes: Sequence[Change]


def _shift(sigmas: float) -> Change:
    return Change(f"mean, {sigmas:g} sigma", normal(sigmas), sigmas, sigmas**2 / 2, 1.25)


def _ratio(n: int, p: float, q: float, limit: float | None) -> Change:
    name = f"ratio {p:.2f} -> {q:.2f}, n={n}"
    slope = float(np.log(q * (1 - p) / (p * (1 - q))))
    return Change(name, binomial(n, q), slope, float(n * np.log((1 - p) / (1 - q))), limit)


CASES = (
    Case(Cell("normal", Kind.LEVEL, normal()), [_shift(0.5), _shift(1.0), _shift(2.0)]),
    Case(
        Cell("Poisson 20", Kind.RATE, poisson(20.0)),
        [Change("Poisson 20 -> 30", poisson(30.0), float(np.log(1.5)), 10.0, 1.25)],
    ),
    Case(Cell("Bernoulli .2", Kind.RATIO, binomial(1, 0.2)), [_ratio(1, 0.2, 0.4, 1.42)]),
    Case(Cell("n=500, .30", Kind.RATIO, binomial(500, 0.3)), [_ratio(500, 0.3, 0.15, None)]),
    Case(Cell("n=50, .30", Kind.RATIO, binomial(50, 0.3)), [_ratio(50, 0.3, 0.15, 1.25)]),
)

FLEETS = (Fleet(1, 2040, 1.0), Fleet(20, 102, 1.0), Fleet(500, 5, 1.0))
RATED = Fleet(500, 4, 20.0)
"""At one a week, 500 series raise too few alarms to count: the rate at S=500 is that at twenty a week."""


class Past(NamedTuple):
    """Banks after a history without change.

    Attributes:
        snapshot: of all fleets side by side.
        free: rows that are not held.
        realised: alarms raised over alarms promised, by fleet.
    """

    snapshot: dict[str, Any]
    free: NDArray[np.bool_]
    realised: list[float]


class Delay(NamedTuple):
    """How soon the changes of one fleet were found.

    Attributes:
        change: which.
        series: of a pipeline.
        history: windows before it.
        mean: windows, with those never found at :data:`HORIZON`.
        error: its standard error.
        never: share that was never found.
        oracle: mean of the best.
        realised: false alarms over promised, of both.
    """

    change: Change
    series: int
    history: int
    mean: float
    error: float
    never: float
    oracle: float
    realised: float

    @property
    def ratio(self) -> float:
        """Over the oracle's."""
        return self.mean / self.oracle

    @property
    def kept(self) -> bool:
        """Within its limit."""
        if self.change.limit is None:
            return self.mean <= 2.0
        return self.ratio <= (self.change.limit if self.history >= A_WEEK else 1.5)


def pasts(cell: Cell, fleets: Sequence[Fleet], histories: Sequence[int], seed: int) -> dict[int, Past]:
    """Run healthy series and keep the banks as they were after each history."""
    rng, rows = np.random.default_rng(seed), sum(fleet.rows for fleet in fleets)
    bank, every = Pools(cell.kind, fleets, MINUTE), np.arange(rows)
    supervisor, source = Supervisor(bank, rows), cell.start(rng, rows, A_DAY)
    alarms, found = np.zeros(rows), {}
    for first in range(0, max(histories), 60):
        bank.refresh(1.0)
        if first in histories:
            found[first] = _past(bank, supervisor, alarms, first)
        values, weights = source(first, 60)
        for at in range(60):
            points = Points((first + at) * MINUTE, MINUTE, values[at], weights[at])
            scores = bank.score(every, points)
            bank.learn(np.flatnonzero(~supervisor.held), points)
            supervisor.step(scores.alarm, scores.loud)
            alarms += scores.alarm & (first + at >= COUNTED_FROM)
    bank.refresh(1.0)
    found[max(histories)] = _past(bank, supervisor, alarms, max(histories))
    return found


def _past(bank: Pools, supervisor: Supervisor, alarms: Array, windows: int) -> Past:
    realised, at = [], 0
    for fleet in bank.fleets:
        promised = fleet.pipelines * fleet.a_week * (windows - COUNTED_FROM) / A_WEEK
        realised.append(float(alarms[at : at + fleet.rows].sum() / promised))
        at += fleet.rows
    return Past(bank.snapshot(), ~supervisor.held, realised)


def _found(cell: Cell, fleets: Sequence[Fleet], past: Past, history: int, change: Change, seed: int) -> Array:
    """Windows until each row's alarm, :data:`HORIZON` where there is none. Thresholds stay: a pool knows
    nothing of what one of its series does."""
    bank = Pools(cell.kind, fleets, MINUTE)
    bank.restore(past.snapshot)
    rows = len(past.free)
    source = change.after(np.random.default_rng(seed), rows, A_DAY)
    delays, waiting = np.full(rows, float(HORIZON)), np.flatnonzero(past.free)
    for first in range(0, HORIZON, 60):
        values, weights = source(history + first, 60)
        for at in range(60):
            start = (history + first + at) * MINUTE
            points = Points(start, MINUTE, values[at, waiting], weights[at, waiting])
            alarm = bank.score(waiting, points).alarm
            bank.learn(waiting, points)
            delays[waiting[alarm]] = first + at + 1
            waiting = waiting[~alarm]
            if not waiting.size:
                return delays
    return delays


def oracle(cell: Cell, change: Change, windows: float, *, seed: int = 9) -> float:
    """Mean delay of the CUSUM that knows both sides and raises a false alarm every so many windows.

    Far out false alarms thin like ``exp(-threshold)``: their rate is measured where they are frequent.
    """
    rng = np.random.default_rng(seed)
    low, rows = 6.0, 2000
    evidence, alarms, length = np.zeros(rows), 0, 4000
    source = cell.start(rng, rows, A_DAY)
    for first in range(0, length, 200):
        for value in source(first, 200)[0]:
            evidence = np.maximum(evidence + change.slope * value - change.cost, 0.0)
            over = evidence > low
            alarms += int(over.sum())
            evidence[over] = 0.0
    threshold = max(low + float(np.log(alarms / (rows * length) * windows)), 0.1)
    evidence = np.zeros(10 * rows)
    for value in cell.start(rng, len(evidence), A_DAY)(0, 200)[0]:
        evidence = np.maximum(evidence + change.slope * value - change.cost, 0.0)
        evidence[evidence > threshold] = 0.0
    source, delays = change.after(rng, len(evidence), A_DAY), np.full(len(evidence), float(HORIZON))
    waiting = np.ones(len(evidence), dtype=np.bool_)
    for first in range(HORIZON):
        evidence = np.maximum(evidence + change.slope * source(first, 1)[0][0] - change.cost, 0.0)
        over = waiting & (evidence > threshold)
        delays[over] = first + 1
        waiting &= ~over
        if not waiting.any():
            break
    return float(delays.mean())


def measured(
    case: Case, fleets: Sequence[Fleet], rated: Fleet | None, histories: Sequence[int], *, seed: int = 5
) -> list[Delay]:
    """All changes of a case after each history, for each fleet.

    Args:
        case: law and changes.
        fleets: whose delays are measured.
        rated: measures the realised rate of the last of them; None: each measures its own.
        histories: windows before the change, multiples of 60.
        seed: of the series.
    """
    every = [*fleets, rated] if rated else list(fleets)
    rows: list[Delay] = []
    for history, past in pasts(case.before, every, histories, seed).items():
        rates = [*past.realised[: len(fleets) - 1], past.realised[-1]]
        for number, change in enumerate(case.changes):
            delays = _found(case.before, every, past, history, change, seed + 100 * (number + 1))
            at = 0
            for fleet, rate in zip(fleets, rates, strict=True):
                here = slice(at, at + fleet.rows)
                own = delays[here][past.free[here]]
                at += fleet.rows
                best = oracle(case.before, change, fleet.series * A_WEEK / fleet.a_week / max(rate, 0.05))
                error = float(own.std() / np.sqrt(len(own)))
                never = float((own == HORIZON).mean())
                rows.append(Delay(change, fleet.series, history, float(own.mean()), error, never, best, rate))
    return rows


def _row(delay: Delay) -> str:
    ratio = f"{delay.ratio:.2f}" if delay.kept else f"**{delay.ratio:.2f}**"
    never = f"{delay.never:.1%}" if delay.never else "none"
    return (
        f"| {delay.change.name} | {delay.series} | {delay.history} | {delay.mean:.2f} +- {delay.error:.2f} | "
        f"{delay.oracle:.2f} | {ratio} | {delay.realised:.2f} | {never} |"
    )


_INTRODUCTION = f"""## Delay

Mean windows from a change to its alarm, over those of the CUSUM that knows both sides and raises as many
false alarms as the bank did in the same run ("realised", over promised). After a week the ratio may be 1.25
(Bernoulli 1.42), after 3 000 windows 1.5; a ratio of .30 that halves at n=500 is found in 2 windows or fewer.
2 000 changes and more a row; a change that is not found in {HORIZON} windows counts as that many. One false
alarm a week a pipeline of S series; at S=500 the realised rate is that of pipelines that may raise twenty.
Command: `python -m tests.benchmarks.detection.delay`.

| change | S | after windows | mean delay | oracle | ratio | realised | never found |
|---|---|---|---|---|---|---|---|"""


def section(*, quick: bool = False) -> str:
    """The delay's part of the report."""
    delays: list[Delay] = []
    for case in CASES[:2] if quick else CASES:
        print(f"  delay: {case.before.name}", file=sys.stderr, flush=True)
        delays += measured(case, (Fleet(1, 300, 1.0),), None, (3_000,)) if quick else _full(case)
    missed = [f"{d.change.name}, S={d.series}, after {d.history}" for d in delays if not d.kept]
    lines = "\n".join(_row(delay) for delay in delays)
    return f"{_INTRODUCTION}\n{lines}\n\nOutside: {'; '.join(missed) or 'none'}.\n"


def _full(case: Case) -> list[Delay]:
    return measured(case, FLEETS, RATED, HISTORIES)


if __name__ == "__main__":
    print(section(quick="--quick" in sys.argv))
