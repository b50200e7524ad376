"""Where each incident is told in Slack: what outlives the process, and what may have been told twice."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["REMEMBERED", "Doubts", "Place", "Threads"]

REMEMBERED = 100_000
"""Entries that are remembered; the oldest are forgotten. A worker has a thousand pipelines or more, each with
25 threads (:mod:`swirl.engine.outbox`): a forgotten thread of an open incident would be begun anew."""

_DOUBTED, _STEPS = 10_000, 100
"""Incidents, and steps of each, that are remembered as perhaps told; the oldest are forgotten."""

_PLACE = re.compile(r"([A-Z0-9]+)/([0-9.]+)(/calm)?")


class Place(NamedTuple):
    """A thread.

    Attributes:
        channel: its id.
        ts: of the root message.
        calm: nobody has been called since the incident began, or since it was over.
    """

    channel: str
    ts: str
    calm: bool = False

    def __str__(self) -> str:
        """As it is kept."""
        return f"{self.channel}/{self.ts}" + ("/calm" if self.calm else "")


class Threads:
    """What is remembered of incidents; sinks with threads of their own share it.

    Args:
        memory: incident -> where it is told. Whoever keeps state keeps it too.
    """

    def __init__(self, memory: MutableMapping[str, str]) -> None:
        self._memory = memory
        self._lock = threading.RLock()

    def place(self, incident: str) -> Place | None:
        """Where an incident is told. The memory may have been a webhook's, which keeps other words in it."""
        found = _PLACE.fullmatch(self.said(incident))
        return Place(found[1], found[2], bool(found[3])) if found else None

    def said(self, key: str) -> str:
        """What is kept under a key, ``""`` for nothing."""
        try:  # without the lock: whoever keeps something may wait for a disk, and others for whoever asks
            return self._memory[key]
        except KeyError:
            return ""

    def keep(self, key: str, what: str) -> None:
        """Remember something, and forget the oldest where there is too much."""
        with self._lock:
            self._memory[key] = what
            if len(self._memory) > REMEMBERED:
                # As a list: whoever takes over another's incidents may fill the memory meanwhile.
                for known in list(self._memory)[: len(self._memory) - REMEMBERED]:
                    self._memory.pop(known, None)

    def channels(self) -> tuple[str, ...]:
        """Ids of channels in which incidents were told, the last one first."""
        with self._lock:
            known = [found[1] for said in list(self._memory.values()) if (found := _PLACE.fullmatch(said))]
        return tuple(dict.fromkeys(reversed(known)))


class Doubts:
    """Steps that may have been told, and how often a search for them failed.

    A step is in doubt too if an older one of its incident is: it may be told in the older one's stead. Any
    thread may add to them.
    """

    def __init__(self) -> None:
        self._held: dict[str, dict[str, int]] = {}
        self._lock = threading.Lock()

    def __contains__(self, identity: str) -> bool:
        of, number = _parts(identity)
        with self._lock:
            return any(_parts(held)[1] <= number for held in self._held.get(of, ()))

    def __len__(self) -> int:
        """Of how many incidents something is in doubt."""
        return len(self._held)

    def add(self, identity: str, failed: int = 0) -> int:
        """How many searches for it have failed so far, these included."""
        of, _ = _parts(identity)
        with self._lock:
            held = self._held.setdefault(of, {})
            held[identity] = held.get(identity, 0) + failed
            while len(held) > _STEPS:
                del held[next(iter(held))]
            while len(self._held) > _DOUBTED:
                del self._held[next(iter(self._held))]
            return held.get(identity, 0)

    def discard(self, identity: str) -> None:
        """It is known now what became of the step, and of those before it."""
        of, number = _parts(identity)
        with self._lock:
            held = self._held.get(of, {})
            for known in [known for known in held if _parts(known)[1] <= number]:
                del held[known]
            if not held:
                self._held.pop(of, None)


def _parts(identity: str) -> tuple[str, int]:
    """What a step is of, and its place among the others: ``"ads/ads-20261121-031220/2/updated"``."""
    of, _, rest = identity.rpartition("/")[0].rpartition("/")
    return of, int(rest) if rest.isdecimal() else 0
