"""The monitor in a thread of the user's own process, taking care that nobody notices."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, TypeVar

from swirl.effect import IncidentChanged, MuteChanged
from swirl.frame import Tick, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from swirl.clock import Clock
    from swirl.effect import Effect
    from swirl.monitor import Monitor

__all__ = ["MonitorLoop"]

_log = logging.getLogger("swirl.engine")
_Result = TypeVar("_Result")

_SLICE_S = 0.0005
"""Longest stretch of work before the interpreter is handed back to the host."""

_QUEUE_BYTES = 64_000_000
_TICK_S = 0.25
_SNAPSHOT_S = 30.0
_SOON_S = 1.0
"""After what people were told or have said: a process that is killed must not take it back."""


class MonitorLoop:
    """Feeds a monitor from a queue and carries its effects away.

    The queue is the log of the local engine: its order and the clock's time, made monotone, are the
    offsets and log times that the fold sees. Where no frame comes, the loop appends ticks.

    Args:
        monitor: owned by the loop's thread from :meth:`start` to :meth:`close`.
        clock: tells the log time.
        carry: is handed every effect, in order; must not block or raise.
        save: is handed a snapshot now and then, and at the end.
        applied: is told how many seconds each record took, without the rests in between.
    """

    def __init__(
        self,
        monitor: Monitor,
        clock: Clock,
        carry: Callable[[Effect], None],
        save: Callable[[bytes], None] | None = None,
        applied: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._monitor = monitor
        self._clock = clock
        self._carry = carry
        self._save, self._applied = save, applied
        self._rested = 0.0
        self._told = False
        self._queue: deque[tuple[str, bytes]] = deque()
        self._queued_bytes = 0
        self._wake = threading.Event()
        self._idle = threading.Event()
        self._guard = threading.Lock()
        self._closing = False
        self._log_ms = 0
        self._heard: dict[str, float] = {}
        self._progress = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="swirl-monitor", daemon=True)
        self.overflowed = 0
        self.failed = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def put(self, pipeline: str, payload: bytes) -> bool:
        """Append a frame to the log, from any thread; False when the queue is full: then it was counted."""
        with self._guard:
            if self._queued_bytes + len(payload) > _QUEUE_BYTES:
                self.overflowed += 1
                return False
            self._queued_bytes += len(payload)
            self._queue.append((pipeline, payload))
            self._idle.clear()
        self._wake.set()
        return True

    def drain(self, timeout: float) -> bool:
        """Wait until all that was put has been folded."""
        return self._idle.wait(timeout)

    def close(self, timeout: float) -> bool:
        """Fold what waits, save, stop; False if that took longer than ``timeout`` seconds."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def stalled_s(self) -> float:
        """Seconds since the loop last came round: a health check."""
        return time.monotonic() - self._progress

    def _run(self) -> None:
        saved = time.monotonic()
        while True:
            self._progress = time.monotonic()
            if self._queue:
                self._take()
            elif self._closing:
                break
            else:
                self._wait()
                self._tick()
            if time.monotonic() - saved > (_SOON_S if self._told else _SNAPSHOT_S):
                saved, self._told = time.monotonic(), False
                self._snapshot()
        self._snapshot()

    def _wait(self) -> None:
        with self._guard:
            if not self._queue:
                self._idle.set()
        self._wake.wait(_TICK_S)
        self._wake.clear()

    def _take(self) -> None:
        with self._guard:
            pipeline, payload = self._queue.popleft()
            self._queued_bytes -= len(payload)
        self._heard[pipeline] = time.monotonic()
        self._fold(payload)

    def _tick(self) -> None:
        now = time.monotonic()
        for pipeline in self._monitor.pipelines:
            if now - self._heard.get(pipeline, 0.0) > _TICK_S:
                self._heard[pipeline] = now
                self._fold(encode(Tick(pipeline)))

    def _fold(self, payload: bytes) -> None:
        self._log_ms = max(self._log_ms, self._clock.time_ns() // 1_000_000)
        began, rested = time.perf_counter(), self._rested
        try:
            steps = self._monitor.fold(self._monitor.next_offset, self._log_ms, payload)
            for effect in _paced(steps, self._rest):
                self._carry(effect)
                self._told |= isinstance(effect, IncidentChanged | MuteChanged)
        except Exception:  # noqa: BLE001 - logged, and counted
            # A frame that the fold cannot stand must not take the watch over all the others with it.
            self.failed += 1
            if self.failed == 1:
                _log.exception("a frame could not be folded and was left out; further ones are only counted")
        self._applied(time.perf_counter() - began - (self._rested - rested))

    def _rest(self, worked: float) -> None:
        """Let the host run for as long as the slice took; once it only waits for the end, go on."""
        if not self._closing:
            began = time.perf_counter()
            time.sleep(worked)
            self._rested += time.perf_counter() - began

    def _snapshot(self) -> None:
        if self._save is not None:
            try:
                self._save(_paced(self._monitor.snapshot_steps(), self._rest))
            except Exception:  # noqa: BLE001 - logged, and tried again
                _log.exception("the state could not be saved; it is tried again in %.0f s", _SNAPSHOT_S)


def _paced(steps: Generator[None, None, _Result], rest: Callable[[float], None]) -> _Result:
    """Run steps to their end, with a rest for the host after every slice, as long as the slice took."""
    began = time.perf_counter()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _Result = end.value
            return result
        worked = time.perf_counter() - began
        if worked > _SLICE_S:
            rest(worked)
            began = time.perf_counter()
