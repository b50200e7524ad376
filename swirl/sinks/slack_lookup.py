"""What was told in Slack already: found by the messages' metadata, before anything is told a second time."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from swirl.effect import Incident

__all__ = ["SlackLookup", "Told"]

_log = logging.getLogger("swirl.sinks.slack")

_IDENT = re.compile(r"[CGD][A-Z0-9]{7,}")
_PAGE, _PAGES = 200, 10
_MARGIN_S = 3600.0
"""Event time of an opening may be ahead of Slack's clock by so much."""

_ADVICE = {
    "missing_scope": "give the bot the scope channels:history (groups:history for a private channel) and "
    "install it again",
    "not_in_channel": "invite the bot to the channel",
    "no_answer": "Slack limits how often an app may ask, those of other workspaces most",
    "no_channel_id": "set SWIRL_SLACK_CHANNEL to the channel's id, such as C0123ABCD, or give the bot the "
    "scope channels:read (groups:read for a private channel) and install it again",
}


class Told(NamedTuple):
    """A message of Swirl's that is there.

    Attributes:
        channel: its id.
        ts: the message's own id.
        identity: of the effect that wrote it last.
        revision: of the incident, as it was written last.
        step: ``"posted"``, ``"edited"`` or ``"reply"``; empty in messages of an older version.
    """

    channel: str
    ts: str
    identity: str
    revision: int
    step: str


class _RefusedError(Exception):
    """Slack gives no answer to this question, however often it is asked."""


class SlackLookup:
    """Asks Slack which messages are there. Where it may not ask, it says so once, and knows of none.

    It reads at most 2 000 messages for an answer.

    Args:
        ask: method and arguments -> Slack's answer, and its word for why there is none. What it raises is
            passed on: then the question is worth asking again.
        channel: name or id.
    """

    def __init__(
        self, ask: Callable[[str, dict[str, Any]], tuple[Mapping[str, Any], str]], channel: str
    ) -> None:
        self._ask = ask
        self._name = channel.lstrip("#")
        self._ident = channel if _IDENT.fullmatch(channel) else ""
        self._said: set[str] = set()

    def learn(self, ident: str) -> None:
        """The id of the channel: questions need it, posting does not."""
        self._ident = ident

    def root(self, incident: Incident, elsewhere: str = "") -> Told | None:
        """The root message of an incident, None if it is not there or cannot be asked for.

        Args:
            incident: whose.
            elsewhere: id of a channel to look in if that of the channel cannot be found out.
        """
        channel = self._ident or self._listed() or elsewhere
        if not channel:
            self.unable("no_channel_id")
            return None
        since = max(0.0, incident.opened_ms / 1000 - _MARGIN_S)
        try:
            for message in self._all("conversations.history", {"channel": channel, "oldest": f"{since:.6f}"}):
                in_thread = message.get("thread_ts", message["ts"]) != message["ts"]
                if not in_thread and (told := _told(channel, message, incident.id)):
                    return told
        except _RefusedError as error:
            self.unable(str(error))
        return None

    def thread(self, incident: Incident, channel: str, ts: str) -> list[Told] | None:
        """The messages of an incident's thread, its root among them.

        Returns:
            None if the thread is gone; no messages if it cannot be asked for.
        """
        try:
            found = self._all("conversations.replies", {"channel": channel, "ts": ts})
            return [told for message in found if (told := _told(channel, message, incident.id))]
        except _RefusedError as error:
            if str(error) in {"thread_not_found", "message_not_found"}:
                return None
            self.unable(str(error))
            return []

    def _listed(self) -> str:
        """The id behind the channel's name; public and private ones take scopes of their own."""
        for kind in ("public_channel", "private_channel"):
            try:
                for channel in self._all("users.conversations", {"types": kind}, "channels"):
                    if channel.get("name") == self._name:
                        self._ident = str(channel["id"])
                        return self._ident
            except _RefusedError:
                continue
        return ""

    def _all(self, method: str, asked: dict[str, Any], name: str = "messages") -> Iterator[Mapping[str, Any]]:
        more: dict[str, Any] = {}
        for _ in range(_PAGES):
            answer, refused = self._ask(
                method, {**asked, **more, "limit": _PAGE, "include_all_metadata": True}
            )
            if refused:
                raise _RefusedError(refused)
            yield from answer.get(name) or ()
            more = {"cursor": (answer.get("response_metadata") or {}).get("next_cursor")}
            if not more["cursor"]:
                return

    def unable(self, code: str) -> None:
        """Say once why nothing can be looked up, and what a person can do about it."""
        if code not in self._said:
            self._said.add(code)
            _log.warning(
                "Slack cannot be asked what was told already (%s), so a message may come twice: %s",
                code,
                _ADVICE.get(code, "see Slack's documentation"),
            )


def _told(channel: str, message: Mapping[str, Any], incident: str) -> Told | None:
    metadata = message.get("metadata") or {}
    told = metadata.get("event_payload") or {}
    if metadata.get("event_type") != "swirl_incident" or told.get("incident") != incident:
        return None
    revision = told.get("revision")
    return Told(
        channel,
        str(message["ts"]),
        str(told.get("identity", "")),
        revision if isinstance(revision, int) else 0,
        str(told.get("step", "")),
    )
