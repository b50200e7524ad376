"""What a season costs the false-alarm budget and the delay, day by day."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from swirl.budget import alarms_per_window
from swirl.detector import Points
from swirl_detectors.change import ChangeBank
from tests.benchmarks.detection.season_laws import DAY, LAWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tests.benchmarks.detection.season_laws import Law

__all__ = ["section"]

MINUTE = 60_000
MONDAY = 4 * DAY * MINUTE
FIRST = 300
"""Windows that are not counted: the warm-up and what is learnt right after it."""

PERIODS = {
    "day 1": (FIRST, DAY),
    "rest of week 1": (DAY, 7 * DAY),
    "week 2": (7 * DAY, 14 * DAY),
    "weeks 3, 4": (14 * DAY, 28 * DAY),
}


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


def windows(law: Law, series: int, days: int, seed: int) -> Iterator[Points]:
    """Windows of a minute from a Monday on."""
    rng = np.random.default_rng(seed)
    shape = law.shape(rng, series)
    for day in range(days):
        at = day + np.arange(DAY)[:, None] / DAY
        values, weight = law.draw(rng, shape(at))
        weights = np.full(series, weight)
        for window, value in enumerate(values):
            yield Points(MONDAY + (day * DAY + window) * MINUTE, MINUTE, value, weights)


def alarms_by_day(law: Law, series: int, days: int, *, seed: int = 1) -> NDArray[np.int64]:
    """False alarms of each day of series on their own, one a week promised to each."""
    share = alarms_per_window(1.0, 1, MINUTE)
    bank = ChangeBank(law.kind, pool=False)
    bank.grow(series)
    incidents = Incidents(bank, series)
    alarms = np.zeros(days, dtype=np.int64)
    for t, points in enumerate(windows(law, series, days, seed)):
        if t % 60 == 0 and (t < DAY or t % 240 == 0):
            bank.refresh(share)
        told = incidents.window(t, points)
        if t >= FIRST:
            alarms[t // DAY] += told.sum()
    return alarms
