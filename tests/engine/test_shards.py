"""A worker's partitions: nothing is lost, nothing counts twice, and what is safe is told to the log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from swirl.effect import IncidentChanged, VerdictChanged, WindowClosed
from swirl.engine.shards import Shards
from swirl.engine.wire import DeadLetter, IncidentRecord, WindowPart
from swirl.frame import Tick, Verdict, encode
from swirl.kafka.topics import Topics
from swirl.monitor import Monitor
from swirl.settings import KafkaSettings, MonitorSettings, WorkerSettings
from tests.engine.memory_log import MemoryLog
from tests.monitor.log import make_log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swirl.effect import Effect

SETTINGS = MonitorSettings(window_seconds=1, lateness_seconds=0, silence_seconds=3, skew_seconds=60)
TOPICS = Topics.of(KafkaSettings())
STARTED: list[Shards] = []


@pytest.fixture(autouse=True)
def end_threads() -> Iterator[None]:
    """Dead workers of a test are dead in this process too."""
    yield
    while STARTED:
        STARTED.pop().outlet.close(0.0)


class Told:
    """A sink that remembers, and may refuse for a while."""

    name = "told"

    def __init__(self) -> None:
        self.changes: list[IncidentChanged] = []
        self.doubted: list[str] = []
        self.away = False

    def handle(self, effect: Effect) -> None:
        if self.away:
            raise ConnectionError("nobody listens")
        assert isinstance(effect, IncidentChanged)
        self.changes.append(effect)

    def doubt(self, identity: str) -> None:
        self.doubted.append(identity)


class Rig:
    """Workers on one log, one after the other."""

    def __init__(self, seed: int = 3, **settings: Any) -> None:
        self.log = MemoryLog()
        self.entries = make_log(seed, pipelines=3, emitters=2, seconds=55)
        self.worker = WorkerSettings(**settings)
        self.now = 0.0

    def start(self, sink: Told | None = None, **given: Any) -> Shards:
        shards = Shards(
            *(self.log, TOPICS, SETTINGS, self.worker),
            sink=sink or Told(),
            threads=given.pop("threads", {}),
            clock=lambda: self.now,
            **given,
        )
        STARTED.append(shards)
        return shards

    async def feed(self, shards: Shards, start: int, end: int | None = None) -> None:
        for offset, entry in list(enumerate(self.entries))[start:end]:
            await shards.take(0, offset, entry.log_ms, entry.pipeline.encode(), entry.payload)

    def incidents(self) -> list[IncidentChanged]:
        """As the log tells them, each step once."""
        records = [
            msgspec.msgpack.decode(value, type=IncidentRecord) for value in self.log.values(TOPICS.incidents)
        ]
        changes = [record.change for record in records if isinstance(record.change, IncidentChanged)]
        return list({change.identity: change for change in changes}.values())

    def windows(self) -> dict[str, WindowClosed]:
        parts = [msgspec.msgpack.decode(value, type=WindowPart) for value in self.log.values(TOPICS.windows)]
        return {part.window.identity: part.window for part in parts}

    def truth(self) -> list[Effect]:
        monitor = Monitor(SETTINGS)
        told: list[Effect] = []
        for offset, entry in enumerate(self.entries):
            told += monitor.apply(offset, entry.log_ms, entry.payload)
        return told


async def feed_and_save(rig: Rig, shards: Shards, start: int = 0, end: int | None = None) -> None:
    for offset in range(start, len(rig.entries) if end is None else end):
        rig.now += 0.2
        await rig.feed(shards, offset, offset + 1)
        await shards.save()


async def settled(shards: Shards) -> None:
    """Wait for the outlet, and for what it says to arrive."""
    assert await asyncio.to_thread(shards.outlet.drain, 5.0)
    for _ in range(3):
        await asyncio.sleep(0)


def run(scene: Any) -> None:
    asyncio.run(scene)


def test_a_worker_tells_what_the_plain_fold_tells() -> None:
    async def scene() -> None:
        rig, sink = Rig(), Told()
        shards = rig.start(sink)
        await shards.assign({0})
        await rig.feed(shards, 0)
        await settled(shards)

        truth = rig.truth()
        steps = [effect for effect in truth if isinstance(effect, IncidentChanged)]
        assert len(steps) > 1
        assert msgspec.msgpack.encode(rig.incidents()) == msgspec.msgpack.encode(steps)
        assert sink.changes == steps
        closed = {effect.identity: effect for effect in truth if isinstance(effect, WindowClosed)}
        assert rig.windows() == closed
        verdicts = [effect.verdict for effect in truth if isinstance(effect, VerdictChanged)]
        told = [msgspec.msgpack.decode(v, type=Verdict) for v in rig.log.values(TOPICS.feedback)]
        assert told == verdicts

    run(scene())


@pytest.mark.parametrize("seed", range(3))
def test_workers_that_die_anywhere_tell_the_same_and_nothing_twice(seed: int) -> None:
    async def scene() -> None:
        rig, sink = Rig(seed, snapshot_seconds=7), Told()
        reached = 0
        cuts = [40 + 37 * seed % 90, 130, 131, 260, len(rig.entries)]
        for cut in cuts:
            shards = rig.start(sink)
            await shards.assign({0})
            await feed_and_save(rig, shards, rig.log.acknowledged.get(0, 0), cut)
            await settled(shards)
            await shards.save()  # what was told is written down; then it dies
            assert rig.log.acknowledged.get(0, 0) >= reached
            reached = rig.log.acknowledged.get(0, 0)

        steps = [effect for effect in rig.truth() if isinstance(effect, IncidentChanged)]
        assert 0 < reached < len(rig.entries)
        assert msgspec.msgpack.encode(rig.incidents()) == msgspec.msgpack.encode(steps)
        assert sorted(change.identity for change in sink.changes) == sorted(step.identity for step in steps)
        assert rig.windows() == {e.identity: e for e in rig.truth() if isinstance(e, WindowClosed)}

    run(scene())


@pytest.mark.parametrize("fail_after", [0, 9, 28, 45])
def test_a_log_that_fails_in_the_middle_of_writing_loses_nothing(fail_after: int) -> None:
    async def scene() -> None:
        rig, sink = Rig(5, snapshot_seconds=2), Told()
        shards = rig.start(sink)
        await shards.assign({0})
        rig.log.fail_after = fail_after
        with pytest.raises(ConnectionError):
            await feed_and_save(rig, shards)
        rig.log.fail_after = None

        heir = rig.start(sink)
        await heir.assign({0})
        await rig.feed(heir, rig.log.acknowledged.get(0, 0))
        await settled(heir)

        steps = [effect for effect in rig.truth() if isinstance(effect, IncidentChanged)]
        assert msgspec.msgpack.encode(rig.incidents()) == msgspec.msgpack.encode(steps)
        assert {change.identity for change in sink.changes} == {step.identity for step in steps}

    run(scene())


def test_nothing_is_acknowledged_before_its_pipeline_is_safe() -> None:
    async def scene() -> None:
        rig = Rig(snapshot_seconds=1)
        shards = rig.start()
        await shards.assign({0})
        await rig.feed(shards, 0, 30)
        await shards.save()
        assert rig.log.acknowledged.get(0, 0) == 0

        rig.now = 10.0
        await shards.save()
        assert rig.log.acknowledged[0] < 5  # one of three pipelines
        rig.now = 20.0
        await shards.save()
        rig.now = 30.0
        await shards.save()
        assert rig.log.acknowledged[0] == 30

    run(scene())


def test_all_is_safe_when_a_worker_ends_in_peace() -> None:
    async def scene() -> None:
        rig = Rig()
        shards = rig.start()
        await shards.assign({0})
        await rig.feed(shards, 0, 100)

        await shards.save_all()

        assert rig.log.acknowledged[0] == 100
        heir = rig.start()
        await heir.assign({0})
        assert heir.figures().pipelines == 3
        await rig.feed(heir, 0, 100)
        assert heir.figures().frames_redelivered == 100

    run(scene())


def test_counters_do_not_go_back_while_an_heir_catches_up() -> None:
    async def scene() -> None:
        rig = Rig(snapshot_seconds=1)
        shards = rig.start()
        await shards.assign({0})
        await rig.feed(shards, 0, 200)
        await shards.save_all()
        rig.log.end = 300  # it folded so many before it died
        heir = rig.start()
        await heir.assign({0})

        def exported() -> list[float]:
            families = heir.exporter.collect()
            return [s.value for f in families for s in f.samples if s.name == "swirl_frames_total"]

        await rig.feed(heir, 200, 290)
        assert exported() == []
        await rig.feed(heir, 290, 300)
        before = sum(exported())
        assert before > 200
        await rig.feed(heir, 300)
        assert sum(exported()) > before

    run(scene())


def test_what_was_pending_is_told_by_the_heir_who_doubts_it() -> None:
    async def scene() -> None:
        rig, deaf, sink = Rig(), Told(), Told()
        deaf.away = True
        shards = rig.start(deaf)
        await shards.assign({0})
        await rig.feed(shards, 0)
        await shards.save_all()

        heir = rig.start(sink)
        await heir.assign({0})
        await settled(heir)

        steps = [effect for effect in rig.truth() if isinstance(effect, IncidentChanged)]
        assert [change.identity for change in sink.changes] == sink.doubted
        assert sorted(sink.doubted) == sorted(step.identity for step in steps)

    run(scene())


def test_threads_are_known_to_the_heir() -> None:
    async def scene() -> None:
        rig = Rig()
        threads: dict[str, str] = {}

        class Threads(Told):
            def handle(self, effect: Effect) -> None:
                super().handle(effect)
                assert isinstance(effect, IncidentChanged)
                threads[effect.incident.id] = f"C1/{effect.incident.id}"

        shards = rig.start(Threads(), threads=threads)
        await shards.assign({0})
        await rig.feed(shards, 0)
        await settled(shards)
        await shards.save_all()
        inherited: dict[str, str] = {}
        heir = rig.start(threads=inherited)
        await heir.assign({0})

        assert inherited == threads != {}
        await heir.assign(set())
        assert inherited == {}

    run(scene())


def test_a_partition_that_goes_away_is_forgotten() -> None:
    async def scene() -> None:
        rig = Rig()
        shards = rig.start()
        await shards.assign({0, 1})
        await rig.feed(shards, 0, 200)
        assert shards.figures().pipelines == 3

        await shards.assign({1})

        assert shards.partitions == (1,)
        assert shards.figures().pipelines == 0
        await rig.feed(shards, 200, 210)  # on their way when it went
        assert shards.figures().pipelines == 0
        assert shards.figures().rebalances == 2

    run(scene())


def test_who_may_have_lost_its_partitions_tells_nobody() -> None:
    async def scene() -> None:
        rig, sink = Rig(), Told()
        shards = rig.start(sink, fenced=lambda: True)
        await shards.assign({0})
        await rig.feed(shards, 0)
        assert not await asyncio.to_thread(shards.outlet.drain, 0.1)

        assert sink.changes == []
        assert shards.figures().fenced > 0

    run(scene())


def test_a_log_that_was_made_anew_is_read_from_its_beginning(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        rig = Rig()
        shards = rig.start()
        await shards.assign({0})
        await rig.feed(shards, 0, 100)
        await shards.save_all()

        rig.log.id = "second"
        heir = rig.start()
        await heir.assign({0})
        assert rig.log.acknowledged[0] == 0
        assert heir.figures().pipelines == 0
        await rig.feed(heir, 0, 50)
        assert heir.figures().pipelines == 3
        assert "deleted and made anew" in caplog.text

    run(scene())


def test_state_of_a_later_version_is_told_and_left_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        rig = Rig()
        first = rig.start()
        await first.assign({0})
        await rig.feed(first, 0, 30)
        await first.save_all()
        written = rig.log.records[TOPICS.state, 0]
        heads = [record for record in written if record.key.startswith(b'["head"')]
        assert heads
        for head in heads:
            later = {**msgspec.msgpack.decode(head.value or b""), "schema": 2}
            written[written.index(head)] = head._replace(value=msgspec.msgpack.encode(later))
        second = rig.start()
        await second.assign({0})

        assert f"{len(heads)} records of the state are of another version" in caplog.text
        assert second.figures().pipelines == 0

    run(scene())


def test_records_that_were_gone_are_counted() -> None:
    async def scene() -> None:
        rig = Rig()
        shards = rig.start()
        await shards.assign({0})
        await rig.feed(shards, 0, 10)
        await rig.feed(shards, 25, 30)

        assert shards.figures().log_gap_records == 15

    run(scene())


def test_records_that_were_gone_before_a_worker_came_are_counted_too() -> None:
    async def scene() -> None:
        rig = Rig()
        first = rig.start()
        await first.assign({0})
        await rig.feed(first, 0, 10)
        await first.save_all()
        rig.log.first = 25
        second = rig.start()
        await second.assign({0})
        await rig.feed(second, 25, 30)

        assert second.figures().log_gap_records == 15

    run(scene())


def test_what_cannot_be_read_is_kept_apart_with_its_cause() -> None:
    async def scene() -> None:
        rig = Rig()
        shards = rig.start()
        await shards.assign({0})
        await shards.take(0, 0, 1_000, b"\xff\xfe", b"no frame")

        (value,) = rig.log.values(TOPICS.dead_letters)
        letter = msgspec.msgpack.decode(value, type=DeadLetter)
        assert (letter.partition, letter.offset, letter.log_ms, letter.cause) == (0, 0, 1_000, "foreign")
        assert (letter.key, letter.value, letter.size) == (b"\xff\xfe", b"no frame", 8)
        assert shards.refused() == {"foreign": 1}

    run(scene())


def test_dead_letters_are_only_counted_where_nobody_wants_them() -> None:
    async def scene() -> None:
        rig = Rig(dead_letters=False)
        shards = rig.start()
        await shards.assign({0})
        await shards.take(0, 0, 1_000, None, b"no frame")

        assert rig.log.values(TOPICS.dead_letters) == []
        assert shards.figures().dead_letters == {"foreign": 1}

    run(scene())


def test_a_record_that_the_fold_cannot_stand_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        rig = Rig()
        shards = rig.start()
        await shards.assign({0})
        monkeypatch.setattr(Monitor, "apply", lambda *_: 1 / 0)
        await rig.feed(shards, 0, 1)
        monkeypatch.undo()
        await rig.feed(shards, 1, 20)

        assert shards.figures().dead_letters == {"fold_failed": 1}
        assert shards.figures().pipelines > 0

    run(scene())


def test_ticks_go_to_every_partition_and_let_time_pass() -> None:
    async def scene() -> None:
        rig = Rig()
        shards = rig.start()
        await shards.assign({0, 1})
        await rig.feed(shards, 0, 60)
        shards.tick()
        assert rig.log.values(TOPICS.frames, 0) == rig.log.values(TOPICS.frames, 1) == [encode(Tick())]

        await shards.take(1, 0, rig.entries[59].log_ms, None, encode(Tick()))
        assert shards.figures().frames_redelivered == 0
        before = len(rig.windows())
        await shards.take(0, 60, rig.entries[59].log_ms + 10_000, None, encode(Tick()))
        assert len(rig.windows()) > before + 15

    run(scene())


def test_progress_is_that_of_the_partition_furthest_behind() -> None:
    async def scene() -> None:
        rig = Rig()
        shards = rig.start()
        await shards.assign({0, 1})
        rig.now = 8.0
        await rig.feed(shards, 0, 1)

        assert shards.stalled_s() == 8.0

    run(scene())


def test_small_snapshots_go_together_as_far_as_their_share_of_time_allows() -> None:
    async def scene() -> None:
        rig = Rig(snapshot_seconds=1)
        rig.entries = make_log(3, pipelines=30, emitters=1, seconds=3)
        shards = rig.start()
        await shards.assign({0})
        await rig.feed(shards, 0)
        await shards.save()
        rig.now = 10.0
        while await shards.save():
            pass
        assert 10 < shards.figures().snapshots < 15  # a quarter of a second at 50 a second
        assert rig.log.acknowledged.get(0, 0) < len(rig.entries)
        for _ in range(2):
            rig.now += 0.25
            while await shards.save():
                pass
        assert shards.figures().snapshots == 30
        assert rig.log.acknowledged[0] == len(rig.entries)

    run(scene())


def test_what_is_written_for_snapshots_depends_on_time_and_not_on_how_much_there_is() -> None:
    async def scene() -> None:
        rig = Rig(snapshot_seconds=1)
        shards = rig.start()
        await shards.assign({0})
        for offset in range(300):
            rig.now += 0.01
            await rig.feed(shards, offset, offset + 1)
            await shards.save()

        assert shards.figures().snapshots <= 6  # three pipelines, three seconds

    run(scene())
