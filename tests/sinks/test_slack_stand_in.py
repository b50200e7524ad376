from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.webhook import WebhookClient

from swirl.testing.slack import SlackStandIn
from swirl.testing.slack_text import pressed

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock:
    def __init__(self) -> None:
        self.now = 1_795_230_740.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slack(clock: Clock) -> Iterator[SlackStandIn]:
    with SlackStandIn(clock=clock, channels=("#ads-oncall", "#other")) as server:
        yield server


def client(slack: SlackStandIn, token: str | None = None) -> WebClient:
    return WebClient(token=slack.token if token is None else token, base_url=slack.url, retry_handlers=[])


def refusal(call: Any, **given: Any) -> tuple[int, str]:
    with pytest.raises(SlackApiError) as caught:
        call(**given)
    return caught.value.response.status_code, caught.value.response["error"]


def test_one_message_a_second_a_channel(slack: SlackStandIn, clock: Clock) -> None:
    bot = client(slack)
    assert bot.chat_postMessage(channel="#ads-oncall", text="one")["ok"]
    assert refusal(bot.chat_postMessage, channel="#ads-oncall", text="two") == (429, "ratelimited")
    assert bot.chat_postMessage(channel="#other", text="elsewhere")["ok"]
    clock.now += 0.99
    assert refusal(bot.chat_postMessage, channel="#ads-oncall", text="two") == (429, "ratelimited")
    clock.now += 0.01
    assert bot.chat_postMessage(channel="#ads-oncall", text="two")["ok"]
    assert [m.text for m in slack.messages] == ["one", "elsewhere", "two"]


def test_a_refusal_for_haste_says_when_to_come_back(slack: SlackStandIn) -> None:
    hook = WebhookClient(slack.webhook, retry_handlers=[])
    assert (hook.send(text="one").status_code, hook.send(text="two").headers["Retry-After"]) == (200, "1")


def section(text: str, kind: str = "mrkdwn") -> dict[str, Any]:
    return {"type": "section", "text": {"type": kind, "text": text}}


def header(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "header", "text": {"type": "plain_text", "text": text, **more}}


X = {"type": "mrkdwn", "text": "x"}


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"text": ""}, "no_text"),
        ({"text": ["x"]}, "invalid_arguments"),
        ({"text": "x" * 40_001}, "msg_too_long"),
        ({"text": "x", "thread_ts": "1.0"}, "thread_not_found"),
        ({"text": "x", "channel": "#nowhere"}, "channel_not_found"),
    ],
)
def test_what_breaks_a_rule_is_refused_in_slacks_words(
    slack: SlackStandIn, given: dict[str, Any], error: str
) -> None:
    with pytest.raises(SlackApiError) as caught:
        client(slack).api_call("chat.postMessage", json={"channel": "#ads-oncall", **given})
    assert caught.value.response["error"] == error
    assert slack.messages == []


@pytest.mark.parametrize(
    "block",
    [
        "x",
        {"type": "dance"},
        {"type": "divider", "block_id": "x" * 256},
        header("x" * 151),
        header("x", verbatim=True),
        header("x", type="mrkdwn"),
        section("x" * 3001),
        section(""),
        section("x", "markdown"),
        {"type": "section"},
        {"type": "section", "fields": [X] * 11},
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]},
        {"type": "context", "elements": []},
        {"type": "context", "elements": [X] * 11},
        {"type": "image", "alt_text": ""},
        {"type": "actions", "elements": []},
    ],
)
def test_a_block_beyond_the_limits_is_refused(slack: SlackStandIn, block: Any) -> None:
    with pytest.raises(SlackApiError) as caught:
        client(slack).api_call("chat.postMessage", json={"channel": "#other", "text": "x", "blocks": [block]})
    assert caught.value.response["error"] == "invalid_blocks"
    assert caught.value.response["response_metadata"]["messages"][0].endswith("[/blocks/0]")


def test_fifty_blocks_are_the_most(slack: SlackStandIn, clock: Clock) -> None:
    bot = client(slack)
    blocks: list[dict[str, Any]] = [{"type": "divider"}] * 51
    assert bot.chat_postMessage(channel="#other", text="x", blocks=blocks[:50])["ok"]
    clock.now += 1
    assert refusal(bot.chat_postMessage, channel="#other", text="x", blocks=blocks) == (200, "invalid_blocks")


def test_a_message_with_every_kind_of_block_is_taken(slack: SlackStandIn) -> None:
    text = {"type": "mrkdwn", "text": "*bold* &amp; <https://example.com|a link> <!here>"}
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": "top"}},
        {"type": "section", "text": text, "fields": [{"type": "plain_text", "text": "*as it is*"}]},
        {"type": "context", "elements": [text]},
        {"type": "divider"},
        {"type": "image", "alt_text": "a chart"},
        {
            "type": "actions",
            "elements": [{"type": "button", "action_id": "go", "text": {"type": "plain_text", "text": "go"}}],
        },
    ]
    client(slack).chat_postMessage(channel="#ads-oncall", text="x", blocks=blocks)
    assert slack.transcript().splitlines() == [
        "#ads-oncall",
        "Swirl: top",
        "       bold & a link @here (everybody is called)",
        "       *as it is*",
        "       bold & a link @here (everybody is called)",
        "       [go]",
    ]


def test_an_update_needs_the_message_and_the_id_of_its_channel(slack: SlackStandIn) -> None:
    bot = client(slack)
    sent = bot.chat_postMessage(channel="#ads-oncall", text="one")
    assert refusal(bot.chat_update, channel=sent["channel"], ts="1.0", text="two") == (
        200,
        "message_not_found",
    )
    assert refusal(bot.chat_update, channel="#ads-oncall", ts=sent["ts"], text="two") == (
        200,
        "channel_not_found",
    )
    assert refusal(bot.chat_update, channel=sent["channel"], ts=sent["ts"], text="x" * 4001) == (
        200,
        "msg_too_long",
    )
    bot.chat_update(channel=sent["channel"], ts=sent["ts"], text="two")
    assert [(m.text, m.edits) for m in slack.messages] == [("two", 1)]
    assert slack.transcript() == "#ads-oncall\nSwirl: two (edited)"


def test_tokens_and_methods_are_checked(slack: SlackStandIn) -> None:
    assert refusal(client(slack, "xoxb-no").chat_postMessage, channel="#other", text="x") == (
        200,
        "invalid_auth",
    )
    assert refusal(client(slack, "").chat_postMessage, channel="#other", text="x") == (200, "not_authed")
    assert refusal(client(slack).chat_delete, channel="C00000000", ts="1") == (200, "unknown_method")


def test_a_webhook_answers_in_plain_words(slack: SlackStandIn) -> None:
    hook = WebhookClient(slack.webhook, retry_handlers=[])
    assert (hook.send(text="").status_code, hook.send(text="").body) == (400, "no_text")
    assert hook.send(text="one").body == "ok"
    wrong = WebhookClient(slack.webhook + "x", retry_handlers=[]).send(text="x")
    assert (wrong.status_code, wrong.body) == (404, "no_service")


def test_it_fails_as_often_as_it_is_told_to(slack: SlackStandIn) -> None:
    hook = WebhookClient(slack.webhook, retry_handlers=[])
    slack.fail_next(2, status=503, body="garbage", delay=0.01)
    assert [hook.send(text="x").status_code for _ in range(3)] == [503, 503, 200]
    assert len(slack.messages) == 1


def test_two_servers_do_not_meet() -> None:
    with SlackStandIn() as one, SlackStandIn() as other:
        assert one.url != other.url
        WebhookClient(one.webhook, retry_handlers=[]).send(text="x")
        assert (len(one.messages), len(other.messages)) == (1, 0)


NOTE = {"event_type": "note", "event_payload": {"number": 1}}


def posted(slack: SlackStandIn, clock: Clock, count: int, **given: Any) -> list[str]:
    sent = []
    for index in range(count):
        clock.now += 1
        answer = client(slack).chat_postMessage(
            channel="#ads-oncall", text=f"{index}", metadata=NOTE, **given
        )
        sent.append(answer["ts"])
    return sent


def test_history_comes_newest_first_page_by_page_without_replies(slack: SlackStandIn, clock: Clock) -> None:
    roots = posted(slack, clock, 5)
    posted(slack, clock, 2, thread_ts=roots[0])
    pages = client(slack).conversations_history(channel="C00000000", limit=2)
    assert [[(m["ts"], "metadata" in m) for m in page["messages"]] for page in pages] == [
        [(roots[4], False), (roots[3], False)],
        [(roots[2], False), (roots[1], False)],
        [(roots[0], False)],
    ]


def test_history_begins_after_a_time_and_tells_metadata_if_asked(slack: SlackStandIn, clock: Clock) -> None:
    roots = posted(slack, clock, 3)
    found = client(slack).conversations_history(
        channel="C00000000", oldest=roots[1], include_all_metadata=True
    )
    assert [(m["ts"], m["metadata"]) for m in found["messages"]] == [(roots[2], NOTE)]


def test_a_new_message_shifts_no_page(slack: SlackStandIn, clock: Clock) -> None:
    roots = posted(slack, clock, 3)
    first = client(slack).conversations_history(channel="C00000000", limit=2)
    posted(slack, clock, 1)
    cursor = first["response_metadata"]["next_cursor"]
    assert (
        client(slack).conversations_history(channel="C00000000", cursor=cursor)["messages"][0]["ts"]
        == roots[0]
    )
    assert refusal(client(slack).conversations_history, channel="C00000000", cursor="x") == (
        200,
        "invalid_cursor",
    )


def test_a_thread_comes_with_its_root_first(slack: SlackStandIn, clock: Clock) -> None:
    (root,) = posted(slack, clock, 1)
    told = posted(slack, clock, 3, thread_ts=root)
    bot = client(slack)
    pages = bot.conversations_replies(channel="C00000000", ts=root, limit=3, include_all_metadata=True)
    assert [[(m["ts"], m["thread_ts"]) for m in page["messages"]] for page in pages] == [
        [(root, root), (told[0], root), (told[1], root)],
        [(told[2], root)],
    ]
    assert refusal(bot.conversations_replies, channel="C00000000", ts="1.0") == (200, "thread_not_found")


def test_who_asks_for_messages_names_the_channel_by_its_id_and_sends_a_form(slack: SlackStandIn) -> None:
    bot = client(slack)
    assert refusal(bot.conversations_history, channel="#ads-oncall") == (200, "channel_not_found")
    assert refusal(bot.api_call, api_method="conversations.history", json={"channel": "C00000000"}) == (
        200,
        "invalid_arguments",
    )
    assert [(c["id"], c["name"]) for c in bot.users_conversations()["channels"]] == [
        ("C00000000", "ads-oncall"), ("C00000001", "other"),
    ]  # fmt: skip


def test_what_a_bot_may_do_is_bound_to_scopes(slack: SlackStandIn) -> None:
    slack.scopes = {"channels:history"}
    bot = client(slack)
    assert bot.conversations_history(channel="C00000000")["messages"] == []
    assert refusal(bot.users_conversations) == (200, "missing_scope")
    assert refusal(bot.chat_postMessage, channel="#ads-oncall", text="x") == (200, "missing_scope")


def test_a_message_can_be_taken_while_its_answer_is_lost(slack: SlackStandIn, clock: Clock) -> None:
    slack.lose_answers()
    bot = client(slack)
    assert bot.conversations_history(channel="C00000000")["messages"] == []
    with pytest.raises(OSError, match="without response"):
        bot.chat_postMessage(channel="#ads-oncall", text="one")
    clock.now += 1
    bot.chat_postMessage(channel="#ads-oncall", text="two")
    assert [m.text for m in slack.messages] == ["one", "two"]


def test_marks_are_put_on_messages_and_taken_away_as_slack_does(slack: SlackStandIn) -> None:
    bot = client(slack)
    posted = bot.chat_postMessage(channel="#ads-oncall", text="hello")
    asked = {"channel": posted["channel"], "timestamp": posted["ts"], "name": "eyes"}
    bot.reactions_add(**asked)
    assert slack.transcript().splitlines()[-1].strip() == ":eyes:"
    with pytest.raises(SlackApiError, match="already_reacted"):
        bot.reactions_add(**asked)
    bot.reactions_remove(**asked)
    with pytest.raises(SlackApiError, match="no_reaction"):
        bot.reactions_remove(**asked)
    with pytest.raises(SlackApiError, match="message_not_found"):
        bot.reactions_add(**{**asked, "timestamp": "1.0"})


def test_files_come_in_three_steps_and_not_without_their_bytes(slack: SlackStandIn) -> None:
    bot = client(slack)
    root = bot.chat_postMessage(channel="#ads-oncall", text="hello")
    bot.files_upload_v2(
        channel=root["channel"], thread_ts=root["ts"], content=b"png", filename="a.png", title="A chart"
    )
    assert slack.transcript().splitlines()[-1].endswith("[a.png: A chart]")
    told = bot.conversations_replies(channel=root["channel"], ts=root["ts"])
    assert [file["name"] for message in told["messages"] for file in message.get("files", [])] == ["a.png"]
    begun = bot.files_getUploadURLExternal(filename="b.png", length=3)
    with pytest.raises(SlackApiError, match="invalid_arguments"):
        bot.files_completeUploadExternal(files=[{"id": begun["file_id"]}], channel_id=root["channel"])
    with pytest.raises(SlackApiError, match="invalid_arguments"):
        bot.files_getUploadURLExternal(filename="", length=3)


@pytest.mark.parametrize(
    "element",
    [
        {"type": "select"},
        {"type": "button", "action_id": "a"},
        {"type": "button", "action_id": "", "text": {"type": "plain_text", "text": "go"}},
        {"type": "button", "action_id": "a", "text": {"type": "plain_text", "text": "x" * 76}},
        {"type": "button", "action_id": "a", "text": {"type": "mrkdwn", "text": "go"}},
        {
            "type": "button",
            "action_id": "a",
            "value": "x" * 2001,
            "text": {"type": "plain_text", "text": "go"},
        },
        {"type": "button", "action_id": "a", "style": "blue", "text": {"type": "plain_text", "text": "go"}},
        {
            "type": "button",
            "action_id": "a",
            "text": {"type": "plain_text", "text": "go"},
            "confirm": {"title": {"type": "plain_text", "text": "go?"}},
        },
    ],
)
def test_buttons_keep_slacks_limits(slack: SlackStandIn, element: dict[str, Any]) -> None:
    blocks = [{"type": "actions", "elements": [element]}]
    with pytest.raises(SlackApiError, match="invalid_blocks"):
        client(slack).chat_postMessage(channel="#ads-oncall", text="x", blocks=blocks)


def test_a_button_that_is_not_there_cannot_be_pressed() -> None:
    with pytest.raises(LookupError, match="no button 'Go'"):
        pressed({"blocks": []}, "Go")


def test_the_socket_is_for_who_has_the_token_of_the_app(slack: SlackStandIn) -> None:
    with pytest.raises(SlackApiError, match="invalid_auth"):
        client(slack).apps_connections_open(app_token=slack.token + "x")
    assert client(slack).apps_connections_open(app_token=slack.app_token)["url"].startswith("ws://127.0.0.1:")


def test_what_was_to_go_wrong_can_be_called_off(slack: SlackStandIn) -> None:
    slack.fail_next(5)
    slack.lose_answers(5)
    slack.heal()
    assert client(slack).chat_postMessage(channel="#ads-oncall", text="x")["ok"]
