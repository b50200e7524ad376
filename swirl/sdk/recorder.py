"""The hot path: what a decorated call leaves behind, and how much of it may wait.

A decorated call appends three things to a list: when it ended, when it began, and a *note* (the prediction as
it is, None, or a :class:`~swirl.sdk.note.Note` where there is more to say). One extension of a list is
atomic, and cheaper than finding a buffer of the calling thread; all threads of a stage share it, so the
records of threads that ended are in it too. Later, in the emitter's thread, :class:`~swirl.sdk.sums.Sums`
makes sums of what has gathered.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from swirl.sdk.sums import PIECE, Sums

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl.sdk.columns import Columns, Numbers
    from swirl.sdk.hooks import Judge
    from swirl.sdk.version import Version

__all__ = ["Gate", "Recorder", "Tape"]

_HAUL = 16 * PIECE
"""Records taken from a buffer in one go."""
_LEASE = 65_536
"""Records that a stage may take on, at most, before it asks again."""
_COMPLAINTS = 1000


class Tape(list[Any]):
    """A buffer of which a copy is empty: what one process recorded is not sent by another."""

    __slots__ = ()

    def __reduce__(self) -> tuple[type[Tape], tuple[()]]:
        return (Tape, ())


class Gate:
    """Where the recorders of one pipeline meet: the bound of what waits, and the counter of what was dropped.

    Args:
        most: records that may wait, all stages together.
        labels: cap of labels per category.
        redact: makes a text of the user's presentable, or None.

    Attributes:
        pressure: called with the ticks of a record when it is the first, and when much has gathered; does not
            block.
        recorders: of all stages.
        full: nothing more is taken before the next fold.
        lost: records that the fold had to leave out.
        complaints: first failure by stage and hook.
    """

    def __init__(self, most: int, labels: int, redact: Callable[[str], str] | None) -> None:
        self.most = most
        self.labels = labels
        self.redact = redact
        self.pressure: Callable[[int], None] = _nothing
        self.recorders: list[Recorder] = []
        self.complaints: dict[tuple[str, str], str] = {}
        self.reset()

    def __reduce__(self) -> tuple[type[Gate], tuple[Any, ...]]:
        # Recorders come back by themselves, as far as their functions were copied.
        return (Gate, (self.most, self.labels, self.redact))

    def reset(self) -> None:
        """Forget everything: a fork, or a new beginning."""
        self._dropped = count()
        self._looks = 0
        self._many: list[int] = []
        self.lost = 0
        self.full = False
        for recorder in self.recorders:
            recorder.reset()

    @property
    def dropped(self) -> int:
        """Records dropped since the start. Read by one thread only."""
        # next() of a counter is atomic where += is not; a look is a step too, and is taken off again.
        self._looks += 1
        self.lost += sum(_take(self._many))
        return next(self._dropped) - self._looks + 1 + self.lost

    def drop(self) -> None:
        """One record could not be kept."""
        next(self._dropped)

    def drop_many(self, n: int) -> None:
        """Records that could not be kept."""
        self._many.append(n)

    def admit(self, ticks: int) -> int:
        """How many records a stage may take before it asks again; 0: there is no room. Wakes the emitter."""
        if self.full:
            return 0
        self.pressure(ticks)
        lease = self._lease(self.most - sum(r.waiting() for r in self.recorders))
        if lease <= 0:
            self.full = True
            self.open(is_open=False)
        return lease

    def _lease(self, room: int) -> int:
        # Records, counts and observations of each stage may take one at the same time, and all must fit in.
        return min(-(-room // (4 * max(1, len(self.recorders)))), _LEASE)

    def open(self, *, is_open: bool) -> None:
        """Let the hot path append by itself, up to a share of the room; closed, every record asks first."""
        share = 3 * self._lease(self.most) if is_open else 0
        for recorder in self.recorders:
            recorder.limit = recorder.marks_limit = share

    def complain(self, stage: str, hook: str, error: BaseException) -> None:
        """Remember the first failure of a hook, to be said once."""
        key = (stage, hook)
        if key in self.complaints or len(self.complaints) >= _COMPLAINTS:
            return
        try:
            self.complaints[key] = f"{type(error).__name__}: {error}"[:200]
        except Exception:  # noqa: BLE001 - an exception may fail to say what it is
            self.complaints[key] = type(error).__name__


def _nothing(_ticks: int) -> None:
    """No emitter is there yet."""


class Recorder:
    """What one stage records.

    Args:
        stage: its name.
        gate: that of its pipeline.
        version: what tells its version.
        ticks: the clock of durations.
        times: the stage has an ``at=``.

    Attributes:
        judge: the hooks, where the hot path cannot do without; else None.
        slim: the judge to change to when predictions turn out to be large objects.
        limit: slots of ``buffer`` beyond which the hot path must ask; 0 before the first record.
        marks_limit: the same of ``counts`` and of ``observations``.
        segmented: the stage has a ``segment=``, so each of its notes is a :class:`~swirl.sdk.note.Note`.
        sums: what was folded and not yet sent.
    """

    __slots__ = (
        "batches",
        "buffer",
        "counts",
        "gate",
        "heavy",
        "judge",
        "limit",
        "marks_limit",
        "observations",
        "segmented",
        "slim",
        "stage",
        "sums",
        "ticks",
        "times",
        "version",
    )

    def __init__(
        self, stage: str, gate: Gate, version: Version, ticks: Callable[[], int], *, times: bool = False
    ) -> None:
        self.stage = stage
        self.gate = gate
        self.version = version
        self.ticks = ticks
        self.times = times
        self.judge: Judge | None = None
        self.slim: Judge | None = None
        self.segmented = False
        self.buffer = Tape()
        self.counts = Tape()
        self.observations = Tape()
        self.batches = Tape()
        self._clear()

    def _clear(self) -> None:
        self.heavy = self.limit = self.marks_limit = 0
        self.sums = Sums(self.stage, self.gate, self.version, times=self.times)
        self.sums.segmented = self.segmented

    def divide(self) -> None:
        """Count by segment from now on."""
        self.segmented = self.sums.segmented = True

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: getattr(self, name)
            for name in self.__slots__
            if name not in ("heavy", "limit", "marks_limit", "sums")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._clear()
        self.gate.recorders.append(self)

    def reset(self) -> None:
        """Forget what was recorded."""
        for tape in (self.buffer, self.counts, self.observations, self.batches):
            tape.clear()
        self._clear()

    def overflow(self, tape: Tape, end: int, middle: object, last: object) -> None:
        """Append where the hot path may not: at the first record, and when much has gathered."""
        try:
            lease = self.gate.admit(end)
            if not lease:
                self.gate.drop()
                return
            tape.extend((end, middle, last))
            if tape is self.buffer:
                self.limit = len(tape) + 3 * (lease - 1)
        except Exception:  # noqa: BLE001 - no thread to be had, an interpreter that ends: the host goes on
            self.gate.drop()

    def waiting(self) -> int:
        """Records, counts and values that wait for the fold."""
        return (len(self.buffer) + len(self.counts) + len(self.observations)) // 3 + self.heavy

    def add_batch(self, batch: Columns | Numbers) -> None:
        """Let a batch wait for the fold; it weighs as many records as it holds values."""
        room = self.gate.most - self.heavy
        # A batch that is larger than all the room is taken if no other waits, or it could never be measured.
        if (batch.weight <= room or not self.heavy) and self.gate.admit(batch.ticks):
            self.heavy += batch.weight
            self.batches.append(batch)
        else:
            self.gate.drop_many(batch.records)

    def complain(self, hook: str, error: BaseException) -> None:
        """Remember the first failure of a hook."""
        self.gate.complain(self.stage, hook, error)

    def fold(self, offset: int, least_ms: int, pause: Callable[[], None] | None = None) -> None:
        """Turn what has gathered into sums.

        Args:
            offset: nanoseconds since 1970 at tick 0.
            least_ms: event time before which everything is reported already; what was done before but arrived
                in the buffer after it belongs to this moment.
            pause: called between pieces far below a millisecond, to let the host run.
        """
        sums, waiting = self.sums, len(self.buffer)
        self.version.ask(self.ticks(), self.complain)
        while waiting > 0:
            haul = _take(self.buffer, min(waiting, 3 * _HAUL))
            waiting -= len(haul)
            for first in range(0, len(haul), 3 * PIECE):
                self._fold_piece(haul[first : first + 3 * PIECE], offset, least_ms)
                if pause is not None:
                    pause()
        # Counts have no event time of their own: they take that of the newest record, so records come first.
        marks = _take(self.counts), _take(self.observations)
        for batch in _take(self.batches):
            sums.add_batch(batch, offset, least_ms)
            if pause is not None:
                pause()
        sums.own.add_counts(marks[0], offset, least_ms)
        sums.own.add_observations(marks[1], offset, least_ms)
        self.heavy = sum(batch.weight for batch in list(self.batches))
        self.gate.lost += sums.tallies.take_lost()
        if sums.large and self.judge is None:
            # Predictions are large: from now on they are made small within the call, not kept until the fold.
            self.judge = self.slim

    def _fold_piece(self, piece: list[Any], offset: int, least_ms: int) -> None:
        try:
            self.sums.add_records(piece, offset, least_ms)
        except Exception as error:  # noqa: BLE001 - one odd record must not stop the emitter
            self.complain("fold", error)
            self.gate.lost += len(piece) // 3


def _take(tape: list[Any], n: int | None = None) -> list[Any]:
    """The first things of a buffer. What is appended meanwhile stays in it; a swap would lose some."""
    n = len(tape) if n is None else n
    taken = tape[:n]
    del tape[:n]
    return taken
