"""What a cause cannot bring about, it does not explain: too many labels, what is loud beside traffic."""

from __future__ import annotations

import pytest

from swirl.incident.diagnose import Diagnosis, diagnose
from tests.incident.acts import NEW, SECOND, Ads, Second
from tests.incident.simulator import drain


def after(*seconds: Second, usual: Second | None = None, lag_ms: int = 0) -> Diagnosis:
    """The diagnosis of some seconds after forty usual ones."""
    ads = Ads(1)
    ads.pass_by(40, usual or Second())
    for second in seconds:
        ads.second(second)
        ads.history.windows[-1].lag_ms = lag_ms or ads.history.windows[-1].lag_ms
    end = ads.history.windows[-1].start_ms
    found: Diagnosis = drain(diagnose(ads.history, end - (len(seconds) - 1) * SECOND, end))
    return found


def test_a_few_invalid_records_do_not_explain_labels_that_all_change() -> None:
    d = after(*[Second(broken=0.002, shifted=-0.4)] * 3)
    assert d.best == ("unversioned_change", "classify")


def test_invalid_records_explain_labels_that_change_as_little() -> None:
    d = after(*[Second(broken=0.2, shifted=-0.02)] * 3)
    assert d.best == ("data_broken", "ingest")


@pytest.mark.parametrize("windows", [2, 3, 5])
def test_labels_that_change_at_once_without_a_version_are_a_change_without_one(windows: int) -> None:
    d = after(*[Second(shifted=-0.3)] * windows)
    assert (d.cause, d.stage) == ("unversioned_change", "classify")


def test_traffic_does_not_explain_away_clicks_that_are_gone() -> None:
    d = after(*[Second(factor=2.5, clicked=0.3)] * 3)
    assert d.benign < 0.1


def test_what_only_the_stages_below_show_in_the_window_of_a_deployment_is_the_deployment() -> None:
    d = after(*[Second(version=NEW, clicked=0.5)] * 3)
    assert d.best == ("bad_deployment", "classify")
    assert 0.6 < d.cause_probability < 0.8


def test_what_only_the_stages_below_show_long_after_a_deployment_is_not() -> None:
    ads = Ads(1)
    ads.pass_by(40)
    ads.pass_by(20, Second(version=NEW))
    ads.pass_by(3, Second(version=NEW, clicked=0.5))
    end = ads.history.windows[-1].start_ms
    d: Diagnosis = drain(diagnose(ads.history, end - 2 * SECOND, end))
    assert d.best[0] == "downstream_broken"


def test_late_records_leave_every_stage_with_less_to_do() -> None:
    usual, trickle = Second(latency=20e-3), Second(latency=9e-3)
    d = after(*[trickle] * 3, usual=usual, lag_ms=40_000)
    assert (d.cause, d.stage) == ("late_data", "ingest")
