"""Priors learn from incidents that people judged, and never so much that they overrule what is seen."""

from __future__ import annotations

from math import inf, log, nan

import pytest

from swirl.incident.causes import CAUSES
from swirl.incident.diagnose import diagnose
from swirl.incident.priors import Priors
from tests.incident.acts import BROKEN, BUG, SECOND, Ads, Second
from tests.incident.simulator import drain


def test_without_judgements_they_are_those_of_the_table() -> None:
    assert {name: Priors().of(name) for name in CAUSES} == pytest.approx(
        {name: cause.prior for name, cause in CAUSES.items()}
    )


def test_their_sum_stays_that_of_the_table() -> None:
    taught = Priors({"data_broken": 3, "chance": 7, "slow_stage": 1})
    assert sum(taught.of(c) for c in CAUSES) == pytest.approx(sum(c.prior for c in CAUSES.values()))


def test_ten_judgements_shift_and_a_thousand_do_not_overturn() -> None:
    plain = Priors()
    for cause in CAUSES:
        ten, thousand = Priors({cause: 10}), Priors({cause: 1000})
        assert log(ten.of(cause) / plain.of(cause)) > 0.6, cause
        other = "blind" if cause != "blind" else "late_data"
        swing = log(thousand.of(cause) / plain.of(cause)) - log(thousand.of(other) / plain.of(other))
        assert swing < 5.8, cause


def test_later_judgements_count_against_earlier_ones() -> None:
    mixed = Priors({"blind": 500, "late_data": 500})
    assert mixed.of("blind") == mixed.of("late_data") < Priors({"blind": 500}).of("blind")


@pytest.mark.parametrize("count", [0, -3, nan, inf, 1e300])
def test_counts_that_are_none_teach_nothing(count: float) -> None:
    assert Priors({"blind": count}).of("blind") == pytest.approx(CAUSES["blind"].prior)
    assert Priors({"no such cause": 5}).of("blind") == pytest.approx(CAUSES["blind"].prior)


def after(*seconds: Second) -> Ads:
    ads = Ads(1)
    ads.pass_by(60)
    for second in seconds:
        ads.second(second)
    return ads


@pytest.mark.parametrize(("second", "cause"), [(BROKEN, "data_broken"), (BUG, "bad_deployment")])
@pytest.mark.parametrize("taught", ["chance", "concept_shift", "stage_errors", "bad_deployment"])
def test_what_is_plain_to_see_stays_plain_whatever_was_judged_before(
    second: Second, cause: str, taught: str
) -> None:
    ads = after(*[second] * 3)
    end = ads.history.windows[-1].start_ms
    d = drain(diagnose(ads.history, end - 2 * SECOND, end, priors=Priors({taught: 1000})))
    assert d.best[0] == cause
    assert d.benign < 0.1


def test_what_is_doubtful_leans_to_what_people_found_before() -> None:
    ads = after(Second(factor=2.0), Second(factor=2.03))
    end = ads.history.windows[-1].start_ms

    def doubled(priors: Priors) -> float:
        d = drain(diagnose(ads.history, end - SECOND, end, priors=priors))
        return float(d.posterior["source_doubled", "ingest"])

    plain = doubled(Priors())
    assert doubled(Priors({"source_doubled": 10})) > plain + 0.02
    assert doubled(Priors({"surge": 10})) < plain - 0.02
