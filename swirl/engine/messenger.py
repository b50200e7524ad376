"""Tells people of the pipelines that a worker owns: once it is written down, and while they are its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from swirl.effect import IncidentChanged, MuteChanged
from swirl.engine.outbox import is_for_people
from swirl.errors import DeliveryError
from swirl.sinks.outlet import Outlet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from swirl.effect import Effect, Told
    from swirl.engine.shard import Shard
    from swirl.sinks.base import Sink

__all__ = ["Messenger"]

_WAITING = 10_000
"""Steps that may wait in memory: after an outage of Slack one of each open incident, and what heirs tell."""
_LOOK_S = 0.1
_FENCED_S = 1.0


class Messenger:
    """Between the outboxes of a worker's partitions and the one sink that tells people.

    Args:
        sink: tells people.
        threads: incident -> where the sink tells it; the same mapping as the sink's own memory.
        fenced: whether this worker may have lost its partitions without knowing it.
        heard: whether Kafka was heard of a partition lately. What is of one that is not heard waits, and
            the others go on. Both are asked from the outlet's thread, and answer at once.

    Attributes:
        outlet: to the sink.
        fenced: steps that were held back.
        observe: told of every step that was told or given up, from the outlet's thread.
    """

    def __init__(
        self,
        sink: Sink,
        threads: dict[str, str],
        fenced: Callable[[], bool],
        heard: Callable[[Shard], bool],
    ) -> None:
        self.fenced = 0
        self.observe: Callable[[Effect, bool], None] | None = None
        self._threads = threads
        self._is_fenced, self._heard = fenced, heard
        self._owner: dict[str, Shard] = {}
        self._settled: set[str] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.outlet = Outlet(
            sink, capacity=_WAITING, settled=self._on_settled, may_send=self._may_send, hold=self._hold
        )

    def take_over(self, shard: Shard) -> None:
        """Tell what earlier owners of a partition left to be told. Called from the worker's loop."""
        self._loop = asyncio.get_running_loop()
        for pipeline in {*shard.monitor.pipelines, *shard.outboxes}:
            self._owner[pipeline] = shard
        for outbox in shard.outboxes.values():
            self._threads |= outbox.threads
            for step in outbox.pending.values():
                # The worker before may have told it without living to write that down.
                self.outlet.offer(step, doubtful=True)

    def drop(self, shard: Shard) -> None:
        """The partition went to somebody else, who tells what waits."""
        for pipeline in {*shard.monitor.pipelines, *shard.outboxes}:
            self.outlet.withdraw(pipeline)
            self._owner.pop(pipeline, None)
            self._settled.discard(pipeline)
        for outbox in shard.outboxes.values():
            for incident in outbox.threads:
                self._threads.pop(incident, None)

    def tell(self, shard: Shard, steps: Iterable[Told]) -> None:
        """Tell steps that are written down, but for what planned work hides."""
        for step in filter(is_for_people, steps):
            self._owner[step.pipeline] = shard
            self.outlet.offer(step)

    def settled(self) -> list[tuple[Shard, str]]:
        """Pipelines of which something was told or given up since this was asked last: to be written down."""
        names, self._settled = self._settled, set()
        return [(self._owner[name], name) for name in sorted(names) if name in self._owner]

    def _hold(self, effect: Effect) -> float:
        """Seconds that a step waits because nobody knows whether it is still this worker's to tell."""
        shard = self._owner.get(effect.pipeline)
        if shard is None:
            return 0.0
        if self._is_fenced():
            self.fenced += 1
            return _FENCED_S
        return 0.0 if self._heard(shard) else _LOOK_S

    def _may_send(self, effect: Effect) -> bool:
        """Asked right before each attempt, from the outlet's thread."""
        if effect.pipeline not in self._owner:
            return False
        if pause := self._hold(effect):
            raise DeliveryError(
                "this worker stood still, or does not hear Kafka, and may own the pipeline no more",
                retry_after=pause,
            )
        return True

    def _on_settled(self, effect: Effect, delivered: bool) -> None:  # noqa: FBT001 - given up is settled too
        if self.observe is not None:
            self.observe(effect, delivered)
        if not isinstance(effect, IncidentChanged | MuteChanged):
            return
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle, effect)

    def _settle(self, step: Told) -> None:
        shard = self._owner.get(step.pipeline)
        if shard is not None:
            incident = step.incident.id if isinstance(step, IncidentChanged) else ""
            shard.outbox(step.pipeline).settle(step, self._threads.get(incident, ""))
            self._settled.add(step.pipeline)
