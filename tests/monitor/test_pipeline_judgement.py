"""What the fold does with alarms and with what the incidents decide: each side is played by a script."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import numpy as np
import pytest

from swirl.detector import Kind, Points, Rows, Scores
from swirl.effect import Effect, Incident, IncidentChanged, SeriesKey, VerdictChanged, WindowClosed
from swirl.frame import Definition, Frame, Slice, StageDefinition, Summary, Tick, Verdict, definition_hash
from swirl.incident.life import Anomaly, Step
from swirl.monitor.pipeline import PipelineMonitor
from swirl.settings import MonitorSettings
from swirl.sketch import Distribution
from tests.incident.simulator import drain
from tests.monitor.log import START

if TYPE_CHECKING:
    from collections.abc import Generator

    from swirl.history import History, WindowCounts

A, B = b"a" * 16, b"b" * 16
GRAPH = Definition((StageDefinition("a", validates=True, features=("length",)), StageDefinition("b", ("a",))))
INVALID = SeriesKey("a", "invalid_ratio")
TRIPPED = Verdict("tripped", START, "p-1", "a", "data pipeline broken")
INCIDENT = Incident(
    id="p-1",
    pipeline="p",
    state="open",
    revision=0,
    stage="a",
    cause="data pipeline broken",
    onset_ms=START,
    opened_ms=START + 1_000,
    sentence="",
    look_first="",
    evidence=(),
    posterior=0.9,
    rivals=(),
    windows=1,
    window_ms=1_000,
    preliminary=False,
    severity="tripped",
)


@dataclass
class Script:
    """What the detectors say in a window, what the incidents decide there, and what each was told.

    Attributes:
        alarms: start of a window -> share of the evidence, since when; of the ratio in row 0.
        loud: starts of windows in which row 0 is far from normal.
        steps: start of a window -> what the incidents decide.
        watched: starts of windows after which something is watched.
        calls: what the bank of ratios was told, in order.
        seen: start of a window -> anomalies, loud series and counts that the incidents were given.
    """

    alarms: dict[int, tuple[float, int]] = field(default_factory=dict)
    loud: set[int] = field(default_factory=set)
    steps: dict[int, Step] = field(default_factory=dict)
    watched: set[int] = field(default_factory=set)
    incident: Incident | None = None
    z: dict[int, float] = field(default_factory=dict)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    seen: dict[int, tuple[list[Anomaly], frozenset[SeriesKey], WindowCounts]] = field(default_factory=dict)
    definitions: list[Definition | None] = field(default_factory=list)
    windows: int = 0


class ScriptedBank:
    """Says what the script says, and writes down what it is told."""

    expected_alarms = 0.25

    def __init__(self, script: Script, kind: Kind) -> None:
        self.script, self.kind = script, kind
        self.z: np.ndarray[tuple[int], np.dtype[np.float64]] | None = None

    def grow(self, size: int) -> None:
        """Nothing is kept by row."""

    def score(self, rows: Rows, points: Points) -> Scores:
        """Row 0 as the script says, the others normal."""
        start = points.start_ms - START
        neutral = Scores.neutral(points)
        if self.kind is Kind.DISTRIBUTION:
            self.z = np.full(len(rows), self.script.z.get(start, np.nan))
            return neutral
        self.script.windows += 1
        evidence, since = self.script.alarms.get(start, (0.0, start))
        first = np.arange(len(rows)) == 0
        return replace(
            neutral,
            expected=np.full(len(rows), 0.001),
            evidence=np.where(first, evidence, 0.0),
            alarm=first & (evidence >= 1),
            loud=first & (start in self.script.loud),
            since_ms=np.where(first, START + since, points.start_ms),
        )

    def _told(self, *call: Any) -> None:
        if self.kind is Kind.RATIO:
            self.script.calls.append((*call, self.script.windows))

    def learn(self, rows: Rows, points: Points) -> None:
        """Write down which rows."""
        self._told("learn", rows.tolist())

    def hold(self, rows: Rows) -> None:
        """Write down which rows."""
        self._told("hold", rows.tolist())

    def release(self, rows: Rows, *, adopt: bool = False, chance: bool = False) -> None:
        """Write down which rows, and how."""
        self._told("release", rows.tolist(), adopt, chance)

    def refresh(self, alarms_per_window: float) -> None:
        """Write down that it happened."""
        self._told("refresh")

    def snapshot(self) -> dict[str, Any]:
        """Nothing is kept."""
        return {}


@dataclass(frozen=True)
class Scripted:
    """The configuration of the scripted bank."""

    script: Script
    name: ClassVar[str] = "scripted"
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.RATIO, Kind.DISTRIBUTION})

    def build(self, kind: Kind, resume: dict[str, Any] | None = None) -> ScriptedBank:
        """A bank for one kind."""
        return ScriptedBank(self.script, kind)


class ScriptedIncidents:
    """Decides what the script says."""

    script: ClassVar[Script]
    false_alarms = acts_ignored = due_ms = 0
    mutes = ()

    def __init__(self, pipeline: str, settings: MonitorSettings, resume: object) -> None:
        self._pipeline = pipeline
        self.watching = False
        self.verdict = Verdict()

    @property
    def incident(self) -> Incident | None:
        """The open one."""
        return self.script.incident

    def step(
        self, now: WindowCounts, history: History, anomalies: list[Anomaly], loud: frozenset[SeriesKey]
    ) -> Generator[None, None, Step]:
        """Write down what came and answer as the script says."""
        yield
        start = now.start_ms - START
        self.script.seen[start] = anomalies, loud, now
        self.script.definitions.append(history.definition)
        self.watching = start in self.script.watched
        return self.script.steps.get(start, Step([]))

    def spent(self, now_ms: int) -> int:
        """Nothing was chance."""
        return 0

    def snapshot(self) -> dict[str, Any]:
        """Nothing is kept."""
        return {}


class Pipeline:
    """One pipeline and its log."""

    def __init__(self, script: Script, **given: float) -> None:
        base = {"window_seconds": 1, "lateness_seconds": 0, "silence_seconds": 5, "retained_windows": 2}
        settings = MonitorSettings(**(base | given))  # type: ignore[arg-type] # as the settings are typed
        detectors = {kind: (Scripted(script),) for kind in Scripted.kinds}
        self.monitor = PipelineMonitor("p", settings, detectors)
        self.sequences: dict[bytes, int] = {}

    def frame(
        self,
        covers: tuple[int, int],
        *slices: Slice,
        log_ms: int = -1,
        sent_ms: int = -1,
        emitter: bytes = A,
        goodbye: bool = False,
    ) -> list[Effect]:
        number = self.sequences[emitter] = self.sequences.get(emitter, 0) + 1
        logged = covers[1] if log_ms < 0 else log_ms
        frame = Frame(
            "p",
            emitter,
            number,
            START + (logged if sent_ms < 0 else sent_ms),
            (START + covers[0], START + covers[1]),
            definition_hash(GRAPH),
            GRAPH if number == 1 else None,
            tuple(msgspec.structs.replace(piece, bucket_ms=START + piece.bucket_ms) for piece in slices),
            goodbye=goodbye,
        )
        effects: list[Effect] = drain(self.monitor.apply(START + logged, frame))
        return effects

    def tick(self, log_ms: int) -> list[Effect]:
        effects: list[Effect] = drain(self.monitor.apply(START + log_ms, Tick("p")))
        return effects

    def second(self, number: int, n: int = 1_000, passed: int | None = None) -> list[Effect]:
        """A second of traffic: half of the records of ``a`` are invalid, all reach ``b``."""
        start = number * 1_000
        return self.frame(
            (start, start + 1_000), invalid(start, n), reaching(start, n if passed is None else passed)
        )

    def run(self, seconds: int) -> list[Effect]:
        return [effect for number in range(seconds) for effect in self.second(number)]


def latency(middle: float) -> Summary:
    d = Distribution()
    d.update([middle * factor for factor in (0.8, 0.9, 1.0, 1.1, 1.2)] * 6)
    return Summary(d.count, d.total, d.encode())


def invalid(start: int, n: int = 1_000) -> Slice:
    summaries = {"latency": latency(0.002), "feature:length": latency(10.0)}
    return Slice("a", "1", start, {"records": n, "invalid": n // 2, "out": n}, {}, summaries)


def reaching(start: int, n: int = 1_000) -> Slice:
    return Slice("b", "1", start, {"records": n, "out": n}, {}, {"latency": latency(0.001)})


def windows(effects: list[Effect]) -> list[WindowClosed]:
    return [effect for effect in effects if isinstance(effect, WindowClosed)]


def told(effects: list[Effect]) -> list[tuple[int, int]]:
    return [(window.start_ms - START, window.revision) for window in windows(effects)]


def counted(window: WindowClosed) -> float:
    """Records of ``a`` in a window."""
    point = window.point("a", "records")
    assert point is not None
    return point.numerator


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    script = Script()

    class Incidents(ScriptedIncidents):
        pass

    Incidents.script = script
    monkeypatch.setattr("swirl.monitor.pipeline.Incidents", Incidents)
    return script


# What the incidents are given


def test_an_alarm_reaches_the_incidents_with_its_series_its_beginning_its_evidence_and_its_side(
    script: Script,
) -> None:
    script.alarms[2_000] = (3.5, 1_000)
    Pipeline(script).run(3)
    assert script.seen[1_000][0] == []
    assert script.seen[2_000][0] == [Anomaly(INVALID, START + 2_000, START + 1_000, 3.5, 1)]


def test_alarms_are_counted_from_the_start(script: Script) -> None:
    script.alarms |= {0: (2.0, 0), 2_000: (2.0, 2_000)}
    effects = windows(Pipeline(script).run(4))
    assert [window.health.alarms for window in effects] == [1, 1, 2, 2]


def test_only_what_is_held_is_loud(script: Script) -> None:
    script.loud |= {0, 1_000, 2_000}
    script.steps[1_000] = Step([], hold=frozenset({INVALID}))
    Pipeline(script).run(3)
    assert [script.seen[start][1] for start in (0, 1_000, 2_000)] == [
        frozenset(),
        frozenset(),
        frozenset({INVALID}),
    ]


def test_the_counts_of_a_window_come_with_its_emitters_its_drift_and_whether_it_is_whole(
    script: Script,
) -> None:
    script.z[0] = 2.5
    pipeline = Pipeline(script)
    pipeline.second(0)
    pipeline.frame((1_200, 2_000), invalid(1_000))
    whole, partial = script.seen[0][2], script.seen[1_000][2]
    assert (whole.whole, partial.whole) == (True, False)
    assert whole.drift == {"a": {"length": 2.5}}
    assert partial.drift == {}
    assert whole.heard == whole.known == {"a": 1, "b": 1}
    assert script.definitions == [GRAPH, GRAPH]


@pytest.mark.parametrize(("covered", "whole"), [(990, True), (989, False)])
def test_a_window_is_whole_from_99_percent_on(script: Script, covered: int, *, whole: bool) -> None:
    pipeline = Pipeline(script)
    pipeline.frame((1_000 - covered, 1_000), invalid(0))
    assert script.seen[0][2].whole is whole


# What the incidents decide


def test_a_held_series_is_not_learnt_until_it_is_released(script: Script) -> None:
    script.steps |= {
        1_000: Step([], hold=frozenset({INVALID})),
        3_000: Step([], release=frozenset({INVALID}), adopt=True),
    }
    Pipeline(script).run(4)
    calls = [call[:-1] for call in script.calls if call[0] != "refresh"]
    everything = [0, 1, 2, 3, 4]
    assert calls == [
        ("learn", everything),
        ("hold", [0]),
        ("learn", everything[1:]),
        ("learn", everything[1:]),
        ("release", [0], True, False),
        ("learn", everything),
    ]


@pytest.mark.parametrize(("adopt", "chance"), [(False, False), (True, False), (False, True)])
def test_a_release_says_whether_the_level_is_new_and_whether_the_alarm_was_chance(
    script: Script, *, adopt: bool, chance: bool
) -> None:
    script.steps |= {
        0: Step([], hold=frozenset({INVALID})),
        1_000: Step([], release=frozenset({INVALID}), adopt=adopt, chance=chance),
    }
    Pipeline(script).run(2)
    assert ("release", [0], adopt, chance, 2) in script.calls


def test_after_the_window_comes_what_changed_and_then_the_verdict(script: Script) -> None:
    opened = IncidentChanged("opened", INCIDENT)
    script.steps[1_000] = Step([opened], verdict=TRIPPED)
    first, second, *rest = Pipeline(script).run(2)
    assert told([first, second]) == [(0, 0), (1_000, 0)]
    assert rest == [opened, VerdictChanged("p", TRIPPED)]


def test_nothing_is_learnt_while_something_is_watched_and_from_no_partial_window(script: Script) -> None:
    script.watched.add(1_000)
    pipeline = Pipeline(script)
    pipeline.run(3)
    pipeline.frame((3_200, 4_000), invalid(3_000))
    pipeline.second(4)
    assert [call[-1] for call in script.calls if call[0] == "learn"] == [1, 3, 4]


def test_limits_are_set_anew_early_on_and_then_every_sixty_windows(script: Script) -> None:
    Pipeline(script).run(121)
    refreshed = sorted({call[-1] for call in script.calls if call[0] == "refresh"})
    assert refreshed == [0, 12, 16, 20, 25, 30, 40, 50, 60, 120]


def test_limits_stay_while_something_is_watched(script: Script) -> None:
    script.watched |= {number * 1_000 for number in range(11, 16)}
    Pipeline(script).run(21)
    assert sorted({call[-1] for call in script.calls if call[0] == "refresh"}) == [0, 20]


# Models of stages


def test_the_input_and_the_load_of_stages_are_learnt_from_twelve_windows(script: Script) -> None:
    pipeline = Pipeline(script)
    for number in range(11):
        pipeline.second(number, 900 + 30 * (number % 5))
    assert pipeline.monitor.snapshot()["inputs"] == {}
    pipeline.second(11, 1_000)
    state = pipeline.monitor.snapshot()
    assert {name: model["stage"] for name, model in state["inputs"].items()} == {"b": "b"}
    assert {name: model["stage"] for name, model in state["loads"].items()} == {"a": "a", "b": "b"}


def test_records_that_were_under_way_when_the_last_window_ended_are_no_surprise(script: Script) -> None:
    def input_ratio(first: int) -> float:
        pipeline = Pipeline(script)
        for number in range(20):
            pipeline.second(number, 900 + 30 * (number % 5))
        pipeline.second(20, first, first)
        closed = windows(pipeline.second(21, 1_000, 2_000))[-1]
        point = closed.point("b", "input_ratio")
        assert point is not None
        return point.value

    assert input_ratio(2_000) == pytest.approx(1.0, abs=0.01)
    assert input_ratio(1_000) == pytest.approx(2.0, rel=0.02)


# What is told


def test_a_closed_window_names_its_pipeline_and_the_false_alarms_expected(script: Script) -> None:
    closed = windows(Pipeline(script).run(1))[0]
    assert closed.pipeline == "p"
    assert closed.health.false_alarms_expected == 0.25 * 2


def test_what_stands_is_the_last_window_the_open_incident_and_the_verdict(script: Script) -> None:
    script.incident = INCIDENT
    pipeline = Pipeline(script, retained_windows=9)
    pipeline.run(3)
    window, incident, verdict = pipeline.monitor.standing()
    assert told([window]) == [(2_000, 0)]
    assert incident == IncidentChanged("updated", INCIDENT)
    assert verdict == VerdictChanged("p", Verdict())


def test_a_window_is_told_again_for_each_time_that_late_records_came_and_not_without(script: Script) -> None:
    pipeline = Pipeline(script)
    pipeline.second(0)
    found = []
    for number in (1, 2):
        start = number * 1_000
        found += told(pipeline.frame((start, start + 1_000), invalid(start), invalid(0, 10)))
    # The third comes when the window is let go.
    found += told(pipeline.frame((3_000, 4_000), invalid(0, 10)))
    assert found == [(0, 1), (1_000, 0), (0, 2), (2_000, 0), (3_000, 0)]


def test_what_was_told_again_is_not_told_a_third_time_without_new_records(script: Script) -> None:
    pipeline = Pipeline(script, retained_windows=9)
    pipeline.run(2)
    assert told(pipeline.frame((2_000, 3_000), invalid(0, 10))) == [(0, 1), (2_000, 0)]
    assert told(pipeline.frame((3_000, 4_000), invalid(3_000))) == [(3_000, 0)]


def test_a_revision_changes_the_counts_that_are_kept_and_neither_the_lag_nor_the_whole(
    script: Script,
) -> None:
    pipeline = Pipeline(script)
    pipeline.frame((0, 1_000), invalid(0), log_ms=1_300)
    again = windows(pipeline.frame((1_000, 2_000), invalid(0, 500), log_ms=2_100))[0]
    assert (again.revision, again.whole, again.health.lag_ms) == (1, True, 300)
    lag = again.point("", "lag")
    assert lag is not None
    assert lag.value == pytest.approx(0.3)
    kept = pipeline.monitor.snapshot()["history"][0]
    assert kept["stages"]["a"]["1"]["records"] == 1_500
    assert again.start_ms == START


def test_a_frame_that_waited_on_its_way_makes_no_record_late(script: Script) -> None:
    pipeline = Pipeline(script)
    (first,) = windows(pipeline.frame((0, 1_000), invalid(0), sent_ms=1_000, log_ms=41_000))
    assert first.point("", "lag") is None
    assert first.health.lag_ms == 40_000


def test_a_window_may_be_revised_while_it_is_retained_and_no_longer(script: Script) -> None:
    pipeline = Pipeline(script, retained_windows=3)
    for number in range(5):
        pipeline.second(number)
        retained = [window[0][0] - START for window in pipeline.monitor.snapshot()["closed"]]
        assert retained == [1_000 * s for s in range(max(0, number - 2), number + 1)]


def test_late_records_add_up_by_cause_and_those_of_a_window_told_stay_as_they_were(script: Script) -> None:
    pipeline = Pipeline(script)
    pipeline.run(3)
    first = windows(pipeline.frame((3_000, 4_000), invalid(0, 7), invalid(0, 8)))[-1]
    nothing = Slice("a", "1", 0, {"invalid": 3})
    second = windows(pipeline.frame((4_000, 5_000), invalid(0, 5), nothing))[-1]
    assert first.health.late_records == {"closed": 15}
    assert second.health.late_records == {"closed": 20}


def test_summaries_that_cannot_be_read_add_up(script: Script) -> None:
    pipeline = Pipeline(script)
    broken = Slice("a", "1", 0, {"records": 1}, {}, {"latency": Summary(1, 1.0, b"junk")})
    later = msgspec.structs.replace(broken, bucket_ms=1_000)
    effects = [*pipeline.frame((0, 1_000), broken, broken), *pipeline.frame((1_000, 2_000), later)]
    assert [window.health.unreadable for window in windows(effects)] == [2, 3]


# Settings and time


def test_the_lateness_is_kept_to_the_millisecond(script: Script) -> None:
    pipeline = Pipeline(script, lateness_seconds=2)
    pipeline.frame((0, 1_000), invalid(0))
    assert told(pipeline.frame((1_000, 2_999))) == []
    assert told(pipeline.frame((2_999, 3_000))) == [(0, 0)]


def test_the_skew_is_kept_to_the_millisecond(script: Script) -> None:
    pipeline = Pipeline(script, skew_seconds=3)
    pipeline.second(0)
    assert told(pipeline.frame((1_000, 6_001), log_ms=3_000)) == []
    assert told(pipeline.frame((1_000, 4_500), log_ms=1_500)) == [(1_000, 0), (2_000, 0), (3_000, 0)]


def test_an_emitter_is_silent_after_the_silence_and_not_before(script: Script) -> None:
    pipeline = Pipeline(script, silence_seconds=4)
    pipeline.frame((0, 900), reaching(0), emitter=B)
    pipeline.second(0)
    still = windows(pipeline.frame((1_000, 2_000), reaching(1_000), emitter=B, log_ms=5_000))[-1]
    gone = windows(pipeline.frame((2_000, 3_000), reaching(2_000), emitter=B, log_ms=5_001))[-1]
    assert (still.health.emitters, still.health.emitters_silent) == (2, 0)
    assert (gone.health.emitters, gone.health.emitters_silent) == (1, 1)
    assert script.seen[2_000][2].heard == {"a": 0, "b": 1}


def test_time_that_was_told_is_not_opened_again(script: Script) -> None:
    pipeline = Pipeline(script)
    pipeline.frame((0, 1_000), invalid(0))
    pipeline.frame((1_000, 2_000), invalid(1_000))
    effects = pipeline.frame((0, 2_500), emitter=B, goodbye=True)
    effects += pipeline.frame((2_000, 2_600), emitter=A, goodbye=True)
    effects += pipeline.tick(60_000)
    assert told(effects) == [(2_000, 0)]


def test_a_pipeline_begins_anew_after_goodbye_in_the_window_where_it_comes_back(script: Script) -> None:
    pipeline = Pipeline(script)
    pipeline.frame((0, 1_700), invalid(0), invalid(1_000), goodbye=True)
    assert told(pipeline.tick(10_000)) == [(1_000, 0)]
    effects = pipeline.frame((20_600, 22_000), invalid(20_600), invalid(21_000), emitter=B)
    assert told(effects) == [(20_000, 0), (21_000, 0)]
    assert windows(effects)[0].exposure_ms == 400
    assert [counted(window) for window in windows(effects)] == [1_000, 1_000]


def test_a_gap_of_64_windows_is_told_in_full_and_a_longer_one_is_cut(script: Script) -> None:
    for gap, first in ((64, 1), (65, 2)):
        pipeline = Pipeline(script)
        pipeline.second(0)
        start = (gap + 1) * 1_000
        closed = told(pipeline.frame((start, start + 1_000), invalid(start)))
        assert closed[0] == (first * 1_000, 0)
        assert closed[-1] == (start, 0)


def test_records_of_a_window_that_nobody_covers_yet_are_kept_for_it(script: Script) -> None:
    pipeline = Pipeline(script)
    pipeline.frame((0, 500), invalid(1_000, 40))
    pipeline.frame((500, 1_000))
    (closed,) = windows(pipeline.frame((1_000, 2_000), invalid(1_000, 2)))
    assert (closed.start_ms - START, counted(closed)) == (1_000, 42)


def test_a_frame_that_covers_very_much_opens_no_more_windows_than_a_gap_may_have(script: Script) -> None:
    pipeline = Pipeline(script)
    pipeline.second(0)
    closed = told(pipeline.frame((1_000, 1_000_000), invalid(999_000)))
    assert len(closed) == 64 + 64
    assert closed[-1] == (999_000, 0)


def test_records_inside_a_long_gap_are_told(script: Script) -> None:
    pipeline = Pipeline(script)
    pipeline.second(0)
    effects = windows(pipeline.frame((999_000, 1_000_000), invalid(3_000, 30)))
    assert {window.start_ms - START: counted(window) for window in effects if window.keys}[3_000] == 30


def test_of_a_long_silence_the_last_65_windows_are_told(script: Script) -> None:
    pipeline = Pipeline(script)
    pipeline.second(0)
    closed = told(pipeline.tick(501_000))
    assert (closed[0], closed[-1], len(closed)) == ((436_000, 0), (500_000, 0), 65)


@pytest.mark.parametrize(("end", "expected"), [(3_999, []), (4_000, [(3_000, 0)])])
def test_after_the_last_goodbye_a_window_is_told_when_its_time_is_over(
    script: Script, end: int, expected: list[tuple[int, int]]
) -> None:
    pipeline = Pipeline(script)
    pipeline.second(0)
    assert told(pipeline.frame((3_000, end), invalid(3_000), goodbye=True)) == expected


def test_the_incidents_know_the_name_of_their_pipeline(script: Script) -> None:
    assert Pipeline(script).monitor._incidents._pipeline == "p"


def test_a_run_of_a_single_frame_has_its_graph_and_so_has_the_next_run(script: Script) -> None:
    pipeline = Pipeline(script)
    (only,) = windows(pipeline.frame((0, 1_000), invalid(0), goodbye=True))
    assert only.definition == GRAPH
    assert counted(only) == 1_000
    (again,) = windows(pipeline.frame((20_000, 21_000), invalid(20_000), emitter=B))
    assert again.definition == GRAPH


def test_a_short_run_with_a_new_graph_changes_the_graph(script: Script) -> None:
    pipeline = Pipeline(script)
    pipeline.frame((0, 1_000), invalid(0))
    pipeline.frame((1_000, 2_000), goodbye=True)
    renamed = Definition((StageDefinition("c"),))
    frame = Frame(
        "p",
        B,
        1,
        0,
        (START + 20_000, START + 21_000),
        definition_hash(renamed),
        renamed,
        (Slice("c", "1", START + 20_000, {"records": 5}),),
        goodbye=True,
    )
    (short,) = windows(drain(pipeline.monitor.apply(START + 21_000, frame)))
    assert short.definition == renamed
