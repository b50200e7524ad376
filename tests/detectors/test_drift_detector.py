"""The drift detector: clusters, small windows, floors, and what it takes for normal."""

from __future__ import annotations

import numpy as np
import pytest

from swirl.detector import Kind, Points
from swirl.errors import SnapshotError
from swirl.sketch import Distribution
from swirl_detectors.drift import FLOORS, DriftBank, DriftDetector
from tests.detectors.streams import MINUTE, differing, every, run

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
    strict, lax = (bank_of(1, DriftDetector(floor=floor, statistic="psi")) for floor in (0.001, 0.05))
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


def told(bank: DriftBank, at: int, sample: Sample) -> bool:
    return bool(run(bank, [window(at, [sample])], every(1))[0].alarm[0])


@pytest.mark.parametrize("statistic", sorted(FLOORS))
def test_every_statistic_tells_drift_of_numbers_and_is_silent_without(statistic: str) -> None:
    rng = np.random.default_rng(9)
    bank = bank_of(1, DriftDetector(warm_up=30, statistic=statistic))
    assert not any(told(bank, t, numbers(rng, 1000)) for t in range(60))
    assert told(bank, 60, numbers(rng, 1000, 1.0)) or told(bank, 61, numbers(rng, 1000, 1.0))


@pytest.mark.parametrize("statistic", ["ks", "wasserstein", "psi"])
def test_a_constant_that_becomes_another_is_drift(statistic: str) -> None:
    bank = bank_of(1, DriftDetector(warm_up=30, statistic=statistic))
    three, five = Distribution(), Distribution()
    three.update(np.full(500, 3.0))
    five.update(np.full(500, 5.0))
    assert not any(told(bank, t, three) for t in range(60))
    assert told(bank, 60, five)


def test_an_unknown_statistic_or_floor_is_refused() -> None:
    with pytest.raises(ValueError, match="no drift statistic 'hellinger'"):
        DriftDetector(statistic="hellinger")
    for floor in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="floor"):
            DriftDetector(floor=floor)
    with pytest.raises(ValueError, match="at least one window"):
        DriftDetector(baseline_windows=0)


def test_a_snapshot_of_another_statistic_is_refused() -> None:
    data = bank_of(1, DriftDetector(statistic="psi")).snapshot()
    with pytest.raises(SnapshotError, match="statistic psi, not ks"):
        DriftDetector().build(Kind.DISTRIBUTION, data)


def test_what_moved_names_new_labels_then_vanished_ones_then_the_largest() -> None:
    bank = bank_of(1, DriftDetector(baseline_windows=1))
    run(bank, [window(0, [{"a": 500, "b": 300, "c": 200}])], every(1))
    bank.score(every(1), window(1, [{"a": 300, "b": 600, "d": 90, "e": 1, "(other)": 9}]))
    assert bank.moved(0) == [
        ("d", 0.0, 0.09),
        ("(other)", 0.0, 0.009),
        ("c", 0.2, 0.0),
        ("b", 0.3, 0.6),
        ("a", 0.5, 0.3),
    ]


def test_a_new_label_stays_new_while_its_fault_lasts_in_a_baseline_that_is_still_learnt() -> None:
    rng = np.random.default_rng(10)
    bank = bank_of(1)
    run(bank, [window(t, [labels(rng, 400, [0.6, 0.4])]) for t in range(40)], every(1))
    for t in range(40, 44):
        bank.score(every(1), window(t, [{"a": 180, "b": 120, "new": 100}]))
        assert bank.moved(0)[0] == ("new", 0.0, 0.25)
        bank.learn(every(1), window(t, [None]))


def test_what_moved_is_asked_in_vain_of_what_was_not_judged() -> None:
    bank = bank_of(2)
    assert bank.moved(0) == []
    run(bank, [window(0, [{"a": 500}, None])], every(2))
    assert bank.moved(0) == bank.moved(1) == []


def test_a_baseline_that_holds_enough_takes_no_slow_poison() -> None:
    """One percent a day is never odd beside yesterday; beside the first day it is."""
    rng = np.random.default_rng(11)
    told_on = {}
    for name, settled_ms in (("settled", 100 * MINUTE), ("always learnt", 1 << 60)):
        bank = bank_of(1, DriftDetector(warm_up=30, settled_ms=settled_ms))
        told_on[name] = [
            t
            for t in range(1500)
            if told(bank, t, labels(rng, 1000, [0.6 - 0.2 * t / 1500, 0.4 + 0.2 * t / 1500]))
        ]
    assert told_on["settled"]
    assert not told_on["always learnt"]


def test_a_given_baseline_is_judged_by_from_the_first_window_on() -> None:
    rng = np.random.default_rng(12)
    bank = bank_of(2)
    training = Distribution(200)
    training.update(rng.normal(0, 1, 20_000))
    bank.refer(0, training)
    bank.refer(1, {"a": 6_000, "b": 4_000})
    found = np.zeros(2, dtype=bool)
    for t in range(3):
        found |= run(bank, [window(t, [numbers(rng, 1000, 1.0), labels(rng, 1000, [0.2, 0.8])])], every(2))[
            0
        ].alarm
    assert found.all()


@pytest.mark.parametrize("alike", [1, 3, 10])
def test_a_given_baseline_that_fits_raises_no_alarm_however_rows_cluster(alike: int) -> None:
    rng = np.random.default_rng(13)
    bank = bank_of(30)
    for row in range(30):
        bank.refer(row, labels(rng, 20_000, [0.5, 0.3, 0.2]))
    for t in range(60):
        seen: list[Sample] = [
            {name: n * alike for name, n in labels(rng, 1000 // alike, [0.5, 0.3, 0.2]).items()}
            for _ in range(30)
        ]
        assert not run(bank, [window(t, seen)], every(30))[0].alarm.any()


def test_a_given_baseline_stays_until_it_is_released_for_a_new_one() -> None:
    bank = bank_of(1)
    bank.refer(0, {"a": 600, "b": 400})
    bank.refer(0, {"a": 600, "b": 400})
    with pytest.raises(ValueError, match="has a given baseline"):
        bank.refer(0, {"a": 500, "b": 500})
    with pytest.raises(ValueError, match="at least one value"):
        bank.refer(0, {})
    resumed = DriftDetector(warm_up=30).build(Kind.DISTRIBUTION, bank.snapshot())
    with pytest.raises(ValueError, match="has a given baseline"):
        resumed.refer(0, {"a": 500, "b": 500})
    bank.release(every(1), adopt=True)
    bank.refer(0, {"a": 500, "b": 500})
    assert bank.score(every(1), window(0, [{"a": 500, "b": 500}])).value[0] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("statistic", sorted(FLOORS))
def test_given_and_settled_baselines_resume_bit_for_bit(statistic: str) -> None:
    rng = np.random.default_rng(14)
    detector = DriftDetector(warm_up=10, statistic=statistic, settled_ms=50 * MINUTE, settled_values=5_000)
    bank = bank_of(3, detector)
    bank.refer(2, {"a": 600, "b": 400})
    draw: list[list[Sample]] = [
        [numbers(rng, 300), labels(rng, 300, [0.6, 0.4]), labels(rng, 300, [0.6, 0.4])] for _ in range(120)
    ]
    run(bank, [window(t, list(seen)) for t, seen in enumerate(draw[:80])], every(3))
    other = detector.build(Kind.DISTRIBUTION, bank.snapshot())
    for t, seen in enumerate(draw[80:], 80):
        assert not differing(
            run(bank, [window(t, list(seen))], every(3))[0], run(other, [window(t, list(seen))], every(3))[0]
        )
    assert bank.snapshot() == other.snapshot()


def test_an_alarm_that_was_chance_makes_the_next_one_harder() -> None:
    bank = bank_of(1)
    bank.refer(0, {"a": 6_000, "b": 4_000})
    far: Sample = {"a": 100, "b": 900}
    before = bank.score(every(1), window(0, [far]))
    assert before.alarm[0]
    bank.hold(every(1))
    bank.release(every(1), chance=True)
    assert bank.score(every(1), window(1, [far])).evidence[0] < before.evidence[0]


def test_nonsense_counts_poison_nothing() -> None:
    rng = np.random.default_rng(15)
    bank = bank_of(1)
    run(bank, [window(t, [labels(rng, 400, [0.6, 0.4])]) for t in range(40)], every(1))
    before = bank.snapshot()["rows"]
    for bad in ({"a": -500}, {"a": 0}, {}, Distribution()):
        assert np.isnan(run(bank, [window(40, [bad])], every(1))[0].value[0])
    assert bank.snapshot()["rows"] == before
