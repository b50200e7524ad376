"""The digits pipeline as a process of its own: ``python -m swirl_pipelines.digits``.

It is watched wherever the environment says: by the workers behind ``SWIRL_KAFKA``, or from within.
"""

from __future__ import annotations

import argparse
import time
from itertools import cycle
from typing import TYPE_CHECKING

import swirl
from swirl.clock import SystemClock
from swirl_pipelines.digits.runner import RATE, Runner
from swirl_pipelines.digits.world import World
from swirl_pipelines.script import announce, read_acts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from swirl_pipelines.ads.runner import Act

__all__ = ["main", "parse_acts"]

_EVERY_DAY = "healthy:600,dim:60,healthy:300,mailing:60,healthy:300,torn:60,healthy:300,mirrored:60"


def parse_acts(text: str, world: World) -> list[Act]:
    """Acts from ``name:seconds`` with commas between; names: healthy, dim, mailing, torn, mirrored, unscaled.

    Raises:
        ValueError: it cannot be read.
    """
    return read_acts(
        text,
        {
            "healthy": world.repair,
            "dim": world.dim,
            "mailing": world.mailing,
            "torn": world.tear,
            "mirrored": world.deploy_mirrored,
            "unscaled": world.deploy_unscaled,
        },
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Play the pipeline; a line is printed as each act begins: its name, event time and time of day in ms."""
    parser = argparse.ArgumentParser(prog="python -m swirl_pipelines.digits", description=__doc__)
    parser.add_argument("--acts", default=_EVERY_DAY, help="what happens (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=RATE, help="images a second (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all randomness")
    parser.add_argument("--forever", action="store_true", help="begin again when the acts are over")
    given = parser.parse_args(arguments)
    world, clock = World(given.seed), SystemClock()
    try:
        acts: Iterable[Act] = parse_acts(given.acts, world)
    except ValueError as error:
        parser.error(str(error))
    swirl.watch()
    digits = world.pipeline(clock=clock)
    runner = Runner(world.scanner, digits.feed, clock, time.sleep, given.rate)
    runner.play(cycle(acts) if given.forever else acts, announce)
    digits.pipeline.close(10.0)


if __name__ == "__main__":
    main()
