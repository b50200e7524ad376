"""A seeded part of what ``make bench`` shows at length, through the testing kit."""

from __future__ import annotations

import pytest

from tests.acceptance.scene import TITLES, WINDOW_S, Fault, Scene, faults, healthy, surges

pytestmark = pytest.mark.timeout(300)


@pytest.mark.slow
def test_two_healthy_hours_with_a_daily_shape_raise_nothing() -> None:
    assert healthy(5, hours=2).told == []


@pytest.mark.slow
def test_both_faults_are_told_with_root_stage_and_cause_whatever_their_strength() -> None:
    befell = faults(11, count=8)
    assert {fault.kind for fault in befell} == set(TITLES)
    assert [fault for fault in befell if fault.early or not fault.right] == []
    assert [fault for fault in befell if fault.strength >= 0.5 and fault.delay > 2] == []


@pytest.mark.slow
def test_three_times_the_traffic_is_no_incident() -> None:
    assert surges(7, count=3).told == []


def test_a_fault_is_right_only_if_what_was_told_last_names_it() -> None:
    fault = Fault(
        "data", 0.5, first="ingest: cause unknown", settled=TITLES["data"], delay=1, early=False, seed=0
    )
    assert fault.detected
    assert fault.right
    assert not fault._replace(settled="classify: bad deployment").right
    assert not fault._replace(first="", settled="").detected


def test_the_scene_is_what_it_says() -> None:
    scene = Scene(3)
    scene.run(6 * WINDOW_S)
    _, records = next(scene.harness.points("ingest", "records"))
    _, positive = next(scene.harness.points("classify", "prediction_ratio", "positive"))
    assert 270 < records.value < 330
    assert 0.77 < positive.value < 0.83
    scene.break_upstream(1.0)
    scene.run(2 * WINDOW_S)
    *_, (_, invalid) = scene.harness.points("ingest", "invalid_ratio")
    assert 0.8 < invalid.value < 0.84
