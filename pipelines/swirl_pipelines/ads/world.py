"""The world of the ads pipeline, put together: tweets, feed, model, audience, and the faults by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swirl_pipelines.ads import faults
from swirl_pipelines.ads.audience import Audience
from swirl_pipelines.ads.feed import Feed, weigh
from swirl_pipelines.ads.model import Deployment, SentimentModel, vader
from swirl_pipelines.ads.pipeline import VERSION, AdsPipeline
from swirl_pipelines.ads.tweets import cached_file, made_up_tweets, read_tweets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swirl_pipelines.ads.tweets import Tweet

__all__ = ["BROKEN_VERSION", "World", "find_tweets"]

BROKEN_VERSION = "2026.11.2"
_POSITIVE = 0.8
_CLICKS = 0.1


def find_tweets(seed: int = 0) -> tuple[list[Tweet], bool]:
    """The real tweets and True, or where they were never fetched made-up ones and False."""
    try:
        return read_tweets(cached_file()), True
    except (OSError, ValueError):
        return made_up_tweets(seed), False


class World:
    """What surrounds the pipeline.

    Args:
        tweets: to draw from; weighted so that the healthy model finds 80 % of them positive. People click
            one ad in ten while all is well.
        seed: of all randomness.

    Attributes:
        feed: what comes in.
        classifier: what serves.
        audience: who clicks.
    """

    def __init__(self, tweets: Sequence[Tweet], seed: int = 0) -> None:
        score = vader()
        self._good, self._bad = SentimentModel(VERSION, score), faults.swapped_model(BROKEN_VERSION, score)
        for model in (self._good, self._bad):
            model.warm(tweet.text for tweet in tweets)
        positive = [self._good.predict(tweet.text) == "positive" for tweet in tweets]
        weights = weigh(positive, _POSITIVE)
        self.feed = Feed(tweets, weights, seed)
        self.classifier = Deployment(self._good)
        self.audience = Audience(tweets, seed=seed)
        shown = zip(tweets, weights / _POSITIVE, positive, strict=True)
        self.audience.readiness = _CLICKS / sum(
            w for tweet, w, ad in shown if ad and self.audience.likes(tweet.id)
        )

    def pipeline(self, **options: Any) -> AdsPipeline:
        """A pipeline in this world; the options go to :class:`swirl.Pipeline`."""
        return AdsPipeline(self.classifier, self.audience.clicks, **options)

    def break_upstream(self) -> None:
        """The upstream renames ``text`` for most tweets and cuts the rest."""
        faults.break_upstream(self.feed)

    def deploy_bug(self) -> None:
        """A new version of the classifier goes live, with its labels swapped."""
        self.classifier.model = self._bad

    def repair(self) -> None:
        """The upstream writes as agreed again, and the old model serves again."""
        self.feed.healthy()
        self.classifier.model = self._good
