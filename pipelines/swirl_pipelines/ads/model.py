"""The model that is deployed: VADER (Hutto & Gilbert, ICWSM 2014) with a cache in front of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from swirl.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Deployment", "Mood", "SentimentModel", "vader"]

Mood = Literal["positive", "negative"]

_CACHED = 100_000


def vader() -> Callable[[str], float]:
    """The scorer: text -> compound sentiment from -1 to 1.

    Raises:
        MissingExtraError: vaderSentiment is not installed.
    """
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # noqa: PLC0415 - an extra, and slow to load
    except ImportError:
        raise MissingExtraError("vaderSentiment", "demo") from None
    analyzer = SentimentIntensityAnalyzer()
    return lambda text: float(analyzer.polarity_scores(text)["compound"])


class SentimentModel:
    """One version of the classifier. The same text comes again and again, so its answers are kept.

    Args:
        version: of this model.
        score: text -> sentiment, above 0 for positive.
        labels: what it says above 0, and what otherwise.
    """

    def __init__(
        self,
        version: str,
        score: Callable[[str], float],
        labels: tuple[Mood, Mood] = ("positive", "negative"),
    ) -> None:
        self.version = version
        self._score = score
        self._labels = labels
        self._cache: dict[str, Mood] = {}

    def predict(self, text: str) -> Mood:
        """The mood of a text."""
        mood = self._cache.get(text)
        if mood is None:
            if len(self._cache) >= _CACHED:
                self._cache.clear()
            mood = self._cache[text] = self._labels[0 if self._score(text) > 0.0 else 1]
        return mood

    def warm(self, texts: Iterable[str]) -> None:
        """Fill the cache before traffic is let in."""
        for text in texts:
            self.predict(text)


class Deployment:
    """Which model serves now. Rolling out another one is one assignment.

    Attributes:
        model: the one that serves.
    """

    def __init__(self, model: SentimentModel) -> None:
        self.model = model

    def version(self) -> str:
        """Of the model that serves now."""
        return self.model.version

    def predict(self, text: str) -> Mood:
        """Ask the model that serves now."""
        return self.model.predict(text)
