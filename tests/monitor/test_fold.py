"""Same log, same effects, byte for byte: cut anywhere, sharded anyhow, delivered twice."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from swirl.effect import Effect, IncidentChanged, WindowClosed
from swirl.errors import SnapshotError
from swirl.frame import Act, Tick, encode
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


def monitor() -> Monitor:
    return Monitor(SETTINGS)


def windows(effects: list[Effect], pipeline: str = "p0") -> list[WindowClosed]:
    return [e for e in effects if isinstance(e, WindowClosed) and e.pipeline == pipeline]


@CHECKED
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(0, 239), max_size=4))
def test_a_fold_cut_by_snapshots_goes_on_as_if_nothing_had_been(seed: int, cuts: list[int]) -> None:
    log = make_log(seed)
    straight = as_bytes(run(monitor(), log))
    cut: list[bytes] = []
    current, last = monitor(), 0
    for place in [*sorted(cuts), len(log)]:
        cut += as_bytes(run(current, log[last:place], last))
        resumed = monitor()
        resumed.restore(current.snapshot())
        assert resumed.snapshot() == current.snapshot()
        current, last = resumed, place
    assert cut == straight


def test_the_logs_of_these_tests_have_incidents_in_them() -> None:
    told = [
        e.incident.title
        for seed in range(3)
        for e in run(monitor(), make_log(seed))
        if isinstance(e, IncidentChanged)
    ]
    assert set(told) == {"ingest: data pipeline broken", "classify: bad deployment"}


@CHECKED
@given(seed=st.integers(0, 10_000), shards=st.lists(st.integers(0, 2), min_size=3, max_size=3))
def test_pipelines_do_not_know_with_whom_they_share_a_shard(seed: int, shards: list[int]) -> None:
    log = make_log(seed, pipelines=3, emitters=1)
    together = run(monitor(), log)
    for shard in set(shards):
        names = {f"p{p}" for p, s in enumerate(shards) if s == shard}
        apart = run(monitor(), [entry for entry in log if entry.pipeline in names])
        assert as_bytes(apart) == as_bytes([e for e in together if _pipeline(e) in names])


def _pipeline(effect: Effect) -> str:
    return effect.incident.pipeline if isinstance(effect, IncidentChanged) else effect.pipeline


@CHECKED
@given(seed=st.integers(0, 10_000), chosen=st.sets(st.integers(0, 200), max_size=20))
def test_what_is_delivered_twice_counts_once(seed: int, chosen: set[int]) -> None:
    log = make_log(seed)
    once, twice = monitor(), monitor()
    effects, again = run(once, log), []
    offset = 0
    for number, entry in enumerate(log):
        again += twice.apply(offset, entry.log_ms, entry.payload)
        assert twice.apply(offset, entry.log_ms, entry.payload) == []
        offset += 1
        if number in chosen:
            again += twice.apply(offset, entry.log_ms, entry.payload)
            offset += 1
    assert as_bytes(_without_duplicates(again)) == as_bytes(_without_duplicates(effects))
    assert windows(again)[-1].health.duplicates + windows(again, "p1")[-1].health.duplicates <= len(chosen)


def _without_duplicates(effects: list[Effect]) -> list[Effect]:
    plain: list[Effect] = []
    for effect in effects:
        if isinstance(effect, WindowClosed):
            health = msgspec.structs.replace(effect.health, duplicates=0)
            plain.append(msgspec.structs.replace(effect, health=health))
        else:
            plain.append(effect)
    return plain


@CHECKED
@given(seed=st.integers(0, 10_000))
def test_emitters_that_overtake_each_other_within_the_lateness_change_no_count(seed: int) -> None:
    log = make_log(seed)
    rng = np.random.default_rng(seed)
    shaken = sorted(log, key=lambda entry: (entry.log_ms // 400, rng.random() if entry.emitter[1] else 0.5))
    per_emitter: dict[bytes, list[Entry]] = {}
    for entry in log:
        per_emitter.setdefault(entry.emitter, []).append(entry)
    times = sorted(entry.log_ms for entry in shaken)
    queues = {key: iter(entries) for key, entries in per_emitter.items()}
    reordered = [
        Entry(t, e.pipeline, e.emitter, next(queues[e.emitter]).payload)
        for t, e in zip(times, shaken, strict=True)
    ]
    end = [Entry(times[-1] + 20_000, p, b"", encode(Tick(p))) for p in ("p0", "p1")]
    plain, other = run(monitor(), log + end), run(monitor(), reordered + end)
    for pipeline in ("p0", "p1"):
        one, two = windows(plain, pipeline), windows(other, pipeline)
        assert _whole(one[-1]) == _whole(two[-1])
        assert _counts(one) == _counts(two)


def _whole(window: WindowClosed) -> list[object]:
    """Totals without the one that is a sum of fractions, whose last digit depends on the order."""
    return [
        (stage, version, msgspec.structs.replace(total, latency_seconds=0.0))
        for stage, versions in sorted(window.totals.items())
        for version, total in sorted(versions.items())
    ]


def _counts(closed: list[WindowClosed]) -> dict[int, dict[tuple[str, ...], tuple[float, float]]]:
    found: dict[int, dict[tuple[str, ...], tuple[float, float]]] = {}
    for window in closed:  # later revisions replace earlier ones
        if window.exposure_ms:
            rows = {
                tuple(p.key): (p.numerator, p.denominator)
                for p in window.points()
                if p.key.metric.endswith("_ratio")
            }
            found[window.start_ms] = {key: row for key, row in rows.items() if row[0] == row[0]}
    return found


def test_the_fold_in_slices_is_the_fold() -> None:
    log = make_log(3, pipelines=1)
    sliced, steps = monitor(), 0
    effects = []
    for number, entry in enumerate(log):
        fold = sliced.fold(number, entry.log_ms, entry.payload)
        while True:
            try:
                next(fold)
                steps += 1
            except StopIteration as end:
                effects += end.value
                break
    assert as_bytes(effects) == as_bytes(run(monitor(), log))
    assert steps > 3 * len(log)


def test_a_snapshot_in_slices_is_the_snapshot() -> None:
    m = monitor()
    run(m, make_log(4, seconds=45))
    steps, taken, snapshot = m.snapshot_steps(), 0, b""
    while not snapshot:
        try:
            next(steps)
            taken += 1
        except StopIteration as end:
            snapshot = end.value
    assert snapshot == m.snapshot()
    assert taken > 2 * 20


def test_identities_are_unique() -> None:
    effects = run(monitor(), make_log(5))
    identities = [effect.identity for effect in effects]
    assert len(identities) == len(set(identities))


@pytest.mark.parametrize("payload", [b"", b"junk", encode(Tick("ads"))[:-1], b"\x00" * 2_000_000])
def test_what_cannot_be_read_is_counted_and_nothing_else_happens(payload: bytes) -> None:
    m = monitor()
    assert m.apply(0, START, payload) == []
    assert sum(m.refused.values()) == 1
    assert m.next_offset == 1
    assert m.pipelines == ()


@given(st.binary(max_size=200))
def test_no_bytes_come_out_of_apply_as_an_exception(payload: bytes) -> None:
    assert monitor().apply(0, START, payload) == []


@pytest.mark.parametrize("record", [Tick("ads"), Act("ads", "confirm", "ads-20200101-000000")])
def test_a_tick_or_an_act_for_a_pipeline_that_was_never_heard_does_nothing(record: Tick | Act) -> None:
    empty = monitor()
    assert empty.apply(0, START, encode(record)) == []
    assert (empty.pipelines, empty.folded, empty.refused, empty.next_offset) == ((), (), {}, 1)


@pytest.mark.parametrize(
    "snapshot", [b"", b"\x80", b"junk", msgspec.msgpack.encode({"schema": 99}), msgspec.msgpack.encode([])]
)
def test_a_snapshot_that_cannot_be_restored_changes_nothing(snapshot: bytes) -> None:
    m = monitor()
    run(m, make_log(1, seconds=5))
    before = m.snapshot()
    with pytest.raises(SnapshotError):
        m.restore(snapshot)
    assert m.snapshot() == before
