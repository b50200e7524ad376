"""The drift detector: clusters, small windows, floors, and what it takes for normal."""

from __future__ import annotations

import numpy as np
import pytest

from swirl.detector import Kind, Points
from swirl.sketch import Distribution
from swirl_detectors.drift import DriftBank, DriftDetector
from tests.detectors.streams import MINUTE, every, run

Sample = Distribution | dict[str, int] | None


def bank_of(series: int, detector: DriftDetector | None = None) -> DriftBank:
    bank = (detector or DriftDetector(warm_up=30)).build(Kind.DISTRIBUTION)
    bank.grow(series)
    bank.refresh(5e-6)
    return bank


def window(at: int, samples: list[Sample]) -> Points:
    nothing = np.zeros(len(samples))
    return Points(at * MINUTE, MINUTE, nothing, nothing, samples)


def numbers(rng: np.random.Generator, n: int, mean: float = 0.0, alike: int = 1) -> Distribution:
    seen = Distribution()
    seen.update(np.repeat(rng.normal(mean, 1, n // alike), alike))
    return seen


def labels(rng: np.random.Generator, n: int, shares: list[float]) -> dict[str, int]:
    return dict(zip("abcdef", rng.multinomial(n, shares).tolist(), strict=False))


def test_drift_of_numbers_and_of_labels_is_told_at_once() -> None:
    rng = np.random.default_rng(1)
    bank = bank_of(2)
    for t in range(60):
        healthy = window(t, [numbers(rng, 1000), labels(rng, 1000, [0.5, 0.3, 0.2])])
        assert not run(bank, [healthy], every(2))[0].alarm.any()
    scores = bank.score(every(2), window(60, [numbers(rng, 1000, 1.0), labels(rng, 1000, [0.2, 0.3, 0.5])]))
    assert scores.alarm.all()
    assert (scores.value > scores.high).all()
    assert (bank.z > 10).all()


@pytest.mark.parametrize("alike", [1, 3])
def test_rows_that_come_in_clusters_raise_no_alarm(alike: int) -> None:
    """Three rows alike make the null law reject far too often, so how far windows lie off is learnt."""
    rng = np.random.default_rng(2)
    bank = bank_of(10)
    deviates = []
    for t in range(200):
        healthy = window(t, [numbers(rng, 600, alike=alike) for _ in range(10)])
        assert not run(bank, [healthy], every(10))[0].alarm.any()
        deviates.append(bank.z.copy())
        if t % 60 == 59:
            bank.refresh(5e-6)
    share = float((np.array(deviates[60:]) > 1.645).mean())
    assert share < 0.08


def test_small_windows_wait_for_each_other() -> None:
    rng = np.random.default_rng(3)
    bank = bank_of(1, DriftDetector(warm_up=10, least_values=200, baseline_windows=2))
    measured = [
        not np.isnan(run(bank, [window(t, [numbers(rng, 45)])], every(1))[0].value[0]) for t in range(60)
    ]
    assert sum(measured) == 60 // 5 - 2
    assert measured.index(True) == 14


def test_a_small_but_certain_drift_is_below_the_floor() -> None:
    rng = np.random.default_rng(4)
    shares, nudged = [0.5, 0.3, 0.2], [0.53, 0.29, 0.18]
    strict, lax = bank_of(1, DriftDetector(floor=0.001)), bank_of(1, DriftDetector(floor=0.05))
    for bank in (strict, lax):
        run(bank, [window(t, [labels(rng, 50_000, shares)]) for t in range(100)], every(1))
    told = {"strict": 0, "lax": 0}
    for t in range(20):
        now = window(100 + t, [labels(rng, 50_000, nudged)])
        told["strict"] += int(strict.score(every(1), now).alarm.sum())
        scores = lax.score(every(1), now)
        told["lax"] += int(scores.alarm.sum())
        assert scores.evidence[0] < 1
    assert told["strict"] > 0
    assert told["lax"] == 0


def test_a_window_that_is_more_alike_than_chance_is_no_anomaly() -> None:
    rng = np.random.default_rng(5)
    bank = bank_of(1)
    run(bank, [window(t, [labels(rng, 1000, [0.5, 0.3, 0.2])]) for t in range(200)], every(1))
    same = [window(200 + t, [{"a": 5000, "b": 3000, "c": 2000}]) for t in range(100)]
    assert not any(bank.score(every(1), w).alarm[0] for w in same)


def test_a_series_that_changes_its_sort_is_not_measured() -> None:
    rng = np.random.default_rng(6)
    bank = bank_of(1)
    run(bank, [window(t, [numbers(rng, 500)]) for t in range(40)], every(1))
    assert np.isnan(bank.score(every(1), window(40, [{"a": 500}])).value).all()
    assert np.isnan(bank.z).all()


def test_many_labels_stay_within_the_memory_of_a_series() -> None:
    rng = np.random.default_rng(7)
    bank = bank_of(1)
    for t in range(60):
        many = {f"label {int(i)}": int(c) for i, c in enumerate(rng.integers(1, 20, 3000) + t)}
        run(bank, [window(t, [dict(sorted(many.items(), key=lambda kv: -kv[1]))])], every(1))
    assert len(str(bank.snapshot()["rows"])) < 32_000


def test_only_distributions_are_taken() -> None:
    with pytest.raises(ValueError, match="distributions"):
        DriftDetector().build(Kind.RATE)


def test_what_waits_for_more_values_does_not_change_with_the_window_that_it_came_from() -> None:
    rng = np.random.default_rng(8)
    bank = bank_of(1)
    few = numbers(rng, 50)
    run(bank, [window(0, [few])], every(1))
    before = bank.snapshot()
    few.merge(numbers(rng, 500))  # late records
    assert bank.snapshot() == before
