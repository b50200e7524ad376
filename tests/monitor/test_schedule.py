"""When the next run is due: times of the week at which a pipeline never runs are learnt from its history."""

from __future__ import annotations

import pytest

from swirl.monitor.schedule import WEEK_MS, Schedule
from tests.monitor.nightly import DAY, HOUR, MINUTE, Nightly


def noted(period: int, begun: list[int]) -> Schedule:
    schedule = Schedule(period)
    for at in begun:
        schedule.note(at)
    return schedule


def weekdays(until: int, hour: int = 2) -> list[int]:
    return [day * DAY + hour * HOUR for day in range(until) if day % 7 < 5]


def test_a_weekend_is_not_due_once_two_weeks_have_shown_none() -> None:
    friday = {week: (7 * week + 4) * DAY + 2 * HOUR for week in range(4)}
    for week, days in ((1, 1), (2, 3), (3, 3)):
        schedule = noted(DAY, weekdays(7 * week + 5))
        assert schedule.next_ms(friday[week]) == friday[week] + days * DAY


def test_every_day_is_due_where_every_day_has_seen_runs() -> None:
    begun = [day * DAY + (day % 3) * 20 * MINUTE for day in range(40)]
    schedule = noted(DAY, begun)
    assert schedule.next_ms(begun[-1]) == begun[-1] + DAY


def test_one_run_by_hand_does_not_make_a_saturday_due() -> None:
    begun = sorted([*weekdays(33), 19 * DAY + 11 * HOUR])
    assert noted(DAY, begun).next_ms(begun[-1]) == begun[-1] + 3 * DAY


def test_a_day_that_was_missed_twice_is_still_due() -> None:
    begun = [at for at in weekdays(35) if at // DAY not in (21, 28)]
    schedule = noted(DAY, begun)
    assert schedule.next_ms(begun[-1]) == begun[-1] + 3 * DAY


def test_after_a_run_that_came_late_the_next_is_due_at_its_usual_time() -> None:
    late = 18 * DAY + 15 * HOUR
    assert noted(DAY, [*weekdays(18), late]).next_ms(late) == 21 * DAY + 2 * HOUR


def test_weeks_without_any_run_say_nothing_of_their_days() -> None:
    begun = [at for at in weekdays(42) if at // WEEK_MS not in (2, 3, 4)]
    schedule = noted(DAY, begun)
    assert schedule.next_ms(38 * DAY + 2 * HOUR) == 39 * DAY + 2 * HOUR


def test_hours_of_the_night_are_not_due_for_what_runs_by_day() -> None:
    begun = [day * DAY + hour * HOUR for day in range(20) for hour in range(8, 18)]
    assert noted(HOUR, begun).next_ms(begun[-1]) == 20 * DAY + 8 * HOUR


@pytest.mark.parametrize("period", [MINUTE, HOUR, 5 * DAY])
def test_what_is_kept_is_bounded(period: int) -> None:
    schedule = noted(period, [n * period // 7 for n in range(20_000)])
    assert len(schedule.begun_ms) <= 2 * 4 * 7 * 24
    assert schedule.next_ms(10**12) > 10**12


def test_a_job_of_the_weekdays_is_missed_on_a_monday_and_not_on_a_saturday() -> None:
    job = Nightly()
    for _ in range(3):
        job.nights(5)
        job.tick(job.now + 2 * DAY, every=HOUR)
    weekends = [title for transition, title in job.told if transition == "opened"]
    assert weekends == ["nightly: did not run"] * 2
    job.nights(5)
    friday = job.now - DAY
    told = len(job.told)
    job.tick(friday + 3 * DAY + 5 * HOUR)
    assert len(job.told) == told
    job.tick(friday + 3 * DAY + 8 * HOUR)
    assert job.told[told:] == [("opened", "nightly: did not run")]
    assert job.changes[-1].incident.sentence.startswith("The pipeline: last run 3 d 6 h ago")
