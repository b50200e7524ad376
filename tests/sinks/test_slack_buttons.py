"""What people press, over Socket Mode and as plain payloads."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from swirl.errors import SettingsError
from swirl.frame import Act
from swirl.settings import WatchSettings
from swirl.sinks.slack import slack_listener
from swirl.sinks.slack_acts import acts_of
from swirl.sinks.slack_blocks import Style, root
from swirl.testing.slack import SlackStandIn
from swirl.testing.slack_text import pressed
from tests.sinks.scene import DATA, changed

if TYPE_CHECKING:
    from collections.abc import Iterator

OPEN = root(DATA, Style(buttons=True))
OVER = root(changed(DATA, "resolved").incident, Style(buttons=True))


@pytest.mark.parametrize(
    ("message", "label", "act", "for_ms"),
    [
        (OPEN, "Acknowledge", "acknowledge", 0),
        (OPEN, "Snooze 1 h", "snooze", 3_600_000),
        (OPEN, "New normal", "new_normal", 0),
        (OPEN, "False alarm", "false_alarm", 0),
        (OVER, "It was", "confirm", 0),
        (OVER, "False alarm", "false_alarm", 0),
    ],
)
def test_every_button_of_every_message_is_an_act(
    message: dict[str, Any], label: str, act: Any, for_ms: int
) -> None:
    assert acts_of(pressed(message, label, "mara")) == [
        Act("ads", act, DATA.id, "mara", for_ms=for_ms, via="slack")
    ]


@pytest.mark.parametrize(
    "user",
    [{"id": "U1", "username": "mara", "name": "m"}, {"id": "U1", "name": "mara"}, {"id": "mara"}],
)
def test_a_name_goes_before_an_id(user: dict[str, str]) -> None:
    (act,) = acts_of({**pressed(OPEN, "Acknowledge"), "user": user})
    assert act.who == "mara"


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"type": "view_submission"},
        {"type": "block_actions"},
        {"type": "block_actions", "actions": "swirl.snooze"},
        {"type": "block_actions", "actions": [7, {}, {"action_id": "swirl.mute", "value": '["ads","x"]'}]},
        {"type": "block_actions", "actions": [{"action_id": "other.snooze", "value": '["ads","x"]'}]},
        {"type": "block_actions", "actions": [{"action_id": "snooze", "value": '["ads","x"]'}]},
        {"type": "block_actions", "actions": [{"action_id": "swirl.snooze", "value": "ads"}]},
        {"type": "block_actions", "actions": [{"action_id": "swirl.snooze", "value": '["ads"]'}]},
        {"type": "block_actions", "actions": [{"action_id": "swirl.snooze", "value": '["",""]'}]},
        {"type": "block_actions", "actions": [{"action_id": "swirl.snooze", "value": "[" * 5000}]},
    ],
)
def test_what_is_not_swirls_is_no_act(payload: dict[str, Any]) -> None:
    assert acts_of(payload) == []


def test_names_of_people_are_plain_and_short() -> None:
    payload = {**pressed(OPEN, "Acknowledge"), "user": {"username": "ma\x1bra\n" * 50}}
    (act,) = acts_of(payload)
    assert act.who.isprintable()
    assert len(act.who) <= 80


# -- Socket Mode


@pytest.fixture
def slack() -> Iterator[SlackStandIn]:
    with SlackStandIn(pace=0.0) as server:
        yield server


def settings(slack: SlackStandIn, token: str = "") -> WatchSettings:
    return WatchSettings(slack_app_token=token or slack.app_token, slack_url=slack.url)


def test_a_press_comes_over_the_socket_and_is_answered_when_it_was_taken(slack: SlackStandIn) -> None:
    heard: list[Act] = []
    listener = slack_listener(settings(slack), heard.append)
    assert listener is not None
    listener.start()
    try:
        assert slack.sockets.wait()
        assert slack.sockets.press(pressed(OPEN, "Acknowledge", "mara"))
        assert slack.sockets.press(pressed(OPEN, "Snooze 1 h", "x" * 20_000))
        assert slack.sockets.press({"type": "view_submission"})
        assert [(act.act, act.via) for act in heard] == [("acknowledge", "slack"), ("snooze", "slack")]
        assert (listener.connected, listener.trouble) == (True, "")
    finally:
        listener.close(10)
    assert slack.sockets.wait(0)


def test_what_nobody_takes_is_not_answered_so_that_slack_shows_it(
    slack: SlackStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    def nobody(act: Act) -> None:
        raise OSError("nobody watches")

    listener = slack_listener(settings(slack), nobody)
    assert listener is not None
    listener.start()
    try:
        assert slack.sockets.wait()
        with caplog.at_level(logging.WARNING, "swirl"):
            assert not slack.sockets.press(pressed(OPEN, "Acknowledge", "mara"), timeout=0.3)
        assert caplog.messages == ["what mara said of ads-20261121-031220 was lost: nobody watches"]
    finally:
        listener.close(10)


def test_a_socket_that_breaks_is_opened_again(slack: SlackStandIn) -> None:
    heard: list[Act] = []
    listener = slack_listener(settings(slack), heard.append)
    assert listener is not None
    listener.start()
    try:
        assert slack.sockets.wait()
        slack.sockets.close()
        assert slack.sockets.wait(0)
        assert slack.sockets.wait(1, 30)
        assert slack.sockets.press(pressed(OPEN, "False alarm"))
        assert [act.act for act in heard] == ["false_alarm"]
    finally:
        listener.close(10)


def test_a_token_that_slack_refuses_is_told_with_what_to_do(
    slack: SlackStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    listener = slack_listener(settings(slack, "xapp-wrong"), lambda _: None)
    assert listener is not None
    with caplog.at_level(logging.WARNING, "swirl"):
        listener.start()
        while not listener.trouble:
            assert not listener.connected
    listener.close(10)
    assert listener.trouble == "Slack's buttons are not heard (invalid_auth): check SWIRL_SLACK_APP_TOKEN"
    assert caplog.messages[0] == listener.trouble
    assert "xapp-wrong" not in caplog.text


def test_a_token_of_another_kind_is_refused_and_not_quoted() -> None:
    with pytest.raises(SettingsError, match="xapp-") as caught:
        slack_listener(WatchSettings(slack_app_token="xoxb-secret"), lambda _: None)
    assert "secret" not in str(caught.value)
    assert slack_listener(WatchSettings(), lambda _: None) is None


def test_a_payload_of_the_stand_in_is_what_json_carries() -> None:
    assert json.loads(json.dumps(pressed(OPEN, "Acknowledge"))) == pressed(OPEN, "Acknowledge")
