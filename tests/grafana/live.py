"""The demo's faults on a real worker behind a real broker, scraped by a real Prometheus that can be asked.

Beside the ads, the digits run, whose images get dim while the ads have their bad deployment. Planned work is
announced and a record that is no frame is sent in the end, so that every panel has something to show.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from swirl.cli.acts import FLUSH_S, SETTINGS
from swirl.frame import Act, encode
from swirl.kafka.topics import Topics
from swirl.sdk.producer import Producer
from swirl.settings import KafkaSettings
from swirl.testing.broker import Broker, free_port
from swirl.testing.slack import SlackStandIn
from tests.grafana.services import Prometheus, process, running_alertmanager, running_prometheus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["ACTS", "RULES", "Played", "live", "runnable"]

ACTS = (
    ("healthy", 45),
    ("data pipeline broken", 15),
    ("repaired", 15),
    ("bug in a new model", 15),
    ("rollback", 20),
)
"""What happens, and for how many seconds."""

RULES = Path(__file__).resolve().parents[2] / "prometheus" / "swirl.*.yml"
_HAPPENS = ("healthy", "broken", "healthy", "bug", "healthy")
_ADS = (
    *("--synthetic", "--rate", "3000", "--acts"),
    ",".join(f"{what}:{seconds}" for what, (_, seconds) in zip(_HAPPENS, ACTS, strict=True)),
)
_DIGITS = ("--acts", f"healthy:{sum(seconds for _, seconds in ACTS[:3])},dim:60", "--forever")
_CHANNEL = "#ads-oncall"


class Played(NamedTuple):
    """What is left of the play.

    Attributes:
        prometheus: that has scraped it.
        at: act -> a moment just before its end, seconds since 1970.
        alerts: act -> summaries of what was firing in Alertmanager in the end of it.
    """

    prometheus: Prometheus
    at: dict[str, float]
    alerts: dict[str, set[str]]


def runnable(expr: str) -> str:
    """The expression as Grafana would send it: of the ads, which have no features, or of the digits."""
    pipeline = "digits" if "drift" in expr else "ads"
    return expr.replace("$pipeline", pipeline).replace("$stage", ".*").replace("$__rate_interval", "8s")


@contextmanager
def live(folder: Path) -> Iterator[Played]:
    """Play it all; what was scraped can be asked until the end of the block."""
    with ExitStack() as stack:
        slack = stack.enter_context(SlackStandIn(channels=(_CHANNEL,)))
        broker = stack.enter_context(Broker(folder / "kafka"))
        kafka = {"SWIRL_KAFKA": broker.address, "SWIRL_FLUSH_SECONDS": str(FLUSH_S)}
        http = f"127.0.0.1:{free_port()}"
        worker = ["-m", "swirl", "worker", "--log", "error"]
        port = free_port()
        stack.enter_context(running_alertmanager(folder, port))
        alertmanager = f"http://127.0.0.1:{port}"
        environment = {**_worker(slack), **kafka, "SWIRL_HTTP": http}
        environment |= {"SWIRL_ALERTMANAGER": alertmanager, "SWIRL_ALERTMANAGER_SECONDS": "1"}
        log, ready = folder / "worker.log", f"http://{http}/readyz"
        stack.enter_context(process([sys.executable, *worker], log, ready, environment))
        prometheus = stack.enter_context(running_prometheus(folder, http, "1s", str(RULES)))
        began, alerts = _play(folder, broker, kafka, alertmanager)
        names = [name for name, _ in ACTS]
        at = dict(zip(names, (begin - 0.5 for begin in began[1:]), strict=True))
        yield Played(prometheus, at, dict(zip(names, alerts[1:], strict=True)))


def _play(
    folder: Path, broker: Broker, kafka: Mapping[str, str], alertmanager: str
) -> tuple[list[float], list[set[str]]]:
    """Run the pipelines through their acts; when each began and what was firing then, and so of the end."""
    begins: list[float] = []
    alerts: list[set[str]] = []
    with _pipeline("digits", _DIGITS, folder, kafka), _pipeline("ads", _ADS, folder, kafka) as running:
        assert running.stdout is not None
        for line in running.stdout:
            begins.append(int(line.split()[2]) / 1000)
            alerts.append(_firing(alertmanager))
            if len(begins) == len(ACTS):
                _plan_and_spoil(broker.address)
        assert running.wait(30) == 0, (folder / "ads.log").read_text()
        return [*begins, time.time() - 0.5], [*alerts, _firing(alertmanager)]


def _firing(alertmanager: str) -> set[str]:
    with urllib.request.urlopen(f"{alertmanager}/api/v2/alerts", timeout=5) as answer:
        return {alert["annotations"]["summary"] for alert in json.load(answer)}


@contextmanager
def _pipeline(
    name: str, words: Sequence[str], folder: Path, kafka: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """A pipeline as a process of its own, which announces its acts."""
    command = [sys.executable, "-m", f"swirl_pipelines.{name}", "--seed", "3", *words]
    with (
        (folder / f"{name}.log").open("wb") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **kafka}
        ) as running,
    ):
        try:
            yield running
        finally:
            running.kill()


def _plan_and_spoil(kafka: str) -> None:
    """Announce planned work at a stage that is well, and send a record that is no frame."""
    settings = KafkaSettings(kafka=kafka)
    producer = Producer(settings, Topics.of(settings).frames, "swirl-test")
    plan = Act("ads", "mute", stage="serve", who="ada", why="new ads", for_ms=3_600_000)
    for record in (encode(plan), b"this is no frame"):
        taken = threading.Event()
        producer.send(b"ads", record, lambda _, taken=taken: taken.set())  # type: ignore[misc]
        assert taken.wait(20)
    producer.close(1.0)


def _worker(slack: SlackStandIn) -> dict[str, str]:
    decides = {spec.metadata["variable"]: f"{getattr(SETTINGS, spec.name):g}" for spec in fields(SETTINGS)}
    return {
        **decides,
        "SWIRL_SLACK_TOKEN": slack.token,
        "SWIRL_SLACK_CHANNEL": _CHANNEL,
        "SWIRL_SLACK_URL": slack.url,
        "SWIRL_SNAPSHOT_SECONDS": "5",
    }
