"""What people say on the page: who may, how it is proved, what is sent."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from swirl.effect import Mute, MuteChanged
from swirl.frame import Act
from tests.sinks.scene import DATA, START, changed, window
from tests.web.site import TOKEN, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = "/pipelines/ads"


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()
    found.tell(window(0), changed(DATA))
    yield found
    found.close()


def form(site: Site, act: str, **fields: str) -> dict[str, str]:
    return {"act": act, "incident": DATA.id, "proof": site.proof(PAGE), **fields}


def test_without_the_token_there_are_no_buttons_and_a_line_says_how_to_get_them(site: Site) -> None:
    html = site.get(PAGE).text
    assert "<button" not in html
    assert "<form" not in html
    assert "<code>swirl page</code>" in html


def test_the_link_with_the_token_gives_a_strict_cookie_and_leads_to_the_clean_address(site: Site) -> None:
    answer = site.get(f"{PAGE}?token={TOKEN}")
    assert answer.status == 200
    given = answer.headers["set-cookie"].lower()
    assert "httponly" in given
    assert "samesite=strict" in given
    assert "path=/" in given
    assert TOKEN not in given
    assert TOKEN not in answer.text
    assert f"url={PAGE}" in answer.text
    site.enter()
    assert "<button" in site.get(PAGE).text


def test_a_wrong_token_opens_nothing(site: Site) -> None:
    for token in ("", "wrong", TOKEN + "x", TOKEN[:-1], "é"):
        answer = site.get(f"/?token={token}".encode("ascii", "xmlcharrefreplace").decode())
        assert answer.status == 403
        assert "set-cookie" not in answer.headers
    site.cookies = {"swirl_session": TOKEN}
    assert "<button" not in site.get(PAGE).text


@pytest.mark.parametrize(
    ("act", "for_ms"), [("acknowledge", 0), ("snooze", 3_600_000), ("resolve", 0)], ids=str
)
def test_a_button_sends_its_act(site: Site, act: str, for_ms: int) -> None:
    site.enter()
    answer = site.post(form(site, act, who="Mara"))
    assert (answer.status, answer.headers["location"]) == (303, f"{PAGE}?said={act}")
    assert site.acts == [Act("ads", act, DATA.id, "Mara", for_ms=for_ms, via="page")]  # type: ignore[arg-type]


@pytest.mark.parametrize("act", ["new_normal", "false_alarm"])
def test_what_changes_the_usual_is_asked_again(site: Site, act: str) -> None:
    site.enter()
    answer = site.post(form(site, act, who="Mara"))
    assert answer.status == 200
    assert 'name="sure" value="yes"' in answer.text
    assert site.acts == []
    assert site.post(form(site, act, who="Mara", why="we moved", sure="yes")).status == 303
    assert site.acts == [Act("ads", act, DATA.id, "Mara", "we moved", via="page")]  # type: ignore[arg-type]


def test_after_the_end_one_may_say_whether_it_was_true(site: Site) -> None:
    site.enter()
    site.tell(changed(DATA, "resolved", ending="calm"))
    path = f"/incidents/{DATA.id}"
    assert 'value="confirm"' in site.get(path).text
    assert 'value="acknowledge"' not in site.get(path).text
    fields = {"act": "confirm", "incident": DATA.id, "proof": site.proof(path), "back": "incident"}
    assert site.post(fields).headers["location"] == f"{path}?said=confirm"
    assert site.acts == [Act("ads", "confirm", DATA.id, "page", via="page")]
    assert site.post(fields | {"act": "acknowledge"}).status == 409
    assert len(site.acts) == 1


def test_planned_work_needs_a_reason_and_can_be_ended(site: Site) -> None:
    site.enter()
    fields = {"act": "mute", "pipeline": "ads", "stage": "ingest", "hours": "2", "proof": site.proof(PAGE)}
    assert site.post(fields).status == 400
    assert site.post(fields | {"why": "new schema", "stage": "nowhere"}).status == 400
    assert site.post(fields | {"why": "new schema", "hours": "999"}).status == 400
    assert site.post(fields | {"why": "new schema", "pipeline": "other"}).status == 404
    assert site.post(fields | {"why": "new schema", "who": "Mara"}).status == 303
    site.tell(MuteChanged("ads", "began", Mute("ingest", START, START + 7_200_000)))
    assert site.post({**fields, "act": "unmute"}).status == 303
    assert site.acts == [
        Act("ads", "mute", "", "Mara", "new schema", stage="ingest", for_ms=7_200_000, via="page"),
        Act("ads", "unmute", "", "page", stage="ingest", via="page"),
    ]


def test_the_name_of_the_person_is_remembered(site: Site) -> None:
    site.enter()
    site.cookies |= site.post(form(site, "acknowledge", who="Mära <b>")).cookies
    assert 'name="who" value="Mära &lt;b&gt;"' in site.get(PAGE).text
    site.cookies["swirl_name"] = "zz"
    assert site.get(PAGE).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=lambda given: ", ".join(given.values()),
)
def test_a_form_from_another_site_is_refused(site: Site, headers: dict[str, str]) -> None:
    site.enter()
    answer = site.post(form(site, "acknowledge"), headers)
    assert answer.status == 403
    assert site.acts == []


def test_a_form_of_this_page_is_taken_whatever_the_browser_tells(site: Site) -> None:
    site.enter()
    here = {"Origin": f"http://127.0.0.1:{site.server.port}", "Sec-Fetch-Site": "same-origin"}
    assert site.post(form(site, "acknowledge"), here).status == 303


def test_behind_a_proxy_the_address_that_people_use_counts() -> None:
    site = Site(url="https://swirl.example.org")
    site.tell(window(0), changed(DATA))
    site.enter()
    assert site.post(form(site, "acknowledge"), {"Origin": "https://swirl.example.org"}).status == 303
    assert site.get(PAGE, Host="swirl.example.org").status == 200
    site.close()


def test_without_the_cookie_or_the_proof_nothing_is_taken(site: Site) -> None:
    site.enter()
    good = form(site, "acknowledge")
    for proof in ("", "0" * 64, "é"):
        assert site.post(good | {"proof": proof}).status == 403
    site.cookies = {}
    assert site.post(good).status == 403
    assert site.acts == []


def test_what_is_no_act_is_refused(site: Site) -> None:
    site.enter()
    assert site.post(form(site, "delete")).status == 400
    assert site.post(form(site, "")).status == 400
    assert site.post(form(site, "acknowledge") | {"incident": "ads-19990101-000000"}).status == 404
    assert site.post(form(site, "confirm")).status == 409
    assert site.get("/acts").status == 405
    kind = {"Content-Type": "application/json"}
    assert site.ask("POST", "/acts", b"{}", kind).status == 415
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert site.ask("POST", "/acts", b"\xff\xfe=1", kind).status == 400
    assert site.ask("POST", "/acts", b"&".join(b"a=%d" % n for n in range(100)), kind).status == 400
    assert site.acts == []


def test_a_long_body_is_refused_by_its_announcement_and_by_its_length(site: Site) -> None:
    site.enter()
    assert site.post(form(site, "acknowledge", why="x" * 10_001)).status == 413
    cookie = "; ".join(f"{name}={value}" for name, value in site.cookies.items())
    head = (
        f"POST /acts HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\nTransfer-Encoding: chunked\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", site.server.port), timeout=10) as wire:
        wire.sendall(head.encode())
        sent = 0
        try:
            while sent < 10_000_000:
                wire.sendall(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
                sent += 10_000
        except OSError:
            pass  # the server has answered and gone
        try:
            said = wire.recv(100)
        except ConnectionResetError:
            said = b""
    assert said.startswith(b"HTTP/1.1 413") or (not said and sent < 10_000_000)
    assert site.acts == []


def test_where_nobody_takes_the_act_the_page_says_so(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.enter()
    site.deaf = True
    answer = site.post(form(site, "acknowledge"))
    assert answer.status == 503
    assert "no broker answers" in answer.text
    assert "could not be sent" in caplog.text
