"""What Swirl says of the digits pipeline: nothing on quiet days; of each fault its stage and its cause.

``python -m tests.pipelines.test_digits_faults`` tells how far that goes: over more seeds, down to faults so
weak that nobody would see them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import pytest

from swirl.testing import Harness
from swirl_pipelines.digits import faults
from swirl_pipelines.digits.world import World, reference

if TYPE_CHECKING:
    from swirl.testing import HarnessState

WINDOW_S, BEAT_S, BATCH = 10, 5.0, 1_000
SEEDS = (1, 2, 3)
TOLD_WITHIN = 4
"""Windows, the one in which the fault begins and the wait for late records included."""


class Watched:
    """A world and its pipeline under a harness."""

    def __init__(self, seed: int, resume: HarnessState | None = None, **options: Any) -> None:
        self.world = World(seed)
        self.digits = self.world.pipeline(transport=None, **options)
        self.harness = Harness(
            self.digits.pipeline, window_seconds=WINDOW_S, flush_seconds=BEAT_S, resume=resume
        )

    def run(self, windows: int) -> None:
        scanner = self.world.scanner
        for _ in range(round(windows * WINDOW_S / BEAT_S)):
            self.digits.feed(scanner.draw(max(1, round(BATCH + BATCH**0.5 * scanner.noise()))))
            self.harness.advance(BEAT_S)

    @property
    def titles(self) -> list[str]:
        return [incident.title for incident in self.harness.incidents]


@cache
def past(seed: int) -> HarnessState:
    """A quiet past, of which nothing was told."""
    watched = Watched(seed)
    watched.run(120)
    assert watched.harness.changes == []
    return watched.harness.save()


@pytest.mark.parametrize("seed", SEEDS)
def test_on_quiet_days_nothing_is_told(seed: int) -> None:
    watched = Watched(seed + 100, resume=past(seed))
    watched.run(60)
    assert watched.titles == []
    assert watched.digits.pipeline.verdict.state == "healthy"
    assert len(watched.harness.windows) >= 58


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("fault", "title"),
    [
        ("dim", "receive: input drift"),
        ("mailing", "receive: input drift"),
        ("tear", "receive: data pipeline broken"),
        ("deploy_mirrored", "classify: bad deployment"),
    ],
)
def test_a_fault_is_told_with_its_stage_and_its_cause(fault: str, title: str, seed: int) -> None:
    watched = Watched(seed + 100, resume=past(seed))
    getattr(watched.world, fault)()
    watched.run(TOLD_WITHIN)
    assert watched.titles, "nothing was told in time"
    watched.run(3)
    assert watched.titles == [title]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_deployment_that_is_sure_of_nothing_is_told(seed: int) -> None:
    watched = Watched(seed + 100, resume=past(seed))
    watched.world.deploy_unscaled()
    watched.run(TOLD_WITHIN)
    watched.run(3)
    assert watched.titles == ["classify: bad deployment"]
    # Its own numbers are as usual, and only those of the stage below follow it: that is never sure.
    assert watched.digits.pipeline.verdict.state == "degraded"


def test_a_repaired_lamp_ends_the_incident() -> None:
    watched = Watched(100, resume=past(SEEDS[0]))
    watched.world.dim()
    watched.run(8)
    watched.world.repair()
    watched.run(90)
    assert watched.titles == ["receive: input drift"]
    assert watched.harness.changes[-1].transition == "resolved"
    assert watched.digits.pipeline.verdict.state == "healthy"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_lamp_that_was_too_weak_from_the_start_shows_against_the_training_data_only(seed: int) -> None:
    watched, unaware = Watched(seed, reference=reference()), Watched(seed)
    for each in (watched, unaware):
        each.world.dim()
        each.run(9)
    assert [incident.stage for incident in watched.harness.incidents] == ["receive"]
    assert unaware.titles == []


@pytest.mark.parametrize("seed", SEEDS)
def test_images_like_those_of_the_training_data_are_no_drift(seed: int) -> None:
    watched = Watched(seed, reference=reference())
    watched.run(60)
    assert watched.titles == []
    drift = [point for _, point in watched.harness.points("receive", "drift", "ink")]
    assert max(point.value for point in drift) < 0.05


DRIFT, BROKEN, DEPLOYED = "receive: input drift", "receive: data pipeline broken", "classify: bad deployment"
SURVEY: dict[str, tuple[str, Callable[[World], None]]] = {
    **{
        f"lamp at {gain:.0%}": (DRIFT, partial(lambda gain, world: faults.dim(world.scanner, gain), gain))
        for gain in (0.98, 0.95, 0.9, 0.75, 0.5, 1.1, 1.25)
    },
    **{
        f"mailing, ones x{one}": (
            DRIFT,
            partial(lambda one, world: faults.mailing(world.scanner, {1: one, 8: (one + 1) / 2}), one),
        )
        for one in (1.25, 1.5, 2.0, 3.0, 5.0)
    },
    **{
        f"torn, {share:.1%}": (
            BROKEN,
            partial(lambda share, world: faults.tear(world.scanner, share), share),
        )
        for share in (0.001, 0.005, 0.02, 0.3)
    },
    "mirrored model": (DEPLOYED, World.deploy_mirrored),
    "unscaled model": (DEPLOYED, World.deploy_unscaled),
}
"""What befalls -> what is to be said of it, and how it comes about."""


def what_was_said(seed: int, befalls: Callable[[World], None], windows: int) -> tuple[str, int]:
    """The last title within so many windows, or ``""``; and windows from the fault to the first word."""
    watched = Watched(seed + 100, resume=past(seed))
    befalls(watched.world)
    told = 0
    for number in range(1, windows + 1):
        watched.run(1)
        told = told or (number if watched.titles else 0)
    return ", ".join(watched.titles), told


def survey(seeds: int, windows: int = 15) -> None:
    """Print, for each fault, how often it was told, after how many windows, and what else was said."""
    print(f"{'fault':22}{'right':>6}{'else':>6}{'silent':>8}{'windows':>9}  said otherwise (seed)")
    for name, (title, befalls) in SURVEY.items():
        found = [(seed, *what_was_said(seed, befalls, windows)) for seed in range(1, seeds + 1)]
        waits = sorted(told for _, _, told in found if told)
        others = [f"{said} ({seed})" for seed, said, _ in found if said not in ("", title)]
        right, silent = sum(said == title for _, said, _ in found), seeds - len(waits)
        middle = waits[len(waits) // 2] if waits else "-"
        print(f"{name:22}{right:6}{len(others):6}{silent:8}{middle:>9}  {'; '.join(others)}", flush=True)


if __name__ == "__main__":
    survey(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
