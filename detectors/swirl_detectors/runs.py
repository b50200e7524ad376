"""How long and how high the evidence of a series usually runs: the tail from which its threshold comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from swirl.budget import SECOND_FLOOR, Tails, exceedance, remembered, tail_law, thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swirl.detector import Rows

    Array = NDArray[np.float64]

__all__ = ["FIRST_SHARE", "RunTails"]

FIRST_SHARE = 5e-6
"""Alarms per series and window until the first refresh: one a week among 20 series in windows of a minute."""

_COUNT, _COUNT2, _EXCESS, _EXCESS2, _WATCHED, _CUT, _LIMIT, _SPENDS = range(8)
_HEIGHT = 8


class RunTails:
    """Runs of one kind of evidence, in nats, of many series: counted, and turned into thresholds.

    A run begins when the evidence leaves 0 and is over when it is back. Its highest value is one
    observation of the tail (:mod:`swirl.budget`). A run that raised an alarm is cut off at the threshold:
    it adds excess and no count, and that only when the alarm was a false one, so that a real incident
    leaves the threshold alone.

    Args:
        floor: nats above which runs are counted.
        prior: runs over the floor that the law of the model, a mean excess of 1 nat or of ``least``, is
            worth.
        least: mean excess, in nats, below which none is believed.

    Example:
        >>> tails = RunTails(floor=2.0)
        >>> tails.grow(2)
        >>> row = np.arange(2)
        >>> tails.refresh(np.full(2, 0.01), 1e-6)
        >>> tails.limit.round(1)
        array([13.7, 13.7])
        >>> for run in range(200):
        ...     allowed = tails.learn(row, np.array([2.5 + run % 3, 0.0]))
        >>> tails.refresh(np.full(2, 0.01), 1e-6)
        >>> tails.limit.round(1)
        array([21.3, 14.7])
    """

    def __init__(self, floor: float, prior: float = 40.0, least: float = 0.0) -> None:
        self.floor = floor
        self._least = least
        self._prior = np.full((1, 1), prior)
        self._share = FIRST_SHARE
        self._windows = 0
        self.table: Array = np.zeros((_HEIGHT, 0))

    @property
    def limit(self) -> Array:
        """The evidence, in nats, that an alarm takes; shape ``(n,)``."""
        limit: Array = self.table[_LIMIT]
        return limit

    def grow(self, size: int, nominal: float = 1e-3) -> None:
        """Make room for so many series; new ones should pass the floor ``nominal`` times a window."""
        new = np.zeros((_HEIGHT, max(0, size - self.table.shape[1])))
        self._set_limits(new, np.full(new.shape[1], nominal), pool=False)
        self.table = np.concatenate((self.table, new), axis=1)

    def count_window(self) -> None:
        """A window has been scored."""
        self._windows += 1

    def cut(self, rows: Rows, nats: Array) -> None:
        """Remember where alarms cut off a run; 0 where none was raised, which leaves what was remembered."""
        over = np.minimum(nats, self.table[_LIMIT, rows]) - self.floor
        self.table[_CUT, rows] = np.where(nats > 0, np.maximum(over, 0.0), self.table[_CUT, rows])

    def learn(self, rows: Rows, peaks: Array) -> float:
        """Take what ended in the last window as chance.

        Args:
            rows: of the series.
            peaks: highest evidence of a run that ended without an alarm; 0 for none.

        Returns:
            False alarms that the thresholds allowed these windows to raise.
        """
        excess = np.maximum(peaks - self.floor, 0.0)
        second = np.maximum(excess - SECOND_FLOOR, 0.0)
        table = self.table
        for field, more in (
            (_COUNT, excess > 0),
            (_COUNT2, second > 0),
            (_EXCESS, excess),
            (_EXCESS2, second),
            (_WATCHED, 1.0),
        ):
            table[field, rows] += more
        self._settle(rows)
        return float(table[_SPENDS, rows].sum())

    def release(self, rows: Rows, *, chance: bool) -> None:
        """The incident is over: the alarm that began it counts if it was a false one."""
        if chance:
            self._settle(rows)
        self.table[_CUT, rows] = 0.0

    def forget(self, rows: Rows, windows: float) -> None:
        """Begin anew what was counted of rows that have been watched for no more than so many windows."""
        young = rows[self.table[_WATCHED, rows] <= windows]
        self.table[_COUNT : _WATCHED + 1, young] = 0.0

    def _settle(self, rows: Rows) -> None:
        cut = self.table[_CUT, rows]
        if cut.any():
            self.table[_EXCESS, rows] += cut
            self.table[_EXCESS2, rows] += np.maximum(cut - SECOND_FLOOR, 0.0)
            self.table[_CUT, rows] = 0.0

    def refresh(self, nominal: Array, alarms_per_window: float) -> None:
        """Set thresholds from all that was learnt, which fades with the windows that have passed.

        Args:
            nominal: runs over the floor that the model expects a window, shape ``(n,)``.
            alarms_per_window: false alarms allowed per series and window, above 0.
        """
        self._share = max(alarms_per_window, 1e-300)
        self.table[_COUNT : _WATCHED + 1] *= remembered(self._windows)
        self._windows = 0
        self._set_limits(self.table, nominal, pool=True)

    def _set_limits(self, table: Array, nominal: Array, *, pool: bool) -> None:
        if not table.shape[1]:
            return
        counts = table[_COUNT : _COUNT2 + 1][:, None]
        tails = Tails(
            counts=counts,
            excesses=np.maximum(table[_EXCESS : _EXCESS2 + 1][:, None], self._least * counts),
            windows=table[_WATCHED][None],
            floor=np.full((1, table.shape[1]), self.floor),
            nominal=nominal[None],
            prior_count=self._prior,
            prior_excess=self._prior * (self._least or 1.0),
        )
        law = tail_law(tails, pool=pool)
        limits = thresholds(law, self._share)
        table[_LIMIT], table[_SPENDS] = limits[0], exceedance(law, limits)[0]

    def snapshot(self) -> dict[str, Any]:
        """All state, of types that MessagePack knows."""
        return {"share": self._share, "windows": self._windows, "table": self.table.astype("<f8").tobytes()}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over the state of as many series as there are.

        Raises:
            ValueError, TypeError, KeyError: the snapshot is damaged.
        """
        table = np.frombuffer(snapshot["table"], dtype="<f8")
        self.table = table.reshape(self.table.shape).astype(np.float64)
        self._share, self._windows = float(snapshot["share"]), int(snapshot["windows"])
