"""A real Kafka broker on loopback, for developers and tests: no Docker, no Java to install.

One node, KRaft, its data in a folder that outlives it. With ``secure=True`` it wants TLS, a user and a
password, and lets a user do only what was granted.
"""

from __future__ import annotations

import base64
import os
import secrets
import signal
import socket
import subprocess
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from swirl.errors import SwirlError
from swirl.kafka.connect import options
from swirl.settings import KafkaSettings
from swirl.testing.jars import jars, java

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

__all__ = ["Broker", "free_port"]

_ADMIN = "admin"
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
_SECURE = {
    "listener.security.protocol.map": "CLIENTS:SASL_SSL,CONTROLLER:PLAINTEXT",
    "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
    "sasl.mechanism.inter.broker.protocol": "PLAIN",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    # Who has no name has come by the controller's door, which only the broker itself knows.
    "super.users": f"User:{_ADMIN};User:ANONYMOUS",
}
_AUTHORITY = "-alias ca -dname CN=Swirl -ext bc:c -ext ku:c=keyCertSign,cRLSign".split()
_SERVER = (
    "-alias broker -signer ca -dname CN=localhost "
    "-ext san=dns:localhost,ip:127.0.0.1 -ext ku:c=digitalSignature"
).split()
_LOGIN = "org.apache.kafka.common.security"


class Broker:
    """One broker, a child of this process; it ends with it, however that ends.

    Args:
        folder: of its data, settings and log; made if need be. A later broker on it goes on from the data.
        port: on 127.0.0.1; 0 takes a free one, which stays the same when the broker is started again.
        secure: TLS with an authority made for the folder (``folder/ca.pem``), SASL (PLAIN, SCRAM), and
            access lists that allow nobody anything but the user ``admin``.
        users: names and passwords that are let in beside ``admin``, if it is secure; fixed with the first
            start on a folder.
        properties: of the broker, beside or instead of ours.
        say: is told of a download in plain lines.

    Example:
        ``with Broker(Path("kafka")) as broker: KafkaProducer(bootstrap_servers=broker.address)``
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
        self.folder = folder
        self.log = folder / "broker.log"
        self._port = port or free_port()
        self._secure = secure
        self._users = dict(users or {})
        self._extra = dict(properties or {})
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: _Guard | None = None

    @property
    def address(self) -> str:
        """What clients connect to: ``host:port``."""
        return f"127.0.0.1:{self._port}"

    @property
    def running(self) -> bool:
        """Whether its process is there; a paused one is."""
        if self._process is None or self._process.poll() is not None:
            self._disarm()  # at once: the id may be another process' soon
            return False
        return True

    @property
    def pid(self) -> int:
        """Of the Java process.

        Raises:
            SwirlError: it does not run.
        """
        if self._process is None or not self.running:
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
        command = [str(java()), *_JAVA_OPTIONS, "-cp", os.pathsep.join(map(str, jars(self._say)))]
        deadline = time.monotonic() + timeout
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._secure:
            self._make_certificates()
        self._write_properties()
        config = str(self.folder / "server.properties")
        if not (self.folder / "data" / "meta.properties").exists():
            self._run([*command, "kafka.tools.StorageTool", "format", "-c", config, *self._format()])
        with self.log.open("ab") as log:
            before = log.tell()
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [*command, "kafka.Kafka", config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is ours to handle
            )
        self._guard = _Guard(self._process.pid)
        self._wait_until_it_serves(before, deadline, timeout)
        return self

    def stop(self, timeout: float = 10.0) -> None:
        """Let it end by itself, with its data in order; after ``timeout`` seconds, end it."""
        if self._process is not None and self.running:
            self.resume()
            self._process.terminate()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._gone()

    def kill(self) -> None:
        """End it at once, as a crash would (``kill -9``)."""
        if self._process is not None and self.running:
            self._process.kill()
        self._gone()

    def pause(self) -> None:
        """Stop its clock: connections stay open and nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after :meth:`pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait until it ends by itself.

        Returns:
            its exit code, or None if it still runs after ``timeout`` seconds.
        """
        if self._process is None:
            return None
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def last_words(self, lines: int = 15) -> str:
        """The end of its log."""
        try:
            return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def settings(self, user: str = _ADMIN, mechanism: str = "SCRAM-SHA-512", **given: Any) -> KafkaSettings:
        """How a client of Swirl's gets in.

        Args:
            user: if the broker is secure.
            mechanism: of SASL.
            given: other settings, or other values: ``password="wrong"``.
        """
        found: dict[str, Any] = {"kafka": self.address}
        if self._secure:
            password = self._secret(_ADMIN) if user == _ADMIN else self._users.get(user, "")
            found |= {"protocol": "SASL_SSL", "ca": str(self.folder / "ca.pem")}
            found |= {"user": user, "password": password, "mechanism": mechanism}
        return KafkaSettings(**{**found, **given})

    def options(self, user: str = _ADMIN, mechanism: str = "SCRAM-SHA-512") -> dict[str, Any]:
        """What a client of kafka-python or aiokafka is made with to get in."""
        return options(self.settings(user, mechanism))

    def grant(self, user: str, operation: str, *, topic: str = "", group: str = "") -> None:
        """Let a user do something.

        Args:
            user: one of ``users``.
            operation: such as ``READ``, ``WRITE``, ``DESCRIBE``, ``CREATE``, ``IDEMPOTENT_WRITE``.
            topic: on this topic; a ``*`` at its end means all that begin so.
            group: on this consumer group, likewise. With neither it is for the whole cluster.
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

        kind, name = (ResourceType.TOPIC, topic) if topic else (ResourceType.GROUP, group)
        if not name:
            kind, name = ResourceType.CLUSTER, "kafka-cluster"
        prefixed = name.endswith("*") and name != "*"
        pattern = ResourcePattern(
            kind,
            name.removesuffix("*") if prefixed else name,
            ACLResourcePatternType.PREFIXED if prefixed else ACLResourcePatternType.LITERAL,
        )
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

    def _gone(self) -> None:
        if self._process is not None:
            self._process.wait()
        self._disarm()

    def _disarm(self) -> None:
        if self._guard is not None:
            self._guard.disarm()
            self._guard = None

    def _wait_until_it_serves(self, before: int, deadline: float, timeout: float) -> None:
        while not self._says(_STARTED, before):
            if not self.running:
                raise SwirlError(f"Kafka did not start. Its log, {self.log}, ends with:\n{self.last_words()}")
            if time.monotonic() > deadline:
                self.kill()
                raise SwirlError(
                    f"Kafka did not start within {timeout:g} s. Its log, {self.log}, ends with:\n"
                    f"{self.last_words()}"
                )
            time.sleep(0.05)

    def _says(self, what: bytes, since: int) -> bool:
        with self.log.open("rb") as log:
            log.seek(since)
            return what in log.read()

    def _run(self, command: list[str], **environment: str) -> None:
        """A tool of Kafka's or Java's that ends by itself."""
        done = subprocess.run(  # noqa: S603 - our own command
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **environment},
        )
        if done.returncode:
            raise SwirlError(f"{Path(command[0]).name} failed:\n{(done.stdout + done.stderr)[-2000:]}")

    def _format(self) -> list[str]:
        """Arguments for the data folder's first use."""
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
        found = ["--cluster-id", cluster, "--ignore-formatted"]
        if not self._secure:
            return found
        for user, password in {_ADMIN: self._secret(_ADMIN), **self._users}.items():
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                found += ["--add-scram", f"{mechanism}=[name={user},password={password}]"]
        return found

    def _write_properties(self) -> None:
        controller = free_port(besides=self._port)
        found = {
            **_PROPERTIES,
            "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "listeners": f"CLIENTS://{self.address},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"CLIENTS://{self.address}",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "log.dirs": str(self.folder / "data"),
            **(self._security() if self._secure else {}),
            **self._extra,
        }
        path = self.folder / "server.properties"
        path.touch(mode=0o600)
        path.write_text("".join(f"{name}={value}\n" for name, value in found.items()), encoding="utf-8")

    def _security(self) -> dict[str, str]:
        admin = self._secret(_ADMIN)
        known = " ".join(f'user_{user}="{password}"' for user, password in self._users.items())
        plain = f'{_LOGIN}.plain.PlainLoginModule required username="{_ADMIN}" password="{admin}"'
        scram = f"{_LOGIN}.scram.ScramLoginModule required;"
        listener = "listener.name.clients"
        return {
            **_SECURE,
            f"{listener}.plain.sasl.jaas.config": f'{plain} user_{_ADMIN}="{admin}" {known};',
            f"{listener}.scram-sha-256.sasl.jaas.config": scram,
            f"{listener}.scram-sha-512.sasl.jaas.config": scram,
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.location": str(self.folder / "broker.p12"),
            "ssl.keystore.password": self._secret("keys"),
            "ssl.key.password": self._secret("keys"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.folder / "ca.pem"),
        }

    def _make_certificates(self) -> None:
        """An authority, and a certificate by it for the broker; the authority's own key is thrown away."""
        authority = self.folder / "ca.pem"
        if authority.exists():
            return
        store = self.folder / "broker.p12"
        store.unlink(missing_ok=True)
        base = ["-keystore", str(store), "-storetype", "PKCS12", "-storepass:env", "SWIRL_KEYS"]
        pair = ["-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-validity", "3650"]
        made = self.folder / "ca.new"
        for arguments in (
            [*pair, *_AUTHORITY],
            [*pair, *_SERVER],
            ["-exportcert", "-rfc", "-alias", "ca", "-file", str(made)],
            ["-delete", "-alias", "ca"],
        ):
            self._run([str(java().with_name("keytool")), *arguments, *base], SWIRL_KEYS=self._secret("keys"))
        made.rename(authority)

    def _secret(self, name: str) -> str:
        """A password that stays with the folder."""
        path = self.folder / f"{name}.secret"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(16), encoding="utf-8")
        return path.read_text(encoding="utf-8")


class _Guard:
    """Ends a process when this one is gone, also by ``kill -9``: a shell that waits for the end of a pipe."""

    def __init__(self, pid: int) -> None:
        end, self._pipe = os.pipe()
        try:
            self._shell = subprocess.Popen(  # noqa: S603 - our own command
                ["/bin/sh", "-c", 'read -r _ || kill -9 "$0"', str(pid)], stdin=end, start_new_session=True
            )
        finally:
            os.close(end)

    def disarm(self) -> None:
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
