from __future__ import annotations

from collections import Counter

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from swirl.frame import Slice, Summary
from swirl.sdk.packing import pack

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


@given(st.lists(slices, max_size=8))
def test_nothing_is_lost_and_no_pack_is_larger_than_its_room(pieces: list[Slice]) -> None:
    room = 150
    packs = pack(pieces, room)
    encoder = msgspec.msgpack.Encoder()
    assert contents([piece for part in packs for piece in part]) == contents(pieces)
    assert all(sum(len(encoder.encode(p)) for p in part) <= room or len(part) == 1 for part in packs)


def test_nothing_to_send_is_still_one_frame() -> None:
    assert pack([]) == [[]]
