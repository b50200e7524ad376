"""Prometheus and Alertmanager as processes of a test; skipped with a reason where missing, required in CI."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from swirl.testing.broker import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "Prometheus",
    "Result",
    "binary",
    "eventually",
    "process",
    "running_alertmanager",
    "running_prometheus",
]

Result = list[tuple[tuple[tuple[str, str], ...], float]]


def binary(name: str, package: str = "prometheus") -> str:
    """Where a program is."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is required in CI (Debian package {package})")
        pytest.skip(f"{name} is not installed (Debian package {package})")
    return found


def eventually(holds: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


@contextmanager
def process(
    command: Sequence[str], log: Path, ready: str, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ready when an address answers 200, and gone in the end."""
    env = {**os.environ, **(environment or {})}
    with log.open("ab") as file, subprocess.Popen(command, stdout=file, stderr=file, env=env) as running:
        try:
            eventually(lambda: running.poll() is not None or _answers(ready), f"{command[0]} is ready")
            assert running.poll() is None, log.read_text()
            yield running
        finally:
            running.kill()


@contextmanager
def running_alertmanager(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """An Alertmanager that tells nobody; what it knew is in the folder."""
    program = binary("prometheus-alertmanager", "prometheus-alertmanager")
    config = folder / "alertmanager.yml"
    config.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    command = [
        program, f"--config.file={config}", f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
    ]  # fmt: skip
    ready = f"http://127.0.0.1:{port}/-/ready"
    with process(command, folder / "alertmanager.log", ready) as running:
        yield running


class Prometheus:
    """Asks a running Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **query: str) -> Any:
        address = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            return json.load(answer)

    def query(self, expr: str, at: float | None = None) -> Result:
        """What an expression gives, now or at a time in seconds since 1970."""
        when = {} if at is None else {"time": f"{at:.3f}"}
        told = self.ask("/api/v1/query", query=expr, **when)["data"]["result"]
        return sorted((tuple(sorted(r["metric"].items())), float(r["value"][1])) for r in told)


@contextmanager
def running_prometheus(
    folder: Path, targets: str, interval: str = "500ms", rules: str = ""
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes ``host:port``, or several with commas between, as the job ``swirl``."""
    program, port = binary("prometheus"), free_port()
    config = folder / "prometheus.yml"
    job = {"job_name": "swirl", "static_configs": [{"targets": targets.split(",")}]}
    config.write_text(
        f"global: {{scrape_interval: {interval}, evaluation_interval: {interval}}}\n"
        + (f"rule_files: [{json.dumps(rules)}]\n" if rules else "")
        + f"scrape_configs: [{json.dumps(job)}]\n"
    )
    command = [
        program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with process(command, folder / "prometheus.log", f"{url}/-/ready"):
        yield Prometheus(url)
