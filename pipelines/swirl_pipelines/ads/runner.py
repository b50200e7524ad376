"""Plays acts against a clock: so many records a second, in small batches, as they fall due."""

from __future__ import annotations

import time
from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from swirl.clock import Clock
    from swirl_pipelines.ads.feed import Feed

__all__ = ["FOREVER", "RATE", "Act", "PacedClock", "Runner"]

RATE = 25_000.0
"""Tweets a second."""

_BATCH_NS = 50_000_000
_OFFSET_NS = 5_000_000
FOREVER = 1 << 62
_WAVE, _WAVE_SD = 0.99, 0.005


class Act(NamedTuple):
    """A stretch of time that begins with something that happens to the world.

    Attributes:
        name: of what happens.
        seconds: until the next act.
        begin: makes it happen.
    """

    name: str
    seconds: float
    begin: Callable[[], None]


class PacedClock:
    """The clocks of this machine, run faster, which wait where the machine cannot keep up.

    A machine that is busy with other things would otherwise look like a source that falters.

    Args:
        speed: seconds shown per second passed, above 0.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self._start, self._time = time.perf_counter_ns(), time.time_ns()
        self._behind = 0
        self._limit = FOREVER

    def ticks(self) -> int:
        """Nanoseconds shown since the clock was made, never past the limit."""
        return min(self._now(), self._limit)

    def time_ns(self) -> int:
        """The time at which the clock was made, plus its ticks."""
        return self._time + self.ticks()

    def pace(self, limit: int) -> None:
        """Go on until so many ticks. The time that passed at the old limit is left out for good."""
        self._behind += max(0, self._now() - self._limit)
        self._limit = limit

    def _now(self) -> int:
        return int((time.perf_counter_ns() - self._start) * self._speed) - self._behind


class Runner:
    """Draws from a feed what falls due and hands it on.

    The rate wanders slowly by about 0.5 %, and each batch has chance's own noise on top.

    Args:
        feed: to draw from.
        consume: takes the lines.
        clock: says how much time has passed.
        sleep: waits for so many of the clock's seconds.
        rate: records a second.
        pace: told before each batch until when time may go on: see :class:`PacedClock`.
    """

    def __init__(
        self,
        feed: Feed,
        consume: Callable[[list[bytes]], None],
        clock: Clock,
        sleep: Callable[[float], None],
        rate: float = RATE,
        pace: Callable[[int], None] = lambda limit: None,  # noqa: ARG005 - time goes on by itself
    ) -> None:
        self._feed, self._consume, self._clock, self._sleep, self._rate = feed, consume, clock, sleep, rate
        self._pace = pace
        self._wave = 0.0

    def play(self, acts: Iterable[Act], began: Callable[[Act, int], None]) -> None:
        """Play acts one after the other.

        Args:
            acts: in order.
            began: told of each act and of the time at which it began, milliseconds since 1970.
        """
        now = end = self._clock.ticks()
        # A grid that lies just behind the full second: no batch stands astride two windows.
        grid = (now - self._clock.time_ns() + _OFFSET_NS) % _BATCH_NS
        for act in acts:
            act.begin()
            began(act, self._clock.time_ns() // 1_000_000)
            end += int(act.seconds * 1e9)
            while now < end:
                due = min(end, now - (now - grid) % _BATCH_NS + _BATCH_NS)
                self._pace(due + _BATCH_NS)
                self._sleep(max(0, due - self._clock.ticks()) / 1e9)
                self._consume(self._feed.draw(self._due((due - now) / 1e9)))
                now = due
        self._pace(FOREVER)

    def _due(self, passed_s: float) -> int:
        keep = _WAVE ** (passed_s * 1e9 / _BATCH_NS)
        self._wave = keep * self._wave + _WAVE_SD * sqrt(1.0 - keep * keep) * self._feed.noise()
        mean = self._rate * passed_s * (1.0 + self._wave)
        return max(0, round(mean + sqrt(mean) * self._feed.noise()))
