"""An open incident meets the windows that follow: it is told in full, changes its mind, spreads, calms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from swirl.incident import numbers
from swirl.incident.case import RUN, line_of, mark, note_worst, refreshed
from swirl.incident.causes import UNKNOWN, words_of
from swirl.incident.diagnose import SURE
from swirl.incident.graph import Graph
from swirl.incident.journal import Ending, Happened, Step, end, judged, write
from swirl.incident.learning import remember
from swirl.incident.onset import residual_key
from swirl.incident.reasoning import LINES, NAMING_WINDOWS, parts_of, severity_of
from swirl.incident.reopening import patience
from swirl.incident.replies import cause_in_words, figures
from swirl.incident.segments import in_words, narrow

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from swirl.effect import Evidence, Incident, SeriesKey
    from swirl.incident.case import Case, Present
    from swirl.incident.diagnose import Diagnosis
    from swirl.incident.reasoning import Reasoner
    from swirl.incident.text import Told

__all__ = ["ADOPTED_WINDOWS", "BENIGN", "REVISED_WINDOWS", "WIDER_WINDOWS", "Following"]

REVISED_WINDOWS = 5
"""The diagnosis is revised so long, then it stands."""

WIDER_WINDOWS = 10
"""An incident that grows is told of again after so many windows at the earliest."""

ADOPTED_WINDOWS = 720
"""What has lasted so long is the new normal."""

BENIGN = 0.5
"""From this probability on it is chance or traffic."""

_FULLER = 1.25


class Following:
    """Follows the open incident of a pipeline.

    Args:
        reasoner: of the pipeline, with the state of its incidents.
        calm_windows: that end an incident which never came back.
    """

    def __init__(self, reasoner: Reasoner, calm_windows: int) -> None:
        self._reasoner, self._state, self._calm_windows = reasoner, reasoner.state, calm_windows

    def follow(self, case: Case, present: Present, fresh: list[SeriesKey]) -> Generator[None, None, Step]:
        """What another window changes.

        Args:
            case: with an incident.
            present: the window.
            fresh: series that joined with it.
        """
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
        if case.calm >= patience(self._calm_windows, incident.reopened):
            return self.resolve(case, present, incident)
        if present.age(case) >= ADOPTED_WINDOWS:
            return self._adopt(case, present, incident)
        if case.calm or not (present.window.whole or present.missing):
            return Step([])
        if case.seen < REVISED_WINDOWS:
            case.seen += 1
            whole = yield from self._reasoner.diagnosed(case, present)
            diagnosis = yield from self._reasoner.narrowed(case, present, whole)
            if diagnosis.benign < BENIGN and diagnosis.residuals is not None:
                return (yield from self._revise(case, present, incident, diagnosis))
        return self._widen(case, present, incident)

    def resolve(self, case: Case, present: Present, incident: Incident, *, for_good: bool = False) -> Step:
        """The series are back.

        Args:
            case: with an incident.
            present: the window.
            incident: of the case.
            for_good: what comes after it is another incident, however soon.
        """
        mark(present.history, case.loud_end_ms, normal=True)
        took = numbers.duration(case.loud_end_ms - incident.onset_ms)
        at = numbers.clock(case.loud_end_ms)
        reply = f"Resolved at {at} UTC after {took}; nothing of the fault was learnt."
        calm_windows = 0 if for_good else self._calm_windows
        # It is told when it has been calm for a while: what people did meanwhile came before that.
        ending = Ending("calm", reply, present.end_ms, words=f"By itself: calm since {at} UTC, after {took}.")
        return end(self._state, case, present, ending, calm_windows)

    def _adopt(self, case: Case, present: Present, incident: Incident) -> Step:
        mark(present.history, case.since_ms, normal=True)
        case.loud_end_ms = present.end_ms
        took = numbers.duration(case.loud_end_ms - incident.onset_ms)
        reply = f"After {took} this is taken as the new normal: these values raise no alarm from now on."
        return end(self._state, case, present, Ending("adopted", reply, present.end_ms), 0)

    def _also(
        self, case: Case, present: Present, incident: Incident, said: Sequence[tuple[str, str]]
    ) -> Step:
        """A run is late, slow or cut off while an incident is open: told at once, the next may be far off."""
        incident = msgspec.structs.replace(incident, windows=present.age(case))
        if all(key.metric == RUN for key in case.keys):
            cause, sentence = said[-1]
            told = f"The pipeline: {sentence}."
            incident = msgspec.structs.replace(incident, cause=cause, sentence=told)
        reply = " ".join(f"Now: {cause}, {sentence}." for cause, sentence in said)
        return self._updated(case, present, Happened("worse", present.end_ms), incident, reply)

    def _revise(
        self, case: Case, present: Present, incident: Incident, diagnosis: Diagnosis
    ) -> Generator[None, None, Step]:
        """Another window of evidence: it may name the cause, change it, or show the figures in full."""
        told = yield from self._reasoner.told(diagnosis, case, present)
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
            f"In full now: {figures(told.evidence[: told.moved])}."
            if same and not settles
            else _reply(incident, told)
        )
        if found and same and not settles:
            reply += f" Nearly all of it is in {in_words(told.segment)}."
        return self._retold(case, present, (incident, diagnosis, told), reply)

    def _retold(
        self, case: Case, present: Present, now: tuple[Incident, Diagnosis, Told], reply: str
    ) -> Step:
        before, diagnosis, told = now
        case.settled = True
        case.cause = diagnosis.cause if told.cause != words_of(UNKNOWN) else UNKNOWN
        case.segment = diagnosis.segment
        case.covered = sorted({*case.covered, *told.covered})
        case.news = [k for k in case.news if residual_key(k) not in case.covered]
        incident = msgspec.structs.replace(
            before,
            windows=present.age(case),
            preliminary=False,
            severity=severity_of(case.cause, diagnosis),
            **parts_of(told, present),
        )
        if not incident.judged:
            remember(self._state, incident.id, case.cause)
        happened = _happened(before, incident, present.end_ms)
        return self._updated(case, present, happened, incident, reply)

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
            evidence=(*refreshed(incident, narrow(present, case)), *lines)[:LINES],
            follows=tuple(follows) or incident.follows,
            windows=present.age(case),
        )
        happened = Happened("worse", present.end_ms)
        reply = f"More is affected: {_wider(lines, incident)}."
        return self._updated(case, present, happened, incident, reply)

    def _updated(
        self, case: Case, present: Present, happened: Happened, incident: Incident, reply: str
    ) -> Step:
        step = write(self._state, case, happened, incident, reply)
        case.told_ms = present.end_ms
        note_worst(case, narrow(present, case))
        return Step([step], verdict=judged(self._state, present, step.incident))


def _grown(before: Sequence[Evidence], after: Sequence[Evidence]) -> bool:
    """A figure is new, or has moved by much more: the first window of a fault is seldom a full one."""
    told = {line.name: line.now_value - line.usual_value for line in before}
    return any(
        line.name not in told or abs(line.now_value - line.usual_value) > _FULLER * abs(told[line.name])
        for line in after
    )


def _wider(lines: Sequence[Evidence], incident: Incident) -> str:
    """What joined. Labels are users' data, which sinks can withhold only where the evidence names them."""
    told = [line for line in lines if line in incident.evidence or line.metric != "prediction_ratio"]
    more = len(lines) - len(told)
    others = "the ratio of a label" if more == 1 else f"the ratios of {more} labels"
    return ", ".join([*([figures(told)] if told else []), *([others] if more else [])])


def _reply(before: Incident, told: Told) -> str:
    where = f"{told.stage or before.pipeline}: {told.cause}"
    if told.cause == words_of(UNKNOWN):
        return f"The cause stays open. {told.sentence}"
    if before.preliminary or before.cause == words_of(UNKNOWN):
        return f"The cause is clear now: {where}. {told.sentence}"
    return f"More evidence changes the diagnosis: {where}, not {before.title}. {told.sentence}"


def _happened(before: Incident, now: Incident, at_ms: int) -> Happened:
    """What another window of evidence made of the diagnosis."""
    unknown = words_of(UNKNOWN)
    if now.cause == unknown and before.preliminary:
        return Happened("unclear", at_ms, now.sentence)
    if now.cause != unknown and before.cause == unknown:
        return Happened("named", at_ms, cause_in_words(now))
    if now.title != before.title:
        return Happened("changed", at_ms, f"{cause_in_words(now)}, not {before.title}")
    return Happened("fuller", at_ms)
