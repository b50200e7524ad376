"""Samples of what the last effects of a pipeline say: name, labels, value."""

from __future__ import annotations

from collections import Counter
from math import fsum
from typing import TYPE_CHECKING

from swirl.sinks.prometheus_ledger import Count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from swirl.effect import Incident, Mute, Totals, WindowClosed
    from swirl.frame import Verdict
    from swirl.sinks.outlet import Counts
    from swirl.sinks.prometheus_metrics import WorkerFigures

__all__ = [
    "JUDGEMENTS",
    "Told",
    "of_incidents",
    "of_latency",
    "of_mutes",
    "of_sinks",
    "of_totals",
    "of_verdict",
    "of_window",
    "of_worker",
]

Told = tuple[str, dict[str, str], float]
"""A sample: name, labels, value."""

JUDGEMENTS = ("confirmed", "false_alarm")

_WORKER = (
    ("swirl_worker_partitions", "partitions"),
    ("swirl_worker_pipelines", "pipelines"),
    ("swirl_snapshots_total", "snapshots"),
    ("swirl_snapshot_bytes_total", "snapshot_bytes"),
    ("swirl_log_gap_records_total", "log_gap_records"),
    ("swirl_frames_redelivered_total", "frames_redelivered"),
    ("swirl_rebalances_total", "rebalances"),
    ("swirl_fenced_total", "fenced"),
)
_LATE = ("closed", "future", "revised")
_QUANTILES = ("0.5", "0.95", "0.99")
_HEALTH = (
    ("swirl_alarms_total", "alarms", 1.0),
    ("swirl_false_alarms_promised", "budget_a_week", 1.0),
    ("swirl_false_alarms_expected_total", "false_alarms_expected", 1.0),
    ("swirl_false_alarms_total", "false_alarms", 1.0),
    ("swirl_false_alarms_spent", "budget_spent", 1.0),
    ("swirl_false_alarms_left", "budget_left", 1.0),
    ("swirl_watermark_timestamp_seconds", "watermark_ms", 1e-3),
    ("swirl_lag_seconds", "lag_ms", 1e-3),
    ("swirl_emitters", "emitters", 1.0),
    ("swirl_emitters_silent", "emitters_silent", 1.0),
    ("swirl_emitter_last_seen_timestamp_seconds", "last_seen_ms", 1e-3),
    ("swirl_frames_total", "frames", 1.0),
    ("swirl_frames_lost_total", "frames_lost", 1.0),
    ("swirl_frames_late_total", "frames_late", 1.0),
    ("swirl_frames_duplicate_total", "duplicates", 1.0),
    ("swirl_frames_failed_total", "failed_frames", 1.0),
    ("swirl_emitter_dropped_records_total", "dropped_records", 1.0),
    ("swirl_labels_overflowed_total", "labels_overflowed", 1.0),
    ("swirl_series_refused_total", "series_refused", 1.0),
    ("swirl_summaries_unreadable_total", "unreadable", 1.0),
)
_COUNTED = (
    ("swirl_records_total", "records"),
    ("swirl_output_records_total", "out"),
    ("swirl_hook_errors_total", "hook_errors"),
    ("swirl_non_finite_values_total", "non_finite"),
)
_PARTS = (
    ("swirl_invalid_records_total", "reason", "reasons", "invalid"),
    ("swirl_stage_errors_total", "type", "error_types", "errors"),
    ("swirl_predictions_total", "label", "labels", "predictions"),
)


def of_window(window: WindowClosed) -> Iterator[Told]:
    """The window itself, and how well Swirl sees the pipeline."""
    of = {"pipeline": window.pipeline}
    yield "swirl_pipeline_info", of, 1
    yield "swirl_window_seconds", of, window.window_ms / 1000
    yield "swirl_window_end_timestamp_seconds", of, window.end_ms / 1000
    yield "swirl_window_exposure_ratio", of, window.exposure_ms / window.window_ms
    for name, attribute, scale in _HEALTH:
        yield name, of, getattr(window.health, attribute) * scale
    late = {**dict.fromkeys(_LATE, 0), **window.health.late_records}
    for cause, records in sorted(late.items()):
        yield "swirl_late_records_total", {**of, "cause": cause}, records
    for detector, failures in sorted(window.health.detector_failures.items()):
        yield "swirl_detector_failures_total", {**of, "detector": detector}, failures
    for detector in window.health.unknown_detectors:
        yield "swirl_detector_unknown_info", {**of, "detector": detector}, 1.0
    for stage, versions in sorted(window.versions.items()):
        for version in versions:
            yield "swirl_stage_version_info", {**of, "stage": stage, "version": version}, 1


def of_totals(window: WindowClosed) -> Iterator[Count]:
    """Totals of stages over all their versions, and the predictions of each version."""
    for stage, versions in sorted(window.totals.items()):
        of = {"pipeline": window.pipeline, "stage": stage}
        totals = list(versions.values())
        for name, attribute in _COUNTED:
            yield Count(name, of, sum(getattr(each, attribute) for each in totals))
        yield Count("swirl_stage_latency_seconds_count", of, sum(each.records for each in totals))
        yield Count("swirl_stage_latency_seconds_sum", of, fsum(each.latency_seconds for each in totals))
        yield from _parts(of, totals)
        for version, each in sorted(versions.items()):
            of_version = {**of, "version": version}
            yield from _split(
                "swirl_version_predictions_total", "label", of_version, each.labels, each.predictions
            )


def _parts(of: dict[str, str], totals: list[Totals]) -> Iterator[Count]:
    for name, label, attribute, whole in _PARTS:
        together: Counter[str] = Counter()
        for each in totals:
            together.update(getattr(each, attribute))
        yield from _split(name, label, of, together, sum(getattr(each, whole) for each in totals))


def _split(
    name: str, label: str, of: dict[str, str], parts: Mapping[str, int], whole: int
) -> Iterator[Count]:
    """The parts of a whole, and the rest without a name: of predictions only where they are numbers."""
    for part, count in sorted(parts.items()):
        yield Count(name, {**of, label: part}, count, ends=True)
    rest = max(0, whole - sum(parts.values()))
    if rest or label != "label":
        yield Count(name, {**of, label: ""}, rest, ends="version" in of)


def of_latency(window: WindowClosed) -> Iterator[Told]:
    """Latencies of the window."""
    for stage, quantiles in sorted(window.latency.items()):
        of = {"pipeline": window.pipeline, "stage": stage}
        for quantile, value in zip(_QUANTILES, quantiles, strict=True):
            yield "swirl_stage_latency_seconds", {**of, "quantile": quantile}, value


def of_verdict(pipeline: str, verdict: Verdict) -> Iterator[Told]:
    """What the pipeline is told."""
    for state in ("healthy", "degraded", "tripped"):
        yield "swirl_verdict", {"pipeline": pipeline, "state": state}, verdict.state == state
    yield "swirl_verdict_since_timestamp_seconds", {"pipeline": pipeline}, verdict.since_ms / 1000


def of_incidents(pipeline: str, incidents: Iterable[Incident]) -> Iterator[Told]:
    """The open incidents by their root, and what may explain them."""
    roots: dict[tuple[str, str], list[Incident]] = {}
    chances: dict[tuple[str, str], float] = {}
    for incident in incidents:
        root = (incident.stage, incident.cause)
        roots.setdefault(root, []).append(incident)
        told = [(root, incident.posterior), *(((r.stage, r.cause), r.posterior) for r in incident.rivals)]
        for cause, posterior in told:
            chances[cause] = max(chances.get(cause, 0.0), posterior)
    for (stage, named), same in roots.items():
        of = {"pipeline": pipeline, "stage": stage, "cause": named}
        yield "swirl_incident_open", of, 1
        yield "swirl_incident_started_timestamp_seconds", of, min(i.onset_ms for i in same) / 1000
        yield from _states(of, same)
    for (stage, named), posterior in chances.items():
        yield "swirl_cause_posterior_ratio", {"pipeline": pipeline, "stage": stage, "cause": named}, posterior


def _states(of: dict[str, str], same: list[Incident]) -> Iterator[Told]:
    for state, holds in (
        ("acknowledged", all(incident.acknowledged_by for incident in same)),
        ("snoozed", all(incident.snoozed_until_ms for incident in same)),
        ("muted", all(incident.muted for incident in same)),
    ):
        yield "swirl_incident_state", {**of, "state": state}, holds


def of_mutes(pipeline: str, mutes: Iterable[Mute]) -> Iterator[Told]:
    """Planned work."""
    for mute in mutes:
        of = {"pipeline": pipeline, "stage": mute.stage}
        yield "swirl_mute_until_timestamp_seconds", of, mute.until_ms / 1000


def of_sinks(outlets: Mapping[str, Counts], refused: Mapping[str, int]) -> Iterator[Told]:
    """What became of effects, and records that could not be read."""
    for sink, counts in outlets.items():
        for outcome in ("delivered", "replaced", "failed", "dropped"):
            yield "swirl_sink_effects_total", {"sink": sink, "outcome": outcome}, getattr(counts, outcome)
        yield "swirl_sink_retries_total", {"sink": sink}, counts.retried
        yield "swirl_sink_pending", {"sink": sink}, counts.pending
    for cause, count in sorted(refused.items()):
        yield "swirl_frames_refused_total", {"cause": cause}, count


def of_worker(worker: WorkerFigures) -> Iterator[Told]:
    """How a worker stands."""
    for name, attribute in _WORKER:
        yield name, {}, getattr(worker, attribute)
    if worker.oldest_snapshot_ms:
        yield "swirl_oldest_snapshot_timestamp_seconds", {}, worker.oldest_snapshot_ms / 1000
    for cause, count in sorted(worker.dead_letters.items()):
        yield "swirl_dead_letters_total", {"cause": cause}, count
