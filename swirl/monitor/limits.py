"""Limits that people wrote: no statistics, no warm-up, no share of the false-alarm budget."""

from __future__ import annotations

from math import isnan, nan
from typing import TYPE_CHECKING, Any

from swirl.effect import SeriesKey
from swirl.incident import numbers
from swirl.incident.life import Anomaly

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from swirl.frame import Definition, LimitDefinition

__all__ = ["CAUSE", "Limits"]

CAUSE = "limit crossed"

MOST = 200
"""Limits of one pipeline; no person reads more."""

_COUNTS = frozenset({"records", "out"})
"""Metrics that are 0, not unknown, while nothing comes."""


class Limits:
    """The limits of one pipeline, and since when each is crossed.

    Attributes:
        alarms: limits that were crossed with the last window.
        loud: series that are beyond a limit.
        refused: limits that are wanted and left out, for being beyond the first 200.
    """

    def __init__(self) -> None:
        self._limits: tuple[LimitDefinition, ...] = ()
        self._since: dict[LimitDefinition, int] = {}
        self._told: set[LimitDefinition] = set()
        self.alarms: list[Anomaly] = []
        self.loud: frozenset[SeriesKey] = frozenset()
        self.refused = 0

    def define(self, definition: Definition) -> None:
        """Take over what is wanted; a limit that is not there any more is forgotten."""
        self._take(definition)
        wanted = set(self._limits)
        self._since = {limit: since for limit, since in self._since.items() if limit in wanted}
        self._told &= wanted

    def _take(self, definition: Definition) -> None:
        self._limits = definition.limits[:MOST]
        self.refused = len(definition.limits) - len(self._limits)

    def judge(self, values: Mapping[SeriesKey, float], start_ms: int, window_ms: int) -> None:
        """Hold a window against the limits.

        Args:
            values: of all series, as a person sees them; what is missing was not measured.
            start_ms: of the window, event time.
            window_ms: its length.
        """
        self.alarms, loud = [], set()
        for limit in self._limits:
            key = SeriesKey(limit.stage, limit.metric, limit.label)
            value = values.get(key, nan)
            value = 0.0 if isnan(value) and limit.metric in _COUNTS else value
            if isnan(value):
                # What is not measured is neither back within its limit nor beyond it for longer.
                if limit in self._told:
                    loud.add(key)
            elif not _is_crossed(limit, value):
                self._since.pop(limit, None)
                self._told.discard(limit)
            elif self._lasts(limit, start_ms, start_ms + window_ms):
                loud.add(key)
                self._tell(limit, key, value, start_ms, window_ms)
        self.loud = frozenset(loud)

    def _lasts(self, limit: LimitDefinition, start_ms: int, end_ms: int) -> bool:
        return end_ms - self._since.setdefault(limit, start_ms) >= limit.seconds * 1000

    def _tell(
        self, limit: LimitDefinition, key: SeriesKey, value: float, start_ms: int, window_ms: int
    ) -> None:
        if limit in self._told:
            return
        self._told.add(limit)
        since = self._since[limit]
        above = limit.above is not None and value > limit.above
        said = _sentence(limit, value, start_ms + window_ms - since)
        self.alarms.append(Anomaly(key, start_ms, since, 1.0, 1 if above else -1, (CAUSE, said)))

    def snapshot(self) -> list[list[Any]]:
        """Of types that MessagePack knows: of each crossed limit its place, since when, whether told."""
        place = {limit: at for at, limit in enumerate(self._limits)}
        return [[place[limit], since, limit in self._told] for limit, since in self._since.items()]

    def restore(self, data: Sequence[Sequence[Any]], definition: Definition) -> None:
        """Take what ``snapshot`` gave.

        Args:
            data: the snapshot.
            definition: of the pipeline, as it was then.
        """
        self._take(definition)
        known = [(self._limits[at], since, told) for at, since, told in data if at < len(self._limits)]
        self._since = {limit: since for limit, since, _ in known}
        self._told = {limit for limit, _, told in known if told}


def _is_crossed(limit: LimitDefinition, value: float) -> bool:
    return (limit.above is not None and value > limit.above) or (
        limit.below is not None and value < limit.below
    )


def _sentence(limit: LimitDefinition, value: float, lasted_ms: int) -> str:
    """What is wrong, for a person.

    Example:
        >>> from swirl.frame import LimitDefinition
        >>> _sentence(LimitDefinition("ingest", "invalid_ratio", above=0.01), 0.023, 10_000)
        'invalid ratio 2.3 %, above its limit of 1 %'
        >>> _sentence(LimitDefinition("ingest", "records", below=0.1, seconds=600), 0.0, 600_000)
        'no record for 10 min'
    """
    if value == 0 and limit.metric == "records":
        return f"no record for {numbers.duration(lasted_ms)}"
    above = limit.above is not None and value > limit.above
    bound = limit.above if above else limit.below
    text = _text(limit.metric)
    name = f"{limit.label} {limit.metric}".strip().replace("_", " ")
    return f"{name} {text(value)}, {'above' if above else 'below'} its limit of {text(bound or 0.0)}"


def _percent(share: float) -> str:
    """Three figures, so that a value just beyond its limit does not look like it."""
    return f"{100 * share:.3g} %"


def _text(metric: str) -> Callable[[float], str]:
    if metric in ("records", "invalid", "errors", "out", "count"):
        return numbers.rate
    if metric.endswith("_ratio") and metric != "input_ratio":
        return _percent
    return numbers.seconds if metric.startswith("latency") or metric == "lag" else numbers.amount
