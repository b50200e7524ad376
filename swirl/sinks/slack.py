"""Incidents in Slack: one incident, one thread with a bot token; single messages with an incoming webhook."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from swirl.effect import IncidentChanged
from swirl.errors import DeliveryError, MissingExtraError, SettingsError
from swirl.sinks import slack_blocks

try:
    from slack_sdk import WebClient
    from slack_sdk.errors import SlackApiError
    from slack_sdk.webhook import WebhookClient
except ImportError:
    raise MissingExtraError("slack-sdk", "watch") from None

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from swirl.effect import Effect, Incident
    from swirl.settings import WatchSettings
    from swirl.sinks.base import Sink

__all__ = ["ADVICE", "SlackBot", "SlackWebhook", "slack_sink"]

_log = logging.getLogger("swirl.sinks.slack")

_quiet_client = logging.getLogger("swirl.sinks.slack.client")
"""slack-sdk logs the address of the webhook, which is a secret, when the host logs at DEBUG."""
_quiet_client.setLevel(logging.CRITICAL)

REMEMBERED = 500
"""Incidents whose threads are remembered; the oldest are forgotten."""

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
    "missing_scope": "give the bot the scope chat:write and install it again",
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
        code = said if re.fullmatch("[a-z_]{1,60}", said) else ""
        if status == 429 or code in {"ratelimited", "rate_limited"}:
            return DeliveryError("Slack asks to slow down", retry_after=_seconds(headers))
        if status >= 500 or code in _PASSING or (not code and status < 400):
            return DeliveryError(f"Slack answers {status} {code}".rstrip())
        code = code or f"http {status}"
        if code not in self._told:
            self._told.add(code)
            _log.error("Slack refuses messages (%s): %s", code, ADVICE.get(code, "see Slack's documentation"))
        return DeliveryError(f"Slack refuses the message: {code}", permanent=True)


def _seconds(headers: Mapping[str, Any]) -> float:
    found = next((value for name, value in headers.items() if name.lower() == "retry-after"), 1)
    try:
        return max(1.0, float(found[0] if isinstance(found, list) else found))
    except ValueError:
        return 1.0


class SlackBot:
    """One thread an incident: the root tells how it stands and is edited, replies tell what changed.

    Args:
        client: of slack-sdk, with its token.
        channel: name or id.
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

    def handle(self, effect: Effect) -> None:
        """Post, or edit and reply; effects that are no incidents are ignored.

        Raises:
            DeliveryError: Slack did not take it.
        """
        if not isinstance(effect, IncidentChanged):
            return
        known = self._memory.get(effect.incident.id)
        if known is None or not self._follow_up(effect, known):
            self._open(effect)

    def _open(self, change: IncidentChanged) -> None:
        answer, refused = self._call("chat.postMessage", {"channel": self._channel, **self._root(change)})
        if refused:
            raise DeliveryError(f"Slack refuses the message: {refused}", permanent=True)
        _remember(self._memory, change.incident, f"{answer['channel']}/{answer['ts']}")

    def _follow_up(self, change: IncidentChanged, known: str) -> bool:
        """False if the thread is gone."""
        channel, _, ts = known.partition("/")
        _, refused = self._call("chat.update", {"channel": channel, "ts": ts, **self._root(change)})
        if refused in _GONE:
            return False
        if change.transition == "opened":
            return True
        said = slack_blocks.reply(change)
        told = {
            "channel": channel,
            "thread_ts": ts,
            **said,
            "metadata": slack_blocks.metadata(change),
            **_QUIET,
        }
        _, refused = self._call("chat.postMessage", told)
        return refused not in _GONE

    def _root(self, change: IncidentChanged) -> dict[str, Any]:
        message = slack_blocks.root(change.incident, show_labels=self._show_labels)
        return {**message, "metadata": slack_blocks.metadata(change), **_QUIET}

    def _call(self, method: str, payload: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """Slack's answer, and its word for why the message cannot be touched."""
        try:
            answer = self._client.api_call(method, json=payload)
        except SlackApiError as error:
            data = error.response.data if isinstance(error.response.data, dict) else {}
            code = str(data.get("error", ""))
            if code in _GONE | _NOT_EDITABLE:
                return {}, code
            raise self._complaints.error(code, error.response.status_code, error.response.headers) from error
        return (answer.data if isinstance(answer.data, dict) else {}), ""


_QUIET = {"unfurl_links": False, "unfurl_media": False}


class SlackWebhook:
    """One message for an opening, one for an end, and one between them when the cause has changed.

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
    while len(memory) > REMEMBERED:
        del memory[next(iter(memory))]
