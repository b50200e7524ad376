"""Plays acts against a clock: so many records a second, in small batches, as they fall due."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from swirl.clock import Clock
    from swirl_pipelines.ads.feed import Feed

__all__ = ["RATE", "Act", "Runner"]

RATE = 25_000.0
"""Tweets a second."""

_BATCH_NS = 50_000_000
_OFFSET_NS = 5_000_000
_LONGEST_S = 1.0
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


class Runner:
    """Draws from a feed what falls due and hands it on.

    The rate wanders slowly by about 0.5 %, and each batch has chance's own noise on top. After a pause of
    more than a second (a closed laptop) what was missed is lost.

    Args:
        feed: to draw from.
        consume: takes the lines.
        clock: says how much time has passed.
        sleep: waits for so many of the clock's seconds.
        rate: records a second.
    """

    def __init__(
        self,
        feed: Feed,
        consume: Callable[[list[bytes]], None],
        clock: Clock,
        sleep: Callable[[float], None],
        rate: float = RATE,
    ) -> None:
        self._feed, self._consume, self._clock, self._sleep, self._rate = feed, consume, clock, sleep, rate
        self._wave = 0.0
        self._grid_ns = 0

    def play(self, acts: Iterable[Act], began: Callable[[Act, int], None]) -> None:
        """Play acts one after the other.

        Args:
            acts: in order.
            began: told of each act and of the time at which it began, milliseconds since 1970.
        """
        now = end = self._clock.ticks()
        # A grid that lies just behind the full second: no batch stands astride two windows.
        self._grid_ns = (now - self._clock.time_ns() + _OFFSET_NS) % _BATCH_NS
        for act in acts:
            act.begin()
            began(act, self._clock.time_ns() // 1_000_000)
            end += int(act.seconds * 1e9)
            now = self._run(now, end)

    def _run(self, then: int, end: int) -> int:
        """Records from one time to another; returns the time up to which they came."""
        while then < end:
            now = self._clock.ticks()
            due = now - (now - self._grid_ns) % _BATCH_NS + _BATCH_NS
            self._sleep(max(0, min(due, end) - now) / 1e9)
            now = min(self._clock.ticks(), end)
            passed_s = min((now - then) / 1e9, _LONGEST_S)
            self._consume(self._feed.draw(self._due(passed_s)))
            then = now
        return then

    def _due(self, passed_s: float) -> int:
        steps = passed_s * 1e9 / _BATCH_NS
        keep = _WAVE**steps
        self._wave = keep * self._wave + _WAVE_SD * sqrt(1.0 - keep * keep) * self._feed.noise()
        mean = self._rate * passed_s * (1.0 + self._wave)
        return max(0, round(mean + sqrt(mean) * self._feed.noise()))
