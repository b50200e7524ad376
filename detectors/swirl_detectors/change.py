"""Changes of rates, ratios and levels, under a false-alarm budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from swirl.budget import Tails, exceedance, tail_law, thresholds
from swirl.detector import Kind, Points, Rows, Scores, restoring
from swirl_detectors import cusum, whiten
from swirl_detectors.dispersion import COUNTED
from swirl_detectors.page import SIZE, Page
from swirl_detectors.state import HEIGHT, SIDES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from swirl_detectors.page import Columns
    from swirl_detectors.state import Array, Sides

__all__ = ["ChangeBank", "ChangeDetector"]

_VERSION = 7
_FIRST_SHARE = 5e-6
"""Alarms per series and window until the first refresh: one a week among 20 series in windows of a minute."""
_TROUBLE, _SEVERAL = 0.02, 2
"""With this share of the series in an incident, and so many, what the others do is not taken for chance."""


@dataclass(frozen=True)
class ChangeDetector:
    """Finds lasting and sudden changes of a rate, a ratio, a level or a latency.

    Each point is standardised by a forecast one step ahead (``whiten.py``), ten CUSUMs gather evidence for
    changes of different sizes (``cusum.py``), and their thresholds come from the false-alarm budget and the
    series' own history (:mod:`swirl.budget`). Evidence is in nats, with a learnt tail.

    It sees shifts from a quarter of a standard deviation, those below one from the second day on; where the
    first day moved, once three days agree, and where it moved much, once a week is known. It does not see a
    change of spread, shape or rhythm that leaves the mean alone, nor a drift so slow that the level
    follows it. What it keeps is bounded: about 3 kB a series.

    Args:
        warm_up: points before which only overwhelming evidence raises an alarm; counts need 20 expected
            events too.
        sides: ``"up"`` looks for rises only, ``"down"`` for falls only, and spends all of the budget on them.

    Raises:
        ValueError: another word for the sides.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> bank = ChangeDetector(warm_up=60).build(Kind.RATIO)
        >>> bank.grow(1)
        >>> row, n = np.arange(1), np.array([500.0])
        >>> for window in range(301):
        ...     k = rng.binomial(500, [0.3 if window < 300 else 0.2]).astype(float)
        ...     points = Points(window * 60_000, 60_000, k, n)
        ...     scores = bank.score(row, points)
        ...     bank.learn(row, points)
        ...     if scores.alarm[0]:
        ...         print(window, scores.value, scores.expected.round(2), scores.low.round(3))
        300 [0.194] [0.3] [0.195]
    """

    name: ClassVar[str] = "change"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.RATE, Kind.RATIO, Kind.LEVEL, Kind.POSITIVE})

    warm_up: int = 60
    sides: Sides = "both"

    def __post_init__(self) -> None:
        if self.sides not in SIDES:
            raise ValueError(f'sides must be "both", "up" or "down", not {self.sides!r}')

    def build(self, kind: Kind, resume: dict[str, Any] | None = None) -> ChangeBank:
        """A bank for series of one kind; ``resume`` is what its ``snapshot`` gave.

        Raises:
            SnapshotError: the snapshot is of another version or kind.
        """
        bank = ChangeBank(kind, self.warm_up, sides=self.sides)
        if resume is not None:
            bank.restore(resume)
        return bank


class ChangeBank:
    """The running form: all series of one kind in one pipeline.

    Args:
        kind: of the series, other than a distribution.
        warm_up: see :class:`ChangeDetector`.
        sides: see :class:`ChangeDetector`.
        known_law: the values are standard normal deviates of a statistic with a known null law, whose far
            tail need not be learnt to be believed.
        pool: learn tails from all series together.

    Attributes:
        expected_alarms: false alarms that the thresholds in force have allowed so far: what a budget that is
            kept exactly would have spent.
    """

    def __init__(
        self,
        kind: Kind,
        warm_up: int = 60,
        *,
        sides: Sides = "both",
        known_law: bool = False,
        pool: bool = True,
    ) -> None:
        if kind is Kind.DISTRIBUTION:
            raise ValueError("the change detector judges numbers, not distributions; use the drift detector")
        self.kind = kind
        self.expected_alarms = 0.0
        self._warm_up = warm_up
        self._sides: Sides = sides
        self._known_law = known_law or kind in COUNTED
        self._pool = pool
        self._pages: list[Page] = []
        self._size = 0
        self._windows = 0
        self._share = _FIRST_SHARE

    def grow(self, size: int) -> None:
        """Make room: rows ``0 .. size - 1`` exist from now on. Never shrinks."""
        while self._size < size:
            if self._size % SIZE == 0:
                self._pages.append(Page(self.kind, self._warm_up, sides=self._sides))
            page = self._pages[-1]
            here = page.size
            page.grow(min(SIZE, here + size - self._size))
            self._size += page.size - here
            new = slice(here, None)
            self._set_limits(page, new, cusum.tails(page.state, known_law=self._known_law), pool=False)

    def _set_limits(self, page: Page, rows: slice, tails: Tails, *, pool: bool) -> None:
        limits, spends = self._limits(tails, pool=pool)
        page.state.limit[:, rows] = limits[:, rows]
        page.state.spends[rows] = spends[rows]

    def _limits(self, tails: Tails, *, pool: bool) -> tuple[Array, Array]:
        """Thresholds ``(10, n)``, and the false alarms a window that they allow ``(n,)``."""
        used = SIDES[self._sides]
        law = tail_law(tails, pool=pool)
        overlap = cusum.overlap(self._share)
        limits = thresholds(law, self._share / ((used.stop - used.start) * overlap))
        spends = exceedance(law, limits)[used].sum(axis=0) * overlap
        return limits, spends

    def score(self, rows: Rows, points: Points) -> Scores:
        """Judge the points by what was learnt before them. Moves the evidence on, learns nothing."""
        self._windows += 1
        if self._pool:
            self._mark_trouble(points.start_ms)
        value, weight = points.value, points.weight
        with np.errstate(all="ignore"):
            ok = whiten.measured(self.kind, value, weight)
            if ok.all() and len(rows):
                shown = value / weight if self.kind is Kind.RATIO else value
                return Scores(shown, *self._score(rows, value, weight, points))
            return self._score_some(rows, points, ok)

    def _mark_trouble(self, start_ms: int) -> None:
        """A fault of a few series is one of their neighbours as well, too weak there to be told."""
        troubled = np.zeros(self._size, dtype=np.bool_)
        if any(page.state.held.any() for page in self._pages):
            troubled = self._in_trouble(np.concatenate([page.state.held for page in self._pages]))
        for number, page in enumerate(self._pages):
            page.mark_trouble(troubled[number * SIZE : (number + 1) * SIZE], start_ms)

    def _in_trouble(self, held: Array) -> NDArray[np.bool_]:
        """Which series belong to a pool of which several are held; shape ``(size,)``."""
        return np.full(len(held), held.sum() >= max(_SEVERAL, _TROUBLE * len(held)))

    def _score_some(self, rows: Rows, points: Points, ok: NDArray[np.bool_]) -> Scores:
        """The same where not all points were measured."""
        none = Scores.neutral(points)
        value, weight = points.value[ok], points.weight[ok]
        shown = np.full(len(ok), np.nan)
        shown[ok] = value / weight if self.kind is Kind.RATIO else value
        names = (
            "evidence",
            "expected",
            "low",
            "high",
            "alarm",
            "loud",
            "accumulated",
            "since_ms",
            "learning",
        )
        columns = [getattr(none, name).copy() for name in names]
        if ok.any():
            for column, part in zip(columns, self._score(rows[ok], value, weight, points), strict=True):
                column[ok] = part
        else:
            self._forget_pass()
        return Scores(shown, *columns)

    def _score(self, rows: Rows, value: Array, weight: Array, points: Points) -> Columns:
        self._forget_pass()
        parts = [
            page.score(local, value[at], weight[at], points.start_ms, points.window_ms)
            for page, local, at in self._split(rows)
        ]
        if len(parts) == 1:
            return parts[0]
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))  # type: ignore[return-value] # nine columns each

    def standardised(self) -> Array:
        """The points that were last scored, standard normal under no change.

        Returns:
            Shape ``(size,)``, NaN for rows that were not measured or are too young to be judged.
        """
        pages = [page.standardised() for page in self._pages]
        return np.concatenate(pages) if pages else np.empty(0)

    def _forget_pass(self) -> None:
        for page in self._pages:
            page.forget_pass()

    def _split(self, rows: Rows) -> Iterator[tuple[Page, NDArray[np.intp] | None, slice]]:
        """The pages that the rows are on, their places there (None: all in order) and in ``rows``."""
        cuts = np.searchsorted(rows, np.arange(0, self._size + SIZE, SIZE)).tolist()
        for number, page in enumerate(self._pages):
            at = slice(cuts[number], cuts[number + 1])
            count = at.stop - at.start
            if count == page.size:
                yield page, None, at
            elif count:
                yield page, rows[at] - number * SIZE, at

    def learn(self, rows: Rows, points: Points) -> None:  # noqa: ARG002 - the points are those of the last score
        """Take the points, which were the last to be scored, as normal.

        Rows that were not measured or raised an alarm are left out.
        """
        with np.errstate(all="ignore"):
            for page, local, _ in self._split(rows):
                self.expected_alarms += page.learn(local)

    def forecast(self, rows: Rows, start_ms: int, window_ms: int) -> tuple[Array, Array]:
        """What the rows would do in a window by their level and their season alone. Changes nothing.

        Args:
            rows: that are asked for.
            start_ms: start of the window, now or later.
            window_ms: its length.

        Returns:
            Expected values and the standard deviations of single windows about them, in the units of
            ``Scores.value``; NaN while too little is known. Of a positive kind the median is expected.
        """
        none = np.zeros(0)
        parts = [(none, none)]
        with np.errstate(all="ignore"):
            for page, local, _ in self._split(rows):
                parts.append(
                    page.forecast(np.arange(page.size) if local is None else local, start_ms, window_ms)
                )
        expected, deviation = (np.concatenate(column) for column in zip(*parts, strict=True))
        return expected, deviation

    def hold(self, rows: Rows) -> None:
        """The rows are in an incident: they raise no alarm, and are ``loud`` while far from normal."""
        for page, local, _ in self._split(rows):
            page.hold(np.arange(page.size) if local is None else local)

    def release(self, rows: Rows, *, adopt: bool = False, chance: bool = False) -> None:
        """The incident is over. With ``adopt``, what the rows do now is the new normal.

        With ``chance`` the alarm was a false one, and raises the thresholds; a real one leaves them alone.
        """
        for page, local, _ in self._split(rows):
            page.release(np.arange(page.size) if local is None else local, adopt=adopt, chance=chance)

    def refresh(self, alarms_per_window: float) -> None:
        """Set thresholds from all that was learnt.

        Args:
            alarms_per_window: false alarms allowed per series and window, above 0.
        """
        self._share = max(alarms_per_window, 1e-300)
        if not self._size:
            return
        with np.errstate(all="ignore"):
            for page in self._pages:
                page.fade(self._windows)
            self._windows = 0
            limits, spends = self._limits(self._tails(), pool=self._pool)
        for number, page in enumerate(self._pages):
            at = slice(number * SIZE, (number + 1) * SIZE)
            page.state.limit[:] = limits[:, at]
            page.state.spends[:] = spends[at]

    def _tails(self) -> Tails:
        parts = [cusum.tails(page.state, known_law=self._known_law) for page in self._pages]
        joined = {
            name: np.concatenate([getattr(part, name) for part in parts], axis=-1)
            for name in ("counts", "excesses", "windows", "floor", "nominal")
        }
        return Tails(**joined, prior_count=parts[0].prior_count, prior_excess=parts[0].prior_excess)

    def snapshot(self) -> dict[str, Any]:
        """All state between two windows, from which ``build`` resumes exactly."""
        return {
            "version": _VERSION,
            "kind": self.kind.value,
            "size": self._size,
            "windows": self._windows,
            "share": self._share,
            "expected_alarms": self.expected_alarms,
            "parts": [page.parts for page in self._pages],
            "pages": [page.table.astype("<f8").tobytes() for page in self._pages],
            "profiles": [page.profile.pack() for page in self._pages],
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Take over the state of a bank of the same kind.

        Raises:
            SnapshotError: the snapshot is of another version or kind, or damaged.
        """
        with restoring(snapshot, _VERSION, self.kind):
            self.grow(int(snapshot["size"]))
            saved = (snapshot["parts"], snapshot["pages"], snapshot["profiles"])
            for page, parts, data, profile in zip(self._pages, *saved, strict=True):
                page.parts = int(parts)
                page.profile.unpack(profile)
                page.put(np.frombuffer(data, dtype="<f8").reshape(HEIGHT, page.size).astype(np.float64))
            self._windows, self._share = int(snapshot["windows"]), float(snapshot["share"])
            self.expected_alarms = float(snapshot["expected_alarms"])
