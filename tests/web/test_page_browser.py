"""The page in a real Chromium."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from swirl.cli.acts import BROKEN, BUG, HEALTHY, RECOVERY, ROLLBACK
from swirl.effect import Health
from tests.sinks.scene import DATA, changed, window
from tests.web.play import play
from tests.web.site import TOKEN, Site
from tests.web.test_page import BROKEN as OUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.browser import OpenTab

pytestmark = pytest.mark.service

ACTS = ["acknowledge", "snooze", "new_normal", "false_alarm", "resolve"]


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()
    well = Health(budget_a_week=1.0, series=7)
    found.tell(*(window(index, health=well) for index in range(-30, 0)), window(0, now=OUT), changed(DATA))
    yield found
    found.close()


def visit(page: Page, site: Site, path: str = "/pipelines/ads", *, act: bool = True) -> Page:
    if act:
        page.goto(f"{site.server.url}/?token={TOKEN}")
        page.wait_for_url(re.compile("/pipelines/ads$"))
    page.goto(site.server.url + path)
    return page


@pytest.mark.slow
def test_the_demonstration_is_followed_to_its_end_by_itself(open_tab: OpenTab) -> None:
    site, page = Site(), open_tab()
    headlines = {
        HEALTHY: re.compile("series that have limits are inside them"),
        BROKEN: re.compile("ingest: data pipeline broken"),
        RECOVERY: re.compile("are inside them|are inside their limits"),
        BUG: re.compile(r"classify: bad deployment 2026\.11\.2"),
        ROLLBACK: re.compile("are inside them|are inside their limits"),
    }
    moments = play(3000)
    site.tell(*chain.from_iterable(next(moments).effects for _ in range(5)))
    visit(page, site, act=False)
    page.evaluate("window.stayed = true")
    act = HEALTHY
    for moment in moments:
        if moment.act != act:
            expect(page.locator("h1")).to_have_text(headlines[act])
            act = moment.act
        site.clock.advance(max(0.0, moment.now_ms / 1000 - site.clock.now))
        site.tell(*moment.effects)
    expect(page.locator("h1")).to_have_text(headlines[ROLLBACK])
    expect(page.locator("#tl tbody tr")).to_have_count(2)
    assert page.evaluate("window.stayed")
    expect(page.locator("#said")).to_have_text(re.compile("Healthy"))
    site.close()


def test_each_button_sends_its_act(site: Site, open_tab: OpenTab) -> None:
    page = open_tab()
    for act in ACTS:
        visit(page, site, act=act == ACTS[0])
        page.locator(".acts input[name=who]").fill("Mara")
        page.locator(f"button[value={act}]").click()
        if act in ("new_normal", "false_alarm"):
            page.get_by_label("why, in your words").fill("we moved")
            page.get_by_role("button", name="Yes").click()
        expect(page.locator(".told")).to_contain_text("sent")
    said = [(sent.act, sent.incident, sent.who, sent.via) for sent in site.acts]
    assert said == [(act, DATA.id, "Mara", "page") for act in ACTS]


def test_planned_work_is_announced_from_the_page(site: Site, open_tab: OpenTab) -> None:
    page = visit(open_tab(), site)
    page.get_by_text("Mute for planned work").click()
    page.get_by_label("what", exact=False).and_(page.locator("select")).select_option("ingest")
    page.locator("select[name=hours]").select_option("2 h")
    page.locator(".planned input[name=why]").fill("new schema")
    page.locator("button[value=mute]").click()
    expect(page.locator(".told")).to_contain_text("Muted")
    (sent,) = site.acts
    assert (sent.act, sent.stage, sent.why, sent.for_ms) == ("mute", "ingest", "new schema", 7_200_000)


def test_without_javascript_the_page_reads_and_the_buttons_work(site: Site, open_tab: OpenTab) -> None:
    page = visit(open_tab(java_script_enabled=False), site)
    expect(page.locator("h1")).to_contain_text("ingest: data pipeline broken")
    assert page.locator("noscript meta, meta[http-equiv=refresh]").count() == 1
    page.locator("button[value=acknowledge]").click()
    assert [sent.act for sent in site.acts] == ["acknowledge"]


def test_where_one_writes_or_stands_the_page_does_not_take_it_away(site: Site, open_tab: OpenTab) -> None:
    page = visit(open_tab(), site)
    page.locator(".acts input[name=who]").fill("Ma")
    site.tell(window(1, now=OUT))
    expect(page.locator("#asof")).to_contain_text("03:12:22")
    expect(page.locator(".acts input[name=who]")).to_have_value("Ma")
    page.locator("button[value=snooze]").focus()
    site.tell(changed(DATA, "updated", sentence="ingest rejects everything."))
    expect(page.locator(".say")).to_contain_text("rejects everything")
    assert page.evaluate("document.activeElement.value") == "snooze"


def test_an_old_page_looks_old_and_a_fresh_one_fresh_again(site: Site, open_tab: OpenTab) -> None:
    page = open_tab(complaints=True)
    page.clock.install()
    page.route("**/events", lambda route: route.abort())
    visit(page, site)
    expect(page.locator("#stale")).to_be_hidden()
    page.route("**/pipelines/ads", lambda route: route.abort())
    page.clock.fast_forward(20_000)
    expect(page.locator("#stale")).to_contain_text(re.compile(r"has not been updated for 2\d"))
    assert "grayscale" in page.locator("main").evaluate("e => getComputedStyle(e).filter")
    expect(page.locator("button[value=snooze]")).to_be_disabled()
    page.unroute("**/pipelines/ads")
    site.tell(window(1, now=OUT))
    page.clock.fast_forward(6_000)
    expect(page.locator("#stale")).to_be_hidden()
    expect(page.locator("#asof")).to_contain_text("03:12:22")
    expect(page.locator("button[value=snooze]")).to_be_enabled()


def test_each_reader_sees_their_own_zone(site: Site, open_tab: OpenTab) -> None:
    page = visit(open_tab(timezone_id="Asia/Kolkata", locale="en-GB"), site)
    title = page.locator("h1 time").get_attribute("title") or ""
    assert "08:42:20" in title
    assert "Asia/" in title


def test_the_keyboard_reaches_everything_and_shows_where_it_is(site: Site, open_tab: OpenTab) -> None:
    page = open_tab(complaints=True)
    page.clock.install()  # a part that is drawn anew meanwhile would lose its mark
    page.route("**/events", lambda route: route.abort())
    visit(page, site)
    wanted = page.locator("a[href], button, input:not([type=hidden]), summary").evaluate_all(
        "all => all.filter(e => e.checkVisibility()).map((e, i) => (e.dataset.n = i, i))"
    )
    reached, bare = set(), []
    for _ in range(len(wanted) + 5):
        page.keyboard.press("Tab")
        number, name, outline = page.evaluate(
            "(e => [e.dataset.n, e.textContent, getComputedStyle(e).outlineStyle])(document.activeElement)"
        )
        reached.add(number)
        bare += [name] if outline == "none" and number is not None else []
    assert {str(number) for number in wanted} <= reached
    assert bare == []
    sizes = page.locator("button").evaluate_all("all => all.map(e => e.getBoundingClientRect().height)")
    assert min(size for size in sizes if size) >= 44


@pytest.mark.parametrize("width", [390, 759, 760, 1000, 1180, 1440])
def test_nothing_sticks_out_at_any_width(site: Site, open_tab: OpenTab, width: int) -> None:
    page = open_tab(viewport={"width": width, "height": 900})
    for path in ("/pipelines/ads", "/?all", f"/incidents/{DATA.id}", "/settings"):
        visit(page, site, path, act=path == "/pipelines/ads")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


COLOURS = """
() => {
  const seen = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const back = (e) => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (c !== "rgba(0, 0, 0, 0)" && c !== "transparent") return c;
    }
    return "rgb(255, 255, 255)";
  };
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement, text = walk.currentNode.textContent.trim();
    if (!text || /^(SCRIPT|NOSCRIPT|OPTION)$/.test(e.tagName)) continue;
    if (e.closest(".sr, [hidden]") || !e.checkVisibility()) continue;
    const style = getComputedStyle(e);
    seen.push([text, e instanceof SVGElement ? style.fill : style.color, back(e)]);
  }
  return seen;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(site: Site, open_tab: OpenTab, scheme: str) -> None:
    page = visit(open_tab(color_scheme=scheme), site)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(ground) > 0.5) == (scheme == "light")
    found = page.evaluate(COLOURS)
    assert len(found) > 100
    assert [(text, *pair) for text, *pair in found if contrast(*pair) < 4.5] == []


def luminance(colour: str) -> float:
    red, green, blue = (
        value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4
        for value in (float(part) / 255 for part in re.findall(r"[\d.]+", colour)[:3])
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    """WCAG 2.2, 1.4.3."""
    dark, bright = sorted((luminance(first), luminance(second)))
    return (bright + 0.05) / (dark + 0.05)


def test_headings_and_landmarks_lead_a_screen_reader(site: Site, open_tab: OpenTab) -> None:
    page = visit(open_tab(), site)
    assert page.locator("h1").count() == 1
    assert [page.get_by_role(role).count() for role in ("banner", "main", "contentinfo")] == [1, 1, 1]
    unnamed: list[Any] = page.evaluate(
        """() => [...document.querySelectorAll("svg")]
            .filter(e => !e.parentElement.closest("svg"))
            .filter(e => !e.getAttribute("aria-label") && e.getAttribute("aria-hidden") !== "true")
            .map(e => e.outerHTML.slice(0, 80))"""
    )
    assert unnamed == []
    assert page.locator("html").get_attribute("lang") == "en"
