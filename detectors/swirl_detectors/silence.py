"""A series that has fallen silent for longer than its own gaps explain, under a false-alarm budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from swirl.detector import Kind, Points, Rows, Scores
from swirl_detectors.run_bank import HELD, RunBank
from swirl_detectors.runs import RunTails
from swirl_detectors.season import DAY_MS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["SilenceBank", "SilenceDetector"]

_HOURS = 24
_HOUR_WORTH = 20.0
"""Windows that the mean of all hours counts for in the mean of one."""
_EXTRA = 12.0
_EXPECTED_EVENTS = 20.0
_MEMORY = 5000.0
_FLOOR = 2.0
_MOST = 6.0
"""One empty window is worth so many nats at most: a hiccup of the transport is no silence."""
_LARGEST_COUNT = 1e15

(
    _POINTS,  # learnt
    _MEAN,
    _VARIANCE,
    _RUN,  # nats of the present silence
    _TOLD,  # it has raised its alarm
    _ONSET,
) = range(HELD + 1, 7)
_TODAY = slice(7, 10)
"""Sum, windows and empty windows of the present hour: they join those of earlier days when it is over."""
_SUMS = slice(10, 10 + _HOURS)
_VISITS = slice(10 + _HOURS, 10 + 2 * _HOURS)
_EMPTY = slice(10 + 2 * _HOURS, 10 + 3 * _HOURS)
_HEIGHT = 10 + 3 * _HOURS


@dataclass(frozen=True)
class SilenceDetector:
    """Finds that events stay away, in dense streams and in sparse ones.

    An empty window is worth what the negative binomial law of the series' own counts says, ``-ln P(0)``, by
    hour of the day; a silence is worth the sum of its windows. How long the silences of this series and of
    its kind usually are is learnt as the tail of that sum (:mod:`swirl.budget`), so that bursts and gaps
    raise the threshold.

    Args:
        warm_up: windows before which only overwhelming evidence raises an alarm; 20 expected events are
            needed too.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> bank = SilenceDetector().build(Kind.RATE)
        >>> bank.grow(1)
        >>> row, one = np.arange(1), np.ones(1)
        >>> for window in range(620):
        ...     events = rng.poisson([2.0]).astype(float) if window < 600 else np.zeros(1)
        ...     points = Points(window * 60_000, 60_000, events, one)
        ...     scores = bank.score(row, points)
        ...     bank.learn(row, points)
        ...     if scores.alarm[0]:
        ...         print(window, scores.expected.round(1), (window * 60_000 - scores.since_ms) // 60_000)
        607 [2.] [7]
    """

    name: ClassVar[str] = "silence"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.RATE})

    warm_up: int = 60

    def build(self, kind: Kind, resume: dict[str, Any] | None = None) -> SilenceBank:
        """A bank for series of counts; ``resume`` is what its ``snapshot`` gave.

        Raises:
            SnapshotError: the snapshot is of another version or kind.
        """
        bank = SilenceBank(kind, self.warm_up)
        if resume is not None:
            bank.restore(resume)
        return bank


class SilenceBank(RunBank):
    """The running form: all series of counts in one pipeline, one pass over their rows.

    Attributes:
        expected_alarms: false alarms that the thresholds in force have allowed so far.
    """

    _version: ClassVar[int] = 2

    def __init__(self, kind: Kind, warm_up: int = 60) -> None:
        if kind is not Kind.RATE:
            raise ValueError(f"the silence detector judges counts, not a {kind.value}")
        super().__init__(kind, _HEIGHT, RunTails(_FLOOR), float(np.exp(-_FLOOR)))
        self._warm_up = warm_up
        self._hour = 0
        self._ended: Array = np.zeros(0)
        self._measured: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
        self._alarmed: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)

    def grow(self, size: int) -> None:
        """Make room: rows ``0 .. size - 1`` exist from now on. Never shrinks."""
        super().grow(size)
        self._ended = np.zeros(self._table.shape[1])
        self._measured = np.zeros(self._table.shape[1], dtype=np.bool_)
        self._alarmed = np.zeros(self._table.shape[1], dtype=np.bool_)

    def score(self, rows: Rows, points: Points) -> Scores:
        """Judge the points by what was learnt before them. Moves the silences on, learns nothing."""
        self._tails.count_window()
        self._measured[:] = False
        self._turn(_hour(points.start_ms))
        count = points.value
        ok = (count >= 0) & (count < np.inf)
        table = self._table[:, rows]
        expected = _expected(table, points.start_ms)
        empty = ok & (count == 0) & (table[_POINTS] > 0)
        worth = np.minimum(_worth(table, expected), _usual(table, points.start_ms))
        ready = (table[_POINTS] >= self._warm_up) & (table[_POINTS] * table[_MEAN] >= _EXPECTED_EVENTS)
        usual_limit = self._tails.limit[rows]
        limit = usual_limit + np.where(ready, 0.0, _EXTRA)
        onset = np.where(table[_RUN] > 0, table[_ONSET], float(points.start_ms))
        run = np.where(empty, table[_RUN] + worth, np.where(ok, 0.0, table[_RUN]))
        held = table[HELD] > 0
        alarm = empty & (run > limit) & ~held & (table[_TOLD] == 0)
        self._ended[rows] = np.where(ok & ~empty & ~held & (table[_TOLD] == 0), table[_RUN], 0.0)
        self._measured[rows], self._alarmed[rows] = ok, alarm
        none = np.full(len(rows), np.nan)
        scores = Scores(
            value=np.where(ok, count, np.nan),
            evidence=np.where(ok, run / limit, 0.0),
            expected=np.where(table[_POINTS] > 0, expected, np.nan),
            low=np.where(table[_POINTS] > 0, np.where(table[_RUN] + worth > limit, 1.0, 0.0), np.nan),
            high=none,
            alarm=alarm,
            loud=held & ok & (run > usual_limit / 2),
            accumulated=alarm & (worth < limit / 2),
            since_ms=np.where(run > 0, onset, float(points.start_ms)).astype(np.int64),
            learning=~ready,
        )
        table[_TOLD] = np.where(ok & ~empty, 0.0, np.maximum(table[_TOLD], alarm))
        table[_RUN], table[_ONSET] = run, onset
        self._tails.cut(rows, np.where(alarm, run, 0.0))
        self._table[:, rows] = table
        return scores

    def _turn(self, hour: int) -> None:
        """Let the hour that is over join the same hour of earlier days."""
        if hour != self._hour:
            table = self._table
            fade = 1 - table[_TODAY][1] / _MEMORY
            for field, today in zip((_SUMS, _VISITS, _EMPTY), table[_TODAY], strict=True):
                past = table[field][self._hour]
                past *= fade
                past += today
            table[_TODAY] = 0.0
            self._hour = hour

    def learn(self, rows: Rows, points: Points) -> None:
        """Take the points, which were the last to be scored, as normal."""
        count = points.value[self._measured[rows]]
        rows = rows[self._measured[rows]]
        self.expected_alarms += self._tails.learn(rows, self._ended[rows])
        calm = ~self._alarmed[rows]
        rows, count = rows[calm], np.minimum(count[calm], _LARGEST_COUNT)
        table = self._table[:, rows]
        off = count - table[_MEAN]
        share = 1 / np.minimum(table[_POINTS] + 1, _MEMORY)
        table[_MEAN] += share * off
        table[_VARIANCE] += share * (off * off * (1 - share) - table[_VARIANCE])
        table[_POINTS] += 1
        table[_TODAY] += np.array((count, np.ones_like(count), count == 0))
        self._table[:, rows] = table

    def refresh(self, alarms_per_window: float) -> None:
        """Set thresholds from all that was learnt.

        Args:
            alarms_per_window: false alarms allowed per series and window, above 0.
        """
        # Silences begin after a window that was not empty; were the law true, exp(-u) of them would pass u.
        table = self._table
        begin = np.where(table[_POINTS] > 0, -np.expm1(-_worth(table, table[_MEAN])), 1.0)
        self._tails.refresh(np.maximum(begin, 1e-3) * np.exp(-_FLOOR), alarms_per_window)

    def _more(self) -> dict[str, Any]:
        return {"hour": self._hour}

    def _restore_more(self, snapshot: dict[str, Any]) -> None:
        self._hour = int(snapshot["hour"]) % _HOURS


def _hour(start_ms: int) -> int:
    return start_ms * _HOURS // DAY_MS % _HOURS


def _expected(table: Array, start_ms: int) -> Array:
    """Events in a window of this hour, from the windows of this hour and, while these are few, from all."""
    hour = _hour(start_ms)
    sums, visits = table[_SUMS][hour], table[_VISITS][hour]
    return np.asarray((sums + _HOUR_WORTH * table[_MEAN]) / (visits + _HOUR_WORTH))


def _usual(table: Array, start_ms: int) -> Array:
    """Nats of an empty window by how many of this hour were empty; infinite while none was."""
    hour = _hour(start_ms)
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log(table[_EMPTY][hour] / (table[_VISITS][hour] + 1)))


def _worth(table: Array, expected: Array) -> Array:
    """Nats of an empty window: -ln P(0) of the negative binomial law, at most 6."""
    dispersion = np.maximum(table[_VARIANCE] / np.maximum(table[_MEAN], 1e-9), 1 + 1e-6)
    return np.asarray(np.minimum(expected * np.log(dispersion) / (dispersion - 1), _MOST))
