"""What waits for a sink: who is next, who waits how long, and what is told no more because newer things are.

Pure decisions; the time is an argument. :class:`swirl.sinks.outlet.Outlet` is the thread around it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from swirl.effect import IncidentChanged, MuteChanged, WindowClosed

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl.effect import Effect

__all__ = ["Backlog", "Counts", "Retries"]

_ASK_AGAIN_S = 30.0
"""A sink that asks to wait longer is asked again meanwhile: clocks on walls may be set."""

_REPLACED = 100
"""Steps of one incident that newer ones have replaced; an outbox keeps no more of a pipeline either."""


class Counts(NamedTuple):
    """What became of the effects that were offered.

    Attributes:
        delivered: the sink took them.
        retried: attempts that failed and were followed by another one.
        failed: given up, after too many attempts, too long a time, or at once where trying again cannot help.
        dropped: never tried, for want of space.
        pending: still waiting.
        withdrawn: forgotten without a word: they are another worker's now.
        replaced: told by a newer step of the same incident, which says how it stands.
    """

    delivered: int = 0
    retried: int = 0
    failed: int = 0
    dropped: int = 0
    pending: int = 0
    withdrawn: int = 0
    replaced: int = 0


class Retries(NamedTuple):
    """When to try again, and when to give up.

    Attributes:
        first: seconds before the second attempt; doubled after each further one.
        longest: seconds, the largest pause.
        attempts: after so many an effect that is for people is given up.
        age: seconds after which an effect is given up when its next attempt fails.
        others: after so many attempts any other effect is given up: the next one says more than it did.
        patience: seconds after which a step that waits is replaced by a newer one of its incident.
    """

    first: float = 0.5
    longest: float = 60.0
    attempts: int = 10_000
    age: float = 86_400.0
    others: int = 20
    patience: float = 10.0

    def pause(self, attempt: int) -> float:
        """Seconds to wait after the given attempt (1, 2, ...) has failed.

        Example:
            >>> [Retries().pause(n) for n in (1, 2, 3, 8, 500)]
            [0.5, 1.0, 2.0, 60.0, 60.0]
        """
        return min(self.longest, self.first * 2.0 ** min(attempt - 1, 64))


@dataclass
class _Lane:
    """What waits of one incident, in order.

    Attributes:
        pipeline: whose.
        steps: with the times at which they were offered; the first is next.
        replaced: steps that were not told, and need not be any more.
        due: earliest time of the next attempt.
        attempt: how many have failed.
        held: the sink asked to wait; news may change its mind.
    """

    pipeline: str
    steps: deque[tuple[int, float, Effect]] = field(default_factory=deque)
    replaced: deque[Effect] = field(default_factory=lambda: deque(maxlen=_REPLACED))
    due: float = -inf
    attempt: int = 0
    held: bool = False

    def fold(self, now: float, patience: float) -> None:
        """What has waited too long gives way to what is newer."""
        while len(self.steps) > 1 and now - self.steps[0][1] >= patience:
            self.replaced.append(self.steps.popleft()[2])


class Backlog:
    """The effects that wait for one sink. Those of one incident stay in order; no incident waits for another.

    Among those that may be tried, the one that was offered first is next. An attempt that fails sets its
    incident aside for a while; when several fail in a row, nothing is tried for a while. A step that has
    waited longer than ``retries.patience`` gives way to a newer one of its incident, which tells how it
    stands: so an outage ends with each incident told once.

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
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._trying: tuple[str, str] | None = None
        self.orphaned = False
        self._offered = 0
        self._waiting = 0
        self._due = -inf
        self._failures: tuple[int, tuple[str, str] | None] = (0, None)
        self._seen: OrderedDict[str, str] = OrderedDict()
        self._delivered = self._retried = self._failed = self._dropped = 0
        self._withdrawn = self._replaced = 0

    @property
    def counts(self) -> Counts:
        """What became of the effects so far."""
        pending = sum(len(lane.steps) + len(lane.replaced) for lane in self._lanes.values())
        return Counts(
            self._delivered,
            self._retried,
            self._failed,
            self._dropped,
            pending,
            self._withdrawn,
            self._replaced,
        )

    def offer(self, effect: Effect, now: float) -> bool:
        """Let an effect wait for its turn; False if it was seen before or had to be dropped."""
        if self.orphaned and self._current.identity == effect.identity:
            self.orphaned = False
            self._remember(effect)
            return True
        if effect.identity in self._seen:
            return False
        if self._waiting >= self._capacity and not self._make_room(effect, now):
            return False
        self._remember(effect)
        lane = self._lanes.setdefault(_lane(effect), _Lane(effect.pipeline))
        self._offered += 1
        self._waiting += 1
        lane.steps.append((self._offered, now, effect))
        if lane.held:
            lane.held, lane.due = False, -inf
        return True

    def take(self, now: float, wait: Callable[[Effect], float] | None = None) -> Effect | float | None:
        """The effect to try now, or the seconds until the next attempt, or None when nothing waits.

        Args:
            now: the time.
            wait: of the sink: effect -> seconds that it should wait, 0 for none.
        """
        if self._trying is not None:
            return self._current
        if not self._lanes:
            return None
        if now < self._due:
            return self._due - now
        for key in sorted((k for k, v in self._lanes.items() if v.due <= now), key=self._turn):
            lane = self._lanes[key]
            self._fold(key, now)
            pause = wait(lane.steps[0][2]) if wait is not None else 0.0
            if pause > self._retries.patience and wait is not None and self._overtakes(lane, wait):
                pause = 0.0
            if pause <= 0.0:
                lane.held = False
                self._trying = key
                return self._current
            lane.due, lane.held = now + min(pause, _ASK_AGAIN_S), True
        return max(0.0, min(lane.due for lane in self._lanes.values()) - now)

    @property
    def waiting(self) -> tuple[Effect, ...]:
        """What may still be tried, in the order in which it was offered."""
        steps = sorted((step for lane in self._lanes.values() for step in lane.steps), key=lambda s: s[0])
        return tuple(effect for _, _, effect in steps)

    @property
    def replaced(self) -> tuple[Effect, ...]:
        """The steps that the effect that is being tried stands for, beside itself."""
        return () if self._trying is None else tuple(self._lanes[self._trying].replaced)

    def succeeded(self) -> None:
        """The effect that was taken has been carried out."""
        self._failures, self._due = (0, None), -inf
        self._replaced += self._let_go()
        self._delivered += 1

    def stumbled(self, error: Exception, now: float) -> bool:
        """The effect that was taken has met an error; True if it will be tried again."""
        effect = self._current
        if self.orphaned:
            self.disown()
            return False
        assert self._trying is not None
        key, lane = self._trying, self._lanes[self._trying]
        lane.attempt += 1
        late = lane.attempt >= self._most(effect) or now - lane.steps[0][1] >= self._retries.age
        if late or getattr(error, "permanent", False):
            self._failed += self._let_go() + 1
            self._seen.pop(effect.identity, None)
            return False
        asked = getattr(error, "retry_after", None)
        if isinstance(asked, int | float) and asked >= 0.0:
            lane.due = now + min(asked, self._retries.age)
        else:
            lane.due = now + self._retries.pause(lane.attempt)
            self._pause_all(key, now)
        self._retried += 1
        self._trying = None
        return True

    def disown(self) -> None:
        """The effect that was taken is another's to carry out."""
        self._seen.pop(self._current.identity, None)
        self._withdrawn += self._let_go() + 1

    def withdraw(self, pipeline: str) -> int:
        """Forget what waits for a pipeline and what was seen of it; how many effects that were.

        The effect that is being tried right now may finish, but is not tried again.
        """
        gone = 0
        for key in [key for key, lane in self._lanes.items() if lane.pipeline == pipeline]:
            lane = self._lanes[key]
            first = lane.steps.popleft() if key == self._trying else None
            gone += len(lane.steps) + len(lane.replaced)
            self._waiting -= len(lane.steps)
            lane.steps.clear()
            lane.replaced.clear()
            if first is not None:
                lane.steps.append(first)
                self.orphaned = True
            else:
                del self._lanes[key]
        self._withdrawn += gone
        for identity in [known for known, of in self._seen.items() if of == pipeline]:
            del self._seen[identity]
        return gone

    def tries(self, pipeline: str) -> bool:
        """Whether an effect of this pipeline is being tried right now."""
        return self._trying is not None and self._lanes[self._trying].pipeline == pipeline

    def hurry(self) -> None:
        """Try again now, whatever pause was due."""
        self._due = -inf
        for lane in self._lanes.values():
            lane.due = -inf

    @property
    def _current(self) -> Effect:
        assert self._trying is not None
        return self._lanes[self._trying].steps[0][2]

    def _most(self, effect: Effect) -> int:
        most, others = self._retries.attempts, self._retries.others
        return most if isinstance(effect, IncidentChanged | MuteChanged) else min(most, others)

    def _turn(self, key: tuple[str, str]) -> int:
        return self._lanes[key].steps[0][0]

    def _fold(self, key: tuple[str, str], now: float) -> None:
        lane = self._lanes[key]
        if isinstance(lane.steps[0][2], IncidentChanged) and key != self._trying:
            before = len(lane.steps)
            lane.fold(now, self._retries.patience)
            self._waiting -= before - len(lane.steps)

    def _overtakes(self, lane: _Lane, wait: Callable[[Effect], float]) -> bool:
        """What is held for long must not hold what need not wait: how it stands now is told in its stead."""
        newest = lane.steps[-1][2]
        if len(lane.steps) == 1 or not isinstance(newest, IncidentChanged) or wait(newest) > 0.0:
            return False
        while len(lane.steps) > 1:
            lane.replaced.append(lane.steps.popleft()[2])
            self._waiting -= 1
        return True

    def _pause_all(self, key: tuple[str, str], now: float) -> None:
        """One incident that fails may be odd; when another fails after it, the receiver is away."""
        count, last = self._failures
        self._failures = (count + (last != key), key)
        if self._failures[0] > 1:
            self._due = now + self._retries.pause(self._failures[0] - 1)

    def _make_room(self, newcomer: Effect, now: float) -> bool:
        for key in list(self._lanes):
            self._fold(key, now)
        if self._waiting < self._capacity:
            return True
        self._dropped += 1
        held = [
            (not isinstance(effect, WindowClosed), number, key, index)
            for key, lane in self._lanes.items()
            for index, (number, _, effect) in enumerate(lane.steps)
            if index or key != self._trying
        ]
        if not held or (min(held)[0] and isinstance(newcomer, WindowClosed)):
            return False
        _, _, key, index = min(held)
        lane = self._lanes[key]
        self._seen.pop(lane.steps[index][2].identity, None)
        del lane.steps[index]
        self._waiting -= 1
        if not lane.steps:
            self._dropped += len(lane.replaced)
            del self._lanes[key]
        return True

    def _let_go(self) -> int:
        """The effect that was tried is over; how many others it stood for."""
        assert self._trying is not None
        lane = self._lanes[self._trying]
        lane.steps.popleft()
        self._waiting -= 1
        stood_for = len(lane.replaced)
        lane.replaced.clear()
        lane.attempt, lane.due = 0, -inf
        if not lane.steps:
            del self._lanes[self._trying]
        self._trying, self.orphaned = None, False
        return stood_for

    def _remember(self, effect: Effect) -> None:
        self._seen[effect.identity] = effect.pipeline
        while len(self._seen) > 4 * self._capacity + 100:
            self._seen.popitem(last=False)


def _lane(effect: Effect) -> tuple[str, str]:
    """What keeps its order. Windows and verdicts of a pipeline do among themselves."""
    if isinstance(effect, IncidentChanged):
        return effect.pipeline, f"incident/{effect.incident.id}"
    return effect.pipeline, f"mute/{effect.mute.stage}" if isinstance(effect, MuteChanged) else ""
