"""Planned work on its way from the fold to people: written down first, told once, hidden steps to nobody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from swirl.effect import IncidentChanged, MuteChanged
from swirl.engine.messenger import Messenger
from swirl.engine.outbox import Outbox
from swirl.engine.shard import Shard
from swirl.engine.wire import IncidentRecord, incident_record
from swirl.frame import Act, encode
from swirl.monitor import Monitor
from swirl.settings import MonitorSettings
from tests.monitor.log import make_log

if TYPE_CHECKING:
    from swirl.effect import Effect

SETTINGS = MonitorSettings(window_seconds=1, lateness_seconds=0, silence_seconds=3, skew_seconds=60)


class Ears:
    """A sink that remembers."""

    name = "ears"

    def __init__(self) -> None:
        self.heard: list[Effect] = []

    def handle(self, effect: Effect) -> None:
        self.heard.append(effect)


@pytest.fixture(scope="module")
def effects() -> list[Effect]:
    """Of a log in which faults begin while all pipelines are muted."""
    log = make_log(3, pipelines=3, emitters=2, seconds=55)
    payloads = [(entry.log_ms, entry.payload) for entry in log]
    for name in ("p0", "p1", "p2"):
        payloads.insert(150, (log[150].log_ms, encode(Act(name, "mute", who="kim", for_ms=3_600_000))))
    ours = shard()
    told: list[Effect] = []
    for offset, (log_ms, payload) in enumerate(payloads):
        told += ours.fold(offset, log_ms, payload)
    assert ours.untold == {"p0", "p1", "p2"}
    return told


def shard() -> Shard:
    return Shard(0, Monitor(SETTINGS), "epoch", "log")


def test_hidden_steps_are_written_down_and_only_the_work_itself_waits_to_be_told(
    effects: list[Effect],
) -> None:
    ours = shard()

    news = ours.news(effects)

    steps = [step for step in news if isinstance(step, IncidentChanged)]
    assert len(steps) >= 2
    assert all(step.incident.muted for step in steps)
    waiting = [step for box in ours.outboxes.values() for step in box.pending.values()]
    assert [step.identity for step in waiting] == [
        step.identity for step in news if isinstance(step, MuteChanged)
    ]
    assert ours.news(effects) == []


def test_people_hear_of_the_work_once_and_of_nothing_that_it_hides(effects: list[Effect]) -> None:
    async def scene() -> tuple[list[Effect], Outbox]:
        ours, ears = shard(), Ears()
        messenger = Messenger(ears, {}, fenced=lambda: False, heard=lambda _: True)
        messenger.take_over(ours)
        news = ours.news(effects)
        messenger.tell(ours, news)
        messenger.tell(ours, news)
        assert await asyncio.to_thread(messenger.outlet.drain, 5.0)
        await asyncio.sleep(0)  # what the outlet said is in the loop already
        written = [name for _, name in messenger.settled()]
        assert written == ["p0", "p1", "p2"]
        messenger.outlet.close(0.0)
        return ears.heard, ours.outbox("p0")

    heard, outbox = asyncio.run(scene())
    assert [type(effect) for effect in heard] == [MuteChanged] * 3
    assert not outbox.pending


def test_a_step_of_planned_work_is_read_back_from_the_log(effects: list[Effect]) -> None:
    news = shard().news(effects)

    read = [msgspec.msgpack.decode(incident_record(step), type=IncidentRecord).change for step in news]

    assert read == news
