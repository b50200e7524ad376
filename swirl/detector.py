"""What a detector is: it scores a point, then it learns it.

A detector has two forms. Its *configuration* is a frozen dataclass, registered as an entry point of the group
``swirl.detectors``; ``configuration.build(resume)`` gives its running form, a *bank*, which holds all series
of one kind of one pipeline as rows of numpy arrays, so that ten thousand series cost one pass.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from swirl.errors import SnapshotError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from swirl.sketch import Distribution

__all__ = ["Bank", "Detector", "Kind", "Points", "Rows", "Scores", "detectors", "restoring"]

Rows = NDArray[np.intp]
"""Indices of series within a bank, increasing, shape ``(n,)``."""


class Kind(Enum):
    """What the numbers of a series are, and so what chance does to them."""

    RATE = "rate"
    """A count a window: Poisson, or more dispersed."""
    RATIO = "ratio"
    """k of n: binomial, or more dispersed."""
    LEVEL = "level"
    """A real number."""
    POSITIVE = "positive"
    """A positive number whose logarithm is judged, such as a latency."""
    DISTRIBUTION = "distribution"
    """A summary of numbers, or counts by label."""


@dataclass(frozen=True, slots=True)
class Points:
    """One window of several series of one kind.

    Attributes:
        start_ms: start of the window, event time.
        window_ms: its length.
        value: rate: the count; ratio: the numerator; level, positive: the value. NaN: not measured, which a
            detector must take as "nothing happened". Shape ``(n,)``.
        weight: ratio: the denominator (0 is taken as not measured); otherwise 1. Shape ``(n,)``.
        samples: distribution only: what was seen, by row.
    """

    start_ms: int
    window_ms: int
    value: NDArray[np.float64]
    weight: NDArray[np.float64]
    samples: Sequence[Distribution | dict[str, int] | None] = ()


@dataclass(frozen=True, slots=True)
class Scores:
    """What a bank thinks of the points, all of shape ``(n,)``.

    Attributes:
        value: what is shown for the point: rate: the count; ratio: numerator over denominator; distribution:
            the statistic.
        evidence: nats that the point and those before it speak for a change, as a share of what an alarm
            takes: an alarm is at 1 or above. 0 while nothing is measured.
        expected, low, high: in the units of ``value``. ``low`` and ``high`` are the alarm limits themselves:
            a value outside would have raised an alarm, given the evidence gathered before. NaN while unknown.
        alarm: this point spends the budget. Never for a row that is held.
        loud: of a row that is held: still far from normal.
        accumulated: the alarm comes from many small steps, and the last point may lie inside its limits.
        since_ms: start of the window in which the present excursion began; where there is none, the point's
            own.
        learning: too little history: only overwhelming evidence raises an alarm.
    """

    value: NDArray[np.float64]
    evidence: NDArray[np.float64]
    expected: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    alarm: NDArray[np.bool_]
    loud: NDArray[np.bool_]
    accumulated: NDArray[np.bool_]
    since_ms: NDArray[np.int64]
    learning: NDArray[np.bool_]

    @classmethod
    def neutral(cls, points: Points) -> Scores:
        """Scores that say nothing about any point."""
        n = len(points.value)
        nan, no = np.full(n, np.nan), np.zeros(n, dtype=np.bool_)
        since = np.full(n, points.start_ms, dtype=np.int64)
        return cls(points.value, np.zeros(n), nan, nan, nan, no, no, no, since, ~no)


@runtime_checkable
class Bank(Protocol):
    """The running form of a detector over the series of one kind in one pipeline.

    The monitor calls, for each closed window that is whole: :meth:`score`, then :meth:`learn` for those rows
    that are not held. :meth:`refresh` follows about once an hour of event time. A bank may offer more:
    ``expected_alarms``, what its thresholds have spent; ``refer(row, sample)``, a baseline that is given;
    ``moved(row)``, what moved in a distribution; ``z``, its rows as standard normal deviates;
    ``forecast(rows, start_ms, window_ms)``, what a season makes of a window.
    """

    def grow(self, size: int) -> None:
        """Make room: rows ``0 .. size - 1`` exist from now on. Never shrinks."""
        ...

    def score(self, rows: Rows, points: Points) -> Scores:
        """Judge the points by what was learnt before them. Moves the evidence on, learns nothing."""
        ...

    def learn(self, rows: Rows, points: Points) -> None:
        """Take the points, which were the last to be scored, as normal. Returns nothing."""
        ...

    def hold(self, rows: Rows) -> None:
        """The rows are in an incident: they raise no alarm, and say ``loud`` while far from normal."""
        ...

    def release(self, rows: Rows, *, adopt: bool = False, chance: bool = False) -> None:
        """The incident is over.

        Args:
            rows: that were held.
            adopt: the old level is forgotten: what the rows do now is normal.
            chance: the alarm was a false one, from which thresholds may learn; otherwise it was real.
        """
        ...

    def refresh(self, alarms_per_window: float) -> None:
        """Set thresholds from all that was learnt.

        Args:
            alarms_per_window: false alarms allowed per series and window.
        """
        ...

    def snapshot(self) -> dict[str, Any]:
        """All state, of types that MessagePack knows (arrays as bytes); ``build`` resumes from it exactly."""
        ...


@runtime_checkable
class Detector(Protocol):
    """The configuration of a detector: frozen, comparable, cheap to make.

    Attributes:
        name: as registered.
        kinds: which series it can judge.
    """

    name: ClassVar[str]
    kinds: ClassVar[frozenset[Kind]]

    def build(self, kind: Kind, resume: dict[str, Any] | None = None) -> Bank:
        """A bank for series of one kind; ``resume`` is what its ``snapshot`` gave.

        Raises:
            SnapshotError: the snapshot is of another version or kind.
        """
        ...


@contextmanager
def restoring(snapshot: Mapping[str, Any], version: int, kind: Kind) -> Iterator[None]:
    """Around the lines of a bank that take over a snapshot: what is wrong with it becomes one error.

    Args:
        snapshot: with its ``version`` and ``kind``.
        version: that the bank takes.
        kind: of the bank.

    Raises:
        SnapshotError: the snapshot is of another version or kind, or damaged.
    """
    if (snapshot.get("version"), snapshot.get("kind")) != (version, kind.value):
        raise SnapshotError(
            f"the snapshot is of version {snapshot.get('version')} and kind {snapshot.get('kind')}; "
            f"this bank takes version {version} and kind {kind.value}"
        )
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, SnapshotError):
            raise
        raise SnapshotError(f"the snapshot is damaged: {error}") from None


@dataclass(frozen=True, slots=True)
class _Registry:
    found: dict[str, type[Detector]] = field(default_factory=dict)


_registry = _Registry()


def detectors() -> dict[str, type[Detector]]:
    """All detectors that are installed, by name: Swirl's own and anyone's, found by entry point."""
    if not _registry.found:
        for point in sorted(entry_points(group="swirl.detectors"), key=lambda p: p.name):
            _registry.found[point.name] = point.load()
    return dict(_registry.found)
