"""How frames leave the process: an interface, and the transport of this process."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Refused", "Transport", "install", "installed", "on_install"]


class Refused(ConnectionError):  # noqa: N818 - it says what happened to a frame; nothing is wrong with the caller
    """A transport cannot take a frame just now; asking again soon costs nothing."""


class Transport(Protocol):
    """Takes encoded frames. Called by the emitters' background threads only, several pipelines at once."""

    def prepare(self) -> None:
        """A pipeline has its first record, and will send frames soon."""
        return

    def send(self, pipeline: str, payload: bytes, lost: Callable[[], object]) -> None:
        """Take one frame of a pipeline.

        It may raise: the frame is then kept and offered again, after half a second at first and half a minute
        at most, and at the next flush after :class:`Refused`. It may wait for the network, but a frame that
        waits lets later ones gather in a bounded ring.

        Args:
            pipeline: its name.
            payload: the frame.
            lost: called once, from any thread, if the frame was taken and could not be delivered after all;
                the next frame tells of it.
        """
        ...

    def flush(self, timeout: float) -> bool:  # noqa: ARG002 - for those that deliver later
        """Wait ``timeout`` seconds at most until all that was taken is delivered; whether it is."""
        return True

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
