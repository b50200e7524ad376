"""Changes of spread: values that lie further from their forecast than they used to, or nearer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from swirl.detector import Kind, Points, Rows, Scores, restoring
from swirl_detectors.change import ChangeBank
from swirl_detectors.state import SIDES

if TYPE_CHECKING:
    from swirl_detectors.state import Sides

__all__ = ["SpreadBank", "SpreadDetector"]

_VERSION = 2
_REST = 60
"""Windows after a new normal in which the scale is learnt and nothing is said of it."""


@dataclass(frozen=True)
class SpreadDetector:
    """Finds changes of variance that leave the mean alone: a sensor that trembles, a queue that stutters.

    Each point is standardised as in the change detector. The square root of its size, which is nearly normal
    and which heavy tails move little, is a level that a second change detector judges with a budget and a
    learnt tail of its own. Evidence is in nats.

    It sees a standard deviation that doubles within about ten points and one that grows by a quarter within
    some hundred. A shift of the mean enlarges the errors too and is told sooner by the change detector. Not
    for counts that are nearly always 0, nor for series whose every point is a batch of another size.
    It keeps about 6 kB a series.

    Args:
        warm_up: points before which only overwhelming evidence raises an alarm.
        sides: ``"up"`` looks for more spread only, ``"down"`` for less only.

    Raises:
        ValueError: another word for the sides.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> bank = SpreadDetector().build(Kind.LEVEL)
        >>> bank.grow(1)
        >>> for window in range(440):
        ...     value = rng.normal(20, 1 if window < 400 else 3, 1)
        ...     points = Points(window * 60_000, 60_000, value, np.ones(1))
        ...     scores = bank.score(np.arange(1), points)
        ...     bank.learn(np.arange(1), points)
        ...     if scores.alarm[0]:
        ...         print(window)
        ...         break
        404
    """

    name: ClassVar[str] = "spread"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.LEVEL, Kind.POSITIVE})

    warm_up: int = 60
    sides: Sides = "both"

    def __post_init__(self) -> None:
        if self.sides not in SIDES:
            raise ValueError(f'sides must be "both", "up" or "down", not {self.sides!r}')

    def build(self, kind: Kind, resume: dict[str, Any] | None = None) -> SpreadBank:
        """A bank for series of one kind; ``resume`` is what its ``snapshot`` gave.

        Raises:
            SnapshotError: the snapshot is of another version or kind.
        """
        bank = SpreadBank(kind, self.warm_up, self.sides)
        if resume is not None:
            bank.restore(resume)
        return bank


class SpreadBank:
    """The running form: a bank that standardises, and one that judges the sizes of what it says.

    Args:
        kind: of the series, other than a distribution.
        warm_up, sides: see :class:`SpreadDetector`.
        pool: learn tails from all series together.
    """

    def __init__(self, kind: Kind, warm_up: int = 60, sides: Sides = "both", *, pool: bool = True) -> None:
        self.kind = kind
        self._mean = ChangeBank(kind, warm_up, pool=pool)
        self._size = ChangeBank(Kind.LEVEL, warm_up, sides=sides, pool=pool)
        self._last: Points | None = None
        self._resting = np.zeros(0)

    @property
    def expected_alarms(self) -> float:
        """False alarms that the thresholds in force have allowed so far."""
        return self._size.expected_alarms

    def grow(self, size: int) -> None:
        """Make room: rows ``0 .. size - 1`` exist from now on. Never shrinks."""
        self._mean.grow(size)
        self._size.grow(size)
        self._resting = np.pad(self._resting, (0, max(0, size - len(self._resting))))

    def score(self, rows: Rows, points: Points) -> Scores:
        """Judge the points by what was learnt before them.

        ``expected`` is that of the mean; low and high are NaN, since no single limit shows a spread.
        """
        mean = self._mean.score(rows, points)
        root = np.sqrt(np.abs(self._mean.standardised()[rows]))
        self._last = Points(points.start_ms, points.window_ms, root, np.ones_like(root))
        size = self._size.score(rows, self._last)
        none = np.full(len(root), np.nan)
        learning = size.learning | mean.learning
        loud = size.loud & (self._resting[rows] == 0)
        return replace(
            size, value=mean.value, expected=mean.expected, low=none, high=none, loud=loud, learning=learning
        )

    def learn(self, rows: Rows, points: Points) -> None:
        """Take the points, which were the last to be scored, as normal."""
        self._mean.learn(rows, points)
        if self._last is not None:
            self._size.learn(rows, self._last)
        rested = rows[self._resting[rows] == 1]
        self._resting[rows] = np.maximum(self._resting[rows] - 1, 0)
        if rested.size:
            self._size.release(rested, adopt=True)

    def hold(self, rows: Rows) -> None:
        """The rows are in an incident: they raise no alarm, and are ``loud`` while far from normal."""
        self._mean.hold(rows)
        self._size.hold(rows)
        self._resting[rows] = 0

    def release(self, rows: Rows, *, adopt: bool = False, chance: bool = False) -> None:
        """The incident is over; see :meth:`swirl.detector.Bank.release`."""
        self._mean.release(rows, adopt=adopt)
        if adopt:
            # What sizes are normal shows when the mean's bank has learnt the new scale.
            self._resting[rows] = _REST
        else:
            self._size.release(rows, chance=chance)

    def refresh(self, alarms_per_window: float) -> None:
        """Set thresholds from all that was learnt.

        Args:
            alarms_per_window: false alarms allowed per series and window, above 0.
        """
        self._mean.refresh(alarms_per_window)
        self._size.refresh(alarms_per_window)

    def snapshot(self) -> dict[str, Any]:
        """All state between two windows, from which ``build`` resumes exactly."""
        return {
            "version": _VERSION,
            "kind": self.kind.value,
            "mean": self._mean.snapshot(),
            "size": self._size.snapshot(),
            "resting": self._resting.astype("<f8").tobytes(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over the state of a bank of the same kind.

        Raises:
            SnapshotError: the snapshot is of another version or kind, or damaged.
        """
        with restoring(snapshot, _VERSION, self.kind):
            self._mean.restore(snapshot["mean"])
            self._size.restore(snapshot["size"])
            self._resting = np.frombuffer(snapshot["resting"], dtype="<f8").astype(np.float64)
