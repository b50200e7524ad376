"""Behind TLS, passwords and access lists all works with the least rights, and what is refused is told."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from kafka import KafkaConsumer, KafkaProducer

from swirl.engine.faust.app import _options
from swirl.engine.wire import IncidentRecord
from swirl.errors import TopicsError
from swirl.kafka.connect import options
from swirl.kafka.rights import WORKER
from swirl.kafka.topics import Topics, create_missing, ensure
from swirl.settings import KafkaSettings, WatchSettings, WorkerSettings
from swirl.testing import SlackStandIn
from swirl.testing.broker import Broker, free_port
from tests.kafka import secured
from tests.kafka.secured import ROLES, USERS, Deployment, Program, Right, another_name, leaks, rights, wait
from tests.kafka.test_connect import certificate
from tests.services import OwnBroker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

TALKATIVE = """
import logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
logging.getLogger("faust").setLevel(logging.DEBUG)
"""
WORKER_AT_DEBUG = TALKATIVE + "from swirl.cli.worker import run; run('debug')"
FAUST_AT_DEBUG = ["-m", "faust", "-A", "swirl.engine.faust", "worker", "-l", "debug"]
ADS_AT_DEBUG = (
    TALKATIVE
    + """
import runpy, threading, time
from swirl.sdk.feedback import live
def listen():
    while not any(ads.verdict.state != "healthy" for ads in live("ads")):
        time.sleep(0.05)
    print("verdict:", [ads.verdict.state for ads in live("ads")], flush=True)
threading.Thread(target=listen, daemon=True).start()
sys.argv[1:] = ["--synthetic", "--acts", "healthy:20,broken:6", "--rate", "2000"]
runpy.run_module("swirl_pipelines.ads", run_name="__main__")
"""
)
PIPELINE = """
import logging, sys, time
logging.basicConfig(stream=sys.stderr, format="%(message)s")
import swirl
ads = swirl.Pipeline("ads")
ingest = ads.stage(name="ingest")(lambda line: line)
print(sum(ingest(1) for _ in range(1000)))
ads.flush(6.0)
"""


@pytest.fixture(scope="module")
def locked(kafka_here: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("locked"), secure=True, users=USERS) as broker:
        yield broker
        broker.kill()


@pytest.fixture
def deploy(locked: Broker, tmp_path: Path) -> Iterator[Callable[[], Deployment]]:
    """Makes deployments with topics of their own, and rights for nobody."""
    made: list[Deployment] = []

    def make() -> Deployment:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Deployment(locked, folder, f"s{secrets.token_hex(4)}"))
        create_missing(made[-1].settings("admin"), partitions=2)
        return made[-1]

    yield make
    for each in made:
        each.__exit__()


def records(settings: KafkaSettings, *topics: str) -> list[Any]:
    consumer = KafkaConsumer(
        *topics, **options(settings), auto_offset_reset="earliest", consumer_timeout_ms=1500
    )
    try:
        return list(consumer)
    finally:
        consumer.close()


def test_with_the_least_rights_all_works_and_nothing_tells_a_secret_even_at_debug(
    deploy: Callable[[], Deployment],
) -> None:
    deployment = deploy()
    for role, given in ROLES.items():
        deployment.permit(role, given)
    http = f"127.0.0.1:{free_port()}"
    with SlackStandIn(token=secured.TOKEN) as slack:
        people = {
            "SWIRL_SLACK_TOKEN": secured.TOKEN,
            "SWIRL_SLACK_WEBHOOK": secured.WEBHOOK,
            "SWIRL_SLACK_CHANNEL": "#ads-oncall",
            "SWIRL_SLACK_URL": slack.url,
        }
        # PLAIN sends the password itself, so what is told of the requests would tell it.
        plain = deployment.settings("worker", mechanism="PLAIN")
        worker = deployment.start(["-c", WORKER_AT_DEBUG], plain, SWIRL_HTTP=http, **people)
        wait(partial(ready, worker), 40, worker.text)
        ads = deployment.start(["-c", ADS_AT_DEBUG], deployment.settings("pipeline", mechanism="PLAIN"))
        wait(lambda: "verdict: " in ads.text() or ads.process.poll() is not None, 60, ads.text)
        assert "verdict: " in ads.text(), worker.text()[-3000:]
        commands = [
            deployment.start(["-m", "swirl", command], plain, **people)
            for command in ("settings", "doctor", "topics")
        ]
        assert "swirl_frames_total" in worker.get("/metrics")
        pages = [worker.get(page) for page in ("/metrics", "/livez", "/readyz", "/")]
        for command in commands:
            command.code(60)
        assert "(set)" in commands[0].text()
        assert ads.code(40) == 0
        worker.process.terminate()
        assert worker.code() == 0, worker.text()[-3000:]
        wait(lambda: slack.messages, 10, slack.transcript)
        assert leaks(slack.transcript()) == []
    admin = deployment.settings("admin")
    found = records(admin, *deployment.topics)
    incidents = [record.value for record in found if record.topic == deployment.topics.incidents]
    assert msgspec.msgpack.decode(incidents[0], type=IncidentRecord).change.pipeline == "ads"
    assert {record.topic for record in found} == set(deployment.topics) - {deployment.topics.dead_letters}
    everything = b"\n".join(part or b"" for record in found for part in (record.key, record.value))
    assert leaks(everything.decode("latin-1") + "".join(pages)) == []
    for program in (worker, ads, *commands):
        assert "may not" not in program.text().replace("this user may not work as a pipeline", "")


def test_a_worker_without_any_one_of_its_rights_is_told_which_on_what_and_for_whom(
    deploy: Callable[[], Deployment],
) -> None:
    deployment = deploy()
    settings = deployment.settings("worker")
    deployment.permit("worker", ROLES["worker"])
    assert ensure(settings, WORKER) == []
    for right in ROLES["worker"]:
        operation, kind, name = right
        if kind == "group":
            continue  # a worker asks for it when it joins
        deployment.permit("worker", rights("worker", without=[right]))
        with pytest.raises(TopicsError) as refused:
            ensure(settings, WORKER)
        words = "".join(part.capitalize() for part in operation.split("_"))
        on = f"topic {deployment.prefix}{name}"
        assert f"user 'worker' may not {words} {on}; give the right" in str(refused.value)


def ready(worker: Program) -> bool:
    return "partitions 0, 1" in worker.get("/readyz")


def last_line(program: Program) -> str:
    return program.text().splitlines()[-1]


def test_a_worker_that_is_not_let_in_or_may_not_ends_with_a_code_and_says_why(
    deploy: Callable[[], Deployment], tmp_path: Path
) -> None:
    deployment = deploy()
    group: Right = ("READ", "group", "")
    state: Right = ("WRITE", "topic", ".state")
    deployment.permit("worker-2", rights("worker", without=[group]))
    deployment.permit("worker-3", rights("worker", without=[state]))
    foreign = certificate(tmp_path)["certificate"]
    with another_name(deployment.broker.address) as elsewhere:
        cases = [
            (
                deployment.settings("worker-2", mechanism="PLAIN"),
                75,
                f"user 'worker-2' may not Read group {deployment.prefix};",
            ),
            (
                deployment.settings("worker-3"),
                70,
                f"user 'worker-3' may not Write topic {deployment.prefix}.state;",
            ),
            (deployment.settings("worker", password=secured.WRONG), 70, "do not let user 'worker' in"),
            (deployment.settings("worker", ca=foreign), 70, "certificate verify failed"),
            (deployment.settings("worker", kafka=elsewhere), 70, "IP address mismatch"),
        ]
        # Faust's own command tells most.
        workers = [deployment.start(FAUST_AT_DEBUG, cases[0][0])]
        workers += [deployment.worker(settings) for settings, _, _ in cases[1:]]
        for worker, (_, code, words) in zip(workers, cases, strict=True):
            assert worker.code(40) == code, worker.text()
            assert words in last_line(worker)


def test_a_worker_that_loses_a_right_ends_and_says_which(deploy: Callable[[], Deployment]) -> None:
    """Faust would live on without working."""
    lost: dict[str, Right] = {
        "worker": ("WRITE", "topic", ".frames"),
        "worker-2": ("READ", "topic", ".frames"),
    }
    running = []
    for user, right in lost.items():
        deployment, http = deploy(), f"127.0.0.1:{free_port()}"
        deployment.permit(user, ROLES["worker"])
        worker = deployment.worker(deployment.settings(user), SWIRL_HTTP=http)
        running.append((deployment, user, right, worker))
    for deployment, user, right, worker in running:
        wait(partial(ready, worker), 40, worker.text)
        deployment.forbid(user, right)
    for deployment, user, right, worker in running:
        assert worker.code(20) == 70, worker.text()
        words = f"user '{user}' may not {right[0].capitalize()} topic {deployment.topics.frames}; give the"
        assert words in last_line(worker)


def test_a_pipeline_that_is_not_let_in_or_may_not_goes_on_and_says_why_once(
    deploy: Callable[[], Deployment], tmp_path: Path
) -> None:
    deployment = deploy()
    deployment.permit("pipeline", rights("pipeline", without=[("WRITE", "topic", ".frames")]))
    foreign = certificate(tmp_path)["certificate"]
    with another_name(deployment.broker.address) as elsewhere:
        cases = {
            f"user 'pipeline' may not Write topic {deployment.topics.frames}; give": {},
            "does not let the user 'pipeline' in": {"password": secured.WRONG},
            "certificate verify failed": {"ca": foreign},
            "IP address mismatch": {"kafka": elsewhere},
        }
        programs = [
            deployment.start(["-c", PIPELINE], deployment.settings("pipeline", **given))
            for given in cases.values()
        ]
        for program, words in zip(programs, cases, strict=True):
            assert program.code(40) == 0
            count, told, end = program.text().splitlines()
            assert count == "1000"
            assert words in told
            assert "did not reach Kafka" in end


async def read_with(how: dict[str, Any], topic: str) -> bytes:
    """The first value of a topic, by aiokafka."""
    consumer = AIOKafkaConsumer(topic, **how, auto_offset_reset="earliest")
    try:
        await consumer.start()
        async with asyncio.timeout(20):
            value: bytes = (await consumer.getone()).value
        return value
    finally:
        closing = asyncio.ensure_future(consumer.stop())
        await asyncio.wait({closing}, timeout=1.0)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_the_same_settings_let_in_kafka_python_aiokafka_and_faust(
    deploy: Callable[[], Deployment], mechanism: str
) -> None:
    deployment = deploy()
    deployment.permit("worker", ROLES["worker"])
    settings = deployment.settings("worker", mechanism=mechanism)
    send(settings, deployment.topics.frames)
    credentials = _options(settings, WorkerSettings())["broker_credentials"]
    faust = {"bootstrap_servers": settings.servers, **credentials_to_aiokafka_auth(credentials)}
    for how in (options(settings), faust):
        assert asyncio.run(read_with(how, deployment.topics.frames)) == b"hello"
    for each in (credentials, settings, faust["ssl_context"]):
        assert leaks(repr(each) + str(each)) == []


def send(settings: KafkaSettings, topic: str) -> None:
    producer = KafkaProducer(**options(settings), max_block_ms=4000, bootstrap_timeout_ms=4000)
    try:
        producer.send(topic, b"hello").get(10)
    finally:
        producer.close(1)


def test_a_broker_that_asks_for_a_certificate_lets_in_who_shows_it(
    own_broker: OwnBroker, tmp_path: Path
) -> None:
    mine = certificate(tmp_path)
    trusted = tmp_path / "trusted.pem"
    folder = tmp_path / "kafka-0"
    maker = Broker(folder, secure=True)
    maker._write_properties()  # its own certificate is there before it starts
    trusted.write_text((folder / "ca.pem").read_text() + Path(mine["certificate"]).read_text())
    asks = {"listener.name.clients.ssl.client.auth": "required", "ssl.truststore.location": str(trusted)}
    broker = own_broker(secure=True, properties=asks)
    shown = broker.settings(topics="mine", **mine)
    create_missing(shown, partitions=1)
    topic = Topics.of(shown).frames
    send(shown, topic)
    assert asyncio.run(read_with(options(shown), topic)) == b"hello"
    hidden = broker.settings(topics="mine")
    with pytest.raises(KafkaConnectionError):
        asyncio.run(read_with(options(hidden), topic))


def test_no_settings_and_no_client_show_a_password(deploy: Callable[[], Deployment]) -> None:
    deployment = deploy()
    settings = deployment.settings("worker")
    watch = WatchSettings(slack_token=secured.TOKEN, slack_webhook=secured.WEBHOOK)
    producer = KafkaProducer(**options(settings))
    try:
        assert leaks(f"{settings!r}{settings}{watch!r}{watch}{producer!r}{producer}") == []
    finally:
        producer.close(1)
