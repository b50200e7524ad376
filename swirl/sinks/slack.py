"""Incidents in Slack: one incident, one thread with a bot token; single messages with an incoming webhook."""

from __future__ import annotations

import logging
import re
import threading
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from swirl.effect import IncidentChanged
from swirl.errors import DeliveryError, MissingExtraError, SettingsError
from swirl.sinks import slack_blocks
from swirl.sinks.slack_lookup import SlackLookup

try:
    from slack_sdk import WebClient
    from slack_sdk.errors import SlackApiError
    from slack_sdk.webhook import WebhookClient
except ImportError:
    raise MissingExtraError("slack-sdk", "watch") from None

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

    from slack_sdk.web import SlackResponse

    from swirl.effect import Effect, Incident
    from swirl.settings import WatchSettings
    from swirl.sinks.base import Sink
    from swirl.sinks.slack_lookup import Told

__all__ = ["ADVICE", "SlackBot", "SlackWebhook", "slack_sink"]

_Found = TypeVar("_Found")

_log = logging.getLogger("swirl.sinks.slack")

_quiet_client = logging.getLogger("swirl.sinks.slack.client")
"""slack-sdk logs the address of the webhook, which is a secret, when the host logs at DEBUG."""
_quiet_client.setLevel(logging.CRITICAL)

REMEMBERED = 500
"""Incidents whose threads are remembered; the oldest are forgotten."""

_DOUBTED = 10_000
"""Effects that are remembered as perhaps told; the oldest are forgotten."""

_SEARCHES = 5
"""After so many searches that Slack did not answer, an effect is told all the same."""

_THREAD = re.compile(r"[A-Z0-9]+/[0-9.]+")
_TIMEOUT = 10

_PASSING = {
    "fatal_error",
    "internal_error",
    "ratelimited",
    "rate_limited",
    "request_timeout",
    "rollup_error",
    "service_unavailable",
    "team_added_to_org",
}
_GONE = {"message_not_found", "thread_not_found", "cannot_reply_to_message"}
_NOT_EDITABLE = {"cant_update_message", "edit_window_closed"}

ADVICE: Mapping[str, str] = {
    "account_inactive": "the bot was removed: install it again and set SWIRL_SLACK_TOKEN",
    "channel_is_archived": "choose another channel and make a new webhook",
    "channel_not_found": "check SWIRL_SLACK_CHANNEL, and invite the bot to a private channel",
    "invalid_auth": "check SWIRL_SLACK_TOKEN",
    "invalid_token": "make a new webhook and set SWIRL_SLACK_WEBHOOK",
    "is_archived": "set SWIRL_SLACK_CHANNEL to another channel",
    "missing_scope": "give the bot the scopes chat:write and channels:history (groups:history for a private "
    "channel) and install it again",
    "no_service": "the webhook was removed: make a new one and set SWIRL_SLACK_WEBHOOK",
    "no_team": "the webhook's workspace is gone: set SWIRL_SLACK_WEBHOOK",
    "not_authed": "set SWIRL_SLACK_TOKEN",
    "not_in_channel": "invite the bot to the channel, or give it the scope chat:write.public",
    "token_expired": "set SWIRL_SLACK_TOKEN to a new token",
    "token_revoked": "install the bot again and set SWIRL_SLACK_TOKEN",
}
"""What a person can do about an error that trying again cannot cure."""


def slack_sink(settings: WatchSettings, memory: MutableMapping[str, str]) -> Sink | None:
    """The sink that the settings ask for, None when they ask for none.

    Args:
        settings: token and channel go before the webhook.
        memory: incident -> where its thread is. Whoever keeps state keeps it too: threads survive a restart.

    Raises:
        SettingsError: a token without a channel, or a webhook that is no address.
    """
    if settings.slack_token:
        if not settings.slack_channel:
            raise SettingsError(
                "SWIRL_SLACK_TOKEN is set; set SWIRL_SLACK_CHANNEL to the channel to write to"
            )
        client = WebClient(
            token=settings.slack_token, base_url=settings.slack_url, timeout=_TIMEOUT, retry_handlers=[]
        )
        return SlackBot(client, settings.slack_channel, memory, show_labels=settings.slack_show_labels)
    if settings.slack_webhook:
        if not settings.slack_webhook.startswith(("https://", "http://")):
            raise SettingsError("SWIRL_SLACK_WEBHOOK is no address; it begins with https://hooks.slack.com/")
        webhook = WebhookClient(
            settings.slack_webhook, timeout=_TIMEOUT, retry_handlers=[], logger=_quiet_client
        )
        return SlackWebhook(webhook, memory, show_labels=settings.slack_show_labels)
    return None


class _Complaints:
    """Turns Slack's errors into delivery errors, and tells each permanent one to the log once."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def error(self, said: str, status: int, headers: Mapping[str, Any]) -> DeliveryError:
        return _passing(said, status, headers) or self._refusal(_code(said, status))

    def _refusal(self, code: str) -> DeliveryError:
        if code not in self._told:
            self._told.add(code)
            _log.error("Slack refuses messages (%s): %s", code, ADVICE.get(code, "see Slack's documentation"))
        return DeliveryError(f"Slack refuses the message: {code}", permanent=True)


def _code(said: str, status: int) -> str:
    """Slack's word, or what stands for it when somebody else answers."""
    return said if re.fullmatch("[a-z_]{1,60}", said) else f"http {status}"


def _passing(said: str, status: int, headers: Mapping[str, Any]) -> DeliveryError | None:
    """The error if it is worth trying again."""
    code = _code(said, status)
    if status == 429 or code in {"ratelimited", "rate_limited"}:
        return DeliveryError("Slack asks to slow down", retry_after=_seconds(headers))
    if status >= 500 or code in _PASSING or (code.startswith("http ") and status < 400):
        return DeliveryError(f"Slack answers {status} {said}" if code == said else f"Slack answers {status}")
    return None


def _seconds(headers: Mapping[str, Any]) -> float:
    found = next((value for name, value in headers.items() if name.lower() == "retry-after"), 1)
    try:
        return max(1.0, float(found[0] if isinstance(found, list) else found))
    except ValueError:
        return 1.0


class _Doubts:
    """Identities of effects that may have been told, and how often a search for them failed.

    Any thread may add to them.
    """

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._lock = threading.Lock()

    def __contains__(self, identity: str) -> bool:
        return identity in self._held

    def add(self, identity: str, failed: int = 0) -> int:
        """How many searches for it have failed so far, these included."""
        with self._lock:
            self._held[identity] = self._held.get(identity, 0) + failed
            while len(self._held) > _DOUBTED:
                del self._held[next(iter(self._held))]
            return self._held[identity]

    def discard(self, identity: str) -> None:
        with self._lock:
            self._held.pop(identity, None)


class SlackBot:
    """One thread an incident: the root tells how it stands and is edited, replies tell what changed.

    Nothing is posted a second time before the channel was searched for it: after an attempt whose answer was
    lost, for an effect that is in :meth:`doubt`, and for an incident that went on before this bot knew its
    thread. That takes the scope ``channels:history`` (``groups:history`` for a private channel) beside
    ``chat:write``; without it, a message may come twice.

    Args:
        client: of slack-sdk, with its token.
        channel: name or id; with a name, a search may take the scope ``channels:read`` (``groups:read``) too.
        memory: see :func:`slack_sink`.
        show_labels: reasons of invalid records may be told.
    """

    name = "slack"

    def __init__(
        self, client: WebClient, channel: str, memory: MutableMapping[str, str], *, show_labels: bool = False
    ) -> None:
        self._client = client
        self._channel = channel
        self._memory = memory
        self._show_labels = show_labels
        self._complaints = _Complaints()
        self._doubts = _Doubts()
        self._lookup = SlackLookup(self._ask, channel)

    def doubt(self, identity: str) -> None:
        """Somebody else may have told the effect of this identity: search before it is told.

        To be called, from any thread, before the effect is handed over.
        """
        self._doubts.add(identity)

    def handle(self, effect: Effect) -> None:
        """Post, or edit and reply; effects that are no incidents are ignored.

        Raises:
            DeliveryError: Slack did not take it.
        """
        if not isinstance(effect, IncidentChanged):
            return
        known = self._thread_of(effect.incident)
        doubted = effect.identity in self._doubts
        if known is None or not self._follow_up(effect, known, doubted=doubted):
            missed = known is None and effect.transition != "opened"
            if not ((doubted or missed) and self._adopt(effect)):
                self._open(effect)
        self._doubts.discard(effect.identity)

    def _thread_of(self, incident: Incident) -> str | None:
        """Memory may have been a webhook's, which keeps other words in it."""
        known = self._memory.get(incident.id, "")
        return known if _THREAD.fullmatch(known) else None

    def _open(self, change: IncidentChanged) -> None:
        answer, refused = self._post(change, {"channel": self._channel, **self._root(change, "posted")})
        if refused:
            raise DeliveryError(f"Slack refuses the message: {refused}", permanent=True)
        self._lookup.learn(str(answer["channel"]))
        _remember(self._memory, change.incident, f"{answer['channel']}/{answer['ts']}")

    def _adopt(self, change: IncidentChanged) -> bool:
        """Go on in the thread that somebody has begun; False if there is none."""
        places = [known for known in list(self._memory.values()) if _THREAD.fullmatch(known)]
        elsewhere = places[-1].partition("/")[0] if places else ""
        found = self._sought(change, lambda: self._lookup.root(change.incident, elsewhere), None)
        if found is None:
            return False
        known = f"{found.channel}/{found.ts}"
        _remember(self._memory, change.incident, known)
        if found.step == "posted" and found.identity == change.identity:
            return True
        return self._follow_up(change, known, doubted=True)

    def _follow_up(self, change: IncidentChanged, known: str, *, doubted: bool) -> bool:
        """False if the thread is gone."""
        channel, _, ts = known.partition("/")
        there = self._there(change, channel, ts) if doubted else []
        if there is None:
            return False
        # Whoever had the incident before may have told more of it: the root never goes back.
        if all(told.revision <= change.incident.revision for told in there if told.ts == ts):
            edit = {"channel": channel, "ts": ts, **self._root(change, "edited")}
            if self._call("chat.update", edit)[1] in _GONE:
                return False
        told = any(told.identity == change.identity and told.step == "reply" for told in there)
        return told or change.transition == "opened" or self._reply(change, channel, ts)

    def _there(self, change: IncidentChanged, channel: str, ts: str) -> list[Told] | None:
        none: list[Told] | None = []
        return self._sought(change, lambda: self._lookup.thread(change.incident, channel, ts), none)

    def _sought(self, change: IncidentChanged, search: Callable[[], _Found], nothing: _Found) -> _Found:
        """What a search finds: nothing, when Slack has not answered too often."""
        try:
            return search()
        except DeliveryError:
            if self._doubts.add(change.identity, failed=1) < _SEARCHES:
                raise
            self._lookup.unable("no_answer")
            return nothing

    def _reply(self, change: IncidentChanged, channel: str, ts: str) -> bool:
        said = slack_blocks.reply(change)
        metadata = slack_blocks.metadata(change, "reply")
        reply = {"channel": channel, "thread_ts": ts, **said, "metadata": metadata, **_QUIET}
        return self._post(change, reply)[1] not in _GONE

    def _root(self, change: IncidentChanged, step: Literal["posted", "edited"]) -> dict[str, Any]:
        message = slack_blocks.root(change.incident, show_labels=self._show_labels)
        return {**message, "metadata": slack_blocks.metadata(change, step), **_QUIET}

    def _post(self, change: IncidentChanged, message: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """Post; until Slack has said whether it took the message, it is in doubt."""
        self._doubts.add(change.identity)
        try:
            answer = self._call("chat.postMessage", message)
        except DeliveryError as error:
            if error.permanent or error.retry_after is not None:
                self._doubts.discard(change.identity)
            raise
        self._doubts.discard(change.identity)
        return answer

    def _call(self, method: str, payload: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """Slack's answer, and its word for why the message cannot be touched."""
        try:
            return _data(self._client.api_call(method, json=payload)), ""
        except SlackApiError as error:
            code = str(_data(error.response).get("error", ""))
            if code in _GONE | _NOT_EDITABLE:
                return {}, code
            raise self._complaints.error(code, error.response.status_code, error.response.headers) from error

    def _ask(self, method: str, asked: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """Slack's answer to a question, and its word for why it gives none; questions are sent as forms."""
        try:
            return _data(self._client.api_call(method, params=asked)), ""
        except SlackApiError as error:
            said, status = str(_data(error.response).get("error", "")), error.response.status_code
            if passing := _passing(said, status, error.response.headers):
                raise passing from error
            return {}, _code(said, status)


def _data(response: SlackResponse) -> dict[str, Any]:
    return response.data if isinstance(response.data, dict) else {}


_QUIET = {"unfurl_links": False, "unfurl_media": False}


class SlackWebhook:
    """One message for an opening, one for an end, and one between them when the cause has changed.

    A webhook can look nothing up: where the answer to a message is lost, or another worker takes over before
    it is known what was told, the message may come twice. A bot (:class:`SlackBot`) searches before that.

    Args:
        client: of slack-sdk, with its address.
        memory: see :func:`slack_sink`; here it keeps what was told last.
        show_labels: reasons of invalid records may be told.
    """

    name = "slack"

    def __init__(
        self, client: WebhookClient, memory: MutableMapping[str, str], *, show_labels: bool = False
    ) -> None:
        self._client = client
        self._memory = memory
        self._show_labels = show_labels
        self._complaints = _Complaints()

    def handle(self, effect: Effect) -> None:
        """Post a message if there is something to tell.

        Raises:
            DeliveryError: Slack did not take it.
        """
        if not isinstance(effect, IncidentChanged):
            return
        incident = effect.incident
        told = f"{incident.state} {incident.title}"
        if self._memory.get(incident.id) == told:
            return
        message = slack_blocks.root(incident, show_labels=self._show_labels)
        answer = self._client.send_dict({**message, **_QUIET})
        if answer.status_code != 200 or answer.body != "ok":
            raise self._complaints.error(answer.body, answer.status_code, answer.headers)
        _remember(self._memory, incident, told)


def _remember(memory: MutableMapping[str, str], incident: Incident, what: str) -> None:
    memory[incident.id] = what
    # As a list: whoever takes over another's incidents may fill the memory meanwhile.
    for known in list(memory)[: max(0, len(memory) - REMEMBERED)]:
        memory.pop(known, None)
