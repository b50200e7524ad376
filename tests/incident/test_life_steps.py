"""What an incident keeps of its own life: what happened, when, in words that are read months later."""

from __future__ import annotations

import msgspec
import pytest

from swirl.effect import IncidentStep
from swirl.engine.outbox import Outbox
from swirl.frame import Act
from swirl.incident.numbers import clock
from tests.incident.acts import BROKEN, CLICKS, INVALID, POSITIVE, SECOND, SETTINGS, Ads, Second
from tests.incident.test_life import Change, opinions, sure, warm
from tests.incident.test_life_more import SLOW
from tests.incident.test_life_random import play

__all__ = ["opinions"]

ALARMS = (INVALID, POSITIVE, CLICKS)
CALM = SETTINGS.calm_windows


def life(ads: Ads) -> list[tuple[str, str, str]]:
    """When, what, and in which words."""
    return [(clock(step.at_ms), step.happened, step.words) for step in ads.last.steps]


def kinds(ads: Ads) -> list[str]:
    return [step.kind for step in ads.last.steps]


def test_a_night_is_told_with_times_from_its_opening_to_its_judgement() -> None:
    ads = warm()
    ads.pass_by(4, BROKEN, ALARMS)
    ads.say("acknowledge")
    ads.say("snooze", for_ms=3_000)
    ads.pass_by(3, BROKEN, ALARMS)
    ads.pass_by(CALM)
    ads.say("confirm")
    told = life(ads)
    assert told[0] == ("03:12:21", "opened", "ingest: data pipeline broken")
    assert told[1:3] == [
        ("03:12:24", "acknowledged", "Mia is on it."),
        ("03:12:24", "snoozed", "No news until 03:12:27 UTC, says Mia."),
    ]
    assert told[3][:2] == ("03:12:27", "snooze over")
    assert told[4:] == [
        ("03:12:35", "resolved", "By itself: calm since 03:12:27 UTC, after 7 s."),
        ("03:12:35", "judged", "It was as told, says Mia."),
    ]
    assert ads.last.resolved_ms < ads.last.steps[4].at_ms
    assert ads.last.opened_ms == ads.last.steps[0].at_ms


def test_a_cause_that_is_named_later_says_when(opinions: list[Change]) -> None:
    opinions.extend([sure(0.7), sure(0.85)])
    ads = warm()
    ads.pass_by(2, BROKEN, (INVALID,))
    assert life(ads) == [
        ("03:12:21", "opened", "ingest: cause unknown"),
        ("03:12:22", "cause named", "ingest: data pipeline broken"),
    ]


def test_a_cause_that_becomes_another_one_says_which_it_was(opinions: list[Change]) -> None:
    opinions.extend([sure(0.9), sure(0.8, "unversioned_change", "classify")])
    ads = warm()
    ads.pass_by(2, BROKEN, (INVALID, POSITIVE))
    assert life(ads)[1] == (
        "03:12:22",
        "cause changed",
        "classify: change without a version, not ingest: data pipeline broken",
    )


def test_a_cause_that_stays_open_and_becomes_clear_are_two_steps(opinions: list[Change]) -> None:
    opinions.extend([sure(0.5, "unknown"), sure(0.5, "unknown"), sure(0.5, "unknown"), sure(0.9)])
    ads = warm()
    ads.pass_by(4, BROKEN, (INVALID,))
    assert kinds(ads) == ["opened", "unclear", "named"]
    assert life(ads)[1][1:] == ("cause open", ads.changes[1].incident.sentence)


def test_a_fault_that_grows_says_when_it_was_measured_and_when_it_got_worse(opinions: list[Change]) -> None:
    opinions.append(sure(0.9))
    ads = warm()
    ads.second(Second(broken=0.2), (INVALID,))
    ads.pass_by(12, BROKEN, (INVALID,))
    assert kinds(ads) == ["opened", "fuller"]
    assert life(ads)[1] == ("03:12:25", "measured", ads.changes[-1].reply)
    ads.pass_by(3, BROKEN, (INVALID, SLOW))
    assert kinds(ads) == ["opened", "fuller", "worse"]
    assert life(ads)[2][:2] == ("03:12:35", "worse")
    assert life(ads)[2][2].startswith("More is affected: serve time per record ")


def test_what_comes_back_goes_on_with_the_steps_that_it_had() -> None:
    ads = warm()
    ads.pass_by(4, BROKEN, ALARMS)
    ads.pass_by(CALM)
    before = ads.last.steps
    ads.pass_by(10)
    ads.second(BROKEN, ALARMS)
    assert ads.last.steps[:-1] == before
    assert kinds(ads) == ["opened", "resolved", "reopened"]
    assert life(ads)[-1][1] == "came back"
    assert ads.last.steps[-1].words.startswith("It is back after 18 s: ")


def test_who_ended_it_and_why_stands_at_the_time_of_the_log() -> None:
    ads = warm()
    ads.pass_by(4, BROKEN, ALARMS)
    ads.say("resolve", why="the feed was repaired")
    assert life(ads)[-1] == ("03:12:24", "resolved", "Resolved by Mia: the feed was repaired.")
    assert ads.last.steps[-1].at_ms == ads.now_ms


def test_what_a_window_shows_of_the_time_before_an_act_stands_before_it(opinions: list[Change]) -> None:
    opinions.extend([sure(0.7), sure(0.85)])
    ads = warm()
    ads.second(BROKEN, (INVALID,))
    late = ads.now_ms + SECOND
    ads.incidents.act(Act("ads", "acknowledge", ads.last.id, "Mia"), late, ads.history)
    ads.second(BROKEN, (INVALID,))
    assert ads.last.steps[1].at_ms < ads.last.steps[2].at_ms == late
    assert kinds(ads) == ["opened", "named", "acknowledged"]
    assert [missing for missing, _ in ads.last.story] == [0, 0, 0]


def test_what_a_person_ended_while_it_went_on_comes_back_after_that() -> None:
    ads = warm()
    ads.pass_by(4, BROKEN, ALARMS)
    late = ads.now_ms + 5 * SECOND
    ads.held -= ads.incidents.act(Act("ads", "resolve", ads.last.id, "Mia"), late, ads.history).release
    ads.second(BROKEN, ALARMS)
    assert kinds(ads) == ["opened", "resolved", "reopened"]
    assert [step.at_ms for step in ads.last.steps[1:]] == [late, late]


def test_what_was_judged_after_its_end_has_that_step_too() -> None:
    ads = warm()
    ads.pass_by(4, BROKEN, ALARMS)
    ads.pass_by(CALM)
    ads.say("false_alarm", why="a test")
    assert kinds(ads) == ["opened", "resolved", "judged"]
    assert ads.last.steps[-1].at_ms == ads.now_ms
    assert ads.incidents.recent[-1] == ads.last


def test_what_planned_work_hid_is_written_down_and_so_is_its_end() -> None:
    ads = warm()
    ads.mute("ingest", 10)
    ads.pass_by(12, BROKEN, ALARMS)
    assert [change.transition for change in ads.changes if not change.incident.muted] == ["opened"]
    assert life(ads)[0] == ("03:12:21", "opened", "ingest: data pipeline broken")
    assert life(ads)[-1][1:] == ("planned work over", "The planned work is over, and this is still there.")


def test_of_very_many_steps_the_first_and_the_last_ones_are_kept_and_the_others_counted() -> None:
    ads = warm()
    ads.pass_by(4, BROKEN, ALARMS)
    for turn in range(40):
        assert ads.say("acknowledge", who=("Mia", "Kim")[turn % 2]) == ["acknowledged"]
    steps = ads.last.steps
    assert [step.revision for step in steps] == [0, 1, 2, 3, 4, *range(26, 41)]
    gaps = [(missing, step.revision) for missing, step in ads.last.story if missing]
    assert gaps == [(21, 26)]


@pytest.mark.parametrize(
    ("why", "characters"), [("x", 160), ("\N{CYRILLIC SMALL LETTER ZHE}", 160), ("字", 80)]
)
def test_words_without_end_are_cut_by_what_they_weigh(why: str, characters: int) -> None:
    ads = warm()
    ads.pass_by(4, BROKEN, ALARMS)
    ads.say("resolve", why=why * 10_000)
    words = ads.last.steps[-1].words
    assert len(words) == characters
    assert len(words.encode()) <= 320
    assert words.endswith("…")


def test_a_hundred_incidents_that_wait_with_all_their_steps_fit_into_one_record() -> None:
    ads, outbox = warm(), Outbox()
    ads.pass_by(4, BROKEN, ALARMS)
    for turn in range(120):
        ads.say("acknowledge", who=("Mia", "Kim")[turn % 2], why="字" * 500)
    for change in ads.changes:
        outbox.add(change)
    assert len(outbox.pending) == 100
    assert len(outbox.encode()) < 1_000_000


def test_steps_outlive_a_restart_and_a_snapshot_that_had_none_counts_what_it_lacks() -> None:
    ads = warm()
    ads.pass_by(4, BROKEN, ALARMS)
    ads.say("acknowledge")
    before = ads.last.steps
    ads.restart()
    assert ads.incidents.incident is not None
    assert ads.incidents.incident.steps == before
    snapshot = ads.incidents.snapshot()
    del snapshot["case"]["incident"]["steps"]
    ads.incidents = type(ads.incidents)("ads", SETTINGS, snapshot)
    ads.say("acknowledge", who="Kim")
    assert [(missing, step.words) for missing, step in ads.last.story] == [(2, "Kim is on it.")]


@pytest.mark.parametrize("seed", [1, 4])
def test_whatever_happens_the_steps_are_in_order_few_and_all_accounted_for(seed: int) -> None:
    ads = play(seed)
    for change in ads.changes:
        steps = change.incident.steps
        assert 1 <= len(steps) <= 20
        assert [step.at_ms for step in steps] == sorted(step.at_ms for step in steps)
        assert steps[0].kind == "opened"
        assert change.incident.revision in {step.revision for step in steps}
        assert (
            sum(missing for missing, _ in change.incident.story) + len(steps) <= change.incident.revision + 1
        )
        assert all(step.at_ms >= change.incident.onset_ms for step in steps)


def test_every_kind_of_step_reads_as_words() -> None:
    for kind in msgspec.json.schema(IncidentStep)["$defs"]["IncidentStep"]["properties"]["kind"]["enum"]:
        words = IncidentStep(0, 0, kind, "").happened
        assert words.replace(" ", "").isalpha()
