"""The compose file, the image and Prometheus' settings: what of them can run here does.

There is no container engine where tests run. So each service is started as a plain process: its own command
and environment, with the names and ports of the containers' network replaced by those of this machine.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from swirl.kafka.admin import Admin
from swirl.settings import KafkaSettings, WorkerSettings
from swirl.sinks.prometheus import METRICS
from swirl.testing.broker import Broker, free_port
from swirl.testing.jars import KAFKA

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
PROMETHEUS: dict[str, Any] = yaml.safe_load(
    (ROOT / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name for name, service in SERVICES.items() if str(service["image"]).startswith("swirl:")}


# -- what is written


@pytest.mark.service
def test_a_compose_takes_the_file() -> None:
    for program in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(program[0]) and not run([*program, "version"]).returncode:
            done = run([*program, "-f", str(ROOT / "docker-compose.yml"), "config", "--quiet"])
            assert done.returncode == 0, done.stderr
            return
    pytest.skip("neither docker compose nor docker-compose is installed (Debian package docker-compose)")


def test_ports_are_published_on_loopback_only_and_images_are_pinned() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)
    images = [service["image"] for service in SERVICES.values()]
    assert all(re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", image) for image in images)
    assert SERVICES["kafka"]["image"].endswith(f":{KAFKA}")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert {SERVICES[name]["image"] for name in OURS} == {f"swirl:{version}"}


def test_what_is_mounted_is_there() -> None:
    mounts = [mount.split(":") for service in SERVICES.values() for mount in service.get("volumes", ())]
    assert all((ROOT / source).exists() for source, *_ in mounts if source.startswith("./"))
    assert {source for source, *_ in mounts if not source.startswith("./")} == set(COMPOSE["volumes"])


def test_services_of_ours_may_write_nothing_and_become_nobody_else() -> None:
    assert {"topics", "worker", "ads"} == OURS
    for name in OURS:
        service = SERVICES[name]
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.findall(r"^USER (\d+)", DOCKERFILE, re.MULTILINE) == ["65532"]


def test_a_worker_has_the_time_that_it_takes_to_stop() -> None:
    assert float(SERVICES["worker"]["stop_grace_period"].removesuffix("s")) > WorkerSettings().grace_seconds


def test_what_the_image_copies_is_there_and_is_not_ignored() -> None:
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    let_in = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    assert all((ROOT / source).exists() for source in copied)
    assert {source.rstrip("/") for source in copied} == {line[1:] for line in let_in if line.startswith("!")}


def test_the_image_and_the_compose_file_agree_on_the_port_of_the_workers() -> None:
    assert SERVICES["worker"]["environment"]["SWIRL_HTTP"] == image_environment()["SWIRL_HTTP"]
    (swirl,) = (job for job in PROMETHEUS["scrape_configs"] if job["job_name"] == "swirl")
    (found,) = swirl["dns_sd_configs"]
    assert found["names"] == ["worker"]
    assert f"0.0.0.0:{found['port']}" == image_environment()["SWIRL_HTTP"]


def test_alerts_name_only_metrics_that_there_are() -> None:
    rules = (ROOT / "prometheus" / "swirl.rules.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"swirl_\w+", rules)) <= {metric.name for metric in METRICS}


@pytest.mark.service
def test_promtool_takes_the_configuration_and_the_rules() -> None:
    promtool = installed("promtool")
    for command in (["config", "prometheus.yml"], ["rules", "swirl.rules.yml"]):
        done = run([promtool, "check", command[0], str(ROOT / "prometheus" / command[1])])
        assert done.returncode == 0, done.stdout + done.stderr


# -- what runs


@pytest.mark.service
@pytest.mark.slow
@pytest.mark.usefixtures("kafka_here")
def test_every_service_does_its_work_with_the_settings_of_the_compose_file(tmp_path: Path) -> None:
    with ExitStack() as stack:
        clients, desk, controller = free_port(), free_port(), free_port()
        given = kafka_properties(clients, desk, controller)
        broker = stack.enter_context(Broker(tmp_path / "kafka", clients, properties=given))
        with Admin(KafkaSettings(kafka=f"127.0.0.1:{desk}")) as admin:
            assert [(one.host, one.port) for one in admin.brokers()] == [("127.0.0.1", desk)]
        once(tmp_path, "topics", broker)
        workers = [
            stack.enter_context(started(tmp_path, "worker", broker, port=free_port()))
            for _ in range(SERVICES["worker"]["deploy"]["replicas"])
        ]
        assert len(workers) == 2
        for worker in workers:
            eventually(partial(answers, worker, "/readyz"), worker)
            assert healthy(worker)
        eventually(lambda: shared(workers) == [4, 4], workers[0])
        ads = stack.enter_context(started(tmp_path, "ads", broker))
        url = stack.enter_context(prometheus(tmp_path, [worker.port for worker in workers]))
        eventually(lambda: asked(url, 'sum(swirl_frames_total{pipeline="ads"})') > 3, ads)
        assert asked(url, "sum(swirl_worker_partitions)") == 8
        assert asked(url, 'count(up{job="swirl"} == 1)') == 2
        assert told_rules(url)
        for process in (ads, *workers):
            process.popen.terminate()
        assert [worker.popen.wait(15) for worker in workers] == [0, 0]
        assert ads.popen.wait(15) == -15
        assert not healthy(workers[0])


class Started:
    """A process of a service."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path, port: int) -> None:
        self.popen, self.log, self.port = popen, log, port

    def get(self, path: str) -> tuple[int, str]:
        """Status and text; 0 where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""


def answers(process: Started, path: str) -> bool:
    return process.get(path)[0] == 200


def kafka_properties(clients: int, desk: int, controller: int) -> dict[str, str]:
    """The broker's settings as its image makes them of variables, on ports of this machine."""
    here: dict[str, str] = {}
    for name, given in SERVICES["kafka"]["environment"].items():
        at_clients = re.sub(r"(?<=CLIENTS://)(kafka)?:\d+", f"127.0.0.1:{clients}", given)
        at_desk = re.sub(r"(?<=DESK://)(127\.0\.0\.1)?:\d+", f"127.0.0.1:{desk}", at_clients)
        value = re.sub(r"(?<=CONTROLLER://):\d+|(?<=1@)localhost:\d+", f"127.0.0.1:{controller}", at_desk)
        here[name.removeprefix("KAFKA_").lower().replace("_", ".")] = value
    del here["log.dirs"]  # the test's own folder
    return here


def image_environment() -> dict[str, str]:
    (block,) = re.findall(r"^ENV (PATH=.*?[^\\])$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    return dict(part.split("=", 1) for part in shlex.split(block.replace("\\\n", " ")))


def environment(name: str, broker: Broker, port: int) -> dict[str, str]:
    """What the container would have, with the network of this machine."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SWIRL_")}
    image = {key: value for key, value in image_environment().items() if key != "PATH"}
    given = {key: value for key, value in SERVICES[name]["environment"].items() if value is not None}
    found = {**kept, **image, **given}
    found["SWIRL_KAFKA"] = found["SWIRL_KAFKA"].replace("kafka:9092", broker.address)
    found["SWIRL_HTTP"] = f"127.0.0.1:{port}" if port else ""
    return found


def command(name: str) -> list[str]:
    program, *arguments = SERVICES[name]["command"]
    return [
        sys.executable if program == "python" else str(Path(sys.executable).with_name(program)),
        *arguments,
    ]


def once(folder: Path, name: str, broker: Broker) -> None:
    """A service that ends by itself."""
    done = subprocess.run(
        command(name),
        env=environment(name, broker, 0),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def started(folder: Path, name: str, broker: Broker, *, port: int = 0) -> Iterator[Started]:
    path = folder / f"{name}-{port}.log"
    with path.open("wb") as log:
        popen = subprocess.Popen(
            command(name), env=environment(name, broker, port), cwd=folder, stdout=log, stderr=log
        )
    try:
        yield Started(popen, path, port)
    finally:
        popen.kill()
        popen.wait()


@contextmanager
def prometheus(folder: Path, ports: list[int]) -> Iterator[str]:
    """Prometheus with the settings of the compose file; its address."""
    config = json.loads(json.dumps(PROMETHEUS))
    config["rule_files"] = [str(ROOT / "prometheus" / name) for name in config["rule_files"]]
    config["global"] = dict.fromkeys(config["global"], "1s")
    for job in config["scrape_configs"]:
        if job.pop("dns_sd_configs", None):
            job["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in ports]}]
    path, port = folder / "prometheus.yml", free_port()
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    given = {
        "--config.file": str(path),
        "--storage.tsdb.path": str(folder / "prometheus"),
        "--web.listen-address": f"127.0.0.1:{port}",
    }
    arguments = dict(argument.split("=", 1) for argument in SERVICES["prometheus"]["command"])
    whole = [f"{key}={value}" for key, value in {**arguments, **given}.items()]
    with (folder / "prometheus.log").open("wb") as log:
        popen = subprocess.Popen([installed("prometheus"), *whole], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    process = Started(popen, folder / "prometheus.log", port)
    try:
        eventually(partial(answers, process, "/-/ready"), process)
        yield url
    finally:
        popen.kill()
        popen.wait()


def asked(url: str, expression: str) -> float:
    """What Prometheus answers; 0 for nothing."""
    address = f"{url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    with urllib.request.urlopen(address, timeout=10) as answer:
        found = json.load(answer)["data"]["result"]
    return float(found[0]["value"][1]) if found else 0.0


def told_rules(url: str) -> bool:
    """Whether every rule was worked out without an error."""
    with urllib.request.urlopen(f"{url}/api/v1/rules", timeout=10) as answer:
        rules = json.load(answer)["data"]["groups"][0]["rules"]
    return len(rules) > 5 and all(rule["health"] in {"ok", "unknown"} for rule in rules)


def shared(workers: list[Started]) -> list[int]:
    """How many partitions each says it has."""
    return [len(re.findall(r"\d+", worker.get("/readyz")[1])) for worker in workers]


def healthy(worker: Started) -> bool:
    """What the image's health check says of it."""
    (check,) = re.findall(r"HEALTHCHECK.*\\\n +CMD (\[.+\])$", DOCKERFILE, re.MULTILINE)
    program, *arguments = json.loads(check)
    assert program == "python"
    given = {**os.environ, "SWIRL_HTTP": f"0.0.0.0:{worker.port}"}
    return not subprocess.run(
        [sys.executable, *arguments], env=given, capture_output=True, check=False
    ).returncode


def installed(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed (Debian package prometheus)")
    return found


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def eventually(holds: Callable[[], bool], process: Started, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert process.popen.poll() is None, process.log.read_text(encoding="utf-8")
        assert time.monotonic() < deadline, process.log.read_text(encoding="utf-8")
        time.sleep(0.1)
