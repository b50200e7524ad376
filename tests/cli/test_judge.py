"""The demo's verdict on what it was told."""

from __future__ import annotations

import pytest

from swirl.cli.judge import Fault, Outcome, judge
from swirl.cli.scene import Told
from swirl.effect import Incident, IncidentChanged
from tests.cli.effects import ONSET_MS, incident, opened

DATA = Fault("data", "ingest: data pipeline broken", ONSET_MS + 300, ONSET_MS + 11_300)
BUG = Fault("bug", "classify: bad deployment", ONSET_MS + 24_300, ONSET_MS + 35_300)


def bad_deployment(onset_ms: int = ONSET_MS + 24_000) -> Incident:
    return incident("classify", "bad deployment", onset_ms=onset_ms, version="2026.11.2")


def heard(change: IncidentChanged, later_ms: int = 1_700) -> Told:
    return Told(change, change.incident.onset_ms + later_ms)


def after(*told: Incident) -> Outcome:
    return judge([DATA, BUG], [heard(opened(step)) for step in told], 1_000)


def test_two_faults_named_right_in_time_pass() -> None:
    outcome = after(incident(), bad_deployment())
    assert outcome.passed
    assert [finding.told_ms for finding in outcome.findings] == [ONSET_MS + 1_700, ONSET_MS + 25_700]
    assert outcome.findings[1].version == "2026.11.2"


def test_a_missed_fault_fails() -> None:
    outcome = after(incident())
    assert not outcome.passed
    assert outcome.findings[1].told_ms == 0


def test_a_fault_told_wrong_fails() -> None:
    outcome = after(incident(), incident("ingest", "data pipeline broken", onset_ms=ONSET_MS + 25_000))
    assert not outcome.passed
    assert outcome.findings[1].said == "ingest: data pipeline broken"


def test_an_incident_outside_of_the_faults_is_a_false_alarm() -> None:
    outcome = after(incident(onset_ms=ONSET_MS - 9_000), incident(), bad_deployment())
    assert not outcome.passed
    assert len(outcome.false_alarms) == 1
    assert all(finding.right for finding in outcome.findings)


def test_a_second_incident_for_one_fault_is_a_false_alarm() -> None:
    assert len(after(incident(), incident(onset_ms=ONSET_MS + 4_000), bad_deployment()).false_alarms) == 1


def test_nothing_told_and_nothing_done_passes() -> None:
    assert judge([], [], 1_000).passed


@pytest.mark.parametrize(("later_ms", "passed"), [(4_300, True), (4_301, False)])
def test_the_name_must_come_within_three_windows_and_a_second(later_ms: int, *, passed: bool) -> None:
    named = IncidentChanged("updated", incident(revision=1))
    told = [
        heard(opened(incident("", "cause unknown"))),
        heard(named, later_ms),
        heard(opened(bad_deployment())),
    ]
    assert judge([DATA, BUG], told, 1_000).passed is passed


def test_a_faster_clock_stretches_what_the_machine_itself_takes() -> None:
    told = [heard(opened(incident()), 4_900)]
    assert not judge([DATA], told, 1_000, speed=2.0).passed
    assert judge([DATA], told, 1_000, speed=4.0).passed


def test_a_right_name_that_is_taken_back_fails() -> None:
    changed = IncidentChanged("updated", incident("ingest", "input drift", revision=1))
    assert not judge([DATA], [heard(opened(incident())), heard(changed)], 1_000).passed


def test_a_resolved_incident_keeps_its_name() -> None:
    over = IncidentChanged("resolved", incident(resolved_ms=ONSET_MS + 20_000, revision=1))
    assert judge([DATA], [heard(opened(incident())), heard(over, 30_000)], 1_000).passed
