from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from swirl import Invalid
from tests.sdk.inbox import START, HandClock, Inbox, wired


def batch(**given: Any) -> Inbox:
    ads, inbox = wired(clock=HandClock(step=0))

    @ads.stage
    def classify() -> None:
        pass

    classify.batch(**given)
    ads.emit_now()
    return inbox


MAKERS: dict[str, Any] = {
    "list": list,
    "tuple": tuple,
    "numpy": lambda values: np.array(list(values)),
    "numpy objects": lambda values: np.array(list(values), dtype=object),
    "pandas": pd.Series,
    "polars": pl.Series,
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_columns_of_every_kind_count_the_same(make: Any) -> None:
    inbox = batch(
        invalid=make([False, True, False, False]),
        predictions=make(["a", "b", "a", "c"]),
        features={
            "age": make([1.0, 2.0, 3.0, 4.5]),
            "n": make([1, 2, 3, 4]),
            "ok": make([True, True, False, True]),
        },
        seconds=0.4,
    )
    assert inbox.counters("classify") == {
        "records": 4, "invalid": 1, "out": 3, "predictions": 3, "values": 12,
    }  # fmt: skip
    assert inbox.category("classify", "label") == {"a": 2, "c": 1}
    assert inbox.category("classify", "feature:ok") == {"True": 3, "False": 1}
    assert inbox.distribution("classify", "feature:age").total == 10.5
    assert inbox.distribution("classify", "feature:n").total == 10.0
    assert inbox.distribution("classify", "latency").count == 4
    assert inbox.distribution("classify", "latency").quantile(0.5) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "column",
    [
        [1.0, None, 3.0],
        np.array([1.0, np.nan, 3.0]),
        pd.Series([1, None, 3], dtype="Int64"),
        pd.Series([1.0, None, 3.0]),
        pl.Series([1, None, 3]),
    ],
    ids=["list", "numpy", "pandas nullable", "pandas", "polars"],
)
def test_nulls_are_nulls_in_every_kind_of_column(column: Any) -> None:
    inbox = batch(features={"age": column})
    assert inbox.counters("classify") == {"records": 3, "out": 3, "values": 3, "nulls": 1, "null:age": 1}
    assert inbox.distribution("classify", "feature:age").total == 4.0


@pytest.mark.parametrize(
    "column", [[0.5, None, 0.25], np.array([0.5, np.nan, 0.25]), pl.Series([0.5, None, 0.25])]
)
def test_number_predictions_leave_out_what_is_not_there(column: Any) -> None:
    inbox = batch(predictions=column)
    assert inbox.counter("classify", "predictions") == 2
    assert inbox.distribution("classify", "prediction").total == 0.75


@pytest.mark.parametrize(
    "column", [["a", None], pd.Series(["a", None]), pl.Series(["a", None]), pd.Categorical(["a", None])]
)
def test_label_predictions_leave_out_what_is_not_there(column: Any) -> None:
    inbox = batch(predictions=column)
    assert inbox.counters("classify") == {"records": 2, "out": 2, "predictions": 1}
    assert inbox.category("classify", "label") == {"a": 1}


@pytest.mark.parametrize("column", [np.array([1, 2, 1], dtype=np.int8), np.array([True, False, True])])
def test_whole_numbers_and_truth_values_are_labels(column: Any) -> None:
    labels = batch(predictions=column).category("classify", "label")
    assert labels == ({"1": 2, "2": 1} if column.dtype == np.int8 else {"True": 2, "False": 1})


def test_invalid_records_are_given_as_a_number_or_by_reason() -> None:
    assert batch(records=10, invalid=3).counters("classify") == {"records": 10, "invalid": 3, "out": 7}
    inbox = batch(
        records=[{}] * 4,
        invalid={
            "no text": np.array([True, True, False, False]),
            "no user": [True, False, True, False],
            "late": 1,
        },
        predictions=["a"] * 4,
    )
    assert inbox.counters("classify") == {"records": 4, "invalid": 4, "predictions": 1}
    assert inbox.category("classify", "reason") == {"no text": 2, "no user": 1, "late": 1}
    assert inbox.category("classify", "label") == {"a": 1}


def test_fewer_predictions_than_records_are_those_of_the_valid_ones() -> None:
    inbox = batch(records=pd.DataFrame({"x": range(5)}), invalid=2, predictions=["a", "b", "a"])
    assert inbox.counters("classify") == {"records": 5, "invalid": 2, "out": 3, "predictions": 3}


@pytest.mark.parametrize(
    "at",
    [
        [START - 2.0, START - 1.0, START - 1.5, START - 1.0],
        np.array([START - 2.0, START - 1.0, START - 1.5, START - 1.0]),
        pd.to_datetime(np.array([START - 2.0, START - 1.0, START - 1.5, START - 1.0]) * 1e9).tz_localize(
            "UTC"
        ),
        pd.Series(pd.to_datetime(np.array([START - 2.0, START - 1.0, START - 1.5, START - 1.0]) * 1e9)),
        pl.Series([int(1000 * (START - n)) for n in (2.0, 1.0, 1.5, 1.0)]),
    ],
    ids=["list", "numpy", "pandas index with zone", "pandas", "polars ms"],
)
def test_a_column_of_event_times_spreads_the_batch_over_its_seconds(at: Any) -> None:
    inbox = batch(
        at=at,
        predictions=["a", "b", "c", "b"],
        invalid=[False, True, False, False],
        features={"x": [1, 2, 3, 4]},
    )
    assert [
        (p.bucket_ms - START * 1000, p.counters, p.categories["label"]) for p in inbox.slices("classify")
    ] == [
        (-2000, {"records": 2, "out": 2, "predictions": 2, "values": 2}, {"a": 1, "c": 1}),
        (-1000, {"records": 2, "out": 1, "predictions": 1, "values": 2, "invalid": 1}, {"b": 1}),
    ]


def test_one_event_time_holds_for_the_whole_batch_and_one_that_is_none_is_counted() -> None:
    assert batch(records=3, at=1e9).slices("classify")[0].bucket_ms == 1_000_000_000_000
    inbox = batch(records=3, at="yesterday")
    assert inbox.slices("classify")[0].bucket_ms == START * 1000
    assert inbox.counters("classify") == {"records": 3, "out": 3, "hook_errors": 1}


def test_columns_that_do_not_fit_are_counted_and_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    inbox = batch(records=3, features={"x": [1, 2]})
    assert inbox.counters("classify") == {"hook_errors": 1}
    assert "a column of 2 values in a batch of 3 records" in caplog.text
    assert batch(predictions=np.zeros((2, 2))).counters("classify") == {"hook_errors": 1}
    assert batch().counters("classify") == {"hook_errors": 1}
    assert batch(records=1, predictions=["a", "b"]).counters("classify") == {"hook_errors": 1}


def test_columns_are_copied_so_that_they_may_be_changed_at_once() -> None:
    ads, inbox = wired()

    @ads.stage
    def classify() -> None:
        pass

    numbers, labels = np.ones(4), ["a"] * 4
    classify.batch(features={"x": numbers}, predictions=labels)
    classify.observe_many("price", numbers)
    numbers[:] = 7
    labels[:] = ["b"] * 4
    ads.emit_now()
    assert inbox.distribution("classify", "feature:x").total == 4.0
    assert inbox.distribution("classify", "price").total == 4.0
    assert inbox.category("classify", "label") == {"a": 4}


def test_a_timed_block_measures_itself_and_counts_what_ends_it() -> None:
    clock = HandClock(step=0)
    ads, inbox = wired(clock=clock)

    @ads.stage
    def classify() -> None:
        pass

    with classify.timed() as done:
        clock.advance(3.0)
        done(3, predictions=["a", "b", "a"])
    with pytest.raises(KeyError), classify.timed():
        raise KeyError("x")
    with pytest.raises(Invalid), classify.timed():
        raise Invalid("empty")
    ads.emit_now()
    assert inbox.counters("classify") == {
        "records": 5, "out": 3, "predictions": 3, "errors": 1, "invalid": 1,
    }  # fmt: skip
    assert inbox.distribution("classify", "latency").total == pytest.approx(3.0)


def test_an_empty_batch_is_no_record() -> None:
    assert batch(records=0, predictions=[]).counters("classify") == {}


def test_a_flood_of_batches_is_bounded_and_counted() -> None:
    ads, inbox = wired()

    @ads.stage
    def classify() -> None:
        pass

    for _ in range(30):
        classify.batch(features={"x": np.zeros(50_000)})
    assert ads._gate.recorders[0].waiting() <= 200_000
    ads.emit_now()
    assert inbox.counter("classify", "records") == 200_000
    assert inbox.frames[-1].dropped == 1_300_000
