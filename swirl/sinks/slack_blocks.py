"""Slack messages for an incident: pure functions from values to Block Kit, within Slack's limits.

Every text that may come from a user is escaped, and Slack is told not to look for names in it (``verbatim``),
so that a label named ``<!channel>`` or ``@here`` calls nobody.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from swirl.sinks.wording import (
    FIRST_LINE,
    changes,
    clock_time,
    cut,
    duration,
    follow,
    headline,
    likely,
    plain,
    possible,
    reasons,
    ruled_out,
    sentence,
)

if TYPE_CHECKING:
    from swirl.effect import Evidence, Incident, IncidentChanged

__all__ = ["metadata", "opened", "reply", "resolved", "root"]

HEADER, SECTION = 150, 3000
"""Characters that Slack takes in a header and in the text of a section or context."""

TABLE = 34
"""Columns of a code block that a phone shows without wrapping."""

_ROWS = 8
_NO_BREAK = "\u00a0"
_NUMBER_GAP = re.compile(r"(?<=\d) (?=(?:\d{3}\b|ms\b|s\b|min\b|h\b|d\b|%|million\b))")
_FENCED = re.compile(r"(```.*?```)", re.DOTALL)


def root(incident: Incident, *, show_labels: bool = False) -> dict[str, Any]:
    """The root message of the incident as it stands: ``text`` and ``blocks``."""
    return resolved(incident) if incident.state == "resolved" else opened(incident, show_labels=show_labels)


def opened(incident: Incident, *, show_labels: bool = False) -> dict[str, Any]:
    """The message of an open incident.

    Args:
        incident: as it stands.
        show_labels: reasons of invalid records, which may quote users' data, may be told.
    """
    top = headline(incident)
    numbers = changes(incident, FIRST_LINE - len(top) - 2)
    pairs = [(e.usual, e.now) for e in incident.evidence]
    told = [_bold(_told(incident.sentence, incident), incident.evidence)]
    told += [_escaped(reasons(incident))] if show_labels else []
    told += [_escaped(follow(incident))]
    first = " ".join(part for part in told if part)
    blocks = [
        _header("◆ " + top),
        *_section(first, _table(incident.evidence, ("usual", "now"), pairs)),
        *_section(_look_first(incident)),
        *_section(_escaped(incident.second)),
        _context(_judgement(incident)),
        _context(f"opened {_time(incident.opened_ms)} · {_escaped(incident.id)}"),
    ]
    return {"text": _text(f"{top}. {numbers}" if numbers else top), "blocks": blocks}


def resolved(incident: Incident) -> dict[str, Any]:
    """The message of an incident that is over."""
    top = headline(incident)
    pairs = [(e.worst or "-", e.now) for e in incident.evidence]
    was = f"Was: {_escaped(f'{incident.cause} {incident.version}')}, from {_time(incident.onset_ms)}."
    blocks = [
        _header("✓ " + top),
        *_section(was, _table(incident.evidence, ("worst", "now"), pairs)),
        *_section("*Cost*: " + _escaped(incident.cost) if incident.cost else ""),
        _context(f"opened {_time(incident.opened_ms)} · {_escaped(incident.id)}"),
    ]
    return {"text": _text(f"{top}. Was: {incident.cause}"), "blocks": blocks}


def reply(change: IncidentChanged) -> dict[str, Any]:
    """What is new, as a reply in the incident's thread."""
    incident = change.incident
    if incident.state == "resolved":
        took = duration(incident.resolved_ms - incident.onset_ms)
        said = plain(change.reply) or f"Resolved at {clock_time(incident.resolved_ms)} after {took}."
        line = re.sub("^Resolved", "*Resolved*", _told(said, incident))
        return {"text": _text(headline(incident)), "blocks": _section(line)}
    line = plain(change.reply) or f"{incident.title}, {likely(incident.posterior)}"
    note = _context(f"Now: {_escaped(incident.title)}, {likely(incident.posterior)}.")
    where = " / ".join(name for name in (incident.pipeline, incident.stage) if name)
    return {"text": _text(f"{where}: {line}"), "blocks": [*_section(_told(line, incident)), note]}


def metadata(change: IncidentChanged, step: Literal["posted", "edited", "reply"]) -> dict[str, Any]:
    """What lets a program find the message again.

    Args:
        change: that is told.
        step: a root as it was posted, a root that was edited, or a reply.
    """
    payload = {
        "identity": change.identity,
        "step": step,
        "pipeline": change.incident.pipeline,
        "incident": change.incident.id,
        "revision": change.incident.revision,
        "transition": change.transition,
    }
    return {"event_type": "swirl_incident", "event_payload": payload}


def _escaped(text: str) -> str:
    return plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _told(text: str, incident: Incident) -> str:
    """A sentence in which the incident's own times stand in each reader's zone."""
    told = _escaped(text)
    for ms in {incident.onset_ms, incident.opened_ms, incident.resolved_ms}:
        told = told.replace(clock_time(ms), _time(ms))
    return told


def _unbroken(text: str) -> str:
    """No line break inside a number or before its unit; code blocks keep plain spaces."""
    parts = _FENCED.split(text)
    return "".join(p if p.startswith("```") else _NUMBER_GAP.sub(_NO_BREAK, p) for p in parts)


def _text(text: str) -> str:
    return _unbroken(_escaped(cut(plain(text), FIRST_LINE)))


def _time(ms: int) -> str:
    """Each reader sees it in their own zone; where that cannot be, UTC."""
    return f"<!date^{ms // 1000}^{{time_secs}}|{clock_time(ms)}>"


def _header(text: str) -> dict[str, Any]:
    return {
        "type": "header",
        "text": {"type": "plain_text", "text": _unbroken(_fit(_escaped(text), HEADER)), "emoji": False},
    }


def _mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": _unbroken(text), "verbatim": True}


def _section(text: str, fenced: str = "") -> list[dict[str, Any]]:
    """A section, or none: Slack refuses an empty one."""
    told = "\n".join(part for part in (_fit(text, SECTION - len(fenced) - 1), fenced) if part)
    return [{"type": "section", "text": _mrkdwn(told)}] if told else []


def _context(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [_mrkdwn(_fit(text, SECTION))]}


def _fit(text: str, size: int) -> str:
    """Like :func:`swirl.sinks.wording.cut`, but never through an escape such as ``&lt;`` or a time."""
    if len(text) <= size:
        return text
    mark = " … (cut)"
    return re.sub(r"(&[a-z]{0,3}|<[^>]*)$", "", text[: size - len(mark)]).rstrip() + mark


def _bold(told: str, evidence: tuple[Evidence, ...]) -> str:
    """The number now of the most telling evidence is what the eye should meet first."""
    if not evidence or not evidence[0].now:
        return told
    number, slash, unit = _escaped(evidence[0].now).partition("/")
    found = rf"(?<![\w.]){re.escape(number)}(?: records)?{re.escape(slash + unit)}(?![\w.]*\w)"
    return re.sub(found, lambda m: f"*{m[0]}*", told, count=1)


def _look_first(incident: Incident) -> str:
    return " ".join(
        part
        for part in (
            "*Look first*",
            _escaped(incident.look_first),
            _told(sentence(incident.version_line), incident),
        )
        if part
    )


def _judgement(incident: Incident) -> str:
    said = [likely(incident.posterior)]
    said += ["preliminary: the next window may name another cause"] if incident.preliminary else []
    told = (", ".join(said) + ".").capitalize()
    for label, others in (("Possible", possible(incident)), ("Ruled out", ruled_out(incident))):
        told += f" {label}: {_escaped(others)}." if others else ""
    return told


def _table(evidence: tuple[Evidence, ...], heads: tuple[str, str], pairs: list[tuple[str, str]]) -> str:
    """A code block of at most :data:`TABLE` columns, in plain characters: fonts differ in the others."""
    rows = [("", *heads)]
    rows += [
        (_cell(e.name, TABLE), _cell(a, 12), _cell(b, 12))
        for e, (a, b) in zip(evidence[:_ROWS], pairs, strict=False)
    ]
    if len(rows) == 1:
        return ""
    second, third = (max(len(row[i]) for row in rows) for i in (1, 2))
    first = min(max(len(row[0]) for row in rows), TABLE - second - third - 4)
    lines = [f"{_cell(a, first):<{first}}  {b:>{second}}  {c:>{third}}" for a, b, c in rows]
    if len(evidence) > _ROWS:
        lines.append(f"and {len(evidence) - _ROWS} more")
    body = "\n".join(lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"```{body}```"


def _cell(text: str, size: int) -> str:
    return cut(plain(text).replace("`", "'").replace("→", "->"), size, "..")
