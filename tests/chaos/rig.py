"""A rig for faults: a real broker, workers, and what must hold of them afterwards."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from swirl.kafka.topics import Topics, create_missing
from swirl.testing import SlackStandIn
from tests.chaos import truth
from tests.chaos.feed import Feed, Payload, goodbyes
from tests.chaos.worker import SETTINGS, Worker, launch, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from swirl.testing.broker import Broker

__all__ = ["SETTINGS", "Rig", "Worker", "wait_for"]

_STALLED_S = 15.0
_MARGIN_S = 5.0
"""Beyond what a worker is allowed: the machine may be busy."""


class Rig:
    """Workers on a broker, fed and watched; a context manager that leaves nothing behind.

    Args:
        broker: a real one.
        folder: for logs.
        prefix: of topics and group.
        partitions: of each topic.
        slack: where people are told; the stand-in's pace is that of the test.
        given: environment of the workers, beside ours.
    """

    def __init__(
        self,
        broker: Broker,
        folder: Path,
        prefix: str,
        *,
        partitions: int = 4,
        slack: SlackStandIn | None = None,
        given: Mapping[str, str] | None = None,
    ) -> None:
        self.broker, self.folder, self.prefix = broker, folder, prefix
        self.kafka = broker.settings(topics=prefix)
        self.topics = Topics.of(self.kafka)
        self.slack = slack
        self.workers: list[Worker] = []
        self.restarts = 0
        self._given = dict(given or {})
        self._partitions = partitions
        self._over = threading.Event()
        self._guard = threading.Lock()
        self._wanted = 0
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self.feed = Feed(self.kafka, self.topics.frames)

    def __enter__(self) -> Self:
        create_missing(self.kafka, partitions=self._partitions)
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._keeper.join(10)
        self.feed.stop()
        for worker in self.workers:
            if worker.code is None:
                worker.process.kill()
                worker.process.wait()

    # -- workers

    def start(self, **given: str) -> Worker:
        """Start a worker."""
        told = {
            "SWIRL_TOPICS": self.prefix,
            "SWIRL_GROUP": self.prefix,
            **(_people(self.slack) if self.slack is not None else {}),
            **self._given,
            **given,
        }
        worker = launch(self.broker.address, self.folder / f"worker-{len(self.workers)}.log", told)
        with self._guard:
            self.workers.append(worker)
        return worker

    def ready(self, worker: Worker, seconds: float = 60.0) -> Worker:
        """Wait until it has its partitions."""
        wait_for(lambda: worker.code is not None or worker.ready, seconds, worker.words)
        assert worker.code is None, worker.words()
        return worker

    def keep(self, workers: int) -> None:
        """From now on start a worker wherever fewer run, as an orchestrator would."""
        self._wanted = workers

    @property
    def alive(self) -> list[Worker]:
        """Workers that run."""
        return [worker for worker in list(self.workers) if worker.code is None]

    def _keep(self) -> None:
        while not self._over.wait(0.25):
            for worker in self.alive:
                self._look(worker)
            while len(self.alive) < self._wanted:
                self.start()
                self.restarts += 1

    def _look(self, worker: Worker) -> None:
        now = time.monotonic()
        if worker.stopped:
            return
        with contextlib.suppress(OSError, IndexError, ValueError):
            pages = Path(f"/proc/{worker.pid}/statm").read_text(encoding="ascii").split()[1]
            worker.memory.append(int(pages) * os.sysconf("SC_PAGE_SIZE"))
        if worker.get("/livez")[0] == 200:
            worker.fine_at = now
        worker.dead_for = max(worker.dead_for, now - worker.fine_at)

    # -- what must hold

    def finish(self, sent: Iterable[Payload], seconds: float = 60.0) -> truth.Expected:
        """Let all emitters say goodbye, and wait until the last windows and all steps are told.

        Returns:
            what a plain monitor makes of the same log.
        """
        self.feed.send(goodbyes(list(sent)))
        return self.settle(seconds)

    def settle(self, seconds: float = 60.0) -> truth.Expected:
        """Wait until everything is told that the log as it stands asks for."""
        return self.told(truth.expected(self.log(), SETTINGS), seconds)

    def log(self) -> list[truth.Entry]:
        """The frames' topic as it is."""
        return truth.dump(self.kafka, self.topics.frames)

    def told(self, told: truth.Expected, seconds: float = 60.0) -> truth.Expected:
        """Wait until this is told."""
        wanted = {window.identity for window in told.last.values()}
        wait_for(lambda: wanted <= self.windows().keys(), seconds, lambda: self._missing(wanted))
        wait_for(
            lambda: told.incidents.keys() <= self.incidents().keys(), seconds, lambda: self._untold(told)
        )
        if self.slack is not None:
            steps = set(told.incidents)
            wait_for(lambda: steps <= self.told_in_slack(), seconds, lambda: steps - self.told_in_slack())
        return told

    def _missing(self, wanted: set[str]) -> str:
        there = sorted(wanted - self.windows().keys())
        return f"windows {there} of {len(wanted)}\n" + "\n".join(
            worker.words(15) for worker in self.workers[-2:]
        )

    def _untold(self, told: truth.Expected) -> str:
        there = self.incidents().keys()
        return f"steps {sorted(told.incidents.keys() - there)} besides {sorted(there)}"

    def windows(self) -> dict[str, list[bytes]]:
        """See :func:`tests.chaos.truth.windows`."""
        return truth.windows(truth.dump(self.kafka, self.topics.windows))

    def incidents(self) -> dict[str, list[bytes]]:
        """See :func:`tests.chaos.truth.incidents`."""
        return truth.incidents(truth.dump(self.kafka, self.topics.incidents))

    def told_in_slack(self) -> set[str]:
        """Identities of the steps that a reader of the channel has been told."""
        return {step for thread in self.threads().values() for step in thread}

    def threads(self) -> dict[str, list[str]]:
        """``ts`` of each thread -> identities of what was told in it; the root stands for the opening."""
        assert self.slack is not None
        found: dict[str, list[str]] = {}
        for ts, messages in self.slack.threads.items():
            found[ts] = []
            for message in messages:
                if message.files:  # a chart, which is no step
                    continue
                told = message.payload["metadata"]["event_payload"]
                opening = f"{told['identity'].split('/')[0]}/{told['incident']}/0/opened"
                found[ts].append(told["identity"] if message.thread_ts else opening)
        return found

    def check(self, told: truth.Expected, *, surprises: bool = False, gaps: bool = False) -> None:
        """All that must hold after any fault.

        Args:
            told: from :meth:`finish`.
            surprises: workers may have given up by themselves, with a code that says so.
            gaps: records of the log were taken away on purpose.
        """
        assert told.frames.keys() <= self.feed.sent
        if not gaps:
            assert self.feed.acknowledged <= told.frames.keys()
            self._check_counts(told)
        self._check_windows(told)
        self._check_incidents(told)
        for worker in self.workers:
            assert worker.dead_for < _STALLED_S + _MARGIN_S, f"{worker.log.name}: {worker.words()}"
            allowed = {None, *worker.expected, *({70, 75, 76} if surprises else ())}
            assert worker.code in allowed, f"{worker.log.name} ended with {worker.code}:\n{worker.words()}"

    def _check_counts(self, told: truth.Expected) -> None:
        """Counted is what is in the log, each frame once."""
        for pipeline, window in told.last.items():
            ours = {name: n for name, n in told.frames.items() if name.pipeline == pipeline}
            assert window.health.frames == len(ours)
            assert window.health.duplicates == sum(ours.values()) - len(ours)
            assert window.health.frames_missing == 0

    def _check_windows(self, told: truth.Expected) -> None:
        """What workers told, however often, is what one monitor would have told."""
        for identity, copies in self.windows().items():
            assert set(copies) == {told.windows[identity]}, _difference(copies, told.windows[identity])

    def _check_incidents(self, told: truth.Expected) -> None:
        assert {name: set(copies) for name, copies in self.incidents().items()} == {
            name: {encoded} for name, encoded in told.incidents.items()
        }
        assert list(self.incidents()) == list(told.incidents) or self._partitions > 1
        if self.slack is not None:
            threads = list(self.threads().values())
            steps = [step for thread in threads for step in thread]
            assert sorted(steps) == sorted(told.incidents), self.slack.transcript()
            for thread in threads:
                assert len({step.split("/")[1] for step in thread}) == 1, thread


def _people(slack: SlackStandIn) -> dict[str, str]:
    return {
        "SWIRL_SLACK_TOKEN": slack.token,
        "SWIRL_SLACK_CHANNEL": "#ads-oncall",
        "SWIRL_SLACK_URL": slack.url,
    }


def _difference(copies: Iterable[bytes], wanted: bytes) -> str:
    """What a window says that it should not."""
    right = msgspec.msgpack.decode(wanted)
    return "; ".join(
        f"{name}: {window[name]} instead of {right[name]}"
        for window in map(msgspec.msgpack.decode, copies)
        for name in right
        if window[name] != right[name] and not isinstance(right[name], bytes)
    )
