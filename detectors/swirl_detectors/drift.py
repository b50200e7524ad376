"""Drift of a distribution away from what it was, under a false-alarm budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from swirl.detector import Kind, Points, Rows, Scores, restoring
from swirl.drift import cell_counts, cell_edges, chance, chi_square_deviate, label_cells, psi_of_cells
from swirl.sketch import Categories, Distribution
from swirl_detectors.change import ChangeBank

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Sample = Distribution | dict[str, int]

__all__ = ["DriftBank", "DriftDetector"]

_VERSION = 1
_K = 200
_LABELS = 200
_LARGEST_INDEX = 20.0
"""No sample gets there."""


@dataclass(frozen=True)
class DriftDetector:
    """Finds that numbers or labels are no longer distributed as they were.

    The population stability index of a window against a baseline is standardised by its null law
    (:func:`swirl.drift.psi`). That law is for independent records, and records come in clusters; so the
    standardised index is a series like any other, judged by the change detector, which learns its level and
    its spread. Only a growing drift is an anomaly.

    Args:
        warm_up: judged windows before which only overwhelming evidence raises an alarm.
        least_values: smaller windows are merged until they hold so many values.
        baseline_windows: windows of so many values that the baseline takes before anything is judged.
        floor: drift below this index, less what chance adds to it, is told to nobody.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> bank = DriftDetector(warm_up=30).build(Kind.DISTRIBUTION)
        >>> bank.grow(1)
        >>> row, none = np.arange(1), np.zeros(1)
        >>> for window in range(62):
        ...     seen = Distribution()
        ...     _ = seen.update(rng.normal(0.0 if window < 60 else 1.0, 1.0, 1000))
        ...     points = Points(window * 60_000, 60_000, none, none, [seen])
        ...     scores = bank.score(row, points)
        ...     bank.learn(row, points)
        ...     if scores.alarm[0]:
        ...         print(window, scores.value.round(2), scores.high.round(2), bank.z.round(1))
        60 [1.05] [0.06] [24.3]
        61 [0.95] [0.06] [23.3]
    """

    name: ClassVar[str] = "drift"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.DISTRIBUTION})

    warm_up: int = 60
    least_values: int = 200
    baseline_windows: int = 5
    floor: float = 0.05

    def build(self, kind: Kind, resume: dict[str, Any] | None = None) -> DriftBank:
        """A bank for distributions; ``resume`` is what its ``snapshot`` gave.

        Raises:
            SnapshotError: the snapshot is of another version or kind.
        """
        bank = DriftBank(kind, self)
        if resume is not None:
            bank.restore(resume)
        return bank


class _Row:
    """One series: its baseline, what waits to be judged, and what was judged last."""

    __slots__ = ("baseline", "cells", "edges", "edges_count", "judged", "pending", "windows")

    def __init__(self) -> None:
        self.baseline: Distribution | Categories | None = None
        self.windows = 0
        self.edges: list[float] = []
        self.edges_count = 0
        self.cells: Array = np.empty(0)
        self.pending: Sample | None = None
        self.judged: Sample | None = None

    def collect(self, sample: Sample, least: int) -> Sample | None:
        """The sample and those before it that were too small; None while all is too small."""
        if self.pending is not None:
            sample = _merged(self.pending, sample)
        if _count(sample) >= least:
            self.pending = None
            return sample
        # Late records may still change the window that the sample is of.
        self.pending = sample.copy() if isinstance(sample, Distribution) else dict(sample)
        return None

    def compare(self, sample: Sample) -> tuple[float, float, int] | None:
        """Index, chance and degrees of freedom of a sample; None if it is of another sort."""
        if isinstance(sample, Distribution):
            if not isinstance(self.baseline, Distribution):
                return None
            a, b = self.cells, cell_counts(sample, self.edges)
        elif isinstance(self.baseline, Categories):
            a, b = label_cells(self.baseline.counts, sample)
        else:
            return None
        law = chance(float(a.sum()), float(b.sum()), digests=isinstance(sample, Distribution))
        return psi_of_cells(a, b), law, max(len(a) - 1, 1)

    def learn(self, sample: Sample) -> None:
        """Merge a sample into the baseline."""
        if isinstance(sample, Distribution):
            if not isinstance(self.baseline, Distribution):
                self.baseline, self.windows, self.edges_count = Distribution(_K), 0, 0
            self.baseline.merge(sample)
            # Cells stay while the baseline grows, but the first of them rest on little.
            if self.baseline.count >= 2 * self.edges_count:
                self.edges, self.edges_count = cell_edges(self.baseline), self.baseline.count
            self.cells = cell_counts(self.baseline, self.edges)
        else:
            if not isinstance(self.baseline, Categories):
                self.baseline, self.windows = Categories(_LABELS), 0
            self.baseline.add(dict(sorted(sample.items())))
        self.windows += 1


def _count(sample: Sample) -> int:
    return sample.count if isinstance(sample, Distribution) else sum(sample.values())


def _merged(a: Sample, b: Sample) -> Sample:
    """Both together; what is older gives way where they are not of the same sort."""
    if isinstance(a, Distribution) and isinstance(b, Distribution):
        both = Distribution(_K)
        both.merge(a)
        both.merge(b)
        return both
    if isinstance(a, Distribution) or isinstance(b, Distribution):
        return b
    return {label: a.get(label, 0) + b.get(label, 0) for label in sorted(set(a) | set(b))}


def _pack(sample: Sample | Categories | None) -> Any:
    if isinstance(sample, Distribution):
        return [sample.count, sample.total, sample.encode()]
    return dict(sample.counts) if isinstance(sample, Categories) else sample


def _unpack(data: Any) -> Sample | None:
    if data is None:
        return None
    return {str(k): int(v) for k, v in data.items()} if isinstance(data, dict) else Distribution.decode(*data)


class DriftBank:
    """The running form.

    Attributes:
        z: of each row, the index of the last window as a standard normal deviate by its null law: for
            diagnosis, where independent evidence is added up. NaN where that window said nothing. Shape
            ``(size,)``.
    """

    def __init__(self, kind: Kind, config: DriftDetector) -> None:
        if kind is not Kind.DISTRIBUTION:
            raise ValueError(f"the drift detector judges distributions, not a {kind.value}")
        self.z: Array = np.empty(0)
        self._config = config
        self._rows: list[_Row] = []
        self._inner = ChangeBank(Kind.LEVEL, config.warm_up, rising_only=True)

    @property
    def expected_alarms(self) -> float:
        """False alarms that the thresholds in force have allowed so far."""
        return self._inner.expected_alarms

    def grow(self, size: int) -> None:
        """Make room: rows ``0 .. size - 1`` exist from now on. Never shrinks."""
        new = max(0, size - len(self._rows))
        self._rows += [_Row() for _ in range(new)]
        self.z = np.concatenate((self.z, np.full(new, np.nan)))
        self._inner.grow(size)

    def score(self, rows: Rows, points: Points) -> Scores:
        """Judge the points by what was learnt before them. Moves the evidence on, learns nothing."""
        n = len(rows)
        index, law, freedom = np.full(n, np.nan), np.full(n, np.nan), np.ones(n)
        self.z[:] = np.nan
        for row in self._rows:
            row.judged = None
        for at, (number, sample) in enumerate(zip(rows.tolist(), points.samples, strict=False)):
            row = self._rows[number]
            if sample is None or not _count(sample):
                continue
            row.judged = row.collect(sample, self._config.least_values)
            if row.judged is None or row.windows < self._config.baseline_windows:
                continue
            compared = row.compare(row.judged)
            if compared is not None:
                index[at], law[at], freedom[at] = compared
                self.z[number] = chi_square_deviate(index[at] / law[at], freedom[at])
        inner = Points(points.start_ms, points.window_ms, self.z[rows], np.ones(n))
        scores = self._shown(index, law, freedom, self._inner.score(rows, inner))
        for number in rows[scores.alarm].tolist():
            self._rows[number].judged = None
        return scores

    def _shown(self, index: Array, law: Array, freedom: Array, inner: Scores) -> Scores:
        """The scores of the standardised index, in units of the index."""
        least = self._config.floor + freedom * law
        high = np.maximum(_to_index(inner.high, law, freedom), least)
        high[high > _LARGEST_INDEX] = np.nan
        enough = index >= least
        below_alarm = np.minimum(inner.evidence, math.nextafter(1.0, 0.0))
        return Scores(
            value=index,
            evidence=np.where(enough, inner.evidence, below_alarm),
            expected=_to_index(inner.expected, law, freedom),
            low=np.where(np.isnan(index), np.nan, 0.0),
            high=high,
            alarm=inner.alarm & enough,
            loud=inner.loud & enough,
            accumulated=inner.accumulated & enough,
            since_ms=inner.since_ms,
            learning=inner.learning,
        )

    def learn(self, rows: Rows, points: Points) -> None:
        """Take the points that were scored last as normal; those that raised an alarm are left out."""
        z = self.z[rows]
        self._inner.learn(rows, Points(points.start_ms, points.window_ms, z, np.ones(len(rows))))
        for number in rows.tolist():
            row = self._rows[number]
            if row.judged is not None:
                row.learn(row.judged)
                row.judged = None

    def hold(self, rows: Rows) -> None:
        """The rows are in an incident: they raise no alarm, and are ``loud`` while far from normal."""
        self._inner.hold(rows)

    def release(self, rows: Rows, *, adopt: bool = False, chance: bool = False) -> None:
        """The incident is over. With ``adopt`` the baseline begins anew."""
        self._inner.release(rows, adopt=adopt, chance=chance)
        if adopt:
            for number in rows.tolist():
                self._rows[number] = _Row()

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
            "z": self.z.astype("<f8").tobytes(),
            "rows": [
                [_pack(row.baseline), row.windows, list(row.edges), row.edges_count, _pack(row.pending)]
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
            self._rows = [self._resumed(*data) for data in snapshot["rows"]]
            self.z = np.frombuffer(snapshot["z"], dtype="<f8").astype(np.float64)

    @staticmethod
    def _resumed(baseline: Any, windows: int, edges: list[float], edges_count: int, pending: Any) -> _Row:
        row = _Row()
        known = _unpack(baseline)
        if isinstance(known, dict):
            row.baseline = Categories(_LABELS)
            row.baseline.counts = known
        else:
            row.baseline = known
        row.windows, row.edges, row.edges_count = windows, list(edges), edges_count
        if isinstance(row.baseline, Distribution):
            row.cells = cell_counts(row.baseline, row.edges)
        row.pending = _unpack(pending)
        return row


def _to_index(z: Array, law: Array, freedom: Array) -> Array:
    """The index whose deviate is z: the inverse of :func:`swirl.drift.chi_square_deviate`."""
    spread = 2 / (9 * freedom)
    root = np.maximum(1 - spread + z * np.sqrt(spread), 0.0)
    return root * root * root * freedom * law
