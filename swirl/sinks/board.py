"""What a person may look at: the last windows and incidents of each pipeline, as the effects tell them."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from swirl.effect import COLUMNS, IncidentChanged, MuteChanged, VerdictChanged, WindowClosed
from swirl.frame import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from swirl.effect import Effect, Incident, Mute, SeriesKey

__all__ = ["Board", "Track", "View"]

_WINDOWS = 360
_FEWEST = 30
_BYTES = 32_000_000
"""Of the windows of one pipeline: with very many series, fewer windows are kept."""

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


class View(NamedTuple):
    """One pipeline as it stands. A value: nothing changes it any more.

    Attributes:
        name: of the pipeline.
        windows: that are kept, oldest first; the last one has the graph, the numbers now and the health.
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
        n = len(self.windows)
        numbers = np.full((len(COLUMNS), n), np.nan)
        state = np.zeros(n, np.uint8)
        for at, window in enumerate(self.windows):
            try:
                column = window.keys.index(key)
            except ValueError:
                continue
            table = np.frombuffer(window.numbers, dtype=np.float64).reshape(len(COLUMNS), -1)
            numbers[:, at], state[at] = table[:, column], window.states[column]
        starts = np.array([window.start_ms for window in self.windows], np.int64)
        value, expected, low, high = (
            numbers[COLUMNS.index(name)] for name in ("value", "expected", "low", "high")
        )
        length = self.windows[-1].window_ms if n else 0
        return Track(key, starts, value, expected, low, high, state, length)


class _Pipeline:
    def __init__(self) -> None:
        self.windows: dict[int, WindowClosed] = {}
        self.verdict = Verdict()
        self.incidents: dict[str, Incident] = {}
        self.steps: deque[IncidentChanged] = deque(maxlen=_STEPS)
        self.mutes: dict[str, Mute] = {}

    def close(self, window: WindowClosed) -> None:
        self.windows[window.start_ms] = window
        most = min(_WINDOWS, max(_FEWEST, _BYTES // max(1, len(window.numbers))))
        for start in sorted(self.windows)[: max(0, len(self.windows) - most)]:
            del self.windows[start]

    def keep(self, incident: Incident) -> None:
        before = self.incidents.get(incident.id)
        if before is not None and before.revision > incident.revision:
            return
        self.incidents[incident.id] = incident
        for gone in list(self.incidents)[: max(0, len(self.incidents) - _INCIDENTS)]:
            del self.incidents[gone]


class Board:
    """A sink that keeps what the page, the commands and the charts show. Bounded; any thread may ask it.

    Attributes:
        name: of the sink.
    """

    name = "board"

    def __init__(self) -> None:
        self._pipelines: dict[str, _Pipeline] = {}
        self._changed = threading.Condition()
        self._version = 0

    def handle(self, effect: Effect) -> None:
        """Keep what an effect says."""
        with self._changed:
            kept = self._pipelines.setdefault(effect.pipeline, _Pipeline())
            if isinstance(effect, WindowClosed):
                kept.close(effect)
            elif isinstance(effect, VerdictChanged):
                kept.verdict = effect.verdict
            elif isinstance(effect, MuteChanged):
                kept.mutes.pop(effect.mute.stage, None)
                if effect.transition == "began":
                    kept.mutes[effect.mute.stage] = effect.mute
            else:
                kept.keep(effect.incident)
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
