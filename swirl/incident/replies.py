"""The sentences that people's acts, and the end of what they asked for, add to a thread."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from swirl.incident import numbers
from swirl.incident.causes import words_of
from swirl.incident.learning import cause_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swirl.effect import Evidence, Incident
    from swirl.frame import Act

__all__ = ["MUTED_NO_MORE", "acted", "back", "bounded", "cause_in_words", "figures", "quiet_until", "woken"]

_DAY_MS = 24 * 3600 * 1000

_FOLLOWS = {
    "new_normal": " These values raise no alarm from now on.",
    "false_alarm": " The thresholds learn from it.",
}

MUTED_NO_MORE = "The planned work is over, and this is still there."


def bounded(text: str, most: int) -> str:
    """What a person wrote, on one line, without characters that steer a terminal or the direction of text.

    Example:
        >>> bounded(" a" + chr(27) + "[2J ", 80), bounded("reasons", 5)
        ('a [2J', 'reas…')
    """
    # No more is looked at than may stay, plus what is dropped of it.
    seen = text[: 4 * most]
    kept = "".join(c if unicodedata.category(c)[0] not in "CZ" else " " for c in seen)
    line = " ".join(kept.split())
    return line if len(line) <= most and len(seen) == len(text) else line[: most - 1].rstrip() + "…"


def acted(act: Act) -> str:
    """What a person said, as a sentence.

    Args:
        act: acknowledge, resolve, new_normal, false_alarm or confirm, with bounded texts.
    """
    says = f", says {act.who}" if act.who else ""
    why = f": {act.why}" if act.why else ""
    said = {
        "acknowledge": f"{act.who or 'Somebody'} is on it{why}",
        "resolve": f"Resolved by {act.who or 'hand'}{why}",
        "new_normal": f"New normal{says}{why}",
        "false_alarm": f"False alarm{says}{why}",
        "confirm": f"It was {_what(act)}{says}{why}",
    }
    return _ended(said[act.act]) + _FOLLOWS.get(act.act, "")


def _ended(sentence: str) -> str:
    return sentence if sentence[-1] in ".!?…" else f"{sentence}."


def _what(act: Act) -> str:
    if not (act.cause or act.stage):
        return "as told"
    cause = cause_of(act.cause)
    what = words_of(cause) if cause else act.cause
    return " ".join(part for part in (what, f"at {act.stage}" if act.stage else "") if part)


def quiet_until(act: Act, now_ms: int, until_ms: int) -> str:
    """That somebody wants no news for a while."""
    why = f": {act.why}" if act.why else ""
    who = f", says {act.who}" if act.who else ""
    return _ended(f"No news until {_when(now_ms, until_ms)} UTC{who}{why}")


def _when(now_ms: int, then_ms: int) -> str:
    """The time of day, with the date where it is not of today."""
    if now_ms // _DAY_MS == then_ms // _DAY_MS:
        return numbers.clock(then_ms)
    day = numbers.stamp(then_ms)
    return f"{day[:4]}-{day[4:6]}-{day[6:8]} {numbers.clock(then_ms)}"


def cause_in_words(incident: Incident) -> str:
    """``"classify: bad deployment 2026.11.2"``."""
    return f"{incident.title} {incident.version}" if incident.version else incident.title


def figures(lines: Sequence[Evidence]) -> str:
    """``"ingest invalid 10/s → 20 000/s, positive ratio 0.80 → 0.20"``."""
    return ", ".join(f"{line.name} {line.usual} → {line.now}" for line in lines)


def woken(lines: Sequence[Evidence], calm_ms: int) -> str:
    """The snooze is over, and how it stands."""
    if calm_ms:
        return f"The snooze is over. Calm for {numbers.duration(calm_ms)} so far: {figures(lines)}."
    return f"The snooze is over, and this is still there: {figures(lines)}."


def back(past: Incident, now: Incident, since_ms: int) -> str:
    """It was over, and is there again since then, perhaps with another cause."""
    after_ms = since_ms - past.resolved_ms
    how = f"It is back after {numbers.duration(after_ms)}" if after_ms > 0 else "It was not over"
    return f"{how}{'' if now.title == past.title else f', now as {now.title}'}: {now.sentence}"
