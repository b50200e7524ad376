"""How far each emitter has come, who is waited for, and that silence is looked for when it is due."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swirl.effect import Health
from swirl.frame import Frame, Slice
from swirl.monitor.emitters import Emitters

A, B, C = (bytes([letter]) * 16 for letter in b"abc")
SILENCE, HOUR, DAY = 10_000, 3_600_000, 86_400_000


class Log:
    """Emitters and the frames that they send."""

    def __init__(self) -> None:
        self.emitters = Emitters(SILENCE)
        self.sequence = 0

    def hear(
        self, emitter: bytes, log_ms: int, end_ms: int = 0, *, floor_ms: int = 0, goodbye: bool = False
    ) -> None:
        self.sequence += 1
        pieces = (Slice("ingest", "1", 0, {"records": 1}),)
        frame = Frame("ads", emitter, self.sequence, 0, (0, end_ms), b"h" * 16, slices=pieces)
        self.emitters.accept(msgspec.structs.replace(frame, goodbye=goodbye), log_ms, Health())
        self.emitters.cover(emitter, end_ms, log_ms, floor_ms)

    def resumed(self) -> Emitters:
        other = Emitters(SILENCE)
        other.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(self.emitters.snapshot())))
        return other


@pytest.fixture
def log() -> Log:
    return Log()


def test_nobody_is_waited_for_before_the_first_frame(log: Log) -> None:
    assert log.emitters.covered(0) is None


def test_what_all_have_covered_is_what_the_last_one_has(log: Log) -> None:
    log.hear(A, 100, 5_000)
    log.hear(B, 200, 3_000)
    assert log.emitters.covered(200) == 3_000
    log.hear(B, 300, 6_000)
    assert log.emitters.covered(300) == 5_000


def test_what_is_covered_never_goes_back(log: Log) -> None:
    log.hear(A, 100, 5_000)
    log.hear(A, 200, 4_000)
    assert log.emitters.covered(200) == 5_000


def test_a_frame_that_covers_nothing_yet_holds_nothing_back(log: Log) -> None:
    log.hear(A, 100, 5_000)
    log.hear(B, 200, 0)
    assert log.emitters.covered(200) == 5_000


def test_goodbye_ends_the_waiting(log: Log) -> None:
    log.hear(A, 100, 5_000)
    log.hear(B, 200, 3_000)
    log.hear(B, 300, 3_100, goodbye=True)
    assert log.emitters.covered(300) == 5_000


def test_who_comes_back_after_its_goodbye_is_waited_for_again(log: Log) -> None:
    log.hear(A, 100, 5_000)
    log.hear(B, 200, 3_000, goodbye=True)
    log.hear(B, 300, 3_100)
    assert log.emitters.covered(300) == 3_100


def test_who_is_missing_is_waited_for_no_longer(log: Log) -> None:
    log.hear(B, 0, 3_000)
    log.hear(A, 9_000, 12_000)
    assert log.emitters.covered(SILENCE) == 3_000
    assert log.emitters.covered(SILENCE + 1) == 12_000


def test_who_sends_and_does_not_move_is_waited_for_no_longer_than_who_is_silent(log: Log) -> None:
    log.hear(B, 0, 3_000)
    log.hear(A, 9_000, 12_000)
    log.hear(B, 9_500, 3_000)
    assert log.emitters.covered(SILENCE + 1) == 12_000
    log.hear(B, SILENCE + 2, 3_001)
    assert log.emitters.covered(SILENCE + 2) == 3_001


def test_who_is_too_far_behind_is_not_waited_for_until_it_has_caught_up(log: Log) -> None:
    log.hear(A, 100, 50_000)
    log.hear(B, 200, 20_000, floor_ms=30_000)
    assert log.emitters.covered(200) == 50_000
    log.hear(B, 300, 31_000, floor_ms=30_000)
    assert log.emitters.covered(300) == 31_000


def test_who_falls_behind_is_not_heard_in_time(log: Log) -> None:
    for log_ms in (0, 6_000, 12_000):
        log.hear(A, log_ms, log_ms + 1)
        log.hear(B, log_ms, log_ms + 1, floor_ms=0 if log_ms < 12_000 else 12_002)
    assert log.emitters.by_stage(12_000) == ({"ingest": 1}, {"ingest": 2})
    assert log.resumed().by_stage(12_000) == ({"ingest": 1}, {"ingest": 2})
    log.hear(B, 13_000, 13_000)
    assert log.emitters.by_stage(13_000) == ({"ingest": 2}, {"ingest": 2})


def test_who_was_never_in_time_is_no_loss(log: Log) -> None:
    for log_ms in (0, 6_000, 12_000):
        log.hear(A, log_ms, log_ms + 1)
        log.hear(B, log_ms, log_ms + 1, floor_ms=0 if log_ms == 0 else log_ms + 2)
    assert log.emitters.by_stage(12_000) == ({"ingest": 2}, {"ingest": 2})


def test_who_takes_a_place_and_comes_too_late_is_not_heard_in_time(log: Log) -> None:
    log.hear(A, 0, 5_000)
    for log_ms in (1_000, 6_000, 11_000):
        log.hear(B, log_ms, log_ms, floor_ms=90_000)
    assert log.emitters.notice_silence(11_000)
    assert log.emitters.by_stage(11_000) == ({"ingest": 0}, {"ingest": 1})


def test_a_snapshot_from_before_emitters_were_waited_for_holds_nothing_back(log: Log) -> None:
    log.hear(A, 100, 5_000)
    old = [
        [
            key,
            {n: v for n, v in emitter.items() if n not in ("covered_ms", "moved_ms", "waited_for", "behind")},
        ]
        for key, emitter in log.emitters.snapshot()
    ]
    other = Emitters(SILENCE)
    other.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(old)))
    assert other.covered(100) is None
    other.cover(A, 6_000, 200, 0)
    assert other.covered(200) == 6_000


def test_a_pipeline_that_is_heard_for_long_keeps_few_entries(log: Log) -> None:
    log.hear(A, 0, 1)
    for second in range(1, 3_000):
        log.hear(B, 0, second + 1)
    assert log.emitters.covered(0) == 1
    assert len(log.emitters._ends) < 100


class Plain:
    """The same emitters by definition: everyone is looked at, every time."""

    def __init__(self) -> None:
        self.last: dict[bytes, int] = {}
        self.first: dict[bytes, int] = {}
        self.gone: set[bytes] = set()
        self.replaced: set[bytes] = set()

    def hear(self, emitter: bytes, log_ms: int, *, goodbye: bool) -> None:
        self.first.setdefault(emitter, log_ms)
        self.last[emitter] = log_ms
        self.gone -= {emitter}
        self.gone |= {emitter} if goodbye else set()

    def notice(self, log_ms: int) -> None:
        for emitter in sorted(self.last, key=lambda e: (self.last[e], e)):
            silent_ms = log_ms - self.last[emitter]
            if silent_ms > (HOUR if emitter in self.gone else DAY):
                for kept in (self.last, self.first):
                    del kept[emitter]
                self.gone -= {emitter}
                self.replaced -= {emitter}
            elif emitter not in self.gone and silent_ms > SILENCE:
                here = [
                    e
                    for e in self.last
                    if e not in self.replaced | self.gone
                    and self.first[e] >= self.last[emitter]
                    and log_ms - self.last[e] <= SILENCE
                ]
                if here:
                    self.replaced.add(min(here, key=lambda e: self.first[e]))
                    self.gone.add(emitter)


steps = st.tuples(
    st.one_of(st.integers(0, 9_000), st.sampled_from([0, 1, SILENCE, SILENCE + 1, HOUR + 1, DAY + 1])),
    st.sampled_from([b"", *(bytes([letter]) * 16 for letter in b"abcdef")]),
    st.booleans(),
)


@given(st.lists(steps, max_size=60), st.integers(0, 60))
def test_looking_when_it_is_due_finds_what_looking_always_finds(
    sent: list[tuple[int, bytes, bool]], cut: int
) -> None:
    log, plain, now = Log(), Plain(), 0
    for place, (passed, emitter, goodbye) in enumerate(sent):
        now += passed
        if emitter:
            log.hear(emitter, now, now + 1, goodbye=goodbye)
            plain.hear(emitter, now, goodbye=goodbye)
        there = {key for key, e in log.emitters.known.items() if not e.gone}
        fewer = log.emitters.notice_silence(now)
        plain.notice(now)
        if place == cut:
            log.emitters = log.resumed()
        known = log.emitters.known
        assert {key: e.last_ms for key, e in known.items()} == plain.last
        assert {key for key, e in known.items() if e.gone} == plain.gone
        assert {key for key, e in known.items() if e.replaced} == plain.replaced
        assert log.emitters.expected() == any(not e.gone for e in known.values())
        assert fewer == bool(there - {key for key, e in known.items() if not e.gone})
        assert log.emitters.covered(now) == log.resumed().covered(now)
