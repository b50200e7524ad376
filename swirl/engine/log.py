"""What a worker needs of Kafka; :class:`swirl.engine.faust.kafka_log.KafkaLog` is it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from swirl.engine.pieces import Record, Shelf

__all__ = ["Log", "Stretch"]


class Stretch(NamedTuple):
    """What of a partition waits to be folded: from an offset, up to one."""

    begin: int
    end: int


class Log(Protocol):
    """What a worker needs of Kafka.

    Attributes:
        gap: frames that were gone before :meth:`begin`, though nobody had acknowledged them.
    """

    gap: int

    async def write(self, topic: str, partition: int, records: Sequence[Record]) -> None:
        """Append records; returns when they are safe."""
        ...

    def post(self, topic: str, partition: int | None, key: bytes | None, value: bytes) -> None:
        """Append a record soon; what becomes of it is not awaited. Without a partition its key decides."""
        ...

    async def calm(self) -> None:
        """Wait while far too much is on its way: windows of who catches up, dead letters of a flood."""
        ...

    def touch(self) -> None:
        """Something goes on that takes its time."""
        ...

    async def read_state(self, partitions: Sequence[int]) -> dict[int, Shelf]:
        """Read partitions of the state topic to their ends."""
        ...

    async def identity(self) -> str:
        """Of the frames' topic: another one after it was deleted and made anew."""
        ...

    async def begin(self, partitions: Sequence[int], afresh: Collection[int]) -> dict[int, Stretch]:
        """Where reading of the frames goes on; acknowledgements begin there.

        Args:
            partitions: all that are owned.
            afresh: those that shall be read from the first record that is there.
        """
        ...

    def acknowledge(self, partition: int, below: int) -> None:
        """Frames below an offset need not be read again."""
        ...
