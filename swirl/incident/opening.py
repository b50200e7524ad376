"""A suspicion becomes an incident: a new one, or one that was over and has come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from swirl.effect import Incident
from swirl.incident import learning, numbers, reopening
from swirl.incident.case import note_worst
from swirl.incident.causes import UNKNOWN, words_of
from swirl.incident.journal import Happened, Step, judged, write
from swirl.incident.reasoning import NAMING_WINDOWS, Reasoner, parts_of, severity_of
from swirl.incident.replies import back, cause_in_words
from swirl.incident.segments import narrow

if TYPE_CHECKING:
    from swirl.effect import IncidentChanged
    from swirl.incident.case import Case, Present
    from swirl.incident.diagnose import Diagnosis
    from swirl.incident.state import State
    from swirl.incident.text import Told

__all__ = ["open_case"]


def open_case(reasoner: Reasoner, case: Case, present: Present, told: Told, diagnosis: Diagnosis) -> Step:
    """Tell of a case for the first time.

    Args:
        reasoner: of the pipeline, with the state of its incidents.
        case: a suspicion; it has an incident afterwards.
        present: the window that shows it.
        told: what is said of it.
        diagnosis: that this comes from.
    """
    state = reasoner.state
    case.phase, case.calm = "open", 0
    case.loud_end_ms = case.told_ms = present.end_ms
    stated = any(told.cause == cause for cause, _ in case.said.values())
    known = told.cause != words_of(UNKNOWN) and not stated
    case.settled = known or stated or case.seen >= NAMING_WINDOWS
    case.cause = diagnosis.cause if known else UNKNOWN
    case.segment = diagnosis.segment
    case.covered = sorted(told.covered)
    now = {
        "windows": present.age(case),
        "preliminary": not case.settled,
        "severity": severity_of(case.cause, diagnosis),
        **parts_of(told, present),
    }
    found = reopening.back_from(state, case, told)
    if found is not None:
        reopening.resume(state, *found, case, present)
        step = _reopen(state, case, present, found[1], now)
    else:
        case.cost.begin(present.history, case.onset_ms)
        step = _open(reasoner, case, present, now)
    if not step.incident.judged:
        learning.remember(state, step.incident.id, case.cause)
    note_worst(case, narrow(present, case))
    return Step([step], verdict=judged(state, present, step.incident))


def _open(reasoner: Reasoner, case: Case, present: Present, now: dict[str, Any]) -> IncidentChanged:
    incident = Incident(
        id=_identity(reasoner, case.onset_ms),
        pipeline=reasoner.pipeline,
        state="open",
        revision=0,
        onset_ms=case.onset_ms,
        opened_ms=present.end_ms,
        window_ms=present.history.window_ms,
        **now,
    )
    happened = Happened("opened", present.end_ms, cause_in_words(incident))
    return write(reasoner.state, case, happened, incident)


def _identity(reasoner: Reasoner, onset_ms: int) -> str:
    """As the onset says; a run that came late and is broken begins when it was said to stay away."""
    known = {past.id for past in reasoner.state.past}
    while (name := f"{reasoner.pipeline}-{numbers.stamp(onset_ms)}") in known:
        onset_ms += 1000
    return name


def _reopen(
    state: State, case: Case, present: Present, past: Incident, now: dict[str, Any]
) -> IncidentChanged:
    incident = msgspec.structs.replace(
        past,
        state="open",
        resolved_ms=0,
        cost="",
        ending="",
        ended_by="",
        why="",
        reopened=past.reopened + 1,
        **now,
    )
    # A person who ended it did so in log time, which a window that was still open then does not reach.
    ended_ms = max((step.at_ms for step in past.steps if step.kind == "resolved"), default=0)
    happened = Happened("reopened", max(present.end_ms, ended_ms))
    return write(state, case, happened, incident, back(past, incident, case.onset_ms))
