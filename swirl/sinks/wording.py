"""The words and numbers in which every sink tells of an incident: plain text, one meaning a word."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from swirl.incident.causes import UNKNOWN, words_of

if TYPE_CHECKING:
    from swirl.effect import Incident, MuteChanged, Rival

__all__ = [
    "FIRST_LINE",
    "attended",
    "came_back",
    "changes",
    "clock_time",
    "cut",
    "duration",
    "ending",
    "follow",
    "headline",
    "how_sure",
    "judged",
    "likely",
    "moment",
    "plain",
    "planned",
    "possible",
    "probability",
    "reasons",
    "ruled_out",
    "sentence",
]

FIRST_LINE = 120
"""Characters that the first line of an incident has."""

_A_DAY_MS = 20 * 3_600_000
"""Within so long, a time of day says which day is meant."""

RULED_OUT = 0.05
"""A rival with a smaller probability counts as ruled out."""


def plain(text: str) -> str:
    r"""One line without control characters, which names and labels of users may hold.

    Example:
        >>> plain("serve\x1b[31m\nads")
        'serve [31m ads'
    """
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def cut(text: str, size: int, mark: str = " … (cut)") -> str:
    """At most ``size`` characters, with a word that something is missing.

    Example:
        >>> cut("a very long label", 14)
        'a very … (cut)'
    """
    return text if len(text) <= size else text[: max(0, size - len(mark))].rstrip() + mark


def clock_time(ms: int) -> str:
    """Time of day, UTC.

    Example:
        >>> clock_time(1795230740000)
        '03:12:20 UTC'
    """
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%H:%M:%S} UTC"


def duration(ms: int) -> str:
    """A span of time in its two largest units.

    Example:
        >>> [duration(ms) for ms in (400, 40_000, 1_105_000, 7_260_000, 183_600_000)]
        ['0.4 s', '40 s', '18 min 25 s', '2 h 1 min', '2 d 3 h']
    """
    seconds = ms / 1000
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    for size, unit, part, lesser in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {lesser}" if rest else "")
    return f"{whole} s"


def headline(incident: Incident) -> str:
    """``PIPELINE / STAGE: CAUSE since TIME``, or how it ended; at most :data:`FIRST_LINE` characters."""
    where = plain(f"{incident.pipeline} / {incident.stage}" if incident.stage else incident.pipeline)
    if incident.state == "resolved":
        took = duration(incident.resolved_ms - incident.onset_ms)
        end = f": resolved at {clock_time(incident.resolved_ms)} after {took}"
    else:
        version = f" {plain(incident.version)}" if incident.version else ""
        end = f": {cut(plain(incident.cause) + version, 60)} since {clock_time(incident.onset_ms)}"
    return cut(where, FIRST_LINE - len(end)) + end


def changes(incident: Incident, size: int) -> str:
    """The most telling numbers, usual and now, as many as fit: ``"a 1 → 2, b 3 → 4"``."""
    told = ""
    for piece in incident.evidence:
        more = f"{', ' if told else ''}{plain(piece.name)} {plain(piece.usual)} → {plain(piece.now)}"
        if len(told) + len(more) > size:
            break
        told += more
    return told


def likely(posterior: float) -> str:
    """A probability in a sentence: never 0 or 100.

    Example:
        >>> likely(0.968), likely(0.9999), likely(0.0001)
        ('97 % likely', 'over 99 % likely', 'under 1 % likely')
    """
    if posterior >= 0.995:
        return "over 99 % likely"
    return f"{100 * posterior:.0f} % likely" if posterior >= 0.005 else "under 1 % likely"


def how_sure(incident: Incident) -> str:
    """How likely the cause is that is named, where one is."""
    if incident.cause == words_of(UNKNOWN):
        return "no cause is likely enough to be named"
    return likely(incident.posterior)


def probability(posterior: float) -> str:
    """A probability in a table.

    Example:
        >>> probability(0.968), probability(0.0002), probability(0.99999)
        ('0.968', '< 0.001', '> 0.999')
    """
    if posterior < 0.0005:
        return "< 0.001"
    return f"{posterior:.3f}" if posterior < 0.9995 else "> 0.999"


def ruled_out(incident: Incident, most: int = 5) -> str:
    """The explanations that are ruled out: ``"bad deployment (no version changed), ..."``, or ``""``."""
    return ", ".join(_rival(r) for r in [r for r in incident.rivals if r.posterior < RULED_OUT][:most])


def possible(incident: Incident, most: int = 3) -> str:
    """The explanations that are not ruled out: ``"input drift, 21 % likely (...)"``, or ``""``."""
    open_rivals = [r for r in incident.rivals if r.posterior >= RULED_OUT][:most]
    return "; ".join(_rival(r, f", {likely(r.posterior)}") for r in open_rivals)


def reasons(incident: Incident, most: int = 3) -> str:
    """What users' data say of it, as sentences, or ``""``.

    The reasons of the invalid records, ``"99.7 % give the reason “text missing”."``, and what moved in a
    feature, ``"currency has a new value “EUR2” (12 %)."``.
    """
    return " ".join(part for part in (_given(incident, most), *map(_moved, incident.moved[:most])) if part)


def _moved(moved: tuple[str, str, float, float]) -> str:
    feature, what, before, now = moved
    name, value = plain(feature), f"“{plain(what)}”"
    if before <= 0:
        return f"{name} has a new value {value} ({_percent(now)})."
    if now <= 0:
        return f"{name} has no {value} any more ({_percent(before)} before)."
    return f"{name} is {value} in {_percent(now)}, usually {_percent(before)}."


def _given(incident: Incident, most: int) -> str:
    told = [(_percent(share), f"“{plain(name)}”") for name, share in incident.reasons[:most]]
    if not told:
        return ""
    (share, reason), *others = told
    return ", ".join([f"{share} give the reason {reason}", *(" ".join(other) for other in others)]) + "."


def follow(incident: Incident) -> str:
    """Which stages suffer from the root, as a sentence, or ``""``: ``"classify and serve follow."``."""
    if not incident.follows:
        return ""
    *most, last = (plain(stage) for stage in incident.follows)
    return f"{', '.join(most)} and {last} follow." if most else f"{last} follows."


def sentence(text: str) -> str:
    """A remark as a sentence; names at its beginning keep their spelling.

    Example:
        >>> sentence("version unchanged"), sentence("v2 replaced v1 at 03:12:20 UTC"), sentence("")
        ('Version unchanged.', 'v2 replaced v1 at 03:12:20 UTC.', '')
    """
    told = plain(text)
    if told.startswith("version "):
        told = "V" + told[1:]
    return told if not told or told[-1] in ".!?" else told + "."


def moment(ms: int, since_ms: int) -> str:
    """A time of day, UTC, and its date where the time alone would not say which day.

    Example:
        >>> moment(1795230740000, 1795223540000)
        '03:12:20 UTC'
        >>> moment(1795430740000, 1795223540000)
        '2026-11-23 10:45:40 UTC'
    """
    if 0 <= ms - since_ms < _A_DAY_MS:
        return clock_time(ms)
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d} {clock_time(ms)}"


def attended(incident: Incident) -> str:
    """Who is on an open incident, and until when nobody is told news of it, as sentences, or ``""``."""
    told = []
    if incident.acknowledged_by:
        since = moment(incident.acknowledged_ms, incident.opened_ms)
        told.append(f"Acknowledged by {plain(incident.acknowledged_by)} at {since}.")
    if incident.snoozed_until_ms:
        by = f" by {plain(incident.snoozed_by)}" if incident.snoozed_by else ""
        told.append(f"Snoozed until {moment(incident.snoozed_until_ms, incident.opened_ms)}{by}.")
    return " ".join(told)


def came_back(incident: Incident) -> str:
    """``"It came back twice."``, or ``""``."""
    many = {1: "once", 2: "twice"}.get(incident.reopened, f"{incident.reopened} times")
    return f"It came back {many}." if incident.reopened else ""


def ending(incident: Incident) -> str:
    """Why an incident is over, who said so and in which words, as a sentence, or ``""``."""
    who = plain(incident.ended_by) or "Somebody"
    told = {
        "calm": "The series are back inside their bands",
        "resolved": f"{who} says that it is over",
        "new_normal": f"{who} says that this is the new normal",
        "false_alarm": f"{who} says that it was a false alarm",
        "adopted": "It has lasted so long that it is the new normal",
        "left": "The pipeline runs at other times now",
    }.get(incident.ending, "")
    return (told + (f": {plain(incident.why)}" if incident.why else "") + ".") if told else ""


def judged(incident: Incident) -> str:
    """What people say of whether it was true, as a sentence, or ``""``."""
    if incident.judged == "confirmed":
        return "It was a true alarm." if incident.state == "resolved" else "It is a true alarm."
    said = incident.ending == "false_alarm"
    return "It was a false alarm." if incident.judged == "false_alarm" and not said else ""


def planned(change: MuteChanged, most: int = 5) -> str:
    """Planned work in one line: until when, or what came and went meanwhile."""
    mute = change.mute
    where = plain(f"{change.pipeline} / {mute.stage}" if mute.stage else change.pipeline)
    who = f" by {plain(mute.who)}" if mute.who else ""
    why = f" ({plain(mute.why)})" if mute.why else ""
    if change.transition == "began":
        until = moment(mute.until_ms, mute.since_ms)
        return f"{where}: planned work until {until}{who}{why}. What happens is told afterwards."
    gone = [_gone(incident) for incident in change.incidents]
    more = [f"and {len(gone) - most} more"] if len(gone) > most else []
    meanwhile = "; ".join(gone[:most] + more) or "nothing came and went"
    return f"{where}: planned work{who} is over{why}. Meanwhile: {meanwhile}."


def _gone(incident: Incident) -> str:
    took = max(0, incident.resolved_ms - incident.onset_ms)
    lasted = f" for {duration(took)}" if incident.resolved_ms else ""
    return f"{plain(incident.title)} from {clock_time(incident.onset_ms)}{lasted}"


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.1f} %" if percent < 1 or 99 < percent < 100 else f"{percent:.0f} %"


def _rival(rival: Rival, chance: str = "") -> str:
    where = f" at {plain(rival.stage)}" if rival.stage else ""
    why = f" ({plain(rival.why)})" if rival.why else ""
    return f"{plain(rival.cause)}{where}{chance}{why}"
