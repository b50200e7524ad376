"""Windows, watermark, coverage."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from swirl.frame import Slice, Summary
from swirl.sketch import OVERFLOW, Categories, Distribution
from swirl.window import Coverage, EventClock, Tally, Window


def clock(**given: int) -> EventClock:
    return EventClock(**({"lateness_ms": 500, "skew_ms": 60_000, "grace_ms": 3_000} | given))


def test_the_watermark_stands_at_the_newest_event_time_less_the_lateness() -> None:
    c = clock()
    assert c.passed(123) == -1
    assert c.heard(10_000, 9_000)
    assert c.passed(10_000) == 8_500
    assert c.heard(10_100, 8_000)
    assert c.passed(10_100) == 8_500


def test_silence_moves_the_watermark_by_the_log_time_that_passed_and_not_to_the_log_time() -> None:
    c = clock()
    c.heard(log_ms=1_000_000, event_ms=5_000)
    assert c.passed(1_003_000) == 4_500
    assert c.passed(1_003_001) == 5_000 + 3_001 - 500
    assert c.passed(1_010_000) == 5_000 + 10_000 - 500


def test_the_watermark_never_goes_back() -> None:
    c = clock()
    c.heard(0, 5_000)
    assert c.passed(10_000) == 14_500
    c.heard(10_001, 6_000)
    assert c.passed(10_001) == 14_500
    assert c.passed(10_002, covered_ms=6_000) == 14_500


def test_an_event_time_further_ahead_than_clocks_may_differ_moves_nothing() -> None:
    c = clock()
    assert c.heard(10_000, 70_000)
    assert not c.heard(10_000, 70_001)
    assert c.newest_ms == 70_000
    assert c.is_future(10_000, 70_001)
    assert not c.is_future(10_000, 70_000)


def test_silence_before_the_first_event_moves_nothing() -> None:
    assert clock().passed(10**9) == -1


def test_the_watermark_waits_for_who_is_behind_the_lateness() -> None:
    c = clock()
    c.heard(10_000, 10_000)
    assert c.passed(10_000, covered_ms=8_000) == 8_000
    assert c.passed(10_500, covered_ms=9_400) == 9_400
    assert c.passed(10_500, covered_ms=9_900) == 9_500
    assert c.passed(10_500) == 9_500


def test_the_watermark_waits_no_longer_than_the_grace() -> None:
    c = clock()
    c.heard(10_000, 10_000)
    assert c.passed(10_000, covered_ms=2_000) == 10_000 - 500 - 3_000
    c.heard(12_000, 12_000)
    assert c.passed(12_000, covered_ms=2_000) == 12_000 - 500 - 3_000


def test_where_event_time_runs_ahead_of_the_log_the_grace_counts_from_the_log() -> None:
    c = clock()
    c.heard(10_000, 40_000)
    assert c.passed(10_000, covered_ms=9_000) == 9_000
    assert c.floor(10_000) == 10_000 - 500 - 3_000


def test_who_is_behind_is_waited_for_in_silence_too() -> None:
    c = clock()
    c.heard(10_000, 10_000)
    assert c.passed(14_000, covered_ms=9_000) == 10_000 + 4_000 - 500 - 3_000
    assert c.passed(14_000) == 10_000 + 4_000 - 500


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=30))
def test_coverage_is_the_union_whatever_the_order(parts: list[tuple[int, int]]) -> None:
    coverage = Coverage()
    covered: set[int] = set()
    for start, length in parts:
        coverage.add(start, start + length)
        covered |= set(range(start, start + length))
    assert coverage.length == len(covered)
    assert coverage.intervals == sorted(coverage.intervals)
    assert all(a[1] < b[0] for a, b in zip(coverage.intervals, coverage.intervals[1:], strict=False))


def test_an_interval_that_ends_before_it_starts_covers_nothing() -> None:
    coverage = Coverage()
    coverage.add(5, 5)
    coverage.add(9, 3)
    assert coverage.intervals == []


def summary(*values: float) -> Summary:
    d = Distribution()
    d.update(values)
    return Summary(d.count, d.total, d.encode())


def test_a_tally_adds_counters_categories_and_distributions() -> None:
    tally = Tally()
    one = Slice("s", "1", 0, {"records": 3, "invalid": 1}, {"reason": {"a": 1}}, {"latency": summary(1, 2)})
    assert tally.add(one) == 0
    assert (
        tally.add(
            Slice("s", "1", 1000, {"records": 2}, {"reason": {"a": 1, "b": 4}}, {"latency": summary(5)})
        )
        == 0
    )
    assert tally.count("records") == 5
    assert tally.count("invalid") == 1
    assert tally.count("absent") == 0
    assert tally.labels("reason") == {"a": 2, "b": 4}
    assert tally.labels("absent") == {}
    assert (tally.distributions["latency"].count, tally.distributions["latency"].total) == (3, 8.0)


def test_a_summary_that_cannot_be_read_is_left_out_and_counted() -> None:
    tally = Tally()
    good = summary(1.0)
    bad = [Summary(1, 1.0, b"junk"), Summary(7, 1.0, good.digest), Summary(1, float("inf"), good.digest)]
    for number, broken in enumerate(bad):
        assert tally.add(Slice("s", "", 0, {}, {}, {f"d{number}": broken, f"good{number}": good})) == 1
    assert sorted(tally.distributions) == ["good0", "good1", "good2"]


def test_all_unreadable_summaries_of_a_slice_are_counted() -> None:
    bad = Summary(1, 1.0, b"junk")
    assert Tally().add(Slice("s", "", 0, {}, {}, {"a": bad, "b": bad, "c": summary(1)})) == 2


def test_labels_are_capped_before_and_after_a_restart() -> None:
    tally = Tally()
    tally.add(Slice("s", "", 0, {}, {"label": {f"l{n}": 1 for n in range(150)}}))
    resumed = Tally.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(tally.snapshot())))
    for one in (tally, resumed):
        one.add(Slice("s", "", 0, {}, {"label": {f"m{n}": 1 for n in range(100)}}))
        assert len(one.labels("label")) == 201
        assert one.labels("label")[OVERFLOW] == 50


def test_the_same_event_time_again_is_silence_all_the_same() -> None:
    c = clock()
    c.heard(log_ms=10_000, event_ms=5_000)
    c.heard(log_ms=12_500, event_ms=5_000)
    assert c.passed(13_001) == 5_000 + 3_001 - 500


def test_a_window_resumes_from_its_snapshot_and_goes_on_bit_for_bit() -> None:
    window = Window(10_000)
    window.add(
        Slice("s", "1", 10_000, {"records": 1}, {"label": {"x": 1}}, {"latency": summary(*range(500))})
    )
    window.coverage.add(10_000, 10_400)
    window.revision, window.revised = 2, True
    resumed = Window.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(window.snapshot())))
    for w in (window, resumed):
        w.add(Slice("s", "2", 10_000, {"records": 5}))
        w.add(Slice("s", "1", 10_000, {"records": 5}, {}, {"latency": summary(*range(700))}))
        w.coverage.add(10_300, 11_000)
    assert window.snapshot() == resumed.snapshot()
    assert resumed.coverage.length == 1_000
    assert (resumed.revision, resumed.revised) == (2, True)


def test_stages_and_versions_come_in_order_of_names() -> None:
    window = Window(0)
    for stage, version in (("b", "2"), ("a", "9"), ("b", "1")):
        window.add(Slice(stage, version, 0, {"records": 1}))
    assert {stage: list(versions) for stage, versions in window.by_stage().items()} == {
        "a": ["9"],
        "b": ["1", "2"],
    }
    assert list(window.by_stage()) == ["a", "b"]


def test_categories_beyond_the_cap_are_counted_together() -> None:
    c = Categories(3)
    c.add({str(i): 1 for i in range(10)})
    c.add({"0": 5, "11": 2})
    assert c.counts == {"0": 6, "1": 1, "2": 1, OVERFLOW: 9}


def test_absurd_counts_stay_within_what_a_snapshot_can_hold() -> None:
    tally = Tally()
    for _ in range(3_000):
        tally.add(Slice("s", "", 0, {"records": 2**53 - 1}, {"label": {"a": 2**53 - 1, OVERFLOW: 2**53 - 1}}))
    assert tally.count("records") == 2**62
    assert tally.labels("label") == {"a": 2**62, OVERFLOW: 2**62}
    msgspec.msgpack.encode(tally.snapshot())
