"""What every detector must do, whoever wrote it: each that is installed is found and put through this."""

from __future__ import annotations

from dataclasses import fields

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from swirl.detector import Bank, Detector, Kind, Points, Scores, detectors
from swirl.errors import SnapshotError
from swirl.sketch import Distribution
from tests.detectors.streams import MINUTE, differing, every, part, run, stream

CASES = [
    pytest.param(found(), kind, id=f"{name}-{kind.value}")
    for name, found in detectors().items()
    for kind in sorted(found.kinds, key=lambda k: k.value)
]
SERIES = 5
PACKED = msgspec.msgpack.Encoder()


def built(detector: Detector, kind: Kind, series: int = SERIES) -> Bank:
    bank = detector.build(kind)
    bank.grow(series)
    bank.refresh(1e-5)
    return bank


def packed(bank: Bank) -> bytes:
    return PACKED.encode(bank.snapshot())


def broken(kind: Kind, window: Points, strength: float = 1.0) -> Points:
    """The same window far from normal: ten times the rate, a ratio near 1, another distribution."""
    if kind is Kind.DISTRIBUTION:
        moved = Distribution()
        moved.update(np.linspace(5, 9, 300))
        other = {"d": 290, "a": 10}
        samples = [moved if isinstance(s, Distribution) else other for s in window.samples]
        return Points(window.start_ms, window.window_ms, window.value, window.weight, samples)
    value = window.weight.copy() if kind is Kind.RATIO else window.value * 10 + 1000 * strength
    return Points(window.start_ms, window.window_ms, value, window.weight)


def silent(window: Points) -> Points:
    return Points(window.start_ms, window.window_ms, np.zeros_like(window.value), window.weight)


def telling(detector: Detector) -> NDArray[np.intp]:
    """The rows that it can judge: numbers have no cardinality, and sparse events are mostly silent."""
    sparse = np.array([0, 2])
    own = {"silence": sparse, "flatline": sparse, "cardinality": np.array([1, 3])}
    return own.get(detector.name, every(SERIES))


def leaked(window: Points) -> Points:
    """An identifier in the place of a label."""
    ids = {f"id {number}": 1 for number in range(300)}
    samples = [ids if isinstance(s, dict) else s for s in window.samples]
    return Points(window.start_ms, window.window_ms, window.value, window.weight, samples)


def still(window: Points) -> Points:
    return Points(window.start_ms, window.window_ms, np.full_like(window.value, 7.25), window.weight)


def fault(detector: Detector, kind: Kind, window: Points) -> Points:
    if detector.name == "cardinality":
        return leaked(window)
    if detector.name == "flatline":
        return still(window)
    return silent(window) if detector.name == "silence" else broken(kind, window)


def test_every_built_in_detector_is_found() -> None:
    assert {"change", "drift", "flatline", "novelty", "silence"} <= set(detectors())


@pytest.mark.parametrize(("detector", "kind"), CASES)
class TestEveryDetector:
    def test_keeps_to_the_protocol(self, detector: Detector, kind: Kind) -> None:
        bank = built(detector, kind)
        assert isinstance(detector, Detector)
        assert isinstance(bank, Bank)
        assert type(detector)() == detector
        with pytest.raises(AttributeError):
            detector.name = "other"  # type: ignore[misc] # frozen is what is tested

    def test_gives_one_score_of_the_right_type_for_each_point(self, detector: Detector, kind: Kind) -> None:
        for scores in run(built(detector, kind), stream(kind, SERIES, 20), every(SERIES)):
            for field in fields(Scores):
                assert getattr(scores, field.name).shape == (SERIES,)
            assert scores.alarm.dtype == scores.loud.dtype == scores.learning.dtype == np.bool_
            assert scores.since_ms.dtype == np.int64

    def test_scores_without_learning(self, detector: Detector, kind: Kind) -> None:
        """What a bank says of the next window does not depend on having scored it, and learning changes
        it."""
        windows = list(stream(kind, SERIES, 120))
        bank, other = built(detector, kind), built(detector, kind)
        run(bank, windows[:100], every(SERIES))
        run(other, windows[:100], every(SERIES))
        first = bank.score(every(SERIES), windows[100])
        again = other.score(every(SERIES), windows[100])
        assert not differing(first, again)

    def test_resumes_from_its_snapshot_bit_for_bit(self, detector: Detector, kind: Kind) -> None:
        windows = list(stream(kind, SERIES, 260))
        bank = built(detector, kind)
        run(bank, windows[:130], every(SERIES))
        bank.refresh(1e-5)
        bank.hold(np.array([1]))
        data = msgspec.msgpack.decode(packed(bank))
        other = detector.build(kind, data)
        for window in windows[130:]:
            a, b = bank.score(every(SERIES), window), other.score(every(SERIES), window)
            assert not differing(a, b)
            bank.learn(every(SERIES), window)
            other.learn(every(SERIES), window)
        bank.refresh(1e-5)
        other.refresh(1e-5)
        assert packed(bank) == packed(other)

    def test_is_not_changed_by_being_snapshotted(self, detector: Detector, kind: Kind) -> None:
        windows = list(stream(kind, SERIES, 90))
        bank, other = built(detector, kind), built(detector, kind)
        for window in windows:
            run(bank, [window], every(SERIES))
            run(other, [window], every(SERIES))
            packed(bank)
        assert packed(bank) == packed(other)

    def test_refuses_a_foreign_snapshot(self, detector: Detector, kind: Kind) -> None:
        data = built(detector, kind).snapshot()
        for wrong in ({}, {**data, "version": 999}, {**data, "kind": "no such kind"}):
            with pytest.raises(SnapshotError):
                detector.build(kind, wrong)

    def test_judges_a_series_alone_as_among_others(self, detector: Detector, kind: Kind) -> None:
        """Only pooled thresholds, set at a refresh, may connect series."""
        alone, among, some = detector.build(kind), detector.build(kind), detector.build(kind)
        alone.grow(1)
        among.grow(SERIES)
        some.grow(SERIES)
        for window in stream(kind, SERIES, 150):
            expected = run(alone, [part(window, every(1))], every(1))[0]
            everyone = run(among, [window], every(SERIES))[0]
            rows = np.array([0, 2, 3])
            three = run(some, [part(window, rows)], rows)[0]
            for field in fields(Scores):
                value = getattr(expected, field.name)[0]
                for scores in (everyone, three):
                    assert np.array_equal(value, getattr(scores, field.name)[0], equal_nan=True), field.name

    def test_needs_no_more_memory_after_a_day_than_after_an_hour(
        self, detector: Detector, kind: Kind
    ) -> None:
        bank = built(detector, kind)
        windows = list(stream(kind, SERIES, 1000 if kind is Kind.DISTRIBUTION else 3000))
        run(bank, windows[:200], every(SERIES))
        early = len(packed(bank))
        run(bank, windows[200:], every(SERIES))
        assert len(packed(bank)) <= 1.2 * early
        assert len(packed(bank)) / SERIES < (32_000 if kind is Kind.DISTRIBUTION else 8_000)

    def test_says_nothing_of_what_was_not_measured(self, detector: Detector, kind: Kind) -> None:
        bank, other = built(detector, kind), built(detector, kind)
        windows = list(stream(kind, SERIES, 60))
        run(bank, windows, every(SERIES))
        run(other, windows, every(SERIES))
        nothing = Points(60 * MINUTE, MINUTE, np.full(SERIES, np.nan), np.zeros(SERIES), [None] * SERIES)
        scores = run(bank, [nothing], every(SERIES))[0]
        assert not scores.alarm.any()
        assert not scores.loud.any()
        assert not scores.evidence.any()
        assert np.isnan(scores.value).all()
        after = next(stream(kind, SERIES, 1, seed=9))
        after = Points(61 * MINUTE, MINUTE, after.value, after.weight, after.samples)
        assert not differing(bank.score(every(SERIES), after), other.score(every(SERIES), after))

    def test_is_not_poisoned_by_nonsense(self, detector: Detector, kind: Kind) -> None:
        bank = built(detector, kind)
        windows = list(stream(kind, SERIES, 140))
        run(bank, windows[:70], every(SERIES))
        for at, junk in enumerate((np.nan, np.inf, -np.inf, -1.0, 1e300, 5e-324)):
            value, weight = np.full(SERIES, junk), np.ones(SERIES)
            samples: list[Distribution | dict[str, int] | None] = [
                {},
                Distribution(),
                {"(other)": 1},
                {"new": 10**12},
                None,
            ]
            run(bank, [Points((70 + at) * MINUTE, MINUTE, value, weight, samples)], every(SERIES))
        for scores in run(bank, windows[76:], every(SERIES)):
            assert np.isfinite(scores.evidence).all()
        assert not np.isnan(scores.expected[telling(detector)]).any()

    def test_raises_an_alarm_for_a_gross_fault_and_none_before(self, detector: Detector, kind: Kind) -> None:
        bank = built(detector, kind)
        windows = list(stream(kind, SERIES, 330))
        for start in range(0, 300, 60):
            assert not any(s.alarm.any() for s in run(bank, windows[start : start + 60], every(SERIES)))
            bank.refresh(1e-5)
        dense = telling(detector)
        found = np.zeros(SERIES, dtype=bool)
        for window in windows[300:]:
            scores = bank.score(every(SERIES), fault(detector, kind, window))
            assert (scores.evidence[scores.alarm] >= 1).all()
            assert (scores.since_ms[scores.alarm] >= 300 * MINUTE - 60 * MINUTE).all()
            found |= scores.alarm
        assert found[dense].all()

    def test_raises_no_alarm_while_held_but_is_loud(self, detector: Detector, kind: Kind) -> None:
        bank = built(detector, kind)
        windows = list(stream(kind, SERIES, 200))
        run(bank, windows[:150], every(SERIES))
        bank.hold(every(SERIES))
        loud = np.zeros(SERIES, dtype=bool)
        for window in windows[150:170]:
            scores = bank.score(every(SERIES), fault(detector, kind, window))
            assert not scores.alarm.any()
            loud |= scores.loud
        assert loud[telling(detector)[[0, 1]]].all()
        calm = [bank.score(every(SERIES), window) for window in windows[170:200]]
        assert sum(int(s.loud.sum()) for s in calm[3:]) <= 3
        bank.release(every(SERIES))
        rung = np.zeros(SERIES, dtype=bool)
        for window in windows[150:180]:
            later = Points(window.start_ms + 60 * MINUTE, MINUTE, window.value, window.weight, window.samples)
            rung |= bank.score(every(SERIES), fault(detector, kind, later)).alarm
        assert rung[telling(detector)[[0, 1]]].all()

    def test_learns_nothing_of_an_incident(self, detector: Detector, kind: Kind) -> None:
        """The fault does not become the new normal: expectations after it are those before it."""
        bank = built(detector, kind)
        windows = list(stream(kind, SERIES, 240))
        before = run(bank, windows[:150], every(SERIES))[-1].expected
        bank.hold(every(SERIES))
        for window in windows[150:230]:
            bank.score(every(SERIES), fault(detector, kind, window))
        bank.release(every(SERIES))
        for window in windows[230:]:
            scores = bank.score(every(SERIES), window)
        rows = telling(detector)
        healthy = run(built(detector, kind), windows, every(SERIES))
        spread = np.nanstd([s.value[rows] for s in healthy], axis=0)
        assert (np.abs(scores.expected - before)[rows] <= 2 * spread + 1e-9).all()

    def test_takes_a_new_normal_when_told(self, detector: Detector, kind: Kind) -> None:
        bank = built(detector, kind)
        windows = list(stream(kind, SERIES, 400))
        run(bank, windows[:150], every(SERIES))
        bank.hold(every(SERIES))
        for window in windows[150:190]:
            bank.score(every(SERIES), fault(detector, kind, window))
        bank.release(every(SERIES), adopt=True)
        alarms = 0
        for window in windows[190:300]:
            scores = bank.score(every(SERIES), fault(detector, kind, window))
            bank.learn(every(SERIES), fault(detector, kind, window))
            alarms += int(scores.alarm.sum())
        assert alarms == 0

    def test_keeps_its_rows_when_it_grows(self, detector: Detector, kind: Kind) -> None:
        bank, other = detector.build(kind), detector.build(kind)
        bank.grow(2)
        other.grow(SERIES)
        for at, window in enumerate(stream(kind, SERIES, 120)):
            if at in (40, 41):
                bank.grow(SERIES)
            two = part(window, every(2))
            assert not differing(run(bank, [two], every(2))[0], run(other, [two], every(2))[0])
        bank.grow(1)
        assert len(bank.score(every(SERIES), window).value) == SERIES

    def test_takes_no_rows_at_all(self, detector: Detector, kind: Kind) -> None:
        bank = detector.build(kind)
        bank.refresh(1e-5)
        none = Points(0, MINUTE, np.empty(0), np.empty(0))
        assert len(bank.score(every(0), none).value) == 0
        bank.learn(every(0), none)
        bank.hold(every(0))
        bank.release(every(0), adopt=True)
        assert detector.build(kind, bank.snapshot()) is not None
