"""Effects as a monitor of the ads pipeline would give them, made up."""

from __future__ import annotations

from math import nan

import numpy as np

from swirl.cli.scene import ADS, ARRIVED, CLASSIFIED, CLICKS, INVALID, POSITIVE
from swirl.effect import (
    Evidence,
    Health,
    Incident,
    IncidentChanged,
    Rival,
    SeriesKey,
    State,
    WindowClosed,
)
from swirl.frame import Definition, StageDefinition

ONSET_MS = 1_795_230_740_000
"""2026-11-21 03:12:20 UTC."""

DEFINITION = Definition(
    (
        StageDefinition("ingest", validates=True),
        StageDefinition("classify", after=("ingest",), predicts="label"),
        StageDefinition("serve", after=("classify",)),
    )
)

HEALTHY = {
    ARRIVED: (25_010, 24_000, 26_000),
    INVALID: (10, 2, 22),
    CLASSIFIED: (25_000, 24_000, 26_000),
    POSITIVE: (0.80, 0.77, 0.83),
    ADS: (20_004, 19_000, 21_000),
    CLICKS: (2_003, 1_720, 2_290),
}
BROKEN = {
    ARRIVED: (25_010, 24_000, 26_000),
    INVALID: (20_000, 2, 22),
    CLASSIFIED: (5_010, 4_900, 5_100),
    POSITIVE: (0.20, 0.77, 0.83),
    ADS: (1_002, 900, 1_100),
    CLICKS: (10, 60, 130),
}
BUGGY = {
    **HEALTHY,
    POSITIVE: (0.20, 0.77, 0.83),
    ADS: (5_000, 4_900, 5_100),
    CLICKS: (30, 400, 600),
}


def window(
    start_ms: int,
    points: dict[SeriesKey, tuple[float, float, float]] | None = None,
    *,
    state: State = State.NORMAL,
    whole: bool = True,
    revision: int = 0,
    frames: int = 480,
) -> WindowClosed:
    """A closed window of one second."""
    points = HEALTHY if points is None else points
    known = state >= State.NORMAL
    columns = [
        [v, nan, nan, v, low if known else nan, high if known else nan, 0.0]
        for v, low, high in points.values()
    ]
    numbers = np.array(columns, dtype=np.float64).T
    return WindowClosed(
        pipeline="ads",
        start_ms=start_ms,
        window_ms=1_000,
        revision=revision,
        exposure_ms=1_000 if whole else 400,
        whole=whole,
        keys=tuple(points),
        numbers=np.ascontiguousarray(numbers).tobytes(),
        states=bytes(_state(state, *point) for point in points.values()),
        definition=DEFINITION,
        versions={},
        totals={},
        latency={},
        health=Health(frames=frames),
    )


def _state(state: State, value: float, low: float, high: float) -> State:
    """What lies within its limits is normal, whatever the rest does."""
    return State.NORMAL if state > State.NORMAL and low <= value <= high else state


def incident(
    stage: str = "ingest",
    cause: str = "data pipeline broken",
    *,
    onset_ms: int = ONSET_MS,
    opened_ms: int | None = None,
    resolved_ms: int = 0,
    windows: int = 1,
    revision: int = 0,
    version: str = "",
) -> Incident:
    """The incident that the face shows."""
    return Incident(
        id=f"ads-{onset_ms}",
        pipeline="ads",
        state="resolved" if resolved_ms else "open",
        revision=revision,
        stage=stage,
        cause=cause,
        onset_ms=onset_ms,
        opened_ms=onset_ms + 1_000 if opened_ms is None else opened_ms,
        resolved_ms=resolved_ms,
        sentence="ingest rejects 20 000 records/s as invalid, usually 10/s.",
        look_first="at what feeds ingest: its source and schema. Not at the model.",
        evidence=(
            Evidence(
                "ingest",
                "invalid_ratio",
                "",
                "ingest invalid",
                "10/s",
                "20 000/s",
                10,
                20_000,
                root=True,
                onset_ms=onset_ms,
            ),
            Evidence(
                "classify",
                "prediction_ratio",
                "positive",
                "positive ratio",
                "0.80",
                "0.20",
                0.8,
                0.2,
                onset_ms=onset_ms,
            ),
            Evidence(
                "serve",
                "ratio",
                "clicks per ad",
                "clicks",
                "2 000/s",
                "10/s",
                2_000,
                10,
                onset_ms=onset_ms + 5_000,
            ),
        ),
        posterior=0.968,
        rivals=(
            Rival("input drift", "ingest", 0.021, "drift alone fails no check"),
            Rival(
                "bad deployment",
                "classify",
                0.006,
                "2026.11.1 ran 42 windows inside its bands before the fault began",
            ),
            Rival("source outage", "ingest", 0.0001, "25 010 records/s still arrive"),
        ),
        windows=windows,
        window_ms=1_000,
        preliminary=False,
        severity="tripped",
        follows=("classify", "serve"),
        reasons=(("text missing", 0.997),),
        version=version,
    )


def opened(told: Incident) -> IncidentChanged:
    """It was opened."""
    return IncidentChanged("opened", told)
