"""Buttons over Socket Mode: this process calls Slack, so no port has to be open."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from swirl.errors import MissingExtraError
from swirl.sinks.slack_acts import acts_of

try:
    from slack_sdk import WebClient
    from slack_sdk.errors import SlackApiError
    from slack_sdk.socket_mode.builtin import SocketModeClient
    from slack_sdk.socket_mode.response import SocketModeResponse
except ImportError:
    raise MissingExtraError("slack-sdk", "watch") from None

if TYPE_CHECKING:
    from collections.abc import Callable

    from slack_sdk.socket_mode.client import BaseSocketModeClient
    from slack_sdk.socket_mode.request import SocketModeRequest

    from swirl.frame import Act

__all__ = ["SlackSocket"]

_log = logging.getLogger("swirl.sinks.slack")

_quiet_client = logging.getLogger("swirl.sinks.slack.client")
"""slack-sdk logs the address of the socket, which is a secret for its time."""

_LOOK_S, _LONGEST_S = 1.0, 60.0

_ADVICE = {
    "invalid_auth": "check SWIRL_SLACK_APP_TOKEN",
    "missing_scope": "give the app-level token the scope connections:write",
    "not_allowed_token_type": "SWIRL_SLACK_APP_TOKEN must be an app-level token (xapp-...)",
    "socket_mode_not_enabled": "turn on Socket Mode in the app's settings",
}


class SlackSocket:
    """Hears buttons over Slack's own socket, and connects again when it breaks.

    Args:
        token: app-level, with the scope ``connections:write``.
        act: takes what people say; where it raises OSError, Slack shows the person that it did not work.
        base_url: where Slack's methods are.
    """

    def __init__(
        self, token: str, act: Callable[[Act], None], *, base_url: str = "https://slack.com/api/"
    ) -> None:
        self._token, self._act, self._base_url = token, act, base_url
        self._closing = threading.Event()
        self._client: SocketModeClient | None = None
        self._trouble = ""
        self._thread: threading.Thread | None = None

    @property
    def trouble(self) -> str:
        """What is wrong and what to do about it, ``""`` when all is well. Any thread may ask."""
        return self._trouble

    @property
    def connected(self) -> bool:
        """Whether buttons are heard right now."""
        return self._client is not None and self._client.is_connected()

    def start(self) -> None:
        """Connect in a thread of its own, and stay connected; returns at once."""
        self._thread = threading.Thread(target=self._stay, name="swirl-slack-socket", daemon=True)
        self._thread.start()

    def close(self, timeout: float = 2.0) -> None:
        """Hear nothing more; waits up to ``timeout`` seconds."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def abandon(self) -> None:
        """In a forked child: close what was inherited, and say nothing to Slack: the parent goes on with it.

        A socket that stayed open here would keep Slack from noticing the parent's end: it would go on sending
        what people press to where nobody reads.
        """
        session = self._client.current_session if self._client is not None else None
        if session is not None and session.sock is not None:
            session.sock.close()
        self._client = self._thread = None

    def hear(self, client: BaseSocketModeClient, request: SocketModeRequest) -> None:
        """Take one request: Slack is answered when the acts are taken, within its 3 seconds."""
        if request.type == "interactive":
            for act in acts_of(request.payload):
                try:
                    self._act(act)
                except OSError as error:
                    _log.warning("what %s said of %s was lost: %s", act.who, act.incident, error)
                    return
        client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))

    def _stay(self) -> None:
        web = WebClient(base_url=self._base_url, timeout=10, retry_handlers=[], logger=_quiet_client)
        self._client = client = SocketModeClient(
            self._token, logger=_quiet_client, web_client=web, auto_reconnect_enabled=False, concurrency=2
        )
        client.socket_mode_request_listeners.append(self.hear)
        pause = _LOOK_S
        while not self._closing.is_set():
            if client.is_connected():
                pause, self._trouble = _LOOK_S, ""
            else:
                self._connect(client)
                pause = _LOOK_S if client.is_connected() else min(_LONGEST_S, 2 * pause)
            self._closing.wait(pause)
        client.close()

    def _connect(self, client: SocketModeClient) -> None:
        try:
            client.connect_to_new_endpoint()
        except SlackApiError as error:
            code = str(error.response.get("error", ""))
            self._tell(f"({code}): {_ADVICE.get(code, 'see the documentation of Slack')}")
        except Exception as error:  # noqa: BLE001 - whatever the network does, it is tried again
            self._tell(f"({type(error).__name__}); it is tried again")
        else:
            if not client.is_connected():
                self._tell("(no connection); it is tried again")

    def _tell(self, what: str) -> None:
        told = f"Slack's buttons are not heard {what}"
        if told != self._trouble:
            _log.warning("%s", told)
        self._trouble = told
