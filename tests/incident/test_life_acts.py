"""What people do with an incident: who is on it, who wants no news, who ends it, and what is remembered."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from swirl.effect import Incident
from tests.incident.acts import BROKEN, BUG, CLICKS, INVALID, POSITIVE, Ads, Second

ALARMS = (INVALID, POSITIVE, CLICKS)
HOUR = 3_600_000


def broken(seed: int = 1) -> Ads:
    """An open incident: the feed is broken since 03:12:20, and it is 03:12:24.5."""
    ads = Ads(seed)
    ads.pass_by(30)
    ads.pass_by(4, BROKEN, ALARMS)
    assert ads.transitions() == ["opened"]
    return ads


def resolved() -> Ads:
    ads = broken()
    ads.pass_by(8)
    assert ads.transitions() == ["opened", "resolved"]
    return ads


def revisions(ads: Ads) -> list[int]:
    return [change.incident.revision for change in ads.changes]


# Acknowledge and snooze


def test_who_is_on_it_is_a_step_with_who_and_when() -> None:
    ads = broken()
    assert ads.say("acknowledge") == ["acknowledged"]
    assert ads.changes[-1].reply == "Mia is on it."
    assert (ads.last.acknowledged_by, ads.last.acknowledged_ms) == ("Mia", ads.now_ms)
    assert (ads.last.state, ads.last.revision) == ("open", 1)
    assert ads.incidents.incident == ads.last


def test_what_is_sent_twice_changes_nothing_the_second_time() -> None:
    ads = broken()
    for act, given in (
        ("acknowledge", {}),
        ("snooze", {"for_ms": HOUR}),
        ("confirm", {}),
        ("mute", {"stage": "serve", "for_ms": HOUR}),
        ("unmute", {"stage": "serve"}),
        ("resolve", {}),
        ("false_alarm", {}),
    ):
        first, before = ads.say(act, **given), ads.incidents.snapshot()
        assert len(first) == (act != "false_alarm"), act  # it was confirmed: that stands
        assert ads.say(act, **given) == [], act
        after = ads.incidents.snapshot()
        assert {**after, "acts_ignored": 0} == {**before, "acts_ignored": 0}, act
    identities = [change.identity for change in ads.changes]
    assert len(set(identities)) == len(identities)


def test_another_person_takes_over() -> None:
    ads = broken()
    ads.say("acknowledge")
    assert ads.say("acknowledge", who="Kim", why="Mia sleeps") == ["acknowledged"]
    assert ads.changes[-1].reply == "Kim is on it: Mia sleeps."
    assert ads.last.acknowledged_by == "Kim"


def test_nobody_by_name_is_somebody() -> None:
    ads = broken()
    ads.say("acknowledge", who="")
    assert ads.changes[-1].reply == "Somebody is on it."
    assert ads.last.acknowledged_by == "somebody"
    assert ads.say("acknowledge", who="") == []


def test_a_snooze_says_until_when_and_ends_between_windows_with_how_it_stands() -> None:
    ads = broken()
    assert ads.say("snooze", for_ms=HOUR, why="the partner knows.") == ["snoozed"]
    assert ads.changes[-1].reply == "No news until 04:12:24 UTC, says Mia: the partner knows."
    assert (ads.last.snoozed_by, ads.last.snoozed_until_ms) == ("Mia", ads.now_ms + HOUR)
    assert ads.incidents.due_ms == ads.now_ms + HOUR
    ads.tick(3599.9)
    assert ads.transitions()[-1] == "snoozed"
    ads.tick(3600)
    assert ads.transitions()[-1] == "woken"
    reply = ads.changes[-1].reply
    assert reply.startswith("The snooze is over, and this is still there: ingest invalid ")
    assert (ads.last.snoozed_by, ads.last.snoozed_until_ms, ads.incidents.due_ms) == ("", 0, 0)


def test_a_snooze_into_another_day_says_which() -> None:
    ads = broken()
    ads.say("snooze", for_ms=24 * HOUR)
    assert ads.changes[-1].reply == "No news until 2026-11-22 03:12:24 UTC, says Mia."


def test_who_wakes_while_it_calms_is_told_that() -> None:
    ads = broken()
    ads.say("snooze", for_ms=5_000)
    ads.pass_by(6)
    assert ads.transitions()[-1] == "woken"
    assert ads.changes[-1].reply.startswith("The snooze is over. Calm for 5 s so far: ingest invalid ")


def test_news_goes_on_while_it_is_snoozed_and_says_so() -> None:
    ads = Ads(5)
    ads.pass_by(30)
    ads.second(Second(broken=0.2), ALARMS)
    ads.say("snooze", for_ms=HOUR)
    ads.pass_by(19, BROKEN, ALARMS)
    assert ads.transitions() == ["opened", "snoozed", "updated"]
    assert ads.last.snoozed_until_ms > 0
    ads.pass_by(8)
    assert ads.transitions()[-1] == "resolved"
    assert (ads.last.snoozed_by, ads.last.snoozed_until_ms, ads.incidents.due_ms) == ("", 0, 0)


def test_a_longer_snooze_replaces_the_first() -> None:
    ads = broken()
    ads.say("snooze", for_ms=HOUR)
    assert ads.say("snooze", for_ms=2 * HOUR) == ["snoozed"]
    assert ads.incidents.due_ms == ads.now_ms + 2 * HOUR


@pytest.mark.parametrize("for_ms", [0, -1, -(2**62)])
def test_a_time_that_is_over_is_ignored_and_counted(for_ms: int) -> None:
    ads = broken()
    assert ads.say("snooze", for_ms=for_ms) == []
    assert ads.say("mute", "", for_ms=for_ms) == []
    assert ads.incidents.acts_ignored == 2
    assert ads.incidents.due_ms == 0


def test_nobody_is_kept_from_news_for_longer_than_a_month() -> None:
    ads = broken()
    month = 30 * 24 * HOUR
    ads.say("snooze", for_ms=2**63 - 1)
    assert ads.last.snoozed_until_ms == ads.now_ms + month
    ads.mute(seconds=2**50)
    assert ads.mutes[-1].mute.until_ms == ads.now_ms + month
    msgspec.msgpack.encode(ads.incidents.snapshot())


# Ends


def test_a_person_resolves_it_and_its_series_are_free() -> None:
    ads = broken()
    assert ads.held == set(ALARMS)
    assert ads.say("resolve", why="rolled back") == ["resolved"]
    assert ads.changes[-1].reply == "Resolved by Mia: rolled back."
    assert (ads.last.ending, ads.last.ended_by, ads.last.why) == ("resolved", "Mia", "rolled back")
    assert ads.last.resolved_ms == ads.history.windows[-1].start_ms + 1000
    assert ads.held == set()
    assert ads.verdicts[-1].state == "healthy"
    # It was a fault until then: nothing of it is a baseline.
    assert [window.normal for window in ads.history.windows[-5:]] == [True, False, False, False, False]


def test_what_a_person_resolves_after_it_calmed_was_over_when_it_calmed() -> None:
    ads = broken()
    ads.pass_by(3)
    ads.say("resolve", who="")
    assert ads.changes[-1].reply == "Resolved by hand."
    assert ads.last.resolved_ms == ads.history.windows[-3].start_ms
    assert [window.normal for window in ads.history.windows[-4:]] == [False, True, True, True]


def test_a_new_normal_is_written_down_with_who_and_why_and_when() -> None:
    ads = broken()
    assert ads.say("new_normal", why="a new partner") == ["resolved"]
    assert ads.steps[-1].adopt
    assert (ads.last.ending, ads.last.ended_by, ads.last.why) == ("new_normal", "Mia", "a new partner")
    (move,) = ads.incidents.moves
    assert (move.incident, move.who, move.why, move.at_ms) == (
        ads.last.id,
        "Mia",
        "a new partner",
        ads.now_ms,
    )
    ads.restart()
    assert ads.incidents.moves == (move,)


def test_a_false_alarm_ends_it_as_one() -> None:
    ads = broken()
    assert ads.say("false_alarm") == ["resolved"]
    assert (ads.last.ending, ads.last.ended_by, ads.last.judged) == ("false_alarm", "Mia", "false_alarm")
    assert ads.steps[-1].chance
    assert not ads.steps[-1].adopt


@pytest.mark.parametrize(
    ("act", "given", "judged", "reply"),
    [
        ("false_alarm", {}, "false_alarm", "False alarm, says Mia. The thresholds learn from it."),
        ("confirm", {"why": "a bad upload"}, "confirmed", "It was as told, says Mia: a bad upload."),
        (
            "confirm",
            {"cause": "bad_deployment", "stage": "classify"},
            "confirmed",
            "It was bad deployment at classify, says Mia.",
        ),
        ("confirm", {"cause": "gremlins"}, "confirmed", "It was gremlins, says Mia."),
        ("confirm", {"stage": "serve"}, "confirmed", "It was at serve, says Mia."),
    ],
)
def test_what_is_over_is_judged_once(act: str, given: dict[str, Any], judged: str, reply: str) -> None:
    ads = resolved()
    assert ads.say(act, **given) == ["judged"]
    assert ads.changes[-1].reply == reply
    assert (ads.last.state, ads.last.judged, ads.last.revision) == ("resolved", judged, 2)
    assert ads.last.ending == "calm"
    assert ads.say("confirm") == []
    assert ads.incidents.recent == (ads.last,)


def test_what_is_confirmed_while_it_is_open_stays_open_and_is_not_judged_again() -> None:
    ads = broken()
    assert ads.say("confirm") == ["judged"]
    assert (ads.last.state, ads.last.judged) == ("open", "confirmed")
    ads.pass_by(20, BROKEN, ALARMS)
    assert ads.say("confirm") == []


@pytest.mark.parametrize("act", ["acknowledge", "snooze", "resolve", "new_normal"])
def test_what_is_over_takes_no_other_act(act: str) -> None:
    ads = resolved()
    assert ads.say(act, for_ms=HOUR) == []
    assert ads.incidents.acts_ignored == 0


@pytest.mark.parametrize("act", ["acknowledge", "snooze", "resolve", "new_normal", "false_alarm", "confirm"])
def test_what_nobody_was_told_of_is_ignored_and_counted(act: str) -> None:
    ads = broken()
    assert ads.say(act, "ads-20200101-000000", for_ms=HOUR) == []
    assert ads.incidents.acts_ignored == 1
    assert ads.incidents.incident is not None


def test_every_step_raises_the_revision_by_one() -> None:
    ads = broken()
    ads.say("acknowledge")
    ads.say("snooze", for_ms=3_000)
    ads.pass_by(4, BROKEN, ALARMS)
    ads.say("confirm")
    ads.pass_by(8)
    assert ads.transitions() == ["opened", "acknowledged", "snoozed", "woken", "judged", "resolved"]
    assert revisions(ads) == [0, 1, 2, 3, 4, 5]


# Memory


def test_the_last_twenty_are_remembered_whole_and_the_open_one_comes_last() -> None:
    ads, ends = Ads(3), list[Incident]()
    ads.pass_by(30)
    for _ in range(22):
        ads.second(BUG, (POSITIVE, CLICKS))
        ads.say("false_alarm")
        ends.append(ads.last)
        ads.pass_by(15)
    assert ads.incidents.recent == tuple(ends[2:])
    ads.pass_by(1, BUG, (POSITIVE, CLICKS))
    assert ads.incidents.recent == (*ends[2:], ads.last)
    ads.restart()
    assert ads.incidents.recent == (*ends[2:], ads.last)


def test_a_snapshot_of_before_is_read_and_its_incident_goes_on() -> None:
    ads = broken()
    snapshot = ads.incidents.snapshot()
    for name in ("past", "fading", "mutes", "moves", "acts_ignored"):
        del snapshot[name]
    del snapshot["case"]["shown"]
    ads.incidents = type(ads.incidents)("ads", ads.settings, snapshot)
    assert ads.say("acknowledge") == ["acknowledged"]
    ads.mute()
    ads.pass_by(8)
    assert ads.transitions()[-1] == "resolved"
    assert not ads.last.muted  # people know of it, so they are told that it is over


# Hostile acts


def test_texts_of_people_are_on_one_line_without_characters_that_steer() -> None:
    ads = broken()
    ads.say("acknowledge", who="Mi\x1b[31ma\u202e\n", why="  a\r\nb\x00c\u2066 ")
    assert ads.changes[-1].reply == "Mi [31ma is on it: a b c."
    assert ads.last.acknowledged_by == "Mi [31ma"


def test_texts_of_people_are_cut_where_they_are_long() -> None:
    ads = broken()
    ads.say("resolve", who="x" * 200, why="y" * 900_000)
    assert (len(ads.last.ended_by), len(ads.last.why)) == (80, 500)
    assert ads.last.why.endswith("y…")
    assert len(msgspec.msgpack.encode(ads.incidents.snapshot())) < 100_000


def test_a_mute_of_a_stage_that_is_not_known_is_kept_short_and_on_one_line() -> None:
    ads = broken()
    ads.mute("s\x1b" * 100_000)
    assert len(ads.mutes[-1].mute.stage) == 80
    assert "\x1b" not in ads.mutes[-1].mute.stage
