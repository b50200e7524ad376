"""What Swirl says in the host's own log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from logging import Logger

__all__ = ["Complaints", "log"]


def log() -> Logger:
    """The logger ``swirl``."""
    from logging import getLogger  # noqa: PLC0415 - hardly ever needed, and a twentieth of the import

    return getLogger("swirl")


class Complaints:
    """Says once what is wrong in the user's own code.

    Args:
        pipeline: its name.
    """

    def __init__(self, pipeline: str) -> None:
        self._pipeline = pipeline
        self._said: set[tuple[str, str]] = set()

    def of_hooks(self, found: Mapping[tuple[str, str], str]) -> None:
        """Hooks that raised, by stage and hook; their values go to the user's own log only."""
        for key, what in list(found.items()):
            if self._first(key):
                log().warning(
                    "swirl: %s of stage %r failed with %s (said once, counted as hook_errors)",
                    key[1],
                    key[0],
                    what,
                )

    def of_records_between_runs(self) -> None:
        """Records came while no run was open."""
        if self._first(("", "run")):
            log().warning(
                "swirl: records of pipeline %r came outside of its runs and are left out; "
                "make them inside `with pipeline.run():` (said once, counted as dropped)",
                self._pipeline,
            )

    def _first(self, key: tuple[str, str]) -> bool:
        if key in self._said:
            return False
        self._said.add(key)
        return True
