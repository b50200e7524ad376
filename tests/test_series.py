"""From windows to points: conditional, with numerator and denominator kept."""

from __future__ import annotations

from math import exp, isnan, nan

import numpy as np
import pytest

from swirl.detector import Kind
from swirl.effect import SeriesKey
from swirl.frame import Definition, RatioDefinition, Slice, StageDefinition, Summary
from swirl.history import WindowCounts
from swirl.series import Measured, SeriesTable, count_stage, is_material, measure, show
from swirl.sketch import Distribution
from swirl.window import Tally, Window

INGEST = StageDefinition("ingest", validates=True)
CLASSIFY = StageDefinition("classify", ("ingest",), predicts="label")
CLICKS = RatioDefinition("clicks per ad", ("classify", "clicks"), ("classify", "out"))
GRAPH = Definition((INGEST, CLASSIFY), (CLICKS,))


def summary(*values: float) -> Summary:
    d = Distribution()
    d.update(values)
    return Summary(d.count, d.total, d.encode())


def window(*pieces: Slice) -> tuple[Window, WindowCounts]:
    w = Window(0)
    for piece in pieces:
        assert w.add(piece) == 0
    stages = {s: {v: count_stage(t) for v, t in versions.items()} for s, versions in w.by_stage().items()}
    return w, WindowCounts(0, stages, lag_ms=700)


def points(
    *pieces: Slice, table: SeriesTable | None = None, graph: Definition = GRAPH
) -> dict[tuple[str, ...], Measured]:
    w, counts = window(*pieces)
    found = measure(w, counts, None, graph, table or SeriesTable(100), ({}, {}))
    first: dict[tuple[str, ...], Measured] = {}
    for point in found:  # the first of a key is the one that decides what it is
        first.setdefault(tuple(point.key), point)
    return first


INGESTED = Slice(
    "ingest",
    "1",
    0,
    {"records": 100, "invalid": 20, "errors": 5, "out": 75},
    {"reason": {"text missing": 20}},
)
CLASSIFIED = Slice(
    "classify",
    "1",
    0,
    {"records": 75, "out": 75, "predictions": 75, "clicks": 6},
    {"label": {"yes": 60, "no": 15}},
)


def test_each_ratio_is_given_what_came_before_it() -> None:
    found = points(INGESTED, CLASSIFIED)

    def fraction(*key: str) -> tuple[float, float]:
        return found[key].value, found[key].weight

    assert fraction("ingest", "invalid_ratio", "") == (20, 100)
    assert fraction("ingest", "error_ratio", "") == (5, 80)
    assert fraction("ingest", "output_ratio", "") == (75, 75)
    assert fraction("classify", "prediction_ratio", "yes") == (60, 75)
    assert fraction("classify", "prediction_ratio", "no") == (15, 75)
    assert fraction("classify", "ratio", "clicks per ad") == (6, 75)
    assert found["ingest", "records", ""].kind is Kind.RATE
    assert ("classify", "records", "") not in found
    assert found["", "lag", ""].value == 0.7


def test_a_stage_without_a_check_has_no_invalid_ratio_until_something_is_invalid() -> None:
    key = ("classify", "invalid_ratio", "")
    assert key not in points(CLASSIFIED)
    assert key in points(Slice("classify", "1", 0, {"records": 5, "invalid": 1}))


def test_a_label_that_was_seen_before_counts_zero_when_it_is_gone() -> None:
    table = SeriesTable(100)
    table.add(SeriesKey("classify", "prediction_ratio", "yes"), Kind.RATIO)
    found = points(
        Slice("classify", "1", 0, {"records": 9, "predictions": 9}, {"label": {"no": 9}}), table=table
    )
    assert (
        found["classify", "prediction_ratio", "yes"].value,
        found["classify", "prediction_ratio", "no"].value,
    ) == (0, 9)


def test_a_stage_that_yields_more_than_it_takes_has_no_output_ratio() -> None:
    assert ("ingest", "output_ratio", "") not in points(Slice("ingest", "1", 0, {"records": 5, "out": 12}))


def test_a_counter_of_no_ratio_is_judged_per_record() -> None:
    found = points(Slice("ingest", "1", 0, {"records": 8, "retries": 4}))
    assert found["ingest", "counter_level", "retries"].value == 0.5
    assert ("classify", "counter_level", "clicks") not in points(CLASSIFIED)


def test_a_ratio_that_can_exceed_one_is_a_level_for_good() -> None:
    table = SeriesTable(100)
    more = Slice("classify", "1", 0, {"records": 5, "out": 5, "clicks": 12})
    less = Slice("classify", "1", 0, {"records": 5, "out": 5, "clicks": 1})
    key = SeriesKey("classify", "ratio", "clicks per ad")
    for piece, expected in ((more, 2.4), (less, 0.2)):
        w, counts = window(piece)
        arranged = table.arrange(measure(w, counts, None, GRAPH, table, ({}, {})), 0, 1000)
        assert table.kind(key) is Kind.LEVEL
        assert arranged[Kind.LEVEL][0].value[table.row(key)] == pytest.approx(expected)


def test_a_ratio_of_a_stage_that_did_nothing_is_not_measured() -> None:
    assert ("classify", "ratio", "clicks per ad") not in points(INGESTED)


def test_versions_are_judged_together() -> None:
    found = points(
        Slice("ingest", "1", 0, {"records": 10, "invalid": 1}),
        Slice("ingest", "2", 0, {"records": 30, "invalid": 9}),
    )
    assert (found["ingest", "invalid_ratio", ""].value, found["ingest", "invalid_ratio", ""].weight) == (
        10,
        40,
    )


def test_latency_and_features_keep_their_summaries_over_versions() -> None:
    found = points(
        Slice("ingest", "1", 0, {"records": 2}, {}, {"latency": summary(1, 1), "feature:age": summary(3)}),
        Slice(
            "ingest",
            "2",
            0,
            {"records": 2},
            {"feature:land": {"de": 2}},
            {"latency": summary(9, 9), "prediction": summary(4)},
        ),
    )
    slowest = found["ingest", "latency_p95", ""]
    assert slowest.value * slowest.scale == pytest.approx(9, rel=0.01)
    assert slowest.scale == pytest.approx(5, rel=0.1)
    assert isinstance(found["ingest", "drift", "age"].sample, Distribution)
    assert found["ingest", "drift", "land"].sample == {"de": 2}
    assert found["ingest", "prediction_drift", ""].kind is Kind.DISTRIBUTION


def test_counts_of_a_stage_are_taken_from_its_tally() -> None:
    tally = Tally()
    tally.add(
        Slice(
            "s",
            "",
            0,
            {"records": 9, "own": 2, "null:age": 3, "nulls": 3, "values": 9},
            {},
            {"latency": summary(1, 2, 3)},
        )
    )
    counts = count_stage(tally)
    assert (counts.records, counts.nulls, counts.values, counts.latency) == (9, 3, 9, 2.0)
    assert counts.counters == {"own": 2}
    assert counts.latency_spread > 0


def test_only_the_commonest_reasons_are_kept() -> None:
    tally = Tally()
    tally.add(Slice("s", "", 0, {}, {"reason": {str(n): n for n in range(1, 10)}}))
    assert list(count_stage(tally).reasons) == ["9", "8", "7", "6", "5"]


def test_no_part_is_larger_than_its_whole_whatever_a_frame_says() -> None:
    tally = Tally()
    tally.add(Slice("s", "", 0, {"records": 10, "invalid": 15, "errors": 4, "nulls": 3, "values": 2}))
    counts = count_stage(tally)
    assert (counts.invalid, counts.errors, counts.nulls) == (10, 0, 2)
    tally.add(Slice("s", "", 0, {"records": 7}))
    assert (count_stage(tally).invalid, count_stage(tally).errors) == (15, 2)


@pytest.mark.parametrize("counter", ["hook_errors", "non_finite"])
def test_a_ratio_may_be_of_any_counter_that_swirl_keeps(counter: str) -> None:
    graph = Definition((INGEST,), (RatioDefinition("odd", ("ingest", counter), ("ingest", "records")),))
    found = points(Slice("ingest", "1", 0, {"records": 10, counter: 3}), graph=graph)
    assert found["ingest", "ratio", "odd"][2:4] == (3, 10)


def test_the_versions_of_a_stage_are_judged_together() -> None:
    parts = [
        Slice("classify", v, 0, {"records": n, "out": n, "predictions": n}, {"label": {"yes": n - 1}})
        for v, n in (("1", 10), ("2", 30))
    ]
    assert points(*parts)["classify", "prediction_ratio", "yes"][2:4] == (38, 40)


def test_a_counter_below_the_line_of_a_ratio_is_judged_by_itself() -> None:
    graph = Definition((INGEST,), (RatioDefinition("r", ("ingest", "clicks"), ("ingest", "ads")),))
    found = points(Slice("ingest", "1", 0, {"records": 10, "clicks": 3, "ads": 5}), graph=graph)
    assert found["ingest", "counter_level", "ads"].value == 0.5
    assert ("ingest", "counter_level", "clicks") not in found


def test_the_table_keeps_rows_and_refuses_what_is_beyond_the_cap() -> None:
    table = SeriesTable(2)
    some = [Measured(SeriesKey("s", "invalid_ratio", str(n)), Kind.RATIO, n, 10.0) for n in range(3)]
    arranged = table.arrange(some, 0, 1000)
    assert table.refused == 1
    assert arranged[Kind.RATIO][0].value.tolist() == [0, 1]
    later = table.arrange(some[1:2], 1000, 1000)[Kind.RATIO][0]
    assert isnan(later.value[0])
    assert later.value[1] == 1
    assert later.weight.tolist() == [0, 10]


def test_plain_rates_are_per_second_and_take_the_limits_of_their_ratio() -> None:
    _, counts = window(INGESTED, CLASSIFIED)
    ratio = SeriesKey("classify", "input_ratio")
    shown = {tuple(s.key): s for s in show(counts, GRAPH, {ratio: 1.25}, exposure_s=2.0)}
    invalid = shown["ingest", "invalid", ""]
    assert (invalid.value, invalid.judged, invalid.factor) == (10, ("ingest", "invalid_ratio", ""), 50)
    records = shown["classify", "records", ""]
    assert (records.value, records.judged, records.factor) == (37.5, ratio, 30)
    clicks = shown["classify", "count", "clicks"]
    assert (clicks.value, clicks.judged, clicks.factor) == (3, ("classify", "ratio", "clicks per ad"), 37.5)
    assert ("ingest", "records", "") not in shown


def test_a_counter_that_did_not_count_is_shown_as_zero() -> None:
    _, counts = window(Slice("classify", "1", 0, {"records": 5, "out": 5}))
    assert {tuple(s.key): s.value for s in show(counts, GRAPH, {}, 1.0)}["classify", "count", "clicks"] == 0


@pytest.mark.parametrize(
    ("metric", "value", "expected", "material"),
    [
        ("latency_p95", 9e-6, 5e-6, False),
        ("latency_p95", 0.0121, 0.0100, True),
        ("latency_p95", 0.0119, 0.0100, False),
        ("records", 101, 100, False),
        ("records", 97, 100, True),
        ("lag", 1.9, 1.0, False),
        ("lag", 2.1, 1.0, True),
        ("invalid_ratio", 0.00041, 0.0004, True),
        ("invalid_ratio", 0.5, nan, True),
        ("invalid_ratio", nan, 0.5, False),
    ],
)
def test_only_material_changes_are_worth_a_person(
    metric: str,
    value: float,
    expected: float,
    material: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert is_material(SeriesKey("s", metric), value, expected) is material


def test_the_last_of_many_small_steps_needs_half_the_floor() -> None:
    key = SeriesKey("s", "records")
    assert not is_material(key, 101.5, 100)
    assert is_material(key, 101.5, 100, accumulated=True)


def test_a_level_is_told_on_its_own_scale() -> None:
    point = Measured(SeriesKey("s", "input_ratio"), Kind.LEVEL, 2.0, rate=0.1)
    assert point.scale * exp(point.rate * point.value) == pytest.approx(np.exp(0.2))
