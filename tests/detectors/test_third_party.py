"""A detector of somebody else's, installed as its own distribution, judges beside ours."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "detectors" / "README.md").read_text(encoding="utf-8")

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "their-detectors"
version = "1.0"

[tool.hatch.build.targets.wheel]
packages = ["my_package"]

{entry_point}
"""

PROGRAM = """
import swirl
from swirl.detector import detectors
from swirl.testing import Harness

assert "record" in detectors(), sorted(detectors())
shop = swirl.Pipeline("shop")

@shop.stage(detectors=[("record", {})])
def price(amount):
    price.count("cents", amount)
    return amount

# A record is no great surprise: the promise must be a generous one.
harness = Harness(shop, window_seconds=1, false_alarms_a_week=100_000)
for second in range(400):
    for _ in range(10):
        price(100 + second % 7)
    harness.advance(1)
for _ in range(10):
    price(900)
harness.advance(1)
harness.finish()
print([point.key.label for _, point in harness.alarms if point.key.metric == "counter_level"])
"""


def code(language: str, holds: str) -> str:
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return next(block for block in blocks if holds in block)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip has put the package that the README shows."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "my_package").mkdir()
    (source / "my_package" / "__init__.py").write_text(
        code("python", "class RecordDetector"), encoding="utf-8"
    )
    entry_point = code("toml", "swirl.detectors")
    (source / "pyproject.toml").write_text(PROJECT.format(entry_point=entry_point), encoding="utf-8")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *options, str(source)]
    subprocess.run(pip, check=True, capture_output=True, timeout=120)
    return target


def test_the_detector_of_the_readme_judges_a_pipeline_once_it_is_installed(installed: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        cwd=installed,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.stdout.strip() == "['cents']"


def test_a_detector_for_one_series_takes_fifteen_lines() -> None:
    lines = code("python", "class RecordDetector").partition("class Record:")[2].partition("@dataclass")[0]
    assert sum(bool(line.strip()) and '"""' not in line for line in lines.splitlines()) <= 15
