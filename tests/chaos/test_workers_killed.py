"""Workers are killed, join and leave while frames come in."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from swirl.testing import SlackStandIn
from swirl.testing.broker import Broker
from tests.chaos.feed import frames, names_for
from tests.chaos.rig import Rig, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def test_a_log_gives_the_same_incidents_from_workers_that_are_killed_and_rebalanced_as_from_one_monitor(
    broker: Broker, tmp_path: Path, prefix: str
) -> None:
    seed = 11
    print("seed", seed)
    chance = random.Random(seed)
    with SlackStandIn(pace=0.0) as slack, Rig(broker, tmp_path, prefix, slack=slack) as rig:
        sent = frames(seed, names_for([0, 0, 1, 2, 3], 4), seconds=60)
        first = rig.ready(rig.start())
        rig.feed.begin(sent, per_second=len(sent) / 20)
        second = rig.ready(rig.start())
        time.sleep(chance.uniform(0, 2))
        first.kill()
        third = rig.ready(rig.start())
        second.terminate()
        assert second.wait(15) == 0
        wait_for(lambda: not rig.feed.busy, 60)
        rig.feed.finish()
        told = rig.finish(sent)
        assert told.incidents
        rig.check(told)
        assert third.code is None


def test_a_worker_that_stood_still_too_long_ends_and_tells_nothing_twice(
    broker: Broker, tmp_path: Path, prefix: str
) -> None:
    seed = 5
    print("seed", seed)
    with SlackStandIn(pace=0.0) as slack, Rig(broker, tmp_path, prefix, slack=slack) as rig:
        sent = frames(seed, names_for([0, 1], 4), seconds=60)
        first = rig.ready(rig.start())
        rig.feed.begin(sent, per_second=len(sent) / 10)
        slack.fail_next(4)  # so that it stands still with messages that it has yet to send
        wait_for(lambda: first.metric("swirl_sink_retries_total") > 0, 30)
        first.stop()
        second = rig.ready(rig.start())
        wait_for(lambda: "partitions 0, 1, 2, 3" in second.get("/readyz")[1], 40, second.words)
        rig.feed.finish()
        told = rig.finish(sent)
        first.expected.add(76)
        first.go_on()
        assert first.wait(5) == 76
        assert told.incidents
        rig.check(told)


def test_workers_that_begin_together_while_the_first_frames_come_leave_none_out(
    broker: Broker, tmp_path: Path, prefix: str
) -> None:
    """Partitions come, go and come again before anything of them was ever acknowledged."""
    seed = 3
    print("seed", seed)
    with Rig(broker, tmp_path, prefix) as rig:
        sent = frames(seed, names_for([0, 0, 1, 2, 3], 4), seconds=20)
        rig.keep(2)
        wait_for(lambda: any(worker.ready for worker in rig.alive), 60)
        rig.feed.begin(sent, per_second=len(sent) / 12)
        rig.alive[0].kill()
        wait_for(lambda: rig.feed.position > len(sent) // 2, 30)
        rig.alive[0].kill()
        rig.feed.finish()
        told = rig.finish(sent)
        assert told.incidents
        rig.check(told)
