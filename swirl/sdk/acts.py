"""What people say of incidents and of planned work: it steers what is told, and Swirl learns from it."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any, Literal

from swirl.errors import DefinitionError
from swirl.frame import Act, encode, incident_pipeline
from swirl.sdk import transport as transports

if TYPE_CHECKING:
    from swirl.sdk.transport import Transport

__all__ = [
    "acknowledge",
    "act_on",
    "confirm",
    "false_alarm",
    "mute",
    "new_normal",
    "plan",
    "resolve",
    "snooze",
    "unmute",
]

_LONGEST_S = 30 * 24 * 3600.0


def acknowledge(incident: str, why: str = "", *, who: str = "") -> None:
    """You are on it: everybody sees it, and nobody else need look.

    Args:
        incident: its identity, as it stands in its message: ``"ads-20261121-031220"``.
        why: in your words; it is told with the act.
        who: you; by default the name of the account.

    Raises:
        DefinitionError: that is no identity of an incident, or nobody watches from this process.
    """
    act_on("acknowledge", incident, why, who=who)


def snooze(
    incident: str, why: str = "", *, hours: float = 1.0, for_seconds: float = 0.0, who: str = ""
) -> None:
    """No news of it for a while, except that it is over; then you are told how it stands.

    Args:
        incident: see :func:`acknowledge`.
        why: in your words.
        hours: how long,
        for_seconds: or, if it is not 0, how long in seconds. At most 30 days.
        who: you.

    Raises:
        DefinitionError: see :func:`acknowledge`; or the time is not above 0, or above 30 days.
    """
    for_ms = _milliseconds(for_seconds or 3600.0 * hours)
    act_on("snooze", incident, why, who=who, for_ms=for_ms)


def resolve(incident: str, why: str = "", *, who: str = "") -> None:
    """It is over. If its series are still far off, it is reopened soon.

    The arguments and errors are those of :func:`acknowledge`.
    """
    act_on("resolve", incident, why, who=who)


def new_normal(incident: str, why: str = "", *, who: str = "") -> None:
    """What the series do now is right: the incident ends, and the baseline moves.

    The arguments and errors are those of :func:`acknowledge`.
    """
    act_on("new_normal", incident, why, who=who)


def false_alarm(incident: str, why: str = "", *, who: str = "") -> None:
    """There was nothing: the incident ends, the thresholds learn, and it counts against the promise.

    The arguments and errors are those of :func:`acknowledge`. It may be said of a resolved incident too.
    """
    act_on("false_alarm", incident, why, who=who)


def confirm(incident: str, cause: str = "", stage: str = "", why: str = "", *, who: str = "") -> None:
    """It was as told, or as you say; what Swirl takes for likely in this pipeline learns from it.

    Args:
        incident: see :func:`acknowledge`.
        cause: what it really was, in the words of a title: ``"bad deployment"``; ``""``: as told.
        stage: where it really was; ``""``: as told.
        why: in your words.
        who: you.

    Raises:
        DefinitionError: see :func:`acknowledge`.
    """
    act_on("confirm", incident, why, who=who, cause=cause, stage=stage)


def mute(pipeline: str, stage: str = "", *, for_seconds: float, why: str = "", who: str = "") -> None:
    """Planned work: what happens is followed all the same, and told when the work is over.

    What the pipeline itself is told stays as it is. Work that was planned for the same stage is replaced.

    Args:
        pipeline: its name.
        stage: only incidents whose root is this stage; ``""``: all.
        for_seconds: how long, from now on; at most 30 days.
        why: in your words.
        who: you; by default the name of the account.

    Raises:
        DefinitionError: no pipeline, a time that is not above 0 or above 30 days, or nobody watches from
            this process.
    """
    plan("mute", pipeline, stage, why, who=who, for_ms=_milliseconds(for_seconds))


def unmute(pipeline: str, stage: str = "", *, who: str = "") -> None:
    """The planned work is done earlier; see :func:`mute`."""
    plan("unmute", pipeline, stage, who=who)


def act_on(
    act: Literal["acknowledge", "snooze", "resolve", "new_normal", "false_alarm", "confirm"],
    incident: str,
    why: str = "",
    *,
    transport: Transport | None = None,
    **given: Any,
) -> None:
    """Send an act on an incident the way that frames go; ``given`` are other fields of the act."""
    pipeline = incident_pipeline(incident)
    if not pipeline:
        raise DefinitionError(
            f"{incident!r} is no identity of an incident; it stands in its message: ads-20261121-031220"
        )
    _send(Act(pipeline, act, incident, why=why, **_by(given)), transport)


def plan(
    act: Literal["mute", "unmute"],
    pipeline: str,
    stage: str = "",
    why: str = "",
    *,
    transport: Transport | None = None,
    **given: Any,
) -> None:
    """Send an act of planned work, as :func:`act_on` does."""
    if not pipeline:
        raise DefinitionError("name the pipeline: swirl.mute('ads', for_seconds=7200)")
    _send(Act(pipeline, act, stage=stage, why=why, **_by(given)), transport)


def _by(given: dict[str, Any]) -> dict[str, Any]:
    return {**given, "who": given.get("who") or _account(), "via": given.get("via") or "code"}


def _send(act: Act, transport: Transport | None) -> None:
    transport = transports.installed() if transport is None else transport
    if transport is None:
        raise DefinitionError("nobody watches from this process; call swirl.watch() or set SWIRL_KAFKA first")
    transport.send(act.pipeline, encode(act), _nothing)


def _milliseconds(seconds: float) -> int:
    if not 0.0 < seconds <= _LONGEST_S:
        raise DefinitionError(f"for {seconds!r} seconds: give more than 0 and at most 30 days")
    return max(1, round(seconds * 1000))


def _nothing() -> None:
    """No emitter counts an act."""


def _account() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return ""
