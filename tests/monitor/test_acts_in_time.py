"""What people asked for begins and ends by the time of the log, wherever the fold is cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from swirl.effect import IncidentChanged, MuteChanged, VerdictChanged
from swirl.errors import FrameError
from swirl.frame import MAX_BYTES, Act, Definition, Frame, Slice, StageDefinition, Tick, decode, encode
from swirl.frame import definition_hash as hash_of
from swirl.monitor import Monitor
from swirl.settings import MonitorSettings
from tests.monitor.log import START, as_bytes

if TYPE_CHECKING:
    from swirl.effect import Effect

SETTINGS = MonitorSettings(window_seconds=1, lateness_seconds=0, silence_seconds=3, skew_seconds=60)
TICK = encode(Tick())
HOUR = 3_600_000


class Live:
    """A pipeline whose share of invalid records can be set, one frame a second, and its monitor."""

    def __init__(self, run_seconds: float = 0.0) -> None:
        self.monitor = Monitor(SETTINGS)
        self.now = START
        self.sequence = 0
        self.effects: list[Effect] = []
        stages = (StageDefinition("check", validates=True),)
        self.definition = Definition(stages, run_seconds=run_seconds)

    def apply(self, payload: bytes) -> list[Effect]:
        effects = self.monitor.apply(self.monitor.next_offset, self.now, payload)
        self.effects += effects
        return effects

    def second(self, invalid: int = 5, *, goodbye: bool = False) -> list[Effect]:
        self.sequence += 1
        start, self.now = self.now, self.now + 1000
        counters = {"records": 500.0, "invalid": float(invalid), "out": 500.0 - invalid}
        frame = Frame(
            *("shop", b"e" * 16, self.sequence, self.now, (start, self.now), hash_of(self.definition)),
            definition=self.definition,
            slices=(Slice("check", "1", start, counters),),
            goodbye=goodbye,
        )
        return self.apply(encode(frame))

    def seconds(self, many: int, invalid: int = 5) -> None:
        for number in range(many):
            self.second(invalid + number % 3)

    def say(self, act: Any, incident: str = "", **given: Any) -> list[Effect]:
        return self.apply(encode(Act("shop", act, incident, "Mia", **given)))

    def tick(self, seconds: float = 1.0) -> list[Effect]:
        self.now += round(seconds * 1000)
        return self.apply(TICK)

    @property
    def steps(self) -> list[IncidentChanged]:
        return [effect for effect in self.effects if isinstance(effect, IncidentChanged)]


def broken() -> Live:
    live = Live()
    live.seconds(120)
    live.seconds(6, invalid=300)
    assert [step.transition for step in live.steps if step.transition != "updated"] == ["opened"]
    return live


def names(effects: list[Effect]) -> list[str]:
    return [e.transition for e in effects if isinstance(e, IncidentChanged | MuteChanged)]


def test_a_snooze_ends_with_a_tick_between_two_windows() -> None:
    live = broken()
    assert names(live.say("snooze", live.steps[-1].incident.id, for_ms=400)) == ["snoozed"]
    assert names(live.tick(0.39)) == []
    assert names(live.tick(0.01)) == ["woken"]
    assert names(live.tick(0.01)) == []


def test_a_pipeline_that_said_goodbye_is_awake_until_what_was_asked_for_is_over() -> None:
    live = broken()
    live.say("snooze", live.steps[-1].incident.id, for_ms=HOUR)
    live.say("mute", stage="check", for_ms=2 * HOUR)
    live.second(300, goodbye=True)
    for _ in range(5):
        live.tick()
    assert list(live.monitor.awake) == ["shop"]
    assert names(live.tick(3600)) == ["woken"]
    assert list(live.monitor.awake) == ["shop"]
    assert names(live.tick(3600)) == ["ended", "updated"]
    assert not live.monitor.awake
    assert names(live.tick(3600)) == []


def test_the_windows_of_a_pipeline_that_is_only_kept_awake_are_those_of_one_that_sleeps() -> None:
    def closed(*, muted: bool) -> list[str]:
        live = Live()
        live.seconds(20)
        if muted:
            live.say("mute", for_ms=HOUR)
        live.second(goodbye=True)
        for _ in range(100):
            live.tick()
        live.sequence = 0
        live.seconds(20)
        return [e.identity for e in live.effects if not isinstance(e, MuteChanged)]

    assert closed(muted=True) == closed(muted=False)


def test_a_mute_needs_no_window_and_every_other_act_does() -> None:
    live = Live()
    live.second()
    assert names(live.say("mute", for_ms=HOUR)) == ["began"]
    assert names(live.say("acknowledge", "shop-20200101-000000")) == []


def test_acts_of_a_pipeline_that_nobody_heard_of_make_none() -> None:
    live = Live()
    assert live.say("mute", for_ms=HOUR) == []
    assert live.monitor.pipelines == ()


def test_verdicts_do_not_know_of_planned_work() -> None:
    live = Live()
    live.seconds(120)
    live.say("mute", for_ms=HOUR)
    live.seconds(6, invalid=300)
    assert [step.incident.muted for step in live.steps] == [True] * len(live.steps)
    verdicts = [e.verdict.state for e in live.effects if isinstance(e, VerdictChanged)]
    assert verdicts
    assert verdicts[-1] != "healthy"


def test_what_stands_after_a_restart_has_the_planned_work_and_the_past() -> None:
    live = broken()
    first = live.steps[-1].incident
    live.say("false_alarm", first.id)
    live.seconds(60)
    live.say("mute", stage="check", for_ms=HOUR)
    live.seconds(6, invalid=400)
    other = Monitor(SETTINGS)
    other.restore(live.monitor.snapshot())
    incidents = other.recent("shop")
    assert [incident.ending for incident in incidents] == ["false_alarm", ""]
    assert incidents[-1] == live.steps[-1].incident
    assert other.recent("nobody") == ()
    standing = other.standing()
    assert names(standing) == ["began", "updated"]
    assert [e.identity for e in standing] == [e.identity for e in live.monitor.standing()]


def test_what_was_said_outlives_a_change_of_when_the_pipeline_runs() -> None:
    live = broken()
    ident = live.steps[-1].incident.id
    live.say("mute", for_ms=HOUR)
    live.definition = msgspec.structs.replace(live.definition, run_seconds=3600.0)
    live.second()
    assert live.steps[-1].incident.ending == "left"
    assert [incident.id for incident in live.monitor.recent("shop")] == [ident]
    assert names(live.monitor.standing()) == ["began"]
    assert names(live.say("confirm", ident)) == []  # no window of the new kind has closed
    assert names(live.say("unmute")) == ["ended"]


def test_what_is_ignored_is_counted() -> None:
    live = broken()
    live.say("acknowledge", "shop-20200101-000000")
    live.say("unmute", stage="nowhere")
    health = next(e.health for e in live.second(300) if hasattr(e, "health"))
    assert health.acts_ignored == 2


def test_an_act_of_ten_megabytes_is_refused_unread() -> None:
    with pytest.raises(FrameError, match=f"at most {MAX_BYTES}"):
        decode(encode(Act("shop", "resolve", "shop-20200101-000000", "Mia", "x" * 10_000_000)))


@pytest.mark.parametrize("for_ms", [2**63 - 1, -(2**63), 0])
def test_no_span_of_time_spoils_the_state(for_ms: int) -> None:
    live = broken()
    live.say("snooze", live.steps[-1].incident.id, for_ms=for_ms)
    live.say("mute", for_ms=for_ms)
    live.second(300)
    other = Monitor(SETTINGS)
    other.restore(live.monitor.snapshot())
    assert other.snapshot() == live.monitor.snapshot()


@pytest.mark.parametrize("for_ms", [2**64, "soon", None, 1.5])
def test_a_span_that_is_no_integer_of_64_bits_is_refused(for_ms: object) -> None:
    raw = {"t": "a", "p": "shop", "act": "mute", "for_ms": for_ms}
    if isinstance(for_ms, int):
        payload = msgspec.msgpack.encode({**raw, "for_ms": 0})[:-1] + b"\xcf" + b"\xff" * 8
    else:
        payload = msgspec.msgpack.encode(raw)
    live = broken()
    before = live.monitor.snapshot()
    assert for_ms == 2**64 or live.apply(payload) == []
    if for_ms != 2**64:
        assert live.monitor.refused == {"values": 1}
    else:
        live.apply(payload)
        live.tick(60)
        assert len(live.monitor.snapshot()) < 2 * len(before) + 1000


class Acted(Live):
    """Writes down a log with two faults, and all that people may say of them, twice each time."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple[int, bytes]] = []

    def apply(self, payload: bytes) -> list[Effect]:
        self.log.append((self.now, payload))
        return super().apply(payload)

    def twice(self, act: Any, **given: Any) -> None:
        ident = self.steps[-1].incident.id if self.steps else ""
        for _ in range(2):
            self.say(act, "" if act in ("mute", "unmute") else ident, **given)
            self.tick(0.1)

    def written(self) -> list[tuple[int, bytes]]:
        self.seconds(90)
        for act, for_ms in (("acknowledge", 0), ("snooze", 2_300), ("mute", 4_100), ("resolve", 0)):
            self.seconds(3, invalid=300)
            self.twice(act, for_ms=for_ms)
        self.seconds(8, invalid=300)
        self.twice("confirm")
        self.twice("unmute")
        self.seconds(4)
        self.twice("mute", stage="check", for_ms=900_000)
        self.twice("new_normal")
        self.seconds(25)
        self.seconds(4, invalid=450)
        self.twice("false_alarm")
        self.twice("unmute", stage="check")
        self.seconds(3)
        return self.log


def test_a_log_with_acts_gives_the_same_effects_wherever_the_fold_is_cut() -> None:
    live = Acted()
    log = live.written()
    monitor, told = Monitor(SETTINGS), list[bytes]()
    for offset, record in enumerate(log):
        if offset > 80:
            saved, monitor = monitor.snapshot(), Monitor(SETTINGS)
            monitor.restore(saved)
        told += as_bytes(monitor.apply(offset, *record))
    assert told == as_bytes(live.effects)
    assert monitor.snapshot() == live.monitor.snapshot()
    steps = {"opened", "acknowledged", "snoozed", "woken", "resolved", "reopened", "judged", "began", "ended"}
    assert set(names(live.effects)) >= steps
    assert len({step.identity for step in live.steps}) == len(live.steps)
    revisions: dict[str, list[int]] = {}
    for step in live.steps:
        revisions.setdefault(step.incident.id, []).append(step.incident.revision)
    assert all(found == list(range(len(found))) for found in revisions.values())
