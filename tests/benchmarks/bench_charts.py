"""What a chart costs, in seconds and beside matplotlib drawing an empty figure of the same size."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from swirl.charts import deployments, draw, telling
from swirl.charts.picture import WIDTH
from swirl.effect import SeriesKey
from swirl.sinks.board import Board
from tests.sinks.scene import DATA, changed, window

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl.sinks.board import View

ROUNDS = 7
SECONDS, RATIO = 1.0, 20.0
HEIGHT = 420


def rows() -> list[tuple[str, float, float]]:
    """``(name, value, limit)``: the best of some rounds in turns."""
    view = _view()
    drawn = [(_seconds(lambda: _chart(view)), _seconds(_empty)) for _ in range(ROUNDS)]
    ours, empty = min(a for a, _ in drawn), min(b for _, b in drawn)
    return [
        ("seconds to draw a chart of 3 series and 360 windows", ours, SECONDS),
        ("chart / empty matplotlib figure of the same size", ours / empty, RATIO),
    ]


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _view() -> View:
    board = Board()
    keys = SeriesKey("ingest", "invalid"), SeriesKey("classify", "prediction_ratio", "positive")
    for index in range(360):
        now = {keys[0]: 20_100.0, keys[1]: 0.21} if index >= 200 else {}
        board.handle(window(index - 200, now=now))
    board.handle(changed(DATA))
    found = board.view("ads")
    assert found is not None
    return found


def _chart(view: View) -> bytes:
    return draw(view.open, telling(view.open, view), deployments=deployments(view))


def _empty() -> bytes:
    figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=200)
    out = io.BytesIO()
    canvas: FigureCanvasAgg = FigureCanvasAgg(figure)
    canvas.print_png(out)  # type: ignore[no-untyped-call] # matplotlib has no types there
    return out.getvalue()


if __name__ == "__main__":
    for name, value, limit in rows():
        print(f"{name}: {value:.3g} (limit {limit:g})")
