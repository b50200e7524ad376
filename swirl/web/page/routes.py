"""The routes of the live page."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from swirl.clock import SystemClock
from swirl.errors import MissingExtraError

try:
    import jinja2  # noqa: F401 - told by the name of its package where it is missing
    from starlette.responses import HTMLResponse, RedirectResponse, Response
    from starlette.routing import Route
except ImportError as error:
    raise MissingExtraError(error.name or "starlette", "watch") from None

from urllib.parse import quote, urlencode

from starlette.concurrency import run_in_threadpool

from swirl.web.page.door import Door
from swirl.web.page.posts import ASK, FormError, act_of, read_form
from swirl.web.page.render import Pages
from swirl.web.page.static import HEADERS, static_routes
from swirl.web.page.stream import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from swirl.clock import Clock
    from swirl.frame import Act
    from swirl.settings import Settings
    from swirl.sinks.board import Board

__all__ = ["page_routes"]

_log = logging.getLogger("swirl.web")


def page_routes(
    board: Board,
    act: Callable[[Act], None],
    token: str,
    *,
    settings: Sequence[Settings] = (),
    url: str = "",
    clock: Clock | None = None,
    streams: int = 100,
) -> list[BaseRoute]:
    """The page as routes for :func:`swirl.web.application`.

    Args:
        board: what is shown.
        act: sends what people say; raises :class:`OSError` where nobody takes it.
        token: lets a browser act: ``/?token=...`` once.
        settings: that are in effect; secrets are masked.
        url: where people reach the page, if not under its own address: ``SWIRL_URL``.
        clock: tells how old the newest window is; default: this machine's.
        streams: pages that may be told of changes at once; others ask every few seconds.
    """
    desk = _Desk(board, act, Door(token, url), Pages(board, settings, clock or SystemClock()))
    live = Streams(board, streams)
    return [
        Route("/", desk.home),
        Route("/login", desk.home),
        Route("/pipelines/{name:path}", desk.pipeline),
        Route("/incidents/{ident:path}", desk.incident),
        Route("/settings", desk.settings),
        Route("/events", live.answer),
        Route("/acts", desk.post, methods=["POST"]),
        *static_routes(),
    ]


class _Desk:
    def __init__(self, board: Board, act: Callable[[Act], None], door: Door, pages: Pages) -> None:
        self._board, self._act, self._door, self._pages = board, act, door, pages
        self._warned = False

    # Plain functions run in a thread, so that a page of thousands of series never keeps /livez waiting.

    def home(self, request: Request) -> Response:
        if "token" in request.query_params:
            return self._enter(request)
        names = self._board.names()
        if len(names) == 1 and "all" not in request.query_params:
            return RedirectResponse(f"/pipelines/{quote(names[0], safe='')}", 303, HEADERS)
        return self._page(request, self._pages.pipelines())

    def pipeline(self, request: Request) -> Response:
        if "token" in request.query_params:
            return self._enter(request)
        view = self._board.view(request.path_params["name"])
        if view is None:
            return self._missing(request, "No pipeline of this name is watched here.")
        stage = request.query_params.get("stage")
        begin = request.query_params.get("from", "0")
        if stage is None:
            main = self._pages.pipeline(view, self._proof(request), self._door.name(request))
        else:
            main = self._pages.stage(view, stage, int(begin[:9]) if begin.isdecimal() else 0)
        return self._page(request, main)

    def incident(self, request: Request) -> Response:
        if "token" in request.query_params:
            return self._enter(request)
        incident = self._board.incident(request.path_params["ident"])
        if incident is None:
            return self._missing(
                request, "This incident is not known here, or was so long ago that it is gone."
            )
        return self._page(
            request, self._pages.incident(incident, self._proof(request), self._door.name(request))
        )

    def settings(self, request: Request) -> Response:
        return self._page(request, self._pages.settings())

    async def post(self, request: Request) -> Response:
        # Who has no cookie is answered before a byte of the body is read.
        if not self._door.same_site(request):
            return await run_in_threadpool(
                self._refused, request, 403, "The form came from another site. Nothing was changed."
            )
        if not self._door.knows(request):
            return await run_in_threadpool(
                self._refused,
                request,
                403,
                "This browser may look, not act. Open the link with the token first.",
            )
        try:
            form = await read_form(request)
        except FormError as error:
            return await run_in_threadpool(self._refused, request, error.status, str(error))
        return await run_in_threadpool(self._take, request, form)

    def _take(self, request: Request, form: dict[str, str]) -> Response:
        if not self._door.proves(form.get("proof", "")):
            return self._refused(
                request, 403, "The form is not of this page, or an old one. Load the page anew."
            )
        try:
            found = act_of(form, self._board)
        except FormError as error:
            return self._refused(request, error.status, str(error))
        if found.act in ASK and form.get("sure") != "yes":
            return self._page(request, self._pages.ask(found, ASK[found.act], self._door.proof()))
        try:
            self._act(found)
        except OSError as error:
            _log.warning("an act from the page could not be sent: %s", error)
            return self._refused(
                request, 503, f"Nobody took it: {error}. Try again, or use the command swirl."
            )
        back = f"/pipelines/{quote(found.pipeline, safe='')}"
        if found.incident and form.get("back") == "incident":
            back = f"/incidents/{quote(found.incident, safe='')}"
        response = RedirectResponse(f"{back}?{urlencode({'said': found.act})}", 303, HEADERS)
        if found.who != "page":
            self._door.remember(response, found.who)
        return response

    def _enter(self, request: Request) -> Response:
        """The cookie, and the way to the same page without the token in its address.

        A page that refreshes itself rather than a redirect: a strict cookie is not sent along a redirect
        that began at another site, such as a link in a chat.
        """
        if not self._door.opens(request.query_params["token"]):
            if not self._warned:
                self._warned = True
                _log.warning("a link with a wrong token was opened; others that follow are not told")
            return self._refused(
                request, 403, "This link is not valid any more. `swirl page` prints the new one."
            )
        path = request.url.path
        to = "/" if path == "/login" else quote(path)
        response = HTMLResponse(self._pages.entered(to), headers=HEADERS)
        self._door.enter(request, response)
        return response

    def _page(self, request: Request, main: Any, status: int = 200) -> Response:
        said = request.query_params.get("said", "")
        text = self._pages.shell(
            main,
            may_act=self._door.knows(request),
            said=said,
            here=_without(request, "said"),
            still=status != 200 or request.method == "POST",
        )
        return HTMLResponse(text, status, HEADERS)

    def _proof(self, request: Request) -> str:
        """What forms carry; without the cookie there are no forms."""
        return self._door.proof() if self._door.knows(request) else ""

    def _missing(self, request: Request, why: str) -> Response:
        return self._refused(request, 404, why)

    def _refused(self, request: Request, status: int, why: str) -> Response:
        return self._page(request, self._pages.refused(why), status)


def _without(request: Request, name: str) -> str:
    """The address of the page itself, without one of its parameters."""
    kept = urlencode([(k, v) for k, v in request.query_params.multi_items() if k != name])
    return f"{request.url.path}?{kept}" if kept else request.url.path
