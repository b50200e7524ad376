"""Acts that leave this terminal: through Kafka where it is used, else to the process that watches here."""

from __future__ import annotations

import getpass
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kafka.errors import KafkaError, KafkaTimeoutError

from swirl.cli.reach import Nobody
from swirl.cli.topics import quiet_kafka
from swirl.engine.share import ShareClient
from swirl.engine.store import StateFolder, default_folder, temporary_folder
from swirl.errors import SettingsError
from swirl.frame import encode
from swirl.kafka.topics import Topics
from swirl.sdk.producer import Producer, advice, reason
from swirl.settings import KafkaSettings, WatchSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from swirl.frame import Act

__all__ = ["account", "folders", "seen", "send"]

_CLIENT = "swirl-command"
_TAKEN_S, _ASK_S = 10.0, 3.0
_SEEN_S = 10.0
_LOOK_S = 0.2


def account() -> str:
    """Who uses this terminal."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return ""


def send(act: Act) -> None:
    """Send an act the way that frames go.

    Raises:
        Nobody: nobody takes it; the message says what to do.
        SettingsError: a setting cannot be used.
    """
    settings = KafkaSettings.from_environment()
    if settings.kafka:
        _to_kafka(settings, act)
    else:
        _to_socket(act)


def _to_kafka(settings: KafkaSettings, act: Act) -> None:
    quiet_kafka()
    topic = Topics.of(settings).frames
    try:
        producer = Producer(settings, topic, _CLIENT)
    except KafkaError as error:
        raise Nobody(_refusal(error, settings, topic)) from None
    try:
        wrong = _delivered(producer, act)
    finally:
        producer.close(1.0)
    if wrong is not None:
        raise Nobody(_refusal(wrong, settings, topic))


def _delivered(producer: Producer, act: Act) -> BaseException | None:
    """What is wrong, None once a broker has it."""
    came = threading.Event()
    wrong: list[BaseException | None] = []

    def done(error: BaseException | None) -> None:
        wrong.append(error)
        came.set()

    until = time.monotonic() + _TAKEN_S
    sent = False
    while not sent:
        try:
            producer.send(act.pipeline.encode(), encode(act), done)
            sent = True
        except KafkaError:
            # It gives up on a topic that it has not heard of yet: the brokers say whether there is none.
            objection = producer.ask(_ASK_S)
            if objection is not None:
                return objection
            if time.monotonic() >= until:
                break
    late: BaseException = KafkaTimeoutError(f"nothing came back within {_TAKEN_S:g} s")
    return wrong[0] if came.wait(max(1.0, until - time.monotonic())) else late


def _refusal(error: BaseException, settings: KafkaSettings, topic: str) -> str:
    return f"{advice(reason(error, _CLIENT), settings, topic)}. 'swirl doctor' says more"


def _to_socket(act: Act) -> None:
    why = "no process watches"
    for folder in folders():
        if not (folder / "lock").exists():
            continue
        try:
            client = ShareClient(StateFolder(folder).socket_path, lambda _pipeline, _verdict: None)
        except (OSError, SettingsError) as error:
            why = f"no process watches with the state in {folder} ({_said(error)})"
            continue
        try:
            client.send(act.pipeline, encode(act))
        except OSError as error:
            why = f"the process that watches does not take it ({_said(error)})"
        else:
            return
        finally:
            client.close()
    raise Nobody(
        f"{why}. Run this as the same user as the pipeline that watches, with SWIRL_STATE as it has it; "
        "where workers watch, set SWIRL_KAFKA"
    )


def _said(error: Exception) -> str:
    """Without the number of the error."""
    return str(getattr(error, "strerror", None) or error).lower()


def folders() -> Iterator[Path]:
    """Where the state may be, as :func:`swirl.watch` looks for it."""
    state = WatchSettings.from_environment().state
    if state:
        yield Path(state)
        return
    for find in (default_folder, temporary_folder):
        try:
            yield find()
        except (OSError, RuntimeError, SettingsError):
            continue


def seen(look: Callable[[], bool], patience_s: float = _SEEN_S) -> bool:
    """Look again and again until something is so, for so many seconds; whether it is."""
    until = time.monotonic() + patience_s
    while not look():
        if time.monotonic() >= until:
            return False
        time.sleep(_LOOK_S)
    return True
