"""The frames that wait for the transport, and those that did not arrive."""

from __future__ import annotations

import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from swirl.sdk.transport import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl.sdk.transport import Transport

__all__ = ["Ring"]

_BACKOFF = 0.5
_BACKOFF_MOST = 30.0


class Ring:
    """Encoded frames of one pipeline in their order, oldest first out when there are too many.

    A transport that fails is left alone for a while, longer each time: the circuit is open.

    Args:
        pipeline: its name.
        most: frames that are kept.
        missed: called when a frame with the definition in it will not arrive, from any thread.

    Attributes:
        backoff: seconds for which the next failure opens the circuit.
    """

    def __init__(self, pipeline: str, most: int, missed: Callable[[], None]) -> None:
        self._pipeline = pipeline
        self._most = most
        self._missed = missed
        self.begin()

    def begin(self) -> None:
        """Start anew: nothing waits, nothing is missed, the circuit is closed."""
        self.count_anew()
        self._frames: deque[tuple[bytes, bool]] = deque()
        self.backoff = _BACKOFF
        self._open_until = 0.0

    def count_anew(self) -> None:
        """Another emitter goes on with what waits."""
        self._failed = 0
        self._lost = 0

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def failed(self) -> int:
        """Frames that did not arrive: dropped here for want of room, or lost by the transport."""
        return self._failed + self._lost

    def keep(self, payload: bytes, *, defines: bool) -> None:
        """Take a frame.

        Args:
            payload: the frame.
            defines: the definition is in it.
        """
        if len(self._frames) >= self._most:
            _, defined = self._frames.popleft()
            self._failed += 1
            self._miss(defined)
        self._frames.append((payload, defines))

    def _lose(self, defined: bool) -> None:  # noqa: FBT001 - passed on by a partial
        """A frame that was taken will not arrive; called from the transport's thread."""
        self._lost += 1
        self._miss(defined)

    def _miss(self, defined: bool) -> None:  # noqa: FBT001 - it is the condition
        if defined:
            self._missed()

    def send(self, target: Transport | None, *, until: float | None, strict: bool = False) -> bool:
        """Send what it holds; whether all is gone, and delivered if that was asked for.

        Args:
            target: where to.
            until: what was asked for may take until then, even while the circuit is open; None: by itself.
            strict: what goes wrong is raised.
        """
        if target is None or (until is None and time.monotonic() < self._open_until):
            return not self._frames
        while self._frames:
            payload, defines = self._frames[0]
            try:
                target.send(self._pipeline, payload, partial(self._lose, defines))
            except Exception as error:
                if strict:
                    raise
                if not isinstance(error, Refused):
                    self._open_circuit()
                    return False
                if until is None or not _delivered(target, until):
                    return False
                continue
            self._frames.popleft()
            self.backoff = _BACKOFF
        return until is None or target.flush(max(0.0, until - time.monotonic()))

    def _open_circuit(self) -> None:
        self._open_until = time.monotonic() + self.backoff
        self.backoff = min(2 * self.backoff, _BACKOFF_MOST)


def _delivered(target: Transport, until: float) -> bool:
    """Whether a transport that is full has room again before that moment."""
    left = until - time.monotonic()
    return left > 0.0 and target.flush(left)
