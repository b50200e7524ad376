"""The runner of the benchmarks says no when a limit is exceeded."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tests.benchmarks.detection import nab
from tests.benchmarks.detection import run as detection
from tests.benchmarks.detection.run import assembled, parts_of

RUNNER = Path(__file__).resolve().parents[1] / "benchmarks" / "run.py"


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("swirl_benchmark_runner", RUNNER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(folder: Path, name: str, rows: str) -> None:
    (folder / f"bench_{name}.py").write_text(
        f"def rows():\n    print('noise')\n    return {rows}\n", encoding="utf-8"
    )


def test_a_figure_within_its_limit_passes(
    runner: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "call", "[('a call, over the floor', 2.5, 4), ('shown only', 1e6, None)]")
    assert runner.main(tmp_path, []) == 0
    table = capsys.readouterr().out
    assert "a call, over the floor" in table
    assert "1,000,000" in table
    assert "noise" not in table


@pytest.mark.parametrize("rows", ["[('slow', 4.1, 4)]", "[('not a number', float('nan'), 4)]", "1 / 0"])
def test_a_figure_beyond_its_limit_or_a_crash_fails(runner: ModuleType, tmp_path: Path, rows: str) -> None:
    write(tmp_path, "call", rows)
    assert runner.main(tmp_path, []) == 1


def test_only_the_named_benchmarks_run(
    runner: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "good", "[('good', 1, 2)]")
    write(tmp_path, "bad", "[('bad', 3, 2)]")
    assert runner.main(tmp_path, ["good"]) == 0
    assert "bad" not in capsys.readouterr().out


def test_a_name_that_fits_nothing_says_which_there_are(
    runner: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "good", "[('good', 1, 2)]")
    assert runner.main(tmp_path, ["other"]) == 1
    assert "good" in capsys.readouterr().out


def test_a_part_of_the_page_of_detection_is_replaced_and_the_others_stay() -> None:
    page = assembled({"nab": "## NAB\n\nGood.\n", "budget": "## Budget\n\n| a |\n|---|\n"})
    parts = {**parts_of(page), "nab": "## NAB\n\nBetter.\n"}
    again = assembled(parts)
    assert again == page.replace("Good", "Better")
    assert again.index("## Budget") < again.index("## NAB")


def test_a_part_whose_data_are_missing_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "detection.md"
    page.write_text(assembled({"nab": "## NAB\n\nGood.\n"}), encoding="utf-8")
    monkeypatch.setattr(detection, "PAGE", page)
    monkeypatch.setenv("SWIRL_NAB", str(tmp_path / "nowhere"))
    monkeypatch.setattr(nab, "_budget", lambda *, quick: f"{quick}")
    detection.main(["--only", "nab"])
    assert parts_of(page.read_text(encoding="utf-8")) == {"nab": "## NAB\n\nGood.\n"}
    assert "keeps what it has of nab" in capsys.readouterr().err
