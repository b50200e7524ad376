"""The faults that a drill knows, each with its truth in the monitor's own words.

A fault is a value: what goes wrong, where, how strongly, from when on, at once or slowly. It does nothing by
itself. Whoever drives a pipeline asks for :func:`level` and :func:`traffic` and carries them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, pi, sin
from typing import TYPE_CHECKING, Literal

from swirl.errors import DefinitionError
from swirl.incident.causes import CAUSES, words_of

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["KINDS", "Fault", "Kind", "level", "traffic"]

Place = Literal["stage", "source", "features", "labels", "process", "pipeline"]


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        words: what a person reads.
        does: what happens at strength ``s``, as a sentence.
        cause: a key of :data:`swirl.incident.causes.CAUSES`; empty for what nobody needs to be told.
        also: causes that are as right.
        hits: what it needs: any stage, a source, a stage that reports features or predicts labels, one
            process of several, or nothing in particular.
        graded: the strength matters.
        slow: it comes slowly by nature.
    """

    words: str
    does: str
    cause: str = ""
    also: tuple[str, ...] = ()
    hits: Place = "stage"
    graded: bool = True
    slow: bool = False

    @property
    def benign(self) -> bool:
        """Nobody needs to be told."""
        return not self.cause


KINDS: dict[str, Kind] = {
    "nulls": Kind(
        "nulls burst", "a share s of the records has nulls where values should be", "data_broken"
    ),
    "format": Kind("format change", "a share s of the records is written in another format", "data_broken"),
    "unit": Kind(
        "unit change", "a number of a share s of the records is 1000 times too large", "input_drift",
        hits="features",
    ),
    "labels": Kind(
        "label flip", "a share s of the predictions is swapped, no version changed", "unversioned_change",
        hits="labels",
    ),
    "throttled": Kind("throttled source", "a share s of the traffic is held back", "source_throttled",
                      hits="source"),
    "stopped": Kind("stopped source", "nothing comes", "source_outage", hits="source", graded=False),
    "doubled": Kind("duplicated source", "every record comes twice", "source_doubled", hits="source",
                    graded=False),
    "slow": Kind("slow stage", "a call takes up to 1 + 5 s times as long", "slow_stage"),
    "errors": Kind("stage errors", "a share s of the calls raises", "stage_errors"),
    "deployment": Kind("bad deployment", "a new version is wrong for a share s of the records",
                       "bad_deployment"),
    "canary": Kind("bad canary", "the same, for the few records that the new version gets",
                   "bad_deployment"),
    "rolling": Kind("bad rolling deployment", "the same, while the new version takes over",
                    "bad_deployment"),
    "concept": Kind("concept shift", "the world changes: labels shift by up to 2 s in log odds",
                    "concept_shift", hits="labels", slow=True),
    "skew": Kind("clock skew of a process", "the clock of one process is put back", "blind",
                 ("late_data",), "process", graded=False),
    "late": Kind("late data", "records come up to 2 s minutes late", "late_data", hits="source"),
    "drift": Kind("gradual drift", "a feature moves by up to 1.5 s standard deviations", "input_drift",
                  hits="features", slow=True),
    "silence": Kind("silence of a process", "the frames of one process are lost, its work goes on", "blind",
                    hits="process", graded=False),
    "surge": Kind("traffic surge", "up to 1 + 4 s times the traffic", hits="pipeline"),
    "daily": Kind("daily rhythm", "traffic swings by a share 0.8 s around its mean", hits="pipeline",
                  slow=True),
    "weekly": Kind("weekly rhythm", "traffic falls by a share 0.4 s, as at a weekend", hits="pipeline",
                   slow=True),
    "holiday": Kind("holiday", "traffic falls by a share 0.7 s and stays there", hits="pipeline", slow=True),
    "innocent": Kind("innocent deployment", "a new version that changes nothing", graded=False),
    "scale_out": Kind("scale-out", "another process takes its part of the records", hits="pipeline",
                      graded=False),
    "restart": Kind("restart of everything", "all processes say goodbye and begin anew", hits="pipeline",
                    graded=False),
}  # fmt: skip
"""By name."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong, or that only looks like it.

    Args:
        kind: a key of :data:`KINDS`.
        stage: which one it hits, and the root that should be named; empty for the whole pipeline.
        strength: in (0, 1].
        onset: seconds since 1970 at which it begins.
        ramp: seconds until it has its full strength; 0: at once.
        until: seconds since 1970 at which it is over.
        share: of the records that a canary gets, in (0, 1].

    Raises:
        DefinitionError: the kind is not known, or a number is out of its range.

    Example:
        >>> fault = Fault("format", "ingest", strength=0.4, onset=100.0, ramp=10.0)
        >>> fault.title, fault.level(99.0), fault.level(105.0), fault.level(500.0)
        ('ingest: data pipeline broken', 0.0, 0.2, 0.4)
        >>> Fault("surge").title
        ''
    """

    kind: str
    stage: str = ""
    strength: float = 1.0
    onset: float = 0.0
    ramp: float = 0.0
    until: float = inf
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DefinitionError(f"{self.kind!r} is no kind of fault; there are: {', '.join(KINDS)}")
        for name in ("strength", "share"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise DefinitionError(f"{name} is {getattr(self, name)!r}; it must be above 0 and at most 1")
        if not (
            isfinite(self.onset) and self.ramp >= 0.0 and isfinite(self.ramp) and self.until > self.onset
        ):
            raise DefinitionError("onset and ramp are finite seconds, and a fault ends after its onset")

    @property
    def truth(self) -> Kind:
        """Its kind, which knows the cause."""
        return KINDS[self.kind]

    @property
    def title(self) -> str:
        """What an incident should be called, ``""`` where there should be none."""
        return "" if self.truth.benign else f"{self.stage}: {words_of(self.truth.cause)}"

    def names(self, cause: str) -> bool:
        """Whether a cause, in the words of an incident, is the right one.

        Example:
            >>> [Fault("throttled", "a", strength).names("source outage") for strength in (0.5, 0.95)]
            [False, True]
        """
        also = self.truth.also
        if self.kind == "throttled" and self.strength > _HARDLY_ANYTHING:
            also = ("source_outage",)
        return any(CAUSES[key].words == cause for key in (self.truth.cause, *also) if key)

    def level(self, now: float) -> float:
        """How strong it is at a time, in [0, strength]."""
        if not self.onset <= now < self.until:
            return 0.0
        return self.strength * min(1.0, (now - self.onset) / self.ramp) if self.ramp else self.strength


def level(faults: Iterable[Fault], kinds: str | tuple[str, ...], stage: str, now: float) -> float:
    """The strength of all faults of some kinds at a stage together: shares that strike independently.

    Example:
        >>> level([Fault("nulls", "a", 0.5), Fault("format", "a", 0.5)], ("nulls", "format"), "a", 1.0)
        0.75
    """
    spared = 1.0
    for fault in faults:
        if fault.kind in kinds and fault.stage == stage:
            spared *= 1.0 - fault.level(now)
    return 1.0 - spared


def traffic(faults: Iterable[Fault], source: str, now: float) -> float:
    """The factor on the records that come to a source; duplicates are not among them.

    Example:
        >>> traffic([Fault("surge", strength=0.5), Fault("throttled", "ingest", 0.5)], "ingest", 1.0)
        1.5
        >>> traffic([Fault("stopped", "ingest")], "ingest", 1.0)
        0.0
    """
    factor = 1.0
    for fault in faults:
        if fault.stage in ("", source):
            factor *= _factor(fault, now)
    return factor


def _factor(fault: Fault, now: float) -> float:
    if fault.kind == "daily":
        phase = (now - fault.onset) / fault.ramp if fault.ramp and fault.level(now) else 0.0
        return 1.0 + 0.8 * fault.strength * sin(pi / 2.0 * phase)
    strength = fault.level(now)
    return 1.0 + _SWINGS.get(fault.kind, 0.0) * strength


_HARDLY_ANYTHING = 0.85
"""Who holds back more than this share of the traffic leaves what the table of causes calls an outage."""

_SWINGS = {"surge": 4.0, "throttled": -1.0, "stopped": -1.0, "weekly": -0.4, "holiday": -0.7}
"""What full strength adds to the traffic, as a share of it."""
