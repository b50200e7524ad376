"""Snapshots in a compacted log: whole or not at all."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swirl.engine.pieces import PIECE_BYTES, Record, Shelf, cut, outbox_key


def shelf_of(records: list[Record]) -> Shelf:
    shelf = Shelf()
    for record in records:
        shelf.put(*record)
    return shelf


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@given(snapshot=st.binary(max_size=2_000), pipeline=st.text(min_size=1, max_size=20))
def test_a_snapshot_is_found_as_it_was_written(snapshot: bytes, pipeline: str) -> None:
    found = shelf_of(cut(pipeline, snapshot, (7, "log"), "e", 0)).found()

    assert found == {pipeline: (7, snapshot, "log")}


def test_a_large_snapshot_lies_in_pieces_below_the_limit_of_a_message() -> None:
    snapshot = noise(2_500_000)

    records = cut("ads", snapshot, (7, "log"), "e", 0)

    assert len(records) == 4
    assert all(len(record.value or b"") <= PIECE_BYTES for record in records)
    assert shelf_of(records).found()["ads"].snapshot == snapshot


@pytest.mark.parametrize("written", range(4))
def test_a_snapshot_that_was_cut_off_is_never_read(written: int) -> None:
    old = cut("ads", noise(2_500_000, 1), (7, "log"), "e", 0)
    new = cut("ads", noise(2_500_000, 2), (9, "log"), "e", 1)

    found = shelf_of([*old, *new[:written]]).found()

    assert found["ads"].offset == 7
    assert found["ads"].snapshot == noise(2_500_000, 1)


def test_a_head_whose_pieces_were_written_over_counts_for_nothing() -> None:
    old = cut("ads", b"old", (7, "log"), "e", 0)
    third = cut("ads", b"third", (11, "log"), "e", 0)[:-1]

    shelf = shelf_of([*old, *third])

    assert shelf.found() == {}
    assert shelf.broken(shelf.found()) == ["ads"]


def test_the_furthest_snapshot_counts_whoever_wrote_it() -> None:
    zombie = cut("ads", b"of one thought dead", (9, "log"), "z", 0)
    owner = cut("ads", b"of the owner", (12, "log"), "o", 0)

    for records in ([*zombie, *owner], [*owner, *zombie]):
        assert shelf_of(records).found()["ads"].snapshot == b"of the owner"


def test_leftovers_take_back_all_that_was_there() -> None:
    records = [*cut("ads", b"x", (7, "log"), "e", 0), Record(outbox_key("ads", "e"), b"o")]
    shelf = shelf_of(records)

    after = shelf_of([*records, *shelf.leftovers("ads")])

    assert after.found() == {}
    assert after.outboxes() == {}
    assert after.leftovers("ads") == []


@given(key=st.binary(max_size=60), value=st.binary(max_size=60))
def test_whatever_lies_in_the_log_is_counted_and_hurts_nobody(key: bytes, value: bytes) -> None:
    shelf = shelf_of([*cut("ads", b"x", (7, "log"), "e", 0), Record(key, value)])

    assert shelf.found()["ads"].snapshot == b"x"
    assert shelf.unreadable == 1


@pytest.mark.parametrize(
    "key", [None, b'["head"]', b'["head","ads"]', b'["piece","ads","e"]', b'["new","ads","e"]']
)
def test_keys_of_another_version_are_left_alone(key: bytes | None) -> None:
    shelf = Shelf()

    shelf.put(key, b"x")

    assert shelf.unreadable == 1
    assert shelf.found() == {}
