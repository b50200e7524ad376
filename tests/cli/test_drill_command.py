"""``swirl drill``, with the ads pipeline as its example."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import swirl
from swirl.cli.commands import group
from swirl.cli.drill import Options, maker, run
from swirl.errors import DefinitionError

ADS = "swirl_pipelines.ads.drill:make"
HERE = "tests.cli.test_drill_command"

lone = swirl.Pipeline("lone")


@lone.stage(valid=lambda number: number is not None)
def check(number: int | None) -> int | None:
    return number


def send() -> None:
    check(1)


def nonsense() -> int:
    return 1


def pair() -> tuple[swirl.Pipeline, Callable[[], None]]:
    return lone, send


@pytest.mark.slow
def test_the_faults_of_the_ads_pipeline_are_told_right_and_nothing_else() -> None:
    said: list[str] = []
    only = ("format", "throttled", "deployment", "innocent", "weekly")
    code = run(Options(ADS, per_second=30.0, quiet=120, only=only), said.append)
    assert code == 0, said
    assert said[0].split() == ["fault", "stage", "told", "said", "right"]
    assert [line.split()[-1] for line in said[1:6]] == ["yes"] * 5
    assert "5 of 5 right; 0 false alarms in 120 quiet windows." in said


def test_nulls_that_the_ads_pipeline_lets_through_are_called_unseen() -> None:
    said: list[str] = []
    code = run(Options(ADS, per_second=20.0, quiet=80, only=("nulls", "late")), said.append)
    assert code == 1
    assert said[1].endswith("no: ingest measures nothing that shows it")
    assert "Left out: late data (no stage has at=)." in said
    assert said[-1].startswith("What broke unseen at ingest")


def test_a_pipeline_is_drilled_with_a_function_that_sends() -> None:
    given = ["drill", f"{HERE}:lone", "--send", f"{HERE}:send", "--only", "stopped", "--only", "canary"]
    result = CliRunner().invoke(group, [*given, "--per-second", "20", "--quiet", "80"])
    assert result.exit_code == 0, result.output
    assert "check: source outage" in result.output
    assert "Left out: bad canary (it takes a function that gives another process each time)." in result.output


def test_a_function_may_give_the_same_process_again() -> None:
    make = maker(f"{HERE}:pair")
    assert make() == make() == (lone, send)


@pytest.mark.parametrize(
    ("target", "sender", "wrong"),
    [
        ("nothing", "", "names nothing; write module:name"),
        ("no_such_module:make", "", "cannot be imported"),
        (f"{HERE}:no_such_name", "", "cannot be imported"),
        (f"{HERE}:lone", "", "name what sends one record"),
        (f"{HERE}:pair", f"{HERE}:send", "--send has no use"),
        (f"{HERE}:HERE", "", "is no pipeline"),
    ],
)
def test_a_target_of_no_use_is_refused_in_a_sentence(target: str, sender: str, wrong: str) -> None:
    with pytest.raises(DefinitionError, match=wrong):
        maker(target, sender)


def test_a_function_that_gives_something_else_is_refused() -> None:
    with pytest.raises(DefinitionError, match="gives int; it must give a pipeline"):
        maker(f"{HERE}:nonsense")()


def test_what_lies_in_the_folder_of_the_caller_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (
        "import swirl\nshop = swirl.Pipeline('shop')\n@shop.stage\ndef a(x): return x\ndef send(): a(1)\n"
    )
    (tmp_path / "my_drilled_shop.py").write_text(source, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    pipeline, sender = maker("my_drilled_shop:shop", "my_drilled_shop:send")()
    assert pipeline.name == "shop"
    assert callable(sender)
