"""What the demo knows: nothing but the effects that any sink receives."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import isfinite, nan
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from swirl.effect import IncidentChanged, SeriesKey, State, WindowClosed

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl.effect import Effect, Health, Incident

__all__ = [
    "ADS",
    "ARRIVED",
    "CLASSIFIED",
    "CLICKS",
    "INVALID",
    "POSITIVE",
    "Glance",
    "Reading",
    "Scene",
    "Told",
    "View",
]

ARRIVED = SeriesKey("ingest", "records")
INVALID = SeriesKey("ingest", "invalid")
CLASSIFIED = SeriesKey("classify", "records")
POSITIVE = SeriesKey("classify", "prediction_ratio", "positive")
ADS = SeriesKey("serve", "records")
CLICKS = SeriesKey("serve", "count", "clicks")

_SHOWN = (ARRIVED, INVALID, CLASSIFIED, POSITIVE, ADS, CLICKS)
_REMEMBERED = 600


class Reading(NamedTuple):
    """One series in one window; NaN is "not known"."""

    value: float = nan
    low: float = nan
    high: float = nan
    state: State = State.UNMEASURED


@dataclass(frozen=True, slots=True)
class Glance:
    """What the demo keeps of a window.

    Attributes:
        start_ms, end_ms: event time.
        whole: it was covered to its full length.
        readings: of the series that the screen shows.
        judged: how many series have limits by now.
        alarm: one of them raised an alarm.
    """

    start_ms: int
    end_ms: int
    whole: bool
    readings: dict[SeriesKey, Reading]
    judged: int
    alarm: bool

    def value(self, key: SeriesKey) -> float:
        """Of a series, NaN where it was not measured."""
        return self.readings.get(key, Reading()).value


@dataclass(frozen=True)
class View:
    """The scene at one moment, for drawing.

    Attributes:
        windows: oldest first.
        usual: the last reading of each series outside of incidents: bands are frozen while one is open.
        incident: the newest that is open, or None.
        open: how many are open.
        resolved: the newest that is over, or None.
        health: of the monitoring itself, None before the first window.
    """

    windows: tuple[Glance, ...] = ()
    usual: dict[SeriesKey, Reading] = field(default_factory=dict)
    incident: Incident | None = None
    open: int = 0
    resolved: Incident | None = None
    health: Health | None = None

    @property
    def learning(self) -> bool:
        """No series is judged by limits of its own yet."""
        return not self.windows or self.windows[-1].judged == 0


class Told(NamedTuple):
    """A step of an incident, and when it was heard, milliseconds since 1970."""

    change: IncidentChanged
    heard_ms: int


class Scene:
    """A sink that remembers what a demo shows.

    Args:
        now_ms: the time, milliseconds since 1970.

    Attributes:
        news: windows and steps of incidents, in the order in which they came.
    """

    name = "demo"

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.news: list[Glance | Told] = []
        self._now_ms = now_ms
        self._lock = Lock()
        self._windows: deque[Glance] = deque(maxlen=_REMEMBERED)
        self._usual: dict[SeriesKey, Reading] = {}
        self._incidents: dict[str, Incident] = {}
        self._health: Health | None = None
        self._seen: set[str] = set()

    def handle(self, effect: Effect) -> None:
        """Take an effect; one that comes again changes nothing."""
        with self._lock:
            if effect.identity in self._seen:
                return
            self._seen.add(effect.identity)
            if isinstance(effect, IncidentChanged):
                self.news.append(Told(effect, self._now_ms()))
                self._incidents[effect.incident.id] = effect.incident
            elif isinstance(effect, WindowClosed) and effect.revision == 0:
                self._close(effect)

    def told(self) -> list[Told]:
        """Every step of every incident, in order."""
        with self._lock:
            return [each for each in self.news if isinstance(each, Told)]

    def view(self) -> View:
        """The scene now."""
        with self._lock:
            found = sorted(self._incidents.values(), key=lambda incident: (incident.opened_ms, incident.id))
            still = [incident for incident in found if incident.state == "open"]
            over = [incident for incident in found if incident.state == "resolved"]
            newest, ended = (still[-1] if still else None), (over[-1] if over else None)
            return View(tuple(self._windows), dict(self._usual), newest, len(still), ended, self._health)

    def _close(self, window: WindowClosed) -> None:
        points = {point.key: point for point in window.points()}
        readings = {
            key: Reading(points[key].value, points[key].low, points[key].high, points[key].state)
            for key in _SHOWN
            if key in points
        }
        judged = sum(point.state >= State.NORMAL for point in points.values())
        alarm = any(point.state is State.ANOMALY for point in points.values())
        glance = Glance(window.start_ms, window.end_ms, window.whole, readings, judged, alarm=alarm)
        self._windows.append(glance)
        self.news.append(glance)
        self._health = window.health
        if window.whole and not any(incident.state == "open" for incident in self._incidents.values()):
            self._remember(readings)

    def _remember(self, readings: dict[SeriesKey, Reading]) -> None:
        """Bands as they were while all was well. The window of an alarm comes before its incident does."""
        if any(reading.state in (State.ANOMALY, State.HELD) for reading in readings.values()):
            return
        self._usual.update((key, reading) for key, reading in readings.items() if isfinite(reading.value))
