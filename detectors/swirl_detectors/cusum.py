"""Ten CUSUMs in nats: five tilts, each up and down, over standardised points.

``C <- max(0, C + tilt z - cost)`` with ``cost`` the cumulant function of z at the tilt, so that ``E exp(tilt
z - cost)`` is 1, C is a log likelihood ratio and an excursion exceeds h with probability near ``exp(-h)`` on
every channel (E. Page, 1954; D. Siegmund, "Sequential Analysis", 1985). A small tilt sees a small lasting
shift best, a large one a large sudden shift. z is clipped on each channel, and on the last one it grows like
a logarithm beyond the clip, which makes a power tail exponential.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swirl.budget import SECOND_FLOOR, Tails
from swirl.detector import Kind
from swirl_detectors.state import CHANNELS, SIDES, TILTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swirl_detectors.state import Array, Mask, Sides, State
    from swirl_detectors.step import Step

__all__ = [
    "EXTRA",
    "Verdict",
    "bounds",
    "count_excursions",
    "judge",
    "overlap",
    "set_tilts",
    "settle",
    "suspend",
    "tails",
    "wake",
]

EXTRA = 12.0
"""Nats that an alarm takes on top before the warm-up is over."""

_OVERLAP, _APART = 0.6, 0.06
_OFTEN = 1e-4

_SIGMAS = np.array([[0.25], [0.5], [1.0], [2.0], [4.0]])
_CLIPS = np.array([[6.0], [5.0], [4.0], [4.0], [4.0]])
_CAUTIOUS = np.array([[1.0], [1.0], [1.0], [0.5], [0.0]] * 2)
"""The fast channels are kept while a rhythm is not known."""
_SLOW = np.array([[0], [1], [TILTS], [TILTS + 1]])
"""These channels raise no alarm until a rhythm is known, or that there is none: before, a season and a slow
fault cannot be told apart. Their tails are learnt from the start."""
_SPARED = float(np.log(CHANNELS / (CHANNELS - len(_SLOW))))
"""Nats by which the others may alarm sooner as long as these do not spend their part of the budget."""
_FLOOR = 2.0
_SUSPECT = 3.0
"""Nats by which a series is believed to share the incident of its pool."""
_STEEPEST = 0.69
"""No tilt makes a point more than 16-fold as likely where the law is skewed."""


def overlap(alarms: float) -> float:
    """Alarms that the channels raise together for each one that all of them would raise alone.

    They see the same points, but the rarer alarms are, the seldomer two channels raise the same one.

    Args:
        alarms: allowed per series and window.

    Example:
        >>> [round(overlap(alarms), 2) for alarms in (1e-2, 1e-4, 5e-6, 2e-7)]
        [0.32, 0.6, 0.78, 0.97]
    """
    return float(np.clip(_OVERLAP + _APART * np.log(_OFTEN / alarms), 0.3, 1.0))


def set_tilts(kind: Kind, state: State, model_skew: Array) -> None:
    """Set tilts, costs, clips and floors from the skewness of z, that of the model until there is more."""
    counted = kind in (Kind.RATIO, Kind.RATE)
    state.model_skew[:] = model_skew
    worth = 500.0 if counted else 100.0
    skew = (state.cubes + worth * model_skew) / (state.cube_points + worth)
    shrink = np.minimum(_STEEPEST / np.maximum(np.abs(skew), 1e-9), 1.0)
    tilt = _SIGMAS * shrink
    state.tilt[:] = tilt
    state.clip[:] = _CLIPS / shrink
    both = np.concatenate((tilt, -tilt))
    x = both * skew
    square = np.where(np.abs(skew) < 1e-3, 1.0, skew * skew)
    small = (np.abs(x) < 1e-3) | (np.abs(skew) < 1e-3)
    state.cost[:] = np.where(small, both * both / 2 * (1 + x / 3), (np.expm1(x) - x) / square)
    state.floor[:] = _FLOOR + np.maximum(x, 0.0)


def tails(state: State, *, known_law: bool) -> Tails:
    """What was counted of excursions, for the thresholds.

    Args:
        state: of the series.
        known_law: their far tail is believed to be that of the model until it is learnt.
    """
    tilt = np.concatenate((state.tilt, state.tilt))
    windows = np.repeat(state.watched[None, :], CHANNELS, axis=0)
    prior = np.full((2, CHANNELS, 1), 40.0)
    if not known_law:
        # Nobody knows the far tail of a real value: slope 1/2 until it is known.
        far = [TILTS - 1, CHANNELS - 1]
        prior[0, far], prior[1, far] = 15.0, 30.0
    shape = (2, CHANNELS, tilt.shape[1])
    nominal = _nominal(tilt, state.floor)
    counts, excesses = state.counts.reshape(shape), state.excesses.reshape(shape)
    return Tails(counts, excesses, windows, state.floor, nominal, prior[0], prior[1])


class Verdict:
    """What one pass says of its points, of shape ``(n,)``.

    Attributes:
        evidence: of the strongest channel, as a share of its threshold.
        alarm, loud, accumulated: as in :class:`swirl.detector.Scores`.
        since: start of the window where the excursion began.
    """

    __slots__ = ("accumulated", "alarm", "evidence", "loud", "since")

    def __init__(self, evidence: Array, alarm: Mask, loud: Mask, accumulated: Mask, since: Array) -> None:
        self.evidence = evidence
        self.alarm = alarm
        self.loud = loud
        self.accumulated = accumulated
        self.since = since


def bounds(state: State, step: Step, *, sides: Sides) -> tuple[Array, Array, Array]:
    """Thresholds of the channels now, and the z below and above which the next point raises an alarm.

    Returns:
        Thresholds ``(10, n)``, lower and upper z ``(n,)``, infinite where no single point can raise one.
    """
    asleep = state.seasoned == 0
    more = np.where(step.ready, 0.0, EXTRA) - np.where(asleep, _SPARED, 0.0)
    limit = state.limit + more + _CAUTIOUS * step.caution
    need = limit + state.cost - state.evidence
    out = np.empty_like(need)
    for part in (slice(0, TILTS), slice(TILTS, CHANNELS)):
        sigmas = need[part] / state.tilt
        ends = np.where(sigmas > state.clip, np.inf, sigmas)
        clip = state.clip[-1]
        beyond = np.expm1(2 * np.minimum(np.maximum(sigmas[-1] / clip - 1, 0.0), 300.0)) / 2
        ends[-1] = np.where(sigmas[-1] > clip, clip * (1 + beyond), sigmas[-1])
        out[part] = ends
    if asleep.any():
        out[_SLOW, np.flatnonzero(asleep)] = np.inf
    for side in _unseen(sides):
        out[side] = np.inf
    up = np.maximum(out[:TILTS].min(axis=0), 0.0)
    down = -np.maximum(out[TILTS:].min(axis=0), 0.0)
    return limit, down, up


def _unseen(sides: Sides) -> list[slice]:
    """The channels that do not look."""
    return [] if sides == "both" else [SIDES["down" if sides == "up" else "up"]]


def _gains(state: State, step: Step, *, sides: Sides) -> Array:
    """Nats that the points add to each channel, shape ``(10, n)``."""
    tilted = _tilted(state, step.z_up)
    gains = np.empty_like(state.evidence)
    np.subtract(tilted, state.cost[:TILTS], out=gains[:TILTS])
    if step.z_down is not step.z_up:
        tilted = _tilted(state, step.z_down)
    np.subtract(-tilted, state.cost[TILTS:], out=gains[TILTS:])
    for side in _unseen(sides):
        gains[side] = -1e9
    return gains


def _tilted(state: State, z: Array) -> Array:
    """The points as each tilt takes them, times the tilt, shape ``(5, n)``."""
    clip = state.clip
    clipped = np.minimum(np.maximum(z, -clip), clip)
    far = np.abs(z) > clip[-1]
    if far.any():
        grown = clip[-1] * (1 + 0.5 * np.log1p(np.maximum(np.abs(z) / clip[-1] - 1, 0.0) * 2))
        clipped[-1] = np.where(far, np.copysign(grown, z), clipped[-1])
    clipped *= state.tilt
    return np.asarray(clipped)


def judge(state: State, step: Step, limit: Array, start_ms: int, *, sides: Sides) -> Verdict:
    """Move the channels on by one point and say what they think.

    Fills in ``step.excess``, ``step.quiet``, ``step.suspect`` and ``step.alarm``. Channels of a series that
    is held are loud beyond half of their threshold and begin anew; all channels of a series begin anew after
    its alarm.
    """
    gains = _gains(state, step, sides=sides)
    state.cut_by[state.held == 0] = 0.0
    before = state.evidence
    began = before <= 0
    now = np.maximum(before + gains, 0.0)
    state.onset[:] = np.where(began, float(start_ms), state.onset)
    step.quiet = state.troubled < start_ms
    chance = state.onset > state.troubled
    held = state.held > 0
    asleep = np.flatnonzero(state.seasoned == 0)
    if asleep.size:
        _dream(state, now, limit, asleep)
    awake = now
    if asleep.size:
        awake = now.copy()
        awake[_SLOW, asleep] = 0.0
    share = awake / limit
    n = len(step.z)
    strongest = share.argmax(axis=0)
    columns = np.arange(n)
    evidence = share[strongest, columns]
    ended = np.where(now > 0, 0.0, state.peak - state.floor)
    step.excess = np.maximum(ended, 0.0) * chance
    peak = np.where(now > 0, np.maximum(state.peak, now), 0.0)
    loud: Mask = np.zeros(n, dtype=np.bool_)
    if held.any():
        beyond = (awake > state.limit / 2) & held
        loud = np.asarray(beyond.any(axis=0))
        now[beyond] = 0.0
        peak[:, held] = 0.0
        step.excess[:, held] = 0.0
    over = awake - limit
    alarm = (over.max(axis=0) > 0) & ~held
    state.evidence[:] = now
    state.peak[:] = peak
    accumulated = np.zeros(n, dtype=np.bool_)
    since = np.where(evidence > 0, state.onset[strongest, columns], float(start_ms))
    step.alarm = alarm
    # One whose rhythm is not known has to be followed.
    step.suspect = ~step.quiet & (state.seasoned > 0)
    if step.suspect.any():
        step.suspect &= now.max(axis=0) > _SUSPECT
    if alarm.any():
        at = np.flatnonzero(alarm)
        hit = over[:, at].argmax(axis=0)
        accumulated[at] = gains[hit, at] < limit[hit, at] / 2
        since[at] = state.onset[hit, at]
        _spend(state, step, at, hit)
    return Verdict(evidence, alarm, loud, accumulated, since)


def _dream(state: State, now: Array, limit: Array, asleep: NDArray[np.intp]) -> None:
    """Slow channels that may not raise an alarm yet begin anew where they would have: it counts as one."""
    part = _SLOW, asleep
    would = (now[part] > limit[part]) & (state.held[asleep] == 0)
    if would.any():
        chance = state.onset[part] > state.troubled[asleep]
        excess = np.maximum(now[part], state.peak[part]) - state.floor[part]
        excess = np.where(would & chance, excess, 0.0)
        for tier, above in ((0, excess), (CHANNELS, np.maximum(excess - SECOND_FLOOR, 0.0))):
            state.excesses[tier + _SLOW, asleep] += above
        state.peak[part] = np.where(would, 0.0, state.peak[part])
    now[part] = np.where(would | (state.held[asleep] > 0), 0.0, now[part])


def wake(state: State, rows: NDArray[np.intp]) -> None:
    """The season of the rows is known: their slow channels begin, without what they saw before.

    Where the season was slow in coming, its memory held the slow channels down: their tails are the model's.
    """
    state.evidence[_SLOW, rows] = 0.0
    state.peak[_SLOW, rows] = 0.0
    held_down = rows[state.restless[rows] == 1]
    if held_down.size:
        tilt = state.tilt[_SLOW[:, 0] % TILTS][:, held_down]
        floor = state.floor[_SLOW, held_down]
        nominal = _nominal(tilt, floor) * state.watched[held_down]
        for tier, part in ((0, 1.0), (CHANNELS, np.exp(-SECOND_FLOOR))):
            state.counts[tier + _SLOW, held_down] = part * nominal
            state.excesses[tier + _SLOW, held_down] = part * nominal


def _nominal(tilt: Array, floor: Array) -> Array:
    """Excursions over the floor a window by the model."""
    return np.asarray(tilt**2 / 2 * np.exp(-1.166 * tilt - floor))


def _spend(state: State, step: Step, at: NDArray[np.intp], hit: NDArray[np.intp]) -> None:
    """Count an alarm: its channel's excursion was cut off, and so adds excess and no count."""
    excess = np.maximum(state.peak[:, at] - state.floor[:, at], step.excess[:, at])
    state.cut[:, at] = np.maximum(excess, 0.0) * (state.onset[:, at] > state.troubled[at])
    state.cut_by[at] = hit + 1
    _count_cut(state, at, 1)
    state.watched[at] += step.quiet[at]
    state.evidence[:, at] = 0.0
    state.peak[:, at] = 0.0


def _count_cut(state: State, at: NDArray[np.intp], times: int) -> None:
    """Take what alarms cut off into the tails, or out of them again where ``times`` is -1."""
    excess = state.cut[:, at]
    seen = np.full_like(excess, times)
    seen[np.abs(state.cut_by[at]).astype(np.intp) - 1, np.arange(len(at))] = 0.0
    second = np.maximum(excess - SECOND_FLOOR, 0.0)
    state.counts[:CHANNELS, at] += (excess > 0) * seen
    state.counts[CHANNELS:, at] += (second > 0) * seen
    state.excesses[:CHANNELS, at] += times * excess
    state.excesses[CHANNELS:, at] += times * second


def suspend(state: State, rows: NDArray[np.intp]) -> None:
    """The alarms of the last point, if these rows had one, may be real: the tails of chance wait."""
    at = rows[state.cut_by[rows] > 0]
    _count_cut(state, at, -1)
    state.cut_by[at] *= -1


def settle(state: State, rows: NDArray[np.intp], *, chance: bool) -> None:
    """It is known whether those alarms were chance."""
    if chance:
        _count_cut(state, rows[state.cut_by[rows] < 0], 1)
    state.cut_by[rows] = 0.0


def count_excursions(state: State, step: Step) -> None:
    """Take the excursions that ended with the points of the last step into the tails."""
    excess = step.excess
    second = np.maximum(excess - SECOND_FLOOR, 0.0)
    state.counts[:CHANNELS] += excess > 0
    state.counts[CHANNELS:] += second > 0
    state.excesses[:CHANNELS] += excess
    state.excesses[CHANNELS:] += second
    state.watched += step.quiet
