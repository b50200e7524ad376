"""The transport to Kafka with a producer that does as it is told."""

from __future__ import annotations

import logging
import os
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError, TopicAuthorizationFailedError

import swirl
from swirl import Pipeline
from swirl.errors import SettingsError
from swirl.frame import Frame, decode
from swirl.sdk import kafka, producer, transport
from swirl.sdk.kafka import KafkaTransport
from swirl.sdk.transport import Refused
from swirl.settings import EmitterSettings, KafkaSettings
from tests.sdk.inbox import Inbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SETTINGS = KafkaSettings(
    kafka="broker:9092", protocol="SASL_SSL", user="eve", password="s3cret", ca="/no/such/file"
)


class FakeProducer:
    """Takes what it may; a test confirms or refuses it."""

    made: list[FakeProducer]
    wrong: Exception | None
    objection: Exception | None
    willing: bool

    def __init__(self, settings: KafkaSettings, topic: str, client: str) -> None:
        if self.wrong is not None:
            raise self.wrong
        self.sent: list[tuple[bytes, bytes, Callable[[BaseException | None], None]]] = []
        self.closed = False
        self.made.append(self)

    def send(self, key: bytes, value: bytes, done: Callable[[BaseException | None], None]) -> None:
        if self.objection is not None:
            raise KafkaTimeoutError("no metadata")
        self.sent.append((key, value, done))
        if self.willing:
            self.confirm()

    def ask(self, seconds: float) -> BaseException | None:
        return self.objection

    def close(self, seconds: float) -> None:
        self.closed = True

    def abandon(self) -> None:
        """It is the parent's."""

    def confirm(self, error: BaseException | None = None) -> None:
        for _, _, done in list(self.sent):
            done(error)
        self.sent.clear()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeProducer]:
    class Fake(FakeProducer):
        made: list[FakeProducer] = []  # noqa: RUF012 - one list a test
        wrong = None
        objection = None
        willing = False

    monkeypatch.setattr(producer, "Producer", Fake)
    monkeypatch.setattr(kafka, "_BACKOFF_S", 0.01)
    monkeypatch.setattr(kafka, "_TICK_S", 0.02)
    monkeypatch.setattr("swirl.sdk.verdicts.VerdictListener.start", lambda self: None)
    return Fake


@pytest.fixture
def way(fake: type[FakeProducer]) -> Iterator[KafkaTransport]:
    transport = KafkaTransport(SETTINGS, frames=4, size=1000)
    yield transport
    fake.willing = True
    for made in fake.made:
        made.confirm()
    transport.close(5)
    if transport._thread is not None:
        transport._thread.join(20)
    assert transport._thread is None or not transport._thread.is_alive()


def wait(until: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.005)


def sent(fake: type[FakeProducer]) -> list[bytes]:
    return [value for _, value, _ in fake.made[-1].sent] if fake.made else []


def test_frames_are_handed_over_in_order_with_their_pipeline_as_key(
    way: KafkaTransport, fake: type[FakeProducer]
) -> None:
    for number in range(4):
        way.send("äds", str(number).encode(), pytest.fail)
    wait(lambda: len(sent(fake)) == 4)
    assert sent(fake) == [b"0", b"1", b"2", b"3"]
    assert {key for key, _, _ in fake.made[0].sent} == {"äds".encode()}
    assert not way.flush(0.01)
    fake.made[0].confirm()
    assert way.flush(5)


@pytest.mark.parametrize(("frames", "size"), [(4, 1), (2, 500)])
def test_no_more_is_under_way_than_may_be(
    way: KafkaTransport, fake: type[FakeProducer], frames: int, size: int
) -> None:
    for _ in range(frames):
        way.send("ads", b"x" * size, pytest.fail)
    with pytest.raises(Refused):
        way.send("ads", b"x" * size, pytest.fail)
    wait(lambda: len(sent(fake)) == frames)
    fake.made[0].confirm()
    way.send("ads", b"x" * 5000, pytest.fail)  # a large one goes alone


def test_a_record_that_is_refused_for_what_it_is_is_lost_and_told(
    way: KafkaTransport, fake: type[FakeProducer]
) -> None:
    lost: list[int] = []
    way.send("ads", b"x", lambda: lost.append(1))
    wait(lambda: sent(fake))
    fake.made[0].confirm(MessageSizeTooLargeError())
    assert lost == [1]
    assert way.flush(5)


def test_what_fails_for_another_reason_is_sent_anew_in_its_order_by_a_new_producer(
    way: KafkaTransport, fake: type[FakeProducer], caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        way.send("ads", str(number).encode(), pytest.fail)
    wait(lambda: len(sent(fake)) == 3)
    fake.made[0].confirm(TopicAuthorizationFailedError())
    wait(lambda: len(fake.made) == 2 and len(sent(fake)) == 3)
    assert fake.made[0].closed
    assert sent(fake) == [b"0", b"1", b"2"]
    with pytest.raises(Refused):
        way.send("ads", b"later", pytest.fail)
    fake.made[1].confirm()
    assert way.flush(5)
    gone, back = caplog.messages
    assert "user 'eve' may not Write topic swirl.frames" in gone
    assert back.startswith("frames reach Kafka again after ")


def test_an_outage_is_told_once_and_so_is_its_end_with_what_was_lost(
    fake: type[FakeProducer], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.wrong = KafkaTimeoutError("Unable to bootstrap")
    way = KafkaTransport(SETTINGS, frames=1)
    ads = Pipeline("ads", settings=EmitterSettings(flush_seconds=0.01, buffer_frames=2), transport=way)
    ingest = ads.stage(name="ingest")(bool)
    ingest()
    wait(lambda: ads._emitter.losses[0] >= 5)
    assert len(caplog.messages) == 1
    fake.wrong = None
    frames: list[Frame] = []

    def confirmed() -> bool:
        for _, value, done in [one for made in fake.made for one in made.sent]:
            frame = decode(value)
            assert isinstance(frame, Frame)
            frames.append(frame)
            done(None)
        for made in fake.made:
            made.sent.clear()
        return bool(frames) and frames[-1].failed >= 5

    wait(confirmed)
    assert any("lost meanwhile: " in message for message in caplog.messages)
    closing = threading.Thread(target=ads.close, args=(5,))
    closing.start()
    wait(lambda: confirmed() and not closing.is_alive())
    way.close(5)
    assert [r.levelname for r in caplog.records] == ["WARNING", "WARNING"]
    assert frames[-1].goodbye
    assert frames[-1].failed == sum(1 for _ in range(frames[-1].sequence)) - len(frames)


def test_outages_that_follow_each_other_closely_are_told_as_one(
    way: KafkaTransport, fake: type[FakeProducer], caplog: pytest.LogCaptureFixture
) -> None:

    def made_after(before: int) -> bool:
        return len(fake.made) > before and bool(sent(fake))

    for _ in range(5):
        way.send("ads", b"x", pytest.fail)
        wait(lambda: sent(fake))
        before = len(fake.made)
        fake.made[-1].confirm(TopicAuthorizationFailedError())
        wait(partial(made_after, before))
        fake.made[-1].confirm()
        assert way.flush(5)
    assert len(caplog.messages) == 2


def test_frames_that_are_not_confirmed_for_long_tell_of_an_outage(
    fake: type[FakeProducer], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "_PATIENCE_S", 0.1)
    way = KafkaTransport(SETTINGS, frames=10_000)

    def told() -> bool:
        if not caplog.messages:
            way.send("ads", b"x", pytest.fail)  # later ones must not draw it away from the first
        return bool(caplog.messages)

    wait(told)
    assert "Kafka at broker:9092 does not answer (it takes no frames)" in caplog.text
    with pytest.raises(Refused):
        way.send("ads", b"x", pytest.fail)
    fake.willing = True
    fake.made[0].confirm()
    assert way.flush(5)
    way.send("ads", b"x", pytest.fail)
    way.close(5)


def test_the_way_ends_in_time_and_tells_what_did_not_arrive(
    way: KafkaTransport, fake: type[FakeProducer], caplog: pytest.LogCaptureFixture
) -> None:
    way.send("ads", b"x", pytest.fail)
    began = time.monotonic()
    way.close(0.2)
    assert 0.15 < time.monotonic() - began < 2
    assert caplog.messages == ["1 frames did not reach Kafka at broker:9092 before the process ended"]
    with pytest.raises(Refused):
        way.send("ads", b"x", pytest.fail)


def test_no_secret_is_shown(way: KafkaTransport, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    way.send("ads", b"x", pytest.fail)
    shown = repr(way) + repr(way.settings) + str(vars(way)) + caplog.text
    assert "s3cret" not in shown


def test_a_real_producer_that_cannot_be_made_is_told_without_its_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    way = KafkaTransport(SETTINGS)
    way.send("ads", b"x", pytest.fail)
    wait(lambda: caplog.messages)
    way.close(0.1)
    assert "SWIRL_KAFKA_CA (ca) is '/no/such/file', which cannot be used" in caplog.text
    assert "s3cret" not in caplog.text
    assert way._thread is not None
    way._thread.join(20)
    assert not way._thread.is_alive()


def test_a_child_has_nothing_of_its_parent(way: KafkaTransport, fake: type[FakeProducer]) -> None:
    way.send("ads", b"parent", pytest.fail)
    wait(lambda: sent(fake))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            made = len(fake.made)
            way.send("ads", b"child", pytest.fail)
            wait(lambda: len(fake.made) > made and sent(fake))
            os.write(writer, b" ".join(sent(fake)))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        assert answer.read() == b"child"
    os.waitpid(child, 0)
    assert sent(fake) == [b"parent"]


@pytest.fixture
def nothing_installed() -> Iterator[None]:
    before = transport.install(None)
    yield
    installed = transport.install(before)
    if installed is not None:
        installed.close(0.0)


@pytest.mark.usefixtures("nothing_installed")
def test_the_variable_is_all_that_it_takes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Pipeline("ads")
    assert transport.installed() is None
    monkeypatch.setenv("SWIRL_KAFKA", "broker:9092")
    inbox = Inbox()
    own = Pipeline("ads", transport=inbox)
    assert transport.installed() is None
    Pipeline("ads")
    way = transport.installed()
    Pipeline("shop")
    assert isinstance(way, KafkaTransport)
    assert transport.installed() is way
    assert way._thread is None
    assert own._emitter.target() is inbox
    watcher: Any = swirl.watch(slack_webhook="https://hooks.example/secret")
    assert caplog.messages == [
        "frames go to Kafka at broker:9092, where workers watch; nothing is watched in this process"
    ]
    assert (watcher.http, watcher.watches, watcher.drain(0.1)) == ("", False, True)
    watcher.close()
    assert transport.installed() is None


@pytest.mark.usefixtures("nothing_installed")
def test_off_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWIRL_KAFKA", "broker")
    monkeypatch.setenv("SWIRL_OFF", "1")
    Pipeline("ads")
    assert transport.installed() is None
    monkeypatch.delenv("SWIRL_OFF")
    with pytest.raises(SettingsError, match="SWIRL_KAFKA"):
        Pipeline("ads")


def test_a_partition_is_found_as_kafka_finds_it() -> None:
    assert [producer.partition(key, 1000) for key in (b"21", b"foobar", b"a-little-bit-long-string")] == [
        (-973932308 & 0x7FFF_FFFF) % 1000,
        (-790332482 & 0x7FFF_FFFF) % 1000,
        (-985981536 & 0x7FFF_FFFF) % 1000,
    ]


def test_what_is_changed_in_kafka_python_is_still_there() -> None:
    from kafka import KafkaProducer
    from kafka.cluster import ClusterMetadata
    from kafka.producer.sender import Sender

    assert callable(KafkaProducer._cleanup_factory)
    assert callable(Sender.force_close)
    assert ClusterMetadata().config["allow_auto_create_topics"] is True
