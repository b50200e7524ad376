"""Frames that decode and make no sense: whatever they say, nothing comes out of the fold as an exception."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from swirl.frame import (
    Definition,
    Frame,
    RatioDefinition,
    Slice,
    StageDefinition,
    Summary,
    definition_hash,
    encode,
)
from swirl.history import BUILT_IN
from swirl.monitor import Monitor
from swirl.settings import MonitorSettings
from swirl.sketch import Distribution
from tests.monitor.log import START

SETTINGS = MonitorSettings(
    window_seconds=1,
    lateness_seconds=0,
    silence_seconds=3,
    warm_up_windows=10,
    calm_windows=3,
    retained_windows=3,
)
NAMES = ("a", "b", "a/b", "", "x\x1fy", "{stage}", "labels", "latency", "records", "(other)", "emitters")
COUNTERS = (*BUILT_IN, "labels", "latency", "reasons", "counters", "handled", "__class__", "null:f", "count")
LABELS = ("yes", "no", "(other)", "", "x" * 200, "\x00")


def summary(r: Random) -> Summary:
    d = Distribution()
    d.update([r.choice([0.0, -1.0, 1e30, -1e30, 1e-30, 1.0, r.random()]) for _ in range(r.choice([1, 300]))])
    kind = r.random()
    if kind < 0.1:
        return Summary(1, 1.0, b"junk")
    return Summary(d.count, float("nan") if kind < 0.2 else d.total, d.encode())


def hostile_slice(r: Random, stages: list[str], at_ms: int, scale: float) -> Slice:
    sizes = (0, 1, 5, 80, 100 * scale, 200 * scale * r.random())
    counters = {name: r.choice(sizes) for name in COUNTERS if r.random() < 0.6} | {"records": 100 * scale}
    categories = {
        name: {r.choice(LABELS): int(r.choice([0, 1, 50 * scale])) for _ in range(2)}
        for name in ("label", "reason", "error", "feature:f")
        if r.random() < 0.5
    }
    distributions = {
        n: summary(r) for n in ("latency", "prediction", "feature:f", "labels") if r.random() < 0.5
    }
    bucket = at_ms + r.choice([0, 0, 0, -1_000, 1_000, 5_000, -100_000])
    return Slice(r.choice(stages), r.choice(["1", "2", ""]), bucket, counters, categories, distributions)


def hostile_definition(r: Random, stages: list[str]) -> Definition:
    return Definition(
        tuple(
            StageDefinition(r.choice(NAMES), tuple(r.sample(stages, 1)), r.random() < 0.5, "label")
            for _ in range(3)
        ),
        tuple(
            RatioDefinition(r.choice(["r", ""]), (s, r.choice(COUNTERS)), (s, r.choice(COUNTERS)))
            for s in stages
        ),
    )


def frames(seed: int) -> list[tuple[int, bytes]]:
    """Log times and payloads: 50 windows of an odd normal, then anything."""
    r = Random(seed)
    stages = r.sample(NAMES, r.randint(1, 4))
    chain = tuple(
        StageDefinition(s, tuple(stages[max(i - 1, 0) : i]), r.random() < 0.5, "label", ("f",))
        for i, s in enumerate(stages)
    )
    known = Definition(chain, hostile_definition(r, stages).ratios)
    log = []
    for window in range(85):
        at_ms = START + window * 1_000
        definition = known if not window else hostile_definition(r, stages) if r.random() < 0.03 else None
        covers = (
            (at_ms, at_ms + 1_000)
            if r.random() < 0.95
            else (at_ms - 10**9, at_ms + r.choice([1_000, 90_000]))
        )
        scale = 1 if window < 50 else r.choice([0.01, 1, 5, 50])
        parts = tuple(hostile_slice(r, stages, at_ms, scale) for _ in range(r.randint(0, 5)))
        frame = Frame(
            "p", b"e" * 16, window + 1, 0, covers, definition_hash(definition or known), definition, parts
        )
        goodbye = r.random() < 0.01
        log.append((at_ms + 1_000, encode(msgspec.structs.replace(frame, goodbye=goodbye))))
    return log


@pytest.mark.parametrize("seed", range(12))
def test_no_frame_that_makes_no_sense_comes_out_as_an_exception(seed: int) -> None:
    monitor = Monitor(SETTINGS)
    told = 0
    for offset, (log_ms, payload) in enumerate(frames(seed)):
        for effect in monitor.apply(offset, log_ms, payload):
            told += 1
            assert msgspec.msgpack.encode(effect)
    assert told > 50
    resumed = Monitor(SETTINGS)
    resumed.restore(monitor.snapshot())
    assert resumed.snapshot() == monitor.snapshot()


@pytest.mark.parametrize("others", [0, 201])
def test_counts_that_add_up_to_more_than_64_bits_leave_a_state_that_can_be_kept(others: int) -> None:
    monitor, most = Monitor(SETTINGS), 2**53 - 1
    definition = Definition((StageDefinition("s"),))
    counters: dict[str, float] = {"records": most, "out": most}
    first = {"label": dict.fromkeys(map(str, range(others)), 1)}
    for number in range(9):
        at_ms = START + number * 1_000
        parts = [Slice("s", f"{i % 2}", at_ms, counters, {"label": {"x": most}}) for i in range(2_500)]
        parts = [Slice("s", v, at_ms, {}, first) for v in "01"] + parts
        covers, key = (at_ms, at_ms + 1_000), definition_hash(definition)
        frame = Frame("p", b"e" * 16, number + 1, 0, covers, key, definition, tuple(parts))
        for effect in monitor.apply(number, at_ms + 1_000, encode(frame)):
            assert msgspec.msgpack.encode(effect)
    resumed = Monitor(SETTINGS)
    resumed.restore(monitor.snapshot())
    assert resumed.snapshot() == monitor.snapshot()
