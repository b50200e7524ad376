"""The socket that the processes of a machine share."""

from __future__ import annotations

import errno
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from swirl.engine.share import ShareClient, ShareServer, _message
from swirl.frame import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Arrivals:
    """What has come, and a way to wait for it."""

    def __init__(self) -> None:
        self.items: list[tuple[str, object]] = []
        self._changed = threading.Condition()

    def __call__(self, pipeline: str, content: object) -> None:
        with self._changed:
            self.items.append((pipeline, content))
            self._changed.notify_all()

    def wait(self, count: int) -> list[tuple[str, object]]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.items) >= count, timeout=10)
            return list(self.items)


@pytest.fixture
def frames() -> Arrivals:
    return Arrivals()


@pytest.fixture
def server(tmp_path: Path, frames: Arrivals) -> Iterator[ShareServer]:
    server = ShareServer(str(tmp_path / "s"), frames)
    yield server
    server.close()


def test_frames_of_several_processes_arrive_whole_and_in_order(
    tmp_path: Path, server: ShareServer, frames: Arrivals
) -> None:
    clients = [ShareClient(str(tmp_path / "s"), Arrivals()) for _ in range(3)]
    for number in range(50):
        for index, client in enumerate(clients):
            client.send(f"p{index}", bytes([number]) * (1 + 5_000 * (number % 7)))
    arrived = frames.wait(150)
    for index in range(3):
        mine = [content for pipeline, content in arrived if pipeline == f"p{index}"]
        assert mine == [bytes([n]) * (1 + 5_000 * (n % 7)) for n in range(50)]
    for client in clients:
        client.close()


def test_verdicts_reach_all_clients_and_those_that_come_later(tmp_path: Path, server: ShareServer) -> None:
    early, late = Arrivals(), Arrivals()
    one = ShareClient(str(tmp_path / "s"), early)
    one.send("p", b"hello")
    tripped = Verdict("tripped", 5, "p-1", "ingest", "data pipeline broken")
    server.tell("p", tripped)
    assert early.wait(1) == [("p", tripped)]
    two = ShareClient(str(tmp_path / "s"), late)
    assert late.wait(1) == [("p", tripped)]
    one.close()
    two.close()


def test_a_client_learns_that_the_server_is_gone(tmp_path: Path, frames: Arrivals) -> None:
    server = ShareServer(str(tmp_path / "s"), frames)
    client = ShareClient(str(tmp_path / "s"), Arrivals())
    client.send("p", b"x")
    frames.wait(1)
    server.close()
    with pytest.raises(OSError, match=r".+"):  # noqa: PT012 - the kernel may take one message more
        for _ in range(1_000):
            client.send("p", b"x" * 10_000)
    client.close()
    with pytest.raises(OSError, match=r".+"):
        ShareClient(str(tmp_path / "s"), Arrivals())


@pytest.mark.parametrize(
    "junk",
    [
        b"\xff\xff\xff\xff",
        struct.pack(">I", 3) + b"abc",
        struct.pack(">I", 1) + b"\xc0",
        b"",
    ],
)
def test_a_client_that_talks_nonsense_is_hung_up_on_and_others_go_on(
    tmp_path: Path, server: ShareServer, frames: Arrivals, junk: bytes
) -> None:
    stranger = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stranger.connect(str(tmp_path / "s"))
    stranger.settimeout(10)
    stranger.sendall(junk)
    if not junk:
        stranger.shutdown(socket.SHUT_WR)
    assert stranger.recv(1) == b""
    stranger.close()
    client = ShareClient(str(tmp_path / "s"), Arrivals())
    client.send("p", b"fine")
    assert frames.wait(1) == [("p", b"fine")]
    client.close()


def test_the_socket_is_for_its_owner_only_and_goes_with_the_server(tmp_path: Path, frames: Arrivals) -> None:
    path = tmp_path / "s"
    path.write_text("left behind by a crash")
    server = ShareServer(str(path), frames)
    assert path.stat().st_mode & 0o077 == 0
    server.close()
    assert not path.exists()


def test_a_verdict_that_fits_only_in_part_hangs_up_so_that_the_client_calls_again(
    tmp_path: Path, server: ShareServer, frames: Arrivals
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lazy:
        lazy.connect(str(tmp_path / "s"))
        lazy.settimeout(10)
        lazy.sendall(_message(("p", b"hello")))
        # Known to the server before it tells, so that nobody reads while it writes: the whole would fit then.
        assert frames.wait(1) == [("p", b"hello")]
        server.tell("p", Verdict("tripped", 5, "x" * 1_000_000, "ingest", "data pipeline broken"))
        received = 0
        while data := lazy.recv(1 << 20):
            received += len(data)
        assert 0 < received < 1_000_000


def test_a_client_that_hears_nonsense_hangs_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "odd"))
        listener.listen()
        client = ShareClient(str(tmp_path / "odd"), Arrivals())
        other, _ = listener.accept()
        other.settimeout(10)
        other.sendall(b"\xff\xff\xff\xff")
        assert other.recv(1) == b""
        with pytest.raises(OSError, match=r".+"):
            client.send("p", b"x")
        client.close()
        other.close()


def test_no_more_file_descriptors_cost_no_processor_time(
    tmp_path: Path, server: ShareServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.close()
    tries = 0

    class Full(socket.socket):
        """The process may open no more files."""

        def accept(self) -> tuple[socket.socket, object]:
            nonlocal tries
            tries += 1
            raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("swirl.engine.share.socket.socket", Full)
    full = ShareServer(str(tmp_path / "full"), Arrivals())
    monkeypatch.undo()
    caller = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    caller.connect(str(tmp_path / "full"))
    caller.settimeout(0.5)
    with pytest.raises(TimeoutError):
        caller.recv(1)
    full.close()
    caller.close()
    assert 1 <= tries < 20
