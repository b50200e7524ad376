"""Acts through Kafka, and incidents from its topic where no process can be reached."""

from __future__ import annotations

import json

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.partitioner.default import murmur2

from swirl.effect import Mute, MuteChanged, Told
from swirl.engine.wire import incident_record
from swirl.errors import SettingsError
from swirl.frame import Act, decode
from swirl.kafka.topics import create_missing
from swirl.settings import KafkaSettings
from tests.cli.watched import NOWHERE, called
from tests.sinks.scene import DATA, DEPLOYMENT, changed


@pytest.fixture
def environ(kafka: str, prefix: str) -> dict[str, str]:
    create_missing(KafkaSettings(kafka=kafka, topics=prefix), partitions=3, replicas=1)
    return {"SWIRL_KAFKA": kafka, "SWIRL_TOPICS": prefix, "SWIRL_HTTP": NOWHERE}


def records(environ: dict[str, str]) -> list[tuple[int, bytes, bytes]]:
    """Partition, key and value of all frames."""
    consumer = KafkaConsumer(bootstrap_servers=environ["SWIRL_KAFKA"], consumer_timeout_ms=3000)
    topic = f"{environ['SWIRL_TOPICS']}.frames"
    consumer.assign([TopicPartition(topic, number) for number in range(3)])
    consumer.seek_to_beginning()
    found = [(record.partition, record.key, record.value) for record in consumer]
    consumer.close()
    return found


def test_an_act_is_a_record_of_its_pipeline(environ: dict[str, str]) -> None:
    said = called("incidents", "ack", DATA.id, "--who", "anna", **environ)
    assert said.code == 4
    assert said.out.startswith("Sent, not confirmed: nobody answers")
    said = called("mute", "ads", "--for", "2h", "--why", "migration", "--who", "anna", **environ)
    assert said.code == 4
    found = records(environ)
    expected = (murmur2(b"ads") & 0x7FFFFFFF) % 3
    assert [(partition, key) for partition, key, _ in found] == [(expected, b"ads")] * 2
    assert [decode(value) for _, _, value in found] == [
        Act("ads", "acknowledge", DATA.id, "anna", via="command"),
        Act("ads", "mute", who="anna", why="migration", for_ms=7_200_000, via="command"),
    ]


def test_a_topic_that_is_missing_is_told_with_what_to_do(kafka: str, prefix: str) -> None:
    environ = {"SWIRL_KAFKA": kafka, "SWIRL_TOPICS": prefix, "SWIRL_HTTP": NOWHERE}
    said = called("incidents", "ack", DATA.id, **environ)
    assert said.code == 3
    assert "swirl topics --create" in said.words
    said = called("incidents", "list", "--topic", **environ)
    assert said.code == 3
    assert f"Kafka has no topic '{prefix}.incidents'" in said.words


def test_brokers_that_do_not_answer_are_told(environ: dict[str, str]) -> None:
    away = {**environ, "SWIRL_KAFKA": NOWHERE}
    for command in (("ack", DATA.id), ("list", "--topic")):
        said = called("incidents", *command, **away)
        assert (said.code, "does not answer" in said.words) == (3, True)


def tell(environ: dict[str, str]) -> None:
    """Two incidents in the topic, one of them over, planned work, and a record of nobody's."""
    producer = KafkaProducer(bootstrap_servers=environ["SWIRL_KAFKA"])
    steps: list[Told] = [
        changed(DATA),
        changed(DATA, "updated", "serve follows too."),
        changed(DEPLOYMENT),
        changed(DEPLOYMENT, "resolved", "All series are back."),
        MuteChanged("ads", "began", Mute("", 1, 3_600_000, "anna", "migration")),
    ]
    topic = f"{environ['SWIRL_TOPICS']}.incidents"
    for step in steps:
        producer.send(topic, incident_record(step), b"ads")
    producer.send(topic, b"\x00nonsense", b"ads")
    producer.flush()
    producer.close()


def test_incidents_are_listed_from_the_topic(environ: dict[str, str]) -> None:
    assert called("incidents", "list", "--topic", **environ).out == "○ no incident is open\n"
    tell(environ)
    said = called("incidents", "list", "--topic", "--json", **environ)
    assert said.code == 0
    assert [(each["id"], each["revision"]) for each in json.loads(said.out)] == [(DATA.id, 1)]
    every = called("incidents", "list", "--topic", "--all", **environ).out.splitlines()
    assert [line.split()[:2] for line in every] == [["✓", DEPLOYMENT.id], ["◆", DATA.id]]


def test_where_no_process_answers_the_topic_is_watched(environ: dict[str, str]) -> None:
    tell(environ)
    for arguments in ((), ("--topic",)):
        lines = called("watch", "--once", *arguments, **environ).out.splitlines()
        assert [line.split("  ", 1)[1] for line in lines] == [
            "ads: ◆ ingest: data pipeline broken",
            "– ads is muted until 01:00:00 UTC by anna: migration",
            f"◆ {DATA.id} updated: ads / {DATA.title} since 03:12:20 UTC. serve follows too.",
        ]


def test_without_brokers_there_is_no_topic() -> None:

    with pytest.raises(SettingsError, match="SWIRL_KAFKA is not set"):
        called("incidents", "list", "--topic")
