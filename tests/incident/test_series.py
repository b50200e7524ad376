"""Residual series: honest sigmas, whatever the baseline and however many windows are pooled."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from swirl.contrast import latency_floor
from swirl.effect import SeriesKey
from swirl.frame import Definition, RatioDefinition, StageDefinition
from swirl.history import History, StageCounts, WindowCounts
from swirl.incident.graph import Graph
from swirl.incident.residuals import Residuals, collect
from swirl.incident.series import Level, Ratio, Span, Tied
from swirl.incident.sigmas import CAP, autocorrelation, log_evidence, pooling
from tests.incident.acts import ORIGIN_MS, SECOND
from tests.incident.simulator import drain

Floats = NDArray[np.float64]


def span(size: int, windows: int) -> Span:
    first = size - windows
    return Span(np.arange(first), first, size, np.ones(size, dtype=np.bool_))


@pytest.mark.parametrize("baseline", [15, 30, 90])
@pytest.mark.parametrize("windows", [1, 3, 5])
def test_healthy_ratios_are_hardly_ever_beyond_four_sigma(baseline: int, windows: int) -> None:
    rng = np.random.default_rng(baseline + windows)
    z = []
    for _ in range(400):
        n = rng.poisson(3000, baseline + windows).astype(float)
        k = rng.binomial(n.astype(int), rng.beta(300, 700, baseline + windows)).astype(float)
        z.append(Ratio(k, n, span(baseline + windows, windows)).z())
    size = np.abs(np.array(z, dtype=float))
    assert np.mean(size > 4) <= 0.0025
    assert np.mean(size > 3) <= 0.01
    assert 0.4 < np.std(np.array(z, dtype=float)) < 1.2


@pytest.mark.parametrize("baseline", [15, 30, 90])
@pytest.mark.parametrize("windows", [1, 3, 5])
def test_healthy_levels_are_hardly_ever_beyond_four_sigma(baseline: int, windows: int) -> None:
    rng = np.random.default_rng(baseline * windows)
    x = rng.normal(3, 0.1, (600, baseline + windows))
    size = np.abs([Level(row, span(baseline + windows, windows)).z() or 0.0 for row in x])
    assert np.mean(size > 4) <= 0.0034
    assert np.mean(size > 3) <= 0.012


def test_a_change_below_one_percent_is_never_significant() -> None:
    n = np.full(31, 1e9)
    k = n * 0.5
    k[-1] *= 1.004
    assert abs(Ratio(k, n, span(31, 1)).z() or 0.0) < 1


def test_a_ratio_without_records_says_nothing() -> None:
    n = np.full(31, 100.0)
    n[-1] = 0
    ratio = Ratio(n * 0.1, n, span(31, 1))
    assert ratio.z() is None
    assert np.isnan(ratio.now)


def test_a_ratio_knows_its_excess_and_its_sign() -> None:
    n = np.full(31, 1000.0)
    k = np.full(31, 100.0)
    k[-1] = 400
    ratio = Ratio(k, n, span(31, 1))
    assert ratio.usual == pytest.approx(0.1, abs=0.001)
    assert ratio.now == 0.4
    assert ratio.excess == pytest.approx(300, abs=1)
    assert (ratio.z() or 0) > 10
    k[-1] = 10
    assert (Ratio(k, n, span(31, 1)).z() or 0) < -5


def test_a_level_within_its_least_change_is_zero() -> None:
    x = np.zeros(31)
    x[-1] = 0.15
    assert Level(x, span(31, 1), least=(0.2, 0.2)).z() == 0.0
    assert (Level(x, span(31, 1), least=(0.2, 0.1)).z() or 0) > 5
    x[-1] = -0.25
    assert (Level(x, span(31, 1), least=(0.2, 0.2)).z() or 0) < -5


def test_a_level_that_is_not_measured_says_nothing() -> None:
    x = np.zeros(31)
    x[-1] = np.nan
    level = Level(x, span(31, 1))
    assert level.z() is None
    assert np.isnan(level.change())
    assert Level(np.full(31, np.nan), span(31, 1)).known is False


def test_a_short_baseline_counts_for_less() -> None:
    z = []
    for baseline in (15, 30, 90):
        x = np.tile([0.1, -0.1], 60)[: baseline + 1]
        x[-1] = 0.5
        z.append(Level(x, span(baseline + 1, 1)).z() or 0.0)
    assert z == sorted(z)
    assert z[0] < 4.2 < z[2]


def test_the_loudest_of_tied_series_speaks_and_pays_for_the_choice() -> None:
    x, y = np.tile([0.1, -0.1], 16)[:31].copy(), np.zeros(31)
    x[-1] = -0.8
    quiet, loud = Level(y, span(31, 1), label="a"), Level(x, span(31, 1), label="b")
    z = loud.z() or 0.0
    assert Tied([quiet, loud], 1).z() == z
    tied = Tied([quiet, loud], 2)
    assert tied.label == "b"
    assert tied.z() == pytest.approx(-np.sqrt(z * z - 2 * np.log(2)))
    assert np.array_equal(tied.by_window(), loud.by_window())
    assert Tied([quiet], 3).z() == 0.0


def test_tied_series_of_which_none_was_measured_say_nothing() -> None:
    x = np.zeros(31)
    x[-1] = np.nan
    assert Tied([Level(x, span(31, 1))], 1).z() is None


def test_evidence_is_capped_and_small_sigmas_speak_against() -> None:
    assert log_evidence(50) == CAP
    assert log_evidence(5) == CAP
    assert log_evidence(-50) == -9
    assert log_evidence(2) < 0 < log_evidence(2.5)


def test_autocorrelation_is_taken_from_long_baselines_only() -> None:
    assert autocorrelation(np.zeros(20)) == 0.15
    assert autocorrelation(np.repeat([1.0, -1.0] * 10, 5)) > 0.6
    assert autocorrelation(np.tile([1.0, -1.0], 20)) == 0.0


def test_windows_that_hang_together_are_worth_less() -> None:
    assert pooling(1, 0.5, 10**9) == pytest.approx(1)
    assert pooling(3, 0.9, 90) > pooling(3, 0.5, 90) > pooling(3, 0.0, 90)


@pytest.mark.parametrize(("usual", "rise"), [(1e-5, 101), (0.002, 1.5), (0.01, 1.2), (1.0, 1.2)])
def test_latency_counts_from_twenty_percent_and_a_millisecond_on(usual: float, rise: float) -> None:
    assert np.exp(latency_floor(usual)[1]) == pytest.approx(rise)


# From a history


def made(stages: Definition, counts: list[dict[str, StageCounts]], evidence: int = 1) -> Residuals:
    windows = [
        WindowCounts(ORIGIN_MS + i * SECOND, {s: {"1": c} for s, c in each.items()})
        for i, each in enumerate(counts)
    ]
    history = History(SECOND, windows)
    history.definition = stages
    found: Residuals = drain(collect(history, windows[-evidence].start_ms, windows[-1].start_ms))
    return found


def test_of_many_labels_each_is_judged_and_new_ones_too() -> None:
    stages = Definition((StageDefinition("model", predicts="label"),))
    usual = StageCounts(900, out=900, predictions=900, labels={"a": 500, "b": 300, "c": 100})
    odd = StageCounts(900, out=900, predictions=900, labels={"a": 500, "b": 300, "z": 100})
    series = made(stages, [{"model": usual}] * 30 + [{"model": odd}]).series[
        SeriesKey("model", "prediction_ratio")
    ]
    assert isinstance(series, Tied)
    assert [m.label for m in series.members] == ["a", "b", "c", "z"]
    assert series.choices == 4
    assert series.label in ("c", "z")
    assert abs(series.z() or 0) > 8


def test_of_two_labels_one_says_it_all() -> None:
    stages = Definition((StageDefinition("model", predicts="label"),))
    usual = StageCounts(900, out=900, predictions=900, labels={"no": 200, "yes": 700})
    series = made(stages, [{"model": usual}] * 31).series[SeriesKey("model", "prediction_ratio")]
    assert isinstance(series, Tied)
    assert [m.label for m in series.members] == ["yes"]


def test_a_generator_that_yields_many_has_a_level_instead_of_a_ratio() -> None:
    stages = Definition((StageDefinition("split"),))
    found = made(stages, [{"split": StageCounts(100, out=900)}] * 30 + [{"split": StageCounts(100, out=300)}])
    series = found.series[SeriesKey("split", "output_ratio")]
    assert isinstance(series, Level)
    assert series.factor == pytest.approx(1 / 3, abs=0.01)
    assert (series.z() or 0) < -8


def test_a_counter_without_a_ratio_is_judged_per_record() -> None:
    ratio = RatioDefinition("conversion", ("shop", "orders"), ("shop", "records"))
    stages = Definition((StageDefinition("shop"),), (ratio,))
    usual = StageCounts(100, out=100, counters={"orders": 10.0, "views": 250.0})
    odd = StageCounts(100, out=100, counters={"orders": 10.0, "views": 25.0})
    series = made(stages, [{"shop": usual}] * 30 + [{"shop": odd}]).series[SeriesKey("shop", "ratio")]
    assert isinstance(series, Tied)
    assert [m.label for m in series.members] == ["conversion", "views"]
    assert series.label == "views"
    assert (series.z() or 0) < -5


def test_a_baseline_leaves_incidents_partial_windows_and_a_gap_out() -> None:
    stages = Definition((StageDefinition("one"),))
    windows = [
        WindowCounts(ORIGIN_MS + i * SECOND, {"one": {"1": StageCounts(100, out=100)}}) for i in range(60)
    ]
    for i in (3, 4):
        windows[i].normal = False
    windows[5].whole = False
    history = History(SECOND, windows)
    history.definition = stages
    found = drain(collect(history, windows[-2].start_ms, windows[-1].start_ms))
    assert found.span.base.tolist() == [0, 1, 2, *range(6, 58 - 10)]
    assert (found.span.first, found.span.stop, found.span.windows) == (58, 60, 2)
    assert found.span.clean[2:6].tolist() == [True, False, False, True]
    assert len(found.evidence) == 2


def test_a_graph_orders_parents_before_children_and_survives_a_cycle() -> None:
    graph = Graph(
        Definition(
            (StageDefinition("c", ("b",)), StageDefinition("b", ("a", "gone")), StageDefinition("a", ("a",)))
        )
    )
    assert graph.stages == ["a", "b", "c"]
    assert graph.sources == ["a"]
    assert graph.ancestors["c"] == ["a", "b"]
    assert graph.descendants["a"] == ["b", "c"]
    assert graph.place("nowhere") == 3
    circle = Graph(Definition((StageDefinition("x", ("y",)), StageDefinition("y", ("x",)))))
    assert circle.stages == ["x", "y"]
    assert circle.parents == {"x": [], "y": ["x"]}


def spiky(at: dict[int, float], *, every: int = 30) -> Level:
    """Unit noise with a spike of 8 sigma now and then, and what was measured last."""
    rng = np.random.default_rng(11)
    x = rng.normal(0, 1, 103)
    x[10:100:every] += 8
    for window, value in at.items():
        x[window] = value
    span = Span(np.arange(100), 100, 103, np.ones(103, dtype=np.bool_))
    return Level(x, span, clip=100.0)


def test_one_window_counts_for_no_more_than_the_spikes_of_its_baseline() -> None:
    lone = spiky({100: 9.0, 101: 0.1, 102: -0.2}).z()
    assert lone is not None
    assert abs(lone) < 1.5
    steady = spiky({100: 9.0, 101: 8.0, 102: 8.5}).z()
    assert steady is not None
    assert steady > 8


def test_a_single_window_beyond_what_spikes_do_is_worth_their_rarity() -> None:
    level = spiky({100: 30.0})
    level.span.stop = 101
    z = level.z()
    assert z is not None
    assert log_evidence(z) == pytest.approx(-np.log(level.spikes))


def test_a_calm_baseline_knows_no_spikes_and_keeps_its_evidence() -> None:
    level = spiky({100: 9.0, 101: 8.0, 102: 8.5}, every=1000)
    assert level.spikes == pytest.approx(0.01)
    rng = np.random.default_rng(2)
    calm = Level(
        rng.normal(0, 1, 103), Span(np.arange(100), 100, 103, np.ones(103, dtype=np.bool_)), clip=100.0
    )
    assert calm.spikes == 0.0


def test_spikes_do_not_widen_the_scale_of_a_baseline() -> None:
    assert spiky({}).sd == pytest.approx(1.0, abs=0.2)


def test_a_ratio_leaves_out_a_lone_spike_too() -> None:
    rng = np.random.default_rng(4)
    n = np.full(103, 10_000.0)
    k = rng.binomial(10_000, 0.1, 103).astype(float)
    k[5:100:30] = 2_000
    span = Span(np.arange(100), 100, 103, np.ones(103, dtype=np.bool_))
    k[100:103] = 2_000, 1_010, 990
    lone = Ratio(k, n, span).z()
    k[100:103] = 2_000, 2_050, 1_990
    steady = Ratio(k, n, span).z()
    assert lone is not None
    assert steady is not None
    assert abs(lone) < 2
    assert steady > 8
