"""``swirl dev kafka``: a real broker on the desk, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from swirl.cli.topics import quiet_kafka
from swirl.engine.store import default_folder
from swirl.errors import TopicsError
from swirl.kafka.topics import create_missing
from swirl.settings import KafkaSettings, WatchSettings
from swirl.testing.broker import Broker
from swirl.testing.jars import KAFKA

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Options", "run"]


@dataclass(frozen=True)
class Options:
    """What broker to run.

    Attributes:
        port: on 127.0.0.1; 0: a free one.
        folder: of its data; None: ``kafka`` in the state folder of the user.
        ephemeral: its data go when it stops.
    """

    port: int = 9092
    folder: Path | None = None
    ephemeral: bool = False


def run(options: Options, say: Callable[[str], None], warn: Callable[[str], None]) -> int:
    """Run a broker until a signal comes.

    Args:
        options: which.
        say: prints a line.
        warn: prints a line for who looks after it.

    Returns:
        0 if it was told to stop; 1 if the port is taken, or the broker ended by itself.

    Raises:
        SwirlError: it cannot be fetched, or did not start.
    """
    why = _taken(options.port)
    if why:
        warn(f"swirl: port {options.port} of 127.0.0.1 cannot be had ({why}). Take another one with --port")
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        folder = options.folder or _default_folder()
        if options.ephemeral:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="swirl-kafka-")))
        broker = Broker(folder, options.port, say=say)
        try:
            _serve(broker, say, warn, kept=not options.ephemeral)
        except KeyboardInterrupt:
            for each in (signal.SIGINT, signal.SIGTERM):
                signal.signal(each, signal.SIG_IGN)  # it is under way, and takes less than a second
            broker.stop()
            say("Stopped.")
            return 0
        warn(f"swirl: Kafka ended by itself. Its log ends with:\n{broker.last_words()}")
        return 1


def _serve(broker: Broker, say: Callable[[str], None], warn: Callable[[str], None], *, kept: bool) -> None:
    say(f"Starting Kafka {KAFKA}")
    broker.start()
    data = f"data in {broker.folder}" if kept else "its data go when it stops"
    _make_topics(broker, say, warn)
    say(f"Kafka {KAFKA} listens at {broker.address}; {data}; stop with Ctrl-C. Next, in other terminals:")
    say(f"  SWIRL_KAFKA={broker.address} python my_pipeline.py")
    say(f"  SWIRL_KAFKA={broker.address} swirl worker")
    broker.wait()


def _make_topics(broker: Broker, say: Callable[[str], None], warn: Callable[[str], None]) -> None:
    """The topics that Swirl needs; a broker without them is of use as well."""
    quiet_kafka()
    here = KafkaSettings.from_environment(kafka=broker.address, protocol="PLAINTEXT")
    try:
        made = create_missing(here)
    except TopicsError as error:
        warn(f"swirl: {error}")
    else:
        if made:
            say(f"Made the topics {', '.join(made)}")


def _default_folder() -> Path:
    state = WatchSettings.from_environment().state
    return (Path(state) if state else default_folder()) / "kafka"


def _taken(port: int) -> str:
    """Why nobody can listen there; empty if one can."""
    try:
        with socket.create_server(("127.0.0.1", port)):
            return ""
    except OSError as error:
        return os.strerror(error.errno or 0).lower()
