"""The conditional models that detection and diagnosis share."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from swirl.frame import Definition, StageDefinition
from swirl.history import History, StageCounts, WindowCounts
from swirl.residual import LEAST_WINDOWS, InputModel, LoadModel, between, fit_input, fit_load, outputs, total

SECOND = 1000


def chain(
    windows: int = 40,
    *,
    label: str = "",
    share: float = 1.0,
    late: float = 0.0,
    seed: int = 1,
    slope: float = 0.0,
) -> History:
    """Two stages; the second receives a share of what the first sends, some of it a window late."""
    rng = np.random.default_rng(seed)
    history = History(SECOND)
    history.definition = Definition((StageDefinition("a", predicts="label"), StageDefinition("b", ("a",))))
    before = None
    for i in range(windows):
        out = int(rng.poisson(10_000 * np.exp(rng.normal(0, 0.2))))
        yes = int(rng.binomial(out, rng.uniform(0.2, 0.6)))
        sent = yes if label else out
        arrived = (1 - late) * sent + late * (sent if before is None else before)
        before = sent
        latency = 0.01 * (out / 10_000) ** slope * float(np.exp(rng.normal(0, 0.02)))
        labels = {"yes": yes, "no": out - yes}
        a = StageCounts(out, out=out, predictions=out, labels=labels, latency=latency, latency_spread=0.5)
        b = StageCounts(round(arrived * share), out=round(arrived * share))
        history.append(WindowCounts(i * SECOND, {"a": {"1": a}, "b": {"1": b}}))
    return history


def fitted(history: History) -> InputModel:
    model = fit_input(history, "b")
    assert model is not None
    return model


def test_the_share_that_arrives_is_learnt() -> None:
    model = fitted(chain(share=0.3))
    assert model.parents == (("a", ""),)
    assert model.shares[0] == pytest.approx(0.3, abs=0.001)
    assert model.sd == 0.01
    assert model.usual == pytest.approx(3000, rel=0.1)


def test_a_stage_that_takes_one_label_is_recognised() -> None:
    model = fitted(chain(label="yes"))
    assert model.parents == (("a", "yes"),)
    assert model.shares[0] == pytest.approx(1, abs=0.001)


@pytest.mark.parametrize("late", [0.0, 0.3, 0.7])
def test_records_under_way_leave_no_residual(late: float) -> None:
    history = chain(late=late)
    model = fitted(history)
    found = [
        model.residual(now, before) for before, now in zip(history.windows, history.windows[1:], strict=False)
    ]
    assert max(abs(r[0]) for r in found if r is not None) < 0.05


def test_lost_records_leave_their_logarithm() -> None:
    history = chain()
    model = fitted(history)
    history.windows[-1].stages["b"]["1"].records //= 2
    now, before = history.windows[-1], history.windows[-1]
    found = model.residual(now, before)
    assert found is not None
    assert found[0] == pytest.approx(np.log(0.5), abs=0.01)
    assert found[1] == pytest.approx(0.01, abs=0.001)


def test_without_a_window_before_only_the_present_counts() -> None:
    history = chain()
    last = history.windows[-1]
    assert fitted(history).residual(last, None) == fitted(history).residual(last, last)


def test_thin_windows_are_less_certain() -> None:
    model = fitted(chain())
    sds = [model.judge(sent, sent, sent)[1] for sent in (10_000, 1000, 100, 10, 1)]
    assert sds == sorted(sds)
    assert sds[-1] > 0.4


def test_what_cannot_be_judged_is_none() -> None:
    history = chain()
    model = fitted(history)
    assert model.residual(WindowCounts(0), WindowCounts(0)) is None
    silent = history.windows[-1]
    silent.known, silent.heard = {"a": 1, "b": 1}, {"a": 0, "b": 1}
    assert model.residual(silent, history.windows[-2]) is None
    silent.heard = {"a": 1, "b": 1}
    assert model.residual(silent, history.windows[-2]) is not None


def test_sources_and_short_histories_have_no_model() -> None:
    assert fit_input(chain(), "a") is None
    assert fit_input(chain(), "nowhere") is None
    assert fit_input(History(SECOND), "b") is None
    assert fit_input(chain(LEAST_WINDOWS - 1), "b") is None
    assert fit_input(chain(LEAST_WINDOWS), "b") is not None


@pytest.mark.parametrize("mark", ["normal", "whole"])
def test_windows_of_incidents_and_partial_ones_teach_nothing(mark: str) -> None:
    history = chain()
    expected = fitted(chain(30))
    for window in history.windows[30:]:
        window.stages["b"]["1"].records *= 7
        setattr(window, mark, False)
    assert fitted(history).shares == expected.shares


def test_two_parents_are_told_apart() -> None:
    rng = np.random.default_rng(2)
    history = History(SECOND)
    history.definition = Definition(
        (StageDefinition("a"), StageDefinition("c"), StageDefinition("b", ("a", "c")))
    )
    for i in range(60):
        x, y = rng.integers(1000, 5000, 2)
        counts = {
            "a": StageCounts(out=int(x)),
            "c": StageCounts(out=int(y)),
            "b": StageCounts(int(x + y // 2)),
        }
        history.append(WindowCounts(i * SECOND, {s: {"": c} for s, c in counts.items()}))
    history.windows = [w for w in history.windows for _ in range(2)]
    model = fitted(history)
    assert model.parents == (("a", ""), ("c", ""))
    assert model.shares == pytest.approx((1.0, 0.5), abs=0.06)


def test_parents_that_move_together_share_evenly() -> None:
    history = History(SECOND)
    history.definition = Definition(
        (StageDefinition("a"), StageDefinition("c"), StageDefinition("b", ("a", "c")))
    )
    for i in range(40):
        counts = {"a": StageCounts(out=1000), "c": StageCounts(out=1000), "b": StageCounts(1000)}
        history.append(WindowCounts(i * SECOND, {s: {"": c} for s, c in counts.items()}))
    assert fitted(history).shares == pytest.approx((0.5, 0.5), abs=0.01)


def test_models_travel_as_messagepack() -> None:
    history = chain(slope=0.5)
    load = fit_load(history, "a")
    for model, kind in ((fitted(history), InputModel), (load, LoadModel)):
        assert (
            msgspec.convert(msgspec.msgpack.decode(msgspec.msgpack.encode(model)), kind, strict=False)
            == model
        )


# Load


def loaded(slope: float) -> tuple[History, LoadModel]:
    history = chain(60, slope=slope)
    model = fit_load(history, "a")
    assert model is not None
    return history, model


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_the_slope_of_latency_on_load_is_learnt(slope: float) -> None:
    history, model = loaded(slope)
    assert model.slope == pytest.approx(slope, abs=0.06)
    assert np.exp(model.centre) == pytest.approx(0.01, rel=0.02)
    found = [model.residual(w) for w in history.windows]
    assert np.mean([abs(r[0]) for r in found if r is not None]) < 0.05


def test_slower_at_the_same_load_is_a_residual() -> None:
    history, model = loaded(0.5)
    now = history.windows[-1]
    usual = model.residual(now)
    now.stages["a"]["1"].latency *= 2
    slower = model.residual(now)
    assert usual is not None
    assert slower is not None
    assert slower[0] - usual[0] == pytest.approx(np.log(2))


def test_load_beyond_history_widens_what_it_may_explain() -> None:
    _, model = loaded(0.5)
    usual, more, less = (model.usual * f for f in (1, 5, 0.2))
    assert model.widening(more, 1.0) > 1 > model.widening(usual, 1.0)
    # Less load explains that a stage is faster, hardly that it is slower.
    assert model.widening(less, 1.0) < model.widening(less, -1.0) < model.widening(more, 1.0)


def test_latency_that_was_not_measured_is_none() -> None:
    _, model = loaded(0.5)
    assert model.residual(WindowCounts(0)) is None
    assert model.residual(WindowCounts(0, {"a": {"1": StageCounts(10)}})) is None
    assert fit_load(chain(LEAST_WINDOWS - 1), "a") is None
    assert fit_load(chain(), "b") is None


# Versions


def test_versions_are_summed() -> None:
    old = StageCounts(30, 3, 1, 26, 26, {"x": 20, "y": 6}, 1, 30, 0.01, 0.2, {"c": 2.0}, {"r": 3}, {"E": 1})
    new = StageCounts(10, 0, 0, 10, 10, {"x": 1, "z": 9}, 0, 10, 0.04, 0.6, {"c": 1.0, "d": 5.0})
    both = total(WindowCounts(0, {"s": {"1": old, "2": new}}), "s")
    assert (both.records, both.invalid, both.errors, both.out, both.predictions) == (40, 3, 1, 36, 36)
    assert both.labels == {"x": 21, "y": 6, "z": 9}
    assert (both.nulls, both.values) == (1, 40)
    assert both.latency == pytest.approx(0.01 * 4**0.25)
    assert both.latency_spread == pytest.approx(0.3)
    assert both.counters == {"c": 3.0, "d": 5.0}
    assert (both.reasons, both.error_types) == ({"r": 3}, {"E": 1})
    assert total(WindowCounts(0), "s") == StageCounts()
    assert outputs(both) == {"": 36.0, "x": 21.0, "y": 6.0, "z": 9.0}


def test_a_version_that_was_not_timed_does_not_count_for_the_latency() -> None:
    timed, idle = StageCounts(10, latency=0.02, latency_spread=0.1), StageCounts(5)
    both = total(WindowCounts(0, {"s": {"1": timed, "2": idle}}), "s")
    assert both.latency == pytest.approx(0.02)
    assert total(WindowCounts(0, {"s": {"1": idle, "2": idle}}), "s").latency == 0.0


def test_a_count_between_two_forecasts_has_no_residual() -> None:
    assert between(95, 90, 100) == between(95, 100, 90) == 0
    assert between(80, 90, 100) == pytest.approx(np.log(80.5 / 90.5))
    assert between(120, 90, 100) == pytest.approx(np.log(120.5 / 100.5))
    assert between(0, 0, 0) == 0


@pytest.mark.parametrize("windows", [0, 1, 2, 4])
def test_records_that_take_whole_windows_are_recognised_and_judged_then(windows: int) -> None:
    history = chain(80)
    sent = [w.stages["a"]["1"].out for w in history.windows]
    for index, window in enumerate(history.windows):
        came = sent[max(index - windows, 0)]
        window.stages["b"]["1"] = StageCounts(came, out=came)
    model = fitted(history)
    assert model.late == windows
    assert model.shares[0] == pytest.approx(1.0, abs=0.01)
    now, before, *earlier = reversed(history.windows)
    found = model.residual(now, before, earlier)
    assert found is not None
    assert found[0] == pytest.approx(0.0, abs=0.01)
    # What was sent in the last two windows cannot have arrived yet where records take longer.
    for window in (now, before):
        window.stages["a"]["1"].out = 1
    after = model.residual(now, before, earlier)
    assert after is not None
    assert (abs(after[0]) < 0.01) is (windows > 0)


def test_without_earlier_windows_the_oldest_known_stands_for_them() -> None:
    model = InputModel("b", (("a", ""),), (1.0,), 0.05, 10_000.0, late=3)
    a, b = StageCounts(100, out=100), StageCounts(100)
    now = WindowCounts(0, {"a": {"1": a}, "b": {"1": b}})
    found = model.residual(now, None)
    assert found is not None
    assert found[0] == 0.0
