"""A thread that ends the process when nothing else would: Faust can stop working without ending."""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl.settings import WorkerSettings

__all__ = ["EXIT_FENCED", "EXIT_STALLED", "Watchdog"]

_log = logging.getLogger("swirl.worker")

EXIT_STALLED = 75
"""No progress, or no end to the stopping: whoever keeps the process running shall start it anew."""
EXIT_FENCED = 76
"""The process stood still for so long that its partitions belong to somebody else."""

_BEAT_S = 0.25


class Watchdog:
    """Looks after the process from a thread of its own.

    Args:
        settings: how long is too long.
        trouble: says what is wrong, ``""`` for nothing; asked from the thread.
        end: ends the process with a code, from any thread.
    """

    def __init__(
        self, settings: WorkerSettings, trouble: Callable[[], str], end: Callable[[int], object] = os._exit
    ) -> None:
        self._session_s = settings.session_seconds
        self._trouble, self._end = trouble, end
        self._beat = self._touched = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="swirl-watchdog", daemon=True)

    def start(self) -> None:
        """Begin."""
        if not self._thread.is_alive():
            self._beat = self._touched = time.monotonic()
            self._thread.start()

    def stop(self) -> None:
        """The process ends by itself."""
        self._over.set()

    def touch(self) -> None:
        """Something goes on."""
        self._touched = time.monotonic()

    @property
    def untouched_s(self) -> float:
        """Seconds since something went on."""
        return time.monotonic() - self._touched

    @property
    def fenced(self) -> bool:
        """Whether the process stood still for too long; whoever asks first need not wait for the thread."""
        return self._thread.is_alive() and time.monotonic() - self._beat > self._session_s

    def deadline(self, seconds: float, code: int) -> None:
        """End the process with ``code`` after ``seconds``, however stuck it is."""
        timer = threading.Timer(seconds, self._end_late, (seconds, code))
        timer.daemon = True
        timer.start()

    def _end_late(self, seconds: float, code: int) -> None:
        _log.critical("stopping took more than %.0f s: ended", seconds)
        self._end(code)

    def _asked(self) -> str:
        try:
            return self._trouble()
        except Exception:  # noqa: BLE001 - a thread that dies of it would look after nothing any more
            _log.exception("it cannot be told whether the worker works")
            return ""

    def _run(self) -> None:
        while not self._over.wait(_BEAT_S):
            if self.fenced:
                _log.critical("the process stood still: its partitions belong to another worker by now")
                self._end(EXIT_FENCED)
            self._beat = time.monotonic()
            trouble = self._asked()
            if trouble:
                _log.critical("%s: ended, to be started anew", trouble)
                self._end(EXIT_STALLED)
