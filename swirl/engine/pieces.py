"""Snapshots as records of a compacted log: cut into pieces, and found again whole or not at all.

A snapshot of a pipeline is written in pieces that stay below the broker's message limit, and then a head,
which says where they lie and what they sum up to. The pieces of two snapshots alternate between two slots, so
a head always finds its own, whatever compaction has dropped meanwhile. Each owner of a partition writes under
an epoch of its own: one that was thought dead and writes on spoils nothing, and whatever it wrote is as good,
since the fold is the same for everyone.
"""

from __future__ import annotations

import zlib
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from swirl.errors import SnapshotError

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["PIECE_BYTES", "SCHEMA", "Found", "Head", "Record", "Shelf", "cut", "log_record", "outbox_key"]

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

PIECE_BYTES = 900_000
SCHEMA = 1
_MOST_PIECES = 300
_MOST_BYTES = 1 << 28
"""Of a snapshot as it is in memory: a few bytes of zlib can become any number."""
_LEVEL = 1
"""Of compression: a seventh of the size at the cost of the encoding itself."""


class Record(NamedTuple):
    """A record of the state log; no value takes back what was under the key."""

    key: bytes
    value: bytes | None


class Head(msgspec.Struct, frozen=True, omit_defaults=True):
    """What completes a snapshot.

    Attributes:
        offset: records of the pipeline from here on are not in it.
        slot: 0 or 1.
        pieces: how many.
        digest: of all pieces together.
        log: identity of the frames' log that was folded; offsets of another one mean nothing.
        schema: of the records; readers leave alone what they do not know.
    """

    offset: int
    slot: int
    pieces: int
    digest: bytes
    log: str
    schema: int = SCHEMA


class Found(NamedTuple):
    """A snapshot that was found whole.

    Attributes:
        offset: see :class:`Head`.
        snapshot: as the monitor gave it.
        log: see :class:`Head`.
    """

    offset: int
    snapshot: bytes
    log: str


def cut(pipeline: str, snapshot: bytes, head: tuple[int, str], epoch: str, slot: int) -> list[Record]:
    """The records of a snapshot; the last one is the head, to be written when the others are safe.

    Args:
        pipeline: its name.
        snapshot: of the pipeline.
        head: offset and identity of the log, see :class:`Head`.
        epoch: of the owner.
        slot: 0 and 1 in turns.

    Raises:
        SnapshotError: it is far too large, a quarter of a billion bytes or so.
    """
    packed = zlib.compress(snapshot, _LEVEL)
    parts = [packed[at : at + PIECE_BYTES] for at in range(0, len(packed), PIECE_BYTES)]
    if len(snapshot) > _MOST_BYTES or len(parts) > _MOST_PIECES:
        raise SnapshotError(
            f"the state of {pipeline!r} takes {len(snapshot):,} bytes; set SWIRL_SERIES lower"
        )
    digest = blake2b(packed, digest_size=16).digest()
    records = [
        Record(_key("piece", pipeline, epoch, slot, number), part) for number, part in enumerate(parts)
    ]
    end = Head(head[0], slot, len(parts), digest, head[1])
    return [*records, Record(_key("head", pipeline, epoch), msgspec.msgpack.encode(end))]


def log_record(identity: str) -> Record:
    """Says of which log of frames a partition was read; one without pipelines has no heads that do."""
    return Record(_key("log", "", ""), identity.encode())


def outbox_key(pipeline: str, epoch: str) -> bytes:
    """Where an owner keeps what is to be told of a pipeline."""
    return _key("outbox", pipeline, epoch)


def _key(*parts: str | int) -> bytes:
    return msgspec.json.encode(parts)


class Shelf:
    """What is read back of one partition of the state log, in its order.

    Attributes:
        unreadable: records that this version does not know, left as they are.
        log: identity of the frames' log that was read last, ``""`` if nothing says so.
    """

    def __init__(self) -> None:
        self._heads: dict[str, dict[str, Head]] = {}
        self._pieces: dict[str, dict[tuple[str, int, int], bytes]] = {}
        self._outboxes: dict[str, dict[str, bytes]] = {}
        self.unreadable = 0
        self.log = ""

    def put(self, key: bytes | None, value: bytes | None) -> None:
        """Take a record; one without a value takes back what lies under its key."""
        try:
            kind, pipeline, epoch, *place = msgspec.json.decode(key or b"", type=list[str | int])
            self._put(str(kind), str(pipeline), str(epoch), [int(n) for n in place], value)
        except (msgspec.MsgspecError, ValueError, IndexError, RecursionError):
            self.unreadable += 1

    def _put(self, kind: str, pipeline: str, epoch: str, place: list[int], value: bytes | None) -> None:
        if kind == "piece":
            _set(self._pieces.setdefault(pipeline, {}), (epoch, place[0], place[1]), value)
        elif kind == "outbox":
            _set(self._outboxes.setdefault(pipeline, {}), epoch, value)
        elif kind == "log":
            self.log = (value or b"").decode()
        elif kind == "head":
            head = None if value is None else msgspec.msgpack.decode(value, type=Head)
            if head is not None and (head.schema != SCHEMA or head.pieces > _MOST_PIECES):
                raise ValueError("a head of another version")
            _set(self._heads.setdefault(pipeline, {}), epoch, head)
        else:
            raise ValueError("a kind of another version")

    def found(self) -> dict[str, Found]:
        """The furthest whole snapshot of each pipeline."""
        best: dict[str, Found] = {}
        for pipeline, heads in self._heads.items():
            for epoch, head in sorted(heads.items(), key=lambda item: (-item[1].offset, item[0])):
                snapshot = self._whole(pipeline, epoch, head)
                if snapshot is not None:
                    best[pipeline] = Found(head.offset, snapshot, head.log)
                    break
        return best

    def _whole(self, pipeline: str, epoch: str, head: Head) -> bytes | None:
        pieces = self._pieces.get(pipeline, {})
        places = [(epoch, head.slot, number) for number in range(head.pieces)]
        if not all(place in pieces for place in places):
            return None
        packed = b"".join(pieces[place] for place in places)
        if blake2b(packed, digest_size=16).digest() != head.digest:
            return None
        try:
            unpacking = zlib.decompressobj()
            snapshot = unpacking.decompress(packed, _MOST_BYTES)
        except zlib.error:
            return None
        return snapshot if unpacking.eof else None

    def broken(self, found: Collection[str]) -> list[str]:
        """Pipelines of which there are heads, and no whole snapshot: they were not :meth:`found`."""
        return sorted(name for name, heads in self._heads.items() if heads and name not in found)

    def outboxes(self) -> dict[str, list[bytes]]:
        """Pipeline -> what its owners left."""
        return {name: list(kept.values()) for name, kept in self._outboxes.items() if kept}

    def leftovers(self, pipeline: str) -> list[Record]:
        """Records that take back what earlier owners wrote of a pipeline."""
        keys = [_key("head", pipeline, epoch) for epoch in self._heads.get(pipeline, {})]
        keys += [_key("outbox", pipeline, epoch) for epoch in self._outboxes.get(pipeline, {})]
        keys += [_key("piece", pipeline, *place) for place in self._pieces.get(pipeline, {})]
        return [Record(key, None) for key in keys]


def _set(kept: dict[_Key, _Value], key: _Key, value: _Value | None) -> None:
    if value is None:
        kept.pop(key, None)
    else:
        kept[key] = value
