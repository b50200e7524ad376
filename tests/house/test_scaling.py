"""The arithmetic of ``docs/scaling.md`` is that of the cost model, and the model is that of a queue."""

from __future__ import annotations

from pathlib import Path

import pytest

from swirl.sdk.producer import partition
from tests.benchmarks.cost_model import FRAME_US, LIGHT_FRAME_US, SLICE_US, Emitters, tried

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scaling.md"
MILLION = 1_000_000
ROWS = {
    "flush 1 s, as it is": (Emitters(MILLION), FRAME_US),
    "flush 5 s, as it is": (Emitters(MILLION, flush_seconds=5), FRAME_US),
    "flush 5 s, one slice a flush": (Emitters(MILLION, flush_seconds=5, bucket_seconds=5), FRAME_US),
    "the same, first level without Faust": (
        Emitters(MILLION, flush_seconds=5, bucket_seconds=5),
        LIGHT_FRAME_US,
    ),
}


def cells(name: str) -> list[str]:
    """A row of the page's table, without its name."""
    line = next(li for li in PAGE.read_text(encoding="utf-8").splitlines() if li.startswith(f"| {name} |"))
    return [cell.strip().replace(" ", "") for cell in line.strip("|").split("|")[1:]]


@pytest.mark.parametrize("name", ROWS)
def test_each_row_of_the_page_follows_from_the_formula(name: str) -> None:
    emitters, each_us = ROWS[name]
    most = "any" if each_us == LIGHT_FRAME_US else str(emitters.most_on_one_core)
    found = [emitters.frames, emitters.frame_us(each_us), emitters.cores(each_us), emitters.megabytes]
    assert cells(name) == [*(f"{number:.0f}" for number in found), most]


def test_the_page_names_the_numbers_of_the_formula() -> None:
    assert f"{FRAME_US:.0f} µs + {SLICE_US:.0f} µs x slices" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("emitters", [Emitters(2_000), Emitters(6_000, flush_seconds=5)])
def test_a_core_that_the_formula_fills_keeps_up_with_frames_that_come_at_random(emitters: Emitters) -> None:
    trial = tried(emitters, seconds=20, seed=7)
    share = emitters.frames * emitters.frame_us() / 1e6
    assert trial.busy == pytest.approx(share, rel=0.02)
    assert trial.wait_s < 0.1


def test_a_core_that_the_formula_overfills_falls_behind() -> None:
    trial = tried(Emitters(5_000), seconds=20, seed=7)
    assert trial.busy > 0.99
    assert trial.wait_s > 1.0


def test_the_fullest_of_16_partitions_is_as_full_as_the_page_says() -> None:
    fullest = []
    for company in range(20):
        held = [0] * 16
        for number in range(100):
            held[partition(f"company-{company}-pipeline-{number}".encode(), 16)] += 1
        fullest.append(max(held))
    assert f"about {sum(fullest) / len(fullest):.0f} of 100 equal pipelines" in PAGE.read_text(
        encoding="utf-8"
    )
