"""How the background thread leaves the interpreter to the host while it folds."""

from __future__ import annotations

import time

__all__ = ["Pace"]

_SLICE_S = 0.001
"""Longest stretch of folding while the host waits."""
_SHARE, _BURST_S = 0.06, 0.05
"""What folding may take of the interpreter's time in the long run, and how much of it at once."""
_REST_S = 0.015
"""Stretch for the host after a slice beyond that share; asking it for the interpreter takes another 5 ms."""


class Pace:
    """Lets the host run between slices of the fold.

    It sleeps, since a thread that only gives the interpreter up has it back before another one wakes: as long
    as the slice took, and far longer where the host makes more records than its share of time can fold. What
    then waits beyond the bound is dropped and counted.
    """

    def __init__(self) -> None:
        self._credit = _BURST_S
        self._since = time.monotonic()
        self._began = 0.0

    def begin(self) -> None:
        """A fold begins."""
        self._began = time.thread_time()

    def __call__(self) -> None:
        """Sleep if the slice has lasted long enough; the fold calls this after each of its steps."""
        worked = time.thread_time() - self._began
        if worked < _SLICE_S:
            return
        now = time.monotonic()
        self._credit = min(self._credit + _SHARE * (now - self._since), _BURST_S) - worked
        self._since = now
        time.sleep(worked if self._credit > 0.0 else _REST_S)
        self._began = time.thread_time()
