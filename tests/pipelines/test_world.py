"""What surrounds the ads pipeline: tweets, feed, model, audience."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from swirl_pipelines.ads.audience import Audience
from swirl_pipelines.ads.faults import LETTERS, break_upstream, swapped_model
from swirl_pipelines.ads.feed import Feed, weigh
from swirl_pipelines.ads.model import Deployment, SentimentModel, vader
from swirl_pipelines.ads.tweets import Tweet, cached_file, made_up_tweets, read_tweets

TWEETS = [Tweet(1, "a lovely day, all of it", 3.0), Tweet(2, "an awful day, all of it", -3.0)]
EVEN = np.array([0.5, 0.5])


def drawn(feed: Feed, count: int = 5_000) -> list[dict[str, object]]:
    return [json.loads(line) for line in feed.draw(count)]


def test_made_up_tweets_are_the_same_for_the_same_seed() -> None:
    assert made_up_tweets(3, 50) == made_up_tweets(3, 50) != made_up_tweets(4, 50)


def test_made_up_tweets_are_rated_within_the_scale_and_mostly_liked() -> None:
    ratings = [tweet.rating for tweet in made_up_tweets(1)]
    assert min(ratings) >= -4
    assert max(ratings) <= 4
    assert 0.55 < np.mean(np.array(ratings) > 0.5) < 0.7


def test_the_model_agrees_with_the_ratings_of_made_up_tweets() -> None:
    score = vader()
    agree = [(score(t.text) > 0) == (t.rating > 0) for t in made_up_tweets(1, 500) if abs(t.rating) > 1]
    assert np.mean(agree) > 0.95


def test_real_tweets_are_refused_when_they_are_damaged(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    path = cached_file()
    with pytest.raises(FileNotFoundError):
        read_tweets(path)
    path.parent.mkdir()
    path.write_text("1\t2.5\thello\r\n")
    with pytest.raises(ValueError, match="damaged"):
        read_tweets(path)


def test_without_a_setting_the_cache_lies_in_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    assert str(cached_file()) == "/home/someone/.cache/swirl/tweets_GroundTruth.txt"


def test_a_healthy_feed_is_whole_but_for_a_few_deletions() -> None:
    lines = drawn(Feed(TWEETS, EVEN, seed=1), 100_000)
    kinds = Counter("text" in line for line in lines)
    assert 20 <= kinds[False] <= 60
    assert all(line.get("deleted") for line in lines if "text" not in line)


def test_a_feed_draws_by_weight_and_repeats_itself_for_a_seed() -> None:
    weights = weigh([True, False], 0.8)
    first = Feed(TWEETS, weights, seed=5).draw(5_000)
    assert first == Feed(TWEETS, weights, seed=5).draw(5_000)
    assert 0.77 < sum(b"lovely" in line for line in first) / 5_000 < 0.83


def test_a_broken_upstream_renames_most_tweets_and_cuts_the_rest() -> None:
    feed = Feed(TWEETS, EVEN, seed=2)
    break_upstream(feed)
    lines = drawn(feed)
    renamed = [line for line in lines if "full_text" in line]
    cut = [str(line["text"]) for line in lines if "text" in line]
    assert 0.8 < len(renamed) / len(lines) < 0.84
    assert {len(text) for text in cut} == {LETTERS}
    feed.healthy()
    assert not any("full_text" in line for line in drawn(feed))


def test_a_feed_survives_weights_that_do_not_quite_add_up() -> None:
    assert len(Feed(TWEETS, np.array([0.4, 0.4])).draw(1_000)) == 1_000


def test_the_model_asks_its_scorer_once_for_a_text() -> None:
    asked: list[str] = []

    def score(text: str) -> float:
        asked.append(text)
        return 0.5

    model = SentimentModel("1", score)
    model.warm(["a", "a", "b"])
    assert [model.predict(text) for text in ("a", "b")] == ["positive", "positive"]
    assert asked == ["a", "b"]


def test_a_full_cache_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swirl_pipelines.ads.model._CACHED", 2)
    model = SentimentModel("1", len)
    assert [model.predict(text) for text in ("a", "", "b", "")] == [
        "positive",
        "negative",
        "positive",
        "negative",
    ]


def test_swapped_labels_say_the_opposite() -> None:
    score = vader()
    good, bad = SentimentModel("1", score), swapped_model("2", score)
    assert [good.predict(t.text) for t in TWEETS] == ["positive", "negative"]
    assert [bad.predict(t.text) for t in TWEETS] == ["negative", "positive"]


def test_a_deployment_serves_whichever_model_is_live() -> None:
    deployment = Deployment(SentimentModel("1", len))
    assert (deployment.version(), deployment.predict("text")) == ("1", "positive")
    deployment.model = swapped_model("2", len)
    assert (deployment.version(), deployment.predict("text")) == ("2", "negative")


def test_people_click_only_beside_what_people_like() -> None:
    audience = Audience(TWEETS, readiness=0.5, seed=1)
    assert audience.likes(1)
    assert not audience.likes(2)
    assert 400 < sum(audience.clicks(1) for _ in range(1_000)) < 600
    assert not any(audience.clicks(2) for _ in range(1_000))
