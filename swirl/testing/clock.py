"""A clock that a test moves by hand."""

from __future__ import annotations

__all__ = ["ManualClock"]

_NS = 1_000_000_000


class ManualClock:
    """Stands still until it is advanced.

    Args:
        start: seconds since 1970 UTC; the default is Monday 2026-01-05, 00:00.

    Example:
        >>> clock = ManualClock(start=100.0)
        >>> clock.advance(1.5)
        >>> clock.now, clock.ticks()
        (101.5, 1500000000)
    """

    def __init__(self, start: float = 1_767_571_200.0) -> None:
        self._start_ns = round(start * _NS)
        self._passed_ns = 0

    def ticks(self) -> int:
        """Nanoseconds since the clock was made."""
        return self._passed_ns

    def time_ns(self) -> int:
        """Nanoseconds since 1970."""
        return self._start_ns + self._passed_ns

    @property
    def now(self) -> float:
        """Seconds since 1970."""
        return self.time_ns() / _NS

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ValueError: time does not go back.
        """
        if seconds < 0:
            raise ValueError(f"a clock is not turned back; advance({seconds!r}) needs 0 or more seconds")
        self._passed_ns += round(seconds * _NS)
