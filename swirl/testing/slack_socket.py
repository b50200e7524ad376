"""Socket Mode of the stand-in: as much of WebSocket (RFC 6455) as slack-sdk's client speaks."""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from hashlib import sha1
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler
    from io import BufferedIOBase
    from socket import socket

__all__ = ["Sockets"]

_PATH = "/socket"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PONG = 1, 8, 10


class Sockets:
    """The connections of those who hear buttons.

    Attributes:
        answers: what they sent, in order: the ids of the envelopes that they took.
        opened: how often an address was asked for.
    """

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.opened = 0
        self._open: list[socket] = []
        self._sent = 0
        self._changed = threading.Condition()

    def open(self, port: int) -> dict[str, Any]:
        """What ``apps.connections.open`` answers."""
        self.opened += 1
        return {"ok": True, "url": f"ws://127.0.0.1:{port}{_PATH}?ticket={self.opened}"}

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        """Speak with one client until it goes."""
        key = request.headers.get("Sec-WebSocket-Key", "")
        request.close_connection = True
        if not request.path.startswith(_PATH) or not key:
            request.send_error(404)
            return
        accept = b64encode(sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()
        connection = request.connection
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
        )
        with self._changed:
            self._open.append(connection)
            self._changed.notify_all()
        try:
            self._listen(request.rfile, connection)
        except OSError:
            pass
        finally:
            with self._changed:
                self._open.remove(connection)
                self._changed.notify_all()

    def wait(self, clients: int = 1, timeout: float = 10.0) -> bool:
        """Wait until so many are connected."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._open) == clients, timeout)

    def press(self, payload: dict[str, Any], timeout: float = 10.0) -> bool:
        """Send what somebody pressed to one of the clients; whether it was taken in time."""
        with self._changed:
            self._sent += 1
            ident = f"envelope-{self._sent}"
            told = {"type": "interactive", "envelope_id": ident, "payload": payload}
            self._open[-1].sendall(_frame(_TEXT, json.dumps(told).encode()))
            return self._changed.wait_for(lambda: ident in self.answers, timeout)

    def close(self) -> None:
        """Let go of all clients."""
        with self._changed:
            for connection in self._open:
                try:
                    connection.sendall(_frame(_CLOSE, b"\x03\xe8"))
                    connection.shutdown(2)
                except OSError:
                    continue

    def _listen(self, stream: BufferedIOBase, connection: socket) -> None:
        while len(head := stream.read(2)) == 2:
            size = head[1] & 127
            if size >= 126:
                size = int.from_bytes(stream.read(2 if size == 126 else 8), "big")
            mask = stream.read(4)
            data = bytes(byte ^ mask[i % 4] for i, byte in enumerate(stream.read(size)))
            match head[0] & 15:
                case 9:
                    connection.sendall(_frame(_PONG, data))
                case 8:
                    return
                case 1:
                    with self._changed:
                        self.answers.append(str(json.loads(data).get("envelope_id")))
                        self._changed.notify_all()


def _frame(kind: int, data: bytes) -> bytes:
    size = len(data)
    length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
    return bytes([128 | kind]) + length + data
