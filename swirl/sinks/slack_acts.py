"""What people press in Slack, as acts; whichever way it comes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec

from swirl.frame import Act
from swirl.sinks.slack_buttons import PREFIX, SNOOZE_MS
from swirl.sinks.wording import cut, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["acts_of"]

_Pressed = Literal["acknowledge", "snooze", "new_normal", "false_alarm", "confirm"]
_NAME = 80


def acts_of(payload: Mapping[str, Any]) -> list[Act]:
    """The acts in a payload of Slack's interactivity; none in what is not Swirl's.

    Args:
        payload: of type ``block_actions``, which Slack has signed or sent over its own socket.

    Example:
        >>> press = {"action_id": "swirl.snooze", "value": '["ads", "ads-20261121-031220"]'}
        >>> told = {"type": "block_actions", "user": {"username": "mara"}, "actions": [press]}
        >>> [(act.act, act.incident, act.who, act.for_ms) for act in acts_of(told)]
        [('snooze', 'ads-20261121-031220', 'mara', 3600000)]
    """
    actions = payload.get("actions")
    if payload.get("type") != "block_actions" or not isinstance(actions, list):
        return []
    who = _who(payload.get("user"))
    found = (_act(action, who) for action in actions if isinstance(action, dict))
    return [act for act in found if act is not None]


def _act(action: Mapping[str, Any], who: str) -> Act | None:
    name = str(action.get("action_id", "")).removeprefix(PREFIX)
    if name not in get_args(_Pressed) or not str(action.get("action_id")).startswith(PREFIX):
        return None
    try:
        pipeline, incident = msgspec.json.decode(str(action.get("value", "")), type=tuple[str, str])
    except msgspec.MsgspecError:
        return None
    if not pipeline or not incident:
        return None
    for_ms = SNOOZE_MS if name == "snooze" else 0
    return Act(pipeline, _PRESSED[name], incident, who, for_ms=for_ms, via="slack")


_PRESSED: dict[str, _Pressed] = {name: name for name in get_args(_Pressed)}


def _who(user: object) -> str:
    """A name that people know, before Slack's id of them."""
    if not isinstance(user, dict):
        return ""
    named = (user.get(key) for key in ("username", "name", "id"))
    return cut(plain(next((str(name) for name in named if name), "")), _NAME)
