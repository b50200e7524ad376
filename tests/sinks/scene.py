"""The two faults of the demonstration as made-up effects: shared by the tests of sinks and dashboard."""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec
import numpy as np

from swirl.effect import (
    Evidence,
    Health,
    Incident,
    IncidentChanged,
    IncidentStep,
    Rival,
    SeriesKey,
    State,
    Totals,
    VerdictChanged,
    WindowClosed,
)
from swirl.frame import Definition, StageDefinition, Verdict

START = 1795230740_000
"""2026-11-21 03:12:20 UTC."""

GRAPH = Definition(
    (
        StageDefinition("ingest", validates=True, features=("length",)),
        StageDefinition("classify", after=("ingest",), predicts="label"),
        StageDefinition("serve", after=("classify",)),
    )
)

POSITIVE = Evidence(
    "classify",
    "prediction_ratio",
    "positive",
    "positive ratio",
    "0.80",
    "0.21",
    0.8,
    0.21,
    worst="0.20",
    onset_ms=START,
)
CLICKS = Evidence("", "clicks", "", "clicks", "2 000/s", "10/s", 2000.0, 10.0, worst="9/s", onset_ms=START)

DATA = Incident(
    id="ads-20261121-031220",
    pipeline="ads",
    state="open",
    revision=0,
    stage="ingest",
    cause="data pipeline broken",
    onset_ms=START,
    opened_ms=START + 1000,
    sentence="ingest rejects 20 100/s as invalid, usually 10/s.",
    look_first="at what feeds ingest: the source and its schema. Not at the model.",
    evidence=(
        Evidence(
            "ingest",
            "invalid_ratio",
            "",
            "ingest invalid",
            "10/s",
            "20 100/s",
            10.0,
            20100.0,
            "20 130/s",
            root=True,
            onset_ms=START,
        ),
        POSITIVE,
        CLICKS,
    ),
    posterior=0.968,
    rivals=(
        Rival("input drift", "ingest", 0.021, "drift alone fails no check"),
        Rival("bad deployment", "classify", 0.006, "no version changed"),
        Rival("source outage", "ingest", 0.0, "25 010 records/s still arrive"),
    ),
    windows=2,
    window_ms=1000,
    preliminary=False,
    severity="tripped",
    follows=("classify", "serve"),
    reasons=(("text missing", 0.997), ("text truncated", 0.003)),
)

DEPLOYMENT = Incident(
    id="ads-20261121-031320",
    pipeline="ads",
    state="open",
    revision=0,
    stage="classify",
    cause="bad deployment",
    onset_ms=START + 60_000,
    opened_ms=START + 61_000,
    sentence="classify calls 0.21 of its records positive, usually 0.80.",
    look_first="at version 2026.11.2; going back to 2026.11.1 is the quickest test.",
    evidence=(
        msgspec.structs.replace(POSITIVE, root=True),
        CLICKS,
        Evidence("ingest", "invalid_ratio", "", "ingest invalid", "10/s", "10/s", 10.0, 10.0, onset_ms=START),
    ),
    posterior=0.9991,
    rivals=(
        Rival("data pipeline broken", "ingest", 0.0004, "invalid 10/s, usual 2 to 22"),
        Rival("input drift", "ingest", 0.0003, "the features did not move"),
    ),
    windows=2,
    window_ms=1000,
    preliminary=False,
    severity="tripped",
    follows=("serve",),
    version="2026.11.2",
    version_before="2026.11.1",
    version_line="2026.11.2 went out at 03:13:20 UTC and explains 99 % of the effect.",
)


NIGHT = (
    IncidentStep(START + 1000, 0, "opened", "ingest: cause unknown"),
    IncidentStep(START + 3000, 1, "named", "ingest: data pipeline broken"),
    IncidentStep(START + 95_000, 2, "acknowledged", "Anna is on it."),
    IncidentStep(START + 86_400_000, 9, "resolved", "Resolved by Anna: the feed was repaired."),
)
"""Steps of :data:`DATA`, the last one on another day, with six left out before it."""


def changed(
    incident: Incident,
    transition: Literal["opened", "updated", "resolved"] = "opened",
    reply: str = "",
    **new: Any,
) -> IncidentChanged:
    """A step of an incident."""
    if transition == "updated":
        new = {"revision": 1, **new}
    if transition == "resolved":
        ended = incident.onset_ms + 30_000
        cost = "400 000 records rejected, 40 000 clicks missed."
        new = {"revision": 2, "state": "resolved", "resolved_ms": ended, "cost": cost, **new}
    return IncidentChanged(transition, msgspec.structs.replace(incident, **new), reply)


def verdict(
    state: Literal["healthy", "degraded", "tripped"] = "tripped", since_ms: int = START
) -> VerdictChanged:
    """The turn of the verdict that belongs to :data:`DATA`."""
    if state == "healthy":
        return VerdictChanged("ads", Verdict("healthy", since_ms))
    return VerdictChanged("ads", Verdict(state, since_ms, DATA.id, "ingest", "data pipeline broken"))


SERIES = {
    SeriesKey("ingest", "records"): (25000.0, 23800.0, 26200.0),
    SeriesKey("ingest", "invalid"): (10.0, 2.0, 22.0),
    SeriesKey("ingest", "invalid_ratio"): (0.0004, 0.0001, 0.0009),
    SeriesKey("ingest", "drift", "length"): (0.01, math.nan, 0.03),
    SeriesKey("classify", "records"): (24990.0, 23800.0, 26200.0),
    SeriesKey("classify", "prediction_ratio", "positive"): (0.8, 0.77, 0.83),
    SeriesKey("classify", "latency_p95"): (0.012, 0.009, 0.017),
    SeriesKey("", "ratio", "clicks"): (0.1, 0.08, 0.12),
}


def window(
    index: int = 0, *, pipeline: str = "ads", now: dict[SeriesKey, float] | None = None, **new: Any
) -> WindowClosed:
    """Window number ``index``; ``now`` replaces values, and what is replaced is an anomaly."""
    now = now or {}
    columns = np.empty((7, len(SERIES)))
    for i, (key, (usual, low, high)) in enumerate(SERIES.items()):
        value = now.get(key, usual)
        columns[:, i] = (value, value * 1000, 1000, usual, low, high, 3.0 if key in now else 0.1)
    states = bytes(State.ANOMALY if key in now else State.NORMAL for key in SERIES)
    given: dict[str, Any] = {
        "pipeline": pipeline,
        "start_ms": START + 1000 * index,
        "window_ms": 1000,
        "revision": 0,
        "exposure_ms": 1000,
        "whole": True,
        "keys": tuple(SERIES),
        "numbers": columns.tobytes(),
        "states": states,
        "definition": GRAPH,
        "versions": {"ingest": ("2026.11.1",), "classify": ("2026.11.1",), "serve": ("2026.11.1",)},
        "totals": {
            "ingest": {"2026.11.1": Totals(25000, 10, 1, 24990, 0, {"text missing": 8}, {"KeyError": 1})},
            "classify": {
                "2026.11.1": Totals(
                    24990, out=24990, predictions=24990, labels={"positive": 19992, "negative": 4998}
                )
            },
        },
        "latency": {"classify": (0.008, 0.012, 0.02)},
        "health": Health(
            frames=8,
            frames_lost=1,
            late_records={"closed": 3},
            detector_failures={"record": 1},
            unknown_detectors=("oracle",),
            emitters=2,
            last_seen_ms=START + 1500,
            watermark_ms=START + 1000 * (index + 1),
            lag_ms=400,
            budget_a_week=1.0,
            alarms=2,
            false_alarms_expected=0.25,
        ),
    }
    return WindowClosed(**{**given, **new})
