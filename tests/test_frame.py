"""The wire: what is read, what is refused, and why."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swirl.errors import FrameError
from swirl.frame import (
    MAX_BYTES,
    SCHEMA,
    Definition,
    Frame,
    RatioDefinition,
    Slice,
    StageDefinition,
    Summary,
    Tick,
    decode,
    definition_hash,
    encode,
)

FRAME = Frame(
    pipeline="ads",
    emitter=b"e" * 16,
    sequence=3,
    sent_ms=1_000,
    covers=(0, 1_000),
    definition_hash=b"h" * 16,
    definition=Definition(
        (
            StageDefinition("ingest", validates=True),
            StageDefinition("classify", ("ingest",), predicts="label"),
        ),
        (RatioDefinition("clicks per ad", ("classify", "clicks"), ("classify", "out")),),
    ),
    slices=(
        Slice(
            "ingest",
            "1",
            0,
            {"records": 5},
            {"reason": {"text missing": 2}},
            {"latency": Summary(1, 2.0, b"x")},
        ),
    ),
    dropped=1,
    failed=2,
    goodbye=True,
)


def cause_of(payload: bytes) -> str:
    with pytest.raises(FrameError) as caught:
        decode(payload)
    return caught.value.cause


def altered(**given: object) -> bytes:
    return encode(msgspec.structs.replace(FRAME, **given))


def test_what_is_written_is_read() -> None:
    assert decode(encode(FRAME)) == FRAME
    assert decode(encode(Tick("ads"))) == Tick("ads")


def test_a_reader_ignores_keys_that_it_does_not_know() -> None:
    raw = msgspec.msgpack.decode(encode(FRAME))
    raw["new"] = {"from": "the future"}
    raw["s"][0]["new"] = 1
    assert decode(msgspec.msgpack.encode(raw)) == FRAME


def test_a_frame_of_another_schema_is_refused_as_such_even_if_nothing_else_is_known() -> None:
    raw = msgspec.msgpack.decode(encode(FRAME))
    assert cause_of(msgspec.msgpack.encode(raw | {"v": SCHEMA + 1})) == "version"
    assert cause_of(msgspec.msgpack.encode({"t": "f", "v": SCHEMA + 1, "other": "shape"})) == "version"


@pytest.mark.parametrize(
    "payload", [b"", b"hello", b'{"t": "f"}', b"\xc1", encode(FRAME)[:-1], encode(FRAME)[5:]]
)
def test_bytes_that_are_no_message_are_foreign(payload: bytes) -> None:
    assert cause_of(payload) == "foreign"


@pytest.mark.parametrize("raw", [[], 3, None, {}, {"t": "x"}, {"t": 5}, {"hello": "world"}])
def test_a_message_that_is_no_record_is_foreign(raw: object) -> None:
    assert cause_of(msgspec.msgpack.encode(raw)) == "foreign"


def test_a_record_that_is_too_large_is_refused_unread() -> None:
    assert cause_of(b"\x00" * (MAX_BYTES + 1)) == "too_large"


@pytest.mark.parametrize(
    "payload",
    [
        altered(pipeline=""),
        altered(emitter=b"short"),
        altered(sequence=0),
        altered(sequence=1 << 60),
        altered(covers=(5, 4)),
        altered(covers=(-1, 4)),
        altered(sent_ms=-1),
        altered(sent_ms=1 << 60),
        altered(slices=(Slice("s", "", -5),)),
        altered(slices=(Slice("s", "", 1 << 60),)),
        altered(slices=(Slice("s", "", 0, {"records": -1}),)),
        altered(slices=(Slice("s", "", 0, {"records": float("nan")}),)),
        altered(slices=(Slice("s", "", 0, {"records": float("inf")}),)),
        altered(slices=(Slice("s", "", 0, {}, {"label": {"a": -1}}),)),
        altered(slices=(Slice("s", "", 0, {}, {"label": {"a": 1 << 60}}),)),
    ],
)
def test_fields_that_make_no_sense_are_refused(payload: bytes) -> None:
    assert cause_of(payload) == "values"


def test_a_missing_field_is_named() -> None:
    raw = msgspec.msgpack.decode(encode(FRAME))
    del raw["n"]
    with pytest.raises(FrameError, match="`n`"):
        decode(msgspec.msgpack.encode(raw))


def test_the_hash_stands_for_the_definition() -> None:
    assert FRAME.definition is not None
    assert definition_hash(FRAME.definition) == definition_hash(msgspec.structs.replace(FRAME.definition))
    other = Definition((StageDefinition("ingest"),))
    assert definition_hash(other) != definition_hash(FRAME.definition)
    assert len(definition_hash(other)) == 16


@pytest.mark.parametrize("given", [{"dropped": -1}, {"dropped": 1 << 63}, {"failed": 1 << 63}])
def test_absurd_counts_of_what_was_lost_are_refused(given: dict[str, int]) -> None:
    with pytest.raises(FrameError, match="lost"):
        decode(encode(msgspec.structs.replace(FRAME, **given)))


def refused_or_read(payload: bytes) -> str:
    try:
        decode(payload)
    except FrameError as error:
        return error.cause
    return "read"


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(payload: bytes) -> None:
    assert refused_or_read(payload) in {"read", "foreign", "version", "values"}


@given(st.integers(0, len(encode(FRAME)) - 1), st.integers(0, 255))
def test_no_damaged_byte_does_more_than_be_refused(place: int, value: int) -> None:
    payload = bytearray(encode(FRAME))
    payload[place] = value
    assert refused_or_read(bytes(payload)) in {"read", "foreign", "version", "values"}
