"""What a user wants beside the stages: detectors by name, and limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, TypeAlias

from swirl.errors import DefinitionError
from swirl.frame import DetectorDefinition, LimitDefinition

__all__ = ["METRICS", "DetectorLike", "wanted_detectors", "wanted_limit"]

DetectorLike: TypeAlias = "str | tuple[str, Mapping[str, float | bool | str]]"
"""The name of a detector, or its name and options: ``("change", {"sides": "up"})``."""

METRICS: dict[str, str] = {
    "records": "records a second",
    "invalid": "invalid records a second",
    "errors": "errors a second",
    "out": "records passed on a second",
    "count": "a counter of your own a second (label: its name)",
    "invalid_ratio": "invalid of all records",
    "error_ratio": "errors of all valid records",
    "output_ratio": "records passed on of those that could be",
    "prediction_ratio": "one label of all predictions (label: which)",
    "null_ratio": "nulls of all feature values",
    "input_ratio": "records that arrived, as a factor of what was sent",
    "ratio": "a ratio of your own (label: its name)",
    "counter_level": "a counter of your own a record (label: its name)",
    "latency_p50": "median time a record, seconds",
    "latency_p95": "0.95 quantile of it, seconds",
    "drift": "largest difference in ranks of a feature; of labels the stability index (label: which)",
    "segment_ratio": "records of a segment, of all that have one (label: which)",
    "segment_invalid_ratio": "invalid of the records of a segment",
    "segment_error_ratio": "errors of its records that were not invalid",
    "segment_prediction_ratio": "one label of its predictions (label: segment: label)",
    "lag": "sending minus event time, seconds",
}
"""Series that a limit may be set to, and their units."""


def wanted_detectors(stage: str, given: Iterable[DetectorLike]) -> tuple[DetectorDefinition, ...]:
    """The detectors of a stage as they travel.

    Raises:
        DefinitionError: one of them is neither a name nor a name and options.
    """
    named = [given] if isinstance(given, str) else list(given)
    return tuple(_detector(stage, one) for one in named)


def _detector(stage: str, given: Any) -> DetectorDefinition:
    pair = isinstance(given, (tuple, list)) and len(given) == 2
    name, options = given if pair else (given, {})
    sound = isinstance(name, str) and name and isinstance(options, Mapping)
    if not sound or not all(
        isinstance(key, str) and isinstance(value, (int, float, str, bool)) for key, value in options.items()
    ):
        raise DefinitionError(
            f"detectors= of stage {stage!r} holds {given!r}; "
            'write a name, or a name and options: ("change", {"sides": "up"})'
        )
    return DetectorDefinition(name, dict(options))


def wanted_limit(
    stage: str, metric: str, label: str, above: float | None, below: float | None, seconds: float
) -> LimitDefinition:
    """A limit as it travels.

    Raises:
        DefinitionError: there is no such metric, no limit, or one that is no number.
    """
    if metric not in METRICS:
        known = ", ".join(METRICS)
        raise DefinitionError(f"a limit of {metric!r}: there is no such series; there are {known}")
    if above is None and below is None:
        raise DefinitionError(f"a limit of {metric!r} needs above= or below=, or both")
    for name, value in (("above", above), ("below", below), ("seconds", seconds)):
        if value is not None and not (_is_number(value) and isfinite(value)):
            raise DefinitionError(f"{name}= of a limit is {value!r}; it must be a number")
    if seconds < 0:
        raise DefinitionError(f"seconds= of a limit is {seconds!r}; it must not be negative")
    if above is not None and below is not None and below > above:
        raise DefinitionError(f"below={below!r} and above={above!r} leave no value that is allowed")
    return LimitDefinition(stage, metric, label, _float(above), _float(below), float(seconds))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
