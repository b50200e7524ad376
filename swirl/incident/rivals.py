"""What an incident is not: the other explanations, each with the one fact that separates it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swirl.effect import Rival, SeriesKey
from swirl.incident.causes import CAUSES, CHANCE, UNKNOWN, words_of
from swirl.incident.phrases import EXTRAS, ONSETS

if TYPE_CHECKING:
    from swirl.incident.hypotheses import Hypothesis
    from swirl.incident.showing import Showing

__all__ = ["rivals_of"]

_RIVALS = 3
_THOUGHT_OF = ("data_broken", "bad_deployment", "input_drift", "source_outage", "slow_stage")
_POSSIBLE = 0.001
_WORTH_TELLING = 0.02
"""A rival from this posterior on is told even if the reason is not new, or if it is benign."""


def rivals_of(shown: Showing) -> list[Rival]:
    """The other explanations, most probable first, each with the one fact that separates it."""
    seen, reasons, found = {shown.cause, UNKNOWN}, set[str](), list[Rival]()
    for cause, stage in _pairs(shown):
        posterior = shown.d.posterior[cause, stage]
        if cause in seen or len(found) == _RIVALS:
            continue
        seen.add(cause)
        why = _why_not(shown, shown.d.hypotheses[cause, stage])
        # What is out of the question for a reason that was given already teaches nothing.
        if why not in reasons or posterior >= _WORTH_TELLING:
            reasons.add(why)
            found.append(Rival(words_of(cause), stage, round(posterior, 6), why))
    if not any(cause == "bad_deployment" for cause, _ in shown.d.posterior):
        found.append(Rival(words_of("bad_deployment"), "", 0.0, "no version changed"))
    return found


def _pairs(shown: Showing) -> list[tuple[str, str]]:
    """The probable ones, then what a person would think of first."""
    pairs = list(shown.d.posterior)
    least = {cause: _WORTH_TELLING if row.benign else _POSSIBLE for cause, row in CAUSES.items()}
    probable = [pair for pair in pairs if shown.d.posterior[pair] >= least[pair[0]]]
    return probable + [pair for cause in _THOUGHT_OF for pair in pairs if pair[0] == cause]


def _why_not(shown: Showing, rival: Hypothesis) -> str:
    """The one fact that separates a rival from what is told: the largest difference of gains."""
    best = shown.hypothesis
    if rival.cause == CHANCE and shown.d.z:
        key = max(shown.d.z, key=lambda k: abs(shown.d.z[k]))
        if key.metric == "version_contrast":
            return "the versions differ side by side"
        return f"{shown.figure(key).name} is {abs(shown.d.z[key]):.0f} sigma away"
    gaps = {k: best.gains.get(k, 0.0) - rival.gains.get(k, 0.0) for k in sorted({*best.gains, *rival.gains})}
    names = sorted({*best.extras, *rival.extras})
    others = {k: best.extras.get(k, 0.0) - rival.extras.get(k, 0.0) for k in names}
    key_most = max(gaps, key=gaps.__getitem__, default=None)
    other = max(others, key=others.__getitem__, default="")
    if key_most is not None and gaps[key_most] >= others.get(other, 0.0):
        return _why_series(shown, key_most, rival)
    if other == "version" and rival.version is None and best.version is not None:
        return f"it came with {best.version.deployment.version}"
    if other == "onset":
        return ONSETS.get(rival.cause, "the change came slowly")
    return EXTRAS.get(other, "less common")


def _why_series(shown: Showing, key: SeriesKey, rival: Hypothesis) -> str:
    if key.metric == "version_contrast":
        return "the versions differ side by side"
    line = shown.line(key)
    if key.metric == "emitters":
        return f"only {line.now} of {line.usual} emitters are heard"
    if rival.gains.get(key, 0.0) < 0:
        if rival.cause == "source_outage":
            return f"{line.now} still arrive"
        same = line.now == line.usual
        return f"{line.name} still {line.now}" if same else f"{line.name} {line.now}, usually {line.usual}"
    fits = "does not fit" if key in rival.gains else "stays unexplained"
    return f"{line.name} {line.usual} → {line.now} {fits}"
