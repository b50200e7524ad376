"""The newest version against the others within a window."""

from __future__ import annotations

import math

import numpy as np
import pytest

from swirl.contrast import LEAST_RECORDS, mantel_haenszel, newest_version, version_contrasts
from swirl.frame import Definition, RatioDefinition, StageDefinition
from swirl.history import StageCounts, WindowCounts

STAGES = Definition(
    (StageDefinition("classify"),), (RatioDefinition("clicks", ("classify", "clicks"), ("classify", "out")),)
)


def counts(n: int, rng: np.random.Generator, **share: float) -> StageCounts:
    invalid = int(rng.binomial(n, share.get("invalid", 0.01)))
    errors = int(rng.binomial(n - invalid, share.get("errors", 0.01)))
    handled = n - invalid - errors
    yes = int(rng.binomial(handled, share.get("yes", 0.8)))
    return StageCounts(
        n,
        invalid,
        errors,
        int(rng.binomial(handled, share.get("out", 0.9))),
        handled,
        {"yes": yes, "no": handled - yes},
        latency=share.get("latency", 0.01) * float(np.exp(rng.normal(0, 0.3 / n**0.5))),
        latency_spread=0.3,
        counters={"clicks": float(rng.poisson(handled * share.get("clicks", 0.1)))},
    )


def contrasts(old: StageCounts, new: StageCounts) -> dict[tuple[str, str], float]:
    now = WindowCounts(0, {"classify": {"old": old, "new": new}})
    return {(c.metric, c.label): c.z for c in version_contrasts(now, STAGES, [_only("old", old)])}


def _only(version: str, part: StageCounts) -> WindowCounts:
    return WindowCounts(0, {"classify": {version: part}})


@pytest.mark.parametrize("n", [60, 1000, 50_000])
def test_versions_that_are_alike_differ_by_a_standard_normal(n: int) -> None:
    rng = np.random.default_rng(n)
    z: dict[tuple[str, str], list[float]] = {}
    for _ in range(600):
        for key, value in contrasts(counts(19 * n, rng), counts(n, rng)).items():
            z.setdefault(key, []).append(value)
    assert set(z) == {
        ("invalid_ratio", ""),
        ("error_ratio", ""),
        ("output_ratio", ""),
        ("prediction_ratio", "no"),
        ("prediction_ratio", "yes"),
        ("ratio", "clicks"),
        ("latency_p50", ""),
    }
    for key, values in z.items():
        assert np.std(values) < 1.15, key
        assert np.mean(np.abs(values) > 3) < 0.01, key


@pytest.mark.parametrize(
    ("share", "key", "sign"),
    [
        ({"invalid": 0.06}, ("invalid_ratio", ""), 1),
        ({"errors": 0.06}, ("error_ratio", ""), 1),
        ({"out": 0.7}, ("output_ratio", ""), -1),
        ({"yes": 0.6}, ("prediction_ratio", "yes"), -1),
        ({"yes": 0.6}, ("prediction_ratio", "no"), 1),
        ({"clicks": 0.03}, ("ratio", "clicks"), -1),
        ({"latency": 0.02}, ("latency_p50", ""), 1),
    ],
)
def test_a_canary_of_five_percent_is_seen_in_one_window(
    share: dict[str, float], key: tuple[str, str], sign: int
) -> None:
    rng = np.random.default_rng(3)
    assert contrasts(counts(19_000, rng), counts(1_000, rng, **share))[key] * sign > 5


def test_one_version_has_nothing_to_be_compared_with() -> None:
    part = counts(1000, np.random.default_rng(1))
    assert version_contrasts(_only("old", part), STAGES) == []
    assert version_contrasts(WindowCounts(0), STAGES) == []


def test_too_few_records_of_either_version_say_nothing() -> None:
    rng = np.random.default_rng(1)
    thin = contrasts(counts(10_000, rng), counts(LEAST_RECORDS - 1, rng, yes=0.0))
    assert thin == {}


def test_the_newest_version_is_the_one_that_came_last_even_when_it_has_taken_over() -> None:
    old, new = StageCounts(10), StageCounts(990)
    before = [{"a": old}, {"a": old, "b": new}]
    assert newest_version({"a": old, "b": new}, before) == "b"
    assert newest_version({"a": new, "b": old}, before) == "b"
    assert newest_version({"a": new, "b": old, "c": old}, before) == "c"


def test_of_several_versions_the_newest_stands_against_all_others() -> None:
    rng = np.random.default_rng(2)
    old, older, new = counts(9000, rng), counts(9000, rng), counts(1000, rng, yes=0.5)
    now = WindowCounts(0, {"classify": {"1": older, "2": old, "3": new}})
    found = {(c.metric, c.label): c.z for c in version_contrasts(now, STAGES)}
    assert found["prediction_ratio", "yes"] < -10


def test_of_many_versions_only_those_with_the_most_records_are_compared() -> None:
    rng = np.random.default_rng(3)
    versions = {f"{i}": counts(1000 + i, rng) for i in range(7)} | {"new": counts(900, rng, yes=0.5)}
    many = {f"{i}": StageCounts(40, predictions=40, labels={"yes": i % 41}) for i in range(10, 6_000)}
    few = version_contrasts(WindowCounts(0, {"classify": versions}), STAGES)
    assert any(c.label == "yes" and c.z < -10 for c in few)
    assert version_contrasts(WindowCounts(0, {"classify": many | versions}), STAGES) == few


def test_a_change_of_one_percent_of_the_odds_is_never_significant_however_many_records() -> None:
    k, n = np.array([[8.00e11], [8.01e11]]), np.array([[1e12], [1e12]])
    found = mantel_haenszel(k, n)
    assert found is not None
    assert abs(found[0]) < 2


def test_strange_counts_give_finite_sigmas_or_none() -> None:
    strange = [
        StageCounts(100, labels={"yes": 10**300}, predictions=100, counters={"clicks": 1e300}),
        StageCounts(100, latency=1e-300, counters={"clicks": -1.0}),
        StageCounts(100, latency=1e300, counters={"clicks": math.nan}),
        StageCounts(100, out=10**6, counters={"clicks": math.inf}),
        StageCounts(100, invalid=200, errors=5, predictions=-7),
    ]
    for new in strange:
        for old in [*strange, counts(1000, np.random.default_rng(1))]:
            assert all(math.isfinite(z) for z in contrasts(old, new).values())
