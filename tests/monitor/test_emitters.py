"""Zero, missing, late and gone are four things."""

from __future__ import annotations

import msgspec
import pytest

from swirl.effect import Health
from swirl.frame import Frame, Slice
from swirl.monitor.emitters import Emitters

A, B, C = b"a" * 16, b"b" * 16, b"c" * 16


def frame(emitter: bytes, sequence: int, *, stages: tuple[str, ...] = ("ingest",), **given: object) -> Frame:
    slices = tuple(Slice(stage, "1", 0, {"records": 1}) for stage in stages)
    base = Frame("ads", emitter, sequence, 0, (0, 1), b"h" * 16, slices=slices)
    return msgspec.structs.replace(base, **given)


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def emitters() -> Emitters:
    return Emitters(silence_ms=10_000)


def test_a_frame_that_comes_again_is_counted_and_refused(emitters: Emitters, health: Health) -> None:
    assert emitters.accept(frame(A, 5), 1_000, health)
    assert not emitters.accept(frame(A, 5), 1_001, health)
    assert not emitters.accept(frame(A, 4), 1_002, health)
    assert (health.duplicates, health.frames_lost) == (2, 0)


def test_a_gap_in_the_sequence_is_lost_frames(emitters: Emitters, health: Health) -> None:
    emitters.accept(frame(A, 5), 1_000, health)
    emitters.accept(frame(A, 9), 2_000, health)
    assert health.frames_lost == 3


def test_a_frame_that_comes_after_later_ones_counts_and_no_counter_goes_back(
    emitters: Emitters, health: Health
) -> None:
    emitters.accept(frame(A, 5), 1_000, health)
    emitters.accept(frame(A, 8), 2_000, health)
    assert emitters.accept(frame(A, 6), 3_000, health)
    assert not emitters.accept(frame(A, 6), 4_000, health)
    assert (health.frames_lost, health.frames_late, health.duplicates) == (2, 1, 1)
    assert health.frames_missing == 1


def test_what_an_emitter_sent_before_the_log_began_is_not_lost(emitters: Emitters, health: Health) -> None:
    emitters.accept(frame(A, 400), 1_000, health)
    assert health.frames_lost == 0


def test_drops_are_counted_as_differences_of_what_emitters_say(emitters: Emitters, health: Health) -> None:
    emitters.accept(frame(A, 1, dropped=10, failed=1), 1_000, health)
    emitters.accept(frame(A, 2, dropped=25, failed=1), 2_000, health)
    emitters.accept(frame(B, 1, dropped=3, failed=4), 2_000, health)
    assert (health.dropped_records, health.failed_frames) == (28, 5)


def test_an_emitter_is_missing_when_it_is_silent_without_goodbye(emitters: Emitters, health: Health) -> None:
    emitters.accept(frame(A, 1, stages=("ingest", "serve")), 0, health)
    emitters.accept(frame(B, 1), 9_000, health)
    assert emitters.by_stage(10_000) == ({"ingest": 2, "serve": 1}, {"ingest": 2, "serve": 1})
    assert emitters.by_stage(10_001) == ({"ingest": 1, "serve": 0}, {"ingest": 2, "serve": 1})
    emitters.count(health, 10_001)
    assert (health.emitters, health.emitters_silent, health.last_seen_ms) == (1, 1, 9_000)


def test_goodbye_means_that_silence_means_nothing(emitters: Emitters, health: Health) -> None:
    emitters.accept(frame(A, 1), 0, health)
    assert emitters.expected()
    emitters.accept(frame(A, 2, goodbye=True), 1_000, health)
    assert not emitters.expected()
    assert emitters.by_stage(99_000) == ({}, {})


def test_a_newcomer_takes_the_place_of_one_that_fell_silent(emitters: Emitters, health: Health) -> None:
    emitters.accept(frame(A, 1), 0, health)
    emitters.accept(frame(B, 1), 1_000, health)
    assert emitters.notice_silence(10_500)
    assert not emitters.notice_silence(10_501)
    assert emitters.by_stage(10_500) == ({"ingest": 1}, {"ingest": 1})
    assert emitters.known[A].gone


def test_one_newcomer_replaces_one_emitter_only(emitters: Emitters, health: Health) -> None:
    emitters.accept(frame(A, 1), 0, health)
    emitters.accept(frame(B, 1), 1, health)
    emitters.accept(frame(C, 1), 20_000, health)
    emitters.notice_silence(20_000)
    assert emitters.by_stage(20_000) == ({"ingest": 1}, {"ingest": 2})
    emitters.notice_silence(20_500)
    assert emitters.by_stage(20_500) == ({"ingest": 1}, {"ingest": 2})


def test_one_that_was_there_before_is_no_newcomer(emitters: Emitters, health: Health) -> None:
    emitters.accept(frame(B, 1), 0, health)
    emitters.accept(frame(A, 1), 500, health)
    emitters.accept(frame(B, 2), 11_000, health)
    emitters.notice_silence(11_000)
    assert emitters.by_stage(11_000) == ({"ingest": 1}, {"ingest": 2})


def test_an_emitter_that_was_given_up_and_speaks_again_counts_again(
    emitters: Emitters, health: Health
) -> None:
    emitters.accept(frame(A, 1), 0, health)
    emitters.accept(frame(B, 1), 1_000, health)
    emitters.notice_silence(10_500)
    emitters.accept(frame(A, 2), 11_000, health)
    assert emitters.by_stage(11_000)[1] == {"ingest": 2}


def test_emitters_are_forgotten_in_the_end(emitters: Emitters, health: Health) -> None:
    emitters.accept(frame(A, 1, goodbye=True), 0, health)
    emitters.accept(frame(B, 1), 0, health)
    emitters.notice_silence(3_600_000)
    assert set(emitters.known) == {A, B}
    emitters.notice_silence(3_600_001)
    assert set(emitters.known) == {B}
    emitters.notice_silence(24 * 3_600_000 + 1)
    assert not emitters.known


def test_emitters_resume_from_their_snapshot(emitters: Emitters, health: Health) -> None:
    emitters.accept(frame(A, 7, stages=("ingest", "serve"), dropped=2), 5, health)
    resumed = Emitters(silence_ms=10_000)
    resumed.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(emitters.snapshot())))
    assert resumed.known == emitters.known
