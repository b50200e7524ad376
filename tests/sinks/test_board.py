"""What the board keeps, and for how long."""

from __future__ import annotations

import math
import sys
import threading

import msgspec
import numpy as np
import pytest

from swirl.effect import IncidentChanged, Mute, MuteChanged, SeriesKey, State
from swirl.sinks import board as module
from swirl.sinks.board import Board, View
from tests.sinks.scene import DATA, SERIES, START, changed, verdict, window

INVALID = SeriesKey("ingest", "invalid")


def seen(board: Board, pipeline: str = "ads") -> View:
    found = board.view(pipeline)
    assert found is not None
    return found


def test_a_series_is_told_over_the_windows_oldest_first() -> None:
    board = Board()
    for index in (2, 0, 1):
        board.handle(window(index, now={INVALID: 100.0 + index}))
    track = seen(board).track(INVALID)
    assert track.start_ms.tolist() == [START, START + 1000, START + 2000]
    assert track.value.tolist() == [100.0, 101.0, 102.0]
    assert (track.low.tolist(), track.high.tolist()) == ([2.0] * 3, [22.0] * 3)
    assert track.state.tolist() == [State.ANOMALY] * 3
    assert track.window_ms == 1000


def test_many_series_in_one_pass_are_those_that_come_one_by_one() -> None:
    board = Board()
    for index in range(5):
        board.handle(window(index, now={INVALID: float(index)}))
    view = seen(board)
    keys = [*reversed(list(SERIES)), SeriesKey("nowhere", "records")]
    for key, track in zip(keys, view.tracks(keys), strict=True):
        alone = view.track(key)
        assert track.key == key
        for one, other in zip(track[1:7], alone[1:7], strict=True):
            np.testing.assert_array_equal(one, other)
    assert [len(track.value) for track in view.tracks(keys[:1], most=2)] == [2]


def test_a_series_that_comes_later_is_not_measured_before() -> None:
    board = Board()
    key = next(iter(SERIES))
    numbers = np.arange(7.0).tobytes()
    board.handle(window(0))
    board.handle(window(1, keys=(SeriesKey("new", "records"),), numbers=numbers, states=b"\x02"))
    board.handle(window(2))
    view = seen(board)
    assert [math.isnan(x) for x in view.track(key).value] == [False, True, False]
    assert [math.isnan(x) for x in view.track(SeriesKey("new", "records")).value] == [True, False, True]
    assert view.track(SeriesKey("new", "records")).state.tolist() == [0, State.NORMAL, 0]


def test_a_revised_window_takes_the_place_of_the_first() -> None:
    board = Board()
    board.handle(window(0))
    board.handle(window(1))
    board.handle(window(0, now={INVALID: 5.0}, revision=1))
    assert seen(board).track(INVALID).value.tolist() == [5.0, 10.0]


def test_only_so_many_windows_are_kept_and_fewer_of_many_series(monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board()
    for index in range(400):
        board.handle(window(index))
    assert [w.start_ms for w in seen(board).windows] == [START + 1000 * n for n in range(40, 400)]
    monkeypatch.setattr(module, "_BYTES", 30 * (len(window().numbers) + 2000))
    board.handle(window(400))
    assert len(seen(board).windows) == 30
    monkeypatch.setattr(module, "_BYTES", 1)
    board.handle(window(401))
    assert len(seen(board).windows) == 8


def test_many_pipelines_share_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(window().numbers) + 2000
    monkeypatch.setattr(module, "_BYTES_OF_ALL", 200 * size)
    board = Board()
    for index in range(30):
        for name in "abcdefghij":
            board.handle(window(index, pipeline=name))
    assert [len(view.windows) for view in board.views()] == [20] * 10
    assert board.names() == tuple("abcdefghij")


def test_names_of_series_graphs_and_totals_are_not_kept_for_each_window() -> None:
    board = Board()
    for index in range(10):
        # As from Kafka: equal, never the same object.
        board.handle(msgspec.msgpack.decode(msgspec.msgpack.encode(window(index)), type=type(window())))
    windows = seen(board).windows
    assert len({id(w.keys) for w in windows}) == 1
    assert len({id(w.definition) for w in windows}) == 1
    assert [bool(w.totals) for w in windows] == [False] * 9 + [True]
    assert windows[-1].totals["ingest"]["2026.11.1"].invalid == 10


def test_an_older_revision_of_an_incident_changes_nothing() -> None:
    board = Board()
    board.handle(changed(DATA, "updated", sentence="newer"))
    version = board.version
    board.handle(changed(DATA))
    found = board.incident(DATA.id)
    assert found is not None
    assert found.sentence == "newer"
    assert len(seen(board).steps) == 1
    assert board.version > version


def test_a_step_that_comes_twice_is_kept_once() -> None:
    board = Board()
    for _ in range(3):
        board.handle(changed(DATA))
    assert len(seen(board).steps) == 1


def test_of_many_incidents_the_oldest_go_and_an_open_one_stays() -> None:
    board = Board()
    board.handle(changed(DATA))
    for number in range(150):
        past = msgspec.structs.replace(
            DATA,
            id=f"ads-{number}",
            state="resolved",
            opened_ms=START + number,
            resolved_ms=START + number + 1,
        )
        board.handle(IncidentChanged("resolved", past))
    view = seen(board)
    assert len(view.incidents) == 100
    assert view.open is not None
    assert view.open.id == DATA.id
    assert board.incident("ads-0") is None
    assert board.incident("ads-149") is not None


def test_incidents_of_the_past_are_recalled_behind_those_that_are_known() -> None:
    board = Board()
    board.handle(changed(DATA, "updated", sentence="newer"))
    old = msgspec.structs.replace(DATA, id="ads-old", state="resolved", opened_ms=START - 5)
    board.recall("ads", [old, DATA])
    assert [incident.id for incident in seen(board).incidents] == [DATA.id, "ads-old"]
    assert seen(board).incidents[0].sentence == "newer"


def test_planned_work_is_there_until_it_is_over() -> None:
    board = Board()
    mute = Mute("ingest", START, START + 1000)
    board.handle(MuteChanged("ads", "began", mute))
    assert seen(board).mutes == (mute,)
    board.handle(MuteChanged("ads", "ended", mute))
    assert seen(board).mutes == ()


def test_a_view_is_a_value() -> None:
    board = Board()
    board.handle(window(0))
    board.handle(verdict())
    before = seen(board)
    board.handle(window(1))
    board.handle(verdict("healthy"))
    assert len(before.windows) == 1
    assert before.verdict.state == "tripped"
    assert seen(board).verdict.state == "healthy"
    assert before.last is before.windows[0]


def test_what_another_worker_watches_is_forgotten() -> None:
    board = Board()
    board.handle(window(0))
    board.forget("ads")
    board.forget("never")
    assert board.view("ads") is None
    assert board.views() == ()


def test_a_change_wakes_those_who_wait_and_time_does_too() -> None:
    board = Board()
    assert board.wait(board.version, 0.01) == board.version
    version, told = board.version, []
    waiter = threading.Thread(target=lambda: told.append(board.wait(version, 10)))
    waiter.start()
    board.handle(window(0))
    waiter.join(10)
    assert told == [board.version]
    assert board.version > version


def test_a_thousand_series_take_the_memory_of_their_numbers() -> None:
    keys = tuple(SeriesKey("ingest", "drift", f"a rather long name, number {n}") for n in range(1000))
    numbers = np.zeros((7, 1000)).tobytes()
    board = Board()
    for index in range(50):
        copied = tuple(SeriesKey(*key) for key in keys)
        board.handle(window(index, keys=copied, numbers=numbers, states=bytes(1000)))
    windows = seen(board).windows
    kept = {id(key): sys.getsizeof(key) for w in windows for key in w.keys}
    assert len(kept) == 1000
