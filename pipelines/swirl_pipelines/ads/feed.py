"""The upstream: lines of JSON, one tweet each, in the formats that it happens to write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from swirl_pipelines.ads.tweets import Tweet

__all__ = ["DELETIONS", "Feed", "Format", "deletion", "weigh", "whole"]

DELETIONS = 10 / 25_000
"""Notices of deletion among the lines: they carry no text, as in the real stream."""


class Format(NamedTuple):
    """One way in which the upstream writes.

    Attributes:
        share: of the lines, in [0, 1].
        write: tweet -> the fields of its line.
    """

    share: float
    write: Callable[[Tweet], dict[str, object]]


def whole(tweet: Tweet) -> dict[str, object]:
    """A tweet as agreed."""
    return {"id": tweet.id, "lang": "en", "text": tweet.text}


def deletion(tweet: Tweet) -> dict[str, object]:
    """A notice that a tweet is gone."""
    return {"id": tweet.id, "deleted": True}


def weigh(liked: Sequence[bool], share: float) -> NDArray[np.float64]:
    """Weights, one a tweet, that give those that are liked a share of the whole.

    Example:
        >>> weigh([True, False, False], 0.8).round(2).tolist()
        [0.8, 0.1, 0.1]
    """
    mask = np.asarray(liked, dtype=np.bool_)
    weights: NDArray[np.float64] = np.where(mask, share / mask.sum(), (1.0 - share) / (~mask).sum())
    return weights


class Feed:
    """Draws lines.

    Args:
        tweets: to draw from.
        weights: how often each one comes, shape ``(len(tweets),)``, summing to 1.
        seed: of the randomness.
    """

    def __init__(self, tweets: Sequence[Tweet], weights: NDArray[np.float64], seed: int = 0) -> None:
        self._tweets = tweets
        self._ends = np.cumsum(weights)
        self._random = np.random.default_rng(seed)
        self._written: dict[Callable[[Tweet], dict[str, object]], list[bytes]] = {}
        self.healthy()

    def healthy(self) -> None:
        """Write as agreed from now on."""
        self.write(Format(1.0 - DELETIONS, whole), Format(DELETIONS, deletion))

    def write(self, *formats: Format) -> None:
        """Write in these formats from now on; their shares sum to 1."""
        for each in formats:
            if each.write not in self._written:
                self._written[each.write] = [json.dumps(each.write(tweet)).encode() for tweet in self._tweets]
        self._lines = [line for each in formats for line in self._written[each.write]]
        self._format_ends = np.cumsum([each.share for each in formats])

    def draw(self, count: int) -> list[bytes]:
        """The next lines."""
        last = len(self._tweets) - 1
        tweet = np.minimum(np.searchsorted(self._ends, self._random.random(count)), last)
        kind = np.searchsorted(self._format_ends, self._random.random(count))
        index = np.minimum(kind, len(self._format_ends) - 1) * (last + 1) + tweet
        lines = self._lines
        return [lines[i] for i in index.tolist()]

    def noise(self) -> float:
        """One number of the standard normal law, for whoever drives the feed."""
        return float(self._random.standard_normal())
