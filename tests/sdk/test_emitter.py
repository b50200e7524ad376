from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from typing import TYPE_CHECKING

import numpy as np
import pytest

from swirl import Pipeline, Verdict
from swirl.frame import MAX_BYTES
from swirl.sdk import feedback, transport
from swirl.settings import EmitterSettings
from tests.sdk.inbox import START, HandClock, Inbox, threaded, wired

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_frames_cover_event_time_without_a_gap_and_count_up() -> None:
    clock = HandClock(step=0)
    ads, inbox = wired(clock=clock)

    @ads.stage
    def ingest() -> None:
        pass

    for _ in range(3):
        clock.advance(1.25)
        ingest()
        ads.emit_now()
    start = START * 1000
    assert [frame.covers for frame in inbox.frames] == [
        (start, start + 1250),
        (start + 1250, start + 2500),
        (start + 2500, start + 3750),
    ]
    assert [frame.sequence for frame in inbox.frames] == [1, 2, 3]
    assert {frame.emitter for frame in inbox.frames} == {b"e" * 16}
    assert [piece.bucket_ms - start for piece in inbox.slices("ingest")] == [1000, 2000, 3000]


def test_records_of_one_flush_are_told_apart_by_second() -> None:
    clock = HandClock(step=0)
    ads, inbox = wired(clock=clock)

    @ads.stage(predicts=True)
    def classify(mood: str) -> str:
        return mood

    for mood in "aab":
        classify(mood)
        clock.advance(0.6)
    classify.count("clicks", 5)
    ads.emit_now()
    assert [(p.bucket_ms - START * 1000, p.counters, p.categories) for p in inbox.slices("classify")] == [
        (0, {"records": 2, "out": 2, "predictions": 2}, {"label": {"a": 2}}),
        (1000, {"records": 1, "out": 1, "predictions": 1, "clicks": 5}, {"label": {"b": 1}}),
    ]


def test_the_definition_travels_first_on_change_and_each_minute() -> None:
    clock = HandClock(step=0)
    ads, inbox = wired(clock=clock)

    @ads.stage(features=True)
    def classify() -> dict[str, int]:
        return {"age": 1}

    given = []
    for second in range(123):
        clock.advance(1)
        if second == 5:
            classify()
        ads.emit_now()
        if inbox.frames[-1].definition is not None:
            given.append(second)
    assert given == [0, 5, 65]
    assert len({frame.definition_hash for frame in inbox.frames}) == 2


def test_a_version_function_is_asked_at_each_flush_and_a_cutover_gives_two_slices() -> None:
    clock = HandClock(step=0)
    version = ["1"]
    ads, inbox = wired(clock=clock, version=lambda: version[0])

    @ads.stage
    def ingest() -> None:
        pass

    @ads.stage(version="fixed")
    def classify() -> None:
        pass

    ingest()
    classify()
    ads.emit_now()
    version[0] = "2"
    clock.advance(0.1)
    ingest()
    classify()
    ads.emit_now()
    assert [(p.version, p.counters["records"]) for p in inbox.slices("ingest")] == [("1", 1), ("2", 1)]
    assert {p.version for p in inbox.slices("classify")} == {"fixed"}


def test_a_version_that_is_assigned_cuts_at_that_moment() -> None:
    clock = HandClock(step=0)
    ads, inbox = wired(clock=clock, version="1")

    @ads.stage
    def ingest() -> None:
        pass

    for version in ["1", "2", "3"]:
        clock.advance(0.01)
        ads.version = version
        for _ in range(int(version)):
            ingest()
    ads.emit_now()
    assert [(p.version, p.counters["records"]) for p in inbox.slices("ingest")] == [
        ("1", 1),
        ("2", 2),
        ("3", 3),
    ]


def test_a_version_function_that_raises_leaves_the_last_known_version() -> None:
    answers: list[object] = ["1"]
    ads, inbox = wired(version=answers.pop)

    @ads.stage
    def ingest() -> None:
        pass

    for _ in range(2):
        ingest()
        ads.emit_now()
    assert [p.version for p in inbox.slices("ingest")] == ["1", "1"]


def test_event_times_of_the_records_decide_their_second_and_what_is_covered() -> None:
    clock = HandClock(step=0)
    ads, inbox = wired(clock=clock)

    @ads.stage(at=lambda event: event["at"])
    def ingest(event: dict[str, float]) -> dict[str, float]:
        return event

    ads.emit_now()
    for at in (1000.5, 1002.2, 1001.1):
        ingest({"at": at})
    ingest.count("clicks")
    ads.emit_now()
    clock.advance(2)
    ads.emit_now()
    ingest({"at": 1001.0})
    ads.emit_now()
    assert [frame.covers for frame in inbox.frames] == [
        (0, 0), (1_000_500, 1_002_200), (1_002_200, 1_004_200), (1_004_200, 1_004_200),
    ]  # fmt: skip
    assert [p.bucket_ms for p in inbox.slices("ingest")] == [1_000_000, 1_001_000, 1_002_000, 1_001_000]
    assert inbox.frames[1].slices[2].counters == {"records": 1, "out": 1, "clicks": 1}


def test_an_event_time_of_next_year_is_reported_but_moves_nothing() -> None:
    ads, inbox = wired(clock=HandClock(step=0))

    @ads.stage(at=lambda event: event)
    def ingest(event: float) -> float:
        return event

    for at in (START - 5.0, START + 3e7, 0.0):
        ingest(at)
    ads.emit_now()
    assert inbox.frames[0].covers == (0, (START - 5) * 1000)
    assert [p.bucket_ms for p in inbox.slices("ingest")] == [
        0,
        (START - 5) * 1000,
        (START + 30_000_000) * 1000,
    ]


def test_where_only_some_stages_have_event_times_the_hosts_clock_says_what_is_covered() -> None:
    clock = HandClock(step=0)
    ads, inbox = wired(clock=clock)

    @ads.stage(at=lambda event: event)
    def ingest(event: float) -> float:
        return event

    @ads.stage(after=ingest)
    def classify(event: float) -> None:
        pass

    clock.advance(1)
    classify(ingest(START - 2.0))
    ads.emit_now()
    assert inbox.frames[0].covers == (START * 1000, START * 1000 + 1000)
    assert [p.bucket_ms for p in inbox.frames[0].slices] == [START * 1000 - 2000, START * 1000 + 1000]


def test_a_clock_that_jumps_back_a_little_holds_still_and_one_that_jumps_far_starts_a_new_emitter() -> None:
    clock = HandClock(step=0)
    ads, inbox = wired(clock=clock)

    @ads.stage
    def ingest() -> None:
        pass

    clock.advance(10)
    ads.emit_now()
    clock.origin -= 3_000_000_000
    ingest()
    ads.emit_now()
    clock.origin -= 3_600_000_000_000
    ingest()
    ads.emit_now()
    first, second, goodbye, anew = inbox.frames
    assert second.covers == (first.covers[1], first.covers[1])
    assert second.slices[0].bucket_ms == first.covers[1]
    assert (goodbye.goodbye, goodbye.emitter, goodbye.sequence) == (True, b"e" * 16, 3)
    assert anew.emitter != b"e" * 16
    assert (anew.sequence, anew.definition is not None, anew.covers[1]) == (1, True, START * 1000 - 3_593_000)
    assert inbox.counter("ingest", "records") == 2


def test_a_clock_that_jumps_forward_leaves_no_gap() -> None:
    clock = HandClock(step=0)
    ads, inbox = wired(clock=clock)

    @ads.stage
    def ingest() -> None:
        pass

    ads.emit_now()
    clock.origin += 86_400_000_000_000
    ingest()
    ads.emit_now()
    assert inbox.frames[1].covers == (inbox.frames[0].covers[1], START * 1000 + 86_400_000)


def test_the_background_thread_sends_by_itself_and_says_goodbye() -> None:
    ads, inbox = threaded()

    @ads.stage
    def ingest() -> None:
        pass

    assert not ads._emitter.running
    ingest()
    assert inbox.wait(lambda: len(inbox.payloads) >= 3)
    assert ads.close(10) is True
    ingest()
    last = inbox.frames[-1]
    assert (last.goodbye, inbox.counter("ingest", "records")) == (True, 1)
    assert all(not frame.slices for frame in inbox.frames[1:])
    assert ads.flush(1) is True
    assert inbox.frames[-1] == last


def test_flush_hands_over_all_that_was_recorded_and_says_whether_it_could() -> None:
    ads, inbox = threaded()

    @ads.stage
    def ingest() -> None:
        pass

    assert ads.flush(1) is True
    for _ in range(1000):
        ingest()
    assert ads.flush(10) is True
    assert inbox.counter("ingest", "records") == 1000
    inbox.broken = True
    ingest()
    assert ads.flush(10) is False
    inbox.broken = False
    assert ads.flush(10) is True
    assert inbox.counter("ingest", "records") == 1001
    assert ads.close(10) is True


def test_a_transport_that_fails_is_asked_again_later_and_later_and_nothing_is_lost_or_doubled() -> None:
    ads, inbox = threaded()
    inbox.broken = True

    @ads.stage
    def ingest() -> None:
        pass

    ingest()
    assert inbox.wait(lambda: inbox.refused >= 2)
    emitter = ads._emitter
    inbox.broken = False
    ingest()
    assert inbox.wait(lambda: inbox.counter("ingest", "records") == 2)
    assert [frame.sequence for frame in inbox.frames] == list(range(1, len(inbox.frames) + 1))
    assert inbox.wait(lambda: emitter._ring.backoff == 0.5)
    ads.close(10)


def test_a_full_ring_drops_the_oldest_frames_counts_them_and_sends_the_definition_again() -> None:
    clock = HandClock(step=0)
    ads, inbox = wired(clock=clock, settings=EmitterSettings(buffer_frames=3))
    ads._emitter.transport = None
    for _ in range(5):
        clock.advance(1)
        ads.emit_now()
    ads._emitter.transport = inbox
    ads.emit_now()
    assert [(f.sequence, f.failed, f.definition is not None) for f in inbox.frames] == [
        (4, 0, False), (5, 1, True), (6, 2, False),
    ]  # fmt: skip


def test_without_a_transport_no_thread_runs_and_what_overflows_is_dropped_and_counted() -> None:
    settings = EmitterSettings(buffer_records=200, flush_seconds=0.02)
    ads = Pipeline("ads", settings=settings)

    @ads.stage
    def ingest() -> None:
        pass

    @ads.stage(after=ingest)
    def classify() -> None:
        pass

    for _ in range(5000):
        ingest()
    for _ in range(100):
        classify()
        classify.count("clicks")
    waiting = sum(r.waiting() for r in ads._gate.recorders)
    assert waiting <= 200
    assert not ads._emitter.running
    inbox = Inbox()
    assert transport.install(inbox) is None
    try:
        assert transport.installed() is inbox
        assert ads.flush(10) is True
    finally:
        transport.install(None)
    total = sum(inbox.counter(s, "records") for s in ("ingest", "classify")) + inbox.counter(
        "classify", "clicks"
    )
    assert total + inbox.frames[-1].dropped == 5200
    ads.close(10)


def test_a_burst_beyond_the_buffer_wakes_the_thread_and_accounts_for_every_record() -> None:
    inbox = Inbox()
    ads = Pipeline("ads", settings=EmitterSettings(buffer_records=500, flush_seconds=0.2), transport=inbox)

    @ads.stage
    def ingest() -> None:
        pass

    for _ in range(50_000):
        ingest()
    ads.close(20)
    assert inbox.counter("ingest", "records") + inbox.frames[-1].dropped == 50_000
    assert inbox.counter("ingest", "records") >= 500


def test_no_record_is_lost_or_doubled_under_threads_that_switch_all_the_time() -> None:
    ads, inbox = threaded(buffer_records=10_000_000)

    @ads.stage(predicts=True)
    def classify(mood: str) -> str:
        return mood

    def work(mood: str) -> None:
        for _ in range(2_000):
            classify(mood)
            classify.count("clicks")

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        workers = [threading.Thread(target=work, args=(f"m{i % 4}",)) for i in range(64)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(before)
    assert ads.close(30) is True
    assert inbox.counters("classify") == {
        "records": 128_000, "out": 128_000, "predictions": 128_000, "clicks": 128_000,
    }  # fmt: skip
    assert inbox.category("classify", "label") == dict.fromkeys(("m0", "m1", "m2", "m3"), 32_000)
    assert inbox.distribution("classify", "latency").count == 128_000
    assert inbox.frames[-1].dropped == 0


def test_a_fork_is_an_emitter_of_its_own_that_sends_nothing_of_its_parent() -> None:
    ads, inbox = threaded()
    reader, writer = os.pipe()

    @ads.stage
    def ingest(line: str) -> int:
        return os.fork() if line == "fork" else -1

    for _ in range(10):
        ingest("")
    assert ads.flush(10)
    ingest("")
    sent = len(inbox.payloads)
    child = ingest("fork")
    if child == 0:
        # The call in which the fork happened ends in both processes.
        try:
            ingest("")
            done = ads.close(10)
            counted = sum(f.slices[0].counters["records"] for f in inbox.frames[sent:] if f.slices)
            identities = {f.emitter for f in inbox.frames[sent:]} & {f.emitter for f in inbox.frames[:sent]}
            first = inbox.frames[sent]
            text = f"{done} {counted:.0f} {len(identities)} {first.sequence} {first.definition is not None}"
            os.write(writer, text.encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        said = answer.read().decode()
    os.waitpid(child, 0)
    assert said == "True 2 0 1 True"
    assert ads.close(10) is True
    assert inbox.counter("ingest", "records") == 12


SCRIPT = """
    import sys, threading, atexit, swirl
    from swirl.sdk import transport
    from swirl.settings import EmitterSettings

    class File(transport.Transport):
        def send(self, pipeline, payload, lost):
            {trouble}
            sys.stdout.buffer.write(len(payload).to_bytes(4, "big") + payload)
        def close(self, timeout):
            sys.stdout.buffer.flush()

    transport.install(File())
    ads = swirl.Pipeline("ads", settings=EmitterSettings(flush_seconds=60, exit_seconds=0.5))

    @ads.stage
    def ingest():
        pass

    atexit.register(ingest)
    for _ in range(1234):
        ingest()
"""


def received(sent: bytes) -> Inbox:
    inbox = Inbox()
    while sent:
        size = int.from_bytes(sent[:4], "big")
        inbox.send("ads", sent[4 : 4 + size])
        sent = sent[4 + size :]
    return inbox


def test_what_is_in_the_buffers_when_the_interpreter_ends_is_sent() -> None:
    script = textwrap.dedent(SCRIPT.format(trouble="pass"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=True)
    inbox = received(done.stdout)
    assert done.stderr == b""
    assert inbox.counter("ingest", "records") == 1235
    assert inbox.frames[-1].goodbye


def test_at_the_end_nothing_rests_for_a_host_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swirl.sdk.pace.Pace.__call__", lambda _: rests.append(1))
    rests: list[int] = []
    inbox = Inbox()
    ads = Pipeline("ads", settings=EmitterSettings(flush_seconds=60), transport=inbox)

    @ads.stage
    def ingest() -> None:
        pass

    for _ in range(2_000):
        ingest()
    assert ads.flush(20)
    assert rests
    rests.clear()
    for _ in range(2_000):
        ingest()
    assert ads.close(20)
    assert not rests
    assert inbox.counter("ingest", "records") == 4_000


CHILDREN = """
    import multiprocessing, sys, swirl
    from swirl.sdk.transport import Transport
    from swirl.settings import EmitterSettings

    class File(Transport):
        def send(self, pipeline, payload, lost):
            with open(sys.argv[2], "ab") as file:
                file.write(len(payload).to_bytes(4, "big") + payload)
        def close(self, timeout):
            pass

    ads = swirl.Pipeline("ads", settings=EmitterSettings(flush_seconds=60), transport=File())

    @ads.stage
    def ingest():
        pass

    def work():
        for _ in range(7):
            ingest()

    if __name__ == "__main__":
        process = multiprocessing.get_context(sys.argv[1]).Process(target=work)
        process.start()
        process.join()
        sys.exit(process.exitcode)
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_child_of_multiprocessing_sends_what_it_has_and_says_goodbye(method: str, tmp_path: Path) -> None:
    (tmp_path / "children.py").write_text(textwrap.dedent(CHILDREN))
    frames = tmp_path / "frames"
    command = [sys.executable, str(tmp_path / "children.py"), method, str(frames)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    inbox = received(frames.read_bytes())
    assert done.stderr == b""
    assert inbox.counter("ingest", "records") == 7
    assert [frame.goodbye for frame in inbox.frames][-1:] == [True]


@pytest.mark.parametrize("trouble", ["raise OSError", "threading.Event().wait()"])
def test_a_transport_that_fails_or_hangs_holds_the_exit_up_no_longer_than_the_setting(trouble: str) -> None:
    script = textwrap.dedent(SCRIPT.format(trouble=trouble))
    script += "import time\nbegan = time.monotonic()\n"
    script += "from swirl.sdk import process\nprocess.close_all()\n"
    script += "sys.stderr.write(str(time.monotonic() - began))\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=True)
    assert float(done.stderr) < 2.0


def test_a_pipeline_that_nobody_holds_says_goodbye_and_is_collected() -> None:
    ads, inbox = threaded()

    @ads.stage
    def ingest() -> None:
        pass

    ingest()
    gone = weakref.ref(ads)
    thread = ads._emitter._thread
    del ads, ingest
    gc.collect()
    assert thread is not None
    thread.join(20)
    assert gone() is None
    assert inbox.frames[-1].goodbye
    assert inbox.counter("ingest", "records") == 1


def test_frames_stay_below_what_a_log_takes() -> None:
    clock = HandClock(step=0)
    ads, inbox = wired(clock=clock)

    @ads.stage(features=lambda row: row)
    def extract(row: dict[str, str]) -> dict[str, str]:
        return row

    for i in range(120):
        clock.advance(1.0 if i == 60 else 0.0)
        extract({f"feature {j} {'🙂' * 60}": f"{i} {'🙂' * 75}" for j in range(60)})
    rng = np.random.default_rng(7)
    for j in range(60):
        extract.observe_many(f"metric {j} {'🙂' * 60}", rng.normal(size=2000))
    ads.emit_now()
    assert len(inbox.frames) > 1
    assert max(map(len, inbox.payloads)) <= MAX_BYTES
    assert [f.covers for f in inbox.frames[:-1]] == [(START * 1000, START * 1000)] * (len(inbox.frames) - 1)
    assert inbox.counter("extract", "values") == 7200
    labels = {name for piece in inbox.slices("extract") for name in piece.categories}
    assert len(labels) == 51
    assert all(len(p.categories[n]) <= 51 for p in inbox.slices("extract") for n in p.categories)


def test_verdicts_reach_all_pipelines_of_the_name_and_no_others() -> None:
    ads, again, other = Pipeline("ads"), Pipeline("ads"), Pipeline("other")
    verdict = Verdict("tripped", 5, "ads-1", "ingest", "data pipeline broken")
    assert ads.verdict == Verdict()
    feedback.deliver("ads", verdict)
    feedback.deliver("unknown", verdict)
    assert (ads.verdict, again.verdict, other.verdict) == (verdict, verdict, Verdict())
    assert ads in feedback.live("ads")
    assert {ads, again, other} <= set(feedback.live())


def test_the_same_records_give_the_same_bytes() -> None:
    payloads = []
    for _ in range(2):
        ads, inbox = wired(clock=HandClock())

        @ads.stage(predicts=True, valid=lambda mood: mood != "c")
        def classify(mood: str) -> str:
            return mood

        for mood in "abcabacab" * 50:
            classify(mood)
        classify.observe("price", 1.5)
        ads.emit_now()
        payloads.append(inbox.payloads)
    assert payloads[0] == payloads[1]


def test_threads_that_come_first_together_start_one_emitter_thread() -> None:
    ads, inbox = threaded()
    together = threading.Barrier(8)

    @ads.stage
    def ingest() -> None:
        pass

    def work() -> None:
        together.wait()
        ingest()

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    running = [t for t in threading.enumerate() if t.name == "swirl-ads" and t is ads._emitter._thread]
    assert len(running) == 1
    ads.close(10)
    assert inbox.counter("ingest", "records") == 8


class SlowInbox(Inbox):
    """Takes no frame while it is held."""

    def __init__(self) -> None:
        super().__init__()
        self.held, self.free = threading.Event(), threading.Event()
        self.free.set()

    def send(self, pipeline: str, payload: bytes, lost: Callable[[], object] = bool) -> None:
        self.held.set()
        self.free.wait(20)
        super().send(pipeline, payload, lost)


def test_a_run_that_begins_before_the_last_one_is_sent_loses_no_record() -> None:
    inbox = SlowInbox()
    settings = EmitterSettings(flush_seconds=30, exit_seconds=0.1)
    nightly = Pipeline("nightly", settings=settings, transport=inbox, every="1 day")

    @nightly.stage
    def load(row: int) -> int:
        return row

    with nightly.run():
        load(0)
        inbox.free.clear()
        assert not nightly.flush(0.1)
        assert inbox.held.is_set()
    with nightly.run():
        inbox.free.set()
        assert inbox.wait(lambda: any(frame.run_over for frame in inbox.frames))
        until = time.monotonic() + 20
        while nightly._emitter._resting and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.05)
        for row in range(5):
            load(row)
    assert nightly.close(20)
    assert inbox.counter("load", "records") == 6
    assert inbox.frames[-1].dropped == 0
