"""A rig for faults: a real broker, workers in processes of their own, and what must hold of them afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from swirl.kafka.topics import Topics, create_missing
from swirl.settings import MonitorSettings
from swirl.testing import SlackStandIn
from swirl.testing.broker import free_port
from tests.chaos import truth
from tests.chaos.feed import Feed, Payload, goodbyes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from swirl.testing.broker import Broker

__all__ = ["KILLED", "SETTINGS", "Rig", "Worker", "wait_for"]

KILLED = -signal.SIGKILL
SETTINGS = MonitorSettings(
    window_seconds=1,
    lateness_seconds=1.0,
    skew_seconds=1e8,
    warm_up_windows=20,
    calm_windows=3,
    silence_seconds=300.0,
)
_STALLED_S = 15.0
_MARGIN_S = 5.0
"""Beyond what a worker is allowed: the machine may be busy."""
_START_S = 30.0


def wait_for(what: Callable[[], Any], seconds: float, told: Callable[[], object] | str = "") -> Any:
    """Wait until something is true; what it gave.

    Raises:
        AssertionError: it did not come true in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {told() if callable(told) else told or what}")
        time.sleep(0.05)


@dataclass
class Worker:
    """A worker in a process of its own.

    Attributes:
        memory: resident bytes, sampled.
        expected: exit codes that are no surprise.
    """

    process: subprocess.Popen[bytes]
    http: str
    log: Path
    began: float
    memory: list[int] = field(default_factory=list)
    expected: set[int] = field(default_factory=set)
    stopped: bool = False
    fine_at: float = 0.0
    dead_for: float = 0.0

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.process.pid

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self.process.poll()

    def kill(self) -> None:
        """``kill -9``."""
        self.expected.add(KILLED)
        self._signal(signal.SIGKILL)
        self.process.wait()

    def terminate(self) -> None:
        """Ask it to end."""
        self.expected.add(0)
        self._signal(signal.SIGTERM)

    def stop(self) -> None:
        """Let it stand still."""
        self.stopped = True
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)
        self.fine_at = time.monotonic()
        self.stopped = False

    def _signal(self, number: int) -> None:
        if self.code is None:
            self.process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Wait for its end; the exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.log.name} still runs after {seconds} s\n{self.words()}") from None

    def get(self, path: str) -> tuple[int, str]:
        """Ask its web server; status 0 where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{self.http}{path}", timeout=2.0) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    @property
    def ready(self) -> bool:
        """Whether it has its partitions."""
        return self.code is None and self.get("/readyz")[0] == 200

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels; 0 where there is none."""
        lines = [line for line in self.get("/metrics")[1].splitlines() if line.startswith(name)]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def words(self, lines: int = 40) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


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
        http = f"127.0.0.1:{free_port()}"
        slack = self.slack
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SWIRL_")},
            **{spec: _text(getattr(SETTINGS, name)) for name, spec in _VARIABLES.items()},
            "SWIRL_KAFKA": self.broker.address,
            "SWIRL_TOPICS": self.prefix,
            "SWIRL_GROUP": self.prefix,
            "SWIRL_HTTP": http,
            "SWIRL_SNAPSHOT_SECONDS": "2",
            "SWIRL_SESSION_SECONDS": "6",
            **(
                {
                    "SWIRL_SLACK_TOKEN": slack.token,
                    "SWIRL_SLACK_CHANNEL": "#ads-oncall",
                    "SWIRL_SLACK_URL": slack.url,
                }
                if slack is not None
                else {}
            ),
            **self._given,
            **given,
        }
        path = self.folder / f"worker-{len(self.workers)}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", "from swirl.cli import main; main()", "worker", "--log", "info"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
            )
        now = time.monotonic()
        worker = Worker(process, http, path, now, fine_at=now + _START_S)
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
            worker.fine_at = max(now, worker.fine_at)
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
            assert window.health.frames_lost == 0

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


_VARIABLES = {
    name: spec.metadata["variable"]
    for name, spec in MonitorSettings.__dataclass_fields__.items()
    if getattr(SETTINGS, name) != spec.default
}


def _text(value: float) -> str:
    return f"{value:g}" if value == int(value) else str(value)


def _difference(copies: Iterable[bytes], wanted: bytes) -> str:
    """What a window says that it should not."""
    right = msgspec.msgpack.decode(wanted)
    return "; ".join(
        f"{name}: {window[name]} instead of {right[name]}"
        for window in map(msgspec.msgpack.decode, copies)
        for name in right
        if window[name] != right[name] and not isinstance(right[name], bytes)
    )
