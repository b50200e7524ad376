"""Which version did it. The moment of a change is kept, so that a cutover gives two slices."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from swirl.sketch import cap_label

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swirl.sdk.hooks import Complain

__all__ = ["Version", "VersionSource"]

VersionSource: TypeAlias = str | Callable[[], object]
"""A text, or a function without arguments that is asked at each flush."""


class Version:
    """The versions of a pipeline or a stage over time.

    Args:
        source: what tells the version.
    """

    def __init__(self, source: VersionSource) -> None:
        self.source = source
        self.changes: list[tuple[int, str]] = [(0, source if isinstance(source, str) else "")]
        self._asked = 0

    def become(self, source: VersionSource, ticks: int) -> None:
        """From ``ticks`` on it is another."""
        self.source = source
        if isinstance(source, str):
            self._note(source, ticks)

    def ask(self, ticks: int, complain: Complain) -> None:
        """Ask a function. A change is taken to have happened right after it was asked before."""
        if not isinstance(self.source, str):
            try:
                self._note(str(self.source()), self._asked)
            except Exception as error:  # noqa: BLE001 - the user's function; the last known version stays
                complain("version", error)
        self._asked = ticks

    def _note(self, version: str, ticks: int) -> None:
        version = cap_label(version)
        if version != self.changes[-1][1]:
            self.changes.append((ticks, version))

    def forget(self) -> None:
        """All that was done before the last change has been folded."""
        del self.changes[:-1]

    def split(self, ends: NDArray[np.int64]) -> list[tuple[str, NDArray[np.bool_] | None]]:
        """Which records belong to which version.

        Args:
            ends: ticks at which they were done, shape ``(n,)``.

        Returns:
            Versions with masks of shape ``(n,)``; None for all of them.
        """
        changes = self.changes
        if len(changes) == 1 or ends.min() >= changes[-1][0]:
            return [(changes[-1][1], None)]
        place = np.searchsorted(np.array([ticks for ticks, _ in changes[1:]]), ends, side="right")
        return [(version, place == i) for i, (_, version) in enumerate(changes) if (place == i).any()]
