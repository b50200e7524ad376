"""Counts by segment: record by record and in batches, within the caps, whatever the hook does."""

from __future__ import annotations

import asyncio
import pickle
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from swirl import Invalid
from swirl.settings import EmitterSettings
from tests.sdk.inbox import HandClock, Inbox, wired

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

Order = dict[str, Any]


def country(order: Order, _result: object) -> Any:
    return order["country"]


def orders(*countries: Any, **given: Any) -> list[Order]:
    return [{"country": one, **given} for one in countries]


def by_segment(inbox: Inbox, stage: str = "check") -> dict[str, dict[str, int]]:
    names = {n for piece in inbox.slices(stage) for n in piece.categories if n.startswith("segment")}
    return {name: inbox.category(stage, name) for name in sorted(names)}


def test_records_invalid_ones_and_labels_count_by_segment() -> None:
    shop, inbox = wired()

    @shop.stage(valid=lambda mood: mood != "", predicts=True, segment=country)
    def check(order: Order) -> str:
        return str(order["mood"])

    for order in [*orders("DE", "DE", "FR", mood="good"), *orders("FR", mood="bad"), *orders("DE", mood="")]:
        check(order)
    shop.emit_now()
    assert by_segment(inbox) == {
        "segment": {"DE": 3, "FR": 2},
        "segment_invalid": {"DE": 1},
        "segment_label:bad": {"FR": 1},
        "segment_label:good": {"DE": 2, "FR": 1},
    }
    assert inbox.counters("check") == {"records": 5, "out": 5, "invalid": 1, "predictions": 4}


def test_a_record_that_raised_is_asked_for_with_its_argument_and_none() -> None:
    shop, inbox = wired()
    asked: list[object] = []

    def place(order: Order, result: object) -> str:
        asked.append(result)
        return str(order["country"])

    @shop.stage(segment=place, on_invalid="drop")
    def check(order: Order) -> str:
        if order["country"] == "FR":
            raise Invalid("no text")
        return str(1 / order["n"])

    check({"country": "DE", "n": 1})
    assert check({"country": "FR", "n": 1}) is None
    with pytest.raises(ZeroDivisionError):
        check({"country": "DE", "n": 0})
    shop.emit_now()
    assert asked == ["1.0", None, None]
    assert by_segment(inbox) == {
        "segment": {"DE": 2, "FR": 1},
        "segment_error": {"DE": 1},
        "segment_invalid": {"FR": 1},
    }


def test_a_hook_of_the_result_is_not_asked_where_there_is_none() -> None:
    shop, inbox = wired()

    @shop.stage(segment=lambda result: result["country"])
    def check(order: Order) -> Order:
        if order["country"] == "FR":
            raise Invalid("no text")
        return order

    for order in orders("DE", "FR"):
        check(order)
    shop.emit_now()
    assert by_segment(inbox) == {"segment": {"DE": 1}}
    assert inbox.counters("check") == {"records": 2, "out": 1, "invalid": 1}


def test_methods_name_the_segment_of_their_argument() -> None:
    shop, inbox = wired()

    class Model:
        @shop.stage(segment=country)
        def check(self, order: Order) -> float:
            return 1 / float(order["n"])

    model = Model()
    model.check({"country": "DE", "n": 1})
    with pytest.raises(ZeroDivisionError):
        model.check(order={"country": "FR", "n": 0})
    shop.emit_now()
    assert by_segment(inbox) == {"segment": {"DE": 1, "FR": 1}, "segment_error": {"FR": 1}}


def test_async_stages_count_by_segment() -> None:
    shop, inbox = wired()

    @shop.stage(segment=country, predicts=True)
    async def check(order: Order) -> str:
        if order["country"] == "FR":
            raise ValueError("no price")
        return "yes"

    async def both() -> None:
        await check({"country": "DE"})
        with pytest.raises(ValueError, match="no price"):
            await check({"country": "FR"})

    asyncio.run(both())
    shop.emit_now()
    assert by_segment(inbox) == {
        "segment": {"DE": 1, "FR": 1},
        "segment_error": {"FR": 1},
        "segment_label:yes": {"DE": 1},
    }


def test_a_generator_counts_each_call_once_in_the_segment_of_its_first_value() -> None:
    shop, inbox = wired()

    feed = shop.stage(name="feed")(lambda: None)

    @shop.stage(after=feed, segment=lambda word: word.split("-")[0], predicts=True)
    def words(text: str) -> Iterator[str]:
        yield from text.split()

    assert list(words("DE-a DE-b DE-c")) == ["DE-a", "DE-b", "DE-c"]
    assert list(words("FR-a")) == ["FR-a"]
    assert list(words("")) == []
    shop.emit_now()
    found = by_segment(inbox, "words")
    assert found["segment"] == {"DE": 1, "FR": 1}
    assert found["segment_label:DE-a"] == {"DE": 1}
    assert (inbox.counter("words", "records"), inbox.counter("words", "out")) == (3, 4)


def test_a_generator_that_fails_before_its_first_value_counts_in_the_segment_of_its_argument() -> None:
    shop, inbox = wired()

    feed = shop.stage(name="feed")(lambda: None)

    @shop.stage(after=feed, segment=country)
    def parts(order: Order) -> Iterator[int]:
        yield from range(int(order["n"]))

    @shop.stage(after=feed, segment=country)
    async def later(order: Order) -> AsyncIterator[int]:
        for n in range(int(order["n"])):
            yield n

    async def run() -> list[int]:
        return [n async for n in later({"country": "US", "n": 2})]

    assert list(parts({"country": "DE", "n": 0})) == []
    with pytest.raises(ValueError, match="invalid literal"):
        list(parts({"country": "FR", "n": "x"}))
    assert asyncio.run(run()) == [0, 1]
    shop.emit_now()
    assert by_segment(inbox, "parts") == {"segment": {"DE": 1, "FR": 1}, "segment_error": {"FR": 1}}
    assert by_segment(inbox, "later") == {"segment": {"US": 1}}
    assert inbox.counter("parts", "records") == 2
    assert inbox.counters("later") == {"records": 1, "out": 2}


def test_a_source_counts_each_value_in_its_segment() -> None:
    shop, inbox = wired()

    @shop.stage(segment=lambda value: value, valid=lambda value: value != "FR")
    def read() -> Iterator[str]:
        yield from ["DE", "DE", "FR"]

    list(read())
    shop.emit_now()
    assert by_segment(inbox, "read") == {"segment": {"DE": 2, "FR": 1}, "segment_invalid": {"FR": 1}}


class Land(Enum):
    DE = 1


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("DE", "DE"),
        (Land.DE, "DE"),
        (7, "7"),
        (True, "True"),
        (2.5, "2.5"),
        ("x" * 200, "x" * 79 + "…"),
        ("a\nb", "a b"),
        (None, None),
        ("", None),
        (float("nan"), None),
    ],
)
def test_a_segment_is_a_short_text_or_nothing(given: object, shown: str | None) -> None:
    expected = {} if shown is None else {"segment": {shown: 1}}
    shop, inbox = wired()
    stage = shop.stage(name="check", segment=country)(lambda order: order)
    stage({"country": given})
    stage.batch(segments=[given])
    shop.emit_now()
    assert by_segment(inbox) == {name: {k: 2 * n for k, n in c.items()} for name, c in expected.items()}
    assert inbox.counter("check", "hook_errors") == 0


def test_a_hook_that_raises_or_gives_no_name_is_counted_and_nothing_else_changes() -> None:
    shop, inbox = wired()
    stage = shop.stage(name="check", segment=country, predicts=True)(lambda _order: "yes")
    assert [stage(order) for order in ({}, {"country": object()}, {"country": "DE"})] == ["yes"] * 3
    shop.emit_now()
    assert inbox.counters("check") == {"records": 3, "out": 3, "predictions": 3, "hook_errors": 2}
    assert by_segment(inbox) == {"segment": {"DE": 1}, "segment_label:yes": {"DE": 1}}


def test_at_most_twenty_segments_are_kept_apart_and_the_same_ones_for_good() -> None:
    shop, inbox = wired(clock=HandClock(step=0))
    stage = shop.stage(name="check", segment=country)(lambda order: order)
    for number in range(30):
        stage({"country": f"c{number}"})
    shop.emit_now()
    for number in reversed(range(30)):
        stage({"country": f"c{number}"})
    shop.emit_now()
    found = by_segment(inbox)["segment"]
    assert found == {**{f"c{n}": 2 for n in range(20)}, "(other)": 20}


def test_at_most_ten_labels_are_kept_apart_by_segment() -> None:
    shop, inbox = wired()
    stage = shop.stage(name="check", segment=country, predicts=True)(lambda order: order["n"])
    for number in range(15):
        stage({"country": "DE", "n": number})
    stage.batch(segments=["DE"] * 3, predictions=[3, 14, 15])
    shop.emit_now()
    found = by_segment(inbox)
    assert len([name for name in found if name.startswith("segment_label:")]) == 11
    assert found["segment_label:(other)"] == {"DE": 7}
    assert found["segment_label:3"] == {"DE": 2}


def test_a_lower_cap_of_labels_holds_for_segments_too() -> None:
    shop, inbox = wired(settings=EmitterSettings(labels=3))
    stage = shop.stage(name="check", segment=country, valid=lambda _: False)(lambda order: order)
    for number in (0, 1, 2, 3, 4):
        stage({"country": f"c{number}"})
    shop.emit_now()
    expected = {"c0": 1, "c1": 1, "c2": 1, "(other)": 2}
    assert by_segment(inbox) == {"segment": expected, "segment_invalid": expected}


def test_segments_are_redacted() -> None:
    shop, inbox = wired(redact=lambda text: "" if "@" in text else text.upper())
    stage = shop.stage(name="check", segment=country)(lambda order: order)
    for order in orders("de", "kim@example.org"):
        stage(order)
    stage.batch(segments=["de", "lee@example.org"])
    shop.emit_now()
    assert by_segment(inbox) == {"segment": {"DE": 2, "(other)": 2}}


MAKERS: dict[str, Any] = {
    "list": list,
    "numpy": lambda values: np.array(list(values)),
    "numpy objects": lambda values: np.array(list(values), dtype=object),
    "pandas": pd.Series,
    "pandas categories": lambda values: pd.Series(values, dtype="category"),
    "polars": pl.Series,
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_a_batch_counts_by_a_column_of_segments(make: Any) -> None:
    shop, inbox = wired()
    stage = shop.stage(name="check")(lambda: None)
    stage.batch(
        segments=make(["DE", "FR", "DE", "US"]),
        invalid=[False, False, True, False],
        predictions=make(["yes", "no", "yes", "yes"]),
    )
    shop.emit_now()
    assert by_segment(inbox) == {
        "segment": {"DE": 2, "FR": 1, "US": 1},
        "segment_invalid": {"DE": 1},
        "segment_label:no": {"FR": 1},
        "segment_label:yes": {"DE": 1, "US": 1},
    }
    assert inbox.counters("check") == {"records": 4, "invalid": 1, "out": 3, "predictions": 3}


def test_a_batch_over_several_seconds_counts_each_record_once() -> None:
    shop, inbox = wired()
    stage = shop.stage(name="check")(lambda: None)
    begin = 1_767_571_200
    stage.batch(
        segments=["DE", "FR"] * 3,
        predictions=[1, 2] * 3,
        invalid=[True] + [False] * 5,
        at=[begin + n // 2 for n in range(6)],
    )
    shop.emit_now()
    assert len(inbox.slices("check")) == 3
    assert by_segment(inbox) == {
        "segment": {"DE": 3, "FR": 3},
        "segment_invalid": {"DE": 1},
        "segment_label:1": {"DE": 2},
        "segment_label:2": {"FR": 3},
    }


def test_what_nobody_can_place_counts_in_no_segment() -> None:
    shop, inbox = wired()
    stage = shop.stage(name="check")(lambda: None)
    stage.batch(segments=["DE", None, float("nan"), "FR"], invalid=2, predictions=["yes", "no"])
    stage.batch(segments=["DE", "FR"], predictions=[0.5, 0.25])
    stage.batch(segments=["DE", "FR"], predictions=np.array([0.5, 0.25]))
    shop.emit_now()
    assert by_segment(inbox) == {"segment": {"DE": 3, "FR": 3}}
    assert inbox.counter("check", "invalid") == 2


def test_an_odd_value_in_a_column_of_segments_costs_only_itself() -> None:
    shop, inbox = wired()
    stage = shop.stage(name="check")(lambda: None)
    stage.batch(segments=["DE", object(), [1], "DE"], predictions=["a", "a", "a", [1]])
    shop.emit_now()
    assert by_segment(inbox) == {"segment": {"DE": 2}, "segment_label:a": {"DE": 1}}
    assert inbox.counter("check", "hook_errors") == 3


@pytest.mark.parametrize("segments", ["DE", 3, ["DE"], np.zeros((2, 2))])
def test_a_column_of_segments_that_does_not_fit_is_counted_and_not_felt(segments: object) -> None:
    shop, inbox = wired()
    stage = shop.stage(name="check")(lambda: None)
    stage.batch(2, segments=segments)
    shop.emit_now()
    assert inbox.counters("check") == {"hook_errors": 1}


def test_a_timed_batch_takes_segments() -> None:
    shop, inbox = wired()
    stage = shop.stage(name="check")(lambda: None)
    with stage.timed() as batch:
        batch(segments=["DE", "FR"])
    shop.emit_now()
    assert by_segment(inbox) == {"segment": {"DE": 1, "FR": 1}}


@pytest.mark.parametrize("name", ["segment", "segment_invalid", "segment_error", "segment_label:yes"])
def test_the_names_of_segments_are_no_counters_of_the_users_own(name: str) -> None:
    shop, inbox = wired()
    stage = shop.stage(name="check")(lambda: None)
    stage.count(name)
    stage.count("segments")
    shop.emit_now()
    assert inbox.counters("check") == {"segments": 1, "hook_errors": 1}


def test_a_stage_without_segments_says_nothing_of_them() -> None:
    shop, inbox = wired()
    stage = shop.stage(name="check", predicts=True)(lambda order: order["country"])
    for order in orders("DE", "FR"):
        stage(order)
    stage.batch(predictions=["DE"])
    shop.emit_now()
    assert by_segment(inbox) == {}


def test_a_copy_of_a_stage_counts_by_segment_too() -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    shop, _ = wired()

    @shop.stage(segment=country)
    def check(order: Order) -> float:
        return 1 / float(order["n"])

    copied_shop, copied = pickle.loads(cloudpickle.dumps((shop, check)))
    inbox = Inbox()
    copied_shop.rebind(HandClock(), inbox, threaded=False)
    copied({"country": "DE", "n": 1})
    with pytest.raises(ZeroDivisionError):
        copied({"country": "FR", "n": 0})
    copied_shop.emit_now()
    assert by_segment(inbox) == {"segment": {"DE": 1, "FR": 1}, "segment_error": {"FR": 1}}
