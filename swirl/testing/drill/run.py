"""Would Swirl have told it? Every fault that a user's own pipeline can have, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

from swirl.errors import DefinitionError
from swirl.testing.drill.faults import KINDS, Fault
from swirl.testing.drill.records import nulled, renamed, scaled
from swirl.testing.drill.site import Process, Site, check_sends

if TYPE_CHECKING:
    from swirl.effect import Incident
    from swirl.sdk.pipeline import Pipeline
    from swirl.testing.harness import HarnessState

__all__ = ["Drill", "Finding", "Made", "Report"]

Made = tuple["Pipeline", Callable[[], object]]
"""A pipeline, and what sends one record, or one batch, through its stages."""

_SLOW_WINDOWS = 20
"""Until a fault that comes slowly has its full strength."""
_ROLLING_WINDOWS = 5
_CANARY = 0.2
_LEAST_SLOWER_S = 0.003


@dataclass(frozen=True)
class Finding:
    """A fault, and what was told of it.

    Attributes:
        fault: what was done.
        windows: from its onset to the telling, 0 where nothing was told.
        incident: as it stood in the end, None for none.
        further: titles of more incidents.
        hidden: records were broken, and nothing that is measured of their stage shows it: no check refused
            them, none raised, none was a null among its features. So no monitor can name that stage.
    """

    fault: Fault
    windows: int = 0
    incident: Incident | None = None
    further: tuple[str, ...] = ()
    hidden: bool = False

    @property
    def said(self) -> str:
        """The title of the incident, ``""`` for none."""
        return self.incident.title if self.incident is not None else ""

    @property
    def right(self) -> bool:
        """Root stage and cause of a fault; of what is benign, nothing."""
        if self.incident is None or self.fault.truth.benign:
            return self.incident is None and self.fault.truth.benign
        return self.incident.stage == self.fault.stage and self.fault.names(self.incident.cause)


@dataclass
class Report:
    """What a drill showed.

    Attributes:
        findings: a fault each.
        left_out: kinds that the pipeline cannot have, and why.
        quiet_windows: in which nothing was done.
        false_alarms: titles of what was told in them.
    """

    findings: list[Finding] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    quiet_windows: int = 0
    false_alarms: list[str] = field(default_factory=list)

    @property
    def right(self) -> int:
        """How many findings are."""
        return sum(finding.right for finding in self.findings)


@dataclass(frozen=True)
class Drill:
    """Lets faults befall a pipeline in virtual time, each after the same quiet past.

    Args:
        make: gives a pipeline and what sends one record through it. If it gives another pipeline each time,
            faults of one process among several are drilled too; a function that always gives the same one is
            as well.
        per_second: calls of what sends, a second of virtual time.
        strength: of the faults that have one, in (0, 1].
        quiet_windows: of the past; the monitor learns in it.
        fault_windows: that are waited for.
        window_seconds: whole seconds.
        kinds: which faults, of :data:`swirl.testing.drill.KINDS`; by default all.
        seed: of the traffic and of which records are hit.

    Raises:
        DefinitionError: a number is out of its range, or a kind is not known.

    Example:
        >>> import swirl
        >>> def make():
        ...     shop = swirl.Pipeline("shop")
        ...     orders = iter(range(10**9))
        ...     @shop.stage(valid=lambda order: "price" in order)
        ...     def check(order):
        ...         return order
        ...     return shop, lambda: check({"price": 9.5 + next(orders) % 3})
        >>> drill = Drill(make, 20, kinds=("format", "surge"), quiet_windows=100, fault_windows=10)
        >>> report = drill.run()
        >>> [(finding.said, finding.right) for finding in report.findings]
        [('check: data pipeline broken', True), ('', True)]
    """

    make: Callable[[], Made]
    per_second: float = 50.0
    strength: float = 0.5
    quiet_windows: int = 300
    fault_windows: int = 30
    window_seconds: int = 10
    kinds: tuple[str, ...] = tuple(KINDS)
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.per_second <= 100_000.0:
            raise DefinitionError(f"per_second is {self.per_second!r}; it must be above 0 and at most 100000")
        if min(self.quiet_windows - 70, self.fault_windows - 5, self.window_seconds - 1) < 0:
            raise DefinitionError("a drill needs 70 quiet windows, 5 of a fault, and windows of a second")
        if not 0.0 < self.strength <= 1.0:
            raise DefinitionError(f"strength is {self.strength!r}; it must be above 0 and at most 1")
        if unknown := [kind for kind in self.kinds if kind not in KINDS]:
            raise DefinitionError(f"{unknown[0]!r} is no kind of fault; there are: {', '.join(KINDS)}")

    def run(self, heard: Callable[[Finding], object] = lambda finding: None) -> Report:  # noqa: ARG005
        """Do it all.

        Args:
            heard: told of each finding as soon as it is there.

        Raises:
            DefinitionError: no record comes through, or the stages cannot be opened.
        """
        report = Report()
        alone = [self.make()]
        second = self.make()
        several = second[0] is not alone[0][0]
        past, faults = self._quiet(alone, report)
        for fault in self._chosen(faults, report, several=several):
            if fault.truth.hits != "process" or not several:
                self._note(report, self._befall(alone, past, fault), heard)
        if several and any(KINDS[kind].hits == "process" for kind in self.kinds):
            both = [self.make(), self.make()]
            past, _ = self._quiet(both, report)
            for kind in self.kinds:
                if KINDS[kind].hits == "process":
                    self._note(report, self._befall(both, past, self._of_process(kind, both)), heard)
        return report

    @staticmethod
    def _note(report: Report, finding: Finding, heard: Callable[[Finding], object]) -> None:
        report.findings.append(finding)
        heard(finding)

    def _quiet(self, made: list[Made], report: Report) -> tuple[HarnessState, list[Fault | str]]:
        """A past, and which faults these processes can have; a text says why one is left out."""
        site = Site(made, self.per_second, self.window_seconds, self.seed)
        try:
            site.run(self.quiet_windows)
            check_sends(site)
            report.quiet_windows += self.quiet_windows
            report.false_alarms += [incident.title for incident in site.harness.incidents]
            return site.harness.save(), list(self._possible(site))
        finally:
            site.close()

    def _possible(self, site: Site) -> Iterator[Fault | str]:
        process = site.processes[0]
        for kind in self.kinds:
            yield from _fitting(kind, process, site, self.strength)

    def _chosen(self, faults: list[Fault | str], report: Report, *, several: bool) -> Iterator[Fault]:
        for each in faults:
            if isinstance(each, str):
                kind, _, why = each.partition(": ")
                report.left_out[kind] = why
            elif each.kind in ("canary", "rolling", "scale_out", "skew") and not several:
                report.left_out[each.kind] = "it takes a function that gives another process each time"
            else:
                yield each

    @staticmethod
    def _of_process(kind: str, both: list[Made]) -> Fault:
        stages = list(both[0][0]._written.stages)  # noqa: SLF001 - the kit reads what it drives
        return Fault(kind, stages[0] if len(stages) == 1 else "")

    def _befall(self, made: list[Made], past: HarnessState, fault: Fault) -> Finding:
        site = Site(made, self.per_second, self.window_seconds, self.seed + 1, resume=past)
        try:
            site.run(2)
            began, before = site.now, len(site.harness.incidents)
            fault = self._timed(fault, began)
            self._join(site, fault)
            site.faults.append(fault)
            site.run(self.fault_windows + (_SLOW_WINDOWS if fault.truth.slow else 0))
            return self._found(site, fault, began, before)
        finally:
            site.close()

    def _timed(self, fault: Fault, now: float) -> Fault:
        ramp = {"rolling": _ROLLING_WINDOWS, "late": _SLOW_WINDOWS}.get(fault.kind, 0)
        windows = _SLOW_WINDOWS if fault.truth.slow else ramp
        return Fault(fault.kind, fault.stage, fault.strength, now, float(windows * self.window_seconds))

    def _join(self, site: Site, fault: Fault) -> None:
        shares = {"canary": _CANARY, "rolling": 0.0, "scale_out": 0.5}
        if fault.kind in shares:
            site.join(*self.make(), shares[fault.kind], fault.stage)

    def _found(self, site: Site, fault: Fault, began: float, before: int) -> Finding:
        told = site.harness.incidents[before:]
        hidden = fault.kind in ("nulls", "format") and not _shows(site, fault)
        if not told:
            return Finding(fault, hidden=hidden)
        windows = ceil((told[0].opened_ms / 1000.0 - began) / self.window_seconds)
        further = tuple(incident.title for incident in told[1:])
        return Finding(fault, max(1, windows), told[0], further, hidden)


def _fitting(kind: str, process: Process, site: Site, strength: float) -> Iterator[Fault | str]:
    """The faults of a kind that a process can have, or why it cannot: ``"kind: why"``."""
    stages = process.pipeline._emitter.define().stages  # noqa: SLF001 - the kit reads what it drives
    sources = [stage.name for stage in stages if not stage.after]
    strength = strength if KINDS[kind].graded else 1.0
    labelled = [
        name for name, seam in process.seams.items() if len(seam.labels) > 1 and _predicts(stages, name)
    ]
    if kind in _CHANGES:
        yield from _changing(kind, process, sources, strength, features=any(s.features for s in stages))
    elif kind in ("throttled", "stopped", "doubled") and len(sources) > 1:
        yield f"{kind}: one function feeds several sources"
    elif kind == "late" and not any(r.times for r in process.pipeline._emitter.gate.recorders):  # noqa: SLF001
        yield f"{kind}: no stage has at="
    elif KINDS[kind].hits == "source":
        yield Fault(kind, sources[0], strength)
    elif KINDS[kind].hits == "labels" and not labelled:
        yield f"{kind}: no stage returns labels as they are"
    elif KINDS[kind].hits in ("pipeline", "process"):
        yield Fault(kind, _process_stage(kind, stages), strength)
    elif kind == "slow" and site.slowest < _LEAST_SLOWER_S:
        yield f"{kind}: at this rate no call can take long enough; lower per_second"
    elif kind in ("slow", "errors"):
        yield from (Fault(kind, stage.name, strength) for stage in stages)
    else:
        # Labels, and deployments: where a model is, or else at the last stage.
        yield from (Fault(kind, name, strength) for name in labelled or [stages[-1].name])


def _shows(site: Site, fault: Fault) -> bool:
    """Whether a part of the records that were broken is seen to be so where they were broken."""
    shares = [
        [point.value for _, point in site.harness.points(fault.stage, metric)]
        for metric in ("invalid_ratio", "error_ratio", "null_ratio")
    ]
    return any(values and values[-1] - values[0] > 0.1 * fault.strength for values in shares)


def _process_stage(kind: str, stages: tuple[object, ...]) -> str:
    """The root of a fault of the whole pipeline: its only stage has to answer for a silent process."""
    alone = KINDS[kind].hits == "process" and len(stages) == 1
    return str(getattr(stages[0], "name", "")) if alone else ""


_CHANGES = {"nulls": nulled, "format": renamed, "unit": scaled, "drift": scaled}


def _predicts(stages: tuple[object, ...], name: str) -> bool:
    return any(getattr(stage, "name", "") == name and getattr(stage, "predicts", "") for stage in stages)


def _changing(
    kind: str, process: Process, sources: list[str], strength: float, *, features: bool
) -> Iterator[Fault | str]:
    """Faults that change what a source receives, if it can be changed."""
    if kind in ("unit", "drift") and not features:
        yield f"{kind}: no stage has features="
        return
    found = [
        name
        for name in sources
        if any(_differs(one, _CHANGES[kind](one)) for one in process.seams[name].seen)
    ]
    yield from (Fault(kind, name, strength) for name in found)
    if not found:
        yield f"{kind}: what the source receives has no fields that could be changed"


def _differs(one: object, other: object) -> bool:
    return repr(one) != repr(other)
