"""``swirl doctor``: what is wrong, in plain words, and no secret among them."""

from __future__ import annotations

import gc
import logging
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kafka import KafkaConsumer, KafkaProducer

from swirl.cli.doctor import run
from swirl.cli.finding import Finding, bounded
from swirl.errors import SettingsError
from swirl.kafka.topics import Topics, create_missing
from swirl.settings import KafkaSettings
from swirl.testing import SlackStandIn
from swirl.testing.broker import free_port

if TYPE_CHECKING:
    from tests.services import OwnBroker

# kafka-python drops the sockets of refused connections without closing them; its log holds them.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture(autouse=True)
def left_to_the_collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logging.getLogger("kafka"), "propagate", False)
    yield
    gc.collect()


def told(**environ: str) -> tuple[int, str]:
    """Exit code and all lines; nothing of this machine is asked unless a test says so."""
    lines: list[str] = []
    return run(lines.append, {"SWIRL_HTTP": "", **environ}), "\n".join(map(str, lines))


def test_without_kafka_and_slack_nothing_fails() -> None:
    code, text = told()
    assert code == 0
    assert re.search(r"^ok    Swirl \S+, Python 3", text)
    assert "warn  SWIRL_KAFKA is empty: frames stay on this machine" in text
    assert "warn  Slack is not set up" in text
    assert text.splitlines()[-1].endswith("2 warn, 0 FAIL")


def test_a_setting_that_cannot_be_used_and_one_that_is_none_are_told() -> None:
    code, text = told(SWIRL_WINDOW_SECONDS="soon", SWIRL_TOPIC="mine")
    assert code == 1
    assert "FAIL  SWIRL_WINDOW_SECONDS is 'soon'; it must be a number" in text
    assert "warn  SWIRL_TOPIC is set, but is no setting\n      -> did you mean SWIRL_TOPICS?" in text


def test_a_secret_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    code, text = told(SWIRL_SLACK_TOKEN_FILE=str(tmp_path / "nothing"))
    assert code == 1
    assert "FAIL  SWIRL_SLACK_TOKEN_FILE names" in text


def test_a_closed_port_and_an_unknown_name_are_told_apart_in_time() -> None:
    began = time.monotonic()
    code, text = told(SWIRL_KAFKA=f"127.0.0.1:{free_port()},broker.invalid:9092")
    assert code == 1
    assert re.search(r"FAIL  127\.0\.0\.1:\d+ cannot be reached \(Connection refused\)", text)
    assert re.search(r"FAIL  broker\.invalid has no address .*\n      -> check the name in SWIRL_KAFKA", text)
    assert "not tested: Kafka" in text
    assert time.monotonic() - began < 20


def test_topics_that_are_missing_are_told_with_the_command_that_helps(kafka: str, prefix: str) -> None:
    code, text = told(SWIRL_KAFKA=kafka, SWIRL_TOPICS=prefix)
    assert code == 1
    assert f"FAIL  {prefix}.frames: does not exist\n      -> swirl topics --create" in text


def test_a_deployment_that_works_is_told_with_its_worker_and_its_clock(kafka: str, prefix: str) -> None:
    settings = KafkaSettings(kafka=kafka, topics=prefix)
    create_missing(settings, partitions=2)
    frames = Topics.of(settings).frames
    stop = threading.Event()
    worker = KafkaConsumer(frames, bootstrap_servers=[kafka], group_id=prefix, auto_offset_reset="earliest")
    pipeline = KafkaProducer(bootstrap_servers=[kafka], linger_ms=0)

    def work() -> None:
        while not stop.wait(0.05):
            pipeline.send(frames, b"frame").get(10)
            worker.poll(100)

    busy = threading.Thread(target=work)
    worker.poll(0)
    busy.start()
    try:
        deadline = time.monotonic() + 30
        while not worker.assignment() and time.monotonic() < deadline:
            time.sleep(0.05)
        code, text = told(SWIRL_KAFKA=kafka, SWIRL_TOPICS=prefix, SWIRL_GROUP=prefix)
    finally:
        stop.set()
        busy.join()
        pipeline.close()
        worker.close()
    assert code == 0, text
    assert f"ok    the 6 topics {prefix}.* are as they must be" in text
    assert "ok    this user has the rights of a pipeline and of a worker on the topics" in text
    assert f"ok    group {prefix} is Stable; workers: 127.0.0.1 (2 partitions)" in text
    assert "ok    workers keep up: no frame waits longer than 1.25 min" in text
    assert "ok    the clocks of the brokers and of this machine agree to a second" in text
    # The worker is gone: what is sent now waits for nobody.
    with KafkaProducer(bootstrap_servers=[kafka]) as late:
        late.send(frames, b"frame").get(10)
    code, text = told(SWIRL_KAFKA=kafka, SWIRL_TOPICS=prefix, SWIRL_GROUP=prefix)
    assert code == 1
    assert re.search(rf"FAIL  no worker runs in group {prefix}; [1-9]\d* frames wait", text)


@pytest.mark.slow
def test_a_broker_that_nobody_worked_with_yet_is_well(own_broker: OwnBroker) -> None:
    """Asked for its first group, it answers that it cannot tell yet."""
    broker = own_broker()
    create_missing(KafkaSettings(kafka=broker.address))
    code, text = told(SWIRL_KAFKA=broker.address)
    assert code == 0, text
    assert "warn  no worker was ever here: there is no group swirl\n      -> start 'swirl worker'" in text


@pytest.mark.slow
def test_a_broker_that_hangs_is_told_in_time(own_broker: OwnBroker) -> None:
    broker = own_broker()
    broker.pause()
    began = time.monotonic()
    try:
        code, text = told(SWIRL_KAFKA=broker.address)
    finally:
        broker.resume()
    assert code == 1
    assert re.search(r"FAIL  no answer from 127\.0\.0\.1:\d+ within 6 s", text)
    assert time.monotonic() - began < 25


@pytest.mark.slow
def test_who_is_not_let_in_is_told_what_is_wrong_and_no_secret(own_broker: OwnBroker, tmp_path: Path) -> None:
    broker = own_broker(secure=True, users={"ada": "ada-secret"})
    secure = broker.settings("ada")
    secret = tmp_path / "password"
    secret.write_text("wrong-secret\n")
    environ = {
        "SWIRL_KAFKA": secure.kafka,
        "SWIRL_KAFKA_PROTOCOL": "SASL_SSL",
        "SWIRL_KAFKA_CA": secure.ca,
        "SWIRL_KAFKA_USER": "ada",
    }
    code, text = told(**environ, SWIRL_KAFKA_PASSWORD_FILE=str(secret))
    assert code == 1
    assert "ok    127.0.0.1:" in text
    assert "its certificate is trusted (TLSv1.3)" in text
    assert "FAIL  the brokers do not let user 'ada' in\n      -> check SWIRL_KAFKA_USER" in text
    assert "secret" not in text.replace("(secret)", "").replace("files of secrets", "")
    code, text = told(**environ, SWIRL_KAFKA_PASSWORD="ada-secret")
    assert code == 1
    assert "ok    user 'ada' is let in (SASL_SSL)" in text
    assert "FAIL  swirl.frames: user 'ada' may not Describe topic swirl.frames" in text
    assert "ada-secret" not in text
    code, text = told(**{**environ, "SWIRL_KAFKA_CA": ""}, SWIRL_KAFKA_PASSWORD="ada-secret")
    assert code == 1
    assert "is not trusted" in text
    assert "-> set SWIRL_KAFKA_CA to the file of the authority that signed it" in text
    code, text = told(SWIRL_KAFKA=secure.kafka)
    assert code == 1
    assert "-> SWIRL_KAFKA_PROTOCOL is PLAINTEXT: check that this port expects just that" in text


@pytest.mark.parametrize(
    ("token", "code", "says"), [("good", 0, "ok    Slack knows the bot"), ("bad", 1, "FAIL  Slack")]
)
def test_a_bot_is_known_or_refused_and_its_token_is_never_shown(token: str, code: int, says: str) -> None:
    with SlackStandIn(token="xoxb-good") as slack:
        ended, text = told(
            SWIRL_SLACK_TOKEN=f"xoxb-{token}", SWIRL_SLACK_CHANNEL="#ads-oncall", SWIRL_SLACK_URL=slack.url
        )
        assert slack.messages == []
    assert ended == code
    assert says in text
    assert ("refuses the bot: invalid_auth\n      -> check SWIRL_SLACK_TOKEN" in text) == bool(code)
    assert "xoxb" not in text


def test_a_slack_that_cannot_be_reached_is_told() -> None:
    code, text = told(
        SWIRL_SLACK_TOKEN="xoxb-secret",
        SWIRL_SLACK_CHANNEL="#a",
        SWIRL_SLACK_URL=f"http://127.0.0.1:{free_port()}/api/",
    )
    assert code == 1
    assert "FAIL  Slack cannot be reached" in text
    assert "xoxb" not in text


@pytest.mark.parametrize(
    ("address", "says"),
    [
        (
            "https://hooks.slack.com/services/T0/B0/hidden",
            "ok    SWIRL_SLACK_WEBHOOK looks right (hooks.slack.com)",
        ),
        ("https://hooks.slack.com/somewhere", "warn  SWIRL_SLACK_WEBHOOK leads to hooks.slack.com"),
        ("T0/B0/hidden", "FAIL  SWIRL_SLACK_WEBHOOK is no address"),
    ],
)
def test_a_webhook_is_looked_at_and_never_posted_to(address: str, says: str) -> None:
    _, text = told(SWIRL_SLACK_WEBHOOK=address)
    assert says in text
    assert "hidden" not in text


@pytest.fixture
def server() -> Iterator[str]:
    """Something that lives and is not ready."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/livez" else 503)
            self.end_headers()
            self.wfile.write(b"ok\n" if self.path == "/livez" else b"2 partitions are being restored\n")

        def log_message(self, *_: object) -> None:
            """Tests are quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as answering:
        thread = threading.Thread(target=answering.serve_forever, args=(0.02,))
        thread.start()
        yield f"127.0.0.1:{answering.server_port}"
        answering.shutdown()
        thread.join()


def test_a_worker_that_is_not_ready_says_why(server: str) -> None:
    code, text = told(SWIRL_HTTP=server)
    assert code == 1
    assert f"ok    http://{server}/livez answers 200: ok" in text
    assert f"FAIL  http://{server}/readyz answers 503: 2 partitions are being restored" in text


def test_no_worker_on_this_machine_is_no_failure() -> None:
    code, text = told(SWIRL_HTTP=f"127.0.0.1:{free_port()}")
    assert code == 0
    assert "warn  nothing answers at http://127.0.0.1:" in text


def test_a_check_that_hangs_or_breaks_is_a_finding() -> None:
    forever = threading.Event()

    def hangs() -> Iterator[Finding]:
        yield Finding("ok", "begins")
        forever.wait()

    def breaks(error: Exception) -> Iterator[Finding]:
        yield Finding("ok", "begins")
        raise error

    assert [finding.state for finding in bounded(hangs(), 0.05)] == ["ok", "FAIL"]
    forever.set()
    assert list(bounded(breaks(ValueError("odd")), 5))[1].what == "the check itself failed: ValueError('odd')"
    assert list(bounded(breaks(SettingsError("bad")), 5))[1] == Finding("FAIL", "bad")
