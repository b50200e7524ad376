"""Who may act: a token in a link becomes a cookie, and every form proves that it comes from this page."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["COOKIE", "NAME_COOKIE", "Door"]

COOKIE = "swirl_session"
NAME_COOKIE = "swirl_name"
_YEAR_S = 365 * 86_400


class Door:
    """Keeps the token.

    The cookie is made of the token by HMAC, and the proof in each form of the cookie, so neither tells the
    token, and a new token ends all sessions. All comparisons take the same time whatever they compare.

    Args:
        token: lets a browser act.
        url: where people reach the page, ``""`` if only under its own address: a proxy may hide that.
    """

    def __init__(self, token: str, url: str = "") -> None:
        self._token = token.encode()
        self._session = self._made("session", token)
        self._outside = urlsplit(url).netloc.lower()

    def opens(self, token: str) -> bool:
        """Whether this is the token; nothing opens where there is none."""
        return bool(self._token) and hmac.compare_digest(token.encode(), self._token)

    def enter(self, request: Request, response: Response) -> None:
        """Give the browser its cookie."""
        response.set_cookie(
            COOKIE,
            self._session,
            path="/",
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )

    def knows(self, request: Request) -> bool:
        """Whether the browser has the cookie."""
        given = request.cookies.get(COOKIE, "")
        return bool(self._token) and hmac.compare_digest(given.encode(), self._session.encode())

    def proof(self) -> str:
        """What a form of this page carries, and no other site can know."""
        return self._made("form", self._session)

    def proves(self, given: str) -> bool:
        """Whether a form is this page's."""
        return hmac.compare_digest(given.encode(), self.proof().encode())

    def same_site(self, request: Request) -> bool:
        """False where the browser says that another site sends the request."""
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return False
        origin = request.headers.get("origin")
        if origin is None:
            return True
        allowed = {request.headers.get("host", "").lower(), self._outside} - {""}
        return urlsplit(origin).netloc.lower() in allowed

    @staticmethod
    def remember(response: Response, name: str) -> None:
        """Keep the name of the person for next time."""
        quoted = name.encode().hex()
        response.set_cookie(NAME_COOKIE, quoted, max_age=_YEAR_S, path="/", httponly=True, samesite="strict")

    @staticmethod
    def name(request: Request) -> str:
        """The name that was remembered, ``""`` for none."""
        try:
            return bytes.fromhex(request.cookies.get(NAME_COOKIE, "")).decode()[:80]
        except ValueError:
            return ""

    def _made(self, what: str, of: str) -> str:
        return hmac.new(self._token, f"swirl page {what} {of}".encode(), sha256).hexdigest()
