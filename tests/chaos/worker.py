"""A worker in a process of its own: started, hurt, asked how it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swirl.settings import MonitorSettings
from swirl.testing.broker import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["KILLED", "SETTINGS", "Worker", "launch", "wait_for"]

KILLED = -signal.SIGKILL
SETTINGS = MonitorSettings(
    window_seconds=1,
    lateness_seconds=1.0,
    skew_seconds=1e8,
    warm_up_windows=20,
    calm_windows=3,
    silence_seconds=300.0,
)
_START_S = 30.0
COMMAND = "from swirl.cli import main; main()"


def wait_for(what: Callable[[], Any], seconds: float, told: Callable[[], object] | str = "") -> Any:
    """Wait until something is true; what it gave.

    Raises:
        AssertionError: it did not come true in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {told() if callable(told) else told or what}")
        time.sleep(0.05)


@dataclass
class Worker:
    """A worker in a process of its own.

    Attributes:
        memory: resident bytes, sampled.
        expected: exit codes that are no surprise.
        stopped: it was told to stand still.
        fine_at: when it was last seen to be well; before that, when it should be well by.
        dead_for: seconds, the longest time that it lived on without being well.
    """

    process: subprocess.Popen[bytes]
    http: str
    log: Path
    began: float
    memory: list[int] = field(default_factory=list)
    expected: set[int] = field(default_factory=set)
    stopped: bool = False
    fine_at: float = 0.0
    dead_for: float = 0.0

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.process.pid

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self.process.poll()

    def kill(self) -> None:
        """``kill -9``."""
        self.expected.add(KILLED)
        self._signal(signal.SIGKILL)
        self.process.wait()

    def terminate(self) -> None:
        """Ask it to end."""
        self.expected.add(0)
        self._signal(signal.SIGTERM)

    def stop(self) -> None:
        """Let it stand still."""
        self.stopped = True
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)
        self.fine_at = time.monotonic()
        self.stopped = False

    def _signal(self, number: int) -> None:
        if self.code is None:
            self.process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Wait for its end; the exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.log.name} still runs after {seconds} s\n{self.words()}") from None

    def get(self, path: str) -> tuple[int, str]:
        """Ask its web server; status 0 where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{self.http}{path}", timeout=2.0) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    @property
    def ready(self) -> bool:
        """Whether it has its partitions."""
        return self.code is None and self.get("/readyz")[0] == 200

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels; 0 where there is none."""
        lines = [line for line in self.get("/metrics")[1].splitlines() if line.startswith(name)]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def words(self, lines: int = 40) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def launch(kafka: str, log: Path, given: Mapping[str, str], command: str = COMMAND) -> Worker:
    """Start a worker with short times.

    Args:
        kafka: address of the broker.
        log: what it writes.
        given: environment, beside ours or instead of it.
        command: in Python.
    """
    http = f"127.0.0.1:{free_port()}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SWIRL_")},
        **{variable: _text(getattr(SETTINGS, name)) for name, variable in _VARIABLES.items()},
        "SWIRL_KAFKA": kafka,
        "SWIRL_HTTP": http,
        "SWIRL_SNAPSHOT_SECONDS": "2",
        "SWIRL_SESSION_SECONDS": "6",
        **given,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", command, "worker", "--log", "info"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
        )
    now = time.monotonic()
    return Worker(process, http, log, now, fine_at=now + _START_S)


_VARIABLES = {
    name: spec.metadata["variable"]
    for name, spec in MonitorSettings.__dataclass_fields__.items()
    if getattr(SETTINGS, name) != spec.default
}


def _text(value: float) -> str:
    return f"{value:g}" if value == int(value) else str(value)
