"""One partition of the log: its monitor, what of it is safe, and what is to be told.

No input or output, no clock. The log is also the way back: the fold is the same for everyone, so it is enough
to keep a snapshot of each pipeline now and then, and to fold again what came after it. A record is
acknowledged once every pipeline that it went into has a later snapshot; until then it is read again after a
crash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swirl.effect import IncidentChanged, MuteChanged
from swirl.engine.outbox import Outbox
from swirl.engine.pieces import Record, cut, log_record, outbox_key
from swirl.frame import Tick, encode
from swirl.monitor import FoldError
from swirl.steps import finished

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl.effect import Effect, Told
    from swirl.engine.pieces import Shelf
    from swirl.monitor import Monitor

__all__ = ["TICK", "Shard"]

TICK = encode(Tick())
"""Lets time pass in all pipelines of a partition."""


class Shard:
    """What a worker holds of one partition.

    Args:
        partition: its number.
        monitor: a fresh one.
        epoch: of this ownership; no two are alike.
        log: identity of the frames' log.

    Attributes:
        partition: see above.
        monitor: see above; fed through :meth:`fold` only.
        log: see above.
        outboxes: by pipeline.
        untold: pipelines with steps of incidents or planned work that are not yet written down. No snapshot
            is taken of them: after a crash the fold would begin behind the step, and nobody would be told.
        gap: records that were gone from the log before they were folded.
        redelivered: frames that came again and were in a snapshot already.
    """

    def __init__(self, partition: int, monitor: Monitor, epoch: str, log: str) -> None:
        self.partition = partition
        self.monitor = monitor
        self.outboxes: dict[str, Outbox] = {}
        self.untold: set[str] = set()
        self.gap = 0
        self.redelivered = 0
        self.log = log
        self._epoch = epoch
        self._dirty: dict[str, int] = {}
        self._saving: dict[str, int] = {}
        self._saved_s: dict[str, float] = {}
        self._slot: dict[str, int] = {}
        self._leftovers: dict[str, list[Record]] = {}
        self._foreign: list[str] = []

    # -- what comes in

    def restore(self, shelf: Shelf, say: Callable[[str], None]) -> bool:
        """Go on from what earlier owners have written.

        Args:
            shelf: the partition of the state log, read to its end.
            say: is told, in words, of whatever cannot be taken over.

        Returns:
            Whether all is of this log. False: it was made anew since, so read it from its beginning.
        """
        if shelf.unreadable:
            say(f"{shelf.unreadable} records of the state are of another version, or not ours: they are left")
        found = shelf.found()
        broken = shelf.broken(found)
        for pipeline in broken:
            say(f"the state of {pipeline!r} is not whole: learning starts anew")
        ours = {name: snapshot for name, snapshot in found.items() if snapshot.log == self.log}
        if len(ours) < len(found):
            say(
                f"the state of {len(found) - len(ours)} pipelines is of frames that are gone (the topic was "
                "deleted and made anew): learning starts anew"
            )
        for pipeline, (_, snapshot, _) in ours.items():
            try:
                self.monitor.restore_pipeline(snapshot)
            except ValueError as error:
                say(f"the state of {pipeline!r} was not taken over: {error}; learning starts anew")
        for pipeline, left in shelf.outboxes().items():
            self.outboxes[pipeline], unreadable = Outbox.united(left)
            if unreadable:
                say(f"what was to be told of {pipeline!r} is of another version: it may be told twice")
        self._foreign = sorted(found.keys() - ours.keys())
        self._leftovers = {name: shelf.leftovers(name) for name in {*found, *broken, *self.outboxes}}
        return shelf.log == self.log or not (shelf.log or self._foreign)

    def begin(self) -> list[Record]:
        """Records that say of which log the partition is read from now on, and take back others' state."""
        records = []
        for pipeline in self._foreign:
            records += [self.outbox_record(pipeline)] if pipeline in self.outboxes else []
            records += self._leftovers.pop(pipeline)
        return [*records, log_record(self.log)]

    def fold(self, offset: int, log_ms: int, payload: bytes) -> list[Effect]:
        """Fold a record; returns what shall be done, which may have been done before.

        Raises:
            FoldError: see :meth:`swirl.monitor.Monitor.apply`.
        """
        if self.monitor.next_offset < offset:
            self.gap += offset - self.monitor.next_offset
        known = offset < self.monitor.next_offset
        try:
            effects = self.monitor.apply(offset, log_ms, payload)
        except FoldError as error:
            self._note(offset, error.effects)
            raise
        self._note(offset, effects)
        if payload != TICK and (known or not (self.monitor.folded or self.monitor.refusal)):
            self.redelivered += 1
        return effects

    def _note(self, offset: int, effects: list[Effect]) -> None:
        for pipeline in self.monitor.folded:
            self._dirty.setdefault(pipeline, offset)
        for step in _steps(effects):
            if step not in self.outbox(step.pipeline):
                self.untold.add(step.pipeline)

    def news(self, effects: list[Effect]) -> list[Told]:
        """The steps that nobody has written down yet; from now on those for people wait in the outbox."""
        return [step for step in _steps(effects) if self.outbox(step.pipeline).add(step)]

    def outbox(self, pipeline: str) -> Outbox:
        """What is to be told of a pipeline."""
        return self.outboxes.setdefault(pipeline, Outbox())

    def outbox_record(self, pipeline: str) -> Record:
        """The outbox as it stands, for the state log."""
        return Record(outbox_key(pipeline, self._epoch), self.outbox(pipeline).encode())

    # -- what is safe

    @property
    def settled(self) -> int:
        """Records below this offset need not be read again."""
        return min([*self._dirty.values(), *self._saving.values()], default=self.monitor.next_offset)

    def waits_longest(self, now: float) -> tuple[float, str]:
        """Since when a pipeline waits for its snapshot, the one that waits longest; now and ``""`` for none.

        Args:
            now: seconds, of a clock that never goes back.
        """
        return min(((self._saved_s.setdefault(name, now), name) for name in self.unsaved), default=(now, ""))

    @property
    def unsaved(self) -> list[str]:
        """Pipelines that have changed since their last snapshot, and of which one may be taken."""
        return [name for name in self._dirty if name not in self._saving and name not in self.untold]

    def begin_snapshot(self, pipeline: str, now: float) -> list[Record]:
        """A snapshot as it stands; all records but the last must be safe before the last is written."""
        snapshot = finished(self.monitor.pipeline_steps(pipeline))
        self._saving[pipeline] = self._dirty.pop(pipeline)
        self._saved_s[pipeline] = now
        self._slot[pipeline] = 1 - self._slot.get(pipeline, 1)
        head = (self.monitor.next_offset, self.log)
        return cut(pipeline, snapshot, head, self._epoch, self._slot[pipeline])

    def end_snapshot(self, pipeline: str) -> list[Record]:
        """It is safe; returns the records that it makes superfluous."""
        del self._saving[pipeline]
        return self._leftovers.pop(pipeline, [])


def _steps(effects: list[Effect]) -> list[Told]:
    return [effect for effect in effects if isinstance(effect, IncidentChanged | MuteChanged)]
