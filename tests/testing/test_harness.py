from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import swirl
import swirl.testing
from swirl.effect import State
from swirl.settings import MonitorSettings
from swirl.testing import Harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

WINDOW = 10


class Shop:
    """Orders are checked and scored."""

    def __init__(self, name: str = "shop") -> None:
        self.pipeline = shop = swirl.Pipeline(name, version="1")
        self.broken = 0.0
        self.number = 0

        @shop.stage(valid=lambda order: order is not None, on_invalid="drop")
        def check(order: int) -> int | None:
            return None if order % 100 < 100 * self.broken or order % 97 == 0 else order

        @shop.stage(after=check, predicts=True)
        def score(order: int) -> str:
            return "buy" if order % 10 < 3 else "skip"

        self.check, self.score = check, score

    def order(self) -> None:
        # Steps of a prime keep every remainder as common as the others.
        self.number += 7919
        order = self.check(self.number)
        if order is not None:
            self.score(order)


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_the_public_names_are_sorted_and_exist() -> None:
    names = swirl.testing.__all__
    assert names == sorted(names)
    assert all(hasattr(swirl.testing, name) for name in names)


def test_virtual_time_passes_and_windows_close(shop: Shop) -> None:
    harness = Harness(shop.pipeline, window_seconds=WINDOW, lateness_seconds=0)
    began = harness.clock.now
    harness.drive(shop.order, per_second=20, seconds=60)
    assert harness.clock.now == began + 60
    assert harness.calls == 1200
    assert [window.start_ms for window in harness.windows] == [
        int(1000 * (began + start)) for start in range(0, 60, WINDOW)
    ]


def test_a_rate_that_is_no_whole_number_is_kept_over_time(shop: Shop) -> None:
    harness = Harness(shop.pipeline)
    harness.drive(shop.order, per_second=0.3, seconds=100)
    assert harness.calls == 30


def test_points_of_one_series_are_read_in_order(shop: Shop) -> None:
    harness = Harness(shop.pipeline, window_seconds=WINDOW)
    harness.drive(shop.order, per_second=50, seconds=60)
    harness.finish()
    points = list(harness.points("score", "prediction_ratio", "buy"))
    starts = [start for start, _ in points]
    assert starts == sorted(starts)
    assert points[0][1].value == pytest.approx(0.3, abs=0.01)
    assert (points[0][1].numerator, points[0][1].denominator) == pytest.approx((148, 495), abs=3)
    assert list(harness.points("score", "no such metric")) == []


def test_only_the_newest_windows_are_kept(shop: Shop) -> None:
    harness = Harness(shop.pipeline, window_seconds=WINDOW, keep_windows=3)
    harness.drive(shop.order, per_second=1, seconds=120)
    assert len(harness.windows) == 3


def test_a_fault_is_told_and_turns_the_verdict(shop: Shop) -> None:
    with Harness(shop.pipeline, window_seconds=WINDOW) as harness:
        harness.drive(shop.order, per_second=50, hours=0.3)
        assert harness.incidents == []
        assert shop.pipeline.verdict.state == "healthy"
        shop.broken = 0.6
        harness.drive(shop.order, per_second=50, seconds=40)
    assert [incident.title for incident in harness.incidents] == ["check: data pipeline broken"]
    assert harness.changes[0].transition == "opened"
    assert harness.verdicts[-1].verdict.state == "tripped"
    assert harness.alarms
    assert all(point.state is State.ANOMALY for _, point in harness.alarms)


def test_a_monitor_that_restarts_goes_on_as_if_nothing_had_been() -> None:
    told = []
    for restarts in (False, True):
        shop = Shop()
        harness = Harness(shop.pipeline, window_seconds=WINDOW)
        harness.drive(shop.order, per_second=50, seconds=700)
        before = harness.monitor
        if restarts:
            harness.restart_monitor()
            assert harness.monitor is not before
        shop.broken = 0.5
        harness.drive(shop.order, per_second=50, seconds=60)
        told.append((harness.changes, [window.numbers for window in harness.windows]))
    assert told[0] == told[1]
    assert told[0][0]


def test_one_past_has_many_futures() -> None:
    past = Harness((first := Shop()).pipeline, window_seconds=WINDOW)
    past.drive(first.order, per_second=50, seconds=700)
    state = past.save()
    titles = []
    for broken in (0.0, 0.5, 0.5):
        shop = Shop()
        harness = Harness(shop.pipeline, window_seconds=WINDOW, resume=state)
        assert harness.clock.now == past.clock.now
        shop.broken = broken
        harness.drive(shop.order, per_second=50, seconds=60)
        titles.append([incident.title for incident in harness.incidents])
        assert harness.windows[-1].health.frames_lost == 0
        assert harness.windows[-1].health.emitters == 1
    assert titles == [[], ["check: data pipeline broken"], ["check: data pipeline broken"]]


def test_a_past_is_resumed_by_as_many_pipelines_as_it_had(shop: Shop) -> None:
    state = Harness(shop.pipeline).save()
    with pytest.raises(ValueError, match="shorter"):
        Harness(Shop("a").pipeline, Shop("b").pipeline, resume=state)


def test_silence_without_goodbye_is_told(shop: Shop) -> None:
    harness = Harness(shop.pipeline, window_seconds=WINDOW)
    harness.drive(shop.order, per_second=50, hours=0.3)
    harness.be_silent(120)
    assert [incident.cause for incident in harness.incidents] == ["monitoring blind"]
    assert harness.windows[-1].health.emitters_silent == 1
    assert harness.windows[-1].exposure_ms == 0


def test_settings_are_given_whole_or_by_name(shop: Shop) -> None:
    settings = MonitorSettings(window_seconds=5)
    assert Harness(shop.pipeline, settings=settings).settings is settings
    assert Harness(shop.pipeline, window_seconds=5).settings == settings


def test_pipelines_are_watched_side_by_side() -> None:
    one, other = Shop("one"), Shop("other")
    harness = Harness(one.pipeline, other.pipeline, window_seconds=WINDOW)

    def both() -> None:
        one.order()
        other.order()

    harness.drive(both, per_second=50, seconds=700)
    one.broken = 0.5
    harness.drive(both, per_second=50, seconds=60)
    assert [(i.pipeline, i.title) for i in harness.incidents] == [("one", "check: data pipeline broken")]
    assert {window.pipeline for window in harness.windows} == {"one", "other"}
    assert (one.pipeline.verdict.state, other.pipeline.verdict.state) == ("tripped", "healthy")


def generators() -> tuple[swirl.Pipeline, Callable[[], object]]:
    pipeline = swirl.Pipeline("words")

    @pipeline.stage
    def split(lines: list[str]) -> Iterator[str]:
        for line in lines:
            yield from line.split()

    @pipeline.stage(after=split, predicts=True)
    def judge(word: str) -> str:
        return "long" if len(word) > 4 else "short"

    return pipeline, lambda: [judge(word) for word in split(["a stitch in time"])]


def coroutines() -> tuple[swirl.Pipeline, Callable[[], object]]:
    pipeline = swirl.Pipeline("words")

    @pipeline.stage
    async def split(line: str) -> AsyncIterator[str]:
        for word in line.split():
            yield word

    @pipeline.stage(after=split, predicts=True)
    async def judge(word: str) -> str:
        await asyncio.sleep(0)
        return "long" if len(word) > 4 else "short"

    async def serve() -> None:
        async for word in split("a stitch in time"):
            await judge(word)

    return pipeline, lambda: asyncio.run(serve())


@pytest.mark.parametrize("made", [generators, coroutines])
def test_stages_of_every_kind_run_through_it(
    made: Callable[[], tuple[swirl.Pipeline, Callable[[], object]]],
) -> None:
    pipeline, record = made()
    harness = Harness(pipeline, window_seconds=WINDOW, lateness_seconds=0)
    harness.drive(record, per_second=2, seconds=WINDOW)
    words = [point.value * WINDOW for _, point in harness.points("judge", "records")]
    ratios = [point.value for _, point in harness.points("judge", "prediction_ratio", "long")]
    assert words == [80]
    assert ratios == [0.25]
