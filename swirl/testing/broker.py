"""A real Kafka broker on loopback, for developers and tests: no Docker, no Java to install.

One node, KRaft, its data in a folder that outlives it. With ``secure=True`` it wants TLS, a user and a
password, and lets a user do only what was granted.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
import uuid
from typing import TYPE_CHECKING, Any, Self

from swirl.errors import SwirlError
from swirl.kafka.connect import options
from swirl.settings import KafkaSettings
from swirl.testing.broker_access import ADMIN, Access, run_tool
from swirl.testing.jars import jars, java

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

__all__ = ["Broker", "free_port"]

_STARTED = b"Kafka Server started"
_JAVA_OPTIONS = (
    *("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"),
    *("--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"),
    *("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"),
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
)
_PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "CLIENTS",
    "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "controlled.shutdown.enable": "false",
    # A broker that comes back is taken for a second one until the first is given up.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "250",
    "num.partitions": "4",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "log.cleaner.dedupe.buffer.size": str(16 << 20),
}


class Broker:
    """One broker, a child of this process; it ends with it, however that ends.

    Args:
        folder: of its data, settings and log; made if need be. A later broker on it goes on from the data.
        port: on 127.0.0.1; 0 takes a free one, which stays the same when the broker is started again.
        secure: TLS with a certificate of its own (``folder/ca.pem``), SASL (PLAIN, SCRAM), and
            access lists that allow nobody anything but the user ``admin``.
        users: names and passwords that are let in beside ``admin``, if it is secure; fixed with the first
            start on a folder.
        properties: of the broker, beside or instead of ours.
        say: is told of a download in plain lines.

    Example:
        ``with Broker(Path("kafka")) as broker: KafkaProducer(**broker.options())``
    """

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        *,
        secure: bool = False,
        users: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.log = self.folder / "broker.log"
        self._port = port or free_port()
        self._access = Access(self.folder, users or {}) if secure else None
        self._given = dict(properties or {})
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: _Guard | None = None

    @property
    def address(self) -> str:
        """What clients connect to: ``host:port``."""
        return f"127.0.0.1:{self._port}"

    def alive(self) -> bool:
        """Whether its process is there; a paused one is."""
        if self._process is not None and self._process.poll() is None:
            return True
        self._disarm()  # at once: the id may soon be another process'
        return False

    @property
    def pid(self) -> int:
        """Of the Java process.

        Raises:
            SwirlError: it does not run.
        """
        if self._process is None or not self.alive():
            raise SwirlError(f"the broker of {self.folder} does not run")
        return self._process.pid

    def start(self, timeout: float = 60.0) -> Self:
        """Start it and wait until it serves.

        Args:
            timeout: seconds that it may take, a first download apart.

        Raises:
            MissingExtraError: the extra ``dev`` is not installed.
            SwirlError: Kafka cannot be fetched, or it did not start; the message quotes the end of its log.
        """
        if self.alive():
            raise SwirlError(f"the broker of {self.folder} runs already")
        command = [str(java()), *_JAVA_OPTIONS, "-cp", os.pathsep.join(map(str, jars(self._say)))]
        deadline = time.monotonic() + timeout
        config = str(self._write_properties())
        if not (self.folder / "data" / "meta.properties").exists():
            run_tool([*command, "kafka.tools.StorageTool", "format", "-c", config, *self._format()])
        with self.log.open("ab") as log:
            since = log.tell()
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [*command, "kafka.Kafka", config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us: the broker shall end in order
            )
        try:
            self._guard = _Guard(self._process.pid)
            self._wait_until_it_serves(since, deadline)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self, timeout: float = 10.0) -> None:
        """Let it end by itself, with its data in order; after ``timeout`` seconds, end it."""
        if self._process is not None and self.alive():
            self.resume()
            self._process.terminate()
            if self.wait(timeout) is None:
                self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would (``kill -9``)."""
        if self._process is not None and self.alive():
            self._process.kill()
            self.wait()

    def pause(self) -> None:
        """Let it do nothing: connections stay open, and nobody answers (``SIGSTOP``)."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after :meth:`pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until it ends.

        Returns:
            its exit code (negative: the signal that ended it), or None if it still runs after ``timeout``
            seconds, or never did.
        """
        if self._process is None:
            return None
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        self._disarm()
        return code

    def last_words(self, lines: int = 15) -> str:
        """The end of its log, without the traces of Java's stack."""
        try:
            log = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join([line for line in log if not line.startswith("\t")][-lines:])

    def settings(self, user: str = ADMIN, mechanism: str = "SCRAM-SHA-512", **given: Any) -> KafkaSettings:
        """How Swirl gets in.

        Args:
            user: if the broker is secure.
            mechanism: of SASL: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
            given: other settings, or other values: ``topics="mine"``, ``password="wrong"``.
        """
        found: dict[str, Any] = {"kafka": self.address}
        if self._access is not None:
            found |= {"protocol": "SASL_SSL", "ca": str(self._access.authority), "mechanism": mechanism}
            found |= {"user": user, "password": self._access.password(user)}
        return KafkaSettings(**{**found, **given})

    def options(self, user: str = ADMIN, mechanism: str = "SCRAM-SHA-512") -> dict[str, Any]:
        """What a client of kafka-python or aiokafka is made with to get in."""
        return options(self.settings(user, mechanism))

    def grant(self, user: str, operation: str, *, topic: str = "", group: str = "") -> None:
        """Let a user do something, from now on.

        Args:
            user: one of ``users``.
            operation: such as ``READ``, ``WRITE``, ``DESCRIBE``, ``CREATE``, ``IDEMPOTENT_WRITE``.
            topic: with this topic; a ``*`` at its end means all that begin so.
            group: with this consumer group, likewise. With neither it is for the whole cluster.
        """
        from kafka.admin import (  # noqa: PLC0415 - kafka-python is slow to import
            ACL,
            ACLOperation,
            ACLPermissionType,
            ACLResourcePatternType,
            KafkaAdminClient,
            ResourcePattern,
            ResourceType,
        )

        kind = ResourceType.TOPIC if topic else ResourceType.GROUP if group else ResourceType.CLUSTER
        name = topic or group or "kafka-cluster"
        all_that = name.endswith("*")
        match = ACLResourcePatternType.PREFIXED if all_that else ACLResourcePatternType.LITERAL
        pattern = ResourcePattern(kind, name.removesuffix("*"), match)
        acl = ACL(f"User:{user}", "*", ACLOperation[operation], ACLPermissionType.ALLOW, pattern)
        admin = KafkaAdminClient(**self.options())
        try:
            admin.create_acls([acl])
        finally:
            admin.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _disarm(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.disarm()

    def _wait_until_it_serves(self, since: int, deadline: float) -> None:
        while not self._logged(_STARTED, since):
            if not self.alive() or time.monotonic() > deadline:
                what = "did not start in time" if self.alive() else "did not start"
                raise SwirlError(f"Kafka {what}. Its log, {self.log}, ends with:\n{self.last_words()}")
            time.sleep(0.05)

    def _logged(self, what: bytes, since: int) -> bool:
        with self.log.open("rb") as log:
            log.seek(since)
            return what in log.read()

    def _format(self) -> list[str]:
        """What the data folder is made with."""
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
        users = self._access.format_arguments() if self._access is not None else []
        return ["--cluster-id", cluster, "--ignore-formatted", *users]

    def _write_properties(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        controller = free_port(besides=self._port)
        found = {
            **_PROPERTIES,
            "listeners": f"CLIENTS://{self.address},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"CLIENTS://{self.address}",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "log.dirs": str(self.folder / "data"),
            **(self._access.properties() if self._access is not None else {}),
            **self._given,
        }
        path = self.folder / "server.properties"
        path.touch(mode=0o600)
        path.write_text("".join(f"{name}={value}\n" for name, value in found.items()), encoding="utf-8")
        return path


class _Guard:
    """Ends a process when this one is gone, also by ``kill -9``: a shell that waits for the end of a pipe."""

    def __init__(self, pid: int) -> None:
        end, self._pipe = os.pipe()
        try:
            self._shell = subprocess.Popen(  # noqa: S603 - our own command
                ["/bin/sh", "-c", 'read -r _ || kill -9 "$0"', str(pid)],
                stdin=end,
                stdout=subprocess.DEVNULL,  # ours may be a pipe that somebody reads to its end
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(end)

    def disarm(self) -> None:
        """Let it go without doing anything."""
        with contextlib.suppress(BrokenPipeError):  # somebody ended the shell
            os.write(self._pipe, b"\n")
        os.close(self._pipe)
        self._shell.wait()


def free_port(besides: int = 0) -> int:
    """A port on loopback that nobody listens at.

    It lies below those that systems give to outgoing connections: while a broker is down, a client that
    tries to reach it could be given the broker's own port and reach itself.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        try:
            with socket.create_server(("127.0.0.1", port)):
                pass
        except OSError:
            continue
        if port != besides:
            return port
