"""Names, streams and connections: what is served to whom, and how much at once."""

from __future__ import annotations

import http.client
import resource
import socket
import time
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from swirl.web import application, known_hosts, serve
from tests.sinks.scene import DATA, changed, window
from tests.web.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site(streams=3)
    found.tell(window(0), changed(DATA))
    yield found
    found.close()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9464", "127.0.0.1.evil.example", "[", ""])
def test_on_loopback_a_foreign_name_is_not_served_pages(site: Site, host: str) -> None:
    answer = site.get("/pipelines/ads", Host=host)
    assert answer.status == 421
    assert "SWIRL_URL" in answer.text
    assert site.get("/metrics", Host=host).status == 200
    assert site.get("/livez", Host=host).status == 200


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1", "[::1]:9464", "LOCALHOST"])
def test_on_loopback_its_own_names_are_served(site: Site, host: str) -> None:
    assert site.get("/pipelines/ads", Host=host).status == 200


def test_elsewhere_any_name_is_served_and_signed_routes_everywhere() -> None:
    assert known_hosts("0.0.0.0:9464") is None
    assert known_hosts("[::]:9464") is None
    said = Route("/slack", lambda _: PlainTextResponse("signed"))
    page = Route("/page", lambda _: PlainTextResponse("page"))
    app = application(
        CollectorRegistry(),
        routes=[page],
        signed=[said],
        hosts=known_hosts("127.0.0.1:0", "http://a.example:1"),
    )
    server = serve(app, "127.0.0.1:0")
    for path, host, status in (
        ("/slack", "tunnel.example", 200),
        ("/page", "tunnel.example", 421),
        ("/page", "a.example", 200),
        ("/none", "a.example", 404),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("GET", path, headers={"Host": host})
        assert connection.getresponse().status == status
        connection.close()
    assert server.close(10)


def stream(site: Site) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", site.server.port, timeout=10)
    connection.request("GET", "/events")
    return connection, connection.getresponse()


def event(answer: http.client.HTTPResponse) -> str:
    while not (line := answer.readline()).startswith(b"event: "):
        assert line, "the stream ended"
    return line.decode()[7:].strip()


def test_a_change_is_told_to_who_listens(site: Site) -> None:
    connection, answer = stream(site)
    assert event(answer) == "alive"
    site.tell(window(1))
    assert event(answer) == "changed"
    connection.close()


def test_streams_are_bounded_and_free_again_when_a_page_is_closed(site: Site) -> None:
    held = [stream(site) for _ in range(3)]
    assert [event(answer) for _, answer in held] == ["alive"] * 3
    connection, refused = stream(site)
    assert refused.status == 503
    connection.close()
    for each, answer in held:
        answer.close()
        each.close()
    deadline = time.monotonic() + 10
    status = 503
    while status == 503 and time.monotonic() < deadline:
        connection, answer = stream(site)
        status = answer.status
        answer.close()
        connection.close()
    assert status == 200


def test_open_streams_do_not_keep_the_server_from_closing(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    connection, answer = stream(site)
    assert event(answer) == "alive"
    began = time.monotonic()
    assert site.server.close(5)
    assert time.monotonic() - began < 3
    assert "Cancel" not in caplog.text
    answer.close()
    connection.close()


@pytest.mark.slow
def test_thousands_of_connections_leave_room_for_checks_scrapes_and_the_page(site: Site) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3000
    room = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard - 700)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, room + 700), hard))
    idle: list[socket.socket] = []
    try:
        for number in range(room):
            idle.append(socket.create_connection(("127.0.0.1", site.server.port), timeout=10))
            if number % 3 == 0:
                idle[-1].sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow:")
            if number % 500 == 499:
                assert site.get("/livez").status == 200
        for path in ("/livez", "/readyz", "/metrics", "/pipelines/ads"):
            assert site.get(path).status == 200
        assert len(idle) == room
        assert open_connections(site) <= 512 + 1
    finally:
        for each in idle:
            each.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_connections(site: Site) -> int:
    return len(site.server._server.server_state.connections)
