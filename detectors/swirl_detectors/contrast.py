"""Two versions side by side in the same windows: a difference that is no chance, from the first window on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from swirl.detector import Kind
from swirl_detectors.charts import ChartBank, moved, surprise

if TYPE_CHECKING:
    from swirl.detector import Rows
    from swirl.scalar import Point

__all__ = ["Contrast", "ContrastBank", "ContrastDetector"]

_TILTS = (1.0, 2.0, 4.0)
_CLIP = 8.0
_MOST = 30.0
_CALM = 1.5
_FAST = 0.2
_WIDER, _MARGIN = 1.5, 2.0
"""With more traffic the same difference is more sigmas."""
_PRIOR = 30.0


class Contrast:
    """Charts (:mod:`swirl_detectors.charts`) over the deviate of a contrast.

    Records come in clusters, so the spread of z is learnt, with a prior of 1 that is worth 30 windows; it
    never falls below 1. A window in which the versions are alike halves what was gathered: a canary that was
    taken back is soon forgotten.
    """

    def __init__(self) -> None:
        self.evidence = [0.0] * (2 * len(_TILTS))
        self.points = 0
        self.square = 0.0
        self.level = 0.0
        self.accepted = 0.0

    def score(self, point: Point) -> float:
        """Nats that the versions differ, by this window and those before it."""
        self.level += _FAST * (point.value - self.level)
        z = min(max(self._beyond(point.value) / self._spread, -_CLIP), _CLIP)
        keep = 0.5 if abs(z) < _CALM else 1.0
        self.evidence = [min(c, _MOST) for c in moved(self.evidence, z, _TILTS, keep)]
        return surprise(self.evidence, _TILTS)

    def _beyond(self, z: float) -> float:
        """How far the difference lies outside what was accepted: anything between none and that one."""
        return z - min(max(z, min(self.accepted, 0.0)), max(self.accepted, 0.0))

    @property
    def expected(self) -> float:
        """No difference, or the one that was accepted."""
        return self.accepted

    def accept(self) -> None:
        """The present difference is wanted, as in an experiment with two versions that stay."""
        margin = math.copysign(_MARGIN, self.level)
        self.accepted, self.evidence = _WIDER * self.level + margin, [0.0] * len(self.evidence)

    @property
    def _spread(self) -> float:
        return math.sqrt(max((self.square + _PRIOR) / (self.points + _PRIOR), 1.0))

    def learn(self, point: Point) -> None:
        """Take the difference as chance."""
        if self.points >= 20 * _PRIOR:
            self.points, self.square = self.points // 2, self.square / 2
        self.points += 1
        self.square += min(abs(self._beyond(point.value)), _CLIP) ** 2


class ContrastBank(ChartBank):
    """The running form. What a person accepts is a difference, not a new beginning."""

    def release(self, rows: Rows, *, adopt: bool = False, chance: bool = False) -> None:
        """The incident is over. With ``adopt`` the present difference is normal from now on."""
        super().release(rows, chance=chance)
        for row in rows.tolist() if adopt else ():
            detector = self.charted(row)
            assert isinstance(detector, Contrast)
            detector.accept()


@dataclass(frozen=True)
class ContrastDetector:
    """Judges the contrast of versions (:mod:`swirl.contrast`), so that a canary of few records is seen.

    Its currency is nats with a null law that is known, so there is no warm-up: the second window of a bad
    canary may raise the alarm.

    Example:
        >>> import numpy as np
        >>> from swirl.detector import Points
        >>> bank = ContrastDetector().build(Kind.LEVEL)
        >>> bank.grow(1)
        >>> bank.refresh(5e-6)
        >>> row, one, rng = np.arange(1), np.ones(1), np.random.default_rng(1)
        >>> for window in range(40):
        ...     z = rng.normal(0.0 if window < 30 else 5.0, 1.0, 1)
        ...     scores = bank.score(row, Points(window * 60_000, 60_000, z, one))
        ...     bank.learn(row, Points(window * 60_000, 60_000, z, one))
        ...     if scores.alarm[0]:
        ...         print(window, scores.value.round(1), scores.evidence.round(1))
        ...         break
        30 [7.1] [1.8]
    """

    name: ClassVar[str] = "contrast"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.LEVEL})

    def build(self, kind: Kind, resume: dict[str, Any] | None = None) -> ContrastBank:
        """A bank for series of standard normal deviates; ``resume`` is what its ``snapshot`` gave.

        Raises:
            SnapshotError: the snapshot is of another version or kind.
        """
        bank = ContrastBank(kind, Contrast, warm_up=0)
        if resume is not None:
            bank.restore(resume)
        return bank
