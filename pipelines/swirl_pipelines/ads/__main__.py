"""The ads pipeline as a process of its own: ``python -m swirl_pipelines.ads``.

It is watched wherever the environment says: by the workers behind ``SWIRL_KAFKA``, or from within.
"""

from __future__ import annotations

import argparse
import time
from itertools import cycle
from typing import TYPE_CHECKING

import swirl
from swirl_pipelines.ads.runner import PacedClock, Runner
from swirl_pipelines.ads.tweets import made_up_tweets
from swirl_pipelines.ads.world import World, find_tweets
from swirl_pipelines.script import announce, read_acts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from swirl_pipelines.ads.runner import Act

__all__ = ["main", "parse_acts"]

_RATE = 10_000.0
_EVERY_DAY = "healthy:600,broken:60,healthy:300,bug:60"


def parse_acts(text: str, world: World) -> list[Act]:
    """Acts from ``name:seconds`` with commas between; names are healthy, broken and bug.

    Raises:
        ValueError: it cannot be read.
    """
    return read_acts(
        text,
        {
            "healthy": world.repair,
            "broken": world.break_upstream,
            "bug": world.deploy_bug,
        },
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Play the pipeline; a line is printed as each act begins: its name, event time and time of day in ms."""
    parser = argparse.ArgumentParser(prog="python -m swirl_pipelines.ads", description=__doc__)
    parser.add_argument("--acts", default=_EVERY_DAY, help="what happens (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=_RATE, help="tweets a second (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all randomness")
    parser.add_argument("--synthetic", action="store_true", help="made-up tweets")
    parser.add_argument("--forever", action="store_true", help="begin again when the acts are over")
    given = parser.parse_args(arguments)
    tweets = made_up_tweets(given.seed) if given.synthetic else find_tweets(given.seed)[0]
    world = World(tweets, given.seed)
    try:
        acts: Iterable[Act] = parse_acts(given.acts, world)
    except ValueError as error:
        parser.error(str(error))
    clock = PacedClock()
    swirl.watch()
    ads = world.pipeline(clock=clock)
    runner = Runner(world.feed, ads.feed, clock, time.sleep, given.rate, clock.pace)
    runner.play(cycle(acts) if given.forever else acts, announce)
    ads.pipeline.close(10.0)


if __name__ == "__main__":
    main()
