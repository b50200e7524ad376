"""Buttons over HTTP: only what Slack has signed just now, and once."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from starlette.applications import Starlette

from swirl.sinks.slack_blocks import Style, root
from swirl.testing.slack_text import pressed
from swirl.web.slack import PATH, route
from tests.sinks.scene import DATA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from swirl.frame import Act

SECRET = "a secret of nothing"
NOW = 1795230740.0
PRESSED = pressed(root(DATA, Style(buttons=True)), "Acknowledge", "mara")


def signed(body: bytes, stamp: float = NOW, secret: str = SECRET) -> dict[str, str]:
    """The headers of Slack's own requests, made by the recipe of its documentation."""
    base = b"v0:" + str(int(stamp)).encode() + b":" + body
    signature = "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()
    return {
        "X-Slack-Request-Timestamp": str(int(stamp)),
        "X-Slack-Signature": signature,
        "Content-Type": "application/x-www-form-urlencoded",
    }


def form(payload: Any = PRESSED) -> bytes:
    return urlencode({"payload": json.dumps(payload)}).encode()


class Page:
    """The route, and what it took; each request is a conversation as a server has it with an application."""

    def __init__(self, act: Callable[[Act], None] | None = None) -> None:
        self.now = NOW
        self.heard: list[Act] = []
        self.app = Starlette(routes=[route(SECRET, act or self.heard.append, clock=lambda: self.now)])

    def post(
        self, body: bytes | Iterator[bytes], headers: dict[str, str], method: str = "POST", size: str = ""
    ) -> int:
        """Send a request; the status of its answer."""
        sent = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "path": PATH, "raw_path": PATH.encode(), "query_string": b"", "root_path": "",
            "headers": [*sent, (b"content-length", size.encode())] if size else sent,
        }  # fmt: skip
        pieces = iter([body]) if isinstance(body, bytes) else body
        answers: list[Any] = []

        async def receive() -> dict[str, Any]:
            piece = next(pieces, None)
            return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

        async def send(message: Any) -> None:
            answers.append(message)

        asyncio.run(self.app(scope, receive, send))
        return int(answers[0]["status"])


def test_what_slack_signed_is_an_act() -> None:
    page = Page()
    assert page.post(form(), signed(form())) == 200
    (act,) = page.heard
    assert (act.pipeline, act.act, act.incident, act.who, act.via) == (
        "ads", "acknowledge", DATA.id, "mara", "slack",
    )  # fmt: skip


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Slack-Signature": "v0=00", "X-Slack-Request-Timestamp": str(int(NOW))},
        {"X-Slack-Signature": "v0=00"},
        {**signed(form()), "X-Slack-Request-Timestamp": "soon"},
        {**signed(form()), "X-Slack-Request-Timestamp": "9" * 400},
        {**signed(form()), "X-Slack-Request-Timestamp": str(int(NOW) + 1)},
        {**signed(form()), "X-Slack-Request-Timestamp": "-5"},
        signed(form(), secret="another"),
        signed(form() + b"&more=1"),
        signed(form(), NOW - 301),
        signed(form(), NOW + 301),
    ],
)
def test_what_slack_did_not_sign_just_now_is_refused(headers: dict[str, str]) -> None:
    page = Page()
    assert page.post(form(), headers) == 401
    assert page.heard == []


def test_what_is_no_text_is_refused_too() -> None:
    assert Page().post(b"\xff\xfe", signed(b"\xff\xfe")) == 401


def test_the_same_request_is_taken_once() -> None:
    page = Page()
    headers = signed(form())
    assert [page.post(form(), headers) for _ in range(3)] == [200, 401, 401]
    page.now += 299
    assert page.post(form(), headers) == 401
    page.now += 2
    assert page.post(form(), headers) == 401
    later = signed(form(), page.now)
    assert page.post(form(), later) == 200
    assert len(page.heard) == 2


def test_each_reason_of_a_refusal_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    page = Page()
    with caplog.at_level(logging.WARNING, "swirl.web.slack"):
        for _ in range(3):
            page.post(form(), {})
            page.post(form(), signed(form(), secret="another"))
    assert [message.partition("refused: ")[2] for message in caplog.messages] == [
        "it is not signed",
        "its signature is wrong; check SWIRL_SLACK_SIGNING_SECRET",
    ]


def test_a_body_of_ten_megabytes_is_not_read() -> None:
    read: list[int] = []

    def pieces() -> Iterator[bytes]:
        for _ in range(1000):
            read.append(1)
            yield b"x" * 10_000

    page = Page()
    assert page.post(pieces(), {}, size="10000000") == 413
    assert page.post(pieces(), {}, size="-1") == 413
    assert read == []
    assert page.post(pieces(), {}) == 413
    assert len(read) <= 11


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"payload=%7B", 400),
        (b"", 400),
        (b"payload=" + b"[" * 50_000, 400),
        (form([]), 200),
        (form({"type": "view_submission"}), 200),
        (form({**PRESSED, "actions": [{"action_id": "other", "value": "x"}]}), 200),
    ],
)
def test_what_is_not_swirls_is_ignored(body: bytes, status: int) -> None:
    page = Page()
    assert page.post(body, signed(body)) == status
    assert page.heard == []


def test_what_nobody_takes_is_shown_to_who_pressed(caplog: pytest.LogCaptureFixture) -> None:
    def nobody(act: Act) -> None:
        raise OSError("nobody watches")

    assert Page(nobody).post(form(), signed(form())) == 503
    assert "nobody watches" in caplog.text


def test_slack_is_answered_in_time_although_nobody_takes_the_act_in_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("swirl.web.slack._ANSWERED_S", 0.05)
    taken, go_on = threading.Event(), threading.Event()

    def slow(act: Act) -> None:
        assert go_on.wait(10)
        taken.set()

    threading.Timer(0.3, go_on.set).start()
    assert Page(slow).post(form(), signed(form())) == 200
    assert taken.wait(10)
    assert "takes long" in caplog.text


def test_only_posts_are_heard() -> None:
    assert Page().post(b"", {}, method="GET") == 405
