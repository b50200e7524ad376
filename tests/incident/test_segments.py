"""A fault in one segment: seen there, told with the segment, and not where all segments have it."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

import swirl
from swirl.effect import Incident, SeriesKey
from swirl.frame import Definition, StageDefinition
from swirl.history import History, SegmentCounts, StageCounts, WindowCounts
from swirl.incident.diagnose import diagnose
from swirl.incident.segments import Concentration, concentrated, narrowed, seen_in, within
from swirl.sinks.slack_blocks import Style, root
from swirl.steps import finished
from swirl.testing import Harness, HarnessState
from tests.incident.segments_world import COUNTRIES, FLUSH, WINDOW, Shop, let_pass

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_MS = 60_000
GRAPH = Definition(
    (StageDefinition("check", validates=True, predicts="label"), StageDefinition("score", ("check",)))
)


def harness_of(shop: Shop, resume: HarnessState | None = None) -> Harness:
    return Harness(shop.pipeline, window_seconds=WINDOW, flush_seconds=FLUSH, resume=resume)


@pytest.fixture(scope="module")
def past() -> HarnessState:
    """Half an hour in which nothing happened."""
    shop = Shop(1)
    harness = harness_of(shop)
    let_pass(harness, shop, windows=180)
    assert harness.changes == []
    return harness.save()


def told(
    past: HarnessState, fault: Callable[[Shop], None], *, seed: int = 2, windows: int = 12
) -> tuple[Harness, list[Incident]]:
    """What is told from a fault on."""
    shop = Shop(seed)
    harness = harness_of(shop, past)
    let_pass(harness, shop, windows=1)
    fault(shop)
    let_pass(harness, shop, windows=windows)
    return harness, harness.incidents


def is_soon(incident: Incident, past: HarnessState, windows: int) -> bool:
    """Whether it was opened within so many windows of its beginning."""
    return 0 <= incident.opened_ms - 1000 * (past.now + WINDOW) <= windows * 1000 * WINDOW


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_invalid_records_of_one_segment_are_told_with_stage_cause_and_segment(
    past: HarnessState, seed: int
) -> None:
    _, (incident,) = told(past, lambda shop: shop.invalid.update(DE=0.3), seed=seed)
    assert (incident.title, incident.segment) == ("check: data pipeline broken", "DE")
    assert "segment DE" in incident.sentence
    assert is_soon(incident, past, 6)


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_a_segment_that_disappears_is_an_outage_there(past: HarnessState, seed: int) -> None:
    _, (incident,) = told(past, lambda shop: shop.weight.update(FR=0.0), seed=seed)
    assert (incident.title, incident.segment) == ("check: source outage", "FR")
    assert incident.sentence == "In segment FR, check receives 0 records/s, usually 5/s."
    assert incident.evidence[0].name == "check input in FR"
    assert incident.severity == "degraded"
    assert is_soon(incident, past, 4)


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_labels_of_one_segment_are_told_with_stage_and_segment(past: HarnessState, seed: int) -> None:
    _, (incident,) = told(past, lambda shop: shop.buys.update(US=0.2), seed=seed)
    assert (incident.stage, incident.segment) == ("score", "US")
    # Two windows of so few records may or may not tell a sudden change from a slow one.
    assert incident.cause in ("cause unknown", "change without a version")
    # Of the segment alone, or of all records where they show it too.
    assert re.search(r"score calls 0\.\d+ of its records buy, usually 0\.6", incident.sentence)
    assert "segment US" in incident.sentence
    assert is_soon(incident, past, 5)


def test_a_version_that_fails_one_segment_is_a_bad_deployment_there(past: HarnessState) -> None:
    def deploy(shop: Shop) -> None:
        shop.pipeline.version = "2"
        shop.buys.update(IT=0.2)

    _, (incident,) = told(past, deploy)
    assert (incident.title, incident.segment) == ("score: bad deployment", "IT")
    assert (incident.version, incident.version_before) == ("2", "1")


def test_a_fault_that_the_whole_shows_names_the_segment_that_has_nearly_all_of_it(past: HarnessState) -> None:
    _, (incident,) = told(past, lambda shop: shop.invalid.update(NL=0.95))
    assert (incident.title, incident.segment) == ("check: data pipeline broken", "NL")
    assert incident.sentence.endswith(" Nearly all of it in segment NL.")
    assert incident.evidence[0].name == "check invalid"


@pytest.mark.parametrize("seed", [2, 3])
def test_a_fault_in_all_segments_names_none(past: HarnessState, seed: int) -> None:
    _, (incident,) = told(past, lambda shop: shop.invalid.update(dict.fromkeys(COUNTRIES, 0.3)), seed=seed)
    assert (incident.title, incident.segment) == ("check: data pipeline broken", "")
    assert "segment" not in incident.sentence


def test_a_fault_in_two_of_eight_segments_names_none_of_them_alone(past: HarnessState) -> None:
    _, (incident,) = told(past, lambda shop: shop.invalid.update(DE=0.6, FR=0.6))
    assert (incident.title, incident.segment) == ("check: data pipeline broken", "")


def test_an_incident_of_one_segment_ends_with_the_figures_of_that_segment(past: HarnessState) -> None:
    shop = Shop(5)
    harness = harness_of(shop, past)
    shop.weight["SE"] = 0.0
    let_pass(harness, shop, windows=8)
    shop.weight["SE"] = 1.0
    let_pass(harness, shop, windows=60)
    (incident,) = harness.incidents
    assert (incident.state, incident.segment) == ("resolved", "SE")
    line = incident.evidence[0]
    assert (line.name, line.worst) == ("check input in SE", "0/s")
    assert line.now_value == pytest.approx(5, abs=2)


def test_a_monitor_that_is_restarted_in_an_incident_of_a_segment_tells_the_same(past: HarnessState) -> None:
    told_by = []
    for restart in (False, True):
        shop = Shop(6)
        harness = harness_of(shop, past)
        shop.weight["SE"] = 0.0
        let_pass(harness, shop, windows=3)
        if restart:
            harness.restart_monitor()
        let_pass(harness, shop, windows=8)
        shop.weight["SE"] = 1.0
        let_pass(harness, shop, windows=60)
        told_by.append(harness.changes)
    assert len(told_by[0]) >= 2
    assert told_by[0] == told_by[1]


@pytest.mark.parametrize("number", [8, 20])
def test_quiet_hours_tell_nothing(number: int) -> None:
    countries = tuple(f"c{n}" for n in range(number))
    shop = Shop(7, countries, per_second=30)
    harness = Harness(shop.pipeline, window_seconds=30, flush_seconds=FLUSH)
    let_pass(harness, shop, windows=240, seconds=30)
    assert harness.changes == []
    assert (
        len({p.key.label for p in harness.windows[-1].points() if p.key.metric == "segment_ratio"}) == number
    )


def test_of_more_segments_than_the_cap_the_others_are_one() -> None:
    countries = tuple(f"c{n:02}" for n in range(30))
    shop = Shop(8, countries, per_second=80)
    harness = harness_of(shop)
    let_pass(harness, shop, windows=120)
    shop.invalid.update(dict.fromkeys(countries, 0.5))
    let_pass(harness, shop, windows=6)
    last = harness.windows[-1]
    shown = {p.key.label for p in last.points() if p.key[:2] == ("check", "segment_ratio")}
    assert len(shown) == 20
    assert "(other)" in shown
    (incident,) = harness.incidents
    assert (incident.title, incident.segment) == ("check: data pipeline broken", "")


def test_errors_of_one_segment_are_found_record_by_record() -> None:
    rng = np.random.default_rng(9)
    failing = {"DE": 0.0}
    shop = swirl.Pipeline("shop")

    @shop.stage(segment=lambda order, _result: order)
    def check(country: str) -> str:
        if rng.random() < failing.get(country, 0.0):
            raise ValueError("no price")
        return country

    def order() -> None:
        with suppress(ValueError):
            check(COUNTRIES[int(rng.integers(8))])

    harness = Harness(shop, window_seconds=WINDOW, flush_seconds=FLUSH)
    harness.drive(order, per_second=25, seconds=130 * WINDOW)
    failing["DE"] = 0.3
    harness.drive(order, per_second=25, seconds=8 * WINDOW)
    (incident,) = harness.incidents
    assert (incident.title, incident.segment) == ("check: stage errors", "DE")


def test_a_segment_calls_nobody_in_slack(past: HarnessState) -> None:
    _, (incident,) = told(past, lambda shop: shop.weight.update(FR=0.0))
    hostile = msgspec.json.decode(
        msgspec.json.encode(incident).replace(b"FR", b"<!channel> *x*"), type=Incident
    )
    withheld, shown = str(root(hostile)), str(root(hostile, Style(show_labels=True)))
    assert "channel&gt;" not in withheld
    assert "&lt;!channel&gt;" in shown
    assert "<!channel>" not in withheld + shown


# -- by hand


def history(
    *,
    windows: int = 60,
    broken: dict[str, float] | None = None,
    last: int = 3,
    sizes: dict[str, int] | None = None,
    seed: int = 3,
) -> History:
    """A stage with segments, of which some have a share of invalid records in the last windows."""
    rng = np.random.default_rng(seed)
    sizes = sizes or {"DE": 100, "FR": 100, "US": 100}
    found = History(WINDOW_MS)
    found.definition = GRAPH
    for number in range(windows):
        parts = {}
        for name, size in sizes.items():
            share = (broken or {}).get(name, 0.02) if number >= windows - last else 0.02
            n = int(rng.poisson(size))
            bad = int(rng.binomial(n, share))
            yes = int(rng.binomial(n - bad, 0.5))
            parts[name] = SegmentCounts(n, bad, 0, n - bad, {"yes": yes, "no": n - bad - yes})
        whole = StageCounts(
            records=sum(p.records for p in parts.values()),
            invalid=sum(p.invalid for p in parts.values()),
            out=sum(p.records - p.invalid for p in parts.values()),
            segments=parts,
        )
        found.append(WindowCounts(number * WINDOW_MS, {"check": {"1": whole}}))
    return found


def onset(of: History, last: int = 3) -> tuple[int, int]:
    return of.windows[-last].start_ms, of.windows[-1].start_ms


def test_within_a_segment_only_its_numbers_are_left() -> None:
    found = within(history(), "check", "FR")
    assert [s.name for s in found.definition.stages] == ["check"] if found.definition else False
    part = history().windows[5].stages["check"]["1"].segments["FR"]
    counts = found.windows[5].stages["check"]["1"]
    assert (counts.records, counts.invalid, counts.predictions) == (
        part.records,
        part.invalid,
        part.predictions,
    )
    assert counts.out == counts.handled
    assert found.windows[5].whole


def test_a_stage_below_others_is_a_source_within_a_segment() -> None:
    found = within(history(), "score", "FR").definition
    assert found is not None
    assert found.stages == (StageDefinition("score"),)


def test_windows_without_any_segment_say_nothing_of_one() -> None:
    of = history()
    of.windows[7].stages["check"]["1"].segments = {}
    of.windows[8].stages = {}
    found = within(of, "check", "FR")
    assert [found.windows[n].whole for n in (6, 7, 8)] == [True, False, True]


def test_incident_windows_and_silent_emitters_are_the_same_within_a_segment() -> None:
    of = history()
    of.windows[4].normal = False
    of.windows[4].known, of.windows[4].heard = {"check": 2, "score": 1}, {"check": 1, "score": 1}
    window = within(of, "check", "FR").windows[4]
    assert (window.normal, window.known, window.heard) == (False, {"check": 2}, {"check": 1})


def test_a_series_of_a_segment_is_a_plain_one_within_it() -> None:
    found, key = seen_in(history(), SeriesKey("check", "segment_invalid_ratio", "FR"))
    assert key == SeriesKey("check", "invalid_ratio")
    assert found.windows[0].stages["check"]["1"].segments == {}
    whole = history()
    assert seen_in(whole, key) == (whole, key)


def test_the_segment_with_the_excess_is_found_with_both_ratios() -> None:
    of = history(broken={"FR": 0.4})
    found = concentrated(of, "check", *onset(of))
    assert found is not None
    assert found.segment == "FR"
    assert found.now == pytest.approx(0.4, abs=0.1)
    assert found.elsewhere == pytest.approx(0.02, abs=0.02)
    assert found.share == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize(
    ("broken", "sizes"),
    [
        ({}, None),
        ({"DE": 0.4, "FR": 0.4, "US": 0.4}, None),
        ({"DE": 0.4, "FR": 0.4}, {"DE": 900, "FR": 50}),
        ({"DE": 0.4}, {"DE": 100}),
    ],
    ids=["nothing", "all alike", "one is nearly all", "one only"],
)
def test_no_segment_is_named_where_none_stands_out(
    broken: dict[str, float], sizes: dict[str, int] | None
) -> None:
    of = history(broken=broken, sizes=sizes)
    assert concentrated(of, "check", *onset(of)) is None


@pytest.mark.parametrize(
    ("share", "sigmas", "clear"),
    [(0.85, 5.0, True), (1.3, 1.0, True), (0.7, 1.0, True), (0.7, 3.0, False), (0.6, 0.0, False)],
)
def test_nearly_all_is_four_fifths_or_what_cannot_be_told_from_it(
    share: float, sigmas: float, *, clear: bool
) -> None:
    assert Concentration("DE", 0.4, 0.05, share, sigmas).is_clear is clear


def test_a_segment_without_a_past_is_held_against_all() -> None:
    of = history(broken={"FR": 0.02})
    for window in of.windows[-3:]:
        window.stages["check"]["1"].segments["NEW"] = SegmentCounts(100, 60, 0, 40, {"yes": 20, "no": 20})
    found = concentrated(of, "check", *onset(of))
    assert found is not None
    assert (found.segment, round(found.now, 2)) == ("NEW", 0.6)


@pytest.mark.parametrize("windows", [0, 1, 8])
def test_without_a_baseline_no_segment_is_named(windows: int) -> None:
    of = history(windows=max(windows, 1), broken={"FR": 1.0}, last=1)
    assert concentrated(of, "check", *onset(of, 1)) is None
    assert concentrated(History(WINDOW_MS), "check", 0, 0) is None
    assert concentrated(of, "no such stage", *onset(of, 1)) is None


def test_a_whole_that_is_clear_is_not_narrowed_down() -> None:
    of = history(broken={"FR": 0.4})
    whole = finished(diagnose(of, *onset(of)))
    keys = [SeriesKey("check", "segment_invalid_ratio", "FR")]
    assert finished(narrowed(of, *onset(of), keys, whole)) is whole


def test_a_whole_that_says_nothing_is_narrowed_down_to_the_loudest_segment() -> None:
    of = history(broken={"FR": 0.4})
    clear = finished(diagnose(of, *onset(of)))
    keys = [SeriesKey("check", "segment_invalid_ratio", name) for name in ("DE", "FR", "US")]
    found = finished(narrowed(of, *onset(of), keys, replace(clear, benign=0.9, cause="chance")))
    assert (found.segment, found.cause, found.stage) == ("FR", "data_broken", "check")


def test_a_segment_that_is_only_busier_is_no_incident(past: HarnessState) -> None:
    _, incidents = told(past, lambda shop: shop.weight.update(PL=3.0), windows=15)
    assert incidents == []
