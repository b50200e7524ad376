"""A page that is served for a test, and a client that sends exactly what it is told."""

from __future__ import annotations

import http.client
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from prometheus_client import CollectorRegistry

from swirl.sinks.board import Board
from swirl.testing import ManualClock
from swirl.web import application, known_hosts, serve
from swirl.web.page import page_routes
from tests.sinks.scene import START

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swirl.frame import Act

__all__ = ["TOKEN", "Answer", "Site"]

TOKEN = "a-long-token"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str

    @property
    def cookies(self) -> dict[str, str]:
        given = self.headers.get("set-cookie", "").partition(";")[0]
        return dict([given.split("=", 1)]) if given else {}


class Site:
    """A board with its page. ``acts`` are those that were sent; ``deaf`` takes none."""

    def __init__(self, **options: Any) -> None:
        self.board = Board()
        self.acts: list[Act] = []
        self.deaf = False
        self.clock = ManualClock(options.pop("now", START / 1000 + 1))
        options = {"clock": self.clock, **options}
        routes = page_routes(self.board, self._take, TOKEN, **options)
        hosts = known_hosts("127.0.0.1:0", options.get("url", ""))
        self.server = serve(application(CollectorRegistry(), routes=routes, hosts=hosts), "127.0.0.1:0")
        self.cookies: dict[str, str] = {}

    def _take(self, act: Act) -> None:
        if self.deaf:
            raise OSError("no broker answers")
        self.acts.append(act)

    def tell(self, *effects: Any) -> None:
        for effect in effects:
            self.board.handle(effect)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        given = {**(headers or {})}
        if self.cookies:
            given["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        try:
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read().decode())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, None, headers)

    def enter(self) -> None:
        """Open the link with the token."""
        self.cookies |= self.get(f"/?token={TOKEN}").cookies

    def proof(self, path: str) -> str:
        found = re.search(r'name="proof" value="([0-9a-f]+)"', self.get(path).text)
        return found[1] if found else ""

    def post(self, fields: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Answer:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.ask("POST", "/acts", urlencode(fields).encode(), {**kind, **(headers or {})})

    def close(self) -> None:
        assert self.server.close(10)
