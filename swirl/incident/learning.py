"""What is learnt from what people say of incidents, and what of the promise was spent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swirl.budget import WEEK_MS
from swirl.incident.causes import CAUSES, CHANCE, words_of

if TYPE_CHECKING:
    from swirl.frame import Act
    from swirl.incident.state import State

__all__ = ["cause_of", "judge", "remember", "spend", "spent"]

_INCIDENTS = 100
"""Of the last incidents, how many may still be judged."""
_SPENT = 1000


def remember(state: State, incident: str, cause: str) -> None:
    """An incident was told with this cause: from now on people may judge it."""
    if incident in state.told or len(state.told) < _INCIDENTS:
        state.told[incident] = cause
        return
    del state.told[next(iter(state.told))]
    state.told[incident] = cause


def judge(state: State, act: Act, now_ms: int) -> bool:
    """Learn from what a person says, once an incident; what was never told teaches nothing.

    Args:
        state: of the incidents.
        act: what is said.
        now_ms: end of the last window.

    Returns:
        Whether anything was learnt.
    """
    told = state.told.get(act.incident)
    if told is None or act.act not in ("confirm", "false_alarm"):
        return False
    del state.told[act.incident]
    cause = CHANCE if act.act == "false_alarm" else cause_of(act.cause) or told
    state.judged[cause] = state.judged.get(cause, 0) + 1
    if act.act == "false_alarm":
        state.false_alarms += 1
        spend(state, now_ms)
    return True


def cause_of(said: str) -> str:
    """A cause by its name or by its words; ``""`` for none of ours."""
    return next((name for name in CAUSES if said in (name, words_of(name))), "")


def spend(state: State, now_ms: int) -> None:
    """An alarm was chance."""
    state.spent = [*state.spent, now_ms][-_SPENT:]


def spent(state: State, now_ms: int) -> int:
    """Alarms of the last seven days that were chance."""
    state.spent = [ms for ms in state.spent if ms > now_ms - WEEK_MS]
    return len(state.spent)
