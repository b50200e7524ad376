"""A log in memory that keeps Kafka's promises as far as a worker relies on them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from swirl.engine.log import Stretch
from swirl.engine.pieces import Record, Shelf

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


class MemoryLog:
    """What all workers of a test share: topics, and how far each partition of the frames is acknowledged."""

    def __init__(self, frames: str = "swirl.frames", state: str = "swirl.state") -> None:
        self.frames, self.state = frames, state
        self.records: dict[tuple[str, int], list[Record]] = defaultdict(list)
        self.acknowledged: dict[int, int] = {}
        self.id = "first"
        self.first = self.gap = self.end = 0
        self.written = 0
        self.fail_after: int | None = None

    async def write(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        for record in records:
            await asyncio.sleep(0)
            if self.fail_after is not None and self.written >= self.fail_after:
                raise ConnectionError("the broker is gone")
            self.written += 1
            self.records[topic, partition].append(record)

    def post(self, topic: str, partition: int | None, key: bytes | None, value: bytes) -> None:
        self.records[topic, partition or 0].append(Record(key or b"", value))

    async def calm(self) -> None:
        await asyncio.sleep(0)

    def touch(self) -> None:
        pass

    async def read_state(self, partitions: Sequence[int]) -> dict[int, Shelf]:
        shelves = {partition: Shelf() for partition in partitions}
        for partition, shelf in shelves.items():
            for record in self.records[self.state, partition]:
                shelf.put(*record)
        return shelves

    async def identity(self) -> str:
        return self.id

    async def begin(self, partitions: Sequence[int], afresh: Collection[int]) -> dict[int, Stretch]:
        for partition in afresh:
            self.acknowledged[partition] = 0
        acknowledged = {partition: self.acknowledged.get(partition, 0) for partition in partitions}
        self.gap += sum(max(0, self.first - offset) for offset in acknowledged.values())
        begins = {partition: max(self.first, offset) for partition, offset in acknowledged.items()}
        return {partition: Stretch(begin, max(begin, self.end)) for partition, begin in begins.items()}

    def acknowledge(self, partition: int, below: int) -> None:
        self.acknowledged[partition] = max(below, self.acknowledged.get(partition, 0))

    def values(self, topic: str, partition: int = 0) -> list[bytes]:
        return [record.value or b"" for record in self.records[topic, partition]]
