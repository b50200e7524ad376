"""Who tells people asks whether pipelines are still its own; those that are do not wait for the others."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import msgspec

from swirl.effect import IncidentChanged
from swirl.engine.messenger import Messenger
from swirl.engine.shard import Shard
from swirl.monitor import Monitor
from swirl.sinks.slack_memory import Threads
from tests.sinks.scene import DATA

if TYPE_CHECKING:
    from swirl.effect import Effect


class Ears:
    """A sink that remembers."""

    name = "ears"

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.told = threading.Event()

    def handle(self, effect: Effect) -> None:
        self.heard.append(effect.pipeline)
        self.told.set()


def shard(number: int) -> Shard:
    return Shard(number, Monitor(), "epoch", "log")


def opened(pipeline: str) -> IncidentChanged:
    return IncidentChanged("opened", msgspec.structs.replace(DATA, pipeline=pipeline))


def test_a_partition_that_is_not_heard_keeps_no_other_partition_waiting() -> None:
    async def scene() -> list[str]:
        ears, lost, well = Ears(), shard(0), shard(1)
        deaf = {0}
        messenger = Messenger(ears, {}, lambda: False, lambda one: one.partition not in deaf)
        for one in (lost, well):
            messenger.take_over(one)
        messenger.tell(lost, [opened("lost")])
        messenger.tell(well, [opened("well")])
        assert await asyncio.to_thread(ears.told.wait, 5)
        assert ears.heard == ["well"]
        deaf.clear()
        assert await asyncio.to_thread(messenger.outlet.drain, 5)
        assert messenger.outlet.counts.retried == 0
        messenger.outlet.close(0.0)
        return ears.heard

    assert asyncio.run(scene()) == ["well", "lost"]


def test_no_step_is_given_up_for_being_held_back_and_last_words_are_held_too() -> None:
    async def scene() -> None:
        ears, ours = Ears(), shard(0)
        messenger = Messenger(ears, {}, lambda: True, lambda _: True)
        messenger.take_over(ours)
        messenger.tell(ours, [opened("ads")])
        assert not await asyncio.to_thread(messenger.outlet.close, 0.3)
        assert ears.heard == []
        counts = messenger.outlet.counts
        assert (counts.pending, counts.retried, counts.failed) == (1, 0, 0)
        assert messenger.fenced > 0

    asyncio.run(scene())


def test_all_that_waited_when_a_partition_is_taken_over_is_told() -> None:
    async def scene() -> int:
        ears, ours = Ears(), shard(0)
        names = [f"p{number}" for number in range(1500)]
        for name in names:
            ours.outbox(name).add(opened(name))
        messenger = Messenger(ears, {}, lambda: False, lambda _: True)
        messenger.take_over(ours)
        assert await asyncio.to_thread(messenger.outlet.drain, 20)
        messenger.outlet.close(0.0)
        assert messenger.outlet.counts.dropped == 0
        return len(set(ears.heard))

    assert asyncio.run(scene()) == 1500


def test_a_worker_remembers_the_threads_of_all_its_open_incidents() -> None:
    """Also after months, when each pipeline has had very many."""

    async def scene() -> None:
        ours = shard(0)
        memory: dict[str, str] = {}
        threads = Threads(memory)
        incident = msgspec.structs.replace(DATA, state="resolved")
        for number in range(1000):
            outbox = ours.outbox(f"p{number}")
            for past in range(60):
                ident = f"p{number}-{past}"
                step = IncidentChanged("resolved", msgspec.structs.replace(incident, id=ident))
                outbox.settle(step, "C0ADS0001/1.000001")
        messenger = Messenger(Ears(), memory, lambda: False, lambda _: True)
        messenger.take_over(ours)
        for number in range(1000):
            threads.keep(f"chart/new{number}", "there")
        assert all(threads.place(f"p{number}-59") is not None for number in range(1000))
        assert len(memory) < 50_000
        messenger.outlet.close(0.0)

    asyncio.run(scene())
