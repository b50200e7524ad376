"""Planned work, and what came and went meanwhile."""

from __future__ import annotations

from typing import Literal

import msgspec

from swirl.effect.incident import Incident  # noqa: TC001 - msgspec reads the annotations

__all__ = ["Mute", "MuteChanged"]


class Mute(msgspec.Struct, frozen=True, omit_defaults=True):
    """Planned work: what happens is followed, and told when it is over.

    Attributes:
        stage: only this one; ``""``: the whole pipeline.
        since_ms, until_ms: log time.
        who: said so.
        why: in their words.
    """

    stage: str
    since_ms: int
    until_ms: int
    who: str = ""
    why: str = ""


class MuteChanged(msgspec.Struct, frozen=True, tag="mute"):
    """Planned work has begun, or is over.

    Attributes:
        pipeline: its name.
        transition: ``"began"`` or ``"ended"``.
        mute: the work.
        incidents: of ``"ended"``: those that came and went meanwhile. What is still open is told by a step
            of its own.
    """

    pipeline: str
    transition: Literal["began", "ended"]
    mute: Mute
    incidents: tuple[Incident, ...] = ()

    @property
    def identity(self) -> str:
        """The same for the same turn of the same work."""
        return f"{self.pipeline}/mute/{self.mute.stage}/{self.mute.since_ms}/{self.transition}"
