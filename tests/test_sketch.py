"""Summaries: deterministic, exact where they promise it, closed to what is not finite."""

from __future__ import annotations

import struct

import datasketches
import numpy as np
import pytest

from swirl.sketch import Categories, Distribution, cap_label


def of(values: object, k: int = 100) -> Distribution:
    d = Distribution(k)
    d.update(np.asarray(values, dtype=np.float64))
    return d


def test_count_sum_and_ends_are_exact() -> None:
    d = of([3, 1, 2])
    d.merge(of([10.5]))
    assert (d.count, d.total, d.low, d.high, d.mean) == (4, 16.5, 1.0, 10.5, 4.125)


def test_an_empty_summary_knows_nothing() -> None:
    d = Distribution()
    d.merge(Distribution())
    assert d.count == 0
    assert all(np.isnan([d.low, d.high, d.mean, d.quantile(0.5), d.rank(1.0)]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300, -1e300, 3.5e38])
def test_what_is_not_finite_or_too_large_is_left_out_and_counted(bad: float) -> None:
    d = Distribution()
    assert d.update([1.0, bad, 2.0, bad]) == 2
    assert (d.count, d.total, d.high) == (2, 3.0, 2.0)
    assert d.update([bad]) == 1
    assert d.count == 2


def test_infinities_that_cancel_are_seen_all_the_same() -> None:
    d = Distribution()
    assert d.update([1e300, -1e300, 5.0]) == 2
    assert d.update([np.inf, -np.inf]) == 2
    assert d.count == 1


def test_the_same_merges_give_the_same_bytes_with_or_without_a_stop_in_between() -> None:
    rng = np.random.default_rng(0)
    parts = [of(rng.lognormal(size=n)).copy() for n in (1, 5, 700, 3_000, 2)]
    straight, stopped = Distribution(), Distribution()
    for part in parts:
        straight.merge(part)
        stopped.merge(part.copy())
        stopped = Distribution.decode(stopped.count, stopped.total, stopped.encode())
    assert straight.encode() == stopped.encode()


@pytest.mark.parametrize(("k", "worst"), [(100, 0.005), (200, 0.002)])
def test_ranks_of_merged_summaries_are_close(k: int, worst: float) -> None:
    rng = np.random.default_rng(1)
    values = rng.lognormal(size=100_000)
    d = Distribution(k)
    for part in np.split(values, 50):
        d.merge(of(part, k))
    ranks = np.linspace(0.01, 0.99, 99)
    errors = [abs(d.rank(float(v)) - r) for v, r in zip(np.quantile(values, ranks), ranks, strict=True)]
    assert max(errors) < worst


def test_a_copy_goes_its_own_way() -> None:
    d = of([1.0])
    other = d.copy()
    other.update([2.0])
    assert (d.count, other.count) == (1, 2)


def test_bytes_of_another_count_or_of_nothing_are_refused() -> None:
    d = of([1.0, 2.0])
    for count, total, digest in (
        (3, 3.0, d.encode()),
        (2, float("nan"), d.encode()),
        (2, 3.0, b""),
        (2, 3.0, d.encode()[:-1]),
    ):
        with pytest.raises(ValueError, match="digest"):
            Distribution.decode(count, total, digest)


def test_a_digest_that_holds_values_that_are_not_finite_is_refused() -> None:
    d = of([1.0])
    poisoned = d.encode().replace(np.float32(1.0).tobytes(), np.float32(np.inf).tobytes())
    with pytest.raises(ValueError, match="not finite"):
        Distribution.decode(1, 1.0, poisoned)


def digest(*centroids: tuple[float, int], buffered: tuple[float, ...] = (), exact: int = 1) -> bytes:
    """A digest between 0 and 4 in DataSketches' format, sound or not, that may say it was counted."""
    head = struct.pack("<BBBHBHIIff", 2, 1, 20, 100, 0, exact, len(centroids), len(buffered), 0.0, 4.0)
    kept = b"".join(struct.pack("<fI", *centroid) for centroid in centroids)
    return head + kept + struct.pack(f"<{len(buffered)}f", *buffered)


@pytest.mark.parametrize(
    "data",
    [
        digest(buffered=(0.0, 1.0, 2.0, 3.0, 4.0)),
        digest((2.0, 3), buffered=(0.0, 4.0)),
        digest((1.0, 2), (2.0, 3)),
        digest((0.0, 0), (2.0, 4), (4.0, 1)),
    ],
    ids=["all in the buffer", "some in the buffer", "other ends", "none of a value"],
)
def test_a_digest_that_is_wrongly_said_to_be_counted_is_one_like_any_other(data: bytes) -> None:
    d = Distribution.decode(5, 10.0, data)
    assert not d.exact
    d.merge(d.copy())
    again = Distribution.decode(d.count, d.total, d.encode())
    assert (again.count, again.low, again.high) == (10, 0.0, 4.0)
    assert d.centroids()[1].sum() == 10


@pytest.mark.parametrize("exact", [0, 1])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_digest_is_refused_for_a_value_between_its_ends_that_is_not_finite(bad: float, exact: int) -> None:
    with pytest.raises(ValueError, match="not finite"):
        Distribution.decode(5, 10.0, digest((0.0, 1), (bad, 3), (4.0, 1), exact=exact))
    with pytest.raises(ValueError, match="not finite"):
        Distribution.decode(3, 10.0, digest((0.0, 1), (4.0, 1), buffered=(bad,), exact=exact))


def test_a_digest_in_the_format_of_another_library_is_refused() -> None:
    verbose = struct.pack(">IdddIdd", 1, 1.0, 2.0, 100.0, 2, 1.0, 1.0) + struct.pack(">dd", 1.0, 2.0)
    assert datasketches.tdigest_float.deserialize(verbose).get_total_weight() == 2
    with pytest.raises(ValueError, match="own format"):
        Distribution.decode(2, 3.0, verbose)


def test_the_cumulative_distribution_rises_to_one() -> None:
    cdf = of(range(1_000)).cdf([0.0, 250.0, 500.0, 2_000.0])
    assert cdf.shape == (4,)
    assert np.all(np.diff(cdf) >= 0)
    assert cdf[-1] == 1.0


def test_labels_are_cut_and_made_printable() -> None:
    assert cap_label("a\x00b\n") == "a b "
    assert cap_label(5) == "5"
    assert len(cap_label("é" * 200)) == 80


def test_the_overflow_label_takes_no_place() -> None:
    c = Categories(1)
    c.add([("(other)", 2), ("a", 1), ("b", 1)])
    assert c.counts == {"(other)": 3, "a": 1}


def test_a_summary_takes_no_more_numbers_than_its_digest_can_count() -> None:
    d = of(np.random.default_rng(1).normal(size=1000))
    half = d.rank(0.0)
    for _ in range(40):
        d.merge(d.copy())
    assert 1 << 31 < d.count < 1 << 32
    assert d.rank(0.0) == pytest.approx(half, abs=0.02)
    assert Distribution.decode(d.count, d.total, d.encode()).count == d.count


def test_few_different_values_are_counted_one_by_one_however_they_are_merged() -> None:
    rng = np.random.default_rng(2)
    values = np.round(rng.normal(size=60_000), 1)
    d = Distribution()
    for part in np.split(values, 60):
        d.merge(of(part).copy())
    known, counts = d.centroids()
    expected = np.unique(values.astype(np.float32), return_counts=True)
    assert d.exact
    assert np.array_equal(known, expected[0])
    assert np.array_equal(counts, expected[1])


@pytest.mark.parametrize("distinct", [1, 2, 127, 128, 129, 5_000])
def test_many_different_values_are_a_digest_of_the_same_count(distinct: int) -> None:
    values = np.arange(20_000) % distinct
    d = of(values[:10_000])
    d.merge(of(values[10_000:]))
    assert d.exact == (distinct <= 128)
    assert (d.count, d.low, d.high) == (20_000, 0.0, distinct - 1.0)
    assert d.centroids()[1].sum() == 20_000
    assert d.copy().encode() == d.encode()


def test_a_reader_that_knows_only_digests_reads_counted_values_well() -> None:
    d = of(np.repeat([0.0, 1.0, 2.0], [700, 250, 50]))
    plain = bytearray(d.encode())
    plain[6] = 0
    old = Distribution.decode(d.count, d.total, bytes(plain))
    assert not old.exact
    assert old.cdf([0.5, 1.5]) == pytest.approx([0.7, 0.95], abs=0.002)


def test_a_digest_of_an_emitter_that_counts_nothing_one_by_one_is_merged_as_before() -> None:
    foreign = datasketches.tdigest_float(100)
    foreign.update(np.arange(1_000, dtype=np.float32))
    d = of([5.0, 5.0])
    d.merge(Distribution.decode(1_000, 499_500.0, foreign.serialize()))
    assert not d.exact
    assert d.count == 1_002
    assert d.quantile(0.5) == pytest.approx(499, abs=5)


def test_both_zeros_are_the_same_value() -> None:
    assert of([0.0, -0.0, 0.0]).centroids()[0].tolist() == [0.0]
