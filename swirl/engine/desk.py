"""Where people see what an engine watches, and where what they say comes in: the same for both engines."""

from __future__ import annotations

import importlib.util
import secrets
import threading
from importlib.metadata import version
from typing import TYPE_CHECKING

from swirl.charts import deployments, draw, telling
from swirl.sinks.alertmanager import AlertmanagerMirror
from swirl.sinks.board import Board
from swirl.web import application, known_hosts
from swirl.web.api import api_routes
from swirl.web.page import page_routes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping, Sequence

    from prometheus_client.registry import Collector
    from starlette.applications import Starlette
    from starlette.routing import BaseRoute

    from swirl.clock import Clock
    from swirl.effect import Effect, Incident
    from swirl.frame import Act
    from swirl.monitor import Monitor
    from swirl.settings import Settings, WatchSettings
    from swirl.sinks.base import Sink
    from swirl.sinks.outlet import Counts
    from swirl.sinks.slack_socket import SlackSocket
    from swirl.web import Check

__all__ = ["Desk"]


class Desk:
    """What shows people how things stand, and takes their acts.

    Sinks that tell people once have outlets of their own. What is here may be told the same any number of
    times, and how things stand is told to it again after a restart.

    Args:
        watch: whom to show it to.
        act: sends an act the way that frames go; raises :class:`OSError` where nobody takes it.
        settings: that are in effect, for the page.
        live: whether the engine makes progress, and in words.
        clock: of the engine; default: this machine's.

    Raises:
        SettingsError: a setting cannot be used.

    Attributes:
        board: what the page and the commands show.
        token: lets a browser act on incidents.
    """

    def __init__(
        self,
        watch: WatchSettings,
        act: Callable[[Act], None],
        *,
        settings: Sequence[Settings] = (),
        live: Callable[[], tuple[bool, str]] = lambda: (True, "ok"),
        clock: Clock | None = None,
    ) -> None:
        self._watch, self._act, self._settings = watch, act, (watch, *settings)
        self._clock, self._live = clock, live
        self.board = Board()
        self.token = watch.http_token or secrets.token_urlsafe(24)
        self._alerts = AlertmanagerMirror(watch, live=live) if watch.alertmanager else None
        self._listener = self._slack_listener()
        self._drawn = False

    # -- what an engine asks for

    def people(self, memory: MutableMapping[str, str]) -> list[Sink]:
        """The sinks that tell people, as the settings ask; the first is the one that needs an outbox.

        Args:
            memory: see :func:`swirl.sinks.slack.slack_sinks`.

        Raises:
            SettingsError: a setting cannot be used.
        """
        if not (self._watch.slack_webhook or self._watch.slack_token):
            return []
        from swirl.sinks.slack import slack_sinks  # noqa: PLC0415 - slack-sdk is loaded only where it is used

        self._drawn = importlib.util.find_spec("matplotlib") is not None
        return slack_sinks(self._watch, memory, chart=self._chart if self._drawn else None)

    def site(self, registry: Collector, *, ready: Check) -> Starlette:
        """All that is served over HTTP.

        Args:
            registry: what ``/metrics`` collects from.
            ready: see :func:`swirl.web.application`.
        """
        return application(
            registry,
            live=self._live,
            ready=ready,
            routes=self.routes(),
            signed=self.signed_routes(),
            hosts=known_hosts(self._watch.http, self._watch.url),
        )

    def routes(self) -> list[BaseRoute]:
        """The page, and what it shows as JSON."""
        pages = page_routes(
            self.board, self._act, self.token, settings=self._settings, url=self._watch.url, clock=self._clock
        )
        return [*api_routes(self.board, version("swirl-monitor")), *pages]

    def signed_routes(self) -> list[BaseRoute]:
        """What checks for itself who calls: Slack's buttons over HTTP."""
        if not self._watch.slack_signing_secret:
            return []
        from swirl.web.slack import route  # noqa: PLC0415 - as above

        return [route(self._watch.slack_signing_secret, self._act)]

    def link(self, url: str) -> str:
        """The address that lets a browser see and act, where ``url`` is that of the server."""
        return f"{url}/?token={self.token}" if url else ""

    @property
    def counts(self) -> dict[str, Counts]:
        """By name, what became of what was sent from here."""
        return {self._alerts.name: self._alerts.counts} if self._alerts is not None else {}

    @property
    def trouble(self) -> str:
        """What is wrong here and what to do about it, ``""`` when all is well."""
        return self._listener.trouble if self._listener is not None else ""

    # -- how things stand

    def handle(self, effect: Effect) -> None:
        """Show an effect; nothing here waits or raises."""
        self.board.handle(effect)
        if self._alerts is not None:
            self._alerts.handle(effect)

    def take_over(self, monitor: Monitor) -> None:
        """Show how the pipelines of a monitor stand, after a restart or a rebalance."""
        for pipeline in monitor.pipelines:
            self.board.recall(pipeline, monitor.recent(pipeline))
        for effect in monitor.standing():
            self.handle(effect)

    def forget(self, pipelines: Iterable[str]) -> None:
        """These pipelines are another worker's now."""
        for pipeline in pipelines:
            self.board.forget(pipeline)
            if self._alerts is not None:
                self._alerts.forget(pipeline)

    # -- begin and end

    def start(self) -> None:
        """Begin to send and to listen; returns at once."""
        for part in (self._alerts, self._listener):
            if part is not None:
                part.start()
        if self._drawn:
            threading.Thread(target=_load_canvas, name="swirl-canvas", daemon=True).start()

    def close(self, timeout: float = 1.0) -> None:
        """Stop, within ``timeout`` seconds for each part."""
        for part in (self._listener, self._alerts):
            if part is not None:
                part.close(timeout)

    def abandon(self) -> None:
        """In a forked child: close what was inherited; the parent goes on with it."""
        if self._listener is not None:
            self._listener.abandon()

    def _slack_listener(self) -> SlackSocket | None:
        if not self._watch.slack_app_token:
            return None
        from swirl.sinks.slack import slack_listener  # noqa: PLC0415 - as above

        return slack_listener(self._watch, self._act)

    def _chart(self, incident: Incident) -> bytes | None:
        """A picture of the series that tell most, None where there is nothing to see."""
        view = self.board.view(incident.pipeline)
        tracks = telling(incident, view) if view is not None else []
        if view is None or not tracks:
            return None
        shown = self._watch.slack_show_labels
        return draw(incident, tracks, deployments=deployments(view), show_labels=shown)


def _load_canvas() -> None:
    """The first chart of a process would wait two seconds for matplotlib, in the middle of an incident."""
    importlib.import_module("swirl.charts.canvas")
