"""Style, script and icons: files of the package under addresses that change with their contents."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

__all__ = ["HEADERS", "address", "static_routes"]

_KINDS = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "healthy.svg": "image/svg+xml",
    "learning.svg": "image/svg+xml",
    "open.svg": "image/svg+xml",
}

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

# With no-referrer a browser would send "Origin: null" with every form, and none could be taken.
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every page: nothing from elsewhere, nothing inline, nothing kept."""


@cache
def _file(name: str) -> bytes:
    return files("swirl.web.page").joinpath("assets", name).read_bytes()


@cache
def address(name: str) -> str:
    """Where a file is: its contents are in the address, so a browser may keep it for ever."""
    return f"/static/{sha256(_file(name)).hexdigest()[:12]}/{name}"


def static_routes() -> list[BaseRoute]:
    """The files."""
    return [Route("/static/{version}/{name}", _serve)]


def _serve(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _KINDS:
        return PlainTextResponse("not found\n", 404)
    kept = "public, max-age=31536000, immutable" if request.url.path == address(name) else "no-cache"
    headers = {"Cache-Control": kept, "X-Content-Type-Options": "nosniff"}
    return Response(_file(name), media_type=_KINDS[name], headers=headers)
