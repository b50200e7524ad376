"""What banks that judge runs of evidence share: a table of rows, the tails, and the snapshot of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from swirl.detector import Kind, Rows, restoring

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swirl_detectors.runs import RunTails

    Array = NDArray[np.float64]

__all__ = ["HELD", "RunBank"]

HELD = 0
"""The first line of each table: the row is in an incident."""


class RunBank:
    """The base of a bank with one table, a column for each of its rows.

    A bank that keeps more than the table makes room for it in :meth:`grow`, packs it in :meth:`_more` and
    takes it over in :meth:`_restore_more`.

    Args:
        kind: of the series.
        height: lines of the table.
        tails: of the runs, without rows.
        nominal: runs over the floor a window that a new row is expected to have.

    Attributes:
        kind: of the series.
        expected_alarms: false alarms that the thresholds in force have allowed so far.
    """

    _version: ClassVar[int] = 1

    def __init__(self, kind: Kind, height: int, tails: RunTails, nominal: float) -> None:
        self.kind = kind
        self.expected_alarms = 0.0
        self._table: Array = np.zeros((height, 0))
        self._tails = tails
        self._nominal = nominal

    def grow(self, size: int) -> None:
        """Make room: rows ``0 .. size - 1`` exist from now on. Never shrinks."""
        height, before = self._table.shape
        new = np.zeros((height, max(0, size - before)))
        self._table = np.concatenate((self._table, new), axis=1)
        self._tails.grow(self._table.shape[1], self._nominal)

    def hold(self, rows: Rows) -> None:
        """The rows are in an incident: they raise no alarm, and are ``loud`` while far from normal."""
        self._table[HELD, rows] = 1.0

    def release(self, rows: Rows, *, adopt: bool = False, chance: bool = False) -> None:
        """The incident is over. With ``adopt`` the rows begin anew, their tails excepted.

        With ``chance`` the alarm was a false one, and raises the thresholds; a real one leaves them alone.
        """
        self._tails.release(rows, chance=chance)
        self._table[HELD, rows] = 0.0
        if adopt:
            self._table[:, rows] = 0.0

    def snapshot(self) -> dict[str, Any]:
        """All state between two windows, from which ``build`` resumes exactly."""
        return {
            "version": self._version,
            "kind": self.kind.value,
            "size": self._table.shape[1],
            "expected_alarms": self.expected_alarms,
            "table": self._table.astype("<f8").tobytes(),
            "tails": self._tails.snapshot(),
            **self._more(),
        }

    def _more(self) -> dict[str, Any]:
        """What a snapshot holds besides, of types that MessagePack knows."""
        return {}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over the state of a bank of the same kind.

        Raises:
            SnapshotError: the snapshot is of another version or kind, or damaged.
        """
        with restoring(snapshot, self._version, self.kind):
            self.grow(int(snapshot["size"]))
            table = np.frombuffer(snapshot["table"], dtype="<f8")
            self._table = table.reshape(self._table.shape).astype(np.float64)
            self._tails.restore(snapshot["tails"])
            self.expected_alarms = float(snapshot["expected_alarms"])
            self._restore_more(snapshot)

    def _restore_more(self, snapshot: dict[str, Any]) -> None:
        """Take over what :meth:`_more` packed."""
