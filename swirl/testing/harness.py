"""Would Swirl have caught it? A user's own decorated pipeline, driven through virtual hours in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from swirl.effect import (
    Effect,
    Incident,
    IncidentChanged,
    MuteChanged,
    SeriesPoint,
    State,
    VerdictChanged,
    WindowClosed,
)
from swirl.frame import Tick, encode
from swirl.monitor import Monitor
from swirl.sdk.acts import act_on, plan
from swirl.sdk.transport import Transport
from swirl.settings import MonitorSettings
from swirl.testing.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from swirl.detector import Detector, Kind
    from swirl.sdk.pipeline import Pipeline

__all__ = ["Harness", "HarnessState"]

_HOUR = 3600.0


class HarnessState(NamedTuple):
    """A moment of a harness, from which any number of others may go on: one past, many futures.

    Attributes:
        now: seconds since 1970 of virtual time.
        monitor: what the monitor saved.
        sequences: number of the newest frame of each pipeline.
    """

    now: float
    monitor: bytes
    sequences: tuple[int, ...]


class Harness(Transport):
    """Drives decorated pipelines by a manual clock, watched by the real monitor, all in the calling thread.

    Args:
        pipelines: whose stages will be called; from now on their frames go to this harness.
        settings: of the monitor; or give single ones by name.
        flush_seconds: virtual time between two frames.
        detectors: kind of series -> detectors; default: those of production.
        start: seconds since 1970 UTC at which virtual time begins.
        keep_windows: how many closed windows are kept for :meth:`points`.
        resume: what :meth:`save` gave: virtual time, and what the monitor has learnt, go on from there. The
            pipelines are the same in the same order, or others defined alike; ``start`` does not count.
        **given: single settings, such as ``window_seconds=10``.

    Example:
        >>> import swirl
        >>> shop = swirl.Pipeline("shop")
        >>> @shop.stage(valid=lambda order: order["price"] > 0)
        ... def check(order):
        ...     return order
        >>> harness = Harness(shop, window_seconds=10)
        >>> def order():
        ...     return check({"price": 1 if harness.calls % 200 else 0})
        >>> harness.drive(order, per_second=20, seconds=900)
        >>> harness.incidents
        []
        >>> harness.drive(lambda: check({"price": 0}), per_second=20, seconds=30)
        >>> [incident.title for incident in harness.incidents]
        ['check: data pipeline broken']
    """

    def __init__(
        self,
        *pipelines: Pipeline,
        settings: MonitorSettings | None = None,
        flush_seconds: float = 1.0,
        detectors: Mapping[Kind, Sequence[Detector]] | None = None,
        start: float = 1_767_571_200.0,
        keep_windows: int = 2000,
        resume: HarnessState | None = None,
        **given: Any,
    ) -> None:
        self.clock = ManualClock(start if resume is None else resume.now)
        self.settings = settings or MonitorSettings(**given)
        self.monitor = Monitor(self.settings, detectors)
        self.calls = 0
        """How many records :meth:`drive` has sent."""
        self.changes: list[IncidentChanged] = []
        """Everything that was told of incidents, in order."""
        self.mutes: list[MuteChanged] = []
        """Every beginning and end of planned work."""
        self.verdicts: list[VerdictChanged] = []
        """Every turn of a verdict."""
        self.windows: list[WindowClosed] = []
        """The closed windows, oldest first."""
        self.alarms: list[tuple[WindowClosed, SeriesPoint]] = []
        """Every point that raised an alarm, told or not."""
        self._keep = keep_windows
        self._flush_seconds = flush_seconds
        self._due = self.clock.now + flush_seconds
        self._pipelines = pipelines
        for index, pipeline in enumerate(pipelines):
            emitter = index.to_bytes(16, "big")
            pipeline.rebind(clock=self.clock, transport=self, threaded=False, emitter=emitter)
        if resume is not None:
            self._resume(resume)

    def _resume(self, state: HarnessState) -> None:
        self.monitor.restore(state.monitor)
        for pipeline, sequence in zip(self._pipelines, state.sequences, strict=True):
            pipeline._emitter._framing.sequence = sequence  # noqa: SLF001 - the same emitter goes on, it is not a restart

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def send(self, pipeline: str, payload: bytes, lost: Callable[[], object]) -> None:  # noqa: ARG002 - a transport is told
        """Take a frame: the harness is the pipelines' transport."""
        self._apply(payload)

    def close(self, timeout: float) -> None:
        """Part of being a transport; there is nothing to close."""

    def drive(
        self, record: Callable[[], object], *, per_second: float, seconds: float = 0.0, hours: float = 0.0
    ) -> None:
        """Call ``record`` at a steady rate while virtual time passes.

        Args:
            record: sends one record through the pipeline.
            per_second: how often in a virtual second.
            seconds: how long,
            hours: and how long besides.
        """
        span = seconds + hours * _HOUR
        steps = max(1, round(span / self._flush_seconds))
        wanted, sent = per_second * span / steps, 0
        for step in range(1, steps + 1):
            due = round(wanted * step)
            while sent < due:
                record()
                sent += 1
                self.calls += 1
            self.advance(span / steps)

    def advance(self, seconds: float) -> None:
        """Let virtual time pass, flushing as a live emitter would."""
        end = self.clock.now + seconds
        while self._due <= end + 1e-9:
            self.clock.advance(max(0.0, self._due - self.clock.now))
            self._due += self._flush_seconds
            self._flush()
        self.clock.advance(max(0.0, end - self.clock.now))

    def be_silent(self, seconds: float) -> None:
        """Let virtual time pass without a frame: what a crash of the process looks like."""
        for _ in range(max(1, round(seconds / self._flush_seconds))):
            self.clock.advance(self._flush_seconds)
            for pipeline in self._pipelines:
                self._apply(encode(Tick(pipeline.name)))
        self._due = self.clock.now + self._flush_seconds

    def finish(self) -> None:
        """Let the open windows close."""
        self.advance(self.settings.lateness_seconds + 2 * self.settings.window_seconds)

    def say(
        self,
        act: Literal["acknowledge", "snooze", "resolve", "new_normal", "false_alarm", "confirm"],
        incident: str,
        why: str = "",
        *,
        for_seconds: float = 3600.0,
        **given: str,
    ) -> None:
        """Say something of an incident; see :func:`swirl.acknowledge` and its neighbours."""
        for_ms = round(for_seconds * 1000) if act == "snooze" else 0
        act_on(act, incident, why, transport=self, for_ms=for_ms, **given)

    def mute(
        self, pipeline: str, stage: str = "", *, for_seconds: float, why: str = "", who: str = ""
    ) -> None:
        """Begin planned work; see :func:`swirl.mute`."""
        for_ms = round(for_seconds * 1000)
        plan("mute", pipeline, stage, why, transport=self, for_ms=for_ms, who=who)

    def unmute(self, pipeline: str, stage: str = "", *, who: str = "") -> None:
        """End planned work; see :func:`swirl.unmute`."""
        plan("unmute", pipeline, stage, transport=self, who=who)

    def restart_monitor(self) -> None:
        """Put a new monitor in the place of the old one, with the state that it saved."""
        snapshot = self.monitor.snapshot()
        detectors = self.monitor._detectors  # noqa: SLF001 - the harness rebuilds what it built
        self.monitor = Monitor(self.settings, detectors)
        self.monitor.restore(snapshot)

    def save(self) -> HarnessState:
        """This moment, for ``Harness(..., resume=...)``; what was recorded is flushed first."""
        self._flush()
        sequences = tuple(pipeline._emitter._framing.sequence for pipeline in self._pipelines)  # noqa: SLF001 - as above
        return HarnessState(self.clock.now, self.monitor.snapshot(), sequences)

    def _flush(self) -> None:
        for pipeline in self._pipelines:
            pipeline.emit_now()

    def _apply(self, payload: bytes) -> None:
        log_ms = self.clock.time_ns() // 1_000_000
        for effect in self.monitor.apply(self.monitor.next_offset, log_ms, payload):
            self._take(effect)

    def _take(self, effect: Effect) -> None:
        if isinstance(effect, WindowClosed):
            self.windows.append(effect)
            del self.windows[: -self._keep]
            if State.ANOMALY in effect.states:
                self.alarms += [(effect, point) for point in effect.points() if point.state is State.ANOMALY]
        elif isinstance(effect, IncidentChanged):
            self.changes.append(effect)
        elif isinstance(effect, MuteChanged):
            self.mutes.append(effect)
        elif isinstance(effect, VerdictChanged):
            self.verdicts.append(effect)
            for pipeline in self._pipelines:
                if pipeline.name == effect.pipeline:
                    pipeline.verdict = effect.verdict

    @property
    def incidents(self) -> list[Incident]:
        """Every incident as it stands now, in order of opening."""
        latest: dict[str, Incident] = {}
        for change in self.changes:
            latest[change.incident.id] = change.incident
        return list(latest.values())

    def points(self, stage: str, metric: str, label: str = "") -> Iterator[tuple[int, SeriesPoint]]:
        """One series over the kept windows: start of the window in milliseconds, and its point."""
        for window in self.windows:
            point = window.point(stage, metric, label)
            if point is not None:
                yield window.start_ms, point
