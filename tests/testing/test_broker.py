"""The broker for developers: a real one, that keeps its data, fails as asked, and lets in whom it should."""

from __future__ import annotations

import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError, KafkaTimeoutError, TopicAuthorizationFailedError

from swirl.errors import SwirlError
from swirl.kafka.connect import options
from swirl.testing.broker import Broker, free_port
from tests.services import OwnBroker


def make_topic(broker: Broker, name: str) -> None:
    admin = KafkaAdminClient(**broker.options())
    admin.create_topics([NewTopic(name, 1, 1)])
    admin.close()


def send(topic: str, value: bytes, how: dict[str, Any]) -> None:
    producer = KafkaProducer(**how)
    try:
        producer.send(topic, value).get(20)
    finally:
        producer.close(1)


def first_value(broker: Broker, topic: str) -> bytes:
    consumer = KafkaConsumer(
        topic, auto_offset_reset="earliest", consumer_timeout_ms=20_000, **broker.options()
    )
    try:
        value: bytes = next(iter(consumer)).value
        return value
    finally:
        consumer.close()


def eventually(holds: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds()


def shake_hands(broker: Broker, context: ssl.SSLContext) -> None:
    host, _, port = broker.address.partition(":")
    with (
        socket.create_connection((host, int(port))) as plain,
        context.wrap_socket(plain, server_hostname=host),
    ):
        pass


def listens(address: str) -> bool:
    host, _, port = address.partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def test_a_record_goes_in_and_comes_out(broker: Broker, prefix: str) -> None:
    make_topic(broker, prefix)
    send(prefix, b"hello", broker.options())
    assert first_value(broker, prefix) == b"hello"


def test_a_topic_is_not_made_by_writing_to_it(broker: Broker, prefix: str) -> None:
    with pytest.raises(KafkaTimeoutError):
        send(prefix, b"hello", {**broker.options(), "max_block_ms": 500})


def test_what_it_took_survives_a_kill_and_it_comes_back_where_it_was(
    own_broker: OwnBroker, prefix: str
) -> None:
    broker = own_broker()
    address, before = broker.address, broker.pid
    make_topic(broker, prefix)
    send(prefix, b"kept", broker.options())
    broker.kill()
    assert not broker.alive()
    assert not listens(address)
    broker.start()
    assert broker.pid != before
    assert broker.address == address
    assert first_value(broker, prefix) == b"kept"


def test_a_paused_broker_answers_nobody_and_goes_on_where_it_was(own_broker: OwnBroker, prefix: str) -> None:
    broker = own_broker()
    make_topic(broker, prefix)
    producer = KafkaProducer(**broker.options())
    producer.send(prefix, b"before").get(20)
    broker.pause()
    assert broker.alive()
    pending = producer.send(prefix, b"meanwhile")
    with pytest.raises(KafkaError):
        pending.get(0.5)
    broker.resume()
    assert pending.get(20).offset == 1
    producer.close()
    broker.pause()
    broker.stop()
    assert not broker.alive()
    with pytest.raises(SwirlError, match="does not run"):
        broker.pause()


def test_a_folder_that_is_in_use_is_refused_with_the_words_of_kafka(own_broker: OwnBroker) -> None:
    broker = own_broker()
    second = Broker(broker.folder)
    with pytest.raises(SwirlError, match=r"did not start(.|\n)*Failed to acquire lock"):
        second.start()
    assert not second.alive()
    assert broker.alive()
    with pytest.raises(SwirlError, match="runs already"):
        broker.start()


def test_it_ends_with_the_process_that_started_it(kafka_here: None, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, swirl.testing.broker as b; "
        "made = b.Broker(pathlib.Path(sys.argv[1])).start(); print(made.address, flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "kafka")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        address = owner.stdout.readline().strip()
        assert listens(address)
        owner.kill()
    assert eventually(lambda: not listens(address))


def test_a_free_port_lies_where_no_outgoing_connection_gets_its_own() -> None:
    ports = {free_port() for _ in range(5)}
    assert all(20_000 <= port < 32_000 for port in ports)
    assert free_port(besides=min(ports)) != min(ports)


@pytest.fixture(scope="module")
def locked(kafka_here: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    folder = tmp_path_factory.mktemp("locked")
    with Broker(folder, secure=True, users={"emitter": "of the emitter"}) as broker:
        yield broker


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_each_mechanism_lets_in_who_has_the_right(locked: Broker, prefix: str, mechanism: str) -> None:
    make_topic(locked, prefix)
    locked.grant("emitter", "WRITE", topic=f"{prefix}*")
    send(prefix, b"allowed", locked.options("emitter", mechanism))
    assert first_value(locked, prefix) == b"allowed"


def test_a_user_without_the_right_is_refused(locked: Broker, prefix: str) -> None:
    make_topic(locked, prefix)
    with pytest.raises(TopicAuthorizationFailedError):
        send(prefix, b"forbidden", locked.options("emitter"))


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_wrong_password_is_refused(locked: Broker, mechanism: str) -> None:
    wrong = options(locked.settings("emitter", mechanism, password="guessed"))
    with pytest.raises(KafkaTimeoutError):
        KafkaAdminClient(**wrong, bootstrap_timeout_ms=1000)


def test_its_certificate_holds_by_the_strictest_rules_and_for_nobody_who_was_not_told(locked: Broker) -> None:
    strict = ssl.create_default_context(cafile=locked.folder / "ca.pem")
    strict.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    host, _, port = locked.address.partition(":")
    with (
        socket.create_connection((host, int(port))) as plain,
        strict.wrap_socket(plain, server_hostname=host),
    ):
        pass
    with socket.create_connection((host, int(port))) as plain, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(plain, server_hostname=host)


def test_passwords_are_for_their_owner_only(locked: Broker) -> None:
    for name in ("admin.secret", "keys.secret", "server.properties"):
        assert stat.S_IMODE((locked.folder / name).stat().st_mode) == 0o600
    assert "of the emitter" not in locked.last_words(1000)
