"""Planned work: what happens meanwhile is followed, hidden from people, and told when the work is over."""

from __future__ import annotations

import msgspec
import pytest

from tests.incident.acts import BROKEN, BUG, CLICKS, INVALID, POSITIVE, Ads, Second

ALARMS = (INVALID, POSITIVE, CLICKS)
HOUR = 3600.0


def warm(seed: int = 1) -> Ads:
    ads = Ads(seed)
    ads.pass_by(30)
    return ads


def muted(ads: Ads) -> list[bool]:
    return [change.incident.muted for change in ads.changes]


def turns(ads: Ads) -> list[tuple[str, str]]:
    return [(change.transition, change.mute.stage) for change in ads.mutes]


def test_planned_work_begins_and_ends_with_the_time_of_the_log() -> None:
    ads = warm()
    ads.mute("ingest", 60, why="a migration")
    began = ads.mutes[-1]
    assert (began.transition, began.incidents) == ("began", ())
    assert (began.mute.stage, began.mute.who, began.mute.why) == ("ingest", "Mia", "a migration")
    assert (began.mute.since_ms, began.mute.until_ms) == (ads.now_ms, ads.now_ms + 60_000)
    assert list(ads.incidents.mutes) == [began.mute]
    assert ads.incidents.due_ms == began.mute.until_ms
    ads.pass_by(59)
    assert turns(ads) == [("began", "ingest")]
    ads.tick(1.1)
    assert turns(ads) == [("began", "ingest"), ("ended", "ingest")]
    assert ads.mutes[-1].mute == began.mute
    assert not ads.incidents.mutes
    assert ads.incidents.due_ms == 0


@pytest.mark.parametrize("stage", ["", "ingest"])
def test_what_comes_and_goes_meanwhile_is_hidden_and_named_at_the_end(stage: str) -> None:
    ads = warm()
    ads.mute(stage, HOUR)
    ads.pass_by(4, BROKEN, ALARMS)
    assert [verdict.state for verdict in ads.verdicts] == ["tripped"]
    ads.pass_by(8)
    assert ads.transitions() == ["opened", "resolved"]
    assert muted(ads) == [True, True]
    ads.say("unmute", "", stage=stage)
    ended = ads.mutes[-1]
    assert ended.transition == "ended"
    assert ended.mute.until_ms == ads.now_ms
    assert ended.incidents == (ads.last,)
    assert ads.transitions() == ["opened", "resolved"]


def test_a_mute_of_another_stage_hides_nothing() -> None:
    ads = warm()
    ads.mute("serve", HOUR)
    ads.pass_by(2, BROKEN, ALARMS)
    assert ads.last.stage == "ingest"
    assert muted(ads) == [False]


def test_what_is_still_open_when_the_work_is_over_is_told_as_it_stands() -> None:
    ads = warm()
    ads.mute(seconds=6)
    ads.pass_by(4, BROKEN, ALARMS)
    ads.say("acknowledge")
    assert muted(ads) == [True, True]
    ads.pass_by(4, Second(broken=0.4), ALARMS)
    assert ads.mutes[-1].incidents == ()
    told = [(change.transition, change.incident.revision, change.incident.muted) for change in ads.changes]
    assert told == [("opened", 0, True), ("acknowledged", 1, True), ("opened", 2, False)]
    assert ads.changes[-1].reply == "The planned work is over, and this is still there."
    assert ads.last.evidence[0].now_value == pytest.approx(10_000, rel=0.05)
    ads.pass_by(8)
    assert ads.transitions()[-1] == "resolved"
    assert muted(ads)[-1] is False


def test_what_people_know_of_is_hidden_but_its_end_is_not_and_neither_is_what_they_do() -> None:
    ads = Ads(5)
    ads.pass_by(30)
    ads.second(Second(broken=0.2), ALARMS)
    ads.mute(seconds=HOUR)
    assert ads.transitions() == ["opened"]  # nothing is taken back
    ads.pass_by(19, BROKEN, ALARMS)
    ads.say("acknowledge")
    ads.pass_by(8)
    told = [(change.transition, change.incident.muted) for change in ads.changes]
    assert told == [("opened", False), ("updated", True), ("acknowledged", False), ("resolved", False)]
    ads.say("unmute", "")
    assert ads.mutes[-1].incidents == ()


def test_what_people_know_of_and_changed_meanwhile_is_told_as_it_stands_when_the_work_is_over() -> None:
    ads = Ads(5)
    ads.pass_by(30)
    ads.second(Second(broken=0.2), ALARMS)
    ads.mute(seconds=HOUR)
    ads.pass_by(19, BROKEN, ALARMS)
    ads.say("unmute", "")
    assert ads.transitions() == ["opened", "updated", "updated"]
    assert muted(ads) == [False, True, False]


def test_what_people_know_of_and_did_not_change_is_not_told_again() -> None:
    ads = warm()
    ads.pass_by(2, BROKEN, ALARMS)
    ads.mute(seconds=5)
    ads.pass_by(10, BROKEN, ALARMS)
    assert turns(ads) == [("began", ""), ("ended", "")]
    assert ads.transitions() == ["opened"]


def test_what_comes_back_during_the_work_and_goes_is_named_at_its_end_and_opens_no_thread_again() -> None:
    ads = warm()
    ads.pass_by(4, BROKEN, ALARMS)
    ads.pass_by(8)
    ads.mute(seconds=HOUR)
    ads.pass_by(4, BROKEN, ALARMS)
    ads.pass_by(16)
    assert ads.transitions() == ["opened", "resolved", "reopened", "resolved"]
    assert muted(ads) == [False, False, True, True]
    ads.say("unmute", "")
    assert ads.mutes[-1].incidents == (ads.last,)


def test_what_comes_back_during_the_work_and_stays_is_reopened_for_people_at_its_end() -> None:
    ads = warm()
    ads.pass_by(4, BROKEN, ALARMS)
    ads.pass_by(8)
    ads.mute(seconds=HOUR)
    ads.pass_by(4, BROKEN, ALARMS)
    ads.say("unmute", "")
    assert ads.transitions() == ["opened", "resolved", "reopened", "reopened"]
    assert muted(ads) == [False, False, True, False]


def test_a_diagnosis_that_moves_to_a_stage_without_planned_work_is_told_then() -> None:
    ads = warm()
    ads.mute("ingest", HOUR)
    ads.second(Second(broken=0.0, shifted=-0.5), (POSITIVE, CLICKS))
    stage = ads.last.stage
    ads.say("unmute", "", stage="ingest")
    assert stage == "classify"
    other = warm()
    other.mute("classify", HOUR)
    other.second(Second(shifted=-0.5), (POSITIVE, CLICKS))
    assert muted(other) == [True]
    # The feed breaks so badly that it is the root.
    other.pass_by(8, BROKEN, ALARMS)
    told = [(change.transition, change.incident.stage, change.incident.muted) for change in other.changes]
    assert told[0] == ("opened", "classify", True)
    assert ("opened", "ingest", False) in told
    assert all(
        step != "updated" or not hidden for step, _, hidden in told[told.index(("opened", "ingest", False)) :]
    )


def test_a_new_mute_of_the_same_stage_replaces_the_old_and_keeps_what_came_and_went() -> None:
    ads = warm()
    ads.mute(seconds=60)
    ads.pass_by(4, BROKEN, ALARMS)
    ads.pass_by(8)
    ads.mute(seconds=HOUR, why="it takes longer")
    assert turns(ads) == [("began", ""), ("began", "")]
    assert len({change.identity for change in ads.mutes}) == 2
    ads.pass_by(60)
    assert len(ads.incidents.mutes) == 1
    ads.say("unmute", "")
    assert [incident.id for incident in ads.mutes[-1].incidents] == [ads.last.id]
    assert ads.say("unmute", "") == []
    assert ads.incidents.acts_ignored == 1


def test_a_mute_that_is_sent_twice_begins_once() -> None:
    ads = warm()
    assert ads.mute(seconds=60) == ["began"]
    assert ads.mute(seconds=60) == []
    ads.second(Second())
    assert ads.mute(seconds=60) == []  # a second later: a retry
    assert ads.mute(seconds=600) == ["began"]


def test_what_two_works_cover_is_told_when_the_second_is_over() -> None:
    ads = warm()
    ads.mute("ingest", HOUR)
    ads.mute("", 30)
    ads.pass_by(4, BROKEN, ALARMS)
    ads.pass_by(40)
    assert [(change.transition, len(change.incidents)) for change in ads.mutes[2:]] == [("ended", 0)]
    ads.say("unmute", "", stage="ingest")
    assert [incident.id for incident in ads.mutes[-1].incidents] == [ads.last.id]


def test_planned_work_is_bounded() -> None:
    ads = warm()
    for number in range(150):
        ads.mute(f"stage {number}", HOUR)
    assert len(ads.incidents.mutes) == 100
    assert ads.incidents.acts_ignored == 50
    assert ads.mute("stage 7", 2 * HOUR) == ["began"]


def test_of_what_came_and_went_the_last_twenty_are_told() -> None:
    ads = warm(3)
    ads.mute(seconds=HOUR)
    for _ in range(22):
        ads.second(BUG, (POSITIVE, CLICKS))
        ads.say("false_alarm")
        ads.pass_by(15)
    ads.say("unmute", "")
    came = ads.mutes[-1].incidents
    ends = [change.incident for change in ads.changes if change.transition == "resolved"]
    assert len(ends) == 22
    assert came == tuple(ends[2:])


def test_planned_work_survives_a_restart() -> None:
    ads = warm()
    ads.mute(seconds=60)
    ads.pass_by(4, BROKEN, ALARMS)
    ads.restart()
    ads.pass_by(8)
    ads.restart()
    assert muted(ads) == [True, True]
    ads.tick(60)
    assert [incident.id for incident in ads.mutes[-1].incidents] == [ads.last.id]
    assert msgspec.msgpack.encode(ads.mutes[-1])


def test_what_came_back_during_the_work_and_stays_is_told_as_open_and_not_as_gone() -> None:
    ads = warm()
    ads.mute("", HOUR)
    ads.pass_by(4, BROKEN, ALARMS)
    ads.pass_by(18)
    ads.pass_by(4, BROKEN, ALARMS)
    assert ads.transitions() == ["opened", "resolved", "reopened"]
    assert muted(ads) == [True, True, True]
    ads.say("unmute", "", stage="")
    assert ads.mutes[-1].incidents == ()
    assert ads.transitions()[3:] == ["opened"]
    assert (ads.last.state, ads.last.muted) == ("open", False)
