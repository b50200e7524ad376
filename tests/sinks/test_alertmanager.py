"""The mirror against a stand-in that misbehaves, and against the real Alertmanager."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import threading
from contextlib import ExitStack, contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from swirl.effect import Mute, MuteChanged
from swirl.errors import SettingsError
from swirl.settings import WatchSettings
from swirl.sinks.alertmanager import AlertmanagerMirror
from swirl.testing.broker import free_port
from tests.grafana.services import binary, eventually, running_alertmanager
from tests.sinks.scene import DATA, DEPLOYMENT, POSITIVE, START, changed, verdict, window

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = START / 1000 + 5


class StandIn:
    """An HTTP server that keeps the alerts it is sent, and answers as it is told."""

    def __init__(self) -> None:
        self.requests: list[list[dict[str, Any]]] = []
        self.status, self.headers, self.body = 200, dict[str, str](), b""
        self.held = threading.Event()
        self.held.set()
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                alerts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.path == "/prefix/api/v2/alerts"
                stand_in.held.wait(20)
                stand_in.requests.append(alerts)
                self.answer()

            def do_GET(self) -> None:
                self.answer()

            def answer(self) -> None:
                self.send_response(stand_in.status)
                for name, value in stand_in.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(stand_in.body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/prefix/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def close(self) -> None:
        self.held.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def sent(self, name: str = "SwirlIncident") -> list[dict[str, Any]]:
        """Alerts of a name, in the order in which they came."""
        return [a for alerts in list(self.requests) for a in alerts if a["labels"]["alertname"] == name]


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    running = StandIn()
    yield running
    running.close()


@contextmanager
def mirror(url: str, seconds: float = 60.0, **given: Any) -> Iterator[AlertmanagerMirror]:
    settings = WatchSettings(
        alertmanager=url, alertmanager_seconds=seconds, url="http://swirl.example/", runbook="http://wiki/ads"
    )
    made = AlertmanagerMirror(settings, **given)
    made.start()
    try:
        yield made
    finally:
        made.close(10)
        assert "swirl-alertmanager" not in {thread.name for thread in threading.enumerate()}


def seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def test_labels_are_identity_only_and_everything_that_changes_is_an_annotation(stand_in: StandIn) -> None:
    with mirror(stand_in.url, clock=lambda: NOW) as sink:
        sink.handle(changed(DATA))
        eventually(lambda: len(stand_in.sent()) == 1, "the opening")
        sink.handle(changed(DATA, "updated", stage="classify", cause="bad deployment", severity="degraded"))
        eventually(lambda: len(stand_in.sent()) == 2, "the update")
    first, second = stand_in.sent()
    assert first["labels"] == second["labels"] == {
        "alertname": "SwirlIncident", "pipeline": "ads", "incident": DATA.id,
    }  # fmt: skip
    assert (first["annotations"]["cause"], second["annotations"]["cause"]) == (
        "data pipeline broken", "bad deployment",
    )  # fmt: skip
    assert first["annotations"]["description"] == DATA.sentence
    assert first["annotations"]["evidence"].startswith("ingest invalid 20 100/s, usually 10/s; ")
    assert first["annotations"]["runbook_url"] == "http://wiki/ads"
    assert all(first["annotations"].values())
    assert first["generatorURL"] == f"http://swirl.example/incidents/{DATA.id}"
    assert seconds(first["startsAt"]) == START / 1000
    assert seconds(first["endsAt"]) == NOW + 4 * 60


def test_who_is_on_it_and_who_wants_no_news_is_told(stand_in: StandIn) -> None:
    until = START + 3_600_000
    with mirror(stand_in.url) as sink:
        sink.handle(changed(DATA, acknowledged_by="ada", snoozed_by="ben", snoozed_until_ms=until))
        eventually(lambda: bool(stand_in.sent()), "the alert")
    (alert,) = stand_in.sent()
    assert alert["annotations"]["acknowledged_by"] == "ada"
    assert alert["annotations"]["snoozed"] == "until 2026-11-21T04:12:20.000+00:00 by ben"


def test_no_label_or_segment_reaches_a_pager_unless_it_is_allowed(stand_in: StandIn) -> None:
    evidence = (msgspec.structs.replace(POSITIVE, label="ada@x.org", name="ada@x.org ratio"),)
    told = changed(DATA, evidence=evidence, segment="DE", sentence="All are ada@x.org.")
    for allowed in (False, True):
        stand_in.requests.clear()
        settings = WatchSettings(alertmanager=stand_in.url, slack_show_labels=allowed)
        sink = AlertmanagerMirror(settings)
        sink.handle(told)
        sink.start()
        eventually(lambda: bool(stand_in.sent()), "the alert")
        sink.close(10)
        notes = stand_in.sent()[0]["annotations"]
        assert ("ada@x.org" in str(notes)) is allowed
        assert (notes.get("segment") == "DE") is allowed
        assert allowed or notes["evidence"] == "label ratio 0.21, usually 0.80"


def test_what_is_over_while_nobody_answers_is_not_kept_for_ever() -> None:
    sink = AlertmanagerMirror(WatchSettings(alertmanager="http://127.0.0.1:9"))
    for number in range(3000):
        sink.handle(changed(DATA, "resolved", id=f"ads-{number}", state="resolved"))
    assert sink.counts.pending == 1000


def test_an_open_incident_is_repeated_and_a_resolved_one_ends_once(stand_in: StandIn) -> None:
    with mirror(stand_in.url, 0.2, clock=lambda: NOW) as sink:
        sink.handle(changed(DATA))
        eventually(lambda: len(stand_in.sent()) >= 3, "repeats")
        sink.handle(changed(DATA, "resolved"))
        eventually(lambda: seconds(stand_in.sent()[-1]["endsAt"]) == NOW, "the end")
        before, beats = len(stand_in.sent()), len(stand_in.sent("SwirlHeartbeat"))
        eventually(lambda: len(stand_in.sent("SwirlHeartbeat")) > beats + 2, "further repeats")
        assert len(stand_in.sent()) == before
        assert sink.counts.pending == 0


def test_handing_over_what_stands_again_changes_nothing(stand_in: StandIn) -> None:
    with mirror(stand_in.url) as sink:
        sink.handle(changed(DATA, "updated"))
        sink.handle(changed(DATA))  # older
        sink.handle(window())
        sink.handle(verdict())
        sink.handle(MuteChanged("ads", "began", Mute("", 0, 1)))
        eventually(lambda: bool(stand_in.sent()), "the alert")
        assert sink.counts.pending == 0
    assert len(stand_in.sent()) == 1


def test_the_judgement_of_an_old_incident_ends_nothing(stand_in: StandIn) -> None:
    ended = msgspec.structs.replace(changed(DATA, "resolved").incident, revision=3, judged="confirmed")
    with mirror(stand_in.url) as sink:
        sink.handle(msgspec.structs.replace(changed(DATA), transition="judged", incident=ended))
        sink.handle(changed(DEPLOYMENT))
        eventually(lambda: bool(stand_in.sent()), "the other incident")
    assert [alert["labels"]["incident"] for alert in stand_in.sent()] == [DEPLOYMENT.id]


def test_a_muted_incident_is_told_to_nobody_and_fires_when_the_work_is_over(stand_in: StandIn) -> None:
    with mirror(stand_in.url, clock=lambda: NOW) as sink:
        sink.handle(changed(DATA, muted=True))
        sink.handle(changed(DEPLOYMENT))
        eventually(lambda: bool(stand_in.sent()), "the incident that is not muted")
        assert {a["labels"]["incident"] for a in stand_in.sent()} == {DEPLOYMENT.id}
        sink.handle(changed(DEPLOYMENT, "updated", muted=True))
        eventually(lambda: seconds(stand_in.sent()[-1]["endsAt"]) == NOW, "work began: its alert ends")
        sink.handle(changed(DATA, revision=1))
        eventually(lambda: stand_in.sent()[-1]["labels"]["incident"] == DATA.id, "the work is over")


def test_a_pipeline_that_another_worker_watches_is_repeated_no_more_and_ends_not(stand_in: StandIn) -> None:
    with mirror(stand_in.url, 0.2, clock=lambda: NOW) as sink:
        sink.handle(changed(DATA))
        eventually(lambda: len(stand_in.sent()) >= 2, "repeats")
        sink.forget("ads")
        beats = len(stand_in.sent("SwirlHeartbeat"))
        eventually(lambda: len(stand_in.sent("SwirlHeartbeat")) > beats + 1, "the turn that may be under way")
        before, beats = len(stand_in.sent()), len(stand_in.sent("SwirlHeartbeat"))
        eventually(lambda: len(stand_in.sent("SwirlHeartbeat")) > beats + 2, "further repeats")
        assert len(stand_in.sent()) == before
    assert all(seconds(alert["endsAt"]) > NOW for alert in stand_in.sent())


def test_the_heartbeat_stops_with_what_is_watched(stand_in: StandIn) -> None:
    alive = threading.Event()
    alive.set()
    with mirror(stand_in.url, 0.1, live=lambda: (alive.is_set(), "")) as sink:
        sink.handle(changed(DATA))
        eventually(lambda: len(stand_in.sent("SwirlHeartbeat")) > 2, "beats")
        alive.clear()
        before = len(stand_in.sent())
        eventually(lambda: len(stand_in.sent()) > before + 1, "the turn that may be under way")
        beats, before = len(stand_in.sent("SwirlHeartbeat")), len(stand_in.sent())
        eventually(lambda: len(stand_in.sent()) > before + 2, "incidents are repeated all the same")
        assert len(stand_in.sent("SwirlHeartbeat")) == beats


def test_what_cannot_be_asked_does_not_live_and_incidents_are_told_all_the_same(stand_in: StandIn) -> None:
    def lost() -> tuple[bool, str]:
        raise OSError("gone")

    with mirror(stand_in.url, 0.1, live=lost) as sink:
        sink.handle(changed(DATA))
        eventually(lambda: len(stand_in.sent()) > 2, "repeats")
    assert stand_in.sent("SwirlHeartbeat") == []


def test_a_thousand_open_incidents_travel_in_several_requests(stand_in: StandIn) -> None:
    stand_in.held.clear()
    with mirror(stand_in.url) as sink:
        for number in range(1000):
            sink.handle(changed(DATA, id=f"ads-{number}"))
        stand_in.held.set()
        eventually(lambda: sink.counts.pending == 0, "all were taken")
        assert sink.counts.delivered == 1000
    assert len({alert["labels"]["incident"] for alert in stand_in.sent()}) == 1000
    assert max(map(len, stand_in.requests)) == 200


@pytest.mark.parametrize(
    ("status", "headers", "told"),
    [
        (500, {}, "its own log says why"),
        (404, {}, "--web.route-prefix"),
        (401, {}, "a login"),
        (302, {"Location": "http://elsewhere/"}, "redirects to http://elsewhere/"),
    ],
)
def test_a_refusal_is_told_once_with_what_to_do_and_tried_again(
    stand_in: StandIn, caplog: pytest.LogCaptureFixture, status: int, headers: dict[str, str], told: str
) -> None:
    caplog.set_level(logging.INFO, "swirl.sinks")
    stand_in.status, stand_in.headers = status, headers
    with mirror(stand_in.url, 0.1) as sink:
        sink.handle(changed(DATA))
        eventually(lambda: sink.counts.retried >= 5, "attempts")
        assert sink.counts.pending == 2
        assert sink.counts.delivered == 0
        stand_in.status = 200
        eventually(lambda: sink.counts.pending == 0, "it is taken in the end")
    warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warned) == 1
    assert told in warned[0]
    assert "SWIRL_ALERTMANAGER" in warned[0]
    assert "takes alerts again" in caplog.text


def test_an_alertmanager_that_is_away_or_silent_keeps_nobody_waiting(
    stand_in: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    stand_in.held.clear()
    with mirror(stand_in.url) as sink:
        for number in range(200):
            sink.handle(changed(DATA, id=f"ads-{number}"))
        assert sink.counts.delivered == 0
        stand_in.held.set()
    with mirror(f"http://127.0.0.1:{free_port()}", 0.1) as sink:
        sink.handle(changed(DATA))
        eventually(lambda: sink.counts.retried >= 3, "attempts")
    assert len([r for r in caplog.records if "is not there" in r.getMessage()]) == 1


def test_what_is_new_at_the_end_is_sent_and_an_end_before_the_start_does_no_harm(stand_in: StandIn) -> None:
    with mirror(stand_in.url) as sink:
        eventually(lambda: bool(stand_in.sent("SwirlHeartbeat")), "the first turn")
        sink.handle(changed(DATA))
    assert len(stand_in.sent()) == 1
    AlertmanagerMirror(WatchSettings(alertmanager="http://localhost:9093")).close()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost:9093",
        "ftp://host",
        "http://",
        "http://host:99999",
        "http://u:p@host",
        "http://h/?a=b",
        "http://a b",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_at_once(address: str) -> None:
    with pytest.raises(SettingsError, match=r"SWIRL_ALERTMANAGER.*http://localhost:9093") as caught:
        AlertmanagerMirror(WatchSettings(alertmanager=address))
    assert "u:p" not in str(caught.value)


# -- the real one


class Alertmanager:
    """A real Alertmanager, asked through amtool."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.amtool = binary("amtool", "prometheus-alertmanager")
        self.folder, self.stack, self.port = folder, stack, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        self.running = self.stack.enter_context(running_alertmanager(self.folder, self.port))

    def stop(self) -> None:
        self.running.kill()
        self.running.wait()

    def tool(self, *words: str) -> str:
        command = [self.amtool, f"--alertmanager.url={self.url}", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def firing(self, *more: str) -> dict[str, dict[str, Any]]:
        """Alerts by their incident, the heartbeat as an empty word."""
        told = json.loads(self.tool("alert", "query", *more, "-o", "json"))
        return {alert["labels"].get("incident", ""): alert for alert in told}


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    with ExitStack() as stack:
        yield Alertmanager(tmp_path, stack)


@pytest.mark.service
def test_the_real_alertmanager_follows_an_incident_to_its_end(alertmanager: Alertmanager) -> None:
    with mirror(alertmanager.url, 0.5) as sink:
        sink.handle(changed(DATA))
        eventually(lambda: alertmanager.firing().keys() == {"", DATA.id}, "the incident and the heartbeat")
        opened = alertmanager.firing()[DATA.id]
        sink.handle(changed(DATA, "updated", cause="source outage", acknowledged_by="ada"))
        eventually(
            lambda: alertmanager.firing()[DATA.id]["annotations"].get("acknowledged_by") == "ada",
            "the same alert, other annotations",
        )
        now = alertmanager.firing()[DATA.id]
        assert now["annotations"]["cause"] == "source outage"
        assert (now["fingerprint"], now["startsAt"]) == (opened["fingerprint"], opened["startsAt"])

        matches = ("alertname=SwirlIncident", "pipeline=ads")
        alertmanager.tool("silence", "add", "-d", "1h", "-c", "planned", "-a", "ada", *matches)
        eventually(lambda: DATA.id not in alertmanager.firing(), "a silence hides it")
        assert alertmanager.firing("-s")[DATA.id]["status"]["state"] == "suppressed"
        (silence,) = alertmanager.tool("silence", "query", "-q").split()
        alertmanager.tool("silence", "expire", silence)
        eventually(lambda: DATA.id in alertmanager.firing(), "it fires again")

        sink.handle(changed(DATA, "resolved"))
        eventually(lambda: alertmanager.firing().keys() == {""}, "it is over")


@pytest.mark.service
def test_an_alertmanager_that_starts_anew_hears_of_everything_again(alertmanager: Alertmanager) -> None:
    with mirror(alertmanager.url, 0.5) as sink:
        sink.handle(changed(DATA))
        sink.handle(changed(DEPLOYMENT))
        eventually(lambda: alertmanager.firing().keys() == {"", DATA.id, DEPLOYMENT.id}, "both")
        alertmanager.stop()
        sink.handle(changed(DATA, "resolved"))
        eventually(lambda: sink.counts.retried > 0, "it is away")
        alertmanager.start()
        eventually(lambda: alertmanager.firing().keys() == {"", DEPLOYMENT.id}, "what is open, and no more")
        assert alertmanager.firing()[DEPLOYMENT.id]["annotations"]["version"] == "2026.11.2"


@pytest.mark.service
def test_a_monitor_that_dies_is_seen_by_the_end_of_its_heartbeat(alertmanager: Alertmanager) -> None:
    with mirror(alertmanager.url, 0.2) as sink:
        sink.handle(changed(DATA))
        eventually(lambda: alertmanager.firing().keys() == {"", DATA.id}, "the heartbeat")
    eventually(lambda: alertmanager.firing() == {}, "nobody repeats it")
    assert "SwirlHeartbeat" not in alertmanager.tool("alert", "query")


@pytest.mark.service
def test_the_example_in_the_documentation_is_a_configuration_that_works(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "alertmanager.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "config.yml").write_text(example)
    amtool = binary("amtool", "prometheus-alertmanager")
    done = subprocess.run([amtool, "check-config", tmp_path / "config.yml"], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
    labels = [("alertname=SwirlHeartbeat", "dead-mans-switch"), ("alertname=SwirlIncident", "on-call")]
    for label, receiver in labels:
        command = [amtool, "config", "routes", "test", f"--config.file={tmp_path / 'config.yml'}", label]
        assert subprocess.check_output(command, text=True).strip() == receiver
