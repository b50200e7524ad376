"""What is exported: names, kinds, labels and meanings, in one place."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["METRICS", "Metric", "WorkerFigures"]


class Metric(NamedTuple):
    """One exported metric.

    Attributes:
        name: as it stands in a query.
        kind: of Prometheus.
        help: what it says, and its unit where the name does not tell.
        labels: in their order.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram", "summary"]
    help: str
    labels: tuple[str, ...]


_PIPELINE = ("pipeline",)
_STAGE = ("pipeline", "stage")
_VERSION = ("pipeline", "stage", "version")
_SERIES = ("pipeline", "stage", "metric", "label")
_INCIDENT = ("pipeline", "stage", "cause")

METRICS: tuple[Metric, ...] = (
    Metric("swirl_pipeline_info", "gauge", "1 for each pipeline that is watched", _PIPELINE),
    Metric("swirl_stage_version_info", "gauge", "1 for each version seen in the last window", _VERSION),
    Metric("swirl_series_value", "gauge", "value in the last window, in the series' own base unit", _SERIES),
    Metric("swirl_series_expected", "gauge", "value that was expected", _SERIES),
    Metric("swirl_series_low", "gauge", "lower alarm limit of that window", _SERIES),
    Metric("swirl_series_high", "gauge", "upper alarm limit of that window", _SERIES),
    Metric("swirl_series_evidence_ratio", "gauge", "evidence as a share of what an alarm takes", _SERIES),
    Metric("swirl_series", "gauge", "series by state", ("pipeline", "state")),
    Metric(
        "swirl_series_refused_total", "counter", "series left out in a window, beyond SWIRL_SERIES", _PIPELINE
    ),
    Metric("swirl_records_total", "counter", "records that arrived", _STAGE),
    Metric("swirl_output_records_total", "counter", "records that were passed on", _STAGE),
    Metric("swirl_invalid_records_total", "counter", "invalid records by reason", (*_STAGE, "reason")),
    Metric("swirl_stage_errors_total", "counter", "exceptions by type", (*_STAGE, "type")),
    Metric(
        "swirl_predictions_total", "counter", "predictions by label; numbers have none", (*_STAGE, "label")
    ),
    Metric(
        "swirl_version_predictions_total",
        "counter",
        "the same by version, of versions that were heard within an hour",
        (*_VERSION, "label"),
    ),
    Metric(
        "swirl_hook_errors_total",
        "counter",
        "valid=, predicts=, features= or at= functions that raised",
        _STAGE,
    ),
    Metric("swirl_non_finite_values_total", "counter", "numbers left out for being infinite or NaN", _STAGE),
    Metric("swirl_stage_latency_seconds", "summary", "time per record; quantiles of the last window", _STAGE),
    Metric(
        "swirl_verdict", "gauge", "1 for the state that the pipeline is told, else 0", ("pipeline", "state")
    ),
    Metric("swirl_verdict_since_timestamp_seconds", "gauge", "when that state began, event time", _PIPELINE),
    Metric("swirl_incident_open", "gauge", "1 while an incident is open, then absent", _INCIDENT),
    Metric(
        "swirl_incident_state",
        "gauge",
        "1 if an open incident is acknowledged, snoozed, or muted by planned work, else 0",
        (*_INCIDENT, "state"),
    ),
    Metric(
        "swirl_incident_started_timestamp_seconds",
        "gauge",
        "onset of each open incident, event time",
        _INCIDENT,
    ),
    Metric(
        "swirl_cause_posterior_ratio", "gauge", "probability of each explanation of open incidents", _INCIDENT
    ),
    Metric("swirl_incidents_total", "counter", "incidents opened since this exporter started", _PIPELINE),
    Metric(
        "swirl_incidents_judged_total",
        "counter",
        "of those, incidents of which people said what they were",
        ("pipeline", "judgement"),
    ),
    Metric(
        "swirl_mute_until_timestamp_seconds",
        "gauge",
        "end of planned work; without a stage it is that of the whole pipeline",
        _STAGE,
    ),
    Metric("swirl_alarms_total", "counter", "alarms that opened or joined incidents", _PIPELINE),
    Metric("swirl_false_alarms_promised", "gauge", "false alarms a week: the budget", _PIPELINE),
    Metric(
        "swirl_false_alarms_expected_total",
        "counter",
        "false alarms that the limits have spent by chance",
        _PIPELINE,
    ),
    Metric("swirl_false_alarms_total", "counter", "incidents that people called false alarms", _PIPELINE),
    Metric(
        "swirl_false_alarms_spent",
        "gauge",
        "alarms of the last seven days that were chance, by the diagnosis or by a person",
        _PIPELINE,
    ),
    Metric(
        "swirl_false_alarms_left", "gauge", "what the promise still allows in these seven days", _PIPELINE
    ),
    Metric(
        "swirl_detector_failures_total", "counter", "errors that detectors raised", ("pipeline", "detector")
    ),
    Metric(
        "swirl_detector_unknown_info",
        "gauge",
        "1 for each detector that a stage asks for and nobody has",
        ("pipeline", "detector"),
    ),
    Metric("swirl_window_seconds", "gauge", "length of a window", _PIPELINE),
    Metric(
        "swirl_window_end_timestamp_seconds", "gauge", "end of the last closed window, event time", _PIPELINE
    ),
    Metric("swirl_window_exposure_ratio", "gauge", "share of that window that emitters covered", _PIPELINE),
    Metric(
        "swirl_watermark_timestamp_seconds", "gauge", "event time up to which windows are closed", _PIPELINE
    ),
    Metric("swirl_lag_seconds", "gauge", "log time minus newest event time", _PIPELINE),
    Metric("swirl_emitters", "gauge", "emitters heard and not gone", _PIPELINE),
    Metric("swirl_emitters_silent", "gauge", "emitters that went without goodbye", _PIPELINE),
    Metric("swirl_emitter_last_seen_timestamp_seconds", "gauge", "log time of the newest frame", _PIPELINE),
    Metric("swirl_frames_total", "counter", "frames that were applied", _PIPELINE),
    Metric("swirl_frames_lost_total", "counter", "frames that did not come in their turn", _PIPELINE),
    Metric("swirl_frames_late_total", "counter", "of those, frames that came and count after all", _PIPELINE),
    Metric("swirl_frames_duplicate_total", "counter", "frames that came again and were ignored", _PIPELINE),
    Metric("swirl_frames_failed_total", "counter", "frames that emitters could not deliver", _PIPELINE),
    Metric("swirl_frames_refused_total", "counter", "records of the log that could not be read", ("cause",)),
    Metric(
        "swirl_emitter_dropped_records_total",
        "counter",
        "records dropped by emitters for want of space",
        _PIPELINE,
    ),
    Metric("swirl_late_records_total", "counter", "late records by cause", ("pipeline", "cause")),
    Metric("swirl_labels_overflowed_total", "counter", "records counted under (other)", _PIPELINE),
    Metric(
        "swirl_summaries_unreadable_total", "counter", "parts of frames that could not be read", _PIPELINE
    ),
    Metric("swirl_sink_effects_total", "counter", "effects by sink and outcome", ("sink", "outcome")),
    Metric("swirl_sink_retries_total", "counter", "attempts that failed and were tried again", ("sink",)),
    Metric("swirl_sink_pending", "gauge", "effects that wait for their sink", ("sink",)),
    Metric(
        "swirl_notification_delay_seconds",
        "histogram",
        "from the end of the window that opened or ended an incident until its sink had told it",
        ("sink",),
    ),
    Metric("swirl_apply_duration_seconds", "histogram", "time that folding one frame took", ()),
    Metric("swirl_worker_partitions", "gauge", "partitions that this worker owns", ()),
    Metric("swirl_worker_pipelines", "gauge", "pipelines that this worker watches", ()),
    Metric("swirl_snapshots_total", "counter", "snapshots of pipelines that were written", ()),
    Metric("swirl_snapshot_bytes_total", "counter", "bytes of those snapshots, compressed", ()),
    Metric(
        "swirl_oldest_snapshot_timestamp_seconds",
        "gauge",
        "when the oldest of the pipelines' last snapshots was written: a crash refolds from there",
        (),
    ),
    Metric(
        "swirl_dead_letters_total", "counter", "records that could not be read and were set aside", ("cause",)
    ),
    Metric(
        "swirl_log_gap_records_total",
        "counter",
        "records that were gone from the log before they were folded",
        (),
    ),
    Metric(
        "swirl_frames_redelivered_total",
        "counter",
        "frames that came again and were in a snapshot already",
        (),
    ),
    Metric("swirl_rebalances_total", "counter", "times that the partitions were dealt out anew", ()),
    Metric(
        "swirl_fenced_total", "counter", "effects held back because another worker owns their partition", ()
    ),
)
"""What is exported: the single place where names, kinds and labels are written down."""


class WorkerFigures(NamedTuple):
    """How a worker stands: what it owns now, and what it did since it started.

    Attributes:
        partitions: that it owns.
        pipelines: that it watches.
        snapshots: of pipelines that were written.
        snapshot_bytes: their size together, compressed.
        oldest_snapshot_ms: when the oldest of the pipelines' last snapshots was written; 0 for none.
        dead_letters: cause -> records that could not be read.
        log_gap_records: that were gone from the log before they were folded.
        frames_redelivered: that came again and were in a snapshot already.
        rebalances: times that the partitions were dealt out anew.
        fenced: effects held back because another worker owns their partition.
    """

    partitions: int = 0
    pipelines: int = 0
    snapshots: int = 0
    snapshot_bytes: int = 0
    oldest_snapshot_ms: int = 0
    dead_letters: Mapping[str, int] = MappingProxyType({})
    log_gap_records: int = 0
    frames_redelivered: int = 0
    rebalances: int = 0
    fenced: int = 0
