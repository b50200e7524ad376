from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swirl.effect import IncidentChanged, WindowClosed
from swirl.errors import DeliveryError
from swirl.sinks import Counts, Outlet
from swirl.sinks.backlog import Backlog, Retries
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
    backlog.take(60.0)
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
        held = backlog.waiting
        backlog.offer(effect, 0.0)
        lost = [e for e in held if e not in backlog.waiting]
        if any(isinstance(e, WindowClosed) for e in held):
            assert all(isinstance(e, WindowClosed) for e in lost)
        assert len(backlog.waiting) <= capacity


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
    times = iter([0.0, 0.0, 90_000.0])
    outlet = Outlet(Recorder(OSError("away")), clock=lambda: next(times, 90_000.0))
    outlet.offer(changed(DATA))
    assert outlet.drain(10)
    assert outlet.close()
    assert outlet.counts == Counts(failed=1)


class Gate:
    """A sink that says when it is at work, and waits until it may go on or fail."""

    name = "gate"

    def __init__(self, error: Exception | None = None) -> None:
        self.entered, self.leave = threading.Event(), threading.Event()
        self.error = error
        self.taken: list[str] = []

    def handle(self, effect: Effect) -> None:
        self.entered.set()
        assert self.leave.wait(10)
        error, self.error = self.error, None
        if error:
            raise error
        self.taken.append(effect.identity)


OTHER = window(pipeline="other")


def test_whoever_waits_hears_what_was_delivered_and_what_was_given_up() -> None:
    heard: list[tuple[str, bool]] = []
    outlet = Outlet(
        Recorder(OSError("away"), DeliveryError("no", permanent=True)),
        retries=QUICK,
        settled=lambda effect, delivered: heard.append((effect.identity, delivered)),
    )
    for effect in (changed(DATA), changed(DEPLOYMENT)):
        outlet.offer(effect)
    assert outlet.drain(10)
    assert outlet.close()
    outlet._thread.join(10)
    assert heard == [(changed(DEPLOYMENT).identity, False), (changed(DATA).identity, True)]


def test_delivery_is_told_before_an_outlet_is_drained() -> None:
    heard: list[bool] = []
    outlet = Outlet(Recorder(), settled=lambda _, delivered: heard.append(delivered))
    for index in range(20):
        outlet.offer(window(index))
    assert outlet.drain(10)
    assert heard == [True] * 20
    assert outlet.close()


def test_one_who_listens_badly_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def settled(effect: Effect, delivered: bool) -> None:  # noqa: FBT001 - the signature that an outlet calls
        raise RuntimeError("not now")

    outlet = Outlet(Recorder(DeliveryError("no", permanent=True)), settled=settled)
    with caplog.at_level(logging.ERROR, "swirl.sinks"):
        outlet.offer(changed(DATA))
        outlet.offer(changed(DEPLOYMENT))
        assert outlet.drain(10)
        assert outlet.close()
        outlet._thread.join(10)
    assert outlet.counts == Counts(delivered=1, failed=1)
    assert len(caplog.messages) == 2


def test_what_wakes_people_does_not_wait_behind_what_is_held_until_the_morning() -> None:
    backlog = Backlog()
    held, wakes = changed(DATA, severity="degraded"), changed(DATA, "updated", revision=1)
    waits = {held.identity: 3600.0, wakes.identity: 0.0}
    backlog.offer(held, 0.0)
    assert isinstance(backlog.take(0.0, lambda effect: waits[effect.identity]), float)
    backlog.offer(wakes, 5.0)
    assert backlog.take(5.0, lambda effect: waits[effect.identity]) == wakes
    assert backlog.replaced == (held,)
    backlog.succeeded()
    assert (backlog.counts.delivered, backlog.counts.replaced, backlog.counts.pending) == (1, 1, 0)


def test_before_each_attempt_the_outlet_asks_whether_it_may_send() -> None:
    asked: list[str] = []

    def once(effect: Effect) -> bool:
        asked.append(effect.identity)
        return len(asked) < 2

    sink = Recorder(OSError("away"))
    outlet = Outlet(sink, retries=QUICK, may_send=once)
    outlet.offer(changed(DATA))
    assert outlet.drain(10)
    assert (asked, sink.attempts) == ([changed(DATA).identity] * 2, 1)
    assert outlet.counts == Counts(retried=1, withdrawn=1)
    assert outlet.offer(changed(DATA))
    assert outlet.close()


def test_what_may_not_be_sent_is_neither_settled_nor_logged(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[bool] = []
    outlet = Outlet(Recorder(), settled=lambda _, ok: heard.append(ok), may_send=lambda _: False)
    with caplog.at_level(logging.WARNING, "swirl.sinks"):
        outlet.offer(changed(DATA))
        assert outlet.drain(10)
        assert outlet.close()
    assert (heard, caplog.messages, outlet.counts) == ([], [], Counts(withdrawn=1))


def test_a_guard_that_raises_is_asked_again() -> None:
    errors = [OSError("who knows")]

    def guard(effect: Effect) -> bool:
        if errors:
            raise errors.pop()
        return True

    outlet = Outlet(Recorder(), retries=QUICK, may_send=guard)
    outlet.offer(changed(DATA))
    assert outlet.drain(10)
    assert outlet.close()
    assert outlet.counts == Counts(delivered=1, retried=1)


def test_what_is_withdrawn_is_forgotten_and_may_be_offered_again() -> None:
    backlog = Backlog()
    for effect in (changed(DATA), OTHER, window()):
        backlog.offer(effect, 0.0)
    assert backlog.withdraw("ads") == 2
    assert taken(backlog) == [OTHER]
    assert backlog.counts == Counts(delivered=1, withdrawn=2)
    assert backlog.offer(changed(DATA), 0.0)
    assert not backlog.offer(OTHER, 0.0)


def test_what_was_delivered_may_be_offered_again_after_its_pipeline_was_withdrawn() -> None:
    backlog = Backlog()
    backlog.offer(changed(DATA), 0.0)
    taken(backlog)
    assert backlog.withdraw("ads") == 0
    assert backlog.offer(changed(DATA), 0.0)


def test_an_effect_between_two_attempts_is_withdrawn_too() -> None:
    backlog = Backlog()
    backlog.offer(changed(DATA), 0.0)
    backlog.take(0.0)
    backlog.stumbled(OSError("away"), 0.0)
    assert backlog.withdraw("ads") == 1
    assert backlog.take(0.0) is None
    assert backlog.counts == Counts(retried=1, withdrawn=1)


def test_an_effect_that_is_being_tried_may_finish() -> None:
    heard: list[bool] = []
    sink = Gate()
    outlet = Outlet(sink, settled=lambda _, delivered: heard.append(delivered))
    outlet.offer(changed(DATA))
    outlet.offer(changed(DEPLOYMENT))
    assert sink.entered.wait(10)
    assert outlet.withdraw("ads") == 1
    sink.leave.set()
    assert outlet.drain(10)
    assert (sink.taken, heard) == ([changed(DATA).identity], [True])
    assert outlet.counts == Counts(delivered=1, withdrawn=1)
    assert outlet.offer(changed(DATA))
    assert outlet.close()


def test_an_effect_that_was_withdrawn_while_it_was_tried_is_not_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[bool] = []
    sink = Gate(OSError("away"))
    outlet = Outlet(sink, retries=QUICK, settled=lambda _, delivered: heard.append(delivered))
    outlet.offer(changed(DATA))
    assert sink.entered.wait(10)
    assert outlet.withdraw("ads") == 0
    with caplog.at_level(logging.WARNING, "swirl.sinks"):
        sink.leave.set()
        assert outlet.drain(10)
        assert outlet.close()
    assert (sink.taken, heard, caplog.messages) == ([], [], [])
    assert outlet.counts == Counts(withdrawn=1)


def test_a_pipeline_that_comes_back_takes_up_the_effect_that_is_being_tried() -> None:
    sink = Gate(OSError("away"))
    outlet = Outlet(sink, retries=QUICK)
    outlet.offer(changed(DATA))
    assert sink.entered.wait(10)
    outlet.withdraw("ads")
    assert outlet.offer(changed(DATA))
    assert not outlet.offer(changed(DATA))
    sink.leave.set()
    assert outlet.drain(10)
    assert outlet.close()
    assert (sink.taken, outlet.counts) == ([changed(DATA).identity], Counts(delivered=1, retried=1))


def test_withdrawing_can_wait_for_the_effect_that_is_being_tried() -> None:
    sink = Gate()
    outlet = Outlet(sink)
    outlet.offer(changed(DATA))
    assert sink.entered.wait(10)
    outlet.withdraw("ads", timeout=0.0)
    assert sink.taken == []
    threading.Timer(0.02, sink.leave.set).start()
    outlet.withdraw("ads", timeout=10.0)
    assert sink.taken == [changed(DATA).identity]
    assert outlet.close()


def test_doubt_reaches_a_sink_that_can_look_up() -> None:
    class Wary(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.doubted: list[str] = []

        def doubt(self, identity: str) -> None:
            self.doubted.append(identity)

    sink = Wary()
    wary, other = Outlet(sink), Outlet(Recorder())
    for outlet in (wary, other):
        outlet.offer(changed(DATA), doubtful=True)
        outlet.offer(changed(DEPLOYMENT))
        assert outlet.drain(10)
        assert outlet.close()
    assert sink.doubted == [changed(DATA).identity]


@given(st.lists(st.sampled_from(["offer", "other", "take", "done", "fail", "withdraw"]), max_size=60))
def test_every_effect_offered_is_accounted_for(steps: list[str]) -> None:
    backlog, offered, busy = Backlog(5, Retries(attempts=2)), 0, False
    for number, step in enumerate(steps):
        if step in {"offer", "other"} and backlog.counts.pending < 4:
            pipeline = "ads" if step == "offer" else "other"
            offered += backlog.offer(window(number, pipeline=pipeline), 0.0)
        elif step == "take" and not busy:
            backlog.hurry()
            busy = backlog.take(0.0) is not None
        elif step == "done" and busy:
            backlog.succeeded()
            busy = False
        elif step == "fail" and busy:
            backlog.stumbled(OSError(), 0.0)
            busy = False
        elif step == "withdraw":
            backlog.withdraw("ads")
            assert all(isinstance(e, WindowClosed) and e.pipeline == "other" for e in backlog.waiting[busy:])
    told = backlog.counts
    assert told.delivered + told.failed + told.pending + told.withdrawn + told.replaced == offered


def incident(number: int, transition: Any = "opened", **new: Any) -> IncidentChanged:
    return changed(msgspec.structs.replace(DATA, id=f"ads-20261121-{number:06d}"), transition, **new)


def test_an_incident_that_cannot_be_told_keeps_no_other_waiting() -> None:
    backlog = Backlog()
    for step in (incident(1), incident(1, "updated"), incident(2)):
        backlog.offer(step, 0.0)
    assert backlog.take(0.0) == incident(1)
    backlog.stumbled(OSError("odd"), 0.0)
    assert backlog.take(0.0) == incident(2)
    backlog.succeeded()
    assert backlog.take(0.0) == 0.5
    assert backlog.take(0.5) == incident(1)


def test_when_one_after_the_other_fails_nothing_is_tried_for_a_while() -> None:
    backlog = Backlog()
    for number in range(200):
        backlog.offer(incident(number), 0.0)
    now, attempts = 0.0, 0
    while now < 3600.0:
        found = backlog.take(now)
        if isinstance(found, float):
            now += found
        else:
            attempts += 1
            backlog.stumbled(OSError("away"), now)
    assert attempts < 80


def test_a_step_that_has_waited_long_gives_way_to_a_newer_one_of_its_incident() -> None:
    backlog = Backlog()
    backlog.offer(incident(1), 0.0)
    backlog.take(0.0)
    backlog.stumbled(OSError("away"), 0.0)
    backlog.offer(incident(1, "updated"), 1.0)
    assert backlog.take(9.0) == incident(1)
    backlog.stumbled(OSError("away"), 9.0)
    assert backlog.take(11.0) == incident(1, "updated")
    assert backlog.replaced == (incident(1),)
    assert backlog.counts == Counts(retried=2, pending=2)
    backlog.succeeded()
    assert backlog.counts == Counts(retried=2, delivered=1, replaced=1)


def test_a_step_is_never_replaced_by_one_of_another_incident_and_windows_are_never_replaced() -> None:
    backlog = Backlog()
    offered: list[Effect] = [incident(1), incident(2), window(0), window(1)]
    for effect in offered:
        backlog.offer(effect, 0.0)
    found = []
    while isinstance(told := backlog.take(1000.0), IncidentChanged | WindowClosed):
        found.append(told)
        backlog.succeeded()
    assert found == offered


def test_after_an_hour_without_a_receiver_each_of_200_incidents_is_told_once_as_it_stands() -> None:
    backlog, now, told = Backlog(), 0.0, []
    for minute in range(60):
        now = minute * 60.0
        for number in range(200):
            if minute == 0:
                backlog.offer(incident(number), now)
            elif minute % 6 == 0:
                backlog.offer(incident(number, "updated", revision=minute), now)
        while not isinstance(found := backlog.take(now), float):
            assert found is not None
            backlog.stumbled(OSError("away"), now)
    for number in range(100):
        backlog.offer(incident(number, "resolved", revision=100), now)
    while (found := backlog.take(now)) is not None:
        if isinstance(found, float):
            now += found
            continue
        assert isinstance(found, IncidentChanged)
        told.append((found.incident.id, found.transition))
        backlog.succeeded()
    assert len(told) == len(dict(told)) == 200
    assert sorted(t for _, t in told) == ["resolved"] * 100 + ["updated"] * 100
    counts = backlog.counts
    assert (counts.failed, counts.dropped, counts.pending) == (0, 0, 0)
    assert counts.delivered + counts.replaced == 200 * 10 + 100


def test_what_was_replaced_is_settled_with_the_step_that_tells_how_it_stands() -> None:
    heard: list[tuple[str, bool]] = []
    ticks = iter(float(20 * n) for n in range(1000))
    sink = Gate(OSError("away"))
    outlet = Outlet(sink, clock=lambda: next(ticks), settled=lambda e, ok: heard.append((e.identity, ok)))
    outlet.offer(incident(1))
    assert sink.entered.wait(10)
    outlet.offer(incident(1, "updated"))
    sink.leave.set()
    assert outlet.drain(10)
    assert outlet.close()
    assert heard == [(incident(1).identity, True), (incident(1, "updated").identity, True)]
    assert sink.taken == [incident(1, "updated").identity]


class Sleeper(Recorder):
    """A sink that asks to wait with what is degraded."""

    def __init__(self) -> None:
        super().__init__()
        self.awake = False

    def wait(self, effect: Effect) -> float:
        assert isinstance(effect, IncidentChanged)
        return 3600.0 if effect.incident.severity == "degraded" and not self.awake else 0.0


def test_a_sink_may_ask_to_wait_with_one_incident_while_others_are_told() -> None:
    backlog, sink = Backlog(), Sleeper()
    calm = incident(1, severity="degraded")
    for step in (calm, incident(2)):
        backlog.offer(step, 0.0)
    assert backlog.take(0.0, sink.wait) == incident(2)
    backlog.succeeded()
    assert backlog.take(0.0, sink.wait) == 30.0
    assert backlog.counts == Counts(delivered=1, pending=1)
    sink.awake = True
    assert backlog.take(30.0, sink.wait) == calm


def test_news_of_an_incident_that_was_set_aside_are_looked_at_at_once() -> None:
    backlog, sink = Backlog(), Sleeper()
    backlog.offer(incident(1, severity="degraded"), 0.0)
    assert backlog.take(0.0, sink.wait) == 30.0
    worse = incident(1, "updated", severity="tripped")
    backlog.offer(worse, 12.0)
    assert backlog.take(12.0, sink.wait) == worse


def test_a_full_backlog_drops_no_incident_while_older_steps_of_others_can_give_way() -> None:
    backlog = Backlog(capacity=4)
    for number in (1, 2):
        backlog.offer(incident(number), 0.0)
        backlog.offer(incident(number, "updated"), 1.0)
    assert backlog.offer(incident(3), 60.0)
    assert backlog.offer(incident(4), 60.0)
    assert backlog.counts.dropped == 0
    assert [e.incident.id[-1] for e in backlog.waiting if isinstance(e, IncidentChanged)] == [*"1234"]


def test_last_words_need_not_keep_the_pace_but_nobody_is_woken() -> None:
    class Slow(Sleeper):
        def wait(self, effect: Effect) -> float:
            return super().wait(effect) or 1.5

    sink = Slow()
    outlet = Outlet(sink)
    outlet.offer(incident(1, severity="degraded"))
    outlet.offer(incident(2))
    assert not outlet.drain(0.05)
    assert sink.taken == []
    assert not outlet.close(0.5)
    assert sink.taken == [incident(2).identity]


def test_a_window_that_is_never_taken_is_given_up_long_before_an_incident_is() -> None:
    backlog, now = Backlog(), 0.0
    backlog.offer(window(), now)
    backlog.offer(incident(1), now)
    while backlog.counts.pending == 2:
        found = backlog.take(now)
        if isinstance(found, float):
            now += found
        else:
            backlog.stumbled(OSError("away"), now)
    assert backlog.waiting == (incident(1),)
    assert backlog.counts.failed == 1
    assert now < 3600.0
