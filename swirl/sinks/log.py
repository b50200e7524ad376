"""Incidents as lines of the host's own log, for a watch that was given nobody else to tell."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from swirl.effect import IncidentChanged, MuteChanged
from swirl.sinks.wording import attended, came_back, ending, headline, judged, plain, planned

if TYPE_CHECKING:
    from swirl.effect import Effect

__all__ = ["LogSink"]

_log = logging.getLogger("swirl.incidents")


class LogSink:
    """One warning per step of an incident and per turn of planned work, to the logger ``swirl.incidents``.

    What is muted is not told.

    Python prints warnings to standard error even where logging was never set up.
    """

    name = "log"

    def handle(self, effect: Effect) -> None:
        """Log an incident's step or a turn of planned work; other effects are ignored."""
        if isinstance(effect, MuteChanged):
            _log.warning("%s", planned(effect))
            return
        if not isinstance(effect, IncidentChanged) or effect.incident.muted:
            return
        incident = effect.incident
        said = effect.reply or _unsaid(effect)
        mark = "✓" if incident.state == "resolved" else "◆"
        # What is said of an end tells when; the headline then tells what it was.
        shown = msgspec.structs.replace(incident, state="open") if effect.reply else incident
        _log.warning("%s %s. %s", mark, headline(shown), plain(said))


def _unsaid(change: IncidentChanged) -> str:
    """What a step says that brings no words of its own."""
    incident = change.incident
    told = {
        "acknowledged": attended(incident),
        "snoozed": attended(incident),
        "woken": f"The snooze is over. {incident.sentence}",
        "reopened": f"{came_back(incident)} {incident.sentence}",
        "resolved": ending(incident),
        "judged": judged(incident) or ending(incident),
    }.get(change.transition, "")
    return told or f"{incident.sentence} Look first {incident.look_first}"
