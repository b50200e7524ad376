"""Drift of a distribution away from what it was, under a false-alarm budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from swirl.detector import Kind, Points, Rows, Scores, restoring
from swirl.errors import SnapshotError
from swirl_detectors.change import ChangeBank
from swirl_detectors.drift_series import Judged, Series, Settling
from swirl_detectors.samples import Sample, count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from swirl.sketch import Distribution
    from swirl_detectors.baseline import Moved

    Array = NDArray[np.float64]

__all__ = ["FLOORS", "DriftBank", "DriftDetector"]

_VERSION = 2
_DAY_MS = 86_400_000
_OUTRIGHT = 0.2
"""The part of the budget for windows that are nothing like the baseline, whatever came before them."""
_LARGEST = {"psi": 20.0, "chi-square": 2.0, "ks": 1.0, "wasserstein": 20.0, "jensen-shannon": 0.8326}
"""No sample gets there."""
_LARGEST_RATIO = 1e9

FLOORS = {"psi": 0.05, "chi-square": 0.05, "ks": 0.08, "wasserstein": 0.2, "jensen-shannon": 0.08}
"""Statistic -> drift that is told to nobody: what a shift by a fifth of a standard deviation makes."""


@dataclass(frozen=True)
class DriftDetector:
    """Finds that numbers or labels are no longer distributed as they were.

    A statistic of a window against a baseline is standardised by its null law (:mod:`swirl.drift`). That law
    is for independent records, and records come in clusters; so how far windows lie off without drift is
    learnt beside the baseline, and the standardised statistic is a series like any other, judged by the
    change detector, which learns what is left. Only a growing drift is an anomaly.

    The baseline is learnt until it holds enough, and never again: a drift of a percent a day is one against
    it. From then on, and at once where a baseline was given (:meth:`DriftBank.refer`), a window is also
    judged outright, by an F test of its distance against the usual one, with a fifth of the budget.

    Args:
        warm_up: judged windows before which only overwhelming evidence raises an alarm.
        least_values: smaller windows are merged until they hold so many values.
        baseline_windows: windows of so many values that the baseline takes before anything is judged.
        floor: drift below this, less what chance adds to it, is told to nobody; in units of the statistic. By
            default :data:`FLOORS`.
        statistic: "ks" and "wasserstein" (of the middle 99 %, in standard deviations) judge numbers, with
            "psi" for labels beside them; "psi", "jensen-shannon" and "chi-square" (over its chance, so that
            it does not grow with the sample) judge both.
        settled_windows: least windows of a baseline that is learnt no more.
        settled_values: least values of it.
        settled_ms: event time that it spans at least: a day, so that the rhythm of a day is in it.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> bank = DriftDetector(warm_up=30).build(Kind.DISTRIBUTION)
        >>> bank.grow(1)
        >>> row, none = np.arange(1), np.zeros(1)
        >>> for window in range(62):
        ...     counts = rng.multinomial(1000, [0.7, 0.3, 0.0] if window < 60 else [0.4, 0.3, 0.3])
        ...     seen = dict(zip(("EUR", "USD", "EUR2"), counts.tolist()))
        ...     points = Points(window * 60_000, 60_000, none, none, [seen])
        ...     scores = bank.score(row, points)
        ...     bank.learn(row, points)
        ...     if scores.alarm[0]:
        ...         print(window, scores.value.round(2), bank.moved(0)[0])
        60 [3.04] ('EUR2', 0.0, 0.278)
        61 [3.61] ('EUR2', 0.0, 0.325)
    """

    name: ClassVar[str] = "drift"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.DISTRIBUTION})

    warm_up: int = 60
    least_values: int = 200
    baseline_windows: int = 5
    floor: float | None = None
    statistic: str = "ks"
    settled_windows: int = 50
    settled_values: int = 20_000
    settled_ms: int = _DAY_MS

    def __post_init__(self) -> None:
        if self.statistic not in FLOORS:
            raise ValueError(f"no drift statistic {self.statistic!r}; there are {', '.join(sorted(FLOORS))}")
        if self.floor is not None and not 0 <= self.floor < math.inf:
            raise ValueError(f"the floor of drift is a number from 0 on, not {self.floor}")
        if min(self.least_values, self.baseline_windows) < 1:
            raise ValueError("a drift baseline takes at least one window of at least one value")

    def build(self, kind: Kind, resume: dict[str, Any] | None = None) -> DriftBank:
        """A bank for distributions; ``resume`` is what its ``snapshot`` gave.

        Raises:
            SnapshotError: the snapshot is of another version or kind.
        """
        bank = DriftBank(kind, self)
        if resume is not None:
            bank.restore(resume)
        return bank


class DriftBank:
    """The running form.

    Attributes:
        z: of each row, the statistic of the last window as a standard normal deviate by its null law and the
            learnt dispersion: for diagnosis, where independent evidence is added up. NaN where that window
            said nothing. Shape ``(size,)``.
    """

    def __init__(self, kind: Kind, config: DriftDetector) -> None:
        if kind is not Kind.DISTRIBUTION:
            raise ValueError(f"the drift detector judges distributions, not a {kind.value}")
        self.z: Array = np.empty(0)
        self._config = config
        begin = config.baseline_windows
        self._settling = Settling(
            begin, max(config.settled_windows, begin), config.settled_values, config.settled_ms
        )
        self._rows: list[Series] = []
        self._judged: dict[int, tuple[Sample, Judged | None]] = {}
        self._inner = ChangeBank(Kind.LEVEL, config.warm_up, sides="up", known_law=True)
        self._outright = 5e-6 * _OUTRIGHT
        self._allowed = 0.0
        self._alarmed: Rows = np.empty(0, dtype=np.intp)

    @property
    def expected_alarms(self) -> float:
        """False alarms that the thresholds in force have allowed so far."""
        return self._inner.expected_alarms + self._allowed

    def grow(self, size: int) -> None:
        """Make room: rows ``0 .. size - 1`` exist from now on. Never shrinks."""
        new = max(0, size - len(self._rows))
        self._rows += [Series() for _ in range(new)]
        self.z = np.concatenate((self.z, np.full(new, np.nan)))
        self._inner.grow(size)

    def refer(self, row: int, sample: Distribution | Mapping[str, int]) -> None:
        """Give a row its baseline: training data, a file, another stage. It is judged by that from now on.

        The baseline never changes, until :meth:`release` with ``adopt`` forgets it. What was learnt before is
        forgotten. To give the same one again, as a start does, changes nothing.

        Args:
            row: of the series.
            sample: numbers, best summarised with k = 200 or more, or counts by label.

        Raises:
            ValueError: it is empty, or the row has another given baseline.

        Example:
            >>> bank = DriftDetector().build(Kind.DISTRIBUTION)
            >>> bank.grow(1)
            >>> bank.refer(0, {"cat": 6000, "dog": 4000})
            >>> bank.refresh(1e-6)
            >>> none, serve = np.zeros(1), {"cat": 150, "dog": 850}
            >>> for window in range(3):
            ...     points = Points(window * 60_000, 60_000, none, none, [serve])
            ...     scores = bank.score(np.arange(1), points)
            ...     bank.learn(np.arange(1), points)
            ...     print(scores.value.round(2), scores.alarm)
            [0.96] [ True]
            [0.96] [ True]
            [0.96] [ True]
        """
        given: Sample = sample if not hasattr(sample, "items") else dict(sample.items())
        if not count(given):
            raise ValueError("a drift baseline needs at least one value")
        now, fresh = self._rows[row], Series()
        fresh.refer(given)
        if now.given and now.baseline is not None and fresh.baseline is not None:
            if now.baseline.pack() == fresh.baseline.pack():
                return
            raise ValueError(f"row {row} has a given baseline; release it with adopt=True first")
        self._inner.release(np.array([row]), adopt=True)
        self._rows[row] = fresh
        self._judged.pop(row, None)

    def moved(self, row: int) -> list[Moved]:
        """What moved most in the window that was scored last, against the baseline: five at most.

        Returns:
            Label or interval, its share before, its share now; new ones first, then vanished ones, then by
            how far they moved. Empty where that window said nothing, and after a resume until the next
            window. Ask before :meth:`learn`, which takes what is no alarm into a baseline that is still
            learnt.

        Example:
            >>> bank = DriftDetector(baseline_windows=1).build(Kind.DISTRIBUTION)
            >>> bank.grow(1)
            >>> row, none = np.arange(1), np.zeros(1)
            >>> for seen in ({"EUR": 700, "USD": 300}, {"EUR": 500, "USD": 100, "EUR2": 400}):
            ...     points = Points(0, 60_000, none, none, [seen])
            ...     scores = bank.score(row, points)
            ...     moved = bank.moved(0)
            ...     bank.learn(row, points)
            >>> moved
            [('EUR2', 0.0, 0.4), ('EUR', 0.7, 0.5), ('USD', 0.3, 0.1)]
        """
        series = self._rows[row]
        if series.baseline is None or series.last is None:
            return []
        return series.baseline.moved(series.last)

    def score(self, rows: Rows, points: Points) -> Scores:
        """Judge the points by what was learnt before them. Moves the evidence on, learns nothing."""
        n = len(rows)
        self.z[:] = np.nan
        self._judged.clear()
        for series in self._rows:
            series.last = None
        said: list[Judged | None] = [None] * n
        for at, (number, sample) in enumerate(zip(rows.tolist(), points.samples, strict=False)):
            if sample is not None and count(sample):
                said[at] = self._judge(number, sample)
        inner = Points(points.start_ms, points.window_ms, self.z[rows], np.ones(n))
        scores = self._shown(rows, said, self._inner.score(rows, inner))
        self._alarmed = rows[scores.alarm]
        for at in np.flatnonzero(scores.alarm).tolist():
            self._note_alarm(int(rows[at]), said[at])
        return scores

    def _judge(self, number: int, sample: Sample) -> Judged | None:
        config, series = self._config, self._rows[number]
        whole = series.collect(sample, config.least_values)
        if whole is None:
            return None
        found = series.judge(whole, config.statistic, config.baseline_windows)
        self._judged[number] = whole, found
        if found is not None:
            series.last, self.z[number] = whole, found.z
        return found

    def _note_alarm(self, number: int, found: Judged | None) -> None:
        del self._judged[number]
        if found is not None:
            ratio = min(found.distance.squared / found.distance.law.mean, _LARGEST_RATIO)
            self._rows[number].alarmed = ratio, found.distance.law.freedom

    def _shown(self, rows: Rows, said: list[Judged | None], inner: Scores) -> Scores:
        """The scores of the standardised statistic and of windows outright, in units of the statistic."""
        ends = zip(said, inner.expected.tolist(), inner.high.tolist(), strict=True)
        columns = np.array([self._in_units(*end) for end in ends]).reshape(-1, 5)
        value, expected, high, least, nats = columns.T
        held = np.array([self._rows[number].held for number in rows.tolist()], dtype=np.bool_)
        enough, below_alarm = value >= least, math.nextafter(1.0, 0.0)
        evidence = np.maximum(inner.evidence, np.nan_to_num(nats))
        outright = (nats > 1) & ~held
        return Scores(
            value=value,
            evidence=np.where(enough, evidence, np.minimum(evidence, below_alarm)),
            expected=expected,
            low=np.where(np.isnan(value), np.nan, 0.0),
            high=high,
            alarm=(inner.alarm | outright) & enough,
            loud=(inner.loud | ((nats > 0.5) & held)) & enough,
            accumulated=inner.accumulated & enough & ~outright,
            since_ms=inner.since_ms,
            learning=inner.learning & np.isnan(nats),
        )

    def _in_units(self, found: Judged | None, expected: float, high: float) -> tuple[float, ...]:
        """Statistic, what is expected, alarm limit, least that is told, evidence of the window outright."""
        if found is None:
            return (math.nan,) * 5
        needed = -math.log(self._outright)
        least = found.chance + self._floor(found.statistic)
        ends = [found.shown(high)] if high == high else []  # noqa: PLR0124 - the test for NaN
        if found.settled:
            ends.append(found.limit(needed))
        limit = max(min(ends), least) if ends else math.nan
        return (
            found.distance.statistic,
            found.shown(expected) if expected == expected else found.chance,  # noqa: PLR0124 - the same
            limit if limit <= _LARGEST[found.statistic] else math.nan,
            least,
            found.nats / needed if found.settled else math.nan,
        )

    def _floor(self, statistic: str) -> float:
        mine = self._config.floor
        return mine if mine is not None and statistic == self._config.statistic else FLOORS[statistic]

    def learn(self, rows: Rows, points: Points) -> None:
        """Take the points that were scored last as normal; those that raised an alarm are left out."""
        calm = rows[~np.isin(rows, self._alarmed)]
        self._inner.learn(calm, Points(points.start_ms, points.window_ms, self.z[calm], np.ones(len(calm))))
        end_ms = points.start_ms + points.window_ms
        for number in calm.tolist():
            whole, found = self._judged.pop(number, (None, None))
            if whole is not None:
                series = self._rows[number]
                self._allowed += self._outright if series.settled else 0.0
                series.learn(whole, found, self._config.statistic, self._settling, end_ms)

    def hold(self, rows: Rows) -> None:
        """The rows are in an incident: they raise no alarm, and are ``loud`` while far from normal."""
        self._inner.hold(rows)
        for number in rows.tolist():
            self._rows[number].held = True

    def release(self, rows: Rows, *, adopt: bool = False, chance: bool = False) -> None:
        """The incident is over. With ``adopt`` the baseline begins anew, also one that was given."""
        self._inner.release(rows, adopt=adopt, chance=chance)
        for number in rows.tolist():
            series = self._rows[number]
            if adopt:
                self._rows[number] = Series()
            elif chance:
                series.was_chance()
            series.held, series.alarmed = False, None

    def refresh(self, alarms_per_window: float) -> None:
        """Set thresholds from all that was learnt.

        Args:
            alarms_per_window: false alarms allowed per series and window, above 0.
        """
        self._inner.refresh(alarms_per_window * (1 - _OUTRIGHT))
        self._outright = min(max(alarms_per_window * _OUTRIGHT, 1e-300), _OUTRIGHT)

    def snapshot(self) -> dict[str, Any]:
        """All state between two windows, from which ``build`` resumes exactly."""
        return {
            "version": _VERSION,
            "kind": Kind.DISTRIBUTION.value,
            "inner": self._inner.snapshot(),
            "statistic": self._config.statistic,
            "z": self.z.astype("<f8").tobytes(),
            "outright": self._outright,
            "allowed": self._allowed,
            "rows": [series.pack() for series in self._rows],
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over the state of another bank.

        Raises:
            SnapshotError: the snapshot is of another version, kind or statistic, or damaged.
        """
        with restoring(snapshot, _VERSION, Kind.DISTRIBUTION):
            if snapshot["statistic"] != self._config.statistic:
                raise SnapshotError(
                    f"the snapshot is of the statistic {snapshot['statistic']}, not {self._config.statistic}"
                )
            self._inner.restore(snapshot["inner"])
            self._rows = [Series.unpack(data) for data in snapshot["rows"]]
            self.z = np.frombuffer(snapshot["z"], dtype="<f8").astype(np.float64)
            self._outright, self._allowed = float(snapshot["outright"]), float(snapshot["allowed"])
