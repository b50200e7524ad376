"""Incidents in Slack with a bot token: one incident, one thread."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from swirl.effect import IncidentChanged, MuteChanged
from swirl.errors import DeliveryError
from swirl.sinks import slack_blocks
from swirl.sinks.slack_blocks import PLAIN, Style
from swirl.sinks.slack_client import Pace, SlackCalls
from swirl.sinks.slack_lookup import SlackLookup
from swirl.sinks.slack_memory import Doubts, Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from slack_sdk import WebClient

    from swirl.effect import Effect, Incident
    from swirl.sinks.routes import Routes
    from swirl.sinks.slack_lookup import Told
    from swirl.sinks.slack_memory import Threads

__all__ = ["SlackBot"]

_Found = TypeVar("_Found")

_log = logging.getLogger("swirl.sinks.slack")

_SEARCHES = 5
"""After so many searches that Slack did not answer, an effect is told all the same."""

_SECOND = 1.0
"""Between two messages of a channel: Slack's limit."""

_MARK = "white_check_mark"

_GONE = frozenset({"message_not_found", "thread_not_found", "cannot_reply_to_message"})
_NOT_EDITABLE = frozenset({"cant_update_message", "edit_window_closed"})
_REFUSED_BLOCKS = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"}
)
_NONE: frozenset[str] = frozenset()
_QUIET = {"unfurl_links": False, "unfurl_media": False}


class SlackBot:
    """One thread an incident: the root tells how it stands and is edited, replies tell what changed.

    Nothing is posted a second time before the channel was searched for it: after an attempt whose answer was
    lost, for an effect that is in :meth:`doubt`, and for an incident that went on before this bot knew its
    thread. That takes the scope ``channels:history`` (``groups:history`` for a private channel) beside
    ``chat:write``; without it, a message may come twice.

    An incident stays in the channel in which its thread began. What is muted is not told; planned work is
    one message.

    Args:
        client: of slack-sdk, with its token.
        routes: which channel; with a name, a search may take the scope ``channels:read`` (``groups:read``).
        threads: where incidents are told.
        style: see :class:`swirl.sinks.slack_blocks.Style`.
        clock: seconds that never go back.
        now: seconds since 1970, for quiet hours.
    """

    name = "slack"

    def __init__(
        self,
        client: WebClient,
        routes: Routes,
        threads: Threads,
        style: Style = PLAIN,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._pace = Pace(clock)
        self._calls = SlackCalls(client, self._pace)
        self._routes = routes
        self._threads = threads
        self._style = style
        self._now = now
        self._doubts = Doubts()
        self._lookup = SlackLookup(self._calls.ask)
        self._said: set[str] = set()

    @property
    def trouble(self) -> str:
        """What is wrong and what to do about it, ``""`` when all is well."""
        return self._calls.complaints.trouble

    def doubt(self, identity: str) -> None:
        """Somebody else may have told the effect of this identity: search before it is told.

        To be called, from any thread, before the effect is handed over.
        """
        self._doubts.add(identity)

    def wait(self, effect: Effect) -> float:
        """Seconds until an effect may be told: a message a second a channel, quiet hours, Slack's wishes."""
        if isinstance(effect, MuteChanged):
            route = self._routes.of_work(effect.pipeline, effect.mute.stage)
            return self._pace.wait(self._lookup.ident(route.channel))
        if not isinstance(effect, IncidentChanged) or effect.incident.muted:
            return 0.0
        place, route = self._threads.place(effect.incident.id), self._routes.of(effect.incident)
        if place is not None and not _notifies(effect):
            return self._pace.wait("")
        quiet = (
            route.quiet.left(self._now()) if route.quiet and effect.incident.severity == "degraded" else 0.0
        )
        return quiet or self._pace.wait(place.channel if place else self._lookup.ident(route.channel))

    def handle(self, effect: Effect) -> None:
        """Post, or edit and reply; effects that are not for people are ignored.

        Raises:
            DeliveryError: Slack did not take it.
            OSError: Slack was not reached.
        """
        if isinstance(effect, MuteChanged):
            self._tell_work(effect)
        elif isinstance(effect, IncidentChanged) and not effect.incident.muted:
            self._tell(effect)
        else:
            return
        self._doubts.discard(effect.identity)

    def _tell(self, change: IncidentChanged) -> None:
        place = self._threads.place(change.incident.id)
        doubted = change.identity in self._doubts
        if place is None or not self._follow_up(change, place, doubted=doubted):
            missed = place is None and (change.transition != "opened" or change.incident.revision > 0)
            if not ((doubted or missed) and self._adopt(change)):
                self._open(change)

    def _tell_work(self, change: MuteChanged) -> None:
        channel = self._routes.of_work(change.pipeline, change.mute.stage).channel
        known = self._threads.channels()
        if change.identity in self._doubts and self._sought(
            change.identity, lambda: self._lookup.work(change, [channel], known), nothing=False
        ):
            return
        metadata = slack_blocks.work_metadata(change)
        said = {**slack_blocks.work(change), "metadata": metadata, **_QUIET}
        self._lookup.learn(channel, str(self._post(change.identity, channel, said)[0]["channel"]))

    def _open(self, change: IncidentChanged) -> None:
        incident, route = change.incident, self._routes.of(change.incident)
        wakes = _wakes(incident)
        root = self._root(change, "posted", route.mention if wakes else "")
        answer, _ = self._post(change.identity, route.channel, root)
        place = Place(str(answer["channel"]), str(answer["ts"]), calm=_is_calm(incident))
        self._lookup.learn(route.channel, place.channel)
        self._threads.keep(incident.id, str(place))
        self._mark(change, place)

    def _adopt(self, change: IncidentChanged) -> bool:
        """Go on in the thread that somebody has begun; False if there is none."""
        route = self._routes.of(change.incident).channel
        channels, known = dict.fromkeys((route, *self._routes.channels)), self._threads.channels()
        found = self._sought(
            change.identity, lambda: self._lookup.root(change.incident, channels, known), nothing=None
        )
        if found is None:
            return False
        place = Place(found.channel, found.ts, calm=_is_calm(change.incident))
        self._threads.keep(change.incident.id, str(place))
        if found.step == "posted" and found.identity == change.identity:
            return True
        return self._follow_up(change, place, doubted=True)

    def _follow_up(self, change: IncidentChanged, place: Place, *, doubted: bool) -> bool:
        """False if the thread is gone."""
        there = self._there(change, place) if doubted else []
        if there is None:
            return False
        # Whoever had the incident before may have told more of it: the root never goes back.
        if all(told.revision <= change.incident.revision for told in there if told.ts == place.ts):
            edit = {"ts": place.ts, **self._root(change, "edited")}
            if self._edit(place.channel, edit) in _GONE:
                return False
            self._mark(change, place)
        told = any(t.identity == change.identity and t.step in {"reply", "posted"} for t in there)
        return told or not _notifies(change) or self._reply(change, place)

    def _there(self, change: IncidentChanged, place: Place) -> list[Told] | None:
        none: list[Told] | None = []
        found = self._lookup.thread
        return self._sought(
            change.identity, lambda: found(change.incident, place.channel, place.ts), nothing=none
        )

    def _sought(self, identity: str, search: Callable[[], _Found], *, nothing: _Found) -> _Found:
        """What a search finds: nothing, when Slack has not answered too often."""
        try:
            return search()
        except DeliveryError:
            if self._doubts.add(identity, failed=1) < _SEARCHES:
                raise
            self._lookup.unable("no_answer")
            return nothing

    def _reply(self, change: IncidentChanged, place: Place) -> bool:
        incident = change.incident
        again = change.transition == "reopened" and incident.severity == "tripped"
        calls = again or (place.calm and _wakes(incident))
        mention = self._routes.of(incident).mention if calls else ""
        said = slack_blocks.reply(change, self._style, mention)
        metadata = slack_blocks.metadata(change, "reply")
        reply = {"thread_ts": place.ts, **said, "metadata": metadata, **_QUIET}
        refused = self._post(change.identity, place.channel, reply)[1]
        # Who was called before the end is called again if it comes back, whichever step tells that.
        calm = change.transition == "resolved" or (place.calm and not calls)
        if calm != place.calm and not refused:
            self._threads.keep(incident.id, str(place._replace(calm=calm)))
        return refused not in _GONE

    def _root(
        self, change: IncidentChanged, step: Literal["posted", "edited"], mention: str = ""
    ) -> dict[str, Any]:
        message = slack_blocks.root(change.incident, self._style, mention)
        return {**message, "metadata": slack_blocks.metadata(change, step), **_QUIET}

    def _post(self, identity: str, channel: str, message: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """Post; until Slack has said whether it took the message, it is in doubt."""
        self._doubts.add(identity)
        try:
            answer = self._say(
                "chat.postMessage", channel, message, _GONE if "thread_ts" in message else _NONE
            )
        except DeliveryError as error:
            if error.permanent or error.retry_after is not None:
                self._doubts.discard(identity)
            raise
        self._doubts.discard(identity)
        self._pace.hold(str(answer[0].get("channel", channel)), _SECOND)
        return answer

    def _edit(self, channel: str, message: dict[str, Any]) -> str:
        return self._say("chat.update", channel, message, _GONE | _NOT_EDITABLE)[1]

    def _say(
        self, method: str, channel: str, message: dict[str, Any], bear: frozenset[str]
    ) -> tuple[dict[str, Any], str]:
        """Say it; what Slack does not take as blocks is said in its plain words."""
        told, ident = {"channel": channel, **message}, self._lookup.ident(channel)
        answer, refused = self._calls.call(method, told, channel=ident, bear=bear | _REFUSED_BLOCKS)
        if refused not in _REFUSED_BLOCKS:
            return answer, refused
        self._say_once(
            refused, f"Slack does not take the blocks of a message ({refused}): it is told as plain text"
        )
        return self._calls.call(method, {**told, "blocks": []}, channel=ident, bear=bear)

    def _mark(self, change: IncidentChanged, place: Place) -> None:
        """A mark on the root of what is over. It is no loss if it fails, so nothing waits for it."""
        if change.transition not in {"resolved", "reopened"} and change.incident.state == "open":
            return
        method = "reactions.add" if change.incident.state == "resolved" else "reactions.remove"
        asked = {"channel": place.channel, "timestamp": place.ts, "name": _MARK}
        try:
            refused = self._calls.ask(method, asked)[1]
        except (DeliveryError, OSError):
            return
        if refused == "missing_scope":
            self._say_once(
                "reactions", "no mark on what is resolved: give the bot the scope reactions:write for it"
            )

    def _say_once(self, what: str, told: str) -> None:
        if what not in self._said:
            self._said.add(what)
            _log.warning("%s", told)


def _wakes(incident: Incident) -> bool:
    """Whether somebody is to be called: it trips the pipeline, and nobody has taken it up."""
    taken = incident.acknowledged_by or incident.snoozed_until_ms
    return incident.state == "open" and incident.severity == "tripped" and not taken


def _is_calm(incident: Incident) -> bool:
    """Whether it wakes nobody as it stands, so that somebody is to be called once it does."""
    return incident.state == "resolved" or incident.severity == "degraded"


def _notifies(change: IncidentChanged) -> bool:
    """Whether people are to be notified, by a reply; the root tells an opening, and its edits all else."""
    if change.transition == "opened":
        return change.incident.revision > 0
    if change.transition == "updated":
        return not change.incident.snoozed_until_ms
    return change.transition in {"woken", "reopened", "resolved", "judged"}
