"""Values and patterns that a series has never shown, under a false-alarm budget."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from swirl.detector import Kind, Points, Rows, Scores
from swirl_detectors.envelope import HALF, ends
from swirl_detectors.pattern import VIEWS, Recent
from swirl_detectors.run_bank import HELD, RunBank
from swirl_detectors.runs import RunTails
from swirl_detectors.spacing import Spacing
from swirl_detectors.whiten import measured

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["NoveltyBank", "NoveltyDetector"]

_HOLD = 20
"""Points for which a novelty is remembered, so that those of different views add up."""
_QUIET_SHARE = 0.05
_QUIET_MOST = 250.0
"""After an alarm the series is quiet for this part of the points it has seen, and for so many at most."""
_FLOOR = 2.0
_NOMINAL = 2e-3
"""Runs over the floor a window: what independent normal values give."""
_PRIOR = 30.0
_EXCESS = 1.3
"""Mean excess over the floor, in nats, of well-behaved laws once 5 000 values have been seen. Novelty is
bounded by the number of values, so a young series shows a shorter tail than it will have: none is believed
that is shorter."""
_YOUTH = 1440
"""Points after which a tail begins anew: what is new to a young series, as each hour of its first day is to
one with a season, comes oftener and is worth less than what will be new later."""
_EXTRA = 12.0
_OUTLIER = 2.0
"""What joins means and spreads lies at most so many ranges outside: one value does not fill them."""
_LARGEST = 1e30
_LARGEST_COUNT = 1e15
_SMALLEST = 1e-12
_TOO_LARGE = 1e120

_QUIET, _PEAK, _ONSET, _TOLD = range(HELD + 1, 5)
_HEIGHT = 5
_KINDS = frozenset({Kind.LEVEL, Kind.POSITIVE, Kind.RATE})


@dataclass(frozen=True)
class NoveltyDetector:
    """Finds values, and courses of values, that a series has not had before.

    A series is seen in four ways: the value; its difference to the mean of this time of day; the step
    between the means of the last 64 points and of the 64 before; their standard deviation. In each, ``nu =
    n D / R`` says how far the point is from all past ones (``spacing.py``); of step and deviation only
    records count. For draws from any law ``nu`` is nearly pivotal, with the tail of a Lomax law rather than
    an exponential one on real series, so ``ln(1 + nu / 15)`` is its surprise in nats. The evidence is the
    sum over the views, each at its highest of the last 20 points.

    The currency is nats with a learnt tail: how high the evidence of this series, and of its kind in the
    pipeline, runs when nothing is wrong sets the threshold (:mod:`swirl.budget`). The views are not
    independent, so the sum is no probability by itself, and a fixed threshold keeps no budget.

    Args:
        warm_up: points before which only overwhelming evidence raises an alarm.
        threshold: in nats, for a series on its own without a budget; None: by the budget.

    Example:
        A wave goes flat: neither its values nor their mean are new, but that they lie so close together is.

        >>> from swirl.budget import alarms_per_window
        >>> rng = np.random.default_rng(1)
        >>> bank = NoveltyDetector().build(Kind.LEVEL)
        >>> bank.grow(1)
        >>> bank.refresh(alarms_per_window(1.0, series=1, window_ms=60_000))
        >>> row, one = np.arange(1), np.ones(1)
        >>> for window in range(2000):
        ...     value = np.sin(window / 5) * (window < 1900) + 0.1 * rng.standard_normal(1)
        ...     points = Points(window * 60_000, 60_000, value, one)
        ...     scores = bank.score(row, points)
        ...     bank.learn(row, points)
        ...     if scores.alarm[0]:
        ...         print(window, scores.evidence.round(2), scores.accumulated)
        1909 [1.13] [ True]
    """

    name: ClassVar[str] = "novelty"
    kinds: ClassVar[frozenset[Kind]] = _KINDS

    warm_up: int = 60
    threshold: float | None = None

    def build(self, kind: Kind, resume: dict[str, Any] | None = None) -> NoveltyBank:
        """A bank for series of one kind; ``resume`` is what its ``snapshot`` gave.

        Raises:
            ValueError: the detector does not judge this kind, or the threshold is not above 0.
            SnapshotError: the snapshot is of another version or kind.
        """
        bank = NoveltyBank(kind, self.warm_up, self.threshold)
        if resume is not None:
            bank.restore(resume)
        return bank


class NoveltyBank(RunBank):
    """The running form: all series of one kind in one pipeline, one pass over their rows; 7 kB a series.

    Attributes:
        kind: of the series.
        expected_alarms: false alarms that the thresholds in force have allowed so far.
    """

    def __init__(self, kind: Kind, warm_up: int = 60, threshold: float | None = None) -> None:
        if kind not in _KINDS:
            raise ValueError(
                f"the novelty detector judges rates, levels and positive values, not a {kind.value}"
            )
        if threshold is not None and not 0 < threshold < inf:
            raise ValueError(f"threshold: {threshold} is not a number of nats above 0")
        super().__init__(kind, _HEIGHT, RunTails(_FLOOR, _PRIOR, _EXCESS), _NOMINAL)
        self._warm_up, self._threshold = warm_up, threshold
        self._recent = Recent()
        self._past = Spacing(gaps=2, records=2)
        self._novelties = np.zeros((0, VIEWS, _HOLD), dtype=np.float32)
        self._last: Array = np.zeros((VIEWS, 0))
        self._ended: Array = np.zeros(0)

    def grow(self, size: int) -> None:
        """Make room: rows ``0 .. size - 1`` exist from now on. Never shrinks."""
        super().grow(size)
        size = self._table.shape[1]
        new = size - len(self._novelties)
        self._novelties = np.concatenate((self._novelties, np.zeros((new, VIEWS, _HOLD), dtype=np.float32)))
        self._last = np.full((VIEWS, size), np.nan)
        self._ended = np.zeros(size)
        self._recent.grow(size)
        self._past.grow(size)

    def score(self, rows: Rows, points: Points) -> Scores:
        """Judge the points by what was learnt before them. Moves the evidence on, learns nothing."""
        self._tails.count_window()
        self._last[:] = np.nan
        ok = measured(self.kind, points.value, points.weight)
        return self._score(rows[ok], points, ok) if ok.any() else _unmeasured(points)

    def _score(self, rows: Rows, points: Points, ok: NDArray[np.bool_]) -> Scores:
        """The same for rows of which some are measured."""
        value = self._scale(points.value[ok])
        views, expected = self._recent.views(rows, value, points.start_ms, points.window_ms)
        self._last[:, rows] = views
        novelty = self._past.novelty(rows, views).astype(np.float32)
        held_up = self._novelties[rows]
        held_up = np.concatenate((held_up[:, :, 1:], novelty.T[:, :, None]), axis=2)
        self._novelties[rows] = held_up
        worth = np.log1p(held_up.max(axis=2).T.astype(np.float64) / HALF)
        nats = _sum(worth)
        learning = self._recent.points[rows] < self._warm_up
        limit = self._limit(rows) + np.where(learning, _EXTRA, 0.0)
        alarm, loud, since = self._judge(rows, nats, _sum(np.log1p(novelty / HALF)), limit, points.start_ms)
        low, high = self._band(rows, views, value, limit - worth[2] - worth[3])
        shown = points.value[ok]
        with np.errstate(invalid="ignore"):
            inside = (shown >= low) & (shown <= high)
        return _spread(
            points,
            ok,
            (
                shown,
                nats / limit,
                self._unscale(expected),
                low,
                high,
                alarm,
                loud,
                alarm & inside,
                since,
                learning,
            ),
        )

    def _scale(self, value: Array) -> Array:
        """What is judged: the value within bounds, the logarithm of a positive one."""
        if self.kind is Kind.POSITIVE:
            return np.log(np.maximum(value, _SMALLEST))
        if self.kind is Kind.RATE:
            return np.minimum(value, _LARGEST_COUNT)
        return np.clip(value, -_LARGEST, _LARGEST)

    def _unscale(self, value: Array) -> Array:
        return np.exp(np.minimum(value, 700.0)) if self.kind is Kind.POSITIVE else value

    def _limit(self, rows: Rows) -> Array:
        if self._threshold is not None:
            return np.full(len(rows), self._threshold)
        return self._tails.limit[rows]

    def _judge(
        self, rows: Rows, nats: Array, present: Array, limit: Array, start_ms: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
        """Alarm, loud, since; moves the runs on."""
        table = self._table[:, rows]
        held = table[HELD] > 0
        above = nats > _FLOOR
        onset = np.where(table[_PEAK] > 0, table[_ONSET], float(start_ms))
        alarm = (nats > limit) & ~held & (table[_QUIET] <= 0)
        ended = ~above & ~held & (table[_TOLD] == 0)
        self._ended[rows] = np.where(ended, table[_PEAK], 0.0)
        table[_PEAK] = np.where(above, np.maximum(table[_PEAK], nats), 0.0)
        table[_ONSET] = onset
        table[_TOLD] = np.where(above, np.maximum(table[_TOLD], alarm), 0.0)
        quiet = np.minimum(_QUIET_SHARE * self._recent.points[rows], _QUIET_MOST)
        table[_QUIET] = np.where(alarm, quiet, np.maximum(table[_QUIET] - 1, 0.0))
        self._table[:, rows] = table
        self._tails.cut(rows, np.where(alarm, nats, 0.0))
        return alarm, held & (present > limit / 2), np.where(above, onset, start_ms).astype(np.int64)

    def _band(self, rows: Rows, views: Array, value: Array, nats: Array) -> tuple[Array, Array]:
        """The values from which on value and residual would have been worth so many nats."""
        below, above = ends(self._past.seen(rows), value - views[1], np.isfinite(views[1]), nats)
        below, above = (
            np.where(np.abs(end) < _TOO_LARGE, self._unscale(end), np.nan) for end in (below, above)
        )
        return (below if self.kind is Kind.LEVEL else np.maximum(below, 0.0)), above

    def learn(self, rows: Rows, points: Points) -> None:
        """Take the points, which were the last to be scored, as normal, those that raised an alarm too."""
        rows = rows[np.isfinite(self._last[0, rows])]
        if not rows.size:
            return
        views = self._last[:, rows]
        value = self._past.seen(rows).within(views, _OUTLIER)[0]
        self._past.learn(rows, views)
        self._recent.learn(rows, value, points.start_ms, points.window_ms)
        self.expected_alarms += self._tails.learn(rows, self._ended[rows])
        grown = rows[self._recent.points[rows] == _YOUTH]
        if grown.size:
            self._tails.forget(grown, _YOUTH)

    def release(self, rows: Rows, *, adopt: bool = False, chance: bool = False) -> None:
        """The incident is over, and its evidence with it.

        With ``adopt`` the rows begin anew, their tails excepted. With ``chance`` the alarm was a false one,
        and raises the thresholds; a real one leaves them alone.
        """
        super().release(rows, adopt=adopt, chance=chance)
        self._table[:, rows] = 0.0
        self._novelties[rows] = 0.0
        if adopt:
            self._recent.forget(rows)
            self._past.forget(rows)

    def refresh(self, alarms_per_window: float) -> None:
        """Set thresholds from all that was learnt.

        Args:
            alarms_per_window: false alarms allowed per series and window, above 0.
        """
        self._tails.refresh(np.full(self._table.shape[1], _NOMINAL), alarms_per_window)

    def _more(self) -> dict[str, Any]:
        return {
            "novelties": self._novelties.astype("<f4").tobytes(),
            "recent": self._recent.snapshot(),
            "past": self._past.snapshot(),
        }

    def _restore_more(self, snapshot: dict[str, Any]) -> None:
        novelties = np.frombuffer(snapshot["novelties"], dtype="<f4")
        self._novelties = novelties.reshape(self._novelties.shape).astype(np.float32)
        self._recent.restore(snapshot["recent"])
        self._past.restore(snapshot["past"])


def _sum(worth: Array) -> Array:
    """Over the views, one after the other."""
    return np.asarray(worth[0] + worth[1] + worth[2] + worth[3], dtype=np.float64)


def _spread(points: Points, ok: NDArray[np.bool_], columns: tuple[NDArray[Any], ...]) -> Scores:
    """Scores of all points from those of the measured ones."""
    if ok.all():
        return Scores(*columns)
    scores = _unmeasured(points)
    for field, column in zip(fields(Scores), columns, strict=True):
        getattr(scores, field.name)[ok] = column
    return scores


def _unmeasured(points: Points) -> Scores:
    none = Scores.neutral(points)
    value, expected, low, high = np.full((4, len(points.value)), np.nan)
    alarm, loud, accumulated = np.zeros((3, len(points.value)), dtype=np.bool_)
    return replace(
        none,
        value=value,
        expected=expected,
        low=low,
        high=high,
        alarm=alarm,
        loud=loud,
        accumulated=accumulated,
    )
