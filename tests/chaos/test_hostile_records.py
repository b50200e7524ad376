"""Records that no emitter of ours would send, and those that come twice or late."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from swirl.effect import WindowClosed
from swirl.engine.wire import DeadLetter
from swirl.frame import Frame, decode, encode
from swirl.monitor import Monitor
from swirl.testing.broker import Broker
from tests.chaos import truth
from tests.chaos.feed import Payload, frames, goodbyes, names_for, whose
from tests.chaos.rig import SETTINGS, Rig, wait_for
from tests.monitor.log import START

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def poison(chance: random.Random, like: list[Payload]) -> Payload:
    """One of the many ways in which a record can be no frame."""
    whole = chance.choice(like)
    value = whole.value or b""
    partition = chance.randrange(4)
    kind = chance.randrange(7)
    if kind == 0:
        return Payload(b"p0", chance.randbytes(chance.randrange(1, 400)), partition=partition)
    if kind == 1:
        return Payload(whole.key, value[: chance.randrange(1, len(value))], partition=partition)
    if kind == 2:
        return Payload(b"\xff\xfe\x00", None, partition=partition)
    if kind == 3:
        return Payload(None, b"", partition=partition, headers=[("x", b"\x00\xff")])
    if kind == 4:
        return Payload(b"\xff" * 2000, chance.randbytes(700_000), partition=partition)
    if kind == 5:
        return Payload(None, msgspec.msgpack.encode({"t": "f", "v": 99}), partition=partition)
    flipped = bytearray(value)
    flipped[chance.randrange(3)] ^= 0xFF
    return Payload(whole.key, bytes(flipped), partition=partition)


def test_one_record_in_ten_is_poison_and_each_is_kept_with_its_cause_while_frames_are_counted(
    broker: Broker, tmp_path: Path, prefix: str
) -> None:
    seed = 31
    print("seed", seed)
    chance = random.Random(seed)
    with Rig(broker, tmp_path, prefix) as rig:
        sent = frames(seed, names_for([0, 1, 2, 3], 4), seconds=40)
        mixed: list[Payload] = []
        for payload in sent:
            mixed += [payload] + [poison(chance, sent)] * (chance.random() < 0.1)
        first = rig.ready(rig.start())
        rig.feed.begin(mixed, per_second=len(mixed) / 8)
        wait_for(lambda: rig.feed.position > len(mixed) * 0.5, 30)
        first.kill()
        second = rig.ready(rig.start())
        rig.feed.finish()
        told = rig.finish(sent)
        rig.check(told)
        assert second.code is None
        log = {(entry.partition, entry.offset): entry for entry in rig.log()}
        wait_for(lambda: len(letters(rig)) >= told.refused.total(), 20)
        found = letters(rig)
        assert {letter.cause for letter in found.values()} >= {"foreign", "version"}
        assert found.keys() == {place for place, entry in log.items() if not_ours(entry)}
        for place, letter in found.items():
            original = log[place].value or b""
            assert (letter.value, letter.size) == (original[:100_000], len(original))


def letters(rig: Rig) -> dict[tuple[int, int], DeadLetter]:
    return dict(truth.dead_letters(truth.dump(rig.kafka, rig.topics.dead_letters)))


def not_ours(entry: truth.Entry) -> bool:
    try:
        decode(entry.value or b"")
    except Exception:  # noqa: BLE001 - whatever it is, it is no frame
        return True
    return False


def test_frames_that_come_twice_or_after_later_ones_or_from_clocks_that_jump_are_counted_once(
    broker: Broker, tmp_path: Path, prefix: str
) -> None:
    seed = 32
    print("seed", seed)
    chance = random.Random(seed)
    with Rig(broker, tmp_path, prefix) as rig:
        sent = [jumped(payload, chance) for payload in frames(seed, names_for([0, 1], 4), seconds=40)]
        for number in range(len(sent) - 20):  # a producer that starts anew sends again what failed before
            if chance.random() < 0.1:
                sent.insert(number + chance.randrange(1, 20), sent.pop(number))
        twice: list[Payload] = []
        for number, payload in enumerate(sent):
            twice.append(payload)
            if chance.random() < 0.1:
                twice.append(sent[chance.randrange(max(0, number - 30), number + 1)])
        first = rig.ready(rig.start())
        rig.feed.begin(twice, per_second=len(twice) / 8)
        wait_for(lambda: rig.feed.position > len(twice) * 0.5, 30)
        first.kill()
        rig.ready(rig.start())
        rig.feed.finish()
        told = rig.finish(sent)
        assert any(count > 1 for count in told.frames.values())
        rig.check(told)


def jumped(payload: Payload, chance: random.Random) -> Payload:
    """One frame in fifteen comes from a clock that jumps by up to a day."""
    if chance.random() > 1 / 15:
        return payload
    frame = decode(payload.value or b"")
    assert isinstance(frame, Frame)
    by = chance.choice([-1, 1]) * chance.randrange(1000, 86_400_000, 1000)
    moved = msgspec.structs.replace(
        frame,
        covers=(frame.covers[0] + by, frame.covers[1] + by),
        slices=tuple(msgspec.structs.replace(s, bucket_ms=s.bucket_ms + by) for s in frame.slices),
    )
    value = encode(moved)
    return payload._replace(value=value, name=whose(value))


def test_a_frame_that_comes_after_later_ones_is_counted_once_and_no_longer_lost() -> None:
    first, *middle, last = frames(33, ["p0"], emitters=1, seconds=6)
    monitor = Monitor(SETTINGS)
    log = [first, last, *reversed(middle), *middle, *goodbyes([last])]
    told = [
        effect
        for n, payload in enumerate(log)
        for effect in monitor.apply(n, START + n, payload.value or b"")
    ]
    window = max((e for e in told if isinstance(e, WindowClosed)), key=lambda window: window.start_ms)
    health = window.health
    assert (health.frames, health.duplicates, health.frames_missing) == (8, len(middle), 0)
