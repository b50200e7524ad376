"""The background side of a pipeline: it folds, makes frames and hands them to the transport.

One daemon thread a pipeline, started by the first record. It owns everything here; the host only puts
requests into a queue that is safe in signal handlers and destructors.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from collections import deque
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import msgspec

from swirl.frame import Definition, Frame, definition_hash, encode
from swirl.sdk import transport as transports
from swirl.sdk.cover import Cover
from swirl.sdk.packing import pack
from swirl.sdk.sums import MANY_TALLIES
from swirl.sdk.transport import Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import Logger

    from swirl.clock import Clock
    from swirl.frame import Slice
    from swirl.sdk.recorder import Gate
    from swirl.sdk.runs import Runs
    from swirl.sdk.transport import Transport
    from swirl.settings import EmitterSettings

__all__ = ["Emitter", "close_all", "end", "kept", "losses"]

_DEFINITION_NS = 60_000_000_000
_SLICE_S = 0.001
"""Longest stretch of folding while the host waits."""
_SHARE, _BURST_S = 0.06, 0.05
"""What folding may take of the interpreter's time in the long run, and how much of it at once."""
_REST_S = 0.015
"""Stretch for the host after a slice beyond that share; asking it for the interpreter takes another 5 ms."""
_BACKOFF = 0.5
_BACKOFF_MOST = 30.0
_AFTER_QUEUES = -100
"""Among the finalizers of multiprocessing: after its queues have sent what the host put in them."""
_STEP_BACK_MS = 10_000
"""A clock that goes back further starts a new emitter, since what is covered cannot go back."""


class _Request:
    """Something the thread is asked to do, and whether it worked."""

    __slots__ = ("begins", "done", "goodbye", "ok", "over", "until")

    def __init__(
        self, *, goodbye: bool = False, begins: bool = False, over: bool = False, timeout: float
    ) -> None:
        self.goodbye, self.begins, self.over = goodbye, begins, over
        self.until = time.monotonic() + timeout
        self.done = threading.Event()
        self.ok = False


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
        gate.pressure = self.pressure
        self._on_install = self.kick  # kept, since listeners are held weakly
        self.begin()
        transports.on_install(self._on_install)
        _live.add(self)

    def begin(self, identity: bytes | None = None) -> None:
        """Start anew: another identity, nothing gathered, no thread. Also what a fork does in the child."""
        self.identity = identity or os.urandom(16)
        self._sequence = 0
        self._failed = 0
        self._lost = 0
        self._dropped_before = 0
        self._ring: deque[tuple[bytes, bool]] = deque()
        self._queue: SimpleQueue[_Request | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False
        self._run_ms = 0 if self.runs is None else self.runs.start_ms
        self._resting = False
        self._dropped_at_rest: int | None = None
        self._backoff = _BACKOFF
        self._open_until = 0.0
        self._cover = Cover()
        self._definition: Definition | None = None
        self._hash = b""
        self._defined_at: int | None = None
        self._said: set[tuple[str, str]] = set()
        self._pace = _Pace()
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
        return self._ask(_Request(timeout=timeout))

    def close(self, timeout: float) -> bool:
        """Send what has gathered and say goodbye. Records that come later are dropped."""
        return self._ask(_Request(goodbye=True, over=True, timeout=timeout))

    def begin_run(self) -> None:
        """A run that its user brackets begins: ``runs`` says when."""
        if self._closed:
            return
        if self.threaded and self._thread is not None:
            self._queue.put(_Request(begins=True, timeout=0.0))
        else:
            self._begin_run()
        self._let_in()
        self.kick()

    def end_run(self) -> bool:
        """It is over: what belongs to it is sent, within ``exit_seconds``; later records are dropped."""
        over = _Request(over=True, timeout=self.settings.exit_seconds)
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
            self._cover, self._defined_at = Cover(), None
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
        if before is not None and self.gate.dropped > before and ("", "run") not in self._said:
            self._said.add(("", "run"))
            _log().warning(
                "swirl: records of pipeline %r came outside of its runs and are left out; "
                "make them inside `with pipeline.run():` (said once, counted as dropped)",
                self.pipeline,
            )

    def close_soon(self) -> None:
        """The same without waiting."""
        self._queue.put(_Request(goodbye=True, timeout=self.settings.exit_seconds))

    def _ask(self, request: _Request) -> bool:
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

    def _emit_quietly(self, request: _Request) -> bool:
        try:
            return self.emit_now(request)
        except Exception:  # noqa: BLE001 - a user's flush() does not raise; a testing kit's emit_now() may
            return False

    def emit_now(self, request: _Request | None = None) -> bool:
        """Fold and send one frame in the calling thread; for emitters without a thread of their own."""
        if self._closed:
            return True
        if not self._cover.begun:
            self._cover.begin(self.clock.time_ns() // 1_000_000)
        if not self._resting:
            self.gate.open(is_open=True)
        self._emit(request)
        self._shut(request is not None and request.goodbye)
        return self._send_all(until=time.monotonic(), strict=True)

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
            request = _next(queue, due - time.monotonic())
            if queue is not self._queue:
                return
            try:
                if request is None and time.monotonic() < due:
                    self._fold(self._offset())
                    if all(len(r.sums) < MANY_TALLIES for r in self.gate.recorders):
                        continue
                due = max(due + self.settings.flush_seconds, time.monotonic())
                self._serve(request)
            except Exception:  # noqa: BLE001 - nothing may end the thread; what it says is seen in the counters
                _log().debug("swirl: a flush of %s failed", self.pipeline, exc_info=True)
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
            _log().debug("swirl: the transport of %s is not ready", self.pipeline, exc_info=True)

    def _serve(self, request: _Request | None) -> None:
        if request is not None and request.begins:
            self._begin_run()
        elif not self._closed and not (self._resting and request is None):
            by_itself = request is None and self.settings.flush_seconds >= 1.0
            self._emit(request, whole_seconds=by_itself)
        self._shut(request is not None and request.goodbye)
        ok = self._send_all(until=request.until if request is not None else None)
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

    def _emit(self, request: _Request | None, *, whole_seconds: bool = False) -> None:
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
        slices = [piece for recorder in recorders for piece in recorder.sums.take(cut)]
        over = self._note_run(covers[0], slices, request)
        self._frame(now_ms, covers, slices, goodbye=goodbye, over=over)
        if over and not goodbye:
            self._rest()
        self._say_complaints()

    def _note_run(self, start_ms: int, slices: list[Slice], request: _Request | None) -> bool:
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
        self._dropped_before, self._failed, self._lost, self._sequence = self.gate.dropped, 0, 0, 0
        self.identity, self._defined_at = os.urandom(16), None
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
        definition = self._due_definition()
        frame = Frame(
            pipeline=self.pipeline,
            emitter=self.identity,
            sequence=1,
            sent_ms=max(0, now_ms),
            covers=covers,
            definition_hash=self._hash,
            dropped=self.gate.dropped - self._dropped_before,
            failed=self._failed + self._lost,
            run_ms=self._run_ms,
            run_id=self.runs.identity if self.runs is not None and self._run_ms else "",
        )
        packs = pack(slices, 0 if definition is None else len(msgspec.msgpack.encode(definition)))
        for i, part in enumerate(packs):
            last = i == len(packs) - 1
            self._sequence += 1
            given: dict[str, Any] = {
                "definition": definition if i == 0 else None,
                # Its silence until the next run means nothing.
                "goodbye": (goodbye or over) and last,
                "run_over": over and last,
            }
            if not last:
                given["covers"] = (covers[0], covers[0])
            self._keep(
                encode(_with(frame, sequence=self._sequence, slices=tuple(part), **given)),
                defines=i == 0 and definition is not None,
            )

    def _due_definition(self) -> Definition | None:
        definition, ticks = self.define(), self.clock.ticks()
        if definition != self._definition:
            self._definition, self._hash = definition, definition_hash(definition)
        elif self._defined_at is not None and ticks - self._defined_at < _DEFINITION_NS:
            return None
        self._defined_at = ticks
        return definition

    def _keep(self, payload: bytes, *, defines: bool) -> None:
        if len(self._ring) >= self.settings.buffer_frames:
            _, defined = self._ring.popleft()
            self._failed += 1
            self._miss(defined)
        self._ring.append((payload, defines))

    def _lose(self, defined: bool) -> None:  # noqa: FBT001 - passed on by a partial
        """A frame that was taken will not arrive; called from the transport's thread."""
        self._lost += 1
        self._miss(defined)

    def _miss(self, defined: bool) -> None:  # noqa: FBT001 - it is the condition
        if defined:
            self._defined_at = None

    @property
    def kept(self) -> int:
        """Frames that wait for the transport."""
        return len(self._ring)

    @property
    def losses(self) -> tuple[int, int]:
        """Frames that did not arrive and records that were dropped, since it began."""
        return self._failed + self._lost, self.gate.dropped - self._dropped_before

    def target(self) -> Transport | None:
        """Where its frames go now."""
        return self.transport or transports.installed()

    def _send_all(self, *, until: float | None, strict: bool = False) -> bool:
        """Send what the ring holds; whether all is gone, and delivered if that was asked for.

        Args:
            until: what was asked for may take until then, even while the circuit is open; None: by itself.
            strict: what goes wrong is raised.
        """
        target = self.target()
        if target is None or (until is None and time.monotonic() < self._open_until):
            return not self._ring
        while self._ring:
            payload, defines = self._ring[0]
            try:
                target.send(self.pipeline, payload, partial(self._lose, defines))
            except Exception as error:
                if strict:
                    raise
                if not isinstance(error, Refused):
                    self._open_until = time.monotonic() + self._backoff
                    self._backoff = min(2 * self._backoff, _BACKOFF_MOST)
                    return False
                if until is None or not _delivered(target, until):
                    return False
                continue
            self._ring.popleft()
            self._backoff = _BACKOFF
        return until is None or target.flush(max(0.0, until - time.monotonic()))

    def _say_complaints(self) -> None:
        """Say once what a hook of the user's did wrong; its values go to the user's own log only."""
        for key, what in list(self.gate.complaints.items()):
            if key not in self._said:
                self._said.add(key)
                _log().warning(
                    "swirl: %s of stage %r failed with %s (said once, counted as hook_errors)",
                    key[1],
                    key[0],
                    what,
                )


def _log() -> Logger:
    from logging import getLogger  # noqa: PLC0415 - hardly ever needed, and a twentieth of the import

    return getLogger("swirl")


def _delivered(target: Transport, until: float) -> bool:
    """Whether a transport that is full has room again before that moment."""
    left = until - time.monotonic()
    return left > 0.0 and target.flush(left)


def _next(queue: SimpleQueue[_Request | None], seconds: float) -> _Request | None:
    try:
        return queue.get(timeout=max(0.0, seconds))
    except Empty:
        return None


class _Pace:
    """Lets the host run between slices of the fold.

    It sleeps, since a thread that only gives the interpreter up has it back before another one wakes: as long
    as the slice took, and far longer where the host makes more records than its share of time can fold. What
    then waits beyond the bound is dropped and counted.
    """

    def __init__(self) -> None:
        self._credit = _BURST_S
        self._since = time.monotonic()
        self._began = 0.0

    def begin(self) -> None:
        """A fold begins."""
        self._began = time.thread_time()

    def __call__(self) -> None:
        worked = time.thread_time() - self._began
        if worked < _SLICE_S:
            return
        now = time.monotonic()
        self._credit = min(self._credit + _SHARE * (now - self._since), _BURST_S) - worked
        self._since = now
        time.sleep(worked if self._credit > 0.0 else _REST_S)
        self._began = time.thread_time()


def _with(frame: Frame, **changes: Any) -> Frame:
    return msgspec.structs.replace(frame, **changes)


_live: weakref.WeakSet[Emitter] = weakref.WeakSet()


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


def close_all() -> None:
    """Close the emitters of this process, all at once, within the longest of their ``exit_seconds``."""
    _close(list(_live))


def losses(transport: Transport) -> tuple[int, int]:
    """Frames that did not arrive and records that were dropped, of all that send through a transport."""
    found = [e.losses for e in list(_live) if e.target() is transport]
    return sum(frames for frames, _ in found), sum(records for _, records in found)


def kept(transport: Transport) -> int:
    """Frames that wait for a transport."""
    return sum(e.kept for e in list(_live) if e.target() is transport)


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
            _log().debug("swirl: closing the transport failed", exc_info=True)


os.register_at_fork(after_in_child=_after_fork)
atexit.register(end)
_end_with_multiprocessing()
