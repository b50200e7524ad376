"""Who speaks for a pipeline: sequence numbers, silence, replacement, goodbye, and how far each has come.

Zero, missing, late and gone are four things. An emitter is *gone* when it said goodbye or a newcomer took its
place, and *missing* when it did neither and has not been heard for the silence that is allowed.

There may be thousands, and a frame of one of them looks at that one only: who is furthest behind lies on top
of a heap, and silence is looked for when the next one can have fallen silent.
"""

from __future__ import annotations

from bisect import bisect_left
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any

import msgspec

from swirl.sketch import MOST_COUNTED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swirl.effect import Health
    from swirl.frame import Frame

__all__ = ["Emitter", "Emitters"]

_FORGET_MS = 24 * 3_600_000
_FORGET_GONE_MS = 3_600_000
_AWAITED = 256
"""Of the sequence numbers of an emitter that were skipped, the newest ones that may still come."""
_STALE = 4
"""Entries of the heap for each emitter before what is out of date is cleared away."""


class Emitter(msgspec.Struct):
    """What is known of one emitter.

    Attributes:
        sequence: of its newest frame.
        first_ms, last_ms: log time of its first and newest frame.
        definition_hash: of its newest frame.
        stages: that it has reported.
        dropped, failed: as it counts them.
        gone: see the module.
        replaced: it has already taken the place of another.
        covered_ms: end of what it has covered, event time; never goes back, 0 while it is nothing.
        moved_ms: log time of the frame that moved it.
        waited_for: windows wait for it: it is there and was not too far behind with its newest frame.
        awaited: sequence numbers that were skipped and may still come, in order.
        behind: it was in time and no longer is: its frames come after the windows that they belong to.
    """

    sequence: int
    first_ms: int
    last_ms: int
    definition_hash: bytes
    stages: list[str] = []
    dropped: int = 0
    failed: int = 0
    gone: bool = False
    replaced: bool = False
    covered_ms: int = 0
    moved_ms: int = 0
    waited_for: bool = False
    behind: bool = False
    awaited: list[int] = []


class Emitters:
    """The emitters of one pipeline.

    Args:
        silence_ms: log time after which an unheard emitter is missing.
    """

    def __init__(self, silence_ms: int) -> None:
        self.silence_ms = silence_ms
        self.known: dict[bytes, Emitter] = {}
        self._gone = 0
        self._ends: list[tuple[int, bytes]] = []
        self._quiet_until_ms = -1
        """Up to this log time nobody can have fallen silent or be due to be forgotten."""
        self._vacant = False
        """Someone is missing whose place a newcomer could take."""

    def accept(self, frame: Frame, log_ms: int, health: Health) -> bool:
        """Take note of a frame. False: it has been seen already."""
        known = self.known.get(frame.emitter)
        if known is not None and frame.sequence <= known.sequence:
            return self._came_late(known, frame, health)
        if known is None:
            # What an emitter sent before this monitor's log began is not lost.
            known = self.known[frame.emitter] = Emitter(frame.sequence, log_ms, log_ms, frame.definition_hash)
            self._came(log_ms)
        else:
            health.frames_lost += frame.sequence - known.sequence - 1
            skipped = range(max(known.sequence + 1, frame.sequence - _AWAITED), frame.sequence)
            known.awaited = [*known.awaited, *skipped][-_AWAITED:]
            if known.gone or self.is_missing(known, log_ms):
                self._came(log_ms)
        dropped, failed = max(0, frame.dropped - known.dropped), max(0, frame.failed - known.failed)
        health.dropped_records = min(health.dropped_records + dropped, MOST_COUNTED)
        health.failed_frames = min(health.failed_frames + failed, MOST_COUNTED)
        known.sequence, known.last_ms, known.definition_hash = frame.sequence, log_ms, frame.definition_hash
        self._gone += frame.goodbye - known.gone
        known.dropped, known.failed, known.gone = frame.dropped, frame.failed, frame.goodbye
        known.waited_for = known.waited_for and not known.gone
        for piece in frame.slices:
            if piece.stage not in known.stages:
                known.stages.append(piece.stage)
        return True

    def _came_late(self, known: Emitter, frame: Frame, health: Health) -> bool:
        """A producer that starts anew sends what failed before after what did not; False: it was seen."""
        if frame.sequence not in known.awaited:
            health.duplicates += 1
            return False
        known.awaited.remove(frame.sequence)
        health.frames_late += 1
        for piece in frame.slices:
            if piece.stage not in known.stages:
                known.stages.append(piece.stage)
        return True

    def _came(self, log_ms: int) -> None:
        """Someone is here who was not: a newcomer, or one that was missing or gone."""
        soon = log_ms - 1 if self._vacant else log_ms + self.silence_ms
        self._quiet_until_ms = min(self._quiet_until_ms, soon)

    def cover(self, emitter: bytes, end_ms: int, log_ms: int, floor_ms: int) -> None:
        """Take note of how far an emitter has come whose frame was accepted.

        Args:
            emitter: its identity.
            end_ms: event time that its frame covers up to.
            log_ms: of the frame.
            floor_ms: who is further behind is not waited for: it would only hold back the others.
        """
        known = self.known[emitter]
        if end_ms > known.covered_ms:
            known.covered_ms, known.moved_ms = end_ms, log_ms
        # Among the first frames of a pipeline a clock that is far behind may be taken for the right one.
        was_in_time = known.waited_for and log_ms - known.first_ms > self.silence_ms
        known.waited_for = not known.gone and known.covered_ms >= max(floor_ms, 1)
        known.behind = (was_in_time or known.behind) and not (known.waited_for or known.gone)
        if not known.waited_for and log_ms == known.first_ms and self._has_just_left(log_ms):
            # An emitter whose clock was put back says goodbye and begins anew, in windows that are closed.
            known.behind = not known.gone
        if known.waited_for:
            heappush(self._ends, (known.covered_ms, emitter))
            if len(self._ends) > _STALE * (len(self.known) + _STALE):
                self._rebuild()

    def _has_just_left(self, log_ms: int) -> bool:
        """Someone said goodbye within the silence that is allowed."""
        return self._gone > 0 and any(
            e.gone and log_ms - e.last_ms <= self.silence_ms for e in self.known.values()
        )

    def covered(self, log_ms: int) -> int | None:
        """Event time that all who are waited for have covered; None where nobody is.

        Who has not moved for the silence that is allowed is waited for no longer.
        """
        ends = self._ends
        while ends:
            end_ms, key = ends[0]
            emitter = self.known.get(key)
            if emitter is not None and emitter.covered_ms == end_ms and self._is_waited_for(emitter, log_ms):
                return end_ms
            heappop(ends)
        return None

    def _is_waited_for(self, emitter: Emitter, log_ms: int) -> bool:
        return emitter.waited_for and log_ms - emitter.moved_ms <= self.silence_ms

    def _rebuild(self) -> None:
        self._ends = [(e.covered_ms, key) for key, e in self.known.items() if e.waited_for]
        heapify(self._ends)

    def notice_silence(self, log_ms: int) -> bool:
        """Let newcomers take the place of the silent, and forget those that are long gone.

        Returns:
            Whether anyone who was expected is expected no more.
        """
        if log_ms <= self._quiet_until_ms:
            return False
        fewer = self._forget(log_ms)
        silent = [emitter for emitter in self.known.items() if self.is_missing(emitter[1], log_ms)]
        replaced = self._replace(silent, log_ms) if silent else 0
        self._vacant = replaced < len(silent)
        self._quiet_until_ms = min((self._next_turn(e, log_ms) for e in self.known.values()), default=log_ms)
        return fewer or replaced > 0

    def _forget(self, log_ms: int) -> bool:
        old = [
            (key, emitter.gone)
            for key, emitter in self.known.items()
            if log_ms - emitter.last_ms > (_FORGET_GONE_MS if emitter.gone else _FORGET_MS)
        ]
        for key, gone in old:
            del self.known[key]
            self._gone -= gone
        return not all(gone for _, gone in old)

    def _replace(self, silent: Iterable[tuple[bytes, Emitter]], log_ms: int) -> int:
        """Who fell silent first is replaced first, by the first that came after; returns how many were."""
        newcomers = sorted(
            (e for e in self.known.values() if not (e.replaced or e.gone or self.is_missing(e, log_ms))),
            key=lambda emitter: emitter.first_ms,
        )
        first = [emitter.first_ms for emitter in newcomers]
        before = self._gone
        for _, emitter in sorted(silent, key=lambda item: (item[1].last_ms, item[0])):
            place = bisect_left(first, emitter.last_ms)
            if place == len(newcomers):
                break
            del first[place]
            newcomer = newcomers.pop(place)
            newcomer.replaced = emitter.gone = True
            self._gone += 1
            # A process begins anew where its clock is put back, and is too late from then on.
            was_in_time = emitter.waited_for or emitter.behind
            newcomer.behind = was_in_time and newcomer.covered_ms > 0 and not newcomer.waited_for
            emitter.waited_for = emitter.behind = False
        return self._gone - before

    def _next_turn(self, emitter: Emitter, log_ms: int) -> int:
        """Log time after which this emitter, if it is not heard, falls silent or is forgotten."""
        if emitter.gone:
            return emitter.last_ms + _FORGET_GONE_MS
        return emitter.last_ms + (_FORGET_MS if self.is_missing(emitter, log_ms) else self.silence_ms)

    def is_missing(self, emitter: Emitter, log_ms: int) -> bool:
        """Whether it said no goodbye and has not been heard for too long."""
        return not emitter.gone and log_ms - emitter.last_ms > self.silence_ms

    def expected(self) -> bool:
        """Whether anyone is still expected to speak."""
        return len(self.known) > self._gone

    def by_stage(self, log_ms: int) -> tuple[dict[str, int], dict[str, int]]:
        """Emitters that are heard in time, and that should be, by stage.

        One whose clock has been far behind from the beginning is no loss: its records never were in time.
        """
        heard: dict[str, int] = {}
        expected: dict[str, int] = {}
        for key in sorted(self.known):
            emitter = self.known[key]
            if emitter.gone:
                continue
            in_time = not (emitter.behind or self.is_missing(emitter, log_ms))
            for stage in emitter.stages:
                expected[stage] = expected.get(stage, 0) + 1
                heard[stage] = heard.get(stage, 0) + in_time
        return heard, expected

    def count(self, health: Health, log_ms: int) -> None:
        """Write how many there are and how many are missing."""
        present = [emitter for emitter in self.known.values() if not emitter.gone]
        health.emitters_silent = sum(self.is_missing(emitter, log_ms) for emitter in present)
        health.emitters = len(present) - health.emitters_silent
        health.last_seen_ms = max((emitter.last_ms for emitter in self.known.values()), default=0)

    def snapshot(self) -> list[Any]:
        """Of types that MessagePack knows."""
        return [
            [key, msgspec.to_builtins(emitter, builtin_types=(bytes,))] for key, emitter in self.known.items()
        ]

    def restore(self, data: list[Any]) -> None:
        """Take what ``snapshot`` gave."""
        self.known = {key: msgspec.convert(emitter, Emitter) for key, emitter in data}
        self._gone = sum(emitter.gone for emitter in self.known.values())
        self._quiet_until_ms = -1
        self._rebuild()
