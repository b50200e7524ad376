"""Baselines that are given, and what is said of features that moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import swirl
from swirl.effect import SeriesKey
from swirl.frame import Definition, ReferenceDefinition, StageDefinition, Summary
from swirl.monitor.references import references
from swirl.sinks.wording import reasons
from swirl.testing import Harness

if TYPE_CHECKING:
    from pathlib import Path

TRAINED = {"amount": np.random.default_rng(1).normal(50, 10, 5000), "currency": ["EUR", "USD"] * 2500}


class Bank:
    """Payments in batches."""

    def __init__(self, reference: Any = None) -> None:
        pipeline = swirl.Pipeline("bank")

        @pipeline.stage(features=True, reference=reference)
        def score(row: dict[str, Any]) -> dict[str, Any]:
            return row

        self.rng = np.random.default_rng(0)
        self.stage = score
        self.harness = Harness(pipeline, window_seconds=10)

    def live(self, windows: int, amount: float = 50.0, currencies: tuple[str, ...] = ("EUR", "USD")) -> None:
        for _ in range(windows * 10):
            features = {
                "amount": self.rng.normal(amount, 10, 100),
                "currency": self.rng.choice(currencies, 100).tolist(),
            }
            self.stage.batch(100, features=features, seconds=0.1)
            self.harness.advance(1)


def test_data_that_differs_from_training_is_told_in_the_first_windows() -> None:
    bank = Bank(TRAINED)
    bank.live(8, amount=80.0)
    (incident,) = bank.harness.incidents
    assert incident.title == "score: train/serve skew"
    assert incident.sentence.startswith("score: amount is not distributed as in its reference (distance ")
    assert incident.moved[0][0] == "amount"


def test_data_as_in_training_is_told_to_nobody_nor_are_the_first_windows_where_there_is_no_reference() -> (
    None
):
    for bank in (Bank(TRAINED), Bank()):
        bank.live(60)
        assert bank.harness.incidents == []


def test_a_new_category_is_named() -> None:
    bank = Bank()
    bank.live(100)
    bank.live(5, currencies=("EUR", "USD", "EUR2"))
    (incident,) = bank.harness.incidents
    assert incident.moved[0][:2] == ("currency", "EUR2")
    assert reasons(incident).startswith("currency")


def test_predictions_that_differ_from_those_of_training_are_told_in_the_first_windows() -> None:
    pipeline = swirl.Pipeline("bank")
    trained = (TRAINED, ["good", "good", "good", "bad"] * 1250)
    score = pipeline.stage(name="score", reference=trained)(lambda row: row)
    harness = Harness(pipeline, window_seconds=10)
    for _ in range(120):
        score.batch(100, predictions=["good", "bad"] * 50, seconds=0.1)
        harness.advance(1)
    assert [incident.stage for incident in harness.incidents] == ["score"]


def test_a_new_normal_takes_the_place_of_the_reference() -> None:
    bank = Bank(TRAINED)
    bank.live(8, amount=80.0)
    bank.harness.say("new_normal", bank.harness.incidents[0].id)
    bank.live(100, amount=80.0)
    bank.harness.restart_monitor()
    bank.live(20, amount=80.0)
    assert len(bank.harness.incidents) == 1


def test_the_reference_survives_a_restart() -> None:
    bank = Bank(TRAINED)
    bank.live(3)
    bank.harness.restart_monitor()
    bank.live(8, amount=80.0)
    assert [incident.stage for incident in bank.harness.incidents] == ["score"]


def test_a_profile_is_saved_and_loaded_and_read_from_a_table_in_a_file(tmp_path: Path) -> None:
    profile = swirl.Reference.of(TRAINED, predictions=["good", "bad"] * 2500)
    profile.save(tmp_path / "profile.swirl")
    assert swirl.Reference.of(tmp_path / "profile.swirl") == profile
    assert profile.categories["label"] == {"good": 2500, "bad": 2500}
    (tmp_path / "train.csv").write_text("amount,currency\n1.5,EUR\n,USD\n2.5,\n", encoding="utf-8")
    read = swirl.Reference.of(tmp_path / "train.csv")
    assert read.distributions["feature:amount"].count == 2
    assert read.categories == {"feature:currency": {"EUR": 1, "USD": 1}}


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_are_understood(library: str) -> None:
    frame = pytest.importorskip(library).DataFrame(
        {"a": [1.0, 2.0, None], "b": ["x", "y", "x"], "c": [1, 2, 3]}
    )
    profile = swirl.Reference.of(frame, predictions=[0.5, 0.25, 0.125])
    assert profile.categories == {"feature:b": {"x": 2, "y": 1}}
    assert {name: s.count for name, s in profile.distributions.items()} == {
        "feature:a": 2,
        "feature:c": 3,
        "prediction": 3,
    }


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (3, "a reference is a table"),
        ("/nowhere/table.csv", "cannot be read"),
        ({f"f{i}": [1.0] for i in range(300)}, "at most 200"),
        ({"a": np.zeros((2, 2))}, "one dimension"),
    ],
)
def test_what_is_no_reference_is_refused_with_what_to_give(given: Any, why: str) -> None:
    with pytest.raises(swirl.DefinitionError, match=why):
        swirl.Reference.of(given)


def test_references_that_would_not_fit_into_a_frame_are_refused_where_they_are_given() -> None:
    pipeline = swirl.Pipeline("wide")
    rng = np.random.default_rng(0)
    wide = {f"f{number}": rng.normal(size=2000) for number in range(190)}
    pipeline.stage(name="first", reference=wide)(lambda row: row)
    define = pipeline.stage(name="second", reference=wide)
    with pytest.raises(swirl.DefinitionError, match="reference"):
        define(lambda row: row)


def test_a_file_that_is_no_profile_says_how_to_make_one(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xc1nonsense")
    with pytest.raises(swirl.DefinitionError, match=r"Reference\.of\(table\)\.save"):
        swirl.Reference.load(tmp_path / "x")


def test_references_that_cannot_be_read_are_counted_and_the_others_are_used() -> None:
    good = swirl.Reference.of({"a": [1.0, 2.0]}).distributions["feature:a"]
    definition = Definition(
        (StageDefinition("s"),),
        references=(
            ReferenceDefinition(
                "s",
                {"feature:b": {"x": 1}, "feature:empty": {}, "odd": {"x": 1}},
                {"feature:a": good, "feature:bad": Summary(5, 1.0, b"nonsense")},
            ),
        ),
    )
    found, unreadable = references(definition)
    assert set(found) == {SeriesKey("s", "drift", "a"), SeriesKey("s", "drift", "b")}
    assert unreadable == 1


def test_references_that_would_not_fit_into_a_frame_are_refused_with_what_to_do() -> None:
    rng = np.random.default_rng(0)
    wide = swirl.Reference.of({f"f{i}": rng.normal(size=1_000) for i in range(150)})
    others = {"a": wide.defined("a")}
    with pytest.raises(swirl.DefinitionError, match=r"stage 'b'.*at most 400 kB.*Give fewer columns"):
        wide.defined("b", others)
    assert wide.defined("a", others) == others["a"]
    assert swirl.Reference.of(TRAINED).defined("b", others).stage == "b"


def test_closed_windows_do_not_carry_the_references_neither_before_nor_after_a_restart() -> None:
    bank = Bank(TRAINED)
    bank.live(3)
    closed = bank.harness.windows
    assert closed
    assert all(window.definition.stages and not window.definition.references for window in closed)
    bank.harness.restart_monitor()
    bank.live(1)
    assert not bank.harness.windows[-1].definition.references
