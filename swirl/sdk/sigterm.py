"""The end by SIGTERM, for which Python runs no exit functions."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

from swirl.sdk.process import end

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["say_goodbye_on_sigterm"]

_FIRST_OF_A_CONTAINER = 1


def say_goodbye_on_sigterm() -> None:
    """Close the emitters before SIGTERM ends this process, unless it handles the signal itself.

    Nothing is done outside the main thread, where handlers cannot be set, and in the first process of a
    container, which the signal does not end.
    """
    if threading.current_thread() is not threading.main_thread() or os.getpid() == _FIRST_OF_A_CONTAINER:
        return
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - what a handler is given
    # From here on a second one ends the process at once.
    signal.signal(number, signal.SIG_DFL)
    try:
        end()
    finally:
        os.kill(os.getpid(), number)


class _Mask(threading.local):
    """What a thread that forks had blocked before."""

    before: set[int | signal.Signals] | None = None


_mask = _Mask()


def _before_fork() -> None:
    # Python forgets what reaches a child before it is set up. Without a handler the child would have died of
    # it; so the signal waits until its handler can be called.
    if signal.getsignal(signal.SIGTERM) is _end:
        _mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _after_fork() -> None:
    before, _mask.before = _mask.before, None
    if before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
