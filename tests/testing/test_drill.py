"""Drills of a user's own pipeline."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

import swirl
from swirl.errors import DefinitionError
from swirl.testing.drill import KINDS, Drill, Fault, Finding, Fleet
from swirl.testing.drill.records import nulled, renamed, scaled, strike
from swirl.testing.drill.seam import DrillError, Seam, seams_of


class Order(NamedTuple):
    number: int
    price: float


@dataclass(frozen=True)
class Basket:
    owner: str
    price: float = 1.0


@pytest.mark.parametrize(
    ("record", "null", "other", "larger"),
    [
        ({"a": 1, "b": 2.0}, {"a": None, "b": None}, {"new_a": 1, "new_b": 2.0}, {"a": 1, "b": 2000.0}),
        ('{"a": 2.0}', '{"a": null}', '{"new_a": 2.0}', '{"a": 2000.0}'),
        (Order(1, 2.0), Order(None, None), Order(1, 2.0), Order(1, 2000.0)),  # type: ignore[arg-type]
        (Basket("me"), Basket(None, None), Basket("me"), Basket("me", 1000.0)),  # type: ignore[arg-type]
        ("plain text", "plain text", "plain", "plain text"),
        (7, 7, 7, 7),
        (None, None, None, None),
        ([1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [1000.0, 2000.0]),
    ],
)
def test_a_record_is_changed_as_far_as_its_shape_is_understood(
    record: Any, null: Any, other: Any, larger: Any
) -> None:
    assert (nulled(record), renamed(record), scaled(record)) == (null, other, larger)


def test_columns_are_scaled_and_of_a_list_each_record_has_its_own_luck() -> None:
    assert scaled(np.array([1.0, 2.0])).tolist() == [1000.0, 2000.0]
    luck = random.Random(1)
    struck = strike([{"a": 1}] * 1000, nulled, 0.3, luck.random)
    assert 250 < sum(each == {"a": None} for each in struck) < 350
    assert strike({"a": 1}, nulled, 0.0, luck.random) == {"a": 1}


def shop() -> tuple[swirl.Pipeline, Callable[[], object]]:
    """Orders with a price are checked and scored; those of the weekend are in another table."""
    pipeline = swirl.Pipeline("shop", version="1")
    luck = random.Random(5)

    @pipeline.stage(
        valid=lambda order: "price" in order,
        on_invalid="drop",
        features=lambda order: {"price": order["price"]} if "price" in order else {},
        at=lambda order: order["time"],
    )
    def check(order: dict[str, float]) -> dict[str, float]:
        return order

    @pipeline.stage(after=check, predicts=True, at=lambda order, _label: order["time"])
    def score(order: dict[str, float]) -> str:
        return "buy" if order["luck"] < 0.7 else "skip"

    def send() -> None:
        now = pipeline._clock.time_ns() / 1e9
        order = check({"price": luck.gauss(9.0, 2.0), "luck": luck.random(), "time": int(now)})
        if order is not None:
            score(order)

    return pipeline, send


FAST = {"per_second": 20.0, "quiet_windows": 100, "fault_windows": 12}


def drilled(*kinds: str, make: Callable[[], Any] = shop, **given: Any) -> list[Finding]:
    return Drill(make, kinds=kinds, **{**FAST, **given}).run().findings


def test_what_is_done_from_outside_is_told_by_its_name() -> None:
    found = drilled("format", "stopped", "slow", "errors", "deployment", strength=0.8)
    titles = [finding.said for finding in found]
    assert titles == [
        "check: data pipeline broken",
        "check: source outage",
        "check: slow stage",
        "score: slow stage",
        "check: stage errors",
        "score: stage errors",
        "score: bad deployment",
    ]
    assert all(finding.right and 0 < finding.windows <= 3 for finding in found)


def test_what_is_benign_is_right_when_nothing_is_told() -> None:
    found = drilled("innocent", "restart", "weekly")
    assert [(finding.said, finding.right) for finding in found] == [("", True)] * 3


def test_processes_come_and_go_where_another_one_can_be_made() -> None:
    found = drilled("silence", "scale_out", make=shop)
    assert {finding.fault.kind: finding.said for finding in found}["silence"] == "shop: monitoring blind"


def test_one_process_alone_cannot_have_the_faults_of_several() -> None:
    one = shop()
    report = Drill(lambda: one, kinds=("canary", "skew", "stopped"), **FAST).run()  # type: ignore[arg-type]
    assert set(report.left_out) == {"canary", "skew"}
    assert [finding.fault.kind for finding in report.findings] == ["stopped"]


def test_what_a_pipeline_cannot_have_is_left_out_with_its_reason() -> None:
    def plain() -> tuple[swirl.Pipeline, Callable[[], object]]:
        pipeline = swirl.Pipeline("plain")

        @pipeline.stage
        def work(number: int) -> None:
            return None

        return pipeline, lambda: work(1)

    report = Drill(plain, kinds=("nulls", "unit", "labels", "late", "surge"), **FAST).run()  # type: ignore[arg-type]
    assert report.left_out == {
        "nulls": "what the source receives has no fields that could be changed",
        "unit": "no stage has features=",
        "labels": "no stage returns labels as they are",
        "late": "no stage has at=",
    }


def test_records_that_break_where_nothing_is_measured_are_called_hidden() -> None:
    def unchecked() -> tuple[swirl.Pipeline, Callable[[], object]]:
        pipeline = swirl.Pipeline("unchecked")

        @pipeline.stage
        def pass_on(order: dict[str, int]) -> dict[str, int]:
            return order

        return pipeline, lambda: pass_on({"price": 1})

    (finding,) = drilled("format", make=unchecked)
    assert finding.hidden
    assert not finding.right


def test_the_pipeline_is_as_before_when_the_drill_is_over() -> None:
    pipeline, send = shop()
    Drill(lambda: (pipeline, send), kinds=("deployment", "errors", "late"), strength=1.0, **FAST).run()  # type: ignore[arg-type]
    with Fleet(pipeline, window_seconds=10) as fleet:
        fleet.drive(send, per_second=20, seconds=60)
    assert fleet.windows[1].versions == {"check": ("1",), "score": ("1",)}
    _, errors = list(fleet.points("score", "error_ratio"))[1]
    assert errors.value == 0.0


def test_the_same_seed_gives_the_same_findings() -> None:
    assert drilled("throttled", seed=3) == drilled("throttled", seed=3)


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"per_second": 0.0}, "per_second is 0.0"),
        ({"strength": 2.0}, "strength is 2.0"),
        ({"quiet_windows": 5}, "70 quiet windows"),
        ({"kinds": ("gremlins",)}, "no kind of fault"),
    ],
)
def test_a_drill_of_impossible_numbers_is_refused(given: dict[str, Any], wrong: str) -> None:
    with pytest.raises(DefinitionError, match=wrong):
        Drill(shop, **given)


def test_a_sender_that_always_raises_is_told_instead_of_drilled() -> None:
    pipeline, _ = shop()
    with pytest.raises(DefinitionError, match="every call that should send a record raised"):
        Drill(lambda: (pipeline, lambda: 1 / 0), **FAST).run()  # type: ignore[arg-type]


def kinds_of_functions() -> tuple[swirl.Pipeline, dict[str, Callable[[], Any]]]:
    pipeline = swirl.Pipeline("all kinds")

    @pipeline.stage
    def lines(count: int) -> Iterator[dict[str, int]]:
        for number in range(count):
            yield {"n": number}

    @pipeline.stage(after=lines)
    async def later(record: dict[str, int]) -> dict[str, int]:
        await asyncio.sleep(0)
        return record

    @pipeline.stage(after=lines)
    async def parts(record: dict[str, int]) -> AsyncIterator[dict[str, int]]:
        yield record

    class Scorer:
        @pipeline.stage(name="method", after=lines)
        def method(self, record: dict[str, int]) -> dict[str, int]:
            return record

    async def first() -> object:
        return await anext(parts({"n": 1}))

    return pipeline, {
        "lines": lambda: next(lines(1)),
        "later": lambda: asyncio.run(later({"n": 1})),
        "parts": lambda: asyncio.run(first()),
        "method": lambda: Scorer().method({"n": 1}),
    }


@pytest.mark.parametrize("name", ["later", "parts", "method"])
def test_stages_of_every_kind_have_a_seam(name: str) -> None:
    pipeline, calls = kinds_of_functions()
    waited: list[float] = []
    seams = seams_of(pipeline, waited.append, random.Random(1))
    assert seams.keys() == calls.keys()
    seam: Seam = seams[name]
    seam.nulls = 1.0
    assert calls[name]() == {"n": None}
    assert waited
    seam.heal()
    assert calls[name]() == {"n": 1}
    seam.errors = 1.0
    with pytest.raises(DrillError):
        calls[name]()
    seam.close()
    assert calls[name]() == {"n": 1}


def test_what_a_source_makes_itself_is_changed_as_well() -> None:
    pipeline = swirl.Pipeline("source")

    @pipeline.stage
    def read() -> Iterator[dict[str, int]]:
        yield {"n": 1}

    seam = seams_of(pipeline, lambda factor: None, random.Random(1))["read"]
    seam.format = 1.0
    assert list(read()) == [{"new_n": 1}]


def test_labels_are_swapped_for_others_that_were_seen() -> None:
    seam = Seam("a", lambda factor: None, random.Random(1))
    assert [seam.give(label) for label in ("yes", "no")] == ["yes", "no"]
    seam.swap = 1.0
    assert [seam.give(label) for label in ("yes", "no", 0.5, None)] == ["no", "yes", 0.5, None]


def test_a_pipeline_that_measures_nothing_cannot_be_drilled() -> None:
    with pytest.raises(DefinitionError, match="no stages that could be drilled"):
        seams_of(swirl.Pipeline("empty"), lambda factor: None, random.Random(1))


def two() -> tuple[Fleet, list[Callable[[], object]], list[swirl.Pipeline]]:
    made = [shop(), shop(), shop()]
    fleet = Fleet(*(pipeline for pipeline, _ in made[:2]), window_seconds=10, lateness_seconds=0)
    return fleet, [send for _, send in made], [pipeline for pipeline, _ in made]


def test_processes_join_leave_and_restart_and_are_counted() -> None:
    fleet, sends, pipelines = two()
    fleet.drive(lambda: [send() for send in sends[:2]], per_second=5, seconds=30)
    fleet.join(pipelines[2])
    fleet.drive(lambda: [send() for send in sends], per_second=5, seconds=30)
    fleet.leave(pipelines[0])
    fleet.drive(lambda: [send() for send in sends[1:]], per_second=5, seconds=30)
    fleet.restart()
    fleet.drive(lambda: [send() for send in sends[1:]], per_second=5, seconds=30)
    emitters = [window.health.emitters for window in fleet.windows]
    assert (emitters[1], max(emitters), emitters[-1]) == (2, 3, 2)
    assert fleet.windows[-1].health.emitters_silent == 0


def test_a_silent_process_and_a_whole_silent_fleet_are_noticed() -> None:
    fleet, sends, pipelines = two()
    fleet.drive(lambda: [send() for send in sends[:2]], per_second=5, seconds=30)
    fleet.silence(pipelines[0])
    fleet.drive(lambda: [send() for send in sends[:2]], per_second=5, seconds=30)
    assert fleet.windows[-1].health.emitters_silent == 1
    fleet.silence(pipelines[1])
    fleet.drive(lambda: [send() for send in sends[:2]], per_second=5, seconds=60)
    assert fleet.windows[-1].health.emitters_silent == 2


def test_a_clock_that_is_put_back_makes_records_late() -> None:
    fleet, sends, pipelines = two()
    fleet.drive(lambda: [send() for send in sends[:2]], per_second=5, seconds=30)
    fleet.skew(pipelines[0], -300.0)
    assert pipelines[0]._emitter.clock.time_ns() < fleet.clock.time_ns() - 299 * 10**9
    assert pipelines[0]._emitter.clock.ticks() == fleet.clock.ticks()


def test_a_finding_is_right_by_stage_and_cause_and_of_what_is_benign_by_silence() -> None:
    assert Finding(Fault("surge")).right
    assert not Finding(Fault("format", "a")).right
    assert all(kind.words and kind.does for kind in KINDS.values())
