"""The broker for developers: a real one, that keeps its data and lets in whom it should."""

from __future__ import annotations

from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from swirl.testing.broker import Broker


def make_topic(broker: Broker, name: str) -> None:
    admin = KafkaAdminClient(**broker.options())
    admin.create_topics([NewTopic(name, 1, 1)])
    admin.close()


def send(broker: Broker, topic: str, value: bytes, **options: object) -> None:
    producer = KafkaProducer(**{**broker.options(), **options})
    try:
        producer.send(topic, value).get(10)
    finally:
        producer.close(1)


def first_value(broker: Broker, topic: str) -> bytes:
    consumer = KafkaConsumer(
        topic, auto_offset_reset="earliest", consumer_timeout_ms=20_000, **broker.options()
    )
    try:
        value: bytes = next(iter(consumer)).value
        return value
    finally:
        consumer.close()


def test_a_record_goes_in_and_comes_out(broker: Broker, prefix: str) -> None:
    make_topic(broker, prefix)
    send(broker, prefix, b"hello")
    assert first_value(broker, prefix) == b"hello"
