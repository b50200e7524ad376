"""``swirl worker``: one worker in the foreground."""

from __future__ import annotations

import logging
import sys

from swirl.errors import SettingsError
from swirl.settings import KafkaSettings

__all__ = ["run"]


def run(level: str) -> None:
    """Work until a signal, or until it cannot go on; does not return.

    Args:
        level: of the log, such as ``"info"``.

    Raises:
        SettingsError: something is set wrongly, or no broker is named.
        MissingExtraError: Faust is not installed.
    """
    if not KafkaSettings.from_environment().kafka:
        raise SettingsError(
            "SWIRL_KAFKA is not set; name the brokers, such as SWIRL_KAFKA=localhost:9092. "
            "To try it without any, run 'swirl dev kafka' in another terminal"
        )
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    logging.getLogger("swirl").setLevel(level.upper())
    if level == "info":  # Faust tells of its steps as if our app told them
        logging.getLogger("swirl.engine.faust.app").setLevel(logging.WARNING)
    from swirl.engine.faust.app import from_environment
    from swirl.engine.faust.worker import leave, run

    leave(run(from_environment()))
