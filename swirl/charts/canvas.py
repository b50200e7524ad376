"""A picture in pixels, drawn by matplotlib's Agg: no pyplot, no settings of the host's, any thread."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from swirl.errors import MissingExtraError

try:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties, get_font
    from matplotlib.lines import Line2D
    from matplotlib.patches import Polygon, Rectangle
    from matplotlib.text import Text
    from matplotlib.transforms import Affine2D
except ImportError as error:
    raise MissingExtraError((error.name or "matplotlib").partition(".")[0], "charts") from None

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.artist import Artist

__all__ = ["SCALE", "Canvas"]

SCALE = 2
"""Pixels of the picture for each pixel of the page: for screens that have them."""
_DPI = 100
_POINTS = 72 / _DPI

Side = Literal["left", "right", "center"]


@lru_cache(maxsize=2)
def _font(*, bold: bool) -> str:
    """The font that comes with matplotlib, so that a picture looks the same everywhere."""
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    return str(folder / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"))


@lru_cache(maxsize=2)
def _known(*, bold: bool) -> frozenset[int]:
    return frozenset(get_font(_font(bold=bold)).get_charmap())


class Canvas:
    """A picture of so many pixels; x goes to the right, y downwards.

    Args:
        width, height: as it is shown; it has twice as many of its own.
        ground: colour of its ground.
    """

    def __init__(self, width: float, height: float, ground: str) -> None:
        self._figure = Figure(
            figsize=(width / _DPI, height / _DPI), dpi=_DPI * SCALE, facecolor=ground, edgecolor="none"
        )
        self._agg: Any = FigureCanvasAgg(self._figure)
        self._pixels = Affine2D().scale(1, -1).translate(0, height).scale(SCALE)
        self._layer = 0

    def line(
        self, xs: Iterable[float], ys: Iterable[float], colour: str, size: float = 1.0, *, dots: bool = False
    ) -> None:
        """A line through points, with a gap at each NaN; ``dots`` makes it a row of small dashes."""
        style: Any = (0, (1.5, 2.0)) if dots else "-"
        line = Line2D(
            list(xs),
            list(ys),
            color=colour,
            linewidth=size * _POINTS,
            linestyle=style,
            marker="",
            solid_joinstyle="round",
            solid_capstyle="butt",
            dash_capstyle="butt",
        )
        self._add(line)

    def points(self, xs: Iterable[float], ys: Iterable[float], colour: str, size: float = 3.6) -> None:
        """Dots of ``size`` pixels."""
        dots = Line2D(
            list(xs),
            list(ys),
            linestyle="",
            marker="o",
            markersize=size * _POINTS,
            markerfacecolor=colour,
            markeredgecolor=colour,
            markeredgewidth=0,
        )
        self._add(dots)

    def shape(self, corners: Sequence[tuple[float, float]], fill: str, edge: str = "none") -> None:
        """A closed shape."""
        self._add(
            Polygon(list(corners), closed=True, facecolor=fill, edgecolor=edge, linewidth=1.2 * _POINTS)
        )

    def hatch(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """Thin slanted lines within a rectangle."""
        clip = Rectangle((x, y), width, height, transform=self._pixels)
        for at in range(int(x - height), int(x + width), 6):
            line = Line2D(
                [at, at + height], [y + height, y], color=colour, linewidth=0.6 * _POINTS, marker=""
            )
            self._add(line)
            line.set_clip_path(clip)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        colour: str,
        size: float,
        *,
        bold: bool = False,
        side: Side = "left",
    ) -> None:
        """Words on one line, whose foot is at ``y``."""
        if words:
            self._add(self._text(x, y, words, colour, size, bold=bold, side=side))

    def width_of(self, words: str, size: float, *, bold: bool = False) -> float:
        """Of words on one line, in pixels."""
        if not words:
            return 0.0
        text = self._text(0, 0, words, "black", size, bold=bold, side="left")
        text.set_figure(self._figure)
        return float(text.get_window_extent(self._agg.get_renderer()).width) / SCALE

    def png(self) -> bytes:
        """The picture."""
        out = io.BytesIO()
        self._agg.print_png(out, metadata={"Software": None})
        return out.getvalue()

    def _text(
        self, x: float, y: float, words: str, colour: str, size: float, *, bold: bool, side: Side
    ) -> Text:
        return Text(
            x,
            y,
            _drawable(words, bold=bold),
            color=colour,
            fontproperties=FontProperties(fname=_font(bold=bold), size=size * _POINTS),
            horizontalalignment=side,
            verticalalignment="baseline",
            usetex=False,
            parse_math=False,
        )

    def _add(self, artist: Artist) -> None:
        self._layer += 1
        artist.set_zorder(self._layer)
        artist.set_transform(self._pixels)
        artist.set_clip_on(True)
        self._figure.add_artist(artist)


def _drawable(words: str, *, bold: bool) -> str:
    """One line, without what the font does not have: matplotlib would warn the host of each such letter."""
    known = _known(bold=bold)
    return "".join(
        c if ord(c) in known and c.isprintable() else "?" if c.isprintable() else " " for c in words
    )
