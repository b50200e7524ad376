"""The end by SIGTERM: a goodbye first, then as before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from swirl.frame import Frame, decode

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
    import os, signal, sys, threading, time
    {before}
    import swirl
    from swirl.sdk.transport import Transport

    class File(Transport):
        def send(self, pipeline, payload, lost):
            {trouble}
            sys.stdout.buffer.write(len(payload).to_bytes(4, "big") + payload)
            sys.stdout.buffer.flush()
        def close(self, timeout):
            pass

    def make():
        global ads
        ads = swirl.Pipeline("ads", transport=File())

    {make}
    ingest = ads.stage(name="ingest")(bool)
    ingest()
    {after}
    sys.stderr.write("ready\\n")
    sys.stderr.flush()
    while True:
        time.sleep(60)
"""


def ended(
    *, before: str = "", make: str = "make()", after: str = "", trouble: str = "pass", sigterm: str = "1"
) -> tuple[int, list[Frame], float]:
    """Exit code, frames, and seconds that a program took to end after the signal."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(PROGRAM).format(before=before, make=make, after=after, trouble=trouble),
        ],
        cwd=ROOT,
        env={**os.environ, "SWIRL_FLUSH_SECONDS": "60", "SWIRL_SIGTERM": sigterm},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == b"ready\n"
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    sent, _ = process.communicate(timeout=30)
    seconds = time.monotonic() - began
    frames = []
    while sent:
        size = int.from_bytes(sent[:4], "big")
        frame = decode(sent[4 : 4 + size])
        assert isinstance(frame, Frame)
        frames.append(frame)
        sent = sent[4 + size :]
    return process.returncode, frames, seconds


def test_the_last_frame_is_sent_and_the_signal_ends_the_process() -> None:
    code, frames, _ = ended()
    assert code == -signal.SIGTERM
    assert [frame.goodbye for frame in frames] == [True]
    assert frames[0].slices[0].counters["records"] == 1


def test_a_transport_that_hangs_holds_it_up_no_longer_than_the_setting() -> None:
    code, frames, seconds = ended(trouble="threading.Event().wait()")
    assert code == -signal.SIGTERM
    assert frames == []
    assert seconds < 3


def test_the_setting_leaves_the_signal_alone() -> None:
    assert ended(sigterm="0")[:2] == (-signal.SIGTERM, [])


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_handler_of_the_programs_own_is_left_alone(place: str) -> None:
    own = "signal.signal(signal.SIGTERM, lambda *_: os._exit(7))"
    code, frames, _ = ended(**{place: own})
    assert (code, frames) == (7, [])


def test_a_pipeline_that_is_made_in_another_thread_leaves_the_signal_alone() -> None:
    thread = "thread = threading.Thread(target=make); thread.start(); thread.join()"
    assert ended(make=thread)[:2] == (-signal.SIGTERM, [])


def test_a_child_that_is_ended_while_it_is_forked_ends() -> None:
    children = (
        "[(os.kill(pid, 15), os.waitpid(pid, 0)) for _ in range(50) if (pid := os.fork() or time.sleep(60))]"
    )
    assert ended(after=children)[0] == -signal.SIGTERM


def test_a_forked_child_says_goodbye_for_itself() -> None:
    child = "r, w = os.pipe(); pid = os.fork(); ingest(); pid or (os.write(w, b'x'), time.sleep(60))\n"
    child += "pid and (os.read(r, 1), os.kill(pid, 15), os.waitpid(pid, 0))"
    code, frames, _ = ended(after=child)
    assert code == -signal.SIGTERM
    assert [frame.goodbye for frame in frames] == [True, True]
    assert len({frame.emitter for frame in frames}) == 2
