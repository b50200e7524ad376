"""Which parts of a distribution moved most, as people are told."""

from __future__ import annotations

__all__ = ["LEAST_COUNT", "Moved", "most_moved"]

Moved = tuple[str, float, float]
"""A label or an interval, its share before, its share now."""

LEAST_COUNT = 5
"""Records of which something is said."""

_NAMED = 5
_LEAST_MOVE = 0.01


def most_moved(moved: list[Moved], n: float) -> list[Moved]:
    """New ones first, then vanished ones, then those that moved most; too little of any is left out."""
    named = []
    for name, before, now in moved:
        new = before == 0 and (now * n >= LEAST_COUNT or now >= _LEAST_MOVE)
        gone = now == 0 and before * n >= LEAST_COUNT
        if new or gone or abs(now - before) >= _LEAST_MOVE:
            named.append((0 if new else 1 if gone else 2, -round(abs(now - before), 9), name, before, now))
    return [(name, before, now) for _, _, name, before, now in sorted(named)[:_NAMED]]
