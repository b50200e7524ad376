"""A thousand series side by side: a pass over arrays that fit the processor's cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swirl.budget import remembered
from swirl.detector import Kind
from swirl_detectors import cusum, daytype, whiten
from swirl_detectors.dispersion import COUNTED, nominal_skew
from swirl_detectors.learning import learn
from swirl_detectors.outlook import outlook
from swirl_detectors.profile import Profile
from swirl_detectors.rhythm import shift
from swirl_detectors.season import bins_a_day, caution, settled
from swirl_detectors.state import BINS, State, new_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swirl_detectors.state import Array, Mask, Sides
    from swirl_detectors.step import Step

    Columns = tuple[Array, Array, Array, Array, Mask, Mask, Mask, NDArray[np.int64], Mask]
    """Evidence, expected, low, high, alarm, loud, accumulated, since, learning: the fields of Scores in their
    order."""

__all__ = ["SIZE", "Page"]

SIZE = 1024
"""Series on a page."""

_EXPECTED_EVENTS = 20.0
_ODD = 5.0
_RECENT = 20.0
_YOUNG = 120
_EVERY = 8
_ADOPTED = 10.0
_ADOPTED_SPREAD = 60.0
_LONGEST = 1440.0
"""Windows of trouble, less those without it, after which it is taken for the way the pool is."""


class Page:
    """State of some series and the pass over it.

    Args:
        kind: of the series.
        warm_up: points before which only overwhelming evidence raises an alarm.
        sides: which changes are anomalies.

    Attributes:
        table, state, profile: all that is known of the series.
        parts: of a day, as its windows have it.
    """

    def __init__(self, kind: Kind, warm_up: int, *, sides: Sides) -> None:
        self._kind = kind
        self._warm_up = warm_up
        self._sides = sides
        self.table = new_table(0)
        self.profile = Profile(kind, 0)
        self.state = State(self.table)
        self._step: Step | None = None
        self._scored: NDArray[np.intp] | None = None
        self.parts = BINS

    @property
    def size(self) -> int:
        """How many series there are."""
        return int(self.table.shape[1])

    def grow(self, size: int) -> None:
        """Make room for so many series."""
        new = size - self.size
        fresh = new_table(new)
        cusum.set_tilts(self._kind, State(fresh), np.zeros(new))
        self.profile.grow(new)
        self.put(np.concatenate((self.table, fresh), axis=1))

    def put(self, table: Array) -> None:
        """Take state over."""
        self.table, self.state = table, State(table)
        self.forget_pass()

    def forget_pass(self) -> None:
        """Nothing was measured: there is nothing to learn."""
        self._step = self._scored = None

    def score(
        self, rows: NDArray[np.intp] | None, value: Array, weight: Array, start_ms: int, window_ms: int
    ) -> Columns:
        """Judge measured points of some rows, or of all rows in order."""
        if rows is None:
            columns = self._score(self.state, slice(None), value, weight, start_ms, window_ms)
        else:
            table = np.take(self.table, rows, axis=1)
            columns = self._score(State(table), rows, value, weight, start_ms, window_ms)
            self.table[:, rows] = table
        self._scored = rows
        return columns

    def _score(
        self,
        state: State,
        rows: NDArray[np.intp] | slice,
        value: Array,
        weight: Array,
        start_ms: int,
        window_ms: int,
    ) -> Columns:
        kind = self._kind
        parts = self.parts = bins_a_day(window_ms)
        daytype.turn(self.profile, state, rows, start_ms, parts)
        season = self.profile.now(state, rows, start_ms, window_ms)
        step = self._step = whiten.whiten(kind, state, value, weight, season)
        step.ready = ready = self._ready(state, step)
        step.caution = caution(state, parts)
        # Before the warm-up is over what is far off would be most of what is known; in an incident it is the
        # fault.
        step.odd = (~ready | (state.held > 0)) & (np.abs(step.z) > _ODD + 3 * np.abs(state.model_skew))
        limit, down, up = cusum.bounds(state, step, sides=self._sides)
        ends = whiten.to_value(kind, state, step, np.array((np.zeros_like(up), down, up)))
        judged = state.points >= whiten.FIRST
        expected, low, high = self._band(ends, state.points > 0, judged)
        state.bin_seen += 1
        verdict = cusum.judge(state, step, limit, start_ms, sides=self._sides)
        whiten.remember(state, step)
        self._follow(state, step)
        since = verdict.since.astype(np.int64)
        return (
            verdict.evidence,
            expected,
            low,
            high,
            verdict.alarm,
            verdict.loud,
            verdict.accumulated,
            since,
            ~step.ready,
        )

    def _ready(self, state: State, step: Step) -> Mask:
        ready = state.points >= self._warm_up
        if self._kind is Kind.RATIO:
            ready &= state.weight * step.share * (1 - step.share) >= _EXPECTED_EVENTS
        elif self._kind is Kind.RATE:
            ready &= state.weight * step.share / step.dispersion >= _EXPECTED_EVENTS
        return ready

    def _band(self, ends: Array, begun: Mask, judged: Mask) -> Array:
        """Expected, low and high: NaN where there is none, the end of the scale where the scale has one."""
        least = np.nan if self._kind is Kind.LEVEL else 0.0
        most = 1.0 if self._kind is Kind.RATIO else np.nan
        ends[0][~begun] = np.nan
        for end, none in ((ends[1], least), (ends[2], most)):
            end[~np.isfinite(end) | (np.abs(end) > 1e120)] = none
            end[~judged] = np.nan
        return ends

    def _follow(self, state: State, step: Step) -> None:
        """Where the series is that are held: the level, should a person call it the new normal."""
        held = state.held > 0
        if held.any():
            count = np.minimum(state.recent_points + 1, _RECENT)
            off = step.value - step.forecast - state.recent
            state.recent += np.where(held, off / count, 0.0)
            square = off * (step.value - step.forecast - state.recent)
            state.recent_square += np.where(held, (square - state.recent_square) / count, 0.0)
            state.recent_points[:] = np.where(held, count, state.recent_points)

    def standardised(self) -> Array:
        """What the last pass made of all rows, NaN where nothing can be said."""
        z = np.full(self.size, np.nan)
        if self._step is not None:
            z[slice(None) if self._scored is None else self._scored] = self._step.z
        z[self.state.points < whiten.FIRST] = np.nan
        return z

    def learn(self, rows: NDArray[np.intp] | None) -> float:
        """Take the points that were last scored as normal, for some rows or for all.

        Rows that were not measured, that raised an alarm, were very odd in the warm-up or seem to be part of
        an incident of their neighbours are left out.

        Returns:
            How many false alarms the thresholds allowed these points to raise.
        """
        step, scored = self._step, self._scored
        if step is None:
            return 0.0
        every = np.arange(self.size)
        left_out = step.alarm | step.odd | step.suspect
        if scored is None:
            if rows is not None:
                wanted = np.zeros(self.size, dtype=np.bool_)
                wanted[rows] = True
                left_out |= ~wanted
            if 2 * int(left_out.sum()) < self.size:
                return self._learn_but(np.flatnonzero(left_out), step)
            scored = every
        rows = every if rows is None else rows
        at = np.minimum(np.searchsorted(scored, rows), len(scored) - 1)
        at = at[(scored[at] == rows) & ~left_out[at]]
        if not at.size:
            return 0.0
        columns = scored[at]
        table = np.take(self.table, columns, axis=1)
        allowed = self._learn(State(table), step.take(at))
        self.table[:, columns] = table
        return allowed

    def _learn_but(self, some: NDArray[np.intp], step: Step) -> float:
        """Learn all rows but some: where these are few, putting them back is less to copy."""
        kept = self.table[:, some]
        allowed = self._learn(self.state, step)
        self.table[:, some] = kept
        return allowed - float((self.state.spends * step.ready)[some].sum())

    def _learn(self, state: State, step: Step) -> float:
        learn(self._kind, state, step)
        cusum.count_excursions(state, step)
        young = state.points <= _YOUNG
        if young.any():
            # Tilts that suit the law matter most while there is little else to go by.
            due = np.flatnonzero(young & (state.points % _EVERY == 0))
            if due.size:
                table = np.take(state.table, due, axis=1)
                self._set_tilts(State(table))
                state.table[:, due] = table
        return float((state.spends * step.ready).sum())

    def _set_tilts(self, state: State) -> None:
        begun = state.points >= whiten.FIRST
        cusum.set_tilts(self._kind, state, np.where(begun, nominal_skew(self._kind, state), 0.0))

    def mark_trouble(self, troubled: Mask, start_ms: int) -> None:
        """Say which rows belong to a pool of which several are in an incident: what they do is not chance.

        Trouble that hardly ends is believed for half of the time at most, so that learning goes on.
        """
        state = self.state
        believed = troubled & (state.trouble < _LONGEST)
        state.trouble += np.where(troubled, believed, -1.0 * (state.trouble > 0))
        state.troubled[believed] = start_ms
        # A clock that went back must not leave the mark in the future.
        state.troubled[state.troubled > start_ms] = -1.0

    def forecast(self, rows: NDArray[np.intp], start_ms: int, window_ms: int) -> tuple[Array, Array]:
        """Expected values by level and season alone, and their standard deviations."""
        state = State(np.take(self.table, rows, axis=1))
        return outlook(self._kind, state, self.profile, rows, start_ms, window_ms)

    def hold(self, rows: NDArray[np.intp]) -> None:
        """The rows are in an incident: what they do now is no excursion under no change."""
        state = self.state
        fresh = rows[state.held[rows] == 0]
        cusum.suspend(state, fresh)
        state.held[fresh] = 1.0
        state.peak[:, fresh] = 0.0
        state.recent[fresh] = 0.0
        state.recent_points[fresh] = 0.0
        state.recent_square[fresh] = 0.0

    def release(self, rows: NDArray[np.intp], *, adopt: bool, chance: bool) -> None:
        """The incident of the rows is over."""
        cusum.settle(self.state, rows, chance=chance)
        if adopt:
            table = np.take(self.table, rows, axis=1)
            state = State(table)
            shift(self.profile, state, rows, self._adopt(state), self.parts)
            self.table[:, rows] = table
        self.state.held[rows] = 0.0

    def _adopt(self, state: State) -> Array:
        """Start from the level of the last windows, and keep of the rest what takes long to learn.

        Returns:
            By how much the level moved.
        """
        moved = state.recent.copy()
        state.level += moved
        if self._kind is Kind.RATIO:
            state.level[:] = np.clip(state.level, 0.0, 1.0)
        elif self._kind is Kind.RATE:
            state.level[:] = np.maximum(state.level, 0.0)
        state.weight *= np.minimum(1.0, _ADOPTED / np.maximum(state.points, 1.0))
        state.points[:] = np.minimum(state.points, _ADOPTED)
        state.spread *= np.minimum(1.0, _ADOPTED_SPREAD / np.maximum(state.spread[1], 1.0))
        if self._kind not in COUNTED:
            # The new normal may be wilder than the old one, and a series that never moved knows nothing of
            # its scale.
            wilder = state.recent_square > state.variance
            state.variance[:] = np.maximum(state.variance, state.recent_square)
            state.scale2[wilder] = 1.0
            state.plain_scale2[wilder] = 1.0
            state.variance_points[:] = np.minimum(state.variance_points, _RECENT)
        state.scale_points[:] = np.minimum(state.scale_points, _RECENT)
        for gathered in (state.lags, state.evidence, state.peak, state.recent, state.recent_points):
            gathered[:] = 0.0
        return moved

    def fade(self, windows: int) -> None:
        """Let the tails fade, and set the tilts by what was learnt.

        What was learnt of a tail before the season was known counts a fifth.
        """
        self._set_tilts(self.state)
        state = self.state
        turned = settled(state, self.parts) & (state.seasoned == 0)
        state.seasoned[turned] = 1.0
        keep = np.where(turned, 0.2, 1.0) * remembered(windows)
        state.counts *= keep
        state.excesses *= keep
        state.watched *= keep
        cusum.wake(state, np.flatnonzero(turned))
