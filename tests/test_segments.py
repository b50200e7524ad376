"""The counts of a stage by segment, and which series they become."""

from __future__ import annotations

import msgspec
import pytest

from swirl.detector import Kind
from swirl.effect import SeriesKey
from swirl.frame import Definition, Slice, StageDefinition
from swirl.history import SegmentCounts, StageCounts, WindowCounts, segments_of
from swirl.segments import MOST_SEGMENTS, count_segments, plain_key, segment_of
from swirl.series import FLOORS, Measured, SeriesTable, count_stage, is_material, measure
from swirl.window import Tally, Window

STAGE = StageDefinition("check", validates=True, predicts="label")


def counted(records: int = 100, **categories: dict[str, int]) -> StageCounts:
    tally = Tally()
    named = {name.replace("__", ":"): counts for name, counts in categories.items()}
    tally.add(Slice("check", "", 0, {"records": records}, named))
    return count_stage(tally)


def points(
    counts: StageCounts, table: SeriesTable, stage: StageDefinition = STAGE
) -> dict[tuple[str, str], tuple[float, float]]:
    """Metric and label -> numerator and denominator of the series of segments, which join the table."""
    now = WindowCounts(0, {"check": {"1": counts}})
    found = list(measure(Window(0), now, None, Definition((stage,)), table, ({}, {})))
    table.arrange(found, 0, 1000)
    kept: list[Measured] = [p for p in found if segment_of(p.key)]
    assert all(p.kind is Kind.RATIO for p in kept)
    return {(p.key.metric.removeprefix("segment_"), p.key.label): (p.value, p.weight) for p in kept}


def test_every_segment_has_ratios_of_its_own() -> None:
    counts = counted(
        100,
        segment={"DE": 60, "FR": 40},
        segment_invalid={"DE": 6},
        segment_error={"DE": 4},
        segment_label__yes={"DE": 30, "FR": 20},
        segment_label__no={"DE": 20, "FR": 20},
        label={"yes": 50, "no": 40},
    )
    assert points(counts, SeriesTable(100)) == {
        ("ratio", "DE"): (60, 100),
        ("invalid_ratio", "DE"): (6, 60),
        ("error_ratio", "DE"): (4, 54),
        ("prediction_ratio", "DE: yes"): (30, 50),
        ("ratio", "FR"): (40, 100),
        ("invalid_ratio", "FR"): (0, 40),
        ("error_ratio", "FR"): (0, 40),
        ("prediction_ratio", "FR: yes"): (20, 40),
    }


def test_of_two_labels_one_is_watched_and_of_many_the_five_commonest() -> None:
    labels = {name: 10 * n for n, name in enumerate("abcdefg", 1)}
    by_label = {f"segment_label__{name}": {"DE": n} for name, n in labels.items()}
    found = points(counted(300, segment={"DE": 300}, label=labels, **by_label), SeriesTable(100))
    assert [label for metric, label in found if metric == "prediction_ratio"] == [
        "DE: g", "DE: f", "DE: e", "DE: d", "DE: c",
    ]  # fmt: skip


def test_labels_that_are_watched_stay_so() -> None:
    table = SeriesTable(100)
    few = {"segment": {"DE": 90}, "segment_label__a": {"DE": 50}, "segment_label__b": {"DE": 40}}
    points(counted(90, label={"a": 50, "b": 40}, **few), table)
    found = points(counted(90, label={"b": 90}, segment={"DE": 90}, segment_label__b={"DE": 90}), table)
    assert {label: n for (metric, label), n in found.items() if metric == "prediction_ratio"} == {
        "DE: a": (0, 90)
    }


def test_no_part_is_larger_than_its_whole_whatever_a_frame_says() -> None:
    counts = counted(
        50,
        segment={"DE": 80, "FR": -5, "": 9},
        segment_invalid={"DE": 40, "FR": 3},
        segment_error={"DE": 40, "US": 4},
        segment_label__yes={"DE": 70},
        segment_label__no={"DE": 10},
    )
    assert counts.segments == {"DE": SegmentCounts(50, 40, 10, 50, {"no": 10, "yes": 50})}


def test_a_name_cannot_pass_for_a_segment_and_its_label() -> None:
    counts = counted(
        10, segment={"DE: yes": 4, "DE:yes": 2}, segment_label__no={"DE: yes": 4}, label={"no": 4}
    )
    assert counts.segments == {"DE:yes": SegmentCounts(6, 0, 0, 4, {"no": 4})}
    table = SeriesTable(100)
    points(counts, table)
    assert list(table.segments["check"]) == ["DE:yes"]


def test_a_segment_that_is_gone_counts_zero() -> None:
    table = SeriesTable(100)
    points(counted(100, segment={"DE": 60, "FR": 40}), table)
    found = points(counted(60, segment={"DE": 60}), table)
    assert [found[metric, "FR"] for metric in ("ratio", "invalid_ratio")] == [(0, 60), (0, 0)]


def test_where_no_record_has_a_segment_nothing_is_measured() -> None:
    table = SeriesTable(100)
    points(counted(100, segment={"DE": 60, "FR": 40}), table)
    assert points(counted(100), table) == {}
    assert points(counted(0), table) == {}


def test_the_share_of_a_segment_is_of_records_that_have_one() -> None:
    assert points(counted(1000, segment={"DE": 60, "FR": 40}), SeriesTable(100))["ratio", "DE"] == (60, 100)


def test_a_small_segment_gets_no_series_until_it_clearly_holds_a_hundredth() -> None:
    table = SeriesTable(100)
    small = {("ratio", "DE"), ("invalid_ratio", "DE"), ("error_ratio", "DE")}
    for few in (1, 5, 10, 17):
        assert set(points(counted(1000, segment={"DE": 1000 - few, "FR": few}), table)) == small
    assert ("ratio", "FR") in points(counted(1000, segment={"DE": 970, "FR": 30}), table)
    assert points(counted(1000, segment={"DE": 999, "FR": 1}), table)["ratio", "FR"] == (1, 1000)


def test_at_most_twenty_segments_have_series_the_largest_first() -> None:
    table = SeriesTable(1000)
    many = {f"c{n:02}": 100 + n for n in range(50)}
    points(counted(10_000, segment=many), table)
    assert list(table.segments["check"]) == [f"c{n:02}" for n in range(49, 29, -1)]
    points(counted(10_000, segment={"new": 5000, "c49": 100}), table)
    assert len(table.segments["check"]) == MOST_SEGMENTS
    assert "new" not in table.segments["check"]


def test_a_window_keeps_the_counts_of_a_bounded_number_of_segments_and_labels() -> None:
    by_label = {f"segment_label__{n}": {f"c{m}": 1 for m in range(200)} for n in range(60)}
    counts = counted(10_000, segment={f"c{n}": 50 for n in range(200)}, **by_label)
    assert len(counts.segments) == 2 * MOST_SEGMENTS
    assert max(len(part.labels) for part in counts.segments.values()) == 10
    assert len(msgspec.msgpack.encode(counts)) < 4000


def test_a_full_table_leaves_out_segments_before_stages() -> None:
    table = SeriesTable(2)
    assert points(counted(100, segment={"DE": 100}), table)
    assert [key.metric for key in table.keys[Kind.RATIO]] == ["invalid_ratio", "error_ratio"]
    assert table.refused > 0
    assert table.segments == {}


def test_the_segments_of_a_table_come_back_with_its_series() -> None:
    table, again = SeriesTable(100), SeriesTable(100)
    points(counted(100, segment={"DE": 60, "FR": 40}, label={"a": 9}, segment_label__a={"DE": 9}), table)
    for kind, keys in table.keys.items():
        for key in keys:
            again.add(key, kind)
    assert again.segments == table.segments


def test_a_stage_without_a_check_has_no_invalid_ratio_of_a_segment_until_something_is_invalid() -> None:
    table, stage = SeriesTable(100), StageDefinition("check")
    key = ("invalid_ratio", "DE")
    assert key not in points(counted(9, segment={"DE": 9}), table, stage)
    assert points(counted(9, segment={"DE": 9}, segment_invalid={"DE": 1}), table, stage)[key] == (1, 9)
    assert points(counted(9, segment={"DE": 9}), table, stage)[key] == (0, 9)


def test_versions_count_together_by_segment() -> None:
    one = counted(9, segment={"DE": 9}, segment_invalid={"DE": 2}, segment_label__a={"DE": 7})
    two = counted(5, segment={"DE": 4, "FR": 1}, segment_label__a={"DE": 3}, segment_label__b={"DE": 1})
    window = WindowCounts(0, {"check": {"1": one, "2": two}})
    assert segments_of(window, "check") == {
        "DE": SegmentCounts(13, 2, 0, 11, {"a": 10, "b": 1}),
        "FR": SegmentCounts(1),
    }
    assert one.segments["DE"].labels == {"a": 7}
    assert segments_of(window, "other") == {}


def test_counts_by_segment_survive_a_snapshot() -> None:
    window = WindowCounts(0, {"check": {"": counted(9, segment={"DE": 9}, segment_invalid={"DE": 2})}})
    packed = msgspec.msgpack.encode(msgspec.to_builtins(window))
    assert msgspec.msgpack.decode(packed, type=WindowCounts) == window
    older = msgspec.to_builtins(WindowCounts(0, {"check": {"": StageCounts(records=3)}}))
    assert msgspec.convert(older, WindowCounts).stages["check"][""].segments == {}


@pytest.mark.parametrize(
    ("metric", "label", "segment", "plain"),
    [
        ("segment_ratio", "DE", "DE", ("records", "")),
        ("segment_invalid_ratio", "DE", "DE", ("invalid_ratio", "")),
        ("segment_error_ratio", "a:b", "a:b", ("error_ratio", "")),
        ("segment_prediction_ratio", "DE: a: b", "DE", ("prediction_ratio", "a: b")),
        ("prediction_ratio", "DE: a", "", ("prediction_ratio", "DE: a")),
    ],
)
def test_a_series_says_its_segment_and_what_it_would_be_without(
    metric: str, label: str, segment: str, plain: tuple[str, str]
) -> None:
    key = SeriesKey("check", metric, label)
    assert segment_of(key) == segment
    assert plain_key(key) == ("check", *plain)


def test_the_share_of_a_segment_must_move_by_a_tenth_to_be_told() -> None:
    key = SeriesKey("check", "segment_ratio", "DE")
    assert "segment_ratio" in FLOORS
    assert not is_material(key, 0.131, 0.125)
    assert is_material(key, 0.14, 0.125)


def test_a_tally_without_segments_has_none() -> None:
    assert count_segments(Tally(), 10) == {}
    assert counted(9, segment_invalid={"DE": 2}).segments == {}
