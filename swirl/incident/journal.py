"""The steps of an incident as they are written down: their order, who hears of them, and the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from swirl.effect import IncidentChanged, IncidentStep
from swirl.frame import Verdict
from swirl.incident import mutes, reopening
from swirl.incident.case import in_the_end, refreshed
from swirl.incident.replies import MUTED_NO_MORE, bounded
from swirl.incident.segments import narrow

if TYPE_CHECKING:
    from swirl.effect import Incident, SeriesKey, StepKind, Told
    from swirl.incident.case import Case, Present
    from swirl.incident.state import State

__all__ = ["Ending", "Happened", "Step", "Transition", "end", "entered", "judged", "tell_again", "write"]

Transition = Literal[
    "opened", "updated", "acknowledged", "snoozed", "woken", "reopened", "resolved", "judged"
]

_TRANSITIONS: dict[StepKind, Transition] = {
    "opened": "opened",
    "acknowledged": "acknowledged",
    "snoozed": "snoozed",
    "woken": "woken",
    "reopened": "reopened",
    "resolved": "resolved",
    "judged": "judged",
}
"""What a step is to those who follow the incident; all others are updates."""

_PAST = 20

_FIRST, _LAST = 5, 15
"""Steps that an incident keeps: its beginning, and how it came to stand as it does."""

_WORDS, _BYTES = 160, 320
"""Of the words of one step: a hundred incidents that wait to be told must fit into one record of the log."""


class Ending(NamedTuple):
    """Why an incident is over; see :class:`swirl.effect.Incident`.

    Attributes:
        kind: its ``ending``.
        reply: as a sentence.
        at_ms: when it was seen or said; what was over then may have been so for a while.
        who, why: a person, and their words.
        words: of its last step, where the reply is not what a person needs afterwards.
    """

    kind: Literal["calm", "resolved", "new_normal", "false_alarm", "adopted", "left"]
    reply: str
    at_ms: int
    who: str = ""
    why: str = ""
    words: str = ""


class Happened(NamedTuple):
    """What one step was; see :class:`swirl.effect.IncidentStep`.

    Attributes:
        kind: of the step.
        at_ms: when.
        words: where the reply in the thread says more than a person needs afterwards.
    """

    kind: StepKind
    at_ms: int
    words: str = ""


class Step(NamedTuple):
    """What a window, an act, or time that passed changed.

    Attributes:
        changes: what people are told.
        hold: series that must be held from now on.
        release: series that are free again.
        adopt: what they do now is the new normal.
        chance: their alarms were false ones.
        verdict: the pipeline's, if it changed.
    """

    changes: list[Told]
    hold: frozenset[SeriesKey] = frozenset()
    release: frozenset[SeriesKey] = frozenset()
    adopt: bool = False
    chance: bool = False
    verdict: Verdict | None = None


def write(
    state: State,
    case: Case,
    happened: Happened,
    incident: Incident,
    reply: str = "",
    *,
    by_hand: bool = False,
) -> IncidentChanged:
    """The next step of the case's incident. Planned work hides it, but not the end of what people know of.

    Args:
        state: with the planned work.
        case: of the incident as it stood so far, none before its first step.
        happened: what, and when.
        incident: as it stands now; its revision, ``muted`` and steps are set here.
        reply: what is new, as a sentence.
        by_hand: a person did it, and knows of the incident then.
    """
    transition = _TRANSITIONS.get(happened.kind, "updated")
    muted = mutes.covers(state, incident.stage)
    if by_hand or incident.state == "resolved":
        muted = muted and case.shown != "open"
    if not muted:
        transition = _as_people_see_it(case, transition, incident)
        case.shown = incident.state
    revision = 0 if case.incident is None else case.incident.revision + 1
    incident = msgspec.structs.replace(incident, revision=revision, muted=muted)
    case.incident = entered(incident, happened, reply)
    return IncidentChanged(transition, case.incident, reply)


def entered(incident: Incident, happened: Happened, reply: str) -> Incident:
    """The incident with one step more, of its present revision.

    Acts have log time and windows event time, so what a window shows may come after what a person did
    meanwhile: steps stand in the order of their times.
    """
    words = bounded(happened.words or reply, _WORDS)
    if len(words.encode()) > _BYTES:
        words = bounded(words, _BYTES // 4)
    step = IncidentStep(happened.at_ms, incident.revision, happened.kind, words)
    steps = sorted([*incident.steps, step], key=lambda each: each.at_ms)
    if len(steps) > _FIRST + _LAST:
        del steps[_FIRST]
    return msgspec.structs.replace(incident, steps=tuple(steps))


def _as_people_see_it(case: Case, transition: Transition, incident: Incident) -> Transition:
    """What people never heard of opens, and what was over for them is there again, whatever it did before."""
    if incident.state == "resolved" or case.shown == "open":
        return transition
    return "opened" if case.shown == "" else "reopened"


def tell_again(state: State, present: Present, now_ms: int) -> list[Told]:
    """Planned work is over at this log time: what is open and was kept from people is told as it stands."""
    case = state.case
    if case is None or case.incident is None or not case.incident.muted:
        return []
    if mutes.covers(state, case.incident.stage):
        return []
    incident = msgspec.structs.replace(
        case.incident,
        evidence=tuple(refreshed(case.incident, narrow(present, case))),
        windows=present.age(case),
    )
    return [write(state, case, Happened("unmuted", now_ms), incident, MUTED_NO_MORE)]


def end(state: State, case: Case, present: Present, ending: Ending, calm_windows: int) -> Step:
    """The incident is over; ``case.loud_end_ms`` says since when.

    Args:
        state: of the incidents; the case leaves it.
        case: with an incident.
        present: the last window.
        ending: why.
        calm_windows: that usually end one; 0: it shall not come back.
    """
    incident = case.incident
    assert incident is not None
    state.case, state.ended_ms = case.excused, case.loud_end_ms
    blind = case.cause in ("blind", "stage_down")
    incident = msgspec.structs.replace(
        incident,
        state="resolved",
        resolved_ms=case.loud_end_ms,
        evidence=in_the_end(case, incident, narrow(present, case)),
        cost="" if blind else case.cost.sentence(),
        preliminary=False,
        snoozed_by="",
        snoozed_until_ms=0,
        ending=ending.kind,
        ended_by=ending.who,
        why=ending.why,
    )
    step = write(state, case, Happened("resolved", ending.at_ms, ending.words), incident, ending.reply)
    state.past = [*state.past, step.incident][-_PAST:]
    if step.incident.muted:
        mutes.keep(state, step.incident)
    if calm_windows:
        reopening.fade(state, case, present, calm_windows)
    release, adopt = frozenset(case.held), ending.kind in ("new_normal", "adopted")
    return Step([step], release=release, adopt=adopt, verdict=judged(state, present, step.incident))


def judged(state: State, present: Present, incident: Incident) -> Verdict | None:
    """The pipeline's verdict, if it is another one than before."""
    if incident.state == "resolved":
        new = Verdict("healthy", present.end_ms)
    else:
        new = Verdict(incident.severity, present.end_ms, incident.id, incident.stage, incident.cause)
    if msgspec.structs.replace(new, since_ms=0) == msgspec.structs.replace(state.verdict, since_ms=0):
        return None
    state.verdict = new
    return new
