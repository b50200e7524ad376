"""Topics on a real broker: seen, created, checked, and never changed unasked."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from kafka.admin import KafkaAdminClient

from swirl.errors import TopicsError
from swirl.kafka.admin import Admin
from swirl.kafka.topics import Topics, apply, create_missing, ensure, inspect, topic_id
from swirl.settings import KafkaSettings
from swirl.testing.broker import free_port

if TYPE_CHECKING:
    from tests.services import OwnBroker


LOG_TIME = {"message.timestamp.type": "LogAppendTime"}


@pytest.fixture
def settings(kafka: str, prefix: str) -> KafkaSettings:
    return KafkaSettings(kafka=kafka, topics=prefix)


def make(settings: KafkaSettings, topic: str, config: Mapping[str, str], partitions: int = 8) -> None:
    """Create a topic as somebody else might have."""
    name = getattr(Topics.of(settings), topic)
    told: dict[str, Any] = {
        "num_partitions": partitions,
        "replication_factor": 1,
        "configs": dict(config),
    }
    with KafkaAdminClient(bootstrap_servers=settings.servers) as admin:
        admin.create_topics({name: told}, wait_for_metadata=True)


def test_what_is_missing_is_created_once_and_is_then_as_it_must_be(settings: KafkaSettings) -> None:
    assert inspect(settings) == []
    assert ensure(settings) == list(Topics.of(settings))
    assert ensure(settings) == []
    found = inspect(settings)
    assert [(topic.name, topic.partitions, topic.replicas) for topic in found] == [
        (name, 8, 1) for name in Topics.of(settings)
    ]
    assert found[0].config["message.timestamp.type"] == "LogAppendTime"
    assert found[1].config["cleanup.policy"] == "compact"
    assert apply(settings) == []


def test_workers_that_start_together_create_each_topic_once(settings: KafkaSettings) -> None:
    with ThreadPoolExecutor(3) as pool:
        made = [name for each in pool.map(lambda _: ensure(settings), range(3)) for name in each]
    assert sorted(made) == sorted(Topics.of(settings))


def test_what_is_created_later_has_as_many_partitions_as_what_exists(settings: KafkaSettings) -> None:
    make(settings, "frames", LOG_TIME, partitions=3)
    assert len(ensure(settings)) == 5
    assert {topic.partitions for topic in inspect(settings)} == {3}


def test_another_number_of_partitions_is_refused(settings: KafkaSettings) -> None:
    create_missing(settings, partitions=2)
    with pytest.raises(TopicsError, match=r"2 partitions, 4 were asked for; .*SWIRL_TOPICS and SWIRL_GROUP"):
        create_missing(settings, partitions=4)
    assert {topic.partitions for topic in inspect(settings)} == {2}


@pytest.mark.parametrize(
    ("topic", "config", "told"),
    [
        ("frames", {}, "message.timestamp.type is CreateTime"),
        (
            "frames",
            {**LOG_TIME, "retention.ms": "60000"},
            "retention.ms is 1 min",
        ),
        ("state", {}, "cleanup.policy is delete"),
    ],
)
def test_a_worker_refuses_what_would_lose_records_until_it_is_put_right(
    settings: KafkaSettings, topic: str, config: dict[str, str], told: str
) -> None:
    make(settings, topic, config)
    with pytest.raises(TopicsError, match=told) as refused:
        ensure(settings)
    assert refused.value.do == "to put that right run 'swirl topics --apply'"
    assert not refused.value.passing
    before = inspect(settings)
    assert {change.topic for change in apply(settings)} == {getattr(Topics.of(settings), topic)}
    assert ensure(settings) == []
    assert [each.id for each in before] == [each.id for each in inspect(settings)]


def test_a_worker_refuses_unequal_partitions_and_nothing_changes_them(settings: KafkaSettings) -> None:
    make(settings, "state", {"cleanup.policy": "compact", "max.message.bytes": "2000000"}, partitions=3)
    make(settings, "frames", LOG_TIME, partitions=4)
    with pytest.raises(TopicsError, match=r"state: has 3 partitions, not 4; it is empty: delete it"):
        ensure(settings)
    apply(settings)
    assert [topic.partitions for topic in inspect(settings)][:2] == [4, 3]


def test_a_topic_made_anew_has_another_id(settings: KafkaSettings) -> None:
    ensure(settings)
    name = Topics.of(settings).frames
    first = topic_id(settings, name)
    with KafkaAdminClient(bootstrap_servers=settings.servers) as admin:
        admin.delete_topics([name])
    ensure(settings)
    assert topic_id(settings, name) != first
    with pytest.raises(TopicsError, match="does not exist"):
        topic_id(settings, "nothing-of-that-name")


@pytest.fixture
def left_to_the_collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """kafka-python drops the sockets of refused connections without closing them; its log holds them."""
    monkeypatch.setattr(logging.getLogger("kafka"), "propagate", False)
    yield
    gc.collect()


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.usefixtures("left_to_the_collector")
def test_nobody_there_is_told_in_time_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    settings = KafkaSettings(kafka=f"127.0.0.1:{free_port()}")
    with pytest.raises(TopicsError, match=r"no answer from 127\.0\.0\.1:") as refused:
        Admin(settings, timeout_seconds=1)
    assert refused.value.passing
    assert set(threading.enumerate()) <= before


@pytest.mark.slow
def test_who_may_not_is_told_which_right_is_missing_on_what(own_broker: OwnBroker) -> None:
    broker = own_broker(secure=True, users={"ada": "ada-secret"})
    admin, ada = broker.settings(topics="s"), broker.settings("ada", topics="s")
    with pytest.raises(
        TopicsError, match=r"user 'ada' may not Describe topic s\.frames; give the right: "
    ) as no:
        ensure(ada)
    assert "--allow-principal 'User:ada' --operation Describe --topic s.frames" in str(no.value)
    for name in Topics.of(ada):
        broker.grant("ada", "DESCRIBE", topic=name)
    with pytest.raises(TopicsError, match=r"user 'ada' may not Create topic s\.frames"):
        ensure(ada)
    ensure(admin)
    with pytest.raises(TopicsError, match=r"user 'ada' may not DescribeConfigs topic s\.frames"):
        ensure(ada)
    for name in Topics.of(ada):
        broker.grant("ada", "DESCRIBE_CONFIGS", topic=name)
    assert ensure(ada) == []
    with Admin(ada) as seen, pytest.raises(TopicsError, match=r"may not AlterConfigs topic s\.state"):
        seen.alter("s.state", {"segment.ms": "1000"})
    with pytest.raises(
        TopicsError, match=r"the brokers do not let user 'ada' in; check SWIRL_KAFKA_USER"
    ) as out:
        inspect(KafkaSettings(**{**vars(ada), "password": "wrong-secret"}))
    assert not out.value.passing
    assert "secret" not in str(out.value)
