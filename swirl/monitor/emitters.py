"""Who speaks for a pipeline: sequence numbers, silence, replacement, goodbye.

Zero, missing, late and gone are four things. An emitter is *gone* when it said goodbye or a newcomer took its
place, and *missing* when it did neither and has not been heard for the silence that is allowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from swirl.effect import Health
    from swirl.frame import Frame

__all__ = ["Emitter", "Emitters"]

_FORGET_MS = 24 * 3_600_000
_FORGET_GONE_MS = 3_600_000


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


class Emitters:
    """The emitters of one pipeline.

    Args:
        silence_ms: log time after which an unheard emitter is missing.
    """

    def __init__(self, silence_ms: int) -> None:
        self.silence_ms = silence_ms
        self.known: dict[bytes, Emitter] = {}

    def accept(self, frame: Frame, log_ms: int, health: Health) -> bool:
        """Take note of a frame. False: it has been seen already."""
        known = self.known.get(frame.emitter)
        if known is not None and frame.sequence <= known.sequence:
            health.duplicates += 1
            return False
        if known is None:
            # What an emitter sent before this monitor's log began is not lost.
            known = self.known[frame.emitter] = Emitter(frame.sequence, log_ms, log_ms, frame.definition_hash)
        else:
            health.frames_lost += frame.sequence - known.sequence - 1
        health.dropped_records += max(0, frame.dropped - known.dropped)
        health.failed_frames += max(0, frame.failed - known.failed)
        known.sequence, known.last_ms, known.definition_hash = frame.sequence, log_ms, frame.definition_hash
        known.dropped, known.failed, known.gone = frame.dropped, frame.failed, frame.goodbye
        for piece in frame.slices:
            if piece.stage not in known.stages:
                known.stages.append(piece.stage)
        return True

    def notice_silence(self, log_ms: int) -> bool:
        """Let newcomers take the place of the silent, and forget those that are long gone.

        Returns:
            Whether anyone who was expected is expected no more.
        """
        fewer = False
        for key, emitter in sorted(self.known.items(), key=lambda item: (item[1].last_ms, item[0])):
            silent_ms = log_ms - emitter.last_ms
            if silent_ms > (_FORGET_GONE_MS if emitter.gone else _FORGET_MS):
                del self.known[key]
                fewer = fewer or not emitter.gone
            elif not emitter.gone and silent_ms > self.silence_ms:
                self._replace(emitter, log_ms)
                fewer = fewer or emitter.gone
        return fewer

    def _replace(self, silent: Emitter, log_ms: int) -> None:
        newcomers = [
            emitter
            for emitter in self.known.values()
            if emitter.first_ms >= silent.last_ms
            and not (emitter.replaced or emitter.gone or self.is_missing(emitter, log_ms))
        ]
        if newcomers:
            newcomer = min(newcomers, key=lambda e: e.first_ms)
            newcomer.replaced = silent.gone = True

    def is_missing(self, emitter: Emitter, log_ms: int) -> bool:
        """Whether it said no goodbye and has not been heard for too long."""
        return not emitter.gone and log_ms - emitter.last_ms > self.silence_ms

    def expected(self) -> bool:
        """Whether anyone is still expected to speak."""
        return any(not emitter.gone for emitter in self.known.values())

    def by_stage(self, log_ms: int) -> tuple[dict[str, int], dict[str, int]]:
        """Emitters that are heard, and that should be, by stage."""
        heard: dict[str, int] = {}
        expected: dict[str, int] = {}
        for key in sorted(self.known):
            emitter = self.known[key]
            if emitter.gone:
                continue
            missing = self.is_missing(emitter, log_ms)
            for stage in emitter.stages:
                expected[stage] = expected.get(stage, 0) + 1
                heard[stage] = heard.get(stage, 0) + (not missing)
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
