"""Which detectors judge a series: those of its stage where a user named some, otherwise those of its kind."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from swirl.detector import Kind, detectors
from swirl.frame import Definition, DetectorDefinition
from swirl.monitor.seats import configured

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swirl.detector import Detector

__all__ = ["Choice"]

_ALONE = {"version_contrast": "contrast", "cardinality": "cardinality"}
"""Series with a law of their own, which no other detector knows."""

_MOST = 16
"""Detectors that a stage may name."""

_BESIDE = {"counter_level": ("flatline", "spread")}
"""Series that are judged by more than others of their kind."""


class Choice:
    """The detectors of one pipeline.

    Args:
        defaults: kind of series -> its detectors where nobody says otherwise.
        warm_up: windows, for detectors that have a warm-up and were named without one.

    Attributes:
        unknown: detectors that were named and are not installed, or whose options they do not have.
    """

    def __init__(self, defaults: Mapping[Kind, Sequence[Detector]], warm_up: int) -> None:
        self._defaults = defaults
        self._warm_up = warm_up
        self._alone = {metric: self._ours(name) for metric, name in _ALONE.items()}
        self._beside = {metric: tuple(map(self._ours, names)) for metric, names in _BESIDE.items()}
        self._wanted: dict[str, tuple[DetectorDefinition, ...]] = {}
        self._own: dict[str, tuple[Detector, ...]] = {}
        self.unknown: tuple[str, ...] = ()

    def define(self, definition: Definition) -> bool:
        """Take over what the stages want; whether it is something new."""
        wanted = {stage.name: stage.detectors[:_MOST] for stage in definition.stages if stage.detectors}
        if wanted == self._wanted:
            return False
        self._wanted = wanted
        unknown: dict[str, None] = {}
        self._own = {}
        for stage, named in wanted.items():
            found = [(one.name, self._configured(one)) for one in named]
            unknown.update((name, None) for name, detector in found if detector is None)
            self._own[stage] = tuple(detector for _, detector in found if detector is not None)
        self.unknown = tuple(unknown)
        return True

    def _configured(self, wanted: DetectorDefinition) -> Detector | None:
        known = detectors()
        has_warm_up = "warm_up" in getattr(known.get(wanted.name), "__dataclass_fields__", {})
        options = {"warm_up": self._warm_up, **wanted.options} if has_warm_up else wanted.options
        return configured(DetectorDefinition(wanted.name, options), known)

    def of(self, stage: str, metric: str, kind: Kind) -> tuple[Detector, ...]:
        """The detectors of a series, in order.

        Args:
            stage: of the series.
            metric: of the series.
            kind: of its numbers.
        """
        if metric in self._alone:
            return (self._alone[metric],)
        found = [detector for detector in self._own.get(stage, ()) if kind in detector.kinds]
        if not found:
            found = [*self._defaults.get(kind, ()), *self._beside.get(metric, ())]
        return tuple(found)

    def _ours(self, name: str) -> Detector:
        found = self._configured(DetectorDefinition(name))
        assert found is not None, name
        return found

    def all_of(self, kind: Kind) -> tuple[Detector, ...]:
        """Every detector that may judge series of a kind: those by default, then those of the stages."""
        ours = (*self._alone.values(), *chain.from_iterable(self._beside.values()))
        found = [*self._defaults.get(kind, ()), *(d for d in ours if kind in d.kinds)]
        for named in self._own.values():
            found += [d for d in named if kind in d.kinds and not any(d == known for known in found)]
        return tuple(found)
