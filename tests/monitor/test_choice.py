"""Who judges a series: the detectors that its stage names, and what becomes of one that raises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import numpy as np
import pytest

import swirl
from swirl.detector import Kind, Points, Rows, Scores, detectors
from swirl.effect import SeriesKey
from swirl.frame import Definition, DetectorDefinition, ReferenceDefinition, StageDefinition
from swirl.monitor import default_detectors
from swirl.monitor.choice import Choice
from swirl.monitor.judge import Judge
from swirl.monitor.seating import Seating
from swirl.monitor.seats import combined, select
from swirl.scalar import Point, SeriesBank
from swirl.series import Measured, SeriesTable
from swirl.settings import MonitorSettings
from swirl.testing import Harness

if TYPE_CHECKING:
    from collections.abc import Mapping

VALID, TIME = SeriesKey("check", "invalid_ratio"), SeriesKey("check", "latency_p95")


class Highest:
    """How long ago was a value as high?"""

    def __init__(self) -> None:
        self.points, self.highest = 0, 0.0

    def score(self, point: Point) -> float:
        if point.value == 13:
            raise ArithmeticError("thirteen")
        return float(np.log(self.points + 2)) if point.shown > self.highest else 0.0

    def learn(self, point: Point) -> None:
        self.points, self.highest = self.points + 1, max(self.highest, point.shown)


@dataclass(frozen=True)
class HighestDetector:
    name: ClassVar[str] = "highest"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.POSITIVE, Kind.RATE})
    warm_up: int = 60

    def build(self, kind: Kind, resume: dict[str, Any] | None = None) -> SeriesBank:
        bank = SeriesBank(kind, Highest, self.warm_up)
        if resume is not None:
            bank.restore(resume)
        return bank


DEFAULTS: Mapping[Kind, tuple[Any, ...]] = {
    Kind.RATE: (HighestDetector(),),
    Kind.POSITIVE: (HighestDetector(),),
    Kind.DISTRIBUTION: (HighestDetector(),),
}


def wants(*named: DetectorDefinition) -> Definition:
    return Definition((StageDefinition("check", detectors=named), StageDefinition("other")))


def names(choice: Choice, stage: str, kind: Kind) -> list[str]:
    return [detector.name for detector in choice.of(stage, "records", kind)]


def test_a_stage_has_the_detectors_it_names_where_they_judge_the_kind_and_the_defaults_elsewhere() -> None:
    choice = Choice(DEFAULTS, 17)
    assert choice.define(wants(DetectorDefinition("change")))
    assert names(choice, "check", Kind.POSITIVE) == ["change"]
    assert names(choice, "check", Kind.DISTRIBUTION) == ["highest"]
    assert names(choice, "other", Kind.POSITIVE) == ["highest"]
    assert not choice.define(wants(DetectorDefinition("change")))


def test_a_detector_has_the_warm_up_of_the_settings_unless_the_stage_says_otherwise() -> None:
    choice = Choice(DEFAULTS, 17)
    choice.define(wants(DetectorDefinition("change"), DetectorDefinition("silence", {"warm_up": 5})))
    found = choice.of("check", "records", Kind.RATE)
    assert [getattr(detector, "warm_up", 0) for detector in found] == [17, 5]


def test_a_detector_that_nobody_has_is_named_and_the_defaults_judge() -> None:
    choice = Choice(DEFAULTS, 17)
    choice.define(wants(DetectorDefinition("oracle"), DetectorDefinition("change", {"colour": "red"})))
    assert choice.unknown == ("oracle", "change")
    assert names(choice, "check", Kind.POSITIVE) == ["highest"]


def judge(definition: Definition | None = None) -> Judge:
    found = Judge(Seating(DEFAULTS, SeriesTable(10), 10.0, 60_000))
    if definition is not None:
        found.seating.define(definition)
    return found


def window(judge: Judge, number: int, *values: float) -> dict[SeriesKey, float]:
    """Evidence by series."""
    keys = [TIME, SeriesKey("other", "latency_p95"), SeriesKey("third", "latency_p95")]
    measured = [Measured(key, Kind.POSITIVE, value) for key, value in zip(keys, values, strict=False)]
    found: dict[SeriesKey, float] = {}
    for part in judge.judge(measured, number * 60_000, 60_000, whole=True):
        found.update(zip(part.keys, part.numbers[6].tolist(), strict=True))
    assert list(judge.learn())
    return found


def test_an_error_of_a_detector_is_counted_it_begins_anew_and_the_fold_goes_on() -> None:
    found = judge()
    for number in range(100):
        window(found, number, 5.0, 7.0)
    assert window(found, 100, 13.0, 8.0) == {TIME: 0.0, SeriesKey("other", "latency_p95"): 0.0}
    assert found.seating.failures == {"highest": 1}
    window(found, 101, 5.0, 7.0)
    assert window(found, 102, 6.0, 7.0)[TIME] > 0


def test_another_choice_takes_effect_when_the_stage_is_defined_anew_and_survives_a_restart() -> None:
    found = judge()
    for number in range(30):
        window(found, number, 5.0, 7.0)
    definition = wants(DetectorDefinition("change"))
    found.seating.define(definition)
    for number in range(30, 60):
        window(found, number, 5.0 + 0.01 * (number % 3), 7.0)
    again = judge()
    again.restore(found.snapshot(), definition)
    assert window(again, 60, 5.3, 7.2) == window(found, 60, 5.3, 7.2)
    assert again.snapshot() == found.snapshot()
    assert [(s.detector.name, s.size) for s in found.seating.of(Kind.POSITIVE)] == [
        ("highest", 1),
        ("change", 1),
    ]


def test_a_series_that_is_held_stays_held_by_the_detectors_that_take_it_over() -> None:
    found = judge()
    for number in range(30):
        window(found, number, 5.0)
    found.seating.hold([TIME])
    found.seating.define(wants(DetectorDefinition("change")))
    window(found, 30, 500.0)
    assert found.alarms == []


def test_a_snapshot_of_detectors_that_are_gone_leaves_their_series_to_those_that_are_there() -> None:
    found = judge(wants(DetectorDefinition("change")))
    for number in range(30):
        window(found, number, 5.0, 7.0)
    again = judge()
    again.restore(found.snapshot(), Definition((StageDefinition("check"), StageDefinition("other"))))
    assert set(window(again, 30, 5.0, 7.0)) == {TIME, SeriesKey("other", "latency_p95")}
    assert [(s.detector.name, s.size) for s in again.seating.of(Kind.POSITIVE)] == [("highest", 2)]


def test_the_options_of_a_stage_reach_its_detector() -> None:
    pipeline = swirl.Pipeline("shop")

    @pipeline.stage(valid=bool, detectors=[("change", {"warm_up": 10}), "novice"])
    def check(good: int) -> int:
        return good

    harness = Harness(pipeline, window_seconds=10)
    harness.drive(lambda: check(1), per_second=5, seconds=60)
    assert harness.windows[-1].health.unknown_detectors == ("novice",)


@pytest.mark.parametrize(
    "given", [[3], [("change",)], [("change", {"sides": None})], [""], [("change", "up")]]
)
def test_what_is_no_detector_is_refused_with_what_to_write(given: list[Any]) -> None:
    pipeline = swirl.Pipeline("shop")
    with pytest.raises(swirl.DefinitionError, match=r"write a name, or a name and options"):
        pipeline.stage(name="check", detectors=given)(lambda x: x)


def test_every_default_is_installed() -> None:
    assert {"change", "drift", "silence"} <= set(detectors())


def test_points_of_some_rows_keep_their_samples() -> None:
    points = Points(0, 1000, np.arange(3.0), np.ones(3), ({"a": 1}, None, {"b": 2}))
    rows: Rows = np.array([0, 2])
    some = select(points, rows)
    assert (some.value.tolist(), list(some.samples)) == ([0.0, 2.0], [{"a": 1}, {"b": 2}])
    whole = combined(points, [(rows, Scores.neutral(some))])
    assert whole.value[[0, 2]].tolist() == [0.0, 2.0]
    assert np.isnan(whole.value[1])


def test_the_contrast_of_versions_has_a_detector_that_knows_its_law() -> None:
    choice = Choice(DEFAULTS, 17)
    found = choice.of("check", "version_contrast", Kind.LEVEL)
    assert [detector.name for detector in found] == ["contrast"]


def test_two_configurations_of_one_detector_find_their_own_states_after_a_restart() -> None:
    up = wants(DetectorDefinition("change", {"sides": "up"}))
    found = Judge(Seating(default_detectors(MonitorSettings()), SeriesTable(10), 10.0, 60_000))
    found.seating.define(up)
    for number in range(80):
        window(found, number, 5.0 + 0.01 * (number % 7), 7.0 + 0.01 * (number % 5))
    again = Judge(Seating(default_detectors(MonitorSettings()), SeriesTable(10), 10.0, 60_000))
    again.restore(found.snapshot(), up)
    assert window(again, 80, 5.3, 7.2) == window(found, 80, 5.3, 7.2)
    assert again.snapshot() == found.snapshot()


def test_fewer_series_after_a_restart_are_judged_on() -> None:
    found = judge()
    for number in range(10):
        window(found, number, 5.0, 7.0, 9.0)
    fewer = Judge(Seating(DEFAULTS, SeriesTable(2), 10.0, 60_000))
    fewer.restore(found.snapshot())
    assert set(window(fewer, 10, 5.0, 7.0, 9.0)) == {TIME, SeriesKey("other", "latency_p95")}


def test_a_series_in_an_incident_keeps_its_detectors_until_the_incident_is_over() -> None:
    found = Judge(Seating(default_detectors(MonitorSettings()), SeriesTable(10), 10.0, 60_000))
    rng = np.random.default_rng(0)
    for number in range(200):
        window(found, number, float(np.exp(rng.normal(0, 0.1))), 7.0)
    found.seating.hold([TIME])
    found.seating.define(wants(DetectorDefinition("level")))
    again = Judge(Seating(default_detectors(MonitorSettings()), SeriesTable(10), 10.0, 60_000))
    again.restore(found.snapshot(), wants(DetectorDefinition("level")))
    for one in (found, again):
        for number in range(200, 210):
            window(one, number, 50.0, 7.0)
        assert TIME in one.loud
        one.seating.release([TIME], adopt=False, chance=False)
        judges = [s.detector.name for s in one.seating.of(Kind.POSITIVE) if one.table.row(TIME) in s]
        assert judges == ["level"]


@pytest.mark.parametrize(
    ("name", "options"),
    [("novelty", {"threshold": "x"}), ("drift", {"statistic": "odd"}), ("change", {"sides": "sideways"})],
)
def test_options_that_a_detector_cannot_take_are_told_and_the_defaults_judge(
    name: str, options: dict[str, Any]
) -> None:
    choice = Choice(DEFAULTS, 17)
    choice.define(wants(DetectorDefinition(name, options)))
    assert choice.unknown == (name,)


def test_a_stage_may_name_sixteen_detectors() -> None:
    choice = Choice(DEFAULTS, 17)
    choice.define(wants(*(DetectorDefinition("change", {"warm_up": 10 + n}) for n in range(100))))
    assert len(choice.of("check", "latency_p95", Kind.POSITIVE)) == 16


def test_numbers_of_numpy_in_a_detector_do_not_keep_a_monitor_from_being_saved() -> None:
    found = judge()
    for number in range(5):
        window(found, number, 5.0)
    (seat,) = found.seating.of(Kind.POSITIVE)
    seat.bank._detectors[0].highest = np.float64(5.0)  # type: ignore[attr-defined] # a bank of the test's
    assert msgspec.msgpack.encode(found.snapshot())


def test_a_bank_that_begins_anew_in_an_incident_is_held_on() -> None:
    found = judge()
    for number in range(100):
        window(found, number, 5.0)
    found.seating.hold([TIME])
    window(found, 100, 13.0)
    for number in range(101, 200):
        window(found, number, 5.0)
    window(found, 200, 500.0)
    assert (found.seating.failures, found.alarms) == ({"highest": 1}, [])


def test_a_detector_that_nobody_wants_any_more_is_let_go() -> None:
    found = judge()
    for number in range(20):
        window(found, number, 5.0, 7.0)
        found.seating.define(wants(DetectorDefinition("change", {"warm_up": 10 + number})))
    assert len(found.seating.of(Kind.POSITIVE)) == 2


class Referred(SeriesBank):
    """Notes what it is told of baselines."""

    told: ClassVar[list[tuple[str, int]]] = []

    def refer(self, row: int, sample: object) -> None:
        self.told.append(("refer", row))

    def release(self, rows: Rows, *, adopt: bool = False, chance: bool = False) -> None:
        self.told.extend(("adopt", row) for row in rows.tolist() if adopt)


@dataclass(frozen=True)
class ReferredDetector(HighestDetector):
    name: ClassVar[str] = "referred"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.DISTRIBUTION})

    def build(self, kind: Kind, resume: dict[str, Any] | None = None) -> SeriesBank:
        return Referred(kind, Highest, self.warm_up)


def test_a_reference_is_handed_over_once_and_what_was_learnt_from_it_goes_with_it() -> None:
    key = SeriesKey("check", "drift", "colour")
    found = Judge(Seating({Kind.DISTRIBUTION: (ReferredDetector(),)}, SeriesTable(10), 10.0, 60_000))
    given = ReferenceDefinition("check", {"feature:colour": {"red": 5}})
    other = ReferenceDefinition("check", {"feature:colour": {"blue": 5}})
    Referred.told.clear()
    for references in ((given,), (given,), (other,), ()):
        found.seating.define(Definition((StageDefinition("check"),), references=references))
        measured = [Measured(key, Kind.DISTRIBUTION, float("nan"), 1.0, {"red": 5})]
        list(found.judge(measured, 0, 60_000, whole=True))
    assert Referred.told == [("refer", 0), ("adopt", 0), ("refer", 0), ("adopt", 0)]
