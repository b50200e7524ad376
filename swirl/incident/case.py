"""One suspicion or incident as it stands, and the window that it meets."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from swirl.effect import Evidence, Incident, SeriesKey
from swirl.incident.cost import Cost
from swirl.incident.figures import Figure, evidence_of, figure_of, text_of, value_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swirl.history import History, WindowCounts

__all__ = [
    "EMITTERS",
    "RUN",
    "Anomaly",
    "Case",
    "Present",
    "in_the_end",
    "joined",
    "line_of",
    "mark",
    "missing_emitters",
    "note_worst",
    "refreshed",
    "take_in",
]

EMITTERS = "emitters"
"""The metric of emitters that are not heard."""

RUN = "run"
"""The metric of runs that stay away or do not finish."""


class Anomaly(NamedTuple):
    """A point that spends the budget.

    Attributes:
        key: its series.
        start_ms: start of its window.
        since_ms: start of the window in which its excursion began.
        evidence: nats as a share of what an alarm takes.
        direction: 1 up, -1 down, 0 unknown.
        said: cause and sentence of what needs no diagnosis to be told, such as a limit that a person wrote.
    """

    key: SeriesKey
    start_ms: int
    since_ms: int
    evidence: float
    direction: int = 0
    said: tuple[str, str] = ("", "")


class Case(msgspec.Struct):
    """A suspicion or an incident.

    ``suspected``: nothing is told yet. ``excused``: it is traffic, and goes on. ``open``: people know.
    ``said`` holds by stage what is told whatever the diagnosis makes of it; see :class:`Anomaly`.
    ``windows`` counts those since the onset, of which the history keeps the last ones only.
    ``excused`` is the traffic that went on when this began, with the series that are its own.
    ``shown`` is how the incident stood when people heard of it last, ``""`` if planned work kept it back.
    """

    since_ms: int
    onset_ms: int
    phase: Literal["suspected", "excused", "open"] = "suspected"
    keys: list[SeriesKey] = []
    held: list[SeriesKey] = []
    seen: int = 0
    calm: int = 0
    settled: bool = False
    loud_end_ms: int = 0
    told_ms: int = 0
    cause: str = ""
    incident: Incident | None = None
    covered: list[SeriesKey] = []
    news: list[SeriesKey] = []
    worst: dict[str, float] = {}
    said: dict[str, tuple[str, str]] = {}
    cost: Cost = msgspec.field(default_factory=Cost)
    segment: str = ""
    windows: int = 0
    excused: Case | None = None
    shown: Literal["", "open", "resolved"] = ""

    def go_on(self) -> None:
        """Another window has closed."""
        self.windows += 1
        if self.excused is not None:
            self.excused.windows += 1

    def excuse(self) -> None:
        """It is traffic too: one with that which was excused before."""
        self.phase, self.calm = "excused", 0
        if self.excused is not None:
            self.keys = sorted({*self.keys, *self.excused.keys})
            self.held = sorted({*self.held, *self.excused.held})
            self.excused = None


class Present(NamedTuple):
    """The window that has just closed.

    Attributes:
        window, history: it, and those before it.
        anomalies: alarms of it.
        loud: series that are held and still far from normal.
        length_ms, usual_ms: of this window, and of one as usual; 0 where all windows have the same length.
    """

    window: WindowCounts
    history: History
    anomalies: list[Anomaly]
    loud: frozenset[SeriesKey]
    length_ms: int = 0
    usual_ms: int = 0

    @property
    def end_ms(self) -> int:
        """First millisecond after the window."""
        return self.window.start_ms + (self.length_ms or self.history.window_ms)

    @property
    def size_ms(self) -> int:
        """What counts are divided by to show them as rates."""
        return self.usual_ms or self.history.window_ms

    @property
    def missing(self) -> bool:
        """An emitter was not heard, or a run did not end or come: exact, whatever the window covers."""
        return any(a.key.metric in (EMITTERS, RUN) for a in self.anomalies)

    def age(self, case: Case) -> int:
        """Windows since the onset, this one included."""
        if self.length_ms:
            return case.windows
        return (self.end_ms - case.onset_ms) // self.history.window_ms

    def fresh(self, case: Case) -> list[Anomaly]:
        """Alarms of series that are neither in the case nor excused beside it."""
        known = {*case.keys, *(case.excused.keys if case.excused is not None else ())}
        return [a for a in self.anomalies if a.key not in known]

    def loud_of(self, case: Case) -> list[SeriesKey]:
        """Series of the case that are far from normal now."""
        alarmed = {a.key for a in self.anomalies}
        return [k for k in case.keys if k in self.loud or k in alarmed]

    def shows_calm(self, case: Case) -> bool:
        """Whether the window could show that the case goes on: a stage that gets nothing shows nothing."""
        busy = {
            stage for stage, parts in self.window.stages.items() if any(c.records for c in parts.values())
        }
        return self.window.whole and (not case.held or any(k.stage in busy or not k.stage for k in case.held))


def missing_emitters(window: WindowCounts) -> list[Anomaly]:
    """Emitters that should have been heard and were not: exact, so the evidence is overwhelming."""
    return [
        Anomaly(SeriesKey(stage, EMITTERS), window.start_ms, window.start_ms, 10.0, -1)
        for stage, known in sorted(window.known.items())
        if window.heard.get(stage, 0) < known
    ]


def joined(anomalies: Sequence[Anomaly], more: Sequence[Anomaly]) -> list[Anomaly]:
    """In the order of their keys, each key once."""
    by_key = {a.key: a for a in [*more, *anomalies]}
    return [by_key[k] for k in sorted(by_key)]


def take_in(case: Case, present: Present) -> list[SeriesKey]:
    """Let the anomalies join; returns the keys that are new."""
    fresh = [a.key for a in present.fresh(case)]
    case.keys = sorted({*case.keys, *fresh})
    case.said.update((a.key.stage, a.said) for a in present.anomalies if a.said[0])
    return fresh


def mark(history: History, since_ms: int, *, normal: bool) -> None:
    """Say whether the windows since then may serve as baseline."""
    for window in reversed(history.windows):
        if window.start_ms < since_ms:
            break
        window.normal = normal


def line_of(key: SeriesKey, case: Case, present: Present) -> Evidence | None:
    """A figure that was not in the diagnosis: usual and now."""
    definition = present.history.definition
    if definition is None:
        return None
    figure = figure_of(key, key.label, definition)
    size = present.size_ms
    usual = value_of(figure, [w for w in present.history.windows if w.normal and w.whole], size)
    now = value_of(figure, [present.window], size)
    if isnan(usual) or isnan(now):
        return None
    return evidence_of(figure, usual, now, root=False, onset_ms=case.onset_ms)


def _figure(line: Evidence) -> Figure:
    return Figure(line.stage, line.metric, line.label, line.name)


def refreshed(incident: Incident, present: Present) -> list[Evidence]:
    """The same figures, as they are now."""
    found = []
    for line in incident.evidence:
        now = value_of(_figure(line), [present.window], present.size_ms)
        fresh = not isnan(now)
        found.append(
            msgspec.structs.replace(line, now=text_of(line.metric, now), now_value=now) if fresh else line
        )
    return found


def note_worst(case: Case, present: Present) -> None:
    """Remember of each figure the value furthest from usual."""
    if case.incident is None or not (present.window.whole or present.missing):
        return
    for line in case.incident.evidence:
        now = value_of(_figure(line), [present.window], present.size_ms)
        now = line.now_value if isnan(now) else now
        worst = case.worst.get(line.name, now)
        case.worst[line.name] = max((worst, now), key=lambda x: abs(x - line.usual_value))


def in_the_end(case: Case, incident: Incident, present: Present) -> tuple[Evidence, ...]:
    """The figures of a resolved incident: usual, worst, and now over the calm windows."""
    calm = [w for w in present.history.windows if w.start_ms >= case.loud_end_ms] or [present.window]
    found = []
    for line in incident.evidence:
        now = value_of(_figure(line), calm, present.size_ms)
        now = line.usual_value if isnan(now) else now
        worst = case.worst.get(line.name, line.now_value)
        found.append(
            msgspec.structs.replace(
                line, now=text_of(line.metric, now), now_value=now, worst=text_of(line.metric, worst)
            )
        )
    return tuple(found)
