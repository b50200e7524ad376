"""Pipelines that run in batches: one window a run, runs that stay away, runs that do not finish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec
import pytest

from swirl import Pipeline
from swirl.effect import IncidentChanged, State, VerdictChanged
from swirl.frame import Act, Definition, Frame, decode, encode
from swirl.monitor import Monitor
from swirl.testing.harness import Harness
from tests.monitor.log import START, as_bytes, make_log
from tests.monitor.nightly import DAY, GRAPH, HOUR, MINUTE, SETTINGS, STAGES, Nightly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swirl.effect import Effect, WindowClosed


def value(window: WindowClosed, stage: str, metric: str) -> float:
    point = window.point(stage, metric)
    assert point is not None
    return point.value


def test_a_run_is_a_window_whatever_the_event_times_of_its_records() -> None:
    job = Nightly()
    began = job.now
    job.run(minutes=40)
    length = job.now - began
    job.tick(job.now + MINUTE)
    (window,) = job.windows
    assert (window.start_ms, window.window_ms, window.exposure_ms, window.whole) == (
        began,
        length,
        length,
        True,
    )
    point = window.point("load", "records")
    assert point is not None
    assert point.value == pytest.approx(point.numerator / (length / 1000))
    assert point.numerator == pytest.approx(10_000, rel=0.1)
    assert value(window, "", "run_seconds") == length / 1000
    assert window.health.late_records == {}


def test_forty_nights_with_noise_tell_nothing() -> None:
    job = Nightly()
    job.nights(40)
    assert [window.whole for window in job.windows] == [True] * 40
    assert job.told == []


def test_warm_up_counts_runs_and_is_short() -> None:
    job = Nightly()
    job.nights(12)
    states = [window.point("load", "invalid_ratio").state for window in job.windows]  # type: ignore[union-attr]
    assert states == [State.LEARNING] * 10 + [State.NORMAL] * 2


@pytest.mark.parametrize(
    ("fault", "title"),
    [
        ({"invalid": 0.3}, "load: data pipeline broken"),
        ({"positive": 0.3}, "score: change without a version"),
    ],
)
def test_a_bad_run_is_told_when_it_is_over_and_resolved_by_the_next_good_one(
    fault: dict[str, float], title: str
) -> None:
    job = Nightly()
    job.nights(40)
    began = job.now
    job.nights(1, **fault)
    assert job.told == [("opened", title)]
    opened = job.changes[0].incident
    assert opened.onset_ms == began
    assert opened.opened_ms - began == pytest.approx(40 * MINUTE, rel=0.2)
    job.nights(1)
    assert [transition for transition, _ in job.told] == ["opened", "resolved"]


def test_what_lasts_longer_than_windows_are_kept_is_still_the_new_normal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("swirl.incident.following.ADOPTED_WINDOWS", 230)
    job = Nightly()
    job.nights(20)
    job.nights(229, invalid=0.3)
    assert "resolved" not in [transition for transition, _ in job.told]
    job.nights(1, invalid=0.3)
    assert "this is taken as the new normal" in job.changes[-1].reply
    told = len(job.told)
    job.nights(3, invalid=0.3)
    assert len(job.told) == told


@pytest.mark.parametrize("word", ["new_normal", "false_alarm"])
def test_what_a_person_says_of_a_run_ends_its_incident_where_the_run_ended(
    word: Literal["new_normal", "false_alarm"],
) -> None:
    job = Nightly()
    job.nights(20)
    job.run(invalid=0.3)
    ended = job.now
    job.tick(job.now + 5 * MINUTE, every=10_000)
    job.apply(encode(Act("nightly", word, job.changes[0].incident.id)))
    assert job.changes[-1].transition == "resolved"
    assert job.changes[-1].incident.resolved_ms == ended
    (verdict,) = [e.verdict for e in job.effects[-2:] if isinstance(e, VerdictChanged)]
    assert (verdict.state, verdict.since_ms) == ("healthy", ended)
    (line,) = [line for line in job.changes[-1].incident.evidence if line.name == "load invalid"]
    assert line.now_value == pytest.approx(3000 / 2400, rel=0.2)


def test_figures_are_rates_of_a_run_not_of_the_time_between_two() -> None:
    job = Nightly()
    job.nights(30)
    job.nights(1, invalid=0.3)
    (line,) = [line for line in job.changes[0].incident.evidence if line.name == "load invalid"]
    assert line.usual_value == pytest.approx(100 / 2400, rel=0.2)
    assert line.now_value == pytest.approx(3000 / 2400, rel=0.2)


def test_a_run_that_stays_away_is_told_once_and_resolved_by_the_next() -> None:
    job = Nightly()
    job.nights(15)
    last = job.windows[-1].start_ms
    job.tick(last + DAY * 5 // 4 + 35 * MINUTE)
    assert job.told == []
    job.tick(last + 4 * DAY)
    assert job.told == [("opened", "nightly: did not run")]
    opened = job.changes[0].incident
    assert opened.sentence == "The pipeline: last run 1 d 6 h ago, usually every 1 d."
    assert opened.look_first.startswith("at what starts the pipeline")
    assert opened.onset_ms == last + DAY
    assert (opened.posterior, opened.rivals) == (1.0, ())
    assert abs(opened.opened_ms - (last + DAY * 5 // 4 + 40 * MINUTE)) < 30 * MINUTE
    missed = job.windows[-1]
    assert (missed.whole, missed.exposure_ms, set(missed.states)) == (False, 0, {State.UNMEASURED})
    assert "nightly" not in job.monitor.awake
    began = job.now
    job.nights(2)
    assert job.told[1:] == [("resolved", "nightly: did not run")]
    assert job.changes[-1].incident.resolved_ms == began
    verdicts = [effect.verdict.state for effect in job.effects if isinstance(effect, VerdictChanged)]
    assert verdicts == ["degraded", "healthy"]


def test_time_passes_between_runs_although_everyone_said_goodbye() -> None:
    job = Nightly()
    job.nights(1)
    assert job.monitor.awake == ("nightly",)


def test_a_run_that_comes_late_but_bad_resolves_the_one_and_opens_the_other() -> None:
    job = Nightly()
    job.nights(40)
    job.tick(job.now + 2 * DAY)
    job.nights(1, invalid=0.3)
    assert job.told == [
        ("opened", "nightly: did not run"),
        ("resolved", "nightly: did not run"),
        ("opened", "load: data pipeline broken"),
    ]


def test_a_crash_in_the_middle_of_a_run_is_told_and_neither_judged_nor_learnt() -> None:
    job = Nightly()
    job.nights(15)
    job.run(crash=0.5)
    crashed = job.now
    job.tick(crashed + MINUTE, every=2_000)
    assert job.told == [("opened", "nightly: run did not finish")]
    incident = job.changes[0].incident
    assert incident.sentence.startswith("The pipeline: the run of ")
    assert "fell silent after" in incident.sentence
    assert "runs usually take" in incident.sentence
    assert incident.opened_ms <= crashed
    window = job.windows[-1]
    assert not window.whole
    assert window.point("load", "invalid_ratio").state is State.UNMEASURED  # type: ignore[union-attr]
    job.tick(crashed + 20 * HOUR)
    job.nights(1)
    assert [transition for transition, _ in job.told] == ["opened", "resolved"]


def test_a_process_that_was_told_to_end_did_not_finish_its_run() -> None:
    job = Nightly()
    name = b"a" * 16
    began = job.now
    job.now += 10 * MINUTE
    job.frame(name, began, began, *job.pieces(100), goodbye=True)
    job.tick(job.now + MINUTE)
    assert job.told == [("opened", "nightly: run did not finish")]
    assert "was ended from outside after 10 min" in job.changes[0].incident.sentence


def test_a_crash_and_then_no_run_are_both_told() -> None:
    job = Nightly()
    job.nights(15)
    job.run(crash=0.5)
    job.tick(job.now + 2 * DAY)
    assert [transition for transition, _ in job.told] == ["opened", "updated"]
    assert job.changes[0].incident.cause == "run did not finish"
    assert job.changes[1].incident.cause == "did not run"
    assert job.changes[1].reply.startswith("Now: did not run, last run 1 d ")
    job.nights(1)
    assert job.told[-1] == ("resolved", "nightly: did not run")


def test_a_run_that_is_missed_while_an_incident_is_open_is_told_too() -> None:
    job = Nightly()
    job.nights(40)
    job.nights(2, invalid=0.3)
    job.tick(job.now + 2 * DAY)
    assert job.told[-1] == ("updated", "load: data pipeline broken")
    assert job.changes[-1].reply.startswith("Now: did not run")
    job.nights(1)
    assert job.told[-1] == ("resolved", "load: data pipeline broken")


@pytest.mark.parametrize("apart", [0, 2 * MINUTE])
def test_the_emitters_of_one_run_are_one_window(apart: int) -> None:
    job = Nightly()
    job.nights(15, emitters=3, apart=apart)
    assert [window.whole for window in job.windows] == [True] * 15
    assert job.windows[-1].point("load", "records").numerator == pytest.approx(10_000, rel=0.1)  # type: ignore[union-attr]
    assert job.told == []


def test_a_run_waits_for_its_slowest_emitter_and_misses_the_one_that_is_lost() -> None:
    job = Nightly()
    names = (b"a" * 16, b"b" * 16)
    for night, lost in enumerate((False, True)):
        began = START + night * DAY
        job.tick(began)
        job.now = began + 10 * MINUTE
        job.frame(names[0], began, began, *job.pieces(100), run_over=True)
        job.frame(names[1], began + 1_000, began, *job.pieces(100))
        for _ in range(20):
            job.now += 5_000
            if not lost:
                job.frame(names[1], began + 1_000, job.now - 5_000)
        assert len(job.windows) == night
        if not lost:
            job.frame(names[1], began + 1_000, job.now, run_over=True)
        job.tick(job.now + MINUTE, every=1_000)
        assert len(job.windows) == night + 1
        assert job.windows[-1].whole is not lost
    assert "lost 1 of its 2 processes" in job.changes[0].incident.sentence


@pytest.mark.parametrize(("names", "windows"), [(("7", "7"), 1), (("7", "8"), 2), (("7", ""), 2)])
def test_emitters_that_name_a_run_are_of_that_run_however_far_apart_they_begin(
    names: tuple[str, str], windows: int
) -> None:
    job = Nightly()
    began = job.now
    for at, name in enumerate(names):
        job.now = began + at * 8_000
        job.frame(
            bytes([at]) * 16, began - at * HOUR * (windows == 1), job.now, *job.pieces(100), run_id=name
        )
    job.now += 5_000
    for at, name in enumerate(names):
        start = began - at * HOUR * (windows == 1)
        job.frame(bytes([at]) * 16, start, job.now - 5_000, run_over=True, run_id=name)
    job.tick(job.now + MINUTE, every=1_000)
    assert [window.whole for window in job.windows] == [True] * windows


def test_a_copy_that_lingers_after_the_others_are_over_holds_the_run_no_longer_than_it_must() -> None:
    hourly = Definition(STAGES, run_seconds=3600)
    job = Nightly(definition=hourly)
    names, began = (b"a" * 16, b"b" * 16), job.now
    job.now += MINUTE
    job.frame(names[0], began, began, *job.pieces(100), run_over=True)
    job.frame(names[1], began, began, *job.pieces(100))
    for _ in range(80):
        job.now += 5_000
        job.frame(names[1], began, job.now - 5_000)
    (window,) = job.windows
    assert window.whole
    assert job.told == []


def test_records_that_come_after_the_end_of_a_run_revise_it() -> None:
    job = Nightly()
    job.run()
    run, name = START, next(iter(job.sequences))
    job.tick(job.now + MINUTE)
    before = job.windows[-1].point("load", "records").numerator  # type: ignore[union-attr]
    job.frame(name, run, job.now, *job.pieces(100))
    job.tick(job.now + DAY)
    job.run()
    job.tick(job.now + MINUTE)
    revised = [window for window in job.windows if window.revision]
    assert [window.start_ms for window in revised] == [START]
    assert revised[0].point("load", "records").numerator == before + 100  # type: ignore[union-attr]
    assert 150 < job.windows[-1].health.late_records["revised"] <= 200


def test_a_run_that_takes_far_longer_than_usual_is_told() -> None:
    job = Nightly()
    job.nights(40)
    job.nights(1, minutes=200)
    assert job.told == [("opened", "nightly: slow run")]
    assert ", usually " in job.changes[0].incident.sentence
    job.nights(1)
    assert [transition for transition, _ in job.told] == ["opened", "resolved"]


def test_a_slow_run_is_told_while_an_incident_is_open() -> None:
    job = Nightly()
    job.nights(40)
    job.nights(1, invalid=0.3)
    job.nights(1, invalid=0.3, minutes=200)
    assert job.told[1:] == [("updated", "load: data pipeline broken")]
    assert job.changes[-1].reply.startswith("Now: slow run, the run of ")


def test_a_run_that_hangs_is_told_when_the_next_is_due() -> None:
    job = Nightly()
    job.nights(15)
    began, name = job.now, b"h" * 16
    while job.now < began + 2 * DAY:
        job.now += 5 * MINUTE
        # Sent every second in truth; here the log is told so often that nobody seems silent.
        job.frame(name, began, job.now - 5 * MINUTE)
        job.tick(job.now + 5_000)
    assert job.told == [("opened", "nightly: run did not finish")]
    assert "is still going after 1 d 6 h" in job.changes[0].incident.sentence


def test_a_run_that_was_heard_from_the_middle_on_is_shown_and_not_judged() -> None:
    job = Nightly()
    name, began = b"m" * 16, job.now
    job.sequences[name] = 100
    job.now += 10 * MINUTE
    job.frame(name, began, began, *job.pieces(100))
    job.sequences[name] = 0
    other = b"o" * 16
    job.frame(other, began, began, *job.pieces(100))
    job.now += MINUTE
    job.sequences[name] = 101
    job.frame(other, began, job.now - MINUTE)
    job.frame(name, began, job.now - MINUTE, *job.pieces(100), run_over=True)
    job.frame(other, began, job.now - MINUTE, run_over=True)
    job.tick(job.now + MINUTE)
    (window,) = job.windows
    assert not window.whole
    assert job.told == []


def test_runs_of_the_past_are_placed_in_the_order_in_which_they_come() -> None:
    job = Nightly()
    job.nights(2)
    last = job.windows[-1].start_ms
    for month in range(3):
        began = job.now
        job.now += MINUTE
        job.frame(bytes([month]) * 16, START - (month + 1) * 30 * DAY, began, *job.pieces(100), run_over=True)
        job.tick(job.now + MINUTE)
    assert [window.start_ms for window in job.windows[2:]] == [last + 1, last + 2, last + 3]
    assert [window.window_ms for window in job.windows[2:]] == [MINUTE] * 3


def test_an_emitter_that_covers_the_event_times_of_its_data_is_measured_by_its_clock() -> None:
    job = Nightly()
    began = job.now
    for minute in (1, 2):
        job.now = began + minute * MINUTE
        last = minute == 2
        covers = (began - DAY, began - DAY + HOUR)
        job.frame(b"e" * 16, began, job.now, *job.pieces(100), covers=covers, run_over=last)
    (window,) = job.windows
    assert (window.whole, window.window_ms) == (True, 2 * MINUTE)


def test_a_clock_far_ahead_begins_no_run() -> None:
    job = Nightly()
    job.frame(b"f" * 16, job.now + DAY, job.now, *job.pieces(100), run_over=True)
    job.tick(job.now + HOUR)
    assert job.windows == []


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -5.0, 1e300])
def test_a_period_that_is_none_makes_an_ordinary_pipeline(seconds: float) -> None:
    job = Nightly(definition=Definition(STAGES, run_seconds=seconds))
    for second in range(5):
        job.now = START + 1000 * (second + 1)
        job.frame(b"e" * 16, 0, START + 1000 * second, *job.pieces(10))
    job.tick(START + 60_000)
    assert [window.window_ms for window in job.windows[:3]] == [1000] * 3


def test_a_pipeline_that_is_defined_anew_begins_anew() -> None:
    job = Nightly()
    job.nights(3)
    job.definition = Definition(STAGES)
    name = b"n" * 16
    for _ in range(10):
        job.now += 1000
        job.frame(name, 0, job.now - 1000, *job.pieces(10))
    assert job.windows[-1].window_ms == 1000
    assert job.told == []


ALL_DAY, VISITOR = b"a" * 16, b"v" * 16


def all_day(job: Nightly, seconds: int, **like: float) -> None:
    """A pipeline that runs all the time, second by second."""
    job.definition = Definition(STAGES)
    for _ in range(seconds):
        begun, job.now = job.now, job.now + 1000
        pieces = [msgspec.structs.replace(piece, bucket_ms=begun) for piece in job.pieces(400, **like)]
        job.frame(ALL_DAY, 0, begun, *pieces)
    job.definition = GRAPH


def visit(job: Nightly, **last: bool) -> None:
    """A process that would run every night says a word."""
    job.frame(VISITOR, job.now, job.now, **last)


@pytest.fixture
def broken_all_day() -> Nightly:
    job = Nightly()
    all_day(job, 200)
    all_day(job, 10, invalid=0.3)
    assert job.changes[0].transition == "opened"
    return job


def test_one_process_that_would_run_at_other_times_changes_nothing(broken_all_day: Nightly) -> None:
    job = broken_all_day
    told = len(job.changes)
    visit(job)
    all_day(job, 5, invalid=0.3)
    visit(job, goodbye=True, run_over=True)
    all_day(job, 5, invalid=0.3)
    assert {change.transition for change in job.changes[told:]} <= {"updated"}
    assert {window.window_ms for window in job.windows} == {1000}
    all_day(job, 60)
    assert job.changes[-1].transition == "resolved"


def test_an_incident_is_closed_when_all_agree_to_run_at_other_times(broken_all_day: Nightly) -> None:
    job = broken_all_day
    visit(job)
    job.definition = Definition(STAGES)
    job.frame(ALL_DAY, 0, job.now, goodbye=True)
    assert job.changes[-1].transition == "resolved"
    assert job.changes[-1].reply.startswith("Closed, and not known to be over")
    verdict = [effect.verdict for effect in job.effects if isinstance(effect, VerdictChanged)][-1]
    assert (verdict.state, verdict.incident) == ("healthy", "")
    job.definition = GRAPH
    told = len(job.changes)
    job.nights(3)
    assert len(job.changes) == told
    assert as_bytes(restored(job, 205)) == as_bytes(restored(job, 0))[-len(restored(job, 205)) :]


def test_the_budget_is_as_many_in_a_hundred_runs_where_these_take_longer_than_a_week() -> None:
    found = []
    for definition in (Definition(STAGES, run_seconds=900), Definition(STAGES, run_seconds=86_400)):
        job = Nightly(definition=definition)
        began = job.now
        for run in range(60):
            job.run(minutes=3)
            job.tick(began + (run + 1) * round(definition.run_seconds * 1000), every=10 * MINUTE)
        spent = [window.health.false_alarms_expected for window in job.windows]
        found.append((spent[-1] - spent[29]) / 30)
    quarter_of_an_hour, day = found
    assert day / quarter_of_an_hour == pytest.approx(672 / 100, rel=0.2)
    assert 0.3 / 100 < day <= 1 / 100


def restored(job: Nightly, cut: int) -> list[Effect]:
    """What a monitor tells that was saved after so many records and restored, of the records after these."""
    before, after = Monitor(job.settings), Monitor(job.settings)
    for offset, (log_ms, payload) in enumerate(job.log[:cut], 1):
        before.apply(offset, log_ms, payload)
    after.restore(before.snapshot())
    assert after.snapshot() == before.snapshot()
    assert after.awake == before.awake
    effects: list[Effect] = []
    for offset, (log_ms, payload) in enumerate(job.log[cut:], cut + 1):
        effects += after.apply(offset, log_ms, payload)
    return effects


def test_snapshots_between_and_during_runs_and_while_one_is_missed_resume_exactly() -> None:
    job = Nightly()
    job.nights(14, emitters=2, apart=1_000)
    job.tick(job.now + 2 * DAY)
    job.nights(2, invalid=0.3)
    job.run(crash=0.5)
    job.tick(job.now + DAY)
    job.nights(2)
    marks = [n for n, (_, payload) in enumerate(job.log) if isinstance(decode(payload), Frame)]
    cuts = [marks[0] + 1, marks[3], marks[90] + 2, marks[113] + 200, marks[-12] + 5, marks[-3]]
    for cut in cuts:
        whole = restored(job, 0)
        told = as_bytes(whole)
        assert as_bytes(restored(job, cut)) == told[len(told) - len(restored(job, cut)) :]
    assert len(whole) > 20


def test_an_ordinary_pipeline_beside_it_is_not_disturbed() -> None:
    log = make_log(3, pipelines=1, seconds=60)
    alone = Monitor(SETTINGS)
    expected = [e for n, x in enumerate(log) for e in alone.apply(n, x.log_ms, x.payload)]
    job = Nightly()
    job.nights(3)
    records = sorted(
        [*((x.log_ms, x.payload) for x in log), *((ms - DAY, payload) for ms, payload in job.log)],
        key=lambda record: record[0],
    )
    both, told = Monitor(SETTINGS), list[bytes]()
    for n, (log_ms, payload) in enumerate(records):
        found: Sequence[Effect] = both.apply(n, log_ms, payload)
        told += as_bytes([e for e in found if not isinstance(e, IncidentChanged) and e.pipeline == "p0"])
    assert told == as_bytes([e for e in expected if not isinstance(e, IncidentChanged)])


def test_a_decorated_pipeline_is_watched_run_by_run() -> None:
    nightly = Pipeline("nightly", every="6 hours")

    @nightly.stage(valid=lambda row: row % 100 != 0, at=lambda row: 1_000_000 + row)
    def load(row: int) -> int:
        return row

    harness = Harness(nightly, flush_seconds=60)

    def run(*, step: int = 1) -> None:
        with nightly.run():
            for row in range(0, 2000 * step, step):
                load(row)
            harness.advance(600)
        harness.be_silent(6 * 3600 - 600)

    for _ in range(30):
        run()
    assert [window.window_ms for window in harness.windows] == [600_000] * 30
    assert harness.changes == []
    run(step=4)
    assert [incident.title for incident in harness.incidents] == ["load: data pipeline broken"]
    run()
    harness.be_silent(6 * 3600)
    run()
    told = [(change.transition, change.incident.cause) for change in harness.changes[1:]]
    assert told == [
        ("resolved", "data pipeline broken"),
        ("opened", "did not run"),
        ("resolved", "did not run"),
    ]
