"""Frames to Kafka, so that the host never waits, sees no exception and no flood in its log.

One daemon thread a process owns the producer. Emitters hand it frames, bounded in number and bytes, and keep
those that do not fit; what it has taken stays under way until a broker has it. In an outage nothing is taken:
the frames gather in the emitters' rings, which drop the oldest and count them.
"""

from __future__ import annotations

import heapq
import os
import random
import threading
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swirl.kafka.topics import Topics
from swirl.sdk import transport as transports
from swirl.sdk.process import kept, losses
from swirl.sdk.transport import Refused, Transport
from swirl.sdk.verdicts import VerdictListener
from swirl.settings import KafkaSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import Logger

    from swirl.sdk.producer import Producer

__all__ = ["KafkaTransport", "from_environment", "watched"]

CLIENT = "swirl-kafka"
"""Name of the producer at the brokers, and the beginning of the names of its threads."""

_FRAMES, _BYTES = 64, 8_000_000
"""Under way at once, over all pipelines."""
_PATIENCE_S = 5.0
"""A frame that is under way for so long tells of an outage."""
_TICK_S = 1.0
_BACKOFF_S, _BACKOFF_MOST_S = 0.5, 10.0
_QUIET_S = 60.0
"""Between two lines that tell of an outage."""
_LOADING_S = 5.0
"""Longest wait of a fork for kafka-python to be loaded, once in the life of a process; it takes 0.2 s."""
_CLOSE_S = 0.5
"""For the producer's own end, once all is delivered."""


@dataclass(slots=True)
class _Held:
    """A frame that was taken, until a broker has it."""

    key: bytes
    payload: bytes
    lost: Callable[[], object]
    since: float


class KafkaTransport(Transport):
    """Sends frames to Kafka.

    Making it starts nothing and loads nothing of kafka-python. In a forked child it is a fresh one, with
    nothing of the parent's.

    Args:
        settings: where Kafka is.
        frames: most frames under way.
        size: most bytes under way.
    """

    watches = False
    """Whether the monitor runs in this process: the workers behind Kafka watch."""
    http = ""
    """Where ``/metrics`` is served: nowhere here."""

    def __init__(self, settings: KafkaSettings, *, frames: int = _FRAMES, size: int = _BYTES) -> None:
        self.settings = settings
        self.topic = Topics.of(settings).frames
        self._most = (frames, size)
        self._inherited: list[object] = []
        self._begin()
        _transports.add(self)

    def __repr__(self) -> str:
        return f"<KafkaTransport to {self.topic} at {', '.join(self.settings.servers)}>"

    def _begin(self) -> None:
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._producer: Producer | None = None
        self._verdicts = VerdictListener(self.settings)
        self._held: dict[int, _Held] = {}
        self._waiting: list[int] = []  # a heap of those that Kafka's client does not have
        self._bytes = 0
        self._taken = 0
        self._broken: BaseException | None = None
        self._closed = False
        self._outage = _Outage(self)
        self._progress = 0.0

    # -- for the emitters

    def prepare(self) -> None:
        """Start the thread, which connects."""
        with self._change:
            if self._thread is None and not self._closed:
                thread = threading.Thread(target=self._run, name=CLIENT, daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # no more threads, or the interpreter ends
                    raise Refused(str(error)) from None
                self._thread = thread

    def send(self, pipeline: str, payload: bytes, lost: Callable[[], object]) -> None:
        """Take one frame; returns or raises at once.

        Raises:
            Refused: much is under way already, or there is an outage; keep the frame.
        """
        self.prepare()
        frames, size = self._most
        with self._change:
            full = len(self._held) >= frames or self._bytes + len(payload) > size
            if self._closed or self._outage.begun or (full and self._held):
                raise Refused(f"{len(self._held)} frames are under way to Kafka")
            self._taken += 1
            self._held[self._taken] = _Held(pipeline.encode(), payload, lost, time.monotonic())
            self._bytes += len(payload)
            heapq.heappush(self._waiting, self._taken)
            self._change.notify_all()
        self._verdicts.know(pipeline)

    def flush(self, timeout: float) -> bool:
        """Wait until brokers have all that was taken, ``timeout`` seconds at most; whether they have."""
        with self._change:
            done = self._change.wait_for(lambda: self._closed or not self._held, timeout)
            return done and not self._held and not self._closed and not self._outage.begun

    def drain(self, timeout: float = 5.0) -> bool:
        """The same, by the name that it has where the monitor runs in this process."""
        return self.flush(timeout)

    def close(self, timeout: float = 1.0) -> None:
        """Deliver what is under way and hang up, within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        self.flush(timeout)
        waiting = kept(self)
        self._verdicts.stop()
        if transports.installed() is self:
            transports.install(None)
        with self._change:
            self._closed = True
            thread, left = self._thread, len(self._held) + waiting
            self._change.notify_all()
        if left:
            _log().warning(
                "%d frames did not reach Kafka at %s before the process ended",
                left,
                ", ".join(self.settings.servers),
            )
        if thread is not None:
            thread.join(max(0.0, deadline - time.monotonic()))

    # -- the thread

    def _run(self) -> None:
        backoff = _BACKOFF_S
        while not self._closed:
            try:
                self._step()
                backoff = _BACKOFF_S
            except Exception as error:  # noqa: BLE001 - nothing may end the thread; it is told in one line
                self._fail(error)
                self._rest(backoff)
                backoff = min(2 * backoff, _BACKOFF_MOST_S)
        if self._producer is not None:
            self._producer.close(0.0 if self._held else _CLOSE_S)
            self._producer = None

    def _step(self) -> None:
        """Hand one frame to Kafka's client, or wait for one."""
        producer = self._connected()
        with self._change:
            if not self._waiting and not self._closed and self._broken is None:
                self._change.wait(_TICK_S if self._held else None)
            if self._closed:
                return
            if self._broken is not None:
                raise self._broken
            number = heapq.heappop(self._waiting) if self._waiting else None
            held = self._held.get(number) if number is not None else None
        if number is not None and held is not None:  # else it was delivered after all
            self._hand_over(producer, number, held)
        self._watch(producer)

    def _connected(self) -> Producer:
        if self._producer is None:
            with _Loading.lock:
                from swirl.sdk.producer import Producer  # noqa: PLC0415 - it loads kafka-python: 0.2 s

            self._producer = Producer(self.settings, self.topic, CLIENT)
            if not self._held:
                self._outage.over()
        return self._producer

    def _hand_over(self, producer: Producer, number: int, held: _Held) -> None:
        try:
            producer.send(held.key, held.payload, lambda error: self._done(producer, number, error))
        except Exception as error:  # noqa: BLE001 - what the brokers say of it is raised instead
            with self._change:
                heapq.heappush(self._waiting, number)
            raise (producer.ask(_TICK_S) or error) from None

    def _watch(self, producer: Producer) -> None:
        """Notice that brokers have not confirmed anything for long."""
        now = time.monotonic()
        with self._change:
            oldest = next(iter(self._held.values()), None)
            late = oldest is not None and now - max(oldest.since, self._progress) > _PATIENCE_S
        if late and not self._outage.begun:
            self._tell(producer.ask(_TICK_S) or Exception("it takes no frames"))

    def _done(self, producer: Producer, number: int, error: BaseException | None) -> None:
        """A broker has a frame, or refused it; called from kafka-python's thread."""
        from swirl.sdk.producer import concerns_the_record  # noqa: PLC0415 - loaded already

        with self._change:
            held = self._held.get(number)
            if held is None:
                return
            if error is not None and not concerns_the_record(error):
                # It is tried again: a frame that arrives twice is counted once.
                if producer is self._producer:
                    self._broken = error
                    heapq.heappush(self._waiting, number)
                return
            del self._held[number]
            self._bytes -= len(held.payload)
            self._progress = time.monotonic()
            self._change.notify_all()
        if error is None:
            self._outage.over()
            self._verdicts.start()
        else:
            held.lost()

    def _fail(self, error: BaseException) -> None:
        """Start anew with what is under way, in its order."""
        if self._broken is not None:
            producer, self._producer = self._producer, None
            if producer is not None:
                producer.close(0.0)
            with self._change:
                self._broken = None
                self._waiting = sorted(self._held)
        self._tell(error)

    def _tell(self, error: BaseException) -> None:
        with self._change:
            since = min((held.since for held in self._held.values()), default=time.monotonic())
        self._outage.begin(self._advice(error), since)
        with self._change:
            self._change.notify_all()

    def _advice(self, error: BaseException) -> str:
        try:
            from swirl.sdk.producer import advice, reason  # noqa: PLC0415 - loaded already
        except Exception as failure:  # noqa: BLE001 - among others a warning that the host made an error
            return f"kafka-python cannot be loaded ({failure!r})"
        return advice(reason(error, CLIENT), self.settings, self.topic)

    def _rest(self, seconds: float) -> None:
        # Many processes lose the same broker at the same moment; they should not all come back at once.
        spread = seconds * random.uniform(0.5, 1.0)  # noqa: S311 - nobody gains by guessing it
        with self._change:
            self._change.wait_for(lambda: self._closed, spread)

    # -- forks

    def after_fork(self) -> None:
        """In a forked child: begin anew, and leave alone what is the parent's."""
        # What was inherited is kept for ever: its destructors would talk to the parent's brokers.
        producer, verdicts = self._producer, self._verdicts
        self._inherited += [producer, verdicts]
        self._begin()
        if producer is not None:
            producer.abandon()
        verdicts.abandon()


class _Outage:
    """Tells once that frames do not get through, and once that they do again."""

    def __init__(self, transport: KafkaTransport) -> None:
        self.begun = False
        self._guard = threading.Lock()
        self._transport = transport
        self._before = (0, 0)
        self._told = False
        self._told_at = -_QUIET_S
        self._since = 0.0

    def begin(self, what: str, since: float) -> None:
        """Frames have not got through since then; why, and what to do."""
        with self._guard:
            if self.begun:
                return
            now = time.monotonic()
            told = now - self._told_at >= _QUIET_S
            if told:
                self._told_at, self._since, self._before = now, since, losses(self._transport)
            self._told = self._told or told
            self.begun = True
        if told:
            _log().warning("%s. Frames are kept meanwhile", what)

    def over(self) -> None:
        """Frames get through."""
        with self._guard:
            told, self._told = self.begun and self._told, self._told and not self.begun
            self.begun = False
        if told:
            frames, records = losses(self._transport)
            _log().warning(
                "frames reach Kafka again after %.0f s; lost meanwhile: %d frames, %d records",
                time.monotonic() - self._since,
                frames - self._before[0],
                records - self._before[1],
            )


def _log() -> Logger:
    from logging import getLogger  # noqa: PLC0415 - hardly ever needed, and a twentieth of the import

    return getLogger("swirl.kafka")


_transports: weakref.WeakSet[KafkaTransport] = weakref.WeakSet()


class _Loading:
    """Held while kafka-python is loaded: a child that is forked meanwhile could never load it."""

    lock = threading.Lock()
    forks = False


def _before_fork() -> None:
    _Loading.forks = _Loading.lock.acquire(timeout=_LOADING_S)


def _after_fork_in_parent() -> None:
    if _Loading.forks:
        _Loading.lock.release()


def _after_fork() -> None:
    _Loading.lock = threading.Lock()
    for transport in list(_transports):
        transport.after_fork()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork)


def from_environment() -> KafkaTransport | None:
    """The transport that the settings ask for, installed if there is none yet; None if they ask for none.

    Raises:
        SettingsError: a setting has an unusable value.
    """
    settings = KafkaSettings.from_environment()
    if not settings.servers:
        return None
    installed = transports.installed()
    if installed is None:
        installed = KafkaTransport(settings)
        transports.install(installed)
    return installed if isinstance(installed, KafkaTransport) else None


def watched() -> KafkaTransport | None:
    """The same for who asks for a watch, and is told once that workers do it."""
    transport = from_environment()
    if transport is not None:
        _log().warning(
            "frames go to Kafka at %s, where workers watch; nothing is watched in this process",
            ", ".join(transport.settings.servers),
        )
    return transport
