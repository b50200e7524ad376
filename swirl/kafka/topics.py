"""The topics of a deployment: their names, and what each must be like."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from swirl.settings import KafkaSettings

__all__ = ["Topics"]


class Topics(NamedTuple):
    """Names of the topics. All have the same number of partitions; a pipeline has the same one in each.

    Attributes:
        frames: frames and ticks as the log took them; key: the pipeline.
        state: snapshots of what was folded, compacted.
        windows: closed windows, for whoever wants figures.
        incidents: every step of every incident.
        feedback: verdicts for pipelines, compacted; key: the pipeline.
        dead_letters: records of ``frames`` that could not be read.
    """

    frames: str
    state: str
    windows: str
    incidents: str
    feedback: str
    dead_letters: str

    @classmethod
    def of(cls, settings: KafkaSettings) -> Self:
        """The names that the settings ask for."""
        return cls(*(f"{settings.topics}.{field.replace('_', '-')}" for field in cls._fields))
