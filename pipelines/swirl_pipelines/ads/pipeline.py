"""The pipeline as a data scientist writes it: three decorated functions. It knows of no fault."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from swirl import Invalid, Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from swirl_pipelines.ads.model import Deployment, Mood

__all__ = ["VERSION", "Ad", "AdsPipeline"]

VERSION = "2026.11.1"
_CAMPAIGNS: dict[Mood, tuple[str, ...]] = {
    "positive": ("shoes", "coffee", "travel", "music", "books"),
    "negative": ("tea",),
}


class Ad(NamedTuple):
    """An ad beside a tweet."""

    tweet_id: int
    campaign: str


class AdsPipeline:
    """Tweets in, ads beside the positive ones, clicks counted.

    Args:
        classifier: the model that serves now.
        clicks: shows an ad beside a tweet, by its id, and says whether it was clicked.
        options: given on to :class:`swirl.Pipeline`.

    Attributes:
        pipeline: what Swirl sees.
    """

    def __init__(self, classifier: Deployment, clicks: Callable[[int], bool], **options: Any) -> None:
        self.pipeline = ads = Pipeline("ads", version=VERSION, **options)

        @ads.stage(valid=lambda tweet: "text" in tweet)
        def ingest(line: bytes) -> dict[str, Any] | None:
            tweet: dict[str, Any] = json.loads(line)
            if "text" not in tweet:
                raise Invalid("text missing")
            return tweet

        @ads.stage(after=ingest, predicts=True, version=classifier.version)
        def classify(tweet: dict[str, Any]) -> Mood:
            return classifier.predict(tweet["text"])

        @ads.stage(after=classify)
        def serve(tweet: dict[str, Any], mood: Mood) -> Ad:
            campaigns = _CAMPAIGNS[mood]
            return Ad(tweet["id"], campaigns[tweet["id"] % len(campaigns)])

        ads.ratio("clicks per ad", (serve, "clicks"), per=(serve, "out"))
        self._ingest, self._classify, self._serve, self._clicks = ingest, classify, serve, clicks

    def feed(self, lines: Iterable[bytes]) -> None:
        """Take lines of JSON, one tweet each."""
        ingest, classify, serve, clicks = self._ingest, self._classify, self._serve, self._clicks
        for line in lines:
            tweet = ingest(line)
            if tweet is None:
                continue
            mood = classify(tweet)
            if mood == "positive":
                ad = serve(tweet, mood)
                if clicks(ad.tweet_id):
                    serve.count("clicks")
