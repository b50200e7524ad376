"""Which stage is broken, and why: a posterior over hypotheses, each a cause at a stage.

The score of a hypothesis is the logarithm of its prior, plus for each residual series a capped gain over "not
touched" (:data:`swirl.incident.causes.ROLES`), plus what versions, the shape of the onset and missing
emitters say. The residuals are conditional, so an effect that is passed on speaks for no stage but the one
where it arose.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from typing import TYPE_CHECKING

from swirl.incident.causes import CAUSES, CHANCE, UNKNOWN
from swirl.incident.hypotheses import LOUD, Hypothesis, Reasoning
from swirl.incident.priors import Priors
from swirl.incident.residuals import collect

if TYPE_CHECKING:
    from collections.abc import Generator

    from swirl.effect import SeriesKey
    from swirl.history import History
    from swirl.incident.residuals import Forecasts, Residuals
    from swirl.incident.versions import VersionEvidence

__all__ = ["NAMED", "SURE", "Diagnosis", "diagnose"]

NAMED = 0.6
"""A cause or a stage is named from this posterior on; below, the posterior is not calibrated."""

SURE = 0.8
"""Below it another window is waited for."""

_TWO_FAULTS = 20.0
"""One incident in so many is two faults at once."""

_SECOND = 2.0
"""Nats that a second fault must gain."""


@dataclass(frozen=True)
class Diagnosis:
    """What the evidence says.

    Attributes:
        posterior: (cause, stage) -> probability, most probable first.
        best: the most probable pair; if that is "unknown", the stage is the most upstream loud one.
        cause, stage: named, each on its own: ``"unknown"`` and ``""`` while below :data:`NAMED`.
        cause_probability, stage_probability: their sums over stages and over causes.
        benign: probability that nobody needs to be told: chance, or traffic.
        hypotheses: by (cause, stage).
        z: sigmas per series, and of the newest version of a stage against the others.
        residuals: the series and what they are made of.
        second: another fault beside the first, if it explains more than it costs.
        segment: whose numbers these are, ``""`` for the whole pipeline.
    """

    posterior: dict[tuple[str, str], float]
    best: tuple[str, str]
    cause: str
    stage: str
    cause_probability: float
    stage_probability: float
    benign: float
    hypotheses: dict[tuple[str, str], Hypothesis]
    z: dict[SeriesKey, float]
    residuals: Residuals | None
    second: tuple[str, str] | None = None
    segment: str = ""

    @property
    def gains(self) -> dict[SeriesKey, float]:
        """Nats per series under the best hypothesis."""
        found = self.hypotheses.get(self.best)
        return found.gains if found else {}

    @property
    def version(self) -> VersionEvidence | None:
        """What the versions say about the best hypothesis."""
        found = self.hypotheses.get(self.best)
        return found.version if found else None

    @property
    def chance(self) -> float:
        """Probability that it is chance alone."""
        return sum(p for (cause, _), p in self.posterior.items() if cause == CHANCE)


def diagnose(
    history: History,
    onset_ms: int,
    last_ms: int,
    *,
    forecasts: Forecasts | None = None,
    priors: Priors | None = None,
) -> Generator[None, None, Diagnosis]:
    """Reason from the windows that start in ``[onset_ms, last_ms]`` against the baseline before them.

    A generator, so that an engine may pause: it yields at least every half a millisecond of work.

    Args:
        history: with its graph; its windows before the onset that are normal and whole are the baseline.
        onset_ms: start of the first anomalous window.
        last_ms: start of the newest window.
        forecasts: of the records of sources, where a season is known: they take the place of what a rhythm
            may do at most.
        priors: how common the causes are in this pipeline.
    """
    residuals = yield from collect(history, onset_ms, last_ms, forecasts)
    if residuals is None:
        only = {(CHANCE, ""): 1.0}
        return Diagnosis(only, (CHANCE, ""), CHANCE, "", 1.0, 1.0, 1.0, {}, {}, None)
    reasoning = Reasoning(residuals, priors or Priors())
    yield from reasoning.run()
    return _conclude(reasoning)


def _conclude(reasoning: Reasoning) -> Diagnosis:
    """Normalise, name the cause and the stage each on its own, and look for a second fault."""
    hypotheses = reasoning.hypotheses
    keys = sorted(hypotheses, key=lambda k: -hypotheses[k].score)
    best = keys[0]
    weights = [exp(hypotheses[k].score - hypotheses[best].score) for k in keys]
    whole = sum(weights)
    posterior = {k: w / whole for k, w in zip(keys, weights, strict=True)}
    causes: dict[str, float] = {}
    stages: dict[str, float] = {}
    for (cause, stage), p in posterior.items():
        causes[cause] = causes.get(cause, 0.0) + p
        stages[stage] = stages.get(stage, 0.0) + p
    cause, stage = max(causes, key=causes.__getitem__), max(stages, key=stages.__getitem__)
    loud = [k.stage for k, z in reasoning.z.items() if abs(z) > LOUD and k.stage]
    upstream = min(loud, key=reasoning.graph.place, default="")
    named = stage if stages[stage] >= NAMED else ""
    if best[0] == UNKNOWN:
        # It has no stage of its own: the most upstream one that is beyond chance stands for it.
        best, named = (UNKNOWN, upstream), named or upstream
    return Diagnosis(
        posterior=posterior,
        best=best,
        cause=cause if causes[cause] >= NAMED else UNKNOWN,
        stage=named,
        cause_probability=causes[cause],
        stage_probability=stages[stage],
        benign=sum(p for c, p in causes.items() if CAUSES[c].benign),
        hypotheses=hypotheses,
        z=reasoning.z | reasoning.contrasts,
        residuals=reasoning.r,
        second=_second(reasoning, best),
    )


def _second(reasoning: Reasoning, best: tuple[str, str]) -> tuple[str, str] | None:
    """A fault beside the first that explains more than it costs; each series goes to the better of both."""
    hypotheses, stages = reasoning.hypotheses, len(reasoning.graph.stages)
    if CAUSES[best[0]].benign or best[0] == UNKNOWN:
        return None
    first = hypotheses[best].gains
    found: tuple[float, tuple[str, str]] | None = None
    for key, other in hypotheses.items():
        if key == best or CAUSES[key[0]].benign or key[0] == UNKNOWN:
            continue
        shared = sorted({*first, *other.gains})
        both = sum(max(first.get(s, -99.0), other.gains.get(s, -99.0)) for s in shared)
        cost = log(reasoning.priors.of(key[0]) / _TWO_FAULTS / stages)
        gain = both - sum(first.values()) + sum(other.extras.values()) + cost
        if gain > _SECOND and (found is None or gain > found[0]):
            found = (gain, key)
    return found[1] if found else None
