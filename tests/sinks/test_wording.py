from __future__ import annotations

from typing import Any

import msgspec
import pytest

from swirl.effect import Incident, Mute, MuteChanged
from swirl.sinks.wording import (
    attended,
    came_back,
    changes,
    duration,
    ending,
    headline,
    judged,
    planned,
    possible,
    reasons,
    ruled_out,
)
from tests.sinks.scene import DATA, DEPLOYMENT, START, changed


@pytest.mark.parametrize(
    ("ms", "told"),
    [
        (0, "0 s"),
        (9_949, "9.9 s"),
        (9_999, "10 s"),
        (59_600, "1 min"),
        (60_000, "1 min"),
        (3_599_600, "1 h"),
        (86_400_000, "1 d"),
        (90_000_000, "1 d 1 h"),
    ],
)
def test_durations_have_at_most_two_units(ms: int, told: str) -> None:
    assert duration(ms) == told


def test_the_first_line_names_pipeline_stage_cause_and_time() -> None:
    assert headline(DATA) == "ads / ingest: data pipeline broken since 03:12:20 UTC"
    assert headline(DEPLOYMENT) == "ads / classify: bad deployment 2026.11.2 since 03:13:20 UTC"
    assert headline(changed(DATA, "resolved").incident) == "ads / ingest: resolved at 03:12:50 UTC after 30 s"


def test_the_first_line_keeps_its_length_whatever_names_users_choose() -> None:
    for field in ("pipeline", "stage", "cause", "version"):
        line = headline(msgspec.structs.replace(DATA, **{field: "x" * 500}))
        assert len(line) <= 120
        assert line.endswith("since 03:12:20 UTC")


def test_only_whole_numbers_are_told_in_the_first_line() -> None:
    assert changes(DATA, 60) == "ingest invalid 10/s → 20 100/s, positive ratio 0.80 → 0.21"
    assert changes(DATA, 40) == "ingest invalid 10/s → 20 100/s"
    assert changes(DATA, 3) == ""


def test_nothing_to_tell_is_empty() -> None:
    bare = msgspec.structs.replace(DATA, rivals=(), reasons=())
    assert (reasons(bare), ruled_out(bare), possible(bare)) == ("", "", "")


def now(**new: Any) -> Incident:
    return msgspec.structs.replace(DATA, **new)


def test_who_is_on_it_and_who_wants_no_news_is_said_with_the_times() -> None:
    assert attended(DATA) == ""
    on_it = now(acknowledged_by="mara", acknowledged_ms=START + 105_000)
    assert attended(on_it) == "Acknowledged by mara at 03:14:05 UTC."
    asleep = now(snoozed_by="mara", snoozed_until_ms=START + 3_600_000)
    assert attended(asleep) == "Snoozed until 04:12:20 UTC by mara."
    tomorrow = now(snoozed_until_ms=START + 86_400_000)
    assert attended(tomorrow) == "Snoozed until 2026-11-22 03:12:20 UTC."


@pytest.mark.parametrize(
    ("times", "told"),
    [(0, ""), (1, "It came back once."), (2, "It came back twice."), (7, "It came back 7 times.")],
)
def test_how_often_it_came_back(times: int, told: str) -> None:
    assert came_back(now(reopened=times)) == told


@pytest.mark.parametrize(
    ("new", "told"),
    [
        ({"ending": ""}, ""),
        ({"ending": "calm"}, "The series are back inside their bands."),
        (
            {"ending": "resolved", "ended_by": "mara", "why": "rolled back"},
            "mara says that it is over: rolled back.",
        ),
        ({"ending": "new_normal", "ended_by": "mara"}, "mara says that this is the new normal."),
        ({"ending": "false_alarm"}, "Somebody says that it was a false alarm."),
        ({"ending": "adopted"}, "It has lasted so long that it is the new normal."),
        ({"ending": "left"}, "The pipeline runs at other times now."),
    ],
)
def test_why_it_is_over_who_said_so_and_in_which_words(new: dict[str, Any], told: str) -> None:
    assert ending(now(state="resolved", **new)) == told


def test_a_judgement_is_told_once() -> None:
    assert judged(DATA) == ""
    assert judged(now(judged="confirmed")) == "It is a true alarm."
    assert judged(now(judged="confirmed", state="resolved")) == "It was a true alarm."
    assert judged(now(judged="false_alarm", ending="calm")) == "It was a false alarm."
    assert judged(now(judged="false_alarm", ending="false_alarm")) == ""


def test_planned_work_is_one_line() -> None:
    mute = Mute("ingest", START, START + 7_200_000, "mara", "schema\nmoves")
    began = MuteChanged("ads", "began", mute)
    assert planned(began) == (
        "ads / ingest: planned work until 05:12:20 UTC by mara (schema moves). "
        "What happens is told afterwards."
    )
    assert planned(MuteChanged("ads", "ended", Mute("", START, START + 1))) == (
        "ads: planned work is over. Meanwhile: nothing came and went."
    )
    ended = MuteChanged("ads", "ended", mute, (changed(DATA, "resolved").incident,) * 7)
    assert planned(ended) == (
        "ads / ingest: planned work by mara is over (schema moves). Meanwhile: "
        + "ingest: data pipeline broken from 03:12:20 UTC for 30 s; " * 5
        + "and 2 more."
    )
