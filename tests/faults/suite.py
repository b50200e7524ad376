"""Many cases, quiet times, and how people would have fared beside: what the tests and the benchmark count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from swirl.effect import WindowClosed
from swirl.testing.drill import KINDS
from tests.faults.cases import PAST_WINDOWS, Case, Past, Said, fits, longest_wait, past, play
from tests.faults.people import Method, Person
from tests.faults.plan import plan
from tests.faults.world import WINDOW_S, World

__all__ = ["APART_WINDOWS", "Crowd", "Heard", "Played", "Quiet", "play_many", "quiet"]

APART_WINDOWS = 30
"""Alarms that are less apart are one incident, for people too; so the monitor resolves its own."""

Makers = dict[str, Callable[[], Method]]


@dataclass
class Crowd:
    """People who watch the same pipeline, one a method."""

    persons: dict[str, Person]

    @classmethod
    def of(cls, makers: Makers, stages: list[str]) -> Crowd:
        """Fresh ones."""
        return cls({name: Person(make, stages) for name, make in makers.items()})

    def watch(self, window: WindowClosed) -> None:
        """All look."""
        for person in self.persons.values():
            person.watch(window)

    def copy(self) -> Crowd:
        """Others who have seen the same."""
        return Crowd({name: person.copy() for name, person in self.persons.items()})


@dataclass(frozen=True)
class Heard:
    """What a method said of a case.

    Attributes:
        delay: windows from the onset to the end of the first window that alarmed, 0 for none.
        stage: that it points to.
    """

    delay: int = 0
    stage: str = ""


@dataclass
class Played:
    """Cases and what people heard of them, by method."""

    cases: list[Case] = field(default_factory=list)
    heard: list[dict[str, Heard]] = field(default_factory=list)
    pasts: list[Past] = field(default_factory=list)


@dataclass
class Quiet:
    """Time in which nothing happened.

    Attributes:
        windows: after the warm-up.
        told: incidents.
        open: windows in which an incident was open.
        alarms: incidents of each method.
        alarmed: windows in which it alarmed.
    """

    windows: int = 0
    told: list[tuple[int, Said]] = field(default_factory=list)
    open: int = 0
    alarms: dict[str, int] = field(default_factory=dict)
    alarmed: dict[str, int] = field(default_factory=dict)

    @property
    def weeks(self) -> float:
        """How long it was."""
        return self.windows * WINDOW_S / 604_800.0


def play_many(
    first: int,
    count: int,
    a_past: int,
    makers: Makers,
    *,
    hostile: bool = False,
    kinds: Sequence[str] = tuple(KINDS),
    windows: int = PAST_WINDOWS,
) -> Played:
    """So many cases, kinds in turn, several on each past; a kind that a pipeline cannot have waits.

    Args:
        first: seed of the first pipeline; those that follow count up.
        count: of the cases.
        a_past: cases that befall one past.
        makers: of people's methods.
        hostile: noise with a long memory, and spikes.
        kinds: of the faults.
        windows: of each past.
    """
    played = Played()
    waiting = list(kinds)
    seed = first
    while len(played.cases) < count:
        drawn = plan(seed, hostile=hostile)
        crowd = Crowd.of(makers, [step.name for step in drawn.steps])
        before = past(drawn, windows, watch=crowd.watch)
        played.pasts.append(before)
        for kind in _next_kinds(waiting, kinds, before, min(a_past, count - len(played.cases))):
            _play_one(played, before, kind, crowd.copy())
        seed += 1
    return played


def _next_kinds(waiting: list[str], kinds: Sequence[str], before: Past, count: int) -> Iterator[str]:
    for _ in range(count):
        kind = next((kind for kind in waiting if fits(kind, before.plan)), None)
        if kind is None:
            waiting.extend(kinds)
            kind = next(kind for kind in waiting if fits(kind, before.plan))
        waiting.remove(kind)
        yield kind


def _play_one(played: Played, before: Past, kind: str, crowd: Crowd) -> None:
    case = play(before, kind, 1 + len(played.cases), watch=crowd.watch)
    onset_ms, longest = case.fault.onset * 1000.0, longest_wait(case.fault)
    heard = {}
    for name, person in crowd.persons.items():
        after = [
            (-int(-(start + 1000 * WINDOW_S - onset_ms) // (1000 * WINDOW_S)), stage)
            for start, stage in person.alarms
            if start + 1000 * WINDOW_S > onset_ms
        ]
        heard[name] = Heard(*after[0]) if after and after[0][0] <= longest else Heard()
    played.cases.append(case)
    played.heard.append(heard)


def quiet(seeds: Sequence[int], windows: int, makers: Makers, warm_up: int = 60) -> Quiet:
    """Pipelines to which nothing happens."""
    found = Quiet(alarms=dict.fromkeys(makers, 0), alarmed=dict.fromkeys(makers, 0))
    for seed in seeds:
        world = World(plan(seed), 0)
        world.run(warm_up * WINDOW_S)
        crowd = Crowd.of(makers, [step.name for step in world.plan.steps])
        before, begun_ms = len(world.harness.incidents), world.harness.windows[-1].start_ms
        for _ in range(windows):
            world.run(WINDOW_S)
            for window in world.harness.windows[-3:]:
                if window.start_ms > begun_ms:
                    crowd.watch(window)
            found.open += any(incident.state == "open" for incident in world.harness.incidents)
        found.windows += windows
        found.told += [(seed, Said(i.stage, i.cause)) for i in world.harness.incidents[before:]]
        for name, person in crowd.persons.items():
            found.alarms[name] += person.incidents(APART_WINDOWS, 1000 * WINDOW_S)
            found.alarmed[name] += len(person.alarms)
    return found
