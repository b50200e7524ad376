"""The demonstration in virtual time: the ads pipeline breaks twice, and the real monitor watches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from swirl.cli.acts import FLUSH_S, PLAN, SETTINGS
from swirl.testing import Harness
from swirl_pipelines.ads.runner import Act, Runner
from swirl_pipelines.ads.tweets import made_up_tweets
from swirl_pipelines.ads.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swirl.effect import Effect
    from swirl.testing import ManualClock

__all__ = ["START_S", "Moment", "play"]

START_S = 1_795_230_700.0
"""2026-11-21 03:11:40 UTC."""

_BATCH_NS = 45_000_000


class Moment(NamedTuple):
    """A second of virtual time, and what the monitor said in it."""

    act: str
    second: int
    now_ms: int
    effects: list[Effect]


class _Timed:
    """The hour is virtual, and within a batch time passes as on this machine: so latencies are real."""

    def __init__(self, clock: ManualClock) -> None:
        self.time_ns = clock.time_ns
        self._clock, self._virtual, self._real = clock, 0, 0

    def ticks(self) -> int:
        """Never past the end of the batch, however slow the machine."""
        virtual, real = self._clock.ticks(), time.perf_counter_ns()
        if virtual != self._virtual:
            self._virtual, self._real = virtual, real
        return virtual + min(real - self._real, _BATCH_NS)


class _Watch(Harness):
    """A harness that hands out what it was told."""

    def __init__(self, *given: object, **named: object) -> None:
        self.said: list[Effect] = []
        super().__init__(*given, **named)  # type: ignore[arg-type]

    def _take(self, effect: Effect) -> None:
        self.said.append(effect)
        super()._take(effect)


def play(
    rate: float,
    *,
    healthy_s: float = 60.0,
    repaired_s: float = 14.0,
    seed: int = 7,
    timed: bool = False,
) -> Iterator[Moment]:
    """Second by second through the acts of the demonstration, at so many tweets a second.

    The same each time, unless it is ``timed``: then latencies are those of this machine.
    """
    world = World(made_up_tweets(seed), seed)
    ads = world.pipeline()
    watch = _Watch(ads.pipeline, settings=SETTINGS, flush_seconds=FLUSH_S, start=START_S - healthy_s)
    if timed:
        ads.pipeline.rebind(clock=_Timed(watch.clock), transport=watch, threaded=False, emitter=bytes(16))
    runner = Runner(world.feed, ads.feed, watch.clock, watch.advance, rate)
    happens = {"healthy": world.repair, "broken": world.break_upstream, "bug": world.deploy_bug}
    for number, (name, seconds, what) in enumerate(PLAN):
        begin = happens[what]
        lasts = {0: healthy_s, 2: repaired_s}.get(number, seconds)
        for second in range(round(lasts)):
            runner.play([Act(name, 1.0, begin if second == 0 else _nothing)], _nothing)
            said, watch.said = watch.said, []
            yield Moment(name, second, watch.clock.time_ns() // 1_000_000, said)


def _nothing(*_: object) -> None:
    """An act that goes on."""
