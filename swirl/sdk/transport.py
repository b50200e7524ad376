"""How frames leave the process: an interface, and the transport of this process."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Transport", "install", "installed", "on_install"]


class Transport(Protocol):
    """Takes encoded frames. Called by the emitters' background threads only, several pipelines at once."""

    def send(self, pipeline: str, payload: bytes) -> None:
        """Take one frame of a pipeline.

        It may raise: the frame is then kept and offered again, after half a second at first and half a minute
        at most. It may wait for the network, but a frame that waits lets later ones gather in a bounded ring.
        """
        ...

    def close(self, timeout: float) -> None:
        """The process ends; called after the last frame. Deliver what is under way in ``timeout`` seconds."""
        ...


_installed: Transport | None = None
_listeners: weakref.WeakSet[Callable[[], None]] = weakref.WeakSet()


def install(transport: Transport | None) -> Transport | None:
    """Make a transport that of all pipelines which were given none of their own.

    Returns:
        The one before, or None.
    """
    global _installed
    previous, _installed = _installed, transport
    for listener in list(_listeners):
        listener()
    return previous


def installed() -> Transport | None:
    """The transport of this process, or None."""
    return _installed


def on_install(listener: Callable[[], None]) -> None:
    """Have something called after each :func:`install`, for as long as it lives."""
    _listeners.add(listener)
