"""The topic of the frames is deleted and made anew, or its beginning is gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient

from swirl.kafka.admin import Admin
from swirl.kafka.connect import options
from swirl.kafka.topics import create_missing
from swirl.testing.broker import Broker
from tests.chaos import truth
from tests.chaos.feed import frames, goodbyes, names_for
from tests.chaos.rig import SETTINGS, Rig, wait_for
from tests.monitor.log import START

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

LATER = START + 600_000


def make_anew(rig: Rig) -> None:
    client = KafkaAdminClient(**options(rig.kafka))
    try:
        client.delete_topics([rig.topics.frames])
        wait_for(lambda: rig.topics.frames not in client.list_topics(), 20)
    finally:
        client.close()
    create_missing(rig.kafka)


@pytest.mark.parametrize("asleep", [False, True], ids=["while it looks", "while it stands still"])
def test_a_topic_that_was_deleted_and_made_anew_is_read_from_its_beginning(
    broker: Broker, tmp_path: Path, prefix: str, *, asleep: bool
) -> None:
    """Asleep, the worker wakes up to a topic that is longer already than the old one was."""
    seed = 41
    print("seed", seed)
    given = {"SWIRL_SESSION_SECONDS": "30"} if asleep else {}
    with Rig(broker, tmp_path, prefix, given=given) as rig:
        before = frames(seed, names_for([0, 1], 4), seconds=20)
        rig.keep(1)
        wait_for(lambda: rig.alive and rig.alive[0].ready, 60)
        rig.feed.send(before)
        rig.finish(before)
        first = rig.alive[0]
        wait_for(lambda: first.metric("swirl_snapshots_total") >= 2, 20)
        if asleep:
            first.stop()
        make_anew(rig)
        after = frames(seed + 1, names_for([0, 1, 2], 4), seconds=60 if asleep else 10, start=LATER)
        rig.feed.send(after)
        if asleep:
            first.go_on()
        told = rig.finish(after)
        last = {window.identity: told.windows[window.identity] for window in told.last.values()}
        # Until it has noticed that the topic is another one, it may have told windows of its own making.
        wait_for(lambda: all(whole in rig.windows()[name] for name, whole in last.items()), 60)
        assert first.code in {None, 70}  # it may have been left without partitions meanwhile


def test_records_that_are_gone_before_they_were_read_are_left_out_and_no_others(
    broker: Broker, tmp_path: Path, prefix: str
) -> None:
    seed = 43
    print("seed", seed)
    with Rig(broker, tmp_path, prefix) as rig:
        sent = frames(seed, names_for([0, 0], 4), seconds=60)
        third = len(sent) // 3
        first = rig.ready(rig.start())
        rig.feed.send(sent[:third])
        rig.settle()
        first.terminate()
        assert first.wait(15) == 0
        with Admin(rig.kafka) as admin:
            read = admin.group(prefix, rig.topics.frames).committed[0]
        rig.feed.send(sent[third : third + 40])
        before = rig.log()
        gone = [entry for entry in before if entry.partition == 0][-20].offset
        assert gone > read
        client = KafkaAdminClient(**options(rig.kafka))
        client.delete_records({TopicPartition(rig.topics.frames, 0): gone})
        client.close()
        second = rig.ready(rig.start())
        rig.feed.send(sent[third + 40 :])
        rig.feed.send(goodbyes(sent))
        left = [entry for entry in before if entry.partition == 0 and entry.offset < read] + rig.log()
        told = rig.told(truth.expected(left, SETTINGS))
        rig.check(told, gaps=True)
        assert told.incidents
        assert all(window.health.frames_lost > 0 for window in told.last.values())
        assert second.code is None
        assert "records were gone from the log" in second.words(1000)
