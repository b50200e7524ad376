"""Habits of the files themselves."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Written so that this file does not find itself.
LEFT_FOR_LATER = re.compile(rf"\b({'TO'}DO|{'FIX'}ME|{'XX'}X|{'HA'}CK)\b|{'NotImplemented'}Error")
REGISTRY = re.compile(
    r"https?://(files\.pythonhosted|(test\.)?pypi|repo1?\.maven|registry\.npmjs|deb\.debian)"
)
MACHINE = re.compile(rf"(?<![\w.$}}])/({'wo'}rk|{'ro'}ot|{'tm'}p)/\w")


def files() -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in sorted(listed.splitlines()) if (ROOT / name).is_file()]


def modules() -> list[Path]:
    return [path for path in files() if path.suffix == ".py"]


def text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def matches(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in files()
        for number, line in enumerate(text(path).splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_holds_more_than_one_idea() -> None:
    lengths = {str(path.relative_to(ROOT)): len(text(path).splitlines()) for path in modules()}
    assert {name: length for name, length in lengths.items() if length > 700} == {}


def test_no_function_is_longer_than_sixty_lines() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in modules()
        if "tests" not in path.parts
        for node in ast.walk(ast.parse(text(path)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= 60
    ]
    assert long == []


def test_nothing_is_left_for_later() -> None:
    assert matches(LEFT_FOR_LATER) == []


def test_no_file_names_a_package_registry() -> None:
    assert matches(REGISTRY) == []


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    assert matches(MACHINE) == []


def test_every_test_asserts_something() -> None:
    idle = []
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(text(path))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                inside = [type(inner) for inner in ast.walk(node)]
                if ast.Assert not in inside and "raises" not in ast.dump(node):
                    idle.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert idle == []
