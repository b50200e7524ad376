from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swirl.effect import IncidentChanged, WindowClosed
from swirl.errors import DeliveryError
from swirl.sinks import Counts, Outlet
from swirl.sinks.outlet import Backlog, Retries
from tests.sinks.scene import DATA, DEPLOYMENT, changed, verdict, window

if TYPE_CHECKING:
    from swirl.effect import Effect

QUICK = Retries(first=0.001, longest=0.002)


class Recorder:
    """A sink that fails as told."""

    name = "recorder"

    def __init__(self, *errors: Exception, gate: threading.Event | None = None) -> None:
        self.errors = list(errors)
        self.taken: list[str] = []
        self.attempts = 0
        self.gate = gate

    def handle(self, effect: Effect) -> None:
        self.attempts += 1
        if self.gate:
            assert self.gate.wait(10)
        if self.errors:
            raise self.errors.pop(0)
        self.taken.append(effect.identity)


def taken(backlog: Backlog) -> list[Effect]:
    found = []
    while (effect := backlog.take(0.0)) is not None:
        assert not isinstance(effect, float)
        found.append(effect)
        backlog.succeeded()
    return found


def test_effects_are_handled_in_the_order_in_which_they_were_offered() -> None:
    backlog = Backlog()
    offered: list[Effect] = [changed(DATA), window(), verdict(), changed(DATA, "updated"), window(1)]
    assert all(backlog.offer(effect, 0.0) for effect in offered)
    assert taken(backlog) == offered


def test_one_identity_is_handled_once() -> None:
    backlog = Backlog()
    assert backlog.offer(changed(DATA), 0.0)
    assert not backlog.offer(changed(DATA), 0.0)
    assert len(taken(backlog)) == 1
    assert not backlog.offer(changed(DATA), 1.0)
    assert backlog.counts == Counts(delivered=1)


def test_pauses_double_up_to_the_longest() -> None:
    backlog = Backlog(retries=Retries(first=0.5, longest=4.0))
    backlog.offer(changed(DATA), 0.0)
    now, pauses = 0.0, []
    for _ in range(6):
        assert isinstance(backlog.take(now), IncidentChanged)
        assert backlog.stumbled(OSError("away"), now)
        pause = backlog.take(now)
        assert isinstance(pause, float)
        pauses.append(pause)
        now += pause
    assert pauses == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    assert backlog.counts == Counts(retried=6, pending=1)


def test_the_receiver_may_ask_for_its_own_pause() -> None:
    backlog = Backlog()
    backlog.offer(changed(DATA), 0.0)
    backlog.take(0.0)
    assert backlog.stumbled(DeliveryError("slow down", retry_after=17.0), 2.0)
    assert backlog.take(2.0) == 17.0
    assert backlog.take(18.9) == pytest.approx(0.1)
    assert isinstance(backlog.take(19.0), IncidentChanged)


@pytest.mark.parametrize("odd", ["soon", float("nan"), -1, None])
def test_a_pause_that_makes_no_sense_is_not_kept(odd: object) -> None:
    error = OSError("odd")
    error.retry_after = odd  # type: ignore[attr-defined]
    backlog = Backlog()
    backlog.offer(changed(DATA), 0.0)
    backlog.take(0.0)
    assert backlog.stumbled(error, 0.0)
    assert backlog.take(0.0) == 0.5


def test_a_permanent_error_is_given_up_at_once_and_the_next_effect_goes_on() -> None:
    backlog = Backlog()
    backlog.offer(changed(DATA), 0.0)
    backlog.offer(changed(DEPLOYMENT), 0.0)
    backlog.take(0.0)
    assert not backlog.stumbled(DeliveryError("no such channel", permanent=True), 0.0)
    assert backlog.take(0.0) == changed(DEPLOYMENT)
    assert backlog.counts == Counts(failed=1, pending=1)


def test_an_effect_is_given_up_after_its_attempts() -> None:
    backlog = Backlog(retries=Retries(attempts=3))
    backlog.offer(changed(DATA), 0.0)
    assert [(backlog.take(100.0 * n), backlog.stumbled(OSError(), 100.0 * n))[1] for n in range(3)] == [
        True,
        True,
        False,
    ]
    assert backlog.counts == Counts(retried=2, failed=1)


def test_an_effect_is_given_up_when_it_is_too_old() -> None:
    backlog = Backlog(retries=Retries(age=60.0))
    backlog.offer(changed(DATA), 0.0)
    backlog.take(0.0)
    assert backlog.stumbled(OSError(), 59.0)
    assert not backlog.stumbled(OSError(), 61.0)


def test_what_was_given_up_may_be_offered_again() -> None:
    backlog = Backlog()
    backlog.offer(changed(DATA), 0.0)
    backlog.take(0.0)
    backlog.stumbled(DeliveryError("no", permanent=True), 0.0)
    assert backlog.offer(changed(DATA), 1.0)


def test_a_full_backlog_drops_the_oldest_window_first() -> None:
    backlog = Backlog(capacity=3)
    for effect in (changed(DATA), window(0), window(1), changed(DEPLOYMENT), window(2)):
        backlog.offer(effect, 0.0)
    assert taken(backlog) == [changed(DATA), changed(DEPLOYMENT), window(2)]
    assert backlog.counts == Counts(delivered=3, dropped=2)


def test_a_window_never_takes_the_place_of_an_incident() -> None:
    backlog = Backlog(capacity=2)
    backlog.offer(changed(DATA), 0.0)
    backlog.offer(verdict(), 0.0)
    assert not backlog.offer(window(), 0.0)
    assert backlog.counts == Counts(dropped=1, pending=2)


def test_among_incidents_the_oldest_gives_way() -> None:
    backlog = Backlog(capacity=1)
    backlog.offer(changed(DATA), 0.0)
    assert backlog.offer(changed(DEPLOYMENT), 0.0)
    assert taken(backlog) == [changed(DEPLOYMENT)]


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=80), st.integers(1, 5))
def test_no_incident_is_dropped_while_a_window_waits(offers: list[tuple[int, bool]], capacity: int) -> None:
    backlog = Backlog(capacity)
    for number, is_window in offers:
        effect: Effect = window(number) if is_window else changed(DATA, revision=number)
        held = [e for e, _ in backlog._waiting]
        backlog.offer(effect, 0.0)
        lost = [e for e in held if e not in [w for w, _ in backlog._waiting]]
        if any(isinstance(e, WindowClosed) for e in held):
            assert all(isinstance(e, WindowClosed) for e in lost)
        assert len(backlog._waiting) <= capacity


def test_memory_of_what_was_seen_is_bounded() -> None:
    backlog = Backlog(capacity=10)
    for index in range(1000):
        backlog.offer(window(index), 0.0)
        backlog.take(0.0)
        backlog.succeeded()
    assert len(backlog._seen) == 140
    assert backlog.counts.delivered == 1000


def test_an_outlet_delivers_and_drains() -> None:
    sink = Recorder()
    outlet = Outlet(sink)
    offered = [changed(DATA), changed(DATA, "updated"), changed(DATA, "resolved")]
    assert all(outlet.offer(effect) for effect in offered)
    assert outlet.drain(10)
    assert sink.taken == [effect.identity for effect in offered]
    assert outlet.close()
    assert outlet.counts == Counts(delivered=3)
    assert not outlet.offer(window())


def test_a_sink_that_fails_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    sink = Recorder(OSError("away"), ValueError("odd"))
    outlet = Outlet(sink, retries=QUICK)
    with caplog.at_level(logging.WARNING, "swirl.sinks"):
        outlet.offer(changed(DATA))
        assert outlet.drain(10)
    assert outlet.close()
    assert (sink.attempts, outlet.counts) == (3, Counts(delivered=1, retried=2))
    assert [r.message for r in caplog.records] == [
        "recorder: away; trying again until it works or is too old"
    ]


def test_giving_up_is_told_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    outlet = Outlet(Recorder(DeliveryError("no such channel", permanent=True)))
    with caplog.at_level(logging.WARNING, "swirl.sinks"):
        outlet.offer(changed(DATA))
        assert outlet.drain(10)
    assert outlet.close()
    assert outlet.counts == Counts(failed=1)
    assert caplog.messages == [f"recorder: gave up on {changed(DATA).identity}: no such channel"]


def test_offering_never_waits_for_a_sink_that_hangs() -> None:
    gate = threading.Event()
    sink = Recorder(gate=gate)
    outlet, other = Outlet(sink, capacity=5), Outlet(Recorder())
    for index in range(50):
        outlet.offer(window(index))
        other.offer(window(index))
    assert other.drain(10)
    assert not outlet.drain(0.0)
    assert not outlet.close(0.0)
    assert outlet.counts.dropped >= 44
    gate.set()
    outlet._thread.join(10)
    assert not outlet._thread.is_alive()
    assert other.close()


def test_closing_ends_the_pause_between_two_attempts() -> None:
    first = threading.Event()

    class Away:
        name = "away"

        def handle(self, effect: Effect) -> None:
            first.set()
            raise OSError("away")

    outlet = Outlet(Away(), retries=Retries(first=3600.0, longest=3600.0))
    outlet.offer(changed(DATA))
    assert first.wait(10)
    assert not outlet.close(0.05)
    outlet._thread.join(10)
    assert not outlet._thread.is_alive()


def test_closing_gives_what_waits_a_last_chance() -> None:
    sink = Recorder(OSError("away"))
    outlet = Outlet(sink, retries=Retries(first=3600.0, longest=3600.0))
    outlet.offer(changed(DATA))
    while not outlet.counts.retried:
        threading.Event().wait(0.001)
    assert outlet.close(10)
    assert sink.taken == [changed(DATA).identity]


def test_time_comes_from_the_clock_that_is_given() -> None:
    times = iter([0.0, 0.0, 4000.0])
    outlet = Outlet(Recorder(OSError("away")), clock=lambda: next(times, 4000.0))
    outlet.offer(changed(DATA))
    assert outlet.drain(10)
    assert outlet.close()
    assert outlet.counts == Counts(failed=1)
