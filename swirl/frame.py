"""The wire: one frame is one flush of one emitter. ``docs/frame.md`` describes it for other languages.

Frames are MessagePack maps with short keys. Readers ignore keys that they do not know, so that fields can be
added; a change that old readers would misread raises :data:`SCHEMA`.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from swirl.errors import FrameError

__all__ = [
    "MAX_BYTES",
    "SCHEMA",
    "Act",
    "Definition",
    "DetectorDefinition",
    "Frame",
    "LimitDefinition",
    "RatioDefinition",
    "ReferenceDefinition",
    "Slice",
    "StageDefinition",
    "Summary",
    "Tick",
    "Verdict",
    "decode",
    "definition_hash",
    "encode",
    "incident_pipeline",
]

SCHEMA = 1
"""The version of the format that this module writes; it reads this one only."""

MAX_BYTES = 1_000_000
"""Larger records are refused unread: Kafka's default limit of a message."""

_LATEST_MS = 1 << 53

_IDENTITY = re.compile(r"(?P<pipeline>.+)-\d{8}-\d{6}", re.DOTALL | re.ASCII)


class DetectorDefinition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A detector that a user wants for a stage, in place of those that judge a series by default.

    Attributes:
        name: as it is registered; one that the monitor does not know is counted and left out.
        options: of its configuration, by name.
    """

    name: str
    options: dict[str, float | bool | str] = {}


class StageDefinition(msgspec.Struct, frozen=True, omit_defaults=True, rename={"validates": "valid"}):
    """What the monitor must know of a stage.

    Attributes:
        name: unique in its pipeline.
        after: names of the stages whose output it takes; empty for a source.
        validates: it can call a record invalid.
        predicts: ``"label"``, ``"number"`` or ``""``.
        features: names of the features that it reports.
        detectors: that judge its series; none for those that judge by default.
    """

    name: str
    after: tuple[str, ...] = ()
    validates: bool = False
    predicts: str = ""
    features: tuple[str, ...] = ()
    detectors: tuple[DetectorDefinition, ...] = ()


class RatioDefinition(msgspec.Struct, frozen=True):
    """A ratio of two counters, possibly of two stages.

    Attributes:
        name: unique in its pipeline.
        numerator: ``(stage, counter)``; counters are those of :class:`Slice` or the user's own.
        denominator: ``(stage, counter)``.
    """

    name: str
    numerator: tuple[str, str]
    denominator: tuple[str, str]


class LimitDefinition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A limit that a person wrote: no statistics, no share of the false-alarm budget.

    Attributes:
        stage, metric, label: the series, in the units that a person sees.
        above: more than this is an anomaly; None: no upper limit.
        below: less than this is an anomaly; None: no lower limit.
        seconds: event time for which the limit must have been crossed without a break; 0: one window.
    """

    stage: str
    metric: str
    label: str = ""
    above: float | None = None
    below: float | None = None
    seconds: float = 0.0


class Summary(msgspec.Struct, frozen=True, array_like=True):
    """A distribution on the wire: the array ``[count, total, digest]``.

    Attributes:
        count: how many numbers.
        total: their sum.
        digest: a DataSketches ``tdigest_float``, serialised.
    """

    count: int
    total: float
    digest: bytes


class ReferenceDefinition(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the data of a stage looked like when its model was made: a baseline that nobody has to wait for.

    Attributes:
        stage: that it is a baseline of.
        categories: ``feature:<name>`` and ``label``: counts by label.
        distributions: ``feature:<name>`` and ``prediction``.
    """

    stage: str
    categories: dict[str, dict[str, int]] = {}
    distributions: dict[str, Summary] = {}


class Definition(msgspec.Struct, frozen=True, omit_defaults=True):
    """The stage graph, which travels with the frames so that the monitor needs no configuration.

    Attributes:
        stages, ratios, limits, references: as they were written down.
        run_seconds: of a pipeline that runs in batches, the time from one run to the next: each run is one
            window. 0: it runs all the time.
    """

    stages: tuple[StageDefinition, ...]
    ratios: tuple[RatioDefinition, ...] = ()
    limits: tuple[LimitDefinition, ...] = ()
    references: tuple[ReferenceDefinition, ...] = ()
    run_seconds: float = 0.0


class Slice(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={
        "stage": "s",
        "version": "v",
        "bucket_ms": "b",
        "counters": "c",
        "categories": "k",
        "distributions": "d",
    },
):
    """What one version of one stage did in one second of event time.

    Attributes:
        stage: its name.
        version: the version that did it, or ``""``.
        bucket_ms: start of the second, milliseconds since 1970.
        counters: ``records`` in, ``invalid``, ``errors``, ``out``, ``predictions``, ``nulls`` and ``values``
            (of features), ``hook_errors``, ``non_finite``, ``null:<feature>``, and the user's own names.
        categories: counts by label: ``reason``, ``error``, ``label``, ``feature:<name>``.
        distributions: ``latency`` (seconds), ``prediction``, ``feature:<name>``, and the user's own names.
    """

    stage: str
    version: str
    bucket_ms: int
    counters: dict[str, float] = {}
    categories: dict[str, dict[str, int]] = {}
    distributions: dict[str, Summary] = {}


class Frame(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    tag_field="t",
    tag="f",
    rename={
        "schema": "v",
        "emitter": "e",
        "sequence": "n",
        "pipeline": "p",
        "sent_ms": "ms",
        "covers": "cv",
        "definition_hash": "h",
        "definition": "def",
        "slices": "s",
        "dropped": "dr",
        "failed": "fa",
        "goodbye": "bye",
        "run_ms": "run",
        "run_over": "over",
        "run_id": "id",
    },
):
    """One flush of one emitter. Without slices it is a heartbeat.

    Attributes:
        pipeline: its name, also the key on Kafka.
        emitter: 16 bytes, new for each process and each fork.
        sequence: 1, 2, 3, ... of this emitter.
        sent_ms: the emitter's clock at the flush.
        covers: event time ``[from, to)`` that this frame makes complete for this emitter. From one frame to
            the next it has no gap unless something was lost.
        definition_hash: 16 bytes that stand for the definition.
        definition: the definition itself: in the first frame, when it changed, and once a minute.
        slices: what was counted.
        dropped: records that were dropped by this emitter since it started, for want of space.
        failed: frames that could not be delivered since it started.
        goodbye: the emitter stops on purpose; its silence means nothing.
        run_ms: start of the run that the frame is of, event time; 0: the pipeline does not run in batches.
        run_over: the run is complete with this frame, as far as this emitter knows.
        run_id: emitters that name the same are of one run; ``""``: those that began within moments are.
        schema: see :data:`SCHEMA`.
    """

    pipeline: str
    emitter: bytes
    sequence: int
    sent_ms: int
    covers: tuple[int, int]
    definition_hash: bytes
    definition: Definition | None = None
    slices: tuple[Slice, ...] = ()
    dropped: int = 0
    failed: int = 0
    goodbye: bool = False
    run_ms: int = 0
    run_over: bool = False
    run_id: str = ""
    schema: int = SCHEMA


class Tick(msgspec.Struct, frozen=True, tag_field="t", tag="i", rename={"schema": "v", "pipeline": "p"}):
    """Time passes for a pipeline that says nothing. The owner of the log appends it.

    Attributes:
        pipeline: its name; empty for all pipelines of this log.
        schema: see :data:`SCHEMA`.
    """

    pipeline: str = ""
    schema: int = SCHEMA


class Act(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    tag_field="t",
    tag="a",
    rename={"schema": "v", "pipeline": "p"},
):
    """What a person says of an incident or of a pipeline. It comes as a record of its pipeline, as frames do.

    Attributes:
        pipeline: its name.
        act: ``"acknowledge"``: somebody is on it; ``"snooze"``: tell no news for ``for_ms``; ``"resolve"``:
            it is over; ``"new_normal"``: what the series do now is normal from here on; ``"false_alarm"``:
            there was nothing; ``"confirm"``: it was as told, or as ``cause`` and ``stage`` say; ``"mute"``:
            planned work, tell of the pipeline or of one ``stage`` afterwards only; ``"unmute"``: it is done.
        incident: its identity; ``""`` for ``"mute"`` and ``"unmute"``.
        who: said so.
        why: in their words, ``""`` for none.
        cause, stage: of ``"confirm"``, what it really was, ``""`` as told; ``stage`` of ``"mute"`` and
            ``"unmute"``: only this one, ``""`` for all.
        for_ms: of ``"snooze"`` and ``"mute"``: how long, from the time at which the log takes the record.
        via: how it was said: ``"slack"``, ``"page"``, ``"command"`` or ``"code"``.
        schema: see :data:`SCHEMA`.
    """

    pipeline: str
    act: Literal["acknowledge", "snooze", "resolve", "new_normal", "false_alarm", "confirm", "mute", "unmute"]
    incident: str = ""
    who: str = ""
    why: str = ""
    cause: str = ""
    stage: str = ""
    for_ms: int = 0
    via: str = ""
    schema: int = SCHEMA


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the monitor tells a pipeline about itself.

    Attributes:
        state: ``"healthy"``; ``"degraded"``: something is wrong, what comes out is still usable;
            ``"tripped"``: a named fault makes what comes out wrong or lost.
        since_ms: when the state began, event time; 0 while nothing is known.
        incident: identity of the incident behind it, ``""`` for none.
        stage: the root stage, ``""`` for none.
        cause: the words of the cause, ``""`` for none.
    """

    state: Literal["healthy", "degraded", "tripped"] = "healthy"
    since_ms: int = 0
    incident: str = ""
    stage: str = ""
    cause: str = ""


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Frame | Tick | Act] = msgspec.msgpack.Decoder(Frame | Tick | Act)


def encode(record: Frame | Tick | Act) -> bytes:
    """Bytes for the log."""
    return _encoder.encode(record)


def decode(payload: bytes) -> Frame | Tick | Act:
    """Read a record of the log.

    Raises:
        FrameError: with a ``cause`` for the counters: ``too_large``, ``foreign`` (no record of Swirl),
            ``version`` (a schema that this version does not read) or ``values`` (fields that make no sense).
    """
    if len(payload) > MAX_BYTES:
        raise FrameError("too_large", f"{len(payload)} bytes; at most {MAX_BYTES} are read")
    try:
        record = _decoder.decode(payload)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _why_unreadable(payload, error) from None
    if record.schema != SCHEMA:
        raise FrameError("version", f"schema {record.schema}; this Swirl reads schema {SCHEMA}")
    if isinstance(record, Frame):
        _check(record)
    return record


def definition_hash(definition: Definition) -> bytes:
    """16 bytes that stand for a definition."""
    from hashlib import blake2b  # noqa: PLC0415 - needed once a process, and hashlib loads OpenSSL

    return blake2b(_encoder.encode(definition), digest_size=16).digest()


def incident_pipeline(incident: str) -> str:
    """The pipeline of an incident, by its identity; ``""`` for what is none.

    Example:
        >>> incident_pipeline("ads-eu-20261121-031220"), incident_pipeline("ads")
        ('ads-eu', '')
    """
    found = _IDENTITY.fullmatch(incident)
    return "" if found is None else found["pipeline"]


def _why_unreadable(payload: bytes, error: Exception) -> FrameError:
    try:
        raw: Any = msgspec.msgpack.decode(payload)
    except Exception:  # noqa: BLE001 - whatever hostile bytes do to a decoder, they are foreign
        return FrameError("foreign", "not MessagePack")
    if not isinstance(raw, dict) or raw.get("t") not in ("f", "i", "a"):
        return FrameError("foreign", "MessagePack, but no record of Swirl")
    if raw.get("v", SCHEMA) != SCHEMA:
        return FrameError("version", f"schema {raw.get('v')!r}; this Swirl reads schema {SCHEMA}")
    return FrameError("values", str(error))


def _check(frame: Frame) -> None:
    start, end = frame.covers
    times = [start, end, frame.sent_ms, *(s.bucket_ms for s in frame.slices)]
    if not (start <= end and all(0 <= t < _LATEST_MS for t in times)):
        raise FrameError("values", "times outside [0, 2**53) milliseconds, or an end before its start")
    if not (0 <= frame.dropped < _LATEST_MS and 0 <= frame.failed < _LATEST_MS):
        raise FrameError("values", "a count of what was lost is negative or absurd")
    if len(frame.emitter) != 16 or not 0 < frame.sequence < _LATEST_MS or not frame.pipeline:
        raise FrameError("values", "no pipeline, an emitter id that is not 16 bytes, or a sequence below 1")
    for piece in frame.slices:
        for count in piece.counters.values():
            if not 0 <= count < _LATEST_MS:
                raise FrameError(
                    "values", f"a counter of stage {piece.stage!r} is negative, not finite or absurd"
                )
        for counts in piece.categories.values():
            for count in counts.values():
                if not 0 <= count < _LATEST_MS:
                    raise FrameError(
                        "values", f"a category of stage {piece.stage!r} has a negative or absurd count"
                    )
