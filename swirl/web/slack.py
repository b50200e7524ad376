"""``/slack/acts``: what people press in Slack, over HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from swirl.errors import MissingExtraError
from swirl.sinks.slack_acts import acts_of
from swirl.sinks.slack_signed import SlackRequests

try:
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route
except ImportError as error:
    raise MissingExtraError(error.name or "starlette", "watch") from None

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from swirl.frame import Act

__all__ = ["PATH", "route"]

_log = logging.getLogger("swirl.web.slack")

PATH = "/slack/acts"
"""What the app's settings in Slack have as the Request URL, after the address of this machine."""

_LARGEST = 100_000
_ANSWERED_S = 2.5
"""Slack shows an error to whoever pressed after 3 seconds."""


def route(
    signing_secret: str, act: Callable[[Act], None], *, clock: Callable[[], float] = time.time
) -> Route:
    """The route that hears Slack's interactivity.

    Args:
        signing_secret: of the app.
        act: takes what people say, in a thread; it raises OSError where nobody takes it.
        clock: seconds since 1970.
    """
    requests = SlackRequests(signing_secret, clock)
    told: set[str] = set()

    async def acts(request: Request) -> Response:
        """Hear one request."""
        body = await _bounded(request)
        if body is None:
            return PlainTextResponse("too large\n", 413)
        if refused := requests.refusal(body, request.headers):
            if refused not in told:
                told.add(refused)
                _log.warning("a request to %s is refused: %s", PATH, refused)
            return PlainTextResponse("refused\n", 401)
        try:
            payload = json.loads(parse_qs(body.decode())["payload"][0])
        except (ValueError, KeyError, RecursionError):
            return PlainTextResponse("no payload\n", 400)
        return await _taken(acts_of(payload) if isinstance(payload, dict) else [], act)

    return Route(PATH, acts, methods=["POST"])


async def _bounded(request: Request) -> bytes | None:
    """The body, None if it is too large; no more of it than that is read."""
    size = request.headers.get("content-length", "0")
    if not size.isdecimal() or int(size[:20]) > _LARGEST:
        return None
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST:
            return None
    return bytes(body)


async def _taken(acts: list[Act], act: Callable[[Act], None]) -> Response:
    """Hand the acts over; who presses sees it if nobody takes them."""

    def all_of_them() -> None:
        for said in acts:
            act(said)

    try:
        await asyncio.wait_for(asyncio.to_thread(all_of_them), _ANSWERED_S)
    except TimeoutError:
        _log.warning("what was said in Slack takes long to be taken")
    except OSError as error:
        _log.warning("what was said in Slack was lost: %s", error)
        return PlainTextResponse("nobody takes it just now\n", 503)
    return Response(status_code=200)
