"""Between the monitor and a sink: a bounded queue, retries with backoff, counts of what became of it all."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from swirl.sinks.backlog import Backlog, Counts, Retries
from swirl.sinks.base import Doubting, Pacing, Troubled

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl.effect import Effect
    from swirl.sinks.base import Sink

__all__ = ["Counts", "Outlet", "Retries"]

_BURST_S = 2.0

_log = logging.getLogger("swirl.sinks")


class Outlet:
    """Carries effects to one sink from a thread of its own: neither the monitor nor another sink waits.

    Args:
        sink: where to. What it raises is tried again with exponential backoff; one that is
            :class:`swirl.sinks.base.Pacing` is asked when.
        capacity: how many effects may wait.
        retries: when to try again and when to give up.
        clock: seconds that never go back.
        settled: told from the outlet's thread that an effect was delivered (True) or given up (False); what
            it raises goes to the log. Of effects that were dropped for want of space, or withdrawn, it hears
            nothing.
        may_send: asked from the outlet's thread right before each attempt; False says that the effect is
            another worker's now: it is forgotten, and has not failed. What it raises is a failed attempt.
        hold: effect -> seconds that it waits in any case, 0 for none; meanwhile others are carried out. Asked
            often, and with a lock held: it answers at once.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        capacity: int = 1000,
        retries: Retries | None = None,
        clock: Callable[[], float] = time.monotonic,
        settled: Callable[[Effect, bool], None] | None = None,
        may_send: Callable[[Effect], bool] | None = None,
        hold: Callable[[Effect], float] | None = None,
    ) -> None:
        self.name = sink.name
        self._sink = sink
        self._clock = clock
        self._settled = settled
        self._may_send = may_send
        self._backlog = Backlog(capacity, retries)
        self._pacing = sink.wait if isinstance(sink, Pacing) else None
        self._hold = hold
        self._hurried = False
        self._changed = threading.Condition()
        self._closing = False
        self._troubled = False
        self._thread = threading.Thread(target=self._run, name=f"swirl-{sink.name}", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> Counts:
        """What became of the effects so far."""
        with self._changed:
            return self._backlog.counts

    @property
    def trouble(self) -> str:
        """What is wrong with the sink and what to do about it, ``""`` when nothing is known."""
        return self._sink.trouble if isinstance(self._sink, Troubled) else ""

    def offer(self, effect: Effect, *, doubtful: bool = False) -> bool:
        """Hand over an effect and return at once; False if it was seen before, dropped, or comes too late.

        Args:
            effect: to carry out.
            doubtful: it may have been carried out already, by whoever had it before; a sink that can look it
                up (:class:`swirl.sinks.base.Doubting`) will.
        """
        if doubtful and isinstance(self._sink, Doubting):
            self._sink.doubt(effect.identity)
        with self._changed:
            taken = not self._closing and self._backlog.offer(effect, self._clock())
            if taken:
                self._changed.notify_all()
            return taken

    def withdraw(self, pipeline: str, timeout: float = 0.0) -> int:
        """Forget what waits for a pipeline, and what was seen of it: it may be offered again later.

        The effect that is being tried right now may finish, and is settled if it succeeds; if it fails it is
        not tried again.

        Args:
            pipeline: whose partition went to another worker.
            timeout: seconds to wait for that effect.

        Returns:
            How many effects were forgotten.
        """
        with self._changed:
            gone = self._backlog.withdraw(pipeline)
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._backlog.tries(pipeline), timeout)
            return gone

    def drain(self, timeout: float) -> bool:
        """Wait until nothing is pending; False if that took longer than ``timeout`` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._backlog.counts.pending, timeout)

    def close(self, timeout: float = 1.0) -> bool:
        """Give what waits up to ``timeout`` seconds, then stop; False if something was left."""
        with self._changed:
            self._hurried = True
            self._backlog.hurry()
            self._changed.notify_all()
        drained = self.drain(timeout)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if drained:
            self._thread.join(timeout)
        return drained

    def _run(self) -> None:
        while (effect := self._next()) is not None:
            try:
                ours = self._may_send is None or self._may_send(effect)
                if ours:
                    self._sink.handle(effect)
            except Exception as error:  # noqa: BLE001 - whatever a sink raises, the others go on
                self._stumbled(effect, error)
            else:
                self._done(effect, ours=ours)

    def _done(self, effect: Effect, *, ours: bool) -> None:
        if ours:
            with self._changed:
                replaced = self._backlog.replaced
            for told in (*replaced, effect):
                self._tell(told, delivered=True)
        with self._changed:
            if ours:
                self._backlog.succeeded()
                self._troubled = False
            else:
                self._backlog.disown()
            self._changed.notify_all()

    def _tell(self, effect: Effect, *, delivered: bool) -> None:
        if self._settled is None:
            return
        try:
            self._settled(effect, delivered)
        except Exception:  # noqa: BLE001 - one who listens badly must not stop what people are told
            _log.exception("%s: whoever waits for %s could not be told", self.name, effect.identity)

    def _next(self) -> Effect | None:
        with self._changed:
            while not self._closing:
                asked = self._pacing is not None or self._hold is not None
                found = self._backlog.take(self._clock(), self._wait if asked else None)
                if not isinstance(found, float) and found is not None:
                    return found
                self._changed.wait(found)
            return None

    def _wait(self, effect: Effect) -> float:
        """Last words need not keep the pace; a receiver takes a short burst."""
        held = self._hold(effect) if self._hold is not None else 0.0
        if held > 0.0:
            return held
        pause = self._pacing(effect) if self._pacing is not None else 0.0
        return 0.0 if self._hurried and pause <= _BURST_S else pause

    def _stumbled(self, effect: Effect, error: Exception) -> None:
        with self._changed:
            orphaned, replaced = self._backlog.orphaned, self._backlog.replaced
            again = self._backlog.stumbled(error, self._clock())
            known, self._troubled = self._troubled, True
            self._changed.notify_all()
        if orphaned:
            return
        if not again:
            _log.warning("%s: gave up on %s: %s", self.name, effect.identity, error)
            for lost in (*replaced, effect):
                self._tell(lost, delivered=False)
        elif not known:
            _log.warning("%s: %s; trying again until it works or is too old", self.name, error)
