"""Who may enter the broker for developers: its certificate, its users and their passwords.

The door of the controller on loopback stays open: behind it nobody is asked who he is. It keeps programs
apart that are under test, not people of one machine.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from swirl.errors import SwirlError
from swirl.testing.jars import java

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ADMIN", "Access", "run_tool"]

ADMIN = "admin"
"""The user who may do everything."""

_SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
_LOGIN = "org.apache.kafka.common.security"
_PROPERTIES = {
    "listener.security.protocol.map": "CLIENTS:SASL_SSL,CONTROLLER:PLAINTEXT",
    "sasl.enabled.mechanisms": ",".join(("PLAIN", *_SCRAM)),
    "sasl.mechanism.inter.broker.protocol": "PLAIN",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    # Who has no name has come by the controller's door, as the broker itself does.
    "super.users": f"User:{ADMIN};User:ANONYMOUS",
    "ssl.keystore.type": "PKCS12",
    "ssl.truststore.type": "PEM",
}
_PAIR = ("-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-dname", "CN=localhost")
_TOLD = ("san=dns:localhost,ip:127.0.0.1", "bc:c", "ku:c=digitalSignature,keyCertSign")
_QUICKLY = ("-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC")
_LONGEST_TOOL_S = 60.0


class Access:
    """TLS and users of one broker; what was made once stays with its folder.

    Args:
        folder: of the broker.
        users: names and passwords beside ``admin``.
    """

    def __init__(self, folder: Path, users: Mapping[str, str]) -> None:
        self.authority = folder / "ca.pem"
        self._folder = folder
        self._keys = folder / "broker.p12"
        self._users = dict(users)

    def password(self, user: str) -> str:
        """Of ``admin`` or one of the users; empty if there is no such user."""
        return self._secret(ADMIN) if user == ADMIN else self._users.get(user, "")

    def properties(self) -> dict[str, str]:
        """Of the broker; its certificate is made if there is none.

        Raises:
            SwirlError: it cannot be made.
        """
        if not self.authority.exists():
            self._make_certificate()
        admin = self.password(ADMIN)
        known = "".join(f' user_{user}="{word}"' for user, word in {ADMIN: admin, **self._users}.items())
        plain = f'{_LOGIN}.plain.PlainLoginModule required username="{ADMIN}" password="{admin}"{known};'
        scram = f"{_LOGIN}.scram.ScramLoginModule required;"
        modules = {"PLAIN": plain, **dict.fromkeys(_SCRAM, scram)}
        return {
            **_PROPERTIES,
            **{f"listener.name.clients.{name.lower()}.sasl.jaas.config": m for name, m in modules.items()},
            "ssl.keystore.location": str(self._keys),
            "ssl.keystore.password": self._secret("keys"),
            "ssl.key.password": self._secret("keys"),
            "ssl.truststore.location": str(self.authority),
        }

    def format_arguments(self) -> list[str]:
        """What the data folder is made with, so that the first to connect is let in."""
        users = {ADMIN: self.password(ADMIN), **self._users}
        return [
            argument
            for user, word in users.items()
            for mechanism in _SCRAM
            for argument in ("--add-scram", f"{mechanism}=[name={user},password={word}]")
        ]

    def _make_certificate(self) -> None:
        """A certificate that is its own authority."""
        self._keys.unlink(missing_ok=True)
        made = self.authority.with_suffix(".new")
        told = [part for extension in _TOLD for part in ("-ext", extension)]
        self._keytool(*_PAIR, *told, "-alias", "broker", "-validity", "3650")
        self._keytool("-exportcert", "-rfc", "-alias", "broker", "-file", str(made))
        made.rename(self.authority)

    def _keytool(self, *arguments: str) -> None:
        program = str(java().with_name("keytool"))
        store = ("-keystore", str(self._keys), "-storetype", "PKCS12", "-storepass:env", "KEYS_PASSWORD")
        run_tool([program, *_QUICKLY, *arguments, *store], KEYS_PASSWORD=self._secret("keys"))

    def _secret(self, name: str) -> str:
        """A password that stays with the folder."""
        path = self._folder / f"{name}.secret"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(16), encoding="utf-8")
        return path.read_text(encoding="utf-8")


def run_tool(command: list[str], **environment: str) -> None:
    """Run a tool of Java's or Kafka's that ends by itself.

    Args:
        command: its program and arguments.
        environment: variables beside ours.

    Raises:
        SwirlError: it failed, or took longer than a minute.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(  # noqa: S603 - our own command
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_LONGEST_TOOL_S,
            env={**os.environ, **environment},
        )
    except subprocess.TimeoutExpired:
        raise SwirlError(f"{name} did not end within {_LONGEST_TOOL_S:g} s") from None
    if done.returncode:
        raise SwirlError(f"{name} failed:\n{(done.stdout + done.stderr)[-2000:]}")
