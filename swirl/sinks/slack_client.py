"""Calls to Slack: what each error means, what a person must mend, and when the next call may be made."""

from __future__ import annotations

import logging
import re
import threading
import time
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from swirl.errors import DeliveryError, MissingExtraError

try:
    from slack_sdk.errors import SlackApiError
except ImportError:
    raise MissingExtraError("slack-sdk", "watch") from None

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from slack_sdk import WebClient
    from slack_sdk.web import SlackResponse

__all__ = ["ADVICE", "Complaints", "Pace", "SlackCalls", "passing_error", "slack_code"]

_log = logging.getLogger("swirl.sinks.slack")

_MENDED_S = 60.0
"""What a person must mend is tried again so often."""

ADVICE: Mapping[str, str] = {
    "account_inactive": "the bot was removed: install it again and set SWIRL_SLACK_TOKEN",
    "action_prohibited": "the workspace forbids the webhook: ask its keepers",
    "channel_is_archived": "choose another channel and make a new webhook",
    "channel_not_found": "check SWIRL_SLACK_CHANNEL and the routes, and invite the bot to a private channel",
    "invalid_auth": "check SWIRL_SLACK_TOKEN",
    "invalid_token": "make a new webhook and set SWIRL_SLACK_WEBHOOK",
    "is_archived": "set SWIRL_SLACK_CHANNEL (or the route) to another channel",
    "missing_scope": "give the bot the scopes chat:write and channels:history (groups:history for a private "
    "channel) and install it again",
    "no_service": "the webhook was removed: make a new one and set SWIRL_SLACK_WEBHOOK",
    "no_team": "the webhook's workspace is gone: set SWIRL_SLACK_WEBHOOK",
    "not_allowed_token_type": "SWIRL_SLACK_TOKEN must be a bot token (xoxb-...)",
    "not_authed": "set SWIRL_SLACK_TOKEN",
    "not_in_channel": "invite the bot to the channel, or give it the scope chat:write.public",
    "restricted_action": "the workspace forbids the bot to write to the channel: ask its keepers",
    "token_expired": "set SWIRL_SLACK_TOKEN to a new token",
    "token_revoked": "install the bot again and set SWIRL_SLACK_TOKEN",
}
"""What a person can do about an error. Until it is mended, messages wait and are tried once a minute."""

_OF_A_CHANNEL = {"channel_not_found", "is_archived", "not_in_channel", "restricted_action"}

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


class Pace:
    """Until when each channel, and all of them, want no call.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    def hold(self, channel: str, seconds: float) -> None:
        """Nothing to this channel for so long; ``""`` is all of them."""
        with self._lock:
            now = self._clock()
            self._until = {known: until for known, until in self._until.items() if until > now}
            self._until[channel] = max(self._until.get(channel, now), now + seconds)

    def wait(self, channel: str) -> float:
        """Seconds until a call to the channel may be made, at most 0 for none."""
        with self._lock:
            return max(self._until.get(key, 0.0) for key in ("", channel)) - self._clock()


class Complaints:
    """Turns Slack's errors into delivery errors, and tells each that a person must mend to the log once."""

    def __init__(self) -> None:
        self._logged: set[str] = set()
        self._troubles: dict[str, str] = {}

    @property
    def trouble(self) -> str:
        """What is wrong and what to do about it, ``""`` when all is well."""
        return "; ".join(dict.fromkeys(self._troubles.copy().values()))

    def well(self, channel: str) -> None:
        """A call about this channel went through, so the workspace is well too."""
        for key in ("", channel):
            self._troubles.pop(key, None)

    def away(self, why: str) -> None:
        """Slack was not reached, or has trouble of its own."""
        self._troubles[""] = (
            f"Slack takes no messages just now ({why}); they wait. If it lasts: can this machine reach "
            "Slack, and what does status.slack.com say?"
        )

    def error(self, said: str, status: int, headers: Mapping[str, Any], channel: str = "") -> DeliveryError:
        """The error that the outlet understands, for what Slack said of a call about a channel."""
        if passing := passing_error(said, status, headers):
            self.away(str(passing))
            return passing
        return self._refusal(slack_code(said, status), channel)

    def _refusal(self, code: str, channel: str) -> DeliveryError:
        advice = ADVICE.get(code, "see Slack's documentation")
        where = f" in {channel}" if channel and code in _OF_A_CHANNEL else ""
        told = f"Slack refuses messages{where} ({code}): {advice}"
        if told not in self._logged:
            self._logged.add(told)
            _log.error("%s", told)
        if len(self._troubles) < 100:
            self._troubles[channel if code in _OF_A_CHANNEL else ""] = told
        if code in ADVICE:
            return DeliveryError(f"Slack refuses the message: {code}", retry_after=_MENDED_S)
        return DeliveryError(f"Slack refuses the message: {code}", permanent=True)

    @staticmethod
    def stands_for_all(code: str) -> bool:
        """Whether an error is of the workspace or the token rather than of a channel or a message."""
        return code in ADVICE and code not in _OF_A_CHANNEL


def slack_code(said: str, status: int) -> str:
    """Slack's word, or what stands for it when somebody else answers."""
    return said if re.fullmatch("[a-z_]{1,60}", said) else f"http {status}"


def passing_error(said: str, status: int, headers: Mapping[str, Any]) -> DeliveryError | None:
    """The error if it passes by itself."""
    code = slack_code(said, status)
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


class SlackCalls:
    """The methods of Slack's Web API, with errors as the outlet wants them.

    Args:
        client: of slack-sdk, with its token.
        pace: what Slack asks for is kept there.
    """

    def __init__(self, client: WebClient, pace: Pace) -> None:
        self.client = client
        self.complaints = Complaints()
        self._pace = pace

    def call(
        self, method: str, payload: dict[str, Any], *, channel: str = "", bear: frozenset[str] = frozenset()
    ) -> tuple[dict[str, Any], str]:
        """Slack's answer, and its word for why it refuses if that is one of ``bear``.

        Raises:
            DeliveryError: any other refusal.
            OSError: Slack was not reached, or did not answer.
        """
        try:
            answer = _data(self.client.api_call(method, json=payload))
        except SlackApiError as error:
            code = str(_data(error.response).get("error", ""))
            if code in bear:
                return {}, code
            raise self._error(code, error, channel, per_channel=method == "chat.postMessage") from error
        except (OSError, HTTPException) as error:
            self.complaints.away(_brief(error))
            raise
        self.complaints.well(channel)
        return answer, ""

    def ask(self, method: str, asked: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """Slack's answer to a question, and its word for why it gives none; questions are sent as forms."""
        try:
            return _data(self.client.api_call(method, params=asked)), ""
        except SlackApiError as error:
            said, status = str(_data(error.response).get("error", "")), error.response.status_code
            if passing := passing_error(said, status, error.response.headers):
                raise passing from error
            return {}, slack_code(said, status)

    def _error(self, code: str, error: SlackApiError, channel: str, *, per_channel: bool) -> DeliveryError:
        told = self.complaints.error(code, error.response.status_code, error.response.headers, channel)
        if told.retry_after is not None:
            alone = not Complaints.stands_for_all(code) and (per_channel or code in _OF_A_CHANNEL)
            self._pace.hold(channel if alone else "", told.retry_after)
        return told


def _brief(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return " ".join(str(reason).split())[:100] or type(error).__name__


def _data(response: SlackResponse) -> dict[str, Any]:
    return response.data if isinstance(response.data, dict) else {}
