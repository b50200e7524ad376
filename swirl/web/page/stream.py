"""Server-sent events: "something changed", at most once a second, and a sign of life in between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response, StreamingResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from swirl.sinks.board import Board

__all__ = ["Streams"]

_PAUSE_S = 0.5
_LIFE_S = 4.0


class Streams:
    """The open streams of one board; each is a timer and no thread.

    Args:
        board: whose version is told.
        most: streams at once; more are refused, and those pages ask by themselves.
    """

    def __init__(self, board: Board, most: int = 100) -> None:
        self._board, self._most = board, most
        self.open = 0

    async def answer(self, request: Request) -> Response:
        """A stream, or 503 where there are too many."""
        if self.open >= self._most:
            return PlainTextResponse("too many streams\n", 503, {"Retry-After": "5"})
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._events(request), media_type="text/event-stream", headers=headers)

    async def _events(self, request: Request) -> AsyncIterator[str]:
        self.open += 1
        try:
            version, waited = self._board.version, 0.0
            yield f"retry: 3000\nevent: alive\ndata: {version}\n\n"
            while not getattr(request.app.state, "closing", False):
                await asyncio.sleep(_PAUSE_S)
                waited += _PAUSE_S
                if self._board.version != version and waited >= 2 * _PAUSE_S:
                    version, waited = self._board.version, 0.0
                    yield f"event: changed\ndata: {version}\n\n"
                elif waited >= _LIFE_S:
                    waited = 0.0
                    yield f"event: alive\ndata: {version}\n\n"
        finally:
            self.open -= 1
