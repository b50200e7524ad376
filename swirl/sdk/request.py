"""What a host asks of an emitter's thread, through a queue that signal handlers and destructors may use."""

from __future__ import annotations

import threading
import time
from queue import Empty, SimpleQueue

__all__ = ["Request", "next_request"]


class Request:
    """Something the thread is asked to do, and whether it worked.

    Args:
        goodbye: send what has gathered, and end.
        begins: a run begins.
        over: a run is over: send what belongs to it.
        timeout: seconds it may take.

    Attributes:
        until: end of that time, on the monotonic clock.
        done: set when the thread has dealt with it.
        ok: it worked.
    """

    __slots__ = ("begins", "done", "goodbye", "ok", "over", "until")

    def __init__(
        self, *, goodbye: bool = False, begins: bool = False, over: bool = False, timeout: float
    ) -> None:
        self.goodbye, self.begins, self.over = goodbye, begins, over
        self.until = time.monotonic() + timeout
        self.done = threading.Event()
        self.ok = False


def next_request(queue: SimpleQueue[Request | None], seconds: float) -> Request | None:
    """The next one, or None: nothing came in that time, or there is only something to fold."""
    try:
        return queue.get(timeout=max(0.0, seconds))
    except Empty:
        return None
