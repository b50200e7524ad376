"""What comes back is the incident that it was; what is another fault is told anew."""

from __future__ import annotations

import msgspec
import pytest

from swirl.effect import SeriesKey
from swirl.frame import incident_pipeline
from swirl.incident.numbers import stamp
from swirl.incident.reopening import WHILE, patience
from tests.incident.acts import (
    BROKEN,
    BUG,
    CLICKS,
    INVALID,
    NEW,
    POSITIVE,
    SECOND,
    SETTINGS,
    Ads,
    Second,
)

ALARMS = (INVALID, POSITIVE, CLICKS)
CALM = SETTINGS.calm_windows


def resolved(seed: int = 1) -> Ads:
    ads = Ads(seed)
    ads.pass_by(30)
    ads.pass_by(4, BROKEN, ALARMS)
    ads.pass_by(CALM)
    assert ads.transitions() == ["opened", "resolved"]
    return ads


def test_what_comes_back_soon_goes_on_under_its_old_identity() -> None:
    ads = resolved()
    before = ads.last
    ads.pass_by(10)
    ads.second(BROKEN, ALARMS)
    assert ads.transitions()[2:] == ["reopened"]
    now = ads.last
    assert (now.id, now.revision, now.reopened) == (before.id, 2, 1)
    assert (now.onset_ms, now.opened_ms) == (before.onset_ms, before.opened_ms)
    assert (now.state, now.resolved_ms, now.ending, now.cost) == ("open", 0, "", "")
    assert all(line.worst == "" for line in now.evidence)
    assert ads.changes[-1].reply.startswith("It is back after 18 s: ingest rejects 19 ")
    assert ads.incidents.recent == (now,)
    assert ads.verdicts[-1].incident == now.id


def test_what_came_back_costs_what_it_cost_altogether_and_shows_its_worst_ever() -> None:
    ads = resolved()
    ads.pass_by(10)
    ads.pass_by(4, Second(broken=0.4), ALARMS)
    ads.pass_by(2 * CALM)
    end = ads.last
    assert end.state == "resolved"
    # Four seconds at 20 000 a second, and four at 10 000.
    assert end.cost.startswith("120 000 records rejected")
    assert float(end.evidence[0].worst.removesuffix("/s").replace(" ", "")) > 19_000
    assert ads.changes[-1].reply.startswith("Resolved at 03:12:46 UTC after 26 s;")


@pytest.mark.parametrize(("windows", "again"), [(WHILE * CALM - 1, True), (WHILE * CALM, False)])
def test_a_while_is_three_times_the_calm_that_ended_it(windows: int, *, again: bool) -> None:
    ads = resolved()
    ads.pass_by(windows)
    ads.second(BROKEN, ALARMS)
    assert (ads.transitions()[2:] == ["reopened"]) is again
    assert (ads.last.id == ads.changes[0].incident.id) is again


def test_a_person_who_resolves_what_goes_on_is_told_that_it_was_not_over() -> None:
    ads = resolved()
    ads.pass_by(10)
    ads.second(BROKEN, ALARMS)
    ads.say("resolve", why="restarted")
    ads.second(BROKEN, ALARMS)
    assert ads.transitions()[2:] == ["reopened", "resolved", "reopened"]
    assert ads.changes[-1].reply.startswith("It was not over: ingest rejects ")
    assert (ads.last.reopened, ads.last.ended_by, ads.last.why) == (2, "", "")


@pytest.mark.parametrize("act", ["false_alarm", "new_normal"])
def test_after_a_person_said_what_it_was_a_new_one_is_new(act: str) -> None:
    ads = resolved()
    ads.pass_by(3)
    ads.second(BROKEN, ALARMS)
    ads.say(act)
    ads.pass_by(6)
    ads.second(BUG, (POSITIVE, CLICKS))
    assert ads.transitions()[-1] == "opened"
    assert ads.last.id != ads.changes[0].incident.id


def test_after_it_was_called_a_false_alarm_in_hindsight_a_new_one_is_new() -> None:
    ads = resolved()
    ads.say("false_alarm")
    ads.pass_by(3)
    ads.second(BROKEN, ALARMS)
    assert ads.transitions()[-2:] == ["judged", "opened"]


def test_what_was_confirmed_and_comes_back_stays_confirmed() -> None:
    ads = resolved()
    ads.say("confirm")
    ads.pass_by(3)
    ads.second(BROKEN, ALARMS)
    assert ads.transitions()[-2:] == ["judged", "reopened"]
    assert (ads.last.judged, ads.last.revision) == ("confirmed", 3)
    assert ads.say("confirm") == []


def test_what_comes_back_at_the_same_stage_with_another_cause_says_so() -> None:
    ads = resolved()
    ads.pass_by(3)
    ads.second(Second(factor=0.02), (SeriesKey("ingest", "records"),))
    assert ads.transitions()[-1] == "reopened"
    assert ads.last.cause == "source outage"
    reply = ads.changes[-1].reply
    assert reply == f"It is back after 11 s, now as ingest: source outage: {ads.last.sentence}"


def test_who_is_on_it_is_still_on_it_when_it_comes_back() -> None:
    ads = Ads(1)
    ads.pass_by(30)
    ads.pass_by(4, BROKEN, ALARMS)
    ads.say("acknowledge")
    ads.pass_by(CALM)
    ads.second(BROKEN, ALARMS)
    assert ads.transitions() == ["opened", "acknowledged", "resolved", "reopened"]
    assert ads.last.acknowledged_by == "Mia"


def test_another_fault_elsewhere_that_moves_the_same_numbers_is_another_incident() -> None:
    ads = resolved()
    ads.pass_by(5)
    ads.second(BUG, (POSITIVE, CLICKS))
    assert [change.incident.title for change in ads.changes[-1:]] == ["classify: bad deployment"]
    assert ads.transitions()[-1] == "opened"


def test_a_version_that_was_not_to_blame_before_is_another_incident_at_the_same_stage() -> None:
    ads = Ads(2)
    ads.pass_by(30)
    ads.pass_by(4, Second(shifted=-0.5), (POSITIVE, CLICKS))
    assert ads.last.stage == "classify"
    assert ads.last.version == ""
    ads.pass_by(CALM + 4)
    ads.pass_by(2, BUG, (POSITIVE, CLICKS))
    assert ads.transitions()[-1] == "opened"
    assert ads.last.version == NEW
    # It is rolled back and rolled out again: that is the same one.
    ads.pass_by(CALM + 4)
    ads.pass_by(2, BUG, (POSITIVE, CLICKS))
    assert ads.transitions()[-1] == "reopened"


def test_a_fault_that_comes_and_goes_ten_times_is_one_incident_with_few_steps() -> None:
    ads = Ads(4)
    ads.pass_by(30)
    for _ in range(10):
        ads.pass_by(5, BROKEN, ALARMS)
        ads.pass_by(CALM + 4)
    ads.pass_by(8 * CALM)
    assert {change.incident.id for change in ads.changes} == {"ads-20261121-031220"}
    told = [name for name in ads.transitions() if name != "updated"]
    assert told == ["opened", "resolved", "reopened", "resolved"]
    assert len(ads.changes) <= 6
    assert ads.held == set()


def test_a_fault_that_comes_and_goes_slowly_is_one_incident_too() -> None:
    ads = Ads(4)
    ads.pass_by(30)
    for _ in range(10):
        ads.pass_by(3, BROKEN, ALARMS)
        ads.pass_by(3 * CALM)
    assert {change.incident.id for change in ads.changes} == {"ads-20261121-031220"}
    told = [name for name in ads.transitions() if name != "updated"]
    assert told == ["opened", "resolved", "reopened", "resolved", "reopened"]
    assert (ads.last.state, ads.last.reopened) == ("open", 2)


def test_each_time_that_it_comes_back_it_takes_more_calm_to_end_it() -> None:
    assert [patience(8, again) for again in (0, 1, 2, 3, 4, 10**6)] == [8, 16, 32, 64, 64, 64]


def test_what_may_come_back_is_forgotten_in_time() -> None:
    ads = resolved()
    assert len(ads.incidents.snapshot()["fading"]) == 1
    ads.pass_by(WHILE * CALM)
    ads.second(BROKEN, ALARMS)
    assert ads.incidents.snapshot()["fading"] == []


def test_it_comes_back_after_a_restart_too() -> None:
    ads = resolved()
    ads.restart()
    ads.pass_by(10)
    ads.restart()
    ads.second(BROKEN, ALARMS)
    assert ads.transitions()[-1] == "reopened"


def test_an_incident_that_begins_when_one_that_is_over_began_has_an_identity_of_its_own() -> None:
    ads = resolved()
    first = ads.last
    state = ads.incidents._state
    state.fading = []
    next_ms = ads.history.windows[-1].start_ms + SECOND
    later = f"ads-{stamp(next_ms)}"
    state.past = [msgspec.structs.replace(first, id=later)]
    ads.second(BROKEN, ALARMS)
    assert ads.transitions()[2:] == ["opened"]
    assert ads.last.id != later
    assert incident_pipeline(ads.last.id) == "ads"
