"""What waits to be told survives, and what was told is not told again."""

from __future__ import annotations

import msgspec
import pytest

from swirl.effect import Incident, IncidentChanged, Mute, MuteChanged
from swirl.engine.outbox import Outbox, is_for_people


def change(number: int = 1, revision: int = 0, pipeline: str = "ads") -> IncidentChanged:
    incident = Incident(
        id=f"{pipeline}-{number}",
        pipeline=pipeline,
        state="open",
        revision=revision,
        stage="ingest",
        cause="data pipeline broken",
        onset_ms=number,
        opened_ms=number,
        sentence="It broke.",
        look_first="There.",
        evidence=(),
        posterior=0.9,
        rivals=(),
        windows=3,
        window_ms=1000,
        preliminary=False,
        severity="tripped",
    )
    return IncidentChanged("updated" if revision else "opened", incident)


def test_a_step_waits_once() -> None:
    outbox = Outbox()

    assert outbox.add(change())
    assert not outbox.add(change())


def test_what_waits_for_long_stays_small_enough_for_one_record() -> None:
    outbox = Outbox()
    for number in range(3_000):
        outbox.add(msgspec.structs.replace(change(number), reply="x" * 5_000))

    assert len(outbox.encode()) < 1_000_000
    assert list(outbox.pending) == [change(number).identity for number in range(2_900, 3_000)]
    assert not outbox.add(change(2_899))  # nor is it news when it is folded again


def test_what_was_told_does_not_wait_again() -> None:
    outbox = Outbox()
    outbox.add(change())

    outbox.settle(change(), "C1/17")

    assert not outbox.add(change())
    assert not outbox.pending
    assert outbox.threads == {"ads-1": "C1/17"}


def test_what_was_left_is_taken_over() -> None:
    outbox = Outbox()
    outbox.add(change(1))
    outbox.add(change(2))
    outbox.settle(change(1), "C1/17")

    taken, unreadable = Outbox.united([outbox.encode()])

    assert unreadable == 0
    assert list(taken.pending.values()) == [change(2)]
    assert taken.threads == {"ads-1": "C1/17"}
    assert not taken.add(change(1))


def test_told_by_any_owner_is_told() -> None:
    before, after = Outbox(), Outbox()
    before.add(change(1))
    after.add(change(1))
    after.settle(change(1))

    taken, _ = Outbox.united([before.encode(), after.encode()])

    assert not taken.pending


def test_steps_of_several_owners_wait_in_their_order() -> None:
    first, second = Outbox(), Outbox()
    second.add(change(1, revision=1))
    first.add(change(2))
    first.add(change(1))

    taken, _ = Outbox.united([second.encode(), first.encode()])

    assert list(taken.pending.values()) == [change(1), change(1, revision=1), change(2)]


@pytest.mark.parametrize(
    "record", [b"", b"\xc1", msgspec.msgpack.encode({"pending": 3}), msgspec.msgpack.encode([1])]
)
def test_what_cannot_be_read_is_counted(record: bytes) -> None:
    assert Outbox.united([record])[1] == 1


def test_it_does_not_grow_for_ever() -> None:
    outbox = Outbox()
    for number in range(2_000):
        outbox.add(change(number))
        outbox.settle(change(number), "C1/1")

    assert len(outbox.encode()) < 40_000
    assert not outbox.add(change(1_999))


def hidden(step: IncidentChanged) -> IncidentChanged:
    return msgspec.structs.replace(step, incident=msgspec.structs.replace(step.incident, muted=True))


def work(since_ms: int = 5, came: int = 0, *, over: bool = True) -> MuteChanged:
    mute = Mute("ingest", since_ms, since_ms + 10, "kim", "a migration")
    incidents = tuple(change(number).incident for number in range(came))
    return MuteChanged("ads", "ended" if over else "began", mute, incidents)


def test_what_planned_work_hides_does_not_wait_and_is_no_news_when_it_is_folded_again() -> None:
    outbox = Outbox()

    assert outbox.add(hidden(change()))

    assert not outbox.pending
    assert not outbox.add(hidden(change()))
    assert not is_for_people(hidden(change()))
    assert is_for_people(change())
    assert is_for_people(work())


def test_planned_work_waits_to_be_told_and_is_taken_over() -> None:
    outbox = Outbox()
    for step in (change(7), work(over=False), work(came=2)):
        assert outbox.add(step)
    outbox.settle(work(over=False))

    taken, unreadable = Outbox.united([outbox.encode()])

    assert unreadable == 0
    assert list(taken.pending.values()) == [change(7), work(came=2)]
    assert not taken.add(work(over=False))
    assert taken.threads == {}


def test_planned_work_in_which_much_came_and_went_stays_small_enough_for_one_record() -> None:
    outbox = Outbox()
    told = msgspec.structs.replace(change().incident, sentence="x" * 5_000)
    for since_ms in range(40):
        outbox.add(msgspec.structs.replace(work(since_ms), incidents=(told,) * 20))

    assert len(outbox.encode()) < 1_000_000
    assert list(outbox.pending) == [work(since_ms).identity for since_ms in range(36, 40)]


def test_what_an_earlier_version_left_is_read() -> None:
    before = msgspec.to_builtins(change(1))
    record = msgspec.msgpack.encode({"pending": [before], "told": ["a"], "threads": {}, "schema": 1})

    taken, unreadable = Outbox.united([record])

    assert unreadable == 0
    assert list(taken.pending.values()) == [change(1)]
    assert before["type"] == "incident"
