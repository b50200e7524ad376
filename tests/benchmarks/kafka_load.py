"""Frames as emitters make them, and the way into a topic that thousands of producers would take."""

from __future__ import annotations

import random
import socket
import struct
import time
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec
import numpy as np
from aiokafka.record.default_records import DefaultRecordBatchBuilder

import swirl
from swirl.frame import Definition, Frame, Slice, StageDefinition, Summary, decode, definition_hash, encode
from swirl.sdk.transport import Transport
from swirl.settings import EmitterSettings
from swirl.sketch import Distribution
from swirl.testing.clock import ManualClock
from swirl.window import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

LZ4 = 3
_PRODUCE, _VERSION = 0, 7
_UNDER_WAY = 64
_VARIANTS = 30
_NOT_YET = (3, 5, 6)
"""Codes of a topic that is being made."""


class Fleet(NamedTuple):
    """Emitters of one pipeline, all at the same rate.

    Attributes:
        emitters: how many.
        per_second: records a second of each.
        flush_seconds: between two frames of one.
        seconds: how long they run, a multiple of ``flush_seconds``.
    """

    emitters: int
    per_second: int
    flush_seconds: int
    seconds: int

    @property
    def frames(self) -> int:
        """That they send."""
        return self.emitters * (self.seconds // self.flush_seconds)

    @property
    def records(self) -> int:
        """That went through the pipeline."""
        return self.emitters * self.per_second * self.seconds


class _Kept(Transport):
    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    def send(self, pipeline: str, payload: bytes, lost: Callable[[], object]) -> None:
        self.payloads.append(payload)

    def close(self, timeout: float) -> None:
        pass


def one_emitter(per_second: int, flush_seconds: int, seconds: int, begin_ms: int, seed: int) -> list[Frame]:
    """What the SDK sends for a pipeline of three stages with latency, labels and one feature.

    It runs on a clock that its stages move on. Like any process it begins somewhere within a second.
    """
    chance, clock, kept = random.Random(seed), ManualClock(begin_ms / 1000), _Kept()
    ads = swirl.Pipeline("ads", version="1", settings=EmitterSettings(flush_seconds=1000.0))
    ads.rebind(clock=clock, transport=kept, threaded=False, emitter=seed.to_bytes(16, "big"))
    share = 1.0 / per_second

    @ads.stage(valid=lambda text: len(text) > 0)
    def ingest(text: str) -> str:
        clock.advance(share * chance.uniform(0.05, 0.15))
        return text

    @ads.stage(after=ingest, predicts=True, features=lambda label: {"certainty": chance.random()})
    def classify(text: str) -> str:
        clock.advance(share * chance.uniform(0.3, 0.7))
        return "positive" if chance.random() < 0.6 else "negative"

    @ads.stage(after=classify)
    def serve(label: str) -> str:
        clock.advance(share * chance.uniform(0.05, 0.15))
        return label

    begun = clock.now
    for number in range(per_second * seconds):
        wanted = begun + number * share
        clock.advance(max(0.0, wanted - clock.now))
        serve(classify(ingest("" if number % 200 == 0 else "a text")))
        if (number + 1) % (per_second * flush_seconds) == 0:
            clock.advance(max(0.0, begun + (number + 1) * share - clock.now))
            ads._emitter._serve(None)  # as when a frame falls due
    frames = [decode(payload) for payload in kept.payloads]
    return [frame for frame in frames if isinstance(frame, Frame)]


def payloads(fleet: Fleet, end_ms: int, recorded: int = 3) -> Iterator[bytes]:
    """The frames of a fleet in the order in which they would reach the log, up to a moment.

    A few emitters are run; the others are their likes, with names of their own.
    """
    begin_ms = end_ms - end_ms % 1000 - (fleet.seconds + 1) * 1000
    seen = [
        one_emitter(
            fleet.per_second,
            fleet.flush_seconds,
            fleet.seconds,
            begin_ms + 500 * (2 * n + 1) // recorded,
            seed=n + 1,
        )
        for n in range(recorded)
    ]
    for step in range(fleet.seconds // fleet.flush_seconds):
        for number in range(fleet.emitters):
            frame = seen[number * recorded // fleet.emitters][step]
            yield encode(msgspec.structs.replace(frame, emitter=number.to_bytes(16, "big")))


class Estate:
    """Pipelines of many series, each with one emitter: labels, latencies and a feature in many stages.

    Args:
        pipelines: how many.
        stages: of each; one has about 57 series.
        seed: of what happens.
    """

    SERIES_A_STAGE = 57
    _LABELS, _RATE = 50, 500

    def __init__(self, pipelines: int, stages: int, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.names = [f"p{number}" for number in range(pipelines)]
        self._definition = Definition(
            tuple(StageDefinition(f"s{n}", predicts="label", features=("size",)) for n in range(stages))
        )
        self._hash, self._sequence = definition_hash(self._definition), 0
        self._seconds = [
            [self._slice(rng, stage.name) for stage in self._definition.stages] for _ in range(_VARIANTS)
        ]
        # What came before is made of the same seconds, or a change would be found, and rightly so.
        self._tens = [
            [_together(pieces) for pieces in zip(*self._any_ten(rng), strict=True)] for _ in range(_VARIANTS)
        ]
        self._chance = random.Random(seed)

    def _any_ten(self, rng: np.random.Generator) -> list[list[Slice]]:
        return [self._seconds[number] for number in rng.integers(_VARIANTS, size=10)]

    def _slice(self, rng: np.random.Generator, stage: str) -> Slice:
        labels = rng.poisson(self._RATE / self._LABELS, self._LABELS)
        count = int(labels.sum())
        counters = {name: float(count) for name in ("records", "out", "predictions", "values")}
        found = {}
        for name in ("latency", "feature:size"):
            numbers = Distribution()
            numbers.update(rng.lognormal(size=count))
            found[name] = Summary(numbers.count, numbers.total, numbers.encode())
        return Slice(
            stage, "1", 0, counters, {"label": {f"label-{n}": int(c) for n, c in enumerate(labels)}}, found
        )

    def flush(self, begin_ms: int, end_ms: int) -> Iterator[tuple[str, bytes]]:
        """One frame of each pipeline, of a second or of ten: its name and its bytes."""
        self._sequence += 1
        made = self._seconds if end_ms - begin_ms == 1000 else self._tens
        for name in self.names:
            slices = tuple(
                msgspec.structs.replace(piece, bucket_ms=begin_ms) for piece in self._chance.choice(made)
            )
            known = self._definition if self._sequence == 1 else None
            frame = Frame(
                *(
                    name,
                    name.encode().ljust(16, b"-"),
                    self._sequence,
                    end_ms,
                    (begin_ms, end_ms),
                    self._hash,
                ),
                definition=known,
                slices=slices,
            )
            yield name, encode(frame)


def _together(pieces: Sequence[Slice]) -> Slice:
    """Slices of one stage as one."""
    tally = Tally()
    for piece in pieces:
        tally.add(piece)
    return msgspec.structs.replace(
        pieces[0],
        counters=dict(tally.counters),
        categories={name: dict(found.counts) for name, found in tally.categories.items()},
        distributions={
            name: Summary(found.count, found.total, found.encode())
            for name, found in tally.distributions.items()
        },
    )


def batch(key: bytes | None, values: Iterable[bytes], codec: int = 0) -> bytes:
    """A record batch, as a producer sends it."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, 0, 1 << 30)
    for offset, value in enumerate(values):
        builder.append(offset, None, key, value, [])
    return bytes(builder.build())


class Press:
    """Appends record batches to partition 0 of a topic over one connection: they keep their order.

    Each emitter of a fleet has a producer of its own, so each frame comes as a batch of its own. Thousands of
    real producers would take the whole machine; the log looks the same.

    Args:
        address: of the broker, ``host:port``.
        topic: where to.
    """

    def __init__(self, address: str, topic: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=30.0)
        self._answers = self._socket.makefile("rb")
        self._topic, self._number, self._waiting = topic.encode(), 0, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._answers.close()
        self._socket.close()

    def put(self, records: bytes) -> None:
        """Append a batch soon.

        Raises:
            OSError: the broker refused one, or is away.
        """
        if self._number == 0:
            self._put_first(records)
            return
        self._send(records)
        if self._waiting >= _UNDER_WAY:
            self._check(self._answer())

    def _put_first(self, records: bytes) -> None:
        """A topic that was made a moment ago has no leader yet."""
        deadline = time.monotonic() + 10.0
        self._send(records)
        while (code := self._answer()) in _NOT_YET and time.monotonic() < deadline:
            time.sleep(0.05)
            self._send(records)
        self._check(code)

    def _send(self, records: bytes) -> None:
        self._number += 1
        self._waiting += 1
        name = struct.pack(">h", len(self._topic)) + self._topic
        head = struct.pack(">hhih", _PRODUCE, _VERSION, self._number, -1)  # no name of a client
        body = struct.pack(">hhii", -1, 1, 30_000, 1) + name + struct.pack(">iii", 1, 0, len(records))
        self._socket.sendall(struct.pack(">i", len(head) + len(body) + len(records)) + head + body + records)

    def flush(self) -> None:
        """Wait until all are taken."""
        while self._waiting:
            self._check(self._answer())

    def _answer(self) -> int:
        (size,) = struct.unpack(">i", self._answers.read(4))
        answer = self._answers.read(size)
        self._waiting -= 1
        # Number of the request, one topic and its name, one partition and its number, then the code.
        at = 4 + 4 + 2 + len(self._topic) + 4 + 4
        (code,) = struct.unpack_from(">h", answer, at)
        return int(code)

    @staticmethod
    def _check(code: int) -> None:
        if code:
            raise OSError(f"the broker refused a batch: error {code}")
