"""Consumers that read a topic that was filled before, each a process of its own, and tell what that cost.

``python -m tests.benchmarks.kafka_consumers <which> <address> <topics> <records>`` prints a line of JSON:
the seconds of processor time from the first record to the last, all threads counted, and where they went.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from swirl.effect import WindowClosed

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl.effect import Effect

READERS: dict[str, Callable[[str, str, int], None]] = {}


class Spent:
    """Processor time of this process from the first record to the last.

    Args:
        records: that are expected; after the last one the process tells and ends.
    """

    def __init__(self, records: int) -> None:
        self.records, self.seen, self._since = records, 0, 0.0
        self.parts: Callable[[], dict[str, float]] = dict

    def record(self, more: int = 1) -> None:
        """Records are done; called at the first one before the work, too, with 0."""
        if not self._since:
            self._since = time.process_time()
        self.seen += more
        if self.seen >= self.records:
            self._tell()

    def _tell(self) -> None:
        told = {"cpu_s": time.process_time() - self._since, "seen": self.seen} | self.parts()
        print(json.dumps(told), flush=True)
        os._exit(0)


def faust_reader(address: str, topics: str, records: int) -> None:
    """A plain Faust pipeline: one JSON record a message, the invalid ones counted."""
    import faust
    import uvloop

    class Scored(faust.Record):
        text: str
        label: str
        certainty: float
        seconds: float
        valid: bool

    app = faust.App("plain", broker=f"kafka://{address}", web_enabled=False, topic_disable_leader=True)
    spent, invalid = Spent(records), 0

    @app.agent(app.topic(f"{topics}.frames", value_type=Scored))
    async def count(stream: Any) -> None:
        nonlocal invalid
        async for scored in stream:
            spent.record(0)
            if not scored.valid:
                invalid += 1
            spent.record()

    app.finalize()
    uvloop.run(_run(app))


async def _run(app: Any) -> None:
    app.loop = asyncio.get_running_loop()
    await app.start()
    await asyncio.Event().wait()


class Scored(msgspec.Struct):
    """What a pipeline would send for each record if it sent each record."""

    text: str
    label: str
    certainty: float
    seconds: float
    valid: bool


def aiokafka_reader(address: str, topics: str, records: int) -> None:
    """The same by hand: aiokafka's ``getmany``, and msgspec, quicker than orjson where types are known."""
    import uvloop
    from aiokafka import AIOKafkaConsumer

    decode, spent = msgspec.json.Decoder(Scored).decode, Spent(records)

    async def work() -> None:
        invalid = 0
        consumer = AIOKafkaConsumer(
            f"{topics}.frames",
            bootstrap_servers=address,
            group_id="by-hand",
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=4_000_000,
        )
        await consumer.start()
        spent.record(0)  # one call may unpack them all
        while True:
            for messages in (await consumer.getmany(timeout_ms=200)).values():
                for message in messages:
                    if not decode(message.value).valid:
                        invalid += 1
                spent.record(len(messages))

    uvloop.run(work())


def worker(address: str, topics: str, records: int, *, split: bool = False) -> None:
    """Swirl's worker as ``swirl worker`` runs it; ``split``: with the time of its parts."""
    os.environ |= {"SWIRL_KAFKA": address, "SWIRL_TOPICS": topics, "SWIRL_GROUP": topics, "SWIRL_HTTP": ""}
    from swirl.engine.faust.app import from_environment
    from swirl.engine.faust.worker import run

    spent = Spent(records)
    if split:
        _split(spent)
    app = from_environment()
    take = app.shards.take

    async def counted(
        partition: int, offset: int, log_ms: int, key: bytes | None, value: bytes | None
    ) -> None:
        if key is None:  # a tick
            await take(partition, offset, log_ms, key, value)
            return
        spent.record(0)
        await take(partition, offset, log_ms, key, value)
        spent.record()

    app.shards.take = counted  # type: ignore[method-assign] # the same work, counted
    run(app)


def live_worker(address: str, topics: str, records: int) -> None:
    """The worker as it runs on and on; it tells how it stands a few times a second, a line of JSON each."""
    os.environ |= {"SWIRL_KAFKA": address, "SWIRL_TOPICS": topics, "SWIRL_GROUP": topics, "SWIRL_HTTP": ""}
    from swirl.engine.faust.app import from_environment
    from swirl.engine.faust.worker import leave, run

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("swirl.worker").setLevel(logging.INFO)
    app = from_environment()
    take, handle = app.shards.take, app.shards.exporter.handle
    newest_ms, series = 0, dict[str, int]()

    async def noted(partition: int, offset: int, log_ms: int, key: bytes | None, value: bytes | None) -> None:
        nonlocal newest_ms
        await take(partition, offset, log_ms, key, value)
        newest_ms = log_ms

    def counted(effect: Effect) -> None:
        if isinstance(effect, WindowClosed):
            series[effect.pipeline] = effect.health.series
        handle(effect)

    def tell() -> None:
        while True:
            standing = Standing(
                at=time.time(),
                cpu_s=time.process_time(),
                ready=app.shards.ready,
                newest_ms=newest_ms,
                series=sum(list(series.values())),
                snapshots=app.shards.figures().snapshots,
                snapshot_bytes=app.shards.figures().snapshot_bytes,
            )
            print(msgspec.json.encode(standing).decode(), flush=True)
            time.sleep(0.2)

    app.shards.take = noted  # type: ignore[method-assign] # the same work, watched
    app.shards.exporter.handle = counted  # type: ignore[method-assign] # as above
    threading.Thread(target=tell, daemon=True).start()
    leave(run(app))


class Standing(msgspec.Struct, frozen=True):
    """How a worker stands.

    Attributes:
        at: seconds since 1970.
        cpu_s: processor seconds since it started.
        ready: as ``/readyz`` says.
        newest_ms: log time of the newest record that was folded.
        series: of all pipelines.
        snapshots, snapshot_bytes: written since it started.
    """

    at: float = 0.0
    cpu_s: float = 0.0
    ready: bool = False
    newest_ms: int = 0
    series: int = 0
    snapshots: int = 0
    snapshot_bytes: int = 0

    @property
    def caught_up(self) -> bool:
        """Whether it folds what comes, and no longer what came."""
        return self.ready and self.at - self.newest_ms / 1000 < 2.0


def split_worker(address: str, topics: str, records: int) -> None:
    """The worker with the time of its parts; the clocks cost a little themselves."""
    worker(address, topics, records, split=True)


def _split(spent: Spent) -> None:
    """Put clocks around what a worker does; those inside others are taken off by who reads the table."""
    from swirl import monitor
    from swirl.engine.shard import Shard
    from swirl.engine.shards import Shards
    from swirl.monitor.pipeline import PipelineMonitor

    seconds: dict[str, float] = {}
    clock = time.thread_time

    def timed(owner: Any, name: str, part: str) -> None:
        inner = getattr(owner, name)
        seconds[part] = 0.0

        def outer(*given: Any, **named: Any) -> Any:
            since = clock()
            try:
                return inner(*given, **named)
            finally:
                seconds[part] += clock() - since

        setattr(owner, name, outer)

    def timed_generator(owner: Any, name: str, part: str) -> None:
        inner = getattr(owner, name)
        seconds[part] = 0.0

        def outer(*given: Any, **named: Any) -> Any:
            since = clock()
            result = yield from inner(*given, **named)
            seconds[part] += clock() - since
            return result

        setattr(owner, name, outer)

    timed(monitor, "decode", "decode")
    timed(Shard, "fold", "fold")
    timed(Shard, "begin_snapshot", "snapshot")
    timed_generator(PipelineMonitor, "_close", "close")
    carry = Shards._carry
    seconds["effects"] = 0.0

    async def carried(self: Any, shard: Any, effects: Any) -> None:
        since = clock()
        await carry(self, shard, effects)
        seconds["effects"] += clock() - since

    Shards._carry = carried  # type: ignore[method-assign] # as above
    before: dict[str, float] = {}

    def parts() -> dict[str, float]:
        threads = _threads()
        main = threads.pop("main")
        return {
            "main": main - before.get("main", 0.0),
            **{f"thread {name}": spent_s - before.get(name, 0.0) for name, spent_s in threads.items()},
            **{name: value - before.get(f"part {name}", 0.0) for name, value in seconds.items()},
        }

    first = spent.record

    def record(more: int = 1) -> None:
        if not before:
            before.update(_threads())
            before.update({f"part {name}": value for name, value in seconds.items()})
        first(more)

    spent.record = record  # type: ignore[method-assign] # as above
    spent.parts = parts


def _threads() -> dict[str, float]:
    """Processor seconds of each thread of this process, by its name."""
    tick = os.sysconf("SC_CLK_TCK")
    names = {
        thread.native_id: "main" if thread is threading.main_thread() else thread.name
        for thread in threading.enumerate()
    }
    found: dict[str, float] = {}
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        name = names.get(int(task.name), "others")
        found[name] = found.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / tick
    return found


READERS |= {
    "faust": faust_reader,
    "aiokafka": aiokafka_reader,
    "worker": worker,
    "split": split_worker,
    "live": live_worker,
}

if __name__ == "__main__":
    which, at, prefix, count = sys.argv[1:]
    READERS[which](at, prefix, int(count))
