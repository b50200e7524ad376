"""Frames are missing. Is the work missing too?

Blind: counts corrected for the emitters that are not heard are whole, and the children receive more than the
silent stage says. Down: the children receive what it says, which is nothing.
"""

from __future__ import annotations

from math import hypot, isnan, log
from typing import TYPE_CHECKING

from swirl.effect import SeriesKey
from swirl.incident.causes import UNTOUCHED
from swirl.incident.series import Level
from swirl.incident.sigmas import CAP, log_evidence
from swirl.incident.traffic import density

if TYPE_CHECKING:
    from swirl.incident.signs import Signs

__all__ = ["gains_of_blind", "gains_of_down", "silent_groups"]

_EMITTERS = "emitters"
_ALIVE = 0.99


def silent_groups(signs: Signs) -> list[list[str]]:
    """The stages that may have fallen silent, each alone and all together."""
    stages = signs.graph.stages
    silent = [s for s in stages if signs.r.alive[s] < _ALIVE]
    # The last stages of a short pipeline may all be silent: then nothing remains to be judged by.
    alone = [[s] for s in silent] if len(silent) < len(stages) or len(silent) == 1 else []
    return alone + ([silent] if len(silent) > 1 else [])


def gains_of_blind(signs: Signs, scope: list[str]) -> dict[SeriesKey, float]:
    """Nats for "the work of these stages goes on unseen"."""
    gains = {SeriesKey(s, _EMITTERS): CAP / max(1.0, len(scope) / 2) for s in scope}
    children = [c for s in scope for c in signs.graph.children[s]]
    for stage in sorted({*scope, *children}, key=signs.graph.place):
        gains.update(_goes_on(signs, stage, silent=stage in scope))
    return gains


def gains_of_down(signs: Signs, stage: str) -> dict[SeriesKey, float] | None:
    """Nats for "the stage does not work"; None where it is heard, or nobody is fed by it."""
    children = signs.graph.children[stage]
    if signs.r.alive[stage] > 0 or not children:
        return None
    down = {k: max(gain, -1.0) for k, gain in signs.each(children, "input_ratio", "fall").items()}
    return {SeriesKey(stage, _EMITTERS): CAP} | down


def _goes_on(signs: Signs, stage: str, *, silent: bool) -> dict[SeriesKey, float]:
    gains: dict[SeriesKey, float] = {}
    whole = signs.r.whole_inputs.get(stage)
    change = whole.change() if whole is not None else float("nan")
    if whole is None or isnan(change):
        return gains
    records, arriving = SeriesKey(stage, "records"), SeriesKey(stage, "input_ratio")
    if records in signs.inputs:
        source = signs.r.series[records]
        centre = source.centre if isinstance(source, Level) else 0.0
        off = change + whole.centre - centre
        likely = density(off, hypot(signs.inputs[records].sd, 0.1)) + UNTOUCHED / 10
        gains[records] = log(likely) - signs.untouched[records]
    if arriving in signs.z:
        z = signs.z[arriving] * (-1 if silent else 1)
        off = (change + whole.centre) / max(whole.sd, 0.1)
        gains[arriving] = max(log_evidence(z), 0.0) - min(off * off / 2, 6.0) - signs.untouched[arriving]
    return gains
