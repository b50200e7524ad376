"""What must have come out: the log itself, folded once by a plain monitor without any Kafka or Faust."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from kafka import KafkaConsumer, TopicPartition

from swirl.effect import IncidentChanged, WindowClosed
from swirl.engine.wire import DeadLetter, IncidentRecord, WindowPart
from swirl.kafka.connect import options
from swirl.monitor import Monitor
from tests.chaos.feed import Name, whose

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from swirl.settings import KafkaSettings, MonitorSettings

__all__ = ["Entry", "Expected", "dead_letters", "dump", "expected", "incidents", "windows"]


class Entry(NamedTuple):
    """A record of a topic."""

    partition: int
    offset: int
    log_ms: int
    key: bytes | None
    value: bytes | None


def dump(kafka: KafkaSettings, topic: str) -> list[Entry]:
    """All records of a topic from its beginning to its end, by partition and offset."""
    return sorted(_read(kafka, topic))


def _read(kafka: KafkaSettings, topic: str) -> Iterator[Entry]:
    consumer = KafkaConsumer(
        **options(kafka),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=8_000_000,
    )
    try:
        places = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(places)
        ends = consumer.end_offsets(places)
        consumer.seek_to_beginning(*places)
        while any(consumer.position(place) < end for place, end in ends.items()):
            for place, records in consumer.poll(timeout_ms=500, max_records=5000).items():
                for record in records:
                    if record.offset < ends[place]:
                        yield Entry(
                            place.partition, record.offset, record.timestamp, record.key, record.value
                        )
    finally:
        consumer.close()


class Expected(NamedTuple):
    """What a worker must have told.

    Attributes:
        frames: names of the frames in the log, and how often each is there.
        incidents: identity -> bytes, in order.
        windows: identity -> bytes.
        last: pipeline -> its latest window, as it was first told.
        refused: cause -> records that could not be read.
    """

    frames: Counter[Name]
    incidents: dict[str, bytes]
    windows: dict[str, bytes]
    last: dict[str, WindowClosed]
    refused: Counter[str]


def expected(entries: list[Entry], settings: MonitorSettings) -> Expected:
    """Fold the log, each partition with a monitor of its own."""
    monitors: dict[int, Monitor] = {}
    frames: Counter[Name] = Counter()
    refused: Counter[str] = Counter()
    told = Expected(frames, {}, {}, {}, refused)
    for entry in entries:
        name = whose(entry.value)
        if name is not None:
            frames[name] += 1
        monitor = monitors.setdefault(entry.partition, Monitor(settings))
        for effect in monitor.apply(entry.offset, entry.log_ms, entry.value or b""):
            if isinstance(effect, IncidentChanged):
                told.incidents[effect.identity] = msgspec.msgpack.encode(effect)
            elif isinstance(effect, WindowClosed):
                told.windows[effect.identity] = msgspec.msgpack.encode(effect)
                before = told.last.setdefault(effect.pipeline, effect)
                if effect.start_ms > before.start_ms:
                    told.last[effect.pipeline] = effect
        if monitor.refusal is not None:
            refused[monitor.refusal.cause] += 1
    return told


def incidents(entries: list[Entry]) -> dict[str, list[bytes]]:
    """Identity -> what was told under it, each time it was."""
    decoder = msgspec.msgpack.Decoder(IncidentRecord)
    return _by_identity(decoder.decode(entry.value or b"").change for entry in entries)


def windows(entries: list[Entry]) -> dict[str, list[bytes]]:
    """The same of windows."""
    decoder = msgspec.msgpack.Decoder(WindowPart)
    return _by_identity(decoder.decode(entry.value or b"").window for entry in entries)


def dead_letters(entries: list[Entry]) -> Mapping[tuple[int, int], DeadLetter]:
    """Partition and offset in the frames' topic -> what was kept of the record."""
    letters = [msgspec.msgpack.decode(entry.value or b"", type=DeadLetter) for entry in entries]
    return {(letter.partition, letter.offset): letter for letter in letters}


def _by_identity(effects: Iterator[Any]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for effect in effects:
        found.setdefault(effect.identity, []).append(msgspec.msgpack.encode(effect))
    return found
