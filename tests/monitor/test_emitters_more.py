"""Emitters at the edges: who is replaced by whom, and what adds up."""

from __future__ import annotations

import msgspec
import pytest

from swirl.effect import Health
from swirl.frame import Frame, Slice
from swirl.monitor.emitters import Emitters

A, B, C, D = (bytes([letter]) * 16 for letter in b"abcd")


@pytest.fixture
def emitters() -> Emitters:
    return Emitters(silence_ms=10_000)


def hear(
    emitters: Emitters, emitter: bytes, log_ms: int, sequence: int = 1, health: Health | None = None
) -> None:
    pieces = (Slice("ingest", "1", 0, {"records": 1}),)
    base = Frame("ads", emitter, sequence, 0, (0, 1), b"h" * 16)
    assert emitters.accept(msgspec.structs.replace(base, slices=pieces), log_ms, health or Health())


def test_lost_frames_of_several_gaps_add_up(emitters: Emitters) -> None:
    health = Health()
    for emitter, sequence in ((A, 1), (A, 4), (B, 1), (B, 3), (A, 5)):
        hear(emitters, emitter, 0, sequence, health)
    assert health.frames_lost == 3


def test_nobody_is_replaced_before_the_silence_is_over(emitters: Emitters) -> None:
    hear(emitters, A, 0)
    hear(emitters, B, 5_000)
    assert not emitters.notice_silence(10_000)
    assert emitters.by_stage(10_000)[1] == {"ingest": 2}
    assert emitters.notice_silence(10_001)
    assert emitters.by_stage(10_001)[1] == {"ingest": 1}


def test_a_newcomer_replaces_the_one_that_has_been_silent_longest(emitters: Emitters) -> None:
    hear(emitters, B, 0)
    hear(emitters, A, 500)
    hear(emitters, C, 9_000)
    assert emitters.notice_silence(12_000)
    assert (emitters.known[B].gone, emitters.known[A].gone) == (True, False)


def test_of_two_newcomers_the_first_takes_the_place(emitters: Emitters) -> None:
    hear(emitters, A, 0)
    hear(emitters, D, 8_000)
    hear(emitters, C, 9_000)
    assert emitters.notice_silence(12_000)
    assert (emitters.known[D].replaced, emitters.known[C].replaced) == (True, False)


def test_where_there_is_nobody_nobody_was_seen(emitters: Emitters) -> None:
    health = Health(emitters=3, emitters_silent=1, last_seen_ms=5)
    emitters.count(health, 10)
    assert (health.emitters, health.emitters_silent, health.last_seen_ms) == (0, 0, 0)
