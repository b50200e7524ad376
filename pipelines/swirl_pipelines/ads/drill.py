"""The ads pipeline for ``swirl drill swirl_pipelines.ads.drill:make``."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from swirl_pipelines.ads.tweets import Tweet, made_up_tweets
from swirl_pipelines.ads.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl import Pipeline

__all__ = ["make"]


@cache
def _tweets() -> list[Tweet]:
    return made_up_tweets()


def make() -> tuple[Pipeline, Callable[[], None]]:
    """A process of its own: its pipeline, and what lets the next tweet in."""
    world = World(_tweets())
    ads = world.pipeline()
    return ads.pipeline, lambda: ads.feed(world.feed.draw(1))
