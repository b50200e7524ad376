"""Each fault once, at a plain strength, on a plain pipeline: is it told with its stage and cause?"""

from __future__ import annotations

from functools import cache

import pytest

from swirl.testing.drill import KINDS, Fault
from tests.faults.cases import Past, Said, past
from tests.faults.plan import scene
from tests.faults.world import WINDOW_S, World

PLACES = {"labels": "classify", "concept": "classify", "deployment": "classify", "canary": "classify"}
PLACES |= {"rolling": "classify", "innocent": "classify", "slow": "serve", "errors": "serve"}
RAMPS = {"concept": 15, "rolling": 5, "drift": 30, "daily": 40, "weekly": 40, "holiday": 40, "late": 10}
WINDOWS = 30


@cache
def before(*, timed: bool) -> Past:
    found = past(scene(timed=timed), 300)
    assert found.told == []
    return found


def told(kind: str, strength: float = 0.5, share: float = 1.0) -> list[Said]:
    """The incidents after a fault, as they stand in the end."""
    world = World(scene(timed=kind == "late"), 5, resume=before(timed=kind == "late").state)
    world.run(25)
    place = PLACES.get(kind, "" if KINDS[kind].hits in ("pipeline", "process") else "ingest")
    ramp = RAMPS.get(kind, 0) * WINDOW_S
    strength = strength if KINDS[kind].graded else 1.0
    world.faults.append(Fault(kind, place, strength, world.now, ramp, share=share))
    world.run(ramp + WINDOWS * WINDOW_S)
    return [Said(incident.stage, incident.cause) for incident in world.harness.incidents]


@pytest.mark.parametrize(
    ("kind", "stage", "cause"),
    [
        ("format", "ingest", "data pipeline broken"),
        ("nulls", "ingest", "data pipeline broken"),
        ("unit", "ingest", "input drift"),
        ("drift", "ingest", "input drift"),
        ("throttled", "ingest", "source throttled"),
        ("stopped", "ingest", "source outage"),
        ("doubled", "ingest", "records come twice"),
        ("late", "ingest", "late data"),
        ("slow", "serve", "slow stage"),
        ("errors", "serve", "stage errors"),
        ("deployment", "classify", "bad deployment"),
        ("rolling", "classify", "bad deployment"),
        ("concept", "classify", "concept shift"),
        ("silence", "", "monitoring blind"),
    ],
)
def test_a_fault_is_told_with_its_stage_and_cause(kind: str, stage: str, cause: str) -> None:
    assert told(kind) == [Said(stage, cause)]


def test_a_canary_that_takes_a_tenth_of_the_records_is_told() -> None:
    assert told("canary", share=0.1) == [Said("classify", "bad deployment")]


def test_a_label_flip_is_told_where_it_happened() -> None:
    assert [said.stage for said in told("labels")] == ["classify"]


def test_a_clock_that_is_put_back_is_told() -> None:
    assert len(told("skew")) == 1


BENIGN = [kind for kind, truth in KINDS.items() if truth.benign]


@pytest.mark.parametrize("kind", BENIGN)
def test_what_nobody_needs_to_know_is_not_told(kind: str) -> None:
    assert told(kind) == []


def test_every_kind_of_fault_is_tried_here() -> None:
    marks = test_a_fault_is_told_with_its_stage_and_cause.pytestmark  # type: ignore[attr-defined]
    tried = {row[0] for mark in marks if mark.name == "parametrize" for row in mark.args[1]}
    assert tried | {"canary", "labels", "skew"} == {kind for kind, truth in KINDS.items() if not truth.benign}
