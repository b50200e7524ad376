"""The table of signs: what each cause does to its own stage, to the stages below and to those above.

To add a cause, add a row. Each metric is a conditional residual (:mod:`swirl.incident.residuals`), so that an
effect which is only passed on leaves no sign. A row says for each metric which role it plays:

======  ===================================================================================================
role    the metric ...
======  ===================================================================================================
up      must rise (5 times in 100 too little to be seen)
down    must fall
move    must move, either way
may     may move, either way
rise    may rise
fall    may fall
drop    probably falls
sway    may move, but rarely does
slower  may rise, and rarely falls
======  ===================================================================================================

and the input of a source, ``records``, plays a range of factors (:data:`FACTORS`) instead. A metric that is
not named is not touched. Priors, role probabilities and their reasons: each was adjusted on simulated
pipelines, see ``tests/incident/simulator.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CAUSES", "CHANCE", "FACTORS", "ROLES", "UNKNOWN", "UNTOUCHED", "Cause", "called", "words_of"]

UNTOUCHED = 0.003
"""Chance, each direction, that a series which a cause does not touch is beyond reason all the same. So one
contradiction costs at most ``ln(1 / 0.003)`` = 5.8 nats, and no single sensor can veto the rest."""

MUST, MAY = 0.95, 0.4

ROLES: dict[str, tuple[float, float]] = {
    "up": (MUST, 0.001),
    "down": (0.001, MUST),
    "move": (MUST / 2, MUST / 2),
    "may": (MAY, MAY),
    "rise": (2 * MAY, UNTOUCHED),
    "fall": (UNTOUCHED, 2 * MAY),
    "drop": (UNTOUCHED, 0.85),
    "slower": (MAY, 0.05),
    "sway": (0.05, 0.05),
    "unknown": (0.02, 0.02),
    "untouched": (UNTOUCHED, UNTOUCHED),
}
"""Role -> probability that the metric rises, and that it falls."""

MUSTS = frozenset({"up", "down", "move"})

FACTORS: dict[str, tuple[float, float]] = {
    "outage": (-7.0, log(0.12)),
    "throttled": (log(0.12), log(0.93)),
    "held_back": (log(0.1), log(1.02)),
    "late": (log(0.02), log(0.97)),
    "surge": (log(1.1), log(8.0)),
    "doubled": (log(1.99), log(2.01)),
}
"""Ranges of the factor on a source's input, as natural logarithms; within one, every factor is as likely."""


@dataclass(frozen=True)
class Cause:
    """A row of the table.

    Attributes:
        words: what a person reads.
        prior: how common it is, against the others.
        own, below, above: metric -> role, at the stage itself, its descendants and its ancestors.
        one_of: of these metrics of its own stage at least one moved, and which is not known.
        where: which stages can have it: all, or sources only.
        ramp: chance that the effect grows slowly instead of coming at once.
        severity: ``"tripped"`` if what comes out is wrong or lost.
        look: where to look first. ``{stage}``, ``{feed}`` (its parents, or
            its source), ``{source}``, ``{version}``, ``{before}``.
        benign: nobody needs to be told.
        signs: reasoned in code, not by the columns above.
    """

    words: str
    prior: float = 1.0
    own: Mapping[str, str] = field(default_factory=dict)
    below: Mapping[str, str] = field(default_factory=dict)
    above: Mapping[str, str] = field(default_factory=dict)
    one_of: tuple[str, ...] = ()
    where: Literal["stage", "source"] = "stage"
    ramp: float = 0.1
    severity: Literal["degraded", "tripped"] = "tripped"
    look: str = ""
    benign: bool = False
    signs: bool = True


CHANCE, UNKNOWN = "chance", "unknown"

_SPREADS = {
    "invalid_ratio": "rise",
    "null_ratio": "rise",
    "drift": "rise",
    "error_ratio": "rise",
    "prediction_ratio": "may",
    "ratio": "may",
}
"""What broken records do to the stages that they pass."""

CAUSES: dict[str, Cause] = {
    "data_broken": Cause(
        "data pipeline broken",
        prior=3,
        # Where a stage has no check of its own, at least one of null_ratio, drift and prediction_ratio moved
        # instead.
        own={
            "invalid_ratio": "up",
            "null_ratio": "rise",
            "drift": "rise",
            "error_ratio": "rise",
            "prediction_ratio": "may",
            "ratio": "may",
        },
        below=_SPREADS,
        look="at what feeds {stage}: {feed} and the schema of its records. Not at the model.",
    ),
    "bad_deployment": Cause(
        "bad deployment",
        prior=6,
        own={"ratio": "may"},
        one_of=("invalid_ratio", "error_ratio", "output_ratio", "prediction_ratio", "latency_p50"),
        below=_SPREADS,
        ramp=0.25,
        look="at {version}; going back to {before} is the quickest test.",
    ),
    "unversioned_change": Cause(
        "change without a version",
        prior=2.5,
        own={"ratio": "may"},
        one_of=("output_ratio", "prediction_ratio"),
        below={"prediction_ratio": "may", "ratio": "may"},
        look="at what {stage} loads while it runs: models, settings, lookups. Its version did not change.",
    ),
    "source_outage": Cause(
        "source outage",
        own={"records": "outage"},
        where="source",
        look="at {source}. {stage} itself is alive.",
    ),
    "source_throttled": Cause(
        "source throttled",
        own={"records": "throttled"},
        where="source",
        severity="degraded",
        look="at {source}: limits, partitions, consumers that fell out. The records that come are fine.",
    ),
    "source_doubled": Cause(
        "records come twice",
        own={"records": "doubled", "ratio": "drop"},
        below={"ratio": "drop"},
        where="source",
        look="at {source}: a replay, a second consumer, a retry that does not know what was done.",
    ),
    "input_drift": Cause(
        "input drift",
        # The drift must show at the first stage that reports features.
        own={"drift": "rise", "prediction_ratio": "may", "ratio": "may"},
        below={"drift": "rise", "prediction_ratio": "may", "ratio": "may"},
        where="source",
        ramp=0.5,
        severity="degraded",
        look="at what changed in the world of {source}. The records are valid; the model may need new ones.",
    ),
    "concept_shift": Cause(
        "concept shift",
        own={"prediction_ratio": "move", "ratio": "may"},
        below={"prediction_ratio": "may", "ratio": "may"},
        ramp=0.95,
        severity="degraded",
        look="at whether the predictions of {stage} are still true. Features and versions did not change.",
    ),
    "downstream_broken": Cause(
        "downstream broken",
        own={"ratio": "down"},
        look="at what takes over after {stage}. Everything before it is as usual.",
    ),
    "slow_stage": Cause(
        "slow stage",
        own={"latency_p50": "up", "input_ratio": "fall", "records": "held_back"},
        above={"latency_p50": "rise", "records": "held_back", "input_ratio": "fall"},
        ramp=0.2,
        severity="degraded",
        look="at what {stage} waits for: the machine, a database, a service, a lock.",
    ),
    "stage_errors": Cause(
        "stage errors",
        own={"error_ratio": "up", "ratio": "may"},
        below={"ratio": "may"},
        look="at the exceptions of {stage}. Its input is valid and its version did not change.",
    ),
    "late_data": Cause(
        "late data",
        # Where a backlog grows, less comes at a time than usual, and every stage has less to do.
        own={"lag": "up", "records": "late", "latency_p50": "fall"},
        below={"latency_p50": "fall"},
        where="source",
        severity="degraded",
        look="at {source}: a backlog or a clock. The records are fine, but old.",
    ),
    # A series left its versioned baseline by small steps over days, and every day looked like the last one:
    # no window shows it, so it is told by :mod:`swirl.baseline` and never weighed.
    "creeping": Cause(
        "slow creep",
        ramp=0.9,
        severity="degraded",
        look="at what {stage} has learnt or taken in since, day by day: each day alone looks as usual.",
        signs=False,
    ),
    "blind": Cause(
        "monitoring blind",
        severity="degraded",
        look="at whether the processes of {stage} still run, and at their way to Swirl.",
        signs=False,
    ),
    "stage_down": Cause(
        "stage down",
        look="at the processes of {stage}: it sends no frames, and the stages after it get nothing.",
        signs=False,
    ),
    "surge": Cause("more traffic", prior=3, ramp=0.35, benign=True, signs=False),
    "rhythm": Cause("rhythm of the traffic", prior=2, ramp=0.98, benign=True, signs=False),
    "scaling": Cause("another number of processes", prior=2, ramp=0.2, benign=True, signs=False),
    "return": Cause("traffic back to before", prior=2, ramp=0.35, benign=True, signs=False),
    CHANCE: Cause("chance", prior=4, ramp=0.5, benign=True, signs=False),
    UNKNOWN: Cause(
        "cause unknown", prior=0.5, severity="degraded", look="at {stage}. The cause is open.", signs=False
    ),
}
"""By name, in the order in which ties are broken."""


def words_of(cause: str) -> str:
    """What a person reads.

    Example:
        >>> words_of("data_broken"), words_of("bad_deployment")
        ('data pipeline broken', 'bad deployment')
    """
    return CAUSES[cause].words


def called(words: str) -> Cause:
    """The row of the cause that a person reads under these words; that of the unknown one if there is none.

    Example:
        >>> called("slow creep").severity, called("limit exceeded") is CAUSES[UNKNOWN]
        ('degraded', True)
    """
    return next((cause for cause in CAUSES.values() if cause.words == words), CAUSES[UNKNOWN])
