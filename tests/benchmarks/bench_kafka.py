"""Records through a real broker and Faust: Swirl's frames beside one message for each record.

What counts is the processor time of the consumer alone, all its threads, from the first record of a topic
that was filled before to the last: neither the broker's work nor what else the machine does is in it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from swirl.kafka.topics import create_missing
from swirl.settings import KafkaSettings
from swirl.testing.broker import Broker
from tests.benchmarks.kafka_consumers import Standing
from tests.benchmarks.kafka_load import LZ4, Estate, Fleet, Press, batch, payloads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ROOT = Path(__file__).resolve().parents[2]
Row = tuple[str, float, float | None]

PLAIN, BY_HAND = 30_000, 600_000
"""Records for the plain Faust pipeline, and for the same by hand."""
FAST = Fleet(emitters=500, per_second=10_000, flush_seconds=1, seconds=12)
SMALL = Fleet(emitters=2_000, per_second=100, flush_seconds=1, seconds=12)
RARE = Fleet(emitters=2_000, per_second=100, flush_seconds=5, seconds=20)

WINDOW_MS, PAST_WINDOWS, STEADY_S = 10_000, 62, 40.0
STATE_LIMIT_KB = 11_000.0
"""What is allowed in ten seconds at a megabyte a second, whatever exists, and a little."""


def made(broker: Broker, topics: str) -> KafkaSettings:
    """Topics of one partition."""
    settings = broker.settings(topics=topics)
    create_missing(settings, partitions=1)
    return settings


def consume(which: str, broker: Broker, topics: str, records: int) -> dict[str, float]:
    """Let a consumer read a topic; what it told."""
    command = [sys.executable, "-m", "tests.benchmarks.kafka_consumers", which, broker.address, topics]
    done = subprocess.run(
        [*command, str(records)], cwd=ROOT, capture_output=True, text=True, timeout=180, check=False
    )
    if done.returncode != 0 or not done.stdout.strip():
        raise RuntimeError(f"{which} ended with {done.returncode}: {done.stderr[-3000:]}")
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def fill_with_records(broker: Broker, topics: str, records: int) -> None:
    """One JSON message for each record, in large batches: the best case of those who read them."""
    made(broker, topics)
    some = [
        msgspec.json.encode(
            {
                "text": f"a text of some length, number {number}",
                "label": "positive" if number % 5 else "negative",
                "certainty": number % 97 / 97,
                "seconds": number % 89 / 1e5,
                "valid": number % 200 != 0,
            }
        )
        for number in range(500)
    ]
    ready = batch(None, some, LZ4)
    with Press(broker.address, f"{topics}.frames") as press:
        for _ in range(records // len(some)):
            press.put(ready)
        press.flush()


def fill_with_frames(broker: Broker, topics: str, fleet: Fleet) -> None:
    """The frames of a fleet, each in a batch of its own, as each emitter has its own producer."""
    made(broker, topics)
    with Press(broker.address, f"{topics}.frames") as press:
        for payload in payloads(fleet, time.time_ns() // 1_000_000):
            press.put(batch(b"ads", [payload], LZ4))
        press.flush()


def fold(broker: Broker, topics: str, fleet: Fleet, which: str = "worker") -> dict[str, float]:
    """Let a worker fold the frames of a fleet; what it told."""
    fill_with_frames(broker, topics, fleet)
    return consume(which, broker, topics, fleet.frames)


def throughput(broker: Broker) -> Iterable[Row]:
    """Records and frames a second and core."""
    fill_with_records(broker, "plain", BY_HAND)
    plain = PLAIN / consume("faust", broker, "plain", PLAIN)["cpu_s"]
    by_hand = BY_HAND / consume("aiokafka", broker, "plain", BY_HAND)["cpu_s"]
    yield "plain Faust, a JSON message a record: records/s/core", plain, None
    yield "aiokafka getmany and msgspec, the same: records/s/core", by_hand, None
    fast = fold(broker, "fast", FAST)["cpu_s"]
    small = fold(broker, "small", SMALL)["cpu_s"]
    rare = fold(broker, "rare", RARE)["cpu_s"]
    yield "Swirl, emitters at 10 000 records/s: records/s/core", FAST.records / fast, None
    yield "Swirl, emitters at 100 records/s: records/s/core", SMALL.records / small, None
    # The runner knows upper limits only: to be n times another is that n times the other, over it, is 1.
    yield "1 000 x plain Faust, over Swirl at 10 000 a second", 1000 * plain * fast / FAST.records, 1.0
    yield "20 x getmany, over Swirl at 10 000 a second", 20 * by_hand * fast / FAST.records, 1.0
    yield "40 x plain Faust, over Swirl at 100 a second", 40 * plain * small / SMALL.records, 1.0
    yield "2 000 emitters, a frame each 1 s: frames/s/core", SMALL.frames / small, None
    yield "2 000 frames/s/core, over that", 2000 * small / SMALL.frames, 1.0
    yield "2 000 emitters, a frame each 5 s: frames/s/core", RARE.frames / rare, None
    yield "emitters a core, a frame each 5 s", RARE.emitters * RARE.seconds / rare, None


class Site:
    """An estate whose emitters live, and the worker that watches it.

    Args:
        broker: that runs.
        topics: of its own.
        estate: the pipelines.
    """

    def __init__(self, broker: Broker, topics: str, estate: Estate, folder: Path) -> None:
        made(broker, topics)
        self._broker, self._topics, self._estate = broker, topics, estate
        self._said, self._process = folder / f"{topics}.json", None
        self._press = Press(broker.address, f"{topics}.frames")
        self._live_ms = time.time_ns() // 10_000_000_000 * 10_000
        for window in range(PAST_WINDOWS, 0, -1):
            self._flush(self._live_ms - window * WINDOW_MS, WINDOW_MS)
        self._over = threading.Event()
        self._emitting = threading.Thread(target=self._emit, daemon=True)
        self._emitting.start()

    _process: subprocess.Popen[bytes] | None

    def _flush(self, begin_ms: int, length_ms: int) -> None:
        for name, payload in self._estate.flush(begin_ms, begin_ms + length_ms):
            self._press.put(batch(name.encode(), [payload], LZ4))
        self._press.flush()

    def _emit(self) -> None:
        while not self._over.wait(max(0.0, self._live_ms / 1000 + 1.0 - time.time())):
            self._flush(self._live_ms, 1000)
            self._live_ms += 1000

    def start(self) -> None:
        """Start a worker."""
        command = [sys.executable, "-m", "tests.benchmarks.kafka_consumers", "live", self._broker.address]
        with self._said.open("wb") as said, self._said.with_suffix(".err").open("ab") as errors:
            self._process = subprocess.Popen(
                [*command, self._topics, "0"], cwd=ROOT, stdout=said, stderr=errors
            )

    def standing(self) -> Standing:
        """What the worker told last."""
        lines = self._said.read_bytes().splitlines(keepends=True)
        whole = [line for line in lines[-2:] if line.endswith(b"\n")]
        return msgspec.json.decode(whole[-1], type=Standing) if whole else Standing()

    def wait_until(self, what: str, holds: Callable[[Standing], bool], seconds: float) -> Standing:
        """Wait for something of the worker."""
        deadline = time.monotonic() + seconds
        while not holds(standing := self.standing()):
            if time.monotonic() > deadline or self._process is None or self._process.poll() is not None:
                errors = self._said.with_suffix(".err").read_text(encoding="utf-8")
                raise RuntimeError(f"{self._topics}: {what} took too long: {standing}\n{errors[-2000:]}")
            time.sleep(0.05)
        return standing

    def kill(self) -> None:
        """End the worker as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Nothing of it goes on."""
        self.kill()
        self._over.set()
        self._emitting.join()
        self._press.close()


def series(broker: Broker, folder: Path) -> Iterable[Row]:
    """What many series take in a steady state, and how soon they are watched again after a crash."""
    few = Site(broker, "few", Estate(pipelines=2, stages=18), folder)
    many = Site(broker, "many", Estate(pipelines=20, stages=18), folder)
    try:
        for site in (few, many):
            site.start()
        for site, pipelines in ((few, 2), (many, 20)):
            site.wait_until("folding the past", lambda s, n=pipelines: s.caught_up and s.snapshots >= n, 120)  # type: ignore[misc] # mypy and defaults of lambdas
        before = [site.standing() for site in (few, many)]
        time.sleep(STEADY_S)
        after = [site.standing() for site in (few, many)]
        few.close()
        for then, now in zip(before, after, strict=True):
            windows = (now.at - then.at) * 1000 / WINDOW_MS
            share = (now.cpu_s - then.cpu_s) / (now.at - then.at)
            limit = 0.5 if now is after[-1] else None
            yield f"{now.series:,} series: share of a core", share, limit
            kilobytes = (now.snapshot_bytes - then.snapshot_bytes) / windows / 1000
            yield f"{now.series:,} series: kB to the state topic a window", kilobytes, STATE_LIMIT_KB
        many.kill()
        began = time.time()
        many.start()
        ready = many.wait_until("becoming ready", lambda standing: standing.ready, 60.0)
        caught_up = many.wait_until("catching up", lambda standing: standing.caught_up, 60.0)
        yield "kill -9 of that worker: seconds until it is ready", ready.at - began, None
        yield "the same, and it has folded all that came meanwhile", caught_up.at - began, 15.0
    finally:
        few.close()
        many.close()


def rows() -> list[Row]:
    """Name, value, limit."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, Broker(Path(folder)) as broker:
        return [*throughput(broker), *series(broker, Path(folder))]


def split(broker: Broker) -> Iterable[Row]:
    """Microseconds of a frame by where they go, for ``docs/scaling.md``."""
    for topics, fleet in (("small", SMALL), ("rare", RARE), ("fast", FAST)):
        for part, seconds in fold(broker, topics, fleet, "split").items():
            yield f"{topics}: {part}, us a frame", seconds / fleet.frames * 1e6, None


def live(broker: Broker, folder: Path) -> Iterable[Row]:
    """What frames cost that come one by one, as they do, and not from a log that was filled before."""
    for emitters in (500, 2_000):
        fleet = Fleet(emitters, per_second=100, flush_seconds=1, seconds=24)
        site = Site(broker, f"live{emitters}", Estate(pipelines=1, stages=1), folder)
        ends_ms = time.time_ns() // 1_000_000 + 1000 * (fleet.seconds + 12)
        frames = [batch(b"ads", [payload], LZ4) for payload in payloads(fleet, ends_ms)]
        site.start()
        try:
            site.wait_until("starting", lambda standing: standing.caught_up, 60.0)
            with Press(broker.address, f"live{emitters}.frames") as press:
                began = time.time()
                for number, frame in enumerate(frames):
                    if (early := began + number / emitters - time.time()) > 0.002:
                        press.flush()
                        time.sleep(early)
                    press.put(frame)
                    if number == len(frames) // 3:
                        before = site.standing()
                press.flush()
            after = site.standing()
        finally:
            site.close()
        share = (after.cpu_s - before.cpu_s) / (after.at - before.at)
        yield f"{emitters} emitters live: share of a core", share, None
        yield f"{emitters} emitters live: seconds behind", after.at - after.newest_ms / 1000, None


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place, Broker(Path(place)) as running:
        kinds = {
            "throughput": lambda: throughput(running),
            "series": lambda: series(running, Path(place)),
            "split": lambda: split(running),
            "live": lambda: live(running, Path(place)),
        }
        for kind in sys.argv[1:] or kinds:
            for name, value, limit in kinds[kind]():
                print(f"{name:65s} {value:14,.2f}  {'' if limit is None else limit}", flush=True)
