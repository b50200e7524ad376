"""The worker as a process: how it starts, how it ends, and both ways to run it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from swirl.testing.broker import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SWIRL = [sys.executable, "-m", "swirl", "worker"]
FAUST = [str(Path(sys.executable).with_name("faust")), "-A", "swirl.engine.faust", "worker", "-l", "warn"]


def environment(**given: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SWIRL_")}
    return {**kept, **given}


class Process:
    """A process of the test's own, and what it said."""

    def __init__(self, command: Sequence[str], folder: Path, **given: str) -> None:
        self.said = folder / "said"
        self.log = self.said.open("w", encoding="utf-8")
        self.popen = subprocess.Popen(
            command, env=environment(**given), cwd=folder, stdout=self.log, stderr=self.log
        )

    def text(self) -> str:
        return self.said.read_text(encoding="utf-8")

    def end(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        self.log.close()


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    started: list[Process] = []
    yield started
    for process in started:
        process.end()


def wait_ready(process: Process, url: str, seconds: float = 60.0) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.popen.poll() is None, process.text()
        try:
            with urlopen(url, timeout=2) as answer:
                return str(answer.read().decode())
        except (URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(process.text())


def test_without_a_broker_named_it_says_what_to_set() -> None:
    done = subprocess.run(SWIRL, env=environment(), capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    assert "SWIRL_KAFKA is not set" in done.stderr
    assert "swirl dev kafka" in done.stderr


def test_where_no_broker_answers_it_ends_with_a_code_and_says_where_to_look() -> None:
    port = free_port()
    done = subprocess.run(
        SWIRL,
        env=environment(SWIRL_KAFKA=f"127.0.0.1:{port}", SWIRL_HTTP=""),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 70
    assert f"no answer from 127.0.0.1:{port}" in done.stderr
    assert "swirl doctor" in done.stderr
    assert len(done.stderr.splitlines()) <= 3
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", [SWIRL, FAUST], ids=["swirl", "faust"])
def test_it_makes_its_topics_gets_ready_and_ends_in_peace(
    kafka: str, prefix: str, tmp_path: Path, processes: list[Process], command: list[str]
) -> None:
    http = f"127.0.0.1:{free_port()}"
    worker = Process(
        command, tmp_path, SWIRL_KAFKA=kafka, SWIRL_TOPICS=prefix, SWIRL_GROUP=prefix, SWIRL_HTTP=http
    )
    processes.append(worker)

    assert wait_ready(worker, f"http://{http}/readyz") == "partitions 0, 1, 2, 3, 4, 5, 6, 7\n"
    with urlopen(f"http://{http}/metrics", timeout=5) as answer:
        assert "swirl_worker_partitions 8.0" in answer.read().decode()
    with urlopen(f"http://{http}/livez", timeout=5) as answer:
        assert "last progress" in answer.read().decode()

    worker.popen.send_signal(signal.SIGTERM)
    assert worker.popen.wait(20) == 0, worker.text()
    assert [path.name for path in tmp_path.iterdir()] == ["said"]
    if command is SWIRL:
        told = f"a worker of group {prefix}, Kafka at {kafka}, page and /metrics at http://{http}"
        assert told in worker.text()


@pytest.mark.slow
def test_a_setting_that_turns_out_to_be_wrong_ends_it_for_good(kafka: str, prefix: str) -> None:
    """Nobody shall start it again and again."""
    done = subprocess.run(
        SWIRL,
        env=environment(SWIRL_KAFKA=kafka, SWIRL_TOPICS=prefix, SWIRL_GROUP=prefix, SWIRL_HTTP="9464"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "SWIRL_HTTP is '9464'; it must be host:port" in done.stderr


@pytest.mark.slow
def test_one_worker_more_than_there_is_work_for_waits_and_is_well(
    kafka: str, prefix: str, tmp_path: Path, processes: list[Process]
) -> None:
    create = [sys.executable, "-m", "swirl", "topics", "--create", "--partitions", "1"]
    given = {
        "SWIRL_KAFKA": kafka,
        "SWIRL_TOPICS": prefix,
        "SWIRL_GROUP": prefix,
        "SWIRL_SESSION_SECONDS": "6",
    }
    subprocess.run(create, env=environment(**given), check=True, capture_output=True, timeout=60)
    urls = []
    for number in range(2):
        http = f"127.0.0.1:{free_port()}"
        folder = tmp_path / str(number)
        folder.mkdir()
        processes.append(Process(SWIRL, folder, **given, SWIRL_HTTP=http))
        urls.append(f"http://{http}/readyz")
        wait_ready(processes[-1], urls[-1])
    until = time.monotonic() + 60
    said: set[str] = set()
    while time.monotonic() < until:
        said = {wait_ready(process, url).strip() for process, url in zip(processes, urls, strict=True)}
        if said == {"partitions 0", "partitions none"}:
            break
        time.sleep(0.2)
    assert said == {"partitions 0", "partitions none"}

    owner = next(p for p, url in zip(processes, urls, strict=True) if "0" in wait_ready(p, url))
    other = next(p for p in processes if p is not owner)
    url = urls[processes.index(other)]
    owner.popen.kill()
    owner.popen.wait()
    until = time.monotonic() + 60
    while "partitions 0" not in wait_ready(other, url):
        assert time.monotonic() < until, other.text()
        time.sleep(0.2)
