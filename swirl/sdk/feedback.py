"""What comes back: verdicts for the pipelines of this process."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from swirl.sdk.process import close_all

if TYPE_CHECKING:
    from swirl.frame import Verdict
    from swirl.sdk.pipeline import Pipeline

__all__ = ["close_all", "deliver", "live", "register"]

_pipelines: weakref.WeakSet[Pipeline] = weakref.WeakSet()


def register(pipeline: Pipeline) -> None:
    """A pipeline was made; it is known for as long as it lives."""
    _pipelines.add(pipeline)


def live(name: str | None = None) -> list[Pipeline]:
    """The pipelines of this process, those of one name if it is given; in no order."""
    return [p for p in list(_pipelines) if name is None or p.name == name]


def deliver(name: str, verdict: Verdict) -> None:
    """Tell all pipelines of a name what the monitor holds of them. Never raises; ignores unknown names."""
    for pipeline in live(name):
        pipeline.verdict = verdict
