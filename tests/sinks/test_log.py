"""The log as the last resort."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from swirl.effect import IncidentChanged, Mute, MuteChanged, VerdictChanged
from swirl.frame import Verdict
from swirl.sinks.log import LogSink
from tests.sinks.scene import DATA, START


def test_an_incident_is_one_warning_a_step(caplog: pytest.LogCaptureFixture) -> None:
    incident = DATA
    resolved = msgspec.structs.replace(incident, state="resolved", resolved_ms=incident.onset_ms + 60_000)
    sink = LogSink()
    sink.handle(IncidentChanged("opened", incident))
    sink.handle(IncidentChanged("resolved", resolved, "Resolved after 1 min."))
    sink.handle(VerdictChanged("ads", Verdict()))
    opened, ended = (record.getMessage() for record in caplog.records)
    assert opened.startswith("◆ ads / ingest: data pipeline broken since")
    assert incident.sentence in opened
    assert f"Look first {incident.look_first}" in opened
    assert ended == f"✓{opened.partition('. ')[0][1:]}. Resolved after 1 min."


MARA = {"acknowledged_by": "mara", "acknowledged_ms": START + 105_000}


@pytest.mark.parametrize(
    ("transition", "new", "said"),
    [
        ("acknowledged", MARA, "Acknowledged by mara at 03:14:05 UTC."),
        ("snoozed", {"snoozed_until_ms": START + 3_600_000}, "Snoozed until 04:12:20 UTC."),
        ("woken", {}, f"The snooze is over. {DATA.sentence}"),
        ("reopened", {"reopened": 1}, f"It came back once. {DATA.sentence}"),
        ("resolved", {"ending": "resolved", "ended_by": "mara"}, "mara says that it is over."),
        ("judged", {"judged": "confirmed"}, "It is a true alarm."),
        ("updated", {}, f"{DATA.sentence} Look first {DATA.look_first}"),
    ],
)
def test_a_step_without_words_of_its_own_says_what_it_is(
    caplog: pytest.LogCaptureFixture, transition: Any, new: dict[str, Any], said: str
) -> None:
    LogSink().handle(IncidentChanged(transition, msgspec.structs.replace(DATA, **new)))
    (told,) = (record.getMessage() for record in caplog.records)
    assert told.endswith(said)


def test_what_is_muted_is_not_told_and_planned_work_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    LogSink().handle(IncidentChanged("opened", msgspec.structs.replace(DATA, muted=True)))
    LogSink().handle(MuteChanged("ads", "ended", Mute("", START, START + 1)))
    assert [record.getMessage() for record in caplog.records] == [
        "ads: planned work is over. Meanwhile: nothing came and went."
    ]
