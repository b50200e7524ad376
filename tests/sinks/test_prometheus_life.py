"""What is exported of an incident's life, and what becomes of series whose time is over."""
# Outlets say by position whether an effect was delivered.
# ruff: noqa: FBT003

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from swirl.effect import IncidentChanged, SeriesKey, State, Totals
from swirl.frame import Definition, StageDefinition
from tests.sinks.scene import DATA, DEPLOYMENT, START, changed, window
from tests.sinks.test_prometheus import Exporter, muted

ROOT = ("ads", "ingest", "data pipeline broken")
HOUR = 3_600


def step(transition: Any, **new: Any) -> IncidentChanged:
    return IncidentChanged(transition, msgspec.structs.replace(DATA, **new))


def states(exporter: Exporter) -> set[str]:
    found = exporter.samples("swirl_incident_state")
    assert {key[:3] for key in found} <= {ROOT}
    return {key[3] for key, value in found.items() if value}


def test_an_open_incident_says_what_people_did_of_it() -> None:
    exporter = Exporter(changed(DATA))
    assert states(exporter) == set()
    exporter.sink.handle(step("acknowledged", revision=1, acknowledged_by="ada", acknowledged_ms=START))
    assert states(exporter) == {"acknowledged"}
    exporter.sink.handle(step("snoozed", revision=2, acknowledged_by="ada", snoozed_until_ms=START + 1))
    assert states(exporter) == {"acknowledged", "snoozed"}
    exporter.sink.handle(step("woken", revision=3))
    assert states(exporter) == set()


def test_a_muted_incident_is_open_and_muted() -> None:
    exporter = Exporter(changed(DATA, muted=True))
    assert states(exporter) == {"muted"}
    assert exporter.samples("swirl_incident_open") == {ROOT: 1}


def test_planned_work_has_an_end_and_is_gone_after_it() -> None:
    exporter = Exporter(muted(), muted(stage=""))
    assert exporter.samples("swirl_mute_until_timestamp_seconds") == {
        ("ads", "ingest"): START / 1000 + 7200, ("ads", ""): START / 1000 + 7200,
    }  # fmt: skip
    exporter.sink.handle(muted("ended"))
    assert set(exporter.samples("swirl_mute_until_timestamp_seconds")) == {("ads", "")}


def test_an_incident_is_counted_once_however_often_it_is_told() -> None:
    exporter = Exporter(changed(DATA, muted=True), changed(DATA, revision=4), changed(DATA, "updated"))
    exporter.sink.handle(step("reopened", revision=6, reopened=1))
    assert exporter.value("swirl_incidents_total", pipeline="ads") == 1
    exporter.sink.handle(changed(DEPLOYMENT))
    assert exporter.value("swirl_incidents_total", pipeline="ads") == 2


def test_a_judgement_is_counted_once_and_there_are_zeros_before() -> None:
    exporter = Exporter(window())
    judged = "swirl_incidents_judged_total"
    assert exporter.samples(judged) == {("ads", "confirmed"): 0, ("ads", "false_alarm"): 0}
    for revision in (3, 4):
        exporter.sink.handle(step("judged", state="resolved", revision=revision, judged="false_alarm"))
    assert exporter.samples(judged) == {("ads", "confirmed"): 0, ("ads", "false_alarm"): 1}


def test_thousands_of_incidents_are_counted_in_bounded_memory() -> None:
    exporter = Exporter()
    for number in range(3000):
        exporter.sink.handle(changed(DATA, id=f"ads-{number}"))
        exporter.sink.handle(changed(DATA, "resolved", id=f"ads-{number}"))
    assert exporter.value("swirl_incidents_total", pipeline="ads") == 3000
    assert len(exporter.sink._known["ads"].told) == 1000


def test_the_delay_is_measured_from_the_window_that_opened_or_ended_an_incident() -> None:
    exporter = Exporter()
    settled = exporter.sink.settled("slack")  # at START + 7.5 s
    assert exporter.value("swirl_notification_delay_seconds_count", sink="slack") == 0
    settled(changed(DATA), True)
    settled(changed(DATA, "resolved", resolved_ms=START + 7000), True)
    settled(changed(DATA), False)
    settled(changed(DATA, revision=3), True)  # told after planned work: nobody could know before
    settled(changed(DATA, "updated"), True)
    settled(window(), True)
    settled(muted("ended"), True)
    told = "swirl_notification_delay_seconds"
    assert exporter.value(f"{told}_count", sink="slack") == 2
    assert exporter.value(f"{told}_sum", sink="slack") == 7.0
    assert exporter.value(f"{told}_bucket", sink="slack", le="5.0") == 1
    assert exporter.value(f"{told}_bucket", sink="slack", le="+Inf") == 2


def test_a_clock_that_is_behind_is_no_delay_and_no_number_is_none() -> None:
    exporter = Exporter()
    for seconds in (-5.0, math.nan, math.inf, 0.003):
        exporter.sink.applied(seconds)
    assert exporter.value("swirl_apply_duration_seconds_count") == 2
    assert exporter.value("swirl_apply_duration_seconds_sum") == 0.003
    assert exporter.value("swirl_apply_duration_seconds_bucket", le="0.0001") == 1


# -- what is over


def totals(records: int, **labels: int) -> Totals:
    return Totals(records, out=records, predictions=sum(labels.values()), labels=labels)


def at(second: int, stage: dict[str, Totals], **new: Any) -> Any:
    return window(second, totals={"classify": stage}, versions={"classify": tuple(stage)[-1:]}, **new)


def test_a_version_that_is_heard_no_more_is_exported_for_an_hour_and_its_counts_stay_in_the_sums() -> None:
    exporter, old = Exporter(), totals(100, positive=80, negative=20)
    exporter.sink.handle(at(0, {"1": old}))
    assert len(exporter.samples("swirl_version_predictions_total")) == 2
    for second, records in ((60, 200), (HOUR, 300), (HOUR + 120, 400)):
        exporter.sink.handle(at(second, {"1": old, "2": totals(records, positive=records)}))
        versions = {key[2] for key in exporter.samples("swirl_version_predictions_total")}
        assert versions == ({"1", "2"} if second <= HOUR else {"2"})
        assert exporter.samples("swirl_records_total") == {("ads", "classify"): 100 + records}
        assert set(exporter.samples("swirl_stage_version_info")) == {("ads", "classify", "2")}
    assert exporter.samples("swirl_predictions_total")["ads", "classify", "positive"] == 480
    exporter.sink.handle(
        at(HOUR + 121, {"1": totals(101, positive=81, negative=20), "2": totals(400, positive=400)})
    )
    again = exporter.samples("swirl_version_predictions_total")
    assert again["ads", "classify", "1", "positive"] == 81


def test_a_counter_does_not_go_back_when_the_monitor_lets_an_old_version_go() -> None:
    exporter = Exporter(at(0, {"1": totals(1000, positive=1000), "2": totals(10, positive=10)}))
    assert exporter.samples("swirl_records_total")["ads", "classify"] == 1010
    exporter.sink.handle(at(1, {"2": totals(10, positive=10), "3": totals(5, positive=5)}))
    assert exporter.samples("swirl_records_total")["ads", "classify"] == 1010
    exporter.sink.handle(at(2, {"2": totals(10, positive=10), "3": totals(25, positive=25)}))
    assert exporter.samples("swirl_records_total")["ads", "classify"] == 1030
    assert exporter.samples("swirl_predictions_total")["ads", "classify", "positive"] == 1030
    assert exporter.samples("swirl_stage_latency_seconds_count")["ads", "classify"] == 1030


def test_a_label_that_comes_no_more_is_over_after_an_hour_in_which_its_stage_went_on() -> None:
    exporter = Exporter(at(0, {"1": totals(10, positive=5, rare=5)}))
    assert ("ads", "classify", "rare") in exporter.samples("swirl_predictions_total")
    exporter.sink.handle(at(HOUR + 60, {"1": totals(20, positive=15, rare=5)}))
    assert set(exporter.samples("swirl_predictions_total")) == {("ads", "classify", "positive")}


def test_a_pipeline_that_pauses_for_a_night_keeps_its_counters() -> None:
    stood = {"1": totals(10, positive=5, rare=5)}
    exporter = Exporter(at(0, stood))
    before = exporter.samples("swirl_predictions_total")
    exporter.sink.handle(at(12 * HOUR, stood))
    assert exporter.samples("swirl_predictions_total") == before
    assert exporter.samples("swirl_records_total") == {("ads", "classify"): 10}


def test_a_stage_that_the_pipeline_has_no_more_is_over_after_an_hour() -> None:
    without = Definition((StageDefinition("ingest"),))
    kept = {"classify": {"1": totals(10, positive=10)}, "ingest": {"1": totals(10)}}
    exporter = Exporter(window(0, totals=kept))
    assert len(exporter.samples("swirl_records_total")) == 2
    exporter.sink.handle(window(60, totals=kept, definition=without))
    assert len(exporter.samples("swirl_records_total")) == 2
    exporter.sink.handle(window(HOUR + 60, totals=kept, definition=without))
    assert set(exporter.samples("swirl_records_total")) == {("ads", "ingest")}
    assert exporter.samples("swirl_predictions_total") == {}


def test_a_series_that_is_measured_no_more_is_over_after_an_hour() -> None:
    keys = (SeriesKey("classify", "prediction_ratio", "old"), SeriesKey("classify", "records"))

    def shown(second: int, old: float, keys: tuple[SeriesKey, ...] = keys) -> set[str]:
        numbers = np.ones((7, len(keys)))
        numbers[0, [key.label == "old" for key in keys]] = old
        states = bytes([State.NORMAL] * len(keys))
        exporter.sink.handle(window(second, keys=keys, numbers=numbers.tobytes(), states=states))
        return {key[3] for key in exporter.samples("swirl_series_high")}

    exporter = Exporter()
    assert shown(0, 0.3) == {"old", ""}
    assert shown(HOUR, math.nan) == {"old", ""}
    more = (SeriesKey("classify", "prediction_ratio", "new"), *keys)
    assert shown(HOUR + 1, math.nan, more) == {"", "new"}
    assert shown(HOUR + 2, 0.3, more) == {"old", "", "new"}
