"""A real Prometheus scrapes a real worker while two faults happen; every expression is asked in every act."""

from __future__ import annotations

import re
import subprocess
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry

from swirl.effect import SeriesKey, Totals
from swirl.sinks.prometheus import METRICS, PrometheusSink
from swirl.web import application, serve
from tests.grafana.live import ACTS, Played, live, runnable
from tests.grafana.services import binary, eventually, running_prometheus
from tests.grafana.table import asked
from tests.sinks.scene import DATA, changed, verdict, window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.grafana.services import Prometheus, Result

pytestmark = [pytest.mark.service, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
HEALTHY, BROKEN, _, BUG, LAST = (name for name, _ in ACTS)

# Limits that are far off until more is learnt than a demo has time for; a made-up window has them.
LEARNT_LATER = {("Drift by feature", "limit of {{stage}} {{label}}"), ("p95 latency", "high")}

TROUBLE = {
    ("Open incidents", "open for"), ("Open incidents", "likely"), ("Open incidents", "muted"),
    ("Open incidents", "somebody is on it"), ("What Swirl says", "likely"),
}  # fmt: skip
"""Lines that are empty while all is well."""

FARTHER = {
    ("State of each pipeline", "{{pipeline}}"): [("ads", BROKEN, 2.0), ("ads", BUG, 1.0)],
    ("What the pipeline is told", "verdict"): [("", BROKEN, 2.0), ("", BUG, 1.0)],
    ("Incidents without a judgement", "not judged"): [("", BROKEN, 1.0), ("", BUG, 2.0)],
}
"""Lines that are 0 while all is well, and at least so much in an act; until its cause is sure, what a
deployment does is degraded."""

TIMES = {
    ("Records and rejects", "rejected"): [("ads", BROKEN, 10.0)],
    ("Evidence", "{{stage}} {{metric}} {{label}}"): [("classify prediction_ratio positive", BUG, 3.0)],
    ("Records through each stage", "{{stage}}"): [("serve", BROKEN, 0.5), ("serve", BUG, 0.5)],
    ("Ratios across stages", "{{label}}"): [("clicks per ad", BUG, 0.5)],
    ("Drift by feature", "{{stage}} {{label}}"): [("receive contrast", BUG, 4.0)],
    ("Invalid", "now"): [("ingest", BROKEN, 100.0)],
    ("Rejected: the reasons", "{{reason}}"): [("text missing", BROKEN, 100.0)],
    ("Predictions by label", "{{label}}"): [("positive", BROKEN, 0.5), ("positive", BUG, 0.5)],
}
"""Lines that are so many times what they were while all was well: at least, or if below 1 at most."""


@pytest.fixture(scope="module")
def played(kafka_here: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    binary("prometheus")
    with live(tmp_path_factory.mktemp("live")) as found:
        yield found


@pytest.fixture(scope="module")
def answers(played: Played) -> dict[tuple[str, str, str], dict[str, Result]]:
    """Of every line of every panel: what Prometheus answered, by act."""
    return {
        (each.board, each.panel, each.name): {
            act: played.prometheus.query(runnable(each.expr), at) for act, at in played.at.items()
        }
        for each in asked()
    }


def by_line(answers: dict[Any, Any]) -> dict[tuple[str, str], dict[str, Result]]:
    return {(panel, name): found for (_, panel, name), found in answers.items()}


def value(found: Result, words: str) -> float | None:
    """The sample whose labels have all these words, None where there is none."""
    told = [
        number
        for labels, number in found
        if set(words.split()) <= set(" ".join(v for _, v in labels).split())
    ]
    return max(told) if told else None


@pytest.mark.timeout(400)
def test_every_expression_of_every_panel_has_data(
    answers: dict[tuple[str, str, str], dict[str, Result]],
) -> None:
    silent = [
        key for key, found in answers.items() if not any(found.values()) and key[1:] not in LEARNT_LATER
    ]
    assert silent == []


@pytest.mark.timeout(400)
def test_what_tells_of_trouble_is_empty_while_all_is_well(answers: Any) -> None:
    lines = by_line(answers)
    for line in TROUBLE:
        assert lines[line][HEALTHY] == [], line
        assert value(lines[line][BROKEN], "ingest data pipeline broken") is not None, line
        assert value(lines[line][BUG], "classify bad deployment") is not None, line


@pytest.mark.timeout(400)
def test_the_panels_that_show_a_fault_tell_broken_from_healthy(answers: Any) -> None:
    lines = by_line(answers)
    for line, wanted in FARTHER.items():
        for words, act, least in wanted:
            assert value(lines[line][HEALTHY], words) == 0.0, line
            assert (value(lines[line][act], words) or 0.0) >= least, (line, act)
    for line, factors in TIMES.items():
        for words, act, times in factors:
            usual, now = value(lines[line][HEALTHY], words), value(lines[line][act], words)
            assert usual is not None, line
            assert now is not None, line
            assert now > times * usual if times > 1 else now < times * usual, (line, act, usual, now)


@pytest.mark.timeout(400)
def test_a_deployment_and_both_incidents_are_marked(answers: Any) -> None:
    lines = by_line(answers)
    (deployments,) = (found for (panel, _), found in lines.items() if panel == "marks: deployments")
    (incidents,) = (found for (panel, _), found in lines.items() if panel == "marks: incidents")
    assert deployments[HEALTHY] == deployments[BROKEN] == incidents[HEALTHY] == []
    assert value(deployments[BUG], "ads classify 2026.11.2") == 1
    assert value(incidents[BROKEN], "ads ingest data pipeline broken") == 1
    assert value(incidents[BUG], "ads classify bad deployment") == 1
    versions = lines["The same ratio, version by version", "{{stage}} {{version}} {{label}}"]
    assert value(versions[HEALTHY], "2026.11.2 positive") is None
    assert (value(versions[BUG], "2026.11.2 positive") or 1.0) < 0.5


@pytest.mark.timeout(400)
def test_every_rule_is_evaluated_and_asks_for_what_is_there(played: Played) -> None:
    told = played.prometheus.ask("/api/v1/rules")["data"]["groups"]
    assert {rule["health"] for group in told for rule in group["rules"]} == {"ok"}
    text = (ROOT / "prometheus" / "swirl.rules.yml").read_text(encoding="utf-8")
    text += (ROOT / "prometheus" / "swirl.sums.yml").read_text(encoding="utf-8")
    exported = {metric.name for metric in METRICS}
    named = {
        name for name in re.findall(r"swirl_[a-z_]+", text) if name in exported or name.endswith("_bucket")
    }
    missing = {name for name in named if not played.prometheus.query(name, played.at[LAST])}
    # Detectors that fail, or that nobody has, and a distribution that is asked for by its buckets.
    assert missing == {
        "swirl_detector_failures_total", "swirl_detector_unknown_info", "swirl_notification_delay_seconds",
    }  # fmt: skip
    for recorded in (
        "pipeline:swirl_late_records_total:ratio_rate15m",
        "sink:swirl_notification_delay_seconds:p95_1h",
    ):
        assert played.prometheus.query(recorded, played.at[LAST]), recorded


@pytest.mark.timeout(400)
def test_of_all_alerts_only_the_one_that_was_provoked_is_raised(played: Played) -> None:
    raised = played.prometheus.query('max by (alertname) (max_over_time(ALERTS{alertstate="firing"}[10m]))')
    assert [dict(labels)["alertname"] for labels, _ in raised] == ["SwirlDeadLetters"]


@pytest.mark.timeout(400)
def test_alertmanager_has_a_heartbeat_and_each_open_incident(played: Played) -> None:
    data, bug = "ingest: data pipeline broken", "classify: bad deployment"
    assert played.alerts[HEALTHY] == {"Swirl watches."}
    assert played.alerts[BROKEN] == {"Swirl watches.", data}
    assert {"Swirl watches.", bug} <= played.alerts[BUG]
    assert not {data, bug} & played.alerts[LAST]
    assert "Swirl watches." in played.alerts[LAST]


# -- without a worker


@pytest.fixture
def sink() -> PrometheusSink:
    return PrometheusSink()


@pytest.fixture
def prometheus(sink: PrometheusSink, tmp_path: Path) -> Iterator[Prometheus]:
    registry = CollectorRegistry()
    sink.register(registry)
    server = serve(application(registry), "127.0.0.1:0")
    with running_prometheus(tmp_path, f"127.0.0.1:{server.port}") as found:
        yield found
    assert server.close(10)


def test_the_values_are_those_that_were_judged(prometheus: Prometheus, sink: PrometheusSink) -> None:
    sink.handle(window(now={SeriesKey("classify", "prediction_ratio", "positive"): 0.21}))
    expr = 'swirl_series_value{metric="prediction_ratio", label="positive"}'
    eventually(lambda: bool(prometheus.query(expr)), "a first scrape")
    assert [found for _, found in prometheus.query(expr)] == [0.21]


def test_limits_that_are_learnt_later_are_shown_then(prometheus: Prometheus, sink: PrometheusSink) -> None:
    sink.handle(window())
    later = {(e.panel, e.name): e.expr.replace("$pipeline", "ads") for e in asked()}
    for line in LEARNT_LATER:
        expr = later[line].replace("$stage", ".*")
        eventually(lambda expr=expr: bool(prometheus.query(expr)), expr)  # type: ignore[misc]
        assert [found for _, found in prometheus.query(expr)] in ([0.03], [0.017])


def test_a_pipeline_that_changes_hands_goes_on_in_every_line(tmp_path: Path) -> None:
    workers = [PrometheusSink(), PrometheusSink()]
    servers = []
    for worker in workers:
        registry = CollectorRegistry()
        worker.register(registry)
        servers.append(serve(application(registry), "127.0.0.1:0"))
    count = 1_000_000_000

    def goes_on(worker: PrometheusSink) -> None:
        nonlocal count
        count += 1000
        totals = {"ingest": {"1": Totals(count, out=count)}}
        worker.handle(window(count // 1000 - 1_000_000, totals=totals))

    # As long as both are scraped with it, and when neither is, there is one line or none.
    lines = "count(max without (instance) (swirl_series_value{label='positive'})) or vector(0)"
    rate = "sum by (stage) (rate(swirl_records_total[3s]))"
    seen: list[tuple[float, float]] = []
    with running_prometheus(
        tmp_path, ",".join(f"127.0.0.1:{s.port}" for s in servers), "300ms"
    ) as prometheus:

        def shows(worker: PrometheusSink, number: int) -> bool:
            goes_on(worker)
            found = prometheus.query(rate)
            seen.append((prometheus.query(lines)[0][1], found[0][1] if found else 0.0))
            port = servers[number].port
            return bool(prometheus.query(f'rate(swirl_records_total{{instance="127.0.0.1:{port}"}}[2s]) > 0'))

        eventually(lambda: shows(workers[0], 0), "the first worker")
        workers[0].forget("ads")
        eventually(lambda: shows(workers[1], 1), "the second worker")
    assert {count for count, _ in seen} <= {0.0, 1.0}
    assert max(found for _, found in seen) < 1_000_000
    assert all(server.close(10) for server in servers)


def test_promtool_finds_no_fault_in_what_is_exported(sink: PrometheusSink) -> None:
    program = binary("promtool")
    for effect in (window(), changed(DATA), verdict()):
        sink.handle(effect)
    sink.settled("slack")(changed(DATA), True)  # noqa: FBT003 - as outlets call it
    sink.applied(0.001)
    registry = CollectorRegistry()
    sink.register(registry)
    server = serve(application(registry), "127.0.0.1:0")
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as answer:
        text = answer.read()
    assert server.close(10)
    done = subprocess.run([program, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
