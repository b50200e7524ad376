"""What the local engine has not told people yet: kept beside its state, so that a restart forgets no step."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from swirl.effect import IncidentChanged, MuteChanged
from swirl.engine.outbox import Outbox

if TYPE_CHECKING:
    from swirl.effect import Effect
    from swirl.engine.store import StateFolder
    from swirl.sinks.outlet import Outlet

__all__ = ["Untold"]

_log = logging.getLogger("swirl.engine")


class Untold:
    """The steps that wait for the sink that tells people. Each pipeline's are bounded as in any outbox.

    Args:
        folder: of the state.
    """

    def __init__(self, folder: StateFolder) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._outboxes: dict[str, Outbox] = {}
        self._written: list[bytes] = []

    def take_over(self, outlet: Outlet) -> None:
        """Let an outlet tell what a process before this one has not told, or not noted that it did."""
        self._written = self._folder.untold()
        outboxes = [Outbox.united([record])[0] for record in self._written]
        for step in [step for outbox in outboxes for step in outbox.pending.values()]:
            self.add(step)
            outlet.offer(step, doubtful=True)

    def add(self, effect: Effect) -> None:
        """A step of an incident or of planned work is about to be told; all else is ignored."""
        if isinstance(effect, IncidentChanged | MuteChanged):
            with self._lock:
                self._outboxes.setdefault(effect.pipeline, Outbox()).add(effect)

    def settle(self, effect: Effect) -> None:
        """It was told, or given up."""
        if isinstance(effect, IncidentChanged | MuteChanged):
            with self._lock:
                outbox = self._outboxes.get(effect.pipeline)
                if outbox is not None:
                    outbox.settle(effect)

    def save(self) -> None:
        """Write down what waits, where that has changed. A disk that takes no more is told to the log."""
        with self._lock:
            records = [outbox.encode() for outbox in self._outboxes.values() if outbox.pending]
        if records != self._written:
            try:
                self._folder.keep_untold(records)
            except OSError as error:
                _log.warning("what is to be told could not be written down: %s", error)
            else:
                self._written = records
