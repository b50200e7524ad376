"""The rules by which a suspicion becomes an incident, and an incident ends."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from swirl.effect import SeriesKey
from swirl.errors import SnapshotError
from swirl.frame import Verdict
from swirl.incident import diagnose as diagnosis
from swirl.incident.diagnose import Diagnosis
from swirl.incident.life import Anomaly, Incidents
from swirl.incident.state import SNAPSHOT
from tests.incident.acts import (
    BROKEN,
    CLICKS,
    INVALID,
    ORIGIN_MS,
    POSITIVE,
    RECORDS,
    SECOND,
    SETTINGS,
    Ads,
    Second,
)
from tests.incident.simulator import drain

P95 = SeriesKey("classify", "latency_p95")
Change = Callable[[Diagnosis], Diagnosis]


@pytest.fixture
def opinions(monkeypatch: pytest.MonkeyPatch) -> list[Change]:
    """What the next diagnoses are turned into, one after the other; the last one stays."""
    changes: list[Change] = []

    def diagnose(*arguments: Any, **given: Any) -> Generator[None, None, Diagnosis]:
        found = yield from diagnosis.diagnose(*arguments, **given)
        change = changes.pop(0) if len(changes) > 1 else changes[0]
        return change(found)

    monkeypatch.setattr("swirl.incident.reasoning.diagnose", diagnose)
    return changes


def sure(probability: float, cause: str = "data_broken", stage: str = "ingest") -> Change:
    return lambda d: replace(d, cause=cause, stage=stage, cause_probability=probability, benign=0.0)


def chance(d: Diagnosis) -> Diagnosis:
    return replace(d, posterior={("chance", ""): 1.0}, benign=1.0)


def traffic(d: Diagnosis) -> Diagnosis:
    return replace(d, posterior={("surge", ""): 1.0}, benign=1.0)


def warm(seed: int = 1) -> Ads:
    ads = Ads(seed)
    ads.pass_by(30)
    return ads


# Naming


def test_a_sure_cause_is_named_at_once(opinions: list[Change]) -> None:
    opinions.append(sure(0.8))
    ads = warm()
    ads.second(BROKEN, (INVALID,))
    assert ads.last.cause == "data pipeline broken"
    assert ads.last.preliminary is False


def test_an_unsure_cause_is_not_named_but_the_stage_is(opinions: list[Change]) -> None:
    opinions.append(sure(0.79))
    ads = warm()
    ads.second(BROKEN, (INVALID,))
    assert ads.last.title == "ingest: cause unknown"
    assert ads.last.preliminary is True
    assert ads.last.severity == "degraded"
    assert "The cause is open: data pipeline broken 99" in ads.last.sentence
    assert ads.verdicts[-1].state == "degraded"


def test_the_cause_is_named_as_soon_as_it_is_sure(opinions: list[Change]) -> None:
    opinions.extend([sure(0.7), sure(0.85)])
    ads = warm()
    ads.pass_by(2, BROKEN, (INVALID,))
    assert ads.transitions() == ["opened", "updated"]
    assert ads.last.title == "ingest: data pipeline broken"
    assert ads.last.preliminary is False
    assert ads.last.revision == 1
    assert ads.last.windows == 2
    assert ads.changes[-1].reply.startswith(
        "The cause is clear now: ingest: data pipeline broken. ingest rejects"
    )
    assert [v.state for v in ads.verdicts] == ["degraded", "tripped"]


@pytest.mark.parametrize(("probability", "title"), [(0.6, "data pipeline broken"), (0.59, "cause unknown")])
def test_three_windows_are_waited_for_and_then_six_in_ten_suffice(
    opinions: list[Change], probability: float, title: str
) -> None:
    opinions.append(
        lambda d: replace(
            d,
            cause="data_broken" if probability >= 0.6 else "unknown",
            cause_probability=probability,
            benign=0.0,
        )
    )
    ads = warm()
    ads.pass_by(2, BROKEN, (INVALID,))
    assert ads.transitions() == ["opened"]
    ads.pass_by(10, BROKEN, (INVALID,))
    assert ads.transitions() == ["opened", "updated"]
    assert ads.last.title == f"ingest: {title}"
    assert ads.last.preliminary is False
    assert ads.last.windows == 3
    assert ads.last.severity == "degraded"
    if title == "cause unknown":
        assert ads.changes[-1].reply.startswith("The cause stays open. ingest rejects")


def test_a_change_of_mind_is_an_update_of_the_same_incident(opinions: list[Change]) -> None:
    opinions.extend([sure(0.9), sure(0.9, "unversioned_change", "classify")])
    ads = warm()
    ads.pass_by(12, BROKEN, (INVALID, POSITIVE))
    assert ads.transitions() == ["opened", "updated"]
    assert ads.last.id == ads.changes[0].incident.id
    assert ads.last.title == "classify: change without a version"
    reply = ads.changes[-1].reply
    assert reply.startswith(
        "More evidence changes the diagnosis: classify: change without a version, not ingest: "
    )
    assert ads.verdicts[-1].cause == "change without a version"


def test_a_mind_is_changed_only_for_what_is_sure(opinions: list[Change]) -> None:
    opinions.extend([sure(0.9), sure(0.79, "unversioned_change", "classify")])
    ads = warm()
    ads.pass_by(12, BROKEN, (INVALID, POSITIVE))
    assert ads.transitions() == ["opened"]


def test_after_five_windows_the_diagnosis_stands(opinions: list[Change]) -> None:
    opinions.extend([*[sure(0.9)] * 5, sure(0.99, "unversioned_change", "classify")])
    ads = warm()
    ads.pass_by(20, BROKEN, (INVALID,))
    assert {c.incident.title for c in ads.changes} == {"ingest: data pipeline broken"}
    assert len(opinions) == 1


def test_the_fifth_window_may_still_change_the_diagnosis(opinions: list[Change]) -> None:
    opinions.extend([*[sure(0.9)] * 4, sure(0.99, "unversioned_change", "classify")])
    ads = warm()
    ads.pass_by(20, BROKEN, (INVALID,))
    assert ads.last.title == "classify: change without a version"
    assert ads.last.windows == 5


# Suspicion


def test_chance_is_watched_for_five_windows_and_dropped(opinions: list[Change]) -> None:
    opinions.append(chance)
    ads = warm()
    for window in range(5):
        step = ads.second(Second(), (INVALID,))
        assert step.changes == []
        assert ads.incidents.watching is (window < 4)
        assert step.release == (frozenset() if window < 4 else frozenset({INVALID}))
    assert all(w.normal for w in ads.history.windows)
    assert step.adopt is False


def test_a_suspicion_marks_its_windows_and_takes_the_marks_back(opinions: list[Change]) -> None:
    opinions.append(chance)
    ads = warm()
    ads.second(Second(), (INVALID,), since=2)
    assert [w.normal for w in ads.history.windows[-4:]] == [True, False, False, False]
    ads.pass_by(4, Second(), (INVALID,))
    assert all(w.normal for w in ads.history.windows)


def test_what_is_worse_than_chance_is_told_while_it_is_watched(opinions: list[Change]) -> None:
    opinions.extend([chance, chance, sure(0.9)])
    ads = warm()
    ads.pass_by(3, BROKEN, (INVALID,))
    assert ads.transitions() == ["opened"]
    assert ads.last.windows == 3


def test_half_a_chance_is_not_told(opinions: list[Change]) -> None:
    opinions.append(lambda d: replace(d, benign=0.5))
    ads = warm()
    ads.second(BROKEN, (INVALID,))
    assert ads.changes == []
    opinions[:] = [lambda d: replace(d, benign=0.49)]
    ads.second(BROKEN, (INVALID,))
    assert ads.transitions() == ["opened"]


def test_traffic_is_excused_for_as_long_as_it_lasts(opinions: list[Change]) -> None:
    opinions.append(traffic)
    ads = warm()
    ads.pass_by(5, Second(factor=3), (RECORDS,))
    assert ads.incidents.watching is False
    assert ads.held == {RECORDS}
    assert all(w.normal for w in ads.history.windows)
    ads.pass_by(20, Second(factor=3), (RECORDS,))
    assert ads.held == {RECORDS}
    ads.second(Second())
    assert ads.held == {RECORDS}
    step = ads.second(Second())
    assert step.release == {RECORDS}
    assert step.adopt is False
    assert ads.changes == []


def test_a_fault_during_excused_traffic_is_an_incident_of_its_own(opinions: list[Change]) -> None:
    opinions.append(traffic)
    ads = warm()
    ads.pass_by(8, Second(factor=3), (RECORDS,))
    opinions[:] = [sure(0.9)]
    ads.second(Second(factor=3, broken=0.8), (RECORDS, INVALID))
    assert ads.transitions() == ["opened"]
    assert ads.last.onset_ms == ads.history.windows[-1].start_ms
    assert ads.held == {RECORDS, INVALID}


def test_a_fault_during_excused_traffic_ends_without_it_and_the_traffic_stays_excused(
    opinions: list[Change],
) -> None:
    opinions.append(traffic)
    ads = warm()
    ads.pass_by(8, Second(factor=3), (RECORDS,))
    opinions[:] = [sure(0.9)]
    ads.pass_by(3, Second(factor=3, broken=0.8), (RECORDS, INVALID))
    ads.pass_by(7, Second(factor=3), (RECORDS,))
    assert ads.transitions() == ["opened"]
    step = ads.second(Second(factor=3), (RECORDS,))
    assert ads.transitions() == ["opened", "resolved"]
    assert step.release == {INVALID}
    ads.incidents = Incidents("ads", SETTINGS, ads.incidents.snapshot())
    ads.pass_by(30, Second(factor=3), (RECORDS,))
    assert ads.transitions() == ["opened", "resolved"]
    assert (ads.held, ads.incidents.watching) == ({RECORDS}, False)
    assert all(w.normal for w in ads.history.windows[-30:])
    ads.pass_by(2)
    assert ads.held == set()


def test_chance_during_excused_traffic_does_not_make_the_traffic_chance(opinions: list[Change]) -> None:
    opinions.append(traffic)
    ads = warm()
    ads.pass_by(8, Second(factor=3), (RECORDS,))
    opinions[:] = [chance]
    ads.pass_by(5, Second(factor=3), (RECORDS, INVALID))
    assert ads.steps[-1].release == {INVALID}
    assert ads.steps[-1].chance is True
    assert (ads.held, ads.incidents.watching) == ({RECORDS}, False)


def test_more_traffic_during_excused_traffic_is_excused_with_it(opinions: list[Change]) -> None:
    opinions.append(traffic)
    ads = warm()
    ads.pass_by(8, Second(factor=3), (RECORDS,))
    ads.pass_by(8, Second(factor=3), (RECORDS, CLICKS))
    assert (ads.held, ads.incidents.watching) == ({RECORDS, CLICKS}, False)
    ads.pass_by(1)
    assert ads.second(Second()).release == {RECORDS, CLICKS}
    assert ads.changes == []


def test_traffic_that_stays_for_720_windows_is_adopted(opinions: list[Change]) -> None:
    opinions.append(traffic)
    ads = warm()
    ads.pass_by(719, Second(factor=3), (RECORDS,))
    assert ads.held == {RECORDS}
    step = ads.second(Second(factor=3), (RECORDS,))
    assert (step.release, step.adopt, step.changes) == (frozenset({RECORDS}), True, [])


def test_a_series_that_diagnosis_does_not_know_is_told_when_it_stays_loud() -> None:
    ads = warm()
    ads.pass_by(4, Second(), (P95,))
    assert ads.changes == []
    ads.second(Second(), (P95,))
    assert ads.last.title == "classify: cause unknown"
    assert "the slowest 5 % of its records is not as usual" in ads.last.sentence
    assert ads.last.severity == "degraded"


def test_a_series_that_diagnosis_does_not_know_is_dropped_when_it_calms() -> None:
    ads = warm()
    ads.second(Second(), (P95,))
    ads.pass_by(6)
    assert ads.changes == []
    assert ads.held == set()


def test_a_window_that_is_not_whole_decides_nothing() -> None:
    ads = warm()
    ads.second(replace(BROKEN, whole=False), (INVALID,))
    assert ads.changes == []
    assert ads.incidents.watching
    ads.second(BROKEN, (INVALID,))
    assert ads.transitions() == ["opened"]


# The onset


def test_the_onset_is_where_the_series_really_left() -> None:
    ads = warm()
    ads.second(BROKEN)
    ads.second(BROKEN, (INVALID,), since=6)
    assert ads.last.onset_ms == ORIGIN_MS + 30 * SECOND
    assert ads.last.windows == 2
    assert [w.normal for w in ads.history.windows[-8:]] == [True] + [False] * 7


def test_the_loudest_alarm_says_when_it_began() -> None:
    ads = warm()
    window = ads.window(BROKEN)
    ads.history.append(window)
    start = window.start_ms
    alarms = [Anomaly(INVALID, start, start, 9.0), Anomaly(POSITIVE, start, start - 20 * SECOND, 2.0)]
    step = drain(ads.incidents.step(window, ads.history, alarms, frozenset()))
    assert step.changes[0].incident.onset_ms == start
    assert [w.normal for w in ads.history.windows[-2:]] == [True, False]


def test_an_onset_lies_at_most_thirty_windows_back() -> None:
    ads = Ads(1)
    ads.pass_by(100)
    ads.second(BROKEN, (INVALID,), since=80)
    assert [w.normal for w in ads.history.windows].count(False) == 31


def test_an_onset_never_lies_before_the_end_of_the_last_incident() -> None:
    ads = warm()
    ads.pass_by(3, BROKEN, (INVALID,))
    ads.pass_by(10)
    assert ads.transitions() == ["opened", "resolved"]
    ended = ads.last.resolved_ms
    ads.second(BROKEN, (INVALID,), since=25)
    first = next(w.start_ms for w in ads.history.windows if not w.normal and w.start_ms >= ended)
    assert first == ended


# An open incident


def test_anomalies_that_follow_join_and_are_held() -> None:
    ads = warm()
    assert ads.second(BROKEN, (INVALID,)).hold == {INVALID}
    assert ads.second(BROKEN, (INVALID, CLICKS)).hold == {CLICKS}
    assert ads.second(BROKEN, (INVALID, CLICKS)).hold == frozenset()
    assert ads.transitions() == ["opened"]


def test_more_of_what_is_known_is_no_news() -> None:
    ads = warm()
    ads.second(BROKEN, (INVALID,))
    ads.pass_by(30, BROKEN, (INVALID, POSITIVE, CLICKS))
    assert ads.transitions() == ["opened"]


def test_a_new_kind_of_number_is_told_after_ten_windows() -> None:
    ads = warm()
    ads.second(BROKEN, (INVALID,))
    slow = SeriesKey("serve", "latency_p50")
    ads.pass_by(9, BROKEN, (INVALID, slow))
    assert ads.transitions() == ["opened"]
    ads.second(BROKEN, (INVALID, slow))
    assert ads.transitions() == ["opened", "updated"]
    assert ads.changes[-1].reply.startswith("More is affected: serve time per record ")
    assert ads.last.evidence[-1].name == "serve time per record"
    assert ads.last.title == "ingest: data pipeline broken"
    ads.pass_by(30, BROKEN, (INVALID, slow))
    assert len(ads.changes) == 2


def test_an_incident_ends_after_its_calm_windows_and_not_before() -> None:
    ads = warm()
    ads.pass_by(4, BROKEN, (INVALID,))
    ads.pass_by(7)
    assert ads.transitions() == ["opened"]
    step = ads.second(Second())
    assert [c.transition for c in step.changes] == ["resolved"]
    assert step.release == {INVALID}
    assert step.adopt is False
    assert ads.incidents.snapshot()["case"] is None
    assert ads.last.resolved_ms == ORIGIN_MS + 34 * SECOND
    assert step.verdict == Verdict("healthy", ORIGIN_MS + 42 * SECOND)


def test_one_loud_window_starts_the_count_anew() -> None:
    ads = warm()
    ads.pass_by(4, BROKEN, (INVALID,))
    ads.pass_by(7)
    ads.second(BROKEN, (INVALID,))
    ads.pass_by(7)
    assert ads.transitions() == ["opened"]
    ads.second(Second())
    assert ads.transitions() == ["opened", "resolved"]


def test_partial_windows_count_as_neither_calm_nor_loud() -> None:
    ads = warm()
    ads.pass_by(4, BROKEN, (INVALID,))
    ads.pass_by(7)
    ads.pass_by(5, Second(whole=False))
    assert ads.transitions() == ["opened"]
    ads.second(Second())
    assert ads.transitions() == ["opened", "resolved"]


def test_the_windows_of_a_fault_stay_marked_and_the_calm_ones_do_not() -> None:
    ads = warm()
    ads.pass_by(4, BROKEN, (INVALID,))
    ads.pass_by(8)
    assert [i for i, w in enumerate(ads.history.windows) if not w.normal] == [30, 31, 32, 33]


def test_what_lasts_720_windows_is_the_new_normal() -> None:
    ads = warm()
    ads.pass_by(719, BROKEN, (INVALID,))
    assert ads.last.state == "open"
    step = ads.second(BROKEN, (INVALID,))
    assert step.adopt is True
    assert step.release == {INVALID}
    assert ads.changes[-1].transition == "resolved"
    assert ads.changes[-1].reply.startswith("After 12 min this is taken as the new normal")
    assert ads.last.resolved_ms - ads.last.onset_ms == 720 * SECOND
    assert all(w.normal for w in ads.history.windows)
    assert step.verdict is not None
    assert step.verdict.state == "healthy"


# Emitters


def test_a_silent_stage_is_told_without_any_alarm() -> None:
    ads = warm()
    ads.second(Second(silent=("classify",)))
    assert ads.transitions() == ["opened"]
    assert ads.last.stage == "classify"
    assert ads.last.sentence.startswith("0 of 1 emitters of classify are heard. The cause is open: ")
    assert ads.steps[-1].hold == frozenset()
    # Records under way blur the first window; in the second the next stage still gets its records.
    ads.second(Second(silent=("classify",)))
    assert ads.transitions() == ["opened", "updated"]
    assert ads.last.title == "classify: monitoring blind"
    assert (
        ads.last.sentence
        == "0 of 1 emitters of classify are heard; whether the others still work cannot be seen."
    )
    assert ads.last.severity == "degraded"


def test_a_pipeline_of_which_nothing_is_heard_is_told_as_a_whole() -> None:
    ads = warm()
    ads.second(Second(silent=("ingest", "classify", "serve"), whole=False))
    assert ads.last.stage == ""
    assert ads.last.title == "ads: monitoring blind"


def test_an_emitter_that_comes_back_ends_the_incident_without_a_cost() -> None:
    ads = warm()
    ads.pass_by(3, Second(silent=("classify",)))
    ads.pass_by(8)
    assert ads.transitions() == ["opened", "updated", "resolved"]
    assert ads.last.cost == ""


# The state


def test_a_verdict_is_told_once_a_turn() -> None:
    ads = warm()
    ads.pass_by(12, BROKEN, (INVALID, POSITIVE, CLICKS))
    ads.pass_by(20)
    assert [v.state for v in ads.verdicts] == ["tripped", "healthy"]
    assert ads.verdicts[0] == Verdict(
        "tripped", ORIGIN_MS + 31 * SECOND, "ads-20261121-031220", "ingest", "data pipeline broken"
    )
    assert ads.incidents.verdict == ads.verdicts[-1]


def test_a_snapshot_survives_messagepack_in_every_phase(opinions: list[Change]) -> None:
    opinions.append(traffic)
    ads = warm()
    for second in [Second(), *[Second(factor=3)] * 7]:
        ads.second(second, (RECORDS,) if second.factor > 1 else ())
        snapshot = ads.incidents.snapshot()
        again = Incidents("ads", SETTINGS, msgspec.msgpack.decode(msgspec.msgpack.encode(snapshot)))
        assert again.snapshot() == snapshot
        assert again.watching == ads.incidents.watching


def test_a_snapshot_of_another_version_or_a_damaged_one_is_refused() -> None:
    snapshot = Incidents("ads", SETTINGS).snapshot()
    with pytest.raises(
        SnapshotError, match=f"of version {SNAPSHOT + 1}; this Swirl reads version {SNAPSHOT}"
    ):
        Incidents("ads", SETTINGS, {**snapshot, "schema": SNAPSHOT + 1})
    with pytest.raises(SnapshotError, match="cannot be restored"):
        Incidents("ads", SETTINGS, {**snapshot, "ended_ms": "soon"})
