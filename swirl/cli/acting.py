"""What people say from a terminal: sent as an act, then looked for until it is seen to be so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import click

from swirl.cli.reach import Nobody, Reach, Unknown, addresses, no_pipeline
from swirl.cli.send import account, seen, send
from swirl.clock import SystemClock
from swirl.frame import Act, incident_pipeline
from swirl.incident.causes import CAUSES, CHANCE, UNKNOWN
from swirl.sinks.wording import clock_time, duration, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swirl.effect import Incident, Mute
    from swirl.web.api import PipelineAnswer

__all__ = ["NOT_SEEN", "of_incident", "of_pipeline"]

NOT_SEEN = 4
"""Exit code: it was sent, and not seen to take effect."""

_AGAIN_MS = 90_000
_OPEN_ONLY = ("acknowledge", "snooze", "resolve", "new_normal")
_DONE: dict[str, Callable[[Incident, Act], bool]] = {
    "acknowledge": lambda now, act: now.acknowledged_ms > 0 and _same(now.acknowledged_by, act.who),
    "snooze": lambda now, act: now.snoozed_until_ms > 0 and _same(now.snoozed_by, act.who),
    "resolve": lambda now, _: now.state == "resolved",
    "new_normal": lambda now, _: now.state == "resolved",
    "false_alarm": lambda now, _: now.judged == "false_alarm" or now.ending == "false_alarm",
    "confirm": lambda now, _: now.judged == "confirmed",
}
_SAID = {
    "acknowledge": "{what} is acknowledged by {who}.",
    "snooze": "{what} is snoozed by {who} until {until}.",
    "resolve": "{what} is resolved by {who}, after {took}.",
    "new_normal": "{what} is over: what the series do now is normal from here on, says {who}.",
    "false_alarm": "{what} counts as a false alarm, says {who}.",
    "confirm": "{what} is confirmed by {who}.",
}


def of_incident(
    act: str, ident: str, who: str, urls: Sequence[str], say: Callable[[str], object], **given: Any
) -> int:
    """Say something of an incident.

    Args:
        act: which one; see :class:`swirl.frame.Act`.
        ident: of the incident.
        who: says so; ``""``: the account.
        urls: of the processes that watch.
        say: prints a line.
        **given: further fields of the act.

    Returns:
        The exit code: 0 or :data:`NOT_SEEN`.

    Raises:
        Unknown: there is no such incident, or it cannot be said of it.
        Nobody: nobody takes it.
    """
    reach = _reach(urls)
    before, blind = _before(reach, ident)
    if before is not None:
        _may_be_said(reach, before, act, given)
    pipeline = before.pipeline if before is not None else _pipeline_of(ident)
    record = Act(pipeline, cast("Any", act), ident, who or account(), via="command", **given)
    send(record)
    if blind:
        say(f"Sent, not confirmed: {blind}")
        return NOT_SEEN
    return _told(reach, record, before, say)


def _reach(urls: Sequence[str]) -> Reach:
    """Those to ask; where no page is served, an act is sent all the same."""
    try:
        return Reach(addresses(urls))
    except click.UsageError:
        if urls:
            raise
        return Reach(())


def _may_be_said(reach: Reach, before: Incident, act: str, given: dict[str, Any]) -> None:
    """What the monitor would take and leave without effect is refused here.

    Raises:
        Unknown: it is over, was judged already, or there is no such cause or stage.
    """
    if before.state == "resolved" and act in _OPEN_ONLY:
        raise Unknown(f"{before.id} is over already: resolved at {clock_time(before.resolved_ms)}")
    cause, stage = given.get("cause", ""), given.get("stage", "")
    verdict = {"confirm": "confirmed", "false_alarm": "false_alarm"}.get(act, "")
    settles = act == "false_alarm" and before.state == "open"
    if verdict and before.judged and not settles and (before.judged != verdict or cause or stage):
        was = "confirmed" if before.judged == "confirmed" else "a false alarm"
        raise Unknown(f"{before.id} is judged already: {was}. The first judgement stays")
    causes = [each.words for name, each in CAUSES.items() if name not in (CHANCE, UNKNOWN)]
    if cause and cause not in (*causes, *CAUSES, before.cause):
        raise Unknown(f"there is no cause {cause!r}; known are: {', '.join(causes)}")
    _known_stage(reach.pipeline(before.pipeline) if stage else None, stage)


def _known_stage(answer: PipelineAnswer | None, stage: str) -> None:
    if stage and answer is not None and answer.stages and stage not in answer.stages:
        name = answer.summary.name
        raise Unknown(f"{name} has no stage {stage!r}; it has: {', '.join(answer.stages)}")


def _told(reach: Reach, act: Act, before: Incident | None, say: Callable[[str], object]) -> int:
    now: list[Incident] = []

    def done() -> bool:
        answer = reach.incident(act.incident)
        now[:] = [answer.incident] if answer is not None else []
        return (
            bool(now) and _DONE[act.act](now[0], act) and (act.act != "snooze" or _anew(now[0], before, act))
        )

    try:
        so = seen(done)
    except Nobody as error:
        say(f"Sent, not confirmed: {error.message}")
        return NOT_SEEN
    if not so:
        say(_not_shown(f"incidents show {act.incident}"))
        return NOT_SEEN
    say(_sentence(act, now[0]))
    return 0


def _same(known: str, said: str) -> bool:
    """Long names are kept cut."""
    return known == (said or "somebody") or (bool(known) and said.startswith(known.removesuffix("…")))


def _anew(now: Incident, before: Incident | None, act: Act) -> bool:
    """Whether a snooze is this one, or one that was asked for a moment ago and comes to the same."""
    ends = SystemClock().time_ns() // 1_000_000 + act.for_ms
    return before is None or now.revision > before.revision or abs(now.snoozed_until_ms - ends) < _AGAIN_MS


def _sentence(act: Act, now: Incident) -> str:
    who = {"acknowledge": now.acknowledged_by, "snooze": now.snoozed_by, "resolve": now.ended_by}.get(
        act.act, ""
    )
    return _SAID[act.act].format(
        what=plain(f"{now.pipeline} / {now.title}" if now.stage else now.title),
        who=plain(who or act.who or "somebody"),
        until=clock_time(now.snoozed_until_ms),
        took=duration(max(0, now.resolved_ms - now.onset_ms)),
    )


def _before(reach: Reach, ident: str) -> tuple[Incident | None, str]:
    """The incident as it stands, or why it cannot be seen."""
    try:
        return reach.known(ident).incident, ""
    except Nobody as error:
        return None, error.message


def _pipeline_of(ident: str) -> str:
    pipeline = incident_pipeline(ident)
    if not pipeline:
        raise Unknown(
            f"{ident!r} is no identity of an incident; it stands in its message: ads-20261121-031220"
        )
    return pipeline


def of_pipeline(act: Act, urls: Sequence[str], say: Callable[[str], object]) -> int:
    """Say that planned work begins, or is over; errors and exit codes are those of :func:`of_incident`."""
    reach = _reach(urls)
    try:
        before = _check(reach, act)
    except Nobody as error:
        send(act)
        say(f"Sent, not confirmed: {error.message}")
        return NOT_SEEN
    send(act)
    now: list[Mute] = []

    def done() -> bool:
        now[:] = _mutes(reach, act)
        return not now if act.act == "unmute" else any(_begun(mute, before, act) for mute in now)

    try:
        so = seen(done)
    except Nobody as error:
        say(f"Sent, not confirmed: {error.message}")
        return NOT_SEEN
    say(_work(act, now) if so else _not_shown(f"watch --once {act.pipeline}"))
    return 0 if so else NOT_SEEN


def _begun(mute: Mute, before: Sequence[Mute], act: Act) -> bool:
    """Whether it is this work: a new one, or the same that was planned a moment ago."""
    return mute not in before or (_same(mute.who, act.who) and act.why.startswith(mute.why.removesuffix("…")))


def _work(act: Act, now: Sequence[Mute]) -> str:
    where = plain(f"{act.pipeline} / {act.stage}" if act.stage else act.pipeline)
    if act.act == "unmute":
        return f"{where} is muted no longer."
    return (
        f"{where} is muted until {clock_time(now[0].until_ms)}: still watched, told afterwards in one line."
    )


def _not_shown(look: str) -> str:
    return f"Sent, but it did not show within 10 s. Look with: swirl {look}"


def _check(reach: Reach, act: Act) -> list[Mute]:
    """What is planned for the stage now.

    Raises:
        Unknown: there is no such pipeline or stage, or nothing to end.
        Nobody: it cannot be seen.
    """
    found = {summary.name: summary for summary in reach.pipelines()}
    if act.pipeline not in found:
        raise no_pipeline(act.pipeline, found)
    _known_stage(reach.pipeline(act.pipeline) if act.stage else None, act.stage)
    mutes = _mutes(reach, act)
    if act.act == "unmute" and not mutes:
        raise Unknown(f"{act.pipeline} is not muted" + (f" at {act.stage}" if act.stage else ""))
    return mutes


def _mutes(reach: Reach, act: Act) -> list[Mute]:
    summary = next((each for each in reach.pipelines() if each.name == act.pipeline), None)
    mutes = summary.mutes if summary is not None else ()
    return [mute for mute in mutes if mute.stage == act.stage]
