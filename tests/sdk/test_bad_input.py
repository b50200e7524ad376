from __future__ import annotations

import datetime as dt
import threading
import tracemalloc
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swirl import Invalid, Pipeline
from swirl.frame import Frame, decode
from swirl.sdk.note import event_ms, feature, prediction
from swirl.settings import EmitterSettings
from swirl.sketch import OVERFLOW
from tests.sdk.inbox import HandClock, threaded, wired

if TYPE_CHECKING:
    from collections.abc import Iterator


class Nasty:
    """Raises whatever one does with it."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def __str__(self) -> str:
        raise RuntimeError("str")

    __repr__ = __str__

    def __bool__(self) -> bool:
        raise RuntimeError("bool")

    def __len__(self) -> int:
        raise RuntimeError("len")

    def __float__(self) -> float:
        raise RuntimeError("float")


NASTY: list[Any] = [
    Nasty(),
    None,
    float("nan"),
    float("inf"),
    -1,
    10**400,
    1e308,
    "text",
    b"bytes",
    np.float32("nan"),
    np.array([1, 2]),
    [],
    {},
    pd.NA,
    pd.NaT,
    Decimal("sNaN"),
    "x" * 100_000,
    "\udc80",
    complex(1, 1),
    object(),
]


@pytest.mark.parametrize("value", NASTY, ids=[str(i) for i in range(len(NASTY))])
def test_no_value_whatever_raises_into_the_pipeline_and_the_frame_is_sound(value: Any) -> None:
    ads, inbox = wired(version=lambda: value)

    @ads.stage(predicts=True, valid=lambda _r: value)
    def classify() -> Any:
        return value

    @ads.stage(features=lambda r: {"f": r, "g": 1.0}, at=lambda r: r, predicts=lambda r: r)
    def extract() -> Any:
        return value

    @ads.stage(features=True)
    def rows() -> Any:
        return value

    for _ in range(3):
        assert classify() is value
        assert extract() is value
        assert rows() is value
        classify.count("n", value)
        classify.observe("n", value)
        classify.count(value)
        classify.observe(value, 1.0)
        classify.observe_many("many", value)
        classify.observe_many("many", [value, 1.0])
        classify.batch(value)
        for name in ("invalid", "predictions", "features", "at", "seconds"):
            classify.batch(2, **{name: value})
            classify.batch(2, **{name: [value, value]})
        classify.batch(2, features={"f": [value, 1]}, invalid={"reason": value})
        ads.emit_now()
    assert inbox.counter("extract", "records") == 3
    assert all(isinstance(decode(payload), Frame) for payload in inbox.payloads)


def test_names_that_swirl_uses_itself_are_not_taken_for_the_users_own() -> None:
    ads, inbox = wired()

    @ads.stage
    def ingest() -> None:
        pass

    ingest()
    ingest.count("records", 100)
    ingest.count("null:age", 100)
    ingest.observe("latency", 100.0)
    ingest.observe_many("feature:age", [100.0])
    ads.emit_now()
    assert inbox.counters("ingest") == {"records": 1, "out": 1, "hook_errors": 4}
    assert inbox.distribution("ingest", "latency").count == 1


def test_counts_that_are_no_counts_are_left_out_and_large_ones_capped() -> None:
    ads, inbox = wired()

    @ads.stage
    def ingest() -> None:
        pass

    for n in (1, 2.5, np.int32(3), -1, float("nan"), float("inf"), "7", None, 1e300):
        ingest.count("clicks", n)
    ads.emit_now()
    assert inbox.counters("ingest") == {"clicks": float(1 << 52), "hook_errors": 5}


def test_a_million_labels_and_names_stay_bounded_in_memory_and_on_the_wire() -> None:
    ads, inbox = threaded(labels=5)

    @ads.stage(predicts=True, features=lambda label: {label: 1.0})
    def classify(label: str) -> str:
        return label

    for i in range(20_000):
        classify(f"warm {i}")
    ads.flush(30)
    tracemalloc.start()
    for i in range(50_000):
        classify.count(f"name {i}")
        if i % 4 == 0:
            classify(f"label {i}")
    ads.flush(60)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ads.close(30) is True
    assert grown < 5_000_000
    labels = inbox.category("classify", "label")
    assert sum(labels.values()) + inbox.frames[-1].dropped >= 12_500
    assert labels[OVERFLOW] > 0
    assert max(len(p.categories.get("label", {})) for p in inbox.slices("classify")) <= 6
    assert max(len(p.counters) for p in inbox.slices("classify")) <= 20
    assert len({name for p in inbox.slices("classify") for name in p.distributions}) <= 8


def test_a_million_distinct_labels_keep_the_first_and_add_up_the_rest() -> None:
    ads, inbox = wired(settings=EmitterSettings(buffer_records=2_000_000, labels=3))

    @ads.stage(predicts=True)
    def classify(n: int) -> int:
        return n

    for i in range(1_000_000):
        classify(i)
        if i % 100_000 == 0:
            ads._emitter._fold(0)
    ads.emit_now()
    labels = inbox.category("classify", "label")
    assert sum(labels.values()) == 1_000_000
    assert max(map(len, inbox.payloads)) < 10_000


def test_huge_texts_are_cut_and_not_kept_alive() -> None:
    ads, inbox = wired()

    @ads.stage(predicts=True)
    def classify(n: int) -> str:
        return chr(65 + n % 26) * 1_000_000

    classify(0)
    ads.emit_now()
    tracemalloc.start()
    for n in range(100):
        classify(n)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    ads.emit_now()
    assert kept < 2_000_000
    assert inbox.counter("classify", "predictions") == 101
    assert {len(label) for label in inbox.category("classify", "label")} <= {80, 7}


def test_texts_of_the_user_leave_redacted_and_not_at_all_if_that_fails() -> None:
    def redact(text: str) -> str:
        if text == "bob":
            raise ValueError("no")
        return text.replace("alice", "***")

    ads, inbox = wired(redact=redact)

    @ads.stage(predicts=lambda r: r, valid=lambda r: r != "bad", features=lambda r: {"who": r})
    def greet(name: str) -> str:
        return name

    for name in ("alice", "bob", "bad"):
        greet(name)
    ads.emit_now()
    assert inbox.category("greet", "label") == {"***": 1, "(redacted)": 1}
    assert inbox.category("greet", "feature:who") == {"***": 1, "(redacted)": 1, "bad": 1}
    assert inbox.category("greet", "reason") == {"invalid": 1}


def test_event_times_without_limit_fill_no_memory_and_what_is_left_out_is_counted() -> None:
    ads, inbox = wired(clock=HandClock(step=0))

    @ads.stage(at=lambda at: at)
    def ingest(at: float) -> float:
        return at

    for second in range(3000):
        ingest(1e9 + second)
    ads.emit_now()
    assert inbox.counter("ingest", "records") == 2000
    assert inbox.frames[-1].dropped == 1000


def test_replayed_events_are_sent_early_rather_than_dropped() -> None:
    ads, inbox = threaded(buffer_records=2000)

    @ads.stage(at=lambda at: at)
    def ingest(at: float) -> float:
        return at

    for second in range(10_000):
        ingest(1e9 + second)
        if second % 500 == 0:
            ads.flush(10)
    ads.close(20)
    assert inbox.counter("ingest", "records") == 10_000
    assert inbox.frames[-1].covers[1] == 1_000_009_999_000


def test_keyboard_interrupt_in_a_stage_leaves_the_rest_in_order() -> None:
    ads, inbox = wired()

    @ads.stage
    def ingest(line: str) -> int:
        if line == "stop":
            raise KeyboardInterrupt
        return 1

    with pytest.raises(KeyboardInterrupt):
        ingest("stop")
    assert ingest("go") == 1
    ads.emit_now()
    assert inbox.counters("ingest") == {"records": 2, "out": 1}


class Unreadable:
    """Fails when it is looked at."""

    def __str__(self) -> str:
        raise RuntimeError("unreadable")

    def __getattr__(self, name: str) -> object:
        raise RuntimeError("outside of a request")


class NoText(Invalid):
    """A user's own kind of invalid, which does not call what it is derived from."""

    def __init__(self) -> None:
        pass


def test_an_invalid_of_whatever_kind_never_raises_anything_else() -> None:
    pipeline, inbox = wired()

    @pipeline.stage(on_invalid="drop")
    def ingest(error: Exception) -> None:
        raise error

    for error in (NoText(), Invalid(Unreadable()), Invalid("x" * 1_000_000)):  # type: ignore[arg-type]
        assert ingest(error) is None
    waiting = pipeline._gate.recorders[0].buffer[2::3]
    assert sum(len(note.invalid) for note in waiting) < 200
    pipeline.emit_now()
    reasons = inbox.category("ingest", "reason")
    assert {"NoText": 1, "invalid": 1}.items() <= reasons.items()
    assert sum(reasons.values()) == 3


def test_a_generator_given_an_object_that_fails_when_looked_at_goes_on() -> None:
    pipeline, inbox = wired()

    @pipeline.stage
    def ingest() -> int:
        return 1

    @pipeline.stage(after=ingest)
    def split(request: object) -> Iterator[int]:
        yield from range(3)

    assert list(split(Unreadable())) == [0, 1, 2]
    pipeline.emit_now()
    assert inbox.counters("split") == {"records": 1, "out": 3}


def test_64_threads_in_one_stage_count_exactly() -> None:
    ads, inbox = threaded(buffer_records=1_000_000)

    @ads.stage(valid=lambda n: n % 10, predicts=lambda n: n / 2)
    def work(n: int) -> int:
        return n

    def run() -> None:
        for n in range(500):
            work(n)

    threads = [threading.Thread(target=run) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ads.close(30) is True
    assert inbox.counters("work") == {
        "records": 32_000, "out": 32_000, "invalid": 3_200, "predictions": 28_800,
    }  # fmt: skip


@given(st.one_of(st.none(), st.floats(), st.integers(), st.text(), st.binary(), st.booleans(), st.decimals()))
def test_any_plain_value_is_a_label_a_number_nothing_or_refused_with_a_reason(value: object) -> None:
    for read in (prediction, feature):
        try:
            plain = read(value)
        except (TypeError, ValueError, OverflowError):
            continue
        assert plain is None or isinstance(plain, (str, float))


@pytest.mark.parametrize(
    "value",
    [
        dt.datetime(2026, 1, 5, tzinfo=dt.UTC),
        np.datetime64("2026-01-05"),
        1_767_571_200,
        1_767_571_200_000,
        np.float64(1_767_571_200),
    ],
)
def test_event_times_are_read_in_every_usual_form(value: object) -> None:
    assert event_ms(value) == 1_767_571_200_000


@pytest.mark.parametrize(
    "value",
    [dt.datetime(2026, 1, 5), np.datetime64("NaT"), float("nan"), -1.0, 1e18, "2026", None, True],  # noqa: DTZ001 - that is what is refused
)
def test_event_times_that_are_ambiguous_or_none_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="time"):
        event_ms(value)


def test_a_pipeline_that_is_closed_counts_nothing_and_raises_nothing() -> None:
    ads = Pipeline("ads")

    @ads.stage
    def ingest() -> int:
        return 1

    assert ads.close() is True
    assert [ingest() for _ in range(10)] == [1] * 10
    assert sum(r.waiting() for r in ads._gate.recorders) == 0
