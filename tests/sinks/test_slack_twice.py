"""What the bot tells once, although answers are lost and workers come and go."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_sdk import WebClient

from swirl.effect import IncidentChanged
from swirl.errors import DeliveryError
from swirl.sinks import Doubting, Outlet
from swirl.sinks.backlog import Retries
from swirl.sinks.routes import Route, Routes
from swirl.sinks.slack_bot import SlackBot
from swirl.sinks.slack_memory import Threads
from swirl.testing.slack import SlackStandIn
from tests.sinks.scene import DATA, DEPLOYMENT, START, changed

if TYPE_CHECKING:
    from collections.abc import Iterator

OPENED = changed(DATA)
UPDATED = changed(DATA, "updated", "Half recovered.")
RESOLVED = changed(DATA, "resolved", "Nothing of the fault was learnt.")
STEPS = (OPENED, UPDATED, RESOLVED)
LOOKUPS = {"conversations.history", "conversations.replies", "users.conversations"}


class Clock:
    """Slack's own: it is a little later there than in the incident."""

    now = START / 1000 + 5

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def slack() -> Iterator[SlackStandIn]:
    with SlackStandIn(pace=0.0, clock=Clock(), channels=("#other", "#ads-oncall")) as server:
        yield server


def worker(
    slack: SlackStandIn, memory: dict[str, str] | None = None, channel: str = "#ads-oncall"
) -> SlackBot:
    """A bot in a process of its own: it knows what it is told."""
    client = WebClient(token=slack.token, base_url=slack.url, timeout=10, retry_handlers=[])
    threads = Threads({} if memory is None else memory)
    return SlackBot(client, Routes((), Route(channel)), threads)


def lost(slack: SlackStandIn, bot: SlackBot, step: IncidentChanged) -> None:
    """The message arrives, its answer does not."""
    slack.lose_answers()
    with pytest.raises(OSError, match="without response"):
        bot.handle(step)


def asked(slack: SlackStandIn) -> list[str]:
    return [method for method, _ in slack.calls if method in LOOKUPS]


def steps(slack: SlackStandIn) -> list[tuple[str, str]]:
    """What stands in the only thread, by the metadata of its messages."""
    (thread,) = slack.threads.values()
    told = [m.payload["metadata"]["event_payload"] for m in thread]
    return [(t["step"], t["transition"]) for t in told]


def test_nothing_is_looked_up_while_all_is_known(slack: SlackStandIn) -> None:
    bot = worker(slack)
    for step in STEPS:
        bot.handle(step)
    assert asked(slack) == []
    assert steps(slack) == [("edited", "resolved"), ("reply", "updated"), ("reply", "resolved")]


def test_an_opening_whose_answer_was_lost_is_found_and_not_posted_again(slack: SlackStandIn) -> None:
    memory: dict[str, str] = {}
    bot = worker(slack, memory)
    lost(slack, bot, OPENED)
    bot.handle(OPENED)
    assert steps(slack) == [("posted", "opened")]
    assert memory == {DATA.id: f"C00000001/{slack.messages[0].ts}"}
    assert slack.messages[0].edits == 0


def test_a_reply_whose_answer_was_lost_is_found_and_not_posted_again(slack: SlackStandIn) -> None:
    bot = worker(slack)
    bot.handle(OPENED)
    lost(slack, bot, UPDATED)
    bot.handle(UPDATED)
    assert steps(slack) == [("edited", "updated"), ("reply", "updated")]
    assert asked(slack) == ["conversations.replies"]
    bot.handle(RESOLVED)
    assert asked(slack) == ["conversations.replies"]


def test_a_message_that_slack_did_not_take_is_posted_after_the_search(slack: SlackStandIn) -> None:
    bot = worker(slack)
    slack.fail_next(status=503)
    with pytest.raises(DeliveryError):
        bot.handle(OPENED)
    bot.handle(OPENED)
    assert steps(slack) == [("posted", "opened")]
    assert asked(slack) == ["users.conversations", "conversations.history"]


def test_a_clear_refusal_leaves_no_doubt(slack: SlackStandIn) -> None:
    bot = worker(slack)
    slack.fail_next(status=429, retry_after=1)
    slack.fail_next(status=200, body='{"ok": false, "error": "invalid_auth"}')
    for _ in range(2):
        with pytest.raises(DeliveryError):
            bot.handle(OPENED)
    bot.handle(OPENED)
    assert asked(slack) == []


@pytest.mark.parametrize("told", range(4))
def test_another_worker_goes_on_in_the_same_thread(slack: SlackStandIn, told: int) -> None:
    first = worker(slack)
    for step in STEPS[:told]:
        first.handle(step)
    second = worker(slack)
    for step in STEPS:
        second.doubt(step.identity)
        second.handle(step)
    assert steps(slack) == [("edited", "resolved"), ("reply", "updated"), ("reply", "resolved")]


@pytest.mark.parametrize("told", [1, 2])
def test_an_incident_that_goes_on_elsewhere_is_looked_for_without_being_told_to(
    slack: SlackStandIn, told: int
) -> None:
    first = worker(slack)
    for step in STEPS[:told]:
        first.handle(step)
    second = worker(slack)
    for step in STEPS[1:]:
        second.handle(step)
    assert steps(slack) == [("edited", "resolved"), ("reply", "updated"), ("reply", "resolved")]
    assert asked(slack)[:3] == ["users.conversations", "conversations.history", "conversations.replies"]


def test_a_root_that_was_posted_for_a_later_step_says_it_already(slack: SlackStandIn) -> None:
    bot = worker(slack)
    lost(slack, bot, UPDATED)
    bot.handle(UPDATED)
    assert steps(slack) == [("posted", "updated")]


def test_a_root_never_goes_back_to_what_was_before(slack: SlackStandIn) -> None:
    first = worker(slack)
    for step in STEPS:
        first.handle(step)
    second = worker(slack)
    for step in STEPS[:2]:
        second.doubt(step.identity)
        second.handle(step)
    assert slack.messages[0].text.startswith("ads / ingest: resolved")
    assert len(slack.messages) == 3


def test_a_thread_that_was_deleted_is_begun_once_although_its_answer_is_lost(slack: SlackStandIn) -> None:
    bot = worker(slack)
    bot.handle(OPENED)
    slack.delete(slack.messages[0].ts)
    lost(slack, bot, UPDATED)
    bot.handle(UPDATED)
    bot.handle(RESOLVED)
    assert steps(slack) == [("edited", "resolved"), ("reply", "resolved")]


def test_a_doubtful_change_of_a_thread_that_was_deleted_begins_a_new_one(slack: SlackStandIn) -> None:
    bot = worker(slack)
    bot.handle(OPENED)
    slack.delete(slack.messages[0].ts)
    bot.doubt(UPDATED.identity)
    bot.handle(UPDATED)
    assert steps(slack) == [("posted", "updated")]


def test_the_search_goes_through_pages_up_to_the_opening(slack: SlackStandIn) -> None:
    worker(slack).handle(OPENED)
    chat = WebClient(token=slack.token, base_url=slack.url, retry_handlers=[])
    for index in range(450):
        chat.chat_postMessage(channel="#ads-oncall", text=f"{index}")
    second = worker(slack)
    second.handle(RESOLVED)
    found = [m for m in slack.messages if "metadata" in m.payload]
    assert [m.thread_ts for m in found] == ["", found[0].ts]
    assert asked(slack).count("conversations.history") == 3


def test_the_search_ends_a_little_before_the_opening(slack: SlackStandIn) -> None:
    bot = worker(slack)
    bot.doubt(OPENED.identity)
    bot.handle(OPENED)
    sent = next(payload for method, payload in slack.calls if method == "conversations.history")
    assert float(sent["oldest"]) == OPENED.incident.opened_ms / 1000 - 3600
    assert sent["include_all_metadata"] == "1"


def test_messages_of_others_are_not_taken_for_ours(slack: SlackStandIn) -> None:
    chat = WebClient(token=slack.token, base_url=slack.url, retry_handlers=[])
    for metadata in (
        {"event_type": "other", "event_payload": {"incident": DATA.id}},
        {"event_type": "swirl_incident", "event_payload": {}},
        {"event_type": "swirl_incident", "event_payload": {"incident": DEPLOYMENT.id, "revision": "x"}},
    ):
        chat.chat_postMessage(channel="#ads-oncall", text="hello", metadata=metadata)
    worker(slack).handle(UPDATED)
    assert len(slack.threads) == 4


def test_messages_of_an_older_version_are_found_by_their_incident(slack: SlackStandIn) -> None:
    worker(slack).handle(OPENED)
    payload = slack.messages[0].payload["metadata"]["event_payload"]
    del payload["step"], payload["identity"]
    payload["revision"] = "none"
    worker(slack).handle(UPDATED)
    assert steps(slack) == [("edited", "updated"), ("reply", "updated")]


def test_a_channel_given_by_its_id_takes_no_further_scope(slack: SlackStandIn) -> None:
    slack.scopes = {"chat:write", "channels:history"}
    worker(slack, channel="C00000001").handle(OPENED)
    worker(slack, channel="C00000001").handle(RESOLVED)
    assert steps(slack) == [("edited", "resolved"), ("reply", "resolved")]
    assert "users.conversations" not in asked(slack)


def test_the_channel_of_other_incidents_stands_in_for_an_id_that_cannot_be_found(slack: SlackStandIn) -> None:
    slack.scopes = {"chat:write", "channels:history"}
    worker(slack).handle(OPENED)
    worker(slack, {DEPLOYMENT.id: "C00000001/1.0"}).handle(RESOLVED)
    assert steps(slack) == [("edited", "resolved"), ("reply", "resolved")]


@pytest.mark.parametrize(
    ("scopes", "code", "advice"),
    [
        ({"chat:write", "channels:read"}, "missing_scope", "channels:history"),
        ({"chat:write", "channels:history"}, "no_channel_id", "channels:read"),
    ],
)
def test_a_missing_scope_is_told_once_and_the_bot_goes_on(
    slack: SlackStandIn, caplog: pytest.LogCaptureFixture, scopes: set[str], code: str, advice: str
) -> None:
    slack.scopes = scopes
    with caplog.at_level(logging.WARNING, "swirl"):
        bot = worker(slack)
        lost(slack, bot, OPENED)
        for step in STEPS:
            bot.handle(step)
        bot.doubt(changed(DEPLOYMENT).identity)
        bot.handle(changed(DEPLOYMENT))
    assert len(slack.threads) == 3
    told = [m for m in caplog.messages if "cannot be asked" in m]
    assert len(told) == 1
    assert f"({code})" in told[0]
    assert advice in told[0]


def test_a_thread_that_cannot_be_asked_for_gets_its_reply(slack: SlackStandIn) -> None:
    bot = worker(slack)
    bot.handle(OPENED)
    slack.scopes = {"chat:write"}
    bot.doubt(UPDATED.identity)
    bot.handle(UPDATED)
    assert steps(slack) == [("edited", "updated"), ("reply", "updated")]


def test_slack_may_ask_to_slow_down_when_it_is_asked(slack: SlackStandIn) -> None:
    bot = worker(slack, channel="C00000001")
    bot.doubt(OPENED.identity)
    slack.fail_next(status=429, retry_after=7)
    with pytest.raises(DeliveryError) as caught:
        bot.handle(OPENED)
    assert caught.value.retry_after == 7.0
    assert slack.messages == []
    bot.handle(OPENED)
    assert len(slack.messages) == 1


def test_what_slack_will_not_search_for_is_told_all_the_same(
    slack: SlackStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    bot = worker(slack, channel="C00000001")
    bot.doubt(OPENED.identity)
    failed = 0
    with caplog.at_level(logging.WARNING, "swirl"):
        while not slack.messages:
            slack.fail_next(status=429, retry_after=60)
            try:
                bot.handle(OPENED)
            except DeliveryError:
                failed += 1
    assert failed == 4
    assert "no_answer" in caplog.text


def test_a_memory_that_was_a_webhooks_is_not_taken_for_a_thread(slack: SlackStandIn) -> None:
    memory = {DATA.id: "open ingest: data pipeline broken"}
    worker(slack, memory).handle(UPDATED)
    assert memory == {DATA.id: f"C00000001/{slack.messages[0].ts}"}


def test_doubts_may_come_from_any_thread_and_are_bounded(slack: SlackStandIn, monkeypatch: Any) -> None:
    monkeypatch.setattr("swirl.sinks.slack_memory._DOUBTED", 100)
    bot = worker(slack)
    assert isinstance(bot, Doubting)

    def doubting(number: int) -> None:
        for index in range(500):
            bot.doubt(f"ads/{number}-{index}/0/opened")

    threads = [threading.Thread(target=doubting, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(bot._doubts) == 100


def test_an_outlet_tells_each_step_once_although_every_answer_is_lost_once(slack: SlackStandIn) -> None:
    slack.lose_answers(3)
    outlet = Outlet(worker(slack), retries=Retries(first=0.001))
    for step in STEPS:
        outlet.offer(step)
    assert outlet.drain(30)
    assert outlet.close()
    assert outlet.counts.delivered == 3
    assert steps(slack) == [("edited", "resolved"), ("reply", "updated"), ("reply", "resolved")]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=3, max_size=3))
def test_no_loss_of_answers_and_no_change_of_workers_tells_anything_twice(
    faults: list[tuple[bool, bool, bool]],
) -> None:
    with SlackStandIn(pace=0.0, clock=Clock()) as slack:
        bot = worker(slack)
        for step, (loses, moves, doubts) in zip(STEPS, faults, strict=True):
            if loses:
                lost(slack, bot, step)
            if moves:
                bot = worker(slack)
            if doubts or (loses and moves):
                bot.doubt(step.identity)
            bot.handle(step)
        (thread,) = slack.threads.values()
        told = [m.payload["metadata"]["event_payload"]["identity"] for m in thread[1:]]
        assert told == [UPDATED.identity, RESOLVED.identity]
