"""A process that watches, as commands meet it: the real monitor, board, socket and JSON, in virtual time."""

from __future__ import annotations

import contextlib
import threading
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from click.testing import CliRunner
from starlette.applications import Starlette

from swirl.cli.commands import group
from swirl.engine.share import ShareServer
from swirl.engine.store import StateFolder
from swirl.sinks.board import Board
from swirl.web import serve
from swirl.web.api import api_routes
from tests.acceptance.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from swirl.effect import Effect, Incident
    from swirl.testing import HarnessState
    from swirl.web import Server

__all__ = ["NOWHERE", "Said", "Watched", "called", "serving", "watched"]

NOWHERE = "127.0.0.1:1"
"""Where nobody listens."""


class Said(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """What was said on standard error, on one line."""
        return " ".join(self.err.split())


def called(*arguments: str, **environ: str) -> Said:
    """Call a command."""
    result = CliRunner().invoke(group, arguments, env=environ)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Said(result.exit_code, result.stdout, result.stderr)


@cache
def _past() -> HarnessState:
    scene = Scene(7)
    scene.run(1000)
    return scene.harness.save()


class Watched:
    """The ads pipeline, watched; see :func:`watched`."""

    def __init__(self, folder: Path) -> None:
        self.board = Board()
        self.scene = Scene(7, resume=_past())
        self._guard = threading.Lock()
        take = self.scene.harness._take

        def both(effect: Effect) -> None:
            take(effect)
            self.board.handle(effect)

        self.scene.harness._take = both  # type: ignore[method-assign]
        self.folder = StateFolder(folder)
        self.share = ShareServer(self.folder.socket_path, self.receive)
        self.received: list[bytes] = []
        self.deaf = False
        self.scene.run(30)

    def receive(self, pipeline: str, payload: bytes) -> None:
        """Fold a record, unless it is deaf."""
        with self._guard:
            self.received.append(payload)
            if not self.deaf:
                self.scene.harness._apply(payload)

    def run(self, seconds: float) -> None:
        """Let tweets come."""
        with self._guard:
            self.scene.run(seconds)

    def break_upstream(self) -> Incident:
        """Let an incident open."""
        self.scene.break_upstream(0.8)
        self.run(40)
        incident = self.scene.incidents[-1]
        assert incident.state == "open"
        return incident

    def incident(self, ident: str) -> Incident:
        """As it stands."""
        found = self.board.incident(ident)
        assert found is not None
        return found


@contextlib.contextmanager
def serving(board: Board) -> Iterator[Server]:
    """A board, served as JSON."""
    server = serve(Starlette(routes=api_routes(board, "0")), "127.0.0.1:0")
    try:
        yield server
    finally:
        assert server.close(10)


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[tuple[Watched, dict[str, str]]]:
    """A process that watches, and the environment in which commands find it."""
    process = Watched(folder / "state")
    try:
        with serving(process.board) as server:
            environ = {"SWIRL_HTTP": f"127.0.0.1:{server.port}", "SWIRL_STATE": str(process.folder.path)}
            yield process, environ
    finally:
        process.share.close()
