"""Spacing novelty: what is found, what it costs and forgets; the score of the benchmark it is judged by."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from swirl.budget import alarms_per_window
from swirl.detector import Kind, Points
from swirl.errors import SnapshotError
from swirl_detectors.novelty import NoveltyBank, NoveltyDetector
from swirl_detectors.runs import RunTails
from swirl_detectors.spacing import GENERATION, Spacing
from tests.benchmarks.detection import nab
from tests.benchmarks.detection.nab_scorer import PROFILES, Series, curve, folder, judge, load
from tests.detectors.streams import MINUTE, differing, every, part, run, stream

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def windows(values: Array, *, first: int = 0, window_ms: int = MINUTE) -> list[Points]:
    """One window for each row of values, shape ``(windows, series)``."""
    one = np.ones(values.shape[1])
    return [Points((first + at) * window_ms, window_ms, row, one) for at, row in enumerate(values)]


def bank_of(series: int, *, a_week: float = 1.0, threshold: float | None = None) -> NoveltyBank:
    bank = NoveltyDetector(threshold=threshold).build(Kind.LEVEL)
    bank.grow(series)
    bank.refresh(alarms_per_window(a_week, series, MINUTE))
    return bank


def alarms(bank: NoveltyBank, values: Array, *, first: int = 0) -> list[int]:
    """Windows with an alarm of any series."""
    found = run(bank, windows(values, first=first), every(values.shape[1]))
    return [first + at for at, scores in enumerate(found) if scores.alarm.any()]


def noise(length: int, series: int = 1, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(length, series))


@pytest.mark.parametrize(
    ("fault", "within"),
    [
        pytest.param(lambda x: x + 8, 5, id="a level never had"),
        pytest.param(lambda x: x * 8, 10, id="values strewn more widely"),
        pytest.param(lambda x: 0 * x, 64, id="a series that stands still"),
    ],
)
def test_what_never_was_is_told_and_nothing_before(fault: object, within: int) -> None:
    assert callable(fault)
    calm = 0.1 * noise(2000)
    calm[:, 0] += 3 * np.sin(np.arange(2000) / 5)
    bank = bank_of(1)
    assert alarms(bank, calm[:1800]) == []
    found = alarms(bank, fault(calm[1800:] - calm[1800:].mean()), first=1800)
    assert found
    assert found[0] < 1800 + within


def test_a_value_in_a_gap_between_those_that_were_is_new() -> None:
    rng = np.random.default_rng(1)
    two_modes = np.where(rng.random((3000, 1)) < 0.5, 0.0, 10.0) + 0.1 * rng.normal(size=(3000, 1))
    bank = bank_of(1, threshold=4.0)
    assert [at for at in alarms(bank, two_modes) if at > 300] == []
    assert alarms(bank, np.full((1, 1), 5.0), first=3000) == [3000]


def test_a_usual_value_at_an_unusual_hour_is_worth_more_than_at_its_own() -> None:
    at = np.arange(96 * 12)
    day = 10 * np.sin(at / 96 * 2 * np.pi)[:, None] + 0.2 * noise(len(at))
    quarter = 15 * MINUTE
    bank, other = bank_of(1), bank_of(1)
    for one in (bank, other):
        run(one, windows(day, window_ms=quarter), every(1))
    noon, night = (
        windows(np.array([[-9.8]]), first=len(at) + 24, window_ms=quarter),
        windows(np.array([[-9.8]]), first=len(at) + 72, window_ms=quarter),
    )
    assert bank.score(every(1), noon[0]).evidence[0] > 2 * other.score(every(1), night[0]).evidence[0]


def test_evidence_does_not_depend_on_unit_offset_or_sign() -> None:
    values = noise(700)
    values[600] = 6.0
    plain = [s.evidence[0] for s in run(bank_of(1), windows(values), every(1))]
    moved = [s.evidence[0] for s in run(bank_of(1), windows(1e6 - 250 * values), every(1))]
    assert max(plain) > 0.5
    assert moved == pytest.approx(plain, abs=1e-3)


def test_one_alarm_is_followed_by_quiet() -> None:
    values = noise(1200)
    values[1000:1150] += 50 * np.arange(1, 151)[:, None]
    found = alarms(bank_of(1), values)
    assert found
    assert found[0] == 1000
    assert [at for at in found if 1000 < at <= 1050] == []


def test_the_budget_is_kept_on_normal_and_skewed_values_in_the_first_days() -> None:
    """Half of 60 series are normal, half log-normal, for two days; 60 a week are promised, so 17."""
    values = noise(2 * 1440, 60)
    values[:, 30:] = np.exp(0.5 * values[:, 30:])
    bank = bank_of(60, a_week=60)
    told = 0
    for at, window in enumerate(windows(values)):
        if at % 60 == 0:
            bank.refresh(alarms_per_window(60, 60, MINUTE))
        told += int(run(bank, [window], every(60))[0].alarm.sum())
    assert told <= 2 * 17.1
    assert bank.expected_alarms == pytest.approx(17.1, rel=0.05)


def runs_known(bank: NoveltyBank) -> float:
    """On how many runs of evidence the thresholds rest."""
    tails = bank.snapshot()["tails"]["table"]
    return float(np.frombuffer(tails).reshape(8, -1)[0].sum())


def test_what_was_new_to_a_young_series_is_not_held_against_it_later() -> None:
    """On the first day of a series with a season each hour is new."""
    level = 100 * (1 + 0.5 * np.sin(2 * np.pi * np.arange(1440) / 1440))[:, None]
    values = np.random.default_rng(1).poisson(level, (1440, 6)).astype(float)
    bank = bank_of(6)
    run(bank, windows(values[:-1]), every(6))
    assert runs_known(bank) > 10
    run(bank, windows(values[-1:], first=1439), every(6))
    assert runs_known(bank) == 0


def test_what_a_series_showed_for_long_is_known_when_it_begins_anew() -> None:
    tails = RunTails(floor=2.0)
    tails.grow(2)
    for _ in range(5):
        tails.learn(every(2), np.full(2, 3.0))
    tails.learn(np.array([0]), np.full(1, 3.0))
    tails.forget(every(2), 5)
    tails.refresh(np.full(2, 0.01), 1e-6)
    known = np.frombuffer(tails.snapshot()["table"]).reshape(8, -1)[0]
    assert known[0] > 5.9
    assert known[1] == 0


def test_one_gross_outlier_does_not_hide_what_comes_later() -> None:
    values = noise(2000)
    values[500] = 1e6
    values[1800] = 40.0
    found = alarms(bank_of(1, threshold=6.0), values)
    assert 500 in found
    assert 1800 in found


def test_what_was_long_ago_is_forgotten() -> None:
    early = np.concatenate((noise(50) + 30, noise(2 * GENERATION, seed=1)))[:, 0]
    spacing = Spacing(gaps=1, records=0)
    spacing.grow(1)
    found = []
    for value in early[:, None, None]:
        found.append(float(spacing.novelty(every(1), np.full((1, 1), 30.0))[0, 0]))
        spacing.learn(every(1), value)
    assert max(found[100 : GENERATION + 49]) < 100
    assert found[-1] > 10_000


def test_a_million_points_need_no_more_memory_than_a_hundred_thousand() -> None:
    bank = bank_of(200)
    rng = np.random.default_rng(2)
    sizes = []
    for at in range(5000):
        run(bank, windows(rng.normal(size=(1, 200)), first=at), every(200))
        if at in (499, 4999):
            sizes.append(len(msgspec.msgpack.encode(bank.snapshot())))
    assert sizes[1] == pytest.approx(sizes[0], abs=100)
    assert sizes[1] / 200 < 8_000


def test_a_snapshot_resumes_bit_for_bit_across_generations() -> None:
    values = np.round(noise(GENERATION + 400, 2), 1)
    bank = bank_of(2)
    run(bank, windows(values[: GENERATION - 100]), every(2))
    other = NoveltyDetector().build(
        Kind.LEVEL, msgspec.msgpack.decode(msgspec.msgpack.encode(bank.snapshot()))
    )
    for window in windows(values[GENERATION - 100 :], first=GENERATION - 100):
        assert not differing(run(bank, [window], every(2))[0], run(other, [window], every(2))[0])
    assert bank.snapshot() == other.snapshot()


@pytest.mark.parametrize("part_of", ["table", "novelties", "recent", "past", "tails", "size"])
def test_a_damaged_snapshot_is_refused(part_of: str) -> None:
    data = bank_of(2).snapshot()
    damage: tuple[object, ...] = (None, b"", {}, 7)
    for wrong in damage:
        if wrong != data[part_of]:
            with pytest.raises(SnapshotError):
                NoveltyDetector().build(Kind.LEVEL, {**data, part_of: wrong})


def test_a_clock_that_goes_back_and_values_out_of_this_world_do_no_harm() -> None:
    bank = bank_of(1)
    run(bank, windows(noise(300)), every(1))
    for value in (1e300, -1e300, 5e-324, np.inf, np.nan):
        run(bank, windows(np.array([[value]]), first=-50), every(1))
    after = run(bank, windows(noise(300, seed=3), first=100), every(1))
    assert all(np.isfinite(s.evidence).all() for s in after)
    assert not after[-1].alarm.any()


def test_a_constant_series_is_normal_and_its_first_change_is_not_yet_news() -> None:
    bank = bank_of(1)
    assert alarms(bank, np.full((500, 1), 3.0)) == []
    assert alarms(bank, np.full((1, 1), 4.0), first=500) == []


def test_a_value_above_the_upper_limit_raises_an_alarm() -> None:
    values = noise(1500, 4)
    rows = every(4)
    bank, other = bank_of(4), bank_of(4)
    for one in (bank, other):
        run(one, windows(values), rows)
    scores = bank.score(rows, windows(np.zeros((1, 4)), first=1500)[0])
    assert (scores.low < scores.expected).all()
    assert (scores.expected < scores.high).all()
    beyond = windows(scores.high[None] + 0.01 * (scores.high - scores.low), first=1500)[0]
    found = other.score(rows, beyond)
    assert found.alarm.all()
    assert not found.accumulated.any()


def test_a_real_incident_leaves_the_threshold_alone_and_a_false_alarm_raises_it() -> None:
    limits = []
    for chance in (None, False, True):
        bank = bank_of(1)
        run(bank, windows(noise(1500)), every(1))
        if chance is not None:
            assert bank.score(every(1), windows(np.full((1, 1), 500.0), first=1500)[0]).alarm.all()
            bank.hold(every(1))
            bank.release(every(1), chance=chance)
        bank.refresh(alarms_per_window(1, 1, MINUTE))
        scores = bank.score(every(1), windows(np.zeros((1, 1)), first=1501)[0])
        limits.append(scores.high[0])
    assert limits[1] == pytest.approx(limits[0])
    assert limits[2] > limits[0]


def test_a_held_series_is_loud_only_while_its_value_is_new() -> None:
    bank = bank_of(1)
    run(bank, windows(noise(1000)), every(1))
    bank.hold(every(1))
    loud = [bool(bank.score(every(1), w).loud[0]) for w in windows(np.full((5, 1), 90.0), first=1000)]
    calm = [bool(bank.score(every(1), w).loud[0]) for w in windows(np.zeros((5, 1)), first=1005)]
    assert loud == [True] * 5
    assert calm == [False] * 5


def test_rows_that_were_left_out_are_not_learnt() -> None:
    bank, other = bank_of(3), bank_of(3)
    for window in stream(Kind.LEVEL, 3, 200):
        bank.score(every(3), window)
        bank.learn(np.array([0, 2]), part(window, np.array([0, 2])))
        run(other, [window], every(3))
    far = windows(np.full((1, 3), 9.0), first=200)[0]
    mine, full = bank.score(every(3), far), other.score(every(3), far)
    assert mine.evidence[[0, 2]].tolist() == full.evidence[[0, 2]].tolist()
    assert mine.evidence[1] == 0


def test_ratios_and_senseless_thresholds_are_refused() -> None:
    with pytest.raises(ValueError, match="not a ratio"):
        NoveltyDetector().build(Kind.RATIO)
    for threshold in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="threshold"):
            NoveltyDetector(threshold=threshold).build(Kind.LEVEL)


def test_the_nearest_value_is_found_as_by_looking_at_all() -> None:
    rng = np.random.default_rng(4)
    values = rng.permutation(np.arange(200) * 1.5)[:, None, None] + np.array([[0.0, 1e5]])
    spacing = Spacing(gaps=1, records=0)
    spacing.grow(2)
    rows = every(2)
    for seen, value in enumerate(values[:150]):
        if seen > 1:
            past = values[:seen, 0]
            apart = np.abs(past - value[0]).min(axis=0) * (seen + 1) / (past.max(axis=0) - past.min(axis=0))
            assert spacing.novelty(rows, value)[0] == pytest.approx(apart, rel=1e-3)
        spacing.learn(rows, value)


def a_series(values: Array, *spans: tuple[int, int], name: str = "a/b.csv") -> Series:
    return Series(name, np.arange(len(values)) * 300_000, values, spans)


def test_the_benchmark_never_looks_ahead() -> None:
    """The scores of a part are the first scores of the whole, of every detector that is compared."""
    values = noise(900)[:, 0]
    values[[400, 700]] = (9.0, -12.0)
    whole, half = a_series(values), a_series(values[:650])
    for detector, _ in nab.DETECTORS.values():
        assert detector([half])["a/b.csv"].tolist() == detector([whole])["a/b.csv"].tolist()[:650]
    assert nab.novelty([whole])["a/b.csv"].any()


def test_the_benchmark_judges_a_series_beside_others_as_alone() -> None:
    values = noise(700, 3)
    values[500] = 9.0
    series = [a_series(values[: 700 - 50 * i, i], name=f"a/{i}.csv") for i in range(3)]
    series.append(Series("b/later.csv", series[0].start_ms + 3_600_000, values[:, 0], ()))
    together = nab.novelty(series)
    for one in series:
        alone = nab.novelty([one])[one.name]
        assert alone.any()
        assert together[one.name].tolist() == alone.tolist()


def test_silence_scores_nothing_and_perfection_a_hundred() -> None:
    series = [
        a_series(np.zeros(400), (100, 139), (300, 339)),
        a_series(np.zeros(200), (80, 99), name="a/c.csv"),
    ]
    silent = {one.name: np.zeros(len(one.value)) for one in series}
    perfect = {name: scores.copy() for name, scores in silent.items()}
    for one in series:
        perfect[one.name][[left for left, _ in one.windows]] = 1.0
    for profile in PROFILES:
        assert judge(series, silent)[profile].score == 0
        assert judge(series, perfect)[profile].score == pytest.approx(100)
        assert judge(series, perfect, 2.0)[profile].score == pytest.approx(0)


def test_an_early_detection_is_worth_more_than_a_late_one_and_a_false_one_costs() -> None:
    series = [a_series(np.zeros(400), (200, 239))]

    def score(*at: int, profile: str = "standard") -> float:
        scores = np.zeros(400)
        scores[list(at)] = 1.0
        return judge(series, {"a/b.csv": scores}, 1.0)[profile].score

    assert score(200) > score(220) > score(239) > score(100, 239)
    assert score(200, 220) == score(200)
    assert score(200, 245) > score(200, 390)
    assert score(100, 200) > score(100, 200, profile="low FP")
    assert score(20, 200) == score(200)
    assert score(100) < 0


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        curve([a_series(np.zeros(10))], {"a/b.csv": np.full(10, np.nan)})


def test_the_corpus_is_read_from_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "data" / "a").mkdir(parents=True)
    monkeypatch.setenv("SWIRL_NAB", str(tmp_path))
    assert folder() is None
    monkeypatch.setattr(nab, "_budget", lambda *, quick: str(quick))
    assert "SWIRL_NAB" in nab.section(quick=True)
    lines = "".join(f"2015-01-01 00:0{at}:00,{at}\n" for at in range(5))
    (tmp_path / "data" / "a" / "b.csv").write_text("timestamp,value\n" + lines, encoding="utf-8")
    spans = {"a/b.csv": [["2015-01-01 00:01:00.000000", "2015-01-01 00:03:00.000000"]]}
    (tmp_path / "labels" / "combined_windows.json").write_text(json.dumps(spans), encoding="utf-8")
    found = folder()
    assert found is not None
    (series,) = load(found)
    assert series.windows == ((1, 3),)
    assert series.value.tolist() == [0, 1, 2, 3, 4]
    assert np.diff(series.start_ms).tolist() == [60_000] * 4
