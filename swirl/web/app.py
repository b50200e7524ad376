"""``/metrics`` for Prometheus, ``/livez`` and ``/readyz`` for whoever keeps the process running."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from swirl.errors import MissingExtraError

try:
    from prometheus_client.exposition import choose_encoder
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route
except ImportError as error:
    raise MissingExtraError(error.name or "starlette", "watch") from None

if TYPE_CHECKING:
    from prometheus_client.registry import Collector
    from starlette.requests import Request

__all__ = ["Check", "application"]

Check = Callable[[], tuple[bool, str]]
"""Whether all is well, and in words why or why not."""


def _well() -> tuple[bool, str]:
    return True, "ok"


def application(registry: Collector, *, live: Check = _well, ready: Check = _well) -> Starlette:
    """The app.

    Args:
        registry: what ``/metrics`` collects from, in text or OpenMetrics as the caller accepts.
        live: False asks for a restart of the process.
        ready: False asks for patience.
    """

    def metrics(request: Request) -> Response:
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": kind})

    def livez(_: Request) -> Response:
        return _verdict(live)

    def readyz(_: Request) -> Response:
        return _verdict(ready)

    # Plain functions, so that they run in a thread and a long scrape never keeps /livez waiting.
    return Starlette(routes=[Route("/metrics", metrics), Route("/livez", livez), Route("/readyz", readyz)])


def _verdict(check: Check) -> Response:
    try:
        well, detail = check()
    except Exception as error:  # noqa: BLE001 - a check that fails is an answer too
        well, detail = False, f"the check failed: {error!r}"
    return PlainTextResponse(detail + "\n", 200 if well else 503)
