"""A new version that serves few records, beside the old one."""

from __future__ import annotations

import numpy as np
import pytest

import swirl
from swirl.testing import Harness


class Site:
    """A classifier in two versions, in two processes."""

    def __init__(self, share: float, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.share = share
        self.version = "1"
        self.pipelines, self.stages = [], []
        for canary in (False, True):
            pipeline = swirl.Pipeline("site", version=self._canary if canary else "1")
            self.stages.append(pipeline.stage(name="classify", predicts=True)(lambda text: text))
            self.pipelines.append(pipeline)
        self.harness = Harness(*self.pipelines, window_seconds=10)

    def _canary(self) -> str:
        return self.version

    def live(self, windows: int, positive: float = 0.8) -> None:
        """Both serve; the second one as it says."""
        for _ in range(windows * 10):
            for stage, n, p in (
                (self.stages[0], round(1000 * (1 - self.share)), 0.8),
                (self.stages[1], round(1000 * self.share), positive),
            ):
                labels = np.where(self.rng.random(n) < p, "positive", "negative").tolist()
                stage.batch(n, predictions=labels, seconds=0.001 * n)
            self.harness.advance(1)


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_a_canary_that_is_bad_is_told_as_a_bad_deployment_of_its_version(share: float) -> None:
    site = Site(share)
    site.live(60)
    site.version = "2"
    site.live(6, positive=0.6)
    (incident,) = site.harness.incidents
    assert (incident.title, incident.version) == ("classify: bad deployment", "2")


def test_a_canary_that_changes_nothing_is_told_to_nobody() -> None:
    for seed in range(3):
        site = Site(0.05, seed)
        site.live(40)
        site.version = "2"
        site.live(60)
        assert site.harness.incidents == []


def test_an_experiment_that_a_person_accepts_raises_no_alarm_any_more() -> None:
    site = Site(0.2)
    site.live(60)
    site.version = "2"
    site.live(6, positive=0.6)
    site.harness.say("new_normal", site.harness.incidents[0].id, "a test of two models")
    site.live(60, positive=0.6)
    assert len(site.harness.incidents) == 1
