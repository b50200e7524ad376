from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry

from swirl.errors import SettingsError
from swirl.sinks.prometheus import PrometheusSink
from swirl.web import application, serve
from tests.sinks.scene import window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from swirl.web import Check, Server


def registry() -> CollectorRegistry:
    sink = PrometheusSink()
    sink.handle(window())
    found = CollectorRegistry()
    sink.register(found)
    return found


def start(*, live: Check = lambda: (True, "ok"), ready: Check = lambda: (True, "ok")) -> Server:
    server = serve(application(registry(), live=live, ready=ready), "127.0.0.1:0")
    assert server.listening
    return server


@pytest.fixture
def server() -> Iterator[Server]:
    found = start()
    yield found
    assert found.close(10)


def get(server: Server, path: str, **headers: str) -> tuple[int, str, str]:
    request = urllib.request.Request(server.url + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_metrics_come_as_text(server: Server) -> None:
    status, kind, body = get(server, "/metrics")
    assert (status, kind.partition(";")[0]) == (200, "text/plain")
    assert 'swirl_pipeline_info{pipeline="ads"} 1.0' in body


def test_metrics_come_as_openmetrics_to_those_who_accept_it(server: Server) -> None:
    status, kind, body = get(server, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert (status, kind.partition(";")[0]) == (200, "application/openmetrics-text")
    assert body.endswith("# EOF\n")


def test_checks_are_asked_each_time() -> None:
    answers = iter([(True, "following"), (False, "2 000 frames behind")])
    server = start(ready=lambda: next(answers))
    assert get(server, "/readyz")[::2] == (200, "following\n")
    assert get(server, "/readyz")[::2] == (503, "2 000 frames behind\n")
    status, _, body = get(server, "/readyz")
    assert (status, body.startswith("the check failed: ")) == (503, True)
    assert get(server, "/livez")[::2] == (200, "ok\n")
    assert server.close(10)


def test_other_paths_are_not_found(server: Server) -> None:
    assert get(server, "/")[0] == 404


def test_a_long_scrape_does_not_keep_livez_waiting() -> None:
    release, entered = threading.Event(), threading.Event()

    class Slow(CollectorRegistry):
        def collect(self) -> Iterator[Metric]:
            entered.set()
            assert release.wait(10)
            return iter(())

    server = serve(application(Slow()), "127.0.0.1:0")
    scrape = threading.Thread(target=get, args=(server, "/metrics"))
    scrape.start()
    assert entered.wait(10)
    assert get(server, "/livez")[0] == 200
    release.set()
    scrape.join(10)
    assert server.close(10)


def test_a_busy_port_is_told_and_hurts_nobody(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "swirl.web"):
        second = serve(application(registry()), f"127.0.0.1:{server.port}")
    assert not second.listening
    assert second.reason.startswith(f"127.0.0.1:{server.port} cannot be listened on: Address already in use")
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "SWIRL_HTTP" in caplog.text
    assert second.close()
    assert get(server, "/livez")[0] == 200


def test_a_port_that_is_free_a_moment_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    listen, tries = socket.create_server, iter([True, True, False])

    def late(*given: Any, **named: Any) -> socket.socket:
        if next(tries):
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return listen(*given, **named)

    monkeypatch.setattr("swirl.web.server.socket.create_server", late)
    server = start()
    assert get(server, "/livez")[0] == 200
    assert server.close(10)


def test_a_closed_server_frees_its_port() -> None:
    first = start()
    assert first.close(10)
    assert not first.listening
    with socket.create_server(("127.0.0.1", first.port)) as free:
        assert free.getsockname()[1] == first.port


@pytest.mark.parametrize("address", ["", "9464", "localhost:", "localhost:http", "localhost:99999"])
def test_an_address_that_cannot_be_read_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="SWIRL_HTTP"):
        serve(application(registry()), address)


def test_an_address_without_a_host_means_loopback() -> None:
    server = serve(application(registry()), ":0")
    assert server.host == "127.0.0.1"
    assert server.close(10)


def test_it_works_beside_an_event_loop_of_the_host() -> None:
    async def host() -> int:
        server = start()
        status = (await asyncio.to_thread(get, server, "/livez"))[0]
        assert await asyncio.to_thread(server.close, 10)
        return status

    assert asyncio.run(host()) == 200


def test_signals_and_loggers_of_the_host_stay_as_they_are() -> None:
    access = logging.getLogger("uvicorn.access")
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    server = start()
    get(server, "/livez")
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before
    assert (access.propagate, access.level, logging.getLogger("uvicorn.error").level) == (True, 0, 0)
    assert server.close(10)


def test_a_scrape_leaves_no_line_in_the_hosts_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "uvicorn.access"):
        server = start()
        get(server, "/metrics")
        assert server.close(10)
    assert not [record for record in caplog.records if record.name == "uvicorn.access"]


HOST = """
import signal, sys
from prometheus_client import CollectorRegistry
from swirl.web import application, serve
server = serve(application(CollectorRegistry()), "127.0.0.1:0")
try:
    print(server.listening, flush=True)
    signal.pause()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_the_host_still_gets_its_own_interrupt_and_ends_without_closing() -> None:
    with subprocess.Popen([sys.executable, "-c", HOST], stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout
        assert host.stdout.readline() == "True\n"
        os.kill(host.pid, signal.SIGINT)
        assert host.stdout.readline() == "interrupted\n"
        assert host.wait(10) == 0
