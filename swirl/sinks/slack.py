"""Slack as the settings ask for it: who tells people, who draws for them, and who listens to them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from swirl.errors import MissingExtraError, SettingsError
from swirl.sinks.routes import read_routes
from swirl.sinks.slack_blocks import Style
from swirl.sinks.slack_bot import SlackBot
from swirl.sinks.slack_charts import SlackCharts
from swirl.sinks.slack_memory import Threads
from swirl.sinks.slack_socket import SlackSocket
from swirl.sinks.slack_webhook import SlackWebhook

try:
    from slack_sdk import WebClient
    from slack_sdk.webhook import WebhookClient
except ImportError:
    raise MissingExtraError("slack-sdk", "watch") from None

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from swirl.effect import Incident
    from swirl.frame import Act
    from swirl.settings import WatchSettings
    from swirl.sinks.base import Sink

__all__ = ["slack_listener", "slack_sink", "slack_sinks"]

_quiet_client = logging.getLogger("swirl.sinks.slack.client")
"""slack-sdk logs the address of the webhook, which is a secret, and each answer that it cannot read."""
_quiet_client.setLevel(logging.CRITICAL)

_TIMEOUT = 10


def slack_sink(settings: WatchSettings, memory: MutableMapping[str, str]) -> SlackBot | SlackWebhook | None:
    """The sink that tells people as the settings ask, None when they ask for none.

    Args:
        settings: token and channel go before the webhook.
        memory: incident -> where its thread is. Whoever keeps state keeps it too: threads survive a restart.

    Raises:
        SettingsError: a token without a channel, a webhook that is no address, or routes that cannot be used.
    """
    return _teller(settings, Threads(memory))


def slack_sinks(
    settings: WatchSettings,
    memory: MutableMapping[str, str],
    *,
    chart: Callable[[Incident], bytes | None] | None = None,
) -> list[Sink]:
    """All sinks that the settings ask for; each belongs behind an outlet of its own.

    The first tells people, and only its effects need an outbox. Behind it, where there is a bot and
    somebody draws, charts follow in the threads.

    Args:
        settings: see :func:`slack_sink`.
        memory: see :func:`slack_sink`; ``chart/INCIDENT`` says that its chart is there.
        chart: draws an incident as PNG; None where there is nothing to draw. It may take its time.

    Raises:
        SettingsError: see :func:`slack_sink`.
    """
    threads = Threads(memory)
    teller = _teller(settings, threads)
    if teller is None:
        return []
    if chart is None or isinstance(teller, SlackWebhook):
        return [teller]
    charts = SlackCharts(_client(settings), threads, chart, show_labels=settings.slack_show_labels)
    return [teller, charts]


def slack_listener(settings: WatchSettings, act: Callable[[Act], None]) -> SlackSocket | None:
    """Who hears buttons over Socket Mode, None when the settings ask for none.

    Args:
        settings: with an app-level token.
        act: takes what people say; it raises OSError where nobody takes it.

    Raises:
        SettingsError: the token is of another kind.
    """
    if not settings.slack_app_token:
        return None
    if not settings.slack_app_token.startswith("xapp-"):
        raise SettingsError(
            "SWIRL_SLACK_APP_TOKEN must be an app-level token (xapp-...) with the scope connections:write"
        )
    return SlackSocket(settings.slack_app_token, act, base_url=settings.slack_url)


def _teller(settings: WatchSettings, threads: Threads) -> SlackBot | SlackWebhook | None:
    if settings.slack_token:
        if not settings.slack_channel:
            raise SettingsError(
                "SWIRL_SLACK_TOKEN is set; set SWIRL_SLACK_CHANNEL to the channel to write to"
            )
        routes = read_routes(settings.slack_routes, settings.slack_channel)
        return SlackBot(_client(settings), routes, threads, _style(settings))
    if not settings.slack_webhook:
        return None
    if not settings.slack_webhook.startswith(("https://", "http://")):
        raise SettingsError("SWIRL_SLACK_WEBHOOK is no address; it begins with https://hooks.slack.com/")
    if settings.slack_routes:
        raise SettingsError(
            "SWIRL_SLACK_ROUTES is set, but a webhook has one channel; set SWIRL_SLACK_TOKEN instead of it"
        )
    webhook = WebhookClient(settings.slack_webhook, timeout=_TIMEOUT, retry_handlers=[], logger=_quiet_client)
    return SlackWebhook(webhook, threads, _style(settings))


def _client(settings: WatchSettings) -> WebClient:
    return WebClient(
        token=settings.slack_token,
        base_url=settings.slack_url,
        timeout=_TIMEOUT,
        retry_handlers=[],
        logger=_quiet_client,
    )


def _style(settings: WatchSettings) -> Style:
    heard = bool(settings.slack_signing_secret or settings.slack_app_token)
    return Style(settings.slack_show_labels, heard, settings.url, settings.runbook)
