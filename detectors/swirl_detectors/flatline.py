"""A series that varied and now repeats one value for longer than its own repeats explain, under a budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from swirl.detector import Kind, Points, Rows, Scores
from swirl_detectors.run_bank import HELD, RunBank
from swirl_detectors.runs import RunTails
from swirl_detectors.whiten import measured

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["FlatlineBank", "FlatlineDetector"]

_EXTRA = 12.0
_CHANGES = 20.0
"""Changes of value that a series must have shown before standing still says anything."""
_MEMORY = 5000.0
_FLOOR = 2.0
_MOST = 3.0
"""One repeat is worth so many nats at most: a source that sends a value twice does not stand still."""

(
    _POINTS,  # learnt
    _MEAN,  # of the values, shown as expected
    _VALUE,  # the last one
    _SEEN,  # there is a last one
    _RUN,  # repeats of it so far
    _TOLD,  # the run has raised its alarm
    _ONSET,
    _CHANGED,  # changes of value, fading
    _BEGUN,  # runs that were over, fading: a value that was repeated at least once
    _GONE_ON,  # repeats after the first in these runs
) = range(HELD + 1, 11)
_HEIGHT = 11
_KINDS = frozenset({Kind.LEVEL, Kind.POSITIVE, Kind.RATE})


@dataclass(frozen=True)
class FlatlineDetector:
    """Finds that a series repeats exactly the same value, as a sensor, a cache or a copy that has died does.

    Repeats of a series are a two-state chain: with probability ``p`` a new value is repeated, with
    probability ``q`` a value that was repeated is repeated again. Both are learnt from runs that are over
    (rule of succession). A run of ``r`` repeats is worth ``-ln p - (r - 1) ln q`` nats, each term at most
    3. How high this usually gets in this series and in its kind is learnt as the tail of that sum, so the
    currency is nats with a learnt tail (:mod:`swirl.budget`).

    A series that never varied is normal: 20 changes of value are needed before anything is said. Of counts,
    zeros are left to the silence detector: they neither begin nor continue a run.

    Args:
        warm_up: points before which only overwhelming evidence raises an alarm.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> bank = FlatlineDetector().build(Kind.LEVEL)
        >>> bank.grow(1)
        >>> row, one = np.arange(1), np.ones(1)
        >>> for window in range(620):
        ...     value = rng.normal(size=1).round(2) if window < 600 else np.full(1, 0.17)
        ...     points = Points(window * 60_000, 60_000, value, one)
        ...     scores = bank.score(row, points)
        ...     bank.learn(row, points)
        ...     if scores.alarm[0]:
        ...         print(window, scores.value, (window * 60_000 - scores.since_ms) // 60_000)
        611 [0.17] [10]
    """

    name: ClassVar[str] = "flatline"
    kinds: ClassVar[frozenset[Kind]] = _KINDS

    warm_up: int = 60

    def build(self, kind: Kind, resume: dict[str, Any] | None = None) -> FlatlineBank:
        """A bank for series of one kind; ``resume`` is what its ``snapshot`` gave.

        Raises:
            ValueError: the detector does not judge this kind.
            SnapshotError: the snapshot is of another version or kind.
        """
        bank = FlatlineBank(kind, self.warm_up)
        if resume is not None:
            bank.restore(resume)
        return bank


class FlatlineBank(RunBank):
    """The running form: all series of one kind in one pipeline, one pass over their rows.

    Attributes:
        kind: of the series.
        expected_alarms: false alarms that the thresholds in force have allowed so far.
    """

    def __init__(self, kind: Kind, warm_up: int = 60) -> None:
        if kind not in _KINDS:
            raise ValueError(
                f"the flatline detector judges rates, levels and positive values, not a {kind.value}"
            )
        super().__init__(kind, _HEIGHT, RunTails(_FLOOR), float(np.exp(-_FLOOR)))
        self._warm_up = warm_up
        self._measured: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
        self._ended: Array = np.zeros((3, 0))

    def grow(self, size: int) -> None:
        """Make room: rows ``0 .. size - 1`` exist from now on. Never shrinks."""
        super().grow(size)
        self._measured = np.zeros(self._table.shape[1], dtype=np.bool_)
        self._ended = np.zeros((3, self._table.shape[1]))

    def score(self, rows: Rows, points: Points) -> Scores:
        """Judge the points by what was learnt before them. Moves the runs on, learns nothing."""
        self._tails.count_window()
        self._measured[:] = False
        value, table = points.value, self._table[:, rows]
        ok = measured(self.kind, value, points.weight)
        same = ok & (table[_SEEN] > 0) & (value == table[_VALUE])
        if self.kind is Kind.RATE:
            same &= value > 0
        ready = (table[_POINTS] >= self._warm_up) & (table[_CHANGED] >= _CHANGES)
        usual = self._tails.limit[rows]
        limit = usual + np.where(ready, 0.0, _EXTRA)
        run = np.where(same, table[_RUN] + 1, np.where(ok, 0.0, table[_RUN]))
        nats = _worth(table, run)
        onset = np.where(table[_RUN] > 0, table[_ONSET], float(points.start_ms))
        held, varied = table[HELD] > 0, table[_CHANGED] >= _CHANGES
        alarm = same & varied & (nats > limit) & ~held & (table[_TOLD] == 0)
        self._note_ended(rows, table, ok, same)
        nan = np.full(len(rows), np.nan)
        scores = Scores(
            value=np.where(ok, value, np.nan),
            evidence=np.where(ok & varied, nats / limit, 0.0),
            expected=np.where(table[_POINTS] > 0, table[_MEAN], np.nan),
            low=nan,
            high=nan.copy(),
            alarm=alarm,
            loud=held & same & varied & (nats > usual / 2),
            accumulated=alarm,
            since_ms=np.where(ok & (run > 0), onset, float(points.start_ms)).astype(np.int64),
            learning=~ready,
        )
        table[_TOLD] = np.where(ok & ~same, 0.0, np.maximum(table[_TOLD], alarm))
        table[_RUN], table[_ONSET] = run, onset
        table[_VALUE] = np.where(ok, value, table[_VALUE])
        table[_SEEN] = np.maximum(table[_SEEN], ok)
        self._tails.cut(rows, np.where(alarm, nats, 0.0))
        self._table[:, rows] = table
        return scores

    def _note_ended(self, rows: Rows, table: Array, ok: NDArray[np.bool_], same: NDArray[np.bool_]) -> None:
        """What is to be learnt if the window is: nats and repeats of a run that is over, and that it is."""
        over = ok & ~same & (table[_SEEN] > 0) & (table[HELD] == 0)
        if self.kind is Kind.RATE:
            over &= table[_VALUE] > 0
        known = over & (table[_TOLD] == 0) & (table[_CHANGED] >= _CHANGES)
        self._measured[rows] = ok
        self._ended[:, rows] = (
            np.where(known, _worth(table, table[_RUN]), 0.0),
            np.where(over, table[_RUN], 0.0),
            over,
        )

    def learn(self, rows: Rows, points: Points) -> None:
        """Take the points, which were the last to be scored, as normal.

        A run counts when it is over, told or not: while it lasts it does not explain itself.
        """
        value = points.value[self._measured[rows]]
        rows = rows[self._measured[rows]]
        nats, run, changed = self._ended[:, rows]
        self.expected_alarms += self._tails.learn(rows, nats)
        table = self._table[:, rows]
        fade = 1 - 1 / _MEMORY
        for field, more in ((_CHANGED, changed), (_BEGUN, run > 0), (_GONE_ON, np.maximum(run - 1, 0.0))):
            table[field] = fade * table[field] + more
        table[_POINTS] += 1
        share = 1 / np.minimum(table[_POINTS], _MEMORY)
        table[_MEAN] += share * value - share * table[_MEAN]
        self._table[:, rows] = table

    def refresh(self, alarms_per_window: float) -> None:
        """Set thresholds from all that was learnt.

        Args:
            alarms_per_window: false alarms allowed per series and window, above 0.
        """
        # A run may begin at each new value; if the chain were true, about exp(-u) of them would pass u.
        table = self._table
        begin = np.minimum((table[_CHANGED] + 1) / (np.minimum(table[_POINTS], _MEMORY) + 1), 1.0)
        self._tails.refresh(begin * np.exp(-_FLOOR), alarms_per_window)


def _worth(table: Array, run: Array) -> Array:
    """Nats of so many repeats, by the chain that was learnt."""
    first = -np.log((table[_BEGUN] + 1) / (table[_CHANGED] + 2))
    next_ = -np.log((table[_GONE_ON] + 1) / (table[_GONE_ON] + table[_BEGUN] + 2))
    first, next_ = (np.clip(nats, 0.0, _MOST) for nats in (first, next_))
    return np.where(run > 0, first + np.maximum(run - 1, 0.0) * next_, 0.0)
