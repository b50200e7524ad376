"""Traffic: what is nobody's fault, what is, and what the number of processes has to do with it."""

from __future__ import annotations

import pytest

from swirl.incident.causes import CAUSES
from swirl.incident.diagnose import Diagnosis, diagnose
from tests.incident.acts import BROKEN, SECOND, Ads, Second
from tests.incident.simulator import drain


def last(ads: Ads, windows: int = 1) -> Diagnosis:
    end = ads.history.windows[-1].start_ms
    diagnosis: Diagnosis = drain(diagnose(ads.history, end - (windows - 1) * SECOND, end))
    return diagnosis


def after(*seconds: Second, emitters: int = 1, warm: int = 60, latency: float = 3e-6) -> Diagnosis:
    ads = Ads(1)
    ads.pass_by(warm, Second(emitters=emitters, latency=latency))
    for second in seconds:
        ads.second(second)
    return last(ads, len(seconds))


@pytest.mark.parametrize("windows", [1, 2, 3])
@pytest.mark.parametrize(("emitters", "now"), [(1, 2), (2, 3), (2, 6), (4, 2), (3, 1)])
def test_traffic_that_follows_the_number_of_processes_is_benign(
    emitters: int, now: int, windows: int
) -> None:
    d = after(*[Second(factor=now / emitters, emitters=now)] * windows, emitters=emitters)
    assert d.best[0] == "scaling"
    assert d.benign > 0.8


@pytest.mark.parametrize("first", [1.1, 1.5, 1.9])
def test_a_process_that_joins_within_a_window_is_no_incident(first: float) -> None:
    joining = Second(factor=first, emitters=2)
    assert after(joining).benign > 0.8
    assert after(joining, *[Second(factor=2.0, emitters=2)] * 2).benign > 0.8


def test_processes_that_share_one_source_change_nothing() -> None:
    assert after(*[Second(emitters=2)] * 3).benign > 0.9


@pytest.mark.parametrize("windows", [1, 3])
def test_more_processes_that_are_faster_for_it_are_no_incident(windows: int) -> None:
    d = after(*[Second(factor=2.0, emitters=2, latency=0.02)] * windows, latency=0.04)
    assert d.best[0] == "scaling"
    assert d.benign > 0.8


def test_more_processes_that_are_slower_are_told() -> None:
    assert after(*[Second(factor=2.0, emitters=2, latency=0.08)] * 3, latency=0.04).benign < 0.2


def test_a_rolling_restart_of_all_processes_is_no_incident() -> None:
    away = Second(factor=0.75, emitters=3)
    for windows in range(1, 5):
        assert after(*[away] * windows, emitters=4).benign > 0.8, windows
    assert after(*[away] * 4, Second(emitters=4), emitters=4).benign > 0.8


def test_twice_the_processes_and_people_who_do_not_follow_are_records_that_come_twice() -> None:
    d = after(*[Second(factor=2.0, emitters=2, clicked=0.5)] * 3)
    assert (d.cause, d.stage) == ("source_doubled", "ingest")
    assert d.benign < 0.2


def test_twice_the_records_of_as_many_processes_are_records_that_come_twice() -> None:
    d = after(*[Second(factor=2.0)] * 3)
    assert (d.cause, d.stage) == ("source_doubled", "ingest")


@pytest.mark.parametrize("factor", [0.02, 0.5])
def test_more_processes_do_not_excuse_less_traffic(factor: float) -> None:
    d = after(*[Second(factor=factor, emitters=2)] * 3)
    assert d.best[0] in ("source_outage", "source_throttled")


def test_a_fault_is_seen_beside_a_change_of_the_number_of_processes() -> None:
    d = after(*[Second(broken=BROKEN.broken, factor=2.0, emitters=2)] * 3)
    assert d.best == ("data_broken", "ingest")
    assert d.benign < 0.1


def test_what_is_benign_has_nothing_to_look_at() -> None:
    assert {name for name, cause in CAUSES.items() if cause.benign} == {
        "surge",
        "rhythm",
        "scaling",
        "return",
        "chance",
    }


def forecast(ads: Ads, windows: int, expected: float, error: float) -> Diagnosis:
    starts = [w.start_ms for w in ads.history.windows[-windows:]]
    given = {"ingest": dict.fromkeys(starts, (expected, error * expected))}
    d: Diagnosis = drain(diagnose(ads.history, starts[0], starts[-1], forecasts=given))
    return d


def slow_fall(to: float) -> Ads:
    ads = Ads(1)
    ads.pass_by(60)
    for step in range(15):
        ads.second(Second(factor=1 - (1 - to) * (step + 1) / 15))
    return ads


def test_throttling_that_comes_slowly_is_told_from_rhythm_by_a_forecast() -> None:
    ads = slow_fall(0.6)
    assert last(ads, 5).benign > 0.5  # without a forecast nothing tells them apart
    d = forecast(ads, 5, 25_000.0, 0.05)
    assert (d.cause, d.stage) == ("source_throttled", "ingest")
    assert d.benign < 0.2


def test_a_rhythm_that_was_forecast_is_no_incident_however_fast_it_comes() -> None:
    ads = Ads(1)
    ads.pass_by(60)
    ads.pass_by(3, Second(factor=0.5))
    assert last(ads, 3).benign < 0.5
    d = forecast(ads, 3, 12_500.0, 0.05)
    assert d.benign > 0.8


def test_an_outage_is_an_outage_at_the_quiet_hour_too() -> None:
    ads = slow_fall(0.3)
    ads.pass_by(2, Second(factor=0.0))
    assert forecast(ads, 2, 7_500.0, 0.1).best == ("source_outage", "ingest")
