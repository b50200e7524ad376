"""What the fold makes of frames: windows, exposure, lateness, silence, totals, health."""

from __future__ import annotations

from math import isnan

import msgspec
import pytest

from swirl.effect import State, WindowClosed
from swirl.errors import SnapshotError
from swirl.frame import (
    Definition,
    Frame,
    RatioDefinition,
    Slice,
    StageDefinition,
    Summary,
    Tick,
    definition_hash,
    encode,
)
from swirl.monitor import Monitor
from swirl.settings import MonitorSettings
from swirl.sketch import Distribution
from tests.monitor.log import START

GRAPH = Definition((StageDefinition("a", validates=True), StageDefinition("b", ("a",))))
A, B = b"a" * 16, b"b" * 16


class Log:
    """A monitor and the log that it reads, second by second."""

    def __init__(self, **given: float) -> None:
        base = {"window_seconds": 1, "lateness_seconds": 0, "silence_seconds": 5, "retained_windows": 2}
        self.monitor = Monitor(MonitorSettings(**(base | given)))  # type: ignore[arg-type] # as the settings are typed
        self.offset = 0
        self.sequences: dict[bytes, int] = {}

    def apply(self, log_ms: int, payload: bytes) -> list[WindowClosed]:
        effects = self.monitor.apply(self.offset, START + log_ms, payload)
        self.offset += 1
        return [effect for effect in effects if isinstance(effect, WindowClosed)]

    def frame(
        self,
        covers: tuple[int, int],
        *slices: Slice,
        log_ms: int | None = None,
        emitter: bytes = A,
        **given: object,
    ) -> list[WindowClosed]:
        number = self.sequences[emitter] = self.sequences.get(emitter, 0) + 1
        moved = tuple(msgspec.structs.replace(piece, bucket_ms=START + piece.bucket_ms) for piece in slices)
        known = GRAPH if number == 1 else None
        frame = Frame(
            "p",
            emitter,
            number,
            0,
            (START + covers[0], START + covers[1]),
            definition_hash(GRAPH),
            known,
            moved,
        )
        return self.apply(
            covers[1] if log_ms is None else log_ms, encode(msgspec.structs.replace(frame, **given))
        )

    def tick(self, log_ms: int) -> list[WindowClosed]:
        return self.apply(log_ms, encode(Tick("p")))


def records(bucket: int, n: int = 10, stage: str = "a", version: str = "1", **more: float) -> Slice:
    return Slice(stage, version, bucket, {"records": n, "out": n} | more)


def starts(windows: list[WindowClosed]) -> list[int]:
    return [window.start_ms - START for window in windows]


def value(window: WindowClosed, stage: str, metric: str, label: str = "") -> float:
    point = window.point(stage, metric, label)
    assert point is not None
    return point.value


def test_a_window_closes_when_the_watermark_passes_its_end() -> None:
    log = Log(lateness_seconds=0.5)
    assert log.frame((0, 1_000), records(0)) == []
    assert log.frame((1_000, 1_499), records(1_000)) == []
    closed = log.frame((1_499, 1_500))
    assert starts(closed) == [0]
    assert (closed[0].whole, closed[0].exposure_ms, closed[0].revision, closed[0].end_ms) == (
        True,
        1_000,
        0,
        START + 1_000,
    )
    assert value(closed[0], "a", "records") == 10


def test_a_window_that_is_covered_in_part_is_shown_and_not_judged() -> None:
    log = Log()
    (closed,) = log.frame((600, 1_000), records(0, 4))
    assert (closed.whole, closed.exposure_ms) == (False, 400)
    point = closed.point("a", "records")
    assert point is not None
    assert (point.value, point.state) == (10, State.UNMEASURED)
    assert isnan(point.expected)


def test_zero_and_missing_are_two_things() -> None:
    log = Log()
    log.frame((0, 1_000), records(0))
    zero = log.frame((1_000, 2_000))[-1]
    assert zero.whole
    assert value(zero, "a", "records") == 0
    assert starts(log.tick(2_000 + 5_000)) == []
    missing = log.tick(2_000 + 5_001)
    assert starts(missing) == [2_000, 3_000, 4_000, 5_000, 6_000]
    assert [w.exposure_ms for w in missing] == [0] * 5
    assert not any(w.whole for w in missing)
    assert missing[-1].health.emitters_silent == 1


def test_after_goodbye_time_stands_still() -> None:
    log = Log()
    log.frame((0, 1_500), records(0), records(1_000), goodbye=True)
    assert starts(log.tick(20_000)) == [1_000]
    assert log.tick(90_000) == []
    closed = log.frame((80_000, 81_000), records(80_000), emitter=B, log_ms=95_000)
    assert starts(closed) == [80_000]
    assert closed[-1].health.emitters == 1


def test_late_records_revise_a_window_while_it_is_retained_and_are_counted_by_cause() -> None:
    log = Log()
    for second in range(4):
        log.frame((second * 1_000, second * 1_000 + 1_000), records(second * 1_000))
    log.frame((4_000, 4_500), records(3_000, 5, invalid=5), records(0, 7))
    told = log.frame((4_500, 5_000), records(4_000))
    assert [(w.start_ms - START, w.revision) for w in told] == [(3_000, 1), (4_000, 0)]
    assert value(told[0], "a", "records") == 15
    assert value(told[0], "a", "invalid") == 5
    late = told[-1].health.late_records
    assert late == {"revised": 5, "closed": 7}
    assert told[-1].totals["a"]["1"].records == 10 * 5 + 5 + 7


def test_records_from_the_future_are_counted_and_move_nothing() -> None:
    log = Log(skew_seconds=60)
    log.frame((0, 1_000), records(0))
    log.frame((1_000, 90_000), records(80_000, 3), log_ms=2_000)
    closed = log.frame((1_000, 2_000), records(1_000))
    assert starts(closed) == [1_000]
    assert closed[-1].health.late_records == {"future": 3}


def test_a_long_gap_is_told_in_part_and_then_skipped() -> None:
    log = Log()
    log.frame((0, 1_000), records(0))
    closed = log.frame((1_000_000, 1_001_000), records(1_000_000))
    assert starts(closed)[-1] == 1_000_000
    assert len(closed) <= 66


def test_old_data_is_read_at_its_own_time() -> None:
    log = Log()
    day = 86_400_000
    log.frame((0, 1_000), records(0), log_ms=day)
    assert starts(log.frame((1_000, 3_000), records(1_000), records(2_000), log_ms=day + 10)) == [
        1_000,
        2_000,
    ]


def test_versions_are_listed_by_records_and_totals_kept_by_version() -> None:
    log = Log()
    closed = log.frame((0, 1_000), records(0, 3, version="1"), records(0, 9, version="2"))[-1]
    assert closed.versions == {"a": ("2", "1")}
    assert {version: t.records for version, t in closed.totals["a"].items()} == {"1": 3, "2": 9}


def test_the_newest_versions_keep_totals_and_those_before_share_one() -> None:
    log = Log()
    for number in range(12):
        closed = log.frame(
            (number * 1_000, number * 1_000 + 1_000), records(number * 1_000, version=str(number))
        )
    assert sorted(closed[-1].totals["a"]) == sorted(["(other)", *(str(number) for number in range(4, 12))])


def test_totals_of_an_effect_do_not_change_afterwards() -> None:
    log = Log()
    first = log.frame((0, 1_000), Slice("a", "1", 0, {"records": 1}, {"reason": {"x": 1}}))[-1]
    log.frame((1_000, 2_000), Slice("a", "1", 1_000, {"records": 5}, {"reason": {"x": 5}}))
    assert (first.totals["a"]["1"].records, first.totals["a"]["1"].reasons) == (1, {"x": 1})


def test_latency_and_labels_are_told() -> None:
    d = Distribution()
    d.update([0.001] * 99 + [0.5])
    piece = Slice(
        "a",
        "1",
        0,
        {"records": 100, "predictions": 100},
        {"label": {"yes": 60, "(other)": 40}, "error": {"ValueError": 2}},
        {"latency": Summary(d.count, d.total, d.encode()), "bad": Summary(1, 1.0, b"junk")},
    )
    closed = Log().frame((0, 1_000), piece)[-1]
    median, _, highest = closed.latency["a"]
    assert median == pytest.approx(0.001)
    assert highest > median
    total = closed.totals["a"]["1"]
    assert total.labels == {"yes": 60, "(other)": 40}
    assert total.error_types == {"ValueError": 2}
    assert total.latency_seconds == pytest.approx(0.599)
    assert (closed.health.labels_overflowed, closed.health.unreadable) == (40, 1)
    assert value(closed, "a", "prediction_ratio", "yes") == 0.6


def test_series_beyond_the_cap_are_counted_and_left_out() -> None:
    log = Log(series=4)
    labels = {str(number): 1 for number in range(10)}
    closed = log.frame((0, 1_000), Slice("a", "1", 0, {"records": 10, "predictions": 10}, {"label": labels}))[
        -1
    ]
    assert closed.health.series == 4
    assert closed.health.series_refused > 0


def test_stages_that_two_emitters_define_make_one_graph() -> None:
    log = Log()
    other = Definition(
        (StageDefinition("b", ("a",)), StageDefinition("c", ("b",))),
        (RatioDefinition("r", ("c", "x"), ("b", "out")),),
    )
    log.frame((0, 1_000), records(0))
    log.frame(
        (0, 1_000),
        records(0, stage="c", x=4),
        emitter=B,
        definition=other,
        definition_hash=definition_hash(other),
    )
    assert log.frame((1_000, 2_000), records(1_000)) == []
    closed = log.frame((1_000, 2_000), emitter=B, definition_hash=definition_hash(other))[-1]
    assert [stage.name for stage in closed.definition.stages] == ["a", "b", "c"]
    assert [ratio.name for ratio in closed.definition.ratios] == ["r"]


def test_a_stage_that_is_defined_no_more_leaves_the_graph_with_its_last_emitter() -> None:
    log = Log()
    other = Definition((StageDefinition("z"),))
    log.frame((0, 1_000), records(0))
    log.frame(
        (0, 1_000), records(0, stage="z"), emitter=B, definition=other, definition_hash=definition_hash(other)
    )
    log.frame((1_000, 1_500), emitter=B, goodbye=True, definition_hash=definition_hash(other))
    closed = log.frame((1_000, 2_000), records(1_000))[-1]
    assert [stage.name for stage in closed.definition.stages] == ["a", "b"]


def test_a_frame_whose_definition_is_not_known_yet_still_counts() -> None:
    log = Log()
    log.sequences[A] = 5
    closed = log.frame((0, 1_000), records(0))[-1]
    assert closed.definition.stages == ()
    assert closed.totals["a"]["1"].records == 10
    closed = log.frame((1_000, 2_000), records(1_000), definition=GRAPH)[-1]
    assert value(closed, "a", "records") == 10


def test_the_health_counts_what_was_lost_on_the_way() -> None:
    log = Log()
    log.frame((0, 1_000), records(0))
    log.sequences[A] += 3
    closed = log.frame((1_000, 2_000), records(1_000), dropped=7, failed=2)[-1]
    health = closed.health
    assert (health.frames, health.frames_lost, health.dropped_records, health.failed_frames) == (2, 3, 7, 2)
    assert (health.lag_ms, health.watermark_ms, health.last_seen_ms) == (0, START + 2_000, START + 2_000)
    assert health.budget_a_week == 1


def test_what_stands_is_the_last_window_and_the_verdict() -> None:
    log = Log()
    log.frame((0, 1_000), records(0))
    log.frame((1_000, 2_000), records(1_000))
    window, verdict = log.monitor.standing()
    assert isinstance(window, WindowClosed)
    assert window.start_ms == START + 1_000
    assert verdict.identity == "p/0/healthy"


def test_a_cover_of_years_costs_no_windows_of_years() -> None:
    log = Log()
    closed = log.frame((-START, 1_000), records(0))
    assert len(closed) <= 70
    assert starts(closed)[-1] == 0


def test_event_times_of_1970_are_late_and_harmless() -> None:
    log = Log()
    log.frame((0, 1_000), records(0))
    closed = log.frame((1_000, 2_000), records(1_000), records(-START, 4))
    assert starts(closed) == [1_000]
    assert closed[-1].health.late_records == {"closed": 4}


def test_a_first_frame_from_the_future_does_not_keep_the_pipeline_from_beginning() -> None:
    log = Log(skew_seconds=60)
    assert log.frame((90_000, 91_000), records(90_000), log_ms=1_000) == []
    assert log.tick(9_000) == []
    closed = log.frame((9_000, 10_000), records(9_000))
    assert starts(closed) == [9_000]
    assert value(closed[0], "a", "records") == 10


def test_a_newcomer_from_the_future_leaves_the_rest_between_two_runs_as_it_is() -> None:
    log = Log(skew_seconds=60)
    log.frame((0, 1_000), records(0), goodbye=True)
    assert log.frame((90_000, 91_000), records(20_000), log_ms=20_000, emitter=B) == []
    assert log.tick(30_000) == []
    assert starts(log.frame((30_000, 31_000), records(30_000), emitter=B)) == [30_000]


def test_a_stage_leaves_the_graph_when_a_newcomer_takes_the_place_of_its_silent_emitter() -> None:
    log = Log()
    other = Definition((StageDefinition("b"),))
    log.frame((0, 1_000), records(0))
    for second in range(1, 9):
        closed = log.frame(
            (second * 1_000, second * 1_000 + 1_000),
            records(second * 1_000, stage="b"),
            emitter=B,
            definition=other if second == 1 else None,
            definition_hash=definition_hash(other),
        )
    assert [stage.name for stage in closed[-1].definition.stages] == ["b"]


def test_the_input_of_a_stage_is_not_judged_by_parents_that_it_has_no_more() -> None:
    log = Log()
    for second in range(20):
        n = 90 + second % 7
        log.frame(
            (second * 1_000, second * 1_000 + 1_000),
            records(second * 1_000, n),
            records(second * 1_000, n, stage="b"),
        )
    renamed = Definition((StageDefinition("first"), StageDefinition("b", ("first",))))
    log.frame((20_000, 20_500), emitter=A, goodbye=True)
    closed = log.frame(
        (20_000, 21_000),
        records(20_000, stage="first"),
        records(20_000, stage="b"),
        emitter=B,
        definition=renamed,
        definition_hash=definition_hash(renamed),
    )[-1]
    point = closed.point("b", "input_ratio")
    assert point is not None
    assert isnan(point.value)


def test_a_snapshot_of_windows_of_another_length_is_refused() -> None:
    log = Log()
    log.frame((0, 1_000), records(0))
    other = Monitor(MonitorSettings(window_seconds=2))
    with pytest.raises(SnapshotError, match=r"windows of 1000 ms.*2000 ms"):
        other.restore(log.monitor.snapshot())
    assert other.pipelines == ()


def test_a_summary_that_is_no_number_does_not_spoil_the_total() -> None:
    log = Log()
    for second, total in enumerate((0.5, float("nan"), float("inf"), 0.25)):
        piece = Slice("a", "1", second * 1_000, {"records": 1}, {}, {"latency": Summary(1, total, b"junk")})
        closed = log.frame((second * 1_000, second * 1_000 + 1_000), piece)
    assert closed[-1].totals["a"]["1"].latency_seconds == 0.75
