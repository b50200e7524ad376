"""What the code names is in the documentation's tables, and the other way round."""

from __future__ import annotations

import ast
import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from swirl import settings
from swirl.cli.commands import group
from swirl.detector import detectors
from swirl.engine.faust.worker import EXIT_CRASHED
from swirl.engine.watchdog import EXIT_FENCED, EXIT_STALLED
from swirl.kafka.topics import Topics
from swirl.sinks.prometheus import METRICS

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
OPERATIONS = ROOT / "docs" / "operations.md"
DELIVERY = ROOT / "docs" / "delivery.md"
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
TOPICS = Topics.of(settings.KafkaSettings())
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
def test_what_a_document_names_is_there(path: Path) -> None:
    spans = re.findall(r"`([^`\n]+)`", path.read_text(encoding="utf-8"))
    named = {name for span in spans for name in re.findall(r"SWIRL_[A-Z_]+[A-Z]", span)}
    assert {name.removesuffix("_FILE") for name in named} <= set(variables())
    metrics = {name for span in spans for name in re.findall(r"^(swirl_\w+[a-z])(?:\{.*\})?$", span)}
    assert metrics - {"swirl_detectors", "swirl_pipelines"} <= {metric.name for metric in METRICS}


@pytest.mark.parametrize("path", [OPERATIONS, DELIVERY], ids=lambda path: path.name)
def test_the_topics_that_a_document_names_are_there(path: Path) -> None:
    named = re.findall(r"`(swirl\.[a-z-]+)`", path.read_text(encoding="utf-8"))
    assert set(named) <= set(TOPICS)


def test_every_topic_and_every_way_for_a_worker_to_end_is_told() -> None:
    assert first_column(OPERATIONS, "### Topics") == list(TOPICS)
    codes = re.findall(r"^\| (\d+) \|", section(OPERATIONS, "## Supervise"), re.MULTILINE)
    assert list(map(int, codes)) == [0, 2, EXIT_CRASHED, EXIT_STALLED, EXIT_FENCED]


def test_whoever_follows_the_examples_gives_a_worker_time_to_stop() -> None:
    text = section(OPERATIONS, "## Supervise")
    (deployment,) = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL))
    pod = deployment["spec"]["template"]["spec"]
    (unit,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    grace = settings.WorkerSettings().grace_seconds
    assert min(pod["terminationGracePeriodSeconds"], int(unit)) > grace
    (container,) = pod["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert {entry["name"].removesuffix("_FILE") for entry in container["env"]} <= set(variables())


def test_every_alert_is_explained_and_no_other() -> None:
    rules = yaml.safe_load((ROOT / "prometheus" / "swirl.rules.yml").read_text(encoding="utf-8"))
    alerts = {rule["alert"]: rule["expr"] for group in rules["groups"] for rule in group["rules"]}
    rows = [line.split("|") for line in section(OPERATIONS, "## Watch the watcher").splitlines()]
    told = {row[1].strip(" `"): row[2] for row in rows if len(row) > 4 and "`Swirl" in row[1]}
    assert list(told) == list(alerts)
    for alert, expr in alerts.items():
        assert set(re.findall(r"(?:swirl|process)_\w+", expr)) <= set(re.findall(r"\w+", told[alert]))


def test_every_metric_of_the_workers_own_is_explained() -> None:
    own = {metric.name for metric in METRICS if not metric.labels or metric.labels in (("cause",), ("sink",))}
    assert own <= set(re.findall(r"swirl_\w+", section(OPERATIONS, "## Watch the watcher")))


def test_every_test_that_shows_a_guarantee_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", DELIVERY.read_text(encoding="utf-8"))
    assert len(named) > 25
    assert [name for name in named if name[1] not in functions(ROOT / name[0])] == []


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file(path: Path) -> None:
    links = [link for link in LINK.findall(path.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_python_example_can_be_parsed(path: Path) -> None:
    blocks = BLOCK.findall(path.read_text(encoding="utf-8"))
    assert all(compile(block, str(path), "exec") for block in blocks)
