"""The log as the last resort."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from swirl.effect import IncidentChanged, VerdictChanged
from swirl.frame import Verdict
from swirl.sinks.log import LogSink
from tests.sinks.scene import DATA

if TYPE_CHECKING:
    import pytest


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
