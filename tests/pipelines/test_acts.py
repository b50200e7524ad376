"""What the ads pipeline counts in each act, without any monitor: at 25 000 tweets a second, seeded."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from swirl.frame import Frame, decode
from swirl.sdk.transport import Transport
from swirl.settings import EmitterSettings
from swirl.testing.clock import ManualClock
from swirl_pipelines.ads.tweets import made_up_tweets
from swirl_pipelines.ads.world import BROKEN_VERSION, World, find_tweets

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS, RATE = 2, 25_000


class Kept(Transport):
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def send(self, pipeline: str, payload: bytes, lost: Callable[[], object] = bool) -> None:
        frame = decode(payload)
        assert isinstance(frame, Frame)
        self.frames.append(frame)

    def close(self, timeout: float) -> None:
        """Nothing is under way."""


class Counts:
    """A world, its pipeline, and what was counted since the last look."""

    def __init__(self, world: World) -> None:
        self.world, self.kept = world, Kept()
        settings = EmitterSettings(flush_seconds=3600.0, buffer_records=10_000_000)
        self.ads = world.pipeline(transport=self.kept, clock=ManualClock(), settings=settings)

    def play(self, begin: Callable[[], None]) -> dict[str, float]:
        """An act of some seconds; the figures that a person sees."""
        begin()
        self.kept.frames.clear()
        self.ads.feed(self.world.feed.draw(SECONDS * RATE))
        assert self.ads.pipeline.flush(10.0)
        found: Counter[str] = Counter()
        self.versions = set()
        self.reasons: Counter[str] = Counter()
        for piece in (s for frame in self.kept.frames for s in frame.slices):
            found.update({f"{piece.stage} {name}": int(n) for name, n in piece.counters.items()})
            found.update(
                {f"{piece.stage} {name}": n for name, n in piece.categories.get("label", {}).items()}
            )
            self.reasons.update(piece.categories.get("reason", {}))
            if piece.stage == "classify":
                self.versions.add(piece.version)
        return {
            "invalid": found["ingest invalid"] / SECONDS,
            "positive": found["classify positive"] / found["classify predictions"],
            "ads": found["serve out"] / SECONDS,
            "clicks": found["serve clicks"] / SECONDS,
        }


@pytest.fixture(params=["made up", "real"])
def counts(request: pytest.FixtureRequest) -> Counts:
    tweets, real = made_up_tweets(1), False
    if request.param == "real":
        tweets, real = find_tweets()
        if not real:
            pytest.skip("the real tweets were not fetched; python -m swirl_pipelines.ads.fetch gets them")
    return Counts(World(tweets, seed=1))


def test_each_act_has_the_numbers_of_the_scene(counts: Counts) -> None:
    healthy = counts.play(counts.world.repair)
    assert 4 <= healthy["invalid"] <= 17
    assert 0.79 <= healthy["positive"] <= 0.81
    assert 1_900 <= healthy["clicks"] <= 2_100
    assert counts.reasons.keys() == {"text missing"}

    broken = counts.play(counts.world.break_upstream)
    assert 20_000 <= broken["invalid"] <= 21_000
    assert 0.17 <= broken["positive"] <= 0.23
    assert 40 <= broken["clicks"] <= 125
    assert counts.versions == {"2026.11.1"}

    assert 4 <= counts.play(counts.world.repair)["invalid"] <= 17

    bug = counts.play(counts.world.deploy_bug)
    assert 4 <= bug["invalid"] <= 17
    assert 0.19 <= bug["positive"] <= 0.21
    assert 15 <= bug["clicks"] <= 60
    assert counts.versions == {BROKEN_VERSION}

    rollback = counts.play(counts.world.repair)
    assert 1_900 <= rollback["clicks"] <= 2_100
    assert counts.versions == {"2026.11.1"}


def test_the_same_seed_counts_the_same() -> None:
    first, second = (Counts(World(made_up_tweets(2), seed=2)) for _ in range(2))
    assert first.play(first.world.repair) == second.play(second.world.repair)
