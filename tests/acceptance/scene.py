"""Tweets -> ingest -> classify -> serve -> clicks, at 300 a second of virtual time, and what may befall them.

The two faults are those of the demonstration, scaled by a strength: that share of the tweets comes in the
upstream's new formats (most of them renamed, so invalid; the rest truncated, so taken for negative), or a new
version of the classifier swaps that share of the labels. From the outside both look alike: fewer clicks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

import swirl
from swirl.testing import Harness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from swirl.effect import Incident
    from swirl.testing import HarnessState

__all__ = ["RATE", "TITLES", "WINDOW_S", "Fault", "Kind", "Outcome", "Scene", "faults", "healthy", "surges"]

RATE = 300.0
WINDOW_S = 10
DAY_S = 86_400
SWING = 0.4
"""The busiest second of the day over the mean, less 1."""

LIKED, EAGER, RENAMED, TRUNCATED, UNLUCKY = 1, 2, 4, 8, 16
"""Bits of a tweet: people like it, would click; how the upstream writes it; a model may swap its label."""

LIKED_SHARE, EAGER_SHARE, DELETED_SHARE, RENAMED_SHARE = 0.8, 0.125, 0.0004, 0.82

Kind = Literal["data", "deployment"]
TITLES: dict[Kind, str] = {"data": "ingest: data pipeline broken", "deployment": "classify: bad deployment"}

HISTORY_WINDOWS = 320
"""Before anything befalls; and then at least another one, at a random phase."""
LONGEST_WAIT = 30
"""Windows after which a fault that nobody was told of counts as missed."""
SETTLING = 3
"""Windows of an incident after which its title is held against it."""


class Scene:
    """The ads pipeline under a harness.

    Args:
        seed: of the traffic.
        start_s: time of day at which virtual time begins.
        resume: go on from where another scene was saved.

    Attributes:
        harness: what drives and watches it.
        broken: share of the tweets that the upstream writes in its new formats.
        swapped: share of the labels that the model swaps.
        version: of the classifier.
        surge: factor on the traffic.
    """

    def __init__(self, seed: int, start_s: float = 0.0, resume: HarnessState | None = None) -> None:
        self._random = np.random.default_rng(seed)
        self.broken = self.swapped = 0.0
        self.version = "1"
        self.surge = 1.0
        pipeline = swirl.Pipeline("ads")
        self._tweet = self._define(pipeline)
        self.harness = Harness(
            pipeline,
            window_seconds=WINDOW_S,
            flush_seconds=2.0,
            start=1_767_571_200.0 + start_s,
            keep_windows=60,
            resume=resume,
        )

    def _define(self, ads: swirl.Pipeline) -> Callable[[int], None]:
        @ads.stage(valid=lambda tweet: not tweet & RENAMED, on_invalid="drop")
        def ingest(tweet: int) -> int:
            return tweet

        @ads.stage(after=ingest, predicts=True, version=lambda: self.version)
        def classify(tweet: int) -> str:
            return "positive" if tweet & (LIKED | TRUNCATED | UNLUCKY) in _TAKEN_FOR_POSITIVE else "negative"

        @ads.stage(after=classify)
        def serve(tweet: int) -> int:
            return tweet

        ads.ratio("clicks per ad", (serve, "clicks"), per=(serve, "out"))

        def take(tweet: int) -> None:
            if ingest(tweet) is not None and classify(tweet) == "positive":
                serve(tweet)
                if tweet & (LIKED | EAGER) == LIKED | EAGER:
                    serve.count("clicks")

        return take

    def run(self, seconds: float) -> None:
        """Let tweets come for so long; their rate follows the time of day."""
        take, harness = self._tweet, self.harness
        for _ in range(round(seconds)):
            time_of_day = harness.clock.now % DAY_S / DAY_S
            rate = RATE * self.surge * (1.0 + SWING * math.sin(2.0 * math.pi * time_of_day))
            for tweet in self._draw(int(self._random.poisson(rate))):
                take(tweet)
            harness.advance(1.0)

    def _draw(self, count: int) -> list[int]:
        liked, eager, fate, style, luck = self._random.random((5, count))
        changed = fate < self.broken
        renamed = np.where(changed, style < RENAMED_SHARE, fate > 1.0 - DELETED_SHARE)
        tweets = (
            LIKED * (liked < LIKED_SHARE)
            + EAGER * (eager < EAGER_SHARE)
            + RENAMED * renamed
            + TRUNCATED * (changed & ~renamed)
            + UNLUCKY * (luck < self.swapped)
        )
        found: list[int] = tweets.tolist()
        return found

    def break_upstream(self, strength: float) -> None:
        """The upstream writes a share of the tweets in its new formats."""
        self.broken = strength

    def deploy_bug(self, strength: float) -> None:
        """A new version of the classifier swaps a share of its labels."""
        self.version, self.swapped = "2", strength

    @property
    def incidents(self) -> list[Incident]:
        """Of the harness."""
        return self.harness.incidents


_TAKEN_FOR_POSITIVE = frozenset({LIKED, UNLUCKY, UNLUCKY | TRUNCATED})


class Fault(NamedTuple):
    """What was done, and what came of it.

    Attributes:
        kind: which fault.
        strength: in (0, 1].
        first: the title under which it was told, ``""`` if it was not.
        settled: the title three windows later.
        delay: windows from its injection to its telling, rounded up.
        early: an incident was there before the fault was.
        seed: repeats it.
    """

    kind: Kind
    strength: float
    first: str
    settled: str
    delay: int
    early: bool
    seed: int

    @property
    def detected(self) -> bool:
        """Somebody was told."""
        return bool(self.first)

    @property
    def right(self) -> bool:
        """Root stage and cause."""
        return self.settled == TITLES[self.kind]


class Outcome(NamedTuple):
    """Incidents told where there was nothing to tell: their titles."""

    told: list[str]


def saved(seed: int) -> HarnessState:
    """A healthy past that begins at a random time of day."""
    scene = Scene(seed, start_s=float(np.random.default_rng([seed, 1]).integers(DAY_S)))
    scene.run(HISTORY_WINDOWS * WINDOW_S)
    return scene.harness.save()


def faults(seed: int, count: int) -> list[Fault]:
    """Faults of random kind, strength and time that befall one past."""
    past = saved(seed)
    return [_fault(past, 1_000 * seed + number) for number in range(1, count + 1)]


def _fault(past: HarnessState, seed: int) -> Fault:
    random = np.random.default_rng([seed, 2])
    kind: Kind = "data" if random.random() < 0.5 else "deployment"
    strength = float(np.exp(random.uniform(math.log(0.1), 0.0)))
    scene = Scene(seed, resume=past)
    scene.run(int(random.integers(WINDOW_S, 6 * WINDOW_S)))
    early = bool(scene.incidents)
    began_ms = scene.harness.clock.time_ns() // 1_000_000
    (scene.break_upstream if kind == "data" else scene.deploy_bug)(strength)
    first, opened_ms = "", 0
    for _ in _windows(scene, LONGEST_WAIT):
        if scene.incidents:
            first, opened_ms = scene.incidents[-1].title, scene.incidents[-1].opened_ms
            scene.run(SETTLING * WINDOW_S)
            break
    settled = scene.incidents[-1].title if scene.incidents else ""
    delay = math.ceil((opened_ms - began_ms) / (1000 * WINDOW_S)) if opened_ms else 0
    return Fault(kind, strength, first, settled, delay, early, seed)


def _windows(scene: Scene, count: int) -> Iterator[int]:
    for number in range(count):
        scene.run(WINDOW_S)
        yield number


def surges(seed: int, count: int) -> Outcome:
    """Three times the traffic for a while, and back, befalling one past."""
    past = saved(seed)
    told: list[str] = []
    for number in range(1, count + 1):
        scene = Scene(1_000 * seed + number, resume=past)
        random = np.random.default_rng([seed, number, 3])
        scene.run(int(random.integers(WINDOW_S, 6 * WINDOW_S)))
        scene.surge = 3.0
        scene.run(int(random.integers(5, 30)) * WINDOW_S)
        scene.surge = 1.0
        scene.run(6 * WINDOW_S)
        told += [incident.title for incident in scene.incidents]
    return Outcome(told)


def healthy(seed: int, hours: float) -> Outcome:
    """Nothing happens, for so long."""
    scene = Scene(seed)
    scene.run(hours * 3600)
    return Outcome([incident.title for incident in scene.incidents])
