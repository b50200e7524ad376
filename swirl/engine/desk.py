"""Where people see what an engine watches, and where what they say comes in: the same for both engines."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from swirl.sinks.board import Board

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from swirl.effect import Effect
    from swirl.frame import Act
    from swirl.monitor import Monitor
    from swirl.settings import WatchSettings

__all__ = ["Desk"]


class Desk:
    """What mirrors the state of the monitor for people, and takes their acts.

    Sinks that tell people once have outlets of their own; those here may be told the same any number of
    times, and what stands is told to them again after a restart.

    Args:
        watch: whom to show it to.
        act: sends an act the way that frames go; raises :class:`OSError` where nobody takes it.

    Attributes:
        board: what the page and the commands show.
        token: lets a browser act on incidents.
    """

    def __init__(self, watch: WatchSettings, act: Callable[[Act], None]) -> None:
        self._watch, self._act = watch, act
        self.board = Board()
        self.token = watch.http_token or secrets.token_urlsafe(24)
        self._mirrors = [self.board]

    def handle(self, effect: Effect) -> None:
        """Show an effect; nothing here waits or raises."""
        for mirror in self._mirrors:
            mirror.handle(effect)

    def take_over(self, monitor: Monitor) -> None:
        """Show how the pipelines of a monitor stand, after a restart or a rebalance."""
        for effect in monitor.standing():
            self.handle(effect)

    def forget(self, pipelines: Iterable[str]) -> None:
        """These pipelines are another worker's now."""
        for pipeline in pipelines:
            for mirror in self._mirrors:
                mirror.forget(pipeline)
