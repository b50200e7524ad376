"""The stand-in for what a real broker will not do on demand does it."""

from __future__ import annotations

from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError, TopicAuthorizationFailedError

from tests.kafka.mock_cluster import Api, MockCluster

FORBIDDEN = 29


def producer(cluster: MockCluster) -> Any:
    return KafkaProducer(**cluster.options, enable_idempotence=False)


def test_a_record_goes_in_and_comes_out(mock_cluster: MockCluster) -> None:
    mock_cluster.topic("frames", 2)
    sender = producer(mock_cluster)
    sender.send("frames", b"hello", partition=1).get(10)
    sender.close()
    consumer = KafkaConsumer(
        "frames",
        auto_offset_reset="earliest",
        consumer_timeout_ms=10_000,
        **mock_cluster.options,
    )
    assert next(iter(consumer)).value == b"hello"
    consumer.close()


def test_a_code_is_given_once_for_each_time_it_was_asked_for(mock_cluster: MockCluster) -> None:
    mock_cluster.topic("frames")
    mock_cluster.fail(Api.PRODUCE, FORBIDDEN)
    sender = producer(mock_cluster)
    with pytest.raises(TopicAuthorizationFailedError):
        sender.send("frames", b"refused").get(10)
    assert sender.send("frames", b"taken").get(10).offset == 0
    sender.close()


def test_while_it_is_down_nothing_is_taken_and_afterwards_all_is(mock_cluster: MockCluster) -> None:
    mock_cluster.topic("frames")
    sender = producer(mock_cluster)
    sender.send("frames", b"before").get(10)
    mock_cluster.down()
    pending = sender.send("frames", b"meanwhile")
    with pytest.raises(KafkaError):
        pending.get(0.5)
    mock_cluster.up()
    assert pending.get(20).offset == 1
    sender.close()
