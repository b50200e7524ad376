"""The background side of a pipeline: it folds, makes frames and hands them to the transport.

One daemon thread a pipeline, started by the first record. It owns everything here; the host only puts
requests into a queue that is safe in signal handlers and destructors.
"""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING

from swirl.sdk import process
from swirl.sdk import transport as transports
from swirl.sdk.cover import Cover
from swirl.sdk.framing import Framing
from swirl.sdk.log import Complaints, log
from swirl.sdk.pace import Pace
from swirl.sdk.request import Request, next_request
from swirl.sdk.ring import Ring
from swirl.sdk.tallies import MANY_TALLIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl.clock import Clock
    from swirl.frame import Definition, Slice
    from swirl.sdk.recorder import Gate
    from swirl.sdk.runs import Runs
    from swirl.sdk.transport import Transport
    from swirl.settings import EmitterSettings

__all__ = ["Emitter"]

_STEP_BACK_MS = 10_000
"""A clock that goes back further starts a new emitter, since what is covered cannot go back."""


class Emitter:
    """Emits one pipeline.

    Args:
        pipeline: its name.
        settings: flush time, bounds.
        clock: host time.
        gate: what its stages record.
        define: gives the present definition.
        transport: its own, or None for that of the process.
        runs: of a pipeline that runs in batches.
    """

    def __init__(
        self,
        pipeline: str,
        settings: EmitterSettings,
        clock: Clock,
        gate: Gate,
        define: Callable[[], Definition],
        transport: Transport | None,
        runs: Runs | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.settings = settings
        self.clock = clock
        self.gate = gate
        self.define = define
        self.transport = transport
        self.runs = runs
        self.threaded = True
        self._framing = Framing(pipeline)
        self._ring = Ring(pipeline, settings.buffer_frames, self._miss)
        gate.pressure = self.pressure
        self._on_install = self.kick  # kept, since listeners are held weakly
        self.begin()
        transports.on_install(self._on_install)
        process.enrol(self)

    def begin(self, identity: bytes | None = None) -> None:
        """Start anew: another identity, nothing gathered, no thread. Also what a fork does in the child."""
        self._framing.begin(identity)
        self._ring.begin()
        self._queue: SimpleQueue[Request | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False
        self._run_ms = 0 if self.runs is None else self.runs.start_ms
        self._resting = False
        self._dropped_at_rest: int | None = None
        self._cover = Cover()
        self._complaints = Complaints(self.pipeline)
        self._pace = Pace()
        self.gate.reset()

    def pressure(self, ticks: int) -> None:
        """The first record was made, or much has gathered."""
        if self._closed or self._resting:
            self.gate.full = True
            return
        if not self._cover.begun:
            self._cover.begin((ticks + self._offset()) // 1_000_000)
        if not all(r.limit for r in self.gate.recorders):
            self.gate.open(is_open=True)
        if self._thread is None:
            self.kick()
        elif self._queue.empty():
            self._queue.put(None)

    def kick(self) -> None:
        """Start the thread if there is something to send and somewhere to send it."""
        wanted = self.threaded and not self._closed and self._cover.begun and self._thread is None
        # Whoever comes second finds the lock taken and goes on: the thread is being started.
        if wanted and self.target() is not None and self._starting.acquire(blocking=False):
            try:
                if self._thread is None:
                    self._start()
            finally:
                self._starting.release()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name=f"swirl-{self.pipeline}", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the interpreter ends: what gathers is bounded
            self._thread = None

    def flush(self, timeout: float) -> bool:
        """See :meth:`swirl.Pipeline.flush`."""
        return self._ask(Request(timeout=timeout))

    def close(self, timeout: float) -> bool:
        """Send what has gathered and say goodbye. Records that come later are dropped."""
        return self._ask(Request(goodbye=True, over=True, timeout=timeout))

    def begin_run(self) -> None:
        """A run that its user brackets begins: ``runs`` says when."""
        if self._closed:
            return
        if self.threaded and self._thread is not None:
            self._queue.put(Request(begins=True, timeout=0.0))
        else:
            self._begin_run()
        self._let_in()
        self.kick()

    def end_run(self) -> bool:
        """It is over: what belongs to it is sent, within ``exit_seconds``; later records are dropped."""
        over = Request(over=True, timeout=self.settings.exit_seconds)
        ok = self._ask(over)
        if self._thread is None and not self._closed and self._run_ms:
            # Nobody sends yet; what the run was waits in the ring for whoever will.
            self._emit(over)
        if self.runs is not None:
            self.runs.over()
        return ok

    def _begin_run(self) -> None:
        if self.runs is None:
            return
        if not self._run_ms:
            # The pause between two runs is of neither, and the definition may have been forgotten meanwhile.
            self._framing.forget_definition()
            self._cover = Cover()
            self._cover.begin(self.clock.time_ns() // 1_000_000)
        self._run_ms, self._resting = self.runs.start_ms, False
        self._say_dropped()
        # The end of the last run may have been late, and have closed what this one had opened.
        if not self._closed:
            self._let_in()

    def _let_in(self) -> None:
        self.gate.full = False
        self.gate.open(is_open=True)

    def _rest(self) -> None:
        """The run is over: until the next one nothing is recorded."""
        self._run_ms, self._resting = 0, True
        self.gate.open(is_open=False)
        self.gate.full = True
        self._dropped_at_rest = self.gate.dropped

    def _say_dropped(self) -> None:
        """Say once that records came between two runs."""
        before, self._dropped_at_rest = self._dropped_at_rest, None
        if before is not None and self.gate.dropped > before:
            self._complaints.of_records_between_runs()

    def close_soon(self) -> None:
        """The same without waiting."""
        self._queue.put(Request(goodbye=True, timeout=self.settings.exit_seconds))

    def _ask(self, request: Request) -> bool:
        if self._closed or not self._cover.begun:
            self._shut(request.goodbye)
            return True
        if not self.threaded:
            return self._emit_quietly(request)
        self.kick()
        if self._thread is None:
            return False
        self._queue.put(request)
        return request.done.wait(max(0.0, request.until - time.monotonic())) and request.ok

    def _emit_quietly(self, request: Request) -> bool:
        try:
            return self.emit_now(request)
        except Exception:  # noqa: BLE001 - a user's flush() does not raise; a testing kit's emit_now() may
            return False

    def emit_now(self, request: Request | None = None) -> bool:
        """Fold and send one frame in the calling thread; for emitters without a thread of their own."""
        if self._closed:
            return True
        if not self._cover.begun:
            self._cover.begin(self.clock.time_ns() // 1_000_000)
        if not self._resting:
            self.gate.open(is_open=True)
        self._emit(request)
        self._shut(request is not None and request.goodbye)
        return self._ring.send(self.target(), until=time.monotonic(), strict=True)

    def _shut(self, goodbye: bool) -> None:  # noqa: FBT001 - it is the condition
        if goodbye:
            self._closed = True
            self.gate.open(is_open=False)
            self.gate.full = True

    @property
    def running(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None

    def join(self, seconds: float) -> None:
        """Wait for its thread to end."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, seconds))

    def rebind(
        self, clock: Clock, transport: Transport | None, *, threaded: bool, identity: bytes | None
    ) -> None:
        """See :meth:`swirl.Pipeline.rebind`."""
        self.clock, self.transport, self.threaded = clock, transport, threaded
        queue, self._queue = self._queue, SimpleQueue()
        queue.put(None)
        self.join(5.0)
        for recorder in self.gate.recorders:
            recorder.ticks = clock.ticks
        if self.runs is not None:
            self.runs.forget()
        self.begin(identity)
        if not threaded:
            self._cover.begin(clock.time_ns() // 1_000_000)
            self.gate.open(is_open=True)

    def _run(self) -> None:
        queue, due = self._queue, time.monotonic() + self.settings.flush_seconds
        self._prepare()
        while queue is self._queue:
            request = next_request(queue, due - time.monotonic())
            if queue is not self._queue:
                return
            try:
                if request is None and time.monotonic() < due:
                    self._fold(self._offset())
                    if all(len(r.sums.tallies) < MANY_TALLIES for r in self.gate.recorders):
                        continue
                due = max(due + self.settings.flush_seconds, time.monotonic())
                self._serve(request)
            except Exception:  # noqa: BLE001 - nothing may end the thread; what it says is seen in the counters
                log().debug("swirl: a flush of %s failed", self.pipeline, exc_info=True)
            finally:
                if request is not None:
                    request.done.set()
            if self._closed or (self.target() is None and not self._ring):
                break
        if queue is self._queue:
            self._thread = None

    def _prepare(self) -> None:
        target = self.target()
        try:
            if target is not None:
                target.prepare()
        except Exception:  # noqa: BLE001 - sending will tell
            log().debug("swirl: the transport of %s is not ready", self.pipeline, exc_info=True)

    def _serve(self, request: Request | None) -> None:
        if request is not None and request.begins:
            self._begin_run()
        elif not self._closed and not (self._resting and request is None):
            by_itself = request is None and self.settings.flush_seconds >= 1.0
            self._emit(request, whole_seconds=by_itself)
        self._shut(request is not None and request.goodbye)
        ok = self._ring.send(self.target(), until=request.until if request is not None else None)
        if request is not None:
            request.ok = ok

    def _offset(self) -> int:
        """Nanoseconds since 1970 at tick 0."""
        return self.clock.time_ns() - self.clock.ticks()

    def _fold(self, offset: int, *, last: bool = False) -> None:
        # At the end the host waits for the fold, and no longer works beside it.
        pause = self._pace if self.threaded and not last else None
        self._pace.begin()
        for recorder in list(self.gate.recorders):
            recorder.fold(offset, self._cover.end_ms, pause)
        for version in {id(r.version): r.version for r in self.gate.recorders}.values():
            version.forget()
        if not (self._closed or self._resting):
            self._let_in()

    def _emit(self, request: Request | None, *, whole_seconds: bool = False) -> None:
        """Fold and make a frame.

        Args:
            request: what it is made for: it may be the last one, or the last one of a run.
            whole_seconds: what the running second has brought so far waits for the next frame. Its sums would
                be sent in two parts, and the monitor's work goes by parts.
        """
        now_ns = self.clock.time_ns()
        now_ms = now_ns // 1_000_000
        if self._cover.begun and now_ms < self._cover.end_ms - _STEP_BACK_MS and not self._cover.event_time:
            self._step_back(now_ms)
        goodbye = request is not None and request.goodbye
        ends = request is not None and (request.over or request.goodbye)
        self._fold(now_ns - self.clock.ticks(), last=ends)
        recorders = list(self.gate.recorders)
        cut = now_ms - now_ms % 1000 if whole_seconds and not any(r.times for r in recorders) else None
        covers = self._cover.advance(now_ms if cut is None else cut, recorders)
        slices = [piece for recorder in recorders for piece in recorder.sums.tallies.take(cut)]
        over = self._note_run(covers[0], slices, request)
        self._frame(now_ms, covers, slices, goodbye=goodbye, over=over)
        if over and not goodbye:
            self._rest()
        self._complaints.of_hooks(self.gate.complaints)

    def _note_run(self, start_ms: int, slices: list[Slice], request: Request | None) -> bool:
        """Let the first records begin the run where nobody brackets it; whether this frame ends it."""
        runs = self.runs
        if runs is None:
            return False
        if slices and not self._run_ms and not self._resting:
            # Of a testing kit the cover begins before the records do.
            self._run_ms = max(start_ms, min(piece.bucket_ms for piece in slices), 1)
            runs.begin(self._run_ms)
        over = request is not None and (request.over or (request.goodbye and not runs.bracketed))
        return over and self._run_ms > 0

    def _step_back(self, now_ms: int) -> None:
        end = self._cover.end_ms
        # Whoever it is from here on goes on with the run.
        self._frame(end, (end, end), [], goodbye=True, over=self._run_ms > 0)
        self._framing.begin(dropped=self.gate.dropped)
        self._ring.count_anew()
        self._cover = Cover()
        self._cover.begin(now_ms)

    def _frame(
        self,
        now_ms: int,
        covers: tuple[int, int],
        slices: list[Slice],
        *,
        goodbye: bool,
        over: bool,
    ) -> None:
        definition = self._framing.due(self.define(), self.clock.ticks())
        header = self._framing.header(
            now_ms,
            covers,
            dropped=self.gate.dropped,
            failed=self._ring.failed,
            run_ms=self._run_ms,
            run_id=self.runs.identity if self.runs is not None and self._run_ms else "",
        )
        frames = self._framing.encoded(header, definition, slices, goodbye=goodbye, over=over)
        for payload, defines in frames:
            self._ring.keep(payload, defines=defines)

    def _miss(self) -> None:
        # Frames under way hold the emitter by this, so that the end of the process finds its transport.
        self._framing.forget_definition()

    @property
    def identity(self) -> bytes:
        """Whose frames they are, 16 bytes."""
        return self._framing.identity

    @property
    def kept(self) -> int:
        """Frames that wait for the transport."""
        return len(self._ring)

    @property
    def losses(self) -> tuple[int, int]:
        """Frames that did not arrive and records that were dropped, since it began."""
        return self._ring.failed, self._framing.dropped(self.gate.dropped)

    def target(self) -> Transport | None:
        """Where its frames go now."""
        return self.transport or transports.installed()
