"""Versioned baselines by day: what the series of a pipeline were like when they were last taken for normal.

Detectors follow what they watch, so a poison that moves a ratio by one percent a day never looks unusual on
any day. A baseline does not follow: it is frozen once it holds a week, and only a person, or an incident that
has lasted very long, puts another in its place. Once a day the mean of the last seven days is held against
it; what the days of a week have of their own is left out.

The measure is the logarithm (of the odds, for ratios), so that a step is a share of what there is. Days are
paired by weekday, and the null law is Student's for the mean of the seven differences, its variance widened
by their serial correlation. A steady poison moves all seven by the same, and so does not widen it.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import stats

from swirl.detector import Kind
from swirl.effect import SeriesKey

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from swirl.detector import Points
    from swirl.series import SeriesTable

    Array = NDArray[np.float64]

__all__ = ["DAYS", "DAY_MS", "METRIC", "SHARE", "Baselines", "Creep"]

DAY_MS = 24 * 3600 * 1000
DAYS = 7
METRIC = "creep"
"""The metric of an anomaly that was found here; its label says of which series."""

SHARE = 0.1
"""Of the false-alarm budget, what is spent here."""

FLOOR = 0.1
"""A mean that moved by less, as a natural logarithm, is told to nobody."""

_WHOLE = 0.5
"""A day counts when it has half of the windows of the fullest day."""
_VERSIONS = 5
_LARGEST = 1e100
_BREATH = 32
"""Series between two pauses when a day ends."""
_FOLLOWS_ITSELF = frozenset({"input_ratio", "latency_p50", "lag", "version_contrast"})
"""Series that are residuals of models of the last windows cannot creep. How surely two versions differ grows
with the records that they have, while the difference stays."""


class Creep(NamedTuple):
    """A series that has left its baseline by small steps.

    Attributes:
        key: the series.
        nats: minus the logarithm of the probability that it is chance.
        before, now: its mean over the baseline and over the last seven days, in its own unit (counts a
            window for rates).
        a_day: by how much it moved a day since, as a share: -0.01 is one percent less each day.
        since_ms: when the baseline ended.
        version: of the baseline.
    """

    key: SeriesKey
    nats: float
    before: float
    now: float
    a_day: float
    since_ms: int
    version: int


class Baselines:
    """The baselines of one pipeline, by series.

    Args:
        table: which series there are.

    Attributes:
        loud: series that are away from their baseline.
    """

    def __init__(self, table: SeriesTable) -> None:
        self._table = table
        self._today: dict[Kind, Array] = {kind: np.zeros((2, 0)) for kind in Kind}
        """Sums of values and of weights, by row of the table."""
        self._days: dict[SeriesKey, _Days] = {}
        self._day = -1
        self._fullest = 0
        self._windows = 0
        self.loud: frozenset[SeriesKey] = frozenset()

    @property
    def series(self) -> tuple[SeriesKey, ...]:
        """Of which there are days."""
        return tuple(self._days)

    def learn(self, kind: Kind, points: Points, held: NDArray[np.bool_]) -> None:
        """Add a window that may serve as baseline.

        Args:
            kind: of the series.
            points: of all rows of the kind; what was not measured is left out.
            held: rows that are in an incident, and left out too.
        """
        if kind is Kind.DISTRIBUTION:
            return
        value = points.value
        weight = points.weight if kind is Kind.RATIO else np.ones(len(value))
        with np.errstate(invalid="ignore"):
            good = np.isfinite(value) & (weight > 0) & (value >= 0) & (value < _LARGEST) & ~held
        today = self._today[kind]
        if today.shape[1] < len(value):
            today = np.pad(today, ((0, 0), (0, len(value) - today.shape[1])))
            self._today[kind] = today
        today[0, : len(value)] += np.where(good, value, 0.0)
        today[1, : len(value)] += np.where(good, weight, 0.0)

    def turn(self, start_ms: int, a_week: float) -> Generator[None, None, list[Creep]]:
        """Let a window begin; with a new day the one before is judged, in slices.

        Args:
            start_ms: of the window, event time.
            a_week: false alarms a week that may be raised here.

        Returns:
            Series that have crept away since they were looked at last, most certain first.
        """
        day = start_ms // DAY_MS
        if day == self._day:
            self._windows += 1
            return []
        first, self._day = self._day < 0, day
        windows, self._windows = self._windows, 1
        self._fullest = max(self._fullest, windows)
        # The first day began somewhere in its middle.
        whole = not first and windows >= _WHOLE * self._fullest
        yield from self._close(whole=whole)
        found = yield from self._judge(a_week)
        return sorted(found, key=lambda creep: (-creep.nats, creep.key))

    def _close(self, *, whole: bool) -> Generator[None, None, None]:
        """Let each series have its day."""
        for kind, today in self._today.items():
            keys = self._table.keys[kind]
            for row, (value, weight) in enumerate(today.T.tolist() if whole else ()):
                if weight > 0 and keys[row].metric not in _FOLLOWS_ITSELF:
                    days = self._days.get(keys[row])
                    if days is None:
                        days = self._days[keys[row]] = _Days(kind is Kind.RATIO)
                    days.close(self._day * DAY_MS, value, weight)
                if row % _BREATH == 0:
                    yield
            today[:] = 0.0

    def _judge(self, a_week: float) -> Generator[None, None, list[Creep]]:
        limit = -float(np.log(min(a_week / 7 / max(len(self._days), 1), 0.5)))
        found, loud = [], set()
        for number, (key, days) in enumerate(self._days.items()):
            nats, moved = days.distance()
            if nats > (limit / 2 if key in self.loud else limit) and abs(moved) >= FLOOR:
                loud.add(key)
                if key not in self.loud:
                    found.append(days.told(key, nats, self._day * DAY_MS))
            if number % _BREATH == 0:
                yield
        self.loud = frozenset(loud)
        return found

    def adopt(self, keys: Iterable[SeriesKey]) -> None:
        """What the series are like from now on is their baseline; the old one is kept as a version."""
        for key in keys:
            if key in self._days:
                self._days[key].begin_anew(self._day * DAY_MS)
                self.loud -= {key}

    def go_back(self, key: SeriesKey) -> bool:
        """Put the baseline before the present one in force again; False if there is none."""
        days = self._days.get(key)
        return days is not None and days.go_back()

    def versions(self, key: SeriesKey) -> list[tuple[int, int, float]]:
        """Number, end (event time) and mean of the baselines that are kept, the one in force last."""
        days = self._days.get(key)
        return [] if days is None else days.versions()

    def snapshot(self) -> dict[str, Any]:
        """Of types that MessagePack knows."""
        return {
            "day": self._day,
            "fullest": self._fullest,
            "windows": self._windows,
            "loud": [list(key) for key in sorted(self.loud)],
            "today": [[kind.value, today.astype("<f8").tobytes()] for kind, today in self._today.items()],
            "days": [[list(key), days.snapshot()] for key, days in self._days.items()],
        }

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take what ``snapshot`` gave. The table is as it was then, or has lost its last series."""
        self._day, self._fullest, self._windows = data["day"], data["fullest"], data["windows"]
        self.loud = frozenset(SeriesKey(*key) for key in data["loud"])
        for name, today in data["today"]:
            sums = np.frombuffer(today, dtype="<f8").reshape(2, -1).astype(np.float64)
            self._today[Kind(name)] = sums[:, : len(self._table.keys[Kind(name)])].copy()
        self._days = {SeriesKey(*key): _Days.restore(days) for key, days in data["days"]}


_Day = tuple[int, float]
"""Number of the day, and what it measured."""


class _Days:
    """The days of one series: today, the last seven, and baselines of seven."""

    __slots__ = ("_base", "_base_ms", "_last", "_old", "_ratio", "_version")

    def __init__(self, ratio: bool) -> None:  # noqa: FBT001 - one kind or the other
        self._ratio = ratio
        self._last: list[_Day] = []
        self._base: list[_Day] = []
        self._base_ms = 0
        self._version = 1
        self._old: list[tuple[int, int, list[_Day]]] = []

    def close(self, now_ms: int, value: float, weight: float) -> None:
        """Add a day: sums of values and of weights."""
        day = now_ms // DAY_MS, self._measure(value, weight)
        if len(self._base) < DAYS:
            self._base.append(day)
            self._base_ms = now_ms
        else:
            self._last = [*self._last, day][-DAYS:]

    def _measure(self, value: float, weight: float) -> float:
        if self._ratio:
            k = min(value, weight)
            return log((k + 0.5) / (weight - k + 0.5))
        return log(value / weight + 1e-12)

    def _shown(self, measure: float) -> float:
        return float(1 / (1 + np.exp(-measure))) if self._ratio else float(np.exp(measure))

    def distance(self) -> tuple[float, float]:
        """Nats that the last seven days are another level, and by how much, as a natural logarithm."""
        if len(self._last) < DAYS:
            return 0.0, 0.0
        steps = np.array(
            [
                now - then
                for (_, then), (_, now) in zip(*map(_by_weekday, (self._base, self._last)), strict=True)
            ]
        )
        moved = float(steps.mean())
        deviation = (float(steps.var(ddof=1)) / DAYS * _widened(steps - moved)) ** 0.5
        if deviation <= 0:
            return (np.inf if moved else 0.0), moved
        return float(-stats.t.logsf(abs(moved) / deviation, DAYS - 1) - np.log(2)), moved

    def told(self, key: SeriesKey, nats: float, now_ms: int) -> Creep:
        before, now = _mean(self._base), _mean(self._last)
        # From the middle of the baseline to the middle of the last week.
        days = max((now_ms - self._base_ms) / DAY_MS, 1.0)
        change = self._shown(now) / max(self._shown(before), 1e-300)
        a_day = float(np.sign(change - 1) * (np.exp(abs(np.log(max(change, 1e-12))) / days) - 1))
        return Creep(key, nats, self._shown(before), self._shown(now), a_day, self._base_ms, self._version)

    def begin_anew(self, now_ms: int) -> None:
        """The last days become the baseline, as far as there are any."""
        if self._base:
            self._old = [*self._old, (self._version, self._base_ms, self._base)][-_VERSIONS:]
        self._version += 1
        self._base, self._last, self._base_ms = list(self._last), [], now_ms

    def go_back(self) -> bool:
        if not self._old:
            return False
        self._version, self._base_ms, self._base = self._old.pop()
        return True

    def versions(self) -> list[tuple[int, int, float]]:
        kept = [*self._old, (self._version, self._base_ms, self._base)]
        return [(n, ms, self._shown(_mean(base))) for n, ms, base in kept if base]

    def snapshot(self) -> list[Any]:
        return [
            self._ratio,
            self._last,
            self._base,
            self._base_ms,
            self._version,
            [list(old) for old in self._old],
        ]

    @classmethod
    def restore(cls, data: Sequence[Any]) -> _Days:
        self = cls(bool(data[0]))
        self._last, self._base = _read(data[1]), _read(data[2])
        self._base_ms, self._version = int(data[3]), int(data[4])
        self._old = [(int(n), int(ms), _read(base)) for n, ms, base in data[5]]
        return self


def _by_weekday(days: list[_Day]) -> list[_Day]:
    return sorted(days, key=lambda day: day[0] % DAYS)


def _widened(rest: Array) -> float:
    """How much larger the variance of a mean is for the correlation from day to day."""
    square = float((rest * rest).sum())
    rho = min(max(float((rest[1:] * rest[:-1]).sum()) / square, 0.0), 0.8) if square > 0 else 0.0
    return (1 + rho) / (1 - rho)


def _mean(days: list[_Day]) -> float:
    return float(np.mean([value for _, value in days]))


def _read(days: Sequence[Sequence[float]]) -> list[_Day]:
    return [(int(day), float(value)) for day, value in days]
