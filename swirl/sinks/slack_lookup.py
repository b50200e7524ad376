"""What was told in Slack already: found by the messages' metadata, before anything is told a second time."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from swirl.sinks.slack_blocks import MUTE_EVENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from swirl.effect import Incident, MuteChanged

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

    It reads at most 2 000 messages of a channel for an answer.

    Args:
        ask: method and arguments -> Slack's answer, and its word for why there is none. What it raises is
            passed on: then the question is worth asking again.
    """

    def __init__(self, ask: Callable[[str, dict[str, Any]], tuple[Mapping[str, Any], str]]) -> None:
        self._ask = ask
        self._idents: dict[str, str] = {}
        self._said: set[str] = set()

    def learn(self, channel: str, ident: str) -> None:
        """The id of a channel: questions need it, posting does not."""
        self._idents[channel] = ident

    def ident(self, channel: str) -> str:
        """The id of a channel given by name or id, as far as it is known; otherwise as it was given."""
        return self._idents.get(channel, channel)

    def root(self, incident: Incident, channels: Iterable[str], known: Iterable[str] = ()) -> Told | None:
        """The root message of an incident, None if it is not there or cannot be asked for.

        Args:
            incident: whose.
            channels: names or ids of those in which it may be, the likeliest first.
            known: ids of channels to look in if the id of one of these cannot be found out.
        """
        since = incident.opened_ms / 1000 - _MARGIN_S
        for channel, message in self._messages(channels, known, since):
            in_thread = message.get("thread_ts", message["ts"]) != message["ts"]
            if not in_thread and (told := _told(channel, message, incident.id)):
                return told
        return None

    def work(self, change: MuteChanged, channels: Iterable[str], known: Iterable[str] = ()) -> bool:
        """Whether a turn of planned work was told."""
        since = change.mute.since_ms / 1000 - _MARGIN_S
        return any(
            (message.get("metadata") or {}).get("event_type") == MUTE_EVENT
            and (message["metadata"].get("event_payload") or {}).get("identity") == change.identity
            for _, message in self._messages(channels, known, since)
        )

    def _messages(
        self, channels: Iterable[str], known: Iterable[str], since: float
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """What stands in some channels since then, newest first."""
        oldest = f"{max(0.0, since):.6f}"
        for channel in self._places(channels, known):
            try:
                for message in self._all("conversations.history", {"channel": channel, "oldest": oldest}):
                    yield channel, message
            except _RefusedError as error:
                self.unable(str(error))

    def _places(self, channels: Iterable[str], known: Iterable[str]) -> list[str]:
        """The ids of channels; those that are known stand in for what has none."""
        names = list(channels)
        if not all(name in self._idents or _IDENT.fullmatch(name) for name in names):
            self._idents |= self._listed(names)
        found = [self.ident(name) for name in names if name in self._idents or _IDENT.fullmatch(name)]
        places = list(dict.fromkeys(found if len(found) == len(names) else [*found, *known]))
        if not places:
            self.unable("no_channel_id")
        return places

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

    def _listed(self, names: list[str]) -> dict[str, str]:
        """The ids behind the channels' names; public and private ones take scopes of their own."""
        wanted = {name.lstrip("#"): name for name in names}
        found: dict[str, str] = {}
        for kind in ("public_channel", "private_channel"):
            try:
                for channel in self._all("users.conversations", {"types": kind}, "channels"):
                    if name := wanted.get(str(channel.get("name"))):
                        found[name] = str(channel["id"])
                    if len(found) == len(wanted):
                        return found
            except _RefusedError:
                continue
        return found

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
