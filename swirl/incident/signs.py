"""What each residual series says of a role: how it would look if a cause moved it, against "not touched"."""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING

from swirl.effect import SeriesKey
from swirl.incident.causes import ROLES
from swirl.incident.series import Level, Series
from swirl.incident.sigmas import log_evidence
from swirl.incident.traffic import SourceInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swirl.incident.residuals import Residuals

__all__ = ["SIGNIFICANT", "Signs"]

SIGNIFICANT = 3.0
"""Sigmas below which a series is taken for unmoved where its own movement is asked for."""


def _role_nats(role: str, z: float) -> float:
    rises, falls = ROLES[role]
    return log(rises * exp(log_evidence(z)) + 1 - rises - falls + falls * exp(log_evidence(-z)))


class Signs:
    """The series of one diagnosis, measured one after the other.

    Args:
        residuals: the evidence.

    Attributes:
        r: the residuals.
        graph: the stages.
        z: sigmas of each series that was measured.
        inputs: of sources, which are judged by the factor on them.
        untouched: nats of each series if no cause touches it.
    """

    def __init__(self, residuals: Residuals) -> None:
        self.r = residuals
        self.graph = residuals.graph
        self.z: dict[SeriesKey, float] = {}
        self.inputs: dict[SeriesKey, SourceInput] = {}
        self.untouched: dict[SeriesKey, float] = {}

    def measure(self, key: SeriesKey, series: Series) -> None:
        """Take in a series, if something was measured."""
        z = series.z()
        if z is None:
            return
        self.z[key] = z
        if key.metric == "records" and isinstance(series, Level):
            self.inputs[key] = SourceInput(series, self.r.processes[key.stage])
            self.untouched[key] = self.inputs[key].nothing
        else:
            self.untouched[key] = _role_nats("untouched", z)

    @staticmethod
    def key(stage: str, metric: str) -> SeriesKey:
        """Lag is one series for the pipeline, all others belong to a stage."""
        return SeriesKey("" if metric == "lag" else stage, metric)

    def gain(self, key: SeriesKey, role: str) -> float:
        """Nats that a series gives a role, beyond "not touched"."""
        if key in self.inputs:
            return self.inputs[key].gain(role)
        return _role_nats(role, self.z[key]) - self.untouched[key]

    def each(self, stages: Iterable[str], metric: str, role: str) -> dict[SeriesKey, float]:
        """The gain of a metric at each of some stages that has it."""
        return {key: self.gain(key, role) for s in stages if (key := self.key(s, metric)) in self.z}

    def flows(self, stages: Iterable[str], metric: str, role: str) -> dict[SeriesKey, float]:
        """An effect that may be there or not: one switch per metric, so that large graphs cost no more."""
        gains = self.each(stages, metric, role)
        return gains if sum(gains.values()) > log(2) or role == "drop" else {}

    def moved(self, key: SeriesKey) -> bool:
        """Whether a series is beyond what is taken for unmoved."""
        return abs(self.z.get(key, 0.0)) > SIGNIFICANT
