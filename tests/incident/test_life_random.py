"""Whatever happens and whatever people say, in whatever order: each thread tells a story that makes sense."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from swirl.effect import IncidentChanged
from tests.incident.acts import BROKEN, BUG, CLICKS, INVALID, POSITIVE, Ads, Second, told

KINDS = ("acknowledge", "snooze", "resolve", "new_normal", "false_alarm", "confirm", "mute", "mute", "unmute")
FAULTS: tuple[tuple[Second, tuple[object, ...]], ...] = (
    (BROKEN, (INVALID, POSITIVE, CLICKS)),
    (BUG, (POSITIVE, CLICKS)),
    (Second(shifted=-0.5), (POSITIVE, CLICKS)),
    (Second(), ()),
    (Second(), ()),
)


def play(seed: int, *, cut: bool = False) -> Ads:
    """Faults that come and go, people who say anything at any time, some of it twice."""
    rng, ads = np.random.default_rng(seed), Ads(seed)
    ads.pass_by(30)
    for _ in range(40):
        fault, alarms = FAULTS[int(rng.integers(len(FAULTS)))]
        ads.pass_by(int(rng.integers(1, 14)), fault, alarms)  # type: ignore[arg-type] # they are keys
        for _ in range(int(rng.integers(0, 3))):
            act = KINDS[int(rng.integers(len(KINDS)))]
            past = [change.incident.id for change in ads.changes[-8:]] or ["ads-20200101-000000"]
            ident = "" if act.endswith("mute") else past[-1 - int(len(past) * rng.random() ** 4)]
            stage = ("", "ingest", "classify")[int(rng.integers(3))] if act.endswith("mute") else ""
            who = ("Mia", "Kim")[int(rng.integers(2))]
            for _ in range(int(rng.integers(1, 3))):
                ads.say(act, ident, who, stage=stage, for_ms=int(rng.integers(-1, 90)) * 1000)
        if cut:
            ads.restart()
    for stage in ("", "ingest", "classify"):
        ads.say("unmute", "", stage=stage)
    return ads


@pytest.fixture(scope="module", params=range(1, 6))
def ads(request: pytest.FixtureRequest) -> Ads:
    return play(request.param)


def threads(steps: Sequence[IncidentChanged]) -> dict[str, list[IncidentChanged]]:
    found: dict[str, list[IncidentChanged]] = {}
    for step in steps:
        found.setdefault(step.incident.id, []).append(step)
    return found


def assert_is_a_story(thread: Sequence[IncidentChanged]) -> None:
    """What people see of an incident: it opens once, and after its end it is judged or comes back."""
    assert thread[0].transition == "opened" or thread[0].incident.judged
    seen = ""
    for step in thread:
        assert (step.transition == "opened") <= (seen == "")
        if seen == "resolved":
            assert step.transition in ("reopened", "judged")
        elif seen == "open":
            assert step.transition != "reopened"
        seen = step.incident.state
        assert bool(step.incident.ending) == (seen == "resolved")
        assert (step.incident.snoozed_until_ms > 0) <= (seen == "open")


def test_every_thread_makes_sense_with_planned_work_and_without(ads: Ads) -> None:
    identities = [change.identity for change in ads.changes]
    assert len(identities) == len(set(identities))
    for steps in threads(ads.changes).values():
        assert [step.incident.revision for step in steps] == list(range(len(steps)))
    for thread in threads([step for step in ads.changes if not step.incident.muted]).values():
        assert_is_a_story(thread)


def test_what_people_were_not_told_is_named_when_the_work_is_over(ads: Ads) -> None:
    named = {incident.id for change in ads.mutes for incident in change.incidents}
    seen = {step.incident.id for step in ads.changes if not step.incident.muted}
    assert {step.incident.id for step in ads.changes} == seen | named
    # What is open for people is open, and what is over for them is over.
    for ident, steps in threads([s for s in ads.changes if not s.incident.muted]).items():
        last = next(step for step in reversed(ads.changes) if step.incident.id == ident)
        assert steps[-1].incident.state == last.incident.state


def test_cut_anywhere_it_is_the_same_story(ads: Ads) -> None:
    cut = play(ads.seed, cut=True)
    assert msgspec.msgpack.encode(list(told(cut))) == msgspec.msgpack.encode(list(told(ads)))
    assert cut.incidents.snapshot() == ads.incidents.snapshot()
