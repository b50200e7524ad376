"""Who sees the ads: people click only beside tweets that people like."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swirl_pipelines.ads.tweets import Tweet

__all__ = ["CLEARLY_POSITIVE", "Audience"]

CLEARLY_POSITIVE = 0.5
"""The mean human rating, from -4 to 4, above which a tweet is clearly positive."""


class Audience:
    """Clicks at random, never beside a tweet whose human rating is not clearly positive.

    Args:
        tweets: with their ratings.
        readiness: probability of a click beside a clearly positive tweet.
        seed: of the randomness.

    Attributes:
        readiness: see above.
    """

    def __init__(self, tweets: Iterable[Tweet], readiness: float = 0.125, seed: int = 0) -> None:
        self._liked = frozenset(tweet.id for tweet in tweets if tweet.rating > CLEARLY_POSITIVE)
        self.readiness = readiness
        self._random = Random(seed).random  # noqa: S311 - people for show

    def likes(self, tweet_id: int) -> bool:
        """Whether people rated this tweet as clearly positive."""
        return tweet_id in self._liked

    def clicks(self, tweet_id: int) -> bool:
        """Whether the ad beside this tweet is clicked."""
        return tweet_id in self._liked and self._random() < self.readiness
