"""``swirl demo --kafka``: the same acts, through a real broker and a real worker, each a process of its own.

What is shown and judged here is read back from the topics that anybody may read.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

import msgspec

from swirl.cli.acts import FLUSH_S, PLAN, SETTINGS
from swirl.cli.demo import CHANNEL, Play, scrape, screen
from swirl.engine.wire import IncidentRecord, WindowPart
from swirl.errors import SwirlError
from swirl.kafka.connect import options as connection
from swirl.kafka.topics import Topics
from swirl.settings import KafkaSettings
from swirl.testing.broker import Broker, free_port
from swirl.testing.slack import SlackStandIn
from swirl_pipelines.ads.runner import Act

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rich.console import Console

    from swirl.cli.demo import Options

__all__ = ["play_through_kafka"]

_START_S = 60.0
_END_S = 10.0
_LAST_WINDOWS_S = 6.0


class _FeedClock:
    """The time that the pipeline's process shows: its own clock waits where the machine cannot keep up."""

    lag_ms = 0

    def time_ns(self) -> int:
        """Nanoseconds since 1970."""
        return time.time_ns() - self.lag_ms * 1_000_000

    def ticks(self) -> int:
        """Nanoseconds that never go back."""
        return time.monotonic_ns()


def play_through_kafka(options: Options, console: Console, close: Callable[[Play], int]) -> int:
    """Play the demo with a broker, a worker and the pipeline as processes of their own.

    Args:
        options: how to play.
        console: where to.
        close: says the closing words and gives the exit code.

    Returns:
        0 if both faults were told right within three windows and three seconds, nothing else was told and all
        processes ended as they should; 1 if not; 130 if interrupted.
    """
    clock = _FeedClock()
    play = Play(options, clock, console)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    try:
        with ExitStack() as stack:
            ended_well = _perform(play, clock, stack)
    except KeyboardInterrupt:
        play.say("Interrupted.")
        return 130
    return close(play) if ended_well else 1


def _perform(play: Play, clock: _FeedClock, stack: ExitStack) -> bool:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="swirl-demo-")))
    slack = stack.enter_context(SlackStandIn(channels=(CHANNEL,)))
    play.say("A broker, a worker and the pipeline, each in a process of its own.")
    broker = stack.enter_context(Broker(folder / "kafka", say=play.say))
    kafka = KafkaSettings(kafka=broker.address)
    http = f"127.0.0.1:{free_port()}"
    worker = stack.enter_context(
        _process(
            ["-m", "swirl", "worker", "--log", "error"], _worker_environment(broker, http, slack), folder
        )
    )
    _wait_ready(f"http://{http}/readyz", worker)
    play.say(f"Kafka listens at {broker.address}; the worker is ready, at http://{http}/metrics.")
    play.planned = len(PLAN)
    play.scrape, play.read_slack = lambda: scrape(f"http://{http}"), slack.transcript
    command = ["-m", "swirl_pipelines.ads", "--seed", str(play.options.seed)]
    command += ["--rate", str(play.options.rate), "--acts", ",".join(f"{what}:{s}" for _, s, what in PLAN)]
    command += ["--synthetic"] if play.options.synthetic else []
    reader = _Reader(kafka, play)
    stack.callback(reader.close)
    if not play.options.headless:
        play.live = stack.enter_context(screen(play.console))
    environment = {"SWIRL_KAFKA": broker.address, "SWIRL_FLUSH_SECONDS": str(FLUSH_S)}
    pipeline = stack.enter_context(_process(command, environment, folder, stdout=subprocess.PIPE))
    _watch(play, clock, pipeline, worker)
    play.live = None
    play.channel["in the end"] = slack.transcript()
    worker.send_signal(signal.SIGTERM)
    codes = {"pipeline": pipeline.wait(_END_S), "worker": worker.wait(_END_S)}
    for name, code in codes.items():
        if code:
            play.say(f"The {name} ended with {code}.\n{_last_words(folder)}")
    return not any(codes.values())


def _watch(
    play: Play, clock: _FeedClock, pipeline: subprocess.Popen[str], worker: subprocess.Popen[str]
) -> None:
    """Follow the pipeline through its acts, and wait for what is told of the last windows."""
    acts = iter(PLAN)
    lines: list[str] = []
    assert pipeline.stdout is not None
    threading.Thread(target=lines.extend, args=(pipeline.stdout,), daemon=True).start()
    heard, over_at = 0, 0.0
    while not over_at or time.monotonic() < over_at:
        for line in lines[heard:]:
            heard += 1
            _, event_ms, now_ms = line.split()
            clock.lag_ms = int(now_ms) - int(event_ms)
            name, seconds, _ = next(acts)
            play.began(Act(name, seconds, _nothing), int(event_ms))
        play.show()
        if not over_at and pipeline.poll() is not None:
            play.end()
            over_at = time.monotonic() + _LAST_WINDOWS_S
        if worker.poll() is not None:
            break
        time.sleep(0.05)
    play.show(at_once=True)


def _nothing() -> None:
    """The world is in another process."""


class _Reader:
    """Reads windows and incidents back from their topics, as any program might."""

    def __init__(self, kafka: KafkaSettings, play: Play) -> None:
        from kafka import KafkaConsumer

        topics = Topics.of(kafka)
        self._incidents, self._play, self._over = topics.incidents, play, threading.Event()
        self._consumer = KafkaConsumer(
            *(topics.windows, topics.incidents),
            **connection(kafka),
            group_id=None,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
        )
        self._thread = threading.Thread(target=self._run, name="swirl-demo-reader", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            for records in self._consumer.poll(200).values():
                for record in records:
                    if record.topic == self._incidents:
                        told = msgspec.msgpack.decode(record.value, type=IncidentRecord)
                        self._play.scene.handle(told.change)
                    else:
                        part = msgspec.msgpack.decode(record.value, type=WindowPart)
                        self._play.scene.handle(part.window)

    def close(self) -> None:
        """Read no more."""
        self._over.set()
        self._thread.join(_END_S)
        self._consumer.close()


def _worker_environment(broker: Broker, http: str, slack: SlackStandIn) -> dict[str, str]:
    decides = {spec.metadata["variable"]: f"{getattr(SETTINGS, spec.name):g}" for spec in fields(SETTINGS)}
    return {
        **decides,
        "SWIRL_KAFKA": broker.address,
        "SWIRL_HTTP": http,
        "SWIRL_SLACK_TOKEN": slack.token,
        "SWIRL_SLACK_CHANNEL": CHANNEL,
        "SWIRL_SLACK_URL": slack.url,
        "SWIRL_SLACK_SHOW_LABELS": "1",
        "SWIRL_SNAPSHOT_SECONDS": "5",
    }


@contextmanager
def _process(
    command: list[str], environment: Mapping[str, str], folder: Path, *, stdout: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A Python process that does not outlive this one; what it says goes to a file."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SWIRL_")}
    with (folder / "log").open("a", encoding="utf-8") as log:
        started = subprocess.Popen(  # noqa: S603 - our own commands
            [sys.executable, *command],
            env={**kept, **environment},
            stdin=subprocess.DEVNULL,
            stdout=stdout or log,
            stderr=log,
            text=True,
        )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.terminate()
            try:
                started.wait(_END_S)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()
        if started.stdout is not None:
            started.stdout.close()


def _wait_ready(url: str, worker: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and worker.poll() is None:
        try:
            with urlopen(url, timeout=2):  # noqa: S310 - our own port on loopback
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise SwirlError(f"the worker did not get ready within {_START_S:.0f} s")


def _last_words(folder: Path) -> str:
    return "\n".join((folder / "log").read_text(encoding="utf-8").splitlines()[-15:])
