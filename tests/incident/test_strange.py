"""Strange histories: a diagnosis of nonsense may be modest, but it never raises and never says NaN."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest

from swirl.history import History, StageCounts, WindowCounts
from swirl.incident.diagnose import diagnose
from swirl.incident.text import tell
from swirl.residual import fit_input, fit_load
from tests.incident.pipelines import Rng
from tests.incident.simulator import Case, drain, simulate

NAN, INF = float("nan"), float("inf")


def spoil(part: StageCounts, rng: Rng) -> None:
    counts = ("records", "invalid", "errors", "out", "predictions", "nulls", "values")
    setattr(part, counts[int(rng.integers(7))], int(rng.choice([0, -5, 10**12, 1])))
    if rng.random() < 0.3:
        part.records = 10**300
    if rng.random() < 0.5:
        part.latency = float(rng.choice([0.0, -1.0, 1e300, NAN, INF, 1e-320]))
    if rng.random() < 0.5:
        part.latency_spread = float(rng.choice([0.0, -1.0, 1e300, NAN, INF]))
    part.labels = {k: int(rng.choice([-3, 10**15, 0, n])) for k, n in part.labels.items()}
    part.counters = {k: float(rng.choice([NAN, INF, -1.0, 1e300])) for k in part.counters}


def absurd(windows: list[WindowCounts], rng: Rng) -> None:
    for window in windows:
        for versions in window.stages.values():
            for part in versions.values():
                if rng.random() < 0.3:
                    spoil(part, rng)
        for stage in window.drift:
            window.drift[stage] = {"x": float(rng.choice([NAN, INF, 1e300, -1e300]))}
        if rng.random() < 0.2:
            window.known = {k: int(rng.choice([0, -1, 10**9])) for k in window.known}
            window.lag_ms = int(rng.choice([-5, 10**15, 0]))


def absurd_for_a_moment(windows: list[WindowCounts], rng: Rng) -> None:
    absurd(windows[100:103], rng)


def constant(windows: list[WindowCounts], rng: Rng) -> None:
    for window in windows:
        window.stages, window.drift = windows[0].stages, windows[0].drift


def mostly_empty(windows: list[WindowCounts], rng: Rng) -> None:
    for window in windows:
        if rng.random() < 0.7:
            window.stages = {}


def clock_back(windows: list[WindowCounts], rng: Rng) -> None:
    for window in windows:
        window.start_ms -= int(rng.integers(0, 10)) * 60_000 * (rng.random() < 0.1)


def abnormal(windows: list[WindowCounts], rng: Rng) -> None:
    for window in windows:
        window.normal = window.whole = False


Spoiler = Callable[[list[WindowCounts], Rng], None]


def told_of(case: Case, forecasts: dict[str, dict[int, tuple[float, float]]]) -> None:
    start = case.history.windows
    d = drain(diagnose(case.history, start[100].start_ms, start[102].start_ms, forecasts=forecasts))
    assert all(math.isfinite(p) for p in d.posterior.values())
    assert all(math.isfinite(z) for z in d.z.values())
    if d.residuals is not None:
        for named in (True, False):
            assert tell(d, "shop", case.history.window_ms, named=named).sentence
    for stage in case.stages:
        fit_input(case.history, stage.name)
        fit_load(case.history, stage.name)


@pytest.mark.parametrize(
    "spoiler", [absurd, absurd_for_a_moment, constant, mostly_empty, clock_back, abnormal]
)
def test_a_strange_history_neither_raises_nor_poisons(spoiler: Spoiler) -> None:
    rng = np.random.default_rng(17)
    for _ in range(4):
        case = simulate(rng)
        spoiler(case.history.windows, rng)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            told_of(case, {})


@pytest.mark.parametrize(
    "forecast", [(NAN, 1.0), (100.0, NAN), (-5.0, 1.0), (1e300, 1.0), (1e-300, 1e300), (0.0, 0.0)]
)
def test_a_strange_forecast_neither_raises_nor_poisons(forecast: tuple[float, float]) -> None:
    case = simulate(np.random.default_rng(3), "source_throttled")
    given = {s.name: {case.start(t): forecast for t in range(95, 110)} for s in case.stages}
    told_of(case, given)


@pytest.mark.parametrize("error", [RuntimeError("too many iterations"), ValueError("infs or NaNs")])
def test_shares_that_cannot_be_solved_give_no_model(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    case = next(c for c in iter(lambda: simulate(rng), None) if any(len(s.parents) > 1 for s in c.stages))
    stage = next(s.name for s in case.stages if len(s.parents) > 1)
    assert fit_input(case.history, stage) is not None

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("swirl.residual.shares.nnls", fails)
    assert fit_input(case.history, stage) is None
    d = drain(diagnose(case.history, case.start(100), case.start(102)))
    assert all(k.stage != stage for k in d.z if k.metric == "input_ratio")


def test_a_history_of_one_window_knows_nothing() -> None:
    case = simulate(np.random.default_rng(4))
    history = History(60_000, case.history.windows[100:101])
    history.definition = case.history.definition
    start = history.windows[0].start_ms
    assert drain(diagnose(history, start, start)).benign > 0.5
