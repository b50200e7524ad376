from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import AsyncGenerator, Generator, Iterator
from enum import Enum, IntEnum
from typing import Any

import numpy as np
import pytest

from swirl import Invalid, Pipeline
from swirl.settings import EmitterSettings
from tests.sdk.inbox import HandClock, Inbox, wired


class Mood(Enum):
    POSITIVE = 1


class Level(IntEnum):
    HIGH = 3


def test_the_lines_of_the_readme_count_what_they_say() -> None:
    ads, inbox = wired()

    @ads.stage(valid=lambda tweet: "text" in tweet)
    def ingest(line: str) -> dict[str, str]:
        return {"text": line} if line else {}

    @ads.stage(after=ingest, predicts=True)
    def classify(tweet: dict[str, str]) -> str:
        return "positive" if "love" in tweet.get("text", "") else "negative"

    @ads.stage(after=classify)
    def serve(tweet: dict[str, str], mood: str) -> str:
        return mood

    for line in ["I love it", "", "meh", "love"]:
        tweet = ingest(line)
        serve(tweet, classify(tweet))
    ads.emit_now()
    assert inbox.counters("ingest") == {"records": 4, "out": 4, "invalid": 1}
    assert inbox.category("ingest", "reason") == {"invalid": 1}
    assert inbox.counters("classify") == {"records": 4, "out": 4, "predictions": 4}
    assert inbox.category("classify", "label") == {"positive": 2, "negative": 2}
    assert inbox.counters("serve") == {"records": 4, "out": 4}
    definition = inbox.frames[0].definition
    assert definition is not None
    assert [(s.name, s.after, s.validates, s.predicts) for s in definition.stages] == [
        ("ingest", (), True, ""),
        ("classify", ("ingest",), False, "label"),
        ("serve", ("classify",), False, ""),
    ]


def test_latency_is_the_time_of_the_function_without_its_hooks() -> None:
    clock = HandClock(step=0)
    ads, inbox = wired(clock=clock)

    def slow_check(_result: int) -> bool:
        clock.advance(100)
        return True

    @ads.stage(valid=slow_check)
    def work(seconds: float) -> int:
        clock.advance(seconds)
        return 1

    for seconds in (0.5, 1.0, 1.5):
        work(seconds)
    ads.emit_now()
    latency = inbox.distribution("work", "latency")
    assert (latency.count, latency.total, latency.low, latency.high) == (3, 3.0, 0.5, 1.5)


def test_an_async_stage_is_timed_over_its_awaiting_and_stays_a_coroutine_function() -> None:
    clock = HandClock(step=0)
    ads, inbox = wired(clock=clock)

    @ads.stage(predicts=True)
    async def classify(text: str) -> float:
        await asyncio.sleep(0)
        clock.advance(2.0)
        return 0.5

    assert inspect.iscoroutinefunction(classify)
    assert asyncio.run(classify("x")) == 0.5
    ads.emit_now()
    assert inbox.distribution("classify", "latency").total == 2.0
    assert inbox.distribution("classify", "prediction").total == 0.5
    assert inbox.counters("classify") == {"records": 1, "out": 1, "predictions": 1}


def test_a_decorated_function_keeps_name_documentation_and_signature() -> None:
    ads = Pipeline("ads")

    @ads.stage
    def classify(tweet: dict[str, str], *, fast: bool = False) -> str:
        """Says the mood."""
        return "positive"

    assert (classify.__doc__, classify.name) == ("Says the mood.", "classify")
    assert str(inspect.signature(classify)) == "(tweet: 'dict[str, str]', *, fast: 'bool' = False) -> 'str'"


def test_errors_are_counted_by_type_and_go_on_untouched() -> None:
    ads, inbox = wired()
    error = KeyError("text")

    @ads.stage
    def ingest(line: str) -> str:
        raise error

    with pytest.raises(KeyError) as caught:
        ingest("x")
    ads.emit_now()
    assert caught.value is error
    assert error.__context__ is None
    assert [frame.name for frame in traceback.extract_tb(error.__traceback__)][1:] == ["call", "ingest"]
    assert inbox.counters("ingest") == {"records": 1, "errors": 1}
    assert inbox.category("ingest", "error") == {"KeyError": 1}
    assert inbox.distribution("ingest", "latency").count == 0


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, StopIteration])
def test_what_ends_a_program_or_a_stream_is_no_error(kind: type[BaseException]) -> None:
    ads, inbox = wired()

    @ads.stage
    def ingest() -> None:
        raise kind

    with pytest.raises(kind):
        ingest()
    ads.emit_now()
    assert inbox.counter("ingest", "errors") == 0


def test_a_cancelled_coroutine_is_counted_and_stays_cancelled() -> None:
    ads, inbox = wired()

    @ads.stage
    async def fetch() -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(fetch(), 0.001)

    asyncio.run(main())
    ads.emit_now()
    assert inbox.category("fetch", "error") == {"CancelledError": 1}


@pytest.mark.parametrize(
    ("on_invalid", "refused", "raised"), [("pass", {"a": 1}, None), ("drop", None, None)]
)
def test_an_invalid_record_is_handed_on_or_dropped_as_the_user_chose(
    on_invalid: Any, refused: object, raised: object
) -> None:
    ads, inbox = wired()

    @ads.stage(valid=lambda tweet: "text" in tweet, on_invalid=on_invalid)
    def ingest(line: str) -> dict[str, int]:
        if not line:
            raise Invalid("empty line")
        return {line: 1}

    assert (ingest("text"), ingest("a"), ingest("")) == ({"text": 1}, refused, raised)
    ads.emit_now()
    assert inbox.counters("ingest") == {"records": 3, "invalid": 2, "out": 2 if refused else 1}
    assert inbox.category("ingest", "reason") == {"invalid": 1, "empty line": 1}


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_an_invalid_record_raises_where_the_user_chose_so(kind: str) -> None:
    ads, inbox = wired()

    def has_text(tweet: str) -> bool:
        return "text" in tweet

    if kind == "async":

        @ads.stage(name="ingest", valid=has_text, on_invalid="raise")
        async def later(line: str) -> str:
            if not line:
                raise Invalid("empty line")
            return line

        def call(line: str) -> str:
            return asyncio.run(later(line))

    else:

        @ads.stage(name="ingest", valid=has_text, on_invalid="raise")
        def call(line: str) -> str:
            if not line:
                raise Invalid("empty line")
            return line

    with pytest.raises(Invalid, match="not has_text"):
        call("a")
    with pytest.raises(Invalid, match="empty line"):
        call("")
    assert call("text") == "text"
    ads.emit_now()
    assert inbox.counters("ingest") == {"records": 3, "invalid": 2, "out": 1}


@pytest.mark.parametrize(
    ("value", "label", "number"),
    [
        ("positive", "positive", None),
        (True, "True", None),
        (np.True_, "True", None),
        (3, "3", None),
        (np.int8(3), "3", None),
        (np.array(3), "3", None),
        (np.str_("a"), "a", None),
        (Mood.POSITIVE, "POSITIVE", None),
        (Level.HIGH, "HIGH", None),
        (0.25, None, 0.25),
        (np.float32(0.25), None, 0.25),
    ],
)
def test_predictions_are_labels_or_numbers(value: object, label: str | None, number: float | None) -> None:
    ads, inbox = wired()

    @ads.stage(predicts=True)
    def classify() -> object:
        return value

    classify()
    ads.emit_now()
    assert inbox.counter("classify", "predictions") == 1
    assert inbox.category("classify", "label") == ({} if label is None else {label: 1})
    assert inbox.distribution("classify", "prediction").count == (number is not None)
    definition = inbox.frames[0].definition
    assert definition is not None
    assert definition.stages[0].predicts == ("number" if label is None else "label")


@pytest.mark.parametrize("value", [[0.1, 0.9], {"a": 1}, np.zeros(3), object()])
def test_what_is_no_prediction_is_counted_as_a_fault_of_the_hook(value: object) -> None:
    ads, inbox = wired()

    @ads.stage(predicts=True)
    def classify() -> object:
        return value

    assert classify() is value
    ads.emit_now()
    assert classify() is value
    ads.emit_now()
    assert inbox.counters("classify") == {"records": 2, "out": 2, "hook_errors": 2}


def test_no_prediction_and_invalid_records_are_left_out_of_the_predictions() -> None:
    ads, inbox = wired()

    @ads.stage(predicts=lambda r: r["mood"], valid=lambda r: r["ok"])
    def classify(mood: object, ok: object) -> dict[str, object]:
        return {"mood": mood, "ok": ok}

    for mood, ok in [("a", True), ("b", False), (None, True), (float("nan"), True), (float("inf"), True)]:
        classify(mood, ok)
    ads.emit_now()
    assert inbox.counters("classify") == {
        "records": 5, "out": 5, "invalid": 1, "predictions": 1, "non_finite": 2,
    }  # fmt: skip


def test_features_are_numbers_categories_or_nulls() -> None:
    ads, inbox = wired()

    @ads.stage(features=True)
    def extract(age: object, country: object) -> dict[str, object]:
        return {"age": age, "country": country}

    extract(41, "de")
    extract(np.float32(20.5), None)
    extract(float("nan"), "at")
    extract([1], "de")
    ads.emit_now()
    assert inbox.counters("extract") == {
        "records": 4, "out": 4, "values": 7, "nulls": 2, "null:age": 1, "null:country": 1, "hook_errors": 1,
    }  # fmt: skip
    assert inbox.category("extract", "feature:country") == {"de": 2, "at": 1}
    assert inbox.distribution("extract", "feature:age").total == 61.5
    definition = inbox.frames[0].definition
    assert definition is not None
    assert definition.stages[0].features == ("age", "country")


@pytest.mark.parametrize("hook", ["valid", "predicts", "features", "at"])
@pytest.mark.parametrize("also", ["nothing else", "at"])
def test_a_hook_that_raises_is_counted_and_the_record_goes_on_as_valid(
    hook: str, also: str, caplog: pytest.LogCaptureFixture
) -> None:
    ads, inbox = wired()

    def broken(result: object) -> object:
        raise RuntimeError("the hook is broken")

    given: dict[str, Any] = {"at": lambda _r: 1_767_571_200.0} if also == "at" else {}

    @ads.stage(**{**given, hook: broken})
    def ingest(line: str) -> str:
        return line

    assert (ingest("a"), ingest("b")) == ("a", "b")
    ads.emit_now()
    ads.emit_now()
    assert inbox.counters("ingest") == {"records": 2, "out": 2, "hook_errors": 2}
    told = f"swirl: {hook} of stage 'ingest' failed with RuntimeError: the hook is broken"
    assert [r.getMessage() for r in caplog.records] == [f"{told} (said once, counted as hook_errors)"]


def test_a_hook_with_two_parameters_gets_the_first_argument_and_the_result() -> None:
    ads, inbox = wired()

    class Model:
        @ads.stage(valid=lambda text, mood: bool(text) and bool(mood))
        def classify(self, text: str) -> str:
            return "positive"

    Model().classify("")
    Model().classify(text="x")
    ads.emit_now()
    assert inbox.counters("classify") == {"records": 2, "out": 2, "invalid": 1}


def test_methods_static_and_class_methods_are_stages() -> None:
    ads, inbox = wired()

    class Model:
        def __init__(self, mood: str) -> None:
            self.mood = mood

        @ads.stage(predicts=True)
        def plain(self, text: str) -> str:
            return self.mood

        @staticmethod
        @ads.stage(predicts=True)
        def static(text: str) -> str:
            return text

        @ads.stage(predicts=True)
        @staticmethod
        def static_outside(text: str) -> str:
            return text

        @classmethod
        @ads.stage(predicts=True)
        def of_class(cls, text: str) -> str:
            return cls.__name__

    model = Model("calm")
    mood: str = model.plain("x")
    assert (mood, Model.static("t"), Model.static_outside("v")) == ("calm", "t", "v")
    # mypy binds what is reached through an instance: it looks at the stage, not at the static method.
    assert (model.static("s"), model.static_outside("u")) == ("s", "u")  # type: ignore[call-arg]
    assert model.of_class("x") == "Model"
    Model.plain.count("clicks", 2)
    ads.emit_now()
    assert inbox.category("plain", "label") == {"calm": 1}
    assert inbox.counter("plain", "clicks") == 2
    assert inbox.category("static", "label") == {"t": 1, "s": 1}
    assert inbox.category("static_outside", "label") == {"v": 1, "u": 1}
    assert inbox.category("of_class", "label") == {"Model": 1}


def test_callable_objects_builtins_and_bound_methods_are_stages() -> None:
    ads, inbox = wired()

    class Model:
        def __call__(self, text: str) -> str:
            return text

    class Later:
        async def __call__(self, text: str) -> str:
            return text

    model = ads.stage(name="model", predicts=True)(Model())
    length = ads.stage(len)
    upper = ads.stage(name="upper")("abc".upper)
    later = ads.stage(name="later", predicts=True)(Later())
    assert (model("x"), length([1, 2]), upper(), asyncio.run(later("y"))) == ("x", 2, "ABC", "y")
    ads.emit_now()
    assert inbox.category("model", "label") == {"x": 1}
    assert inbox.category("later", "label") == {"y": 1}
    assert (inbox.counter("len", "records"), inbox.counter("upper", "records")) == (1, 1)


def test_every_value_of_a_source_generator_is_a_record_in_and_out() -> None:
    clock = HandClock(step=0)
    ads, inbox = wired(clock=clock)

    @ads.stage(valid=lambda n: n != 2, predicts=True)
    def numbers(n: int) -> Iterator[int]:
        for i in range(n):
            clock.advance(1.0)
            yield i

    for _ in numbers(4):
        clock.advance(10.0)
    ads.emit_now()
    assert inbox.counters("numbers") == {"records": 4, "out": 4, "invalid": 1, "predictions": 3}
    assert inbox.distribution("numbers", "latency").total == 4.0


def test_a_generator_given_an_iterator_works_on_a_stream() -> None:
    ads, inbox = wired()

    @ads.stage
    def read() -> Iterator[str]:
        yield from "abc"

    @ads.stage(after=read, predicts=True)
    def classify(letters: Iterator[str]) -> Iterator[str]:
        for letter in letters:
            yield letter.upper()

    assert list(classify(read())) == ["A", "B", "C"]
    ads.emit_now()
    assert inbox.counters("classify") == {"records": 3, "out": 3, "predictions": 3}


def test_a_generator_given_one_record_passes_on_many_and_is_invalid_once() -> None:
    ads, inbox = wired()

    @ads.stage
    def read() -> str:
        return "to be or"

    @ads.stage(after=read, valid=lambda word: len(word) > 2, on_invalid="drop")
    def words(text: str) -> Iterator[str]:
        yield from text.split()

    assert list(words("to be or not")) == ["not"]
    ads.emit_now()
    assert inbox.counters("words") == {"records": 1, "out": 1, "invalid": 1}


def test_a_generator_that_raises_invalid_ends_quietly_and_other_errors_go_on() -> None:
    ads, inbox = wired()

    @ads.stage
    def read(error: Exception) -> Iterator[int]:
        yield 1
        raise error

    assert list(read(Invalid("cut short"))) == [1]
    with pytest.raises(OSError, match="gone"):
        list(read(OSError("gone")))
    ads.emit_now()
    assert inbox.counters("read") == {"records": 4, "out": 2, "invalid": 1, "errors": 1}


def test_a_generator_stage_raises_invalid_where_the_user_chose_so() -> None:
    ads, inbox = wired()
    closed: list[str] = []

    @ads.stage(valid=lambda n: n < 2, on_invalid="raise")
    def numbers() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append("closed")

    with pytest.raises(Invalid):
        list(numbers())
    ads.emit_now()
    assert closed == ["closed"]
    assert inbox.counters("numbers") == {"records": 2, "out": 1, "invalid": 1}


def test_a_generator_stage_can_be_sent_to_thrown_into_closed_and_returns() -> None:
    ads, _ = wired()
    seen: list[object] = []

    @ads.stage
    def talk() -> Generator[int, str, str]:
        try:
            seen.append((yield 1))
            try:
                yield 2
            except KeyError as error:
                seen.append(error.args)
            yield 3
        finally:
            seen.append("closed")
        return "done"

    generator = talk()
    assert next(generator) == 1
    assert generator.send("hello") == 2
    assert generator.throw(KeyError("k")) == 3
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == "done"
    other = talk()
    next(other)
    other.close()
    assert seen == ["hello", ("k",), "closed", "closed"]


def test_an_async_generator_stage_counts_values_and_can_be_sent_to_and_closed() -> None:
    ads, inbox = wired()
    seen: list[object] = []

    @ads.stage(predicts=True, valid=lambda n: n != 3, on_invalid="drop")
    async def talk() -> AsyncGenerator[int, str | None]:
        try:
            seen.append((yield 1))
            try:
                yield 2
            except KeyError as error:
                seen.append(error.args)
            yield 3
            yield 4
            raise Invalid("enough")
        finally:
            seen.append("closed")

    async def main() -> None:
        generator = talk()
        assert await anext(generator) == 1
        assert await generator.asend("hello") == 2
        assert await generator.athrow(KeyError("k")) == 4
        assert [value async for value in generator] == []
        other = talk()
        await anext(other)
        await other.aclose()

    assert inspect.isasyncgenfunction(talk)
    asyncio.run(main())
    ads.emit_now()
    assert seen == ["hello", ("k",), "closed", "closed"]
    assert inbox.counters("talk") == {"records": 6, "out": 4, "invalid": 2, "predictions": 4}
    assert inbox.category("talk", "reason") == {"invalid": 1, "enough": 1}


def test_an_error_in_an_async_generator_goes_on_untouched() -> None:
    ads, inbox = wired()

    @ads.stage
    async def read() -> AsyncGenerator[int, None]:
        yield 1
        raise OSError("gone")

    async def main() -> list[int]:
        return [value async for value in read()]

    with pytest.raises(OSError, match="gone"):
        asyncio.run(main())
    ads.emit_now()
    assert inbox.counters("read") == {"records": 2, "out": 1, "errors": 1}


def test_recursion_counts_every_call_and_too_deep_a_recursion_is_the_users_own_error() -> None:
    ads, inbox = wired()

    @ads.stage
    def depth(n: int) -> int:
        return 0 if n == 0 else 1 + depth(n - 1)

    assert depth(50) == 50
    ads.emit_now()
    assert inbox.counter("depth", "records") == 51
    with pytest.raises(RecursionError):
        depth(100_000)
    ads.emit_now()
    assert inbox.counter("depth", "errors") > 100


def test_switched_off_a_stage_is_the_bare_function_with_the_same_offers() -> None:
    inbox = Inbox()
    ads = Pipeline("ads", settings=EmitterSettings(off=True), transport=inbox)

    def ingest(line: str) -> str:
        raise Invalid("empty line")

    stage = ads.stage(valid=lambda r: False, on_invalid="raise")(ingest)
    assert stage is ingest
    with pytest.raises(Invalid):
        stage("x")
    stage.count("clicks")
    stage.observe("price", 1.0)
    stage.observe_many("price", [1.0])
    stage.batch(3)
    with stage.timed() as batch:
        batch(2)
    ads.ratio("click rate", (stage, "clicks"), per=stage)
    assert ads.flush(1.0) is True
    assert inbox.payloads == []


def test_what_a_stage_will_predict_is_told_before_the_first_prediction() -> None:
    ads, inbox = wired()

    @ads.stage(predicts=True)
    def score(text: str) -> float:
        return 0.5

    @ads.stage(predicts=lambda row: row["score"])
    def classify(text: str) -> dict[str, float]:
        return {"score": 0.5}

    ads.emit_now()
    classify("x")
    ads.emit_now()
    first, second = (frame.definition for frame in inbox.frames)
    assert first is not None
    assert second is not None
    assert [s.predicts for s in (*first.stages, *second.stages)] == ["number", "label", "number", "number"]
