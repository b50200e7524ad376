"""The ads pipeline as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from swirl_pipelines.ads.__main__ import parse_acts
from swirl_pipelines.ads.tweets import made_up_tweets
from swirl_pipelines.ads.world import World


@pytest.fixture(scope="module")
def world() -> World:
    return World(made_up_tweets(0), 0)


def test_acts_are_read_from_a_text(world: World) -> None:
    acts = parse_acts("healthy:33,broken:0.5,bug:10", world)

    assert [(act.name, act.seconds) for act in acts] == [("healthy", 33.0), ("broken", 0.5), ("bug", 10.0)]


@pytest.mark.parametrize("text", ["", "healthy", "healthy:", "fire:3", "bug:-1", "bug:1e3", "bug:3,"])
def test_what_is_no_act_is_refused_with_what_to_write(world: World, text: str) -> None:
    with pytest.raises(ValueError, match="is no act; write name:seconds"):
        parse_acts(text, world)


def test_it_says_when_each_act_begins_and_ends_by_itself(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SWIRL_")}
    command = [sys.executable, "-m", "swirl_pipelines.ads", "--synthetic", "--rate", "500"]
    done = subprocess.run(
        [*command, "--acts", "healthy:0.6,bug:0.3"],
        env={**kept, "SWIRL_STATE": str(tmp_path), "SWIRL_HTTP": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == ["healthy", "bug"]
    assert 300 <= int(lines[1][1]) - int(lines[0][1]) <= 5_000
