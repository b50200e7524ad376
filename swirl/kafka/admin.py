"""A thin face of kafka-python's admin client: few questions, bounded in time, answered in our own words.

It imports kafka-python, which takes a while; who may not need it imports this module when it does.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from kafka import TopicPartition, errors
from kafka.admin import ConfigResource, KafkaAdminClient, OffsetSpec
from kafka.net.compat import KafkaNetClient

from swirl.errors import TopicsError
from swirl.kafka.connect import options
from swirl.kafka.plan import TopicFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from swirl.kafka.plan import TopicSpec
    from swirl.settings import KafkaSettings

__all__ = ["Admin", "Broker", "Group", "refusal"]

_EXISTS, _UNKNOWN, _FORBIDDEN, _GROUP_FORBIDDEN = 36, 3, 29, 30
_UNSETTLED = (
    errors.CoordinatorNotAvailableError,
    errors.CoordinatorLoadInProgressError,
    errors.NotCoordinatorError,
)
_PAUSE_S = 0.2

_ASKED = (
    "cleanup.policy",
    "compression.type",
    "max.message.bytes",
    "message.timestamp.type",
    "min.cleanable.dirty.ratio",
    "min.insync.replicas",
    "retention.bytes",
    "retention.ms",
    "segment.bytes",
    "segment.ms",
)


class Broker(NamedTuple):
    """A broker, and where it tells clients to find it."""

    id: int
    host: str
    port: int


class Group(NamedTuple):
    """A consumer group.

    Attributes:
        state: in Kafka's words, such as ``Stable`` or ``PreparingRebalance``; empty: no such group.
        members: host and number of partitions of each.
        committed: offset of the next record, by partition of the topic that was asked for.
    """

    state: str
    members: tuple[tuple[str, int], ...] = ()
    committed: Mapping[int, int] = {}


class Admin:
    """A connection for questions about topics and groups; a context manager.

    Args:
        settings: which brokers, and how to be let in.
        timeout_seconds: the longest that being let in, or one answer, may take.

    Raises:
        TopicsError: nobody answers, or the user is not let in; so do all methods where something is refused.
        SettingsError: see :func:`swirl.kafka.connect.options`.
    """

    def __init__(self, settings: KafkaSettings, *, timeout_seconds: float = 5.0) -> None:
        self._settings = settings
        self._timeout_seconds = timeout_seconds
        self._net: Any = None

        def keep(**given: Any) -> Any:
            self._net = KafkaNetClient(**given)
            return self._net

        # At DEBUG it logs what it is made with, the password too.
        logging.getLogger("kafka.admin.client").setLevel(logging.INFO)
        milliseconds = round(timeout_seconds * 1000)
        with self._told():
            self._client = KafkaAdminClient(
                **options(settings),
                client_id="swirl-admin",
                bootstrap_timeout_ms=milliseconds,
                request_timeout_ms=milliseconds,
                reconnect_backoff_max_ms=500,
                kafka_client=keep,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection and its thread."""
        self._client.close()
        self._net.close()

    def brokers(self) -> list[Broker]:
        """The brokers there are, by the addresses that they give to clients."""
        return sorted(Broker(node.node_id, node.host, node.port) for node in self._net.cluster.brokers())

    def topics(self, names: Iterable[str]) -> list[TopicFound]:
        """Those of the topics that exist, in the same order, and those that this user may not see."""
        found = []
        with self._told():
            for topic in sorted(self._client.describe_topics(list(names)), key=_position(names)):
                if topic["error_code"] == _FORBIDDEN:
                    hidden = str(refusal(self._settings, "Describe", "topic", topic["name"]))
                    found.append(TopicFound(topic["name"], hidden=hidden))
                elif topic["error_code"] not in {0, _UNKNOWN}:
                    raise errors.for_code(topic["error_code"])(topic["name"])
                elif not topic["error_code"]:
                    found.append(self._topic(topic))
        return self._with_settings(found)

    def _topic(self, topic: Mapping[str, Any]) -> TopicFound:

        name, count = topic["name"], len(topic["partitions"])
        return TopicFound(
            name,
            id=str(topic["topic_id"]),
            partitions=count,
            replicas=min(len(partition["replica_nodes"]) for partition in topic["partitions"]),
            begin=self._offsets(name, count, OffsetSpec.EARLIEST),
            end=self._offsets(name, count, OffsetSpec.LATEST),
            rights=frozenset(topic.get("authorized_operations") or ()),
        )

    def _offsets(self, name: str, count: int, at: int) -> tuple[int, ...]:

        asked = {TopicPartition(name, partition): at for partition in range(count)}
        answer = self._client.list_partition_offsets(asked)
        return tuple(answer[partition].offset for partition in asked)

    def _with_settings(self, found: list[TopicFound]) -> list[TopicFound]:

        asked = [ConfigResource("TOPIC", topic.name, list(_ASKED)) for topic in found if not topic.hidden]
        if not asked:
            return found
        with self._told():
            answer = self._client.describe_configs(asked, config_filter="all").get("topic", {})
        told = []
        for topic in found:
            config = {key: str(entry["value"]) for key, entry in answer.get(topic.name, {}).items()}
            # kafka-python swallows the refusal and answers with nothing.
            hidden = "" if config else str(refusal(self._settings, "DescribeConfigs", "topic", topic.name))
            told.append(topic._replace(config=config, hidden=topic.hidden or hidden))
        return told

    def create(self, wanted: Sequence[TopicSpec], *, replicas: int) -> list[str]:
        """Create topics and wait until they can be used.

        Returns:
            the names of those that nobody else created meanwhile.
        """
        if not wanted:
            return []
        asked = {
            spec.name: {
                "num_partitions": spec.partitions,
                "replication_factor": replicas,
                "configs": dict(spec.config),
            }
            for spec in wanted
        }
        with self._told():
            answer = self._client.create_topics(asked, raise_errors=False)["topics"]
            for topic in sorted(answer, key=_position(asked)):
                if topic["error_code"] == _FORBIDDEN:
                    raise refusal(self._settings, "Create", "topic", topic["name"])
                if topic["error_code"] not in {0, _EXISTS}:
                    why = topic["error_message"] or f"error {topic['error_code']}"
                    raise TopicsError(f"topic {topic['name']} cannot be created: {why}")
            self._client.wait_for_topics([spec.name for spec in wanted])
        return [topic["name"] for topic in answer if not topic["error_code"]]

    def alter(self, name: str, config: Mapping[str, str]) -> None:
        """Set these settings of a topic; the others stay."""
        with self._told():
            asked = [ConfigResource("TOPIC", name, dict(config))]
            said = self._client.alter_configs(asked, raise_on_unknown=False)["topic"][name]
        if _code(said) == _FORBIDDEN:
            raise refusal(self._settings, "AlterConfigs", "topic", name)
        if said != "OK":
            raise TopicsError(f"the settings of topic {name} cannot be changed: {said}")

    def group(self, name: str, topic: str) -> Group:
        """A consumer group, and how far it has read a topic."""
        with self._told():
            told = self._settled(lambda: self._client.describe_groups([name]))[name]
            if _code(told["error"] or "") == _GROUP_FORBIDDEN:
                raise refusal(self._settings, "Describe", "group", name)
            committed = self._client.list_group_offsets({name: None}).get(name, {})
        return Group(
            "" if told["group_state"] == "Dead" else told["group_state"],
            tuple(
                (member["client_host"].lstrip("/"), _assigned(member, topic)) for member in told["members"]
            ),
            {part.partition: at.offset for part, at in committed.items() if part.topic == topic},
        )

    def _settled(self, ask: Callable[[], Any]) -> Any:
        """What brokers say of a group; asked for their first one, they first make room for it."""
        until = time.monotonic() + self._timeout_seconds
        while True:
            try:
                return ask()
            except _UNSETTLED:
                if time.monotonic() > until:
                    raise
                threading.Event().wait(_PAUSE_S)

    def offsets_at(self, topic: TopicFound, milliseconds: int) -> tuple[int, ...]:
        """The first offset of each partition that came at this time or later; its end where none did."""
        with self._told():
            at = self._offsets(topic.name, topic.partitions, milliseconds)
        return tuple(end if offset < 0 else offset for offset, end in zip(at, topic.end, strict=True))

    def newest_ms(self, topic: TopicFound) -> int:
        """When the newest record of a topic was appended, in milliseconds since 1970; -1: it has none."""
        asked = {
            TopicPartition(topic.name, partition): OffsetSpec.MAX_TIMESTAMP
            for partition in range(topic.partitions)
        }
        with self._told():
            return max(int(at.timestamp) for at in self._client.list_partition_offsets(asked).values())

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What kafka-python raises inside is raised as an error of ours, with what a person can do."""
        heard = _Heard()
        watched = logging.getLogger("kafka.net.manager")
        watched.addHandler(heard)
        try:
            yield
        except errors.KafkaError as error:
            if not hasattr(self, "_client") and self._net is not None:
                self._net.close()  # the constructor leaves its thread behind where nobody answers
            raise _explained(error, heard.errors, self._settings, self._timeout_seconds) from error
        finally:
            watched.removeHandler(heard)


class _Heard(logging.Handler):
    """Why attempts to connect failed: kafka-python raises a timeout and says why to its log only."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []

    def emit(self, record: logging.LogRecord) -> None:
        given = record.args if isinstance(record.args, tuple) else ()
        timeouts = (errors.KafkaTimeoutError, errors.RequestTimedOutError)
        self.errors += [
            entry for entry in given if isinstance(entry, Exception) and not isinstance(entry, timeouts)
        ]


def refusal(settings: KafkaSettings, right: str, kind: str, name: str) -> TopicsError:
    """That a right is missing: which, on what, for whom, and how it is given."""
    user = settings.user if settings.protocol.startswith("SASL") else "ANONYMOUS"
    if settings.certificate and user == "ANONYMOUS":
        user = "of the certificate"
    return TopicsError(
        f"user {user!r} may not {right} {kind} {name}",
        do=f"give the right: kafka-acls.sh --add --allow-principal 'User:{user}' "
        f"--operation {right} --{kind} {name}",
    )


def _explained(
    error: Exception, heard: list[Exception], settings: KafkaSettings, seconds: float
) -> TopicsError:
    who, servers = f"user {settings.user!r}", ", ".join(settings.servers)
    for cause in (error, *heard):
        if isinstance(cause, errors.SaslAuthenticationFailedError):
            return TopicsError(
                f"the brokers do not let {who} in",
                do="check SWIRL_KAFKA_USER, SWIRL_KAFKA_PASSWORD and SWIRL_KAFKA_MECHANISM",
            )
        if isinstance(cause, errors.UnsupportedSaslMechanismError):
            return TopicsError(
                f"the brokers do not know {settings.mechanism}",
                do="set SWIRL_KAFKA_MECHANISM to one they know",
            )
    if settings.protocol.startswith("SASL") and heard and all(_is_dropped(cause) for cause in heard):
        return TopicsError(
            f"the brokers do not let {who} in",
            do="check SWIRL_KAFKA_USER, SWIRL_KAFKA_PASSWORD, SWIRL_KAFKA_MECHANISM and SWIRL_KAFKA_PROTOCOL",
        )
    if isinstance(error, errors.GroupAuthorizationFailedError):
        return TopicsError(f"{who} may not see the consumer group", do="give the right Describe on the group")
    if isinstance(error, errors.AuthorizationError):
        return TopicsError(f"{who} may not do that: {error}", do="give the right with kafka-acls.sh")
    if isinstance(error, errors.KafkaTimeoutError | errors.KafkaConnectionError | errors.NodeNotReadyError):
        why = f" ({str(heard[0]).removeprefix('KafkaConnectionError: ')})" if heard else ""
        return TopicsError(
            f"no answer from {servers} within {seconds:g} s{why}",
            do="see with 'swirl doctor' where it ends",
            passing=True,
        )
    passing = bool(getattr(error, "retriable", False))
    return TopicsError(f"{servers} answers with an error: {error}", passing=passing)


def _is_dropped(cause: Exception) -> bool:
    """Over TLS a refused login and the end of the connection come together; often only the end is seen."""
    return "socket disconnected" in str(cause)


def _position(names: Iterable[str]) -> Any:
    order = {name: position for position, name in enumerate(names)}
    return lambda topic: order[topic["name"]]


def _code(words: str) -> int:
    """The number of an error that kafka-python turned into text; 0: none."""
    found = re.match(r"\[Error (-?\d+)\]", words)
    return int(found[1]) if found else 0


def _assigned(member: Mapping[str, Any], topic: str) -> int:
    """Partitions of a topic that a member reads; 0 where its assignment cannot be read."""
    assignment = member["member_assignment"]
    parts = assignment["assigned_partitions"] if isinstance(assignment, dict) else []
    return sum(len(part["partitions"]) for part in parts if part["topic"] == topic)
