"""How long a stage should have taken per record, given its load."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from swirl.residual.counts import LEAST_WINDOWS, MOST, is_timed, thinness, total

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swirl.history import History, StageCounts, WindowCounts
    from swirl.residual.counts import Numbers

__all__ = ["LoadModel", "fit_load", "fit_load_to"]

_LOAD_CLIP = 0.3
"""The load explains latency up to 30 % beyond its usual value; further out the slope is not known."""


class LoadModel(msgspec.Struct, frozen=True):
    """Time per record of a stage, given its load.

    Attributes:
        stage: the stage.
        slope: ln latency per ln load, in [0, 2].
        load: ln of the usual records a window.
        centre: ln of the usual latency, seconds, at the usual load.
        sd: standard deviation of the residual.
        usual: mean records of a baseline window.
        emitters: the usual number of them, 0 where they were not counted. More of them share the load.
    """

    stage: str
    slope: float
    load: float
    centre: float
    sd: float
    usual: float
    emitters: float = 0.0

    def residual(self, now: WindowCounts) -> tuple[float, float] | None:
        """What the load leaves of ln latency, and its standard deviation; None where nothing was measured."""
        counts = total(now, self.stage)
        if not is_timed(counts):
            return None
        known = now.known.get(self.stage, 0)
        shared = known / self.emitters if known and self.emitters else 1.0
        value = self.judge(counts.records, counts.latency, shared)
        return float(value), sqrt(self.sd**2 + float(self.widening(counts.records, value, shared)))

    def judge(self, records: Numbers, latency: Numbers, shared: Numbers = 1.0) -> Numbers:
        """What the load leaves of ln latency; elementwise.

        Args:
            records: in the window.
            latency: the usual time per record, seconds.
            shared: emitters, as a multiple of the usual number.
        """
        load = np.log(np.divide(records, shared) + 0.5) - self.load
        found: Numbers = np.log(latency) - self.slope * np.clip(load, -_LOAD_CLIP, _LOAD_CLIP) - self.centre
        return found

    def widening(self, records: Numbers, value: Numbers, shared: Numbers = 1.0) -> Numbers:
        """Variance beyond that of an ordinary window: few records, or a load that history does not know.

        Less load than ever cannot explain that a stage became slower, so there the law is nearly kept.
        """
        load = np.log(np.divide(records, shared) + 0.5) - self.load
        doubt = np.where(load > 0, 1.5, np.where(np.less(value, 0), 0.5, 0.1))
        strange = np.maximum(np.abs(load) - 0.1, 0.0) * doubt
        found: Numbers = self.sd**2 * thinness(self.usual, records) + strange * strange
        return found


def fit_load(history: History, stage: str) -> LoadModel | None:
    """The model of a stage's latency from the baseline windows of a history; None if they are too few."""
    base = [w for w in history.windows if w.normal and w.whole]
    model = fit_load_to(stage, [total(w, stage) for w in base])
    if model is None:
        return None
    return msgspec.structs.replace(model, emitters=float(np.median([w.known.get(stage, 0) for w in base])))


def fit_load_to(stage: str, baseline: Sequence[StageCounts]) -> LoadModel | None:
    """The same from the counts of baseline windows."""
    timed = [(min(c.records, MOST), c.latency) for c in baseline if is_timed(c)]
    if len(timed) < LEAST_WINDOWS:
        return None
    records, latency = np.array(timed, dtype=np.float64).T
    load, y = np.log(records + 0.5), np.log(latency)
    usual = float(np.median(load))
    x = load - usual
    spread = x - x.mean()
    variance = float(np.sum(spread * spread))
    slope = 0.0
    if len(timed) > 20 and variance > 1e-9 * len(timed):
        slope = min(max(float(np.sum(spread * (y - y.mean()))) / variance, 0.0), 2.0)
    rest = y - slope * np.clip(x, -_LOAD_CLIP, _LOAD_CLIP)
    centre = float(np.median(rest))
    sd = max(float(np.std(np.clip(rest - centre, -1, 1))), 0.02)
    return LoadModel(stage, slope, usual, centre, sd, float(records.mean()))
