"""A deployment behind a locked door: users with rights, programs in processes, and all that they said."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)

from swirl.kafka.topics import Topics
from swirl.settings import KafkaSettings
from swirl.testing.broker import Broker

__all__ = [
    "ROLES",
    "TOKEN",
    "USERS",
    "WEBHOOK",
    "WRONG",
    "Deployment",
    "Program",
    "Right",
    "another_name",
    "leaks",
    "rights",
    "wait",
]

ROOT = Path(__file__).resolve().parents[2]

TOKEN = "xoxb-7357-t0p-s3cret-t0ken"
WEBHOOK = "https://127.0.0.1:1/services/T0/B0/s3cretwebh00kpath"
WRONG = "Wr0ng-pa55"
USERS = {"pipeline": "Pi-pa55-w0rd", **{f"worker{n}": f"Wo-pa55-w0rd-{n}" for n in ("", "-2", "-3")}}
SECRETS = [*USERS.values(), WRONG, TOKEN, "s3cretwebh00kpath"]

Right = tuple[str, str, str]
"""An operation, ``topic`` or ``group``, and the name behind the prefix of the deployment."""

ROLES: dict[str, tuple[Right, ...]] = {
    "pipeline": (("WRITE", "topic", ".frames"), ("READ", "topic", ".feedback")),
    "worker": (
        ("READ", "group", ""),
        ("READ", "topic", ".frames"),
        ("WRITE", "topic", ".frames"),
        ("READ", "topic", ".state"),
        ("WRITE", "topic", ".state"),
        ("WRITE", "topic", ".windows"),
        ("WRITE", "topic", ".incidents"),
        ("WRITE", "topic", ".feedback"),
        ("WRITE", "topic", ".dead-letters"),
        *(("DESCRIBE_CONFIGS", "topic", f".{field.replace('_', '-')}") for field in Topics._fields),
    ),
}
"""The least that each role needs: with it all works, and without any one of these it does not."""


def rights(role: str, *, without: Iterable[Right] = ()) -> list[Right]:
    """Of a role, some of them left out."""
    return [right for right in ROLES[role] if right not in without]


def leaks(text: str) -> list[str]:
    """Secrets that are in a text, as they are or in a common disguise."""
    return [secret for secret in SECRETS if any(form in text for form in _disguises(secret))]


def _disguises(secret: str) -> set[str]:
    raw = secret.encode()
    return {secret, quote(secret), raw.hex(), base64.b64encode(raw).decode().rstrip("=")[:-1]}


def wait(what: Callable[[], Any], seconds: float, told: Callable[[], object]) -> Any:
    """Wait until something is true; what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, told()
        time.sleep(0.05)
    return found


@dataclass
class Program:
    """One process, and the file with all that it said."""

    process: subprocess.Popen[bytes]
    log: Path
    http: str = ""

    def text(self) -> str:
        """All that it said so far; a secret in it fails the test."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        assert leaks(text) == [], self.log
        return text

    def code(self, seconds: float = 25.0) -> int:
        """Its exit code.

        Raises:
            AssertionError: it still runs.
        """
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {seconds:g} s:\n{self.text()[-3000:]}") from None

    def get(self, path: str) -> str:
        """A page of its web server; empty where it does not answer."""
        try:
            with urllib.request.urlopen(f"http://{self.http}{path}", timeout=2.0) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode()
        except OSError:
            return ""

    def end(self) -> None:
        """Whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Deployment:
    """Topics, users and programs of one test; a context manager that leaves no process.

    Args:
        broker: a secure one.
        folder: for logs and files of secrets.
        prefix: of topics and group.
    """

    def __init__(self, broker: Broker, folder: Path, prefix: str) -> None:
        self.broker, self.folder, self.prefix = broker, folder, prefix
        self.topics = Topics.of(self.settings("admin"))
        self._programs: list[Program] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for program in self._programs:
            program.end()

    def settings(self, user: str, **given: Any) -> KafkaSettings:
        """How a user gets in."""
        return self.broker.settings(user, topics=self.prefix, **given)

    def permit(self, user: str, given: Iterable[Right]) -> None:
        """Let a user do this, and nothing else, with what is of this deployment."""
        acls = [
            ACL(
                f"User:{user}",
                "*",
                ACLOperation[operation],
                ACLPermissionType.ALLOW,
                ResourcePattern(ResourceType[kind.upper()], f"{self.prefix}{name}"),
            )
            for operation, kind, name in given
        ]
        with _admin(self.broker) as admin:
            admin.delete_acls([_everything_of(user)])
            if acls:
                admin.create_acls(acls)
            # The controller says yes before the broker has heard of it.
            wait(lambda: _held(admin, user) == {_place(acl) for acl in acls}, 10, lambda: _held(admin, user))

    def forbid(self, user: str, right: Right) -> None:
        """Take a right back."""
        operation, kind, name = right
        resource = ResourcePatternFilter(
            ResourceType[kind.upper()], f"{self.prefix}{name}", ACLResourcePatternType.LITERAL
        )
        with _admin(self.broker) as admin:
            admin.delete_acls(
                [ACLFilter(f"User:{user}", None, ACLOperation[operation], ACLPermissionType.ANY, resource)]
            )

    def environment(self, settings: KafkaSettings, **given: str) -> dict[str, str]:
        """Of a process; the password lies in a file."""
        secret = self.folder / f"secret-{len(list(self.folder.glob('secret-*')))}"
        secret.write_text(f"{settings.password}\n", encoding="utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SWIRL_")}
        told = {
            spec.metadata["variable"]: value
            for spec in fields(settings)
            if spec.repr and (value := getattr(settings, spec.name)) != spec.default
        }
        return {
            **kept,
            **told,
            "SWIRL_KAFKA_PASSWORD_FILE": str(secret),
            "SWIRL_GROUP": self.prefix,
            "SWIRL_FLUSH_SECONDS": "0.25",
            "SWIRL_WINDOW_SECONDS": "1",
            "SWIRL_LATENESS_SECONDS": "0.5",
            "SWIRL_WARM_UP_WINDOWS": "10",
            "SWIRL_SESSION_SECONDS": "6",
            "SWIRL_SNAPSHOT_SECONDS": "1",
            "SWIRL_HTTP": "",
            **given,
        }

    def start(self, command: list[str], settings: KafkaSettings, **given: str) -> Program:
        """A Python process."""
        log = self.folder / f"log-{len(self._programs)}"
        with log.open("wb") as told:
            process = subprocess.Popen(
                [sys.executable, *command],
                env=self.environment(settings, **given),
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
            )
        program = Program(process, log, given.get("SWIRL_HTTP", ""))
        self._programs.append(program)
        return program

    def worker(self, settings: KafkaSettings, **given: str) -> Program:
        """``swirl worker``."""
        return self.start(["-m", "swirl", "worker"], settings, **given)


@contextlib.contextmanager
def _admin(broker: Broker) -> Iterator[KafkaAdminClient]:
    admin = KafkaAdminClient(**broker.options())
    try:
        yield admin
    finally:
        admin.close()


def _held(admin: KafkaAdminClient, user: str) -> set[tuple[str, str]]:
    return {_place(acl) for acl in admin.describe_acls(_everything_of(user))[0]}


def _place(acl: ACL) -> tuple[str, str]:
    return acl.operation.name, acl.resource_pattern.resource_name


def _everything_of(user: str) -> ACLFilter:
    resource = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
    return ACLFilter(f"User:{user}", None, ACLOperation.ANY, ACLPermissionType.ANY, resource)


@contextlib.contextmanager
def another_name(address: str) -> Iterator[str]:
    """The broker at an address that its certificate does not name."""
    host, _, port = address.rpartition(":")
    with socket.create_server(("127.0.0.2", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client = server.accept()[0]
                except OSError:
                    return
                upstream = socket.create_connection((host, int(port)))
                for one, other in ((client, upstream), (upstream, client)):
                    threading.Thread(target=_carry, args=(one, other), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.2:{server.getsockname()[1]}"
        finally:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def _carry(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    for each in (one, other):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
    one.close()
