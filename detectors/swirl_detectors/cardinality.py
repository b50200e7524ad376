"""The number of different labels a window, under a false-alarm budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from swirl.detector import Kind, Points, Rows, Scores, restoring
from swirl.sketch import OVERFLOW
from swirl_detectors.baseline import LabelBaseline
from swirl_detectors.change import ChangeBank
from swirl_detectors.samples import count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["CardinalityBank", "CardinalityDetector", "distinct", "expected_distinct"]

_VERSION = 1
_DAY_MS = 86_400_000
_LEAST_LABELS = 3.0
_LARGEST = 1e15
_RECENT = 20
_MOST_AT_ONCE = 100


def distinct(counts: Mapping[str, int]) -> float:
    """How many different labels there are, those beyond the cap by estimate.

    What is counted as "(other)" is taken to be new as often as the next record would be: the share of labels
    seen once (I. Good, "The Population Frequencies of Species and the Estimation of Population Parameters",
    1953).

    Example:
        >>> distinct({"a": 700, "b": 300})
        2.0
        >>> distinct({"id 1": 1, "id 2": 1, "(other)": 98})
        100.0
    """
    known, once, _, named = _spectrum(counts)
    other = max(counts.get(OVERFLOW, 0), 0)
    return len(known) + once + other * (once / named if named else 1.0)


def _spectrum(counts: Mapping[str, int]) -> tuple[Array, float, float, float]:
    """Counts of labels seen more than once, how many were seen once, twice, records with a label."""
    seen = np.array([n for label, n in counts.items() if n > 0 and label != OVERFLOW], dtype=np.float64)
    return seen[seen > 1], float((seen == 1).sum()), float((seen == 2).sum()), float(seen.sum())


def expected_distinct(baseline: Mapping[str, int], n: float) -> tuple[float, float]:
    """How many different labels so many records have by chance: mean and variance.

    A label of share p is among n records with probability ``1 - exp(-n p)`` (occupancy; W. Feller,
    "An Introduction to Probability Theory and Its Applications", 1968, sec. II.5). Labels seen once in the
    baseline share the probability of ``2 f2 / N``, labels never seen that of ``f1 / N`` (Good, 1953, eq. 2
    and 9), and are taken to be different each time.

    Example:
        >>> mean, variance = expected_distinct({"a": 5000, "b": 4990, "c": 10}, 1000)
        >>> round(mean, 2), round(variance, 2)
        (2.63, 0.23)
    """
    known, once, twice, named = _spectrum(baseline)
    other = max(baseline.get(OVERFLOW, 0), 0)
    whole = named + other
    if not whole:
        return 0.0, 0.0
    missed = np.exp(-n * known / whole)
    rare = n / whole * (once + 2 * twice + (other * once / named if named else other))
    mean = float((1 - missed).sum()) + rare
    # Records of a window are shared out: what one label takes another does not get.
    shared = float((known / whole * missed).sum()) + rare / n
    variance = float((missed * (1 - missed)).sum()) + rare - n * shared * shared
    return min(mean, n), max(variance, 0.0)


@dataclass(frozen=True)
class CardinalityDetector:
    """Finds that labels are suddenly of many more kinds, or of fewer.

    An identifier leaks into a category, a join multiplies records, a vocabulary collapses.

    The number of different labels grows with the number of records, so it is compared with what a baseline
    makes of as many records, and the difference, in standard deviations of chance, is a series for the change
    detector, which learns its own level and spread. Numbers are not judged.

    Args:
        warm_up: judged windows before which only overwhelming evidence raises an alarm.
        baseline_windows: windows that the baseline takes before anything is judged.
        floor: a change by a smaller part of what is expected, or by fewer than three labels, is told to
        nobody.
        settled_windows: least windows of a baseline that is learnt no more.
        settled_values: least records of it.
        settled_ms: event time that it spans at least.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> bank = CardinalityDetector(warm_up=30).build(Kind.DISTRIBUTION)
        >>> bank.grow(1)
        >>> row, none = np.arange(1), np.zeros(1)
        >>> shares = 1 / np.arange(1, 41) / (1 / np.arange(1, 41)).sum()
        >>> for window in range(61):
        ...     seen = {f"shop {i}": int(n) for i, n in enumerate(rng.multinomial(500, shares)) if n}
        ...     if window == 60:
        ...         seen |= {f"order {i}": 1 for i in range(200)}
        ...     points = Points(window * 60_000, 60_000, none, none, [seen])
        ...     scores = bank.score(row, points)
        ...     bank.learn(row, points)
        ...     if scores.alarm[0]:
        ...         print(window, scores.value, scores.expected.round(1))
        60 [240.] [40.]
    """

    name: ClassVar[str] = "cardinality"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.DISTRIBUTION})

    warm_up: int = 60
    baseline_windows: int = 5
    floor: float = 0.25
    settled_windows: int = 50
    settled_values: int = 20_000
    settled_ms: int = _DAY_MS

    def __post_init__(self) -> None:
        if not 0 <= self.floor < math.inf:
            raise ValueError(f"the floor of cardinality is a number from 0 on, not {self.floor}")
        if self.baseline_windows < 1:
            raise ValueError("a baseline takes at least one window")

    def build(self, kind: Kind, resume: dict[str, Any] | None = None) -> CardinalityBank:
        """A bank for distributions; ``resume`` is what its ``snapshot`` gave.

        Raises:
            SnapshotError: the snapshot is of another version or kind.
        """
        bank = CardinalityBank(kind, self)
        if resume is not None:
            bank.restore(resume)
        return bank


class _Row:
    """One series: its baseline, when that began, and where the series is while it is held.

    ``offset`` is added to deviates: after a new normal they go on where the old ones were, at ``goes_on``,
    since that is where the change detector takes the series to be.
    """

    __slots__ = ("baseline", "begun_ms", "goes_on", "held", "offset", "recent", "settled")

    def __init__(self, goes_on: float | None = None) -> None:
        self.baseline = LabelBaseline()
        self.begun_ms = 0
        self.settled = False
        self.offset = 0.0
        self.goes_on = goes_on
        self.held, self.recent = 0, 0.0

    def placed(self, z: float) -> float:
        """What is added to a deviate."""
        if self.goes_on is not None:
            self.offset, self.goes_on = self.goes_on - z, None
        return self.offset

    def follow(self, z: float) -> None:
        """Where a series that is held is now."""
        if self.held and not math.isnan(z):
            self.recent += (z - self.recent) / min(self.held, _RECENT)
            self.held += 1

    def learn(self, sample: dict[str, int], end_ms: int, config: CardinalityDetector) -> None:
        """Take a sample as normal, until the baseline holds enough."""
        known = self.baseline
        if self.settled or count(sample) * known.windows > _MOST_AT_ONCE * known.count > 0:
            # One enormous window would be all that is known.
            return
        if not known.windows:
            self.begun_ms = end_ms
        known.learn(sample)
        self.settled = (
            known.windows >= max(config.settled_windows, config.baseline_windows)
            and known.count >= config.settled_values
            and end_ms - self.begun_ms >= config.settled_ms
        )


class CardinalityBank:
    """The running form."""

    def __init__(self, kind: Kind, config: CardinalityDetector) -> None:
        if kind is not Kind.DISTRIBUTION:
            raise ValueError(f"the cardinality detector judges distributions, not a {kind.value}")
        self._config = config
        self._rows: list[_Row] = []
        self._judged: dict[int, dict[str, int]] = {}
        self._z: Array = np.empty(0)
        self._inner = ChangeBank(Kind.LEVEL, config.warm_up)

    @property
    def expected_alarms(self) -> float:
        """False alarms that the thresholds in force have allowed so far."""
        return self._inner.expected_alarms

    def grow(self, size: int) -> None:
        """Make room: rows ``0 .. size - 1`` exist from now on. Never shrinks."""
        new = max(0, size - len(self._rows))
        self._rows += [_Row() for _ in range(new)]
        self._z = np.concatenate((self._z, np.full(new, np.nan)))
        self._inner.grow(size)

    def score(self, rows: Rows, points: Points) -> Scores:
        """Judge the points by what was learnt before them. Moves the evidence on, learns nothing."""
        n = len(rows)
        self._judged.clear()
        self._z[:] = np.nan
        value, mean, spread, offset = (np.full(n, np.nan) for _ in range(4))
        for at, (number, sample) in enumerate(zip(rows.tolist(), points.samples, strict=False)):
            if not isinstance(sample, dict) or not 0 < count(sample) < _LARGEST:
                continue
            self._judged[number] = sample
            known = self._rows[number].baseline
            if known.windows >= self._config.baseline_windows:
                value[at] = distinct(sample)
                mean[at], variance = expected_distinct(known.counts, count(sample))
                spread[at] = math.sqrt(variance + 1)
                offset[at] = self._rows[number].placed(float((value[at] - mean[at]) / spread[at]))
        self._z[rows] = (value - mean) / spread + offset
        for number in rows.tolist():
            self._rows[number].follow(float(self._z[number]))
        inner = self._inner.score(rows, Points(points.start_ms, points.window_ms, self._z[rows], np.ones(n)))
        scores = self._shown(value, mean - offset * spread, spread, inner)
        for number in rows[scores.alarm].tolist():
            del self._judged[number]
        return scores

    def _shown(self, value: Array, mean: Array, spread: Array, inner: Scores) -> Scores:
        """The scores of the standardised number, in labels."""
        expected = mean + np.nan_to_num(inner.expected) * spread
        least = np.maximum(_LEAST_LABELS, self._config.floor * expected)
        low = np.maximum(np.minimum(mean + inner.low * spread, expected - least), 0.0)
        enough = np.abs(value - expected) >= least
        below_alarm = np.minimum(inner.evidence, math.nextafter(1.0, 0.0))
        return Scores(
            value=value,
            evidence=np.where(enough, inner.evidence, below_alarm),
            expected=expected,
            low=low,
            high=np.maximum(mean + inner.high * spread, expected + least),
            alarm=inner.alarm & enough,
            loud=inner.loud & enough,
            accumulated=inner.accumulated & enough,
            since_ms=inner.since_ms,
            learning=inner.learning,
        )

    def learn(self, rows: Rows, points: Points) -> None:
        """Take the points that were scored last as normal; those that raised an alarm are left out."""
        z = self._z[rows]
        self._inner.learn(rows, Points(points.start_ms, points.window_ms, z, np.ones(len(rows))))
        end_ms = points.start_ms + points.window_ms
        for number in rows.tolist():
            sample = self._judged.pop(number, None)
            if sample is not None:
                self._rows[number].learn(sample, end_ms, self._config)

    def hold(self, rows: Rows) -> None:
        """The rows are in an incident: they raise no alarm, and are ``loud`` while far from normal."""
        self._inner.hold(rows)
        for number in rows.tolist():
            self._rows[number].held = max(self._rows[number].held, 1)

    def release(self, rows: Rows, *, adopt: bool = False, chance: bool = False) -> None:
        """The incident is over. With ``adopt`` the baseline begins anew."""
        self._inner.release(rows, adopt=adopt, chance=chance)
        for number in rows.tolist():
            row = self._rows[number]
            if adopt:
                self._rows[number] = _Row(row.recent if row.held > 1 else None)
                self._rows[number].offset = row.offset
            row.held, row.recent = 0, 0.0

    def refresh(self, alarms_per_window: float) -> None:
        """Set thresholds from all that was learnt.

        Args:
            alarms_per_window: false alarms allowed per series and window, above 0.
        """
        self._inner.refresh(alarms_per_window)

    def snapshot(self) -> dict[str, Any]:
        """All state between two windows, from which ``build`` resumes exactly."""
        return {
            "version": _VERSION,
            "kind": Kind.DISTRIBUTION.value,
            "inner": self._inner.snapshot(),
            "rows": [
                [
                    row.baseline.pack(),
                    row.begun_ms,
                    row.settled,
                    row.offset,
                    row.goes_on,
                    row.held,
                    row.recent,
                ]
                for row in self._rows
            ],
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over the state of another bank.

        Raises:
            SnapshotError: the snapshot is of another version or kind, or damaged.
        """
        with restoring(snapshot, _VERSION, Kind.DISTRIBUTION):
            self._inner.restore(snapshot["inner"])
            self._rows = []
            for baseline, begun_ms, settled, offset, goes_on, held, recent in snapshot["rows"]:
                row = _Row(None if goes_on is None else float(goes_on))
                row.offset = float(offset)
                row.baseline = LabelBaseline.unpack(baseline)
                row.held, row.recent = int(held), float(recent)
                row.begun_ms, row.settled = int(begun_ms), bool(settled)
                self._rows.append(row)
            self._z = np.full(len(self._rows), np.nan)
