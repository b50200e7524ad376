"""What is in the topic of frames, and programs that send there."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kafka import KafkaConsumer, TopicPartition

from swirl.frame import Frame, decode
from swirl.kafka.connect import options
from swirl.kafka.topics import Topics
from swirl.settings import KafkaSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
    import logging, os, signal, sys, threading, time
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    import swirl

    ads = swirl.Pipeline("ads", version="1")

    @ads.stage
    def ingest(line):
        return line

"""
"""The beginning of a program; what it does comes after."""


class Record(NamedTuple):
    """A record of the topic of frames."""

    partition: int
    key: bytes
    frame: Frame


_started: list[subprocess.Popen[str]] = []


def environment(settings: KafkaSettings, **more: str) -> dict[str, str]:
    """The caller's, and the variables that give these settings."""
    given = {
        spec.metadata["variable"]: value
        for spec in KafkaSettings.__dataclass_fields__.values()
        if (value := getattr(settings, spec.name)) != spec.default
    }
    return {**os.environ, "SWIRL_FLUSH_SECONDS": "0.05", **given, **more}


def start(settings: KafkaSettings, body: str, **more: str) -> subprocess.Popen[str]:
    """A program that is under way."""
    code = textwrap.dedent(PROGRAM) + textwrap.dedent(body)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(settings, **more),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _started.append(process)
    return process


def end_all() -> None:
    """End the programs of a test that failed before it could."""
    while _started:
        process = _started.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()


def run(settings: KafkaSettings, body: str, **more: str) -> tuple[int, str, str]:
    """Exit code and what a program wrote to both of its outputs."""
    process = start(settings, body, **more)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def records(
    settings: KafkaSettings, until: Callable[[list[Record]], bool], seconds: float = 20
) -> list[Record]:
    """All frames of the topic, read until they are enough or time is up."""
    found: list[Record] = []
    deadline = time.monotonic() + seconds
    for record in _read(settings, deadline):
        found.append(record)
        if until(found):
            break
    return found


def _read(settings: KafkaSettings, deadline: float) -> Iterator[Record]:
    topic = Topics.of(settings).frames
    consumer = KafkaConsumer(**options(settings), auto_offset_reset="earliest", metrics_enabled=False)
    try:
        partitions = consumer.partitions_for_topic(topic)
        consumer.assign([TopicPartition(topic, partition) for partition in partitions])
        while time.monotonic() < deadline:
            for batch in consumer.poll(timeout_ms=100).values():
                for record in batch:
                    frame = decode(record.value)
                    assert isinstance(frame, Frame)
                    yield Record(record.partition, record.key, frame)
    finally:
        consumer.close()


def goodbye(found: list[Record]) -> bool:
    """Whether an emitter has said it."""
    return found[-1].frame.goodbye


def counted(found: list[Record]) -> float:
    """Records that went through the stage."""
    return sum(piece.counters.get("records", 0) for record in found for piece in record.frame.slices)
