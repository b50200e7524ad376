"""The exporter: what Prometheus scrapes is worked out on scrape from the last effects of each pipeline.

Each metric is declared in :data:`METRICS`. The series of a pipeline (``swirl_series_*``) carry their own base
units side by side, so they are never summed over stage or metric. Versions are labels of ``_info`` metrics,
and of one counter that is there to compare them.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import chain, compress
from math import isnan
from typing import TYPE_CHECKING

from swirl.effect import IncidentChanged, MuteChanged, State, VerdictChanged, WindowClosed
from swirl.errors import MissingExtraError
from swirl.frame import Verdict
from swirl.sinks.prometheus_durations import Durations
from swirl.sinks.prometheus_ledger import Ledger, Measured
from swirl.sinks.prometheus_metrics import METRICS, Metric, WorkerFigures
from swirl.sinks.prometheus_samples import (
    JUDGEMENTS,
    of_incidents,
    of_latency,
    of_mutes,
    of_sinks,
    of_totals,
    of_verdict,
    of_window,
    of_worker,
)

try:
    from prometheus_client.metrics_core import Metric as Family
    from prometheus_client.registry import Collector
    from prometheus_client.samples import Sample
except ImportError:
    raise MissingExtraError("prometheus-client", "watch") from None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.registry import CollectorRegistry

    from swirl.effect import Effect, Incident, Mute
    from swirl.sinks.outlet import Counts
    from swirl.sinks.prometheus_samples import Told

__all__ = ["METRICS", "Metric", "PrometheusSink", "WorkerFigures"]

_COLUMNS = (
    ("swirl_series_value", "value"),
    ("swirl_series_expected", "expected"),
    ("swirl_series_low", "low"),
    ("swirl_series_high", "high"),
    ("swirl_series_evidence_ratio", "evidence"),
)
_ENDS = {"histogram": ("_bucket", "_count", "_sum"), "summary": ("_count", "_sum")}
_LATENCY = "swirl_stage_latency_seconds"
_REMEMBERED = 1000
"""Incidents of a pipeline that are known by their ids, so that none is counted twice."""

_DELAYS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
_FOLDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


@dataclass
class _Known:
    """The last effects of one pipeline; each is immutable and replaced as a whole."""

    window: WindowClosed | None = None
    verdict: Verdict = field(default_factory=Verdict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    mutes: dict[str, Mute] = field(default_factory=dict)
    told: OrderedDict[str, str] = field(default_factory=OrderedDict)
    opened: int = 0
    judged: dict[str, int] = field(default_factory=lambda: dict.fromkeys(JUDGEMENTS, 0))
    ledger: Ledger = field(default_factory=Ledger)
    measured: Measured = field(default_factory=Measured)

    def step(self, change: IncidentChanged) -> None:
        """Take over how an incident stands, and count it once, however often it is told."""
        incident = change.incident
        if change.transition == "opened" and incident.id not in self.told:
            self.opened += 1
            self.told[incident.id] = ""
        if incident.judged and not self.told.get(incident.id):
            self.judged[incident.judged] += 1
            self.told[incident.id] = incident.judged
        while len(self.told) > _REMEMBERED:
            self.told.popitem(last=False)
        if incident.state == "resolved":
            self.incidents.pop(incident.id, None)
        else:
            self.incidents[incident.id] = incident

    def mute(self, change: MuteChanged) -> None:
        """Planned work begins or ends."""
        self.mutes.pop(change.mute.stage, None)
        if change.transition == "began":
            self.mutes[change.mute.stage] = change.mute

    def stands(self, pipeline: str) -> list[Told]:
        """What is not of a window."""
        judged = [
            ("swirl_incidents_judged_total", {"pipeline": pipeline, "judgement": judgement}, float(count))
            for judgement, count in self.judged.items()
        ]
        return [
            ("swirl_incidents_total", {"pipeline": pipeline}, self.opened),
            *judged,
            *of_verdict(pipeline, self.verdict),
            *of_incidents(pipeline, self.incidents.values()),
            *of_mutes(pipeline, self.mutes.values()),
        ]


class PrometheusSink(Collector):
    """Keeps the last effects of each pipeline and turns them into metrics when Prometheus asks.

    Args:
        outlets: name of each sink -> what became of its effects; asked at each scrape.
        refused: cause -> records of the log that could not be read; asked at each scrape.
        worker: how the worker stands, asked at each scrape; where there is none, its metrics are absent.
        clock: seconds since 1970.
    """

    name = "prometheus"

    def __init__(
        self,
        *,
        outlets: Callable[[], Mapping[str, Counts]] = dict,
        refused: Callable[[], Mapping[str, int]] = dict,
        worker: Callable[[], WorkerFigures] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._outlets = outlets
        self._refused = refused
        self._worker = worker
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._lock, self._scraping = threading.Lock(), threading.Lock()
        self._delays = Durations("swirl_notification_delay_seconds", _DELAYS_S, "sink")
        self._folds = Durations("swirl_apply_duration_seconds", _FOLDS_S)

    def register(self, registry: CollectorRegistry) -> None:
        """Let a registry collect from here.

        Raises:
            ValueError: the registry has metrics of these names already.
        """
        registry.register(self)

    def handle(self, effect: Effect) -> None:
        """Remember the effect; nothing is worked out before a scrape."""
        with self._lock:
            known = self._known.setdefault(effect.pipeline, _Known())
            if isinstance(effect, IncidentChanged):
                known.step(effect)
            elif isinstance(effect, MuteChanged):
                known.mute(effect)
            elif isinstance(effect, VerdictChanged):
                known.verdict = effect.verdict
            elif known.window is None or effect.start_ms >= known.window.start_ms:
                known.window = effect

    def settled(self, sink: str) -> Callable[[Effect, bool], None]:
        """For the outlet of a sink that tells people: measures how late it told what began or ended.

        Args:
            sink: its name.

        Returns:
            What :class:`swirl.sinks.outlet.Outlet` calls with an effect, and whether it was delivered.
        """
        self._delays.begin(sink)

        def settle(effect: Effect, delivered: bool) -> None:  # noqa: FBT001 - as outlets call it
            if delivered and isinstance(effect, IncidentChanged):
                since_ms = _moment(effect)
                if since_ms:
                    self._delays.observe(self._clock() - since_ms / 1000, sink)

        return settle

    def applied(self, seconds: float) -> None:
        """Folding a frame took so long."""
        self._folds.observe(seconds)

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
                (known.window, known.stands(name), known.ledger, known.measured)
                for name, known in sorted(self._known.items())
            ]
        families = {metric.name: Family(_family(metric), metric.help, metric.kind) for metric in METRICS}
        homes = {
            f"{metric.name}{end}": families[metric.name]
            for metric in METRICS
            for end in ("", *_ENDS.get(metric.kind, ()))
        }
        with self._scraping:
            for window, stands, ledger, measured in pipelines:
                _add(homes, stands)
                if window is not None:
                    _series(families, window, measured)
                    stages = {stage.name for stage in window.definition.stages}
                    _add(homes, ledger.settle(of_totals(window), window.end_ms, stages))
                    _add(homes, chain(of_window(window), of_latency(window)))
        # OpenMetrics wants the samples of one summary side by side.
        families[_LATENCY].samples.sort(
            key=lambda sample: (sample.labels["pipeline"], sample.labels["stage"])
        )
        _add(homes, of_sinks(self._outlets(), self._refused()))
        _add(homes, chain(self._delays.samples(), self._folds.samples()))
        if self._worker is not None:
            _add(homes, of_worker(self._worker()))
        yield from families.values()


def _moment(change: IncidentChanged) -> int:
    """When people could have known at the earliest; 0 where it cannot be said."""
    incident = change.incident
    if change.transition == "opened" and not incident.revision:
        return incident.opened_ms
    return incident.resolved_ms if change.transition == "resolved" else 0


def _family(metric: Metric) -> str:
    return metric.name.removesuffix("_total") if metric.kind == "counter" else metric.name


def _add(homes: Mapping[str, Family], told: Iterable[Told]) -> None:
    for name, labels, value in told:
        if not isnan(value):
            homes[name].samples.append(Sample(name, labels, value))


def _series(families: Mapping[str, Family], window: WindowClosed, measured: Measured) -> None:
    """The series, in one go: there may be ten thousand of them."""
    known = measured.known(window)
    labels = [
        {"pipeline": window.pipeline, "stage": key[0], "metric": key[1], "label": key[2]}
        for key in compress(window.keys, known)
    ]
    for name, column in _COLUMNS:
        values = window.column(column)[known].tolist()
        families[name].samples += [
            Sample(name, of, value) for of, value in zip(labels, values, strict=True) if not isnan(value)
        ]
    for state in State:
        of_state = {"pipeline": window.pipeline, "state": state.name.lower()}
        families["swirl_series"].samples.append(Sample("swirl_series", of_state, window.states.count(state)))
