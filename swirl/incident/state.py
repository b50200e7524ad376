"""All that the incidents of a pipeline remember between two records of the log."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from swirl.effect import Incident, Mute, SeriesKey  # noqa: TC001 - msgspec reads the annotations
from swirl.errors import SnapshotError
from swirl.frame import Verdict
from swirl.incident.case import Case  # noqa: TC001 - as above
from swirl.incident.cost import Cost

__all__ = ["SNAPSHOT", "Fading", "Move", "Planned", "State", "resumed"]

SNAPSHOT = 1
"""The version of the snapshot that this module writes; it reads this one only."""


class Fading(msgspec.Struct):
    """An incident that is over and may still come back.

    Attributes:
        incident: its identity.
        until_ms: event time; what begins later is another one.
        keys: its series.
        shown: how it stood when people heard of it last; see :class:`swirl.incident.case.Case`.
        worst, cost: of it so far; they go on if it does.
    """

    incident: str
    until_ms: int
    keys: list[SeriesKey] = []
    shown: Literal["", "open", "resolved"] = ""
    worst: dict[str, float] = {}
    cost: Cost = msgspec.field(default_factory=Cost)


class Planned(msgspec.Struct):
    """Planned work that goes on, and the incidents that came and went meanwhile, the last ones."""

    mute: Mute
    came: list[Incident] = []


class Move(msgspec.Struct, frozen=True):
    """A person moved the baseline: what the series of an incident did is normal now.

    Attributes:
        incident: its identity.
        who: said so.
        why: in their words.
        at_ms: log time.
    """

    incident: str
    who: str
    why: str
    at_ms: int


class State(msgspec.Struct):
    """See above.

    Attributes:
        schema: see :data:`SNAPSHOT`.
        case: the suspicion or incident.
        ended_ms: when the last one ended.
        verdict: the pipeline's.
        told: the causes of the last incidents that nobody has judged, by identity.
        judged: how often people said that it was a cause.
        false_alarms: incidents that people called false alarms.
        spent: event times of alarms that were chance, by the diagnosis or by a person; the last ones.
        past: the last incidents that are over, oldest first.
        fading: of these, those that may come back.
        mutes: planned work by its stage.
        moves: the last moves of the baseline, oldest first.
        acts_ignored: what people said of incidents that are not known, or without sense.
    """

    schema: int = SNAPSHOT
    case: Case | None = None
    ended_ms: int = 0
    verdict: Verdict = msgspec.field(default_factory=Verdict)
    told: dict[str, str] = {}
    judged: dict[str, int] = {}
    false_alarms: int = 0
    spent: list[int] = []
    past: list[Incident] = []
    fading: list[Fading] = []
    mutes: dict[str, Planned] = {}
    moves: list[Move] = []
    acts_ignored: int = 0


def resumed(resume: dict[str, Any]) -> State:
    """Read a snapshot.

    Raises:
        SnapshotError: it is damaged or of another version.
    """
    try:
        state = msgspec.convert(resume, State)
    except msgspec.ValidationError as error:
        raise SnapshotError(f"the incidents of a pipeline cannot be restored: {error}") from None
    if state.schema != SNAPSHOT:
        raise SnapshotError(f"incidents of version {state.schema}; this Swirl reads version {SNAPSHOT}")
    case = state.case
    if case is not None and case.incident is not None and not case.incident.muted and not case.shown:
        case.shown = "open"  # it was written before anything could be muted
    return state
