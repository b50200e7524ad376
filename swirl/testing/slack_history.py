"""What Slack tells of the messages in a channel or a thread, page by page: what the stand-in can be asked."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swirl.testing.slack import SlackMessage

__all__ = ["history", "memberships", "replies"]

_PAGE, _LARGEST = 100, 999
_YES = {"1", "true"}


def history(messages: list[SlackMessage], asked: Mapping[str, Any]) -> dict[str, Any]:
    """A page of the messages that stand in the channel itself, newest first.

    Args:
        messages: of the channel.
        asked: ``oldest``, ``limit``, ``cursor``, ``include_all_metadata``.
    """
    since = float(asked.get("oldest") or 0)
    roots = [m for m in messages if not m.thread_ts and float(m.ts) > since]
    return _page(_shown(messages, roots[::-1], asked), asked)


def replies(messages: list[SlackMessage], asked: Mapping[str, Any]) -> dict[str, Any]:
    """A page of a thread: its root, then the replies, oldest first.

    Args:
        messages: of the channel.
        asked: ``ts`` of the root, ``limit``, ``cursor``, ``include_all_metadata``.
    """
    root = asked.get("ts")
    thread = [m for m in messages if root in {m.ts, m.thread_ts}]
    if not any(m.ts == root for m in thread):
        return {"ok": False, "error": "thread_not_found"}
    return _page(_shown(messages, thread, asked), asked)


def memberships(channels: Mapping[str, str], asked: Mapping[str, Any]) -> dict[str, Any]:
    """The channels that the bot is in, without their ``#``."""
    listed = [{"id": ident, "name": name.lstrip("#")} for ident, name in channels.items()]
    return _page(listed, asked, "channels", "id")


def _shown(
    messages: list[SlackMessage], chosen: list[SlackMessage], asked: Mapping[str, Any]
) -> list[dict[str, Any]]:
    roots = {m.thread_ts for m in messages if m.thread_ts}
    found = []
    for message in chosen:
        told: dict[str, Any] = {"type": "message", "ts": message.ts, "text": message.text}
        if message.thread_ts or message.ts in roots:
            told["thread_ts"] = message.thread_ts or message.ts
        if "metadata" in message.payload and str(asked.get("include_all_metadata", "")).lower() in _YES:
            told["metadata"] = message.payload["metadata"]
        if message.files:
            told["files"] = message.files
        found.append(told)
    return found


def _page(
    items: list[dict[str, Any]], asked: Mapping[str, Any], name: str = "messages", key: str = "ts"
) -> dict[str, Any]:
    """A cursor names the last item of the page before, so that new messages shift no page."""
    size = min(int(asked.get("limit") or _PAGE), _LARGEST)
    if cursor := asked.get("cursor"):
        places = [index for index, item in enumerate(items) if _cursor(item[key]) == cursor]
        if not places:
            return {"ok": False, "error": "invalid_cursor"}
        items = items[places[0] + 1 :]
    following = _cursor(items[size - 1][key]) if len(items) > size else ""
    return {"ok": True, name: items[:size], "response_metadata": {"next_cursor": following}}


def _cursor(last: str) -> str:
    return b64encode(f"after:{last}".encode()).decode()
