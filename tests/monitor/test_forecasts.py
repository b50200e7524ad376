"""What seasons forecast of sources, once a week is known."""

from __future__ import annotations

import numpy as np

from swirl.detector import Kind
from swirl.effect import SeriesKey
from swirl.frame import Definition, StageDefinition
from swirl.monitor import default_detectors
from swirl.monitor.judge import Judge
from swirl.monitor.seating import Seating
from swirl.series import Measured, SeriesTable
from swirl.settings import MonitorSettings
from swirl_detectors.season import DAY_MS

KEY = SeriesKey("ingest", "records")
QUARTER = DAY_MS // 96


def rate(window: int) -> float:
    return float(1000 * (1 + 0.5 * np.sin(2 * np.pi * window / 96)))


def test_a_source_is_forecast_by_the_time_of_day_and_asking_changes_nothing() -> None:
    judge = Judge(Seating(default_detectors(MonitorSettings()), SeriesTable(10), 1.0, QUARTER))
    judge.seating.define(Definition((StageDefinition("ingest"),)))
    rng = np.random.default_rng(0)
    for window in range(9 * 96):
        measured = [Measured(KEY, Kind.RATE, float(rng.poisson(rate(window))))]
        list(judge.judge(measured, window * QUARTER, QUARTER, whole=True))
        list(judge.learn())
    before = judge.snapshot()
    for window in range(9 * 96, 10 * 96, 12):
        expected, sd = judge.forecasts(window * QUARTER)["ingest"]
        assert abs(expected - rate(window)) < 100
        assert 20 < sd < 150
    assert judge.snapshot() == before
