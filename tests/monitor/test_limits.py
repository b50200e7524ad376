"""Limits that people write: told at once, with no statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import swirl
from swirl.effect import SeriesKey, WindowClosed
from swirl.frame import Definition, Frame, LimitDefinition, StageDefinition, definition_hash, encode
from swirl.monitor import Monitor
from swirl.monitor.limits import Limits
from swirl.settings import MonitorSettings
from swirl.testing import Harness
from tests.monitor.log import START

if TYPE_CHECKING:
    from collections.abc import Callable

RATIO = SeriesKey("check", "invalid_ratio")
NAN = float("nan")


def limits(*wanted: LimitDefinition) -> Limits:
    found = Limits()
    found.define(Definition((StageDefinition("check"),), limits=wanted))
    return found


def shop() -> tuple[Harness, Callable[[float], Callable[[], None]]]:
    pipeline = swirl.Pipeline("shop")

    @pipeline.stage(valid=lambda good: good)
    def check(good: int) -> int:
        return good

    pipeline.limit(check, "invalid_ratio", above=0.01)
    pipeline.limit(check, below=0.001, seconds=60)
    harness = Harness(pipeline, window_seconds=10)
    rng = np.random.default_rng(0)

    def record(share: float) -> Callable[[], None]:
        return lambda: (check(int(rng.random() >= share)), None)[1]

    return harness, record


def test_a_limit_is_told_with_the_first_whole_window_that_crosses_it_without_any_history() -> None:
    harness, record = shop()
    harness.drive(record(0.03), per_second=50, seconds=40)
    (incident,) = harness.incidents
    assert incident.title == "check: limit crossed"
    assert "invalid ratio" in incident.sentence
    assert "above its limit of 1 %" in incident.sentence
    assert incident.severity == "degraded"


def test_below_its_limit_nothing_is_told_and_an_incident_ends_when_all_is_back() -> None:
    harness, record = shop()
    harness.drive(record(0.0005), per_second=50, seconds=300)
    assert harness.incidents == []
    harness.drive(record(0.05), per_second=50, seconds=60)
    assert len(harness.incidents) == 1
    harness.drive(record(0.0005), per_second=50, seconds=400)
    assert [incident.state for incident in harness.incidents] == ["resolved"]


def test_a_source_without_a_record_for_the_time_that_was_written_is_told_once() -> None:
    harness, record = shop()
    harness.drive(record(0.0), per_second=0.2, seconds=100)
    harness.advance(50)
    assert harness.incidents == []
    harness.advance(40)
    assert [i.sentence for i in harness.incidents] == ["check receives 0 records/s, usually 0.2/s."]
    harness.advance(300)
    assert len(harness.incidents) == 1


def test_a_known_cause_goes_before_the_limit() -> None:
    harness, record = shop()
    harness.drive(record(0.0005), per_second=50, seconds=900)
    harness.drive(record(0.4), per_second=50, seconds=60)
    assert [incident.title for incident in harness.incidents] == ["check: data pipeline broken"]


def test_a_limit_that_must_last_is_broken_by_one_good_window_and_not_by_one_without_a_measurement() -> None:
    wanted = limits(LimitDefinition("check", "invalid_ratio", above=0.1, seconds=30))
    told = []
    for window, value in enumerate([0.2, 0.2, 0.0, 0.2, NAN, 0.2, 0.2, 0.2]):
        wanted.judge({RATIO: value}, window * 10_000, 10_000)
        told += [(window, alarm.since_ms) for alarm in wanted.alarms]
    assert told == [(5, 30_000)]
    assert wanted.loud == {RATIO}


def test_limits_go_on_from_a_snapshot_and_forget_what_is_wanted_no_more() -> None:
    definition = Definition(
        (StageDefinition("check"),), limits=(LimitDefinition("check", "invalid_ratio", above=0.1),)
    )
    first = limits(*definition.limits)
    first.judge({RATIO: 0.5}, 0, 10_000)
    second = Limits()
    second.restore(first.snapshot(), definition)
    second.judge({RATIO: 0.5}, 10_000, 10_000)
    assert (len(first.alarms), len(second.alarms), set(second.loud)) == (1, 0, {RATIO})
    second.define(Definition((StageDefinition("check"),)))
    second.judge({RATIO: 0.5}, 20_000, 10_000)
    assert second.loud == frozenset()
    assert second.snapshot() == []


def test_no_more_than_200_limits_of_a_pipeline_are_judged_and_the_others_are_counted() -> None:
    wanted = [LimitDefinition("check", "invalid_ratio", above=0.1 + i / 1e6) for i in range(12_000)]
    found = limits(*wanted)
    found.judge({RATIO: 0.5}, 0, 10_000)
    assert (len(found.alarms), found.refused) == (200, 11_800)
    again, definition = Limits(), Definition((StageDefinition("check"),), limits=tuple(wanted))
    again.restore([*found.snapshot(), [11_999, 0, True]], definition)
    assert (again.snapshot(), again.refused) == (found.snapshot(), 11_800)
    found.define(Definition((StageDefinition("check"),), limits=tuple(wanted[:150])))
    assert (len(found.snapshot()), found.refused) == (150, 0)


def test_limits_that_are_left_out_are_counted_in_the_health_of_the_pipeline_with_every_window() -> None:
    wanted = tuple(LimitDefinition("check", "invalid_ratio", above=0.1 + i / 1e3) for i in range(202))
    definition = Definition((StageDefinition("check"),), limits=wanted)
    monitor, told = Monitor(MonitorSettings(window_seconds=1, lateness_seconds=0)), []
    for number in range(5):
        at_ms = START + number * 1_000
        covers, key = (at_ms, at_ms + 1_000), definition_hash(definition)
        frame = Frame("p", b"e" * 16, number + 1, at_ms, covers, key, definition)
        effects = monitor.apply(number, at_ms + 1_000, encode(frame))
        told += [effect.health.unreadable for effect in effects if isinstance(effect, WindowClosed)]
    assert told == [2, 4, 6, 8, 10][: len(told)]
    assert len(told) >= 4


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"metric": "invalid"}, "needs above= or below="),
        ({"metric": "invalid_rate", "above": 1}, "no such series"),
        ({"metric": "records", "above": float("nan")}, "must be a number"),
        ({"metric": "records", "above": "1"}, "must be a number"),
        ({"metric": "records", "above": 1, "below": 2}, "no value that is allowed"),
        ({"metric": "records", "above": 1, "seconds": -1}, "must not be negative"),
        ({"stage": "nobody", "above": 1}, "no stage of pipeline"),
    ],
)
def test_a_limit_of_no_use_is_refused_with_what_to_write(given: dict[str, object], why: str) -> None:
    pipeline = swirl.Pipeline("shop")
    pipeline.stage(name="check")(lambda x: x)
    with pytest.raises(swirl.DefinitionError, match=why):
        pipeline.limit(**{"stage": "check", **given})  # type: ignore[arg-type] # wrong on purpose
