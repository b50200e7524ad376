"""Faults in one of eight segments, with and without ``segment=``, and hours in which nothing happens."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from swirl.testing import Harness
from tests.incident.segments_world import COUNTRIES, FLUSH, WINDOW, Shop, let_pass

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl.testing import HarnessState

__all__ = ["section"]

PAST_WINDOWS = 360
LONGEST = 30
"""Windows after which a fault counts as not found."""

HOURS = 4.0
A_WEEK = 50.0
"""Budget of the quiet hours: so many that they can be counted."""


class Outcome(NamedTuple):
    """What was told of the faults of one row."""

    cases: int
    told: int
    right: int
    wrong: int
    windows: float


def _invalid(share: float) -> Callable[[Shop], None]:
    return lambda shop: shop.invalid.update(DE=share)


def _labels(share: float) -> Callable[[Shop], None]:
    return lambda shop: shop.buys.update(DE=share)


def _traffic(share: float) -> Callable[[Shop], None]:
    return lambda shop: shop.weight.update(DE=share)


FAULTS: tuple[tuple[str, Callable[[Shop], None], str], ...] = (
    ("invalid 5 % → 10 %", _invalid(0.10), "check: data pipeline broken"),
    ("invalid 5 % → 15 %", _invalid(0.15), "check: data pipeline broken"),
    ("invalid 5 % → 30 %", _invalid(0.30), "check: data pipeline broken"),
    ("label 60 % → 50 %", _labels(0.5), "score: "),
    ("label 60 % → 40 %", _labels(0.4), "score: "),
    ("label 60 % → 20 %", _labels(0.2), "score: "),
    ("half of its records", _traffic(0.5), "check: source throttled"),
    ("none of its records", _traffic(0.0), "check: source outage"),
)
"""What happens in DE, and how the title of what is told must begin."""


class _Plain(Shop):
    """The same shop, which says nothing of countries."""

    divided = False


def _harness(shop: Shop, resume: HarnessState | None = None) -> Harness:
    return Harness(shop.pipeline, window_seconds=WINDOW, flush_seconds=FLUSH, resume=resume)


def _past(kind: type[Shop], seed: int) -> HarnessState:
    shop = kind(seed)
    harness = _harness(shop)
    let_pass(harness, shop, windows=PAST_WINDOWS)
    return harness.save()


def _row(
    kind: type[Shop], past: HarnessState, fault: Callable[[Shop], None], title: str, seeds: range
) -> Outcome:
    told = right = wrong = 0
    windows = 0.0
    for seed in seeds:
        shop = kind(seed)
        harness = _harness(shop, past)
        let_pass(harness, shop, windows=1)
        began_ms = 1000 * harness.clock.now
        fault(shop)
        let_pass(harness, shop, windows=LONGEST)
        if not harness.incidents:
            continue
        incident = harness.incidents[0]
        told += 1
        windows += (incident.opened_ms - began_ms) / 1000 / WINDOW
        fits = incident.title.startswith(title)
        right += fits and incident.segment == "DE"
        wrong += not (fits or incident.cause == "cause unknown") or incident.segment not in ("", "DE")
    return Outcome(len(seeds), told, right, wrong, windows / told if told else float("nan"))


def _faults(cases: int) -> str:
    pasts = {kind: _past(kind, 70_001) for kind in (Shop, _Plain)}
    lines = [
        "| in DE | told | stage, cause and DE | wrong | windows | told without `segment=` | windows |",
        "|---|---|---|---|---|---|---|",
    ]
    seeds = range(80_001, 80_001 + cases)
    for name, fault, title in FAULTS:
        with_it = _row(Shop, pasts[Shop], fault, title, seeds)
        plain = _row(_Plain, pasts[_Plain], fault, title, seeds)
        lines.append(
            f"| {name} | {with_it.told} of {cases} | {with_it.right} | {with_it.wrong} "
            f"| {_shown(with_it)} | {plain.told} of {cases} | {_shown(plain)} |"
        )
    return "\n".join(lines)


def _shown(outcome: Outcome) -> str:
    return f"{outcome.windows:.1f}" if outcome.told else "-"


def _quiet(runs: int, hours: float) -> str:
    lines = ["| segments | hours | promised | alarms | told |", "|---|---|---|---|---|"]
    for number in (1, 8, 20):
        alarms = told = 0
        for seed in range(90_001, 90_001 + runs):
            shop = Shop(seed, tuple(f"c{n}" for n in range(number)), per_second=20)
            harness = Harness(
                shop.pipeline, window_seconds=WINDOW, flush_seconds=FLUSH, false_alarms_a_week=A_WEEK
            )
            let_pass(harness, shop, windows=hours * 3600 / WINDOW)
            alarms += len(harness.alarms)
            told += len(harness.incidents)
        promised = A_WEEK * runs * hours / 168
        lines.append(f"| {number} | {runs * hours:g} | {promised:.1f} | {alarms} | {told} |")
    return "\n".join(lines)


def section(*, quick: bool = False) -> str:
    """Measure, and say it as a part of ``docs/detection.md``."""
    cases, runs, hours = (2, 1, 0.5) if quick else (20, 5, HOURS)
    return f"""## Segments

A fault in one of {len(COUNTRIES)} segments of a stage with 40 records a second, after an hour of history,
{cases} cases a row, at windows of {WINDOW:.0f} s. Each row is run once with `segment=` on both stages and
once without. "Wrong" is another cause than the true one (or open), or another segment. A change of labels
without a version has no cause that can be told from its numbers: stage and segment count.

{_faults(cases)}

Hours in which nothing happens, at a budget of {A_WEEK:.0f} false alarms a week so that they can be counted:

{_quiet(runs, hours)}
"""


if __name__ == "__main__":
    print(section(quick="--quick" in sys.argv))
