"""However a worker ends, it ends soon, and its exit code says why."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

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
GRACE_S = 8.0
MARGIN_S = 4.0


def test_a_worker_that_is_told_to_end_while_it_begins_or_works_ends_with_0(
    broker: Broker, tmp_path: Path, prefix: str
) -> None:
    with Rig(broker, tmp_path, prefix) as rig:
        rig.feed.send(frames(51, names_for([0, 1], 4), seconds=30))
        early = rig.start()
        wait_for(lambda: "a worker of group" in early.words(), 30)
        late = rig.start()
        wait_for(lambda: "watching" in late.words(1000), 60, late.words)
        for worker in (early, late):
            worker.terminate()
        assert [worker.wait(GRACE_S + MARGIN_S) for worker in (early, late)] == [0, 0], early.words()


def test_without_a_broker_a_worker_ends_with_a_code_that_asks_for_another_start(
    own_broker: OwnBroker, tmp_path: Path, prefix: str
) -> None:
    broker = own_broker()
    with Rig(broker, tmp_path, prefix) as rig:
        rig.feed.send(frames(52, names_for([0, 1], 4), seconds=30))
        told = rig.ready(rig.start())
        left = rig.ready(rig.start())
        broker.kill()
        late = rig.start()
        time.sleep(1)
        told.terminate()
        assert told.wait(GRACE_S + MARGIN_S) == 75, told.words()
        assert late.wait(30) == 70, late.words()
        assert left.wait(40) in {70, 75}, left.words()
        assert left.dead_for < 20
