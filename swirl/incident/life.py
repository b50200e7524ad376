"""The life of an incident: a suspicion, then open, updated, resolved. One at a time for each pipeline.

Pure: called once for each closed window, it keeps all it needs in one state that can be snapshotted.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from swirl.effect import Evidence, Incident, IncidentChanged, Rival, SeriesKey
from swirl.errors import SnapshotError
from swirl.frame import Verdict
from swirl.incident import numbers
from swirl.incident.causes import CAUSES, CHANCE, UNKNOWN, words_of
from swirl.incident.cost import Cost
from swirl.incident.diagnose import NAMED, SURE, Diagnosis, diagnose, locate, residual_key
from swirl.incident.figures import Figure, evidence_of, figure_of, text_of, value_of
from swirl.incident.graph import Graph
from swirl.incident.text import Told, tell

if TYPE_CHECKING:
    from swirl.history import History, WindowCounts
    from swirl.settings import MonitorSettings

__all__ = ["Anomaly", "Incidents", "Step"]

SUSPECT_WINDOWS = 5
"""A suspicion that stays chance or traffic for so many windows is dropped."""

NAMING_WINDOWS = 3
"""So many windows are waited for at most until the cause is sure."""

REVISED_WINDOWS = 5
"""The diagnosis is revised so long, then it stands."""

WIDER_WINDOWS = 10
"""An incident that grows is told of again after so many windows at the earliest."""

BACK_WINDOWS = 30
"""An onset lies at most so many windows back."""

ADOPTED_WINDOWS = 720
"""What has lasted so long is the new normal."""

_LINES = 5
_BENIGN = 0.5
_CALMED = 2
_SNAPSHOT = 1


class Anomaly(NamedTuple):
    """A point that spends the budget.

    Attributes:
        key: its series.
        start_ms: start of its window.
        since_ms: start of the window in which its excursion began.
        evidence: nats as a share of what an alarm takes.
        direction: 1 up, -1 down, 0 unknown.
    """

    key: SeriesKey
    start_ms: int
    since_ms: int
    evidence: float
    direction: int = 0


class Step(NamedTuple):
    """What a window changed.

    Attributes:
        changes: what people are told.
        hold: series that must be held from now on.
        release: series that are free again.
        adopt: what they do now is the new normal.
        verdict: the pipeline's, if it changed.
    """

    changes: list[IncidentChanged]
    hold: frozenset[SeriesKey] = frozenset()
    release: frozenset[SeriesKey] = frozenset()
    adopt: bool = False
    verdict: Verdict | None = None


class _Case(msgspec.Struct):
    """A suspicion or an incident.

    ``suspected``: nothing is told yet. ``excused``: it is traffic, and goes on. ``open``: people know.
    """

    since_ms: int
    onset_ms: int
    phase: Literal["suspected", "excused", "open"] = "suspected"
    keys: list[tuple[str, str, str]] = []
    held: list[tuple[str, str, str]] = []
    seen: int = 0
    calm: int = 0
    settled: bool = False
    loud_end_ms: int = 0
    told_ms: int = 0
    cause: str = ""
    incident: Incident | None = None
    covered: list[tuple[str, str, str]] = []
    news: list[tuple[str, str, str]] = []
    worst: dict[str, float] = {}
    cost: Cost = msgspec.field(default_factory=Cost)


class _State(msgspec.Struct):
    schema: int = _SNAPSHOT
    case: _Case | None = None
    ended_ms: int = 0
    verdict: Verdict = msgspec.field(default_factory=Verdict)


class Incidents:
    """Joins the anomalies of one pipeline into incidents and follows each to its end.

    Args:
        pipeline: its name.
        settings: for ``calm_windows``.
        resume: what :meth:`snapshot` gave.

    Raises:
        SnapshotError: the snapshot is damaged or of another version.
    """

    def __init__(self, pipeline: str, settings: MonitorSettings, resume: dict[str, Any] | None = None) -> None:
        self._pipeline = pipeline
        self._calm_windows = settings.calm_windows
        self._state = _resumed(resume) if resume is not None else _State()

    @property
    def watching(self) -> bool:
        """A suspicion or an incident is there: nothing should be learnt."""
        case = self._state.case
        return case is not None and case.phase != "excused"

    @property
    def incident(self) -> Incident | None:
        """The open incident."""
        return self._state.case.incident if self._state.case is not None else None

    @property
    def verdict(self) -> Verdict:
        """What the pipeline was told last."""
        return self._state.verdict

    def snapshot(self) -> dict[str, Any]:
        """All state, of types that MessagePack knows."""
        found: dict[str, Any] = msgspec.to_builtins(self._state)
        return found

    def step(
        self, window: WindowCounts, history: History, anomalies: Sequence[Anomaly], loud: frozenset[SeriesKey]
    ) -> Generator[None, None, Step]:
        """Take in a closed window, which is the last of the history.

        Args:
            window: the window.
            history: windows of an incident are marked in it as not normal.
            anomalies: alarms of this window.
            loud: series that are held and still far from normal.
        """
        present = _Present(window, history, _joined(anomalies, _missing(window)), loud)
        case = self._state.case
        if case is None:
            if not present.anomalies:
                return Step([])
            case = yield from self._suspect(present)
        fresh = _take_in(case, present)
        if case.phase == "excused" and any(k in fresh for k in (a.key for a in present.anomalies)):
            yield from self._suspect_again(case, present)
        before = {SeriesKey(*k) for k in case.held}
        held = before | {k for k in fresh if k.metric != _EMITTERS}
        case.held = sorted(held)
        if case.phase == "suspected":
            step = yield from self._watch(case, present)
        elif case.phase == "excused":
            step = self._excuse(case, present)
        else:
            step = yield from self._follow(case, present, fresh)
        if self._state.case is not None and case.phase != "excused":
            _mark(history, case.since_ms, normal=False)
        return step._replace(hold=frozenset(held - before) - step.release)

    # A suspicion -----------------------------------------------------------------------------------------------

    def _suspect(self, present: _Present) -> Generator[None, None, _Case]:
        since, onset = yield from self._begin(present)
        case = self._state.case = _Case(since, onset)
        return case

    def _suspect_again(self, case: _Case, present: _Present) -> Generator[None, None, None]:
        """Something new happens while traffic is excused."""
        case.since_ms, case.onset_ms = yield from self._begin(present)
        case.phase, case.seen, case.calm = "suspected", 0, 0

    def _begin(self, present: _Present) -> Generator[None, None, tuple[int, int]]:
        """When it began: as the loudest alarm says, within bounds, and where that series really left."""
        start, size = present.window.start_ms, present.history.window_ms
        loudest = max(present.anomalies, key=lambda a: (a.evidence, a.key))
        since = min(max(loudest.since_ms, start - BACK_WINDOWS * size, self._state.ended_ms), start)
        _mark(present.history, since, normal=False)
        onset = yield from locate(present.history, since, start, loudest.key)
        return since, onset

    def _watch(self, case: _Case, present: _Present) -> Generator[None, None, Step]:
        """Is it worth telling? Not before a whole window says so; a missing emitter is exact at once."""
        if not (present.window.whole or present.missing):
            return Step([])
        case.seen += 1
        diagnosis = yield from diagnose(present.history, case.onset_ms, present.window.start_ms)
        if diagnosis.benign < _BENIGN and diagnosis.residuals is not None:
            told = self._told(diagnosis, case, present)
            yield
            return self._open(case, present, told, diagnosis)
        if case.seen < SUSPECT_WINDOWS:
            return Step([])
        unseen = [k for k in present.loud_of(case) if residual_key(k) not in diagnosis.z]
        if unseen:
            return self._open(case, present, _beyond_diagnosis(unseen[0], diagnosis), diagnosis)
        return self._dismiss(case, present, diagnosis)

    def _dismiss(self, case: _Case, present: _Present, diagnosis: Diagnosis) -> Step:
        """Chance is dropped; traffic that goes on is excused for as long as it lasts."""
        _mark(present.history, case.since_ms, normal=True)
        if diagnosis.benign - diagnosis.chance >= _BENIGN and present.loud_of(case):
            case.phase, case.calm = "excused", 0
            return Step([])
        return self._drop(case)

    def _excuse(self, case: _Case, present: _Present) -> Step:
        if present.loud_of(case):
            case.calm = 0
        elif present.window.whole:
            case.calm += 1
        if present.age(case) >= ADOPTED_WINDOWS:
            return self._drop(case, adopt=True)
        return self._drop(case) if case.calm >= _CALMED else Step([])

    def _drop(self, case: _Case, *, adopt: bool = False) -> Step:
        self._state.case = None
        return Step([], release=frozenset(SeriesKey(*k) for k in case.held), adopt=adopt)

    # An open incident ------------------------------------------------------------------------------------------

    def _told(self, diagnosis: Diagnosis, case: _Case, present: _Present) -> Told:
        late = case.seen >= NAMING_WINDOWS
        sure = diagnosis.cause_probability >= (NAMED if late else SURE)
        named = sure and diagnosis.cause not in (UNKNOWN, CHANCE)
        return tell(diagnosis, self._pipeline, present.history.window_ms, named=named)

    def _open(self, case: _Case, present: _Present, told: Told, diagnosis: Diagnosis) -> Step:
        case.phase, case.calm = "open", 0
        case.loud_end_ms = case.told_ms = present.end_ms
        known = told.cause != words_of(UNKNOWN)
        case.settled = known or case.seen >= NAMING_WINDOWS
        case.cause = diagnosis.cause if known else UNKNOWN
        case.covered = sorted(told.covered)
        case.cost.begin(present.history, case.onset_ms)
        incident = Incident(
            id=f"{self._pipeline}-{numbers.stamp(case.onset_ms)}",
            pipeline=self._pipeline,
            state="open",
            revision=0,
            stage=told.stage,
            cause=told.cause,
            onset_ms=case.onset_ms,
            opened_ms=present.end_ms,
            sentence=told.sentence,
            look_first=told.look_first,
            evidence=told.evidence,
            posterior=told.posterior,
            rivals=told.rivals,
            windows=present.age(case),
            window_ms=present.history.window_ms,
            preliminary=not case.settled,
            severity=_severity(case.cause, diagnosis),
            follows=told.follows,
            version=told.version,
            version_before=told.version_before,
            version_line=told.version_line,
            second=told.second,
            reasons=told.reasons,
        )
        case.incident = incident
        _note_worst(case, present)
        return Step([IncidentChanged("opened", incident)], verdict=self._judged(present, incident))

    def _follow(self, case: _Case, present: _Present, fresh: list[SeriesKey]) -> Generator[None, None, Step]:
        incident = case.incident
        assert incident is not None
        covered = {(k[0], k[1]) for k in case.covered}
        case.news += [k for k in fresh if (k.stage, residual_key(k).metric) not in covered]
        case.cost.add(present.window)
        if present.loud_of(case):
            case.calm, case.loud_end_ms = 0, present.end_ms
            _note_worst(case, present)
        elif present.window.whole:
            case.calm += 1
        if case.calm >= self._calm_windows:
            return self._resolve(case, present, incident)
        if present.age(case) >= ADOPTED_WINDOWS:
            return self._adopt(case, present, incident)
        if case.calm or not (present.window.whole or present.missing):
            return Step([])
        if case.seen < REVISED_WINDOWS:
            case.seen += 1
            diagnosis = yield from diagnose(present.history, case.onset_ms, present.window.start_ms)
            if diagnosis.benign < _BENIGN and diagnosis.residuals is not None:
                return self._revise(case, present, incident, diagnosis)
        return self._widen(case, present, incident)

    def _revise(self, case: _Case, present: _Present, incident: Incident, diagnosis: Diagnosis) -> Step:
        """Another window of evidence: it may name the cause, or change it."""
        told = self._told(diagnosis, case, present)
        known = told.cause != words_of(UNKNOWN)
        settles = not case.settled and (known or case.seen >= NAMING_WINDOWS)
        sure = known and diagnosis.cause_probability >= SURE
        changed = (told.cause, told.stage) != (incident.cause, incident.stage)
        case.covered = sorted({*case.covered, *told.covered})
        if not (settles or (changed and sure)):
            return self._widen(case, present, incident)
        case.settled = True
        case.cause = diagnosis.cause if known else UNKNOWN
        reply = _reply(incident, told)
        incident = msgspec.structs.replace(
            incident,
            revision=incident.revision + 1,
            stage=told.stage,
            cause=told.cause,
            sentence=told.sentence,
            look_first=told.look_first,
            evidence=told.evidence,
            posterior=told.posterior,
            rivals=told.rivals,
            windows=present.age(case),
            preliminary=False,
            severity=_severity(case.cause, diagnosis),
            follows=told.follows,
            version=told.version,
            version_before=told.version_before,
            version_line=told.version_line,
            second=told.second,
            reasons=told.reasons,
        )
        return self._updated(case, present, incident, reply)

    def _widen(self, case: _Case, present: _Present, incident: Incident) -> Step:
        """A new stage or a new kind of number is affected: told, but not often."""
        soon = present.end_ms - case.told_ms < WIDER_WINDOWS * present.history.window_ms
        definition = present.history.definition
        if not case.news or soon or definition is None:
            return Step([])
        news = sorted({SeriesKey(*k) for k in case.news})
        case.covered = sorted({*case.covered, *(tuple(residual_key(k)) for k in news)})
        case.news = []
        lines = [line for k in news if (line := _line(k, case, present)) is not None]
        names = {line.name for line in incident.evidence}
        lines = [line for line in lines if line.name not in names]
        if not lines:
            return Step([])
        graph = Graph(definition)
        below = graph.descendants.get(incident.stage, [])
        follows = [s for s in below if s in incident.follows or any(k.stage == s for k in news)]
        incident = msgspec.structs.replace(
            incident,
            revision=incident.revision + 1,
            evidence=(*_refreshed(incident, present), *lines)[:_LINES],
            follows=tuple(follows) or incident.follows,
            windows=present.age(case),
        )
        said = ", ".join(f"{line.name} {line.usual} → {line.now}" for line in lines)
        return self._updated(case, present, incident, f"More is affected: {said}.")

    def _updated(self, case: _Case, present: _Present, incident: Incident, reply: str) -> Step:
        case.incident, case.told_ms = incident, present.end_ms
        _note_worst(case, present)
        return Step([IncidentChanged("updated", incident, reply)], verdict=self._judged(present, incident))

    # Its end ---------------------------------------------------------------------------------------------------

    def _resolve(self, case: _Case, present: _Present, incident: Incident) -> Step:
        _mark(present.history, case.loud_end_ms, normal=True)
        took = numbers.duration(case.loud_end_ms - case.onset_ms)
        reply = f"Resolved at {numbers.clock(case.loud_end_ms)} UTC after {took}; nothing of the fault was learnt."
        return self._end(case, present, incident, reply, adopt=False)

    def _adopt(self, case: _Case, present: _Present, incident: Incident) -> Step:
        _mark(present.history, case.since_ms, normal=True)
        case.loud_end_ms = present.end_ms
        took = numbers.duration(case.loud_end_ms - case.onset_ms)
        reply = f"After {took} this is taken as the new normal: these values raise no alarm from now on."
        return self._end(case, present, incident, reply, adopt=True)

    def _end(self, case: _Case, present: _Present, incident: Incident, reply: str, *, adopt: bool) -> Step:
        self._state.case = None
        self._state.ended_ms = case.loud_end_ms
        blind = case.cause in ("blind", "stage_down")
        incident = msgspec.structs.replace(
            incident,
            state="resolved",
            revision=incident.revision + 1,
            resolved_ms=case.loud_end_ms,
            evidence=_in_the_end(case, incident, present),
            cost="" if blind else case.cost.sentence(),
            preliminary=False,
        )
        released = frozenset(SeriesKey(*k) for k in case.held)
        verdict = self._judged(present, incident)
        return Step([IncidentChanged("resolved", incident, reply)], release=released, adopt=adopt, verdict=verdict)

    def _judged(self, present: _Present, incident: Incident) -> Verdict | None:
        """The pipeline's verdict, if it is another one than before."""
        if incident.state == "resolved":
            new = Verdict("healthy", present.end_ms)
        else:
            new = Verdict(incident.severity, present.end_ms, incident.id, incident.stage, incident.cause)
        if msgspec.structs.replace(new, since_ms=0) == msgspec.structs.replace(self._state.verdict, since_ms=0):
            return None
        self._state.verdict = new
        return new


_EMITTERS = "emitters"


class _Present(NamedTuple):
    """The window that has just closed."""

    window: WindowCounts
    history: History
    anomalies: list[Anomaly]
    loud: frozenset[SeriesKey]

    @property
    def end_ms(self) -> int:
        return self.window.start_ms + self.history.window_ms

    @property
    def missing(self) -> bool:
        return any(a.key.metric == _EMITTERS for a in self.anomalies)

    def age(self, case: _Case) -> int:
        """Windows since the onset, this one included."""
        return (self.end_ms - case.onset_ms) // self.history.window_ms

    def loud_of(self, case: _Case) -> list[SeriesKey]:
        """Series of the case that are far from normal now."""
        alarmed = {a.key for a in self.anomalies}
        return [k for t in case.keys if (k := SeriesKey(*t)) in self.loud or k in alarmed]


def _resumed(resume: dict[str, Any]) -> _State:
    try:
        state = msgspec.convert(resume, _State)
    except msgspec.ValidationError as error:
        raise SnapshotError(f"the incidents of a pipeline cannot be restored: {error}") from None
    if state.schema != _SNAPSHOT:
        raise SnapshotError(f"incidents of version {state.schema}; this Swirl reads version {_SNAPSHOT}")
    return state


def _missing(window: WindowCounts) -> list[Anomaly]:
    """Emitters that should have been heard and were not: exact, so the evidence is overwhelming."""
    return [
        Anomaly(SeriesKey(stage, _EMITTERS), window.start_ms, window.start_ms, 10.0, -1)
        for stage, known in sorted(window.known.items())
        if window.heard.get(stage, 0) < known
    ]


def _joined(anomalies: Sequence[Anomaly], more: Sequence[Anomaly]) -> list[Anomaly]:
    """In the order of their keys, each key once."""
    by_key = {a.key: a for a in [*more, *anomalies]}
    return [by_key[k] for k in sorted(by_key)]


def _take_in(case: _Case, present: _Present) -> list[SeriesKey]:
    """Let the anomalies join; returns the keys that are new."""
    known = set(case.keys)
    fresh = [a.key for a in present.anomalies if tuple(a.key) not in known]
    case.keys = sorted(known | {tuple(k) for k in fresh})
    return fresh


def _mark(history: History, since_ms: int, *, normal: bool) -> None:
    for window in reversed(history.windows):
        if window.start_ms < since_ms:
            break
        window.normal = normal


def _severity(cause: str, diagnosis: Diagnosis) -> Literal["degraded", "tripped"]:
    """What comes out is said to be wrong only where the cause is sure."""
    return CAUSES[cause].severity if diagnosis.cause_probability >= SURE else "degraded"


def _reply(before: Incident, told: Told) -> str:
    where = f"{told.stage or before.pipeline}: {told.cause}"
    if told.cause == words_of(UNKNOWN):
        return f"The cause stays open. {told.sentence}"
    if before.preliminary or before.cause == words_of(UNKNOWN):
        return f"The cause is clear now: {where}. {told.sentence}"
    return f"More evidence changes the diagnosis: {where}, not {before.title}. {told.sentence}"


def _beyond_diagnosis(key: SeriesKey, diagnosis: Diagnosis) -> Told:
    """A series that the table of signs does not know stays away from normal."""
    kinds = {"latency_p95": "the slowest 5 % of its records", "observed_drift": f"the distribution of {key.label}"}
    what = kinds.get(key.metric, key.metric.replace("_", " "))
    where = key.stage or "the pipeline"
    rivals = (Rival(words_of(CHANCE), "", round(diagnosis.chance, 6), "it does not go away"),)
    return Told(
        cause=words_of(UNKNOWN),
        stage=key.stage,
        sentence=f"{where}: {what} is not as usual, and nothing else moved. The cause is open.",
        look_first=CAUSES[UNKNOWN].look.format(stage=where),
        evidence=(),
        follows=(),
        posterior=0.0,
        rivals=rivals,
        version="",
        version_before="",
        version_line="",
        second="",
        reasons=(),
        covered=frozenset({residual_key(key)}),
    )


# Figures of a running incident -----------------------------------------------------------------------------------


def _line(key: SeriesKey, case: _Case, present: _Present) -> Evidence | None:
    """A figure that was not in the diagnosis: usual and now."""
    definition = present.history.definition
    if definition is None:
        return None
    figure = figure_of(key, key.label, definition)
    size = present.history.window_ms
    usual = value_of(figure, [w for w in present.history.windows if w.normal and w.whole], size)
    now = value_of(figure, [present.window], size)
    if usual != usual or now != now:
        return None
    return evidence_of(figure, usual, now, root=False, onset_ms=case.onset_ms)


def _figure(line: Evidence) -> Figure:
    return Figure(line.stage, line.metric, line.label, line.name)


def _refreshed(incident: Incident, present: _Present) -> list[Evidence]:
    """The same figures, as they are now."""
    found = []
    for line in incident.evidence:
        now = value_of(_figure(line), [present.window], present.history.window_ms)
        fresh = now == now
        found.append(msgspec.structs.replace(line, now=text_of(line.metric, now), now_value=now) if fresh else line)
    return found


def _note_worst(case: _Case, present: _Present) -> None:
    """Remember of each figure the value furthest from usual."""
    if case.incident is None or not (present.window.whole or present.missing):
        return
    for line in case.incident.evidence:
        now = value_of(_figure(line), [present.window], present.history.window_ms)
        now = line.now_value if now != now else now
        worst = case.worst.get(line.name, now)
        case.worst[line.name] = max((worst, now), key=lambda x: abs(x - line.usual_value))


def _in_the_end(case: _Case, incident: Incident, present: _Present) -> tuple[Evidence, ...]:
    """The figures of a resolved incident: usual, worst, and now over the calm windows."""
    calm = [w for w in present.history.windows if w.start_ms >= case.loud_end_ms] or [present.window]
    found = []
    for line in incident.evidence:
        now = value_of(_figure(line), calm, present.history.window_ms)
        now = line.usual_value if now != now else now
        worst = case.worst.get(line.name, line.now_value)
        found.append(
            msgspec.structs.replace(
                line, now=text_of(line.metric, now), now_value=now, worst=text_of(line.metric, worst)
            )
        )
    return tuple(found)
