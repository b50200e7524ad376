"""The log of a worker, on Faust's consumer and producer."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from swirl.engine.log import Stretch
from swirl.engine.pieces import Shelf
from swirl.kafka.connect import options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence

    from swirl.engine.pieces import Record
    from swirl.errors import TopicsError
    from swirl.kafka.topics import Topics
    from swirl.settings import KafkaSettings

__all__ = ["KafkaLog"]

_log = logging.getLogger("swirl.worker")

_POSTED_BYTES = 16_000_000
_TASK_BYTES = 2_000
"""What a record on its way takes beside its value."""


class KafkaLog:
    """See :class:`swirl.engine.log.Log`.

    Args:
        app: the Faust app.
        kafka: where Kafka is.
        topics: their names.
        touch: called while something goes on that takes its time.
    """

    def __init__(self, app: Any, kafka: KafkaSettings, topics: Topics, touch: Callable[[], None]) -> None:
        self._app, self._kafka, self._topics, self.touch = app, kafka, topics, touch
        self._posts: set[asyncio.Future[None]] = set()
        self._posted = 0
        self._acknowledged: dict[int, int] = {}
        self.gap = 0

    async def write(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        """Append records; returns when they are safe."""
        try:
            sent = [await self._send(topic, partition, *record) for record in records]
            for future in sent:
                await future
        except TopicAuthorizationFailedError:
            raise self._refusal(topic) from None

    async def _send(self, topic: str, partition: int | None, key: bytes | None, value: bytes | None) -> Any:
        return await self._app.producer.send(topic, key, value, partition, None, {})

    def post(self, topic: str, partition: int | None, key: bytes | None, value: bytes) -> None:
        """Append a record soon."""
        self._posted += len(value) + _TASK_BYTES
        self._begin(self._post(topic, partition, key, value))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Nobody waits for it."""
        post = asyncio.ensure_future(work)
        self._posts.add(post)
        post.add_done_callback(self._posts.discard)

    async def calm(self) -> None:
        """Wait while far too much is on its way."""
        while self._posted > _POSTED_BYTES:
            await asyncio.wait(self._posts, return_when=asyncio.FIRST_COMPLETED)

    async def _post(self, topic: str, partition: int | None, key: bytes | None, value: bytes) -> None:
        try:
            await (await self._send(topic, partition, key, value))
        except TopicAuthorizationFailedError:
            # Nothing would tell what is lost from now on, and who starts the worker anew may have the right.
            await self._app.crash(self._refusal(topic))
        except Exception as error:  # noqa: BLE001 - nobody waits for it; the watchdog sees ticks that never come
            _log.warning("a record for %s was not taken: %r", topic, error)
        finally:
            self._posted -= len(value) + _TASK_BYTES

    def _refusal(self, topic: str) -> TopicsError:
        from swirl.kafka.admin import refusal  # noqa: PLC0415 - kafka-python is loaded when it is needed

        return refusal(self._kafka, "Write", "topic", topic)

    async def read_state(self, partitions: Sequence[int]) -> dict[int, Shelf]:
        """Read partitions of the state topic to their ends."""
        places = [TopicPartition(self._topics.state, partition) for partition in partitions]
        shelves = {partition: Shelf() for partition in partitions}
        async with self._reader() as consumer:
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            await consumer.seek_to_beginning(*places)
            while any([await consumer.position(place) < end for place, end in ends.items()]):
                for place, records in (await consumer.getmany(*places, timeout_ms=500)).items():
                    for record in records:
                        shelves[place.partition].put(record.key, record.value)
                self.touch()
        return shelves

    @asynccontextmanager
    async def _reader(self) -> AsyncIterator[AIOKafkaConsumer]:
        """A consumer beside that of the group: Faust's own takes a second to answer a question."""
        reader = AIOKafkaConsumer(
            **options(self._kafka),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=8_000_000,
            fetch_max_wait_ms=100,
        )
        try:
            await reader.start()
            yield reader
        finally:
            # Over TLS it waits for the broker's goodbye, which can take half a minute.
            self._begin(_hang_up(reader))

    async def identity(self) -> str:
        """Of the frames' topic."""
        from swirl.kafka.topics import topic_id  # noqa: PLC0415 - kafka-python is loaded when it is needed

        return await asyncio.to_thread(topic_id, self._kafka, self._topics.frames)

    async def begin(self, partitions: Sequence[int], afresh: Collection[int]) -> dict[int, Stretch]:
        """Where reading of the frames goes on: where it was acknowledged, if that is still there."""
        places = {partition: TP(self._topics.frames, partition) for partition in partitions}
        async with self._reader() as reader:
            firsts = await reader.beginning_offsets(list(places.values()))
            ends = await reader.end_offsets(list(places.values()))
        committed = await self._app.consumer.seek_to_committed()
        rewound = {}
        for partition, place in places.items():
            offset, first, end = committed.get(place), firsts[place], ends[place]
            if offset is None or offset < first:
                if offset is not None and offset >= 0:
                    _log.error(
                        "partition %d: %d records were gone from the log before they were folded; "
                        "let %s keep them for longer",
                        *(partition, first - offset, self._topics.frames),
                    )
                    self.gap += first - offset
                offset = first
            elif offset > end or partition in afresh:
                _log.error(
                    "partition %d: acknowledged up to %d, but the topic was made anew since: it is read from "
                    "its beginning",
                    *(partition, offset),
                )
                offset = rewound[place] = first
            self._acknowledged[partition] = int(offset)
        if rewound:
            # The app seeks to what is committed when it resumes; there is no public way to commit less.
            await self._app.consumer._commit(rewound)  # noqa: SLF001
        # It leaves out those that begin with 0, and those of which nothing was ever acknowledged.
        for partition, place in places.items():
            await self._app.consumer.seek(place, self._acknowledged[partition])
        return {
            partition: Stretch(self._acknowledged[partition], int(ends[place]))
            for partition, place in places.items()
        }

    def acknowledge(self, partition: int, below: int) -> None:
        """Frames below an offset need not be read again."""
        place = TP(self._topics.frames, partition)
        for offset in range(self._acknowledged.get(partition, below), below):
            self._app.consumer.ack(_mark(place, offset))
        self._acknowledged[partition] = max(below, self._acknowledged.get(partition, below))


async def _hang_up(reader: AIOKafkaConsumer) -> None:
    with suppress(Exception):  # what was asked is answered, and the connection is of no use any more
        await reader.stop()


def _mark(place: TP, offset: int) -> ConsumerMessage:
    """What Faust needs of a message to acknowledge it: the messages themselves are long gone."""
    nothing: Any = None
    return ConsumerMessage(
        *(place.topic, place.partition, offset, 0.0, 0, [], nothing, nothing, nothing, 0, 0, place)
    )
