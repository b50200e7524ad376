"""What goes in: frames of several pipelines, seeded, and a producer that remembers what was acknowledged."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from kafka import KafkaProducer
from kafka.partitioner.default import murmur2

from swirl.frame import Frame, decode, definition_hash, encode
from swirl.kafka.connect import options
from tests.monitor.log import DEFINITION, START, slices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swirl.settings import KafkaSettings

__all__ = ["Feed", "Name", "Payload", "frames", "goodbyes", "names_for", "whose"]

_HASH = definition_hash(DEFINITION)
_AHEAD_MS = 60_000
"""Event time that a goodbye covers: it closes every window before it."""


class Name(NamedTuple):
    """Names a frame, whoever sends it and however often."""

    pipeline: str
    emitter: bytes
    sequence: int


class Payload(NamedTuple):
    """A record to send. Without a name it is none of ours: nobody counts it."""

    key: bytes | None
    value: bytes | None
    name: Name | None = None
    partition: int | None = None
    headers: Sequence[tuple[str, bytes]] = ()


def whose(value: bytes | None) -> Name | None:
    """The name of a frame; None for ticks and for what is no frame."""
    try:
        record = decode(value or b"")
    except Exception:  # noqa: BLE001 - hostile bytes are no frame
        return None
    return None if not isinstance(record, Frame) else Name(record.pipeline, record.emitter, record.sequence)


def names_for(partitions: Sequence[int], of: int) -> list[str]:
    """A name of a pipeline for each wanted partition, as the default partitioner places it."""
    found: list[str] = []
    number = 0
    for wanted in partitions:
        while (murmur2(f"p{number}".encode()) & 0x7FFFFFFF) % of != wanted:
            number += 1
        found.append(f"p{number}")
        number += 1
    return found


def frames(
    seed: int,
    pipelines: Sequence[str],
    *,
    emitters: int = 2,
    seconds: int = 60,
    rate: int = 200,
    start: int = START,
    begin: int = 0,
) -> list[Payload]:
    """Frames of event time ``[begin, seconds)`` in the order of their times; each pipeline breaks once.

    No two frames of an emitter have the same number of records.
    """
    rng = np.random.default_rng(seed)
    timed: list[tuple[int, Payload]] = []
    for p, pipeline in enumerate(pipelines):
        fault = seconds * 2 // 3 + int(rng.integers(0, max(1, seconds // 8)))
        kind = (seed + p) % 2
        for e in range(emitters):
            emitter = (f"{seed}.{p}.{e}".encode() + bytes(16))[:16]
            extra = rng.permutation(seconds)
            for second in range(seconds):
                at = start + second * 1000
                broken = second >= fault
                parts = tuple(
                    slices(
                        rng,
                        at,
                        rate + int(extra[second]),
                        invalid=0.6 if broken and kind == 0 else 0.01,
                        positive=0.2 if broken and kind == 1 else 0.8,
                        version="2" if broken and kind == 1 else "1",
                    )
                )
                if second < begin:
                    continue
                named = DEFINITION if second % 20 == 0 else None
                frame = Frame(
                    *(pipeline, emitter, second + 1, at + 1000, (at, at + 1000), _HASH, named, parts)
                )
                name = Name(pipeline, emitter, second + 1)
                order = at + int(rng.integers(0, 300))
                timed.append((order, Payload(pipeline.encode(), encode(frame), name)))
    return [payload for _, payload in sorted(timed, key=lambda item: (item[0], item[1].name))]


def goodbyes(sent: Sequence[Payload]) -> list[Payload]:
    """The last word of every emitter: it closes all windows."""
    last: dict[tuple[str, bytes], int] = {}
    end = 0
    for payload in sent:
        if payload.name is not None and payload.value is not None:
            record = decode(payload.value)
            assert isinstance(record, Frame)
            end = max(end, record.covers[1])
            key = payload.name[:2]
            last[key] = max(last.get(key, 0), payload.name.sequence)
    # A heartbeat first: who is far behind the others with its clock would not be waited for.
    return [
        _empty(pipeline, emitter, sequence + 1 + step, covers, goodbye=bool(step))
        for step, covers in enumerate(((end, end), (end, end + _AHEAD_MS)))
        for (pipeline, emitter), sequence in sorted(last.items())
    ]


def _empty(
    pipeline: str, emitter: bytes, sequence: int, covers: tuple[int, int], *, goodbye: bool
) -> Payload:
    frame = Frame(pipeline, emitter, sequence, covers[1], covers, _HASH, goodbye=goodbye)
    return Payload(pipeline.encode(), encode(frame), Name(pipeline, emitter, sequence))


@dataclass
class Feed:
    """Sends payloads from a thread, and knows what became of each.

    Attributes:
        sent: names of all frames that were handed to the producer.
        acknowledged: names of those that a broker has.
        refused: answers of the broker that were errors.
    """

    kafka: KafkaSettings
    topic: str
    sent: set[Name] = field(default_factory=set)
    acknowledged: set[Name] = field(default_factory=set)
    refused: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self.position = 0

    def send(self, payloads: Sequence[Payload], *, timeout: float = 60.0) -> None:
        """Send all at once and wait until the broker has them."""
        self.begin(payloads, per_second=1e9)
        self.finish(timeout)

    def begin(self, payloads: Sequence[Payload], *, per_second: float) -> None:
        """Start to send, so many a second."""
        assert self._thread is None
        self._stop.clear()
        self.position = 0
        self._thread = threading.Thread(target=self._run, args=(list(payloads), per_second), daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether it still sends."""
        return self._thread is not None and self._thread.is_alive()

    def finish(self, timeout: float = 60.0) -> None:
        """Wait until all is sent and answered."""
        assert self._thread is not None
        self._thread.join(timeout)
        assert not self._thread.is_alive(), f"{self.position} sent after {timeout} s"
        self._thread = None

    def stop(self) -> None:
        """Send no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(30)
            self._thread = None

    def _run(self, payloads: list[Payload], per_second: float) -> None:
        producer = KafkaProducer(
            **options(self.kafka), linger_ms=5, max_block_ms=60_000, reconnect_backoff_max_ms=500
        )
        began = time.monotonic()
        try:
            for number, payload in enumerate(payloads):
                if self._stop.wait(max(0.0, began + number / per_second - time.monotonic())):
                    break
                self._hand_over(producer, payload)
                self.position = number + 1
            producer.flush(timeout=60)
        finally:
            producer.close(timeout=5)

    def _hand_over(self, producer: Any, payload: Payload) -> None:
        with self._guard:
            if payload.name is not None:
                self.sent.add(payload.name)
        future = producer.send(
            self.topic,
            key=payload.key,
            value=payload.value,
            partition=payload.partition,
            headers=list(payload.headers),
        )
        future.add_callback(lambda _, name=payload.name: self._taken(name))
        future.add_errback(self._failed)

    def _taken(self, name: Name | None) -> None:
        with self._guard:
            if name is not None:
                self.acknowledged.add(name)

    def _failed(self, error: BaseException) -> None:
        with self._guard:
            self.refused.append(error)
