"""What a season costs the false-alarm budget and the delay, day by day.

``python -m tests.benchmarks.detection.season`` prints its part of ``docs/detection.md`` after about eight
minutes of one processor; ``--quick`` a small run of all of it after one.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from swirl.budget import alarms_per_window
from swirl.detector import Points
from swirl_detectors.change import ChangeBank, ChangeDetector
from tests.benchmarks.detection.season_laws import DAY, LAWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tests.benchmarks.detection.season_laws import Law

    Array = NDArray[np.float64]

__all__ = ["section"]

MINUTE = 60_000
MONDAY = 4 * DAY * MINUTE
FIRST = 300
"""Windows that are not counted: the warm-up and what is learnt right after it."""

PERIODS = {
    "day 1": (0, 1),
    "rest of week 1": (1, 7),
    "week 2": (7, 14),
    "weeks 3 and 4": (14, 28),
}

DROPS = (0.2, 0.3, 0.5)
LEARNT = 15
"""Days before a fault."""
QUICK_LAWS = (
    "seasonal rate 100, 50 %",
    "seasonal latency, AR 0.5",
    "weekly rate, weekend at half",
    "normal",
)
WATCHED = 240
"""Windows after a drop."""


@dataclass
class Incidents:
    """Holds rows from an alarm until 30 windows without anything loud, or 720: the new normal."""

    bank: ChangeBank
    series: int
    until: NDArray[np.int64] = field(init=False)
    since: NDArray[np.int64] = field(init=False)
    held: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.until = np.zeros(self.series, dtype=np.int64)
        self.since = np.zeros(self.series, dtype=np.int64)
        self.held = np.zeros(self.series, dtype=np.bool_)

    def window(self, t: int, points: Points) -> NDArray[np.bool_]:
        """Judge and learn one window; the alarms."""
        rows = np.arange(self.series)
        scores = self.bank.score(rows, points)
        self.bank.learn(rows[~self.held & ~scores.alarm], points)
        self.until[scores.alarm | scores.loud] = t + 30
        self.since[scores.alarm] = t
        if self.held.any():
            long = self.held & (t - self.since >= 720)
            over = self.held & (self.until <= t) & ~long
            self.bank.release(rows[over], chance=True)
            self.bank.release(rows[long], adopt=True)
            self.held &= ~(over | long)
        if scores.alarm.any():
            self.bank.hold(rows[scores.alarm])
            self.held |= scores.alarm
        return scores.alarm


def points_at(t: int, value: Array, weight: float) -> Points:
    """Windows of a minute from a Monday on."""
    return Points(MONDAY + t * MINUTE, MINUTE, value, np.full(len(value), weight))


def days_of(law: Law, series: int, days: int, seed: int) -> Iterator[tuple[Array, float]]:
    """Values of each day, shape ``(1440, series)``, and their weight."""
    rng = np.random.default_rng(seed)
    shape = law.shape(rng, series)
    for day in range(days):
        yield law.draw(rng, shape(day + np.arange(DAY)[:, None] / DAY))


def learnt(
    law: Law, series: int, days: int, share: float, *, pool: bool, seed: int
) -> tuple[ChangeBank, NDArray[np.int64]]:
    """The bank after some days, and the false alarms of each."""
    bank = ChangeBank(law.kind, pool=pool)
    bank.grow(series)
    incidents = Incidents(bank, series)
    alarms = np.zeros(days, dtype=np.int64)
    for day, (values, weight) in enumerate(days_of(law, series, days, seed)):
        for minute, value in enumerate(values):
            t = day * DAY + minute
            if t % 60 == 0 and (t < DAY or t % 240 == 0):
                bank.refresh(share)
            told = incidents.window(t, points_at(t, value, weight))
            if t >= FIRST:
                alarms[day] += told.sum()
    return bank, alarms


def spent(alarms: NDArray[np.int64], promised_a_week: float) -> list[str]:
    """Realised over promised by period, as far as the days go."""
    cells = []
    for first, last in PERIODS.values():
        if last <= len(alarms):
            days = last - first - (FIRST / DAY if first == 0 else 0)
            cells.append(f"{alarms[first:last].sum() / (promised_a_week * days / 7):.2f}")
        else:
            cells.append("-")
    return cells


def table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def own_budgets(laws: dict[str, Law], series: int, most_days: int) -> str:
    """Series on their own, one alarm a week promised to each."""
    rows = []
    for name, law in laws.items():
        days = min(law.days, most_days)
        _, alarms = learnt(law, series, days, alarms_per_window(1.0, 1, MINUTE), pool=False, seed=1)
        rows.append([name, *spent(alarms, series)])
    return table(["law", *PERIODS], rows)


def pooled_budget(laws: dict[str, Law], series: int, days: int) -> str:
    """One pipeline, half an alarm a week promised for each of its series."""
    rows = []
    for name, law in laws.items():
        share = alarms_per_window(series / 2, series, MINUTE)
        _, alarms = learnt(law, series, days, share, pool=True, seed=2)
        rows.append([name, *spent(alarms, series / 2)[:2]])
    return table(["law", *list(PERIODS)[:2]], rows)


def delay(bank: ChangeBank, values: Array, weight: float, begins: NDArray[np.int64], *, day: int) -> Array:
    """Windows from the start of each row's fault, on a day, to its first alarm after it; NaN for none."""
    series = values.shape[1]
    incidents = Incidents(bank, series)
    delays = np.full(series, np.nan)
    for minute, value in enumerate(values):
        t = day * DAY + minute
        told = incidents.window(t, points_at(t, value, weight))
        fresh = told & np.isnan(delays) & (minute >= begins)
        delays[fresh] = (minute - begins + 1)[fresh]
    return delays


def faults(
    law: Law, series: int, seed: int, *, day: int
) -> Iterator[tuple[str, Array, float, NDArray[np.int64]]]:
    """Values of the day of each fault, their weight, and in which window it begins for each series."""
    rng = np.random.default_rng(seed)
    shape = law.shape(rng, series)
    factor = shape(day + np.arange(DAY)[:, None] / DAY)
    for drop in DROPS:
        values, weight = law.draw(rng, factor[:WATCHED] * (1 - drop))
        yield f"drop of {drop:.0%}", values, weight, np.zeros(series, dtype=np.int64)
    # What comes rises above the cap at another time in each series.
    values, weight = law.draw(rng, np.minimum(factor, 1.0))
    above = factor > 1.0
    rises = np.where(above.any(axis=0) & ~above[0], above.argmax(axis=0), DAY)
    yield "throttled to the mean", values, weight, rises


def delays(series: int, days: int) -> str:
    """Faults of a rate of 100 with a season that was learnt for some days."""
    rows = []
    for name in ("seasonal rate 100, 50 %", "weekly rate, weekend at half"):
        law = LAWS[name]
        bank, _ = learnt(law, series, days, alarms_per_window(1.0, 1, MINUTE), pool=False, seed=3)
        saved = bank.snapshot()
        for fault, values, weight, begins in faults(law, series, 3, day=days):
            built = ChangeDetector().build(law.kind, saved)
            told = delay(built, values, weight, begins, day=days)[begins < DAY]
            found = told[~np.isnan(told)]
            middle = "-" if 2 * len(found) < len(told) else f"{np.median(found):.0f}"
            mean = f"{found.mean():.1f}" if len(found) else "-"
            rows.append([name, fault, middle, mean, f"{len(found) / max(len(told), 1):.0%}"])
    return table(["law", "fault", "median", "mean of the found", "found"], rows)


def section(*, quick: bool = False) -> str:
    """The part of ``docs/detection.md`` on seasons."""
    laws = {name: LAWS[name] for name in QUICK_LAWS} if quick else LAWS
    series, most_days, pool, pool_days, learnt_days = (
        (22, 7, 22, 1, 3) if quick else (176, 28, 352, 7, LEARNT)
    )
    parts = [
        HEAD.format(series=series),
        own_budgets(laws, series, most_days),
        POOLED,
        pooled_budget(laws, pool, pool_days),
        LATE.format(day=learnt_days + 1),
        delays(series, learnt_days),
        MISSED,
    ]
    return "\n\n".join(parts) + "\n"


HEAD = f"""## Seasons

False alarms realised over promised, by day: one a week is promised to each series, {{series}} series a law,
windows of a minute, counted from window {FIRST}. The limit is 0.5 to 2. Laws with a week are run for four
weeks, the others for two. Command: `python -m tests.benchmarks.detection.season` (about eight minutes of one
processor)."""

POOLED = (
    "The same for one pipeline that learns tails from all its series, promised half an alarm a week for each."
)

LATE = f"""Windows until a fault on day {{day}} is told. A drop begins at midnight UTC and is watched for
{WATCHED} windows; a source that lets through its mean rate and no more is watched for a day, and counted from
when more would come."""

MISSED = """Missed: the first weekend of a series that has one costs an alarm or two, since nothing told
of it. A holiday costs about one alarm, after which the day is taken for the weekday it is like; what it did
hardly counts. The edges of the week are blurred by its grain of an hour: a weekend
that begins and ends within two hours goes on to cost four alarms a week."""


if __name__ == "__main__":
    print(section(quick="--quick" in sys.argv), end="")
