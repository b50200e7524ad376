"""Windows that have closed and may be told again: late records revise their counts, the judgement stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from swirl.effect import WindowClosed
from swirl.history import WindowCounts
from swirl.monitor.packable import builtins
from swirl.monitor.report import counted, revised
from swirl.series import measure
from swirl.window import Window

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from swirl.history import History
    from swirl.monitor.models import Models
    from swirl.monitor.placing import Closed
    from swirl.series import SeriesTable

__all__ = ["Retained"]


class Retained:
    """The last windows of one pipeline that have closed.

    Args:
        retained_ms: event time for which they are kept.

    Attributes:
        windows: by their start.
    """

    def __init__(self, retained_ms: int) -> None:
        self.windows: Closed = {}
        self._retained_ms = retained_ms

    @property
    def last(self) -> WindowClosed | None:
        """The window that closed last."""
        return next((closed for _, closed in reversed(self.windows.values())), None)

    @property
    def newest(self) -> WindowClosed | None:
        """The window that starts last."""
        return self.windows[max(self.windows)][1] if self.windows else None

    def keep(self, window: Window, closed: WindowClosed) -> None:
        """Keep a window that was told, and let go of those long before it."""
        self.windows[window.start_ms] = (window, closed)
        for start in [start for start in self.windows if start <= window.start_ms - self._retained_ms]:
            del self.windows[start]

    def revise(self, history: History, table: SeriesTable, models: Models) -> Iterator[WindowClosed]:
        """Count the windows again that late records have changed, oldest first."""
        for start, (window, before) in sorted(self.windows.items()):
            if not window.revised:
                continue
            window.revised = False
            window.revision += 1
            stages = counted(window)
            kept = history.find(start)
            if kept is not None:
                kept.stages = stages
            now = WindowCounts(start, stages, lag_ms=0 if kept is None else kept.lag_ms)
            measured = measure(window, now, None, before.definition, table, models)
            closed = revised(before, window, now, measured)
            self.windows[start] = (window, closed)
            yield closed

    def parts(self) -> Generator[tuple[str, Any], None, None]:
        """State by name, of types that MessagePack knows; a piece without a name is a pause."""
        closed = []
        for window, told in self.windows.values():
            closed.append([window.snapshot(), builtins(told)])
            yield "", None
        yield "closed", closed

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take what ``parts`` gave."""
        for window, closed in data["closed"]:
            self.windows[window[0]] = (Window.restore(window), msgspec.convert(closed, WindowClosed))
