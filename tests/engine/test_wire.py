"""What a worker writes can be read back, whole, and below the limit of a message."""

from __future__ import annotations

import msgspec
import numpy as np

from swirl.effect import COLUMNS, Health, SeriesKey, State, WindowClosed
from swirl.engine.wire import SCHEMA, DeadLetter, WindowPart, dead_letter, window_records
from swirl.frame import Definition


def window(series: int) -> WindowClosed:
    numbers = np.random.default_rng(1).normal(size=(len(COLUMNS), series))
    return WindowClosed(
        pipeline="ads",
        start_ms=1_000,
        window_ms=10_000,
        revision=0,
        exposure_ms=10_000,
        whole=True,
        keys=tuple(SeriesKey(f"stage {n // 50}", "prediction_ratio", f"label {n}") for n in range(series)),
        numbers=numbers.tobytes(),
        states=bytes([State.NORMAL]) * series,
        definition=Definition(()),
        versions={"ingest": ("1",)},
        totals={},
        latency={"ingest": (0.1, 0.2, 0.3)},
        health=Health(frames=3),
    )


def parts(of: WindowClosed) -> list[WindowPart]:
    return [msgspec.msgpack.decode(record, type=WindowPart) for record in window_records(of)]


def test_a_window_of_usual_size_is_one_record() -> None:
    (part,) = parts(window(50))

    assert part.window == window(50)
    assert (part.part, part.parts, part.schema) == (0, 1, SCHEMA)


def test_a_window_without_series_is_one_record_too() -> None:
    assert [part.window for part in parts(window(0))] == [window(0)]


def test_a_large_window_lies_in_parts_below_the_limit_of_a_message() -> None:
    whole = window(20_000)

    records = list(window_records(whole))
    read = parts(whole)

    assert len(records) > 1
    assert all(len(record) < 1_000_000 for record in records)
    assert [part.part for part in read] == list(range(read[0].parts))
    points = [point for part in read for point in part.window.points()]
    assert points == list(whole.points())
    assert read[0].window.versions
    assert not read[1].window.versions
    assert {part.window.identity for part in read} == {whole.identity}


def test_fields_of_a_later_version_are_ignored() -> None:
    known = msgspec.msgpack.decode(next(iter(window_records(window(3)))))

    later = msgspec.msgpack.encode(known | {"new": [1, 2], "window": known["window"] | {"newer": 3}})

    assert msgspec.msgpack.decode(later, type=WindowPart).window == window(3)


def test_of_a_huge_record_that_cannot_be_read_only_the_beginning_is_kept() -> None:
    letter = dead_letter(("frames", 1, 7), 1_000, ("too_large", "in words"), None, b"x" * 5_000_000)

    read = msgspec.msgpack.decode(letter, type=DeadLetter)

    assert len(letter) < 200_000
    assert (read.size, read.key, read.value) == (5_000_000, b"", b"x" * 100_000)
