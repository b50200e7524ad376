"""What people are to be told of a pipeline: written down before it is told, and again when it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from swirl.effect import IncidentChanged, Told

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Outbox", "is_for_people"]

_REMEMBERED = 500
_THREADS = 25
"""Incidents of a pipeline whose threads are remembered: more can get no further step, for only the open one
and the last twenty that are over are known (:mod:`swirl.incident.journal`)."""
_WAITING = 100
"""Steps of a pipeline that are kept while nobody can be told: more would be too large for one record. What
came and went during planned work counts too."""
_SCHEMA = 1


class _Kept(msgspec.Struct):
    pending: list[Told] = []
    told: list[str] = []
    threads: dict[str, str] = {}
    schema: int = _SCHEMA


def is_for_people(change: Told) -> bool:
    """Whether a step is told: what planned work hides is not."""
    return not (isinstance(change, IncidentChanged) and change.incident.muted)


class Outbox:
    """The steps of a pipeline's incidents and planned work that wait to be told, and those that were.

    Attributes:
        pending: identity -> what waits, in order.
        threads: incident -> where it was told, for the sink that keeps a thread.
    """

    def __init__(self) -> None:
        self.pending: dict[str, Told] = {}
        self._told: dict[str, None] = {}
        self.threads: dict[str, str] = {}

    def __contains__(self, change: Told) -> bool:
        """Whether a step was told or waits."""
        return change.identity in self._told or change.identity in self.pending

    def add(self, change: Told) -> bool:
        """Write down a step; False if it was told or waits already.

        What planned work hides does not wait. Where very many wait, the oldest are taken for told: the sink
        may still tell them, but no heir will.
        """
        if change in self:
            return False
        if not is_for_people(change):
            self.settle(change)
            return True
        self.pending[change.identity] = change
        while len(self.pending) > 1 and sum(map(_size, self.pending.values())) > _WAITING:
            self.settle(next(iter(self.pending.values())))
        return True

    def settle(self, change: Told, thread: str = "") -> None:
        """It was told, or given up; ``thread`` says where the incident is told."""
        self.pending.pop(change.identity, None)
        self._told[change.identity] = None
        if thread and isinstance(change, IncidentChanged):
            self.threads[change.incident.id] = thread
        for kept, most in ((self._told, _REMEMBERED), (self.threads, _THREADS)):
            while len(kept) > most:
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
        pending: dict[str, Told] = {}
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


def _size(change: Told) -> int:
    return 1 if isinstance(change, IncidentChanged) else 1 + len(change.incidents)


def _order(change: Told) -> tuple[int, str, int]:
    if isinstance(change, IncidentChanged):
        return change.incident.opened_ms, change.incident.id, change.incident.revision
    over = change.transition == "ended"
    return change.mute.until_ms if over else change.mute.since_ms, f"mute {change.mute.stage}", over
