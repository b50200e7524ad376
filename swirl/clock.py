"""Time as an argument: what ticks and what tells the hour."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Two readings in nanoseconds. Both are functions without arguments so that a hot path may bind them."""

    def ticks(self) -> int:
        """Nanoseconds from an arbitrary origin; never goes back. Durations and latencies come from it."""
        ...

    def time_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC; may jump. Event times and log times come from it."""
        ...


class SystemClock:
    """The clocks of this machine.

    Example:
        >>> clock = SystemClock()
        >>> clock.ticks() <= clock.ticks()
        True
    """

    ticks = staticmethod(time.perf_counter_ns)
    time_ns = staticmethod(time.time_ns)
