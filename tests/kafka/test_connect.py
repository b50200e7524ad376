"""How to connect: the same options for every client, from typed settings."""

from __future__ import annotations

import logging
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from swirl.errors import SettingsError
from swirl.kafka.connect import options, tls
from swirl.settings import KafkaSettings


class SaslAuthenticate:
    """A request as the clients have it, whose text is its content."""

    def __init__(self, password: str) -> None:
        self._password = password

    def __str__(self) -> str:
        return f"SaslAuthenticateRequest(auth_bytes={self._password})"


def settings(**given: str) -> KafkaSettings:
    return KafkaSettings(**{"kafka": "one:9092, two:9093", **given})


def certificate(folder: Path, *, shorter: str = "") -> dict[str, str]:
    """Files of a certificate and its key, made on the spot."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    files = {"certificate": str(folder / f"own{shorter}.pem"), "key": str(folder / f"own{shorter}.key")}
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=me"
    subprocess.run(
        [*command.split(), "-out", files["certificate"], "-keyout", files["key"]],
        check=True,
        capture_output=True,
    )
    return files


def test_plain_options_are_the_brokers_and_no_more() -> None:
    assert options(settings()) == {
        "bootstrap_servers": ["one:9092", "two:9093"],
        "security_protocol": "PLAINTEXT",
    }


def test_no_broker_is_an_error_that_names_the_variable() -> None:
    with pytest.raises(SettingsError, match="SWIRL_KAFKA is empty"):
        options(KafkaSettings())


def test_a_user_and_a_password_are_handed_on() -> None:
    found = options(settings(protocol="SASL_PLAINTEXT", mechanism="PLAIN", user="ada", password="secret"))
    assert found["sasl_mechanism"] == "PLAIN"
    assert (found["sasl_plain_username"], found["sasl_plain_password"]) == ("ada", "secret")
    assert "ssl_context" not in found


def test_an_encrypted_connection_checks_the_certificate_and_its_name() -> None:
    context = options(settings(protocol="SASL_SSL", user="ada", password="secret"))["ssl_context"]
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.service
def test_only_the_authority_that_is_named_is_trusted(tmp_path: Path) -> None:
    authority = certificate(tmp_path)["certificate"]
    context = tls(settings(protocol="SSL", ca=authority))
    assert context is not None
    assert len(context.get_ca_certs()) == 1


@pytest.mark.service
def test_a_certificate_of_ones_own_is_loaded_with_its_key(tmp_path: Path) -> None:
    assert tls(settings(protocol="SSL", **certificate(tmp_path))) is not None


@pytest.mark.parametrize("kafka", ["broker:9092", "127.0.0.1:1, kafka_2.example-1:65535", "[::1]:9092", ""])
def test_brokers_are_names_or_addresses_with_a_port(kafka: str) -> None:
    assert len(KafkaSettings(kafka=kafka).servers) == len(kafka.split())


@pytest.mark.parametrize(
    "kafka",
    ["broker", "broker:", ":9092", "b:0", "b:70000", "b:1:2", "a:1;b:1", "a:1 b:1", "http://b:1", "::1:9"],
)
def test_what_is_no_broker_is_told(kafka: str) -> None:
    with pytest.raises(SettingsError, match=r"SWIRL_KAFKA \(kafka\) has .*; each broker must be host:port"):
        KafkaSettings(kafka=kafka)


@pytest.mark.parametrize(
    ("field", "variable"), [("ca", "SWIRL_KAFKA_CA"), ("certificate", "SWIRL_KAFKA_CERT")]
)
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_that_cannot_be_used_is_an_error_that_names_the_variable(
    field: str, variable: str, content: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "file.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=rf"{variable}.* cannot be used"):
        tls(settings(protocol="SSL", **{field: str(path)}))


@pytest.mark.service
def test_a_key_of_another_certificate_is_told(tmp_path: Path) -> None:
    one, other = certificate(tmp_path), certificate(tmp_path, shorter="-2")
    with pytest.raises(SettingsError, match="cannot be used with its key"):
        tls(settings(protocol="SSL", certificate=one["certificate"], key=other["key"]))


@pytest.mark.parametrize(
    ("logger", "message", "told"),
    [
        ("aiokafka.conn", "Request to %s:%d %d: %s", ("one", 9092, 3, SaslAuthenticate("secret"))),
        ("kafka.net.connection", "%s Request %d: %s", ("one", 3, SaslAuthenticate("secret"))),
        ("kafka.protocol.parser", "%s Sending request %d %s", ("one", 3, SaslAuthenticate("secret"))),
        ("kafka.protocol.parser", "%s Send: %r", ("one", bytearray(b"\0ada\0secret"))),
        ("kafka.admin.client", "with configuration: %s", ({"sasl_plain_password": "secret"},)),
    ],
)
def test_what_is_said_to_be_let_in_stays_out_of_the_log(
    logger: str, message: str, told: tuple[object, ...], caplog: pytest.LogCaptureFixture
) -> None:
    options(settings(protocol="SASL_PLAINTEXT", mechanism="PLAIN", user="ada", password="secret"))
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger)  # whoever made an admin client has it quiet
    log = logging.getLogger(logger)
    log.debug(message, *told)
    log.debug("%s is asked for its topics", "one")
    assert caplog.messages == ["one is asked for its topics"]
