"""How common each cause is: what the table says, and what people said of earlier incidents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swirl.incident.causes import CAUSES

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Priors"]

WEIGHT = 30.0
"""The table counts as much as so many judged incidents: ten of them shift a prior, and none overturns it."""

MOST = 30.0
"""Judgements beyond so many count by their shares only. The rarest cause gains 2.9 nats at most and a common
one loses 0.7, which is less than one series that contradicts."""


class Priors:
    """Prior weights of the causes of one pipeline: the mean of a Dirichlet law.

    Args:
        judged: cause -> incidents of which people said so; what is no cause of the table is left out. Kept by
            the caller, who also snapshots it.

    Example:
        >>> plain, taught = Priors(), Priors({"source_doubled": 10})
        >>> [round(p.of("source_doubled"), 1) for p in (plain, taught)]
        [1.0, 10.0]
        >>> [round(p.of("bad_deployment"), 1) for p in (plain, taught)]
        [6.0, 4.5]
    """

    def __init__(self, judged: Mapping[str, float] | None = None) -> None:
        counts = {cause: float(n) for cause, n in (judged or {}).items() if cause in CAUSES and 0 < n < 1e15}
        said = sum(counts[cause] for cause in sorted(counts))
        kept = min(said, MOST)
        self._counts = {cause: n / said * kept for cause, n in counts.items()}
        self._whole = sum(cause.prior for cause in CAUSES.values())
        self._said = kept

    def of(self, cause: str) -> float:
        """The weight of a cause, on the scale of the table's own."""
        share = CAUSES[cause].prior / self._whole
        learnt = (WEIGHT * share + self._counts.get(cause, 0.0)) / (WEIGHT + self._said)
        return learnt * self._whole
