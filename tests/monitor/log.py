"""Logs made by hand: frames as emitters would have sent them, seeded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

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
from swirl.sketch import Distribution

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swirl.effect import Effect
    from swirl.monitor import Monitor

START = 1_767_571_200_000
DEFINITION = Definition(
    (
        StageDefinition("ingest", validates=True, features=("length",)),
        StageDefinition("classify", ("ingest",), predicts="label"),
    ),
    (RatioDefinition("clicks per ad", ("classify", "clicks"), ("classify", "out")),),
)


@dataclass
class Entry:
    """One record of a log."""

    log_ms: int
    pipeline: str
    emitter: bytes
    payload: bytes


def summary(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Summary:
    d = Distribution()
    d.update(values)
    return Summary(d.count, d.total, d.encode())


def slices(
    rng: np.random.Generator, bucket: int, n: int, *, invalid: float, positive: float, version: str
) -> Iterator[Slice]:
    bad = int(rng.binomial(n, invalid))
    good = n - bad
    yes = int(rng.binomial(good, positive)) if good else 0
    latency = summary(np.exp(rng.normal(-6, 0.3, size=min(n, 60))))
    yield Slice(
        "ingest",
        version,
        bucket,
        {"records": n, "invalid": bad, "out": good},
        {"reason": {"text missing": bad}} if bad else {},
        {"latency": latency, "feature:length": summary(rng.normal(10, 3, size=max(1, min(n, 80))))},
    )
    yield Slice(
        "classify",
        version,
        bucket,
        {
            "records": good,
            "out": good,
            "predictions": good,
            "clicks": int(rng.binomial(yes, 0.1)) if yes else 0,
        },
        {"label": {k: v for k, v in (("yes", yes), ("no", good - yes)) if v}},
        {"latency": latency},
    )


def make_log(
    seed: int, *, pipelines: int = 2, emitters: int = 2, seconds: int = 60, rate: int = 200
) -> list[Entry]:
    """Frames of several pipelines, each with a fault somewhere, interleaved in log order."""
    rng = np.random.default_rng(seed)
    entries = []
    for p in range(pipelines):
        fault = int(rng.integers(35, seconds)) if seconds > 40 else seconds
        kind = int(rng.integers(3))
        for e in range(emitters):
            identity = bytes([p, e]) * 8
            for second in range(seconds):
                start = START + second * 1000
                broken = second >= fault
                n = int(rng.poisson(rate))
                parts = tuple(
                    slices(
                        rng,
                        start if rng.random() > 0.02 else start - 2_000,
                        n,
                        invalid=0.6 if broken and kind == 0 else 0.01,
                        positive=0.2 if broken and kind == 1 else 0.8,
                        version="2" if broken and kind == 1 else "1",
                    )
                )
                frame = Frame(
                    f"p{p}",
                    identity,
                    second + 1,
                    start + 1000,
                    (start, start + 1000),
                    definition_hash(DEFINITION),
                    DEFINITION if second == 0 else None,
                    parts,
                )
                delay = int(rng.integers(0, 300))
                entries.append(Entry(start + 1000 + delay, f"p{p}", identity, encode(frame)))
    entries.sort(key=lambda entry: (entry.log_ms, entry.pipeline, entry.emitter))
    return entries


def run(monitor: Monitor, log: list[Entry], offset: int = 0) -> list[Effect]:
    effects: list[Effect] = []
    for number, entry in enumerate(log):
        effects += monitor.apply(offset + number, entry.log_ms, entry.payload)
    return effects


def as_bytes(effects: list[Effect]) -> list[bytes]:
    return [msgspec.msgpack.encode(effect) for effect in effects]
