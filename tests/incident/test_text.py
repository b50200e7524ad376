"""The texts: complete, short, in the words of the table, and true to the figures."""

from __future__ import annotations

import re
from math import isnan

import pytest

from swirl.effect import Evidence, SeriesKey
from swirl.incident import numbers
from swirl.incident.beyond import as_said
from swirl.incident.causes import CAUSES, UNKNOWN, words_of
from swirl.incident.cost import Cost
from swirl.incident.diagnose import Diagnosis, diagnose
from swirl.incident.figures import Figure, figure_of, name_of, recent, text_of, value_of
from swirl.incident.showing import pair_of
from swirl.incident.text import Told, tell
from tests.incident.acts import BROKEN, BUG, DEFINITION, OLD, SECOND, Ads, Second
from tests.incident.simulator import BENIGN, cases, drain
from tests.incident.simulator import CAUSES as SIMULATED


@pytest.fixture(scope="module")
def told() -> list[tuple[str, Diagnosis, Told]]:
    found = []
    for cause in [c for c in SIMULATED if c not in BENIGN]:
        for case, window in cases(11, 4, cause):
            end = case.start(window + 2)
            d = drain(diagnose(case.history, case.start(window), end))
            if d.benign < 0.5:
                found.append((cause, d, tell(d, "shop", case.history.window_ms, named=d.cause != UNKNOWN)))
    return found


def test_every_cause_has_a_complete_text(told: list[tuple[str, Diagnosis, Told]]) -> None:
    assert len({cause for cause, _, _ in told}) == 13
    for _, _, text in told:
        assert text.sentence.endswith(".")
        assert text.look_first.endswith(".")
        assert "{" not in text.look_first + text.sentence
        assert text.evidence
        assert 1 <= len(text.evidence) <= 5
        assert text.rivals
        assert not re.search(
            r"nan|None|inf\b|not measured", text.sentence + text.look_first + str(text.rivals)
        )


def test_no_sentence_is_too_long_for_a_phone(told: list[tuple[str, Diagnosis, Told]]) -> None:
    named = [text.sentence for _, _, text in told if text.cause != words_of(UNKNOWN)]
    assert max(len(sentence) for sentence in named) <= 120
    assert max(len(f"shop / {t.stage}: {t.cause} since 03:12:20 UTC") for _, _, t in told) <= 120


def test_sentences_have_the_number_now_and_the_usual_one(told: list[tuple[str, Diagnosis, Told]]) -> None:
    for cause, _, text in told:
        if text.cause == words_of(cause) and cause not in ("blind", "stage_down"):
            assert ", usually " in text.sentence, text.sentence


def test_the_figures_of_the_root_come_first(told: list[tuple[str, Diagnosis, Told]]) -> None:
    for cause, _, text in told:
        if text.cause == words_of(cause):
            roots = [line.root for line in text.evidence[: text.moved]]
            assert roots == sorted(roots, reverse=True)


def test_names_of_figures_are_told_once(told: list[tuple[str, Diagnosis, Told]]) -> None:
    for _, _, text in told:
        names = [line.name for line in text.evidence]
        assert len(names) == len(set(names))


def test_a_bad_deployment_is_always_among_what_was_thought_of(
    told: list[tuple[str, Diagnosis, Told]],
) -> None:
    for _, d, text in told:
        if not any(cause == "bad_deployment" for cause, _ in d.posterior):
            assert ("bad deployment", "no version changed") in {(r.cause, r.why) for r in text.rivals}


def test_rivals_are_told_apart_from_the_cause_and_from_each_other(
    told: list[tuple[str, Diagnosis, Told]],
) -> None:
    for _, _, text in told:
        causes = [r.cause for r in text.rivals]
        assert len(causes) == len(set(causes))
        assert text.cause not in causes
        assert all(r.why for r in text.rivals)


def diagnosed(*seconds: Second, warm: int = 30) -> Diagnosis:
    ads = Ads(1)
    ads.pass_by(warm)
    for second in seconds:
        ads.second(second)
    end = ads.history.windows[-1].start_ms
    diagnosis: Diagnosis = drain(diagnose(ads.history, end - (len(seconds) - 1) * SECOND, end))
    return diagnosis


def test_an_unnamed_cause_tells_its_candidates() -> None:
    text = tell(diagnosed(BROKEN), "ads", SECOND, named=False)
    assert text.cause == "cause unknown"
    assert text.stage == "ingest"
    assert re.search(r"The cause is open: data pipeline broken \d\d(\.\d)? %, ", text.sentence)
    assert text.look_first == "at ingest. The cause is open."
    assert text.second == ""
    assert text.version_line == "version unchanged"


def test_what_a_person_counts_is_told_though_its_ratio_did_not_move() -> None:
    ads = Ads(1)
    ads.pass_by(30)
    for _ in range(2):
        window = ads.window(Second())
        ingest = window.stages["ingest"][OLD]
        ingest.invalid, ingest.out = ingest.records // 2, ingest.records // 2
        for stage in ("classify", "serve"):
            counts = window.stages[stage][OLD]
            counts.records, counts.out, counts.predictions = (
                n // 2 for n in (counts.records, counts.out, counts.predictions)
            )
            counts.labels = {k: n // 2 for k, n in counts.labels.items()}
            counts.counters = {k: n / 2 for k, n in counts.counters.items()}
        ads.history.append(window)
    end = ads.history.windows[-1].start_ms
    text = tell(drain(diagnose(ads.history, end - SECOND, end)), "ads", SECOND, named=True)
    assert [line.name for line in text.evidence] == ["ingest invalid", "clicks"]
    assert text.evidence[1].now_value == pytest.approx(text.evidence[1].usual_value / 2, rel=0.05)
    assert text.moved == 2


def test_a_canary_runs_beside_the_old_version() -> None:
    text = tell(diagnosed(*[Second(swapped=0.05)] * 3), "ads", SECOND, named=True)
    assert text.cause == "bad deployment"
    assert text.version_line == f"2026.11.2 runs beside {OLD} since 03:12:20 UTC"


def test_a_second_fault_is_told_as_a_sentence() -> None:
    text = tell(diagnosed(*[Second(broken=0.8, latency=9e-3)] * 3, warm=40), "ads", SECOND, named=True)
    others = {"ingest: data pipeline broken", "ingest: slow stage"} - {f"{text.stage}: {text.cause}"}
    assert text.second == f"A second fault is likely beside it: {others.pop()}."


def test_a_deployment_that_is_not_to_blame_is_told() -> None:
    ads = Ads(1)
    ads.pass_by(40)
    ads.pass_by(10, Second(version="2026.11.2"))
    ads.second(Second(broken=0.8, version="2026.11.2"))
    end = ads.history.windows[-1].start_ms
    text = tell(drain(diagnose(ads.history, end, end)), "ads", SECOND, named=True)
    assert text.cause == "data pipeline broken"
    assert text.version_line == f"classify 2026.11.2 replaced {OLD} at 03:12:30 UTC and is not to blame"


def test_the_pair_that_is_told_is_one_that_was_weighed() -> None:
    d = diagnosed(BUG)
    assert pair_of(d, named=True) == ("bad_deployment", "classify")
    assert pair_of(d, named=False) == (UNKNOWN, "classify")


# Figures


def test_what_a_person_counts_is_shown_as_a_rate() -> None:
    figure = figure_of(SeriesKey("serve", "ratio"), "clicks", DEFINITION)
    assert figure == Figure("serve", "count", "clicks", "clicks")
    assert figure_of(SeriesKey("ingest", "invalid_ratio"), "", DEFINITION) == Figure(
        "ingest", "invalid", "", "ingest invalid"
    )
    assert figure_of(SeriesKey("a", "counter_level", "hits"), "hits", DEFINITION).metric == "count"


def test_figures_are_worked_out_from_counts() -> None:
    ads = Ads(1)
    ads.pass_by(10)
    windows = ads.history.windows
    counts = [w.stages["classify"][OLD] for w in windows]
    positive = sum(c.labels["positive"] for c in counts) / sum(c.predictions for c in counts)
    figure = Figure("classify", "prediction_ratio", "positive", "")
    assert value_of(figure, windows, SECOND) == positive
    assert value_of(Figure("ingest", "records", "", ""), windows, 2 * SECOND) == pytest.approx(
        12_500, rel=0.01
    )
    assert value_of(Figure("serve", "output_ratio", "", ""), windows, SECOND) == 1.0
    assert value_of(Figure("", "lag", "", ""), windows, SECOND) == 0.6
    assert value_of(Figure("serve", "emitters", "", ""), windows, SECOND) == 1.0
    assert value_of(Figure("ingest", "latency_p50", "", ""), windows, SECOND) == pytest.approx(3e-6, rel=0.1)
    assert isnan(value_of(Figure("ingest", "null_ratio", "", ""), windows, SECOND))
    assert isnan(value_of(figure, [], SECOND))


def test_a_partial_window_tells_no_rate() -> None:
    ads = Ads(1)
    ads.pass_by(5)
    ads.second(Second(factor=0.3, whole=False))
    assert value_of(Figure("ingest", "records", "", ""), ads.history.windows, SECOND) == pytest.approx(
        25_000, rel=0.01
    )


def test_now_is_the_last_window_unless_it_is_thin() -> None:
    ads = Ads(1)
    ads.pass_by(5)
    assert len(recent(ads.history.windows, "ingest")) == 1
    ads.second(Second(factor=0.001))
    assert len(recent(ads.history.windows, "ingest")) == 2
    ads.pass_by(1, Second(factor=0.0))
    assert len(recent(ads.history.windows[-1:], "ingest")) == 1


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("invalid", 20_134.0, "20 100/s"),
        ("count", 10.2, "10/s"),
        ("prediction_ratio", 0.2134, "0.21"),
        ("null_ratio", 0.00043, "0.0004"),
        ("latency_p50", 0.003, "3.0 ms"),
        ("lag", 40.0, "40 s"),
        ("input_ratio", 0.44, "0.44"),
        ("drift", 12.4, "12 sigma"),
        ("drift", 1.0, "within chance"),
        ("emitters", 3.0, "3"),
    ],
)
def test_figures_are_written_with_their_unit(metric: str, value: float, text: str) -> None:
    assert text_of(metric, value) == text


def test_names_are_those_of_the_users_code() -> None:
    assert name_of("ingest", "latency_p50", "") == "ingest time per record"
    assert name_of("classify", "drift", "length") == "classify length drift"
    assert name_of("a", "something_new", "x") == "a x"


def test_a_missing_number_is_said_to_be_missing() -> None:
    nan = float("nan")
    for write in (numbers.amount, numbers.rate, numbers.ratio, numbers.seconds):
        assert write(nan) == "not measured"


def test_evidence_carries_the_numbers_behind_the_words() -> None:
    line = tell(diagnosed(BROKEN), "ads", SECOND, named=True).evidence[0]
    assert isinstance(line, Evidence)
    assert numbers.rate(line.now_value) == line.now
    assert numbers.rate(line.usual_value) == line.usual


# Cost


def test_a_cost_counts_what_was_lost_against_the_baseline() -> None:
    ads = Ads(1)
    ads.pass_by(30)
    ads.pass_by(10, BROKEN)
    cost = Cost()
    for window in ads.history.windows[30:]:
        window.normal = False
    cost.begin(ads.history, ads.history.windows[30].start_ms)
    assert cost.windows == 10
    assert cost.sentence() == "200 000 records rejected, 20 000 clicks missed."
    cost.add(ads.window(Second(whole=False)))
    assert cost.windows == 10


def test_a_fault_that_loses_nothing_has_no_cost() -> None:
    ads = Ads(1)
    ads.pass_by(40)
    cost = Cost()
    cost.begin(ads.history, ads.history.windows[30].start_ms)
    assert cost.sentence() == ""


def test_a_slow_creep_is_told_with_where_to_look() -> None:
    said = {"classify": (words_of("creeping"), "positive ratio has crept from 0.80 to 0.72 in 10 d")}
    text = as_said(said, diagnosed(Second()))
    assert text.cause == "slow creep"
    assert text.sentence == "classify: positive ratio has crept from 0.80 to 0.72 in 10 d."
    assert text.look_first.startswith("at what classify has learnt or taken in since, day by day")


def test_what_a_person_wrote_has_no_row_and_is_open() -> None:
    said = {"classify": ("limit exceeded", "invalid above 1 %")}
    assert as_said(said, diagnosed(Second())).look_first == "at classify. The cause is open."


def test_no_cause_shares_its_words_with_another() -> None:
    assert len({cause.words for cause in CAUSES.values()}) == len(CAUSES)
