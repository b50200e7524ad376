"""Planned work: what happens meanwhile is followed, and told when the work is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from swirl.effect import Mute, MuteChanged
from swirl.incident.state import Planned

if TYPE_CHECKING:
    from swirl.effect import Incident
    from swirl.frame import Act
    from swirl.incident.state import State

__all__ = ["AGAIN_MS", "LONGEST_MS", "begin", "covers", "due_ms", "end", "end_due", "keep"]

LONGEST_MS = 30 * 24 * 3600 * 1000
"""Nobody is kept from news for longer: what is wanted for good is a setting, and is not forgotten."""

AGAIN_MS = 60_000
"""What is asked for a second time within so long, in the same words, was sent twice."""

_MUTES = 100
_CAME = 20


def covers(state: State, stage: str) -> bool:
    """Whether people are kept from news of a root stage; ``""``: it is not known."""
    return "" in state.mutes or (bool(stage) and stage in state.mutes)


def due_ms(state: State) -> int:
    """Log time at which the next work is over; 0: there is none."""
    return min(planned.mute.until_ms for planned in state.mutes.values()) if state.mutes else 0


def begin(state: State, pipeline: str, act: Act, now_ms: int) -> list[MuteChanged] | None:
    """Somebody begins planned work, which replaces what was planned for the same stage.

    Returns:
        The step, none if the act was sent twice; None: the act makes no sense, or is one too many.
    """
    before = state.mutes.get(act.stage)
    if act.for_ms <= 0 or (before is None and len(state.mutes) >= _MUTES):
        return None
    until_ms = now_ms + min(act.for_ms, LONGEST_MS)
    since_ms = now_ms if before is None else max(now_ms, before.mute.since_ms + 1)
    mute = Mute(act.stage, since_ms, until_ms, act.who, act.why)
    if before is not None and _is_same(before.mute, mute):
        return []
    state.mutes[act.stage] = Planned(mute, before.came if before is not None else [])
    return [MuteChanged(pipeline, "began", mute)]


def _is_same(before: Mute, mute: Mute) -> bool:
    same = (before.who, before.why) == (mute.who, mute.why)
    return same and 0 <= mute.until_ms - before.until_ms < AGAIN_MS


def end(state: State, pipeline: str, stage: str, now_ms: int) -> list[MuteChanged] | None:
    """The work is over; None: there was none."""
    planned = state.mutes.pop(stage, None)
    if planned is None:
        return None
    # What another work still covers is told when that is over.
    told = [incident for incident in planned.came if not covers(state, incident.stage)]
    for incident in planned.came:
        if incident not in told:
            keep(state, incident)
    mute = msgspec.structs.replace(planned.mute, until_ms=min(planned.mute.until_ms, now_ms))
    return [MuteChanged(pipeline, "ended", mute, tuple(told))]


def end_due(state: State, pipeline: str, now_ms: int) -> list[MuteChanged]:
    """End all work whose time is over."""
    due = sorted((p.mute.until_ms, stage) for stage, p in state.mutes.items() if p.mute.until_ms <= now_ms)
    return [change for _, stage in due for change in end(state, pipeline, stage, now_ms) or ()]


def keep(state: State, incident: Incident) -> None:
    """It came and went, and is told when the work is over that lasts longest."""
    covering = [planned for stage, planned in state.mutes.items() if stage in ("", incident.stage)]
    last = max(covering, key=lambda planned: (planned.mute.until_ms, planned.mute.stage), default=None)
    if last is not None:
        others = [one for one in last.came if one.id != incident.id]
        last.came = [*others, incident][-_CAME:]
