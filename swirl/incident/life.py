"""The life of an incident: a suspicion, then open, updated, resolved. One at a time for each pipeline.

Pure: called once for each closed window, it keeps all it needs in one state that can be snapshotted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from swirl.effect import Evidence, Incident, IncidentChanged, SeriesKey
from swirl.frame import Verdict
from swirl.history import forecasts_of
from swirl.incident import acts, numbers
from swirl.incident.beyond import as_said, beyond_diagnosis
from swirl.incident.case import (
    EMITTERS,
    RUN,
    Anomaly,
    Case,
    Present,
    State,
    in_the_end,
    joined,
    line_of,
    mark,
    missing_emitters,
    note_worst,
    refreshed,
    resumed,
    take_in,
)
from swirl.incident.causes import CAUSES, CHANCE, UNKNOWN, words_of
from swirl.incident.diagnose import NAMED, SURE, Diagnosis, diagnose
from swirl.incident.graph import Graph
from swirl.incident.onset import locate, residual_key
from swirl.incident.priors import Priors
from swirl.incident.segments import in_words, narrow, narrowed, placed, seen_in
from swirl.incident.text import Told, tell
from swirl.segments import segment_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from swirl.frame import Act
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
_MOVED = 2
"""Labels or intervals of one feature that are told."""
_BENIGN = 0.5
_FULLER = 1.25
_CALMED = 2
_LEFT = (
    "Closed, and not known to be over: the pipeline runs at other times now, "
    "and what was learnt before does not hold for its new windows."
)


class Step(NamedTuple):
    """What a window changed.

    Attributes:
        changes: what people are told.
        hold: series that must be held from now on.
        release: series that are free again.
        adopt: what they do now is the new normal.
        chance: their alarms were false ones.
        verdict: the pipeline's, if it changed.
    """

    changes: list[IncidentChanged]
    hold: frozenset[SeriesKey] = frozenset()
    release: frozenset[SeriesKey] = frozenset()
    adopt: bool = False
    chance: bool = False
    verdict: Verdict | None = None


class Incidents:
    """Joins the anomalies of one pipeline into incidents and follows each to its end.

    Args:
        pipeline: its name.
        settings: for ``calm_windows``.
        resume: what :meth:`snapshot` gave.

    Raises:
        SnapshotError: the snapshot is damaged or of another version.
    """

    def __init__(
        self, pipeline: str, settings: MonitorSettings, resume: dict[str, Any] | None = None
    ) -> None:
        self._pipeline = pipeline
        self._calm_windows = settings.calm_windows
        self._state = resumed(resume) if resume is not None else State()

    @property
    def watching(self) -> bool:
        """A suspicion or an incident is there: nothing should be learnt."""
        case = self._state.case
        return case is not None and case.phase != "excused"

    @property
    def incident(self) -> Incident | None:
        """The open incident as it was told last, None if there is none."""
        case = self._state.case
        return case.incident if case is not None else None

    @property
    def verdict(self) -> Verdict:
        """What the pipeline was told last."""
        return self._state.verdict

    def snapshot(self) -> dict[str, Any]:
        """All state, of types that MessagePack knows."""
        found: dict[str, Any] = msgspec.to_builtins(self._state)
        return found

    def step(
        self,
        window: WindowCounts,
        history: History,
        anomalies: Sequence[Anomaly],
        loud: frozenset[SeriesKey],
        lengths: tuple[int, int] = (0, 0),
    ) -> Generator[None, None, Step]:
        """Take in a closed window, which is the last of the history.

        Args:
            window: the window.
            history: windows of an incident are marked in it as not normal.
            anomalies: alarms of this window.
            loud: series that are held and still far from normal.
            lengths: of this window and of one as usual, milliseconds, where windows differ in length.
        """
        present = Present(window, history, joined(anomalies, missing_emitters(window)), loud, *lengths)
        case = self._state.case
        if case is not None and window.whole and any(key.metric == RUN for key in case.keys):
            return (yield from self._arrive(case, present))
        return (yield from self._step(case, present))

    def _arrive(self, case: Case, present: Present) -> Generator[None, None, Step]:
        """The run that was waited for has come and is complete; what it shows is another matter."""
        case.keys = [key for key in case.keys if key.metric != RUN]
        if case.keys or case.incident is None:
            return (yield from self._step(case, present))
        case.loud_end_ms = present.window.start_ms
        over = self._resolve(case, present, case.incident)
        step = yield from self._step(self._state.case, present)
        return step._replace(
            changes=[*over.changes, *step.changes],
            release=over.release | step.release,
            verdict=step.verdict or over.verdict,
        )

    def _step(self, case: Case | None, present: Present) -> Generator[None, None, Step]:
        history = present.history
        if case is not None:
            case.go_on()
        elif not present.anomalies:
            return Step([])
        else:
            case = yield from self._suspect(present)
        if case.phase == "excused" and (new := present.fresh(case)):
            case = yield from self._suspect(present._replace(anomalies=new))
        fresh = take_in(case, present)
        before = set(case.held)
        held = before | {k for k in fresh if k.metric not in (EMITTERS, RUN)}
        case.held = sorted(held)
        if case.phase == "suspected":
            step = yield from self._watch(case, present)
        elif case.phase == "excused":
            step = self._excuse(case, present)
        else:
            step = yield from self._follow(case, present, fresh)
        if self._state.case is case and case.phase != "excused":
            mark(history, case.since_ms, normal=False)
        return step._replace(hold=frozenset(held - before) - step.release)

    def _suspect(self, present: Present) -> Generator[None, None, Case]:
        """Something new happens, perhaps while traffic is excused, which then stays so."""
        since, onset = yield from self._begin(present)
        windows = sum(window.start_ms >= onset for window in present.history.windows)
        case = self._state.case = Case(since, onset, windows=windows, excused=self._state.case)
        return case

    def _begin(self, present: Present) -> Generator[None, None, tuple[int, int]]:
        """When it began: as the loudest alarm says, within bounds, and where that series really left."""
        start, size = present.window.start_ms, present.history.window_ms
        loudest = max(present.anomalies, key=lambda a: (a.evidence, a.key))
        since = min(max(loudest.since_ms, start - BACK_WINDOWS * size, self._state.ended_ms), start)
        mark(present.history, since, normal=False)
        history, key = seen_in(present.history, loudest.key)
        onset = yield from locate(history, since, start, key)
        return since, onset

    def _diagnosed(self, case: Case, present: Present) -> Generator[None, None, Diagnosis]:
        """Reason over the whole pipeline, knowing what its seasons forecast and what people judged."""
        history = present.history
        return (
            yield from diagnose(
                history,
                case.onset_ms,
                present.window.start_ms,
                forecasts=forecasts_of(history),
                priors=Priors(self._state.judged),
            )
        )

    def _watch(self, case: Case, present: Present) -> Generator[None, None, Step]:
        """Is it worth telling? Not before a whole window says so; a missing emitter is exact at once."""
        if not (present.window.whole or present.missing):
            return Step([])
        case.seen += 1
        whole = yield from self._diagnosed(case, present)
        diagnosis = yield from self._narrowed(case, present, whole)
        if diagnosis.benign < _BENIGN and diagnosis.residuals is not None:
            told = yield from self._told(diagnosis, case, present)
            if told.cause == words_of(UNKNOWN) and case.said:
                told = as_said(case.said, diagnosis)
            yield
            return self._open(case, present, told, diagnosis)
        if case.said:
            return self._open(case, present, as_said(case.said, diagnosis), diagnosis)
        if case.seen < SUSPECT_WINDOWS:
            return Step([])
        traffic = diagnosis.benign - diagnosis.chance >= _BENIGN
        loud = [k for k in present.loud_of(case) if not segment_of(k)]
        # More load makes the slowest records slower still.
        loud = [k for k in loud if not (traffic and k.metric == "latency_p95")]
        unseen = [k for k in loud if residual_key(k) not in whole.z]
        if unseen:
            return self._open(case, present, beyond_diagnosis(unseen[0], diagnosis), diagnosis)
        return self._dismiss(case, present, diagnosis)

    @staticmethod
    def _narrowed(case: Case, present: Present, whole: Diagnosis) -> Generator[None, None, Diagnosis]:
        """The diagnosis of the segment that is loud, where that of the whole has nothing to say."""
        last, known = present.window.start_ms, case.segment
        keys = present.loud_of(case) + [k for k in case.keys if known and segment_of(k) == known]
        return (yield from narrowed(present.history, case.onset_ms, last, keys, whole, before=known))

    def _dismiss(self, case: Case, present: Present, diagnosis: Diagnosis) -> Step:
        """Chance is dropped; traffic that goes on is excused for as long as it lasts."""
        mark(present.history, case.since_ms, normal=True)
        if diagnosis.benign - diagnosis.chance >= _BENIGN and present.loud_of(case):
            case.excuse()
            return Step([])
        acts.spend(self._state, present.end_ms)
        return self._drop(case, chance=True)

    def _excuse(self, case: Case, present: Present) -> Step:
        if present.loud_of(case):
            case.calm = 0
        elif present.shows_calm(case):
            case.calm += 1
        if present.age(case) >= ADOPTED_WINDOWS:
            return self._drop(case, adopt=True)
        return self._drop(case) if case.calm >= _CALMED else Step([])

    def _drop(self, case: Case, *, adopt: bool = False, chance: bool = False) -> Step:
        self._state.case = case.excused
        return Step([], release=frozenset(case.held), adopt=adopt, chance=chance)

    def _told(self, diagnosis: Diagnosis, case: Case, present: Present) -> Generator[None, None, Told]:
        # The numbers of a segment are few, and say nothing of its causes further up.
        # Runs are few and large: nobody shall wait a day for the next one to be told what is likely.
        late = (case.seen >= NAMING_WINDOWS or present.length_ms > 0) and not diagnosis.segment
        sure = diagnosis.cause_probability >= (NAMED if late else SURE)
        named = sure and diagnosis.cause not in (UNKNOWN, CHANCE)
        told = tell(diagnosis, self._pipeline, present.size_ms, named=named)
        yield
        last = present.window.start_ms
        return (yield from placed(told, diagnosis, present.history, case.onset_ms, last))

    def _open(self, case: Case, present: Present, told: Told, diagnosis: Diagnosis) -> Step:
        case.phase, case.calm = "open", 0
        case.loud_end_ms = case.told_ms = present.end_ms
        stated = any(told.cause == cause for cause, _ in case.said.values())
        known = told.cause != words_of(UNKNOWN) and not stated
        case.settled = known or stated or case.seen >= NAMING_WINDOWS
        case.cause = diagnosis.cause if known else UNKNOWN
        case.segment = diagnosis.segment
        case.covered = sorted(told.covered)
        case.cost.begin(present.history, case.onset_ms)
        incident = Incident(
            id=f"{self._pipeline}-{numbers.stamp(case.onset_ms)}",
            pipeline=self._pipeline,
            state="open",
            revision=0,
            onset_ms=case.onset_ms,
            opened_ms=present.end_ms,
            windows=present.age(case),
            window_ms=present.history.window_ms,
            preliminary=not case.settled,
            severity=_severity(case.cause, diagnosis),
            **_parts(told, present),
        )
        case.incident = incident
        acts.remember(self._state, incident.id, case.cause)
        note_worst(case, narrow(present, case))
        return Step([IncidentChanged("opened", incident)], verdict=self._judged(present, incident))

    def _follow(self, case: Case, present: Present, fresh: list[SeriesKey]) -> Generator[None, None, Step]:
        incident = case.incident
        assert incident is not None
        covered = {(k.stage, k.metric) for k in case.covered}
        case.news += [k for k in fresh if (k.stage, residual_key(k).metric) not in covered]
        case.cost.add(present.window)
        if present.loud_of(case):
            case.calm, case.loud_end_ms = 0, present.end_ms
            note_worst(case, narrow(present, case))
        elif present.shows_calm(case):
            case.calm += 1
        said = [a.said for a in present.anomalies if a.said[0] and a.key in fresh]
        if said and present.length_ms:
            return self._also(case, present, incident, said)
        if case.calm >= self._calm_windows:
            return self._resolve(case, present, incident)
        if present.age(case) >= ADOPTED_WINDOWS:
            return self._adopt(case, present, incident)
        if case.calm or not (present.window.whole or present.missing):
            return Step([])
        if case.seen < REVISED_WINDOWS:
            case.seen += 1
            whole = yield from self._diagnosed(case, present)
            diagnosis = yield from self._narrowed(case, present, whole)
            if diagnosis.benign < _BENIGN and diagnosis.residuals is not None:
                return (yield from self._revise(case, present, incident, diagnosis))
        return self._widen(case, present, incident)

    def _also(
        self, case: Case, present: Present, incident: Incident, said: Sequence[tuple[str, str]]
    ) -> Step:
        """A run is late, slow or cut off while an incident is open: told at once, the next may be far off."""
        incident = msgspec.structs.replace(
            incident, revision=incident.revision + 1, windows=present.age(case)
        )
        if all(key.metric == RUN for key in case.keys):
            cause, sentence = said[-1]
            told = f"The pipeline: {sentence}."
            incident = msgspec.structs.replace(incident, cause=cause, sentence=told)
        reply = " ".join(f"Now: {cause}, {sentence}." for cause, sentence in said)
        return self._updated(case, present, incident, reply)

    def _revise(
        self, case: Case, present: Present, incident: Incident, diagnosis: Diagnosis
    ) -> Generator[None, None, Step]:
        """Another window of evidence: it may name the cause, change it, or show the figures in full."""
        told = yield from self._told(diagnosis, case, present)
        known = told.cause != words_of(UNKNOWN)
        settles = not case.settled and (known or case.seen >= NAMING_WINDOWS)
        same = (told.cause, told.stage) == (incident.cause, incident.stage)
        changes_mind = not same and known and diagnosis.cause_probability >= SURE
        found = told.segment not in ("", incident.segment)
        grown = (
            same
            and case.seen == REVISED_WINDOWS
            and (found or _grown(incident.evidence, told.evidence[: told.moved]))
        )
        if not (settles or changes_mind or grown):
            return self._widen(case, present, incident)
        reply = (
            f"In full now: {_said(told.evidence[: told.moved])}."
            if same and not settles
            else _reply(incident, told)
        )
        if found and same and not settles:
            reply += f" Nearly all of it is in {in_words(told.segment)}."
        case.settled = True
        case.cause = diagnosis.cause if known else UNKNOWN
        case.segment = diagnosis.segment
        case.covered = sorted({*case.covered, *told.covered})
        case.news = [k for k in case.news if residual_key(k) not in case.covered]
        incident = msgspec.structs.replace(
            incident,
            revision=incident.revision + 1,
            windows=present.age(case),
            preliminary=False,
            severity=_severity(case.cause, diagnosis),
            **_parts(told, present),
        )
        acts.remember(self._state, incident.id, case.cause)
        return self._updated(case, present, incident, reply)

    def _widen(self, case: Case, present: Present, incident: Incident) -> Step:
        """A new stage or a new kind of number is affected: told, but not often."""
        soon = present.end_ms - case.told_ms < WIDER_WINDOWS * present.history.window_ms
        definition = present.history.definition
        if not case.news or soon or definition is None:
            return Step([])
        news = sorted(set(case.news))
        case.covered = sorted({*case.covered, *(residual_key(k) for k in news)})
        case.news = []
        lines = [line for k in news if (line := line_of(k, case, present)) is not None]
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
            evidence=(*refreshed(incident, narrow(present, case)), *lines)[:_LINES],
            follows=tuple(follows) or incident.follows,
            windows=present.age(case),
        )
        return self._updated(case, present, incident, f"More is affected: {_said(lines)}.")

    def _updated(self, case: Case, present: Present, incident: Incident, reply: str) -> Step:
        case.incident, case.told_ms = incident, present.end_ms
        note_worst(case, narrow(present, case))
        return Step([IncidentChanged("updated", incident, reply)], verdict=self._judged(present, incident))

    def _resolve(self, case: Case, present: Present, incident: Incident) -> Step:
        mark(present.history, case.loud_end_ms, normal=True)
        took = numbers.duration(case.loud_end_ms - case.onset_ms)
        at = numbers.clock(case.loud_end_ms)
        reply = f"Resolved at {at} UTC after {took}; nothing of the fault was learnt."
        return self._end(case, present, incident, reply, adopt=False)

    def _adopt(self, case: Case, present: Present, incident: Incident) -> Step:
        mark(present.history, case.since_ms, normal=True)
        case.loud_end_ms = present.end_ms
        took = numbers.duration(case.loud_end_ms - case.onset_ms)
        reply = f"After {took} this is taken as the new normal: these values raise no alarm from now on."
        return self._end(case, present, incident, reply, adopt=True)

    # -- what people say

    def act(self, act: Act, history: History, lengths: tuple[int, int] = (0, 0)) -> Step:
        """Take what a person says of the open incident, or of one of the last that were told.

        Args:
            act: what is said.
            history: with at least one window.
            lengths: of the last window and of one as usual, as for :meth:`step`.
        """
        present = Present(history.windows[-1], history, [], frozenset(), *lengths)
        acts.judge(self._state, act, present.end_ms)
        case = self._state.case
        if act.act == "confirm" or case is None or case.incident is None or case.incident.id != act.incident:
            return Step([])
        mark(history, case.since_ms, normal=True)
        case.loud_end_ms = present.end_ms
        adopt = act.act == "new_normal"
        step = self._end(case, present, case.incident, acts.reply(act), adopt=adopt)
        return step._replace(chance=not adopt)

    def leave(self, history: History, lengths: tuple[int, int] = (0, 0)) -> Step:
        """Windows are of another kind from now on: nothing would ever end what is open.

        Args:
            history: of the windows so far.
            lengths: as for :meth:`act`.
        """
        case = self._state.case
        if case is None or case.incident is None:
            return Step([])
        present = Present(history.windows[-1], history, [], frozenset(), *lengths)
        case.loud_end_ms = present.end_ms
        return self._end(case, present, case.incident, _LEFT, adopt=False)

    @property
    def false_alarms(self) -> int:
        """Incidents that people called false alarms."""
        return self._state.false_alarms

    def spent(self, now_ms: int) -> int:
        """Alarms of the last seven days that were chance, by the diagnosis or by a person."""
        return acts.spent(self._state, now_ms)

    def _end(self, case: Case, present: Present, incident: Incident, reply: str, *, adopt: bool) -> Step:
        self._state.case = case.excused
        self._state.ended_ms = case.loud_end_ms
        blind = case.cause in ("blind", "stage_down")
        incident = msgspec.structs.replace(
            incident,
            state="resolved",
            revision=incident.revision + 1,
            resolved_ms=case.loud_end_ms,
            evidence=in_the_end(case, incident, narrow(present, case)),
            cost="" if blind else case.cost.sentence(),
            preliminary=False,
        )
        released = frozenset(case.held)
        verdict = self._judged(present, incident)
        return Step(
            [IncidentChanged("resolved", incident, reply)], release=released, adopt=adopt, verdict=verdict
        )

    def _judged(self, present: Present, incident: Incident) -> Verdict | None:
        """The pipeline's verdict, if it is another one than before."""
        if incident.state == "resolved":
            new = Verdict("healthy", present.end_ms)
        else:
            new = Verdict(incident.severity, present.end_ms, incident.id, incident.stage, incident.cause)
        if msgspec.structs.replace(new, since_ms=0) == msgspec.structs.replace(
            self._state.verdict, since_ms=0
        ):
            return None
        self._state.verdict = new
        return new


def _severity(cause: str, diagnosis: Diagnosis) -> Literal["degraded", "tripped"]:
    """What comes out is said to be wrong only where the cause is sure, and not in one segment alone."""
    if diagnosis.segment:
        return "degraded"
    return CAUSES[cause].severity if diagnosis.cause_probability >= SURE else "degraded"


def _parts(told: Told, present: Present) -> dict[str, Any]:
    """What a diagnosis, and the window that it is told with, set of an incident."""
    return {
        "stage": told.stage,
        "cause": told.cause,
        "sentence": told.sentence,
        "look_first": told.look_first,
        "evidence": told.evidence,
        "posterior": told.posterior,
        "rivals": told.rivals,
        "follows": told.follows,
        "version": told.version,
        "version_before": told.version_before,
        "version_line": told.version_line,
        "second": told.second,
        "reasons": told.reasons,
        "segment": told.segment,
        "moved": _moved(told, present),
    }


def _moved(told: Told, present: Present) -> tuple[tuple[str, str, float, float], ...]:
    features = present.window.moved.get(told.stage, {})
    return tuple((name, *one) for name, moved in sorted(features.items()) for one in moved[:_MOVED])[:_LINES]


def _said(lines: Sequence[Evidence]) -> str:
    return ", ".join(f"{line.name} {line.usual} → {line.now}" for line in lines)


def _grown(before: Sequence[Evidence], after: Sequence[Evidence]) -> bool:
    """A figure is new, or has moved by much more: the first window of a fault is seldom a full one."""
    told = {line.name: line.now_value - line.usual_value for line in before}
    return any(
        line.name not in told or abs(line.now_value - line.usual_value) > _FULLER * abs(told[line.name])
        for line in after
    )


def _reply(before: Incident, told: Told) -> str:
    where = f"{told.stage or before.pipeline}: {told.cause}"
    if told.cause == words_of(UNKNOWN):
        return f"The cause stays open. {told.sentence}"
    if before.preliminary or before.cause == words_of(UNKNOWN):
        return f"The cause is clear now: {where}. {told.sentence}"
    return f"More evidence changes the diagnosis: {where}, not {before.title}. {told.sentence}"
