"""The life of an incident: a suspicion, then open, updated, resolved. One at a time for each pipeline.

Pure: called once for each closed window, it keeps all it needs in one state that can be snapshotted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from swirl.incident import acts, learning
from swirl.incident.beyond import as_said, beyond_diagnosis
from swirl.incident.case import (
    EMITTERS,
    RUN,
    Anomaly,
    Case,
    Present,
    joined,
    mark,
    missing_emitters,
    take_in,
)
from swirl.incident.causes import UNKNOWN, words_of
from swirl.incident.following import ADOPTED_WINDOWS, BENIGN, Following
from swirl.incident.journal import Ending, Step, end
from swirl.incident.onset import locate, residual_key
from swirl.incident.opening import open_case
from swirl.incident.reasoning import Reasoner
from swirl.incident.segments import seen_in
from swirl.incident.state import Move, State, resumed
from swirl.segments import segment_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from swirl.effect import Incident, Mute, SeriesKey
    from swirl.frame import Act, Verdict
    from swirl.history import History, WindowCounts
    from swirl.incident.diagnose import Diagnosis
    from swirl.settings import MonitorSettings

__all__ = ["Anomaly", "Incidents", "Step"]

SUSPECT_WINDOWS = 5
"""A suspicion that stays chance or traffic for so many windows is dropped."""

BACK_WINDOWS = 30
"""An onset lies at most so many windows back."""

_CALMED = 2
_LEFT = (
    "Closed, and not known to be over: the pipeline runs at other times now, "
    "and what was learnt before does not hold for its new windows."
)


class Incidents:
    """Joins the anomalies of one pipeline into incidents and follows each to its end.

    Args:
        pipeline: its name.
        settings: for ``calm_windows``.
        resume: what :meth:`snapshot` gave.

    Raises:
        SnapshotError: the snapshot is damaged or of another version.
    """

    def __init__(
        self, pipeline: str, settings: MonitorSettings, resume: dict[str, Any] | None = None
    ) -> None:
        self._pipeline = pipeline
        self._calm_windows = settings.calm_windows
        self._state = resumed(resume) if resume is not None else State()
        self._reasoner = Reasoner(pipeline, self._state)
        self._following = Following(self._reasoner, self._calm_windows)

    @property
    def watching(self) -> bool:
        """A suspicion or an incident is there: nothing should be learnt."""
        case = self._state.case
        return case is not None and case.phase != "excused"

    @property
    def incident(self) -> Incident | None:
        """The open incident as it was told last, None if there is none."""
        case = self._state.case
        return case.incident if case is not None else None

    @property
    def verdict(self) -> Verdict:
        """What the pipeline was told last."""
        return self._state.verdict

    def snapshot(self) -> dict[str, Any]:
        """All state, of types that MessagePack knows."""
        found: dict[str, Any] = msgspec.to_builtins(self._state)
        return found

    def step(
        self,
        window: WindowCounts,
        history: History,
        anomalies: Sequence[Anomaly],
        loud: frozenset[SeriesKey],
        lengths: tuple[int, int] = (0, 0),
    ) -> Generator[None, None, Step]:
        """Take in a closed window, which is the last of the history.

        Args:
            window: the window.
            history: windows of an incident are marked in it as not normal.
            anomalies: alarms of this window.
            loud: series that are held and still far from normal.
            lengths: of this window and of one as usual, milliseconds, where windows differ in length.
        """
        present = Present(window, history, joined(anomalies, missing_emitters(window)), loud, *lengths)
        case = self._state.case
        if case is not None and window.whole and any(key.metric == RUN for key in case.keys):
            return (yield from self._arrive(case, present))
        return (yield from self._step(case, present))

    def _arrive(self, case: Case, present: Present) -> Generator[None, None, Step]:
        """The run that was waited for has come and is complete; what it shows is another matter."""
        case.keys = [key for key in case.keys if key.metric != RUN]
        if case.keys or case.incident is None:
            return (yield from self._step(case, present))
        case.loud_end_ms = present.window.start_ms
        over = self._following.resolve(case, present, case.incident, for_good=True)
        step = yield from self._step(self._state.case, present)
        return step._replace(
            changes=[*over.changes, *step.changes],
            release=over.release | step.release,
            verdict=step.verdict or over.verdict,
        )

    def _step(self, case: Case | None, present: Present) -> Generator[None, None, Step]:
        history = present.history
        if case is not None:
            case.go_on()
        elif not present.anomalies:
            return Step([])
        else:
            case = yield from self._suspect(present)
        if case.phase == "excused" and (new := present.fresh(case)):
            case = yield from self._suspect(present._replace(anomalies=new))
        fresh = take_in(case, present)
        before = set(case.held)
        held = before | {k for k in fresh if k.metric not in (EMITTERS, RUN)}
        case.held = sorted(held)
        if case.phase == "suspected":
            step = yield from self._watch(case, present)
        elif case.phase == "excused":
            step = self._excuse(case, present)
        else:
            step = yield from self._following.follow(case, present, fresh)
        if self._state.case is case and case.phase != "excused":
            mark(history, case.since_ms, normal=False)
        return step._replace(hold=frozenset(held - before) - step.release)

    def _suspect(self, present: Present) -> Generator[None, None, Case]:
        """Something new happens, perhaps while traffic is excused, which then stays so."""
        since, onset = yield from self._begin(present)
        windows = sum(window.start_ms >= onset for window in present.history.windows)
        case = self._state.case = Case(since, onset, windows=windows, excused=self._state.case)
        return case

    def _begin(self, present: Present) -> Generator[None, None, tuple[int, int]]:
        """When it began: as the loudest alarm says, within bounds, and where that series really left."""
        start, size = present.window.start_ms, present.history.window_ms
        loudest = max(present.anomalies, key=lambda a: (a.evidence, a.key))
        since = min(max(loudest.since_ms, start - BACK_WINDOWS * size, self._state.ended_ms), start)
        mark(present.history, since, normal=False)
        history, key = seen_in(present.history, loudest.key)
        onset = yield from locate(history, since, start, key)
        return since, onset

    def _watch(self, case: Case, present: Present) -> Generator[None, None, Step]:
        """Is it worth telling? Not before a whole window says so; a missing emitter is exact at once."""
        if not (present.window.whole or present.missing):
            return Step([])
        case.seen += 1
        whole = yield from self._reasoner.diagnosed(case, present)
        diagnosis = yield from self._reasoner.narrowed(case, present, whole)
        if diagnosis.benign < BENIGN and diagnosis.residuals is not None:
            told = yield from self._reasoner.told(diagnosis, case, present)
            if told.cause == words_of(UNKNOWN) and case.said:
                told = as_said(case.said, diagnosis)
            yield
            return open_case(self._reasoner, case, present, told, diagnosis)
        if case.said:
            return open_case(self._reasoner, case, present, as_said(case.said, diagnosis), diagnosis)
        if case.seen < SUSPECT_WINDOWS:
            return Step([])
        traffic = diagnosis.benign - diagnosis.chance >= BENIGN
        loud = [k for k in present.loud_of(case) if not segment_of(k)]
        # More load makes the slowest records slower still.
        loud = [k for k in loud if not (traffic and k.metric == "latency_p95")]
        unseen = [k for k in loud if residual_key(k) not in whole.z]
        if unseen:
            return open_case(self._reasoner, case, present, beyond_diagnosis(unseen[0], diagnosis), diagnosis)
        return self._dismiss(case, present, diagnosis)

    def _dismiss(self, case: Case, present: Present, diagnosis: Diagnosis) -> Step:
        """Chance is dropped; traffic that goes on is excused for as long as it lasts."""
        mark(present.history, case.since_ms, normal=True)
        if diagnosis.benign - diagnosis.chance >= BENIGN and present.loud_of(case):
            case.excuse()
            return Step([])
        learning.spend(self._state, present.end_ms)
        return self._drop(case, chance=True)

    def _excuse(self, case: Case, present: Present) -> Step:
        if present.loud_of(case):
            case.calm = 0
        elif present.shows_calm(case):
            case.calm += 1
        if present.age(case) >= ADOPTED_WINDOWS:
            return self._drop(case, adopt=True)
        return self._drop(case) if case.calm >= _CALMED else Step([])

    def _drop(self, case: Case, *, adopt: bool = False, chance: bool = False) -> Step:
        self._state.case = case.excused
        return Step([], release=frozenset(case.held), adopt=adopt, chance=chance)

    # -- what people say, and time that passes

    def act(self, act: Act, log_ms: int, history: History, lengths: tuple[int, int] = (0, 0)) -> Step:
        """Take what a person says; said twice, or of what is not known, it changes nothing.

        Args:
            act: what is said.
            log_ms: when the log took it.
            history: of the windows so far.
            lengths: of the last window and of one as usual, as for :meth:`step`.
        """
        act, present = acts.bounded_act(act, history.definition), _last(history, lengths)
        if act.act in ("mute", "unmute"):
            return Step(acts.plan(self._state, self._pipeline, act, log_ms, present))
        if present is None:
            self._state.acts_ignored += 1
            return Step([])
        return acts.take(self._state, act, log_ms, present, self._calm_windows)

    @property
    def due_ms(self) -> int:
        """Log time at which a snooze or planned work is over; 0: there is none."""
        return acts.due_ms(self._state)

    def pass_time(self, log_ms: int, history: History, lengths: tuple[int, int] = (0, 0)) -> Step:
        """Tell what is over by now; the arguments are those of :meth:`act`."""
        return Step(acts.pass_time(self._state, self._pipeline, log_ms, _last(history, lengths)))

    def leave(self, history: History, lengths: tuple[int, int] = (0, 0)) -> Step:
        """Windows are of another kind from now on: nothing would ever end what is open.

        Args:
            history: of the windows so far.
            lengths: as for :meth:`act`.
        """
        case, present = self._state.case, _last(history, lengths)
        step = Step([])
        if case is not None and case.incident is not None and present is not None:
            case.loud_end_ms = present.end_ms
            step = end(self._state, case, present, Ending("left", _LEFT, present.end_ms), 0)
        self._state.case, self._state.fading = None, []
        return step

    @property
    def false_alarms(self) -> int:
        """Incidents that people called false alarms."""
        return self._state.false_alarms

    @property
    def acts_ignored(self) -> int:
        """What people said of incidents that are not known, or without sense."""
        return self._state.acts_ignored

    def spent(self, now_ms: int) -> int:
        """Alarms of the last seven days that were chance, by the diagnosis or by a person."""
        return learning.spent(self._state, now_ms)

    # -- what is remembered

    @property
    def recent(self) -> tuple[Incident, ...]:
        """The last incidents as they stand, oldest first, the open one last."""
        open_one = self.incident
        return (*self._state.past, *(() if open_one is None else (open_one,)))

    @property
    def mutes(self) -> tuple[Mute, ...]:
        """Planned work that goes on."""
        return tuple(planned.mute for planned in self._state.mutes.values())

    @property
    def moves(self) -> tuple[Move, ...]:
        """The last times that a person moved the baseline, oldest first."""
        return tuple(self._state.moves)


def _last(history: History, lengths: tuple[int, int]) -> Present | None:
    if not history.windows:
        return None
    return Present(history.windows[-1], history, [], frozenset(), *lengths)
