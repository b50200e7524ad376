"""Slack on loopback: a stand-in server that keeps Slack's rules, for tests and demonstrations.

The real clients of slack-sdk talk to it through ``base_url``; nothing leaves the machine.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import parse_qsl

from swirl.testing import slack_history
from swirl.testing.slack_files import Uploads, react
from swirl.testing.slack_socket import Sockets
from swirl.testing.slack_text import complaint, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["SlackMessage", "SlackStandIn"]

_WEBHOOK = "/services/T0SWIRL/B0SWIRL/secret"
_POSTED, _UPDATED = 40_000, 4_000
_SCOPES = {
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "conversations.history": "channels:history",
    "conversations.replies": "channels:history",
    "users.conversations": "channels:read",
    "reactions.add": "reactions:write",
    "reactions.remove": "reactions:write",
    "files.getUploadURLExternal": "files:write",
    "files.completeUploadExternal": "files:write",
}


@dataclass
class SlackMessage:
    """A message as the channel holds it now.

    Attributes:
        ts: its identity in the channel.
        channel: id of the channel.
        payload: ``text``, ``blocks``, ``metadata`` as sent last.
        thread_ts: the root's ``ts`` if it is a reply, otherwise ``""``.
        edits: how often it was edited.
        reactions: names of the marks on it.
        files: that came with it, as Slack tells of them.
    """

    ts: str
    channel: str
    payload: dict[str, Any]
    thread_ts: str = ""
    edits: int = 0
    reactions: list[str] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What a notification shows."""
        return str(self.payload.get("text", ""))


class _Answer(NamedTuple):
    status: int
    body: str
    headers: dict[str, str]


@dataclass
class _Failure:
    status: int
    body: str
    delay: float
    headers: dict[str, str] = field(default_factory=dict)


class SlackStandIn:
    """A Slack workspace with one bot, one webhook and Socket Mode.

    It knows ``auth.test``, ``chat.postMessage``, ``chat.update``, ``conversations.history``,
    ``conversations.replies``, ``users.conversations``, ``reactions.add`` and ``remove``, uploads,
    ``apps.connections.open`` and the webhook, with Slack's answers to what breaks its rules: one message a
    second a channel (429 with Retry-After), limits of blocks and texts, threads and messages that must
    exist, tokens and their scopes, and that who asks for messages sends a form, not JSON.

    Args:
        channels: names of the channels there are.
        token: the bot's token.
        clock: seconds since 1970; for the pace and for timestamps.
        pace: seconds between two messages of a channel.

    Attributes:
        messages: that were taken, in order.
        calls: methods and what they were called with, without those that failed as told.
        scopes: what the bot may do; a call without its scope is refused with ``missing_scope``.
        uploads: files that were sent.
        sockets: who hears buttons over Socket Mode; the token for it is that of the bot with ``xapp-``.

    Example:
        >>> from slack_sdk import WebClient
        >>> with SlackStandIn() as slack:
        ...     bot = WebClient(token=slack.token, base_url=slack.url)
        ...     answer = bot.chat_postMessage(channel="#ads-oncall", text="hello")
        ...     print(slack.transcript())
        #ads-oncall
        Swirl: hello
    """

    def __init__(
        self,
        *,
        channels: tuple[str, ...] = ("#ads-oncall",),
        token: str = "xoxb-stand-in",  # noqa: S107 - a token of nothing
        clock: Callable[[], float] = time.time,
        pace: float = 1.0,
    ) -> None:
        self.token = token
        self.messages: list[SlackMessage] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.scopes = set(_SCOPES.values())
        self.uploads = Uploads()
        self.sockets = Sockets()
        self._channels = {f"C{index:08d}": name for index, name in enumerate(channels)}
        self._clock = clock
        self._pace = pace
        self._posted = 0
        self._last: dict[str, float] = {}
        self._failures: list[_Failure] = []
        self._unheard = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sockets.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """For ``WebClient(base_url=...)`` and ``SWIRL_SLACK_URL``."""
        return f"http://127.0.0.1:{self._server.server_port}/api/"

    @property
    def app_token(self) -> str:
        """For ``SWIRL_SLACK_APP_TOKEN``."""
        return self.token.replace("xoxb-", "xapp-")

    @property
    def webhook(self) -> str:
        """For ``WebhookClient(...)`` and ``SWIRL_SLACK_WEBHOOK``; it writes to the first channel."""
        return f"http://127.0.0.1:{self._server.server_port}{_WEBHOOK}"

    @property
    def threads(self) -> dict[str, list[SlackMessage]]:
        """``ts`` of each root -> the root and its replies."""
        with self._lock:
            found = {m.ts: [m] for m in self.messages if not m.thread_ts}
            for message in self.messages:
                if message.thread_ts:
                    found[message.thread_ts].append(message)
            return found

    def fail_next(
        self,
        calls: int = 1,
        *,
        status: int = 500,
        body: str = "",
        delay: float = 0.0,
        retry_after: float | str | None = None,
    ) -> None:
        """Let the next calls go wrong.

        Args:
            calls: how many.
            status: HTTP status; 200 with a ``body`` of garbage is possible too.
            body: sent as it is.
            delay: seconds before the answer.
            retry_after: value of the header of that name.
        """
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        with self._lock:
            self._failures += [_Failure(status, body, delay, headers)] * calls

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._failures.clear()
            self._unheard = 0

    def lose_answers(self, messages: int = 1) -> None:
        """Take the next messages that are posted, and close the connection without an answer."""
        with self._lock:
            self._unheard += messages

    def delete(self, ts: str) -> None:
        """Somebody deletes a message."""
        with self._lock:
            self.messages = [m for m in self.messages if ts not in {m.ts, m.thread_ts}]

    def transcript(self) -> str:
        """The channels as their readers see them now, as plain text; replies stand under their root."""
        lines: list[str] = []
        threads = self.threads
        for channel, name in self._channels.items():
            roots = [thread for thread in threads.values() if thread[0].channel == channel]
            lines += [name] if roots else []
            for root, *replies in roots:
                lines += _told(root, "Swirl: ", "       ")
                for reply in replies:
                    lines += _told(reply, "   └ Swirl: ", "            ")
        return "\n".join(lines)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        workspace = self

        class Handler(BaseHTTPRequestHandler):
            """Hands requests to the workspace."""

            def do_GET(self) -> None:
                workspace.sockets.serve(self)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = workspace._answer(self.path, dict(self.headers.items()), body)
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                data = answer.body.encode()
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
                """Tests are quiet."""

        return Handler

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> _Answer | None:
        """None where the sender shall hear nothing."""
        with self._lock:
            failure = self._failures.pop(0) if self._failures else None
        if failure:
            threading.Event().wait(failure.delay)
            return _Answer(failure.status, failure.body, failure.headers)
        if self.uploads.receive(path, body):
            return _Answer(200, "OK", {})
        method = path.removeprefix("/api/")
        payload = _payload(method, headers.get("Content-Type", ""), body)
        with self._lock:
            self.calls.append((method, payload))
            posted = self._posted
            if path.startswith("/services/"):
                answer = self._webhook(path, payload)
            else:
                answer = self._api(method, headers.get("Authorization", ""), payload)
            if self._unheard and self._posted > posted:
                self._unheard -= 1
                return None
            return answer

    def _webhook(self, path: str, payload: dict[str, Any]) -> _Answer:
        if path != _WEBHOOK:
            return _Answer(404, "no_service", {})
        channel = next(iter(self._channels))
        if wrong := complaint(payload, _POSTED):
            return _Answer(400, wrong[0], {})
        if (wait := self._too_fast(channel)) is not None:
            return _Answer(429, "rate_limited", {"Retry-After": wait})
        self._append(channel, payload)
        return _Answer(200, "ok", {})

    def _api(self, method: str, authorization: str, payload: dict[str, Any]) -> _Answer:
        if method == "apps.connections.open" and authorization == f"Bearer {self.app_token}":
            return _told_as_json(self.sockets.open(self._server.server_port))
        if authorization != f"Bearer {self.token}":
            return _refused("invalid_auth" if authorization else "not_authed")
        if method == "auth.test":
            return _told_as_json({"ok": True, "team": "Stand-in", "user": "swirl"})
        if (scope := _SCOPES.get(method)) and scope not in self.scopes:
            return _told_as_json({"ok": False, "error": "missing_scope", "needed": scope})
        if method == "users.conversations":
            return _told_as_json(slack_history.memberships(self._channels, payload))
        if method == "files.getUploadURLExternal":
            return _told_as_json(self.uploads.begin(payload, self._server.server_port))
        if method in _TOLD and "channel" not in payload:
            return _refused("invalid_arguments", "missing required field: channel")
        known = {name: ident for ident, name in self._channels.items()}
        wanted = str(payload.get("channel") or payload.get("channel_id") or "")
        # Names are understood when posting; all else wants the id, as Slack does.
        channel = known.get(wanted, wanted) if method == "chat.postMessage" else wanted
        if channel not in self._channels:
            return _refused("channel_not_found")
        if method == "chat.postMessage":
            return self._post(channel, payload)
        if method.startswith("reactions."):
            return _told_as_json(react(self.messages, method, channel, payload))
        if method == "files.completeUploadExternal":
            return self._share(channel, payload)
        if method in _TOLD:
            held = [m for m in self.messages if m.channel == channel]
            return _told_as_json(_TOLD[method](held, payload))
        return self._update(channel, payload) if method == "chat.update" else _refused("unknown_method")

    def _post(self, channel: str, payload: dict[str, Any]) -> _Answer:
        thread = str(payload.get("thread_ts", ""))
        if thread and not any(m.ts == thread and m.channel == channel for m in self.messages):
            return _refused("thread_not_found")
        if wrong := complaint(payload, _POSTED):
            return _refused(*wrong)
        if (wait := self._too_fast(channel)) is not None:
            return _Answer(429, json.dumps({"ok": False, "error": "ratelimited"}), {"Retry-After": wait})
        return _accepted(self._append(channel, payload, thread))

    def _share(self, channel: str, payload: dict[str, Any]) -> _Answer:
        files = self.uploads.complete(payload)
        thread = str(payload.get("thread_ts", ""))
        if not files:
            return _refused("invalid_arguments", "no such file")
        self._last.setdefault(channel, self._clock())
        self._append(channel, {"text": ""}, thread).files = files
        return _told_as_json({"ok": True, "files": files})

    def _update(self, channel: str, payload: dict[str, Any]) -> _Answer:
        found = next((m for m in self.messages if m.ts == payload.get("ts") and m.channel == channel), None)
        if found is None:
            return _refused("message_not_found")
        if wrong := complaint(payload, _UPDATED):
            return _refused(*wrong)
        found.payload = payload
        found.edits += 1
        return _accepted(found)

    def _append(self, channel: str, payload: dict[str, Any], thread: str = "") -> SlackMessage:
        self._posted += 1
        ts = f"{self._last[channel]:.0f}.{self._posted:06d}"
        self.messages.append(SlackMessage(ts, channel, payload, thread))
        return self.messages[-1]

    def _too_fast(self, channel: str) -> str | None:
        now = self._clock()
        if now - self._last.get(channel, float("-inf")) < self._pace:
            return str(max(1, round(self._pace)))
        self._last[channel] = now
        return None


_TOLD = {"conversations.history": slack_history.history, "conversations.replies": slack_history.replies}


def _payload(method: str, kind: str, body: bytes) -> dict[str, Any]:
    if "json" in kind and method in _TOLD:
        return {}  # Slack does not read what is asked of it in JSON.
    if "json" in kind:
        found = json.loads(body or b"{}")
        return found if isinstance(found, dict) else {}
    form: dict[str, Any] = dict(parse_qsl(body.decode()))
    return {k: json.loads(v) if k in {"blocks", "metadata", "files"} else v for k, v in form.items()}


def _refused(error: str, reason: str = "") -> _Answer:
    more = {"response_metadata": {"messages": [f"[ERROR] {reason}"]}} if reason else {}
    return _Answer(200, json.dumps({"ok": False, "error": error, **more}), {})


def _accepted(message: SlackMessage) -> _Answer:
    told = {"ok": True, "channel": message.channel, "ts": message.ts, "message": {"text": message.text}}
    return _told_as_json(told)


def _told_as_json(told: dict[str, Any]) -> _Answer:
    return _Answer(200, json.dumps(told), {})


def _told(message: SlackMessage, first: str, rest: str) -> list[str]:
    lines = shown(message.payload, message.files) or [""]
    lines[-1] += " (edited)" if message.edits else ""
    lines += [" ".join(f":{name}:" for name in message.reactions)] if message.reactions else []
    return [(first if i == 0 else rest) + line for i, line in enumerate(lines)]
