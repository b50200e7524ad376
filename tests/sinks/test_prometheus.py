from __future__ import annotations

import math
import re
import threading
from typing import Literal

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_open
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse

from swirl.effect import Effect, Health, Mute, MuteChanged, SeriesKey, State, Totals
from swirl.sinks import Counts
from swirl.sinks.prometheus import METRICS, PrometheusSink, WorkerFigures
from tests.sinks.scene import DATA, DEPLOYMENT, SERIES, START, changed, verdict, window

RATIO = SeriesKey("classify", "prediction_ratio", "positive")


class Exporter:
    """A sink in a registry, and its samples by name and labels."""

    def __init__(self, *effects: Effect) -> None:
        self.outlets: dict[str, Counts] = {}
        self.refused: dict[str, int] = {}
        self.worker = WorkerFigures()
        self.sink = PrometheusSink(
            outlets=lambda: self.outlets,
            refused=lambda: self.refused,
            worker=lambda: self.worker,
            clock=lambda: START / 1000 + 7.5,
        )
        self.registry = CollectorRegistry()
        self.sink.register(self.registry)
        for effect in effects:
            self.sink.handle(effect)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def samples(self, name: str) -> dict[tuple[str, ...], float]:
        found = [s for family in self.registry.collect() for s in family.samples if s.name == name]
        return {tuple(s.labels.values()): s.value for s in found}


def test_series_carry_the_point_that_was_judged_and_its_limits() -> None:
    exporter = Exporter(window(now={RATIO: 0.21}))
    of = {"pipeline": "ads", "stage": "classify", "metric": "prediction_ratio", "label": "positive"}
    told = {
        n: exporter.value(f"swirl_series_{n}", **of)
        for n in ("value", "expected", "low", "high", "evidence_ratio")
    }
    assert told == {"value": 0.21, "expected": 0.8, "low": 0.77, "high": 0.83, "evidence_ratio": 3.0}
    assert len(exporter.samples("swirl_series_value")) == len(SERIES)


def test_what_is_not_known_is_absent_and_never_zero() -> None:
    exporter = Exporter(window(now={RATIO: math.nan}))
    assert ("ads", *RATIO) not in exporter.samples("swirl_series_value")
    assert ("ads", "ingest", "drift", "length") not in exporter.samples("swirl_series_low")
    assert ("ads", *RATIO) in exporter.samples("swirl_series_high")


def test_series_are_counted_by_state() -> None:
    exporter = Exporter(window(now={RATIO: 0.21}))
    assert exporter.samples("swirl_series") == {
        ("ads", state.name.lower()): {State.NORMAL: 7, State.ANOMALY: 1}.get(state, 0) for state in State
    }


def test_counters_come_by_stage_over_all_versions() -> None:
    both = {"1": Totals(100, out=90, predictions=90, labels={"positive": 90}), "2": Totals(10, out=9)}
    exporter = Exporter(window(totals={"classify": both}))
    assert exporter.samples("swirl_records_total") == {("ads", "classify"): 110}
    assert exporter.samples("swirl_output_records_total") == {("ads", "classify"): 99}
    assert exporter.samples("swirl_predictions_total") == {("ads", "classify", "positive"): 90}


def test_only_predictions_are_told_apart_by_version() -> None:
    exporter = Exporter(window())
    assert exporter.samples("swirl_version_predictions_total") == {
        ("ads", "classify", "2026.11.1", "negative"): 4998,
        ("ads", "classify", "2026.11.1", "positive"): 19992,
    }
    named = {metric.name for metric in METRICS if "version" in metric.labels}
    assert named == {"swirl_stage_version_info", "swirl_version_predictions_total"}


def test_parts_add_up_to_the_whole() -> None:
    exporter = Exporter(window())
    assert exporter.samples("swirl_invalid_records_total") == {
        ("ads", "classify", ""): 0,
        ("ads", "ingest", "text missing"): 8,
        ("ads", "ingest", ""): 2,
    }
    assert exporter.samples("swirl_stage_errors_total")["ads", "ingest", "KeyError"] == 1


def test_numeric_predictions_are_counted_without_a_label() -> None:
    totals = {"score": {"1": Totals(records=5, predictions=5)}}
    exporter = Exporter(window(totals=totals))
    assert exporter.samples("swirl_predictions_total") == {("ads", "score", ""): 5}
    assert exporter.samples("swirl_version_predictions_total") == {("ads", "score", "1", ""): 5}


def test_latency_is_a_summary_in_seconds() -> None:
    totals = {"classify": {"1": Totals(10, latency_seconds=0.5), "2": Totals(30, latency_seconds=1.5)}}
    exporter = Exporter(window(totals=totals))
    of = {"pipeline": "ads", "stage": "classify"}
    assert exporter.value("swirl_stage_latency_seconds", quantile="0.95", **of) == 0.012
    assert exporter.value("swirl_stage_latency_seconds_count", **of) == 40
    assert exporter.value("swirl_stage_latency_seconds_sum", **of) == 2.0


def test_an_open_incident_is_exported_and_a_resolved_one_is_not() -> None:
    exporter = Exporter(changed(DATA))
    assert exporter.samples("swirl_incident_open") == {("ads", "ingest", "data pipeline broken"): 1}
    assert exporter.samples("swirl_incident_started_timestamp_seconds") == {
        ("ads", "ingest", "data pipeline broken"): START / 1000
    }
    assert exporter.samples("swirl_cause_posterior_ratio") == {
        ("ads", "ingest", "data pipeline broken"): 0.968,
        ("ads", "ingest", "input drift"): 0.021,
        ("ads", "classify", "bad deployment"): 0.006,
        ("ads", "ingest", "source outage"): 0.0,
    }
    exporter.sink.handle(changed(DATA, "resolved"))
    assert exporter.samples("swirl_incident_open") == {}
    assert exporter.value("swirl_incidents_total", pipeline="ads") == 1


def test_a_cause_that_changes_takes_the_place_of_the_former_one() -> None:
    exporter = Exporter(changed(DATA), changed(DATA, "updated", cause="source outage"))
    assert list(exporter.samples("swirl_incident_open")) == [("ads", "ingest", "source outage")]


def test_two_incidents_of_one_root_are_one_sample() -> None:
    twin = changed(DATA, id="ads-other", onset_ms=START + 5000, posterior=0.5)
    exporter = Exporter(twin, changed(DATA))
    assert exporter.samples("swirl_incident_started_timestamp_seconds") == {
        ("ads", "ingest", "data pipeline broken"): START / 1000
    }
    assert exporter.samples("swirl_cause_posterior_ratio")["ads", "ingest", "data pipeline broken"] == 0.968


def test_the_verdict_is_one_of_three() -> None:
    exporter = Exporter(window())
    assert exporter.samples("swirl_verdict") == {
        ("ads", "healthy"): 1, ("ads", "degraded"): 0, ("ads", "tripped"): 0,
    }  # fmt: skip
    exporter.sink.handle(verdict())
    assert exporter.samples("swirl_verdict") == {
        ("ads", "healthy"): 0, ("ads", "degraded"): 0, ("ads", "tripped"): 1,
    }  # fmt: skip
    assert exporter.value("swirl_verdict_since_timestamp_seconds", pipeline="ads") == START / 1000


def test_times_are_timestamps_in_seconds() -> None:
    exporter = Exporter(window())
    told = {name: exporter.value(name, pipeline="ads") for name in (
        "swirl_window_seconds", "swirl_window_end_timestamp_seconds", "swirl_watermark_timestamp_seconds",
        "swirl_lag_seconds", "swirl_emitter_last_seen_timestamp_seconds", "swirl_window_exposure_ratio",
    )}  # fmt: skip
    assert list(told.values()) == [1.0, START / 1000 + 1, START / 1000 + 1, 0.4, START / 1000 + 1.5, 1.0]


def test_health_is_exported() -> None:
    health = Health(
        1,
        4,
        2,
        3,
        4,
        5,
        {"closed": 6, "future": 7},
        8,
        9,
        labels_overflowed=10,
        budget_a_week=0.5,
        alarms=11,
        false_alarms=12,
        budget_spent=1,
        unreadable=14,
        series_refused=15,
        detector_failures={"record": 13},
        unknown_detectors=("oracle",),
    )
    exporter = Exporter(window(health=health))
    names = (
        "frames_total", "frames_lost_total", "frames_late_total", "frames_duplicate_total",
        "emitter_dropped_records_total",
        "frames_failed_total", "emitters", "emitters_silent", "labels_overflowed_total",
        "false_alarms_promised", "alarms_total", "false_alarms_expected_total", "false_alarms_total",
        "false_alarms_spent", "false_alarms_left", "summaries_unreadable_total", "series_refused_total",
    )  # fmt: skip
    told = [exporter.value(f"swirl_{name}", pipeline="ads") for name in names]
    assert told == [1, 4, 2, 3, 4, 5, 8, 9, 10, 0.5, 11, 0, 12, 1, 0, 14, 15]
    assert exporter.samples("swirl_detector_failures_total") == {("ads", "record"): 13}
    assert exporter.samples("swirl_detector_unknown_info") == {("ads", "oracle"): 1}
    assert exporter.samples("swirl_late_records_total") == {
        ("ads", "closed"): 6, ("ads", "future"): 7, ("ads", "revised"): 0,
    }  # fmt: skip


def test_sinks_and_refused_frames_are_asked_at_each_scrape() -> None:
    exporter = Exporter()
    assert exporter.samples("swirl_sink_pending") == {}
    exporter.outlets["slack"] = Counts(5, 4, 3, 2, 1)
    exporter.refused["truncated"] = 6
    assert exporter.samples("swirl_sink_effects_total") == {
        ("slack", "delivered"): 5, ("slack", "replaced"): 0, ("slack", "failed"): 3, ("slack", "dropped"): 2,
    }  # fmt: skip
    assert exporter.value("swirl_sink_retries_total", sink="slack") == 4
    assert exporter.value("swirl_sink_pending", sink="slack") == 1
    assert exporter.value("swirl_frames_refused_total", cause="truncated") == 6


def test_a_late_revision_of_an_older_window_does_not_turn_back_time() -> None:
    exporter = Exporter(window(1), window(0, now={RATIO: 0.1}, revision=1))
    assert exporter.value("swirl_window_end_timestamp_seconds", pipeline="ads") == START / 1000 + 2
    exporter.sink.handle(window(1, now={RATIO: 0.1}, revision=1))
    assert exporter.samples("swirl_series_value")["ads", *RATIO] == 0.1


def test_pipelines_stand_side_by_side() -> None:
    exporter = Exporter(window(), window(pipeline="fraud"))
    assert exporter.samples("swirl_pipeline_info") == {("ads",): 1, ("fraud",): 1}


def test_a_registry_refuses_a_second_exporter_of_the_same_names() -> None:
    exporter = Exporter()
    with pytest.raises(ValueError, match="swirl_pipeline_info"):
        PrometheusSink().register(exporter.registry)


def muted(transition: Literal["began", "ended"] = "began", stage: str = "ingest") -> MuteChanged:
    return MuteChanged("ads", transition, Mute(stage, START, START + 7_200_000, "ada", "new schema"))


def full() -> Exporter:
    exporter = Exporter(window(), changed(DATA), changed(DEPLOYMENT), verdict(), muted())
    exporter.sink.settled("slack")(changed(DATA), True)  # noqa: FBT003 - as outlets call it
    exporter.sink.applied(0.002)
    exporter.outlets["slack"] = Counts(1, 2, 3, 4, 5)
    exporter.refused["foreign"] = 1
    exporter.worker = WorkerFigures(
        partitions=2,
        pipelines=3,
        snapshots=4,
        snapshot_bytes=5,
        oldest_snapshot_ms=START,
        dead_letters={"foreign": 6},
        log_gap_records=7,
        frames_redelivered=8,
        rebalances=9,
        fenced=10,
    )
    return exporter


def test_both_text_formats_can_be_read_back() -> None:
    registry = full().registry
    wanted = {
        (s.name, tuple(sorted(s.labels.items()))): s.value for f in registry.collect() for s in f.samples
    }
    for families in (
        parse(generate_latest(registry).decode()),
        parse_open(generate_open(registry).decode()),  # type: ignore[no-untyped-call]
    ):
        found = [(s.name, tuple(sorted(s.labels.items())), s.value) for f in families for s in f.samples]
        assert len(found) == len(set(found)) == len(wanted)
        assert {(name, labels): value for name, labels, value in found} == wanted


def test_the_table_of_metrics_tells_the_truth() -> None:
    exporter = full()
    families = {family.name: family for family in exporter.registry.collect()}
    for metric in METRICS:
        name = metric.name.removesuffix("_total") if metric.kind == "counter" else metric.name
        family = families.pop(name)
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        assert family.samples, name
        extra = {"quantile", "le"} if metric.kind in {"summary", "histogram"} else set()
        assert {frozenset(s.labels) - extra for s in family.samples} == {frozenset(metric.labels)}
    assert families == {}


def test_names_keep_the_conventions_of_prometheus() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"swirl(_[a-z]+)+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert not re.search(r"_(ms|milliseconds|minutes|percent|age)\b", metric.name)
        assert "incident_id" not in metric.labels


def test_ten_thousand_series_are_all_exported() -> None:
    keys = tuple(SeriesKey("stage", "drift", f"feature_{i}") for i in range(10_000))
    numbers = np.ones((7, len(keys)))
    exporter = Exporter(window(keys=keys, numbers=numbers.tobytes(), states=bytes(len(keys))))
    assert len(exporter.samples("swirl_series_high")) == 10_000
    assert exporter.samples("swirl_series")["ads", "unmeasured"] == 10_000


def test_a_worker_tells_how_it_stands() -> None:
    exporter = full()
    told = {
        name: exporter.value(f"swirl_{name}")
        for name in (
            "worker_partitions", "worker_pipelines", "snapshots_total", "snapshot_bytes_total",
            "oldest_snapshot_timestamp_seconds", "log_gap_records_total", "frames_redelivered_total",
            "rebalances_total", "fenced_total",
        )
    }  # fmt: skip
    assert list(told.values()) == [2, 3, 4, 5, START / 1000, 7, 8, 9, 10]
    assert exporter.samples("swirl_dead_letters_total") == {("foreign",): 6}


def test_without_a_snapshot_there_is_no_time_of_the_oldest() -> None:
    exporter = Exporter()
    assert exporter.value("swirl_snapshots_total") == 0
    assert exporter.value("swirl_oldest_snapshot_timestamp_seconds") is None


def test_without_a_worker_its_metrics_are_absent() -> None:
    registry = CollectorRegistry()
    PrometheusSink().register(registry)
    assert [s.name for family in registry.collect() for s in family.samples] == []


def test_a_pipeline_that_went_to_another_worker_is_exported_no_more() -> None:
    exporter = Exporter(window(), changed(DATA), verdict(), window(pipeline="fraud"))
    exporter.sink.forget("ads")
    exporter.sink.forget("never seen")
    labels = [s.labels for family in exporter.registry.collect() for s in family.samples]
    assert {of["pipeline"] for of in labels if "pipeline" in of} == {"fraud"}
    exporter.sink.handle(window(1))
    assert exporter.samples("swirl_pipeline_info") == {("ads",): 1, ("fraud",): 1}
    assert exporter.samples("swirl_incidents_total")["ads",] == 0


def test_pipelines_come_and_go_while_prometheus_asks() -> None:
    exporter = Exporter()
    ended = threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            for effect in (window(), changed(DATA), verdict()):
                exporter.sink.handle(effect)
            exporter.sink.forget("ads")

    threads = [threading.Thread(target=come_and_go) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        counts = [len(exporter.samples("swirl_verdict")) for _ in range(200)]
    finally:
        ended.set()
        for thread in threads:
            thread.join(10)
    assert set(counts) <= {0, 3}
