"""What a worker writes for others: closed windows, steps of incidents, verdicts, and what it could not read.

MessagePack maps with a version ``v``. Fields may be added within one, so readers ignore what they do not
know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from swirl.effect import COLUMNS, Told, WindowClosed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swirl.frame import Verdict

__all__ = [
    "SCHEMA",
    "DeadLetter",
    "IncidentRecord",
    "WindowPart",
    "dead_letter",
    "incident_record",
    "verdict_record",
    "window_records",
]

SCHEMA = 1
_SERIES = 4000
"""Series in one record: half a megabyte, with names of usual length."""
_ORIGINAL_BYTES = 100_000
"""Of a record that could not be read, at most so much is kept."""


class WindowPart(msgspec.Struct, frozen=True, rename={"schema": "v"}):
    """A closed window, or some of its series.

    Attributes:
        window: with the series of this part.
        part, parts: which one it is, from 0, and how many there are.
        schema: see :data:`SCHEMA`.
    """

    window: WindowClosed
    part: int = 0
    parts: int = 1
    schema: int = SCHEMA


class IncidentRecord(msgspec.Struct, frozen=True, rename={"schema": "v"}):
    """A step of an incident, or of planned work.

    Attributes:
        change: what happened; its key ``type`` says which: ``"incident"`` or ``"mute"``.
        schema: see :data:`SCHEMA`.
    """

    change: Told
    schema: int = SCHEMA


class DeadLetter(msgspec.Struct, frozen=True, rename={"schema": "v"}):
    """A record that could not be read.

    Attributes:
        topic, partition, offset: where it lies.
        log_ms: when the log took it.
        cause: one word, a label of the counter.
        reason: more words.
        key, value: its bytes, the value's first 100 000.
        size: bytes of the whole value.
        schema: see :data:`SCHEMA`.
    """

    topic: str
    partition: int
    offset: int
    log_ms: int
    cause: str
    reason: str
    key: bytes
    value: bytes
    size: int
    schema: int = SCHEMA


def window_records(window: WindowClosed) -> Iterator[bytes]:
    """A window in records below the broker's message limit."""
    parts = max(1, -(-len(window.keys) // _SERIES))
    if parts == 1:
        yield msgspec.msgpack.encode(WindowPart(window))
        return
    numbers = np.frombuffer(window.numbers, dtype=np.float64).reshape(len(COLUMNS), -1)
    for part in range(parts):
        chosen = slice(part * _SERIES, (part + 1) * _SERIES)
        changes: dict[str, Any] = {
            "keys": window.keys[chosen],
            "numbers": numbers[:, chosen].tobytes(),
            "states": window.states[chosen],
        }
        if part:
            changes |= {"totals": {}, "versions": {}, "latency": {}}
        yield msgspec.msgpack.encode(
            WindowPart(msgspec.structs.replace(window, **changes), part=part, parts=parts)
        )


def incident_record(change: Told) -> bytes:
    """A step of an incident, or of planned work."""
    return msgspec.msgpack.encode(IncidentRecord(change))


def verdict_record(verdict: Verdict) -> bytes:
    """A verdict, as the pipeline reads it."""
    return msgspec.msgpack.encode(verdict)


def dead_letter(
    place: tuple[str, int, int], log_ms: int, cause: tuple[str, str], key: bytes | None, value: bytes
) -> bytes:
    """A record that could not be read: where it lies, when it came, its cause and the reason in words."""
    letter = DeadLetter(*place, log_ms, *cause, (key or b"")[:1000], value[:_ORIGINAL_BYTES], len(value))
    return msgspec.msgpack.encode(letter)
