"""What people can say of an incident with one press, in the order in which every message offers it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from swirl.effect import Incident

__all__ = ["PREFIX", "SNOOZE_MS", "buttons", "question"]

PREFIX = "swirl."
"""What the ids of Swirl's own actions begin with; the act follows."""

SNOOZE_MS = 3_600_000

_NEW_NORMAL = (
    "The incident closes, and Swirl learns from here on: it will not alarm on these values again. "
    "The baseline as it is now is kept as a version. There is no button to undo this."
)
_FALSE_ALARM = (
    "The incident closes, counts as a false alarm against the promise of so many a week, "
    "and the thresholds learn from it."
)
_WAS_FALSE = (
    "It counts as a false alarm against the promise of so many a week, and the thresholds learn from it."
)


def buttons(incident: Incident) -> dict[str, Any]:
    """The buttons of an open incident; somebody who is on it need not say so twice."""
    of = _value(incident)
    elements = (
        [] if incident.acknowledged_by else [_button("acknowledge", "Acknowledge", of, style="primary")]
    )
    elements += [
        _button("snooze", "Snooze 1 h", of),
        _button("new_normal", "New normal", of, ask=_NEW_NORMAL),
        _button("false_alarm", "False alarm", of, ask=_FALSE_ALARM),
    ]
    return {"type": "actions", "elements": elements}


def question(incident: Incident) -> list[dict[str, Any]]:
    """What a resolved incident asks, as blocks."""
    of = _value(incident)
    asked = "Was this a true alarm? False ones are counted against the promise of so many a week."
    return [
        {"type": "section", "text": {"type": "mrkdwn", "text": asked, "verbatim": True}},
        {
            "type": "actions",
            "elements": [
                _button("confirm", "It was", of),
                _button("false_alarm", "False alarm", of, ask=_WAS_FALSE),
            ],
        },
    ]


def _value(incident: Incident) -> str:
    """What a press says beside the act; Slack gives it back as it is."""
    return msgspec.json.encode([incident.pipeline, incident.id]).decode()[:2000]


def _button(act: str, label: str, of: str, *, style: str = "", ask: str = "") -> dict[str, Any]:
    button: dict[str, Any] = {
        "type": "button",
        "action_id": PREFIX + act,
        "text": _plain(label),
        "value": of,
    }
    if style:
        button["style"] = style
    if ask:
        button["confirm"] = {
            "title": _plain(label + "?"),
            "text": _plain(ask),
            "confirm": _plain(label),
            "deny": _plain("Back"),
        }
    return button


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}
