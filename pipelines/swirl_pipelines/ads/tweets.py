"""Tweets with what people thought of them: real ones from a cache on this machine, or made-up ones.

The real ones are the 4 200 tweets of C. J. Hutto and E. Gilbert, "VADER: A Parsimonious Rule-based Model for
Sentiment Analysis of Social Media Text", ICWSM 2014, each with the mean of the ratings that people gave it,
from -4 to 4. They are part of the source distribution of vaderSentiment (MIT) and never part of this
repository.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from random import Random
from typing import NamedTuple

__all__ = ["FILE_SHA256", "Tweet", "cached_file", "made_up_tweets", "read_tweets"]

FILE_SHA256 = "dfbe7102e2f92579ed8b19df9a3822491880697c67adf712fb66e520cc05102f"
"""Of the file of tweets, as published."""

_PRAISE = ("great", "lovely", "wonderful", "happy", "excellent", "fun", "brilliant", "sweet")
_BLAME = ("awful", "terrible", "sad", "boring", "horrible", "ugly", "disgusting", "bad")
_PLAIN = ("early", "long", "short", "blue", "ordinary", "late", "round", "quiet")
_THINGS = ("train", "film", "coffee", "weather", "match", "phone", "concert", "lunch", "garden", "meeting")
_TIMES = ("this morning", "at noon", "yesterday", "on Monday", "last week", "tonight")


class Tweet(NamedTuple):
    """A tweet and what people think of it.

    Attributes:
        id: unique in its collection, from 1.
        text: as it was written.
        rating: mean of the ratings that people gave it, -4 to 4.
    """

    id: int
    text: str
    rating: float


def cached_file() -> Path:
    """Where the real tweets are kept: below ``$XDG_CACHE_HOME``, or ``~/.cache``."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "swirl" / "tweets_GroundTruth.txt"


def read_tweets(path: Path) -> list[Tweet]:
    """The real tweets.

    Raises:
        FileNotFoundError: they were never fetched.
        ValueError: the file is not the one that was published.
    """
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != FILE_SHA256:
        raise ValueError(f"{path} is damaged; delete it and fetch it again")
    rows = (line.split("\t", 2) for line in content.decode().split("\r\n") if line)
    return [Tweet(int(number), text, float(rating)) for number, rating, text in rows]


def made_up_tweets(seed: int = 0, count: int = 4_200) -> list[Tweet]:
    """Tweets put together from a few words, with ratings to match: for machines without a network.

    Example:
        >>> made_up_tweets(seed=1, count=1)
        [Tweet(id=1, text='Saw the match this morning, lovely it was #1', rating=0.896)]
    """
    random = Random(seed)  # noqa: S311 - a feed for show
    return [_made_up(random, number) for number in range(1, count + 1)]


def _made_up(random: Random, number: int) -> Tweet:
    mood = random.choices((2.0, -2.0, 0.0), (0.62, 0.30, 0.08))[0]
    word = random.choice(_PRAISE if mood > 0 else _BLAME if mood < 0 else _PLAIN)
    thing, time = random.choice(_THINGS), random.choice(_TIMES)
    # As in real tweets, about a quarter of the opinions stand within the first few letters.
    text = (
        f"{word.title()} {thing} {time}"
        if random.random() < 0.25
        else f"Saw the {thing} {time}, {word} it was"
    )
    rating = max(-4.0, min(4.0, random.gauss(mood, 0.8)))
    return Tweet(number, f"{text} #{number}", round(rating, 3))
