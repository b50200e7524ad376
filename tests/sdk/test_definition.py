from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from swirl import DefinitionError, Pipeline, SettingsError
from swirl.frame import RatioDefinition
from swirl.settings import EmitterSettings
from tests.sdk.inbox import wired


def work() -> None:
    """A function to be decorated."""


def make(pipeline: Pipeline, name: str, **given: Any) -> Any:
    return pipeline.stage(name=name, **given)(work)


def twice(pipeline: Pipeline) -> None:
    for _ in range(2):
        pipeline.ratio("r", "ingest", per="ingest")


MISUSE: dict[str, tuple[Callable[[Pipeline], object], str]] = {
    "two stages of one name": (lambda p: make(p, "ingest"), "has a stage 'ingest' already"),
    "unknown after": (lambda p: make(p, "serve", after="clasify"), "'clasify', which is no stage"),
    "later stage in after": (
        lambda p: make(p, "a", after=["ingest", "b"]),
        "in the order of flow|in which records flow",
    ),
    "after itself": (lambda p: make(p, "loop", after="loop"), "makes a cycle"),
    "after a plain function": (lambda p: make(p, "serve", after=work), "which is no stage"),
    "after a stage of another pipeline": (
        lambda p: make(p, "b", after=make(Pipeline("o"), "ingest")),
        "no stage of",
    ),
    "empty name": (lambda p: make(p, ""), "is no name of a stage"),
    "blank name": (lambda p: make(p, "  "), "is no name of a stage"),
    "long name": (lambda p: make(p, "x" * 81), "is no name of a stage"),
    "name with a line break": (lambda p: make(p, "a\nb"), "is no name of a stage"),
    "nameless callable": (
        lambda p: p.stage(type("Model", (), {"__call__": work})()),
        "is no name of a stage",
    ),
    "no function": (lambda p: p.stage(3), "a stage is a function, not 3"),  # type: ignore[call-overload]
    "unknown on_invalid": (lambda p: make(p, "a", on_invalid="ignore"), 'must be "drop", "raise" or "pass"'),
    "valid is no function": (lambda p: make(p, "a", valid=True), "valid= is True"),
    "predicts is no function": (lambda p: make(p, "a", predicts="label"), "True for the result itself"),
    "features is no function": (lambda p: make(p, "a", features=["age"]), "True for the result itself"),
    "at is no function": (lambda p: make(p, "a", at="created_at"), "at= is 'created_at'"),
    "version is no text": (lambda p: make(p, "a", version=3), "a version is a text or a function"),
    "pipeline version is no text": (lambda p: setattr(p, "version", 3), "a version is a text or a function"),
    "ratio of an unknown stage": (lambda p: p.ratio("r", "serv", per="ingest"), "'serv', which is no stage"),
    "ratio per an unknown stage": (
        lambda p: p.ratio("r", "ingest", per=("x", "out")),
        "'x', which is no stage",
    ),
    "ratio of a misspelt counter": (lambda p: p.ratio("r", ("ingest", "record"), per="ingest"), "too close"),
    "ratio of a nameless counter": (
        lambda p: p.ratio("r", ("ingest", ""), per="ingest"),
        "no name of a counter",
    ),
    "two ratios of one name": (twice, "a ratio 'r' already"),
    "nameless ratio": (lambda p: p.ratio("", "ingest", per="ingest"), "is no name of a ratio"),
    "nameless pipeline": (lambda p: Pipeline(""), "is no name of a pipeline"),
}


@pytest.fixture
def a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """As from a file: the workers of pytest-xdist run as an interactive interpreter does."""
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "pipeline.py", raising=False)


@pytest.mark.usefixtures("a_script")
@pytest.mark.parametrize("misuse", MISUSE.values(), ids=MISUSE.keys())
def test_misuse_is_told_at_definition_with_what_to_do(
    misuse: tuple[Callable[[Pipeline], object], str],
) -> None:
    ads = Pipeline("ads")
    make(ads, "ingest")
    act, told = misuse
    with pytest.raises(DefinitionError, match=told):
        act(ads)


def test_a_failed_definition_leaves_the_pipeline_as_it_was() -> None:
    ads, inbox = wired()
    make(ads, "ingest")
    with pytest.raises(DefinitionError):
        make(ads, "serve", after="unknown")
    make(ads, "serve", after="ingest")
    ads.emit_now()
    definition = inbox.frames[0].definition
    assert definition is not None
    assert [(s.name, s.after) for s in definition.stages] == [("ingest", ()), ("serve", ("ingest",))]


def test_a_stage_comes_after_several_given_as_functions_or_names() -> None:
    ads, inbox = wired()
    tweets, users = make(ads, "tweets"), make(ads, "users")
    make(ads, "join", after=(tweets, "users", tweets))
    make(ads, "late", after=users)
    ads.emit_now()
    definition = inbox.frames[0].definition
    assert definition is not None
    assert [s.after for s in definition.stages] == [(), (), ("tweets", "users"), ("users",)]


def test_ratios_travel_in_the_definition() -> None:
    ads, inbox = wired()
    serve = make(ads, "serve")
    ads.ratio("click rate", serve.counter("clicks"), per=serve)
    ads.ratio("errors", ("serve", "errors"), per=(serve, "records"))
    ads.emit_now()
    definition = inbox.frames[0].definition
    assert definition is not None
    assert definition.ratios == (
        RatioDefinition("click rate", ("serve", "clicks"), ("serve", "out")),
        RatioDefinition("errors", ("serve", "errors"), ("serve", "records")),
    )


def test_bad_settings_name_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWIRL_FLUSH_SECONDS", "soon")
    with pytest.raises(SettingsError, match="SWIRL_FLUSH_SECONDS is 'soon'"):
        Pipeline("ads")
    with pytest.raises(SettingsError, match="SWIRL_BUFFER_RECORDS"):
        Pipeline("ads", settings=EmitterSettings(buffer_records=1))


def test_a_cell_of_a_notebook_may_be_run_again_but_a_script_may_not_define_a_stage_twice() -> None:
    script = (
        "import swirl; ads = swirl.Pipeline('ads'); cell = '@ads.stage\\ndef ingest(): pass'\n"
        "exec(cell); exec(cell)\n"
        "exec('@ads.stage(after=ingest)\\ndef serve(): pass')\n"
        'cell = \'ads.ratio("clicks", (serve, "clicks"), per=serve)\'\n'
        "exec(cell); exec(cell)\n"
        "try: exec('@ads.stage(after=serve)\\ndef ingest(): pass')\n"
        "except swirl.DefinitionError as error: print(error)\n"
        "print(ads)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == (
        "stage 'ingest' after 'serve' makes a cycle; records flow one way, so leave one out\n"
        "<swirl.Pipeline 'ads': ingest -> serve>\n"
    )
