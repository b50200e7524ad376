"""The fault suite: random faults that befall random pipelines, through really decorated stages.

Everything runs in virtual time through the testing kit. What people would use looks at the same series of
the same windows.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from statistics import median

from swirl.incident.causes import words_of
from swirl.testing.drill import KINDS, Kind
from tests.faults.cases import Case, Said
from tests.faults.people import methods
from tests.faults.site import DAY_S, WINDOW_S
from tests.faults.suite import Heard, Played, Quiet, play_many, quiet

__all__ = ["section"]

CASES, HOSTILE_CASES, A_PAST = 500, 150, 12
FIRST, HOSTILE_FIRST, QUIET_FIRST = 100_000, 200_000, 300_000
QUIET_PIPELINES, QUIET_WINDOWS = 20, 1200
BINS = ((0.05, 0.1), (0.1, 0.2), (0.2, 0.4), (0.4, 1.0))
RIGHT, RIGHT_HOSTILE, WRONG, BENIGN_TOLD = 0.93, 0.88, 0.02, 0.02
BLIND = ("never alarm", "always alarm")
GUESS = words_of("bad_deployment")
"""What a blind person says who always alarms: the commonest cause, at the first stage."""


def section(*, quick: bool = False) -> str:
    """The fault suite's part of the report."""
    makers = methods()
    played = play_many(FIRST, 24 if quick else CASES, A_PAST, makers)
    hostile = play_many(HOSTILE_FIRST, 0 if quick else HOSTILE_CASES, A_PAST, {}, hostile=True)
    calm = quiet(
        range(QUIET_FIRST, QUIET_FIRST + (1 if quick else QUIET_PIPELINES)),
        100 if quick else QUIET_WINDOWS,
        makers,
    )
    parts = [
        _INTRODUCTION,
        _limits(played, hostile),
        "Detection by strength, of faults that have one; delays in windows of 10 s:",
        _by_strength(played),
        "What was said after three windows, by what was true:",
        _confusion(played.cases),
        "Beside what people would use, each on every judged series of the same windows:",
        _beside(played, calm),
        _alarms(played, calm),
        _missed(played, "Wrong, unknown or needlessly told"),
        _missed(hostile, "The same under hostile noise"),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


# -- which cases count


def _faults(played: Played) -> list[Case]:
    return [case for case in played.cases if not case.fault.truth.benign and not case.early]


def _benign(played: Played) -> list[Case]:
    return [case for case in played.cases if case.fault.truth.benign and not case.early]


def _judged(played: Played) -> list[Case]:
    """Detected and identifiable."""
    return [case for case in _faults(played) if case.told and case.identifiable]


def _share(cases: Iterable[bool]) -> float:
    found = list(cases)
    return sum(found) / len(found) if found else 0.0


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


# -- tables


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _limits(played: Played, hostile: Played) -> str:
    rows = []
    for name, found, limit in (("", played, RIGHT), (", hostile noise", hostile, RIGHT_HOSTILE)):
        faults, judged, benign = _faults(found), _judged(found), _benign(found)
        if not judged:
            continue
        wrong = _share(not case.right and not case.unknown for case in judged)
        told = _share(case.told for case in benign)
        of = f" of {len(judged)}"
        rows += [
            _limit(f"stage and cause right{name}", _share(case.right for case in judged), limit, of),
            _limit(f"wrong{name}", wrong, -WRONG if not name else None, of),
            _limit(f"told without a cause{name}", _share(case.unknown for case in judged), None, of),
            _limit(f"faults told{name}", _share(c.told for c in faults), None, f" of {len(faults)}"),
            _limit(f"benign told{name}", told, -BENIGN_TOLD if not name else None, f" of {len(benign)}"),
        ]  # fmt: skip
    return _table(["", "measured", "limit"], rows)


def _limit(name: str, value: float, limit: float | None, of: str) -> tuple[str, str, str]:
    """A line; a limit below zero is one that must not be exceeded."""
    if limit is None:
        return name, _percent(value) + of, ""
    kept = value >= limit if limit >= 0 else value <= -limit
    shown = _percent(value) + of
    return (
        name,
        shown if kept else f"**{shown}**",
        ("at least " if limit >= 0 else "at most ") + _percent(abs(limit)),
    )


def _by_strength(played: Played) -> str:
    names = [name for name in methods() if name not in BLIND]
    head = ["strength", "cases", "Swirl told", "median delay", "of them right", *names]
    return _table(head, [_bin(played, low, high, names) for low, high in BINS])


def _bin(played: Played, low: float, high: float, names: Sequence[str]) -> list[str]:
    here = [
        (case, heard)
        for case, heard in zip(played.cases, played.heard, strict=True)
        if not (case.fault.truth.benign or case.early)
        and case.fault.truth.graded
        and (low <= case.fault.strength < high or case.fault.strength == high == 1.0)
    ]
    told = [case for case, _ in here if case.told]
    return [
        f"{low:.0%} to {high:.0%}",
        str(len(here)),
        _percent(_share(case.told for case, _ in here)),
        _median(case.delay for case in told),
        _percent(_share(case.right for case in told if case.identifiable)),
        *(_percent(_share(heard[name].delay > 0 for _, heard in here)) for name in names),
    ]


def _median(delays: Iterable[int]) -> str:
    found = list(delays)
    return f"{median(found):.0f}" if found else ""


def _confusion(cases: Sequence[Case]) -> str:
    """A row a kind of fault: what was true, how much of it was right, and what was said instead."""
    by_kind = {kind: [c for c in cases if c.fault.kind == kind and not c.early] for kind in KINDS}
    head = ["fault", "true cause", "cases", "not told", "stage and cause", "stage only", "cause only"]
    rows = [_row(KINDS[kind], mine) for kind, mine in by_kind.items() if mine]
    return _table([*head, "causes said instead", "median delay"], rows)


def _row(truth: Kind, mine: Sequence[Case]) -> list[str]:
    told = [case for case in mine if case.told]
    others = Counter(case.settled.cause for case in told if truth.benign or not case.cause_right)
    said = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    right = ["" if truth.benign else str(sum(map(test, told))) for test in _RIGHTS]
    return [
        truth.words,
        words_of(truth.cause) if truth.cause else "nothing",
        str(len(mine)),
        str(len(mine) - len(told)),
        *right,
        ", ".join(f"{cause} {count}" for cause, count in said),
        _median(case.delay for case in told),
    ]


_RIGHTS: tuple[Callable[[Case], bool], ...] = (
    lambda case: case.right,
    lambda case: case.stage_right and not case.cause_right,
    lambda case: case.cause_right and not case.stage_right,
)


def _beside(played: Played, calm: Quiet) -> str:
    both = [(c, h) for c, h in zip(played.cases, played.heard, strict=True) if not c.early]
    faults = [pair for pair in both if not pair[0].fault.truth.benign]
    benign = [pair for pair in both if pair[0].fault.truth.benign]
    told = [case for case, _ in faults if case.told]
    rows = [
        [
            "Swirl",
            _percent(_share(case.told for case, _ in faults)),
            _median(case.delay for case in told),
            _percent(_share(case.stage_right for case in told)),
            _percent(_share(case.right for case in told)),
            _percent(_share(case.told for case, _ in benign)),
            _a_week(len(calm.told), calm),
            _of_windows(calm.open, calm),
        ]
    ]
    rows += [_person(name, faults, benign, calm) for name in calm.alarms]
    head = ["", "faults told", "median delay", "stage right", "stage and cause right", "benign told"]
    return _table([*head, "false alarms a week", "quiet windows in alarm"], rows)


def _person(
    name: str,
    faults: Sequence[tuple[Case, dict[str, Heard]]],
    benign: Sequence[tuple[Case, dict[str, Heard]]],
    calm: Quiet,
) -> list[str]:
    told = [(case, heard[name]) for case, heard in faults if heard[name].delay]
    blind = name == "always alarm"
    cause = _share(h.stage == c.fault.stage and c.fault.names(GUESS) for c, h in told) if blind else 0.0
    return [
        name,
        _percent(len(told) / len(faults)) if faults else "",
        _median(heard.delay for _, heard in told),
        _percent(_share(heard.stage == case.fault.stage for case, heard in told)) if told else "",
        (_percent(cause) if blind else "names none") if told else "",
        _percent(_share(heard[name].delay > 0 for _, heard in benign)),
        "without end" if blind else _a_week(calm.alarms[name], calm),
        _of_windows(calm.alarmed[name], calm),
    ]


def _a_week(count: int, calm: Quiet) -> str:
    return f"{count / calm.weeks:.1f}" if calm.weeks else ""


def _of_windows(count: int, calm: Quiet) -> str:
    return _percent(count / calm.windows) if calm.windows else ""


def _alarms(played: Played, calm: Quiet) -> str:
    before = [f"{past.plan.seed} {_title(said)}" for past in played.pasts for said in past.told]
    days = sum(past.windows for past in played.pasts) / (DAY_S / WINDOW_S)
    during = [f"{seed} {_title(said)}" for seed, said in calm.told]
    return (
        f"False alarms in {calm.weeks:.2f} quiet weeks: {len(during)}{_listed(during)}; "
        f"in the {days:.1f} days that went before the faults: {len(before)}{_listed(before)}. "
        "One a week is promised."
    )


def _listed(what: Sequence[str]) -> str:
    return f" ({'; '.join(what)})" if what else ""


def _title(said: Said) -> str:
    return f"{said.stage}: {said.cause}"


def _missed(played: Played, heading: str) -> str:
    """Every case that went wrong, with its seeds, so that it can be played again."""
    lines = []
    for case in played.cases:
        if (
            case.early
            or not case.told
            or (not case.fault.truth.benign and (case.right or not case.identifiable))
        ):
            continue
        true = case.fault.title or "nothing"
        lines.append(
            f"- {case.seed}: {case.fault.truth.words}, strength {case.fault.strength:.2f}, true {true}; "
            f"said {_title(case.settled)} after {case.delay} windows, in the end {_title(case.final)}"
        )
    return f"{heading}:\n\n" + "\n".join(lines) if lines else ""


_INTRODUCTION = """## The fault suite

Random faults, strengths log-uniform from 5 %, befall random pipelines of 1 to 6 stages (chains, fan-in,
fan-out, two sources, one to three processes or one a stage, 10 to 5 000 records a second, windows of 10 s),
which are really decorated and driven through the testing kit after 400 quiet windows. A case is held against
Swirl if it was told and can be identified, which only a canary of too few records cannot; what counts is
what was said three windows after the telling. Strengths that nobody could see are not left out of what is
told. A method of people's has the same time, a fault's ramp and 30 windows. Its alarms that are less than 30
windows apart are one, so a method that hardly ever rests has few of them: see its share of quiet windows.
Command: `python -m tests.benchmarks.detection.faults`."""


if __name__ == "__main__":
    print(section(quick="--quick" in sys.argv))
