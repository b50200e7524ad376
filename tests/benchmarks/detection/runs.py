"""Pipelines that run in batches: false alarms a hundred runs, and how soon a bad run is told."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from swirl.monitor import Monitor
from tests.monitor.nightly import DAY, HOUR, MINUTE, Nightly

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["section"]

PAST_RUNS = 60
LONGEST = 3
"""Faulty runs after which a fault counts as not found."""


class Law(NamedTuple):
    """How ordinary runs differ from each other.

    Attributes:
        words: for the table.
        like: what a run is like, given its number and a generator.
    """

    words: str
    like: Callable[[int, Any], dict[str, float]]


LAWS = (
    Law("records within 3 %", lambda _run, _rng: {}),
    Law("records within 20 % (lognormal)", lambda _run, rng: {"records": 10_000 * rng.lognormal(0, 0.2)}),
    Law(
        "ratios wander too: invalid within 30 %",
        lambda _run, rng: {
            "records": 10_000 * rng.lognormal(0, 0.1),
            "invalid": 0.01 * rng.lognormal(0, 0.3),
        },
    ),
    Law("half the records at weekends", lambda run, _rng: {"records": 5_000 if run % 7 > 4 else 10_000}),
)

FAULTS: dict[str, dict[str, float]] = {
    "invalid 1 % → 1.5 %": {"invalid": 0.015},
    "invalid 1 % → 2 %": {"invalid": 0.02},
    "invalid 1 % → 30 %": {"invalid": 0.3},
    "positive ratio 0.70 → 0.67": {"positive": 0.67},
    "positive ratio 0.70 → 0.30": {"positive": 0.3},
    "records −10 %": {"records": 9_000},
    "records −50 %": {"records": 5_000},
    "takes twice as long": {"minutes": 80},
    "takes five times as long": {"minutes": 200},
}


def _nights(job: Nightly, number: int, like: dict[str, float]) -> None:
    begun = job.now
    job.run(**like)  # type: ignore[arg-type] # as ``run`` takes them
    job.tick(begun + DAY + int(job.rng.integers(-10, 10)) * MINUTE, every=4 * HOUR)
    assert len(job.windows) == number + 1


def _false(seeds: int, runs: int) -> str:
    lines = [
        "| law of ordinary runs | runs | promised | alarms | told | told in the first 30 runs |",
        "|---|---|---|---|---|---|",
    ]
    for law in LAWS:
        alarms = told = early = 0
        for seed in range(seeds):
            job = Nightly(seed=seed)
            for run in range(runs):
                _nights(job, run, law.like(run, job.rng))
                if run == 29:
                    early += _opened(job)
            told += _opened(job)
            alarms += job.windows[-1].health.alarms
        lines.append(
            f"| {law.words} | {seeds * runs} | {seeds * runs / 100:g} | {alarms} | {told} | {early} |"
        )
    return "\n".join(lines)


def _opened(job: Nightly) -> int:
    return sum(change.transition == "opened" for change in job.changes)


def _found(seeds: int) -> str:
    lines = [
        "| fault | cases | told after the first run | within three | stage right |",
        "|---|---|---|---|---|",
    ]
    pasts = []
    for seed in range(100, 100 + seeds):
        job = Nightly(seed=seed)
        for run in range(PAST_RUNS):
            _nights(job, run, {})
        pasts.append((job, job.monitor.snapshot()))
    for words, like in FAULTS.items():
        first = later = right = 0
        for past, snapshot in pasts:
            job = _resumed(past, snapshot)
            for run in range(LONGEST):
                _nights(job, run, like)
                if job.changes:
                    first, later = first + (run == 0), later + 1
                    stage = job.changes[0].incident.stage
                    right += stage == {"positive": "score", "minutes": ""}.get(next(iter(like)), "load")
                    break
        lines.append(f"| {words} | {seeds} | {first} | {later} | {right} |")
    return "\n".join(lines)


def _resumed(past: Nightly, snapshot: bytes) -> Nightly:
    job = Nightly(seed=past.seed + 10_000, now=past.now, log=list(past.log))
    job.monitor = Monitor(job.settings)
    job.monitor.restore(snapshot)
    return job


def section(*, quick: bool = False) -> str:
    """Measure, and say it as a part of ``docs/detection.md``."""
    seeds, runs = (1, 60) if quick else (10, 200)
    return f"""## Pipelines that run in batches

A daily pipeline of two stages, 10 000 records and 40 minutes a run (within 10 %), 1 % invalid. Promised is
one false alarm in 100 runs: the budget of one a week counts for what runs oftener than every 1.7 hours.
Warm-up is ten runs. An alarm is told where the diagnosis does not take it for chance or traffic. The limit
is twice the promise.

{_false(seeds, runs)}

Faults that last, after {PAST_RUNS} runs with records within 3 %:

{_found(3 if quick else 20)}

Far less is told than was promised: the limits of short histories are cautious. Ten percent fewer records
raise an alarm and are taken for traffic, as they are in windows of a minute. A weekly rhythm is not known to
a daily pipeline; it widens what is usual.
"""


if __name__ == "__main__":
    print(section(quick="--quick" in sys.argv))
