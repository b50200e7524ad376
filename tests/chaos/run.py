"""``make chaos``: a million records, workers killed, brokers gone; a table of what became of the records."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from swirl.frame import Frame, decode
from swirl.testing import SlackStandIn
from swirl.testing.broker import Broker
from tests.chaos.feed import Name, Payload, frames, names_for
from tests.chaos.rig import Rig
from tests.chaos.worker import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.chaos.truth import Expected

_RATE, _SECONDS = 280, 250
_KILLS, _REBALANCES, _OUTAGES = 10, 3, 2
_TWICE = 0.1
_PARTITIONS = 4


class Row(NamedTuple):
    """One line of the table; a limit is the most that the value may be."""

    name: str
    value: float
    limit: float | None = None


def records(payloads: Iterable[Payload]) -> dict[Name, int]:
    """Frame -> records that the first stage of it has counted."""
    found = {}
    for payload in payloads:
        frame = decode(payload.value or b"")
        assert isinstance(frame, Frame)
        assert payload.name is not None
        found[payload.name] = sum(
            int(piece.counters["records"]) for piece in frame.slices if piece.stage == "ingest"
        )
    return found


def doubled(payloads: list[Payload], chance: random.Random) -> list[Payload]:
    """Some come again, at once or after later ones."""
    found: list[Payload] = []
    for number, payload in enumerate(payloads):
        found.append(payload)
        if chance.random() < _TWICE:
            found.append(payloads[chance.randrange(max(0, number - 50), number + 1)])
    return found


class Faults:
    """What goes wrong, one after the other, in an order that the seed decides."""

    def __init__(self, rig: Rig, chance: random.Random) -> None:
        self._rig, self._chance = rig, chance
        self.left = ["kill"] * _KILLS + ["rebalance"] * _REBALANCES + ["outage"] * _OUTAGES
        self.count = len(self.left)
        chance.shuffle(self.left)

    def next(self, after: float) -> None:
        """Let one go wrong when so many frames are sent, and wait until somebody works again."""
        wait_for(lambda: self._rig.feed.position >= after, 120)
        fault = self.left.pop(0)
        print(f"  {fault}, {self._rig.feed.position} sent", flush=True)
        {"kill": self._kill, "rebalance": self._rebalance, "outage": self._outage}[fault]()
        wait_for(lambda: any(worker.ready for worker in self._rig.alive), 90)
        time.sleep(self._chance.uniform(0, 3))

    def _kill(self) -> None:
        self._chance.choice(wait_for(lambda: self._rig.alive, 30)).kill()

    def _rebalance(self) -> None:
        """One joins, then another one leaves as it is told to."""
        newcomer = self._rig.ready(self._rig.start(), 90)
        leaver = self._chance.choice([worker for worker in self._rig.alive if worker is not newcomer])
        leaver.terminate()
        leaver.wait(20)

    def _outage(self) -> None:
        self._rig.broker.kill()
        time.sleep(self._chance.uniform(2, 8))
        self._rig.broker.start()


def table(rig: Rig, told: Expected, sent: list[Payload], twice: int) -> list[Row]:
    """What became of the records."""
    size = records(sent)
    newest = {pipeline: window.totals["ingest"].values() for pipeline, window in told.last.items()}
    there = rig.windows()
    assert all(told.windows[window.identity] in there[window.identity] for window in told.last.values())
    counted = sum(total.records for totals in newest.values() for total in totals)
    acknowledged = sum(size.get(name, 0) for name in rig.feed.acknowledged)
    in_log = sum(size.get(name, 0) for name in told.frames)
    threads = [step for thread in rig.threads().values() for step in thread]
    return [
        Row("records sent", sum(size.values())),
        Row("records acknowledged to the emitters", acknowledged),
        Row("records in the log", in_log),
        Row("records counted by the workers", counted),
        Row("lost", max(0, acknowledged - in_log) + max(0, in_log - counted), 0),
        Row("double", max(0, counted - in_log), 0),
        Row("frames sent twice", twice),
        Row("frames that were ignored as duplicates", sum(w.health.duplicates for w in told.last.values())),
        Row("steps of incidents", len(told.incidents)),
        Row("steps told in Slack more or less than once", len(threads) - len(told.incidents), 0),
        Row("threads in Slack", len(rig.threads())),
        Row("workers started", len(rig.workers)),
        Row("workers that gave up by themselves", sum(w.code in {70, 75, 76} for w in rig.workers)),
        Row("most seconds without progress", max(worker.dead_for for worker in rig.workers), 20),
        Row("most memory of a worker, MB", max(max(w.memory, default=0) for w in rig.workers) / 1e6, 400),
    ]


def play(seed: int, folder: Path) -> list[Row]:
    """Let it all happen; the table."""
    chance = random.Random(seed)
    sent = frames(seed, names_for([0, 0, 1, 2, 3], _PARTITIONS), seconds=_SECONDS, rate=_RATE)
    mixed = doubled(sent, chance)
    with (
        SlackStandIn(pace=0.0) as slack,
        Broker(folder / "kafka") as broker,
        Rig(broker, folder, "chaos", partitions=_PARTITIONS, slack=slack) as rig,
    ):
        rig.keep(2)
        wait_for(lambda: any(worker.ready for worker in rig.alive), 60)
        faults = Faults(rig, chance)
        rig.feed.begin(mixed, per_second=len(mixed) / 200)
        while faults.left:
            faults.next(after=len(mixed) * (1 - len(faults.left) / faults.count))
        rig.feed.finish(300)
        told = rig.finish(sent, 120)
        rig.check(told, surprises=True)
        return table(rig, told, sent, len(mixed) - len(sent))


def main() -> int:
    """Print the table; 1 if anything is beyond its limit."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=7, help="decides what goes wrong, and when")
    seed = parser.parse_args().seed
    began = time.monotonic()
    print(f"seed {seed}: {_KILLS} kills, {_REBALANCES} rebalances, {_OUTAGES} outages", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        rows = play(seed, Path(folder))
    for row in rows:
        verdict = "" if row.limit is None else "ok" if row.value <= row.limit else "EXCEEDED"
        print(f"  {row.name:<48} {row.value:>12,.0f}  {verdict}".rstrip())
    print(f"{time.monotonic() - began:.0f} s")
    return int(any(row.limit is not None and abs(row.value) > row.limit for row in rows))


if __name__ == "__main__":
    sys.exit(main())
