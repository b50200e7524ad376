"""What is worked out of a window before it is known whether it is normal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from swirl_detectors.state import Array, Mask

__all__ = ["Step"]


class Step:
    """What one pass worked out of its points, needed to learn them; shapes ``(n,)`` and ``(., n)``.

    Attributes:
        value: y: k/n, the count, the value, or its logarithm.
        size: of the point: n - 1, the expected count, or 0.
        day, week: what time of day adds to the level, and what the week adds to that; 0 where not known.
        forecast: of the value, without the memory.
        deviation: standard deviation of the value about it.
        lift: what the season adds to the forecast, in deviations; 0 where no series knows one.
        dispersion: variance against the binomial or Poisson one.
        worth: in the mean: n / dispersion, or 1.
        remembered: forecast of the residual from the lags.
        trust: in that forecast, from 0 to 1: what it was worth so far.
        lagged: the part of it that is used.
        spread: standard deviation at the forecast against that at the level.
        leverage: x' P x of the lags.
        slopes: P x.
        level_unknown: variance of the level, against that of a point.
        error2: variance of the innovation, with that of the forecast itself.
        z: standard normal under no change; 0 while nothing can be said.
        z_up, z_down: what speaks for a rise, and against a fall, where there is doubt about the season.
        share: expected p, or count (RATIO and RATE).
        kept: the residual, bounded, as the memory takes it.
        any_known: some series has a season.
        ready: the warm-up is over.
        caution: nats on top of the thresholds for slow changes.
        excess: of excursions that ended with this point over their floor, by channel.
        quiet: the pool is not in an incident: what the point does is chance.
        suspect: it is, and this series seems to be part of it.
        alarm: the point raised one.
        odd: the point is too far off to be remembered: in the warm-up, and in an incident.
    """

    value: Array
    count: Array
    size: Array
    day: Array
    week: Array
    kept: Array
    forecast: Array
    lift: Array
    deviation: Array
    dispersion: Array
    worth: Array
    residual: Array
    lagged: Array
    spread: Array
    leverage: Array
    slopes: Array
    remembered: Array
    trust: Array
    level_unknown: Array
    error2: Array
    z: Array
    z_up: Array
    z_down: Array
    share: Array
    ready: Mask
    caution: Array
    excess: Array
    quiet: Mask
    suspect: Mask
    alarm: Mask
    odd: Mask
    any_known: bool

    __slots__ = tuple(__annotations__)

    def take(self, positions: NDArray[np.intp]) -> Step:
        """The same for some of the points."""
        part = Step()
        for name in self.__slots__:
            mine = getattr(self, name)
            setattr(part, name, mine if isinstance(mine, bool) else mine[..., positions])
        return part
