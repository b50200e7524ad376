"""Incidents as people are told of them, the steps of their lives, and what the pipeline is told of them."""

from __future__ import annotations

from typing import Literal

import msgspec

from swirl.frame import Verdict  # noqa: TC001 - msgspec reads the annotations

__all__ = ["Evidence", "Incident", "IncidentChanged", "IncidentStep", "Rival", "StepKind", "VerdictChanged"]


class Evidence(msgspec.Struct, frozen=True):
    """One number that speaks for the diagnosis, then and now.

    Attributes:
        stage, metric, label: the series.
        name: what a person calls it: ``"ingest invalid"``, ``"positive ratio"``.
        usual, now: formatted with their unit, ``"10/s"`` and ``"20 000/s"``; spaces are plain.
        usual_value, now_value: the numbers behind them.
        worst: formatted; only of a resolved incident, otherwise ``""``.
        root: it is of the root stage; the others follow from it.
        onset_ms: start of the window in which it left.
    """

    stage: str
    metric: str
    label: str
    name: str
    usual: str
    now: str
    usual_value: float
    now_value: float
    worst: str = ""
    root: bool = False
    onset_ms: int = 0


class Rival(msgspec.Struct, frozen=True):
    """Another explanation, and what speaks against it.

    Attributes:
        cause: in words, ``"bad deployment"``.
        stage: where, ``""`` for nowhere in particular.
        posterior: its probability, in [0, 1].
        why: the one fact that rules it out, ``"no version changed"``.
    """

    cause: str
    stage: str
    posterior: float
    why: str


StepKind = Literal[
    "opened",
    "named",
    "changed",
    "unclear",
    "fuller",
    "worse",
    "acknowledged",
    "snoozed",
    "woken",
    "unmuted",
    "reopened",
    "resolved",
    "judged",
]
"""What happened in a step of an incident: it was opened, its cause was named, became another one or stayed
open, its figures were there in full, it grew, a person acknowledged or snoozed it, the snooze was over, the
planned work that hid it was over, it came back, it was resolved, a person judged it."""

_HAPPENED: dict[StepKind, str] = {
    "named": "cause named",
    "changed": "cause changed",
    "unclear": "cause open",
    "fuller": "measured",
    "woken": "snooze over",
    "unmuted": "planned work over",
    "reopened": "came back",
}


class IncidentStep(msgspec.Struct, frozen=True):
    """Something that happened to an incident, as a person reads it afterwards.

    Attributes:
        at_ms: when: of what a window showed, the end of that window (event time); of what a person did and of
            a time that was over, log time.
        revision: of the incident, from this step on.
        kind: what: see :attr:`happened`.
        words: the particulars: a cause, figures, who and why.
    """

    at_ms: int
    revision: int
    kind: StepKind
    words: str

    @property
    def happened(self) -> str:
        """The kind in words: ``"cause named"``."""
        return _HAPPENED.get(self.kind, self.kind)


class Incident(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything a person is told of an incident, as it stands.

    Attributes:
        id: ``"ads-20261121-031220"``: the pipeline and the onset, UTC.
        pipeline: its name.
        state: ``"open"`` or ``"resolved"``.
        revision: 0 when opened, then 1, 2, ...
        stage: the root stage, ``""`` while it is not known.
        cause: in words: ``"data pipeline broken"``, ``"bad deployment"``, ..., ``"cause unknown"``.
        onset_ms: start of the first anomalous window.
        opened_ms: event time of its opening: the end of the window that showed it.
        resolved_ms: event time of its end, 0 while it is open.
        sentence: stage, verb, number now, usual number.
        look_first: where to look first, and where not; without the words "Look first".
        evidence: the numbers, most telling first.
        follows: stages that suffer from the root.
        version: the version that is to blame, ``""`` for none.
        version_before: the one before it.
        version_line: a sentence about versions, ``""`` where none changed.
        posterior: probability of this cause at this stage, in [0, 1].
        rivals: the other explanations, most probable first.
        windows: how many windows of evidence the diagnosis rests on.
        window_ms: their length.
        preliminary: another window may change the cause.
        second: a second fault that is likely beside the first, as a sentence, ``""`` for none.
        cost: what it cost against the baseline, as a sentence; only of a resolved incident.
        severity: ``"tripped"`` or ``"degraded"``: the verdict it gives.
        segment: in which it happens, or nearly all of it; ``""`` for none in particular.
        reasons: reasons of the invalid records at the root stage and their shares in [0, 1], commonest first.
            They may quote users' data, so they stand in no sentence: each sink shows them only if it is
            allowed to.
        moved: feature, label or interval, its share before and its share now in [0, 1]: what moved most in
            the features of the root stage, new labels first. It is shown as the reasons are.
        acknowledged_by, acknowledged_ms: who is on it, and since when (log time); ``""`` and 0 for nobody.
        snoozed_by, snoozed_until_ms: who wants no news of it, and until when (log time); ``""`` and 0 for
            nobody.
        reopened: how often it came back after it had been resolved.
        ending: why it is over: ``"calm"`` (the series are back), ``"resolved"``, ``"new_normal"``,
            ``"false_alarm"`` (a person said so), ``"adopted"`` (it lasted so long that it is the new normal),
            ``"left"`` (the pipeline runs at other times now); ``""`` while it is open.
        ended_by: the person who said so, ``""`` for nobody; ``why``: in their words.
        judged: what a person said of it: ``"confirmed"``, ``"false_alarm"``, or ``""``.
        muted: there is planned work: it is followed, but nobody is told of this step. What people know of
            ends for them all the same, and so it is not muted then.
        steps: what happened to it, in order of time: of very many, the first and the last ones.
    """

    id: str
    pipeline: str
    state: Literal["open", "resolved"]
    revision: int
    stage: str
    cause: str
    onset_ms: int
    opened_ms: int
    sentence: str
    look_first: str
    evidence: tuple[Evidence, ...]
    posterior: float
    rivals: tuple[Rival, ...]
    windows: int
    window_ms: int
    preliminary: bool
    severity: Literal["degraded", "tripped"]
    resolved_ms: int = 0
    follows: tuple[str, ...] = ()
    version: str = ""
    version_before: str = ""
    version_line: str = ""
    second: str = ""
    cost: str = ""
    reasons: tuple[tuple[str, float], ...] = ()
    moved: tuple[tuple[str, str, float, float], ...] = ()
    segment: str = ""
    acknowledged_by: str = ""
    acknowledged_ms: int = 0
    snoozed_by: str = ""
    snoozed_until_ms: int = 0
    reopened: int = 0
    ending: Literal["", "calm", "resolved", "new_normal", "false_alarm", "adopted", "left"] = ""
    ended_by: str = ""
    why: str = ""
    judged: Literal["", "confirmed", "false_alarm"] = ""
    muted: bool = False
    steps: tuple[IncidentStep, ...] = ()

    @property
    def title(self) -> str:
        """``"ingest: data pipeline broken"``."""
        return f"{self.stage or self.pipeline}: {self.cause}"

    @property
    def story(self) -> tuple[tuple[int, IncidentStep], ...]:
        """Its steps, each with how many before it are not kept."""
        kept = {step.revision for step in self.steps}
        told, so_far = [], 0
        for step in self.steps:
            missing = sum(revision not in kept for revision in range(so_far, step.revision))
            told.append((missing, step))
            so_far = max(so_far, step.revision + 1)
        return tuple(told)


class IncidentChanged(msgspec.Struct, frozen=True, tag="incident"):
    """A step in the life of an incident.

    ``"opened"``, ``"updated"`` (worse, wider, new evidence), ``"acknowledged"``, ``"snoozed"``, ``"woken"``
    (the snooze is over), ``"reopened"`` (it came back soon after its end), ``"resolved"``, ``"judged"`` (a
    person says whether it was true, mostly of a resolved one).
    """

    transition: Literal[
        "opened", "updated", "acknowledged", "snoozed", "woken", "reopened", "resolved", "judged"
    ]
    incident: Incident
    reply: str = ""
    """What is new, one sentence: the text of the thread's reply."""

    @property
    def identity(self) -> str:
        """The same for the same step of the same incident."""
        return f"{self.incident.pipeline}/{self.incident.id}/{self.incident.revision}/{self.transition}"

    @property
    def pipeline(self) -> str:
        """Whose incident it is."""
        return self.incident.pipeline


class VerdictChanged(msgspec.Struct, frozen=True, tag="verdict"):
    """The pipeline shall know how it stands."""

    pipeline: str
    verdict: Verdict

    @property
    def identity(self) -> str:
        """The same for the same turn of the verdict."""
        return f"{self.pipeline}/{self.verdict.since_ms}/{self.verdict.state}"
