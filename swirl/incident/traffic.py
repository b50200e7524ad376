"""The input of sources: judged by the factor on it, not by how surprising it is."""

from __future__ import annotations

from math import exp, hypot, log, pi, sqrt
from typing import TYPE_CHECKING

import numpy as np

from swirl.incident.causes import FACTORS, UNTOUCHED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from swirl.incident.residuals import Residuals
    from swirl.incident.series import Level

__all__ = ["RHYTHM", "SourceInput", "density", "nats_of_rhythm"]

RHYTHM = 0.35
"""Standard deviation of ln traffic by its rhythm, while no season is known."""

SOURCE_ERROR = 0.05
"""How well sources agree on a common factor, and traffic with what it was before."""

_SHARES = (0.4, 0.4, 0.2)
"""Where the number of processes changed, the chance that traffic stays (they share one source), follows (each
has its own), and lies between."""

_FOLLOWS = 0.05
"""How well traffic follows the number of processes, as a standard deviation of its logarithm."""

_CHANGED = 0.05
_SPIKE = 6.0
"""Width of the spikes of a series that has them, in its own sigmas."""


def density(x: float, sd: float) -> float:
    """Of a normal law about zero."""
    return exp(-0.5 * (x / sd) ** 2) / (sd * sqrt(2 * pi))


class SourceInput:
    """The input of one source in the evidence.

    Args:
        level: ln of its records by window.
        processes: ln of the number of its emitters by window, as a multiple of the usual one.

    Attributes:
        x: ln of the factor on its usual input.
        sd: standard deviation of that.
        forecast_error: standard deviation of the ln forecast, 0 where there is none.
        scaled: ln of the factor on the number of its emitters in the same windows.
        nothing: ln likelihood of "not touched", which lets traffic follow the number of processes.
    """

    def __init__(self, level: Level, processes: NDArray[np.float64]) -> None:
        settled = _settled(level)
        x = level.change(settled, beside=level.spikes > 0)
        windows = max(int(np.isfinite(level.x[level.span.first : level.span.stop]).sum()), 1)
        thin = exp(-max(level.centre + x, 0.0)) * 0.3
        self.level = level
        self.x = x
        # A forecast errs by the same in all windows of the evidence.
        self.forecast_error = sqrt(float(level.widen[level.span.first : level.span.stop].mean()))
        self.sd = sqrt(level.error(windows) ** 2 + thin + self.forecast_error**2)
        self.scaled = float(processes[settled : level.span.stop].mean())
        self.nothing = self.nats(self._as_processes())

    @staticmethod
    def nats(density: float) -> float:
        """The ln likelihood, bounded by what an untouched series may do."""
        return log((1 - UNTOUCHED) * density + UNTOUCHED / 10)

    def _as_processes(self) -> float:
        share = self.level.spikes if self.level.span.windows == 1 else 0.0
        stays = (1 - share) * density(self.x, self.sd) + share * density(self.x, _SPIKE * self.sd)
        if abs(self.scaled) < _CHANGED:
            return stays
        sd = hypot(self.sd, _FOLLOWS)
        between = sum(density(self.x - self.scaled * step / 19, sd) for step in range(20)) / 20
        parts = (stays, density(self.x - self.scaled, sd), between)
        return sum(share * part for share, part in zip(_SHARES, parts, strict=True))

    def gain(self, factors: str) -> float:
        """Of a range of factors, each as likely in logarithms."""
        low, high = FACTORS[factors]
        sd = hypot(self.sd, (high - low) / 60)
        x = max(self.x, -7.0)
        grid = [low + (high - low) * step / 59 for step in range(60)]
        nats = self.nats(sum(density(x - y, sd) for y in grid) / 60) - self.nothing
        # Late records may be as many as ever.
        return log(0.5 * exp(nats) + 0.5) if factors == "late" else nats

    def gain_of_before(self, residuals: Residuals) -> float:
        """Nats for "the traffic is where it was within the kept history": after a surge, say."""
        first = residuals.span.first
        known = np.array([w.normal and w.whole for w in residuals.windows[:first]], dtype=np.bool_)
        levels = self.level.x[:first][known] - self.level.centre
        levels = levels[np.isfinite(levels)]
        if not len(levels):
            return 0.0
        sd = hypot(self.sd, SOURCE_ERROR)
        each = np.exp(-0.5 * ((self.x - levels) / sd) ** 2) / (sd * sqrt(2 * pi))
        return self.nats(float(each.mean())) - self.nothing


def _settled(level: Level) -> int:
    """The first window of the evidence from which a factor can be told: faults begin within windows."""
    first, span = level.span.first, level.span
    if span.windows < 2:
        return first
    change, rest = float(level.x[first]) - level.centre, level.change(first + 1)
    partly = change * rest > 0 and abs(change) < abs(rest)
    return first + 1 if partly else first


def nats_of_rhythm(inputs: Sequence[SourceInput], sd: float = RHYTHM) -> float:
    """Nats for "all sources move by one common factor", as large as a rhythm or the error of its forecast."""
    spread = hypot(max(i.sd for i in inputs), SOURCE_ERROR)
    grid = [2.6 * sd * (step / 30 - 1) for step in range(61)]
    prior = [density(c, sd) for c in grid]
    likelihood = 0.0
    for c, p in zip(grid, prior, strict=True):
        together = p
        for i in inputs:
            together *= density(i.x - c, spread)
        likelihood += together
    return log(likelihood / sum(prior) + 1e-12) - sum(i.nothing for i in inputs)
