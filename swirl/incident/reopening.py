"""Whether an incident is one that was over: what comes and goes is one incident, told in one thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swirl.incident.causes import UNKNOWN, words_of
from swirl.incident.state import Fading

if TYPE_CHECKING:
    from swirl.effect import Incident
    from swirl.incident.case import Case, Present
    from swirl.incident.state import State
    from swirl.incident.text import Told

__all__ = ["WHILE", "back_from", "fade", "forget", "past_of", "patience", "resume"]

WHILE = 3
"""It may come back within so many times the calm that ended it: long enough for a restart that did not help,
short enough that what comes hours later is told anew."""

_DOUBLED = 3
"""So often the calm that ends an incident is doubled, for one that comes back again and again."""

_FADING = 5


def patience(calm_windows: int, reopened: int) -> int:
    """Calm windows that end an incident: twice as many after each time that it came back, up to eight times.

    Example:
        >>> [patience(8, n) for n in range(6)]
        [8, 16, 32, 64, 64, 64]
    """
    return int(calm_windows * 2 ** min(reopened, _DOUBLED))


def fade(state: State, case: Case, present: Present, calm_windows: int) -> None:
    """An incident is over, for the time being."""
    assert case.incident is not None
    windows = WHILE * patience(calm_windows, case.incident.reopened)
    until_ms = present.end_ms + windows * present.history.window_ms
    forget(state, case.incident.id)
    fading = Fading(case.incident.id, until_ms, list(case.keys), case.shown, dict(case.worst), case.cost)
    state.fading = [*state.fading, fading][-_FADING:]


def forget(state: State, incident: str) -> None:
    """It will not come back: a person said what it was."""
    state.fading = [fading for fading in state.fading if fading.incident != incident]


def past_of(state: State, incident: str) -> Incident | None:
    """One of the last incidents that are over, None if it is not known (any more)."""
    return next((past for past in reversed(state.past) if past.id == incident), None)


def back_from(state: State, case: Case, told: Told) -> tuple[Fading, Incident] | None:
    """The incident that this one is, come back; None: it is new. The newest counts.

    Args:
        state: with the incidents that fade; those whose time is over are forgotten.
        case: what is about to be told.
        told: its diagnosis.
    """
    state.fading = [fading for fading in state.fading if case.onset_ms < fading.until_ms]
    for fading in reversed(state.fading):
        past = past_of(state, fading.incident)
        if past is not None and _is_back(past, fading, case, told):
            return fading, past
    return None


def _is_back(past: Incident, fading: Fading, case: Case, told: Told) -> bool:
    unknown = words_of(UNKNOWN)
    if told.version not in ("", past.version) and past.cause != unknown:
        return False  # another version is to blame than was before
    if told.stage and told.stage == past.stage:
        return True
    shared = set(fading.keys) & set(case.keys)
    # A fault elsewhere moves what follows from it too; only where no root was found does that say nothing.
    open_root = past.cause == unknown or not (past.stage and told.stage)
    return any(open_root or key.stage == past.stage for key in shared)


def resume(state: State, fading: Fading, past: Incident, case: Case, present: Present) -> None:
    """The case goes on with what was told and counted before."""
    forget(state, fading.incident)
    state.past = [one for one in state.past if one.id != past.id]
    for planned in state.mutes.values():  # it came, but it did not go
        planned.came = [one for one in planned.came if one.id != past.id]
    case.incident, case.shown = past, fading.shown
    case.worst, case.cost = fading.worst, fading.cost
    for window in present.history.windows:
        if window.start_ms >= case.onset_ms:
            case.cost.add(window)
