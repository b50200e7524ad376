"""A process that does not go on is ended; one that goes on is left alone."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from swirl.engine.watchdog import EXIT_FENCED, EXIT_STALLED, Watchdog
from swirl.settings import WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Callable


class Ended:
    def __init__(self) -> None:
        self.codes: list[int] = []
        self.happened = threading.Event()
        self.dog: Watchdog | None = None

    def __call__(self, code: int) -> None:
        self.codes.append(code)
        if self.dog is not None:
            self.dog.stop()
        self.happened.set()


def guarded(trouble: Callable[[], str]) -> tuple[Watchdog, Ended]:
    ended = Ended()
    ended.dog = Watchdog(WorkerSettings(session_seconds=6), trouble, ended)
    return ended.dog, ended


def test_trouble_ends_the_process_with_a_code() -> None:
    dog, ended = guarded(lambda: "no record was folded")

    dog.start()

    assert ended.happened.wait(10)
    assert ended.codes == [EXIT_STALLED]


def test_a_process_that_stood_still_is_ended_as_one_that_lost_its_partitions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = threading.Event()
    dog, ended = guarded(lambda: asked.set() or "")  # type: ignore[func-returns-value]
    dog.start()
    assert asked.wait(10)
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + 7.0)

    assert dog.fenced or ended.happened.wait(10)
    assert ended.happened.wait(10)
    assert ended.codes[0] == EXIT_FENCED


def test_a_process_that_goes_on_is_left_alone() -> None:
    times = threading.Semaphore(0)
    dog, ended = guarded(lambda: times.release() or "")  # type: ignore[func-returns-value]

    dog.start()
    for _ in range(3):
        assert times.acquire(timeout=10)
    dog.stop()

    assert ended.codes == []
    assert not dog.fenced


def test_stopping_has_a_deadline() -> None:
    dog, ended = guarded(str)

    dog.deadline(0.05, 75)

    assert ended.happened.wait(10)
    assert ended.codes == [75]


def test_a_question_that_fails_does_not_end_the_watch(caplog: pytest.LogCaptureFixture) -> None:
    asked = iter([False, True])

    def trouble() -> str:
        if not next(asked, True):
            raise ZeroDivisionError
        return "no record was folded"

    dog, ended = guarded(trouble)

    dog.start()

    assert ended.happened.wait(10)
    assert ended.codes[0] == EXIT_STALLED
    assert "cannot be told whether the worker works" in caplog.text
