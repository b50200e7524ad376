"""What the pipeline says about one record, in a form that waits cheaply for the next fold."""

from __future__ import annotations

import math
from datetime import datetime
from enum import Enum
from typing import TypeAlias

import numpy as np

from swirl.sketch import LABEL_LENGTH

__all__ = [
    "BUILT_IN_COUNTERS",
    "BUILT_IN_DISTRIBUTIONS",
    "Feature",
    "Note",
    "event_ms",
    "feature",
    "prediction",
    "segment",
    "text",
]

BUILT_IN_COUNTERS = frozenset(
    {"errors", "hook_errors", "invalid", "non_finite", "nulls", "out", "predictions", "records", "values"}
)
"""Counters that a stage keeps by itself; a user's own need other names."""

BUILT_IN_DISTRIBUTIONS = frozenset({"latency", "prediction"})

Feature: TypeAlias = tuple[str, float | str | None]
"""A feature of one record: its name and a number, a category, or None for a null."""

_LATEST_MS = 253_402_300_800_000
"""The year 10 000; what lies beyond is not a time in milliseconds."""
_MS_FROM = 1e11
"""A number above is milliseconds (1973 and later), one below is seconds (until the year 5138)."""


class Note:
    """One record of which there is more to say than its plain result.

    Attributes:
        records: records that came in: 1, or 0 for a further value of a generator.
        out: records passed on: 1 or 0.
        invalid: why the record is invalid, None if it is valid.
        error: the type of the exception that ended the call, None if there was none.
        failed: hooks (``valid=`` and the like) that raised.
        prediction: what was predicted, None for nothing.
        features: what was measured on it.
        at: event time, milliseconds since 1970; None for the time at which it was done.
        segment: that it belongs to, None for none.
    """

    __slots__ = ("at", "error", "failed", "features", "invalid", "out", "prediction", "records", "segment")

    def __init__(
        self,
        *,
        records: int = 1,
        out: int = 1,
        invalid: str | None = None,
        error: str | None = None,
        failed: int = 0,
        prediction: object = None,
        features: tuple[Feature, ...] = (),
        at: int | None = None,
        segment: str | None = None,
    ) -> None:
        self.records = records
        self.out = out
        self.invalid = invalid
        self.error = error
        self.failed = failed
        self.prediction = prediction
        self.features = features
        self.at = at
        self.segment = segment


def prediction(value: object) -> str | float | None:
    """A label as text, a number as float, or None where nothing is predicted.

    Text, truth values, whole numbers and enumerations are labels; floats, decimals and fractions are numbers.

    Raises:
        TypeError: it is neither.

    Example:
        >>> prediction("positive"), prediction(True), prediction(3), prediction(0.25), prediction(None)
        ('positive', 'True', '3', 0.25, None)
    """
    kind = value.__class__
    if kind is float or value is None:
        return value  # type: ignore[return-value]
    if isinstance(value, str):
        return text(value)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return prediction(value.item())
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    return _number(value)


def feature(value: object) -> float | str | None:
    """A feature as a number, a category, or None for what is null (None, NaN, ``pandas.NA``).

    Raises:
        TypeError: it is none of them.

    Example:
        >>> feature(3), feature("de"), feature(False), feature(float("nan")), feature(None)
        (3.0, 'de', 'False', None, None)
    """
    kind = value.__class__
    if kind is float or kind is int:
        number = float(value)  # type: ignore[arg-type]
        return None if number != number else number  # noqa: PLR0124 - the test for NaN
    if isinstance(value, (int, np.integer)) and not isinstance(value, (bool, Enum)):
        return float(value)
    plain = prediction(value)
    return None if isinstance(plain, float) and math.isnan(plain) else plain


def segment(value: object) -> str | None:
    """The name of a segment; None for what is null or an empty text.

    Raises:
        TypeError: it is neither a label nor a number.

    Example:
        >>> segment("DE"), segment(7), segment(2.5), segment(""), segment(float("nan"))
        ('DE', '7', '2.5', None, None)
    """
    if type(value) is str and len(value) <= LABEL_LENGTH:  # nearly all are
        return value or None
    plain = prediction(value)
    if isinstance(plain, float):
        return None if math.isnan(plain) else f"{plain:g}"
    return plain or None


def _number(value: object) -> float | None:
    name = type(value).__name__
    if isinstance(value, (float, np.floating)) or name in ("Decimal", "Fraction"):
        return float(value)  # type: ignore[arg-type]
    if name in ("NAType", "NaTType"):
        return None
    raise TypeError(f"a {type(value).__name__} is neither a label nor a number")


def text(value: str) -> str:
    """A text that keeps no huge value alive; what is cut is still longer than a label may be."""
    return str(value) if len(value) <= LABEL_LENGTH else str(value[: LABEL_LENGTH + 1])


def event_ms(value: object) -> int:
    """Event time in milliseconds since 1970.

    Args:
        value: a datetime with a time zone, a ``numpy.datetime64`` (UTC), or a number: seconds since 1970, or
            milliseconds if it is above 1e11.

    Raises:
        ValueError: a datetime without a time zone, a time before 1970 or after the year 9999, or no time at
            all.

    Example:
        >>> event_ms(1_700_000_000.5), event_ms(1_700_000_000_500)
        (1700000000500, 1700000000500)
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a datetime without a time zone could be any of 24 hours; give it one")
        number = value.timestamp() * 1000
    elif isinstance(value, np.datetime64):
        number = float(value.astype("datetime64[ms]").astype(np.int64))
    elif isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        number = float(value) if value > _MS_FROM else float(value) * 1000
    else:
        raise ValueError(f"a {type(value).__name__} is no event time")  # noqa: TRY004 - one kind of error for a caller
    if not 0 <= number < _LATEST_MS:
        raise ValueError(f"{value!r} is not a time from 1970 to 9999")
    return int(number)
