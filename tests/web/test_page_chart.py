"""Charts and words as values: what a line, a band and a number become."""

from __future__ import annotations

import numpy as np
import pytest

from swirl.effect import SeriesKey, State
from swirl.sinks.board import Track
from swirl.web.page.chart import Deployment, draw
from swirl.web.page.figures import limits, name_of, telling_limits, typeset, value

RATE, RATIO = SeriesKey("ingest", "records"), SeriesKey("classify", "prediction_ratio", "positive")
NAN = float("nan")


def track(key: SeriesKey, values: list[float], low: float = NAN, high: float = NAN, **new: object) -> Track:
    n = len(values)
    made = Track(
        key,
        np.arange(n, dtype=np.int64) * 10_000,
        np.array(values),
        np.full(n, NAN),
        np.full(n, low),
        np.full(n, high),
        np.full(n, int(State.NORMAL), np.uint8),
        10_000,
    )
    return made._replace(**new)  # type: ignore[arg-type]


def heights(path: str) -> list[float]:
    return [float(point.partition(",")[2]) for point in path.replace("M", "L").split("L")[1:]]


def test_silence_is_a_gap_and_no_line_bends_over_it() -> None:
    chart = draw(track(RATE, [10, 10, NAN, 10, 10]))
    assert chart.line.count("M") == 2
    assert chart.line.count("L") == 2
    assert draw(track(RATE, [10, NAN])).now.text == "–"


def test_a_ratio_goes_from_zero_to_one_and_more_is_higher() -> None:
    assert heights(draw(track(RATIO, [0.0, 0.5, 1.0])).line) == [100.0, 50.0, 0.0]


def test_a_rate_that_spans_a_factor_of_more_than_fifty_has_a_logarithmic_axis_and_says_so() -> None:
    assert draw(track(RATE, [10, 10, 20_000])).log
    assert not draw(track(RATE, [10, 10, 400])).log
    assert not draw(track(RATIO, [0.0001, 1.0])).log


def test_a_point_outside_its_limits_lies_outside_its_band() -> None:
    chart = draw(track(RATE, [100, 130, 70], 80.0, 120.0))
    band = heights(chart.band.removesuffix("Z"))
    at, above, below = heights(chart.line)
    assert above < min(band) < at < max(band) < below


def test_limits_that_nothing_can_cross_are_not_drawn() -> None:
    assert draw(track(RATIO, [0.8, 0.8], 0.0, 1.0)).band == ""
    assert telling_limits(RATE, 0.0, 10.0)[1] == 10.0
    assert draw(track(RATIO, [0.8], 0.0, 0.9)).limits is not None
    assert draw(track(RATIO, [0.8], 0.0, 1.0)).limits is None


def test_the_fault_and_the_deployment_stand_where_they_began() -> None:
    marks = [Deployment("classify", "v2", 25_000), Deployment("classify", "v3", 900_000)]
    chart = draw(track(RATE, [1.0] * 10), role="root", fault_ms=50_000, deployments=marks)
    assert chart.fault == 50.0
    assert chart.lasts == 50.0
    assert [(label.at, label.text) for label in chart.deployments] == [(25.0, "v2")]
    assert draw(track(RATE, [1.0] * 10), role="root", fault_ms=50_000, until_ms=70_000).lasts == 20.0
    assert draw(track(RATE, [1.0] * 10), fault_ms=5_000_000).fault is None


@pytest.mark.parametrize("role", ["", "root"])
def test_only_what_tells_of_the_incident_is_drawn_hot(role: str) -> None:
    states = np.array([2, 2, 3, 4], np.uint8)
    chart = draw(track(RATE, [1, 1, 9, 9], state=states), role=role, fault_ms=20_000)
    assert bool(chart.hot) == bool(role)
    assert chart.dots.count("M") == (2 if role else 0)


@pytest.mark.parametrize("values", [[NAN], [0.0], [np.inf, 1.0], [-5.0, 5.0], [1e300, 1.0], [1e-9]])
def test_any_numbers_make_a_chart(values: list[float]) -> None:
    for key in (RATE, RATIO, SeriesKey("a", "latency_p95"), SeriesKey("a", "version_contrast", "x")):
        chart = draw(track(key, values, -1.0, 1e9))
        assert "nan" not in repr(chart).replace("track", "")
        assert all(0.0 <= y <= 100.0 for y in heights(chart.line))


def test_numbers_carry_their_units_and_break_nowhere() -> None:
    assert value(RATE, 20_134.0) == "20\u202f100/s"
    assert value(SeriesKey("a", "latency_p95"), 0.0123) == "12\u202fms"
    assert value(SeriesKey("a", "latency_p95"), 4.2e-6) == "4.2\u202fµs"
    assert value(RATIO, NAN) == "–"
    assert limits(RATE, 80.0, 120.0) == "80–120"
    assert limits(RATE, NAN, NAN) == ""
    assert typeset("a 1 000 in 5 min and 2 things") == "a 1\u202f000 in 5\u202fmin and 2 things"
    assert name_of(SeriesKey("a", "future_metric", "x\ny")) == "future metric x y"
    assert name_of(SeriesKey("a", "count", "{label}{0}")) == "{label}{0}"
