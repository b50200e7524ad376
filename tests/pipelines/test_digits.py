"""The digits pipeline and its world, without any monitor."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from swirl import drift
from swirl.errors import MissingExtraError
from swirl.frame import Frame, decode
from swirl.sdk.transport import Transport
from swirl.settings import EmitterSettings
from swirl.sketch import Distribution
from swirl.testing.clock import ManualClock
from swirl_pipelines.digits import images as images_module
from swirl_pipelines.digits.features import measure
from swirl_pipelines.digits.images import handwriting
from swirl_pipelines.digits.model import train
from swirl_pipelines.digits.pipeline import BY_HAND, VERSION, bins, readable, scale
from swirl_pipelines.digits.scanner import JAMMED, Scanner, scanned
from swirl_pipelines.digits.world import BROKEN_VERSION, World, reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

BATCH = 4_000
FEATURES = ["balance", "contrast", "height", "ink", "lean", "width"]


class Kept(Transport):
    """Keeps the frames of a pipeline in a world."""

    def __init__(self, world: World, **options: Any) -> None:
        self.frames: list[Frame] = []
        settings = EmitterSettings(flush_seconds=3600.0)
        self.digits = world.pipeline(transport=self, clock=ManualClock(), settings=settings, **options)
        self.world = world

    def send(self, pipeline: str, payload: bytes, lost: Callable[[], object] = bool) -> None:
        frame = decode(payload)
        assert isinstance(frame, Frame)
        self.frames.append(frame)

    def close(self, timeout: float) -> None:
        """Nothing is under way."""

    def play(self, count: int = BATCH) -> dict[str, Any]:
        """One batch: the slice of each stage by its name."""
        self.frames.clear()
        self.digits.feed(self.world.scanner.draw(count))
        assert self.digits.pipeline.flush(10.0)
        return {piece.stage: piece for frame in self.frames for piece in frame.slices}


def summary(values: NDArray[np.float64]) -> Distribution:
    found = Distribution(200)
    found.update(values[np.isfinite(values)])
    return found


def test_the_halves_share_no_image_and_hold_each_digit_equally_often() -> None:
    train_on, arriving = handwriting()
    counts = [np.bincount(half.labels, minlength=10) for half in (train_on, arriving)]
    assert np.abs(counts[0] - counts[1]).max() <= 1
    both = np.concatenate((train_on.images, arriving.images))
    assert len(np.unique(both, axis=0)) == len(both) == 1_797


def test_without_scikit_learn_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(MissingExtraError, match="drift-demo"):
        images_module.handwriting()
    with pytest.raises(MissingExtraError, match="drift-demo"):
        train("1", scale)


def test_a_scan_frays_edges_without_bias_and_leaves_paper_and_ink_alone() -> None:
    written = handwriting()[0].images
    seen = scanned(written, np.random.default_rng(1))
    changed = seen != written
    edge = (written > 0) & (written < 16)
    assert not changed[~edge].any()
    assert 0.18 < changed[edge].mean() < 0.22
    assert abs((seen - written)[edge].mean()) < 0.01
    assert (np.abs(seen - written) <= 1).all()


def test_a_lamp_of_any_gain_gives_valid_images() -> None:
    written = handwriting()[1].images
    for gain in (0.5, 2.0):
        assert readable(scanned(written, np.random.default_rng(1), gain)).all()


def test_the_same_seed_draws_the_same_images_and_another_one_others() -> None:
    arriving = handwriting()[1]
    first, second, third = (Scanner(arriving, seed).draw(50) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third, equal_nan=True)


def test_a_jam_leaves_all_of_an_image_out_and_a_tear_two_columns() -> None:
    scanner = Scanner(handwriting()[1], 1)
    missing = np.isnan(scanner.draw(50_000)).sum(axis=1)
    assert set(missing.tolist()) == {0, 64}
    assert 0.6 * JAMMED < (missing == 64).mean() < 1.5 * JAMMED
    scanner.torn = 0.3
    torn = np.asarray(np.isnan(scanner.draw(5_000).reshape(-1, 8, 8)).all(axis=1))
    assert 0.27 < (torn.sum(axis=1) == 2).mean() < 0.33
    assert torn[:, :6].sum() == 6 * torn[:, 0].sum()


def test_an_empty_draw_is_an_empty_batch() -> None:
    assert Scanner(handwriting()[1]).draw(0).shape == (0, 64)
    assert World().pipeline(transport=None).feed(np.empty((0, 64))).shape == (0,)


def test_what_cannot_be_read_is_told_from_what_can() -> None:
    images = np.zeros((6, 64))
    images[:5, 0] = [np.nan, np.inf, 16.5, -1.0, 16.0]
    assert readable(images).tolist() == [False, False, False, False, True, False]


def test_a_batch_of_nothing_readable_is_sorted_nowhere() -> None:
    kept = Kept(World())
    assert kept.digits.feed(np.full((3, 64), np.nan)).shape == (0,)
    assert kept.digits.pipeline.flush(10.0)
    (piece,) = (piece for frame in kept.frames for piece in frame.slices if piece.stage == "receive")
    assert (piece.counters["records"], piece.counters["invalid"]) == (3, 3)
    assert piece.counters["nulls"] == piece.counters["values"] == 18


def test_features_of_a_blank_or_torn_image_are_nulls_and_never_poison_the_others() -> None:
    images = scanned(handwriting()[1].images[:4], np.random.default_rng(0))
    whole = measure(images)
    spoilt = images.copy()
    spoilt[0], spoilt[1, 7] = 0.0, np.nan
    found = measure(spoilt)
    assert sorted(found) == FEATURES
    for name, column in found.items():
        assert np.isnan(column[1]), name
        assert np.isnan(column[0]) == (name != "contrast"), name
        np.testing.assert_array_equal(column[2:], whole[name][2:])


def test_a_slanted_bar_leans_and_an_upright_one_does_not() -> None:
    slanted = np.eye(8)[::-1].reshape(1, 64) * 16
    assert measure(slanted)["lean"][0] == pytest.approx(-1.0)
    assert measure(slanted)["balance"][0] == 0.5


def test_a_single_row_of_ink_has_no_height_to_lean_over() -> None:
    row = np.zeros((1, 64))
    row[0, 8:16] = 16
    found = measure(row)
    assert (found["height"][0], found["lean"][0], found["balance"][0]) == (0.0, 0.0, 1.0)


def test_a_letter_of_which_the_model_is_not_sure_is_read_by_hand() -> None:
    assert bins(np.array([3, 4]), np.array([0.9, 0.3])).tolist() == [3, BY_HAND]


@pytest.fixture(scope="module")
def kept() -> Kept:
    return Kept(World(1))


def test_a_healthy_day_is_read_well_and_sorted_by_machine(kept: Kept) -> None:
    kept.world.repair()
    found = kept.play()
    receive, classify, sort = found["receive"], found["classify"], found["sort"]
    assert receive.counters["records"] == BATCH
    assert 0 < receive.counters["invalid"] < 3 * JAMMED * BATCH
    assert receive.counters["nulls"] == 6 * receive.counters["invalid"]
    assert {f"feature:{name}" for name in FEATURES} <= receive.distributions.keys()
    labels = classify.categories["label"]
    assert sorted(labels) == [str(digit) for digit in range(10)]
    assert all(0.07 < labels[digit] / BATCH < 0.13 for digit in labels)
    assert 0.9 < sort.counters["by machine"] / sort.counters["records"] < 0.97
    assert classify.version == VERSION


def test_the_model_is_right_about_most_digits_that_it_never_saw() -> None:
    arriving = handwriting()[1]
    model = World().classifier.model
    digits, sure = model.predict(scale(arriving.images))
    assert (digits == arriving.labels).mean() > 0.94
    assert (digits == arriving.labels)[sure > 0.7].mean() > 0.97


def test_the_same_model_is_trained_twice() -> None:
    images = scale(handwriting()[1].images)
    first, second = (train("1", scale).predict(images) for _ in range(2))
    assert (first[0] == second[0]).all()
    assert np.allclose(first[1], second[1], rtol=1e-9)


def test_a_dimmed_lamp_moves_the_ink_and_no_record_becomes_invalid(kept: Kept) -> None:
    kept.world.repair()
    before = kept.play()
    kept.world.dim()
    after = kept.play()
    ink = [found["receive"].distributions["feature:ink"] for found in (before, after)]
    assert 0.7 < (ink[1].total / ink[1].count) / (ink[0].total / ink[0].count) < 0.8
    assert after["receive"].counters["invalid"] < 3 * JAMMED * BATCH


def test_a_mailing_brings_more_ones_and_eights(kept: Kept) -> None:
    kept.world.repair()
    kept.world.mailing()
    found = kept.play()
    labels = found["classify"].categories["label"]
    assert labels["1"] / BATCH > 0.25
    assert labels["8"] / BATCH > 0.14
    assert found["receive"].counters["invalid"] < 3 * JAMMED * BATCH


def test_a_tear_leaves_nulls_and_invalid_records(kept: Kept) -> None:
    kept.world.repair()
    kept.world.tear()
    receive = kept.play()["receive"]
    assert 0.27 < receive.counters["invalid"] / BATCH < 0.33
    assert receive.counters["nulls"] == 6 * receive.counters["invalid"]


def test_a_mirrored_model_says_other_digits_under_another_version(kept: Kept) -> None:
    kept.world.repair()
    kept.world.deploy_mirrored()
    found = kept.play()["classify"]
    labels = found.categories["label"]
    assert found.version == BROKEN_VERSION
    assert max(labels.values()) / BATCH > 0.2


def test_an_unscaled_model_says_the_same_digits_and_is_sure_of_none(kept: Kept) -> None:
    kept.world.repair()
    kept.world.deploy_unscaled()
    found = kept.play()
    labels, sort = found["classify"].categories["label"], found["sort"]
    assert found["classify"].version == BROKEN_VERSION
    assert all(0.07 < labels[digit] / BATCH < 0.13 for digit in labels)
    assert sort.counters.get("by machine", 0) / sort.counters["records"] < 0.05


def test_a_repaired_world_is_as_it_was() -> None:
    world, fresh = World(3), World(3)
    for break_it in (world.dim, world.mailing, world.tear, world.deploy_mirrored):
        break_it()
    world.repair()
    np.testing.assert_array_equal(world.scanner.draw(100), fresh.scanner.draw(100))
    assert world.classifier.version() == VERSION


def test_the_training_data_are_a_baseline_for_what_arrives_and_betray_another_scanner() -> None:
    baseline = reference()
    assert sorted(baseline) == FEATURES
    assert all(np.isfinite(column).all() for column in baseline.values())
    world = World(5)
    healthy = measure(world.scanner.draw(BATCH))
    world.dim()
    dimmed = measure(world.scanner.draw(BATCH))
    index = {
        name: [drift.psi(summary(column), summary(day[name])).statistic for day in (healthy, dimmed)]
        for name, column in baseline.items()
    }
    assert max(found[0] for found in index.values()) < 0.05
    assert index["ink"][1] > 1.0


def test_a_baseline_that_is_handed_over_travels_with_the_definition() -> None:
    kept = Kept(World(6), reference=reference())
    kept.play(100)
    (definition,) = (frame.definition for frame in kept.frames if frame.definition is not None)
    (found,) = definition.references
    assert found.stage == "receive"
    counts = {name: column.count for name, column in found.distributions.items()}
    assert counts == dict.fromkeys((f"feature:{name}" for name in FEATURES), 901)
