"""A user's own pipeline at work in virtual time, with faults that are carried out through its seams."""

from __future__ import annotations

from math import exp
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from swirl.errors import DefinitionError
from swirl.testing.drill.faults import Fault, level, traffic
from swirl.testing.drill.fleet import Fleet
from swirl.testing.drill.seam import Seam, seams_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl.sdk.pipeline import Pipeline
    from swirl.sdk.recorder import Recorder
    from swirl.testing.harness import HarnessState

__all__ = ["BAD_VERSION", "LATEST_S", "Process", "Site", "check_sends"]

BAD_VERSION = "drill"
LATEST_S = 120.0
"""Of late data at full strength."""
SKEW_S = -60.0
_BUSY = 0.2
"""Share of the time in which a healthy pipeline works, at most; so there is room to be slower."""
_CALL_S = 0.004
_DEPLOYED = ("deployment", "canary", "rolling")


class Process(NamedTuple):
    """A process of the user's.

    Attributes:
        pipeline: its own.
        send: sends one record, or one batch, through its stages.
        seams: of its stages.
    """

    pipeline: Pipeline
    send: Callable[[], object]
    seams: dict[str, Seam]


class Site:
    """Processes of one pipeline, their time and their faults.

    Args:
        made: pipelines and what sends a record through each.
        per_second: calls of ``send`` a second, all processes together.
        window_seconds: of the monitor.
        seed: of the traffic and of which records are hit.
        resume: go on from a saved moment.

    Attributes:
        harness: what drives and watches the processes.
        faults: what goes wrong.
        raised: the last exception that a send ended with, None for none.
    """

    def __init__(
        self,
        made: list[tuple[Pipeline, Callable[[], object]]],
        per_second: float,
        window_seconds: int,
        seed: int,
        resume: HarnessState | None = None,
    ) -> None:
        self._luck = Random(seed)  # noqa: S311 - traffic for show
        self.per_second, self._window_s = per_second, window_seconds
        self.faults: list[Fault] = []
        self._begun: list[Fault] = []
        self.raised: Exception | None = None
        self.sent = self.failed = 0
        self._call_s = 0.0
        self.harness = Fleet(
            *(pipeline for pipeline, _ in made), window_seconds=window_seconds, resume=resume
        )
        self.processes = [self._seamed(pipeline, send) for pipeline, send in made]
        self._shares = [1.0 / len(made)] * len(made)
        self._versions: list[tuple[Recorder, Any]] = []
        self._judges: list[tuple[Recorder, Any]] = []

    def _seamed(self, pipeline: Pipeline, send: Callable[[], object]) -> Process:
        seams = seams_of(pipeline, self._rest, self._luck)
        self._call_s = min(_CALL_S, _BUSY / self.per_second / len(seams))
        return Process(pipeline, send, seams)

    def _rest(self, factor: float) -> None:
        """A call takes its time."""
        self.harness.clock.advance(self._call_s * factor * exp(0.2 * self._luck.gauss(0.0, 1.0)))

    @property
    def slowest(self) -> float:
        """Seconds that a call takes at the worst: where nobody waits for less, no fault can slow it."""
        return 6.0 * self._call_s

    @property
    def now(self) -> float:
        """Seconds since 1970 of virtual time."""
        return self.harness.clock.now

    def run(self, windows: int) -> None:
        """Let so many windows pass."""
        for _ in range(windows * self._window_s):
            self._begin()
            self._seethe()
            self._second()

    def close(self) -> None:
        """Leave the user's pipelines as they were."""
        for recorder, source in self._versions:
            recorder.version.become(source, recorder.ticks())
        for recorder, judge in self._judges:
            recorder.judge = judge
        for process in self.processes:
            for seam in process.seams.values():
                seam.close()

    # -- traffic

    def _second(self) -> None:
        end = self.now + 1.0
        factor = traffic(self.faults, self._source, self.now)
        for process, share in zip(self.processes, self._shares, strict=True):
            for _ in range(self._poisson(self.per_second * factor * share)):
                self._send(process)
                if self._level("doubled", self._source):
                    self._send(process)
        self.harness.advance(max(0.0, end - self.now))

    def _poisson(self, mean: float) -> int:
        """Arrivals in a second that come by themselves."""
        count, passed = 0, self._luck.expovariate(1.0)
        while passed < mean:
            count, passed = count + 1, passed + self._luck.expovariate(1.0)
        return count

    def _send(self, process: Process) -> None:
        self.sent += 1
        try:
            process.send()
        except Exception as error:  # noqa: BLE001 - a stage of the user's may raise, and a drill makes it
            self.failed, self.raised = self.failed + 1, error

    @property
    def _source(self) -> str:
        return next(iter(self.processes[0].pipeline._written.stages))  # noqa: SLF001 - the kit reads what it drives

    # -- faults

    def _level(self, kinds: str | tuple[str, ...], stage: str) -> float:
        return level(self.faults, kinds, stage, self.now) if self.faults else 0.0

    def _seethe(self) -> None:
        """Set the seams to what the faults are like now."""
        for number, process in enumerate(self.processes):
            for stage, seam in process.seams.items():
                self._set(seam, stage, number)

    def _set(self, seam: Seam, stage: str, number: int) -> None:
        seam.nulls, seam.format = self._level("nulls", stage), self._level("format", stage)
        seam.unit, seam.drift = self._level("unit", stage), self._level("drift", stage)
        seam.slow = 1.0 + 5.0 * self._level("slow", stage)
        # A bad version swaps labels where there are some, and raises elsewhere; elsewhere than in the
        # newcomer the old one is at work.
        newcomer = number == len(self.processes) - 1
        bad = self._level("deployment", stage)
        bad = max(bad, self._level(("canary", "rolling"), stage) if newcomer else 0.0)
        swaps = len(seam.labels) > 1
        seam.swap = max(self._level(("labels", "concept"), stage), bad if swaps else 0.0)
        seam.errors = max(self._level("errors", stage), 0.0 if swaps else bad)

    def _begin(self) -> None:
        for fault in self.faults:
            if fault.onset <= self.now and fault not in self._begun:
                self._begun.append(fault)
                getattr(self, f"_begin_{fault.kind}", lambda fault: None)(fault)  # noqa: ARG005
            if fault.kind == "rolling":
                self._shares = self._with_newcomer(min(1.0, (self.now - fault.onset) / max(fault.ramp, 1.0)))

    def _begin_deployment(self, fault: Fault) -> None:
        for process in self.processes:
            self._release(process, fault.stage)

    _begin_innocent = _begin_deployment

    def _release(self, process: Process, stage: str) -> None:
        recorder = self._recorders(process)[stage]
        self._versions.append((recorder, recorder.version.source))
        recorder.version.become(BAD_VERSION, recorder.ticks())

    @staticmethod
    def _recorders(process: Process) -> dict[str, Recorder]:
        return {recorder.stage: recorder for recorder in process.pipeline._emitter.gate.recorders}  # noqa: SLF001

    def _with_newcomer(self, share: float) -> list[float]:
        before = len(self.processes) - 1
        return [*([(1.0 - share) / before] * before), share]

    def join(self, pipeline: Pipeline, send: Callable[[], object], share: float, stage: str = "") -> None:
        """Another process begins, with a new version of a stage if one is named."""
        self.harness.join(pipeline)
        process = self._seamed(pipeline, send)
        for name, seam in process.seams.items():
            seam.labels = self.processes[0].seams[name].labels
        self.processes.append(process)
        self._shares = self._with_newcomer(share)
        if stage:
            self._release(process, stage)

    def _begin_restart(self, fault: Fault) -> None:  # noqa: ARG002 - all faults begin alike
        self.harness.restart()

    def _begin_silence(self, fault: Fault) -> None:  # noqa: ARG002
        self.harness.silence(self.processes[0].pipeline)

    def _begin_skew(self, fault: Fault) -> None:  # noqa: ARG002
        self.harness.skew(self.processes[0].pipeline, SKEW_S)

    def _begin_late(self, fault: Fault) -> None:
        for process in self.processes:
            for recorder in self._recorders(process).values():
                if recorder.times and recorder.judge is not None:
                    self._judges.append((recorder, recorder.judge))
                    recorder.judge = self._late(recorder.judge, fault)

    def _late(self, judge: Callable[..., Any], fault: Fault) -> Callable[..., Any]:
        def later(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            note = judge(result, args, kwargs)
            if note.at is not None:
                note.at -= round(1000.0 * LATEST_S * fault.level(self.now))
            return note

        return later


def check_sends(site: Site) -> None:
    """Whether records come through at all.

    Raises:
        DefinitionError: every call of ``send`` raised.
    """
    if site.sent and site.failed == site.sent:
        raise DefinitionError(f"every call that should send a record raised, the last one {site.raised!r}")
