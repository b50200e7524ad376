"""The local engine: the monitor in the user's own process. No Kafka, no JVM, no Docker.

The first process of a machine that takes the lock of the state folder watches; the others send it their
frames over a Unix socket, and one of them takes over when it goes.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from swirl.clock import Clock, SystemClock
from swirl.effect import VerdictChanged
from swirl.engine.loop import MonitorLoop
from swirl.engine.share import ShareClient, ShareServer
from swirl.engine.store import StateFolder, default_folder
from swirl.errors import SettingsError, SnapshotError
from swirl.monitor import Monitor
from swirl.sdk import feedback, transport
from swirl.settings import MonitorSettings, WatchSettings
from swirl.sinks.outlet import Counts, Outlet
from swirl.sinks.prometheus import PrometheusSink
from swirl.web import Server, application, serve

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence

    from swirl.detector import Detector, Kind
    from swirl.effect import Effect
    from swirl.frame import Verdict
    from swirl.sinks.base import Sink

__all__ = ["LocalEngine", "watch"]

_log = logging.getLogger("swirl.engine")
_STALLED_S = 15.0


class LocalEngine:
    """Watches pipelines from a thread of this process, or sends their frames to the process that does.

    Args:
        settings: what decides.
        watch: whom to tell, and where to serve ``/metrics``.
        sinks: further sinks; those of ``watch`` come by themselves.
        detectors: kind of series -> its detectors; default: those of production.
        clock: tells log time.
        state: folder of the state, shared by the processes that watch together; None: nothing is kept or
            shared.
    """

    def __init__(
        self,
        settings: MonitorSettings | None = None,
        watch: WatchSettings | None = None,
        *,
        sinks: Sequence[Sink] = (),
        detectors: Mapping[Kind, Sequence[Detector]] | None = None,
        clock: Clock | None = None,
        state: Path | None = None,
    ) -> None:
        self._settings = settings or MonitorSettings()
        self._watch = watch or WatchSettings()
        self._extra_sinks = tuple(sinks)
        self._detectors = detectors
        self._clock = clock or SystemClock()
        self._folder = StateFolder(state) if state is not None else None
        self._role = threading.RLock()
        self._loop: MonitorLoop | None = None
        self._monitor: Monitor | None = None
        self._client: ShareClient | None = None
        self._server: ShareServer | None = None
        self._web: Server | None = None
        self._outlets: list[Outlet] = []
        self._closed = False
        _engines.add(self)

    # -- roles

    def start(self) -> None:
        """Watch, or find the process that does."""
        with self._role:
            if self._closed or self._loop is not None or self._client is not None:
                return
            if self._folder is None or self._folder.acquire():
                self._become_watcher()
            else:
                self._become_client()

    @property
    def watches(self) -> bool:
        """Whether the monitor runs in this process."""
        return self._loop is not None

    @property
    def http(self) -> str:
        """Where ``/metrics`` is served, ``http://127.0.0.1:9464``; empty where it is not."""
        return self._web.url if self._web is not None and self._web.listening else ""

    def _become_watcher(self) -> None:
        self._monitor = monitor = Monitor(self._settings, self._detectors)
        self._restore(monitor)
        exporter = PrometheusSink(outlets=self._counts, refused=lambda: dict(monitor.refused))
        self._outlets = [Outlet(sink) for sink in (exporter, *self._slack(), *self._extra_sinks)]
        save = self._folder.save if self._folder is not None else None
        self._loop = loop = MonitorLoop(monitor, self._clock, self._carry, save)
        if self._watch.http:
            registry = CollectorRegistry()
            exporter.register(registry)
            for collect in (ProcessCollector, PlatformCollector):
                collect(registry=registry)
            self._web = serve(application(registry, live=self._live, ready=self._ready), self._watch.http)
        if self._folder is not None:
            self._server = ShareServer(self._folder.socket_path, loop.put)
        for effect in monitor.standing():
            exporter.handle(effect)
            if isinstance(effect, VerdictChanged):
                self._tell(effect.pipeline, effect.verdict)
        loop.start()

    def _become_client(self) -> None:
        assert self._folder is not None
        try:
            self._client = ShareClient(self._folder.socket_path, feedback.deliver)
        except OSError:
            _log.debug("the process that watches does not listen yet", exc_info=True)

    def _restore(self, monitor: Monitor) -> None:
        snapshot = self._folder.load() if self._folder is not None else None
        if self._folder is None or snapshot is None:
            return
        try:
            monitor.restore(snapshot)
        except SnapshotError as error:
            aside = self._folder.set_aside()
            _log.warning(
                "the state was not taken over: %s. It lies in %s; learning starts anew", error, aside
            )

    def _counts(self) -> dict[str, Counts]:
        return {outlet.name: outlet.counts for outlet in self._outlets}

    def _slack(self) -> list[Sink]:
        if not (self._watch.slack_webhook or self._watch.slack_token):
            return []
        from swirl.sinks.slack import slack_sink  # noqa: PLC0415 - slack-sdk is loaded only where it is used

        memory: MutableMapping[str, str] = self._folder.memory("slack") if self._folder is not None else {}
        sink = slack_sink(self._watch, memory)
        return [sink] if sink is not None else []

    # -- frames in, effects out

    def send(self, pipeline: str, payload: bytes) -> None:
        """Take a frame of a pipeline of this process; called from emitters' threads.

        Raises:
            OSError: nobody watches just now; the emitter keeps the frame and tries again.
        """
        with self._role:
            self.start()
            loop, client = self._loop, self._client
        if loop is not None:
            loop.put(pipeline, payload)
        elif client is not None:
            try:
                client.send(pipeline, payload)
            except OSError:
                self._lost(client)
                raise
        else:
            raise ConnectionError("the process that watches does not listen yet")

    def _lost(self, client: ShareClient) -> None:
        """The process that watched is gone: the next frame finds its successor, or becomes it."""
        with self._role:
            if self._client is client:
                self._client = None
                client.close()

    def _carry(self, effect: Effect) -> None:
        if isinstance(effect, VerdictChanged):
            self._tell(effect.pipeline, effect.verdict)
        for outlet in self._outlets:
            outlet.offer(effect)

    def _tell(self, pipeline: str, verdict: Verdict) -> None:
        feedback.deliver(pipeline, verdict)
        if self._server is not None:
            self._server.tell(pipeline, verdict)

    # -- health and end

    def _live(self) -> tuple[bool, str]:
        stalled = self._loop.stalled_s if self._loop is not None else 0.0
        return stalled < _STALLED_S, f"last progress {stalled:.1f} s ago"

    def _ready(self) -> tuple[bool, str]:
        names = self._monitor.pipelines if self._monitor is not None else ()
        return self._loop is not None, f"watching {', '.join(names) or 'nothing yet'}"

    def folded(self, timeout: float = 5.0) -> bool:
        """Wait until all frames are folded; False if that took longer than ``timeout`` seconds."""
        loop = self._loop
        return loop is None or loop.drain(timeout)

    def drain(self, timeout: float = 5.0) -> bool:
        """Wait until all frames are folded and all effects delivered; ``timeout`` seconds for each."""
        folded = self.folded(timeout)
        return all([folded, *(outlet.drain(timeout) for outlet in self._outlets)])

    def close(self, timeout: float = 1.0) -> None:
        """Fold what has come, save the state, give the sinks their last chance, and stop.

        Args:
            timeout: seconds for all of it, nearly.
        """
        with self._role:
            if self._closed:
                return
            self._closed = True
            _engines.discard(self)
            if transport.installed() is self:
                transport.install(None)
            deadline = time.monotonic() + timeout
            if self._client is not None:
                self._client.close()
            if self._server is not None:
                self._server.close()
            if self._loop is not None:
                self._loop.close(timeout)
            for outlet in self._outlets:
                outlet.close(max(0.1, deadline - time.monotonic()))
            if self._web is not None:
                self._web.close()
            if self._folder is not None:
                self._folder.release()

    def _after_fork(self) -> None:
        """In the child: threads, lock and sockets are the parent's."""
        self._role = threading.RLock()
        self._loop = self._client = self._server = self._web = self._monitor = None
        self._outlets = []
        if self._folder is None:
            self._closed = True  # nobody could ever find this child's monitor
        else:
            self._folder.forget_lock()


_engines: weakref.WeakSet[LocalEngine] = weakref.WeakSet()


def _after_fork() -> None:
    for engine in list(_engines):
        engine._after_fork()  # noqa: SLF001 - of this module


os.register_at_fork(after_in_child=_after_fork)


def watch(
    *, sinks: Sequence[Sink] = (), detectors: Mapping[Kind, Sequence[Detector]] | None = None, **given: Any
) -> LocalEngine:
    """Watch all pipelines of this process, from this process.

    Args:
        sinks: further sinks; the console, Slack and Prometheus come by themselves.
        detectors: kind of series -> its detectors; default: those of production.
        **given: settings by name, such as ``slack_webhook=...``, ``false_alarms_a_week=2`` or
            ``window_seconds=60``; they go before the environment. ``swirl settings`` lists them all.

    Returns:
        The engine; keep it only to ``close`` it early. At exit it closes by itself.

    Raises:
        SettingsError: a setting is unknown or has an unusable value.
    """
    known_monitor, known_watch = (
        set(MonitorSettings.__dataclass_fields__),
        set(WatchSettings.__dataclass_fields__),
    )
    unknown = sorted(given.keys() - known_monitor - known_watch)
    if unknown:
        raise SettingsError(f"watch() knows no setting {unknown[0]!r}; `swirl settings` lists them all")
    settings = MonitorSettings.from_environment(**{k: v for k, v in given.items() if k in known_monitor})
    watch_settings = WatchSettings.from_environment(**{k: v for k, v in given.items() if k in known_watch})
    folder = Path(watch_settings.state) if watch_settings.state else default_folder()
    engine = LocalEngine(settings, watch_settings, sinks=sinks, detectors=detectors, state=folder)
    before = transport.install(engine)
    if isinstance(before, LocalEngine):
        before.close()
    engine.start()
    atexit.register(_at_exit, weakref.ref(engine))
    return engine


def _at_exit(reference: weakref.ref[LocalEngine]) -> None:
    engine = reference()
    if engine is not None:
        feedback.close_all()
        engine.close()
