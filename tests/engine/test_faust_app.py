"""Between Faust and the partitions: what is posted is bounded, and who was expelled begins anew."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("faust", reason="the worker is not installed: pip install 'swirl-monitor[worker]'")

from swirl.engine.faust.app import WorkerApp
from swirl.engine.faust.kafka_log import KafkaLog
from swirl.engine.shards import Shards
from swirl.kafka.topics import Topics
from swirl.settings import KafkaSettings, MonitorSettings, WatchSettings, WorkerSettings
from tests.engine.memory_log import MemoryLog

TOPICS = Topics.of(KafkaSettings())


class Silent(MemoryLog):
    """Says of nothing that is only posted when it has arrived."""

    def __init__(self, through: asyncio.Event) -> None:
        super().__init__()
        self.sent = 0
        app: Any = SimpleNamespace(producer=SimpleNamespace(send=self._send))
        self.kafka = KafkaLog(app, KafkaSettings(), TOPICS, lambda: None)
        self.through = through
        self.post = self.kafka.post  # type: ignore[method-assign] # the real one
        self.calm = self.kafka.calm  # type: ignore[method-assign]

    async def _send(self, *_: Any) -> asyncio.Future[None]:
        await self.through.wait()
        self.sent += 1
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


def test_a_flood_of_what_cannot_be_read_waits_for_its_letters_and_loses_none() -> None:
    async def scene() -> None:
        through = asyncio.Event()
        log = Silent(through)
        sink: Any = SimpleNamespace(name="nobody")
        shards = Shards(log, TOPICS, MonitorSettings(), WorkerSettings(), sink=sink, threads={})
        await shards.assign({0})

        async def flood() -> None:
            for offset in range(500):
                await shards.take(0, offset, 1, b"", bytes(100_000))

        flooding = asyncio.ensure_future(flood())
        for _ in range(3):
            await asyncio.sleep(0)
        assert not flooding.done()
        assert 100 < shards.refused()["foreign"] < 200  # 16 MB of them

        through.set()
        await flooding
        await asyncio.gather(*log.kafka._posts)
        assert shards.refused()["foreign"] == log.sent == 500
        shards.outlet.close(0.0)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("generations", "seamless"),
    [
        ([3, 4, 5], [False, True, True]),
        ([3, 3], [False, True]),
        ([3, 5], [False, False]),
        ([7, 1], [False, False]),
        ([0, 0], [False, False]),
    ],
)
def test_who_missed_an_assignment_takes_over_anew(
    generations: list[int], seamless: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka, watch = KafkaSettings(kafka="localhost:9"), WatchSettings(http="")
    app = WorkerApp(kafka, MonitorSettings(), watch, WorkerSettings())
    asked: list[bool] = []

    async def assign(_: set[int], *, seamless: bool) -> None:
        asked.append(seamless)

    monkeypatch.setattr(app.shards, "assign", assign)
    for number in generations:
        consumer = SimpleNamespace(_coordinator=SimpleNamespace(generation=number))
        thread = SimpleNamespace(_consumer=consumer)
        monkeypatch.setattr(app, "_consumer", SimpleNamespace(assignment=set, _thread=thread))
        asyncio.run(app._assigned())

    app.shards.outlet.close(0.0)
    assert asked == seamless
