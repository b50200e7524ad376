"""Files and marks in the stand-in's channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swirl.testing.slack import SlackMessage

__all__ = ["Uploads", "react"]

_PATH = "/upload/v1/"


class Uploads:
    """Files on their way: asked for, sent, then shared in a channel.

    Attributes:
        received: id of a file -> its bytes.
    """

    def __init__(self) -> None:
        self.received: dict[str, bytes] = {}
        self._told: dict[str, dict[str, Any]] = {}

    def begin(self, asked: Mapping[str, Any], port: int) -> dict[str, Any]:
        """Where a file is to be sent.

        Args:
            asked: ``filename``, ``length`` and ``alt_txt``.
            port: of the stand-in.
        """
        if not asked.get("filename") or int(asked.get("length") or 0) < 1:
            return {"ok": False, "error": "invalid_arguments"}
        ident = f"F{len(self._told):08d}"
        self._told[ident] = {"id": ident, "name": asked["filename"], "alt_txt": asked.get("alt_txt", "")}
        return {"ok": True, "file_id": ident, "upload_url": f"http://127.0.0.1:{port}{_PATH}{ident}"}

    def receive(self, path: str, body: bytes) -> bool:
        """Take the bytes of a file; False if the path is none of an upload."""
        ident = path.removeprefix(_PATH)
        if path == ident or ident not in self._told:
            return False
        self.received[ident] = body
        return True

    def complete(self, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The files that are shared, none if one of them was not sent."""
        found = []
        for file in asked.get("files") or []:
            if file.get("id") not in self.received:
                return []
            found.append({**self._told[file["id"]], "title": file.get("title", "")})
        return found


def react(
    messages: list[SlackMessage], method: str, channel: str, asked: Mapping[str, Any]
) -> dict[str, Any]:
    """Put a mark on a message, or take it away.

    Args:
        messages: of all channels.
        method: ``reactions.add`` or ``reactions.remove``.
        channel: its id.
        asked: ``timestamp`` of the message and ``name`` of the mark.
    """
    found = next((m for m in messages if (m.channel, m.ts) == (channel, asked.get("timestamp"))), None)
    name = str(asked.get("name", ""))
    if found is None or not name:
        return {"ok": False, "error": "message_not_found" if name else "invalid_name"}
    if (name in found.reactions) == (method == "reactions.add"):
        return {"ok": False, "error": "already_reacted" if name in found.reactions else "no_reaction"}
    if method == "reactions.add":
        found.reactions.append(name)
    else:
        found.reactions.remove(name)
    return {"ok": True}
