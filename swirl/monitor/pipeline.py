"""The fold of one pipeline: frames in, windows closed, points judged, incidents followed, effects out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from swirl.baseline import SHARE, Baselines
from swirl.effect import Effect, Health, IncidentChanged, MuteChanged, VerdictChanged, WindowClosed
from swirl.errors import SnapshotError
from swirl.frame import Act, Frame
from swirl.history import History, WindowCounts
from swirl.incident.life import Incidents
from swirl.monitor.batch import period_of, terms_of
from swirl.monitor.creep import anomaly_of, key_of
from swirl.monitor.definitions import Definitions
from swirl.monitor.emitters import Emitters
from swirl.monitor.judge import Judge
from swirl.monitor.limits import Limits
from swirl.monitor.models import Models
from swirl.monitor.packable import builtins
from swirl.monitor.report import Columns, counted, told
from swirl.monitor.retained import Retained
from swirl.monitor.runs import Runs
from swirl.monitor.seating import Seating
from swirl.monitor.totals import RunningTotals
from swirl.monitor.tumbling import Tumbling
from swirl.series import SeriesTable, measure
from swirl.sketch import MOST_COUNTED
from swirl.window import EventClock

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from swirl.detector import Detector, Kind
    from swirl.effect import Incident
    from swirl.frame import Tick
    from swirl.incident.life import Step
    from swirl.monitor.placing import Complete, Placing
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
        self._clock = EventClock(
            lateness_ms=round(settings.lateness_seconds * 1000),
            skew_ms=round(settings.skew_seconds * 1000),
            grace_ms=round(settings.silence_seconds * 1000),
        )
        self._emitters = Emitters(round(settings.silence_seconds * 1000))
        self._definitions = Definitions()
        self._retained = Retained(settings.retained_windows * self.window_ms)
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
        self._terms = terms = terms_of(period_ms, self._settings, self._detectors)
        self._retained.windows.clear()
        self._placing: Placing
        if period_ms:
            silence_ms = round(terms.settings.silence_seconds * 1000)
            self._placing = Runs(period_ms, silence_ms, self._clock, self._retained.windows)
        else:
            self._placing = Tumbling(self.window_ms, self._clock, self._emitters, self._retained.windows)
        self._history = History(terms.window_ms)
        table, a_week = SeriesTable(terms.settings.series), (1 - SHARE) * terms.a_week
        warm_up = terms.settings.warm_up_windows
        self._judge = Judge(Seating(terms.detectors, table, a_week, terms.window_ms, warm_up))
        self._baselines = Baselines(table)
        self._models = Models({}, {})
        self._incidents = Incidents(self.name, terms.settings, None)

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
            effects += self._retained.revise(self._history, self._judge.table, self._models)
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
        last = self._retained.last
        return (last.window_ms, self._placing.usual_ms) if self._terms.period_ms and last else (0, 0)

    @property
    def awake(self) -> bool:
        """Whether time passes: once everyone has said goodbye and all is told, it stands still."""
        return self._placing.awake or self._incidents.due_ms > 0

    def _define(self, frame: Frame) -> list[Effect]:
        fresh = self._definitions.add(frame)
        # Where all define the same, nobody's leaving changes it, and thousands may leave at once.
        if not (fresh or (frame.goodbye and self._definitions.differ)):
            return []
        effects = self._redefine()
        self._health.unreadable += self._judge.seating.given.unreadable if fresh else 0
        return effects

    def _redefine(self) -> list[Effect]:
        definition = self._definitions.unite(self._emitters.known.values())
        effects: list[Effect] = []
        if period_of(definition) != self._terms.period_ms:
            effects = self._carry_out(self._incidents.leave(self._history, self._lengths()))
            remembered = self._incidents.snapshot()
            self._place(period_of(definition))
            self._incidents = Incidents(self.name, self._terms.settings, remembered)
        self._history.definition = definition
        self._judge.seating.define(definition)
        self._limits.define(definition)
        self._models = self._models.of(definition)
        return effects

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
        now = WindowCounts(start, counted(window), {}, heard, known, complete.lag_ms, whole)
        before = self._history.windows[-1] if self._history.windows else None
        self._history.append(now)
        yield
        earlier = self._history.windows[:-1]
        table, models = self._judge.table, self._models
        measured = list(measure(window, now, before, self._definitions.united, table, models, earlier))
        measured += self._placing.measured(complete)
        yield
        judged: list[Judged] = []
        for kind in self._judge.judge(measured, start, exposure, whole=whole):
            judged.append(kind)
            yield
        now.drift, now.moved = self._judge.standardised_drift(), self._judge.moved()
        if self._windows_closed * self.window_ms > _SEASONED_MS:
            now.forecasts = self._judge.forecasts(start)
        columns = Columns.of(judged).with_shown(now, self._definitions.united, exposure)
        yield
        if self._definitions.united.limits:
            self._limits.judge(
                dict(zip(columns.keys, columns.numbers[0].tolist(), strict=True)), start, length_ms
            )
        changes = yield from self._follow(now, complete)
        yield from self._learn(whole=whole)
        closed = self._tell(complete, now, columns)
        self._retained.keep(window, closed)
        return [closed, *changes]

    def _follow(self, now: WindowCounts, complete: Complete) -> Generator[None, None, list[Effect]]:
        """Hand the anomalies to the incidents and carry out what they decide."""
        self._health.alarms += len(self._judge.alarms)
        crept = yield from self._baselines.turn(now.start_ms, SHARE * self._terms.a_week)
        usual_ms = self._placing.usual_ms
        creeping = [anomaly_of(creep, now.start_ms, usual_ms) for creep in crept]
        alarms = self._placing.told(self._judge.alarms, complete)
        anomalies = [*alarms, *self._limits.alarms, *creeping]
        loud = self._limits.loud.union(self._judge.loud, map(key_of, self._baselines.loud))
        lengths = [(complete.length_ms, usual_ms)] if self._terms.period_ms else []
        step = yield from self._incidents.step(now, self._history, anomalies, loud, *lengths)
        return self._carry_out(step)

    def _carry_out(self, step: Step) -> list[Effect]:
        self._judge.seating.hold(sorted(step.hold))
        self._judge.seating.release(sorted(step.release), adopt=step.adopt, chance=step.chance)
        if step.adopt:
            judged = {key_of(key): key for key in self._baselines.series}
            self._baselines.adopt(judged.get(key, key) for key in sorted(step.release))
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
        every = 1 if self._terms.period_ms else _REFRESH_WINDOWS
        due = self._windows_closed % every == 0 or self._windows_closed in _EARLY_REFRESHES
        if due and calm:
            self._judge.seating.refresh()
            yield
            yield from self._models.fit(self._history, self._definitions.united)

    # -- what goes out

    def _tell(self, complete: Complete, now: WindowCounts, columns: Columns) -> WindowClosed:
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
        return told(
            self.name, complete, now, columns, self._definitions.united, self._totals.copy(), self._health
        )

    def standing(self) -> list[Effect]:
        """How things stand: the last window, planned work, an open incident, the verdict."""
        effects: list[Effect] = [] if self._retained.newest is None else [self._retained.newest]
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
        yield "offset", self.next_offset
        yield "clock", builtins(self._clock)
        yield "emitters", self._emitters.snapshot()
        yield from self._definitions.parts()
        yield "window_ms", self.window_ms
        yield "log", self._log_ms
        yield from self._placing.parts()
        yield from self._retained.parts()
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
        yield from self._models.parts()
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
        self._definitions.restore(data)
        definition = self._history.definition = self._definitions.united
        self._log_ms, self._windows_closed = data["log"], data["windows"]
        self._placing.restore(data)
        self._retained.restore(data)
        self._history.windows = [msgspec.convert(window, WindowCounts) for window in data["history"]]
        self._judge.restore(data["judge"], definition)
        self._limits.restore(data.get("limits", []), definition)
        if "baselines" in data:
            self._baselines.restore(data["baselines"])
        self._models = Models.restored(data)
        self._incidents = Incidents(self.name, self._terms.settings, data["incidents"])
        self._totals.restore(data["totals"])
        self._health = msgspec.convert(data["health"], Health)
