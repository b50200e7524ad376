"""The cardinality detector: identifiers that leak, joins that multiply, vocabularies that collapse."""

from __future__ import annotations

import numpy as np
import pytest

from swirl.detector import Kind, Points
from swirl.errors import SnapshotError
from swirl.sketch import Categories, Distribution
from swirl_detectors.cardinality import CardinalityBank, CardinalityDetector, distinct, expected_distinct
from tests.detectors.streams import MINUTE, differing, every, run

Sample = Distribution | dict[str, int] | None
SHARES = 1 / np.arange(1, 61) ** 1.2
SHARES /= SHARES.sum()


def bank_of(series: int = 1) -> CardinalityBank:
    bank = CardinalityDetector(warm_up=30).build(Kind.DISTRIBUTION)
    bank.grow(series)
    bank.refresh(5e-6)
    return bank


def window(at: int, samples: list[Sample]) -> Points:
    nothing = np.zeros(len(samples))
    return Points(at * MINUTE, MINUTE, nothing, nothing, samples)


def shops(rng: np.random.Generator, n: int) -> dict[str, int]:
    return {f"shop {i}": int(k) for i, k in enumerate(rng.multinomial(n, SHARES)) if k}


def capped(labels: list[str]) -> dict[str, int]:
    kept = Categories(50)
    kept.add((label, 1) for label in labels)
    return kept.counts


def healthy(bank: CardinalityBank, rng: np.random.Generator, windows: int = 90) -> None:
    for t in range(windows):
        assert not run(bank, [window(t, [shops(rng, int(rng.integers(200, 800)))])], every(1))[0].alarm.any()


@pytest.mark.parametrize("n", [50, 300, 2_000])
def test_as_many_labels_are_expected_as_there_are(n: int) -> None:
    rng = np.random.default_rng(1)
    mean, variance = expected_distinct(shops(rng, 50_000), n)
    found = [distinct(shops(rng, n)) for _ in range(400)]
    assert np.mean(found) == pytest.approx(mean, abs=0.6)
    assert np.var(found) == pytest.approx(variance, rel=0.35, abs=0.2)


def test_labels_that_were_never_seen_are_expected_too() -> None:
    rng = np.random.default_rng(2)
    words = [f"w{i}" for i in rng.zipf(1.6, 4_000)]
    counts: dict[str, int] = {}
    for word in words[:3_000]:
        counts[word] = counts.get(word, 0) + 1
    mean, _ = expected_distinct(counts, 300)
    assert mean == pytest.approx(len(set(words[3_000:3_300])), rel=0.2)


def told_within(bank: CardinalityBank, windows: int, sample: Sample) -> list[float]:
    """Value, low and high at the alarm; empty if there is none."""
    for t in range(90, 90 + windows):
        scores = bank.score(every(1), window(t, [sample]))
        if scores.alarm[0]:
            return [float(scores.value[0]), float(scores.low[0]), float(scores.high[0])]
    return []


def test_an_identifier_that_leaks_into_a_category_is_told_within_two_windows() -> None:
    rng = np.random.default_rng(3)
    bank = bank_of()
    healthy(bank, rng)
    value, _, high = told_within(bank, 2, capped([f"order {i}" for i in range(500)]))
    assert value == pytest.approx(500)
    assert value > high


def test_a_vocabulary_that_collapses_is_told_within_three_windows() -> None:
    rng = np.random.default_rng(4)
    bank = bank_of()
    healthy(bank, rng)
    value, low, _ = told_within(bank, 3, {"shop 0": 300, "shop 1": 200})
    assert value < low


def test_a_join_that_multiplies_records_is_told_where_labels_were_identifiers() -> None:
    bank = bank_of()
    for t in range(90):
        once = capped([f"order {t} {i}" for i in range(300)])
        assert not run(bank, [window(t, [once])], every(1))[0].alarm.any()
    twice = capped([f"order {i // 3}" for i in range(300)])
    assert told_within(bank, 3, twice)


def test_a_few_labels_more_are_told_to_nobody() -> None:
    rng = np.random.default_rng(5)
    bank = bank_of()
    for t in range(90):
        run(bank, [window(t, [{"a": 300, "b": int(rng.integers(100, 200))}])], every(1))
    scores = bank.score(every(1), window(90, [{"a": 300, "b": 150, "c": 20, "d": 20}]))
    assert not scores.alarm[0]
    assert scores.evidence[0] < 1


def test_numbers_and_nothing_are_not_measured() -> None:
    bank = bank_of(2)
    seen = Distribution()
    seen.update([1.0, 2.0])
    for t in range(10):
        scores = run(bank, [window(t, [seen, {"a": -5}])], every(2))[0]
        assert np.isnan(scores.value).all()
        assert not scores.evidence.any()


def test_it_resumes_bit_for_bit_and_stays_within_its_memory() -> None:
    rng = np.random.default_rng(6)
    bank = bank_of()
    for t in range(80):
        run(bank, [window(t, [capped([f"id {i}" for i in rng.integers(0, 9**9, 400)])])], every(1))
    other = CardinalityDetector(warm_up=30).build(Kind.DISTRIBUTION, bank.snapshot())
    for t in range(80, 120):
        now = window(t, [shops(rng, 400)])
        assert not differing(run(bank, [now], every(1))[0], run(other, [now], every(1))[0])
    assert bank.snapshot() == other.snapshot()
    assert len(str(bank.snapshot()["rows"])) < 32_000


def test_an_incident_teaches_nothing_and_a_new_normal_everything() -> None:
    rng = np.random.default_rng(7)
    bank = bank_of()
    healthy(bank, rng)
    few: Sample = {"shop 0": 300, "shop 1": 200}
    bank.hold(every(1))
    assert any(bank.score(every(1), window(90 + t, [few])).loud[0] for t in range(10))
    bank.release(every(1), adopt=True)
    assert not any(run(bank, [window(100 + t, [few])], every(1))[0].alarm[0] for t in range(90))


def test_one_enormous_window_is_no_baseline() -> None:
    rng = np.random.default_rng(8)
    bank = bank_of()
    healthy(bank, rng, 60)
    run(bank, [window(60, [{"new": 10**12}])], every(1))
    scores = run(bank, [window(61, [shops(rng, 500)])], every(1))[0]
    assert scores.expected[0] == pytest.approx(scores.value[0], abs=15)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="distributions"):
        CardinalityDetector().build(Kind.RATE)
    with pytest.raises(ValueError, match="floor"):
        CardinalityDetector(floor=float("nan"))
    with pytest.raises(ValueError, match="at least one window"):
        CardinalityDetector(baseline_windows=0)
    with pytest.raises(SnapshotError):
        CardinalityDetector().build(Kind.DISTRIBUTION, {**bank_of().snapshot(), "version": 9})
