"""The page of a pipeline with 1 000 series: how long it is written, and when Chromium paints it first."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from prometheus_client import CollectorRegistry

from swirl.effect import Evidence, SeriesKey, State, WindowClosed
from swirl.frame import Definition, StageDefinition
from swirl.sinks.board import Board
from swirl.testing import ManualClock
from swirl.web import application, serve
from swirl.web.page import page_routes
from tests.browser import FLAGS, find_chromium
from tests.sinks.scene import DATA, START, changed, window

if TYPE_CHECKING:
    from tests.benchmarks.run import Row

SERIES, STAGES, WINDOWS, OUT = 1000, 20, 360, 50
PAINT_S, TRIES = 1.0, 5
FIRST_PAINT = """() => new Promise(done => new PerformanceObserver(list => {
  for (const e of list.getEntries()) if (e.name === "first-contentful-paint") done(e.startTime);
}).observe({ type: "paint", buffered: true }))"""


def full_board(*, broken: bool) -> Board:
    """As many windows as are kept, a graph of 20 stages, and where it is broken 50 series outside."""
    names = [f"stage{n}" for n in range(STAGES)]
    graph = Definition(
        tuple(
            StageDefinition(n, after=tuple(names[i - 1 : i]) if i else (), validates=True)
            for i, n in enumerate(names)
        )
    )
    metrics = ("records", "invalid_ratio", "invalid", "error_ratio", "errors", "out", "latency_p95")
    keys = [SeriesKey(name, metric) for name in names for metric in metrics]
    keys += [SeriesKey(names[n % STAGES], "drift", f"feature{n}") for n in range(SERIES - len(keys))]
    random, board = np.random.default_rng(1), Board()
    for index in range(-WINDOWS, 0):
        value = random.gamma(50.0, 2.0, SERIES)
        columns = np.stack(
            [value, value * 10, value * 0 + 10, value * 0 + 100, value * 0, value * 0 + 200, value]
        )
        states = np.full(SERIES, int(State.NORMAL), np.uint8)
        if broken and index > -20:
            states[:OUT] = State.HELD
        board.handle(made(index, tuple(keys), columns, states, graph))
    if broken:
        evidence = tuple(
            Evidence("stage0", k.metric, k.label, "x", "1", "2", 1, 2, root=n == 0, onset_ms=START - 20_000)
            for n, k in enumerate(keys[:6])
        )
        board.handle(changed(DATA, stage="stage0", onset_ms=START - 20_000, evidence=evidence))
    return board


def made(
    index: int, keys: tuple[SeriesKey, ...], columns: np.ndarray, states: np.ndarray, graph: Definition
) -> WindowClosed:
    """One window of it."""
    return window(
        index,
        keys=keys,
        numbers=columns.tobytes(),
        states=states.tobytes(),
        definition=graph,
        versions={},
        totals={},
        latency={},
    )


def painted(url: str) -> list[float]:
    """Seconds from the start of a navigation to the first contentful paint, each in a new tab."""
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_chromium(), headless=True, args=FLAGS)
        for _ in range(TRIES):
            page = browser.new_page(viewport={"width": 1440, "height": 1000})
            page.goto(url)
            found.append(page.evaluate(FIRST_PAINT) / 1000)
            page.close()
        browser.close()
    return found


def rows() -> list[Row]:
    """See the names."""
    found: list[Row] = []
    for broken in (False, True):
        state = "broken" if broken else "healthy"
        board, clock = full_board(broken=broken), ManualClock(START / 1000)
        routes = page_routes(board, lambda _: None, "token", clock=clock)
        server = serve(application(CollectorRegistry(), routes=routes), "127.0.0.1:0")
        url = f"{server.url}/pipelines/ads"
        try:
            found.append((f"page, 1 000 series, {state}: written, ms", written(board) * 1000, 300.0))
            if find_chromium() is not None:
                name = f"page, 1 000 series, {state}: first paint in Chromium, s (median of {TRIES})"
                found.append((name, median(painted(url)), PAINT_S))
        finally:
            server.close(5)
    return found


def written(board: Board) -> float:
    """Seconds to write the page anew, without what is kept of the last one."""
    from swirl.web.page.render import Pages

    view = board.view("ads")
    assert view is not None
    taken = []
    for second in range(TRIES):
        pages = Pages(board, (), ManualClock(START / 1000 + 10 * second))
        begin = time.perf_counter()
        pages.shell(pages.pipeline(view, "proof", ""), may_act=True)
        taken.append(time.perf_counter() - begin)
    return median(taken)


if __name__ == "__main__":
    for name, value, limit in rows():
        print(f"{name:<70} {value:8.3f} {limit}")
