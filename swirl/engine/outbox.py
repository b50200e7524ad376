"""What people are to be told of a pipeline: written down before it is told, and again when it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from swirl.effect import IncidentChanged  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Outbox"]

_REMEMBERED = 500
_WAITING = 100
"""Steps of a pipeline that are kept while nobody can be told: more would be too large for one record."""
_SCHEMA = 1


class _Kept(msgspec.Struct):
    pending: list[IncidentChanged] = []
    told: list[str] = []
    threads: dict[str, str] = {}
    schema: int = _SCHEMA


class Outbox:
    """The steps of a pipeline's incidents that wait to be told, and those that were.

    Attributes:
        pending: identity -> what waits, in order.
        threads: incident -> where it was told, for the sink that keeps a thread.
    """

    def __init__(self) -> None:
        self.pending: dict[str, IncidentChanged] = {}
        self._told: dict[str, None] = {}
        self.threads: dict[str, str] = {}

    def __contains__(self, change: IncidentChanged) -> bool:
        """Whether a step was told or waits."""
        return change.identity in self._told or change.identity in self.pending

    def add(self, change: IncidentChanged) -> bool:
        """Write down a step; False if it was told or waits already.

        Where very many wait, the oldest is taken for told: the sink may still tell it, but no heir will.
        """
        if change in self:
            return False
        self.pending[change.identity] = change
        if len(self.pending) > _WAITING:
            self.settle(next(iter(self.pending.values())))
        return True

    def settle(self, change: IncidentChanged, thread: str = "") -> None:
        """It was told, or given up; ``thread`` says where the incident is told."""
        self.pending.pop(change.identity, None)
        self._told[change.identity] = None
        if thread:
            self.threads[change.incident.id] = thread
        for kept in (self._told, self.threads):
            while len(kept) > _REMEMBERED:
                del kept[next(iter(kept))]

    def encode(self) -> bytes:
        """For the log."""
        return msgspec.msgpack.encode(_Kept(list(self.pending.values()), list(self._told), self.threads))

    @classmethod
    def united(cls, left: Iterable[bytes]) -> tuple[Outbox, int]:
        """What several owners left, as one: told by any of them is told.

        Returns:
            The outbox, and how many of the records this version could not read.
        """
        self, unreadable = cls(), 0
        pending: dict[str, IncidentChanged] = {}
        for record in left:
            try:
                kept = msgspec.msgpack.decode(record, type=_Kept)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                unreadable += 1
                continue
            pending |= {change.identity: change for change in kept.pending}
            self._told |= dict.fromkeys(kept.told)
            self.threads |= kept.threads
        for change in sorted(pending.values(), key=_order):
            self.add(change)
        return self, unreadable


def _order(change: IncidentChanged) -> tuple[Any, ...]:
    return change.incident.opened_ms, change.incident.id, change.incident.revision
