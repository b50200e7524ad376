"""Several emitters of one pipeline, watched by the whole monitor with its real detectors."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from swirl.effect import IncidentChanged
from swirl.monitor import Monitor
from tests.monitor.fleet import STEP_MS, Fleet, Member
from tests.monitor.log import as_bytes

if TYPE_CHECKING:
    from swirl.effect import WindowClosed

LEARNT = 900
"""Seconds after which the detectors know what is usual."""


def learnt(seed: int, **given: float) -> Fleet:
    fleet = Fleet(seed, **given)  # type: ignore[arg-type] # numbers of a fleet and of its settings
    fleet.run(LEARNT + round(random.Random(seed).random() * 10, 1))
    return fleet


def first_told(fleet: Fleet) -> list[WindowClosed]:
    """Windows as they were judged, without those in which the emitters begin."""
    return [window for window in fleet.windows if window.revision == 0][2:]


def revisions(fleet: Fleet) -> int:
    return sum(window.revision > 0 for window in fleet.windows)


def shared_by_the_others(fleet: Fleet, rate: float = 400.0) -> None:
    for member in fleet.members:
        member.rate = rate / len(fleet.members)


@pytest.mark.parametrize("seed", range(4))
def test_one_of_four_that_is_killed_is_told_as_a_silent_emitter_and_not_as_less_traffic(seed: int) -> None:
    fleet = learnt(seed)
    fleet.kill(fleet.members[seed % 4])
    killed_ms = fleet.now_ms
    fleet.run(60)
    assert fleet.titles == ["ads: monitoring blind"]
    opened = next(effect for effect in fleet.effects if isinstance(effect, IncidentChanged))
    assert opened.incident.sentence.startswith("3 of 4 emitters of ingest are heard")
    shown = next(w for w in fleet.windows if w.start_ms <= killed_ms - 1_000 < w.end_ms)
    assert opened.incident.opened_ms <= shown.end_ms + shown.window_ms
    assert first_told(fleet)[-1].health.emitters_silent == 1
    assert revisions(fleet) == 0


@pytest.mark.parametrize("delay_ms", [0, 250])
def test_an_emitter_that_ends_as_it_should_is_no_late_data(delay_ms: int) -> None:
    """Its last windows are closed when nothing came for a while."""
    fleet = Fleet(1, count=1, window_seconds=1)
    fleet.members[0].delay_ms = delay_ms
    fleet.run(80)
    fleet.stop(fleet.members[0])
    told = len(fleet.windows)
    for _ in range(30):
        fleet.tick(1)
    assert len(fleet.windows) > told
    assert fleet.titles == []
    assert max(window.health.lag_ms for window in fleet.windows) <= delay_ms + 2 * STEP_MS


def test_the_window_in_which_an_emitter_died_closes_when_it_counts_as_missing() -> None:
    fleet = learnt(2)
    fleet.kill(fleet.members[2])
    told = len(fleet.windows)
    fleet.run(9)
    assert len(fleet.windows) - told <= 1
    fleet.run(3)
    closed = fleet.windows[-1]
    assert closed.health.emitters_silent == 1
    assert fleet.now_ms - closed.end_ms < closed.window_ms + 5_000


@pytest.mark.parametrize(("flush_ms", "lateness"), [(5_000, 5.0), (5_000, 0.0), (2_000, 0.5), (1_000, 0.0)])
def test_windows_are_whole_when_they_close_whatever_the_phases_of_the_flush(
    flush_ms: int, lateness: float
) -> None:
    fleet = learnt(1, flush_ms=flush_ms, lateness_seconds=lateness)
    judged = first_told(fleet)
    assert len(judged) > 80
    assert all(window.whole for window in judged)
    assert revisions(fleet) == 0
    assert judged[-1].health.late_records == {}
    assert fleet.titles == []


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("lost", [False, True])
def test_a_rolling_restart_with_goodbyes_is_no_incident(seed: int, *, lost: bool) -> None:
    fleet = learnt(seed)
    for member in list(fleet.members):
        fleet.stop(member)
        if not lost:
            shared_by_the_others(fleet)
        fleet.run(3)
        fleet.start()
        if not lost:
            shared_by_the_others(fleet)
        fleet.run(5)
    fleet.run(60)
    assert fleet.titles == []
    assert all(window.whole for window in first_told(fleet))
    assert revisions(fleet) == 0


@pytest.mark.parametrize("seed", range(2))
def test_a_rolling_restart_without_goodbyes_is_none_either(seed: int) -> None:
    fleet = learnt(seed)
    for member in list(fleet.members):
        fleet.kill(member)
        shared_by_the_others(fleet)
        fleet.run(3)
        fleet.start()
        shared_by_the_others(fleet)
        fleet.run(20)
    fleet.run(60)
    assert fleet.titles == []
    assert revisions(fleet) == 0
    assert fleet.windows[-1].health.emitters == 4


@pytest.mark.parametrize(
    ("skew_ms", "in_time"), [(-20_000, False), (-8_000, True), (20_000, True), (45_000, True)]
)
def test_windows_close_in_time_and_nothing_is_lost_where_a_clock_is_wrong(
    skew_ms: int, *, in_time: bool
) -> None:
    fleet = Fleet(1)
    fleet.members[0].skew_ms = skew_ms
    fleet.run(LEARNT)
    behind_ms = fleet.now_ms - fleet.windows[-1].end_ms
    assert behind_ms <= 10_000 + 5_000 + 10_000  # a window, the lateness, the silence
    # What came since the last window was told is not in it yet.
    counted = sum(total.records for total in fleet.windows[-1].totals["ingest"].values())
    assert 0 <= fleet.sent - counted <= 400 * (behind_ms / 1000 + 2)
    assert fleet.titles == []
    # One clock that runs ahead makes nobody late; one that is far behind is late itself.
    assert (revisions(fleet) == 0) == in_time


def test_an_emitter_whose_frames_travel_too_long_is_told_as_such_for_as_long_as_they_do() -> None:
    fleet = learnt(3)
    fleet.members[1].delay_ms = 30_000
    fleet.run(200)
    assert fleet.titles == ["ads: monitoring blind"]
    assert "resolved" not in transitions(fleet)
    fleet.members[1].delay_ms = 0
    fleet.run(400)
    assert fleet.titles == ["ads: monitoring blind"]
    assert transitions(fleet)[-1] == "resolved"


def transitions(fleet: Fleet) -> list[str]:
    return [effect.transition for effect in fleet.effects if isinstance(effect, IncidentChanged)]


def test_a_process_that_begins_anew_with_its_clock_put_back_is_no_lack_of_traffic() -> None:
    fleet = learnt(1)
    fleet.kill(fleet.members[0])
    fleet.start().skew_ms = -20_000
    fleet.run(120)
    assert fleet.titles == ["ads: monitoring blind"]


def test_a_newcomer_that_reads_old_data_holds_nobody_back() -> None:
    fleet = learnt(4)
    reader = Member(b"reader of the pa", 0.0, 1_000, fleet.now_ms + 500, fleet.now_ms, skew_ms=-3_600_000)
    fleet.members.append(reader)
    fleet.run(60)
    assert fleet.now_ms - fleet.windows[-1].end_ms <= 15_100
    assert fleet.titles == []


CHECKED = settings(
    max_examples=2,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    phases=[Phase.generate],
)


class Cut(Fleet):
    """A fleet whose monitor is replaced by one that goes on from its snapshot, at given frames."""

    cuts: frozenset[int] = frozenset()

    def _apply(self, log_ms: int, payload: bytes) -> None:
        if self.monitor.next_offset in self.cuts:
            resumed = Monitor(self.monitor._settings)
            resumed.restore(self.monitor.snapshot())
            assert resumed.snapshot() == self.monitor.snapshot()
            self.monitor = resumed
        super()._apply(log_ms, payload)


@CHECKED
@given(seed=st.integers(0, 1_000), cuts=st.sets(st.integers(0, 700), min_size=3, max_size=9))
def test_a_fleet_that_is_watched_on_after_restarts_of_the_monitor_gives_the_same(
    seed: int, cuts: set[int]
) -> None:
    whole, cut = story(Fleet(seed, window_seconds=1.0)), Cut(seed, window_seconds=1.0)
    cut.cuts = frozenset(cuts)
    assert as_bytes(story(cut).effects) == as_bytes(whole.effects)


def story(fleet: Fleet) -> Fleet:
    """Clocks that differ, a death, a restart, a slow way, a goodbye."""
    fleet.members[3].skew_ms = -8_000
    fleet.run(60)
    fleet.kill(fleet.members[0])
    fleet.run(15)
    fleet.start(phase_ms=300).skew_ms = 12_000
    fleet.members[0].delay_ms = 17_000
    fleet.run(60)
    fleet.stop(fleet.members[1])
    fleet.members[0].delay_ms = 0
    fleet.run(60)
    return fleet
