"""``/metrics`` for Prometheus, ``/livez`` and ``/readyz`` for whoever keeps the process up, and the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from swirl.errors import MissingExtraError

try:
    from prometheus_client.exposition import choose_encoder
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Mount, Route
except ImportError as error:
    raise MissingExtraError(error.name or "starlette", "watch") from None

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prometheus_client.registry import Collector
    from starlette.requests import Request
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Check", "application", "known_hosts"]

Check = Callable[[], tuple[bool, str]]
"""Whether all is well, and in words why or why not."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def _well() -> tuple[bool, str]:
    return True, "ok"


def known_hosts(address: str, url: str = "") -> frozenset[str] | None:
    """Under which names people may reach what listens at an address.

    Args:
        address: ``host:port``, as in ``SWIRL_HTTP``.
        url: where people reach the page, if it is told.

    Returns:
        For a loopback address its own names and that of ``url``: a web site whose name was made to lead to
        this machine is not served. None, any, for other addresses.

    Example:
        >>> sorted(known_hosts("127.0.0.1:9464", "https://swirl.example.org"))
        ['127.0.0.1', '::1', 'localhost', 'swirl.example.org']
        >>> known_hosts("0.0.0.0:9464") is None
        True
    """
    if (address.rpartition(":")[0].strip("[]") or "127.0.0.1") not in _LOOPBACK:
        return None
    outside = urlsplit(url).hostname
    return _LOOPBACK | {outside} if outside else _LOOPBACK


def application(
    registry: Collector,
    *,
    live: Check = _well,
    ready: Check = _well,
    routes: Sequence[BaseRoute] = (),
    signed: Sequence[BaseRoute] = (),
    hosts: frozenset[str] | None = None,
) -> Starlette:
    """The app.

    Args:
        registry: what ``/metrics`` collects from, in text or OpenMetrics as the caller accepts.
        live: False asks for a restart of the process.
        ready: False asks for patience.
        routes: the page and what else is for people; served only under ``hosts``.
        signed: routes that check for themselves who calls, such as Slack's; served under any name.
        hosts: see :func:`known_hosts`; None: any.
    """

    def metrics(request: Request) -> Response:
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": kind})

    def livez(_: Request) -> Response:
        return _verdict(live)

    def readyz(_: Request) -> Response:
        return _verdict(ready)

    # Plain functions, so that they run in a thread and a long scrape never keeps /livez waiting.
    found: list[BaseRoute] = [
        Route("/metrics", metrics),
        Route("/livez", livez),
        Route("/readyz", readyz),
        *signed,
    ]
    if routes:
        found.append(Mount("", routes=routes, middleware=[Middleware(_Known, hosts=hosts)]))
    return Starlette(routes=found)


class _Known:
    """Serves only under names that are known: against sites that let their own name lead to this machine."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._hosts is not None and scope["type"] == "http" and _host(scope) not in self._hosts:
            said = "This name is not known here. Set SWIRL_URL to the address under which people come.\n"
            await PlainTextResponse(said, 421)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _host(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
    try:
        return urlsplit(f"//{given}").hostname or ""
    except ValueError:
        return ""


def _verdict(check: Check) -> Response:
    try:
        well, detail = check()
    except Exception as error:  # noqa: BLE001 - a check that fails is an answer too
        well, detail = False, f"the check failed: {error!r}"
    return PlainTextResponse(detail + "\n", 200 if well else 503)
