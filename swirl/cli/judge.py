"""Was Swirl right? The demo's own verdict on what it was told, from effects alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from swirl.cli.scene import Told
    from swirl.effect import Incident

__all__ = ["Fault", "Finding", "Outcome", "judge"]

LIMIT_WINDOWS = 3
LIMIT_MS = 1_000
MACHINE_MS = 250
"""Of that second, what threads and sockets may take."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What was done to the pipeline.

    Attributes:
        name: in the words of the demo.
        title: what Swirl should say.
        injected_ms, ended_ms: event time.
    """

    name: str
    title: str
    injected_ms: int
    ended_ms: int


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of a fault.

    Attributes:
        fault: see there.
        said: the last title of its incident, ``""`` where it was missed.
        version: the version to blame, ``""`` for none.
        told_ms: when it was named as it should be, or where it never was, of the first word; 0 where it was
            missed.
        in_time: it was named as it should be within the time that was given.
    """

    fault: Fault
    said: str = ""
    version: str = ""
    told_ms: int = 0
    in_time: bool = False

    @property
    def right(self) -> bool:
        """Named in time, and by the same name in the end."""
        return self.in_time and self.said == self.fault.title


@dataclass(frozen=True, slots=True)
class Outcome:
    """The demo's result.

    Attributes:
        findings: one a fault.
        false_alarms: incidents that belong to no fault, or that double one.
        seconds: beyond three windows, within which a fault had to be named.
    """

    findings: tuple[Finding, ...]
    false_alarms: tuple[Incident, ...]
    seconds: int = LIMIT_MS // 1000

    @property
    def passed(self) -> bool:
        """All faults were named right and in time, and nothing else was told."""
        return all(finding.right for finding in self.findings) and not self.false_alarms


def judge(
    faults: Sequence[Fault],
    told: Iterable[Told],
    window_ms: int,
    speed: float = 1.0,
    seconds: int = LIMIT_MS // 1000,
) -> Outcome:
    """Compare what was done with what was told.

    An incident belongs to the first fault within which it began. A window that was open at the injection may
    hold its beginning.

    Args:
        faults: in order of time.
        told: every step of every incident, in order.
        window_ms: length of a window.
        speed: seconds shown per second passed; the machine's own share of the delay grows with it.
        seconds: that the way of a frame and of a message may take, beyond three windows.
    """
    limit_ms = LIMIT_WINDOWS * window_ms + 1000 * seconds + round(MACHINE_MS * (speed - 1.0))
    steps: dict[str, list[Told]] = {}
    for each in told:
        steps.setdefault(each.change.incident.id, []).append(each)
    findings: dict[Fault, Finding] = {}
    false_alarms = []
    for life in steps.values():
        onset_ms = life[0].change.incident.onset_ms
        fault = next((f for f in faults if f.injected_ms - window_ms < onset_ms < f.ended_ms), None)
        if fault is None or fault in findings:
            false_alarms.append(life[-1].change.incident)
        else:
            findings[fault] = _find(fault, life, limit_ms)
    found = tuple(findings.get(fault, Finding(fault)) for fault in faults)
    return Outcome(found, tuple(false_alarms), seconds)


def _find(fault: Fault, life: Sequence[Told], limit_ms: int) -> Finding:
    right = next((each for each in life if each.change.incident.title == fault.title), None)
    told_ms, last = (right or life[0]).heard_ms, life[-1].change.incident
    in_time = right is not None and told_ms <= fault.injected_ms + limit_ms
    return Finding(fault, last.title, last.version, told_ms, in_time)
