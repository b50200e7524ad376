"""Who imports what: layers, extras by role, and a light ``import swirl``."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
OWN = {"swirl", "swirl_detectors", "swirl_pipelines"}
SOURCES = [ROOT / "swirl", ROOT / "detectors" / "swirl_detectors", ROOT / "pipelines" / "swirl_pipelines"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# The clients of Kafka import these where they find them.
COMPRESSION = {"cramjam", "lz4"}

# What a part may import beyond the base, by the start of its module's name; the first that fits holds.
EXTRAS = {
    "swirl.sdk": [],
    "swirl.frame": [],
    "swirl.sketch": [],
    "swirl.effect": [],
    "swirl.history": [],
    "swirl.settings": [],
    "swirl.kafka": [],
    "swirl.testing.jars": ["dev"],
    "swirl.engine.faust": ["watch", "worker"],
    "swirl_pipelines.digits": ["watch", "drift-demo"],
    "swirl_pipelines": ["watch", "demo"],
    "swirl.charts.canvas": ["watch", "charts"],
    "swirl": ["watch"],
}


@cache
def installed() -> dict[str, str]:
    """The distribution that holds an importable name."""
    return {name: str(canonicalize_name(held[0])) for name, held in packages_distributions().items()}


def distributions(lines: list[str]) -> set[str]:
    return {str(canonicalize_name(Requirement(line).name)) for line in lines} - {PROJECT["name"]}


BASE = distributions(PROJECT["dependencies"])
BY_EXTRA = {name: distributions(lines) for name, lines in PROJECT["optional-dependencies"].items()}


def module_name(path: Path) -> str:
    top = next(source for source in SOURCES if path.is_relative_to(source))
    return ".".join(path.relative_to(top.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for source in SOURCES for path in sorted(source.rglob("*.py"))}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def third_party(path: Path) -> set[str]:
    names = set(imported(path)) - OWN - sys.stdlib_module_names
    return {installed().get(name, name) for name in names}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_imports_only_what_the_extra_of_its_part_installs(name: str) -> None:
    extras = next(extras for start, extras in EXTRAS.items() if name.startswith(start))
    allowed = BASE.union(*(BY_EXTRA[extra] for extra in extras))
    assert third_party(MODULES[name]) <= allowed


def test_every_dependency_is_imported_somewhere() -> None:
    used = set().union(*(third_party(path) for path in MODULES.values()))
    assert BASE.union(*BY_EXTRA.values()) - COMPRESSION <= used


def loaded_by(*names: str) -> set[str]:
    """The distributions that a fresh interpreter holds after importing these."""
    code = f"import sys, {', '.join(names)}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {installed()[name] for name in done.stdout.split() if name in installed()}


def test_import_swirl_brings_in_only_the_base() -> None:
    base = loaded_by("numpy", "datasketches", "msgspec")
    # A thread loads kafka-python when there is something to send.
    assert base >= BASE - {"kafka-python"}
    assert loaded_by("swirl") - {PROJECT["name"]} <= base


def test_the_layers_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(name for name in MODULES if not name.endswith("__main__")))
def test_what_a_module_calls_public_is_what_it_defines(name: str) -> None:
    module = importlib.import_module(name)
    public: list[str] = getattr(module, "__all__", [])
    assert [entry for entry in public if not hasattr(module, entry)] == []
    assert len(set(public)) == len(public)
    defined = {
        entry
        for entry, value in vars(module).items()
        if not entry.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == name
    }
    assert defined <= set(public)
