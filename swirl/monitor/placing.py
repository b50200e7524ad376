"""How records are placed into windows, and when a window is complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from typing import Any

    from swirl.effect import WindowClosed
    from swirl.frame import Frame
    from swirl.incident.life import Anomaly
    from swirl.series import Measured
    from swirl.window import Window

__all__ = ["Closed", "Complete", "Placing"]

Closed = dict[int, tuple["Window", "WindowClosed"]]
"""Windows by their start, as they were told last: late records may still revise them."""


class Complete(NamedTuple):
    """A window that nothing more is expected of.

    Attributes:
        window: it.
        length_ms: of it.
        exposure_ms: how much of it was covered.
        whole: it was covered to its length, so its points are judged.
        said: what is told of it beside its numbers.
        heard, known: emitters by stage that were heard in time, and that should have been.
        lag_ms: how late its newest record was sent.
    """

    window: Window
    length_ms: int
    exposure_ms: int
    whole: bool
    said: tuple[Anomaly, ...] = ()
    heard: Mapping[str, int] = {}
    known: Mapping[str, int] = {}
    lag_ms: int = 0


class Placing(Protocol):
    """One way to place records.

    Attributes:
        window_ms: length of a window; where windows differ, from the start of one to that of the next.
        open: windows that fill, by their start.
    """

    window_ms: int
    open: dict[int, Window]

    @property
    def usual_ms(self) -> int:
        """How long a window usually is."""
        ...

    @property
    def awake(self) -> bool:
        """Whether time passes: what is open, or does not come, is told without a frame."""
        ...

    def settle(self) -> None:
        """A record has come and was not looked at yet."""
        ...

    def take(self, log_ms: int, frame: Frame) -> None:
        """A frame has come: what it covers, and what begins or ends with it."""
        ...

    def window_for(self, log_ms: int, frame: Frame, event_ms: int) -> tuple[Window | None, str]:
        """The window of a record, and the cause under which it is counted as late."""
        ...

    def has_to_close(self, log_ms: int) -> bool:
        """Let log time pass; whether a window may be complete now."""
        ...

    def next_to_close(self, log_ms: int) -> Complete | None:
        """The next window that is complete; it is open no more."""
        ...

    def measured(self, complete: Complete) -> Iterable[Measured]:
        """Points of a window that its counts do not give."""
        ...

    def told(self, alarms: list[Anomaly], complete: Complete) -> list[Anomaly]:
        """What is made of the alarms of a window."""
        ...

    def parts(self) -> Generator[tuple[str, Any], None, None]:
        """State by name, of types that MessagePack knows."""
        ...

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take what ``parts`` gave."""
        ...
