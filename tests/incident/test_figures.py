"""Figures and costs of counts: whatever a counter is called, and whatever is passed on."""

from __future__ import annotations

import msgspec
import pytest

from swirl.effect import SeriesKey
from swirl.frame import Definition, RatioDefinition, StageDefinition
from swirl.history import History, StageCounts, WindowCounts
from swirl.incident.cost import Cost
from swirl.incident.figures import Figure, value_of
from swirl.incident.residuals import collect
from swirl.incident.series import Tied
from tests.incident.simulator import drain

SECOND = 1000


def history(*windows: StageCounts, stage: str = "a", counter: str = "clicks") -> History:
    found = History(SECOND)
    found.definition = Definition(
        (StageDefinition(stage, validates=True),), (RatioDefinition("r", (stage, counter), (stage, "out")),)
    )
    for number, counts in enumerate(windows):
        found.append(WindowCounts(number * SECOND, {stage: {"1": counts}}))
    return found


@pytest.mark.parametrize("counter", ["labels", "reasons", "handled", "counters", "__class__"])
def test_a_counter_may_have_the_name_of_anything(counter: str) -> None:
    windows = history(StageCounts(records=10, counters={counter: 7.0})).windows
    assert value_of(Figure("a", "count", counter, "x"), windows, SECOND) == 7


def test_a_built_in_counter_of_a_ratio_is_shown_as_it_was_counted() -> None:
    windows = history(StageCounts(records=10, hook_errors=4)).windows
    assert value_of(Figure("a", "count", "hook_errors", "x"), windows, SECOND) == 4


def test_invalid_records_that_are_passed_on_are_part_of_what_was_handled() -> None:
    windows = history(StageCounts(records=100, invalid=20, out=100)).windows
    assert value_of(Figure("a", "output_ratio", "", "x"), windows, SECOND) == 1


@pytest.mark.parametrize("stage", ["ingest", "a/b", "x\x1fy"])
def test_a_cost_does_not_mind_what_a_stage_is_called(stage: str) -> None:
    usual, broken = StageCounts(100, counters={"clicks": 50.0}), StageCounts(100, invalid=90)
    known = history(usual, usual, broken, stage=stage)
    cost = Cost()
    cost.begin(known, 2 * SECOND)
    cost.add(WindowCounts(3 * SECOND, {stage: {"1": broken}}))
    cost = msgspec.convert(msgspec.msgpack.decode(msgspec.msgpack.encode(cost)), Cost)
    assert cost.sentence() == "180 records rejected, 100 clicks missed."


def test_drift_of_a_stage_is_not_that_of_another_whose_name_begins_alike() -> None:
    found = history(*[StageCounts(records=100, out=100)] * 40)
    found.definition = Definition((StageDefinition("a"), StageDefinition("a/b")))
    for window in found.windows:
        window.drift = {"a/b": {"x": 0.5}}
    residuals = drain(collect(found, 39 * SECOND, 39 * SECOND))
    assert residuals is not None
    assert SeriesKey("a/b", "drift") in residuals.series
    assert SeriesKey("a", "drift") not in residuals.series


def test_a_counter_below_the_line_of_a_ratio_is_seen_by_diagnosis_as_by_detection() -> None:
    found = history(*[StageCounts(records=100, out=100, counters={"ads": 50.0, "clicks": 5.0})] * 40)
    found.definition = Definition(
        (StageDefinition("a"),), (RatioDefinition("r", ("a", "clicks"), ("a", "ads")),)
    )
    residuals = drain(collect(found, 39 * SECOND, 39 * SECOND))
    assert residuals is not None
    tied = residuals.series[SeriesKey("a", "ratio")]
    assert isinstance(tied, Tied)
    assert {member.label for member in tied.members} == {"r", "ads"}
