"""Serves the app from a thread inside somebody else's process: no signal handlers, no settings of logs."""

from __future__ import annotations

import errno
import itertools
import logging
import resource
import socket
import threading
import time
from typing import TYPE_CHECKING

from swirl.errors import MissingExtraError, SettingsError

try:
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ImportError as error:
    raise MissingExtraError(error.name or "uvicorn", "watch") from None

if TYPE_CHECKING:
    import asyncio
    from typing import Any

    from starlette.applications import Starlette

__all__ = ["Server", "serve"]

_log = logging.getLogger("swirl.web")
_TRIES, _PAUSE_S = 10, 0.05
_MOST_CONNECTIONS = 512
"""Open at once; fewer where the process may open few files, most of which belong to the host."""


class Server:
    """What :func:`serve` gives back.

    Attributes:
        listening: it takes requests.
        reason: why it does not listen, ``""`` if it does.
        host, port: where; with port 0 asked for, the port that was given.
    """

    def __init__(self, app: Starlette, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.listening, self.reason = False, ""
        self._thread: threading.Thread | None = None
        try:
            self._socket = _listen(host, port)
        except OSError as error:
            why = str(error.strerror or error).partition(" (while ")[0]  # it names the address once more
            self.reason = f"{host}:{port} cannot be listened on: {why}"
            _log.error(
                "no /metrics, the rest works: %s. Set SWIRL_HTTP to a free address, or to nothing",
                self.reason,
            )
            return
        self.port = self._socket.getsockname()[1]
        self._app = app
        self._server = uvicorn.Server(_config(app))
        self._thread = threading.Thread(target=self._run, name="swirl-web", daemon=True)
        self._thread.start()
        self.listening = True

    @property
    def url(self) -> str:
        """``http://host:port``."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def stop(self) -> None:
        """Begin to stop."""
        if self._thread is not None:
            self._app.state.closing = True  # endless answers end by themselves
            self._server.should_exit = True

    def abandon(self) -> None:
        """In a forked child: close the port that was inherited, or nobody could take it after the parent."""
        if self._thread is not None:
            self._socket.close()

    def close(self, timeout: float = 2.0) -> bool:
        """Stop; False if that took longer than ``timeout`` seconds."""
        if self._thread is None:
            return True
        self.stop()
        self._thread.join(timeout)
        self.listening = False
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._server.run([self._socket])
        except Exception:  # noqa: BLE001 - it is the last thing that the thread does
            _log.exception("the server of /metrics has stopped")
        finally:
            self.listening = False
            self._socket.close()


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens; after a process that was killed, the port may be free a moment late."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(_TRIES - 1):
        try:
            return socket.create_server((host, port), family=family)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        time.sleep(_PAUSE_S)
    return socket.create_server((host, port), family=family)


def serve(app: Starlette, address: str) -> Server:
    """Serve the app at ``host:port`` from a daemon thread.

    An address in use is logged and told by :attr:`Server.listening`; the process goes on without it.

    Raises:
        SettingsError: the address cannot be read.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise SettingsError(f"SWIRL_HTTP is {address!r}; it must be host:port, such as 127.0.0.1:9464")
    return Server(app, host.strip("[]") or "127.0.0.1", int(port))


class _Protocol(H11Protocol):
    """Without a line in the host's log for each scrape, and with a bound on what is open.

    Where there are too many connections, the one that has waited longest without asking for anything makes
    room, so that thousands of them never keep out a scrape; where all ask, it is the oldest.
    """

    most = _MOST_CONNECTIONS
    _ages = itertools.count()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False
        self.age = next(self._ages)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) <= self.most:
            return
        others = [other for other in self.connections if isinstance(other, _Protocol) and other is not self]
        idle = [other for other in others if other.idle]
        gone = min(idle or others, key=lambda other: other.age)
        gone.transport.abort()
        self.connections.discard(gone)

    @property
    def idle(self) -> bool:
        """Nothing was asked that is not answered."""
        return self.cycle is None or self.cycle.response_complete


def _room() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(16, min(_MOST_CONNECTIONS, soft // 4))


def _config(app: Starlette) -> uvicorn.Config:
    """Nothing global is touched: uvicorn would reset loggers of its own, which the host may use as well."""
    return uvicorn.Config(
        app,
        http=type("_Bounded", (_Protocol,), {"most": _room()}),
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level=None,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
