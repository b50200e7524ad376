"""What a closed window looks like to sinks: columns, totals, latencies."""

from __future__ import annotations

from math import isfinite, nan
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from swirl.detector import Kind
from swirl.effect import COLUMNS, SeriesKey, State, Totals, WindowClosed
from swirl.series import merged_distribution, show
from swirl.sketch import MOST_COUNTED, OVERFLOW

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from swirl.frame import Definition, Slice
    from swirl.history import WindowCounts
    from swirl.monitor.seen import Judged
    from swirl.series import Measured
    from swirl.window import Window

__all__ = ["Columns", "RunningTotals", "builtins", "by_records", "latencies", "revised"]

_VERSIONS = 8
_LABELS = 200


def builtins(value: Any) -> Any:
    """A struct as types that MessagePack knows; bytes stay bytes."""
    return msgspec.to_builtins(value, builtin_types=(bytes,))


class Columns(NamedTuple):
    """Series side by side.

    Attributes:
        keys: the series.
        numbers: shape ``(len(COLUMNS), len(keys))``.
        states: shape ``(len(keys),)``.
    """

    keys: list[SeriesKey]
    numbers: NDArray[np.float64]
    states: NDArray[np.uint8]

    @classmethod
    def of(cls, judged: Sequence[Judged]) -> Columns:
        """All kinds, one after the other."""
        keys = [key for kind in judged for key in kind.keys]
        if not keys:
            return cls([], np.zeros((len(COLUMNS), 0)), np.zeros(0, np.uint8))
        return cls(
            keys,
            np.concatenate([k.numbers for k in judged], axis=1),
            np.concatenate([k.states for k in judged]),
        )

    def with_shown(self, now: WindowCounts, definition: Definition, exposure_ms: int) -> Columns:
        """The plain rates behind them, with the limits of the series that stand for them."""
        if exposure_ms <= 0:
            return self
        index = {key: column for column, key in enumerate(self.keys)}
        values = dict(zip(self.keys, self.numbers[0].tolist(), strict=True))
        keys, rows, states = [], [], []
        for shown in show(now, definition, values, exposure_ms / 1000):
            column = index.get(shown.judged)
            keys.append(shown.key)
            if column is None:
                rows.append([shown.value, nan, nan, nan, nan, nan, 0.0])
                states.append(State.LEARNING)
            else:
                expected, low, high, evidence = self.numbers[3:, column].tolist()
                factor = shown.factor
                rows.append([shown.value, nan, nan, expected * factor, low * factor, high * factor, evidence])
                states.append(State(int(self.states[column])))
        if not keys:
            return self
        return Columns(
            [*self.keys, *keys],
            np.concatenate([self.numbers, np.array(rows).T], axis=1),
            np.concatenate([self.states, np.array(states, np.uint8)]),
        )


def revised(
    before: WindowClosed, window: Window, now: WindowCounts, measured: Iterable[Measured]
) -> WindowClosed:
    """A window told again: new values, old limits and states."""
    numbers = np.frombuffer(before.numbers).reshape(len(COLUMNS), -1).copy()
    index = {key: column for column, key in enumerate(before.keys)}
    exposure_s = max(window.coverage.length, 1) / 1000
    for point in measured:
        column = index.get(point.key)
        if column is None:
            continue
        if point.kind is Kind.RATIO and point.weight > 0:
            numbers[:3, column] = point.value / point.weight, point.value, point.weight
        elif point.kind is Kind.RATE:
            numbers[:3, column] = point.value / exposure_s, point.value, exposure_s
        elif point.kind is not Kind.DISTRIBUTION:
            numbers[0, column] = point.scale * (
                np.exp(point.rate * point.value) if point.rate else point.value
            )
    for shown in show(now, before.definition, {}, exposure_s):
        if shown.key in index:
            numbers[0, index[shown.key]] = shown.value
    return msgspec.structs.replace(
        before,
        revision=window.revision,
        exposure_ms=window.coverage.length,
        numbers=numbers.tobytes(),
        latency=latencies(window),
    )


def by_records(now: WindowCounts, stage: str) -> tuple[str, ...]:
    """The versions of a stage, most records first."""
    versions = now.stages[stage]
    return tuple(sorted(versions, key=lambda version: (-versions[version].records, version)))


def latencies(window: Window) -> dict[str, tuple[float, float, float]]:
    """Stage -> median, 0.95 and 0.99 quantile of the time per record, seconds."""
    found = {}
    for stage, versions in window.by_stage().items():
        whole = merged_distribution(versions, "latency")
        if whole is not None and whole.count:
            found[stage] = (whole.quantile(0.5), whole.quantile(0.95), whole.quantile(0.99))
    return found


_COUNTED = frozenset({"records", "invalid", "errors", "out", "predictions", "hook_errors", "non_finite"})
_KEPT = {"reason": "reasons", "error": "error_types", "label": "labels"}


class RunningTotals:
    """Totals by stage and version, of the newest versions; older ones are one, so that sums never fall."""

    def __init__(self) -> None:
        self._totals: dict[str, dict[str, Totals]] = {}
        self.overflowed = 0

    def add(self, piece: Slice) -> None:
        """Add a slice."""
        versions = self._totals.setdefault(piece.stage, {})
        total = versions.get(piece.version)
        if total is None:
            total = versions[piece.version] = Totals()
            for version in [name for name in versions if name != OVERFLOW][:-_VERSIONS]:
                _unite(versions.setdefault(OVERFLOW, Totals()), versions.pop(version))
        counters = piece.counters
        for name, count in counters.items():
            if name in _COUNTED:
                setattr(total, name, min(getattr(total, name) + int(count), MOST_COUNTED))
        for name, counts in piece.categories.items():
            if name in _KEPT:
                self._count(getattr(total, _KEPT[name]), counts)
        latency = piece.distributions.get("latency")
        if latency is not None and isfinite(latency.total):
            total.latency_seconds = min(total.latency_seconds + latency.total, float(MOST_COUNTED))

    def _count(self, kept: dict[str, int], counts: Mapping[str, int]) -> None:
        for label, count in counts.items():
            if label not in kept and len(kept) >= _LABELS:
                label = OVERFLOW  # noqa: PLW2901 - the label under which it is counted
            if label == OVERFLOW:
                self.overflowed = min(self.overflowed + count, MOST_COUNTED)
            kept[label] = min(kept.get(label, 0) + count, MOST_COUNTED)

    def copy(self) -> dict[str, dict[str, Totals]]:
        """As they are now; later additions do not change it."""
        return {
            stage: {v: _copied(total) for v, total in versions.items()}
            for stage, versions in self._totals.items()
        }

    def snapshot(self) -> list[Any]:
        """Of types that MessagePack knows."""
        return [builtins(self._totals), self.overflowed]

    def restore(self, data: list[Any]) -> None:
        """Take what ``snapshot`` gave."""
        self._totals = msgspec.convert(data[0], dict[str, dict[str, Totals]])
        self.overflowed = data[1]


def _unite(kept: Totals, gone: Totals) -> None:
    """Add the totals of a version to those of others that are gone."""
    for name in Totals.__struct_fields__:
        ours, theirs = getattr(kept, name), getattr(gone, name)
        if isinstance(theirs, dict):
            for label, count in theirs.items():
                place = label if label in ours or len(ours) < _LABELS else OVERFLOW
                ours[place] = min(ours.get(place, 0) + count, MOST_COUNTED)
        else:
            setattr(kept, name, min(ours + theirs, type(theirs)(MOST_COUNTED)))


def _copied(total: Totals) -> Totals:
    return msgspec.structs.replace(
        total, reasons=dict(total.reasons), error_types=dict(total.error_types), labels=dict(total.labels)
    )
