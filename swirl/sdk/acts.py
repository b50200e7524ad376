"""What people say of an incident: it ends it, and Swirl learns from it."""

from __future__ import annotations

import getpass
import re
from typing import TYPE_CHECKING, Literal

from swirl.errors import DefinitionError
from swirl.frame import Act, encode
from swirl.sdk import transport as transports

if TYPE_CHECKING:
    from swirl.sdk.transport import Transport

__all__ = ["act_on", "confirm", "false_alarm", "new_normal"]

_IDENTITY = re.compile(r"(?P<pipeline>.+)-\d{8}-\d{6}")


def new_normal(incident: str, why: str = "", *, who: str = "") -> None:
    """What the series do now is right: the incident ends, and the baseline moves.

    Args:
        incident: its identity, as it stands in its message: ``"ads-20261121-031220"``.
        why: in your words; it is told with the end of the incident.
        who: you; by default the name of the account.

    Raises:
        DefinitionError: that is no identity of an incident, or nobody watches from this process.
    """
    act_on("new_normal", incident, why, who=who)


def false_alarm(incident: str, why: str = "", *, who: str = "") -> None:
    """There was nothing: the incident ends, the thresholds learn, and it counts against the promise.

    The arguments and errors are those of :func:`new_normal`. It may be said of a resolved incident too.
    """
    act_on("false_alarm", incident, why, who=who)


def confirm(incident: str, cause: str = "", stage: str = "", why: str = "", *, who: str = "") -> None:
    """It was as told, or as you say; what Swirl takes for likely in this pipeline learns from it.

    Args:
        incident: see :func:`new_normal`.
        cause: what it really was, in the words of a title: ``"bad deployment"``; ``""``: as told.
        stage: where it really was; ``""``: as told.
        why: in your words.
        who: you.

    Raises:
        DefinitionError: see :func:`new_normal`.
    """
    act_on("confirm", incident, why, who=who, cause=cause, stage=stage)


def act_on(
    act: Literal["new_normal", "false_alarm", "confirm"],
    incident: str,
    why: str = "",
    *,
    who: str = "",
    cause: str = "",
    stage: str = "",
    transport: Transport | None = None,
) -> None:
    """Send an act the way that frames go; see :func:`new_normal`."""
    found = _IDENTITY.fullmatch(incident)
    if found is None:
        raise DefinitionError(
            f"{incident!r} is no identity of an incident; it stands in its message: ads-20261121-031220"
        )
    transport = transports.installed() if transport is None else transport
    if transport is None:
        raise DefinitionError("nobody watches from this process; call swirl.watch() or set SWIRL_KAFKA first")
    record = Act(found["pipeline"], act, incident, who or _account(), why, cause, stage)
    transport.send(record.pipeline, encode(record), _nothing)


def _nothing() -> None:
    """No emitter counts an act."""


def _account() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return ""
