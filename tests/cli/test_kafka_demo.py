"""The demo through Kafka: processes of their own, told apart, and none of them left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def processes_of_session(session: int) -> list[int]:
    """Process ids of a session that are still there."""
    left = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                left.append(int(entry.name))
    return left


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("kafka_here")
def test_both_faults_are_told_apart_through_a_broker_and_a_worker_and_nothing_is_left() -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SWIRL_")}
    demo = subprocess.Popen(
        [sys.executable, "-m", "swirl", "demo", "--kafka", "--headless", "--synthetic", "--seed", "3"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=kept,
        start_new_session=True,
    )
    try:
        out, err = demo.communicate(timeout=280)
        assert demo.returncode == 0, out + err
        assert "2 of 2 faults named right, no false alarm; 0 of" in out
        assert "Swirl: ◆ ads / classify: bad deployment 2026.11.2 since" in out
        assert 'swirl_incident_open{cause="data pipeline broken",pipeline="ads",stage="ingest"} 1.0' in out
        assert processes_of_session(demo.pid) == []
    finally:
        if demo.poll() is None:
            demo.kill()
            demo.wait()


def test_speed_and_kafka_exclude_each_other() -> None:
    command = [sys.executable, "-m", "swirl", "demo", "--kafka", "--speed", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    assert "--kafka goes at the speed of the clock" in done.stderr
