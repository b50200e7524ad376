"""Between the monitor and a sink: a bounded queue, retries with backoff, and counts of what became of it all.

:class:`Backlog` decides and takes the time as an argument; :class:`Outlet` is the thread around it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from swirl.effect import IncidentChanged, WindowClosed
from swirl.sinks.base import Doubting

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl.effect import Effect
    from swirl.sinks.base import Sink

__all__ = ["Backlog", "Counts", "Outlet", "Retries"]

_log = logging.getLogger("swirl.sinks")


class Counts(NamedTuple):
    """What became of the effects that were offered.

    Attributes:
        delivered: the sink took them.
        retried: attempts that failed and were followed by another one.
        failed: given up, after too many attempts, too long a time, or at once where trying again cannot help.
        dropped: never tried, for want of space.
        pending: still waiting.
        withdrawn: forgotten without a word: they are another worker's now.
    """

    delivered: int = 0
    retried: int = 0
    failed: int = 0
    dropped: int = 0
    pending: int = 0
    withdrawn: int = 0


class Retries(NamedTuple):
    """When to try again, and when to give up.

    Attributes:
        first: seconds before the second attempt; doubled after each further one.
        longest: seconds, the largest pause.
        attempts: after so many an effect is given up.
        age: seconds after which an effect is given up when its next attempt fails.
    """

    first: float = 0.5
    longest: float = 60.0
    attempts: int = 20
    age: float = 3600.0

    def pause(self, attempt: int) -> float:
        """Seconds to wait after the given attempt (1, 2, ...) has failed.

        Example:
            >>> [Retries().pause(n) for n in (1, 2, 3, 8, 500)]
            [0.5, 1.0, 2.0, 60.0, 60.0]
        """
        return min(self.longest, self.first * 2.0 ** min(attempt - 1, 64))


class Backlog:
    """The effects that wait for one sink, first in, first out: so those of one incident stay in order.

    When it is full, the oldest closed window gives way: the next one says more than it did. An incident
    gives way only to an incident.

    Args:
        capacity: how many effects may wait.
        retries: see :class:`Retries`.

    Attributes:
        orphaned: the effect that is being tried has been withdrawn meanwhile.
    """

    def __init__(self, capacity: int = 1000, retries: Retries | None = None) -> None:
        self._capacity = capacity
        self._retries = Retries() if retries is None else retries
        self._waiting: deque[tuple[Effect, float]] = deque()
        self._current: tuple[Effect, float] | None = None
        self._trying = False
        self.orphaned = False
        self._attempt = 0
        self._due = 0.0
        self._seen: OrderedDict[str, str] = OrderedDict()
        self._delivered = self._retried = self._failed = self._dropped = self._withdrawn = 0

    @property
    def counts(self) -> Counts:
        """What became of the effects so far."""
        pending = len(self._waiting) + (self._current is not None)
        return Counts(self._delivered, self._retried, self._failed, self._dropped, pending, self._withdrawn)

    def offer(self, effect: Effect, now: float) -> bool:
        """Let an effect wait for its turn; False if it was seen before or had to be dropped."""
        if self.orphaned and self._current and self._current[0].identity == effect.identity:
            self.orphaned = False
            self._remember(effect)
            return True
        if effect.identity in self._seen:
            return False
        if len(self._waiting) >= self._capacity and not self._make_room(effect):
            return False
        self._remember(effect)
        self._waiting.append((effect, now))
        return True

    def take(self, now: float) -> Effect | float | None:
        """The effect to try now, or the seconds until the next attempt, or None when nothing waits."""
        if self._current is None:
            if not self._waiting:
                return None
            self._current, self._attempt, self._due = self._waiting.popleft(), 0, now
        if now < self._due:
            return self._due - now
        self._trying = True
        return self._current[0]

    def succeeded(self) -> None:
        """The effect that was taken has been carried out."""
        self._let_go()
        self._delivered += 1

    def stumbled(self, error: Exception, now: float) -> bool:
        """The effect that was taken has met an error; True if it will be tried again."""
        assert self._current is not None
        effect, offered = self._current
        if self.orphaned:
            self.disown()
            return False
        self._trying = False
        self._attempt += 1
        late = self._attempt >= self._retries.attempts or now - offered >= self._retries.age
        if late or getattr(error, "permanent", False):
            self._let_go()
            self._failed += 1
            self._seen.pop(effect.identity, None)
            return False
        asked = getattr(error, "retry_after", None)
        if isinstance(asked, int | float) and asked >= 0.0:
            self._due = now + min(asked, self._retries.age)
        else:
            self._due = now + self._retries.pause(self._attempt)
        self._retried += 1
        return True

    def disown(self) -> None:
        """The effect that was taken is another's to carry out."""
        assert self._current is not None
        self._seen.pop(self._current[0].identity, None)
        self._let_go()
        self._withdrawn += 1

    def withdraw(self, pipeline: str) -> int:
        """Forget what waits for a pipeline and what was seen of it; how many effects that were.

        The effect that is being tried right now may finish, but is not tried again.
        """
        kept = deque(held for held in self._waiting if _pipeline(held[0]) != pipeline)
        gone = len(self._waiting) - len(kept)
        self._waiting = kept
        self._withdrawn += gone
        for identity in [known for known, of in self._seen.items() if of == pipeline]:
            del self._seen[identity]
        if self.tries(pipeline):
            self.orphaned = True
        elif self._current is not None and _pipeline(self._current[0]) == pipeline:
            self.disown()
            gone += 1
        return gone

    def tries(self, pipeline: str) -> bool:
        """Whether an effect of this pipeline is being tried right now."""
        return self._trying and self._current is not None and _pipeline(self._current[0]) == pipeline

    def hurry(self) -> None:
        """Try again now, whatever pause was due."""
        self._due = -inf

    def _make_room(self, newcomer: Effect) -> bool:
        self._dropped += 1
        for index, (effect, _) in enumerate(self._waiting):
            if isinstance(effect, WindowClosed):
                del self._waiting[index]
                self._seen.pop(effect.identity, None)
                return True
        if isinstance(newcomer, WindowClosed) or not self._waiting:
            return False
        oldest, _ = self._waiting.popleft()
        self._seen.pop(oldest.identity, None)
        return True

    def _let_go(self) -> None:
        self._current, self._trying, self.orphaned = None, False, False

    def _remember(self, effect: Effect) -> None:
        self._seen[effect.identity] = _pipeline(effect)
        while len(self._seen) > 4 * self._capacity + 100:
            self._seen.popitem(last=False)


def _pipeline(effect: Effect) -> str:
    return effect.incident.pipeline if isinstance(effect, IncidentChanged) else effect.pipeline


class Outlet:
    """Carries effects to one sink from a thread of its own: neither the monitor nor another sink waits.

    Args:
        sink: where to. What it raises is tried again with exponential backoff.
        capacity: how many effects may wait.
        retries: when to try again and when to give up.
        clock: seconds that never go back.
        settled: told from the outlet's thread that an effect was delivered (True) or given up (False); what
            it raises goes to the log. Of effects that were dropped for want of space, or withdrawn, it hears
            nothing.
        may_send: asked from the outlet's thread right before each attempt; False says that the effect is
            another worker's now: it is forgotten, and has not failed. What it raises is a failed attempt.
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
    ) -> None:
        self.name = sink.name
        self._sink = sink
        self._clock = clock
        self._settled = settled
        self._may_send = may_send
        self._backlog = Backlog(capacity, retries)
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
            self._tell(effect, delivered=True)
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
                found = self._backlog.take(self._clock())
                if not isinstance(found, float) and found is not None:
                    return found
                self._changed.wait(found)
            return None

    def _stumbled(self, effect: Effect, error: Exception) -> None:
        with self._changed:
            orphaned = self._backlog.orphaned
            again = self._backlog.stumbled(error, self._clock())
            known, self._troubled = self._troubled, True
            self._changed.notify_all()
        if orphaned:
            return
        if not again:
            _log.warning("%s: gave up on %s: %s", self.name, effect.identity, error)
            self._tell(effect, delivered=False)
        elif not known:
            _log.warning("%s: %s; trying again until it works or is too old", self.name, error)
