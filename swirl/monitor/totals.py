"""What was counted since the beginning, for counters that never fall."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

import msgspec

from swirl.effect import Totals
from swirl.monitor.packable import builtins
from swirl.sketch import MOST_COUNTED, OVERFLOW

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swirl.frame import Slice

__all__ = ["RunningTotals"]

_VERSIONS = 8
_LABELS = 200
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
