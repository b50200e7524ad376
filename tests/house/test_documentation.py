"""What the code names is in the documentation's tables, and the other way round."""

from __future__ import annotations

import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from swirl import settings
from swirl.cli.commands import group
from swirl.detector import detectors
from swirl.sinks.prometheus import METRICS

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def section(path: Path, heading: str) -> str:
    """The text under a heading, up to the next one of its rank."""
    found = re.split(rf"^{heading}\s*$", path.read_text(encoding="utf-8"), maxsplit=1, flags=re.MULTILINE)
    assert len(found) == 2, f"{path.name} has no heading {heading!r}"
    rank = heading.partition(" ")[0]
    return re.split(rf"^{rank} ", found[1], maxsplit=1, flags=re.MULTILINE)[0]


def first_column(path: Path, heading: str) -> list[str]:
    """The code spans in the first cells of the tables under a heading, in their order."""
    rows = [line for line in section(path, heading).splitlines() if line.startswith("|")]
    return [span for row in rows for span in re.findall(r"`([^`]+)`", row.split("|")[1])]


def variables() -> list[str]:
    parts = [
        settings.EmitterSettings,
        settings.MonitorSettings,
        settings.WatchSettings,
        settings.KafkaSettings,
        settings.WorkerSettings,
    ]
    return [spec.metadata["variable"] for part in parts for spec in fields(part)]


def documents() -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]


def test_every_setting_is_in_the_table_and_nothing_else() -> None:
    assert sorted(first_column(README, "## Settings")) == sorted(variables())


def test_no_variable_is_read_that_is_not_a_setting() -> None:
    named = {
        variable
        for path in (ROOT / "swirl").rglob("*.py")
        for variable in re.findall(r"[\"'`](SWIRL_[A-Z_]+)\b", path.read_text(encoding="utf-8"))
    }
    assert named <= set(variables())


def test_every_metric_is_in_the_table_and_nothing_else() -> None:
    rows = [cell.partition("{")[0] for cell in first_column(README, "## Metrics")]
    assert sorted(rows) == sorted(metric.name for metric in METRICS)


def test_every_command_is_in_the_table_and_nothing_else() -> None:
    rows = [cell.split()[1] for cell in first_column(README, "## Commands") if cell.startswith("swirl ")]
    assert sorted(rows) == sorted(group.commands)


def test_every_detector_is_described_beside_its_code() -> None:
    text = (ROOT / "detectors" / "README.md").read_text(encoding="utf-8")
    assert [name for name in detectors() if f"`{name}`" not in text] == []


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file(path: Path) -> None:
    links = [link for link in LINK.findall(path.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_python_example_can_be_parsed(path: Path) -> None:
    blocks = BLOCK.findall(path.read_text(encoding="utf-8"))
    assert all(compile(block, str(path), "exec") for block in blocks)
