"""A pipeline that runs every night, and the monitor that reads its log: frames as emitters send them."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import numpy as np

from swirl.effect import Effect, IncidentChanged, WindowClosed
from swirl.frame import Definition, Frame, Slice, StageDefinition, Tick, definition_hash, encode
from swirl.monitor import Monitor
from swirl.settings import MonitorSettings
from tests.monitor.log import START

DAY, HOUR, MINUTE = 86_400_000, 3_600_000, 60_000
SETTINGS = MonitorSettings(window_seconds=1)
STAGES = (StageDefinition("load", validates=True), StageDefinition("score", ("load",), predicts="label"))
GRAPH = Definition(STAGES, run_seconds=86_400)


@dataclass
class Nightly:
    """A monitor, its log, and a pipeline that runs every night at two."""

    settings: MonitorSettings = SETTINGS
    definition: Definition = GRAPH
    seed: int = 1
    now: int = START
    effects: list[Effect] = field(default_factory=list)
    log: list[tuple[int, bytes]] = field(default_factory=list)
    sequences: dict[bytes, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.monitor = Monitor(self.settings)
        self.rng = np.random.default_rng(self.seed)

    def apply(self, payload: bytes) -> None:
        self.log.append((self.now, payload))
        self.effects += self.monitor.apply(len(self.log), self.now, payload)

    def tick(self, until: int, every: int = 5 * MINUTE) -> None:
        """Time passes, as the owner of the log says."""
        while self.now < until:
            self.now = min(self.now + every, until)
            if "nightly" in self.monitor.awake:
                self.apply(encode(Tick("nightly")))

    def frame(self, emitter: bytes, run: int, start: int, *slices: Slice, **given: object) -> None:
        """A frame of a run, covering ``[start, now)``."""
        number = self.sequences[emitter] = self.sequences.get(emitter, 0) + 1
        frame = Frame(
            "nightly",
            emitter,
            number,
            self.now,
            (start, self.now),
            definition_hash(self.definition),
            self.definition if number == 1 else None,
            slices,
            run_ms=run,
        )
        self.apply(encode(msgspec.structs.replace(frame, **given)))

    def pieces(self, n: int, *, invalid: float = 0.01, positive: float = 0.7) -> tuple[Slice, ...]:
        bad = int(self.rng.binomial(n, invalid))
        good = n - bad
        yes = int(self.rng.binomial(good, positive))
        load = Slice("load", "1", self.now - DAY, {"records": n, "invalid": bad, "out": good})
        counters = {"records": float(good), "out": float(good), "predictions": float(good)}
        return load, Slice("score", "1", self.now - DAY, counters, {"label": {"yes": yes, "no": good - yes}})

    def run(
        self,
        *,
        records: float = 10_000,
        minutes: float = 40,
        crash: float = 1.0,
        goodbye: bool = True,
        emitters: int = 1,
        apart: int = 0,
        **like: float,
    ) -> None:
        """One run, in four frames of each emitter.

        Args:
            records: of the run, on average, shared among the emitters.
            minutes: that it takes, on average.
            crash: the part of it after which its processes are gone.
            goodbye: they say it at the end.
            emitters: how many work on it.
            apart: by how much their starts differ, milliseconds.
            like: see ``pieces``.
        """
        length = round(minutes * MINUTE * float(self.rng.uniform(0.9, 1.1)))
        count = float(self.rng.poisson(records)) * float(self.rng.uniform(0.97, 1.03))
        names = [self.rng.bytes(16) for _ in range(emitters)]
        run, begun = self.now, [self.now] * emitters
        for part in range(1, 5):
            if part / 4 > crash:
                return
            self.now = run + length * part // 4
            for at, name in enumerate(names[1:], 1):  # in truth there is a frame every second
                self.frame(name, run + at * apart, begun[at])
            for at, name in enumerate(names):
                some = self.pieces(round(count / 4 / emitters), **like)
                over = part == 4
                self.frame(name, run + at * apart, begun[at], *some, run_over=over, goodbye=over and goodbye)
                begun[at] = self.now

    def nights(self, n: int, **like: float) -> None:
        for _ in range(n):
            begun = self.now
            self.run(**like)  # type: ignore[arg-type] # as ``run`` takes them
            self.tick(self.now + MINUTE, every=10_000)
            self.tick(begun + DAY + int(self.rng.integers(-10, 10)) * MINUTE, every=HOUR)

    @property
    def windows(self) -> list[WindowClosed]:
        return [effect for effect in self.effects if isinstance(effect, WindowClosed)]

    @property
    def changes(self) -> list[IncidentChanged]:
        return [effect for effect in self.effects if isinstance(effect, IncidentChanged)]

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(change.transition, change.incident.title) for change in self.changes]
