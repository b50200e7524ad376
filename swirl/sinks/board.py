"""What a person may look at: the last windows and incidents of each pipeline, as the effects tell them."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from swirl.effect import COLUMNS, IncidentChanged, MuteChanged, VerdictChanged, WindowClosed
from swirl.frame import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from swirl.effect import Effect, Incident, Mute, SeriesKey

__all__ = ["Board", "Track", "View"]

_WINDOWS = 360
_FEWEST = 8
_BYTES = 32_000_000
"""Of the windows of one pipeline: with very many series, fewer windows are kept."""

_BYTES_OF_ALL = 256_000_000
_OVERHEAD = 2_000
"""Bytes of a window besides its numbers."""

_STEPS = 400
_INCIDENTS = 100


class Track(NamedTuple):
    """One series over the windows that are kept, oldest first; NaN where nothing was measured.

    Attributes:
        key: the series.
        start_ms: starts of the windows, shape ``(n,)``, integers, event time.
        value, expected, low, high: shape ``(n,)``; rates are per second, ``low`` and ``high`` are the alarm
            limits themselves.
        state: one :class:`swirl.effect.State` a window, shape ``(n,)``, 8-bit integers.
        window_ms: length of a window.
    """

    key: SeriesKey
    start_ms: NDArray[np.int64]
    value: NDArray[np.float64]
    expected: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    state: NDArray[np.uint8]
    window_ms: int


_SHOWN = tuple(COLUMNS.index(name) for name in ("value", "expected", "low", "high"))


class View(NamedTuple):
    """One pipeline as it stands. A value: nothing changes it any more.

    Attributes:
        name: of the pipeline.
        windows: that are kept, oldest first; the last one has the graph, the numbers now, the totals and the
            health; of the others the totals are left out.
        verdict: what the pipeline was told.
        incidents: as they stand, newest first; at most one of them is open.
        steps: in the lives of these, oldest first.
        mutes: planned work that goes on.
    """

    name: str
    windows: tuple[WindowClosed, ...]
    verdict: Verdict
    incidents: tuple[Incident, ...]
    steps: tuple[IncidentChanged, ...]
    mutes: tuple[Mute, ...]

    @property
    def last(self) -> WindowClosed | None:
        """The last window that was closed, None before the first."""
        return self.windows[-1] if self.windows else None

    @property
    def open(self) -> Incident | None:
        """The open incident, None if there is none."""
        return next((incident for incident in self.incidents if incident.state == "open"), None)

    def track(self, key: SeriesKey) -> Track:
        """One series over these windows."""
        return self.tracks([key])[0]

    def tracks(self, keys: Sequence[SeriesKey], most: int = 0) -> list[Track]:
        """Several series in one pass.

        Args:
            keys: of the series; one that is not known is NaN throughout.
            most: only so many of the newest windows; 0: all.
        """
        windows = self.windows[-most:] if most else self.windows
        numbers = np.full((len(keys), len(_SHOWN), len(windows)), np.nan)
        states = np.zeros((len(keys), len(windows)), np.uint8)
        known: tuple[SeriesKey, ...] = ()
        rows: list[int] = []
        columns: list[int] = []
        for at, window in enumerate(windows):
            if window.keys is not known:
                known, (rows, columns) = window.keys, _places(window.keys, keys)
            if not rows:
                continue
            table = np.frombuffer(window.numbers, dtype=np.float64).reshape(len(COLUMNS), -1)
            numbers[rows, :, at] = table[np.ix_(_SHOWN, columns)].T
            states[rows, at] = np.frombuffer(window.states, dtype=np.uint8)[columns]
        starts = np.array([window.start_ms for window in windows], np.int64)
        length = windows[-1].window_ms if windows else 0
        return [
            Track(key, starts, value, expected, low, high, states[row], length)
            for row, (key, (value, expected, low, high)) in enumerate(zip(keys, numbers, strict=True))
        ]


def _places(known: tuple[SeriesKey, ...], wanted: Sequence[SeriesKey]) -> tuple[list[int], list[int]]:
    """Rows of what is wanted, and columns where it is known."""
    place = {key: row for row, key in enumerate(wanted)}
    pairs = [(place[key], column) for column, key in enumerate(known) if key in place]
    return [row for row, _ in pairs], [column for _, column in pairs]


class _Pipeline:
    def __init__(self) -> None:
        self.windows: dict[int, WindowClosed] = {}
        self.verdict = Verdict()
        self.incidents: dict[str, Incident] = {}
        self.steps: deque[IncidentChanged] = deque(maxlen=_STEPS)
        self.mutes: dict[str, Mute] = {}

    def close(self, window: WindowClosed, most_bytes: int) -> None:
        newest = self.windows[max(self.windows)] if self.windows else None
        if newest is not None:
            # What windows have in common is kept once: names of thousands of series weigh more than numbers.
            keys = newest.keys if newest.keys == window.keys else window.keys
            graph = newest.definition if newest.definition == window.definition else window.definition
            window = msgspec.structs.replace(window, keys=keys, definition=graph)
            if window.start_ms > newest.start_ms:
                self.windows[newest.start_ms] = msgspec.structs.replace(newest, totals={})
            elif window.start_ms < newest.start_ms:
                window = msgspec.structs.replace(window, totals={})
        self.windows[window.start_ms] = window
        size = len(window.numbers) + _OVERHEAD
        most = min(_WINDOWS, max(_FEWEST, most_bytes // size))
        for start in sorted(self.windows)[: max(0, len(self.windows) - most)]:
            del self.windows[start]

    def keep(self, incident: Incident) -> bool:
        """Take it, unless a newer revision is known."""
        before = self.incidents.get(incident.id)
        if before is not None and before.revision > incident.revision:
            return False
        self.incidents[incident.id] = incident
        by_age = sorted(self.incidents.values(), key=lambda i: (i.state == "open", i.opened_ms, i.id))
        for gone in by_age[: max(0, len(by_age) - _INCIDENTS)]:
            del self.incidents[gone.id]
        return True


class Board:
    """A sink that keeps what the page, the commands and the charts show. Bounded; any thread may ask it.

    At most 360 windows of a pipeline are kept, 32 MB of one and 256 MB of all, 100 incidents and 400 steps.

    Attributes:
        name: of the sink.
    """

    name = "board"

    def __init__(self) -> None:
        self._pipelines: dict[str, _Pipeline] = {}
        self._changed = threading.Condition()
        self._version = 0

    def handle(self, effect: Effect) -> None:
        """Keep what an effect says; one that comes again changes nothing."""
        with self._changed:
            kept = self._pipelines.setdefault(effect.pipeline, _Pipeline())
            if isinstance(effect, WindowClosed):
                kept.close(effect, min(_BYTES, _BYTES_OF_ALL // len(self._pipelines)))
            elif isinstance(effect, VerdictChanged):
                kept.verdict = effect.verdict
            elif isinstance(effect, MuteChanged):
                kept.mutes.pop(effect.mute.stage, None)
                if effect.transition == "began":
                    kept.mutes[effect.mute.stage] = effect.mute
            elif kept.keep(effect.incident) and effect not in kept.steps:
                kept.steps.append(effect)
            self._turn()

    def recall(self, pipeline: str, incidents: Iterable[Incident]) -> None:
        """Incidents of the past, oldest first, that were told before this board was there."""
        with self._changed:
            kept = self._pipelines.setdefault(pipeline, _Pipeline())
            for incident in incidents:
                kept.keep(incident)
            self._turn()

    def forget(self, pipeline: str) -> None:
        """The pipeline is another worker's now."""
        with self._changed:
            self._pipelines.pop(pipeline, None)
            self._turn()

    @property
    def version(self) -> int:
        """Rises with all that changes."""
        return self._version

    def wait(self, version: int, timeout: float) -> int:
        """Wait until there is another version, at most ``timeout`` seconds; the version now."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != version, timeout)
            return self._version

    def names(self) -> tuple[str, ...]:
        """Of all pipelines, sorted."""
        with self._changed:
            return tuple(sorted(self._pipelines))

    def views(self) -> tuple[View, ...]:
        """All pipelines, by name."""
        with self._changed:
            return tuple(self._view(name) for name in sorted(self._pipelines))

    def view(self, pipeline: str) -> View | None:
        """One pipeline, None if it was never heard of."""
        with self._changed:
            return self._view(pipeline) if pipeline in self._pipelines else None

    def incident(self, ident: str) -> Incident | None:
        """An incident as it stands, None if it is not known (any more)."""
        with self._changed:
            found = (kept.incidents.get(ident) for kept in self._pipelines.values())
            return next((incident for incident in found if incident is not None), None)

    def _view(self, name: str) -> View:
        kept = self._pipelines[name]
        incidents = sorted(kept.incidents.values(), key=lambda i: (i.opened_ms, i.id), reverse=True)
        windows = tuple(window for _, window in sorted(kept.windows.items()))
        mutes = tuple(kept.mutes.values())
        return View(name, windows, kept.verdict, tuple(incidents), tuple(kept.steps), mutes)

    def _turn(self) -> None:
        self._version += 1
        self._changed.notify_all()
