"""What happens between two awaits: partitions go, the worker dies, a rebalance cuts in."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from swirl.effect import IncidentChanged, WindowClosed
from swirl.engine.pieces import Record
from swirl.engine.shard import TICK
from swirl.engine.shards import Shards
from swirl.engine.wire import DeadLetter, IncidentRecord, WindowPart
from swirl.kafka.topics import Topics
from swirl.monitor import Monitor
from swirl.monitor.pipeline import PipelineMonitor
from swirl.settings import KafkaSettings, MonitorSettings, WorkerSettings
from tests.engine.memory_log import MemoryLog
from tests.monitor.log import Entry, make_log

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from swirl.effect import Effect
    from swirl.frame import Frame, Tick

SETTINGS = MonitorSettings(window_seconds=1, lateness_seconds=0, silence_seconds=3, skew_seconds=60)
TOPICS = Topics.of(KafkaSettings())
STARTED: list[Shards] = []


@pytest.fixture(autouse=True)
def end_threads() -> Iterator[None]:
    """Dead workers of a test are dead in this process too."""
    yield
    while STARTED:
        STARTED.pop().outlet.close(0.0)


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    return make_log(3, pipelines=3, emitters=2, seconds=55)


def scene(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that runs in an event loop."""

    @functools.wraps(test)
    def run(**given: Any) -> None:
        asyncio.run(test(**given))

    return run


class Held(MemoryLog):
    """Writes to one topic wait until they are let through."""

    def __init__(self) -> None:
        super().__init__()
        self.topic = ""
        self.fails_once = False
        self.waits, self.through = asyncio.Event(), asyncio.Event()

    async def write(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        if topic == self.topic:
            self.waits.set()
            await self.through.wait()
            if self.fails_once:
                self.fails_once = False
                raise ConnectionError("the broker has gone")
        await super().write(topic, partition, records)


class Told:
    """A sink that remembers."""

    name = "told"

    def __init__(self) -> None:
        self.changes: list[IncidentChanged] = []

    def handle(self, effect: Effect) -> None:
        assert isinstance(effect, IncidentChanged)
        self.changes.append(effect)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def worker(log: MemoryLog, clock: Clock | None = None, **given: Any) -> tuple[Shards, Told]:
    told = Told()
    settings = WorkerSettings(snapshot_seconds=5)
    shards = Shards(
        *(log, TOPICS, SETTINGS, settings), sink=told, threads={}, clock=clock or Clock(), **given
    )
    STARTED.append(shards)
    return shards, told


async def take(shards: Shards, entries: list[Entry], offset: int, partition: int = 0) -> None:
    entry = entries[offset]
    await shards.take(partition, offset, entry.log_ms, entry.pipeline.encode(), entry.payload)


async def until_a_step_is_written(shards: Shards, log: Held, entries: list[Entry]) -> asyncio.Task[None]:
    """Fold until the first step of an incident waits to be written to its topic."""
    log.topic = TOPICS.incidents
    for offset in range(len(entries)):
        task = asyncio.ensure_future(take(shards, entries, offset))
        waiting = asyncio.ensure_future(log.waits.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not task.done():
            return task
    raise AssertionError("no incident")


def steps(log: MemoryLog) -> list[str]:
    values = log.values(TOPICS.incidents)
    return [msgspec.msgpack.decode(value, type=IncidentRecord).change.identity for value in values]


@scene
async def test_no_snapshot_runs_ahead_of_a_step_that_is_not_written_down(entries: list[Entry]) -> None:
    log, clock = Held(), Clock()
    shards, _ = worker(log, clock)
    await shards.assign({0})
    task = await until_a_step_is_written(shards, log, entries)
    clock.now += 100
    saving = [asyncio.ensure_future(shards.save()) for _ in range(5)]
    await asyncio.sleep(0.01)
    task.cancel()  # the worker dies here
    for each in saving:
        each.cancel()
    log.topic = ""
    after, told = worker(log)
    await after.assign({0})
    for offset in range(log.acknowledged.get(0, 0), len(entries)):
        await take(after, entries, offset)
    assert await asyncio.to_thread(after.outlet.drain, 5.0)
    assert steps(log)
    assert sorted({change.identity for change in told.changes}) == sorted(set(steps(log)))
    fresh, everything = worker(MemoryLog())
    await fresh.assign({0})
    for offset in range(len(entries)):
        await take(fresh, entries, offset)
    assert await asyncio.to_thread(fresh.outlet.drain, 5.0)
    assert {change.identity for change in told.changes} == {change.identity for change in everything.changes}


@scene
async def test_what_was_told_of_a_partition_that_went_meanwhile_is_left_to_its_new_owner(
    entries: list[Entry],
) -> None:
    log, clock = Held(), Clock()
    shards, told = worker(log, clock)
    await shards.assign({0, 1})
    task = await until_a_step_is_written(shards, log, entries)
    await shards.assign({1})
    log.through.set()
    await task
    assert await asyncio.to_thread(shards.outlet.drain, 5.0)
    assert told.changes == []
    clock.now += 60
    await take(shards, entries, 0, partition=1)
    assert shards.stalled_s() == 0.0


@scene
async def test_between_the_going_and_the_coming_of_partitions_nothing_is_acknowledged(
    entries: list[Entry],
) -> None:
    log, clock = Held(), Clock()
    shards, _ = worker(log, clock)
    await shards.assign({0})
    for offset in range(20):
        await take(shards, entries, offset)
    await shards.let_go(5.0)
    safe = log.acknowledged[0]
    assert safe == 20
    await take(shards, entries, 20)  # it was on its way
    clock.now += 100
    await shards.save()
    await shards.save()
    assert log.acknowledged[0] == safe


@scene
async def test_a_snapshot_that_a_rebalance_overtakes_is_finished_and_others_follow(
    entries: list[Entry],
) -> None:
    log, clock = Held(), Clock()
    shards, _ = worker(log, clock)
    await shards.assign({0})
    for offset in range(20):
        await take(shards, entries, offset)
    log.topic = TOPICS.state
    await shards.let_go(0.01)
    assert log.waits.is_set()
    log.topic = ""
    log.through.set()
    await shards.assign({0})
    for offset in range(20, 40):
        await take(shards, entries, offset)
        clock.now += 10
        await shards.save()
    await shards.save_all()
    assert log.acknowledged[0] == 40


@scene
async def test_state_that_is_refused_during_a_rebalance_ends_the_worker(entries: list[Entry]) -> None:
    log = Held()
    shards, _ = worker(log)
    await shards.assign({0})
    await take(shards, entries, 0)
    log.fail_after = 0
    with pytest.raises(ConnectionError):
        await shards.let_go(5.0)


@scene
async def test_a_partition_of_many_pipelines_does_not_keep_the_snapshots_of_the_others_back(
    entries: list[Entry],
) -> None:
    log, clock = Held(), Clock()
    shards, _ = worker(log, clock)
    await shards.assign({0, 1})
    await take(shards, entries, 0, partition=1)
    for offset in range(30):
        await take(shards, entries, offset)
    found = set()
    for offset in range(30, 60):
        clock.now += 5
        await take(shards, entries, offset)
        await shards.save()
        found |= {partition for topic, partition in log.records if topic == TOPICS.state}
    assert found == {0, 1}


@scene
async def test_a_record_without_a_value_is_a_dead_letter(entries: list[Entry]) -> None:
    log = MemoryLog()
    shards, _ = worker(log)
    await shards.assign({0})
    await shards.take(0, 0, entries[0].log_ms, b"\xff", None)
    [value] = log.values(TOPICS.dead_letters)
    letter = msgspec.msgpack.decode(value, type=DeadLetter)
    assert (letter.cause, letter.key, letter.value, letter.size) == ("foreign", b"\xff", b"", 0)


@scene
async def test_while_kafka_is_not_heard_nobody_is_told_and_afterwards_all_are(entries: list[Entry]) -> None:
    log, clock = Held(), Clock()
    shards, told = worker(log, clock)
    await shards.assign({0})
    task = await until_a_step_is_written(shards, log, entries)
    clock.now += 8.0  # nothing was folded for nearly a session

    class Unheard(dict[int, float]):
        """Whatever is folded now was on its way before."""

        def __setitem__(self, partition: int, now: float) -> None:
            pass

    shards._progress = Unheard({0: clock.now - 8.0})
    log.through.set()
    await task
    assert not await asyncio.to_thread(shards.outlet.drain, 0.2)
    assert told.changes == []

    shards._progress = {0: clock.now}
    assert await asyncio.to_thread(shards.outlet.drain, 5.0)
    assert told.changes


@scene
async def test_a_log_that_was_made_anew_is_noticed_however_long_it_is(entries: list[Entry]) -> None:
    log, clock = Held(), Clock()
    shards, _ = worker(log, clock)
    await shards.assign({0})
    await take(shards, entries, 0)
    log.id = "second"
    await shards.save()
    clock.now += 20
    with pytest.raises(RuntimeError, match="made anew"):
        await shards.save()
    with pytest.raises(RuntimeError, match="made anew"):
        await shards.assign({0, 1})


@scene
async def test_a_log_that_was_made_anew_is_read_from_its_beginning_once_also_where_no_pipeline_was(
    entries: list[Entry],
) -> None:
    log = MemoryLog()
    first, _ = worker(log)
    await first.assign({0, 1})
    for offset in range(20):
        await take(first, entries, offset)
    await first.save_all()
    log.acknowledged[1] = 500  # ticks, and nothing else
    log.id = "second"
    second, _ = worker(log)
    await second.assign({0, 1})
    assert log.acknowledged == {0: 0, 1: 0}
    log.acknowledged = {0: 7, 1: 9}
    third, _ = worker(log)
    await third.assign({0, 1})
    assert log.acknowledged == {0: 7, 1: 9}


@scene
async def test_a_late_save_that_fails_is_not_forgotten_for_a_later_one(entries: list[Entry]) -> None:
    log = Held()
    shards, _ = worker(log)
    await shards.assign({0})
    for offset in range(100):
        await take(shards, entries, offset)
    log.topic = TOPICS.state
    for _ in range(2):  # two rebalances, while the broker takes nothing
        await shards.let_go(0.0)
        await shards.assign({0})
    log.fails_once = True
    log.through.set()

    await shards.save()  # it waits for those that are late
    with pytest.raises(ConnectionError):
        await shards.save()


@scene
async def test_a_pipeline_that_cannot_be_folded_stops_no_other(
    entries: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = PipelineMonitor.apply

    def fails(self: PipelineMonitor, log_ms: int, record: Frame | Tick) -> Any:
        if self.name == entries[0].pipeline:
            raise ZeroDivisionError
        return apply(self, log_ms, record)

    log = MemoryLog()
    shards, _ = worker(log)
    await shards.assign({0})
    monkeypatch.setattr(PipelineMonitor, "apply", fails)
    for number, entry in enumerate(entries):
        await shards.take(0, 2 * number, entry.log_ms, None, entry.payload)
        await shards.take(0, 2 * number + 1, entry.log_ms, None, TICK)
    monkeypatch.undo()

    plain = Monitor(SETTINGS)
    told = [
        effect.identity
        for entry in entries
        for payload in (entry.payload, TICK)
        for effect in plain.apply(plain.next_offset, entry.log_ms, payload)
        if isinstance(effect, IncidentChanged) and effect.incident.pipeline != entries[0].pipeline
    ]
    assert steps(log) == told != []
    assert shards.figures().dead_letters["fold_failed"] > 0


@scene
async def test_who_was_away_goes_on_where_others_came_to(entries: list[Entry]) -> None:
    log = MemoryLog()
    expelled, _ = worker(log)
    await expelled.assign({0})
    for offset in range(100):
        await take(expelled, entries, offset)
    between, _ = worker(log)
    await between.assign({0})
    for offset in range(log.acknowledged.get(0, 0), 200):
        await take(between, entries, offset)
    await between.save_all()

    await expelled.let_go(1.0)
    await expelled.assign({0}, seamless=False)
    for offset in range(log.acknowledged[0], len(entries)):
        await take(expelled, entries, offset)
    assert await asyncio.to_thread(expelled.outlet.drain, 5.0)

    assert log.acknowledged[0] == 200
    assert expelled.figures().log_gap_records == 0
    monitor = Monitor(SETTINGS)
    effects = [
        effect
        for offset, entry in enumerate(entries)
        for effect in monitor.apply(offset, entry.log_ms, entry.payload)
    ]
    assert steps(log) == [effect.identity for effect in effects if isinstance(effect, IncidentChanged)] != []
    closed = {effect.identity: effect for effect in effects if isinstance(effect, WindowClosed)}
    parts = [msgspec.msgpack.decode(value, type=WindowPart).window for value in log.values(TOPICS.windows)]
    assert {window.identity: window for window in parts} == closed
