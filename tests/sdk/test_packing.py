from __future__ import annotations

from collections import Counter

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from swirl.frame import MAX_BYTES, Slice, Summary
from swirl.sdk.packing import pack
from tests.sdk.inbox import HandClock, wired

names = st.text("abcdef", min_size=1, max_size=4)
slices = st.builds(
    Slice,
    stage=names,
    version=names,
    bucket_ms=st.integers(0, 5).map(lambda n: n * 1000),
    counters=st.dictionaries(names, st.integers(1, 9), max_size=6),
    categories=st.dictionaries(names, st.dictionaries(names, st.integers(1, 9), max_size=3), max_size=4),
    distributions=st.dictionaries(names, st.just(Summary(1, 1.0, b"digest" * 5)), max_size=4),
)


def contents(pieces: list[Slice]) -> Counter[object]:
    total: Counter[object] = Counter()
    for piece in pieces:
        key = (piece.stage, piece.version, piece.bucket_ms)
        for name, n in piece.counters.items():
            total[key, name] += int(n)
        for name, counts in piece.categories.items():
            for label, n in counts.items():
                total[key, name, label] += n
        for name, summary in piece.distributions.items():
            total[key, name, "count"] += summary.count
    return total


@given(st.lists(slices, max_size=8), st.sampled_from([0, 1, 100, 149]))
def test_nothing_is_lost_and_no_pack_is_larger_than_its_room(pieces: list[Slice], taken: int) -> None:
    room = 150
    packs = pack(pieces, taken, room)
    encoder = msgspec.msgpack.Encoder()
    assert contents([piece for part in packs for piece in part]) == contents(pieces)
    sizes = [sum(len(encoder.encode(p)) for p in part) for part in packs]
    assert sizes[0] == 0 or sizes[0] + taken <= room or (not taken and len(packs[0]) == 1)
    assert all(size <= room or len(part) == 1 for size, part in zip(sizes, packs, strict=True))


def test_nothing_to_send_is_still_one_frame() -> None:
    assert pack([]) == [[]]
    assert pack([], taken=500_000) == [[]]


def test_a_frame_with_large_references_is_no_larger_than_what_is_read() -> None:
    clock = HandClock()
    pipeline, inbox = wired(clock=clock)
    columns = {f"c{i}": [f"{i}, one of the labels, {j}" for j in range(50)] for i in range(180)}

    @pipeline.stage(features=True, reference=columns)
    def score(row: dict[str, str]) -> dict[str, str]:
        return row

    for _ in range(20):
        score.batch(50, features=columns)
        clock.advance(1)
    pipeline.emit_now()
    assert len(inbox.payloads) > 1
    assert max(map(len, inbox.payloads)) <= MAX_BYTES
    assert sum(piece.counters.get("records", 0) for piece in inbox.slices("score")) == 1_000
