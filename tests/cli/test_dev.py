"""``swirl dev kafka`` as it is typed: it says what happens, and leaves nothing running."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from kafka.admin import KafkaAdminClient

from swirl.cli.commands import group

SWIRL = str(Path(sys.executable).with_name("swirl"))


def java_of(folder: Path) -> list[int]:
    """The processes with files in a folder, by their id."""
    command = ["ps", "-eww", "-o", "pid,args"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if f"{folder}/" in line and "java" in line]


def gone(folder: Path, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while java_of(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not java_of(folder)


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The command, and what it said until it was ready."""
    places = {"TMPDIR": str(folder), "XDG_STATE_HOME": str(folder / "state")}
    with subprocess.Popen(
        [SWIRL, "dev", "kafka", "--port", "0", *arguments],
        env={**os.environ, **places},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            said: list[str] = []
            while not said or "swirl worker" not in said[-1]:
                line = process.stdout.readline()
                assert line, said
                said.append(line.rstrip("\n"))
            yield process, said
        finally:
            process.kill()


def test_ctrl_c_ends_an_ephemeral_broker_and_nothing_is_left(kafka_here: None, tmp_path: Path) -> None:
    with running(tmp_path, "--ephemeral") as (process, said):
        assert len(java_of(tmp_path)) == 1
        address = said[-1].split()[0].removeprefix("SWIRL_KAFKA=")
        assert any(
            f"listens at {address}; its data go when it stops; stop with Ctrl-C" in line for line in said
        )
        assert said[-2:] == [
            f"  SWIRL_KAFKA={address} python my_pipeline.py",
            f"  SWIRL_KAFKA={address} swirl worker",
        ]
        admin = KafkaAdminClient(bootstrap_servers=address)
        names = {topic["name"] for topic in admin.describe_topics()}
        admin.close()
        assert {"swirl.frames", "swirl.state", "swirl.incidents"} <= names
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=20)
        assert (process.returncode, rest) == (0, "Stopped.\n")
    assert java_of(tmp_path) == []
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith("swirl-kafka-")] == []


def test_sigterm_ends_it_and_its_data_stay(kafka_here: None, tmp_path: Path) -> None:
    with running(tmp_path) as (process, said):
        folder = tmp_path / "state" / "swirl" / "kafka"
        assert any(f"data in {folder}; stop" in line for line in said)
        process.terminate()
        assert process.wait(20) == 0
    assert java_of(tmp_path) == []
    assert (folder / "data" / "meta.properties").exists()


def test_a_broker_that_dies_is_told_with_the_end_of_its_log(kafka_here: None, tmp_path: Path) -> None:
    with running(tmp_path, "--ephemeral") as (process, _):
        (java,) = java_of(tmp_path)
        os.kill(java, signal.SIGKILL)
        rest, _ = process.communicate(timeout=20)
        assert process.returncode == 1
        assert rest.startswith("swirl: Kafka ended by itself. Its log ends with:\n")
        assert "Kafka Server started" in rest


def test_not_even_kill_leaves_a_broker_behind(kafka_here: None, tmp_path: Path) -> None:
    with running(tmp_path, "--ephemeral") as (process, _):
        assert not gone(tmp_path, 0)
        process.kill()
        process.wait()
        assert gone(tmp_path)


def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = CliRunner().invoke(group, ["dev", "kafka", "--port", str(port)])
    assert done.exit_code == 1
    assert done.output == (
        f"swirl: port {port} of 127.0.0.1 cannot be had (address already in use). "
        "Take another one with --port\n"
    )


def test_a_folder_is_not_for_a_broker_that_leaves_nothing_behind(tmp_path: Path) -> None:
    done = CliRunner().invoke(group, ["dev", "kafka", "--ephemeral", "--folder", str(tmp_path)])
    assert done.exit_code == 2
    assert "take one of them" in done.output


@pytest.mark.parametrize("command", [[], ["kafka"]])
def test_the_help_names_what_there_is(command: list[str]) -> None:
    told = CliRunner().invoke(group, ["dev", *command, "--help"]).output
    assert "kafka" in told.lower()
