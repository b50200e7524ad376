"""The ads pipeline of the demonstration, made by hand: windows of one second, 25 000 tweets in each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from swirl.effect import Incident, IncidentChanged, MuteChanged, SeriesKey
from swirl.frame import Act, Definition, RatioDefinition, StageDefinition, Verdict
from swirl.history import History, StageCounts, WindowCounts
from swirl.incident.life import Anomaly, Incidents, Step
from swirl.settings import MonitorSettings
from tests.incident.simulator import drain

ORIGIN_MS = 1_795_230_740_000 - 30_000  # so that a fault after 30 windows begins at 03:12:20 UTC
SECOND = 1000
OLD, NEW = "2026.11.1", "2026.11.2"
INVALID = SeriesKey("ingest", "invalid_ratio")
POSITIVE = SeriesKey("classify", "prediction_ratio", "positive")
CLICKS = SeriesKey("serve", "ratio", "clicks")
RECORDS = SeriesKey("ingest", "records")

DEFINITION = Definition(
    (
        StageDefinition("ingest", (), validates=True),
        StageDefinition("classify", ("ingest",), predicts="label"),
        StageDefinition("serve", ("classify",)),
    ),
    (RatioDefinition("clicks", ("serve", "clicks"), ("serve", "records")),),
)

SETTINGS = MonitorSettings(window_seconds=1.0, calm_windows=8)


@dataclass
class Second:
    """One second of traffic.

    Attributes:
        broken: share of the records without text.
        swapped: share of the predictions made by the new version, whose labels are swapped.
        version: of the classifier where nothing is swapped.
        factor: on the traffic.
        emitters: of every stage.
        clicked: factor on the clicks per ad.
        shifted: change of the share of positive predictions.
    """

    broken: float = 0.0
    swapped: float = 0.0
    version: str = OLD
    factor: float = 1.0
    whole: bool = True
    silent: tuple[str, ...] = ()
    latency: float = 3e-6
    emitters: int = 1
    clicked: float = 1.0
    shifted: float = 0.0


@dataclass
class Ads:
    """The pipeline, second after second.

    Attributes:
        changes: everything that was told of incidents so far.
        mutes: everything that was told of planned work.
        verdicts: everything that the pipeline was told.
        held: what is held now.
        steps: what each second gave.
    """

    seed: int = 1
    settings = SETTINGS
    incidents: Incidents = field(default_factory=lambda: Incidents("ads", SETTINGS))
    history: History = field(default_factory=lambda: History(SECOND))
    changes: list[IncidentChanged] = field(default_factory=list)
    mutes: list[MuteChanged] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    held: set[SeriesKey] = field(default_factory=set)
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.history.definition = DEFINITION

    def window(self, second: Second) -> WindowCounts:
        rng = self.rng
        start = self.history.windows[-1].start_ms + SECOND if self.history.windows else ORIGIN_MS
        records = int(rng.poisson(25_000 * second.factor))
        missing = int(rng.binomial(records, second.broken))
        odd = int(rng.poisson(10 * second.factor * (1 - second.broken)))
        ingest = StageCounts(
            records=records,
            invalid=missing + odd,
            out=records - missing - odd,
            latency=second.latency * float(np.exp(rng.normal(0, 0.05))),
            latency_spread=0.3,
            reasons={k: n for k, n in (("text missing", missing), ("not JSON", odd)) if n},
        )
        # What is left of a broken feed is cut short, and reads as negative.
        usual = 0.8 - 0.6 * min(second.broken / 0.8, 1) + second.shifted
        new = int(rng.binomial(ingest.out, second.swapped))
        right, swapped = int(rng.binomial(ingest.out - new, usual)), int(rng.binomial(new, 1 - usual))
        parts = {second.version: (ingest.out - new, right), **({NEW: (new, swapped)} if new else {})}
        classify = {
            v: StageCounts(
                records=n,
                out=n,
                predictions=n,
                labels={"positive": p, "negative": n - p},
                latency=2e-5 * float(np.exp(rng.normal(0, 0.05))),
                latency_spread=0.3,
            )
            for v, (n, p) in parts.items()
            if n
        }
        served = right + swapped
        clicks = (right if second.broken < 0.1 else 0) * 0.1 + 10
        serve = StageCounts(
            records=served,
            out=served,
            latency=1e-6,
            latency_spread=0.3,
            counters={"clicks": float(rng.poisson(clicks * second.clicked))},
        )
        stages = {"ingest": {OLD: ingest}, "classify": classify, "serve": {OLD: serve}}
        names = [s.name for s in DEFINITION.stages]
        heard = {n: 0 if n in second.silent else second.emitters for n in names}
        seen = {n: v for n, v in stages.items() if n not in second.silent}
        return WindowCounts(start, seen, {}, heard, dict.fromkeys(names, second.emitters), 600, second.whole)

    def second(
        self, second: Second, alarms: Sequence[SeriesKey] = (), loud: Sequence[SeriesKey] = (), since: int = 0
    ) -> Step:
        """Let a second pass: alarms for series that are not held, ``since`` so many windows ago."""
        window = self.window(second)
        self.history.append(window)
        fresh = [
            Anomaly(k, window.start_ms, window.start_ms - since * SECOND, 3.0, -1)
            for k in alarms
            if k not in self.held
        ]
        far = frozenset(k for k in [*alarms, *loud] if k in self.held)
        self.tick()
        step: Step = drain(self.incidents.step(window, self.history, fresh, far))
        return self._take(step)

    def _take(self, step: Step) -> Step:
        self.held = (self.held | step.hold) - step.release
        self.changes += [change for change in step.changes if isinstance(change, IncidentChanged)]
        self.mutes += [change for change in step.changes if isinstance(change, MuteChanged)]
        self.verdicts += [step.verdict] if step.verdict else []
        self.steps.append(step)
        return step

    @property
    def now_ms(self) -> int:
        """Log time: half a second after the end of the last window."""
        return self.history.windows[-1].start_ms + SECOND + 500 if self.history.windows else ORIGIN_MS

    def tick(self, seconds: float = 0.0) -> None:
        """Let log time pass, as a pipeline does with each record of the log."""
        now = self.now_ms + round(seconds * 1000)
        if 0 < self.incidents.due_ms <= now:
            self._take(self.incidents.pass_time(now, self.history))

    def say(self, act: Any, incident: str | None = None, who: str = "Mia", **given: Any) -> list[str]:
        """Say something of the last incident; the transitions that it gave."""
        ident = self.last.id if incident is None and self.changes else incident or ""
        step = self._take(self.incidents.act(Act("ads", act, ident, who, **given), self.now_ms, self.history))
        return [change.transition for change in step.changes]

    def mute(self, stage: str = "", seconds: float = 60.0, **given: Any) -> list[str]:
        """Begin planned work."""
        return self.say("mute", "", stage=stage, for_ms=round(seconds * 1000), **given)

    def restart(self) -> None:
        """Go on from what was saved."""
        packed = msgspec.msgpack.encode(self.incidents.snapshot())
        self.incidents = Incidents("ads", SETTINGS, msgspec.msgpack.decode(packed))

    def pass_by(self, seconds: int, second: Second | None = None, alarms: Sequence[SeriesKey] = ()) -> None:
        for _ in range(seconds):
            self.second(second or Second(), alarms)

    @property
    def last(self) -> Incident:
        return self.changes[-1].incident

    def transitions(self) -> list[str]:
        return [c.transition for c in self.changes]


BROKEN = Second(broken=0.8)
BUG = Second(swapped=1.0, version=NEW)


def told(ads: Ads) -> Iterator[Any]:
    """Everything that left, as builtins."""
    for step in ads.steps:
        yield msgspec.to_builtins(
            [list(step.changes), sorted(step.hold), sorted(step.release), step.adopt, step.verdict]
        )
