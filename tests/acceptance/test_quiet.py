"""A fault is not over because nobody sends anything."""

from __future__ import annotations

import numpy as np

import swirl
from swirl.testing import Harness


def test_an_incident_stays_open_while_nothing_comes_and_ends_when_it_comes_right() -> None:
    rng = np.random.default_rng(5)
    shop = swirl.Pipeline("shop", version="1")
    wrong = False

    @shop.stage(predicts=True)
    def score(luck: float) -> str:
        return "buy" if (luck < 0.8) is not wrong else "skip"

    harness = Harness(shop, window_seconds=10, warm_up_windows=30, calm_windows=3)
    draws = iter(rng.random(200_000).tolist())
    harness.drive(lambda: score(next(draws)), per_second=40, seconds=900)
    assert harness.incidents == []
    wrong = True
    harness.drive(lambda: score(next(draws)), per_second=40, seconds=60)
    assert [incident.state for incident in harness.incidents] == ["open"]
    harness.advance(120)
    assert [incident.state for incident in harness.incidents] == ["open"]
    wrong = False
    harness.drive(lambda: score(next(draws)), per_second=40, seconds=120)
    assert [incident.state for incident in harness.incidents] == ["resolved"]
