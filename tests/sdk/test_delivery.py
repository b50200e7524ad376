"""What an emitter and a transport tell each other: full, lost, delivered."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from swirl import Pipeline
from swirl.sdk import transport
from swirl.settings import EmitterSettings
from tests.sdk.inbox import HandClock, Inbox

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_frame_that_was_taken_and_lost_is_told_in_the_next_one_and_its_definition_sent_again() -> None:
    class Forgetful(Inbox):
        losing = True

        def send(self, pipeline: str, payload: bytes, lost: Callable[[], object] = bool) -> None:
            if self.losing:
                lost()
            else:
                super().send(pipeline, payload)

    inbox = Forgetful()
    ads = Pipeline("ads", settings=EmitterSettings())
    ads.rebind(HandClock(), inbox, threaded=False)
    ads.emit_now()
    inbox.losing = False
    ads.emit_now()
    ads.emit_now()
    assert [frame.failed for frame in inbox.frames] == [1, 1]
    assert [frame.sequence for frame in inbox.frames] == [2, 3]
    assert [frame.definition is not None for frame in inbox.frames] == [True, False]


def test_a_transport_that_is_full_is_asked_again_at_the_next_flush() -> None:
    class Full(Inbox):
        def send(self, pipeline: str, payload: bytes, lost: Callable[[], object] = bool) -> None:
            if self.refused < 5:
                self.refused += 1
                raise transport.Refused
            super().send(pipeline, payload)

    inbox = Full()
    ads = Pipeline("ads", settings=EmitterSettings(flush_seconds=0.02), transport=inbox)
    ingest = ads.stage(name="ingest")(bool)
    ingest()
    # With the backoff for other failures the fifth attempt would come after eight seconds.
    assert inbox.wait(lambda: len(inbox.payloads) >= 6, seconds=5)
    assert ads.close(10)
    assert [frame.sequence for frame in inbox.frames] == list(range(1, len(inbox.frames) + 1))


def test_what_is_asked_for_waits_until_a_transport_that_is_full_has_room() -> None:
    class Slow(Inbox):
        room = 1

        def send(self, pipeline: str, payload: bytes, lost: Callable[[], object] = bool) -> None:
            if not self.room:
                raise transport.Refused
            self.room -= 1
            super().send(pipeline, payload)

        def flush(self, timeout: float) -> bool:
            self.room = 1
            return True

    inbox = Slow()
    ads = Pipeline("ads", settings=EmitterSettings(flush_seconds=0.01), transport=inbox)
    ingest = ads.stage(name="ingest")(bool)
    ingest()
    emitter = ads._emitter
    assert inbox.wait(lambda: bool(inbox.payloads))
    deadline = time.monotonic() + 20
    while emitter.kept < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ads.close(10)
    assert emitter.kept == 0
    assert inbox.frames[-1].goodbye


def test_a_flush_tells_whether_what_was_taken_is_delivered() -> None:
    class Lazy(Inbox):
        delivers = False

        def flush(self, timeout: float) -> bool:
            return self.delivers

    inbox = Lazy()
    ads = Pipeline("ads", transport=inbox)
    ads.stage(name="ingest")(bool)()
    assert not ads.flush(5)
    inbox.delivers = True
    assert ads.flush(5)
