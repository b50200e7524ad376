"""The exporter: what Prometheus scrapes is worked out on scrape from the last effects of each pipeline.

Each metric is declared in :data:`METRICS`. The series of a pipeline (``swirl_series_*``) carry their own base
units side by side, so they are never summed over stage or metric.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from itertools import chain
from math import fsum, inf, isnan
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

from swirl.effect import IncidentChanged, State, VerdictChanged, WindowClosed
from swirl.errors import MissingExtraError
from swirl.frame import Verdict

try:
    from prometheus_client.metrics_core import Metric as Family
    from prometheus_client.registry import Collector
    from prometheus_client.samples import Sample
except ImportError:
    raise MissingExtraError("prometheus-client", "watch") from None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.registry import CollectorRegistry

    from swirl.effect import Effect, Incident, Totals
    from swirl.sinks.outlet import Counts

__all__ = ["METRICS", "Metric", "PrometheusSink", "WorkerFigures"]


class Metric(NamedTuple):
    """One exported metric.

    Attributes:
        name: as it stands in a query.
        kind: of Prometheus.
        help: what it says, and its unit where the name does not tell.
        labels: in their order.
    """

    name: str
    kind: Literal["counter", "gauge", "summary"]
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
    Metric("swirl_records_total", "counter", "records that arrived", _VERSION),
    Metric("swirl_output_records_total", "counter", "records that were passed on", _VERSION),
    Metric("swirl_invalid_records_total", "counter", "invalid records by reason", (*_VERSION, "reason")),
    Metric("swirl_stage_errors_total", "counter", "exceptions by type", (*_VERSION, "type")),
    Metric(
        "swirl_predictions_total", "counter", "predictions by label; numbers have none", (*_VERSION, "label")
    ),
    Metric(
        "swirl_hook_errors_total",
        "counter",
        "valid=, predicts=, features= or at= functions that raised",
        _VERSION,
    ),
    Metric(
        "swirl_non_finite_values_total", "counter", "numbers left out for being infinite or NaN", _VERSION
    ),
    Metric("swirl_stage_latency_seconds", "summary", "time per record; quantiles of the last window", _STAGE),
    Metric(
        "swirl_verdict", "gauge", "1 for the state that the pipeline is told, else 0", ("pipeline", "state")
    ),
    Metric("swirl_verdict_since_timestamp_seconds", "gauge", "when that state began, event time", _PIPELINE),
    Metric("swirl_incident_open", "gauge", "1 while an incident is open, then absent", _INCIDENT),
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
    Metric("swirl_sink_effects_total", "counter", "effects by sink and outcome", ("sink", "outcome")),
    Metric("swirl_sink_retries_total", "counter", "attempts that failed and were tried again", ("sink",)),
    Metric("swirl_sink_pending", "gauge", "effects that wait for their sink", ("sink",)),
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
_QUANTILES = ("0.5", "0.95", "0.99")
_COLUMNS = (
    ("swirl_series_value", "value"),
    ("swirl_series_expected", "expected"),
    ("swirl_series_low", "low"),
    ("swirl_series_high", "high"),
    ("swirl_series_evidence_ratio", "evidence"),
)
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
)

_Told = tuple[str, dict[str, str], float]
"""A sample: name, labels, value."""


@dataclass
class _Known:
    """The last effects of one pipeline; each is immutable and replaced as a whole."""

    window: WindowClosed | None = None
    verdict: Verdict = field(default_factory=Verdict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    opened: int = 0


class PrometheusSink(Collector):
    """Keeps the last effects of each pipeline and turns them into metrics when Prometheus asks.

    Args:
        outlets: name of each sink -> what became of its effects; asked at each scrape.
        refused: cause -> records of the log that could not be read; asked at each scrape.
        worker: how the worker stands, asked at each scrape; where there is none, its metrics are absent.
    """

    name = "prometheus"

    def __init__(
        self,
        *,
        outlets: Callable[[], Mapping[str, Counts]] = dict,
        refused: Callable[[], Mapping[str, int]] = dict,
        worker: Callable[[], WorkerFigures] | None = None,
    ) -> None:
        self._outlets = outlets
        self._refused = refused
        self._worker = worker
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def register(self, registry: CollectorRegistry) -> None:
        """Let a registry collect from here.

        Raises:
            ValueError: the registry has metrics of these names already.
        """
        registry.register(self)

    def handle(self, effect: Effect) -> None:
        """Remember the effect; nothing is worked out before a scrape."""
        with self._lock:
            if isinstance(effect, IncidentChanged):
                self._incident(self._known.setdefault(effect.incident.pipeline, _Known()), effect)
                return
            known = self._known.setdefault(effect.pipeline, _Known())
            if isinstance(effect, VerdictChanged):
                known.verdict = effect.verdict
            elif isinstance(effect, WindowClosed) and (
                known.window is None or effect.start_ms >= known.window.start_ms
            ):
                known.window = effect

    def forget(self, pipeline: str) -> None:
        """Export no more of a pipeline, whose partition another worker has taken over.

        An effect of it that is handled afterwards brings it back: withdraw it from its outlet before, and
        wait for the one that is being handled (:meth:`swirl.sinks.outlet.Outlet.withdraw`).
        """
        with self._lock:
            self._known.pop(pipeline, None)

    def describe(self) -> Iterator[Family]:
        """The names, without asking anyone for values."""
        return (Family(_family(metric), metric.help, metric.kind) for metric in METRICS)

    def collect(self) -> Iterator[Family]:
        """The metrics as they stand."""
        with self._lock:
            pipelines = [
                (name, known.window, known.verdict, tuple(known.incidents.values()), known.opened)
                for name, known in sorted(self._known.items())
            ]
        families = {metric.name: Family(_family(metric), metric.help, metric.kind) for metric in METRICS}
        for pipeline, window, verdict, incidents, opened in pipelines:
            told = chain(_verdict(pipeline, verdict), _incidents(pipeline, incidents, opened))
            _add(families, told)
            if window is not None:
                _series(families, window)
                _add(families, chain(_window(window), _totals(window), _latency(window)))
        _add(families, chain(_sinks(self._outlets()), _refusals(self._refused())))
        if self._worker is not None:
            _add(families, _standing(self._worker()))
        yield from families.values()

    @staticmethod
    def _incident(known: _Known, change: IncidentChanged) -> None:
        incident = change.incident
        known.opened += change.transition == "opened"
        if incident.state == "resolved":
            known.incidents.pop(incident.id, None)
        else:
            known.incidents[incident.id] = incident


def _family(metric: Metric) -> str:
    return metric.name.removesuffix("_total") if metric.kind == "counter" else metric.name


def _add(families: dict[str, Family], told: Iterable[_Told]) -> None:
    for name, labels, value in told:
        if not isnan(value):
            family = families.get(name) or families[name.rpartition("_")[0]]
            family.samples.append(Sample(name, labels, value))


def _series(families: dict[str, Family], window: WindowClosed) -> None:
    """The series, in one go: there may be ten thousand of them."""
    labels = [
        {"pipeline": window.pipeline, "stage": key[0], "metric": key[1], "label": key[2]}
        for key in window.keys
    ]
    for name, column in _COLUMNS:
        values = window.column(column).tolist()
        families[name].samples += [
            Sample(name, of, value) for of, value in zip(labels, values, strict=True) if not isnan(value)
        ]
    for state in State:
        of_state = {"pipeline": window.pipeline, "state": state.name.lower()}
        families["swirl_series"].samples.append(Sample("swirl_series", of_state, window.states.count(state)))


def _window(window: WindowClosed) -> Iterator[_Told]:
    of = {"pipeline": window.pipeline}
    yield "swirl_pipeline_info", of, 1
    yield "swirl_window_seconds", of, window.window_ms / 1000
    yield "swirl_window_end_timestamp_seconds", of, window.end_ms / 1000
    yield "swirl_window_exposure_ratio", of, window.exposure_ms / window.window_ms
    for name, attribute, scale in _HEALTH:
        yield name, of, getattr(window.health, attribute) * scale
    for cause, records in sorted(window.health.late_records.items()):
        yield "swirl_late_records_total", {**of, "cause": cause}, records
    for detector, failures in sorted(window.health.detector_failures.items()):
        yield "swirl_detector_failures_total", {**of, "detector": detector}, failures
    for detector in window.health.unknown_detectors:
        yield "swirl_detector_unknown_info", {**of, "detector": detector}, 1.0
    for stage, versions in sorted(window.versions.items()):
        for version in versions:
            yield "swirl_stage_version_info", {**of, "stage": stage, "version": version}, 1


def _totals(window: WindowClosed) -> Iterator[_Told]:
    for stage, versions in sorted(window.totals.items()):
        for version, totals in sorted(versions.items()):
            yield from _version({"pipeline": window.pipeline, "stage": stage, "version": version}, totals)


def _version(of: dict[str, str], totals: Totals) -> Iterator[_Told]:
    yield "swirl_records_total", of, totals.records
    yield "swirl_output_records_total", of, totals.out
    yield "swirl_hook_errors_total", of, totals.hook_errors
    yield "swirl_non_finite_values_total", of, totals.non_finite
    for name, label, parts, whole in (
        ("swirl_invalid_records_total", "reason", totals.reasons, totals.invalid),
        ("swirl_stage_errors_total", "type", totals.error_types, totals.errors),
        ("swirl_predictions_total", "label", totals.labels, totals.predictions),
    ):
        for part, count in sorted(parts.items()):
            yield name, {**of, label: part}, count
        rest = max(0, whole - sum(parts.values()))
        if rest or label != "label":
            yield name, {**of, label: ""}, rest


def _latency(window: WindowClosed) -> Iterator[_Told]:
    name = "swirl_stage_latency_seconds"
    for stage, quantiles in sorted(window.latency.items()):
        of = {"pipeline": window.pipeline, "stage": stage}
        for quantile, value in zip(_QUANTILES, quantiles, strict=True):
            yield name, {**of, "quantile": quantile}, value
        totals = window.totals.get(stage, {}).values()
        yield f"{name}_count", of, sum(t.records for t in totals)
        yield f"{name}_sum", of, fsum(t.latency_seconds for t in totals)


def _verdict(pipeline: str, verdict: Verdict) -> Iterator[_Told]:
    for state in ("healthy", "degraded", "tripped"):
        yield "swirl_verdict", {"pipeline": pipeline, "state": state}, verdict.state == state
    yield "swirl_verdict_since_timestamp_seconds", {"pipeline": pipeline}, verdict.since_ms / 1000


def _incidents(pipeline: str, incidents: Iterable[Incident], opened: int) -> Iterator[_Told]:
    yield "swirl_incidents_total", {"pipeline": pipeline}, opened
    began: dict[tuple[str, str], float] = {}
    chances: dict[tuple[str, str], float] = {}
    for incident in incidents:
        root = (incident.stage, incident.cause)
        began[root] = min(began.get(root, inf), incident.onset_ms / 1000)
        told = [(root, incident.posterior), *(((r.stage, r.cause), r.posterior) for r in incident.rivals)]
        for cause, posterior in told:
            chances[cause] = max(chances.get(cause, 0.0), posterior)
    for (stage, named), start in began.items():
        of = {"pipeline": pipeline, "stage": stage, "cause": named}
        yield "swirl_incident_open", of, 1
        yield "swirl_incident_started_timestamp_seconds", of, start
    for (stage, named), posterior in chances.items():
        yield "swirl_cause_posterior_ratio", {"pipeline": pipeline, "stage": stage, "cause": named}, posterior


def _sinks(outlets: Mapping[str, Counts]) -> Iterator[_Told]:
    for sink, counts in outlets.items():
        for outcome in ("delivered", "failed", "dropped"):
            yield "swirl_sink_effects_total", {"sink": sink, "outcome": outcome}, getattr(counts, outcome)
        yield "swirl_sink_retries_total", {"sink": sink}, counts.retried
        yield "swirl_sink_pending", {"sink": sink}, counts.pending


def _refusals(refused: Mapping[str, int]) -> Iterator[_Told]:
    for cause, count in sorted(refused.items()):
        yield "swirl_frames_refused_total", {"cause": cause}, count


def _standing(worker: WorkerFigures) -> Iterator[_Told]:
    for name, attribute in _WORKER:
        yield name, {}, getattr(worker, attribute)
    if worker.oldest_snapshot_ms:
        yield "swirl_oldest_snapshot_timestamp_seconds", {}, worker.oldest_snapshot_ms / 1000
    for cause, count in sorted(worker.dead_letters.items()):
        yield "swirl_dead_letters_total", {"cause": cause}, count
