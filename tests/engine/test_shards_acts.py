"""Workers that die among acts: what people said holds, and each is told what they are to know, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from swirl.effect import IncidentChanged, MuteChanged
from swirl.engine.outbox import is_for_people
from swirl.engine.wire import IncidentRecord
from swirl.frame import Act, encode
from tests.engine.test_shards import TOPICS, Rig, end_threads, feed_and_save, run, settled
from tests.monitor.log import Entry

if TYPE_CHECKING:
    from swirl.effect import Effect

__all__ = ["end_threads"]


class Ears:
    """A sink that remembers what people are told."""

    name = "ears"

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.doubted: list[str] = []

    def handle(self, effect: Effect) -> None:
        self.heard.append(effect.identity)

    def doubt(self, identity: str) -> None:
        self.doubted.append(identity)


def acted(rig: Rig) -> Rig:
    """Work is planned before the faults, ends in the middle of them, and people act on what they see."""
    idents = {e.pipeline: e.incident.id for e in rig.truth() if isinstance(e, IncidentChanged)}
    last = len(rig.entries) - 1

    def say(at: int, act: Any, pipeline: str, **given: Any) -> None:
        record = encode(Act(pipeline, act, who="kim", **given))
        rig.entries.insert(at, Entry(rig.entries[at].log_ms, pipeline, b"", record))

    for pipeline, ident in idents.items():
        say(last, "resolve", pipeline, incident=ident)
        say(last, "snooze", pipeline, incident=ident, for_ms=60_000)
        say(last - 30, "acknowledge", pipeline, incident=ident)
        say(150, "mute", pipeline, for_ms=24_000)
    return rig


@pytest.mark.parametrize("seed", [2, 3])
def test_workers_that_die_among_acts_tell_what_the_plain_fold_tells_once(seed: int) -> None:
    async def scene() -> None:
        rig, ears = acted(Rig(seed, snapshot_seconds=7)), Ears()
        for cut in (151, 152, 200, 280, len(rig.entries)):
            shards = rig.start(ears)  # type: ignore[arg-type] # it is a sink too
            await shards.assign({0})
            await feed_and_save(rig, shards, rig.log.acknowledged.get(0, 0), cut)
            await settled(shards)
            await shards.save()

        truth = [e for e in rig.truth() if isinstance(e, IncidentChanged | MuteChanged)]
        hidden = [step for step in truth if not is_for_people(step)]
        assert hidden
        assert {step.transition for step in truth} >= {"began", "ended", "opened", "acknowledged", "resolved"}
        assert sorted(ears.heard) == sorted(step.identity for step in truth if is_for_people(step))
        written = [
            msgspec.msgpack.decode(value, type=IncidentRecord).change
            for value in rig.log.values(TOPICS.incidents)
        ]
        by_identity = {step.identity: step for step in written}
        assert msgspec.msgpack.encode(list(by_identity.values())) == msgspec.msgpack.encode(truth)

    run(scene())
