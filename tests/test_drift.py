"""Drift statistics keep to their null laws, and see drift."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import datasketches
import numpy as np
import pytest
from scipy import stats

from swirl import drift, null_law
from swirl.cumulative import Curve
from swirl.sketch import Distribution

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Draw = Callable[[np.random.Generator, int], NDArray[Any]]

COMPARE: dict[str, Callable[[Any, Any], drift.Comparison]] = {
    "psi": drift.psi,
    "jensen_shannon": drift.jensen_shannon,
    "chi_square": drift.chi_square,
    "kolmogorov_smirnov": drift.kolmogorov_smirnov,
    "wasserstein": drift.wasserstein,
}
LAWS: dict[str, Draw] = {
    "normal": lambda r, n: r.normal(size=n),
    "log-normal": lambda r, n: r.lognormal(size=n),
    "on a grid": lambda r, n: np.round(r.normal(size=n), 1),
    "two values": lambda r, n: (r.random(n) < 0.3) * 1.0,
}
SHARES = [0.3, 0.2, 0.2, 0.1, 0.1, 0.05, 0.04, 0.01]


def digest(values: NDArray[Any], k: int = 100) -> Distribution:
    seen = Distribution(k)
    seen.update(values)
    return seen


def merged(values: NDArray[Any]) -> Distribution:
    baseline = Distribution(200)
    for piece in np.array_split(values, 5):
        baseline.merge(digest(piece))
    return baseline


def labels(rng: np.random.Generator, n: int, shares: list[float] = SHARES) -> dict[str, int]:
    return dict(zip("abcdefgh", rng.multinomial(n, shares).tolist(), strict=False))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("n", "m"), [(50_000, 300), (20_000, 2_000)])
def test_digests_without_drift_are_rejected_about_as_often_as_promised(law: str, n: int, m: int) -> None:
    rng = np.random.default_rng(1)
    rejected = dict.fromkeys(COMPARE, 0)
    for _ in range(50):
        a, b = merged(LAWS[law](rng, n)), digest(LAWS[law](rng, m))
        for name, compare in COMPARE.items():
            rejected[name] += compare(a, b).p_value < 0.05
    assert max(rejected.values()) <= 8, rejected


@pytest.mark.parametrize("name", ["psi", "jensen_shannon", "chi_square"])
@pytest.mark.parametrize("m", [100, 2_000])
def test_labels_without_drift_are_rejected_as_often_as_promised(name: str, m: int) -> None:
    rng = np.random.default_rng(2)
    found = [COMPARE[name](labels(rng, 20_000), labels(rng, m)).p_value < 0.05 for _ in range(600)]
    assert 0.025 <= np.mean(found) <= 0.085


@pytest.mark.parametrize("name", COMPARE)
def test_a_shift_of_half_a_deviation_is_seen(name: str) -> None:
    rng = np.random.default_rng(3)
    found = COMPARE[name](merged(rng.normal(size=20_000)), digest(rng.normal(0.5, 1, 500)))
    assert found.p_value < 1e-6
    assert found.z > 5


@pytest.mark.parametrize("name", COMPARE)
def test_nothing_compares_as_the_same(name: str) -> None:
    same = COMPARE[name](Distribution(), digest(np.arange(9.0)))
    assert (same.statistic, same.p_value, same.z) == (0.0, 1.0, 0.0)
    constant = COMPARE[name](digest(np.full(500, 3.0)), digest(np.full(500, 3.0)))
    assert constant.p_value == pytest.approx(1.0)


def test_clusters_widen_the_null_law() -> None:
    a, b = {"a": 8000, "b": 2000}, {"a": 75, "b": 25}
    for compare in (drift.psi, drift.jensen_shannon):
        assert compare(a, b, cluster=3).p_value > compare(a, b).p_value
        assert compare(a, b, cluster=3).statistic == compare(a, b).statistic
    assert drift.chi_square(a, b, cluster=3).p_value > drift.chi_square(a, b).p_value
    assert drift.chi_square(a, b, cluster=3).statistic == pytest.approx(drift.chi_square(a, b).statistic / 3)


@pytest.mark.parametrize("n", [300, 2_000, 50_000])
@pytest.mark.parametrize("name", COMPARE)
def test_counts_of_few_values_are_rejected_no_more_often_than_promised(name: str, n: int) -> None:
    rng = np.random.default_rng(6)
    draws = [(merged(rng.poisson(3, 200_000) * 1.0), digest(rng.poisson(3, n) * 1.0)) for _ in range(30)]
    assert sum(COMPARE[name](a, b).p_value < 0.05 for a, b in draws) <= 5


def test_chi_square_agrees_with_scipy_on_a_contingency_table() -> None:
    a, b = {"x": 400, "y": 350, "z": 250}, {"x": 90, "y": 60, "z": 50}
    known = stats.chi2_contingency([[400, 350, 250], [90, 60, 50]], correction=False)
    assert drift.chi_square(a, b).statistic == pytest.approx(known.statistic)
    assert drift.chi_square(a, b).p_value == pytest.approx(known.pvalue)


def test_kolmogorov_smirnov_and_wasserstein_agree_with_scipy_on_the_values() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=5000), rng.normal(0.3, 1.2, 2000)
    a, b = digest(x, 200), digest(y, 200)
    assert drift.kolmogorov_smirnov(a, b).statistic == pytest.approx(stats.ks_2samp(x, y).statistic, abs=0.01)
    assert drift.wasserstein(a, b).statistic == pytest.approx(
        stats.wasserstein_distance(x, y) / x.std(), rel=0.03
    )


def test_kolmogorov_smirnov_is_exact_where_values_repeat() -> None:
    rng = np.random.default_rng(7)
    x, y = rng.poisson(3, 20_000), rng.poisson(3.2, 500)
    found = drift.kolmogorov_smirnov(merged(x * 1.0), digest(y * 1.0))
    assert found.statistic == pytest.approx(stats.ks_2samp(x, y).statistic, abs=1e-9)


@pytest.mark.parametrize("freedom", [1, 3, 9, 50])
def test_the_chi_square_deviate_is_near_the_exact_one(freedom: int) -> None:
    for p in (0.5, 0.05, 1e-3):
        exact = stats.norm.isf(p)
        assert null_law.chi_square_deviate(stats.chi2.isf(p, freedom), freedom) == pytest.approx(
            exact, abs=0.06
        )


def test_edges_never_lie_on_a_value_that_is_common() -> None:
    rng = np.random.default_rng(5)
    edges = drift.cell_edges(merged(rng.integers(0, 5, 20_000) * 1.0))
    assert len(edges) == 4
    assert np.abs(np.array(edges) - np.round(edges)).min() > 0.1


def test_a_new_label_of_some_weight_is_drift_and_no_impossibility() -> None:
    found = drift.chi_square({"a": 900, "b": 100}, {"a": 80, "b": 10, "new": 10})
    assert 0 < found.p_value < 1e-4
    assert drift.chi_square({"a": 900, "b": 100}, {"a": 90, "b": 9, "new": 1}).p_value > 0.01


def test_numbers_and_labels_are_not_compared() -> None:
    with pytest.raises(TypeError, match="numbers and labels"):
        drift.psi(digest(np.arange(9.0)), {"a": 1})


def test_ties_are_told_apart_in_digests_of_those_who_count_nothing_one_by_one() -> None:
    rng = np.random.default_rng(8)
    values = rng.poisson(3, 100_000).astype(np.float32)
    foreign = datasketches.tdigest_float(100)
    for part in np.array_split(values, 30):
        one = datasketches.tdigest_float(100)
        one.update(part)
        foreign.merge(one)
    seen = Distribution.decode(len(values), float(values.sum()), foreign.serialize())
    assert not seen.exact
    points = np.array([0.5, 1.5, 2.5, 3.5, 4.5, 5.5])
    expected = [(values <= point).mean() for point in points]
    assert Curve(seen).at(points) == pytest.approx(expected, abs=2e-4)


LAWS_OF_CHANCE = [
    null_law.ChiSquareLaw(1.0),
    null_law.ChiSquareLaw(9.0),
    null_law.KolmogorovLaw(),
    null_law.KolmogorovLaw(0.3),
    null_law.GammaLaw(3.0, 0.2),
]


@pytest.mark.parametrize("law", LAWS_OF_CHANCE, ids=str)
def test_a_law_of_chance_turns_distances_to_deviates_and_back(law: null_law.Law) -> None:
    for deviate in (-1.0, 0.0, 2.0, 5.0, 30.0):
        distance = law.distance(deviate)
        assert law.deviate(distance) == pytest.approx(deviate, abs=1e-6)
        if deviate == 2.0:
            assert law.p_value(distance) == pytest.approx(stats.norm.sf(2.0), rel=0.06)
    for extreme in (0.0, 1e-300, 1e300):
        assert np.isfinite(law.deviate(extreme))


ALONG = {
    "uniform": np.linspace(0.005, 0.995, 100),
    "normal": stats.norm.ppf(np.linspace(0.005, 0.995, 100)),
    "log-normal": stats.lognorm.ppf(np.linspace(0.005, 0.995, 100), 1.0),
}


def areas(ranks: NDArray[Any], steps: NDArray[Any], draws: int = 30_000) -> NDArray[Any]:
    """Under as many Brownian bridges, looked at in points of some ranks."""
    lengths = np.sqrt(np.diff(ranks, prepend=0.0, append=1.0))
    walks = np.cumsum(np.random.default_rng(9).normal(size=(draws, len(lengths))) * lengths, axis=1)
    bridges = walks[:, :-1] - walks[:, -1:] * ranks
    return np.asarray((np.abs(bridges) * steps).sum(axis=1))


@pytest.mark.parametrize("law", ALONG)
def test_areas_under_bridges_are_as_rare_as_their_law_says(law: str) -> None:
    ranks = np.linspace(0.005, 0.995, 100)
    steps = np.gradient(ALONG[law])
    known, seen = drift.area_law(ranks, steps), areas(ranks, steps)
    for p in (0.05, 0.01):
        limit = np.sqrt(known.distance(float(stats.norm.isf(p))))
        assert 0.8 < (seen > limit).mean() / p < 1.25, p
    deviates = np.array([known.deviate(area * area) for area in seen[:5000]])
    assert abs(stats.skew(deviates)) < 0.3


def test_the_area_between_two_values_is_not_rejected_too_often() -> None:
    ranks = np.array([0.7])
    known = drift.area_law(ranks, np.ones(1))
    seen = areas(ranks, np.ones(1))
    for p in (0.05, 0.01):
        assert (seen > np.sqrt(known.distance(float(stats.norm.isf(p))))).mean() < 1.2 * p


def test_the_freedom_of_an_area_is_that_of_its_square() -> None:
    ranks = np.linspace(0.005, 0.995, 100)
    steps = np.gradient(ALONG["normal"])
    squares = areas(ranks, steps) ** 2
    known = drift.area_law(ranks, steps)
    assert known.mean == pytest.approx(squares.mean(), rel=0.03)
    assert known.freedom == pytest.approx(2 * squares.mean() ** 2 / squares.var(), rel=0.1)


def test_the_evidence_of_a_ratio_is_that_of_the_f_law() -> None:
    assert null_law.ratio_evidence(4.0, 9.0, 30.0) == pytest.approx(-np.log(stats.f.sf(4.0, 9, 30)))
    assert null_law.ratio_limit(10.0, 9.0, 30.0) == pytest.approx(stats.f.isf(np.exp(-10.0), 9, 30))
    assert null_law.ratio_evidence(1e300, 9.0, 30.0) < 1e3
