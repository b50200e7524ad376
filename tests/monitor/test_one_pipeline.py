"""One pipeline at a time: what a worker saves and restores when its shard is cut into pipelines."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from swirl.effect import Effect, IncidentChanged
from swirl.errors import SnapshotError
from swirl.frame import Tick, encode
from swirl.monitor import Monitor
from swirl.settings import MonitorSettings
from tests.monitor.log import START, Entry, as_bytes, make_log, run

SETTINGS = MonitorSettings(
    window_seconds=1,
    lateness_seconds=1,
    silence_seconds=5,
    warm_up_windows=20,
    calm_windows=5,
    retained_windows=3,
)
CHECKED = settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    phases=[Phase.generate],
)
NAMES = ("p0", "p1", "p2")


def monitor() -> Monitor:
    return Monitor(SETTINGS)


def saved(m: Monitor, name: str) -> bytes:
    steps = m.pipeline_steps(name)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            snapshot: bytes = end.value
            return snapshot


def pipeline_of(effect: Effect) -> str:
    return effect.incident.pipeline if isinstance(effect, IncidentChanged) else effect.pipeline


def of(effects: list[Effect], name: str) -> list[bytes]:
    return as_bytes([effect for effect in effects if pipeline_of(effect) == name])


@CHECKED
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(1, 359), min_size=3, max_size=3))
def test_a_shard_restored_pipeline_by_pipeline_and_folded_again_from_the_oldest_goes_on_as_it_was(
    seed: int, cuts: list[int]
) -> None:
    log = make_log(seed, pipelines=3)
    straight, snapshots = monitor(), dict[str, bytes]()
    effects: dict[str, list[Effect]] = {name: [] for name in NAMES}
    for number, entry in enumerate(log):
        for name, cut in zip(NAMES, cuts, strict=True):
            if number == cut and name in straight.pipelines:
                snapshots[name], effects[name] = saved(straight, name), []
        for effect in straight.apply(number, entry.log_ms, entry.payload):
            effects[pipeline_of(effect)].append(effect)
    resumed = monitor()
    offsets = [resumed.restore_pipeline(snapshot) for snapshot in snapshots.values()]
    begin = min(offsets) if len(offsets) == len(NAMES) else 0
    again = run(resumed, log[begin:], begin)
    assert {name: of(again, name) for name in NAMES} == {
        name: as_bytes(told) for name, told in effects.items()
    }
    assert {name: saved(resumed, name) for name in NAMES} == {name: saved(straight, name) for name in NAMES}


def test_records_below_the_own_offset_of_a_pipeline_are_ignored() -> None:
    log = make_log(1, pipelines=2, seconds=10)
    whole, resumed = monitor(), monitor()
    run(whole, log)
    offset = resumed.restore_pipeline(saved(whole, "p0"))
    last = max(number for number, entry in enumerate(log) if entry.pipeline == "p0")
    assert offset == last + 1
    assert of(run(resumed, log), "p0") == []
    assert saved(resumed, "p0") == saved(whole, "p0")
    assert saved(resumed, "p1") == saved(whole, "p1")


def test_what_is_beside_a_restored_pipeline_stays() -> None:
    one, other = monitor(), monitor()
    run(one, make_log(1, pipelines=1, seconds=10))
    run(other, [entry for entry in make_log(2, pipelines=2, seconds=10) if entry.pipeline == "p1"])
    kept = saved(other, "p1")
    other.restore_pipeline(saved(one, "p0"))
    assert set(other.pipelines) == {"p0", "p1"}
    assert saved(other, "p1") == kept


def test_a_snapshot_of_one_pipeline_is_taken_in_slices() -> None:
    m = monitor()
    run(m, make_log(4, pipelines=1, seconds=45))
    assert sum(1 for _ in m.pipeline_steps("p0")) > 20


@pytest.mark.parametrize(
    "snapshot",
    [
        b"",
        b"junk",
        msgspec.msgpack.encode({"schema": 99}),
        msgspec.msgpack.encode({"schema": 1, "name": "p"}),
    ],
)
def test_a_snapshot_of_a_pipeline_that_cannot_be_restored_changes_nothing(snapshot: bytes) -> None:
    m = monitor()
    run(m, make_log(1, seconds=5))
    before = m.snapshot()
    with pytest.raises(SnapshotError):
        m.restore_pipeline(snapshot)
    assert m.snapshot() == before


def test_snapshots_from_before_pipelines_had_offsets_restore_and_ignore_nothing() -> None:
    log = make_log(1, pipelines=1, seconds=20)
    m, older = monitor(), monitor()
    run(m, log[:20])
    state = msgspec.msgpack.decode(m.snapshot())
    for parts in state["pipelines"].values():
        del parts["offset"]
        for _, emitter in parts["emitters"]:
            for name in ("covered_ms", "moved_ms", "waited_for", "behind"):
                del emitter[name]
    older.restore(msgspec.msgpack.encode(state))
    assert as_bytes(run(older, log[20:], 20)) == as_bytes(run(m, log[20:], 20))


@pytest.mark.parametrize(
    ("payload", "cause"), [(b"junk", "foreign"), (b"\x00" * 2_000_000, "too_large"), (b"\x80", "foreign")]
)
def test_the_refusal_names_why_the_last_record_could_not_be_read(payload: bytes, cause: str) -> None:
    m = monitor()
    m.apply(0, START, payload)
    assert m.refusal is not None
    assert m.refusal.cause == cause
    assert str(m.refusal)
    m.apply(1, START, encode(Tick("ads")))
    assert m.refusal is None


def test_a_pipeline_is_awake_until_all_is_told_of_it() -> None:
    log = make_log(1, pipelines=1, emitters=1, seconds=5)
    m = monitor()
    assert not m.awake
    run(m, log)
    assert list(m.awake) == ["p0"]
    last = msgspec.msgpack.decode(log[-1].payload)
    goodbye = last | {"n": last["n"] + 1, "bye": True, "s": []}
    end = [Entry(log[-1].log_ms + 1, "p0", b"", msgspec.msgpack.encode(goodbye))]
    tick = [Entry(log[-1].log_ms + 20_000, "p0", b"", encode(Tick("p0")))]
    run(m, end + tick, len(log))
    assert not m.awake
