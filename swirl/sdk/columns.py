"""Batches: many records at once as columns, of whatever library, through the array protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sized
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from swirl.sdk.note import event_ms, feature

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swirl.sdk.sums import Sums
    from swirl.sdk.tally import Tally

__all__ = ["Column", "Columns", "Numbers", "column"]

Column: TypeAlias = "NDArray[Any] | list[Any]"

_MOST_RECORDS = 1 << 40
_LATENCIES = 1024
"""A batch counts at most so often in the latency of its stage: more of the same number say nothing more."""


def column(values: Any) -> Column:
    """A one-dimensional copy of a column: a numpy array, or a list where the values are Python objects.

    Args:
        values: a list, a numpy array, a pandas or polars column, anything that ``numpy.asarray`` understands.

    Raises:
        ValueError: it has not one dimension.

    Example:
        >>> column([1, None]), column(np.arange(3)).tolist()
        ([1, None], [0, 1, 2])
    """
    if isinstance(values, (list, tuple)):
        return list(values)
    array = np.asarray(values) if hasattr(values, "__array__") else np.asarray(list(values))
    if array.ndim != 1:
        raise ValueError(
            f"a column has one dimension, this has {array.ndim}; give one number or label a record"
        )
    return array.tolist() if array.dtype.kind in "OUS" else array.copy()


class Columns:
    """A batch that waits for the fold.

    Args:
        ticks: when it was done.
        records: how many records, or something of that length; None: as many as its columns have.
        invalid: a mask, a number, or one of these by reason.
        predictions: one a record, or one a valid record if ``invalid`` is no mask.
        features: columns by name.
        at: event times, one for all or one a record.
        seconds: how long the batch took.
        segments: one a record.

    Raises:
        ValueError: columns of several lengths, or masks of another length than the batch.
        TypeError: something has no length.
    """

    def __init__(
        self,
        ticks: int,
        *,
        records: int | Sized | None = None,
        invalid: Any = None,
        predictions: Any = None,
        features: Mapping[str, Any] | None = None,
        at: Any = None,
        seconds: float | None = None,
        segments: Any = None,
    ) -> None:
        self.ticks = ticks
        self.seconds = float(seconds) if seconds is not None else 0.0
        self._reasons = _reasons(invalid)
        self._predictions = None if predictions is None else column(predictions)
        self._features = _features(features)
        self._at = column(at) if _is_column(at) else at
        self._segments = _segments(segments)
        self.records = self._count(records)
        self._check()
        parts = [self._predictions, *self._features.values(), *self._reasons.values(), self._at]
        parts.append(self._segments)
        self.weight = max(1, sum(len(p) for p in parts if isinstance(p, (list, np.ndarray))))

    def _count(self, records: int | Sized | None) -> int:
        if records is not None:
            return _sane(len(records) if isinstance(records, Sized) else int(records))
        parts = [*self._features.values(), *self._reasons.values(), self._at, self._segments]
        for part in [*parts, self._predictions]:
            if isinstance(part, (list, np.ndarray)):
                return len(part)
        raise ValueError("how many records? Give records= a number or the batch itself")

    def _check(self) -> None:
        masks = [m for m in self._reasons.values() if not isinstance(m, int)]
        for part in [*self._features.values(), *masks, self._at, self._segments]:
            if isinstance(part, (list, np.ndarray)) and len(part) != self.records:
                raise ValueError(f"a column of {len(part)} values in a batch of {self.records} records")
        if self._predictions is not None and len(self._predictions) > self.records:
            raise ValueError(f"{len(self._predictions)} predictions for {self.records} records")

    def fold(self, sums: Sums, host_ms: int) -> None:
        """Add the batch to the sums of its stage; ``host_ms`` is its event time unless it has its own."""
        if not self.records:
            return
        times, failed = self._times(host_ms)
        if self._at is not None:
            sums.tallies.saw(times, host_ms)
        one = len(times) == 1 or int(times.min()) // 1000 == int(times.max()) // 1000
        times = times[:1] if one else times
        ends = np.full(len(times), self.ticks)
        for tally, where in sums.tallies.groups(ends, times, self.records if one else 1):
            rows = None if one else where
            self._add(sums, tally, self.records if rows is None else len(rows), rows)
            tally.count("hook_errors", failed)
            failed = 0

    def _times(self, host_ms: int) -> tuple[NDArray[np.int64], int]:
        """Event times, shape ``(n,)`` or ``(1,)``, and how many could not be read."""
        if self._at is None:
            return np.array([host_ms]), 0
        if not isinstance(self._at, (list, np.ndarray)):
            return _read_times([self._at], host_ms)
        return _fast_times(self._at) or _read_times(list(self._at), host_ms)

    def _add(self, sums: Sums, tally: Tally, n: int, where: NDArray[np.intp] | None) -> None:
        tally.count("records", n)
        bad, mask = self._invalid(sums, tally, n, where)
        tally.count("out", n - bad)
        if self.seconds > 0:
            tally.numbers("latency", np.full(min(n, _LATENCIES), self.seconds / self.records))
        if self._predictions is not None:
            aligned = len(self._predictions) == self.records
            kept = where if aligned else None
            if mask is not None and aligned:
                kept = np.flatnonzero(~mask) if where is None else where[~mask[where]]
            if aligned or where is None or where[0] == 0:
                _add_predictions(sums, tally, _pick(self._predictions, kept))
        if self._segments is not None:
            self._add_segments(sums, tally, mask, where)
        for name, values in self._features.items():
            sums.add_feature(tally, name, _numbers_or_features(sums, tally, _pick(values, where)))

    def _add_segments(
        self, sums: Sums, tally: Tally, mask: NDArray[np.bool_] | None, where: NDArray[np.intp] | None
    ) -> None:
        assert self._segments is not None
        labels = self._predictions
        if labels is None or len(labels) != self.records:  # nobody knows whose predictions they are
            labels = None
        sums.segments.add_column(
            tally,
            _pick(self._segments, where),
            mask if mask is None or where is None else mask[where],
            None if labels is None else _pick(labels, where),
        )

    def _invalid(
        self, sums: Sums, tally: Tally, n: int, where: NDArray[np.intp] | None
    ) -> tuple[int, NDArray[np.bool_] | None]:
        """Count the invalid; how many of these rows, and the mask of all rows if there is one."""
        bad, union = 0, None
        for reason, what in self._reasons.items():
            if isinstance(what, int):
                k = what if where is None or where[0] == 0 else 0
            else:
                mask = np.asarray(what, dtype=np.bool_)
                fresh = mask if union is None else mask & ~union
                union = mask if union is None else mask | union
                k = int(np.count_nonzero(fresh if where is None else fresh[where]))
            k = min(k, n - bad)
            if k > 0:
                bad += k
                tally.count("invalid", k)
                tally.label("reason", sums.text(reason), k)
        return bad, union


class Numbers:
    """Numbers for a distribution of the user's own, waiting for the fold.

    Args:
        ticks: when they were given.
        name: of the distribution.
        values: one dimension or none.
    """

    records = 0

    def __init__(self, ticks: int, name: str, values: Any) -> None:
        self.ticks = ticks
        self.name = name
        self._values = np.array(values, dtype=np.float64).ravel()
        self.weight = max(1, self._values.size)

    def fold(self, sums: Sums, host_ms: int) -> None:
        """Add them to the sums of their stage."""
        for tally, _ in sums.tallies.groups(np.array([self.ticks]), np.array([host_ms])):
            sums.own.observe(tally, self.name, self._values)


def _is_column(values: Any) -> bool:
    return (
        isinstance(values, (list, tuple))
        or getattr(values, "ndim", 0) == 1
        or type(values).__name__ == "Series"
    )


def _segments(segments: Any) -> Column | None:
    if segments is not None and not _is_column(segments):
        raise ValueError(f"segments= is {segments!r:.80}; it must be a column, one segment a record")
    return None if segments is None else column(segments)


def _reasons(invalid: Any) -> dict[str, Any]:
    if invalid is None:
        return {}
    if not isinstance(invalid, Mapping):
        invalid = {"invalid": invalid}
    return {str(reason): _mask(what) for reason, what in invalid.items()}


def _mask(what: Any) -> int | NDArray[np.bool_]:
    if isinstance(what, (int, np.integer)) and not isinstance(what, bool):
        return _sane(int(what))
    return np.array(column(what), dtype=np.bool_)


def _sane(n: int) -> int:
    if not 0 <= n <= _MOST_RECORDS:
        raise ValueError("a batch of less than no records, or of more than there can be")
    return n


def _features(features: Mapping[str, Any] | None) -> dict[str, Column]:
    return {} if features is None else {name: column(values) for name, values in features.items()}


def _pick(values: Column, where: NDArray[np.intp] | None) -> Column:
    if where is None:
        return values
    return values[where] if isinstance(values, np.ndarray) else [values[i] for i in where.tolist()]


def _fast_times(at: Column) -> tuple[NDArray[np.int64], int] | None:
    """Event times of an array of which all are sound, else None."""
    if not isinstance(at, np.ndarray) or not len(at):
        return None
    if at.dtype.kind == "M":
        ms = at.astype("datetime64[ms]").astype(np.int64)
    elif at.dtype.kind in "iuf" and np.isfinite(at).all():
        ms = np.where(at > 1e11, at, at * 1000.0).astype(np.int64)
    else:
        return None
    return (ms, 0) if ms.min() >= 0 and ms.max() < 253_402_300_800_000 else None


def _read_times(at: Iterable[Any], host_ms: int) -> tuple[NDArray[np.int64], int]:
    times, failed = [], 0
    for value in at:
        try:
            times.append(event_ms(value))
        except Exception:  # noqa: BLE001 - a value of the user's; it is counted, and its record keeps the host's time
            times.append(host_ms)
            failed += 1
    return np.array(times, dtype=np.int64), failed


def _add_predictions(sums: Sums, tally: Tally, values: Column) -> None:
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        sums.add_numbers(tally, values.astype(np.float64))
        return
    if isinstance(values, np.ndarray):
        found, counts = np.unique(values, return_counts=True)
        pairs: Any = zip(found.tolist(), counts.tolist(), strict=True)
    else:
        numbers = np.array([v for v in values if v.__class__ is float], dtype=np.float64)
        # NaN among labels is how tables write "no prediction".
        sums.add_numbers(tally, numbers[~np.isnan(numbers)])
        try:
            pairs = Counter(v for v in values if v.__class__ is not float).items()
        except TypeError:
            pairs = ((v, 1) for v in values if v.__class__ is not float)
    for value, k in pairs:
        sums.predict(tally, value, k)


def _numbers_or_features(sums: Sums, tally: Tally, values: Column) -> Any:
    """Numbers as an array, anything else as a list of features; what is none is counted."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        return values.astype(np.float64)
    found = []
    for value in values if isinstance(values, list) else values.tolist():
        try:
            found.append(feature(value))
        except Exception as error:  # noqa: BLE001 - as above
            tally.count("hook_errors", 1)
            sums.complain("features", error)
    return found
