"""Several processes of one machine, one watch: the others send it their frames over a Unix socket.

Messages are a length in 4 bytes, big-endian, and as many bytes of MessagePack: ``[pipeline, frame]`` towards
the process that watches, ``[pipeline, verdict]`` from it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import socket
import struct
import threading
from typing import TYPE_CHECKING

import msgspec

from swirl.frame import MAX_BYTES, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ShareClient", "ShareServer"]

_log = logging.getLogger("swirl.engine")
_LENGTH = struct.Struct(">I")
_LONGEST = MAX_BYTES + 1000
_REST_S = 0.2
_encode = msgspec.msgpack.Encoder().encode
_decode_frame = msgspec.msgpack.Decoder(tuple[str, bytes]).decode
_decode_verdict = msgspec.msgpack.Decoder(tuple[str, Verdict]).decode


def _message(content: object) -> bytes:
    body = _encode(content)
    return _LENGTH.pack(len(body)) + body


class _Inbox:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the messages that are complete.

        Raises:
            ValueError: a length that no honest sender announces.
        """
        self._bytes += data
        while len(self._bytes) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._bytes)
            if length > _LONGEST:
                raise ValueError(f"a message of {length} bytes")
            end = _LENGTH.size + length
            if len(self._bytes) < end:
                return
            message = bytes(self._bytes[_LENGTH.size : end])
            del self._bytes[:end]
            yield message


class ShareServer:
    """Listens for the frames of other processes of the same user.

    Args:
        path: of the socket; an old one is replaced, since the lock says that nobody listens there.
        receive: is handed ``(pipeline, frame)`` from the server's thread; must not block or raise.
    """

    def __init__(self, path: str, receive: Callable[[str, bytes], object]) -> None:
        self._path = path
        self._receive = receive
        self._verdicts: dict[str, bytes] = {}
        self._clients: dict[socket.socket, _Inbox] = {}
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - the path is a string for the kernel
        self._listener.bind(path)
        os.chmod(path, 0o600)  # noqa: PTH101 - as above
        self._listener.listen(64)
        self._listener.settimeout(0)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._end, self._stop = socket.socketpair()
        self._selector.register(self._end, selectors.EVENT_READ)
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="swirl-share", daemon=True)
        self._thread.start()

    def tell(self, pipeline: str, verdict: Verdict) -> None:
        """Send a verdict to all processes, and to those that come later."""
        message = _message((pipeline, verdict))
        with self._guard:
            self._verdicts[pipeline] = message
            for client in list(self._clients):
                self._send(client, message)

    def _send(self, client: socket.socket, message: bytes) -> None:
        try:
            if client.send(message) < len(message):
                # The rest would be taken for the beginning of the next one: it has to call again.
                client.shutdown(socket.SHUT_RDWR)
        except OSError:
            # A client that does not read its verdicts learns the next one; nobody waits for it.
            _log.debug("a verdict could not be sent", exc_info=True)

    def close(self, timeout: float = 1.0) -> None:
        """Stop listening, within ``timeout`` seconds."""
        self._stop.close()
        self._thread.join(timeout)

    def abandon(self) -> None:
        """In a forked child: close what was inherited, and nothing that is shared with the parent."""
        for item in (self._listener, self._end, self._stop, *self._clients):
            item.close()
        self._selector.close()

    def _run(self) -> None:
        running = True
        while running:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._end:
                    running = False
                else:
                    assert isinstance(key.fileobj, socket.socket)
                    self._read(key.fileobj)
        with self._guard:
            for client in list(self._clients):
                self._drop(client)
        for item in (self._listener, self._end):
            item.close()
        self._selector.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)  # noqa: PTH108 - as above

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:
            # No more file descriptors: the caller still waits, and would be found waiting at once again.
            self._end.settimeout(_REST_S)
            with contextlib.suppress(TimeoutError):
                self._end.recv(1, socket.MSG_PEEK)
            return
        client.settimeout(0)
        self._selector.register(client, selectors.EVENT_READ)
        with self._guard:
            self._clients[client] = _Inbox()
            for message in self._verdicts.values():
                self._send(client, message)

    def _read(self, client: socket.socket) -> None:
        try:
            data = client.recv(1 << 18)
            for message in self._clients[client].feed(data):
                pipeline, frame = _decode_frame(message)
                self._receive(pipeline, frame)
        except BlockingIOError:
            return
        except (OSError, ValueError, msgspec.MsgspecError):
            data = b""
        if not data:
            with self._guard:
                self._drop(client)

    def _drop(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        del self._clients[client]
        client.close()


class ShareClient:
    """Sends frames to the process that watches.

    Args:
        path: of its socket.
        told: is handed ``(pipeline, verdict)`` from the client's thread; must not block or raise.

    Raises:
        OSError: nobody listens there.
    """

    def __init__(self, path: str, told: Callable[[str, Verdict], object]) -> None:
        self._told = told
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(2.0)
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self._listen, name="swirl-share", daemon=True)
        self._thread.start()

    def send(self, pipeline: str, frame: bytes) -> None:
        """Send one frame.

        Raises:
            OSError: the process that watches is gone, or does not read.
        """
        with self._guard:
            self._socket.sendall(_message((pipeline, frame)))

    def close(self, timeout: float = 1.0) -> None:
        """Hang up, within ``timeout`` seconds."""
        self._hang_up()
        self._thread.join(timeout)
        self._socket.close()

    def abandon(self) -> None:
        """In a forked child: close what was inherited; the parent goes on with it."""
        self._socket.close()

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        try:
            self._hear()
        finally:
            self._hang_up()  # so that the next frame finds out, and calls again

    def _hear(self) -> None:
        inbox = _Inbox()
        while True:
            try:
                data = self._socket.recv(1 << 16)
                for message in inbox.feed(data):
                    self._told(*_decode_verdict(message))
            except TimeoutError:
                continue
            except (OSError, ValueError, msgspec.MsgspecError):
                return
            if not data:
                return
