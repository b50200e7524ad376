"""The way back from Kafka: verdicts for the pipelines of this process."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import msgspec

from swirl.frame import Verdict
from swirl.kafka.topics import Topics
from swirl.sdk import feedback

if TYPE_CHECKING:
    from logging import Logger

    from swirl.sdk.producer import Listener
    from swirl.settings import KafkaSettings

__all__ = ["VerdictListener"]

CLIENT = "swirl-verdicts"
"""Name of the consumer at the brokers, and of its thread."""

_READ_S = 1.0
_BACKOFF_S, _BACKOFF_MOST_S = 1.0, 30.0

_decoder = msgspec.msgpack.Decoder(Verdict)


class VerdictListener:
    """Reads the verdicts of the pipelines that send from here, in a daemon thread.

    The topic is compacted and keyed by pipeline; a pipeline has one partition, and its last verdict stands.

    Args:
        settings: where Kafka is.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._topic = Topics.of(settings).feedback
        self._names: set[str] = set()
        self._thread: threading.Thread | None = None
        self._listener: Listener | None = None
        self._end = threading.Event()
        self._told = False

    def know(self, pipeline: str) -> None:
        """A pipeline sends from this process; its verdicts are read within a second or so."""
        if pipeline not in self._names:
            self._names = {*self._names, pipeline}

    def start(self) -> None:
        """Listen from now on; called when frames get through."""
        if self._thread is None and not self._end.is_set():
            self._thread = threading.Thread(target=self._run, name=CLIENT, daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # the interpreter ends
                self._end.set()

    def stop(self) -> None:
        """End the thread, which takes a second or so; nobody need wait for it."""
        self._end.set()

    def join(self, timeout: float) -> None:
        """Wait until the thread has ended."""
        if self._thread is not None:
            self._thread.join(timeout)

    def abandon(self) -> None:
        """In a forked child: what is the parent's is left alone."""
        if self._listener is not None:
            self._listener.abandon()

    def _run(self) -> None:
        backoff = _BACKOFF_S
        while not self._end.is_set():
            began = time.monotonic()
            try:
                self._listen()
            except Exception as error:  # noqa: BLE001 - verdicts may fail to come; the pipeline goes on
                self._tell(error)
            if time.monotonic() - began > 2 * _BACKOFF_MOST_S:  # it had gone well for long
                backoff = _BACKOFF_S
            self._end.wait(backoff)
            backoff = min(2 * backoff, _BACKOFF_MOST_S)

    def _listen(self) -> None:
        from swirl.sdk.producer import Listener  # noqa: PLC0415 - it loads kafka-python

        listener = self._listener = Listener(self._settings, self._topic, CLIENT)
        try:
            known: set[str] = set()
            while not self._end.is_set():
                if known != self._names:
                    names = self._names
                    listener.listen([name.encode() for name in names])
                    known = names
                # Of verdicts that came together the last one holds.
                for key, value in dict(listener.read(_READ_S)).items():
                    _deliver(key, value)
        finally:
            self._listener = None
            listener.close()

    def _tell(self, error: Exception) -> None:
        from swirl.sdk.producer import advice  # noqa: PLC0415 - loaded already

        log = _log().debug if self._told else _log().warning
        self._told = True
        log("verdicts do not come: %s", advice(error, self._settings, self._topic, right="Read"))


def _deliver(key: bytes, value: bytes) -> None:
    """Other pipelines share the partition; verdicts of a later Swirl may not be readable."""
    try:
        feedback.deliver(key.decode(), _decoder.decode(value))
    except (UnicodeDecodeError, msgspec.MsgspecError, RecursionError):
        _log().debug("a verdict cannot be read", exc_info=True)


def _log() -> Logger:
    from logging import getLogger  # noqa: PLC0415 - hardly ever needed, and a twentieth of the import

    return getLogger("swirl.kafka")
