"""The local engine: the monitor in the user's own process. No Kafka, no JVM, no Docker.

The first process of a machine that takes the lock of the state folder watches; the others send it their
frames over a Unix socket, and one of them takes over when it goes.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from dataclasses import astuple
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from swirl.clock import Clock, SystemClock
from swirl.effect import VerdictChanged
from swirl.engine.desk import Desk
from swirl.engine.loop import MonitorLoop
from swirl.engine.share import ShareClient, ShareServer
from swirl.engine.store import StateFolder, default_folder, temporary_folder
from swirl.engine.untold import Untold
from swirl.errors import SettingsError, SnapshotError
from swirl.frame import encode
from swirl.monitor import Monitor
from swirl.sdk import feedback, transport
from swirl.sdk.transport import Transport
from swirl.settings import MonitorSettings, WatchSettings
from swirl.sinks.log import LogSink
from swirl.sinks.outlet import Counts, Outlet
from swirl.sinks.prometheus import PrometheusSink
from swirl.web import Server, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping, Sequence

    from swirl.detector import Detector, Kind
    from swirl.effect import Effect
    from swirl.frame import Act, Verdict
    from swirl.settings import Settings
    from swirl.sinks.base import Sink
    from swirl.sinks.board import Board

__all__ = ["LocalEngine", "watch"]

_log = logging.getLogger("swirl.engine")
_STALLED_S = 15.0
_PATIENCE = 5
"""Calls to the process that watches which may fail, as they do while it starts, before that is told."""


class LocalEngine(Transport):
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
        self._desk: Desk | None = None
        self._outlets: list[Outlet] = []
        self._untold: Untold | None = None
        self._signature = _signature(self._settings, self._watch)
        self._compared = False
        self._refused = 0
        self._closed = False
        _engines.add(self)

    # -- roles

    def start(self) -> None:
        """Watch, or find the process that does."""
        with self._role:
            if self._closed or self._loop is not None or self._client is not None:
                return
            if self._folder is None or self._folder.acquire(self._signature):
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

    @property
    def board(self) -> Board | None:
        """What there is to see, where the monitor runs in this process."""
        return self._desk.board if self._desk is not None else None

    @property
    def page(self) -> str:
        """Address of the page, with what lets its reader act; empty where there is none."""
        return self._desk.link(self.http) if self._desk is not None else ""

    def _become_watcher(self) -> None:
        try:
            self._build()
        except BaseException:
            # Half a watch would take frames that nobody folds, and keep the lock from those who would.
            self._dismantle(time.monotonic())
            raise

    def _build(self) -> None:
        monitor = Monitor(self._settings, self._detectors)
        self._restore(monitor)
        desk = self._desk = Desk(
            self._watch, self.act, settings=(self._settings,), live=self._live, clock=self._clock
        )
        exporter = PrometheusSink(outlets=self._counts, refused=lambda: self._lost_frames(monitor))
        memory: MutableMapping[str, str] = self._folder.memory("slack") if self._folder is not None else {}
        tellers = desk.people(memory)
        people = [*tellers, *self._extra_sinks] or [LogSink()]
        self._untold = Untold(self._folder) if self._folder is not None and tellers else None

        def outlet(sink: Sink) -> Outlet:
            if sink is exporter:
                return Outlet(sink)
            noted = self._untold if sink in tellers[:1] else None
            return Outlet(sink, settled=_settled(exporter.settled(sink.name), noted))

        self._outlets = [outlet(sink) for sink in (exporter, *people)]
        save = self._save if self._folder is not None else None
        loop = MonitorLoop(monitor, self._clock, self._carry, save, exporter.applied)
        if self._watch.http:
            registry = CollectorRegistry()
            exporter.register(registry)
            for collect in (ProcessCollector, PlatformCollector):
                collect(registry=registry)
            self._web = serve(desk.site(registry, ready=self._ready), self._watch.http)
            self._announce(self.page)
            if self.http:
                _log.info("page and /metrics at %s; 'swirl page' prints the address that may act", self.http)
        if self._folder is not None:
            self._server = ShareServer(self._folder.socket_path, loop.put)
        desk.take_over(monitor)
        for effect in monitor.standing():
            exporter.handle(effect)
            if isinstance(effect, VerdictChanged):
                self._tell(effect.pipeline, effect.verdict)
        if self._untold is not None:
            self._untold.take_over(self._outlets[1])
        desk.start()
        loop.start()
        self._monitor, self._loop = monitor, loop

    def _save(self, snapshot: bytes) -> None:
        """What is to be told goes first: the snapshot knows of its steps, and would not give them again."""
        assert self._folder is not None
        if self._untold is not None:
            self._untold.save()
        self._folder.save(snapshot)

    def _become_client(self) -> None:
        assert self._folder is not None
        try:
            self._client = ShareClient(self._folder.socket_path, feedback.deliver)
        except OSError as error:
            self._refused += 1
            if self._refused == _PATIENCE:
                _log.warning(
                    "another process holds %s but cannot be reached (%s): frames are kept for a while, then "
                    "dropped. If it is on another machine or in another container, set SWIRL_STATE to a "
                    "folder of this one",
                    self._folder.path / "lock",
                    error,
                )
        else:
            self._refused = 0
            self._compare()

    def _compare(self) -> None:
        """Tell once that the settings given here have no effect, since another process decides."""
        assert self._folder is not None
        holder, _, settings = self._folder.holder().partition(" ")
        if settings not in {"", self._signature} and not self._compared:
            _log.warning(
                "process %s watches with other settings than those given here, which have no effect; "
                "for a watch of its own set SWIRL_STATE to another folder",
                holder,
            )
        self._compared = True

    def _restore(self, monitor: Monitor) -> None:
        if self._folder is None:
            return
        try:
            snapshot = self._folder.load()
            if snapshot is not None:
                monitor.restore(snapshot)
        except OSError as error:
            _log.warning("the state was not taken over: %s; learning starts anew", error)
        except SnapshotError as error:
            aside = self._folder.set_aside()
            _log.warning(
                "the state was not taken over: %s. It lies in %s; learning starts anew", error, aside
            )

    def _counts(self) -> dict[str, Counts]:
        counts = {outlet.name: outlet.counts for outlet in self._outlets}
        return counts | (self._desk.counts if self._desk is not None else {})

    def _lost_frames(self, monitor: Monitor) -> dict[str, int]:
        loop = self._loop
        own = {"queue_full": loop.overflowed, "fold_failed": loop.failed} if loop is not None else {}
        return {**monitor.refused, **{cause: n for cause, n in own.items() if n}}

    def _announce(self, page: str) -> None:
        """For ``swirl page``; a disk that is full is no reason not to watch."""
        if self._folder is not None:
            with contextlib.suppress(OSError):
                self._folder.announce(page)

    # -- frames in, effects out

    def send(self, pipeline: str, payload: bytes, lost: Callable[[], object]) -> None:  # noqa: ARG002 - what is taken arrives
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
            raise ConnectionError("nobody watches just now")

    def act(self, act: Act) -> None:
        """Take what a person says of an incident or a pipeline, as frames are taken.

        Raises:
            OSError: nobody watches just now.
        """
        self.send(act.pipeline, encode(act), _nothing)

    def _lost(self, client: ShareClient) -> None:
        """The process that watched is gone: the next frame finds its successor, or becomes it."""
        with self._role:
            if self._client is client:
                self._client = None
                client.close()

    def _carry(self, effect: Effect) -> None:
        if isinstance(effect, VerdictChanged):
            self._tell(effect.pipeline, effect.verdict)
        if self._desk is not None:
            self._desk.handle(effect)
        if self._untold is not None:
            self._untold.add(effect)
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
        told = [f"watching {', '.join(names) or 'nothing yet'}", *(o.trouble for o in self._outlets)]
        told += [self._desk.trouble] if self._desk is not None else []
        return self._loop is not None, "\n".join(filter(None, told))

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
        deadline = time.monotonic() + timeout
        with self._role:
            if self._closed:
                return
            self._closed = True
            _engines.discard(self)
            if transport.installed() is self:
                transport.install(None)
            self._dismantle(deadline)

    def _dismantle(self, deadline: float) -> None:
        """Stop what runs, in the order in which the parts feed each other; the lock is given up last."""
        loop, self._loop = self._loop, None
        if self._web is not None:
            self._web.stop()
        if self._client is not None:
            self._client.close(_left(deadline))
        if self._server is not None:
            self._server.close(_left(deadline))
        if loop is not None:
            loop.close(_left(deadline))
        # Slack's last words before Alertmanager's: what it does not hear ends by itself.
        for outlet in self._outlets:
            outlet.close(_left(deadline))
        if self._desk is not None:
            self._desk.close(_left(deadline))
        if self._untold is not None:
            self._untold.save()
        if self._web is not None:
            self._web.close(_left(deadline))
            self._announce("")
        if self._folder is not None:
            self._folder.release()
        self._client = self._server = self._web = None

    def _after_fork(self) -> None:
        """In the child: threads, lock and sockets are the parent's.

        What the child holds open of them would stay open after the parent is gone: others would go on
        sending to a process that does not read, and nobody could take its port.
        """
        self._role = threading.RLock()
        for part in (self._client, self._server, self._web, self._desk):
            if part is not None:
                part.abandon()
        self._loop = self._client = self._server = self._web = self._monitor = self._desk = None
        self._outlets, self._untold = [], None
        if self._folder is None:
            self._closed = True  # nobody could ever find this child's monitor
        else:
            self._folder.forget_lock()


def _settled(
    observe: Callable[[Effect, bool], None], untold: Untold | None
) -> Callable[[Effect, bool], None]:
    def settled(effect: Effect, delivered: bool) -> None:  # noqa: FBT001 - as outlets call it
        if untold is not None:
            untold.settle(effect)
        observe(effect, delivered)

    return settled


def _nothing() -> None:
    """No emitter counts an act."""


def _signature(*settings: Settings) -> str:
    """A few letters that differ where the settings do, and tell nothing of them."""
    told = repr([astuple(part) for part in settings])
    return blake2b(told.encode(), digest_size=8).hexdigest()


def _left(deadline: float) -> float:
    """Seconds that are left; never none, since most parts need hardly any."""
    return max(0.1, deadline - time.monotonic())


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
        sinks: further sinks, such as ``swirl.sinks.console.ConsoleSink()``; Slack and Prometheus come by
            themselves. Where neither Slack nor a sink is given, incidents go to the log.
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
    folder = Path(watch_settings.state) if watch_settings.state else _default_folder()
    engine = LocalEngine(settings, watch_settings, sinks=sinks, detectors=detectors, state=folder)
    before = transport.installed()
    if isinstance(before, LocalEngine):
        before.close()
    try:
        engine.start()
    except BaseException:
        engine.close()
        raise
    transport.install(engine)
    atexit.register(_at_exit, weakref.ref(engine))
    return engine


def _default_folder() -> Path | None:
    """The first folder that can be used: a host is not kept from starting by a home that is read-only."""
    for find in (default_folder, temporary_folder):
        try:
            path = find()
            StateFolder(path)
        except (SettingsError, OSError, RuntimeError) as error:
            _log.warning("%s", error)
        else:
            return path
    _log.warning("no folder for the state: what is learnt ends with this process. Set SWIRL_STATE")
    return None


def _at_exit(reference: weakref.ref[LocalEngine]) -> None:
    engine = reference()
    if engine is not None:
        feedback.close_all()
        engine.close()
