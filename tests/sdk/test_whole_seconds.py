"""Frames that fall due end where seconds end."""

from __future__ import annotations

from swirl.settings import EmitterSettings
from tests.sdk.inbox import START, HandClock, wired


def test_frames_that_fall_due_end_where_seconds_end_and_a_flush_that_is_asked_for_sends_all() -> None:
    clock = HandClock(step=0)
    ads, inbox = wired(clock=clock)

    @ads.stage
    def ingest() -> None:
        pass

    clock.advance(0.4)
    for _ in range(4):
        clock.advance(0.5)
        ingest()
        clock.advance(0.5)
        ads._emitter._serve(None)
    ads.emit_now()
    start = START * 1000
    # The pipeline was made at 0.0; records came at 0.9, 1.9, 2.9 and 3.9, frames fell due at 1.4, 2.4, ...
    assert [tuple(t - start for t in frame.covers) for frame in inbox.frames] == [
        *((0, 1000), (1000, 2000), (2000, 3000), (3000, 4000), (4000, 4400)),
    ]
    assert [[(p.bucket_ms - start, p.counters["records"]) for p in f.slices] for f in inbox.frames] == [
        *([(0, 1)], [(1000, 1)], [(2000, 1)], [(3000, 1)], []),
    ]


def test_what_the_running_second_brought_is_in_the_next_frame_or_the_last() -> None:
    clock = HandClock(step=0)
    ads, inbox = wired(clock=clock)

    @ads.stage
    def ingest() -> None:
        pass

    clock.advance(1.2)
    ingest()
    ads._emitter._serve(None)
    assert [frame.slices for frame in inbox.frames] == [()]

    clock.advance(0.1)
    ingest()
    ads.close()
    assert [piece.counters["records"] for piece in inbox.slices("ingest")] == [2]
    assert [frame.covers[1] - START * 1000 for frame in inbox.frames] == [1000, 1300]


def test_quick_flushes_and_stages_with_event_times_are_not_cut() -> None:
    for made, seconds in ((lambda line: START + 1.1, 1.0), (None, 0.25)):
        clock = HandClock(step=0)
        ads, inbox = wired(clock=clock, settings=EmitterSettings(flush_seconds=seconds))

        @ads.stage(at=made)
        def ingest(line: str) -> None:
            pass

        clock.advance(1.2)
        ingest("a")
        ads._emitter._serve(None)
        assert [piece.counters["records"] for piece in inbox.slices("ingest")] == [1]
