"""What happens to a pipeline that runs as a process of its own: acts, read and announced."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from swirl_pipelines.ads.runner import Act

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["announce", "read_acts"]


def read_acts(text: str, happens: Mapping[str, Callable[[], None]]) -> list[Act]:
    """Acts from ``name:seconds`` with commas between.

    Raises:
        ValueError: it cannot be read.

    Example:
        >>> [act.seconds for act in read_acts("calm:60,storm:2.5", {"calm": print, "storm": print})]
        [60.0, 2.5]
    """
    acts = []
    for part in text.split(","):
        name, _, seconds = part.partition(":")
        if name not in happens or not seconds.replace(".", "", 1).isdigit():
            raise ValueError(f"{part!r} is no act; write name:seconds, the name one of {', '.join(happens)}")
        acts.append(Act(name, float(seconds), happens[name]))
    return acts


def announce(act: Act, now_ms: int) -> None:
    """Print that an act begins: its name, event time and time of day in milliseconds."""
    print(act.name, now_ms, time.time_ns() // 1_000_000, flush=True)  # noqa: T201 - it is what it is for
