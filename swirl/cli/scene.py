"""What the demo knows: nothing but the effects that any sink receives."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import isfinite, nan
from statistics import median_low
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from swirl.effect import IncidentChanged, SeriesKey, State, WindowClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

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
_BEFORE = 9


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
        readings: of the series that the screen shows.
        judged: how many series have limits by now.
        whole: it was covered to its full length.
        alarm: one of its series raised an alarm.
        held: an incident was open.
    """

    start_ms: int
    end_ms: int
    readings: dict[SeriesKey, Reading]
    judged: int
    whole: bool
    alarm: bool
    held: bool

    def value(self, key: SeriesKey) -> float:
        """Of a series, NaN where it was not measured."""
        return self.readings.get(key, Reading()).value


@dataclass(frozen=True)
class View:
    """The scene at one moment, for drawing.

    Attributes:
        windows: oldest first.
        usual: each series before the incident that is open, or lately: median and limits.
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
            windows = tuple(self._windows)
            return View(windows, _usual(windows, newest), newest, len(still), ended, self._health)

    def _close(self, window: WindowClosed) -> None:
        points = {point.key: point for point in window.points()}
        readings = {
            key: Reading(points[key].value, points[key].low, points[key].high, points[key].state)
            for key in _SHOWN
            if key in points
        }
        judged = sum(point.state >= State.NORMAL for point in points.values())
        alarm = any(point.state is State.ANOMALY for point in points.values())
        held = any(incident.state == "open" for incident in self._incidents.values())
        glance = Glance(
            window.start_ms, window.end_ms, readings, judged, whole=window.whole, alarm=alarm, held=held
        )
        self._windows.append(glance)
        self.news.append(glance)
        self._health = window.health


def _usual(windows: Sequence[Glance], incident: Incident | None) -> dict[SeriesKey, Reading]:
    """Medians, so that a window which holds the first moments of a fault does not count."""
    end_ms = incident.onset_ms if incident is not None else windows[-1].end_ms if windows else 0
    calm = [w for w in windows if w.whole and not w.alarm and not w.held and w.end_ms <= end_ms][-_BEFORE:]
    found: dict[SeriesKey, Reading] = {}
    for key in _SHOWN:
        readings = [window.readings[key] for window in calm if key in window.readings]
        if readings:
            value, low, high = (_median([r[column] for r in readings]) for column in range(3))
            found[key] = Reading(value, low, high, State.NORMAL)
    return found


def _median(values: Iterable[float]) -> float:
    known = [value for value in values if isfinite(value)]
    return median_low(known) if known else nan
