"""Bytes that want to do harm, in every topic that is read: nothing runs, nothing swells, nobody stops."""

from __future__ import annotations

import ast
import pickle
import random
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import pytest

import swirl
from swirl.engine.outbox import Outbox
from swirl.engine.pieces import Head, Shelf
from swirl.engine.wire import DeadLetter, dead_letter
from swirl.errors import FrameError
from swirl.frame import decode
from swirl.monitor import Monitor
from swirl.sdk import verdicts
from swirl.settings import MonitorSettings

MEGABYTE = 1 << 20
DEEP = b"\x91" * 200_000 + b"\xc0"
"""A list in a list in a list."""
HUGE = (b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9")
"""First bytes of MessagePack's lists, maps, bytes, texts and extensions with a length of four bytes."""
FORBIDDEN = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml"}


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def map_with(field: str, value: bytes) -> bytes:
    """A map with one field, whose value is taken as it is."""
    return b"\x81" + msgspec.msgpack.encode(field) + value


def hostile(trap: Path, seed: int = 11) -> Iterator[bytes]:
    """Pickles, noise, and MessagePack that is deeper or longer than it should be."""
    chance = random.Random(seed)
    yield from (pickle.dumps(Trap(trap), protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1))
    yield from (chance.randbytes(chance.randrange(2000)) for _ in range(200))
    yield from (DEEP, b"\x81\xa1x" * 150_000 + b"\xc0", b"[" * 200_000, b"")
    for first in HUGE:
        yield from (first + b"\xff" * size for size in (4, 8))
        for field in ("t", "s", "x", "pending", "state", "digest"):
            yield map_with(field, first + b"\xff\xff\xff\xff")
    for field in ("x", "s", "def", "pending", "threads"):
        yield map_with(field, DEEP)
        yield b"\x83\xa1t\xa1f\xa1v\x01" + msgspec.msgpack.encode(field) + DEEP


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A file that is there once something was unpickled."""
    return tmp_path / "sprung"


def test_the_trap_springs_where_it_is_unpickled(trap: Path) -> None:
    pickle.loads(pickle.dumps(Trap(trap)))
    assert trap.exists()


def test_whatever_lies_in_the_topic_of_frames_is_refused_with_a_cause(trap: Path) -> None:
    monitor = Monitor(MonitorSettings())
    began = time.monotonic()
    tracemalloc.start()
    try:
        for offset, payload in enumerate(hostile(trap)):
            with pytest.raises(FrameError) as refused:
                decode(payload)
            assert refused.value.cause in {"foreign", "version", "values"}
            assert monitor.apply(offset, 1_700_000_000_000, payload) == []
            assert monitor.refusal is not None
        assert tracemalloc.get_traced_memory()[1] < 8 * MEGABYTE
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < 20
    assert not trap.exists()


def test_whatever_lies_in_the_state_topic_is_left_alone(trap: Path) -> None:
    shelf = Shelf()
    tracemalloc.start()
    try:
        for number, payload in enumerate(hostile(trap)):
            shelf.put(payload, b"x")
            for kind, place in (("head", []), ("outbox", []), ("piece", [0, number]), ("log", [])):
                shelf.put(msgspec.json.encode([kind, "ads", f"e{number}", *place]), payload)
        assert shelf.found() == {}
        for left in shelf.outboxes().values():
            outbox, unreadable = Outbox.united(left)
            assert (outbox.pending, unreadable) == ({}, len(left))
        assert tracemalloc.get_traced_memory()[1] < 16 * MEGABYTE
    finally:
        tracemalloc.stop()
    assert shelf.unreadable > 0
    assert not trap.exists()


def test_a_snapshot_that_is_no_snapshot_is_refused(trap: Path) -> None:
    monitor = Monitor(MonitorSettings())
    for payload in hostile(trap):
        with pytest.raises(ValueError, match="snapshot"):
            monitor.restore_pipeline(payload)
    assert not monitor.pipelines
    assert not trap.exists()


def whole(packed: bytes, pieces: int = 1) -> Shelf:
    """A shelf with one snapshot that sums up."""
    shelf = Shelf()
    head = Head(offset=1, slot=0, pieces=pieces, digest=blake2b(packed, digest_size=16).digest(), log="l")
    shelf.put(b'["piece","ads","e",0,0]', packed)
    shelf.put(b'["head","ads","e"]', msgspec.msgpack.encode(head))
    return shelf


def test_a_head_that_asks_for_more_pieces_than_can_be_is_not_believed() -> None:
    began = time.monotonic()
    shelf = whole(zlib.compress(b"x"), pieces=1 << 60)
    assert shelf.found() == {}
    assert shelf.unreadable == 1
    assert time.monotonic() - began < 1


def test_a_piece_that_would_unpack_without_end_is_not_unpacked_to_its_end() -> None:
    packing = zlib.compressobj(9)
    packed = b"".join(packing.compress(bytes(MEGABYTE)) for _ in range(600)) + packing.flush()
    assert len(packed) < MEGABYTE
    shelf = whole(packed)
    tracemalloc.start()
    try:
        assert shelf.found() == {}
        assert tracemalloc.get_traced_memory()[1] < 600 * MEGABYTE  # zlib holds the limit twice; all: 1200
    finally:
        tracemalloc.stop()
    assert shelf.broken(()) == ["ads"]


def test_a_snapshot_that_sums_up_is_found() -> None:
    assert whole(zlib.compress(b"state")).found()["ads"].snapshot == b"state"


def test_whatever_lies_in_the_topic_of_verdicts_changes_no_verdict(trap: Path) -> None:
    ads = swirl.Pipeline("hostile-verdicts")
    before = ads.verdict
    for payload in hostile(trap):
        verdicts._deliver(b"hostile-verdicts", payload)
        verdicts._deliver(payload, b"\x80")
    assert ads.verdict == before
    assert not trap.exists()


def modules() -> list[Path]:
    return sorted(Path(swirl.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.stem)
def test_no_module_of_ours_loads_what_could_run_foreign_bytes(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not {name.partition(".")[0] for name in names} & FORBIDDEN
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call)
              and isinstance(node.func, ast.Name)}  # fmt: skip
    assert not called & {"eval", "exec", "compile"}


def test_faust_reads_and_writes_bytes_as_they_are() -> None:
    """Its codec ``pickle`` is there as in every Faust, and nothing of ours comes near it."""
    code = """
from swirl.engine.faust.app import WorkerApp
from swirl.settings import *
app = WorkerApp(KafkaSettings(kafka="127.0.0.1:1"), MonitorSettings(), WatchSettings(), WorkerSettings())
app.finalize()
assert app.conf.value_serializer == app.conf.key_serializer == "raw", app.conf.value_serializer
topics = [agent.channel for agent in app.agents.values()]
assert topics
for topic in topics:
    assert (topic.key_serializer, topic.value_serializer) == ("raw", "raw")
    assert (topic.key_type, topic.value_type) == (bytes, bytes)
    codec = topic.schema
    assert (codec.key_serializer, codec.value_serializer) == ("raw", "raw")
assert not app.tables
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_dead_letter_keeps_hostile_bytes_as_bytes(trap: Path) -> None:
    for payload in hostile(trap):
        kept = dead_letter(("frames", 0, 1), 1, ("foreign", "no frame"), payload, payload)
        letter = msgspec.msgpack.decode(kept, type=DeadLetter)
        assert letter.value == payload[:100_000]
        assert len(kept) < 102_000
    assert not trap.exists()
