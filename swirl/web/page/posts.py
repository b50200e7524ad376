"""From a form of the page to an act: read within bounds, checked, said again where it cannot be undone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs

from swirl.frame import Act
from swirl.sinks.wording import plain

if TYPE_CHECKING:
    from starlette.requests import Request

    from swirl.sinks.board import Board

__all__ = ["ASK", "MOST_BYTES", "FormError", "Question", "act_of", "read_form"]

MOST_BYTES = 10_000
_PATIENCE_S = 10.0
_NAME, _WHY = 80, 500
_HOUR_MS = 3_600_000
_HOURS = {"1": 1, "2": 2, "4": 4, "8": 8, "24": 24}


class FormError(Exception):
    """A form that cannot be taken.

    Attributes:
        status: of the answer.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Question(NamedTuple):
    """What is asked before an act with consequences."""

    title: str
    text: str
    button: str


ASK = {
    "new_normal": Question(
        "Is this the new normal?",
        "What the series do now becomes what is usual. The baseline before stays as a version to go back to.",
        "Yes, make it the baseline",
    ),
    "false_alarm": Question(
        "Was it a false alarm?",
        "The incident ends, the limits learn from it, and it counts against the promise of this week.",
        "Yes, there was nothing",
    ),
}
"""Acts that are asked again."""

_OPEN_ACTS = ("acknowledge", "snooze", "resolve", "new_normal", "false_alarm")
_CLOSED_ACTS = ("confirm", "false_alarm")


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, each once.

    Raises:
        FormError: the body is too long, too slow or no form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise FormError(415, "A form of this page was expected.")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > MOST_BYTES:
        raise FormError(413, f"More than {MOST_BYTES} bytes.")
    body = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise FormError(413, f"More than {MOST_BYTES} bytes.")
    except TimeoutError:
        raise FormError(408, "The form did not come in time.") from None
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError:
        raise FormError(400, "The form cannot be read.") from None
    return {name: values[-1] for name, values in fields.items()}


def act_of(form: dict[str, str], board: Board) -> Act:
    """The act that a form asks for.

    Raises:
        FormError: it is none, or is of an incident or a pipeline that is not known, or comes too late.
    """
    who, why = plain(form.get("who", ""))[:_NAME] or "page", plain(form.get("why", ""))[:_WHY]
    act = form.get("act", "")
    if act in ("mute", "unmute"):
        return _planned(form, board, who, why)
    incident = board.incident(form.get("incident", ""))
    if incident is None:
        raise FormError(404, "This incident is not known here any more.")
    if act not in (*_OPEN_ACTS, *_CLOSED_ACTS):
        raise FormError(400, "No such act.")
    if act not in (_OPEN_ACTS if incident.state == "open" else _CLOSED_ACTS):
        late = "It is over already." if incident.state == "resolved" else "It is not over yet."
        raise FormError(409, f"{late} Nothing was changed.")
    for_ms = _HOUR_MS if act == "snooze" else 0
    return Act(incident.pipeline, act, incident.id, who, why, for_ms=for_ms, via="page")  # type: ignore[arg-type]


def _planned(form: dict[str, str], board: Board, who: str, why: str) -> Act:
    view = board.view(form.get("pipeline", ""))
    if view is None:
        raise FormError(404, "This pipeline is not known here any more.")
    stage = form.get("stage", "")
    known = {s.name for s in view.last.definition.stages} if view.last is not None else set()
    known |= {mute.stage for mute in view.mutes}
    if stage and stage not in known:
        raise FormError(400, "This pipeline has no such stage.")
    if form["act"] == "unmute":
        return Act(view.name, "unmute", "", who, why, stage=stage, via="page")
    if not why:
        raise FormError(400, "Say why: whoever looks at the page tonight wants to know.")
    hours = _HOURS.get(form.get("hours", "1"))
    if hours is None:
        raise FormError(400, "So long cannot be muted from the page; use swirl mute.")
    return Act(view.name, "mute", "", who, why, stage=stage, for_ms=hours * _HOUR_MS, via="page")
