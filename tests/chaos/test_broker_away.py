"""The broker dies, stands still, or takes no state for a while."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from swirl.kafka.admin import Admin
from swirl.testing import SlackStandIn
from swirl.testing.broker import Broker
from tests.chaos.feed import frames, names_for
from tests.chaos.rig import Rig, wait_for
from tests.services import OwnBroker

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    # kafka-python's producer leaves sockets to the collector when its broker dies.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_a_broker_that_is_killed_and_one_that_stands_still_cost_nothing(
    own_broker: OwnBroker, tmp_path: Path, prefix: str
) -> None:
    seed = 21
    print("seed", seed)
    broker = own_broker()
    with SlackStandIn(pace=0.0) as slack, Rig(broker, tmp_path, prefix, slack=slack) as rig:
        sent = frames(seed, names_for([0, 1, 3], 4), seconds=60)
        rig.keep(1)
        wait_for(lambda: rig.alive and rig.alive[0].ready, 60)
        rig.feed.begin(sent, per_second=len(sent) / 20)
        wait_for(lambda: rig.feed.position > len(sent) * 0.4, 30)
        broker.kill()
        time.sleep(3)
        broker.start()
        wait_for(lambda: rig.feed.position > len(sent) * 0.72, 60)
        broker.pause()
        time.sleep(10)
        broker.resume()
        rig.feed.finish(90)
        told = rig.finish(sent, 90)
        assert told.incidents
        rig.check(told, surprises=True)


def test_state_that_is_refused_for_a_while_holds_the_acknowledgements_back_and_loses_nothing(
    broker: Broker, tmp_path: Path, prefix: str
) -> None:
    seed = 22
    print("seed", seed)
    with SlackStandIn(pace=0.0) as slack, Rig(broker, tmp_path, prefix, slack=slack) as rig:
        sent = frames(seed, names_for([0, 2], 4), seconds=60)
        rig.keep(1)
        wait_for(lambda: rig.alive and rig.alive[0].ready, 60)
        rig.feed.begin(sent, per_second=len(sent) / 10)
        wait_for(lambda: rig.feed.position > len(sent) * 0.5, 30)
        with Admin(rig.kafka) as admin:
            admin.alter(rig.topics.state, {"max.message.bytes": "100"})
            wait_for(lambda: rig.restarts > 1, 40)
            admin.alter(rig.topics.state, {"max.message.bytes": "2000000"})
        rig.feed.finish()
        told = rig.finish(sent)
        assert told.incidents
        rig.check(told, surprises=True)
        assert rig.workers[0].code == 70


def test_while_slack_is_away_nothing_is_lost_and_afterwards_each_step_is_told_once(
    broker: Broker, tmp_path: Path, prefix: str
) -> None:
    seed = 23
    print("seed", seed)
    with SlackStandIn(pace=0.0) as slack, Rig(broker, tmp_path, prefix, slack=slack) as rig:
        sent = frames(seed, names_for([0, 1], 4), seconds=60)
        first = rig.ready(rig.start())
        slack.fail_next(4)
        slack.lose_answers(2)
        rig.feed.send(sent)
        wait_for(rig.incidents, 30)
        time.sleep(1)
        first.kill()
        slack.lose_answers(1)
        second = rig.ready(rig.start())
        told = rig.finish(sent)
        assert told.incidents
        rig.check(told)
        assert second.code is None
