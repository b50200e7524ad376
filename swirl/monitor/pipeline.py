"""The fold of one pipeline: frames in, windows closed, points judged, incidents followed, effects out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from swirl.baseline import SHARE, Baselines
from swirl.effect import Effect, Health, IncidentChanged, MuteChanged, VerdictChanged, WindowClosed
from swirl.errors import SnapshotError
from swirl.frame import Act, Definition, Frame, StageDefinition
from swirl.history import History, StageCounts, WindowCounts
from swirl.incident.life import Incidents
from swirl.monitor.batch import CALM_RUNS, WARM_UP, budget_of_runs, for_runs, period_of
from swirl.monitor.creep import anomaly_of, key_of
from swirl.monitor.emitters import Emitters
from swirl.monitor.judge import Judge
from swirl.monitor.limits import Limits
from swirl.monitor.report import Columns, RunningTotals, builtins, by_records, latencies, revised
from swirl.monitor.runs import Runs
from swirl.monitor.tumbling import Tumbling
from swirl.residual import InputModel, LoadModel, fit_input, fit_load
from swirl.series import SeriesTable, count_stage, measure
from swirl.sketch import MOST_COUNTED
from swirl.window import EventClock, Window

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from swirl.detector import Detector, Kind
    from swirl.effect import Incident
    from swirl.frame import Tick
    from swirl.incident.life import Step
    from swirl.monitor.placing import Closed, Complete, Placing
    from swirl.monitor.seen import Judged
    from swirl.settings import MonitorSettings

__all__ = ["PipelineMonitor"]

_SEASONED_MS = 8 * 24 * 3600 * 1000
"""From then on a day of each sort has been seen, and what a season forecasts says more than a guess."""

_REFRESH_WINDOWS = 60
_BREATH = 8
"""Windows of the history between two pauses of a snapshot."""

_EARLY_REFRESHES = frozenset({12, 16, 20, 25, 30, 40, 50})


class PipelineMonitor:
    """All that is known of one pipeline.

    Args:
        name: of the pipeline.
        settings: of the monitor.
        detectors: kind of series -> the detectors that judge it.

    Attributes:
        next_offset: of the log; what lies below has been folded already.
    """

    def __init__(
        self, name: str, settings: MonitorSettings, detectors: Mapping[Kind, Sequence[Detector]]
    ) -> None:
        self.name = name
        self.next_offset = 0
        self._settings = settings
        self._log_ms = 0
        self.window_ms = round(settings.window_seconds * 1000)
        self._retained_windows = settings.retained_windows
        self._clock = EventClock(
            lateness_ms=round(settings.lateness_seconds * 1000),
            skew_ms=round(settings.skew_seconds * 1000),
            grace_ms=round(settings.silence_seconds * 1000),
        )
        self._emitters = Emitters(round(settings.silence_seconds * 1000))
        self._definitions: dict[bytes, Definition] = {}
        self._definition = Definition(())
        self._closed: Closed = {}
        self._windows_closed = 0
        self._detectors = detectors
        self._limits = Limits()
        self._place(0)
        self._totals = RunningTotals()
        self._health = Health(budget_a_week=settings.false_alarms_a_week)

    def _place(self, period_ms: int) -> None:
        """Begin anew with windows of another kind: nothing that was learnt from those before holds for them.

        Args:
            period_ms: of a pipeline that runs in batches, from one run to the next; 0: it runs all the time.
        """
        settings, detectors = self._settings, self._detectors
        self._period_ms, size_ms, self._a_week = period_ms, self.window_ms, settings.false_alarms_a_week
        self._closed.clear()
        self._placing: Placing
        if period_ms:
            detectors, self._a_week = for_runs(detectors), budget_of_runs(self._a_week, period_ms)
            settings = replace(settings, calm_windows=CALM_RUNS, warm_up_windows=WARM_UP)
            size_ms, silence_ms = period_ms, round(settings.silence_seconds * 1000)
            self._placing = Runs(period_ms, silence_ms, self._clock, self._closed)
        else:
            self._placing = Tumbling(size_ms, self._clock, self._emitters, self._closed)
        self._history = History(size_ms)
        table = SeriesTable(settings.series)
        a_week = (1 - SHARE) * self._a_week
        self._judge = Judge(detectors, table, a_week, size_ms, settings.warm_up_windows)
        self._baselines = Baselines(table)
        self._models: tuple[dict[str, InputModel], dict[str, LoadModel]] = ({}, {})
        self._incident_settings = settings
        self._incidents = Incidents(self.name, settings, None)

    # -- what comes in

    def apply(self, log_ms: int, record: Frame | Tick | Act) -> Generator[None, None, list[Effect]]:
        """Fold one record of the log; yields now and then, so that an engine may pause."""
        # Another broker may lead the log from here on, with a clock of its own.
        self._log_ms = log_ms = max(log_ms, self._log_ms)
        effects = self._pass_time(log_ms)
        self._placing.settle()
        if isinstance(record, Act):
            return [*effects, *self._act(log_ms, record)]
        if isinstance(record, Frame) and self._emitters.accept(record, log_ms, self._health):
            self._health.frames += 1
            effects += self._define(record)
            yield from self._merge(log_ms, record)
        if self._emitters.notice_silence(log_ms):
            effects += self._redefine()
        if self._placing.has_to_close(log_ms):
            effects += self._revise()
            while (complete := self._placing.next_to_close(log_ms)) is not None:
                effects += yield from self._close(complete)
        return effects

    def _pass_time(self, log_ms: int) -> list[Effect]:
        """What people asked for ends by the time of the log, also between windows."""
        if not 0 < self._incidents.due_ms <= log_ms:
            return []
        return self._carry_out(self._incidents.pass_time(log_ms, self._history, self._lengths()))

    def _act(self, log_ms: int, act: Act) -> list[Effect]:
        return self._carry_out(self._incidents.act(act, log_ms, self._history, self._lengths()))

    def _lengths(self) -> tuple[int, int]:
        """Of the last window and of one as usual, milliseconds, where windows differ in length."""
        if not (self._period_ms and self._closed):
            return 0, 0
        _, last = next(reversed(self._closed.values()))
        return last.window_ms, self._placing.usual_ms

    @property
    def awake(self) -> bool:
        """Whether time passes: once everyone has said goodbye and all is told, it stands still."""
        return self._placing.awake or self._incidents.due_ms > 0

    def _define(self, frame: Frame) -> list[Effect]:
        fresh = frame.definition is not None and frame.definition_hash not in self._definitions
        if frame.definition is not None and fresh:
            self._definitions[frame.definition_hash] = frame.definition
        # Where all define the same, nobody's leaving changes it, and thousands may leave at once.
        if not (fresh or (frame.goodbye and len(self._definitions) > 1)):
            return []
        effects = self._redefine()
        self._health.unreadable += self._judge.seating.given.unreadable if fresh else 0
        return effects

    def _redefine(self) -> list[Effect]:
        definition = self._united()
        effects: list[Effect] = []
        if period_of(definition) != self._period_ms:
            effects = self._carry_out(self._incidents.leave(self._history, self._lengths()))
            remembered = self._incidents.snapshot()
            self._place(period_of(definition))
            self._incidents = Incidents(self.name, self._incident_settings, remembered)
        self._definition = self._history.definition = definition
        self._judge.seating.define(self._definition)
        self._limits.define(self._definition)
        after = {stage.name: tuple(dict.fromkeys(stage.after)) for stage in self._definition.stages}
        inputs, loads = self._models
        # A stage with other parents is another stage: what it received from the old ones says nothing.
        self._models = (
            {n: model for n, model in inputs.items() if after.get(n) == tuple(p for p, _ in model.parents)},
            {n: model for n, model in loads.items() if n in after},
        )
        return effects

    def _united(self) -> Definition:
        """The graph of all emitters that are there; where two define a stage, the newer definition counts.

        When it runs is as it was until all of them agree on something else: much is forgotten then.
        Once all have said goodbye it is the graph of the last one: a run may be a single frame.
        """
        defined = [e for e in self._emitters.known.values() if e.definition_hash in self._definitions]
        last = sorted(defined, key=lambda emitter: (emitter.last_ms, emitter.first_ms))[-1:]
        present = sorted(
            [emitter for emitter in defined if not emitter.gone] or last,
            key=lambda emitter: (emitter.first_ms, emitter.definition_hash),
        )
        in_use = list(dict.fromkeys(emitter.definition_hash for emitter in present))
        if not in_use:
            return self._definition
        self._definitions = {key: self._definitions[key] for key in in_use}
        stages: dict[str, StageDefinition] = {}
        ratios = {}
        for key in in_use:
            stages.update({stage.name: stage for stage in self._definitions[key].stages})
            ratios.update({ratio.name: ratio for ratio in self._definitions[key].ratios})
        limits = dict.fromkeys(limit for key in in_use for limit in self._definitions[key].limits)
        given = {
            reference.stage: reference for key in in_use for reference in self._definitions[key].references
        }
        agreed = len({period_of(self._definitions[key]) for key in in_use}) == 1
        return Definition(
            tuple(stages.values()),
            tuple(ratios.values()),
            tuple(limits),
            tuple(given.values()),
            (self._definitions[in_use[-1]] if agreed else self._definition).run_seconds,
        )

    def _merge(self, log_ms: int, frame: Frame) -> Generator[None, None, None]:
        self._placing.take(log_ms, frame)
        late = self._health.late_records
        for piece in frame.slices:
            self._totals.add(piece)
            window, cause = self._placing.window_for(log_ms, frame, piece.bucket_ms)
            if cause:
                more = int(piece.counters.get("records", 0))
                late[cause] = min(late.get(cause, 0) + more, MOST_COUNTED)
            if window is not None:
                self._health.unreadable += window.add(piece)
            yield

    # -- windows that end

    def _close(self, complete: Complete) -> Generator[None, None, list[Effect]]:
        window, length_ms, exposure, whole = complete[:4]
        start = window.start_ms
        self._windows_closed += 1
        heard, known = dict(complete.heard), dict(complete.known)
        now = WindowCounts(start, _counted(window), {}, heard, known, complete.lag_ms, whole)
        before = self._history.windows[-1] if self._history.windows else None
        self._history.append(now)
        yield
        earlier = self._history.windows[:-1]
        table, models = self._judge.table, self._models
        measured = list(measure(window, now, before, self._definition, table, models, earlier))
        measured += self._placing.measured(complete)
        yield
        judged: list[Judged] = []
        for kind in self._judge.judge(measured, start, exposure, whole=whole):
            judged.append(kind)
            yield
        now.drift, now.moved = self._judge.standardised_drift(), self._judge.moved()
        if self._windows_closed * self.window_ms > _SEASONED_MS:
            now.forecasts = self._judge.forecasts(start)
        columns = Columns.of(judged).with_shown(now, self._definition, exposure)
        yield
        if self._definition.limits:
            self._limits.judge(
                dict(zip(columns.keys, columns.numbers[0].tolist(), strict=True)), start, length_ms
            )
        changes = yield from self._follow(now, complete)
        yield from self._learn(whole=whole)
        closed = self._tell(complete, now, columns)
        self._retain(window, closed)
        return [closed, *changes]

    def _follow(self, now: WindowCounts, complete: Complete) -> Generator[None, None, list[Effect]]:
        """Hand the anomalies to the incidents and carry out what they decide."""
        self._health.alarms += len(self._judge.alarms)
        crept = yield from self._baselines.turn(now.start_ms, SHARE * self._a_week)
        usual_ms = self._placing.usual_ms
        creeping = [anomaly_of(creep, now.start_ms, usual_ms) for creep in crept]
        alarms = self._placing.told(self._judge.alarms, complete)
        anomalies = [*alarms, *self._limits.alarms, *creeping]
        loud = self._limits.loud.union(self._judge.loud, map(key_of, self._baselines.loud))
        lengths = [(complete.length_ms, usual_ms)] if self._period_ms else []
        step = yield from self._incidents.step(now, self._history, anomalies, loud, *lengths)
        return self._carry_out(step)

    def _carry_out(self, step: Step) -> list[Effect]:
        self._judge.seating.hold(sorted(step.hold))
        self._judge.seating.release(sorted(step.release), adopt=step.adopt, chance=step.chance)
        if step.adopt:
            told = {key_of(key): key for key in self._baselines.series}
            self._baselines.adopt(told.get(key, key) for key in sorted(step.release))
        effects: list[Effect] = list(step.changes)
        if step.verdict is not None:
            effects.append(VerdictChanged(self.name, step.verdict))
        return effects

    def _learn(self, *, whole: bool) -> Generator[None, None, None]:
        calm = not self._incidents.watching
        if whole and calm:
            for kind, points, held in self._judge.learn():
                self._baselines.learn(kind, points, held)
            yield
        every = 1 if self._period_ms else _REFRESH_WINDOWS
        due = self._windows_closed % every == 0 or self._windows_closed in _EARLY_REFRESHES
        if due and calm:
            self._judge.seating.refresh()
            yield
            yield from self._fit()

    def _fit(self) -> Generator[None, None, None]:
        inputs, loads = self._models
        for stage in self._definition.stages:
            if stage.after and (model := fit_input(self._history, stage.name)) is not None:
                inputs[stage.name] = model
            if (load := fit_load(self._history, stage.name)) is not None:
                loads[stage.name] = load
            yield

    # -- what goes out

    def _tell(self, complete: Complete, now: WindowCounts, columns: Columns) -> WindowClosed:
        window = complete.window
        self._emitters.count(self._health, self._log_ms)
        self._health.watermark_ms = self._clock.watermark_ms
        self._health.lag_ms = max(0, self._clock.moved_ms - self._clock.newest_ms)
        self._health.labels_overflowed = self._totals.overflowed
        self._health.false_alarms_expected = self._judge.seating.expected_alarms
        self._health.series = len(self._judge.table)
        self._health.series_refused = self._judge.table.refused
        self._health.false_alarms = self._incidents.false_alarms
        self._health.acts_ignored = self._incidents.acts_ignored
        self._health.budget_spent = self._incidents.spent(self._clock.watermark_ms)
        self._health.detector_failures = self._judge.seating.failures
        self._health.unknown_detectors = self._judge.seating.unknown_detectors
        self._health.unreadable += self._limits.refused
        return WindowClosed(
            pipeline=self.name,
            start_ms=window.start_ms,
            window_ms=complete.length_ms,
            revision=window.revision,
            exposure_ms=complete.exposure_ms,
            whole=complete.whole,
            keys=tuple(columns.keys),
            numbers=columns.numbers.tobytes(),
            states=columns.states.tobytes(),
            # Sinks have no use for baselines, and these are a hundred times the rest.
            definition=msgspec.structs.replace(self._definition, references=()),
            versions={
                s.name: by_records(now, s.name) for s in self._definition.stages if s.name in now.stages
            },
            totals=self._totals.copy(),
            latency=latencies(window),
            health=msgspec.structs.replace(self._health, late_records=dict(self._health.late_records)),
        )

    def _retain(self, window: Window, closed: WindowClosed) -> None:
        self._closed[window.start_ms] = (window, closed)
        for start in [
            s for s in self._closed if s <= window.start_ms - self._retained_windows * self.window_ms
        ]:
            del self._closed[start]

    def _revise(self) -> list[Effect]:
        """Tell windows again that late records have changed: the counts are new, the judgement stands."""
        told: list[Effect] = []
        for start, (window, before) in sorted(self._closed.items()):
            if not window.revised:
                continue
            window.revised = False
            window.revision += 1
            stages = _counted(window)
            kept = self._history.find(start)
            if kept is not None:
                kept.stages = stages
            now = WindowCounts(start, stages, lag_ms=0 if kept is None else kept.lag_ms)
            measured = measure(window, now, None, before.definition, self._judge.table, self._models)
            closed = revised(before, window, now, measured)
            self._closed[start] = (window, closed)
            told.append(closed)
        return told

    def standing(self) -> list[Effect]:
        """How things stand: the last window, planned work, an open incident, the verdict."""
        effects: list[Effect] = [closed for _, (_, closed) in sorted(self._closed.items())[-1:]]
        effects += [MuteChanged(self.name, "began", mute) for mute in self._incidents.mutes]
        incident = self._incidents.incident
        if incident is not None:
            effects.append(IncidentChanged("updated", incident))
        return [*effects, VerdictChanged(self.name, self._incidents.verdict)]

    @property
    def recent(self) -> tuple[Incident, ...]:
        """The last incidents as they stand, oldest first, the open one last."""
        return self._incidents.recent

    # -- state

    def snapshot(self) -> dict[str, Any]:
        """All state, of types that MessagePack knows."""
        return {name: part for name, part in self.parts() if name}

    def parts(self) -> Generator[tuple[str, Any], None, None]:
        """The snapshot piece by piece, so that an engine may pause; a piece without a name is none."""
        inputs, loads = self._models
        yield "offset", self.next_offset
        yield "clock", builtins(self._clock)
        yield "emitters", self._emitters.snapshot()
        yield "definitions", [[key, builtins(value)] for key, value in self._definitions.items()]
        yield "definition", builtins(self._definition)
        yield "window_ms", self.window_ms
        yield "log", self._log_ms
        yield from self._placing.parts()
        closed = []
        for window, told in self._closed.values():
            closed.append([window.snapshot(), builtins(told)])
            yield "", None
        yield "closed", closed
        yield "windows", self._windows_closed
        history = []
        for number, counts in enumerate(self._history.windows):
            history.append(builtins(counts))
            if number % _BREATH == 0:
                yield "", None
        yield "history", history
        yield "judge", self._judge.snapshot()
        yield "limits", self._limits.snapshot()
        yield "baselines", self._baselines.snapshot()
        yield "inputs", {name: builtins(model) for name, model in inputs.items()}
        yield "loads", {name: builtins(model) for name, model in loads.items()}
        yield "incidents", self._incidents.snapshot()
        yield "totals", self._totals.snapshot()
        yield "health", builtins(self._health)

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take what ``snapshot`` gave. Settings are the present ones.

        Raises:
            SnapshotError: its windows are of another length: nothing that was learnt from them holds.
        """
        if data["window_ms"] != self.window_ms:
            raise SnapshotError(
                f"the snapshot has windows of {data['window_ms']} ms, the settings say {self.window_ms} ms; "
                "keep the old length, or begin with an empty state"
            )
        if "runs" in data:
            self._place(data["runs"]["period"])
        self.next_offset = data.get("offset", 0)
        clock = msgspec.convert(data["clock"], EventClock)
        for name in ("newest_ms", "moved_ms", "watermark_ms", "lag_ms"):
            setattr(self._clock, name, getattr(clock, name))
        self._emitters.restore(data["emitters"])
        self._definitions = {key: msgspec.convert(value, Definition) for key, value in data["definitions"]}
        self._definition = self._history.definition = msgspec.convert(data["definition"], Definition)
        self._log_ms, self._windows_closed = data["log"], data["windows"]
        self._placing.restore(data)
        for window, closed in data["closed"]:
            self._closed[window[0]] = (Window.restore(window), msgspec.convert(closed, WindowClosed))
        self._history.windows = [msgspec.convert(window, WindowCounts) for window in data["history"]]
        self._judge.restore(data["judge"], self._definition)
        self._limits.restore(data.get("limits", []), self._definition)
        if "baselines" in data:
            self._baselines.restore(data["baselines"])
        self._models = (
            {name: msgspec.convert(model, InputModel) for name, model in data["inputs"].items()},
            {name: msgspec.convert(model, LoadModel) for name, model in data["loads"].items()},
        )
        self._incidents = Incidents(self.name, self._incident_settings, data["incidents"])
        self._totals.restore(data["totals"])
        self._health = msgspec.convert(data["health"], Health)


def _counted(window: Window) -> dict[str, dict[str, StageCounts]]:
    return {
        stage: {version: count_stage(tally) for version, tally in versions.items()}
        for stage, versions in window.by_stage().items()
    }
