"""Slack's limits on messages, and messages as plain text: what the stand-in knows of Block Kit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["complaint", "pressed", "shown"]

_MRKDWN, _PLAIN = "mrkdwn", "plain_text"


def complaint(message: dict[str, Any], longest: int) -> tuple[str, str] | None:
    """Slack's error and its reason for a message that breaks a limit; None for a good one.

    Args:
        message: ``text`` and ``blocks``.
        longest: characters that ``text`` may have.
    """
    text, blocks = message.get("text", ""), message.get("blocks", [])
    if not isinstance(text, str) or not isinstance(blocks, list):
        return "invalid_arguments", "text is a string, blocks are a list"
    if not text and not blocks:
        return "no_text", "neither text nor blocks"
    if len(text) > longest:
        return "msg_too_long", f"{len(text)} characters; at most {longest}"
    if len(blocks) > 50:
        return "invalid_blocks", f"{len(blocks)} blocks; at most 50"
    for index, block in enumerate(blocks):
        if why := _block(block):
            return "invalid_blocks", f"{why} [/blocks/{index}]"
    return None


def _block(block: Any) -> str:
    if not isinstance(block, dict):
        return "a block is an object"
    if len(str(block.get("block_id", ""))) > 255:
        return "block_id: at most 255 characters"
    match block.get("type"):
        case "header":
            return _text(block.get("text"), 150, _PLAIN)
        case "section":
            fields = block.get("fields", [])
            if len(fields) > 10:
                return "at most 10 fields"
            if "text" not in block and not fields:
                return "a section has text or fields"
            found = [_text(block["text"], 3000)] if "text" in block else []
            return next((why for why in found + [_text(f, 2000) for f in fields] if why), "")
        case "context":
            elements = block.get("elements", [])
            if not 1 <= len(elements) <= 10:
                return "1 to 10 elements"
            return next((why for e in elements if (why := _text(e, 3000))), "")
        case "divider":
            return ""
        case "image":
            return "" if 1 <= len(block.get("alt_text", "")) <= 2000 else "alt_text: 1 to 2000 characters"
        case "actions":
            return _actions(block.get("elements", []))
        case unknown:
            return f"unsupported type: {unknown}"


def _actions(elements: list[Any]) -> str:
    if not 1 <= len(elements) <= 25:
        return "1 to 25 elements"
    ids = [str(element.get("action_id", "")) for element in elements]
    if len(set(ids)) < len(ids) or not all(1 <= len(ident) <= 255 for ident in ids):
        return "action_id: 1 to 255 characters, each once"
    return next((why for element in elements if (why := _button(element))), "")


def _button(element: dict[str, Any]) -> str:
    if element.get("type") != "button":
        return f"unsupported element: {element.get('type')}"
    if len(str(element.get("value", ""))) > 2000:
        return "value: at most 2000 characters"
    if element.get("style", "primary") not in {"primary", "danger"}:
        return "style: primary or danger"
    ask = element.get("confirm", {})
    limits = {"title": 100, "text": 300, "confirm": 30, "deny": 30} if ask else {}
    found = [_text(element.get("text"), 75, _PLAIN)]
    return next((why for why in found + [_text(ask.get(k), n) for k, n in limits.items()] if why), "")


def _text(text: Any, longest: int, kind: str | None = None) -> str:
    if not isinstance(text, dict) or text.get("type") not in ({kind} if kind else {_MRKDWN, _PLAIN}):
        return f"text of type {kind or 'mrkdwn or plain_text'} is wanted"
    if "verbatim" in text and text["type"] != _MRKDWN:
        return "verbatim belongs to mrkdwn"
    return "" if 1 <= len(text.get("text", "")) <= longest else f"text: 1 to {longest} characters"


def shown(message: dict[str, Any], files: Iterable[dict[str, Any]] = ()) -> list[str]:
    """A message as its reader sees it, line by line; fallbacks stand for times in the reader's own zone.

    Args:
        message: ``text`` and ``blocks``.
        files: that came with it.
    """
    blocks = message.get("blocks") or [
        {"type": "section", "text": {"type": _MRKDWN, "text": message.get("text", "")}}
    ]
    lines: list[str] = []
    for block in blocks:
        if block["type"] == "actions":
            lines.append(" ".join(f"[{element['text']['text']}]" for element in block["elements"]))
            continue
        parts = [block["text"]] if "text" in block else []
        parts += [*block.get("fields", []), *block.get("elements", [])]
        for part in parts:
            raw = part.get("text", "")
            lines += _rendered(
                raw if isinstance(raw, str) else raw.get("text", ""), part.get("type") == _MRKDWN
            )
    return [*lines, *(f"[{file.get('name')}: {file.get('title')}]" for file in files)]


def pressed(message: dict[str, Any], label: str, user: str = "mara") -> dict[str, Any]:
    """What Slack sends when somebody presses a button of a message.

    Args:
        message: with its blocks.
        label: what stands on the button.
        user: name of the person.

    Raises:
        LookupError: the message has no such button.
    """
    elements = [e for b in message["blocks"] if b["type"] == "actions" for e in b["elements"]]
    found = next((element for element in elements if element["text"]["text"] == label), None)
    if found is None:
        raise LookupError(f"no button {label!r}; there are {[e['text']['text'] for e in elements]}")
    action = {"type": "button", "action_id": found["action_id"], "value": found["value"]}
    who = {"id": f"U{user.upper()}", "username": user, "name": user}
    return {"type": "block_actions", "user": who, "actions": [action]}


def _rendered(text: str, mrkdwn: bool) -> list[str]:  # noqa: FBT001 - a private function with one meaning
    lines: list[str] = []
    for index, part in enumerate(re.split(r"```(.*?)```", text, flags=re.DOTALL) if mrkdwn else [text]):
        fenced = bool(index % 2)
        told = _commands(part) if mrkdwn and not fenced else part
        told = told.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        lines += [f"    {line}" if fenced else line for line in told.strip("\n").split("\n") if line.strip()]
    return lines


def _commands(text: str) -> str:
    text = re.sub(r"<!date\^[^|>]*\|([^>]*)>", r"\1", text)
    text = re.sub(r"<!(channel|here|everyone)>", r"@\1 (everybody is called)", text)
    text = re.sub(r"<[^|>]+\|([^>]*)>", r"\1", text)
    return re.sub(r"(?<!\w)\*([^*\n]+)\*(?!\w)", r"\1", text)
