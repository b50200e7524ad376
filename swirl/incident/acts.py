"""What people say of incidents, and of planned work: each act is a step, or nothing if it was said before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from swirl.effect import IncidentChanged
from swirl.incident import mutes, reopening
from swirl.incident.case import mark, refreshed
from swirl.incident.journal import Ending, Happened, Step, end, entered, tell_again, write
from swirl.incident.learning import judge
from swirl.incident.replies import acted, bounded, quiet_until, woken
from swirl.incident.segments import narrow
from swirl.incident.state import Move

if TYPE_CHECKING:
    from swirl.effect import Incident, Told
    from swirl.frame import Act, Definition
    from swirl.incident.case import Case, Present
    from swirl.incident.state import State

__all__ = ["bounded_act", "due_ms", "pass_time", "plan", "take"]

_WHO = 80
_WHY = 500
_MOVES = 20


def bounded_act(act: Act, definition: Definition | None) -> Act:
    """What was said, with texts that may be shown: anybody who reaches the log may write one.

    Args:
        act: as it came.
        definition: of the pipeline; its stages are known by names as they are.
    """
    known = definition is not None and any(act.stage == stage.name for stage in definition.stages)
    return msgspec.structs.replace(
        act,
        who=bounded(act.who, _WHO),
        why=bounded(act.why, _WHY),
        cause=bounded(act.cause, _WHO),
        stage=act.stage if known else bounded(act.stage, _WHO),
    )


# -- time


def due_ms(state: State) -> int:
    """Log time at which a snooze or planned work is over; 0: there is none."""
    case, work = state.case, mutes.due_ms(state)
    snooze = case.incident.snoozed_until_ms if case is not None and case.incident is not None else 0
    return min(snooze, work) if snooze and work else snooze or work


def pass_time(state: State, pipeline: str, now_ms: int, present: Present | None) -> list[Told]:
    """What is over by now.

    Args:
        state: of the incidents.
        pipeline: its name.
        now_ms: log time.
        present: the last window, None before the first.
    """
    changes: list[Told] = [*mutes.end_due(state, pipeline, now_ms)]
    if present is None:
        return changes
    changes += tell_again(state, present, now_ms)
    case = state.case
    if case is not None and case.incident is not None and 0 < case.incident.snoozed_until_ms <= now_ms:
        changes.append(_wake(state, case, case.incident, present, now_ms))
    return changes


def _wake(state: State, case: Case, incident: Incident, present: Present, now_ms: int) -> IncidentChanged:
    lines = tuple(refreshed(incident, narrow(present, case)))
    now = msgspec.structs.replace(
        incident, evidence=lines, windows=present.age(case), snoozed_by="", snoozed_until_ms=0
    )
    calm_ms = present.end_ms - case.loud_end_ms if case.calm else 0
    return write(state, case, Happened("woken", now_ms), now, woken(lines, calm_ms))


# -- planned work


def plan(state: State, pipeline: str, act: Act, now_ms: int, present: Present | None) -> list[Told]:
    """Planned work begins or is over; what makes no sense is counted."""
    begins = act.act == "mute"
    turned = (
        mutes.begin(state, pipeline, act, now_ms) if begins else mutes.end(state, pipeline, act.stage, now_ms)
    )
    if turned is None:
        state.acts_ignored += 1
        return []
    again = tell_again(state, present, now_ms) if present is not None and not begins else []
    return [*turned, *again]


# -- incidents


def take(state: State, act: Act, now_ms: int, present: Present, calm_windows: int) -> Step:
    """Take what a person says of the open incident, or of one of the last that were told.

    Args:
        state: of the incidents.
        act: what is said, bounded.
        now_ms: log time.
        present: the last window.
        calm_windows: that usually end an incident.
    """
    case = state.case
    if case is None or case.incident is None or case.incident.id != act.incident:
        return Step(_of_the_past(state, act, now_ms, present))
    incident = case.incident
    if act.act == "acknowledge":
        return Step(_acknowledge(state, case, incident, act, now_ms))
    if act.act == "snooze":
        return Step(_snooze(state, case, incident, act, now_ms))
    if act.act == "confirm":
        return Step(_confirm(state, case, incident, act, now_ms, present))
    if act.act == "resolve":
        return _resolve(state, case, act, now_ms, present, calm_windows)
    return _settle(state, case, act, now_ms, present)


def _acknowledge(state: State, case: Case, incident: Incident, act: Act, now_ms: int) -> list[Told]:
    who = act.who or "somebody"
    if incident.acknowledged_by == who:
        return []
    incident = msgspec.structs.replace(incident, acknowledged_by=who, acknowledged_ms=now_ms)
    return [write(state, case, Happened("acknowledged", now_ms), incident, acted(act), by_hand=True)]


def _snooze(state: State, case: Case, incident: Incident, act: Act, now_ms: int) -> list[Told]:
    if act.for_ms <= 0:
        state.acts_ignored += 1
        return []
    who, until_ms = act.who or "somebody", now_ms + min(act.for_ms, mutes.LONGEST_MS)
    if incident.snoozed_by == who and 0 <= until_ms - incident.snoozed_until_ms < mutes.AGAIN_MS:
        return []
    incident = msgspec.structs.replace(incident, snoozed_by=who, snoozed_until_ms=until_ms)
    reply = quiet_until(act, now_ms, until_ms)
    return [write(state, case, Happened("snoozed", now_ms), incident, reply, by_hand=True)]


def _confirm(
    state: State, case: Case, incident: Incident, act: Act, now_ms: int, present: Present
) -> list[Told]:
    if not judge(state, act, present.end_ms):
        return []
    incident = msgspec.structs.replace(incident, judged="confirmed")
    return [write(state, case, Happened("judged", now_ms), incident, acted(act), by_hand=True)]


def _resolve(state: State, case: Case, act: Act, now_ms: int, present: Present, calm_windows: int) -> Step:
    """It is over, for a person; what is still far off raises it again."""
    if not case.calm:
        case.loud_end_ms = present.end_ms
    mark(present.history, case.loud_end_ms, normal=True)
    ending = Ending("resolved", acted(act), now_ms, act.who, act.why)
    return end(state, case, present, ending, calm_windows)


def _settle(state: State, case: Case, act: Act, now_ms: int, present: Present) -> Step:
    """Nothing was wrong, or what was wrong is right from now on: its values may serve as baseline."""
    assert case.incident is not None
    mark(present.history, case.since_ms, normal=True)
    case.loud_end_ms = present.end_ms
    if act.act == "new_normal":
        state.moves = [*state.moves, Move(case.incident.id, act.who, act.why, now_ms)][-_MOVES:]
        return end(state, case, present, Ending("new_normal", acted(act), now_ms, act.who, act.why), 0)
    if judge(state, act, present.end_ms):
        case.incident = msgspec.structs.replace(case.incident, judged="false_alarm")
    over = end(state, case, present, Ending("false_alarm", acted(act), now_ms, act.who, act.why), 0)
    return over._replace(chance=True)


def _of_the_past(state: State, act: Act, now_ms: int, present: Present) -> list[Told]:
    """What is over is only judged, and once."""
    past = reopening.past_of(state, act.incident)
    if not judge(state, act, present.end_ms):
        state.acts_ignored += past is None
        return []
    if past is None:
        return []
    verdict = "false_alarm" if act.act == "false_alarm" else "confirmed"
    now = msgspec.structs.replace(past, revision=past.revision + 1, judged=verdict)
    now = entered(now, Happened("judged", now_ms), acted(act))
    state.past = [now if one.id == past.id else one for one in state.past]
    if act.act == "false_alarm":
        reopening.forget(state, past.id)
    return [IncidentChanged("judged", now, acted(act))]
