"""All partitions that a worker owns: records in, effects out, snapshots in turns.

Kafka is behind :class:`swirl.engine.log.Log`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

from swirl.effect import VerdictChanged, WindowClosed
from swirl.engine import wire
from swirl.engine.messenger import Messenger
from swirl.engine.pieces import Record
from swirl.engine.shard import TICK, Shard
from swirl.errors import TopicsError
from swirl.frame import encode
from swirl.monitor import FoldError, Monitor
from swirl.sinks.outlet import Outlet
from swirl.sinks.prometheus import PrometheusSink, WorkerFigures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from swirl.detector import Detector, Kind
    from swirl.effect import Effect
    from swirl.engine.desk import Desk
    from swirl.engine.log import Log
    from swirl.engine.pieces import Shelf
    from swirl.frame import Act
    from swirl.kafka.topics import Topics
    from swirl.settings import MonitorSettings, WorkerSettings
    from swirl.sinks.base import Sink
    from swirl.sinks.outlet import Counts

__all__ = ["Shards"]

_log = logging.getLogger("swirl.worker")

_BYTES_A_SECOND = 1_000_000.0
"""Of snapshots, over all pipelines of a worker: what is written depends on time, not on how much there is."""
_EACH_BYTES = 20_000
"""A small one costs as much as these: 50 a second at most."""
_CREDIT_S = 0.25
"""Of writing nothing, after which so much may be written at once."""

_LEASE = 0.6
"""Of a session: where Kafka was not heard for longer, nobody is told anything until it is heard again."""

_IDENTITY_S = 15.0
"""Between two looks whether the frames' topic is still the same one."""


class Shards:
    """The work of one worker.

    Args:
        log: see :class:`swirl.engine.log.Log`.
        topics: their names.
        settings: what decides.
        worker: how often to save, and whether to keep what cannot be read.
        sink: tells people.
        threads: incident -> where the sink tells it; the same mapping as the sink's own memory.
        followers: sinks that add to what ``sink`` has told; what they miss is not told again.
        desk: shows people how things stand.
        fenced: whether this worker may have lost its partitions without knowing it.
        detectors: kind of series -> its detectors; default: those of production.
        clock: seconds that never go back.

    Attributes:
        outlet: to the sink.
        exporter: of ``/metrics``.
        ready: the partitions are taken over, and records flow.
    """

    def __init__(
        self,
        log: Log,
        topics: Topics,
        settings: MonitorSettings,
        worker: WorkerSettings,
        *,
        sink: Sink,
        threads: dict[str, str],
        followers: Sequence[Sink] = (),
        desk: Desk | None = None,
        fenced: Callable[[], bool] = lambda: False,
        detectors: Mapping[Kind, Sequence[Detector]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log, self._topics = log, topics
        self._settings, self._worker, self._detectors = settings, worker, detectors
        self._clock, self._desk = clock, desk
        self._shards: dict[int, Shard] = {}
        self._progress: dict[int, float] = {}
        self._behind: dict[int, int] = {}
        self._saving = asyncio.Lock()
        self._late: list[asyncio.Future[None]] = []
        self._acknowledging = False
        self._next_save = self._next_look = 0.0
        self._saved_ms: dict[str, int] = {}
        self._gone = _Gone()
        self._messenger = Messenger(sink, threads, fenced, self._is_heard)
        self.outlet = self._messenger.outlet
        self._followers = [Outlet(follower) for follower in followers]
        self.exporter = PrometheusSink(outlets=self._counts, refused=self.refused, worker=self.figures)
        self._messenger.observe = self.exporter.settled(self.outlet.name)
        self.ready = False

    # -- partitions come and go

    async def assign(self, partitions: set[int], *, seamless: bool = True) -> None:
        """Own these partitions and no others: forget what went away, take over what came.

        Args:
            partitions: by number.
            seamless: this worker was in the group all the time since it was asked last. If not, others may
                have gone on with what it holds, so it takes over all of them anew.
        """
        self.ready = False
        self._gone.rebalances += 1
        for partition in sorted(self._shards.keys() - (partitions if seamless else set())):
            self._drop(partition)
        began, new = self._clock(), sorted(partitions - self._shards.keys())
        identity = await self._identity() if partitions else ""
        shelves = await self._log.read_state(new) if new else {}
        fresh = []
        for partition, shelf in shelves.items():
            fresh.append(self._restore(partition, identity, shelf))
            self._log.touch()
        afresh = {shard.partition for shard, same in fresh if not same}
        begins = await self._log.begin(sorted(partitions), afresh) if partitions else {}
        for shard, same in fresh:
            if not same or not shelves[shard.partition].log:
                await self._log.write(self._topics.state, shard.partition, shard.begin())
            shard.monitor.next_offset = begins[shard.partition].begin
            self._behind[shard.partition] = begins[shard.partition].end
            self._take_over(shard)
        for partition in partitions:
            self._progress[partition] = self._clock()
        self._acknowledging = self.ready = True
        _log.info(
            "watching partitions %s (%d new, with %d pipelines, after %.1f s)",
            ", ".join(map(str, sorted(partitions))) or "none: other workers have them all",
            *(len(new), sum(len(shard.monitor.pipelines) for shard, _ in fresh), self._clock() - began),
        )

    async def _identity(self) -> str:
        """Of the frames' topic, the same for all partitions that are owned.

        Raises:
            RuntimeError: it is another one: whoever begins afresh will read it from its beginning.
        """
        self._next_look = self._clock() + _IDENTITY_S
        identity = await self._log.identity()
        if any(shard.log != identity for shard in self._shards.values()):
            raise RuntimeError(
                "the frames' topic was deleted and made anew: this worker ends, to begin afresh"
            )
        return identity

    async def let_go(self, seconds: float) -> None:
        """Partitions may go away: save what there is, as far as ``seconds`` allow.

        Until the next :meth:`assign` nothing more is acknowledged: somebody else may have read the state
        already, and would leave out what lies between.
        """
        self.ready = False
        saving = asyncio.ensure_future(self.save_all())
        await asyncio.wait({saving}, timeout=seconds)
        self._acknowledging = False
        if saving.done():
            saving.result()
        else:  # it goes on: a snapshot that is cut off would never be taken again
            self._late.append(saving)

    def _restore(self, partition: int, identity: str, shelf: Shelf) -> tuple[Shard, bool]:
        monitor = Monitor(self._settings, self._detectors)
        shard = Shard(partition, monitor, os.urandom(6).hex(), identity)
        return shard, shard.restore(shelf, lambda told: _log.error("partition %d: %s", partition, told))

    def _take_over(self, shard: Shard) -> None:
        self._shards[shard.partition] = shard
        for effect in shard.monitor.standing():
            if isinstance(effect, VerdictChanged):
                self._tell_pipeline(shard, effect)
        self._show_if_abreast(shard)
        self._messenger.take_over(shard)

    def _show_if_abreast(self, shard: Shard) -> None:
        """Export what stands once all is folded that had come before: counters never go back meanwhile."""
        if shard.monitor.next_offset >= self._behind.get(shard.partition, 0):
            self._behind.pop(shard.partition, None)
            for effect in shard.monitor.standing():
                self.exporter.handle(effect)
            if self._desk is not None:
                self._desk.take_over(shard.monitor)

    def _drop(self, partition: int) -> None:
        shard = self._shards.pop(partition)
        self._behind.pop(partition, None)
        self._progress.pop(partition, None)
        self._gone.add(shard)
        self._messenger.drop(shard)
        if self._desk is not None:
            self._desk.forget(shard.monitor.pipelines)
        for pipeline in shard.monitor.pipelines:
            for follower in self._followers:
                follower.withdraw(pipeline)
            self.exporter.forget(pipeline)
            self._saved_ms.pop(pipeline, None)

    @property
    def partitions(self) -> tuple[int, ...]:
        """That are owned."""
        return tuple(sorted(self._shards))

    # -- records in, effects out

    async def take(
        self, partition: int, offset: int, log_ms: int, key: bytes | None, value: bytes | None
    ) -> None:
        """Fold one record of the frames' topic and carry out what follows."""
        shard = self._shards.get(partition)
        await self._log.calm()
        if shard is None or not self._owns(shard):  # it was on its way when the partition went
            return
        value, expected = value or b"", shard.monitor.next_offset
        if offset > expected:
            _log.error(
                "partition %d: records %d to %d never came: they were gone from the log, or left out",
                *(partition, expected, offset - 1),
            )
        began = time.perf_counter()
        try:
            effects = shard.fold(offset, log_ms, value)
        except Exception as error:  # noqa: BLE001 - a record that the fold cannot stand must not stop all the others
            if "fold_failed" not in self._gone.dead_letters:
                _log.exception(
                    "partition %d offset %d could not be folded and was left out; further ones are counted",
                    *(partition, offset),
                )
            self._bury(shard, (offset, log_ms), ("fold_failed", repr(error.__cause__ or error)), key, value)
            effects = error.effects if isinstance(error, FoldError) else []
        self.exporter.applied(time.perf_counter() - began)
        refusal = shard.monitor.refusal
        if refusal is not None:
            self._bury(shard, (offset, log_ms), (refusal.cause, str(refusal)), key, value)
        if effects:
            await self._carry(shard, effects)
        if self._owns(shard):
            if partition in self._behind:
                self._show_if_abreast(shard)
            self._progress[partition] = self._clock()

    def _owns(self, shard: Shard) -> bool:
        """Whether it is still there: partitions go away while something is awaited."""
        return self._shards.get(shard.partition) is shard

    def _bury(
        self, shard: Shard, place: tuple[int, int], cause: tuple[str, str], key: bytes | None, value: bytes
    ) -> None:
        offset, log_ms = place
        self._gone.dead_letters[cause[0]] = self._gone.dead_letters.get(cause[0], 0) + 1
        if self._worker.dead_letters:
            at = (self._topics.frames, shard.partition, offset)
            letter = wire.dead_letter(at, log_ms, cause, key, value)
            name = b"%d/%d" % (shard.partition, offset)
            self._log.post(self._topics.dead_letters, shard.partition, name, letter)

    async def _carry(self, shard: Shard, effects: list[Effect]) -> None:
        for effect in effects:
            if shard.partition not in self._behind:
                self.exporter.handle(effect)
                if self._desk is not None:
                    self._desk.handle(effect)
            if isinstance(effect, WindowClosed):
                key = effect.pipeline.encode()
                for record in wire.window_records(effect):
                    self._log.post(self._topics.windows, shard.partition, key, record)
            elif isinstance(effect, VerdictChanged):
                self._tell_pipeline(shard, effect)
        if shard.untold:
            async with self._saving:  # or the outbox could be safe before the steps in it are
                await self._tell_people(shard, effects)

    def _tell_pipeline(self, shard: Shard, change: VerdictChanged) -> None:
        record = wire.verdict_record(change.verdict)
        self._log.post(self._topics.feedback, shard.partition, change.pipeline.encode(), record)

    async def _tell_people(self, shard: Shard, effects: list[Effect]) -> None:
        """Written down first: who takes over after a crash tells what was not told."""
        if not self._owns(shard):
            return
        news = shard.news(effects)
        records = [Record(step.pipeline.encode(), wire.incident_record(step)) for step in news]
        await self._log.write(self._topics.incidents, shard.partition, records)
        pipelines = sorted({step.pipeline for step in news})
        outboxes = [shard.outbox_record(pipeline) for pipeline in pipelines]
        await self._log.write(self._topics.state, shard.partition, outboxes)
        shard.untold.clear()
        if self._owns(shard):
            self._messenger.tell(shard, news)
            for follower in self._followers:
                for step in news:
                    follower.offer(step)

    def _is_heard(self, shard: Shard) -> bool:
        """Whether Kafka was heard of a partition for most of a session; asked from the outlet's thread."""
        heard = self._progress.get(shard.partition, -inf)
        return self._clock() - heard < _LEASE * self._worker.session_seconds

    # -- now and then

    def tick(self) -> None:
        """Let time pass in all partitions; that the ticks come back shows that all of the way works."""
        for partition in self._shards:
            self._log.post(self._topics.frames, partition, None, TICK)

    def say(self, act: Act) -> None:
        """Append what a person says to the log, where whoever owns its pipeline folds it."""
        self._log.post(self._topics.frames, None, act.pipeline.encode(), encode(act))

    async def save(self) -> bool:
        """Write what was told, and the one snapshot that waits longest, if any is due; whether one was."""
        for late in [late for late in self._late if late.done()]:
            self._late.remove(late)
            late.result()
        if self._clock() >= self._next_look:
            with suppress(TopicsError):  # nobody answers, or it is not there just now
                await self._identity()
        async with self._saving:
            await self._write_outboxes()
            for shard in self._shards.values():  # ticks where there is no pipeline are safe as they come
                self._acknowledge(shard)
            now = self._clock()
            if now < self._next_save or not self._shards:
                return False
            waiting = [(*shard.waits_longest(now), shard) for shard in self._shards.values()]
            since, pipeline, shard = min(waiting, key=lambda one: one[0])
            due = bool(pipeline) and now - since >= self._worker.snapshot_seconds
            if due:
                await self._snapshot(shard, pipeline)
            return due

    async def save_all(self) -> None:
        """Write everything: partitions go away, or the worker ends."""
        async with self._saving:
            await self._write_outboxes()
            for shard in list(self._shards.values()):
                for pipeline in shard.unsaved:
                    await self._snapshot(shard, pipeline)
                self._acknowledge(shard)

    def _acknowledge(self, shard: Shard) -> None:
        if self._acknowledging and self._owns(shard):
            self._log.acknowledge(shard.partition, shard.settled)

    async def _write_outboxes(self) -> None:
        for shard, pipeline in self._messenger.settled():
            await self._log.write(self._topics.state, shard.partition, [shard.outbox_record(pipeline)])

    async def _snapshot(self, shard: Shard, pipeline: str) -> None:
        *pieces, head = shard.begin_snapshot(pipeline, self._clock())
        await self._log.write(self._topics.state, shard.partition, pieces)
        await self._log.write(self._topics.state, shard.partition, [head])
        leftovers = shard.end_snapshot(pipeline)
        if leftovers:
            outbox = [shard.outbox_record(pipeline)] if pipeline in shard.outboxes else []
            await self._log.write(self._topics.state, shard.partition, [*outbox, *leftovers])
        size = sum(len(record.value or b"") for record in (*pieces, head))
        pause = max(size, _EACH_BYTES) / _BYTES_A_SECOND
        self._next_save = max(self._next_save, self._clock() - _CREDIT_S) + pause
        self._gone.snapshots += 1
        self._gone.snapshot_bytes += size
        self._saved_ms[pipeline] = time.time_ns() // 1_000_000
        self._acknowledge(shard)

    def is_ahead(self, partition: int, end: int | None) -> bool:
        """Whether more was folded of a partition than it holds: it is another one of the same name."""
        shard = self._shards.get(partition)
        return shard is not None and end is not None and 0 <= end < shard.monitor.next_offset

    def stalled_s(self) -> float:
        """Seconds since the partition that is furthest behind folded a record; 0 where none is owned."""
        now = self._clock()
        return max((now - since for since in list(self._progress.values())), default=0.0)

    def figures(self) -> WorkerFigures:
        """For the exporter."""
        shards = list(self._shards.values())
        return WorkerFigures(
            partitions=len(shards),
            pipelines=sum(len(shard.monitor.pipelines) for shard in shards),
            snapshots=self._gone.snapshots,
            snapshot_bytes=self._gone.snapshot_bytes,
            oldest_snapshot_ms=min(self._saved_ms.values(), default=0),
            dead_letters=dict(self._gone.dead_letters),
            log_gap_records=self._log.gap + self._gone.gap + sum(shard.gap for shard in shards),
            frames_redelivered=self._gone.redelivered + sum(shard.redelivered for shard in shards),
            rebalances=self._gone.rebalances,
            fenced=self._messenger.fenced,
        )

    def close_outlets(self, seconds: float) -> None:
        """Give what waits to be told up to ``seconds``, then stop telling."""
        deadline = self._clock() + seconds
        for outlet in (self.outlet, *self._followers):
            outlet.close(max(0.1, deadline - self._clock()))

    @property
    def trouble(self) -> list[str]:
        """What is wrong with those who tell people, and what to do about it."""
        return [outlet.trouble for outlet in (self.outlet, *self._followers) if outlet.trouble]

    def _counts(self) -> dict[str, Counts]:
        counts = {outlet.name: outlet.counts for outlet in (self.outlet, *self._followers)}
        return counts | (self._desk.counts if self._desk is not None else {})

    def refused(self) -> dict[str, int]:
        """Records that could not be read, by cause."""
        return dict(self._gone.dead_letters)


class _Gone:
    """Counters that go on when a partition goes away."""

    def __init__(self) -> None:
        self.snapshots = self.snapshot_bytes = self.rebalances = 0
        self.gap = self.redelivered = 0
        self.dead_letters: dict[str, int] = {}

    def add(self, shard: Shard) -> None:
        """A partition goes."""
        self.gap += shard.gap
        self.redelivered += shard.redelivered
