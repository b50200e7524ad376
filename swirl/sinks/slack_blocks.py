"""Slack messages for an incident: pure functions from values to Block Kit, within Slack's limits.

Every text that may come from a user is escaped, and Slack is told not to look for names in it (``verbatim``),
so that a label named ``<!channel>`` or ``@here`` calls nobody.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import quote

from swirl.sinks.slack_buttons import buttons, question
from swirl.sinks.slack_labels import neutral, neutral_text
from swirl.sinks.wording import (
    FIRST_LINE,
    attended,
    came_back,
    changes,
    clock_time,
    cut,
    duration,
    ending,
    follow,
    headline,
    how_sure,
    judged,
    moment,
    plain,
    planned,
    possible,
    reasons,
    ruled_out,
    sentence,
)

if TYPE_CHECKING:
    from swirl.effect import Evidence, Incident, IncidentChanged, MuteChanged

__all__ = [
    "MUTE_EVENT",
    "PLAIN",
    "Style",
    "metadata",
    "opened",
    "reply",
    "resolved",
    "root",
    "work",
    "work_metadata",
]

HEADER, SECTION = 150, 3000
"""Characters that Slack takes in a header and in the text of a section or context."""

TABLE = 34
"""Columns of a code block that a phone shows without wrapping."""

MUTE_EVENT = "swirl_planned_work"
"""Type of the metadata of messages about planned work."""

_ROWS = 8
_NO_BREAK = "\u00a0"
_NUMBER_GAP = re.compile(r"(?<=\d) (?=(?:\d{3}\b|ms\b|s\b|min\b|h\b|d\b|%|million\b))")
_FENCED = re.compile(r"(```.*?```)", re.DOTALL)


class Style(NamedTuple):
    """What the settings say of messages.

    Attributes:
        show_labels: labels, segments, reasons of invalid records and values of features, which are users'
            data, may be told.
        buttons: somebody hears when they are pressed.
        url: where people reach the page, ``""``: no link to it.
        runbook: its address, ``""``: no link to it.
    """

    show_labels: bool = False
    buttons: bool = False
    url: str = ""
    runbook: str = ""


PLAIN = Style()
"""Nothing beyond the incident itself."""


def root(incident: Incident, style: Style = PLAIN, mention: str = "") -> dict[str, Any]:
    """The root message of the incident as it stands: ``text`` and ``blocks``.

    Args:
        incident: as it stands.
        style: see :class:`Style`.
        mention: who is called, in Slack's own words, ``""``: nobody.
    """
    if incident.state == "resolved":
        return resolved(incident, style)
    return opened(incident, style, mention)


def opened(incident: Incident, style: Style = PLAIN, mention: str = "") -> dict[str, Any]:
    """The message of an open incident; see :func:`root`."""
    if not style.show_labels:
        incident = neutral(incident)
    top = headline(incident)
    numbers = changes(incident, FIRST_LINE - len(top) - 2)
    pairs = [(e.usual, e.now) for e in incident.evidence]
    told = [mention, _bold(_told(incident.sentence, incident), incident.evidence)]
    told += [_escaped(reasons(incident)), _escaped(follow(incident))]
    first = " ".join(part for part in told if part)
    blocks = [
        _header("◆ " + top),
        *_section(first, _table(incident.evidence, ("usual", "now"), pairs)),
        *_section(_look_first(incident)),
        *_section(_escaped(incident.second)),
        *([buttons(incident)] if style.buttons else []),
        *_context(_told(" ".join(filter(None, _standing(incident))), incident)),
        *_context(_judgement(incident)),
        *_context(_footer(incident, style)),
    ]
    return {"text": _text(f"{top}. {numbers}" if numbers else top), "blocks": blocks}


def resolved(incident: Incident, style: Style = PLAIN) -> dict[str, Any]:
    """The message of an incident that is over; see :func:`root`."""
    if not style.show_labels:
        incident = neutral(incident)
    top = headline(incident)
    pairs = [(e.worst or "-", e.now) for e in incident.evidence]
    was = f"Was: {_escaped(f'{incident.cause} {incident.version}')}, from {_time(incident.onset_ms)}."
    said = " ".join([was, *map(_escaped, filter(None, (ending(incident), came_back(incident))))])
    asks = style.buttons and not incident.judged and incident.ending != "false_alarm"
    blocks = [
        _header("✓ " + top),
        *_section(said, _table(incident.evidence, ("worst", "now"), pairs)),
        *_section("*Cost*: " + _escaped(incident.cost) if incident.cost else ""),
        *(question(incident) if asks else []),
        *_section(judged(incident)),
        *_context(_footer(incident, style)),
    ]
    return {"text": _text(f"{top}. Was: {incident.cause}"), "blocks": blocks}


def reply(change: IncidentChanged, style: Style = PLAIN, mention: str = "") -> dict[str, Any]:
    """What is new, as a reply in the incident's thread; see :func:`root`."""
    incident, new = change.incident, plain(change.reply)
    if not style.show_labels:
        incident, new = neutral(incident), plain(neutral_text(change.reply, incident))
    if incident.state == "resolved" and change.transition != "judged":
        took = duration(incident.resolved_ms - incident.onset_ms)
        why = f" {ending(incident)}".rstrip()
        said = new or f"Resolved at {clock_time(incident.resolved_ms)} after {took}.{why}"
        line = re.sub("^Resolved", "*Resolved*", _told(said, incident))
        return {"text": _text(headline(incident)), "blocks": _section(line)}
    line = new or _unsaid(change.transition, incident)
    now = f"Now: {_escaped(incident.title)}, {how_sure(incident)}."
    note = _context(now if change.transition != "judged" else "")
    where = " / ".join(name for name in (incident.pipeline, incident.stage) if name)
    told = " ".join(part for part in (mention, _told(line, incident)) if part)
    return {"text": _text(f"{where}: {line}"), "blocks": [*_section(told), *note]}


def work(change: MuteChanged) -> dict[str, Any]:
    """Planned work, in one line: a message in the channel itself."""
    mute = change.mute
    line = _escaped(cut(planned(change), SECTION // 2))
    until = moment(mute.until_ms, mute.since_ms)
    return {
        "text": _text(planned(change)),
        "blocks": _section(line.replace(until, _time(mute.until_ms, until))),
    }


def work_metadata(change: MuteChanged) -> dict[str, Any]:
    """What lets a program find the message of :func:`work` again."""
    payload = {"identity": change.identity, "pipeline": change.pipeline, "transition": change.transition}
    return {"event_type": MUTE_EVENT, "event_payload": payload}


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
    i = incident
    own = {i.onset_ms, i.opened_ms, i.resolved_ms, i.acknowledged_ms, i.snoozed_until_ms} - {0}
    # The longer way to write a time first: it ends in the shorter one.
    written = {clock_time(ms): ms for ms in own} | {moment(ms, i.opened_ms): ms for ms in own}
    found = "|".join(map(re.escape, sorted(written, key=len, reverse=True)))
    return re.sub(found, lambda m: _time(written[m[0]], m[0]), _escaped(text)) if found else _escaped(text)


def _standing(incident: Incident) -> tuple[str, ...]:
    return attended(incident), came_back(incident), judged(incident)


def _unsaid(transition: str, incident: Incident) -> str:
    """What a step says that brings no words of its own."""
    if transition == "reopened":
        return f"It came back: {incident.sentence}"
    if transition == "woken":
        return f"The snooze is over, and it is still open: {incident.sentence}"
    if transition == "opened":
        return f"Still open after the planned work: {incident.sentence}"
    if transition == "judged":
        return judged(incident) or ending(incident) or incident.title
    return f"{incident.title}, {how_sure(incident)}"


def _unbroken(text: str) -> str:
    """No line break inside a number or before its unit; code blocks keep plain spaces."""
    parts = _FENCED.split(text)
    return "".join(p if p.startswith("```") else _NUMBER_GAP.sub(_NO_BREAK, p) for p in parts)


def _text(text: str) -> str:
    return _unbroken(_escaped(cut(plain(text), FIRST_LINE)))


def _time(ms: int, written: str = "") -> str:
    """Each reader sees it in their own zone; where that cannot be, as it is written in UTC."""
    told = written or clock_time(ms)
    form = "{date_num} {time_secs}" if told != clock_time(ms) else "{time_secs}"
    return f"<!date^{ms // 1000}^{form}|{told}>"


def _footer(incident: Incident, style: Style) -> str:
    page = f"{style.url.rstrip('/')}/incidents/{quote(incident.id, safe='')}" if style.url else ""
    parts = [_link(page, "Live page"), _link(style.runbook, "Runbook"), f"opened {_time(incident.opened_ms)}"]
    if incident.state == "resolved" and incident.acknowledged_by:
        after = duration(max(0, incident.acknowledged_ms - incident.opened_ms))
        parts.append(f"acknowledged by {_escaped(incident.acknowledged_by)} after {after}")
    return " · ".join(part for part in [*parts, _escaped(incident.id)] if part)


def _link(address: str, words: str) -> str:
    clean = quote(address, safe="%/:?#[]@!$&'()*+,;=~-._").replace("&", "&amp;")
    return f"<{clean}|{words}>" if address else ""


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


def _context(text: str) -> list[dict[str, Any]]:
    """Small print, or none."""
    return [{"type": "context", "elements": [_mrkdwn(_fit(text, SECTION))]}] if text else []


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
    said = [how_sure(incident)]
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
