"""State of an earlier version is refused in words; what can be kept is kept, the rest is learnt anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from swirl.detector import Kind, Points
from swirl.engine.local import LocalEngine
from swirl.errors import SnapshotError
from swirl.monitor.seats import Seat
from swirl.testing.clock import ManualClock
from swirl_detectors.change import ChangeBank, ChangeDetector
from tests.detectors.streams import MINUTE, every
from tests.engine.shop import QUIET, SETTINGS, Shop

if TYPE_CHECKING:
    from pathlib import Path

KINDS = sorted(ChangeDetector.kinds, key=lambda kind: kind.value)


def learnt(kind: Kind) -> ChangeBank:
    bank, rng = ChangeDetector().build(kind), np.random.default_rng(1)
    bank.grow(3)
    for t in range(30):
        points = Points(t * MINUTE, MINUTE, rng.poisson(20.0, 3).astype(float), np.full(3, 50.0))
        bank.score(every(3), points)
        bank.learn(every(3), points)
    return bank


@pytest.mark.parametrize("kind", KINDS)
def test_a_snapshot_of_the_earlier_version_is_refused_with_both_versions_named(kind: Kind) -> None:
    snapshot = learnt(kind).snapshot()
    now = snapshot["version"]
    snapshot["version"] = now - 1
    said = f"of version {now - 1} and kind {kind.value}; this bank takes version {now} and kind {kind.value}"
    with pytest.raises(SnapshotError, match=said):
        ChangeDetector().build(kind, snapshot)


def test_a_snapshot_of_fewer_fields_is_refused_even_if_it_says_the_same_version() -> None:
    snapshot = learnt(Kind.RATE).snapshot()
    snapshot["pages"] = [snapshot["pages"][0][: -3 * 8]]
    with pytest.raises(SnapshotError, match="damaged"):
        ChangeDetector().build(Kind.RATE, snapshot)


def test_a_bank_of_the_earlier_version_begins_anew_with_its_rows_and_counts_as_a_failure() -> None:
    bank = learnt(Kind.RATE).snapshot() | {"version": 1}
    resumed = Seat(
        ChangeDetector(),
        Kind.RATE,
        lambda _: None,
        {"failures": 0, "left": [], "rows": [4, 7, 9], "bank": bank},
    )
    assert (resumed.failures, resumed.rows) == (1, [4, 7, 9])
    fresh = ChangeDetector().build(Kind.RATE)
    fresh.grow(3)
    assert resumed.bank.snapshot() == fresh.snapshot()


def test_the_state_of_an_engine_of_another_version_is_set_aside_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    engine = LocalEngine(SETTINGS, QUIET, clock=clock, state=tmp_path)
    engine.start()
    Shop(engine, clock).run(5)
    assert engine.drain(10)
    engine.close(5)
    state = msgspec.msgpack.decode((tmp_path / "monitor.state").read_bytes())
    earlier = msgspec.msgpack.encode(state | {"schema": state["schema"] - 1})
    (tmp_path / "monitor.state").write_bytes(earlier)
    engine = LocalEngine(SETTINGS, QUIET, clock=clock, state=tmp_path)
    engine.start()
    engine.close(5)
    assert (tmp_path / "monitor.state.unreadable").read_bytes() == earlier
    warning = f"has version {state['schema'] - 1}; this one reads {state['schema']}"
    assert warning in caplog.text
    assert "learning starts anew" in caplog.text
