"""One set of settings for both clients: kafka-python and aiokafka take the same options by the same names."""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING, Any

from swirl.errors import SettingsError

if TYPE_CHECKING:
    from swirl.settings import KafkaSettings

__all__ = ["options", "tls"]

_TALKATIVE = ("aiokafka.conn", "kafka.admin.client", "kafka.net.connection", "kafka.protocol.parser")
"""Loggers that tell at DEBUG each request, also that with the password, or what a client is made with."""


class _Discreet(logging.Filter):
    """Leaves out of the log what a client says to be let in."""

    def filter(self, record: logging.LogRecord) -> bool:
        """False where a password may be in it."""
        told = record.args if isinstance(record.args, tuple) else ()
        configuration = record.args if isinstance(record.args, dict) else {}
        raw = any(
            isinstance(part, bytes | bytearray) or "SaslAuthenticate" in type(part).__name__ for part in told
        )
        return not raw and "sasl_plain_password" not in configuration


_discreet = _Discreet()


def options(settings: KafkaSettings) -> dict[str, Any]:
    """What a producer, consumer or admin client of kafka-python or aiokafka is made with.

    Raises:
        SettingsError: no broker is named, or a file of certificates cannot be read.
    """
    if not settings.servers:
        raise SettingsError("SWIRL_KAFKA is empty; set it to the brokers, such as localhost:9092")
    found: dict[str, Any] = {
        "bootstrap_servers": settings.servers,
        "security_protocol": settings.protocol,
    }
    context = tls(settings)
    if context is not None:
        found["ssl_context"] = context
    if settings.protocol.startswith("SASL"):
        found |= {
            "sasl_mechanism": settings.mechanism,
            "sasl_plain_username": settings.user,
            "sasl_plain_password": settings.password,
        }
        _keep_out_of_the_log()
    return found


def _keep_out_of_the_log() -> None:
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(_discreet)


def tls(settings: KafkaSettings) -> ssl.SSLContext | None:
    """What to trust and what to show, None where the connection is not encrypted.

    Raises:
        SettingsError: a file cannot be read.
    """
    if not settings.protocol.endswith("SSL"):
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca or None)
    except OSError as error:
        raise SettingsError(
            f"SWIRL_KAFKA_CA (ca) is {settings.ca!r}, which cannot be used: {error}"
        ) from None
    if settings.certificate:
        try:
            context.load_cert_chain(settings.certificate, settings.key or None)
        except OSError as error:
            raise SettingsError(
                f"SWIRL_KAFKA_CERTIFICATE (certificate) is {settings.certificate!r}, "
                f"which cannot be used with its key: {error}"
            ) from None
    return context
