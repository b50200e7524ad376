"""A detector for one series in a bank; the example of the documentation runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swirl.detector import Bank, Detector, Kind, Points
from swirl.errors import SnapshotError
from swirl.scalar import Point, SeriesBank
from swirl.sketch import Distribution
from tests.detectors.streams import MINUTE, every, run

README = Path(__file__).parents[2] / "detectors" / "README.md"


def example() -> dict[str, Any]:
    """What the python block of the documentation defines."""
    found = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(found.group(1), str(README), "exec", dont_inherit=True), names)
    return names


def window(at: int, *values: float, weight: float = 1.0) -> Points:
    return Points(at * MINUTE, MINUTE, np.array(values), np.full(len(values), weight))


def test_the_example_of_the_documentation_is_a_detector() -> None:
    detector = example()["RecordDetector"]()
    assert isinstance(detector, Detector)
    bank = detector.build(Kind.LEVEL)
    assert isinstance(bank, Bank)
    bank.grow(2)
    bank.refresh(0.01)
    run(bank, [window(t, 5.0, 7.0) for t in range(300)], every(2))
    scores = bank.score(every(2), window(300, 6.0, 7.0))
    assert scores.alarm.tolist() == [True, False]
    assert scores.evidence[0] == pytest.approx(np.log(302) / np.log(100))


class Far:
    """Surprise grows with the distance from the mean of what was learnt."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def score(self, point: Point) -> float:
        return abs(point.shown - sum(self.seen) / len(self.seen)) if self.seen else float("nan")

    def learn(self, point: Point) -> None:
        self.seen = [*self.seen[-9:], point.shown]


def far_bank(kind: Kind = Kind.LEVEL, warm_up: int = 5) -> SeriesBank:
    bank = SeriesBank(kind, Far, warm_up)
    bank.grow(2)
    bank.refresh(1e-5)
    return bank


def test_it_resumes_from_its_snapshot_and_refuses_another() -> None:
    bank = far_bank()
    run(bank, [window(t, float(t % 3), 0.0) for t in range(30)], every(2))
    bank.hold(np.array([1]))
    other = SeriesBank(Kind.LEVEL, Far, 5)
    other.restore(bank.snapshot())
    assert other.snapshot() == bank.snapshot()
    with pytest.raises(SnapshotError, match="kind level"):
        SeriesBank(Kind.RATE, Far).restore(bank.snapshot())
    with pytest.raises(SnapshotError, match="damaged"):
        far_bank().restore({**bank.snapshot(), "detectors": [3]})


def test_it_asks_for_more_in_the_warm_up_and_leaves_alarms_unlearnt() -> None:
    bank = far_bank(warm_up=5)
    run(bank, [window(t, 0.0, 0.0) for t in range(3)], every(2))
    early = run(bank, [window(3, 15.0, 30.0)], every(2))[0]
    assert early.learning.all()
    assert early.alarm.tolist() == [False, True]
    run(bank, [window(4 + t, 0.0, 0.0) for t in range(20)], every(2))
    assert bank.score(every(2), window(30, 15.0, 0.0)).alarm.tolist() == [True, False]
    assert bank.expected_alarms > 0


def test_a_held_series_is_loud_and_never_alarms_and_begins_anew_when_adopted() -> None:
    bank = far_bank()
    run(bank, [window(t, 0.0, 0.0) for t in range(20)], every(2))
    bank.hold(np.array([0]))
    scores = bank.score(every(2), window(20, 20.0, 0.0))
    assert (scores.alarm[0], scores.loud[0]) == (False, True)
    bank.release(np.array([0]), adopt=True)
    assert bank.score(every(2), window(21, 20.0, 0.0)).evidence[0] == 0


def test_what_is_no_number_of_its_kind_is_not_measured() -> None:
    for kind, value, weight in (
        (Kind.RATIO, 3.0, 0.0),
        (Kind.RATIO, 3.0, 2.0),
        (Kind.RATE, -1.0, 1.0),
        (Kind.LEVEL, np.nan, 1.0),
        (Kind.POSITIVE, np.inf, 1.0),
    ):
        bank = far_bank(kind)
        scores = run(bank, [window(0, value, value, weight=weight)], every(2))[0]
        assert np.isnan(scores.value).all()
        assert not any(vars(d)["seen"] for d in bank._detectors)


def test_a_distribution_is_handed_over_as_it_is() -> None:
    seen: list[object] = []

    class Looks(Far):
        def score(self, point: Point) -> float:
            seen.append(point.sample)
            return 0.0

    bank = SeriesBank(Kind.DISTRIBUTION, Looks)
    bank.grow(2)
    sample = Distribution()
    nothing = np.zeros(2)
    bank.score(every(2), Points(0, MINUTE, nothing, nothing, [sample, None]))
    assert seen == [sample]
