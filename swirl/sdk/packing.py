"""Slices into frames that stay below what a log takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from swirl.frame import MAX_BYTES, Slice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["pack"]

_ROOM = MAX_BYTES * 9 // 10
"""The rest is for the header."""

_encoder = msgspec.msgpack.Encoder()


def pack(slices: Sequence[Slice], taken: int = 0, room: int = _ROOM) -> list[list[Slice]]:
    """Share slices out over frames, in order; at least one frame, though it be empty.

    Args:
        slices: of one flush.
        taken: bytes that the definition takes of the first frame.
        room: bytes that the slices of a frame and the definition may take.
    """
    packs: list[list[Slice]] = [[]]
    filled = taken
    waiting = list(reversed(slices))
    while waiting:
        piece = waiting.pop()
        size = len(_encoder.encode(piece))
        if size > room and (halves := _halve(piece)):
            waiting.extend(reversed(halves))
            continue
        if filled and filled + size > room:
            packs.append([])
            filled = 0
        packs[-1].append(piece)
        filled += size
    return packs


def _halve(piece: Slice) -> tuple[Slice, ...]:
    """A slice as several that add up to it; empty if it cannot be shared out."""
    parts: list[dict[str, Any]] = [
        {"counters": piece.counters},
        {"categories": piece.categories},
        {"distributions": piece.distributions},
    ]
    parts = [part for part in parts if any(part.values())]
    if len(parts) == 1:
        ((field, content),) = parts[0].items()
        if len(content) < 2:
            return ()
        parts = [{field: half} for half in _halves(content)]
    bare = msgspec.structs.replace(piece, counters={}, categories={}, distributions={})
    return tuple(msgspec.structs.replace(bare, **part) for part in parts)


def _halves(content: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    items = list(content.items())
    middle = len(items) // 2
    return dict(items[:middle]), dict(items[middle:])
