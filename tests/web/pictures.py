"""Takes the pictures of the page in docs/pictures: the three acts of the demonstration, in virtual time.

``python -m tests.web.pictures`` plays them at the full 25 000 tweets a second, which takes some minutes.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from swirl.cli.acts import BROKEN, BUG, HEALTHY
from swirl.settings import MonitorSettings, WatchSettings
from tests.browser import FLAGS, find_chromium
from tests.web.play import START_S, play
from tests.web.site import TOKEN, Site

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["main"]

HERE = Path(__file__).resolve().parents[2] / "docs" / "pictures"
MOST_BYTES = 250_000
HEALTHY_S, REPAIRED_S = 600, 40
WHEN = {(HEALTHY, HEALTHY_S - 2): "healthy", (BROKEN, 8): "broken", (BUG, 8): "deployment"}
WIDTH, HEIGHT = 1280, 1000


def take(page: Page, site: Site, path: Path) -> None:
    """The page as it stands, as far as a screen shows it."""
    page.goto(f"{site.server.url}/pipelines/ads")
    page.locator("#charts").wait_for()
    page.mouse.move(0, 0)
    page.screenshot(path=path, animations="disabled")
    size = path.stat().st_size
    print(f"{path.name}: {size:,} bytes")
    if size > MOST_BYTES:
        raise SystemExit(f"{path.name} is larger than {MOST_BYTES:,} bytes")


def main(rate: float = 25_000.0, folder: Path = HERE) -> None:
    """Play, and take a picture in each act."""
    from playwright.sync_api import sync_playwright

    site = Site(settings=[MonitorSettings(), WatchSettings()], now=START_S - HEALTHY_S)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_chromium(), headless=True, args=FLAGS)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(f"{site.server.url}/?token={TOKEN}")
        for moment in play(rate, healthy_s=HEALTHY_S, repaired_s=REPAIRED_S, timed=True):
            site.clock.advance(max(0.0, moment.now_ms / 1000 - site.clock.now))
            site.tell(*moment.effects)
            name = WHEN.get((moment.act, moment.second))
            if name is not None:
                take(page, site, folder / f"{name}.png")
            if name == "deployment":
                break
        browser.close()
    site.close()


if __name__ == "__main__":
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--rate", type=float, default=25_000.0, help="tweets a second")
    main(given.parse_args().rate)
