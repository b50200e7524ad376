"""The Faust app: settings that lose nothing, one agent on the frames, and what hangs on rebalances."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from swirl import quiet
from swirl.engine.desk import Desk
from swirl.engine.shards import Shards
from swirl.engine.watchdog import Watchdog
from swirl.errors import MissingExtraError
from swirl.kafka.connect import tls
from swirl.kafka.rights import WORKER, explained
from swirl.kafka.topics import Topics
from swirl.settings import KafkaSettings, MonitorSettings, WatchSettings, WorkerSettings
from swirl.sinks.log import LogSink
from swirl.web import Server, serve

try:
    import faust
    from faust.types import TP
    from mode import CrashingSupervisor
    from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

    from swirl.engine.faust.kafka_log import KafkaLog
except ImportError as error:
    raise MissingExtraError(error.name or "faust", "worker") from None

if TYPE_CHECKING:
    from swirl.frame import Act
    from swirl.sinks.base import Sink

__all__ = ["WorkerApp", "from_environment"]

_log = logging.getLogger("swirl.worker")
_TICK_S = 1.0
_SAVE_S = 0.25
_CHECK_S = 5.0
_MOST_BYTES = 1_100_000


class WorkerApp(faust.App):
    """One worker.

    Args:
        kafka, monitor, watch, worker: the settings.
        sink: tells people; default: Slack where it is set, else the log.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        monitor: MonitorSettings,
        watch: WatchSettings,
        worker: WorkerSettings,
        sink: Sink | None = None,
    ) -> None:
        super().__init__(worker.group, **_options(kafka, worker))
        self.kafka, self.watch, self.worker = kafka, watch, worker
        self._frames = Topics.of(kafka).frames
        self._web: Server | None = None
        self._registry = CollectorRegistry()
        self._repeats = quiet.RateLimit()
        self._generation = 0
        threads: dict[str, str] = {}
        self.watchdog = Watchdog(worker, self._trouble)
        self.desk = Desk(watch, self.act, settings=(monitor, kafka, worker), live=self._live)
        people = [sink] if sink is not None else self.desk.people(threads) or [LogSink()]
        self.shards = Shards(
            KafkaLog(self, kafka, Topics.of(kafka), self.watchdog.touch),
            *(Topics.of(kafka), monitor, worker),
            sink=people[0],
            followers=people[1:],
            threads=threads,
            desk=self.desk,
            fenced=self._is_fenced,
        )
        self._connect()

    def _connect(self) -> None:
        kinds: Any = {
            "key_type": bytes,
            "value_type": bytes,
            "key_serializer": "raw",
            "value_serializer": "raw",
        }
        self.agent(self.topic(self._frames, **kinds), name="frames", concurrency=1)(self._fold)
        self.on_partitions_revoked.connect(self._revoked)
        self.on_rebalance_complete.connect(self._assigned)
        for seconds, work in ((_TICK_S, self._tick), (_SAVE_S, self._save), (_CHECK_S, self._check)):
            self.timer(seconds)(work)

    # -- start and stop

    async def on_start(self) -> None:
        """Before anything is read: the topics are as they must be, and somebody can see how it goes."""
        from swirl.kafka.topics import ensure  # noqa: PLC0415 - kafka-python is loaded when it is needed

        quiet.install(self._repeats)
        for created in await asyncio.to_thread(ensure, self.kafka, WORKER):
            _log.info("created topic %s", created)
        self.shards.exporter.register(self._registry)
        for collect in (ProcessCollector, PlatformCollector):
            collect(registry=self._registry)
        if self.watch.http:
            pages = self.desk.site(self._registry, ready=self._ready)
            self._web = serve(pages, self.watch.http)
        self.desk.start()
        pages_at = (
            f"page and /metrics at {self._web.url}"
            if self._web is not None and self._web.listening
            else "no page, no /metrics"
        )
        _log.info(
            "a worker of group %s, Kafka at %s, %s",
            self.worker.group,
            ", ".join(self.kafka.servers),
            pages_at,
        )
        self.watchdog.start()
        await super().on_start()

    async def on_stop(self) -> None:
        """After the last word: nobody is watched any more."""
        await super().on_stop()
        self.watchdog.stop()
        self._repeats.flush()
        quiet.remove()
        await asyncio.to_thread(self.desk.close)
        if self._web is not None:
            self._web.close()

    def act(self, act: Act) -> None:
        """Send what a person says to whoever watches the pipeline; may be called from any thread.

        Raises:
            OSError: this worker is not ready.
        """
        if not self.shards.ready:
            raise ConnectionError("this worker waits for its partitions; say it again in a moment")
        self.loop.call_soon_threadsafe(self.shards.say, act)

    async def wind_down(self, seconds: float) -> None:
        """Save all and tell what waits, as far as ``seconds`` allow."""
        try:
            async with asyncio.timeout(seconds):
                await asyncio.to_thread(self.shards.close_outlets, seconds / 2)
                await self.shards.save_all()
                await self.consumer.commit()
        except Exception:  # noqa: BLE001 - nothing is lost: whoever comes next folds again what was not saved
            _log.warning("not all was saved before the end", exc_info=True)

    def _create_directories(self) -> None:
        """Make none: Faust would keep its tables there, and there are no tables."""

    # -- the work

    async def _fold(self, stream: Any) -> None:
        take = self.shards.take
        async for event in stream.noack().events():
            message = event.message
            place = message.partition, message.offset, round(message.timestamp * 1000)
            await take(*place, message.key, event.value)

    async def _revoked(self, *_: Any, **__: Any) -> None:
        """While the partitions are still ours: what was folded need not be folded again by who comes next."""
        self.watchdog.touch()
        await self.shards.let_go(self.worker.session_seconds / 3)
        try:
            async with asyncio.timeout(self.worker.session_seconds / 6):
                await self.consumer.commit()
        except Exception:  # noqa: BLE001 - it saves work, no more: whoever takes over can do without
            _log.warning("what was saved before a rebalance was not acknowledged", exc_info=True)

    async def _assigned(self, *_: Any, **__: Any) -> None:
        """Before anything flows again."""
        self.watchdog.touch()
        assigned = {tp.partition for tp in self.consumer.assignment() if tp.topic == self._frames}
        before, self._generation = self._generation, _generation(self)
        # Who was expelled and let in again was away for at least one assignment that others had.
        seamless = 0 < before <= self._generation <= before + 1
        await self.shards.assign(assigned, seamless=seamless)

    async def _tick(self) -> None:
        if self.shards.ready:
            self.shards.tick()

    async def _save(self) -> None:
        while self.shards.ready and await self.shards.save():
            pass  # small ones go together: of thousands of pipelines the last would wait for minutes

    async def _check(self) -> None:
        """A topic that was deleted and made anew has fewer records than were folded."""
        self._repeats.flush(all_of_them=False)
        for partition in self.shards.partitions if self.shards.ready else ():
            end = self.consumer.highwater(TP(self._frames, partition))
            if self.shards.is_ahead(partition, end):
                _log.critical(
                    "the frames' topic was deleted and made anew: this worker ends, to begin afresh"
                )
                raise RuntimeError("the frames' topic was deleted and made anew")

    # -- health

    def _is_fenced(self) -> bool:
        """Whether the group may have given the partitions to others; asked from the outlet's thread."""
        return self.watchdog.fenced or _generation(self) < 0

    def _trouble(self) -> str:
        """Asked by the watchdog, from its thread."""
        if self.should_stop:  # the consumer has ended, as it should; the stopping has a deadline of its own
            return ""
        parked = _parked(self)
        if parked:
            return parked
        stalled = self.shards.stalled_s() if self.shards.ready else 0.0
        if stalled > self.worker.stalled_seconds:
            return (
                f"no record came back from Kafka for {stalled:.0f} s, though this worker sends one every "
                "second (whether brokers answer: 'swirl doctor')"
            )
        patience = max(self.worker.stalled_seconds, self.worker.session_seconds + 10.0)
        if not self.shards.ready and self.watchdog.untouched_s > patience:
            return f"no assignment of partitions for {self.watchdog.untouched_s:.0f} s"
        return ""

    def _live(self) -> tuple[bool, str]:
        trouble = self._trouble()
        return not trouble, trouble or f"last progress {self.shards.stalled_s():.1f} s ago"

    def _ready(self) -> tuple[bool, str]:
        owned = ", ".join(map(str, self.shards.partitions)) or "none"
        told = [f"partitions {owned}" if self.shards.ready else "waiting for partitions"]
        return self.shards.ready, "\n".join(filter(None, [*told, *self.shards.trouble, self.desk.trouble]))


def _options(kafka: KafkaSettings, worker: WorkerSettings) -> dict[str, Any]:
    credentials: Any = None
    context = tls(kafka)
    if kafka.protocol.startswith("SASL"):
        credentials = faust.SASLCredentials(
            username=kafka.user, password=kafka.password, mechanism=kafka.mechanism, ssl_context=context
        )
    elif context is not None:
        credentials = faust.SSLCredentials(context)
    return {
        "broker": [f"kafka://{server}" for server in kafka.servers],
        "broker_credentials": credentials,
        # Faust's own topics too: nothing is decoded before we do it.
        "key_serializer": "raw",
        "value_serializer": "raw",
        "agent_supervisor": CrashingSupervisor,
        "stream_wait_empty": False,
        "stream_recovery_delay": 0.0,
        "stream_buffer_maxsize": 512,
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": 4_000_000,
        # A topic that is made anew is found within this time by a worker that was left without any.
        "consumer_metadata_max_age_ms": 10_000,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "broker_commit_interval": 1.0,
        "broker_session_timeout": worker.session_seconds,
        "broker_heartbeat_interval": worker.session_seconds / 5,
        "broker_request_timeout": max(20.0, 1.5 * worker.session_seconds),
        "producer_acks": -1,
        "producer_request_timeout": 30.0,
        "producer_max_request_size": _MOST_BYTES,
        "producer_compression_type": "lz4",
        "web_enabled": False,
        "worker_redirect_stdouts": False,
    }


def _coordinator(app: WorkerApp) -> Any:
    """Of the consumer. There is no public way to ask it; where it is not found, no harm is done."""
    found: Any = app
    for name in ("consumer", "_thread", "_consumer", "_coordinator"):
        found = getattr(found, name, None)
    return found


def _generation(app: WorkerApp) -> int:
    """Number of the group's assignment that this worker takes part in; -1 once it was expelled."""
    return int(getattr(_coordinator(app), "generation", 0))


def _parked(app: WorkerApp) -> str:
    """A consumer that met an error on joining waits for ever to be asked about it, and nobody does."""
    found = _coordinator(app)
    error = getattr(found, "_pending_exception", None)
    task = getattr(found, "_coordination_task", None)
    if error is not None:
        return f"the consumer has given up: {explained(error, app.kafka)}"
    if task is not None and task.done() and not task.cancelled():
        return f"the consumer has given up: {task.exception()!r}"
    return ""


def from_environment() -> WorkerApp:
    """The app as the variables say.

    Raises:
        SettingsError: one of them cannot be used.
    """
    return WorkerApp(
        KafkaSettings.from_environment(),
        MonitorSettings.from_environment(),
        WatchSettings.from_environment(),
        WorkerSettings.from_environment(),
    )
