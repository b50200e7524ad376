"""Incidents in Slack with an incoming webhook: single messages."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from swirl.effect import IncidentChanged, MuteChanged
from swirl.sinks import slack_blocks
from swirl.sinks.slack_blocks import PLAIN, Style
from swirl.sinks.slack_client import Complaints, Pace

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from slack_sdk.webhook import WebhookClient

    from swirl.effect import Effect
    from swirl.sinks.slack_memory import Threads

__all__ = ["SlackWebhook"]

_SECOND = 1.0
_QUIET = {"unfurl_links": False, "unfurl_media": False}
_SILENT = {"acknowledged", "snoozed", "woken", "judged"}


class SlackWebhook:
    """One message for an opening, one for an end, and one between them when the cause has changed.

    A webhook can look nothing up: where the answer to a message is lost, or another worker takes over before
    it is known what was told, the message may come twice. A bot (:class:`swirl.sinks.slack_bot.SlackBot`)
    searches before that. Nor can it edit, so its messages have no buttons, and routes are not for it.

    Args:
        client: of slack-sdk, with its address.
        threads: here they keep what was told last.
        style: see :class:`swirl.sinks.slack_blocks.Style`.
        clock: seconds that never go back.
    """

    name = "slack"

    def __init__(
        self,
        client: WebhookClient,
        threads: Threads,
        style: Style = PLAIN,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._threads = threads
        self._style = style._replace(buttons=False)
        self._complaints = Complaints()
        self._pace = Pace(clock)

    @property
    def trouble(self) -> str:
        """What is wrong and what to do about it, ``""`` when all is well."""
        return self._complaints.trouble

    def wait(self, effect: Effect) -> float:
        """Seconds until the next message may be sent, one a second."""
        return self._pace.wait("") if isinstance(effect, IncidentChanged | MuteChanged) else 0.0

    def handle(self, effect: Effect) -> None:
        """Post a message if there is something to tell.

        Raises:
            DeliveryError: Slack did not take it.
            OSError: Slack was not reached.
        """
        if isinstance(effect, MuteChanged):
            self._send(slack_blocks.work(effect))
            return
        if not isinstance(effect, IncidentChanged) or effect.incident.muted or effect.transition in _SILENT:
            return
        incident = effect.incident
        told = f"{incident.state} {incident.title}"
        quiet = effect.transition == "updated" and incident.snoozed_until_ms
        if quiet or self._threads.said(incident.id) == told:
            return
        self._send(slack_blocks.root(incident, self._style))
        self._threads.keep(incident.id, told)

    def _send(self, message: dict[str, Any]) -> None:
        try:
            answer = self._client.send_dict({**message, **_QUIET})
        except OSError as error:
            self._complaints.away(type(error).__name__)
            raise
        if answer.status_code != 200 or answer.body != "ok":
            refused = self._complaints.error(answer.body, answer.status_code, answer.headers)
            self._pace.hold("", refused.retry_after or 0.0)
            raise refused
        self._complaints.well("")
        self._pace.hold("", _SECOND)
