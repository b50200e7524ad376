"""kafka-python as a pipeline can bear it: quiet, bounded, and gone in a forked child.

The only module of the pipeline's side that imports kafka-python; it is imported by background threads.
"""

from __future__ import annotations

import contextlib
import encodings.idna  # noqa: F401 - looking a host up loads it, and a child forked meanwhile could never
import logging
import selectors
import threading
from typing import TYPE_CHECKING, Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.codec import has_lz4, has_zstd
from kafka.errors import (
    AuthorizationError,
    BrokerResponseError,
    CorruptRecordError,
    InvalidRecordError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NodeNotReadyError,
    RecordListTooLargeError,
    RequestTimedOutError,
    SaslAuthenticationFailedError,
    UnknownTopicOrPartitionError,
)
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket
from kafka.partitioner.default import murmur2

from swirl.errors import SettingsError
from swirl.kafka.admin import refusal
from swirl.kafka.connect import options

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

    from swirl.settings import KafkaSettings

__all__ = [
    "Connection",
    "Listener",
    "Producer",
    "advice",
    "complaint",
    "concerns_the_record",
    "partition",
    "reason",
]

_BOOTSTRAP_MS = 3_000
_BLOCK_MS = 500
"""Longest wait for what the brokers know of the topic; only the transport's own thread waits."""
_LINGER_MS = 20
_BATCH_BYTES = 131_072
_REQUEST_MS = 10_000
_DELIVERY_MS = 24 * 3_600_000
"""Far longer than an outage: what is under way is bounded by number, and given up it would be lost."""
_RECONNECT_MS = 5_000
_FETCH_MS = 10_000
"""A fetch waits for so long at the broker while there is nothing new: few wakeups a second."""


_EMPTY = (KafkaTimeoutError, NodeNotReadyError, RequestTimedOutError)
"""Errors that tell nothing but that something else went wrong before."""


class _Quiet(logging.Filter):
    """Keeps what kafka-python says in Swirl's own threads out of the log, and remembers its last complaint.

    In an outage it writes dozens of lines a minute, where one is enough. What the host's own producers and
    consumers say passes: it is said in their threads.
    """

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[str, BaseException] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """False for what was said in a thread of Swirl's."""
        owner = next((name for name in tuple(self.last) if name in (record.threadName or "")), None)
        if owner is None:
            return True
        for told in record.args if isinstance(record.args, tuple) else ():
            if not isinstance(told, BaseException) or isinstance(told, _EMPTY):
                continue
            # A broker that says why is followed by a connection that is lost.
            said, before = isinstance(told, BrokerResponseError), self.last[owner]
            if said or not isinstance(before, BrokerResponseError):
                self.last[owner] = told
        return False


_quiet = _Quiet()


def _hush(client: str) -> None:
    """Filter the loggers that there are: a filter on the logger ``kafka`` would not see those below it."""
    _quiet.last.setdefault(client, Exception())
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.partition(".")[0] == "kafka":
            logger.addFilter(_quiet)


def complaint(client: str) -> BaseException:
    """The last error that kafka-python told the log in the threads of a client since the last call.

    It raises no other for some, such as why a user is not let in. One without a text: there was none.
    """
    last = _quiet.last.get(client, Exception())
    _quiet.last[client] = Exception()
    return last


class _Direct(KafkaNetSocket):  # type: ignore[misc] # kafka-python has no types
    """No proxy, and no socket left open by an attempt to connect that failed.

    kafka-python leaves it to the garbage collector, which a host may have turned off. Ways to connect are
    chosen by the scheme of ``proxy_url``.
    """

    SCHEMES = ("swirl",)

    async def sock_connect(self, net: Any, sock: socket.socket, address: Any, timeout_at: Any = None) -> Any:
        try:
            return await super().sock_connect(net, sock, address, timeout_at=timeout_at)
        except BaseException:
            sock.close()
            raise


class Connection:
    """What a client of kafka-python holds open, so that it can be let go of.

    Args:
        settings: where Kafka is.
        client: the client's name; part of the names of all its threads.

    Raises:
        SettingsError: a file of certificates cannot be read.
    """

    def __init__(self, settings: KafkaSettings, client: str) -> None:
        self.client = client
        self._selectors: list[selectors.BaseSelector] = []
        self._made: list[KafkaNetClient] = []
        self.options = options(settings) | {
            "client_id": client,
            "kafka_client": self._connect,
            "selector": self._select,
            "bootstrap_timeout_ms": _BOOTSTRAP_MS,
            "proxy_url": "swirl://direct",
            "reconnect_backoff_max_ms": _RECONNECT_MS,
            "metrics_enabled": False,
        }
        _hush(client)

    def _connect(self, **config: Any) -> KafkaNetClient:
        client = KafkaNetClient(**config)
        # The option of that name stops short of here, and a topic made by chance is none as it must be.
        client.cluster.config["allow_auto_create_topics"] = False
        self._made.append(client)
        return client

    def _select(self) -> selectors.BaseSelector:
        selector = selectors.DefaultSelector()
        self._selectors.append(selector)
        return selector

    def ask(self, seconds: float) -> BaseException | None:
        """Ask the brokers anew for the topic that is used; their objection, None if there is none.

        Where none answers in that time, it is what kafka-python told the log last.
        """
        came = threading.Event()
        answer = self._made[-1].cluster.request_update()
        answer.add_both(lambda _: came.set())
        if came.wait(seconds) and answer.succeeded():
            return None
        error: BaseException | None = answer.exception
        return error if isinstance(error, BrokerResponseError) else complaint(self.client)

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has.

        Raises:
            KafkaError: there is no such topic, it may not be seen, or no broker answers.
        """
        cluster, came = self._made[-1].cluster, threading.Event()
        answer = cluster.set_topics([topic])
        answer.add_both(lambda _: came.set())
        came.wait(_REQUEST_MS / 1000)
        if answer.exception is not None:
            raise answer.exception
        return len(cluster.partitions_for_topic(topic) or ()) or _unknown(topic)

    def close(self) -> None:
        """Close the sockets of a client whose making failed, and end its threads."""
        for client in self._made:
            client.close()

    def abandon(self) -> None:
        """In a forked child: close the sockets that are the parent's, without a word to the other side."""
        for selector in self._selectors:
            with contextlib.suppress(OSError, RuntimeError, AttributeError):
                for key in list(selector.get_map().values()):
                    key.fileobj.close()  # type: ignore[union-attr] # kafka-python registers sockets only
            with contextlib.suppress(OSError):
                selector.close()


def _unknown(topic: str) -> int:
    raise UnknownTopicOrPartitionError(topic)


class _Producer(KafkaProducer):  # type: ignore[misc] # kafka-python has no types
    """Without what kafka-python does at the end of a process: it takes seconds, after Swirl has ended.

    Its finalizer would besides take the log away from every producer of the process.
    """

    def _cleanup_factory(self) -> Callable[[], None]:
        return _nothing

    def __del__(self) -> None:
        """Closed by who made it."""


def _nothing() -> None:
    pass


class Producer:
    """An idempotent producer of one topic.

    Making one blocks for some seconds where no broker answers.

    Args:
        settings: where Kafka is.
        topic: where records go.
        client: its name.

    Raises:
        SettingsError: a file of certificates cannot be read.
        KafkaError: no broker answers, or lets the user in.
    """

    def __init__(self, settings: KafkaSettings, topic: str, client: str) -> None:
        self._topic = topic
        self._connection = Connection(settings, client)
        try:
            self._producer = _Producer(
                **self._connection.options,
                acks="all",
                enable_idempotence=True,
                linger_ms=_LINGER_MS,
                batch_size=_BATCH_BYTES,
                compression_type=_compression(),
                max_block_ms=_BLOCK_MS,
                request_timeout_ms=_REQUEST_MS,
                delivery_timeout_ms=_DELIVERY_MS,
            )
        except BaseException:
            self._connection.close()
            raise

    def send(self, key: bytes, value: bytes, done: Callable[[BaseException | None], None]) -> None:
        """Send a record; half a second at most passes where the topic is not known yet.

        Args:
            key: decides on the partition.
            value: the record.
            done: called once, from another thread, with what went wrong or None.

        Raises:
            KafkaError: it was not taken.
        """
        self._producer.partitions_for(self._topic)  # raises what send() would hide in a future
        future = self._producer.send(self._topic, value, key)
        future.add_callback(lambda _: done(None))
        future.add_errback(done)

    def ask(self, seconds: float) -> BaseException | None:
        """See :meth:`Connection.ask`."""
        return self._connection.ask(seconds)

    def close(self, seconds: float) -> None:
        """Deliver what is under way, within ``seconds``, and let go of all else."""
        try:
            self._producer.close(seconds)
        except KafkaTimeoutError:
            # Its close() gives up before it has ended its thread, and has no other way to end it.
            self._producer._sender.force_close()  # noqa: SLF001
            self._producer._closed = True  # noqa: SLF001

    def abandon(self) -> None:
        """In a forked child: what is the parent's is left alone."""
        self._connection.abandon()


class Listener:
    """Reads single partitions of one topic, from their beginning, as a member of no group.

    Args:
        settings: where Kafka is.
        topic: what is read.
        client: its name.

    Raises:
        SettingsError: a file of certificates cannot be read.
        KafkaError: no broker answers, or lets the user in.
    """

    def __init__(self, settings: KafkaSettings, topic: str, client: str) -> None:
        self._topic = topic
        self._keys: set[bytes] = set()
        self._connection = Connection(settings, client)
        try:
            self._consumer = KafkaConsumer(
                **self._connection.options,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=_FETCH_MS,
            )
        except BaseException:
            self._connection.close()
            raise

    def listen(self, keys: Iterable[bytes]) -> None:
        """Read the partitions of these keys from now on, from their beginning where a key is new.

        Raises:
            KafkaError: there is no such topic, or it may not be read.
        """
        count = self._connection.partitions(self._topic)
        places = {key: TopicPartition(self._topic, partition(key, count)) for key in {*keys, *self._keys}}
        new = {place for key, place in places.items() if key not in self._keys}
        if new:
            self._keys |= places.keys()
            self._consumer.assign(sorted(set(places.values())))
            # Also where others are read already: what is there of the new key has been passed over.
            self._consumer.seek_to_beginning(*new)

    def read(self, seconds: float) -> list[tuple[bytes, bytes]]:
        """Keys and values that have come, after ``seconds`` at most.

        Raises:
            KafkaError: the topic may not be read.
        """
        batches = self._consumer.poll(timeout_ms=int(seconds * 1000)).values()
        return [(r.key, r.value) for batch in batches for r in batch if r.key and r.value]

    def close(self) -> None:
        """Hang up."""
        self._consumer.close(autocommit=False, timeout_ms=0)

    def abandon(self) -> None:
        """In a forked child: what is the parent's is left alone."""
        self._connection.abandon()


def _compression() -> str | None:
    return "lz4" if has_lz4() else "zstd" if has_zstd() else None


def partition(key: bytes, partitions: int) -> int:
    """The partition of a key, as the default partitioner of every client of Kafka has it."""
    return int((murmur2(key) & 0x7FFF_FFFF) % partitions)


def reason(error: BaseException, client: str) -> BaseException:
    """What lies behind an error: kafka-python often says no more than that time has passed."""
    said = complaint(client)
    return said if isinstance(error, KafkaTimeoutError) and str(said) else error


def concerns_the_record(error: BaseException) -> bool:
    """Whether a broker refused a record for what it is: another try would end the same way."""
    return isinstance(
        error, (MessageSizeTooLargeError, RecordListTooLargeError, InvalidRecordError, CorruptRecordError)
    )


def advice(error: BaseException, settings: KafkaSettings, topic: str, *, right: str = "Write") -> str:
    """What went wrong and what to do, in a sentence without secrets.

    Args:
        error: what a client raised or told the log.
        settings: of the connection.
        topic: what was written or read.
        right: that it takes.
    """
    where = ", ".join(settings.servers)
    if isinstance(error, SettingsError):
        return str(error)
    # Over TLS kafka-python sees the broker hang up before it has read why.
    hung_up = settings.protocol.startswith("SASL") and str(error).endswith("socket disconnected")
    if hung_up or isinstance(error, SaslAuthenticationFailedError):
        return (
            f"Kafka at {where} does not let the user {settings.user!r} in"
            f"{', it seems' if hung_up else ''}: check SWIRL_KAFKA_USER, SWIRL_KAFKA_PASSWORD "
            f"and SWIRL_KAFKA_MECHANISM ({settings.mechanism})"
        )
    if isinstance(error, AuthorizationError):
        return str(refusal(settings, right, "topic", topic))
    if isinstance(error, UnknownTopicOrPartitionError):
        return f"Kafka at {where} has no topic {topic!r}: create it with `swirl topics --create`"
    said = f" ({error})" if str(error) else ""
    if "andshake" in said or "certificate" in said:
        return (
            f"Kafka at {where} and this process do not agree on TLS{said}: "
            "check SWIRL_KAFKA_CA and SWIRL_KAFKA_PROTOCOL"
        )
    return f"Kafka at {where} does not answer{said}: check SWIRL_KAFKA, and whether the broker runs"
