"""The emitters of this process: a fork starts them anew, and its end closes them."""

from __future__ import annotations

import atexit
import os
import sys
import time
import weakref
from typing import TYPE_CHECKING

from swirl.sdk import transport as transports
from swirl.sdk.log import log

if TYPE_CHECKING:
    from swirl.sdk.emitter import Emitter
    from swirl.sdk.transport import Transport

__all__ = ["close_all", "end", "enrol", "kept", "losses"]

_AFTER_QUEUES = -100
"""Among the finalizers of multiprocessing: after its queues have sent what the host put in them."""

_live: weakref.WeakSet[Emitter] = weakref.WeakSet()


def enrol(emitter: Emitter) -> None:
    """Have an emitter started anew in forked children, and closed at the end."""
    _live.add(emitter)


def _after_fork() -> None:
    for emitter in list(_live):
        if emitter.runs is not None:
            emitter.runs.forked()
        emitter.begin()
    _end_with_multiprocessing()


class _Ending:
    """Remembers that multiprocessing was told; it holds what it was told weakly."""

    told = False


def _end_with_multiprocessing() -> None:
    """Close in its children too: they run finalizers of its own, and before Python 3.12 none of atexit."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None and not _Ending.told:
        _Ending.told = True
        util.register_after_fork(_Ending, lambda _: util.Finalize(None, end, exitpriority=_AFTER_QUEUES))


def losses(transport: Transport) -> tuple[int, int]:
    """Frames that did not arrive and records that were dropped, of all that send through a transport."""
    found = [e.losses for e in list(_live) if e.target() is transport]
    return sum(frames for frames, _ in found), sum(records for _, records in found)


def kept(transport: Transport) -> int:
    """Frames that wait for a transport."""
    return sum(e.kept for e in list(_live) if e.target() is transport)


def close_all() -> None:
    """Close the emitters of this process, all at once, within the longest of their ``exit_seconds``."""
    _close(list(_live))


def _close(emitters: list[Emitter]) -> float:
    """Close emitters; seconds that are left."""
    running = [e for e in emitters if e.running]
    deadline = time.monotonic() + max((e.settings.exit_seconds for e in emitters), default=0.0)
    for emitter in running:
        emitter.close_soon()
    for emitter in running:
        emitter.join(deadline - time.monotonic())
    return max(0.0, deadline - time.monotonic())


def end() -> None:
    """The process ends: close all emitters and their transports, within the longest ``exit_seconds``."""
    emitters = list(_live)
    left = _close(emitters)
    targets = [transports.installed(), *(e.target() for e in emitters)]
    for target in {id(t): t for t in targets if t is not None}.values():
        try:
            target.close(left)
        except Exception:  # noqa: BLE001 - the process ends; a transport that fails to close must not be felt
            log().debug("swirl: closing the transport failed", exc_info=True)


os.register_at_fork(after_in_child=_after_fork)
atexit.register(end)
_end_with_multiprocessing()
