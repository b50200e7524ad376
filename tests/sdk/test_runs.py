"""Pipelines that run in batches: what brackets a run, and what its frames say of it."""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
import textwrap
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from swirl import Pipeline
from swirl.errors import DefinitionError
from swirl.settings import EmitterSettings
from tests.sdk.inbox import START, HandClock, Inbox, wired

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl.frame import Frame


def nightly(
    *, thread: bool = False, flush_seconds: float = 0.02
) -> tuple[Pipeline, Inbox, Callable[[int], int], HandClock]:
    clock, inbox = HandClock(), Inbox()
    if thread:
        settings = EmitterSettings(flush_seconds=flush_seconds)
        pipeline = Pipeline("nightly", settings=settings, transport=inbox, every="1 day")
    else:
        pipeline, inbox = wired("nightly", clock=clock, every="1 day")

    @pipeline.stage
    def load(row: int) -> int:
        return row

    return pipeline, inbox, load, clock


def records(frames: list[Frame]) -> float:
    return sum(piece.counters["records"] for frame in frames for piece in frame.slices)


@pytest.mark.parametrize(
    ("every", "seconds"),
    [
        ("1 day", 86_400),
        ("6 hours", 21_600),
        ("15 minutes", 900),
        ("  2 WEEKS ", 1_209_600),
        ("hour", 3600),
        ("90 seconds", 90),
        ("1.5 hours", 5400),
        (3600, 3600),
        (90.5, 90.5),
        (timedelta(days=1), 86_400),
    ],
)
def test_how_often_it_runs_is_written_as_people_say_it(every: str | float, seconds: float) -> None:
    pipeline, inbox = wired("nightly", every=every)
    pipeline.emit_now()
    definition = inbox.frames[0].definition
    assert definition is not None
    assert definition.run_seconds == seconds


@pytest.mark.parametrize("every", ["daily", "", "1 fortnight", "-1 day", True, [1], float("nan"), "1e3 days"])
def test_what_is_no_length_of_time_is_refused_with_what_to_write(every: object) -> None:
    with pytest.raises(DefinitionError, match='write "1 day", "6 hours", "15 minutes"'):
        Pipeline("nightly", every=every)  # type: ignore[arg-type]


@pytest.mark.parametrize("every", [0, -5, 59.9, "10 seconds", "60 weeks"])
def test_runs_come_once_a_minute_at_most_and_once_a_year_at_least(every: str | float) -> None:
    with pytest.raises(DefinitionError, match="once a minute at most"):
        Pipeline("nightly", every=every)


def test_an_ordinary_pipeline_has_no_runs_and_says_how_to_get_them() -> None:
    pipeline, inbox = wired()

    @pipeline.stage
    def load(row: int) -> int:
        return row

    with pytest.raises(DefinitionError, match='every="1 day"'):
        pipeline.run()
    load(1)
    pipeline.emit_now()
    (frame,) = inbox.frames
    assert (frame.run_ms, frame.run_over) == (0, False)
    assert frame.definition is not None
    assert frame.definition.run_seconds == 0


def test_without_a_block_the_first_record_begins_the_run_and_the_end_of_the_process_ends_it() -> None:
    pipeline, inbox, load, clock = nightly()
    pipeline.emit_now()
    clock.advance(100)
    load(1)
    pipeline.emit_now()
    clock.advance(50)
    pipeline.emit_now()
    pipeline.close()
    waiting, first, second, last = inbox.frames
    assert waiting.run_ms == 0
    assert first.run_ms == (START + 100) * 1000
    assert [frame.run_ms for frame in (second, last)] == [first.run_ms] * 2
    assert [frame.run_over for frame in inbox.frames] == [False, False, False, True]
    assert last.goodbye


def test_a_block_is_a_run_and_its_end_sends_all_of_it() -> None:
    pipeline, inbox, load, clock = nightly()
    clock.advance(7)
    with pipeline.run():
        load(1)
        clock.advance(5)
        pipeline.emit_now()
        load(2)
        load(3)
    assert [(frame.run_ms, frame.run_over, frame.goodbye) for frame in inbox.frames] == [
        ((START + 7) * 1000, False, False),
        ((START + 7) * 1000, True, True),
    ]
    assert records(inbox.frames) == 3


def test_each_run_covers_its_own_time_and_brings_the_definition() -> None:
    pipeline, inbox, load, clock = nightly()
    for _ in range(2):
        with pipeline.run():
            load(1)
            clock.advance(30)
        clock.advance(86_370)
    first, second = inbox.frames
    assert second.run_ms - first.run_ms == 86_400_000
    assert [frame.covers[1] - frame.covers[0] for frame in (first, second)] == [30_000, 30_000]
    assert first.definition == second.definition is not None
    assert (first.sequence, second.sequence) == (1, 2)


def test_a_run_that_raises_is_over_and_the_error_goes_on() -> None:
    pipeline, inbox, load, _ = nightly()
    with pytest.raises(ZeroDivisionError), pipeline.run():
        load(1 // len(inbox.payloads))
    assert [frame.run_over for frame in inbox.frames] == [True]


def test_an_empty_run_is_a_run() -> None:
    pipeline, inbox, _, _ = nightly()
    with pipeline.run():
        pass
    (frame,) = inbox.frames
    assert frame.run_ms > 0
    assert frame.run_over
    assert frame.slices == ()


def test_two_runs_at_a_time_are_refused_with_what_to_do() -> None:
    pipeline, inbox, load, _ = nightly()
    with pipeline.run():
        with pytest.raises(DefinitionError, match="end it first"), pipeline.run():
            pass
        refused = []

        def beside() -> None:
            with pytest.raises(DefinitionError, match="a pipeline of its own"), pipeline.run():
                refused.append("not reached")

        thread = threading.Thread(target=beside)
        thread.start()
        thread.join()
        load(1)
    assert refused == []
    assert [(frame.run_over, records([frame])) for frame in inbox.frames] == [(True, 1)]
    with pipeline.run():
        load(2)
    assert records(inbox.frames) == 2


def test_what_came_before_the_first_block_is_of_its_run() -> None:
    pipeline, inbox, load, clock = nightly()
    load(1)
    pipeline.emit_now()
    clock.advance(3)
    with pipeline.run():
        load(2)
    first, second = inbox.frames
    assert first.run_ms == second.run_ms == START * 1000
    assert (first.run_over, second.run_over) == (False, True)


def test_records_between_two_runs_are_dropped_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    pipeline, inbox, load, clock = nightly()
    with caplog.at_level(logging.WARNING, logger="swirl"):
        for _ in range(3):
            with pipeline.run():
                load(1)
            load(2)
            load(3)
            clock.advance(86_400)
    runs = [frame for frame in inbox.frames if frame.run_ms]
    assert records(runs) == records(inbox.frames) == 3
    assert [frame.dropped for frame in runs] == [0, 2, 4]
    assert [record.message.partition(" and are")[0] for record in caplog.records] == [
        "swirl: records of pipeline 'nightly' came outside of its runs"
    ]


def test_event_times_do_not_matter_within_a_run() -> None:
    clock = HandClock()
    pipeline, inbox = wired("nightly", clock=clock, every="1 day")

    @pipeline.stage(at=lambda row: START - 86_400 + row)
    def load(row: int) -> int:
        return row

    with pipeline.run():
        for row in range(100):
            load(row)
        load.batch(5000, predictions=[1.0] * 5000, at=[START - 86_400 + row for row in range(5000)])
    pieces = [piece for frame in inbox.frames for piece in frame.slices]
    assert {piece.bucket_ms for piece in pieces} == {START * 1000}
    assert sum(piece.counters["records"] for piece in pieces) == 5100


@pytest.mark.parametrize(
    "started", [START - 600, (START - 600) * 1000, datetime.fromtimestamp(START - 600, tz=UTC)]
)
def test_a_run_may_say_when_it_was_due(started: object) -> None:
    pipeline, inbox, load, _ = nightly()
    with pipeline.run(started=started):
        load(1)
    assert [frame.run_ms for frame in inbox.frames] == [(START - 600) * 1000]


def test_a_run_may_have_an_identity_which_copies_keep_and_the_next_run_does_not() -> None:
    pipeline, inbox, load, _ = nightly()
    with pipeline.run(id=417):
        load(1)
        copy = pickle.loads(pickle.dumps(pipeline))
    with pipeline.run():
        load(2)
    assert [frame.run_id for frame in inbox.frames] == ["417", ""]
    assert copy._runs.identity == "417"


@pytest.mark.parametrize("started", ["today", datetime(2026, 1, 5), -1, float("nan"), 1e300, True])  # noqa: DTZ001 - the point
def test_what_is_no_time_is_refused(started: object) -> None:
    pipeline, _, _, _ = nightly()
    with pytest.raises(DefinitionError, match="started= is"):
        pipeline.run(started=started)


def test_a_copy_made_within_a_run_is_part_of_it_and_its_end_is_that_of_the_part() -> None:
    pipeline, inbox, load, _ = nightly()
    with pipeline.run():
        copy = pickle.loads(pickle.dumps(pipeline))
        load(1)
    part, later = Inbox(), pickle.loads(pickle.dumps(pipeline))
    other = copy.stage(name="more")(len)
    copy._emitter.transport = part
    other([1])
    assert copy.close(10)
    assert {frame.run_ms for frame in part.frames} == {inbox.frames[0].run_ms}
    assert (part.frames[-1].run_over, part.frames[-1].goodbye) == (True, True)
    assert later._runs.start_ms == 0


def test_with_its_thread_a_run_is_told_at_its_end_and_nothing_is_sent_between_runs() -> None:
    pipeline, inbox, load, _ = nightly(thread=True)
    for run in range(3):
        with pipeline.run():
            for row in range(1000):
                load(row)
        assert inbox.frames[-1].run_over
        assert records(inbox.frames) == 1000 * (run + 1)
        sent = len(inbox.payloads)
        assert not inbox.wait(lambda sent=sent: len(inbox.payloads) > sent, 0.2)  # type: ignore[misc]
    assert len({frame.run_ms for frame in inbox.frames}) == 3
    assert [frame.sequence for frame in inbox.frames] == list(range(1, len(inbox.payloads) + 1))
    assert pipeline.close(10)
    assert (inbox.frames[-1].run_ms, inbox.frames[-1].run_over, inbox.frames[-1].goodbye) == (0, False, True)


def test_a_long_run_without_records_is_heard() -> None:
    pipeline, inbox, _, _ = nightly(thread=True)
    with pipeline.run():
        assert inbox.wait(lambda: len(inbox.payloads) >= 3)
    assert {frame.run_ms > 0 for frame in inbox.frames} == {True}


def test_a_run_whose_frames_nobody_takes_yet_waits_for_who_does() -> None:
    inbox = Inbox()
    pipeline = Pipeline("nightly", settings=EmitterSettings(flush_seconds=0.02, sigterm=False), every=3600)

    @pipeline.stage
    def load(row: int) -> int:
        return row

    for _ in range(2):
        with pipeline.run():
            load(1)
    pipeline._emitter.transport = inbox
    assert pipeline.flush(10)
    over = [frame for frame in inbox.frames if frame.run_over]
    assert [records([frame]) for frame in over] == [1, 1]
    pipeline.close(10)


def test_closing_within_a_block_ends_the_run() -> None:
    pipeline, inbox, load, _ = nightly()
    with pipeline.run():
        load(1)
        pipeline.close()
    assert [(frame.run_over, frame.goodbye) for frame in inbox.frames] == [(True, True)]
    with pipeline.run():
        load(2)
    assert records(inbox.frames) == 1


def test_a_fork_within_a_run_is_part_of_it() -> None:
    pipeline, inbox, load, _ = nightly(thread=True)
    read, write = os.pipe()
    with pipeline.run():
        load(1)
        child = os.fork()
        if child == 0:
            load(2)
            pipeline.close(10)
            last = inbox.frames[-1]
            os.write(write, f"{last.run_ms} {last.run_over} {last.goodbye}".encode())
            os._exit(0)
        os.waitpid(child, 0)
        load(3)
    said = os.read(read, 100).decode()
    assert said == f"{inbox.frames[-1].run_ms} True True"
    assert records(inbox.frames) == 2


SCRIPT = """
    import sys, os, signal, swirl
    from swirl.settings import EmitterSettings
    from swirl.sdk.transport import Transport
    from swirl.frame import decode
    class Out(Transport):
        def send(self, pipeline, payload, lost):
            frame = decode(payload)
            os.write(1, f"{frame.run_ms > 0} {frame.run_over} {frame.goodbye}\\n".encode())
        def close(self, timeout): pass
    nightly = swirl.Pipeline("nightly", transport=Out(), every="1 day")
    @nightly.stage
    def load(row): return row
"""


@pytest.mark.parametrize(
    ("ending", "last"),
    [
        ("load(1)", "True True True"),
        ("load(1); sys.exit(3)", "True True True"),
        ("nightly.run().__enter__(); load(1)", "True False True"),
        ("nightly.run().__enter__(); load(1); os.kill(os.getpid(), signal.SIGTERM)", "True False True"),
        ("with nightly.run(): sys.exit(3)", "False False True"),
    ],
)
def test_only_a_block_that_is_left_tells_that_its_run_is_over(ending: str, last: str) -> None:
    script = textwrap.dedent(SCRIPT) + ending
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout.splitlines()[-1] == last, ended.stderr
