"""The table of rights in the operations' manual, granted on a real broker: it is enough."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from kafka import KafkaConsumer

from swirl.kafka import rights
from swirl.kafka.connect import options
from swirl.kafka.topics import Topics
from swirl.settings import KafkaSettings
from swirl.testing.broker import Broker, free_port
from tests.house.test_documentation import OPERATIONS, section
from tests.services import OwnBroker

ROLES = {"pipelines": "pia", "workers": "wim", "readers of results": "rex", "whoever sets up": "ada"}
USERS = {user: f"{user}-s3cret" for user in ROLES.values()}
PIPELINE = """
import sys, swirl
ads = swirl.Pipeline("ads")

@ads.stage()
def ingest(line):
    return line

for line in sys.stdin:
    ingest(line)
    print(ads.flush(20), ads.verdict.state, flush=True)
"""


def told() -> set[tuple[str, str, str]]:
    """Role, topic or group, and right, of each row."""
    rows = [line.split("|")[1:4] for line in section(OPERATIONS, "### Rights").splitlines() if "`" in line]
    return {
        (role.strip(), name, right.strip())
        for role, on, rights in (row for row in rows if len(row) == 3)
        for name in re.findall(r"(?:topic|group) `([\w.*-]+)`", on)
        for right in rights.split(",")
    }


def test_the_table_says_what_a_worker_looks_for_at_its_start() -> None:
    names = Topics.of(KafkaSettings())
    for role, needs in (("pipelines", rights.PIPELINE), ("workers", rights.WORKER)):
        wanted = {(getattr(names, topic), right) for topic, given in needs.items() for right in given}
        configs = {(name, "DescribeConfigs") for name in names} | {("swirl", "Read")}
        granted = {(name, right) for who, name, right in told() if who == role}
        assert granted == wanted | (configs if role == "workers" else set())


def grant(broker: Broker) -> None:
    """Give what the table says."""
    for role, name, right in told():
        operation = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", right).upper()
        if name == "swirl":
            broker.grant(ROLES[role], operation, group=name)
        else:
            broker.grant(ROLES[role], operation, topic=name)


def environment(settings: KafkaSettings, **given: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SWIRL_")}
    return {
        **kept,
        "SWIRL_KAFKA": settings.kafka,
        "SWIRL_KAFKA_PROTOCOL": settings.protocol,
        "SWIRL_KAFKA_CA": settings.ca,
        "SWIRL_KAFKA_USER": settings.user,
        "SWIRL_KAFKA_PASSWORD": settings.password,
        "SWIRL_WINDOW_SECONDS": "1",
        "SWIRL_LATENESS_SECONDS": "0",
        "SWIRL_SNAPSHOT_SECONDS": "1",
        **given,
    }


def eventually(holds: Callable[[], bool], told: Callable[[], str], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, told()
        time.sleep(0.1)


@pytest.mark.slow
def test_the_rights_of_the_table_are_enough_for_everybody(own_broker: OwnBroker, tmp_path: Path) -> None:
    broker = own_broker(secure=True, users=USERS)
    grant(broker)
    swirl = [sys.executable, "-m", "swirl"]
    ada = environment(broker.settings("ada"), SWIRL_HTTP="")
    made = subprocess.run(
        [*swirl, "topics", "--create", "--partitions", "2"],
        env=ada,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr

    http, log = f"127.0.0.1:{free_port()}", tmp_path / "log"
    with log.open("wb") as out, subprocess.Popen(
        [*swirl, "worker"], env=environment(broker.settings("wim"), SWIRL_HTTP=http), stdout=out, stderr=out
    ) as worker, subprocess.Popen(
        [sys.executable, "-c", PIPELINE], env=environment(broker.settings("pia")),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as pipeline:  # fmt: skip
        assert pipeline.stdin is not None
        try:

            def counted(name: str) -> bool:
                assert worker.poll() is None, log.read_text(encoding="utf-8")
                assert pipeline.stdin is not None
                pipeline.stdin.write("a line\n")
                pipeline.stdin.flush()
                found = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", metrics(http), re.MULTILINE)
                return bool(found) and float(found[0]) >= 2

            for name in ("swirl_frames_total", "swirl_snapshots_total"):
                eventually(partial(counted, name), lambda: log.read_text(encoding="utf-8"))
            windows = read(broker.settings("rex"), Topics.of(broker.settings()).windows)
            assert windows
            worker.terminate()
            assert worker.wait(20) == 0
            said, err = pipeline.communicate(timeout=60)
            assert said.startswith("True")
            assert err == ""
            assert "may not" not in log.read_text(encoding="utf-8")
        finally:
            worker.kill()
            pipeline.kill()
    seen = subprocess.run([*swirl, "doctor"], env=ada, capture_output=True, text=True, check=False)
    assert "may not" not in seen.stdout.replace("this user may not work as", ""), seen.stdout
    assert "the 6 topics swirl.* are as they must be" in seen.stdout


def metrics(http: str) -> str:
    try:
        with urllib.request.urlopen(f"http://{http}/metrics", timeout=2) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError):
        return ""


def read(settings: KafkaSettings, topic: str) -> list[bytes]:
    consumer = KafkaConsumer(topic, **options(settings), group_id=None, auto_offset_reset="earliest")
    try:
        found: list[bytes] = []
        deadline = time.monotonic() + 20
        while not found and time.monotonic() < deadline:
            found = [record.value for batch in consumer.poll(500).values() for record in batch]
        return found
    finally:
        consumer.close()
