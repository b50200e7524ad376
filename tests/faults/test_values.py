"""Faults as values, random pipelines, and people's methods."""

from __future__ import annotations

import math

import numpy as np
import pytest

from swirl.errors import DefinitionError
from swirl.incident.causes import CAUSES
from swirl.testing.drill import KINDS, Fault, level, traffic
from tests.faults.cases import WEAKEST, Case, Said, fits, identifiable, random_fault
from tests.faults.people import METHODS, HourBand, TenChunks, methods
from tests.faults.plan import Edge, Plan, Step, plan, scene
from tests.faults.site import WINDOW_S
from tests.faults.suite import play_many, quiet
from tests.faults.world import World


def test_every_kind_names_causes_that_the_monitor_knows() -> None:
    for kind in KINDS.values():
        assert {kind.cause, *kind.also} - {""} <= CAUSES.keys()
        assert not (kind.benign and kind.also)


def test_a_step_is_there_at_once_and_a_ramp_grows_to_its_strength() -> None:
    step, ramp = Fault("slow", "a", 0.5, onset=10.0), Fault("slow", "a", 0.5, onset=10.0, ramp=10.0)
    assert [step.level(now) for now in (9.9, 10.0, 99.0)] == [0.0, 0.5, 0.5]
    assert [ramp.level(now) for now in (9.9, 10.0, 15.0, 20.0, 99.0)] == [0.0, 0.0, 0.25, 0.5, 0.5]
    assert Fault("surge", onset=0.0, until=5.0).level(5.0) == 0.0


def test_faults_of_one_stage_add_up_to_at_most_all_of_its_records() -> None:
    faults = [Fault("nulls", "a", 0.6), Fault("format", "a", 0.6), Fault("nulls", "b", 0.9)]
    assert level(faults, ("nulls", "format"), "a", 1.0) == pytest.approx(0.84)
    assert level(faults, "errors", "a", 1.0) == 0.0
    assert level([], "nulls", "a", 1.0) == 0.0


def test_traffic_is_never_negative_and_a_day_swings_around_its_mean() -> None:
    everything = [
        Fault(kind, "", 1.0, ramp=4.0) for kind in ("daily", "weekly", "holiday", "throttled", "stopped")
    ]
    assert all(traffic(everything, "a", now) >= 0.0 for now in np.linspace(0.0, 40.0, 200).tolist())
    day = [traffic([Fault("daily", ramp=25.0)], "a", float(now)) for now in range(100)]
    assert sum(day) / 100 == pytest.approx(1.0, abs=0.02)
    assert max(day) == pytest.approx(1.8)


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"kind": "gremlins"}, "no kind of fault"),
        ({"strength": 0.0}, "strength is 0.0"),
        ({"strength": math.nan}, "strength is nan"),
        ({"strength": 1.5}, "strength is 1.5"),
        ({"share": -0.1}, "share is -0.1"),
        ({"onset": math.inf}, "onset and ramp"),
        ({"ramp": -1.0}, "onset and ramp"),
        ({"onset": 5.0, "until": 5.0}, "ends after its onset"),
    ],
)
def test_a_fault_of_impossible_numbers_is_refused(given: dict[str, float | str], wrong: str) -> None:
    with pytest.raises(DefinitionError, match=wrong):
        Fault(**{"kind": "nulls", **given})  # type: ignore[arg-type]


def test_a_fault_knows_what_should_be_said_of_it() -> None:
    skew = Fault("skew", "a")
    assert skew.names("monitoring blind")
    assert skew.names("late data")
    assert not skew.names("cause unknown")
    assert not Fault("surge").names("")
    case = Case((0, 0), skew, identifiable=True, settled=Said("a", "late data"))
    assert (case.told, case.right, case._replace(settled=Said("b", "late data")).right) == (True, True, False)
    assert case._replace(settled=Said("a", "cause unknown")).unknown


def test_random_pipelines_are_of_every_shape_and_flow_one_way() -> None:
    plans = [plan(seed) for seed in range(200)]
    for each in plans:
        assert all(edge.parent < i for i, step in enumerate(each.steps) for edge in step.edges)
        assert all(10.0 <= rate <= 5000.0 for rate in each.rates.values())
        assert each.rates
    assert {len(each.steps) for each in plans} == {1, 2, 3, 4, 5, 6}
    assert {len(each.rates) for each in plans} == {1, 2}
    assert any(each.services for each in plans)
    assert any(each.timed for each in plans)
    assert any(len(step.edges) > 1 for each in plans for step in each.steps)
    assert plan(7) == plan(7) != plan(8)


def test_strengths_are_log_uniform_from_their_weakest() -> None:
    rng = np.random.default_rng(1)
    found = [random_fault(rng, "format", scene(), 0.0).strength for _ in range(2000)]
    assert min(found) >= WEAKEST
    assert np.median(found) == pytest.approx(math.sqrt(WEAKEST), rel=0.1)


def bare(name: str, *edges: Edge, features: int = 0) -> Step:
    return Step(
        name,
        edges,
        validates=False,
        invalid=0.01,
        errors=0.01,
        labels=(),
        features=features,
        nulls=0.0,
        clicks=0.0,
        latency=0.01,
        load=0.1,
    )


def made_of(*steps: Step) -> Plan:
    rates = {i: 100.0 for i, step in enumerate(steps) if not step.edges}
    return Plan(1, steps, rates, processes=1, services=False, timed=False, swing=0.0)


def test_a_pipeline_has_only_faults_that_it_can_have() -> None:
    cannot = {kind for kind in KINDS if not fits(kind, made_of(bare("a")))}
    assert cannot == {"nulls", "format", "unit", "drift", "labels", "concept", "late", "skew", "silence"}


def test_what_nobody_could_tell_is_not_held_against_the_monitor() -> None:
    assert not identifiable(Fault("canary", "classify", 0.05, share=0.01), scene())
    assert identifiable(Fault("canary", "classify", 0.5, share=0.1), scene())
    joined = made_of(bare("a"), bare("b"), bare("c", Edge(0), Edge(1), features=1))
    assert not identifiable(Fault("drift", "a"), joined)
    assert identifiable(Fault("drift", "ingest"), scene())


def test_a_world_is_what_its_plan_says_and_the_same_again() -> None:
    seen = []
    for _ in range(2):
        world = World(scene(), 3)
        world.run(6 * WINDOW_S)
        harness = world.harness
        seen.append([window.numbers for window in harness.windows])
    assert seen[0] == seen[1]
    assert harness.windows[-1].health.emitters == 2
    _, records = next(harness.points("ingest", "records"))
    _, positive = next(harness.points("classify", "prediction_ratio", "0"))
    _, clicks = next(harness.points("serve", "ratio", "clicks serve"))
    assert 200 < records.value < 400
    assert 0.77 < positive.value < 0.83
    assert 0.07 < clicks.value < 0.13


def test_people_see_a_jump_and_are_blind_or_are_not() -> None:
    for make in (TenChunks, HourBand):
        method = make()
        rng = np.random.default_rng(2)
        quiet = [method.update(float(x)) for x in rng.normal(10.0, 1.0, 300)]
        assert sum(quiet) < 60
        assert method.update(30.0)
    assert not METHODS["never alarm"]().update(1e9)
    assert METHODS["always alarm"]().update(0.0)
    assert len(methods()) == 6


def test_the_band_of_the_last_hour_forgets_what_lasts() -> None:
    method = HourBand()
    for x in range(400):
        method.update(float(x % 2))
    told = [method.update(5.0 + x % 2) for x in range(360)]
    assert told[0]
    assert not told[-1]


def test_cases_come_in_turn_and_people_hear_of_them_beside_the_monitor() -> None:
    makers = {name: METHODS[name] for name in ("never alarm", "always alarm")}
    played = play_many(11, 2, 2, makers, kinds=("stopped", "restart"), windows=90)
    stopped, restart = played.cases
    assert (stopped.fault.kind, restart.fault.kind) == ("stopped", "restart")
    assert stopped.told
    assert not restart.told
    assert [heard["never alarm"].delay for heard in played.heard] == [0, 0]
    assert [heard["always alarm"].delay for heard in played.heard] == [1, 1]


def test_quiet_time_counts_what_each_method_cried() -> None:
    makers = {name: METHODS[name] for name in ("never alarm", "always alarm")}
    calm = quiet([11], 40, makers, warm_up=20)
    assert (calm.windows, calm.told, calm.open) == (40, [], 0)
    assert calm.alarms == {"never alarm": 0, "always alarm": 1}
    assert calm.alarmed == {"never alarm": 0, "always alarm": 40}
