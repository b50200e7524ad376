"""Incidents as lines of the host's own log, for a watch that was given nobody else to tell."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from swirl.effect import IncidentChanged
from swirl.sinks.wording import headline, plain

if TYPE_CHECKING:
    from swirl.effect import Effect

__all__ = ["LogSink"]

_log = logging.getLogger("swirl.incidents")


class LogSink:
    """One warning per step of an incident, to the logger ``swirl.incidents``.

    Python prints warnings to standard error even where logging was never set up.
    """

    name = "log"

    def handle(self, effect: Effect) -> None:
        """Log an incident's step; other effects are ignored."""
        if not isinstance(effect, IncidentChanged):
            return
        incident = effect.incident
        said = effect.reply or f"{incident.sentence} Look first {incident.look_first}"
        mark = "✓" if incident.state == "resolved" else "◆"
        # What is said of an end tells when; the headline then tells what it was.
        shown = msgspec.structs.replace(incident, state="open") if effect.reply else incident
        _log.warning("%s %s. %s", mark, headline(shown), plain(said))
