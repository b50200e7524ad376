"""The sentences of the page: how a pipeline stands, what the budget says, how well Swirl itself sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from swirl.effect import State
from swirl.sinks.wording import clock_time, duration, plain
from swirl.web.page.choice import is_judged
from swirl.web.page.figures import amount, typeset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swirl.effect import Health, Incident, SeriesPoint
    from swirl.sinks.board import View

__all__ = ["Fact", "Standing", "budget", "end_of", "eyesight", "sight", "standing"]

_QUIET_MS = 15_000
_LATE_WINDOWS = 3


class Standing(NamedTuple):
    """How a pipeline stands.

    Attributes:
        state: which of the four faces the page has.
        mark, word: the same for eyes and ears.
        title: of the page.
        headline, note: where there is no incident.
    """

    state: Literal["healthy", "learning", "open", "waiting"]
    mark: str
    word: str
    title: str
    headline: str
    note: str


class Fact(NamedTuple):
    """A line of the footer; ``bad`` ones are told at the top as well."""

    name: str
    value: str
    bad: bool = False


def standing(view: View, points: Sequence[SeriesPoint]) -> Standing:
    """How a pipeline stands, by its newest window and its incidents."""
    name = plain(view.name)
    incident = view.open
    if incident is not None:
        where = plain(incident.stage or name)
        word = "1 incident open, muted" if incident.muted else "1 incident open"
        title = f"◆ {name}: {where}, {plain(incident.cause)}"
        return Standing("open", "◆", word, title, "", "")
    if not points:
        note = (
            "The first window is shown when it is closed: its length and its lateness after the first record."
        )
        return Standing("waiting", "–", "No window yet", f"{name}: no window yet", "No window yet", note)
    judged = [point for point in points if is_judged(point)]
    settled = [point for point in judged if point.state not in (State.UNMEASURED, State.LEARNING)]
    learning = sum(point.state is State.LEARNING for point in judged)
    if not settled:
        headline = f"Learning what is usual: {len(view.windows)} windows so far"
        note = "There are no limits yet. Until then only overwhelming evidence raises an alarm."
        return Standing("learning", "◔", "Learning", f"{name}: learning", headline, note)
    return Standing("healthy", "○", "Healthy", f"{name}: healthy", *_calm(view, settled, learning))


def _calm(view: View, settled: Sequence[SeriesPoint], learning: int) -> tuple[str, str]:
    out = [p for p in settled if p.state in (State.ANOMALY, State.HELD)]
    count = amount(len(settled))
    headline = f"All {count} series are inside their limits"
    if len(settled) == 1:
        headline = "The one series that has limits is inside them"
    elif learning:
        headline = f"All {count} series that have limits are inside them"
    if out:
        headline = f"{len(out)} of {count} series outside, nothing that is an incident"
    told = [f"{amount(learning)} more are being learnt."] if learning else []
    last = view.incidents[0] if view.incidents else None
    told.append(f"Last incident: {_past(last)}." if last is not None else "No incident so far.")
    return headline, " ".join(told)


def _past(incident: Incident) -> str:
    took = typeset(duration(incident.resolved_ms - incident.onset_ms))
    return f"{plain(incident.title)}, {end_of(incident)} at {clock_time(incident.resolved_ms)} after {took}"


def end_of(incident: Incident) -> str:
    """How an incident ended, in words."""
    by = f" by {plain(incident.ended_by)}" if incident.ended_by else ""
    words = {
        "calm": "resolved by itself",
        "resolved": f"resolved{by}",
        "new_normal": f"called the new normal{by}",
        "false_alarm": f"called a false alarm{by}",
        "adopted": "adopted as the new normal",
        "left": "left behind",
    }
    return words.get(incident.ending, "resolved")


def budget(health: Health | None) -> str:
    """What the promise says: ``"1 of the 1 promised this week"``."""
    if health is None or health.budget_a_week <= 0:
        return ""
    promised = f"{health.budget_a_week:g}"
    return f"{amount(health.budget_spent)} of the {promised} promised this week"


def sight(view: View, now_ms: int) -> list[Fact]:
    """How well Swirl sees the pipeline, for the footer."""
    last = view.last
    if last is None:
        return []
    h, before = last.health, view.windows[0].health
    late = sum(h.late_records.values()) - h.late_records.get("revised", 0)
    lost = h.frames_missing - before.frames_missing
    dropped, failed = h.dropped_records - before.dropped_records, h.failed_frames - before.failed_frames
    silent = f", {h.emitters_silent} silent" if h.emitters_silent else ""
    window = last.window_ms
    behind = h.lag_ms > _LATE_WINDOWS * window + _QUIET_MS
    facts = [
        Fact("emitters", f"{amount(h.emitters)} heard{silent}", h.emitters_silent > 0),
        Fact("frames", f"{amount(h.frames)}, {amount(max(0, lost))} missing lately", lost > 0),
        Fact("lag", f"{typeset(duration(max(0, h.lag_ms)))} behind the log", behind),
        Fact("dropped", f"{amount(dropped)} records for want of space lately", dropped > 0),
        Fact("not delivered", f"{amount(failed)} frames lately", failed > 0),
        Fact("too late", f"{amount(late)} records, counted"),
        Fact("series", f"{amount(h.series)} watched"),
    ]
    facts += _refused(h)
    quiet = now_ms - max(h.last_seen_ms, last.end_ms)
    if quiet > max(_QUIET_MS, _LATE_WINDOWS * window):
        facts.append(Fact("last heard", f"{typeset(duration(quiet))} ago", bad=True))
    return facts


def _refused(h: Health) -> list[Fact]:
    facts = []
    if h.series_refused:
        facts.append(Fact("left out", "series beyond the cap (SWIRL_SERIES)", bad=True))
    if h.unreadable:
        facts.append(Fact("unreadable", f"{amount(h.unreadable)} summaries or limits left out", bad=True))
    if h.labels_overflowed:
        facts.append(Fact("labels", f"{amount(h.labels_overflowed)} records counted under (other)"))
    for name, count in sorted(h.detector_failures.items()):
        facts.append(Fact("detector", f"{plain(name)} failed {amount(count)} times", bad=True))
    facts += [Fact("detector", f"{plain(name)} is not known here", bad=True) for name in h.unknown_detectors]
    return facts


def eyesight(facts: Sequence[Fact]) -> str:
    """What keeps Swirl from seeing well, as one line, ``""`` while it sees."""
    said = [f"{fact.name}: {fact.value}" for fact in facts if fact.bad]
    return f"Swirl does not see all of it. {'; '.join(said)}." if said else ""
