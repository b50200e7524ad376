"""The life of an incident in detail: what is told at its beginning, on the way and in the end."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from swirl.effect import Evidence, Rival, SeriesKey
from swirl.frame import Verdict
from swirl.incident import beyond, following, numbers
from swirl.incident.causes import CHANCE
from swirl.incident.diagnose import Diagnosis
from swirl.incident.life import Anomaly, Incidents, Step
from swirl.incident.text import Told
from tests.incident.acts import (
    BROKEN,
    INVALID,
    OLD,
    ORIGIN_MS,
    POSITIVE,
    RECORDS,
    SECOND,
    SETTINGS,
    Ads,
    Second,
)
from tests.incident.simulator import drain
from tests.incident.test_life import Change, chance, opinions, sure, traffic, warm

__all__ = ["opinions"]

SLOW = SeriesKey("serve", "latency_p50")
SLOWED = Second(latency=3e-5)
INGEST_SLOW = SeriesKey("ingest", "latency_p50")
P95 = SeriesKey("classify", "latency_p95")
NOWHERE = SeriesKey("nowhere", "latency_p50")


def at(window: int) -> int:
    return ORIGIN_MS + window * SECOND


def marked(ads: Ads) -> list[int]:
    return [(w.start_ms - ORIGIN_MS) // SECOND for w in ads.history.windows if not w.normal]


def alarmed(ads: Ads, second: Second, alarms: list[tuple[SeriesKey, int, float]]) -> Step:
    """One second with alarms of given evidence, since so many windows ago."""
    window = ads.window(second)
    ads.history.append(window)
    given = [Anomaly(k, window.start_ms, window.start_ms - back * SECOND, e) for k, back, e in alarms]
    step: Step = drain(ads.incidents.step(window, ads.history, given, frozenset()))
    return step


# The beginning


def test_the_loudest_alarm_counts_whatever_its_place_in_the_order_of_names() -> None:
    ads = warm()
    alarmed(ads, BROKEN, [(INVALID, 20, 2.0), (POSITIVE, 0, 9.0)])
    assert marked(ads) == [30]


def test_of_two_equally_loud_alarms_the_later_name_counts() -> None:
    ads = warm()
    alarmed(ads, BROKEN, [(POSITIVE, 20, 9.0), (INVALID, 0, 9.0)])
    assert marked(ads) == [30]


def test_what_lies_before_the_last_incident_stays_baseline() -> None:
    ads = warm()
    ads.pass_by(3, BROKEN, (INVALID,))
    ads.pass_by(10)
    ads.second(BROKEN, (INVALID,), since=25)
    assert marked(ads) == [30, 31, 32, *range(33, 44)]


def test_windows_between_the_alarm_s_beginning_and_the_onset_are_no_baseline() -> None:
    ads = Ads(1)
    ads.pass_by(25)
    ads.pass_by(5, Second(broken=0.002))
    ads.second(BROKEN, (INVALID,), since=5)
    assert ads.last.onset_ms == at(30)
    assert ads.last.evidence[0].usual_value == pytest.approx(10, abs=2)


def test_what_is_opened_knows_its_times_and_its_length_of_window() -> None:
    ads = warm()
    ads.second(BROKEN, (INVALID,))
    incident = ads.last
    assert (incident.state, incident.revision, incident.windows) == ("open", 0, 1)
    assert (incident.onset_ms, incident.opened_ms, incident.window_ms) == (at(30), at(31), SECOND)
    assert incident.resolved_ms == 0
    assert ads.incidents.incident == incident


def test_an_open_incident_resumes_from_its_snapshot_and_ends_as_it_would_have() -> None:
    ads, other = warm(), warm()
    for one in (ads, other):
        one.pass_by(4, BROKEN, (INVALID,))
    other.incidents = Incidents("ads", SETTINGS, other.incidents.snapshot())
    for one in (ads, other):
        one.pass_by(8)
    assert other.changes == ads.changes
    assert other.transitions() == ["opened", "resolved"]


def test_the_third_window_settles_even_what_is_opened_in_it(opinions: list[Change]) -> None:
    opinions.extend([chance, chance, sure(0.5, "unknown")])
    ads = warm()
    ads.pass_by(3, BROKEN, (INVALID,))
    assert (ads.last.title, ads.last.preliminary) == ("ingest: cause unknown", False)


@pytest.mark.parametrize(("probability", "severity"), [(0.8, "tripped"), (0.79, "degraded")])
def test_what_comes_out_is_called_wrong_from_eight_in_ten_on(
    opinions: list[Change], probability: float, severity: str
) -> None:
    opinions.append(sure(probability))
    ads = warm()
    ads.second(BROKEN, (INVALID,))
    assert ads.last.severity == severity
    assert ads.verdicts == [Verdict(severity, at(31), ads.last.id, "ingest", ads.last.cause)]


def test_where_there_is_no_stage_the_pipeline_is_named() -> None:
    ads = warm()
    ads.second(Second(silent=("ingest", "classify", "serve"), whole=False))
    assert ads.last.stage == ""
    assert ads.last.look_first.startswith("at whether the processes of ads still run")


def test_one_loud_window_and_seven_calm_ones_are_not_the_end() -> None:
    ads = warm()
    ads.second(BROKEN, (INVALID,))
    ads.pass_by(7)
    assert ads.transitions() == ["opened"]
    ads.second(Second())
    assert ads.transitions() == ["opened", "resolved"]


# Dismissed


def test_what_was_chance_is_let_go_as_chance(opinions: list[Change]) -> None:
    opinions.append(chance)
    ads = warm()
    ads.pass_by(5, Second(), (INVALID,))
    last = ads.steps[-1]
    assert (last.release, last.chance, last.adopt) == (frozenset({INVALID}), True, False)


def test_traffic_that_ends_was_no_chance(opinions: list[Change]) -> None:
    opinions.append(traffic)
    ads = warm()
    ads.pass_by(5, Second(factor=3), (RECORDS,))
    ads.pass_by(2)
    last = ads.steps[-1]
    assert last.release == {RECORDS}
    assert last.chance is False
    assert last.adopt is False


def test_excused_traffic_ends_after_two_calm_windows_from_the_start(opinions: list[Change]) -> None:
    opinions.append(traffic)
    ads = warm()
    ads.pass_by(5, Second(factor=3), (RECORDS,))
    assert ads.second(Second()).release == frozenset()
    assert ads.second(Second()).release == {RECORDS}


def test_half_a_probability_of_traffic_excuses(opinions: list[Change]) -> None:
    opinions.append(lambda d: replace(d, posterior={("surge", ""): 0.5, ("chance", ""): 0.5}, benign=1.0))
    ads = warm()
    ads.pass_by(5, Second(factor=3), (RECORDS,))
    assert ads.held == {RECORDS}
    assert ads.incidents.watching is False


def test_a_new_suspicion_during_excused_traffic_has_five_windows_of_its_own(opinions: list[Change]) -> None:
    opinions.append(traffic)
    ads = warm()
    ads.pass_by(6, Second(factor=3), (RECORDS,))
    opinions[:] = [chance]
    for window in range(5):
        ads.second(Second(factor=3), (RECORDS, INVALID))
        assert ads.incidents.watching is (window < 4)
    assert ads.held == {RECORDS}


# On the way


@pytest.mark.parametrize("benign", [0.5, 0.9])
def test_an_open_incident_is_not_revised_by_what_looks_benign(opinions: list[Change], benign: float) -> None:
    opinions.extend([sure(0.9), lambda d: replace(sure(0.9, "slow_stage", "serve")(d), benign=benign)])
    ads = warm()
    ads.pass_by(5, BROKEN, (INVALID,))
    assert ads.transitions() == ["opened"]


def test_eight_in_ten_suffice_to_change_the_diagnosis(opinions: list[Change]) -> None:
    opinions.extend([sure(0.9), sure(0.8, "unversioned_change", "classify")])
    ads = warm()
    ads.pass_by(2, BROKEN, (INVALID, POSITIVE))
    assert ads.last.title == "classify: change without a version"


def test_a_cause_that_stayed_open_may_become_clear(opinions: list[Change]) -> None:
    opinions.extend([sure(0.5, "unknown"), sure(0.5, "unknown"), sure(0.5, "unknown"), sure(0.9)])
    ads = warm()
    ads.pass_by(4, BROKEN, (INVALID,))
    assert ads.transitions() == ["opened", "updated", "updated"]
    assert ads.changes[1].reply.startswith("The cause stays open. ")
    assert ads.changes[2].reply.startswith("The cause is clear now: ingest: data pipeline broken. ")
    assert [change.incident.revision for change in ads.changes] == [0, 1, 2]


def test_a_fault_that_grew_is_told_in_full_once(opinions: list[Change]) -> None:
    opinions.append(sure(0.9))
    ads = warm()
    ads.second(Second(broken=0.2), (INVALID,))
    ads.pass_by(12, BROKEN, (INVALID,))
    assert ads.transitions() == ["opened", "updated"]
    assert ads.last.windows == 5
    reply = ads.changes[-1].reply
    assert reply.startswith("In full now: ingest invalid ")
    assert ads.last.evidence[0].now in reply


def test_a_fault_that_came_in_full_at_once_is_told_once(opinions: list[Change]) -> None:
    opinions.append(sure(0.9))
    ads = warm()
    ads.pass_by(12, BROKEN, (INVALID,))
    assert ads.transitions() == ["opened"]


def figure(usual: float, now: float, name: str = "ingest invalid") -> Evidence:
    return Evidence("ingest", "invalid_ratio", "", name, "", "", usual, now)


@pytest.mark.parametrize(
    ("after", "grown"),
    [
        (figure(10, 30), False),
        (figure(10, 35), False),
        (figure(10, 35.1), True),
        (figure(40, 14), True),
        (figure(10, 10, "ingest records"), True),
    ],
)
def test_a_fault_has_grown_if_a_figure_is_new_or_a_quarter_further_from_usual(
    after: Evidence, *, grown: bool
) -> None:
    assert following._grown([figure(10, 30)], [after]) is grown


def test_news_before_a_revision_is_told_later_unless_the_revision_covers_it(opinions: list[Change]) -> None:
    opinions.extend([sure(0.7), sure(0.9)])
    ads = warm()
    ads.second(BROKEN, (INVALID,))
    ads.second(BROKEN, (INVALID, SLOW))
    assert ads.transitions() == ["opened", "updated"]
    ads.pass_by(9, BROKEN, (INVALID,))
    assert ads.transitions() == ["opened", "updated"]
    ads.second(BROKEN, (INVALID,))
    assert ads.changes[-1].reply.startswith("More is affected: serve time per record ")


def test_news_is_told_even_while_the_diagnosis_may_still_change(opinions: list[Change]) -> None:
    opinions.append(sure(0.9))
    ads = warm()
    ads.second(BROKEN, (INVALID,))
    for calm in (6, 2):
        ads.pass_by(calm)
        ads.second(BROKEN, (INVALID, SLOW) if calm == 2 else (INVALID,))
    assert ads.transitions() == ["opened", "updated"]
    assert ads.changes[-1].reply.startswith("More is affected: serve time per record ")
    assert ads.last.windows == 11


def slow_ingest(opinions: list[Change]) -> Ads:
    opinions.append(sure(0.9, "slow_stage"))
    ads = warm()
    ads.second(SLOWED, (INGEST_SLOW,))
    assert (ads.last.stage, ads.last.follows) == ("ingest", ())
    return ads


def test_stages_that_are_affected_later_follow(opinions: list[Change]) -> None:
    ads = slow_ingest(opinions)
    ads.second(SLOWED, (INGEST_SLOW, SLOW))
    ads.pass_by(9, SLOWED, (INGEST_SLOW,))
    assert ads.transitions() == ["opened", "updated"]
    assert list(ads.last.follows) == ["serve"]
    assert (ads.last.revision, ads.last.windows, ads.last.state) == (1, 11, "open")
    ads.second(SLOWED, (INGEST_SLOW, POSITIVE))
    ads.pass_by(9, SLOWED, (INGEST_SLOW,))
    assert list(ads.last.follows) == ["classify", "serve"]
    assert ads.last.revision == 2


def test_what_is_affected_later_at_the_root_itself_changes_nobody_who_follows(opinions: list[Change]) -> None:
    ads = slow_ingest(opinions)
    ads.second(SLOWED, (INGEST_SLOW, SLOW))
    ads.pass_by(9, SLOWED, (INGEST_SLOW,))
    ads.second(SLOWED, (INGEST_SLOW, RECORDS))
    ads.pass_by(9, SLOWED, (INGEST_SLOW,))
    assert len(ads.changes) == 3
    assert ads.last.follows == ("serve",)


def test_several_news_are_told_in_one_sentence_with_commas(opinions: list[Change]) -> None:
    ads = slow_ingest(opinions)
    ads.second(SLOWED, (INGEST_SLOW, SLOW, RECORDS))
    ads.pass_by(9, SLOWED, (INGEST_SLOW,))
    new = [
        line
        for line in ads.last.evidence
        if line.name not in {e.name for e in ads.changes[0].incident.evidence}
    ]
    assert len(new) == 2
    figures = ", ".join(f"{line.name} {line.usual} → {line.now}" for line in new)
    assert ads.changes[-1].reply == f"More is affected: {figures}."


def test_labels_that_are_not_among_the_evidence_are_counted_and_not_named(opinions: list[Change]) -> None:
    ads = slow_ingest(opinions)
    told = ads.last
    secret = [
        Evidence("classify", "prediction_ratio", label, f"{label} ratio", "0.80", "0.20", 0.8, 0.2)
        for label in "ab"
    ]
    assert following._wider(secret, told) == "the ratios of 2 labels"
    one = msgspec.structs.replace(told, evidence=tuple(secret[1:]))
    assert following._wider(secret, one) == "b ratio 0.80 → 0.20, the ratio of a label"
    known = msgspec.structs.replace(told, evidence=tuple(secret))
    assert following._wider(secret, known) == "a ratio 0.80 → 0.20, b ratio 0.80 → 0.20"


def test_news_without_a_figure_is_not_told(opinions: list[Change]) -> None:
    ads = slow_ingest(opinions)
    ads.second(SLOWED, (INGEST_SLOW, NOWHERE))
    ads.pass_by(12, SLOWED, (INGEST_SLOW,))
    assert ads.transitions() == ["opened"]


def test_an_incident_without_a_stage_can_grow(opinions: list[Change]) -> None:
    opinions.append(lambda d: replace(d, best=("unknown", ""), stage="", cause_probability=0.1, benign=0.0))
    ads = warm()
    ads.second(SLOWED, (INGEST_SLOW,))
    assert ads.last.stage == ""
    opinions[:] = [lambda d: replace(d, benign=1.0)]
    ads.second(SLOWED, (INGEST_SLOW, SLOW))
    ads.pass_by(9, SLOWED, (INGEST_SLOW,))
    assert ads.transitions() == ["opened", "updated"]
    assert ads.last.follows == ads.changes[0].incident.follows


def test_a_verdict_is_not_told_again_with_an_update_that_does_not_change_it(opinions: list[Change]) -> None:
    ads = slow_ingest(opinions)
    ads.second(SLOWED, (INGEST_SLOW, SLOW))
    ads.pass_by(9, SLOWED, (INGEST_SLOW,))
    assert ads.transitions() == ["opened", "updated"]
    assert ads.steps[-1].verdict is None
    assert ads.verdicts == [Verdict("degraded", at(31), ads.last.id, "ingest", "slow stage")]
    assert ads.incidents.verdict == ads.verdicts[0]


# The end


def test_the_end_says_when_how_long_and_what_it_cost(opinions: list[Change]) -> None:
    opinions.append(sure(0.9))
    ads = warm()
    ads.pass_by(4, BROKEN, (INVALID,))
    ads.pass_by(8)
    change = ads.changes[-1]
    assert change.transition == "resolved"
    assert change.reply == "Resolved at 03:12:24 UTC after 4 s; nothing of the fault was learnt."
    end = change.incident
    assert (end.state, end.revision, end.preliminary, end.resolved_ms) == ("resolved", 1, False, at(34))
    assert end.cost == "79 700 records rejected, 7 960 clicks missed."


def test_the_end_shows_each_figure_as_it_was_at_its_worst_and_as_it_is_now(opinions: list[Change]) -> None:
    opinions.append(sure(0.9))
    ads = warm()
    ads.second(BROKEN, (INVALID,))
    ads.second(Second(broken=0.9), (INVALID,))
    ads.second(BROKEN, (INVALID,))
    ads.pass_by(8)
    first, *_ = ads.last.evidence
    highest = ads.history.windows[31]
    invalid = sum(counts.invalid for counts in highest.stages["ingest"].values())
    assert (first.metric, first.worst) == ("invalid", f"{numbers.amount(invalid)}/s")
    calm = ads.history.windows[33:]
    assert first.now_value == sum(w.stages["ingest"][OLD].invalid for w in calm) / len(calm)
    assert [line.name for line in ads.last.evidence] == [e.name for e in ads.changes[0].incident.evidence]


@pytest.mark.parametrize("cause", ["blind", "stage_down"])
def test_what_was_not_seen_has_no_cost(opinions: list[Change], cause: str) -> None:
    opinions.append(sure(0.9, cause))
    ads = warm()
    ads.pass_by(4, BROKEN, (INVALID,))
    ads.pass_by(8)
    assert ads.transitions() == ["opened", "resolved"]
    assert ads.last.cost == ""


def test_an_incident_that_ends_before_its_cause_is_clear_is_no_longer_preliminary(
    opinions: list[Change],
) -> None:
    opinions.append(sure(0.7))
    ads = warm()
    ads.second(BROKEN, (INVALID,))
    assert ads.last.preliminary is True
    ads.pass_by(8)
    assert (ads.last.state, ads.last.preliminary, ads.last.revision) == ("resolved", False, 1)


def test_what_is_adopted_ends_with_the_window_and_is_released_as_the_new_normal(
    opinions: list[Change],
) -> None:
    opinions.append(sure(0.9))
    ads = warm()
    ads.pass_by(720, BROKEN, (INVALID,))
    last = ads.steps[-1]
    assert (last.release, last.adopt, last.chance) == (frozenset({INVALID}), True, False)
    assert ads.last.resolved_ms == at(30 + 720)
    assert ads.last.cost.endswith("missed.")
    assert last.verdict == Verdict("healthy", at(30 + 720))
    assert ads.incidents.snapshot()["ended_ms"] == at(30 + 720)


# Beyond diagnosis

KINDS = [
    (P95, "classify", "the slowest 5 % of its records"),
    (SeriesKey("classify", "observed_drift", "age"), "classify", "the distribution of age"),
    (SeriesKey("classify", "counter_level_mean", "x"), "classify", "counter level mean"),
    (SeriesKey("", "lag"), "the pipeline", "lag"),
]


@pytest.mark.parametrize(("key", "where", "what"), KINDS)
def test_a_series_beyond_diagnosis_is_told_in_its_own_words(key: SeriesKey, where: str, what: str) -> None:
    likely = {(CHANCE, ""): 0.12345678, ("surge", ""): 0.8}
    found = Diagnosis(likely, (CHANCE, ""), CHANCE, "", 0.2, 1.0, 0.9, {}, {}, None)
    assert beyond.beyond_diagnosis(key, found) == Told(
        cause="cause unknown",
        stage=key.stage,
        sentence=f"{where}: {what} is not as usual, and nothing else moved. The cause is open.",
        look_first=f"at {where}. The cause is open.",
        evidence=(),
        follows=(),
        posterior=0.0,
        rivals=(Rival("chance", "", 0.123457, "it does not go away"),),
        version="",
        version_before="",
        version_line="",
        second="",
        reasons=(),
        moved=0,
        covered=frozenset({SeriesKey(key.stage, key.metric)}),
    )
