"""Frames to a real broker, and verdicts back."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import msgspec
import pytest
from kafka import KafkaProducer

from swirl import Pipeline, Verdict
from swirl.kafka.connect import options
from swirl.kafka.topics import Topics, create_missing
from swirl.sdk.kafka import KafkaTransport
from swirl.settings import EmitterSettings, KafkaSettings
from swirl.testing.broker import free_port
from tests.sdk.broker_log import counted, end_all, goodbye, records, run, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.services import OwnBroker

NOWHERE = KafkaSettings(kafka=f"127.0.0.1:{free_port()}")


@pytest.fixture(autouse=True)
def no_program_left() -> Iterator[None]:
    yield
    end_all()


@pytest.fixture
def topics(kafka: str, prefix: str) -> KafkaSettings:
    """Settings of a deployment of this test's own."""
    settings = KafkaSettings(kafka=kafka, topics=prefix)
    create_missing(settings, partitions=4)
    return settings


def wait(until: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not until() and time.monotonic() < deadline:
        time.sleep(0.02)
    return until()


def test_the_same_program_sends_to_kafka_where_the_variable_is_set(topics: KafkaSettings) -> None:
    code, _, err = run(
        topics,
        """
        for _ in range(1000):
            ingest("x")
        ads.flush(10)
        for _ in range(234):
            ingest("x")
        print("kafka" in sys.modules)
        """,
        SWIRL_EXIT_SECONDS="10",
    )
    found = records(topics, goodbye)
    assert (code, err) == (0, "")
    assert {record.key for record in found} == {b"ads"}
    assert len({record.partition for record in found}) == 1
    assert [record.frame.sequence for record in found] == list(range(1, len(found) + 1))
    assert counted(found) == 1234


def test_pipelines_of_a_process_share_one_connection(topics: KafkaSettings) -> None:
    code, out, err = run(
        topics,
        """
        shop = swirl.Pipeline("shop")
        buy = shop.stage(name="buy")(lambda: None)
        for _ in range(10):
            ingest("x")
            buy()
        ads.flush(10)
        shop.flush(10)
        print([t.name for t in threading.enumerate()].count("swirl-kafka-network-thread"))
        """,
        SWIRL_EXIT_SECONDS="10",
    )
    found = records(topics, lambda found: sum(r.frame.goodbye for r in found) == 2)
    assert (code, err) == (0, "")
    assert out == "1\n"
    assert {record.key for record in found} == {b"ads", b"shop"}
    assert counted(found) == 20


def test_without_a_broker_the_host_is_told_once_and_ends_in_time() -> None:
    process = start(
        NOWHERE,
        """
        for _ in range(60):
            ingest("x")
            time.sleep(0.1)
        print(time.monotonic(), flush=True)
        """,
    )
    out, err = process.communicate(timeout=60)
    ended = time.monotonic()
    assert process.returncode == 0
    assert ended - float(out) < 2.0
    gone, left = err.splitlines()
    assert "does not answer" in gone
    assert "SWIRL_KAFKA" in gone
    assert "did not reach Kafka" in left


@pytest.mark.slow
def test_a_broker_that_is_killed_while_busy_costs_nothing_that_fits(own_broker: OwnBroker) -> None:
    broker = own_broker()
    settings = broker.settings()
    create_missing(settings, partitions=4)
    process = start(
        settings,
        """
        end = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.readline(), end.set()), daemon=True).start()
        n = 0
        while not end.is_set():
            ingest("x")
            n += 1
            time.sleep(0.001)
        print(n)
        """,
        SWIRL_FLUSH_SECONDS="0.2",
        SWIRL_EXIT_SECONDS="20",
    )
    records(settings, lambda found: len(found) >= 10)
    broker.kill()
    time.sleep(12)
    broker.start()
    before = len(records(settings, lambda found: len(found) >= 90, seconds=60))
    assert before >= 90
    out, err = process.communicate("end\n", timeout=60)
    found = records(settings, goodbye)
    assert process.returncode == 0
    assert [record.frame.sequence for record in found] == list(range(1, len(found) + 1))
    assert counted(found) == int(out)
    gone, back = err.splitlines()
    assert "Kafka at" in gone
    assert "lost meanwhile: 0 frames, 0 records" in back


def test_a_topic_that_is_missing_is_told_and_used_once_it_is_there(kafka: str, prefix: str) -> None:
    settings = KafkaSettings(kafka=kafka, topics=prefix)
    process = start(
        settings,
        """
        for _ in range(10):
            ingest("x")
        sys.stderr.flush()
        sys.stdin.readline()
        print(ads.flush(20))
        """,
    )
    assert process.stderr is not None
    told = process.stderr.readline()
    assert f"has no topic '{prefix}.frames': create it with `swirl topics --create`" in told
    create_missing(settings, partitions=4)
    _, err = process.communicate("go\n", timeout=60)
    assert process.returncode == 0
    assert err.count("frames reach Kafka again") == len(err.splitlines()) == 1
    assert counted(records(settings, goodbye)) == 10


@pytest.mark.slow
def test_who_is_not_let_in_is_told_why_and_sends_once_it_is_allowed(
    own_broker: OwnBroker, prefix: str
) -> None:
    secure = own_broker(secure=True, users={"eve": "s3cret-of-eve"})
    admin, eve = secure.settings(topics=prefix), secure.settings("eve", topics=prefix)
    create_missing(admin, partitions=2)
    wrong = start(
        secure.settings("eve", topics=prefix, password="wr0ng"), "ingest('x')\nsys.stdin.readline()"
    )
    process = start(eve, "ingest('x')\nsys.stdin.readline()\nads.flush(20)\nsys.stdin.readline()")
    assert wrong.stderr is not None
    assert process.stderr is not None
    told = wrong.stderr.readline()
    assert "does not let the user 'eve' in" in told
    assert ": check SWIRL_KAFKA_USER, SWIRL_KAFKA_PASSWORD and SWIRL_KAFKA_MECHANISM" in told
    assert "wr0ng" not in told + "".join(wrong.communicate("go\n", timeout=60))
    lines = [process.stderr.readline()]
    assert f"user 'eve' may not Write topic {prefix}.frames; give the right" in lines[0]
    secure.grant("eve", "WRITE", topic=f"{prefix}.frames")
    secure.grant("eve", "DESCRIBE", topic=f"{prefix}.frames")
    lines += [process.stderr.readline(), process.stderr.readline()]
    assert "frames reach Kafka again" in lines[1]
    assert f"verdicts do not come: user 'eve' may not Read topic {prefix}.feedback" in lines[2]
    out, err = process.communicate("go\n" * 2, timeout=60)
    assert process.returncode == 0
    assert "s3cret-of-eve" not in "".join(lines) + err + out
    assert counted(records(admin, goodbye)) == 1


def test_a_forked_child_connects_anew_and_leaves_its_parents_connection_alone(
    topics: KafkaSettings,
) -> None:
    code, _, err = run(
        topics,
        """
        ingest("x")
        ads.flush(10)
        child = os.fork()
        if child == 0:
            for _ in range(10):
                ingest("x")
            sys.exit(0 if ads.flush(10) else 3)
        assert os.waitpid(child, 0)[1] == 0
        for _ in range(100):
            ingest("x")
        sys.exit(0 if ads.flush(10) else 4)
        """,
        SWIRL_EXIT_SECONDS="10",
    )
    found = records(topics, lambda found: sum(r.frame.goodbye for r in found) == 2)
    by_emitter: dict[bytes, float] = {}
    for record in found:
        by_emitter[record.frame.emitter] = by_emitter.get(record.frame.emitter, 0) + counted([record])
    assert (code, err) == (0, "")
    assert sorted(by_emitter.values()) == [10, 101]


def test_children_of_a_pool_send_what_they_have(topics: KafkaSettings) -> None:
    code, _, err = run(
        topics,
        """
        import multiprocessing
        ingest("x")
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pool.map(ingest, range(50))
            pool.close()
            pool.join()
        """,
        SWIRL_EXIT_SECONDS="10",
    )
    assert (code, err) == (0, "")
    assert counted(records(topics, lambda found: counted(found) == 51)) == 51


def test_sigterm_ends_a_process_as_before_and_with_a_goodbye(topics: KafkaSettings) -> None:
    process = start(
        topics,
        """
        for _ in range(10):
            ingest("x")
        ads.flush(10)
        ingest("x")
        print("ready", flush=True)
        time.sleep(60)
        """,
    )
    assert process.stdout is not None
    process.stdout.readline()
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert time.monotonic() - began < 2.0
    assert process.returncode == -signal.SIGTERM
    found = records(topics, goodbye)
    assert found[-1].frame.goodbye
    assert counted(found) == 11


def test_a_verdict_comes_back_to_its_pipeline_and_no_other(topics: KafkaSettings) -> None:
    transport = KafkaTransport(topics)
    ads = Pipeline("ads", settings=EmitterSettings(flush_seconds=0.05), transport=transport)
    other = Pipeline("other", transport=transport)
    ingest = ads.stage(name="ingest")(bool)
    ingest()
    assert ads.flush(20)
    verdict = Verdict("tripped", 5, "ads-1", "ingest", "data pipeline broken")
    producer = KafkaProducer(**options(topics))
    feedback = Topics.of(topics).feedback
    try:
        for key, value in (
            (b"ads", b"of a later version"),
            (b"ads", msgspec.msgpack.encode(verdict)),
            (b"unknown", msgspec.msgpack.encode(verdict)),
            (b"\xff", msgspec.msgpack.encode(verdict)),
        ):
            producer.send(feedback, value, key).get(10)
        assert wait(lambda: ads.verdict == verdict)
        producer.send(feedback, msgspec.msgpack.encode(Verdict(since_ms=9)), b"ads").get(10)
        assert wait(lambda: ads.verdict == Verdict(since_ms=9))
    finally:
        producer.close()
        transport.close(5)
        transport._verdicts.join(10)
    assert other.verdict == Verdict()


def test_the_hosts_own_use_of_kafka_is_heard_as_before(tmp_path: Path) -> None:
    code, _, err = run(
        NOWHERE,
        f"""
        ingest("x")
        time.sleep(1)
        from kafka import KafkaProducer
        try:
            KafkaProducer(bootstrap_servers="{NOWHERE.kafka}", bootstrap_timeout_ms=500)
        except Exception as error:
            print(type(error).__name__)
        """,
    )
    assert code == 0
    assert "WARNING kafka.net.manager Bootstrap connection to bootstrap-0 failed" in err
