"""The page as it is read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from swirl.effect import Health, IncidentChanged, IncidentStep, Mute, MuteChanged, SeriesKey, State
from swirl.frame import Definition, StageDefinition
from swirl.settings import KafkaSettings, WatchSettings
from swirl.sinks.board import View
from swirl.web.page.layout import lay_out
from swirl.web.page.ribbons import Flow, chart_map
from swirl.web.page.scene import Scene, scene_of
from tests.sinks.scene import DATA, DEPLOYMENT, NIGHT, SERIES, START, changed, window
from tests.web.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

BROKEN = {
    SeriesKey("ingest", "invalid"): 20_100.0,
    SeriesKey("ingest", "invalid_ratio"): 0.8,
    SeriesKey("classify", "prediction_ratio", "positive"): 0.21,
}


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()
    yield found
    found.close()


def well(site: Site, windows: int = 20) -> None:
    site.tell(*(window(index, health=Health(budget_a_week=1.0, series=7)) for index in range(-windows, 0)))


def broken(site: Site) -> None:
    well(site)
    site.tell(window(0, now=BROKEN), changed(DATA))


def read(site: Site, path: str = "/pipelines/ads") -> str:
    answer = site.get(path)
    assert answer.status == 200, answer.text
    return answer.text


def words(html: str) -> str:
    """What a person reads, in one line."""
    body = re.sub(r"<(style|script).*?</\1>", " ", html.partition("<body>")[2], flags=re.DOTALL)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)).replace("\u202f", " ")
    return re.sub(r" ([,.:])", r"\1", text)


def test_a_healthy_pipeline_says_so_and_shows_nothing_in_colour(site: Site) -> None:
    well(site)
    html = read(site)
    assert "All 7 series are inside their limits" in words(html)
    assert "No incident so far." in html
    assert "0 of the 1 promised this week" in html
    main = html.partition("<main")[2].partition("</main>")[0]
    assert not re.findall(r'class="[^"]*\b(?:root|follows|bad)\b', main)


def test_before_the_first_limits_the_page_says_that_it_learns(site: Site) -> None:
    site.tell(*(window(i, states=bytes([State.LEARNING] * len(SERIES))) for i in range(3)))
    told = words(read(site))
    assert "Learning what is usual: 3 windows so far" in told
    assert "no limits yet" in told


def test_before_the_first_window_the_page_says_what_it_waits_for(site: Site) -> None:
    site.tell(MuteChanged("ads", "began", Mute("", START, START + 1000)))
    assert "No window yet" in words(read(site))


def test_an_incident_is_told_with_where_to_look_first_and_what_was_ruled_out(site: Site) -> None:
    broken(site)
    told = words(read(site))
    assert "ingest: data pipeline broken since 03:12:20 UTC" in told
    assert "Look first at what feeds ingest: the source and its schema. Not at the model." in told
    assert "97 % likely" in told
    assert "ruled out: no version changed" in told
    assert "ingest rejects 20 100/s as invalid, usually 10/s." in told
    assert "Follows from ingest" in told


def test_only_the_root_is_marked_as_the_root(site: Site) -> None:
    broken(site)
    html = read(site)
    assert len(re.findall(r'<li class="st root"', html)) == 1
    assert len(re.findall(r'<figure class="c root"', html)) == 1


def test_each_chart_has_a_sentence_for_those_who_do_not_see_it(site: Site) -> None:
    broken(site)
    labels = re.findall(r'role="img" aria-label="([^"]+)"', read(site))
    assert len(labels) >= 6
    (invalid,) = [label for label in labels if label.startswith("ingest invalid,")]
    told = invalid.replace("\u202f", " ")
    assert (
        told == "ingest invalid, 03:12:00 to 03:12:21 UTC: limits 2–22; 20 100/s now, outside since 03:12:20."
    )


def test_what_users_named_is_text_and_nothing_else(site: Site) -> None:
    evil = "<script>alert(1)</script>"
    key = SeriesKey(evil, "prediction_ratio", f"{evil}\"'><img src=x>")
    graph = Definition((StageDefinition(evil, validates=True, predicts="label"),))
    columns = np.full((7, 1), 0.5)
    incident = msgspec.structs.replace(
        DATA, pipeline=evil, stage=evil, cause=evil, sentence=evil, look_first=evil, reasons=((evil, 1.0),)
    )
    incident = msgspec.structs.replace(
        incident, acknowledged_by=evil, version=evil, segment=evil, version_line=evil
    )
    for number in range(2):
        site.tell(
            window(
                number,
                pipeline=evil,
                keys=(key,),
                numbers=columns.tobytes(),
                states=bytes([State.ANOMALY]),
                definition=graph,
                versions={evil: (f"{evil}{number}",)},
                totals={},
                latency={},
            )
        )
    site.tell(IncidentChanged("opened", incident, evil))
    site.enter()
    for path in ("/?all", "/pipelines/%3Cscript%3Ealert(1)%3C%2Fscript%3E", f"/incidents/{DATA.id}"):
        html = read(site, path)
        assert evil.replace("<", "&lt;").replace(">", "&gt;") in html
        assert "<script>" not in html
        assert "<img" not in html


def test_nothing_inline_and_nothing_from_elsewhere_is_on_a_page(site: Site) -> None:
    broken(site)
    site.enter()
    for path in (
        "/?all",
        "/pipelines/ads",
        f"/incidents/{DATA.id}",
        "/settings",
        "/pipelines/ads?stage=ingest",
    ):
        answer = site.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=\"/static/)", answer.text)
        assert not re.search(r"(?:src|href|action)=\"(?!/|\?|#)", answer.text)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


def test_style_and_script_are_kept_for_ever_under_the_name_of_their_contents(site: Site) -> None:
    well(site)
    for path in re.findall(r"/static/[\w.]+/[\w.]+", read(site)):
        answer = site.get(path)
        assert answer.status == 200
        assert "immutable" in answer.headers["cache-control"]
    assert "immutable" not in site.get("/static/0/page.css").headers["cache-control"]
    for path in ("/static/0/routes.py", "/static/0/..%2Froutes.py", "/static/0/%2e%2e/routes.py"):
        assert site.get(path).status == 404


def test_the_one_pipeline_is_shown_at_once_and_of_several_those_with_incidents_first(site: Site) -> None:
    well(site)
    assert site.get("/").headers["location"] == "/pipelines/ads"
    broken(site)
    site.tell(window(0, pipeline="aaa"))
    html = read(site, "/")
    assert html.index('href="/pipelines/ads"') < html.index('href="/pipelines/aaa"')
    assert "1 incident open" in words(html)


def test_a_pipeline_may_have_any_name(site: Site) -> None:
    site.tell(window(0, pipeline="team a/ads?x#y"))
    assert site.get("/").headers["location"] == "/pipelines/team%20a%2Fads%3Fx%23y"
    assert "team a/ads?x#y" in read(site, "/pipelines/team%20a%2Fads%3Fx%23y")


def test_a_graph_that_branches_is_drawn_as_a_map_and_as_a_list(site: Site) -> None:
    stages = (
        StageDefinition("ingest"),
        StageDefinition("classify", after=("ingest",)),
        StageDefinition("enrich", after=("ingest",)),
        StageDefinition("serve", after=("classify", "enrich")),
    )
    site.tell(window(0, definition=Definition(stages)))
    html = read(site)
    assert 'class="map"' in html
    assert html.count('<li class="st ') == 4
    assert "after classify, enrich" in words(html)


def test_an_old_incident_can_still_be_read(site: Site) -> None:
    site.board.recall("ads", [msgspec.structs.replace(DATA, state="resolved", resolved_ms=START + 30_000)])
    told = words(read(site, f"/incidents/{DATA.id}"))
    assert "ingest: data pipeline broken" in told
    assert "2026-11-21 03:12:20 to 03:12:50 UTC, 30 s" in told
    assert site.get("/incidents/ads-19990101-000000").status == 404
    assert site.get("/pipelines/nothing").status == 404


@pytest.mark.parametrize("path", ["/pipelines/ads", f"/incidents/{DATA.id}"])
def test_the_steps_of_an_incident_say_when_they_were(site: Site, path: str) -> None:
    broken(site)
    assert "Steps" not in words(read(site, path))
    site.tell(changed(DATA, "updated", steps=NIGHT))
    assert (
        "Steps UTC when step what 03:12:21 opened ingest: cause unknown"
        " 03:12:23 cause named ingest: data pipeline broken 03:13:55 acknowledged Anna is on it."
        " … 6 more, not kept 2026-11-22 03:12:20 resolved Resolved by Anna: the feed was repaired."
    ) in words(read(site, path))
    assert '<time datetime="2026-11-21T03:12:23Z">' in read(site, path)


def test_steps_are_there_for_a_worker_that_came_later(site: Site) -> None:
    past = msgspec.structs.replace(DATA, state="resolved", resolved_ms=START + 30_000, steps=NIGHT)
    site.board.recall("ads", [past])
    assert "03:13:55 acknowledged Anna is on it." in words(read(site, f"/incidents/{DATA.id}"))


def test_what_people_wrote_into_a_step_is_text(site: Site) -> None:
    step = IncidentStep(START, 0, "resolved", "Resolved by <b>x</b>: <script>1</script>")
    site.tell(changed(DATA, steps=(step,)))
    html = read(site, f"/incidents/{DATA.id}")
    assert "&lt;script&gt;1&lt;/script&gt;" in html
    assert "<script>1" not in html


def test_people_planned_work_and_the_end_stand_on_the_page(site: Site) -> None:
    broken(site)
    site.tell(changed(DATA, "updated", acknowledged_by="Mara", acknowledged_ms=START + 5000, muted=True))
    site.tell(MuteChanged("ads", "began", Mute("ingest", START, START + 3_600_000, "Mara", "new schema")))
    told = words(read(site))
    assert "Mara is on it since 03:12:25 UTC." in told
    assert "1 incident open, muted" in told
    assert "ingest is muted until 04:12:20 UTC by Mara: new schema" in told
    site.tell(changed(DATA, "resolved", ending="false_alarm", ended_by="Mara", judged="false_alarm"))
    told = words(read(site))
    assert "called a false alarm by Mara" in told
    assert "1 incident open" not in told


def test_where_swirl_is_blind_late_or_broken_the_page_says_so_at_the_top(site: Site) -> None:
    bad = Health(
        emitters=8,
        emitters_silent=1,
        detector_failures={"level": 3},
        unknown_detectors=("oracle",),
        lag_ms=90_000,
        last_seen_ms=START,
    )
    site.tell(window(-1), window(0, health=bad))
    site.clock.advance(180)
    told = words(read(site))
    assert "Swirl does not see all of it." in told
    for part in (
        "8 heard, 1 silent",
        "level failed 3 times",
        "oracle is not known here",
        "1 min 30 s behind",
        "3 min ago",
    ):
        assert part in told, part


def test_settings_are_shown_and_secrets_are_not() -> None:
    watch = WatchSettings(
        slack_token="xoxb-secret",
        http_token="hush",
        alertmanager="http://me:pass@am:9093",
        slack_channel="#ads",
    )
    site = Site(settings=[watch, KafkaSettings()])
    html = read(site, "/settings")
    assert "SWIRL_SLACK_TOKEN" in html
    assert "#ads" in html
    assert "http://(set)@am:9093" in html
    for secret in ("xoxb-secret", "hush", "pass@", "a-long-token"):
        assert secret not in html
    site.close()


def many(count: int) -> dict[str, Any]:
    keys = tuple(SeriesKey("ingest", "segment_ratio", f"s{n}") for n in range(count))
    columns = np.tile(np.array([[0.5], [1], [2], [0.5], [0.4], [0.6], [0.0]]), (1, count))
    return {"keys": keys, "numbers": columns.tobytes(), "states": bytes([State.NORMAL] * count)}


def test_of_very_many_series_a_page_shows_some_and_leads_to_the_others(site: Site) -> None:
    site.tell(*(window(i, **many(150)) for i in range(5)))
    html = read(site)
    assert html.count("<figure") <= 12
    assert 'href="?stage=ingest"' in html
    first = read(site, "/pipelines/ads?stage=ingest")
    assert first.count("<figure") == 60
    assert read(site, "/pipelines/ads?stage=ingest&from=120").count("<figure") == 30
    for path in ("from=-1", "from=x", "from=99999999999999", "from=150"):
        assert site.get(f"/pipelines/ads?stage=ingest&{path}").status == 200


def test_a_deployment_and_its_version_are_on_the_charts_and_in_the_headline(site: Site) -> None:
    well(site)
    new = {"ingest": ("2026.11.1",), "classify": ("2026.11.2",), "serve": ("2026.11.1",)}
    site.tell(window(0, now=BROKEN, versions=new), changed(DEPLOYMENT))
    html = read(site)
    assert "classify: bad deployment 2026.11.2" in words(html)
    assert re.search(r'<text class="dt[^>]*>2026\.11\.2 ▼', html)


def test_numbers_that_are_not_numbers_leave_a_gap_and_no_error(site: Site) -> None:
    columns = np.full((7, len(SERIES)), np.nan)
    well(site, 5)
    site.tell(window(0, numbers=columns.tobytes(), states=bytes(len(SERIES)), whole=False, latency={}))
    html = read(site)
    assert "nan" not in html.lower().replace("tenance", "")
    assert "Not measured" in html
    columns[:] = np.inf
    site.tell(window(1, numbers=columns.tobytes()))
    assert "inf" not in words(read(site)).lower().replace("information", "")


def test_a_ribbon_that_passes_a_layer_by_has_a_lane_of_its_own() -> None:
    stages = (
        StageDefinition("a"),
        StageDefinition("b", after=("a",)),
        StageDefinition("c", after=("b",)),
        StageDefinition("d", after=("a", "c")),
    )
    layout = lay_out(Definition(stages))
    assert layout.layers == (("a",), ("b",), ("c",), ("d",))
    assert not layout.chain
    drawn = chart_map(layout, dict.fromkeys("abcd", Flow(10.0, 10.0, 10.0, 10.0)))
    boxes = {node.stage: node.y for node in drawn.nodes}
    assert boxes["a"] == boxes["d"]
    assert boxes["b"] == boxes["c"] != boxes["a"]
    (past,) = [path for path, end in drawn.arrows if end == "d" and path.count("C") == 10]
    assert {float(y) for y in re.findall(r",([\d.]+)", past)} - {boxes["b"] + drawn.box[1] / 2}


def test_a_cycle_of_two_versions_graphs_is_drawn_all_the_same() -> None:
    layout = lay_out(Definition((StageDefinition("a", after=("b",)), StageDefinition("b", after=("a",)))))
    assert sorted(layout.stages) == ["a", "b"]
    assert len(layout.arrows) == 1


def test_what_is_over_is_drawn_as_over(site: Site) -> None:
    broken(site)
    site.tell(*(window(index) for index in range(1, 20)))
    site.tell(changed(DATA, "resolved", resolved_ms=START + 10_000, ending="calm"))
    html = read(site, f"/incidents/{DATA.id}")
    assert 'class="c root over"' in html
    assert "◆ 10/s" not in html
    width = float(re.findall(r'<rect class="f" x="[\d.]+%" y="0" width="([\d.]+)%"', html)[0])
    assert width == pytest.approx(100 * 10 / 40, abs=0.1)


def test_where_no_cause_is_likely_enough_the_page_says_so_rather_than_a_share(site: Site) -> None:
    broken(site)
    site.tell(changed(DATA, "updated", cause="cause unknown", posterior=0.0))
    told = words(read(site))
    assert "no cause is likely enough" in told
    assert "under 1 % likely" not in told
    assert "◆ cause unknown" not in told


def test_what_is_told_for_comparison_is_not_said_to_follow(site: Site) -> None:
    well(site)
    quiet = msgspec.structs.replace(DEPLOYMENT.evidence[2], now="3/s")
    site.tell(window(0, now=BROKEN), changed(DEPLOYMENT, evidence=(*DEPLOYMENT.evidence[:2], quiet)))
    rows = re.findall(r'<tr class="([^"]+)"><th scope="row">(.*?)</th>', read(site))
    parts = {words(f"<body>{name}").strip(): part for part, name in rows}
    assert parts["◆ classify positive ratio"] == "out root"
    assert parts["○ ingest invalid ratio"] == "in"


def test_a_page_is_written_once_for_all_who_look_and_anew_when_something_changed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def noting(view: View, now_ms: int) -> Scene:
        written.append(view.name)
        return scene_of(view, now_ms)

    monkeypatch.setattr("swirl.web.page.render.scene_of", noting)
    well(site)
    for _ in range(5):
        read(site)
    assert len(written) == 1
    site.tell(window(0))
    read(site)
    assert len(written) == 2
