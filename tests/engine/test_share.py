"""The socket that the processes of a machine share."""

from __future__ import annotations

import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from swirl.engine.share import ShareClient, ShareServer
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
