"""A real Prometheus scrapes a real exporter; every expression of the dashboard is asked in two states."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from grafana import build
from swirl.effect import SeriesKey, Totals, WindowClosed
from swirl.sinks.prometheus import PrometheusSink
from swirl.testing.broker import free_port
from swirl.web import application, serve
from tests.sinks.scene import DATA, changed, verdict, window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.service, pytest.mark.slow]

Result = list[tuple[tuple[tuple[str, str], ...], float]]


def binary(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is required in CI (Debian package prometheus)")
        pytest.skip(f"{name} is not installed (Debian package prometheus)")
    return found


class Prometheus:
    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **query: str) -> Any:
        address = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            return json.load(answer)

    def query(self, expr: str) -> Result:
        told = self.ask("/api/v1/query", query=expr)["data"]["result"]
        return sorted((tuple(sorted(r["metric"].items())), float(r["value"][1])) for r in told)

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


def eventually(holds: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)


@pytest.fixture
def sink() -> PrometheusSink:
    return PrometheusSink()


@pytest.fixture
def prometheus(sink: PrometheusSink, tmp_path: Path) -> Iterator[Prometheus]:
    program = binary("prometheus")
    registry = CollectorRegistry()
    sink.register(registry)
    server = serve(application(registry), "127.0.0.1:0")
    assert server.listening
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 500ms}\n"
        f'scrape_configs: [{{job_name: swirl, static_configs: [{{targets: ["127.0.0.1:{server.port}"]}}]}}]\n'
    )
    port = free_port()
    command = [
        program, f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    ]  # fmt: skip
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        found = Prometheus(f"http://127.0.0.1:{port}")
        try:
            eventually(lambda: process.poll() is not None or found.ready(), "Prometheus is ready")
            assert process.poll() is None, (tmp_path / "log").read_text()
            yield found
        finally:
            process.kill()
    assert server.close(10)


class Traffic:
    """Windows of a pipeline, each with more on its counters; what is told differs between the two states."""

    def __init__(self, sink: PrometheusSink) -> None:
        self.sink = sink
        self.index = 0
        self.totals: dict[str, dict[str, Totals]] = {"ingest": {}, "classify": {}}

    def tell(self, *, broken: bool) -> None:
        version = "2026.11.2" if broken else "2026.11.1"
        self.index += 1
        self._count("ingest", version, 25_000, invalid=20_000 if broken else 10, errors=50 if broken else 1)
        self._count("classify", version, 5_000, positive=1_000 if broken else 4_000)
        said = window(
            self.index, totals=self.totals, latency={"classify": (0.008, 0.4 if broken else 0.012, 0.5)}
        )
        names = dict.fromkeys(("ingest", "classify"), (version,))
        self.sink.handle(
            msgspec.structs.replace(said, versions=names, numbers=self._numbers(said, broken=broken))
        )

    def _count(
        self, stage: str, version: str, records: int, invalid: int = 0, errors: int = 0, positive: int = 0
    ) -> None:
        had = self.totals[stage].get(version, Totals())
        labels, reasons = had.labels, had.reasons
        if positive:
            rest = records - positive
            labels = {
                "positive": labels.get("positive", 0) + positive,
                "negative": labels.get("negative", 0) + rest,
            }
        if invalid:
            reasons = {"text missing": reasons.get("text missing", 0) + invalid}
        now = Totals(
            had.records + records, had.invalid + invalid, had.errors + errors,
            predictions=sum(labels.values()), labels=labels, reasons=reasons,
            error_types={"KeyError": had.errors + errors} if errors else {},
        )  # fmt: skip
        self.totals = {**self.totals, stage: {**self.totals[stage], version: now}}

    def _numbers(self, said: WindowClosed, *, broken: bool) -> bytes:
        columns = np.frombuffer(said.numbers).reshape(7, -1)
        return (columns * (0.5 if broken else 1.0)).tobytes()


def runnable(expr: str) -> str:
    """The expression as Grafana would send it, for a test that is in a hurry."""
    expr = expr.replace("$pipeline", "ads").replace("$stage", ".*").replace("$__rate_interval", "4s")
    return expr.replace("offset 30s", "offset 4s")


@pytest.fixture(scope="module")
def expressions() -> list[str]:
    text = (build.FOLDER / "one-pipeline.json").read_text(encoding="utf-8")
    return [runnable(expr) for expr in build.expressions(json.loads(text))]


def test_every_expression_tells_a_broken_pipeline_from_a_healthy_one(
    prometheus: Prometheus, sink: PrometheusSink, expressions: list[str]
) -> None:
    traffic = Traffic(sink)

    def counted(*, broken: bool) -> bool:
        traffic.tell(broken=broken)
        stages = prometheus.query('count by (stage) (rate(swirl_records_total{pipeline="ads"}[4s]) > 0)')
        return len(stages) == 2

    sink.handle(verdict("healthy"))
    eventually(lambda: counted(broken=False), "rates of a healthy pipeline")
    for _ in range(50):
        traffic.tell(broken=False)
        time.sleep(0.1)
    healthy = {expr: prometheus.query(expr) for expr in expressions}

    sink.handle(changed(DATA))
    sink.handle(verdict("tripped"))
    silent = set(expressions)

    def told() -> bool:
        traffic.tell(broken=True)
        for expr in sorted(silent):
            found = prometheus.query(expr)
            if found and found != healthy[expr]:
                silent.discard(expr)
        return not silent

    eventually(told, "every expression has data that differ", 40.0)
    of_incidents = [e for e in expressions if speaks_of_trouble(e)]
    assert of_incidents
    assert all(healthy[expr] == [] for expr in of_incidents)
    assert all(healthy[expr] for expr in expressions if not speaks_of_trouble(expr)), [
        e for e in expressions if not healthy[e]
    ]


def speaks_of_trouble(expr: str) -> bool:
    """Expressions that are empty while all is well: incidents, causes, deployments."""
    return any(
        name in expr for name in ("swirl_incident_open", "swirl_cause_posterior", "swirl_stage_version_info")
    )


def test_the_values_are_those_that_were_judged(prometheus: Prometheus, sink: PrometheusSink) -> None:
    sink.handle(window(now={SeriesKey("classify", "prediction_ratio", "positive"): 0.21}))
    expr = 'swirl_series_value{metric="prediction_ratio", label="positive"}'
    eventually(lambda: bool(prometheus.query(expr)), "a first scrape")
    assert [value for _, value in prometheus.query(expr)] == [0.21]


def test_promtool_finds_no_fault_in_what_is_exported(sink: PrometheusSink, tmp_path: Path) -> None:
    program = binary("promtool")
    sink.handle(window())
    sink.handle(changed(DATA))
    sink.handle(verdict())
    registry = CollectorRegistry()
    sink.register(registry)
    server = serve(application(registry), "127.0.0.1:0")
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as answer:
        text = answer.read()
    assert server.close(10)
    done = subprocess.run([program, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
