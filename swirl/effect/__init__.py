"""What the monitor wants done, as values. Engines hand them to sinks; carrying one out twice does no harm.

Every effect has an ``identity`` made of what it is about (pipeline, window, revision, transition), so that
the same log gives the same identities wherever and however often it is read.
"""

from swirl.effect.health import Health, Totals
from swirl.effect.incident import (
    Evidence,
    Incident,
    IncidentChanged,
    IncidentStep,
    Rival,
    StepKind,
    VerdictChanged,
)
from swirl.effect.mute import Mute, MuteChanged
from swirl.effect.window import COLUMNS, SeriesKey, SeriesPoint, State, WindowClosed

__all__ = [
    "COLUMNS",
    "Effect",
    "Evidence",
    "Health",
    "Incident",
    "IncidentChanged",
    "IncidentStep",
    "Mute",
    "MuteChanged",
    "Rival",
    "SeriesKey",
    "SeriesPoint",
    "State",
    "StepKind",
    "Told",
    "Totals",
    "VerdictChanged",
    "WindowClosed",
]

Told = IncidentChanged | MuteChanged
"""What people are told, and what waits in outboxes until they were."""

Effect = WindowClosed | IncidentChanged | VerdictChanged | MuteChanged
