"""What goes wrong in the world around the pipeline. The pipeline's code knows nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swirl_pipelines.ads.feed import Format
from swirl_pipelines.ads.model import SentimentModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl_pipelines.ads.feed import Feed
    from swirl_pipelines.ads.tweets import Tweet

__all__ = ["break_upstream", "renamed", "swapped_model", "truncated"]

RENAMED = 0.82
LETTERS = 13


def renamed(tweet: Tweet) -> dict[str, object]:
    """The upstream's new schema: ``text`` is called ``full_text``."""
    return {"id": tweet.id, "lang": "en", "full_text": tweet.text}


def truncated(tweet: Tweet) -> dict[str, object]:
    """What old clients still get: ``text``, cut after a few letters."""
    return {"id": tweet.id, "lang": "en", "text": tweet.text[:LETTERS]}


def break_upstream(feed: Feed) -> None:
    """Most lines come in the new schema, the rest is cut. :meth:`Feed.healthy` ends it."""
    feed.write(Format(RENAMED, renamed), Format(1.0 - RENAMED, truncated))


def swapped_model(version: str, score: Callable[[str], float]) -> SentimentModel:
    """A new version of the classifier with a bug: its labels are swapped."""
    return SentimentModel(version, score, labels=("negative", "positive"))
