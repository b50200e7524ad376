"""What has changed since one looked last: a line or an object for each change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from swirl.sinks.wording import clock_time, headline, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from swirl.effect import Incident, Mute
    from swirl.web.api import Step, Summary

__all__ = ["News", "Newsroom", "standing", "work"]

_REMEMBERED = 10_000
_AT_LENGTH = frozenset({"opened", "reopened", "woken"})


class News(NamedTuple):
    """One change.

    Attributes:
        kind: ``"pipeline"``, ``"incident"``, ``"mute"``, ``"silent"`` or ``"heard"``.
        words: one line.
        data: the same for machines.
    """

    kind: str
    words: str
    data: dict[str, Any]

    def json(self) -> str:
        """One line of JSON."""
        return msgspec.json.encode({"kind": self.kind, **self.data}).decode()


class Newsroom:
    """Compares how things stand with how they stood.

    Args:
        steps: the steps of an incident, as far as they are known.
    """

    def __init__(self, steps: Callable[[str], Sequence[Step]]) -> None:
        self._steps = steps
        self._revisions: dict[str, int] | None = None
        self._mutes: dict[tuple[str, str], Mute] = {}
        self._names: set[str] = set()

    def look(self, pipelines: Sequence[Summary], incidents: Sequence[Incident]) -> Iterator[News]:
        """What is new; at the first look, how things stand.

        Args:
            pipelines: as they stand.
            incidents: all that are known, in any order.
        """
        for summary in pipelines:
            if summary.name not in self._names:
                self._names.add(summary.name)
                data = {"pipeline": msgspec.to_builtins(summary)}
                yield News("pipeline", f"{plain(summary.name)}: {standing(summary)}", data)
            yield from self._work(summary)
        yield from self._lives(sorted(incidents, key=lambda incident: (incident.opened_ms, incident.id)))

    def _work(self, summary: Summary) -> Iterator[News]:
        now = {(summary.name, mute.stage): mute for mute in summary.mutes}
        before = {key: mute for key, mute in self._mutes.items() if key[0] == summary.name}
        for key, mute in {**before, **now}.items():
            if before.get(key) == now.get(key):
                continue
            turn = "began" if key in now else "ended"
            data = {"pipeline": key[0], "transition": turn, "mute": msgspec.to_builtins(mute)}
            yield News("mute", _planned(key, mute, turn), data)
        self._mutes = {key: mute for key, mute in self._mutes.items() if key[0] != summary.name} | now

    def _lives(self, incidents: Sequence[Incident]) -> Iterator[News]:
        first, known = self._revisions is None, self._revisions or {}
        for incident in incidents:
            before = known.get(incident.id, -1)
            if incident.revision <= before and not (first and incident.state == "open"):
                continue
            if first and incident.state != "open":
                continue
            steps = self._steps(incident.id)
            fresh = list(steps[-1:] if first else [step for step in steps if step.revision > before])
            if not fresh:
                yield _step(incident, "resolved" if incident.state == "resolved" else "updated", "")
            for step in fresh:
                yield _step(incident, step.transition, step.reply, whole=first)
        now = {**known, **{incident.id: incident.revision for incident in incidents}}
        self._revisions = dict(list(now.items())[-_REMEMBERED:])


def standing(summary: Summary) -> str:
    """How a pipeline stands, in words."""
    if summary.incident is not None:
        return f"◆ {plain(summary.incident.title)}" + (" (muted)" if summary.incident.muted else "")
    if not summary.window_ms:
        return "– no window seen"
    if summary.learning:
        return f"◔ learning, {summary.series} series"
    if summary.anomalous:
        return f"◇ {summary.anomalous} of {summary.judged} series outside their limits"
    muted = f", muted until {clock_time(max(m.until_ms for m in summary.mutes))}" if summary.mutes else ""
    return f"○ healthy, {summary.judged} series{muted}"


def _step(incident: Incident, transition: str, reply: str, *, whole: bool = False) -> News:
    """A step in one line; ``whole``: for who has not heard of the incident yet."""
    mark = "✓" if incident.state == "resolved" else "◆"
    told = f"{mark} {plain(incident.id)} {transition}: "
    if transition in _AT_LENGTH or not reply:
        rest = incident.sentence if incident.state == "open" else incident.cost
        told += f"{headline(incident)}. {plain(rest)}"
    elif whole:
        told += f"{headline(incident)}. {plain(reply)}"
    else:
        told += plain(reply)
    data = {"transition": transition, "reply": reply, "incident": msgspec.to_builtins(incident)}
    return News("incident", told.strip(), data)


def _planned(key: tuple[str, str], mute: Mute, turn: str) -> str:
    if turn == "ended":
        return f"– {_where(*key)} is muted no longer"
    return work(key[0], mute)


def _where(pipeline: str, stage: str) -> str:
    return plain(f"{pipeline} / {stage}" if stage else pipeline)


def work(pipeline: str, mute: Mute) -> str:
    """Planned work, in one line."""
    why = f": {plain(mute.why)}" if mute.why else ""
    where = _where(pipeline, mute.stage)
    return f"– {where} is muted until {clock_time(mute.until_ms)} by {plain(mute.who) or 'somebody'}{why}"
