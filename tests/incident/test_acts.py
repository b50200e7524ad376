"""The acts of the demonstration: told right after one window of the fault, and nobody innocent is blamed."""

from __future__ import annotations

import re

import msgspec
import pytest

from swirl.effect import SeriesKey
from tests.incident.acts import (
    BROKEN,
    BUG,
    CLICKS,
    INVALID,
    NEW,
    OLD,
    POSITIVE,
    RECORDS,
    Ads,
    Second,
)

ALARMS = (INVALID, POSITIVE, CLICKS)
SEEDS = range(1, 9)


def broken(seed: int, first: Second = BROKEN) -> Ads:
    ads = Ads(seed)
    ads.pass_by(30)
    ads.second(first, ALARMS)
    return ads


def deployed(seed: int, first: Second = BUG) -> Ads:
    ads = Ads(seed)
    ads.pass_by(40)
    ads.second(first, (POSITIVE, CLICKS))
    return ads


@pytest.mark.parametrize("seed", SEEDS)
def test_a_broken_feed_is_named_after_one_window(seed: int) -> None:
    ads = broken(seed)
    assert ads.transitions() == ["opened"]
    incident = ads.last
    assert incident.title == "ingest: data pipeline broken"
    assert incident.preliminary is False
    assert incident.posterior > 0.95
    assert incident.id == "ads-20261121-031220"
    assert incident.follows == ("classify", "serve")
    assert incident.version == ""
    assert incident.version_line == "version unchanged"
    assert incident.severity == "tripped"
    assert incident.windows == 1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("share", [0.1, 0.4])
def test_a_feed_that_breaks_within_a_window_is_named_all_the_same(seed: int, share: float) -> None:
    ads = broken(seed, Second(broken=share))
    assert [c.incident.title for c in ads.changes] == ["ingest: data pipeline broken"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_bug_in_a_new_version_is_a_bad_deployment_after_one_window(seed: int) -> None:
    incident = deployed(seed).last
    assert incident.title == "classify: bad deployment"
    assert incident.preliminary is False
    assert incident.posterior > 0.8
    assert (incident.version, incident.version_before) == (NEW, OLD)
    assert incident.follows == ("serve",)
    assert incident.severity == "tripped"
    assert incident.version_line == f"{NEW} replaced {OLD} at 03:12:30 UTC"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("share", [0.15, 0.5])
def test_a_cutover_within_a_window_convicts_the_version_side_by_side(seed: int, share: float) -> None:
    ads = deployed(seed, Second(swapped=share))
    assert [c.incident.title for c in ads.changes] == ["classify: bad deployment"]
    assert ads.last.posterior > 0.99
    beside = (
        rf"In the 1 s when both ran, {OLD} had 0\.(79|80|81) and {NEW} 0\.(19|20|21): the version explains"
    )
    assert re.search(beside, ads.last.look_first)


def test_the_figures_of_a_broken_feed_are_those_that_a_person_counts() -> None:
    lines = broken(1).last.evidence
    assert [line.name for line in lines] == ["ingest invalid", "positive ratio", "clicks"]
    assert [(line.metric, line.label) for line in lines] == [
        ("invalid", ""),
        ("prediction_ratio", "positive"),
        ("count", "clicks"),
    ]
    assert [line.root for line in lines] == [True, False, False]
    assert lines[0].usual_value == pytest.approx(10, abs=2)
    assert lines[0].now_value == pytest.approx(20_000, rel=0.02)
    assert lines[0].now == "19 900/s"
    assert (lines[1].usual, lines[1].now) == ("0.80", "0.20")
    assert lines[2].usual_value == pytest.approx(2010, rel=0.02)
    assert lines[2].now_value == pytest.approx(10, abs=10)
    assert all(line.onset_ms == broken(1).last.onset_ms for line in lines)


def test_the_figures_of_a_bad_deployment_show_what_did_not_move_as_well() -> None:
    lines = deployed(1).last.evidence
    assert [line.name for line in lines] == ["positive ratio", "clicks", "ingest invalid"]
    assert [line.root for line in lines] == [True, False, False]
    assert (lines[0].usual, lines[0].now) == ("0.80", "0.20")
    assert lines[2].now_value == pytest.approx(lines[2].usual_value, abs=12)


def test_the_sentence_of_a_broken_feed_has_both_numbers_and_no_reason() -> None:
    incident = broken(1).last
    assert incident.sentence.startswith("ingest rejects 19 900 records/s as invalid, usually ")
    assert "text missing" not in incident.sentence
    assert incident.reasons[0][0] == "text missing"
    assert incident.reasons[0][1] > 0.99
    assert "at what feeds ingest" in incident.look_first
    assert "Not at the model" in incident.look_first


def test_the_sentence_of_a_bad_deployment_names_the_version() -> None:
    incident = deployed(1).last
    assert (
        incident.sentence
        == f"classify calls 0.20 of its records positive, usually 0.80, since {NEW} went out."
    )
    assert incident.look_first.startswith(f"at {NEW}; going back to {OLD} is the quickest test.")


def test_what_is_ruled_out_is_told_with_its_reason() -> None:
    feed, bug = broken(1).last.rivals, deployed(1).last.rivals
    assert [(r.cause, r.why) for r in feed if r.cause == "bad deployment"] == [
        ("bad deployment", "no version changed")
    ]
    assert [(r.stage, r.why) for r in bug if r.cause == "data pipeline broken"] == [
        ("classify", f"it came with {NEW}")
    ]
    assert all(r.posterior < 0.1 for r in [*feed, *bug])


@pytest.mark.parametrize("first", [BROKEN, Second(broken=0.3)])
def test_recovery_is_no_new_incident(first: Second) -> None:
    ads = broken(2, first)
    ads.pass_by(15, BROKEN, ALARMS)
    ads.second(Second(broken=0.4), ALARMS)
    # What recovers moves once more, and a series that was not involved may be surprised by it.
    ads.second(Second(), (RECORDS, SeriesKey("classify", "input_ratio")))
    ads.pass_by(40)
    opened = [c for c in ads.changes if c.transition == "opened"]
    assert len(opened) == 1
    assert ads.transitions()[-1] == "resolved"
    assert ads.incidents.watching is False
    assert ads.held == set()


def test_a_rollback_ends_the_incident_and_opens_none() -> None:
    ads = deployed(3)
    ads.pass_by(15, BUG, (POSITIVE, CLICKS))
    ads.second(Second(swapped=0.4, version=OLD), (POSITIVE, CLICKS))
    ads.second(Second(), (SeriesKey("classify", "latency_p50"),))
    ads.pass_by(40)
    assert [t for t in ads.transitions() if t != "updated"] == ["opened", "resolved"]
    assert {c.incident.title for c in ads.changes} == {"classify: bad deployment"}


def test_both_acts_one_after_the_other_are_told_apart() -> None:
    ads = broken(4)
    ads.pass_by(20, BROKEN, ALARMS)
    ads.pass_by(25)
    ads.second(Second(swapped=0.5), (POSITIVE, CLICKS))
    ads.pass_by(20, BUG, (POSITIVE, CLICKS))
    ads.pass_by(25)
    told = [(c.transition, c.incident.title) for c in ads.changes if c.transition != "updated"]
    assert told == [
        ("opened", "ingest: data pipeline broken"),
        ("resolved", "ingest: data pipeline broken"),
        ("opened", "classify: bad deployment"),
        ("resolved", "classify: bad deployment"),
    ]
    assert [v.state for v in ads.verdicts] == ["tripped", "healthy", "tripped", "healthy"]


def test_a_fault_that_began_within_a_window_is_told_in_full_once() -> None:
    ads = broken(5, Second(broken=0.2))
    ads.pass_by(20, BROKEN, ALARMS)
    updates = [c for c in ads.changes if c.transition == "updated"]
    assert [c.incident.windows for c in updates] == [5]
    assert updates[0].reply.startswith("In full now: ingest invalid ")
    assert updates[0].incident.evidence[0].now_value == pytest.approx(20_000, rel=0.02)
    assert updates[0].incident.title == "ingest: data pipeline broken"


def test_a_fault_that_was_told_in_full_is_not_told_again() -> None:
    ads = broken(5)
    ads.pass_by(30, BROKEN, ALARMS)
    assert ads.transitions() == ["opened"]


def test_a_resolved_incident_tells_the_worst_the_end_and_the_cost() -> None:
    ads = broken(6)
    ads.pass_by(19, BROKEN, ALARMS)
    ads.pass_by(8)
    incident = ads.last
    assert ads.transitions() == ["opened", "resolved"]
    assert incident.state == "resolved"
    assert incident.revision == 1
    assert incident.resolved_ms - incident.onset_ms == 20_000
    assert ads.changes[-1].reply == "Resolved at 03:12:40 UTC after 20 s; nothing of the fault was learnt."
    invalid, positive, clicks = incident.evidence
    assert float(invalid.worst.removesuffix("/s").replace(" ", "")) == pytest.approx(20_200, rel=0.02)
    assert invalid.now_value == pytest.approx(10, abs=4)
    assert (positive.worst, positive.now) == ("0.18", "0.80")
    assert clicks.now_value == pytest.approx(2010, rel=0.03)
    assert incident.cost == "400 000 records rejected, 40 200 clicks missed."


def test_a_healthy_pipeline_says_nothing() -> None:
    ads = Ads(7)
    ads.pass_by(100)
    assert ads.changes == []
    assert ads.verdicts == []
    assert ads.incidents.watching is False


def test_a_deployment_that_changes_nothing_is_not_told() -> None:
    ads = Ads(8)
    ads.pass_by(40)
    ads.pass_by(20, Second(version=NEW))
    ads.second(Second(version=NEW), (POSITIVE,))
    ads.pass_by(10, Second(version=NEW))
    assert ads.changes == []


def test_the_same_log_gives_the_same_bytes_wherever_it_is_cut() -> None:
    def run(cuts: int) -> bytes:
        from swirl.incident.life import Incidents
        from tests.incident.acts import SETTINGS, told

        ads = Ads(9)
        for i in range(90):
            fault = BROKEN if 30 <= i < 45 else BUG if 60 <= i < 75 else Second()
            alarms = ALARMS if 30 <= i < 45 else (POSITIVE, CLICKS) if 60 <= i < 75 else ()
            ads.second(fault, alarms)
            if cuts and i % cuts == 0:
                packed = msgspec.msgpack.encode(ads.incidents.snapshot())
                ads.incidents = Incidents("ads", SETTINGS, msgspec.msgpack.decode(packed))
        return msgspec.msgpack.encode(list(told(ads)))

    whole = run(0)
    assert len([c for c in msgspec.msgpack.decode(whole) if c[0]]) == 4
    assert run(1) == whole
    assert run(7) == whole
