"""What each topic must be like: made of tables, without a broker."""

from __future__ import annotations

import pytest

from swirl.kafka.plan import Difference, TopicFound, TopicSpec, partitions_of, plan, specs
from swirl.kafka.topics import Topics
from swirl.settings import KafkaSettings

NAMES = Topics.of(KafkaSettings(topics="s"))


def made(spec: TopicSpec, **other: str) -> TopicFound:
    """The topic as it would be created, but for some of its settings."""
    config = {**spec.config, **{key.replace("_", "."): value for key, value in other.items()}}
    ends = (3,) * spec.partitions
    return TopicFound(spec.name, "id", spec.partitions, 1, config, (0,) * spec.partitions, ends)


def differences(topic: str, **other: str) -> list[Difference]:
    """Of a deployment in which one topic has these settings."""
    wanted = specs(NAMES)
    name = getattr(NAMES, topic)
    return plan(wanted, [made(spec, **(other if spec.name == name else {})) for spec in wanted])


def test_topics_as_they_are_created_differ_in_nothing() -> None:
    for replicas in (1, 2, 3):
        wanted = specs(NAMES, partitions=3, replicas=replicas)
        assert plan(wanted, [made(spec)._replace(replicas=replicas) for spec in wanted]) == []


def test_the_names_are_those_that_the_settings_begin() -> None:
    assert list(NAMES) == ["s.frames", "s.state", "s.windows", "s.incidents", "s.feedback", "s.dead-letters"]
    assert [spec.name for spec in specs(NAMES)] == list(NAMES)


def test_a_topic_that_is_not_there_is_missing() -> None:
    wanted = specs(NAMES)
    found = plan(wanted, [made(spec) for spec in wanted if spec.name != NAMES.state])
    assert [(each.topic, each.kind) for each in found] == [(NAMES.state, "missing")]


@pytest.mark.parametrize(
    ("topic", "settings", "loses"),
    [
        ("frames", {"message_timestamp_type": "CreateTime"}, True),
        ("frames", {"cleanup_policy": "compact"}, True),
        ("frames", {"cleanup_policy": "compact,delete"}, True),
        ("frames", {"retention_ms": "3599999"}, True),
        ("frames", {"max_message_bytes": "1048588"}, False),
        ("frames", {"retention_bytes": "1000000"}, False),
        ("frames", {"min_insync_replicas": "2"}, True),
        ("state", {"cleanup_policy": "delete"}, True),
        ("state", {"cleanup_policy": "compact,delete"}, True),
        ("state", {"max_message_bytes": "1048588"}, True),
        ("state", {"segment_ms": "604800000"}, False),
        ("state", {"segment_bytes": "1073741824"}, False),
        ("state", {"min_cleanable_dirty_ratio": "0.9"}, False),
        ("feedback", {"cleanup_policy": "delete"}, False),
        ("feedback", {"compression_type": "producer"}, False),
        ("windows", {"cleanup_policy": "compact"}, False),
        ("dead_letters", {"retention_bytes": "-1"}, False),
    ],
)
def test_a_setting_that_does_harm_differs_and_what_it_is_made_with_puts_it_right(
    topic: str, settings: dict[str, str], *, loses: bool
) -> None:
    (found,) = differences(topic, **settings)
    (key,) = (name.replace("_", ".") for name in settings)
    spec = next(spec for spec in specs(NAMES) if spec.name == getattr(NAMES, topic))
    assert (found.topic, found.kind, found.loses) == (spec.name, "differs", loses)
    assert found.change == {key: spec.config[key]}
    assert found.words.startswith(f"{key} is ")


@pytest.mark.parametrize(
    ("topic", "settings"),
    [
        ("frames", {"retention_ms": "86400000"}),
        ("frames", {"retention_ms": "-1"}),
        ("frames", {"max_message_bytes": "10000000"}),
        ("windows", {"retention_ms": "1000"}),
        ("incidents", {"retention_ms": "-1"}),
        ("state", {"segment_ms": "60000"}),
    ],
)
def test_a_choice_that_does_no_harm_is_left_to_its_owner(topic: str, settings: dict[str, str]) -> None:
    assert differences(topic, **settings) == []


def test_words_carry_units() -> None:
    (found,) = differences("frames", retention_ms="100000")
    assert found.words.startswith("retention.ms is 1.67 min; it must be at least 1 h: ")
    (found,) = differences("frames", max_message_bytes="1048588")
    assert found.words.startswith("max.message.bytes is 1.049 MB; it must be at least 1.1 MB: ")


def test_another_number_of_partitions_is_refused_and_how_to_move_is_told() -> None:
    found = plan(specs(NAMES, partitions=4), [made(spec) for spec in specs(NAMES, partitions=8)])
    assert [(each.kind, each.change, each.loses) for each in found] == [("refuses", {}, False)] * 6
    assert all("SWIRL_TOPICS" in each.words and "SWIRL_GROUP" in each.words for each in found)


def test_topics_with_unequal_partitions_would_lose_frames() -> None:
    wanted = specs(NAMES, partitions=8)
    there = [made(spec) for spec in wanted]
    there[1] = made(specs(NAMES, partitions=4)[1])
    (found,) = plan(wanted, there)
    assert (found.topic, found.kind, found.loses) == (NAMES.state, "refuses", True)
    there[1] = there[1]._replace(end=there[1].begin)
    (found,) = plan(wanted, there)
    assert "it is empty: delete it" in found.words


def test_a_topic_that_may_not_be_seen_is_told_and_nothing_is_guessed_about_it() -> None:
    wanted = specs(NAMES)
    there = [TopicFound(NAMES.frames, hidden="who may not"), *(made(spec) for spec in wanted[1:])]
    (found,) = plan(wanted, there)
    assert found == Difference(NAMES.frames, "hidden", "who may not", loses=True)


def test_with_three_copies_one_acknowledgement_is_too_few() -> None:
    wanted = specs(NAMES, replicas=3)
    there = [made(spec, min_insync_replicas="1")._replace(replicas=3) for spec in wanted]
    assert {each.change["min.insync.replicas"] for each in plan(wanted, there)} == {"2"}


def test_a_deployment_has_as_many_partitions_as_its_frames() -> None:
    assert partitions_of([]) is None
    assert partitions_of([TopicFound("s.frames", hidden="no"), made(specs(NAMES, partitions=5)[1])]) == 5
