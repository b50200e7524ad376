"""How an emitter's frames are made: who sends them, which number they have, and what they tell of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec

from swirl.frame import Frame, definition_hash, encode
from swirl.sdk.packing import pack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swirl.frame import Definition, Slice

__all__ = ["Framing"]

_DEFINITION_NS = 60_000_000_000


class Framing:
    """Numbers and encodes the frames of one emitter.

    The definition travels in the first frame, when it has changed, once a minute, and again where a frame
    that held it did not arrive.

    Args:
        pipeline: its name.

    Attributes:
        identity: of the emitter, 16 bytes.
        sequence: of the newest frame, 0 before the first.
    """

    def __init__(self, pipeline: str) -> None:
        self._pipeline = pipeline
        self._definition: Definition | None = None
        self.begin()

    def begin(self, identity: bytes | None = None, dropped: int = 0) -> None:
        """Another emitter begins.

        Args:
            identity: who it is, 16 bytes; by default random.
            dropped: records that were dropped before it.
        """
        self.identity = identity or os.urandom(16)
        self.sequence = 0
        self._dropped_before = dropped
        self._definition = None
        self._hash = b""
        self._defined_at: int | None = None

    def forget_definition(self) -> None:
        """Nobody may know the definition: the next frame has it."""
        self._defined_at = None

    def dropped(self, dropped: int) -> int:
        """Of the records that were dropped, those of this emitter."""
        return dropped - self._dropped_before

    def due(self, definition: Definition, ticks: int) -> Definition | None:
        """The definition if the next frame shall have it, otherwise None.

        Args:
            definition: the present one.
            ticks: of the host's clock, nanoseconds.
        """
        if definition != self._definition:
            self._definition, self._hash = definition, definition_hash(definition)
        elif self._defined_at is not None and ticks - self._defined_at < _DEFINITION_NS:
            return None
        self._defined_at = ticks
        return definition

    def header(
        self, sent_ms: int, covers: tuple[int, int], *, dropped: int, failed: int, run_ms: int, run_id: str
    ) -> Frame:
        """A frame without slices, after :meth:`due`.

        Args:
            sent_ms: host time.
            covers: event time that it makes complete, milliseconds.
            dropped: records, since the gate was made.
            failed: frames that did not arrive.
            run_ms: start of the run, 0 for none.
            run_id: its identity, ``""`` for none.
        """
        return Frame(
            pipeline=self._pipeline,
            emitter=self.identity,
            sequence=1,
            sent_ms=max(0, sent_ms),
            covers=covers,
            definition_hash=self._hash,
            dropped=self.dropped(dropped),
            failed=failed,
            run_ms=run_ms,
            run_id=run_id,
        )

    def encoded(
        self,
        header: Frame,
        definition: Definition | None,
        slices: list[Slice],
        *,
        goodbye: bool,
        over: bool,
    ) -> Iterator[tuple[bytes, bool]]:
        """One frame, or several where one would be larger than a log takes.

        Args:
            header: what all of them say.
            definition: for the first of them.
            slices: of one flush.
            goodbye: the emitter ends with the last of them.
            over: its run ends with it.

        Yields:
            The bytes of a frame, and whether the definition is in it.
        """
        packs = pack(slices, 0 if definition is None else len(msgspec.msgpack.encode(definition)))
        for i, part in enumerate(packs):
            last = i == len(packs) - 1
            self.sequence += 1
            given: dict[str, Any] = {
                "definition": definition if i == 0 else None,
                # Its silence until the next run means nothing.
                "goodbye": (goodbye or over) and last,
                "run_over": over and last,
            }
            if not last:
                given["covers"] = (header.covers[0], header.covers[0])
            frame = msgspec.structs.replace(header, sequence=self.sequence, slices=tuple(part), **given)
            yield encode(frame), i == 0 and definition is not None
