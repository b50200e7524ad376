"""Plays acts against a clock: a batch of images at every beat, as many as have arrived since the last one."""

from __future__ import annotations

from math import inf, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from swirl.clock import Clock
    from swirl_pipelines.ads.runner import Act
    from swirl_pipelines.digits.images import Images
    from swirl_pipelines.digits.scanner import Scanner

__all__ = ["BEAT_SECONDS", "RATE", "Runner"]

RATE = 400.0
"""Images a second."""

BEAT_SECONDS = 0.5

_OFFSET_NS = 5_000_000


class Runner:
    """Draws from a scanner what falls due and hands it on as one batch, chance's own noise on its size.

    Args:
        scanner: to draw from.
        consume: takes the images of a beat; there is at least one.
        clock: says how much time has passed.
        sleep: waits for so many of the clock's seconds.
        rate: images a second, above 0.
        beat_seconds: time between two batches, at least a millisecond.

    Raises:
        ValueError: no such rate or beat.
    """

    def __init__(
        self,
        scanner: Scanner,
        consume: Callable[[Images], object],
        clock: Clock,
        sleep: Callable[[float], None],
        rate: float = RATE,
        beat_seconds: float = BEAT_SECONDS,
    ) -> None:
        if not (0 < rate < inf and 1e-3 <= beat_seconds < inf):
            raise ValueError(f"{rate} images a second in beats of {beat_seconds} s; both must be above 0")
        self._scanner, self._consume = scanner, consume
        self._clock, self._sleep, self._rate = clock, sleep, rate
        self._beat_ns = round(beat_seconds * 1e9)

    def play(self, acts: Iterable[Act], began: Callable[[Act, int], None]) -> None:
        """Play acts one after the other.

        Args:
            acts: in order.
            began: told of each act and of the time at which it began, milliseconds since 1970.
        """
        beat, now = self._beat_ns, self._clock.ticks()
        end = now
        # Beats lie just behind the full second: no batch stands astride two windows.
        grid = (now - self._clock.time_ns() + _OFFSET_NS) % beat
        for act in acts:
            act.begin()
            began(act, self._clock.time_ns() // 1_000_000)
            end += int(act.seconds * 1e9)
            while now < end:
                due = min(end, now - (now - grid) % beat + beat)
                self._sleep(max(0, due - self._clock.ticks()) / 1e9)
                if count := self._due((due - now) / 1e9):
                    self._consume(self._scanner.draw(count))
                now = due

    def _due(self, passed_s: float) -> int:
        mean = self._rate * passed_s
        return max(0, round(mean + sqrt(mean) * self._scanner.noise()))
