"""Many emitters of one pipeline in virtual time: who flushes when, who dies, who restarts."""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TYPE_CHECKING

import numpy as np

from swirl.effect import IncidentChanged, WindowClosed
from swirl.frame import Frame, Slice, Tick, definition_hash, encode
from swirl.monitor import Monitor
from swirl.settings import MonitorSettings
from tests.monitor.log import DEFINITION, START, summary

if TYPE_CHECKING:
    from swirl.effect import Effect

STEP_MS = 100


@dataclass
class Member:
    """One emitter.

    Attributes:
        identity: 16 bytes.
        rate: records a second.
        flush_ms: between two frames.
        due_ms: virtual time of its next frame.
        since_ms: end of its last one.
        skew_ms: how far its clock runs ahead.
        delay_ms: how long its frames travel.
        waiting: records by second of its own clock, not sent yet.
    """

    identity: bytes
    rate: float
    flush_ms: int
    due_ms: int
    since_ms: int
    skew_ms: int = 0
    delay_ms: int = 0
    sequence: int = 0
    waiting: dict[int, int] = field(default_factory=dict)


class Fleet:
    """Emitters of one pipeline of two stages, the log that they write, the monitor that reads it.

    Args:
        seed: of the traffic.
        count: emitters at the beginning.
        flush_ms: between two frames of each.
        rate: records a second of all together.
        **given: settings of the monitor.
    """

    def __init__(
        self, seed: int, count: int = 4, *, flush_ms: int = 1_000, rate: float = 400.0, **given: float
    ) -> None:
        self.monitor = Monitor(MonitorSettings(**given))  # type: ignore[arg-type] # as the settings are typed
        self.now_ms = START
        self.flush_ms = flush_ms
        self.members: list[Member] = []
        self.effects: list[Effect] = []
        self.sent = 0
        self._random = np.random.default_rng(seed)
        self._latency = summary(np.exp(self._random.normal(-6, 0.3, size=60)))
        self._travelling: list[tuple[int, int, bytes]] = []
        self._share = rate / count
        self._named = self._written = 0
        for place in range(count):
            self.start(phase_ms=place * flush_ms // count)

    def start(self, *, phase_ms: int = 0) -> Member:
        """A new emitter, whose first frame comes a flush and a phase from now."""
        self._named += 1
        identity = self._named.to_bytes(16, "big")
        due_ms = self.now_ms + self.flush_ms + phase_ms
        self.members.append(Member(identity, self._share, self.flush_ms, due_ms, self.now_ms))
        return self.members[-1]

    def kill(self, member: Member) -> None:
        """Without goodbye; what it has not sent is lost."""
        self.members.remove(member)

    def stop(self, member: Member) -> None:
        """With a last frame that says goodbye."""
        self._flush(member, goodbye=True)
        self._arrive()
        self.members.remove(member)

    def run(self, seconds: float) -> None:
        """Let records come and frames go."""
        for _ in range(round(seconds * 1000 / STEP_MS)):
            for member in self.members:
                second = self.now_ms + member.skew_ms
                second -= second % 1000
                came = int(self._random.poisson(member.rate * STEP_MS / 1000))
                member.waiting[second] = member.waiting.get(second, 0) + came
            self.now_ms += STEP_MS
            for member in self.members:
                if member.due_ms <= self.now_ms:
                    member.due_ms += member.flush_ms
                    self._flush(member)
            self._arrive()

    def tick(self, seconds: float) -> None:
        """Time passes in the log, and nobody sends anything."""
        self.now_ms += round(seconds * 1000)
        self._arrive()
        self._apply(self.now_ms, encode(Tick("")))

    def _flush(self, member: Member, *, goodbye: bool = False) -> None:
        member.sequence += 1
        pieces = [piece for second, n in member.waiting.items() for piece in self._pieces(second, n)]
        self.sent += sum(member.waiting.values())
        frame = Frame(
            "ads",
            member.identity,
            member.sequence,
            self.now_ms + member.skew_ms,
            (member.since_ms + member.skew_ms, self.now_ms + member.skew_ms),
            definition_hash(DEFINITION),
            DEFINITION if member.sequence == 1 else None,
            tuple(pieces),
            goodbye=goodbye,
        )
        member.since_ms, member.waiting = self.now_ms, {}
        arrives_ms = self.now_ms + member.delay_ms + int(self._random.integers(2, 40))
        self._written += 1
        heappush(self._travelling, (arrives_ms, self._written, encode(frame)))

    def _arrive(self) -> None:
        while self._travelling and self._travelling[0][0] <= self.now_ms:
            log_ms, _, payload = heappop(self._travelling)
            self._apply(log_ms, payload)

    def _apply(self, log_ms: int, payload: bytes) -> None:
        self.effects += self.monitor.apply(self.monitor.next_offset, log_ms, payload)

    def _pieces(self, second: int, n: int) -> tuple[Slice, Slice]:
        bad = int(self._random.binomial(n, 0.01))
        good = n - bad
        yes = int(self._random.binomial(good, 0.8))
        labels = {"label": {"yes": yes, "no": good - yes}}
        latency = {"latency": self._latency}
        classified = {
            "records": good,
            "out": good,
            "predictions": good,
            "clicks": self._random.binomial(yes, 0.1),
        }
        return (
            Slice("ingest", "1", second, {"records": n, "invalid": bad, "out": good}, {}, latency),
            Slice("classify", "1", second, {k: float(v) for k, v in classified.items()}, labels, latency),
        )

    @property
    def windows(self) -> list[WindowClosed]:
        """Everything that was told of windows, revisions among them."""
        return [effect for effect in self.effects if isinstance(effect, WindowClosed)]

    @property
    def titles(self) -> list[str]:
        """Of the incidents as they were opened and renamed, in order."""
        found = [effect.incident.title for effect in self.effects if isinstance(effect, IncidentChanged)]
        return list(dict.fromkeys(found))
