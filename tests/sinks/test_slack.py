from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import pytest
from slack_sdk.webhook import WebhookClient

from swirl.effect import IncidentChanged, Mute, MuteChanged
from swirl.errors import DeliveryError, SettingsError
from swirl.settings import WatchSettings
from swirl.sinks import Counts, Outlet, Sink, Troubled
from swirl.sinks.slack import slack_sink
from swirl.sinks.slack_bot import SlackBot
from swirl.sinks.slack_client import ADVICE
from swirl.sinks.slack_memory import REMEMBERED, Threads
from swirl.sinks.slack_webhook import SlackWebhook
from swirl.testing.slack import SlackStandIn
from tests.sinks.scene import DATA, DEPLOYMENT, START, changed, verdict, window

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def slack() -> Iterator[SlackStandIn]:
    with SlackStandIn(pace=0.0) as server:
        yield server


class Bot(NamedTuple):
    sink: Sink
    memory: dict[str, str]


def bot(slack: SlackStandIn, **given: Any) -> Bot:
    memory: dict[str, str] = {}
    settings = WatchSettings(
        **{"slack_token": slack.token, "slack_channel": "#ads-oncall", "slack_url": slack.url, **given}
    )
    sink = slack_sink(settings, memory)
    assert isinstance(sink, SlackBot)
    return Bot(sink, memory)


def webhook(slack: SlackStandIn, memory: dict[str, str] | None = None, **given: Any) -> Sink:
    sink = slack_sink(WatchSettings(slack_webhook=slack.webhook, **given), {} if memory is None else memory)
    assert isinstance(sink, SlackWebhook)
    return sink


def test_without_settings_there_is_no_sink() -> None:
    assert slack_sink(WatchSettings(), {}) is None


def test_a_token_without_a_channel_is_refused() -> None:
    with pytest.raises(SettingsError, match="SWIRL_SLACK_CHANNEL"):
        slack_sink(WatchSettings(slack_token="xoxb-1"), {})


def test_a_webhook_that_is_no_address_is_refused_and_not_quoted() -> None:
    with pytest.raises(SettingsError, match="SWIRL_SLACK_WEBHOOK") as told:
        slack_sink(WatchSettings(slack_webhook="hooks.slack.com/services/T0/B0/secret"), {})
    assert "secret" not in str(told.value)


def test_a_secret_is_in_no_log_even_if_the_host_logs_everything(
    slack: SlackStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    address, token = slack.webhook, slack.token
    with caplog.at_level(logging.DEBUG):
        webhook(slack).handle(changed(DATA))
        bot(slack)[0].handle(changed(DEPLOYMENT))
        slack.__exit__(None, None, None)
        for sink in (webhook(slack), bot(slack)[0]):
            with pytest.raises(Exception, match=r"refused") as told:
                sink.handle(changed(DATA))
            assert address not in str(told.value)
    assert address not in caplog.text
    assert token not in caplog.text


def test_one_incident_is_one_thread_whose_root_is_edited(slack: SlackStandIn) -> None:
    sink, memory = bot(slack)
    sink.handle(changed(DATA))
    ts = slack.messages[0].ts
    assert memory == {DATA.id: f"C00000000/{ts}"}
    sink.handle(changed(DATA, "updated", "Half recovered."))
    sink.handle(changed(DATA, "resolved", "Nothing of the fault was learnt."))
    root, first, second = slack.threads[ts]
    assert (root.edits, root.text[:23], first.edits) == (2, "ads / ingest: resolved ", 0)
    assert second.text.startswith("ads / ingest: resolved at 03:12:50 UTC")
    assert root.payload["metadata"]["event_payload"]["transition"] == "resolved"
    assert [method for method, _ in slack.calls] == [
        "chat.postMessage", "chat.update", "chat.postMessage", "chat.update", "reactions.add",
        "chat.postMessage",
    ]  # fmt: skip


def test_the_transcript_reads_like_the_channel(slack: SlackStandIn) -> None:
    sink, _ = bot(slack)
    sink.handle(changed(DATA))
    sink.handle(changed(DATA, "updated", "Half recovered."))
    assert slack.transcript().splitlines() == [
        "#ads-oncall",
        "Swirl: ◆ ads / ingest: data pipeline broken since 03:12:20 UTC",
        "       ingest rejects 20\xa0100/s as invalid, usually 10/s. classify and serve follow.",
        "                             usual       now",
        "           ingest invalid     10/s  20 100/s",
        "           label ratio        0.80      0.21",
        "           clicks          2 000/s      10/s",
        "       Look first at what feeds ingest: the source and its schema. Not at the model.",
        (
            "       97\xa0% likely. Ruled out: input drift at ingest (drift alone fails no check), "
            "bad deployment at classify (no version changed), "
            "source outage at ingest (25\xa0010 records/s still arrive)."
        ),
        "       opened 03:12:21 UTC · ads-20261121-031220 (edited)",
        "   └ Swirl: Half recovered.",
        "            Now: ingest: data pipeline broken, 97\xa0% likely.",
    ]


def test_threads_go_on_after_a_restart(slack: SlackStandIn) -> None:
    sink, memory = bot(slack)
    sink.handle(changed(DATA))
    settings = WatchSettings(slack_token=slack.token, slack_channel="#ads-oncall", slack_url=slack.url)
    again = slack_sink(settings, memory)
    assert again
    again.handle(changed(DATA, "resolved"))
    assert len(slack.threads) == 1
    assert slack.messages[0].edits == 1


def test_an_opening_that_comes_twice_edits_the_message_that_is_there(slack: SlackStandIn) -> None:
    sink, _ = bot(slack)
    sink.handle(changed(DATA))
    sink.handle(changed(DATA))
    assert len(slack.messages) == 1


def test_a_root_that_somebody_deleted_is_posted_anew(slack: SlackStandIn) -> None:
    sink, memory = bot(slack)
    sink.handle(changed(DATA))
    slack.delete(slack.messages[0].ts)
    sink.handle(changed(DATA, "updated", "Half recovered."))
    assert len(slack.messages) == 1
    assert memory[DATA.id] == f"C00000000/{slack.messages[0].ts}"


def test_a_root_that_may_not_be_edited_still_gets_its_reply(slack: SlackStandIn) -> None:
    sink, _ = bot(slack)
    sink.handle(changed(DATA))
    slack.fail_next(status=200, body='{"ok": false, "error": "edit_window_closed"}')
    sink.handle(changed(DATA, "updated", "Half recovered."))
    assert [m.edits for m in slack.messages] == [0, 0]


def test_other_effects_are_ignored(slack: SlackStandIn) -> None:
    for sink in (bot(slack).sink, webhook(slack)):
        sink.handle(window())
        sink.handle(verdict())
    assert slack.calls == []


def test_reasons_reach_slack_only_if_they_are_allowed(slack: SlackStandIn) -> None:
    bot(slack).sink.handle(changed(DATA))
    webhook(slack).handle(changed(DATA))
    assert "text missing" not in str(slack.calls)
    bot(slack, slack_show_labels=True).sink.handle(changed(DATA))
    webhook(slack, slack_show_labels=True).handle(changed(DATA))
    assert str(slack.calls).count("text missing") == 2


def test_a_webhook_tells_openings_ends_and_new_causes_only(slack: SlackStandIn) -> None:
    sink = webhook(slack)
    sink.handle(changed(DATA))
    sink.handle(changed(DATA, "updated", "Half recovered."))
    sink.handle(changed(DATA, "updated", "Cause is another.", cause="source outage"))
    sink.handle(changed(DATA, "resolved"))
    assert [m.text.partition(" since")[0][:40] for m in slack.messages] == [
        "ads / ingest: data pipeline broken",
        "ads / ingest: source outage",
        "ads / ingest: resolved at 03:12:50 UTC a",
    ]
    assert not any("metadata" in payload or "channel" in payload for _, payload in slack.calls)


@pytest.mark.parametrize("how", [bot, webhook])
def test_slack_may_ask_to_slow_down(slack: SlackStandIn, how: Any) -> None:
    sink = how(slack).sink if how is bot else how(slack)
    slack.fail_next(status=429, retry_after=7, body="ratelimited")
    with pytest.raises(DeliveryError) as caught:
        sink.handle(changed(DATA))
    assert (caught.value.retry_after, caught.value.permanent) == (7.0, False)


def test_a_pause_that_cannot_be_read_is_a_second(slack: SlackStandIn) -> None:
    slack.fail_next(status=429, retry_after="soon")
    with pytest.raises(DeliveryError) as caught:
        webhook(slack).handle(changed(DATA))
    assert caught.value.retry_after == 1.0


def test_a_message_that_slack_refuses_for_itself_is_given_up(slack: SlackStandIn) -> None:
    slack.fail_next(status=200, body='{"ok": false, "error": "message_not_found"}')
    sink = bot(slack).sink
    with pytest.raises(DeliveryError, match="message_not_found") as caught:
        sink.handle(changed(DATA))
    assert caught.value.permanent


@pytest.mark.parametrize("how", [bot, webhook])
@pytest.mark.parametrize(
    ("status", "body"), [(500, "oops"), (503, ""), (200, "<html>a proxy</html>"), (200, "{")]
)
def test_trouble_that_passes_is_tried_again(slack: SlackStandIn, how: Any, status: int, body: str) -> None:
    sink = how(slack).sink if how is bot else how(slack)
    slack.fail_next(status=status, body=body)
    with pytest.raises(DeliveryError) as caught:
        sink.handle(changed(DATA))
    assert not caught.value.permanent
    sink.handle(changed(DATA))
    assert len(slack.messages) == 1


def test_what_a_person_must_mend_is_told_once_and_waits(
    slack: SlackStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    wrong_channel, wrong_token = (
        bot(slack, slack_channel="#nowhere").sink,
        bot(slack, slack_token="xoxb-no").sink,
    )
    with caplog.at_level(logging.ERROR, "swirl"):
        for sink in (wrong_channel, wrong_channel, wrong_token):
            with pytest.raises(DeliveryError) as caught:
                sink.handle(changed(DATA))
            assert (caught.value.permanent, caught.value.retry_after) == (False, 60.0)
    assert caplog.messages == [
        f"Slack refuses messages in #nowhere (channel_not_found): {ADVICE['channel_not_found']}",
        "Slack refuses messages (invalid_auth): check SWIRL_SLACK_TOKEN",
    ]
    assert isinstance(wrong_channel, Troubled)
    assert isinstance(wrong_token, Troubled)
    assert [wrong_channel.trouble, wrong_token.trouble] == caplog.messages


def test_a_webhook_that_was_removed_is_told(slack: SlackStandIn, caplog: pytest.LogCaptureFixture) -> None:
    sink = slack_sink(WatchSettings(slack_webhook=slack.webhook + "-removed"), {})
    assert sink
    with caplog.at_level(logging.ERROR, "swirl"), pytest.raises(DeliveryError) as caught:
        sink.handle(changed(DATA))
    assert (caught.value.permanent, caught.value.retry_after) == (False, 60.0)
    assert caplog.messages == [f"Slack refuses messages (no_service): {ADVICE['no_service']}"]
    assert sink.trouble == caplog.messages[0]


def test_nothing_of_the_token_or_the_webhook_reaches_the_log(
    slack: SlackStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    slack.fail_next(4, status=404, body="nobody here")
    for sink in (bot(slack).sink, webhook(slack)):
        with caplog.at_level(logging.INFO), pytest.raises(DeliveryError, match="http 404"):
            sink.handle(changed(DATA))
    assert slack.token not in caplog.text
    assert slack.webhook not in caplog.text


def test_memory_is_bounded(slack: SlackStandIn) -> None:
    memory = {str(index): "opened" for index in range(REMEMBERED)}
    webhook(slack, memory).handle(changed(DATA))
    assert len(memory) == REMEMBERED
    assert DATA.id in memory
    assert "0" not in memory


def test_everything_arrives_in_order_and_slack_need_not_ask_to_slow_down() -> None:
    effects: list[IncidentChanged] = [
        changed(DATA),
        changed(DEPLOYMENT),
        changed(DATA, "updated", "Half."),
        changed(DATA, "resolved", "Over."),
    ]
    with SlackStandIn(pace=0.9) as slack:
        sink, _ = bot(slack)
        outlet = Outlet(sink)
        for effect in effects:
            outlet.offer(effect)
        assert outlet.drain(30)
        assert outlet.close()
        counts = outlet.counts
        assert counts == Counts(delivered=4)
        first, second = slack.threads.values()
        assert [m.text.partition(" since")[0] for m in (first[0], second[0])] == [
            "ads / ingest: resolved at 03:12:50 UTC after 30\xa0s. Was: data pipeline broken",
            "ads / classify: bad deployment 2026.11.2",
        ]
        assert [m.text for m in first[1:]] == [
            "ads / ingest: Half.", "ads / ingest: resolved at 03:12:50 UTC after 30\xa0s",
        ]  # fmt: skip


def test_a_webhook_tells_nothing_of_what_people_say_and_nothing_that_is_muted(slack: SlackStandIn) -> None:
    sink = webhook(slack)
    sink.handle(IncidentChanged("opened", msgspec.structs.replace(DATA, muted=True)))
    silent: tuple[Literal["acknowledged", "snoozed", "woken", "judged"], ...]
    silent = ("acknowledged", "snoozed", "woken", "judged")
    for transition in silent:
        sink.handle(IncidentChanged(transition, DATA))
    snoozed = msgspec.structs.replace(DATA, cause="source outage", snoozed_until_ms=START + 1)
    sink.handle(IncidentChanged("updated", snoozed))
    assert slack.messages == []


def test_a_webhook_tells_what_comes_back_and_planned_work_in_one_line(slack: SlackStandIn) -> None:
    sink = webhook(slack, slack_signing_secret="s")
    sink.handle(changed(DATA))
    sink.handle(changed(DATA, "resolved"))
    sink.handle(IncidentChanged("reopened", msgspec.structs.replace(DATA, reopened=1, revision=3)))
    sink.handle(MuteChanged("ads", "ended", Mute("", START, START + 1)))
    assert [m.text.partition(" since")[0] for m in slack.messages][2:] == [
        "ads / ingest: data pipeline broken",
        "ads: planned work is over. Meanwhile: nothing came and went.",
    ]
    assert "actions" not in str(slack.messages[0].payload)


def test_a_webhook_keeps_the_pace_and_what_slack_asks_for(slack: SlackStandIn) -> None:
    now = [1000.0]
    client = WebhookClient(slack.webhook, retry_handlers=[])
    sink = SlackWebhook(client, Threads({}), clock=lambda: now[0])
    assert sink.wait(changed(DATA)) <= 0.0
    sink.handle(changed(DATA))
    assert sink.wait(changed(DEPLOYMENT)) == 1.0
    assert sink.wait(window()) == 0.0
    now[0] += 1.0
    slack.fail_next(status=429, retry_after=9, body="rate_limited")
    with pytest.raises(DeliveryError):
        sink.handle(changed(DEPLOYMENT))
    assert sink.wait(changed(DEPLOYMENT)) == 9.0
    assert "status.slack.com" in sink.trouble
    sink.handle(changed(DEPLOYMENT))
    assert sink.trouble == ""


def test_routes_are_for_a_bot_and_are_read_before_anything_is_told(tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text("[[route]]\nchannel = '#data'\nquiet = 'always'\n")
    with pytest.raises(SettingsError, match="route 1: quiet is 'always'"):
        slack_sink(WatchSettings(slack_token="xoxb-1", slack_channel="#ml", slack_routes=str(file)), {})
    with pytest.raises(SettingsError, match="SWIRL_SLACK_ROUTES is set, but a webhook has one channel"):
        slack_sink(WatchSettings(slack_webhook="https://hooks", slack_routes=str(file)), {})


def test_buttons_links_and_labels_are_as_the_settings_say(slack: SlackStandIn) -> None:
    for given, wanted in (
        ({}, set()),
        ({"slack_signing_secret": "s"}, {"Acknowledge"}),
        ({"slack_app_token": "xapp-1"}, {"Acknowledge"}),
        ({"url": "https://swirl.example.com"}, {"Live page"}),
        ({"runbook": "https://wiki/x"}, {"Runbook"}),
    ):
        bot(slack, **given).sink.handle(changed(DATA))
        said = str(slack.messages[-1].payload)
        assert {word for word in ("Acknowledge", "Live page", "Runbook") if word in said} == wanted
