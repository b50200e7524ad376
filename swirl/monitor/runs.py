"""Pipelines that run in batches: a run is a window, and one that stays away or does not finish is told.

All records of a run belong to it, whatever their event times. A run is complete when every emitter of it said
so, and cut off when one of them ended or fell silent without. Emitters are of one run if they name the same
start, or starts within moments of each other while the run is going. Whether a run is late goes by log time:
a run may be of old data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from swirl.detector import Kind
from swirl.effect import SeriesKey
from swirl.incident import numbers
from swirl.incident.beyond import DID_NOT_FINISH, DID_NOT_RUN, SLOW_RUN
from swirl.incident.case import RUN, Anomaly
from swirl.monitor.placing import Complete
from swirl.monitor.schedule import Schedule
from swirl.series import Measured
from swirl.window import Window

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from swirl.frame import Frame
    from swirl.monitor.placing import Closed
    from swirl.window import EventClock

__all__ = ["Part", "Run", "Runs"]

_LATE = 1.25
"""A run is late after so many times the time between two, and the usual length of one."""
_TOGETHER = 20
"""Starts this part of the period apart are of one run, and at most"""
_TOGETHER_MOST_MS = 300_000
_LINGERING = 10
"""Who has done nothing for this part of the period, while others are over, holds the run no more."""
_OVERTAKEN = 3
"""A run that takes so many times the usual length is waited for no more when a later one is over."""
_SLOW = 1.5
"""A run that takes less than so many times the usual length is told to nobody."""
_LENGTHS = 15
_PAST = 8
_WHOLE = 0.99
_EVIDENCE = 10.0
"""What is exact is overwhelming."""


class Part(msgspec.Struct):
    """What one emitter does of a run.

    Attributes:
        run_ms, run_id: start and identity of the run, as it says.
        last_ms, worked_ms: log time of its newest frame, and of the newest with records.
        over: it said that the run is.
        left: it said goodbye before.
    """

    run_ms: int
    last_ms: int
    worked_ms: int
    over: bool = False
    left: bool = False
    run_id: str = ""


class Run(msgspec.Struct):
    """One run.

    Attributes:
        start_ms: of its window.
        begun_ms: log time of its first frame.
        due_ms: log time at which the next one is due.
        parts: by emitter.
        heard_late: an emitter was heard from the middle on.
    """

    start_ms: int
    begun_ms: int
    due_ms: int
    parts: dict[bytes, Part] = {}
    heard_late: bool = False

    def started_ms(self) -> int:
        """When it began, as its first emitter says."""
        return next(iter(self.parts.values())).run_ms


class Runs:
    """See :class:`swirl.monitor.placing.Placing`.

    Args:
        period_ms: from one run to the next.
        silence_ms: log time after which an unheard emitter is missing.
        clock: event time of the pipeline.
        closed: windows that were told.

    Attributes:
        window_ms: the period.
        open: windows of the runs that are going, by their start.
    """

    def __init__(self, period_ms: int, silence_ms: int, clock: EventClock, closed: Closed) -> None:
        self.window_ms = period_ms
        self.open: dict[int, Window] = {}
        self._silence_ms, self._clock, self._closed = silence_ms, clock, closed
        self._going: dict[int, Run] = {}
        self._past: list[Run] = []
        self._lengths: list[int] = []
        self._schedule = Schedule(period_ms)
        self._next_ms = -1
        self._newest: Run | None = None
        """The run that began last."""
        self._told = False
        """That the next one stays away, or that this one does not end."""
        self._here: Run | None = None
        """The run of the frame that is being folded."""

    @property
    def awake(self) -> bool:
        """Whether time passes: also while nobody is there, until the next run is there or is missed."""
        return bool(self._going) or (self._newest is not None and not self._told)

    @property
    def usual_ms(self) -> int:
        """How long a run usually takes; the period while that is not known."""
        return sorted(self._lengths)[len(self._lengths) // 2] if self._lengths else self.window_ms

    def settle(self) -> None:
        """Nothing to do: a run does not end by who is there."""

    # -- which run

    def take(self, log_ms: int, frame: Frame) -> None:
        """Note what a frame says of its run."""
        start, end = frame.covers
        if end <= frame.run_ms:  # it covers the event times of its data, not those of its work
            start, end = frame.run_ms, frame.sent_ms
        timely = self._clock.heard(log_ms, end, frame.sent_ms)
        self._here = None
        if not frame.run_ms or self._clock.is_future(log_ms, frame.run_ms):
            return
        run = self._here = self._found(frame) or self._begin(log_ms, frame)
        part = run.parts.get(frame.emitter)
        if part is None:
            part = run.parts[frame.emitter] = Part(frame.run_ms, log_ms, log_ms, run_id=frame.run_id)
            # The first frame of a run brings the definition.
            run.heard_late = run.heard_late or frame.definition is None
        part.last_ms = log_ms
        part.worked_ms = log_ms if frame.slices else part.worked_ms
        part.over = part.over or frame.run_over
        part.left = part.left or (frame.goodbye and not part.over)
        window = self.open.get(run.start_ms)
        if timely and window is not None:
            window.coverage.add(max(start, frame.run_ms), end)

    def _found(self, frame: Frame) -> Run | None:
        """The run that a frame is of, if it is known."""
        for run in [*self._going.values(), *self._past]:
            part = run.parts.get(frame.emitter)
            if part is not None and part.run_ms == frame.run_ms:
                return run
        near = min(self.window_ms // _TOGETHER, _TOGETHER_MOST_MS)
        for run in self._going.values():
            first = next(iter(run.parts.values()))
            same = first.run_id == frame.run_id
            if (
                frame.emitter not in run.parts
                and same
                and (frame.run_id or abs(first.run_ms - frame.run_ms) <= near)
            ):
                return run
        return None

    def _begin(self, log_ms: int, frame: Frame) -> Run:
        for run in self._going.values():
            part = run.parts.get(frame.emitter)
            if part is not None and not part.over:
                part.left = True
        start = max(frame.run_ms, self._next_ms)
        while start in self._going:
            start += 1
        run = self._going[start] = self._newest = Run(start, log_ms, self._schedule.next_ms(log_ms))
        self._schedule.note(log_ms)
        self.open[start] = Window(start)
        self._told = False
        return run

    def window_for(self, log_ms: int, frame: Frame, event_ms: int) -> tuple[Window | None, str]:  # noqa: ARG002 - the frame says it
        """The window of the run that a frame is of, and the cause under which its records count as late."""
        run = self._here
        if run is None:
            return None, "future" if self._clock.is_future(log_ms, frame.run_ms) else "closed"
        if run.start_ms in self.open:
            return self.open[run.start_ms], ""
        if run.start_ms in self._closed:
            window = self._closed[run.start_ms][0]
            window.revised = True
            return window, "revised"
        return None, "closed"

    # -- how it ends

    def has_to_close(self, log_ms: int) -> bool:
        """Let log time pass; whether a run is complete, cut off or missed."""
        self._clock.passed(log_ms)
        return self._ending(log_ms) is not None or self._is_missed(log_ms)

    def next_to_close(self, log_ms: int) -> Complete | None:
        """The next run that ended, in order of their starts, or one that stays away."""
        run = self._ending(log_ms)
        if run is not None:
            return self._end(run, log_ms)
        return self._miss(log_ms) if self._is_missed(log_ms) else None

    def _ending(self, log_ms: int) -> Run | None:
        """The oldest run, where it has ended or is waited for no more."""
        if not self._going:
            return None
        oldest = self._going[min(self._going)]
        if self._has_ended(oldest, log_ms) or log_ms > self._after(oldest, oldest.begun_ms + self.window_ms):
            return oldest
        overtaken = self._lengths and log_ms - oldest.begun_ms > _OVERTAKEN * self.usual_ms
        later = (run for run in self._going.values() if run is not oldest)
        return oldest if overtaken and any(self._has_ended(run, log_ms) for run in later) else None

    def _has_ended(self, run: Run, log_ms: int) -> bool:
        # Others of its emitters may begin a little later. Who has seen it to its end waits for nobody.
        return log_ms - run.begun_ms >= self._clock.lateness_ms and not self._holding(run, log_ms)

    def _holding(self, run: Run, log_ms: int) -> list[Part]:
        """The parts that are at work."""
        some_over = any(part.over for part in run.parts.values())
        lingering_ms = max(self.window_ms // _LINGERING, self._silence_ms)
        return [
            part
            for part in run.parts.values()
            if not (part.over or part.left or self._is_silent(part, log_ms))
            and not (some_over and log_ms - part.worked_ms > lingering_ms)
        ]

    def _is_silent(self, part: Part, log_ms: int) -> bool:
        return log_ms - part.last_ms > self._silence_ms

    def _deadline(self, run: Run) -> int:
        """Log time after which the next run should have begun."""
        return self._after(run, run.due_ms)

    def _after(self, run: Run, due_ms: int) -> int:
        """Log time from which what was due after a run is late."""
        late_ms = round((_LATE - 1.0) * self.window_ms)
        return max(due_ms, run.begun_ms) + late_ms + (self.usual_ms if self._lengths else 0)

    def _end(self, run: Run, log_ms: int) -> Complete:
        window = self.open.pop(run.start_ms)
        del self._going[run.start_ms]
        self._past = [*self._past, run][-_PAST:]
        self._next_ms = max(self._next_ms, run.start_ms + 1)
        covered = window.coverage
        length = max(covered.intervals[-1][1] - covered.intervals[0][0], 1) if covered.intervals else 1
        why = self._cut_off(run, log_ms)
        whole = not why and not run.heard_late and covered.length >= _WHOLE * length
        said = (self._said(run.start_ms, "unfinished", DID_NOT_FINISH, self._how(run, length, why)),)
        if whole:
            self._lengths = [*self._lengths, length][-_LENGTHS:]
        if log_ms > self._deadline(run) and run is self._newest:
            self._told = True
        return Complete(window, length, max(covered.length, 1), whole, said if why else ())

    def _cut_off(self, run: Run, log_ms: int) -> str:
        """What happened to a run that did not finish; empty for one that did."""
        if any(part.left for part in run.parts.values()):
            return "was ended from outside after {lasted}"
        silent = [p for p in run.parts.values() if not p.over and self._is_silent(p, log_ms)]
        if silent:
            some = f"lost {len(silent)} of its {len(run.parts)} processes"
            return some if len(run.parts) > 1 else "fell silent after {lasted}"
        if self._holding(run, log_ms):
            return f"is still going after {numbers.duration(log_ms - run.begun_ms)}"
        return ""

    def _how(self, run: Run, length_ms: int, why: str) -> str:
        usually = f"; runs usually take {numbers.duration(self.usual_ms)}" if self._lengths else ""
        what = why.format(lasted=numbers.duration(length_ms))
        return f"the run of {numbers.clock(run.started_ms())} UTC {what}{usually}"

    def _is_missed(self, log_ms: int) -> bool:
        waiting = self._newest is not None and not self._told and not self._going
        return waiting and self._newest is not None and log_ms > self._deadline(self._newest)

    def _miss(self, log_ms: int) -> Complete:
        """A window of nothing stands for the run that did not come: told once, however long it stays away."""
        last = self._newest
        assert last is not None
        self._told = True
        ago_ms = log_ms - last.begun_ms
        after_ms = last.due_ms - last.begun_ms
        start = max(last.start_ms + after_ms, self._next_ms)
        self._next_ms = start + 1
        every = numbers.duration(self.window_ms)
        sentence = f"last run {numbers.duration(ago_ms)} ago, usually every {every}"
        said = self._said(start, "missed", DID_NOT_RUN, sentence)
        return Complete(Window(start), max(ago_ms - after_ms, 1), 0, whole=False, said=(said,))

    @staticmethod
    def _said(start_ms: int, label: str, cause: str, sentence: str) -> Anomaly:
        return Anomaly(SeriesKey("", RUN, label), start_ms, start_ms, _EVIDENCE, -1, (cause, sentence))

    # -- what is judged and told

    def measured(self, complete: Complete) -> Iterator[Measured]:
        """How long the run took."""
        if complete.exposure_ms:
            yield Measured(_LENGTH, Kind.POSITIVE, complete.length_ms / 1000)

    def told(self, alarms: Iterable[Anomaly], complete: Complete) -> list[Anomaly]:
        """The alarms of a run in words, where it took far longer than usual, and what is said beside them."""
        found = [alarm for alarm in alarms if alarm.key != _LENGTH]
        for alarm in alarms:
            if alarm.key == _LENGTH and complete.length_ms > _SLOW * self.usual_ms:
                took, usual = numbers.duration(complete.length_ms), numbers.duration(self.usual_ms)
                sentence = f"the run of {numbers.clock(alarm.start_ms)} UTC took {took}, usually {usual}"
                found.append(alarm._replace(said=(SLOW_RUN, sentence)))
        return [*found, *complete.said]

    # -- state

    def parts(self) -> Generator[tuple[str, Any], None, None]:
        """State by name, of types that MessagePack knows."""
        yield "open", [window.snapshot() for window in self.open.values()]
        yield (
            "runs",
            {
                "period": self.window_ms,
                "going": [_plain(run) for run in self._going.values()],
                "past": [_plain(run) for run in self._past],
                "newest": None if self._newest is None else _plain(self._newest),
                "lengths": self._lengths,
                "begun": self._schedule.begun_ms,
                "next": self._next_ms,
                "told": self._told,
            },
        )

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take what ``parts`` gave."""
        self.open = {window[0]: Window.restore(window) for window in data["open"]}
        kept = data["runs"]
        runs = [msgspec.convert(run, Run) for run in kept["going"]]
        self._going = {run.start_ms: run for run in runs}
        self._past = [msgspec.convert(run, Run) for run in kept["past"]]
        newest = None if kept["newest"] is None else msgspec.convert(kept["newest"], Run)
        same = (run for run in runs if newest is not None and run.start_ms == newest.start_ms)
        self._newest = next(same, newest)
        self._lengths, self._next_ms, self._told = list(kept["lengths"]), kept["next"], kept["told"]
        self._schedule = Schedule(self.window_ms, list(kept["begun"]))


_LENGTH = SeriesKey("", "run_seconds")


def _plain(run: Run) -> Any:
    return msgspec.to_builtins(run, builtin_types=(bytes,))
