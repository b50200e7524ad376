"""The chart of an incident: a few series over one time axis, readable at the width of a phone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from swirl.charts.panel import DARK, EDGE, LIGHT, PANEL, Panel, Sheet, now_of
from swirl.charts.scale import number, time_ticks
from swirl.charts.telling import deployments as deployments_of
from swirl.charts.telling import name_of_series, telling
from swirl.incident import numbers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from swirl.charts.telling import Deployment
    from swirl.effect import Incident
    from swirl.sinks.board import Track, View

__all__ = ["WIDTH", "Picture", "draw"]

WIDTH = 360
"""Pixels of a picture, as a phone shows it."""

_NARROWEST, _WIDEST = 240, 2000
_HEAD, _FOOT = 30, 24


def draw(
    incident: Incident | None,
    tracks: Sequence[Track],
    *,
    deployments: Sequence[Deployment] = (),
    dark: bool = False,
    width: int = WIDTH,
    show_labels: bool = False,
    title: str = "",
) -> bytes:
    """Draw series as a PNG of twice ``width`` pixels: small multiples over one time axis.

    The grey band is the alarm limits, a dot is an anomalous point, the solid line and the hatch are the
    fault, a triangle is a deployment. It is drawn in memory and touches nothing of the host's matplotlib;
    any thread may call it.

    Args:
        incident: that the series tell of; None while nothing is wrong.
        tracks: the series, as :func:`swirl.charts.telling` gives them.
        deployments: as :func:`swirl.charts.deployments` gives them.
        dark: light on dark.
        width: as it is shown, between 240 and 2 000.
        show_labels: labels of predictions may be shown; they are users' data.
        title: in the place of the incident's.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    from swirl.charts.canvas import Canvas  # noqa: PLC0415 - matplotlib is loaded only where it is used

    wide = min(_WIDEST, max(_NARROWEST, width))
    colours = DARK if dark else LIGHT
    high = _HEAD + PANEL * max(1, len(tracks)) + _FOOT
    chart = _Chart(Canvas(wide, high, colours.ground), wide, colours, incident)
    return chart.drawn(title, tracks, deployments, show_labels=show_labels)


class Picture:
    """A chart that a notebook shows by itself.

    Args:
        png: the bytes of the picture.

    Example::

        Picture.of(engine.board.view("ads"))
    """

    def __init__(self, png: bytes) -> None:
        self.png = png

    @classmethod
    def of(
        cls, view: View, incident: Incident | None = None, *, dark: bool = False, show_labels: bool = True
    ) -> Self:
        """The chart of an incident; without one, of the open incident or of how the pipeline does.

        Args:
            view: a pipeline on a board.
            incident: one of its incidents.
            dark: light on dark.
            show_labels: see :func:`draw`.
        """
        shown = incident if incident is not None else view.open
        tracks, went_out = telling(shown, view), deployments_of(view)
        return cls(
            draw(
                shown,
                tracks,
                deployments=went_out,
                dark=dark,
                show_labels=show_labels,
                title=_calm(shown, view),
            )
        )

    def _repr_png_(self) -> bytes:
        return self.png

    def save(self, path: Path) -> None:
        """Write it to a file."""
        path.write_bytes(self.png)


def _calm(incident: Incident | None, view: View) -> str:
    return "" if incident is not None else f"{view.name}: no incident"


class _Chart(Sheet):
    """A chart while it is drawn."""

    def drawn(
        self, title: str, tracks: Sequence[Track], deployments: Sequence[Deployment], *, show_labels: bool
    ) -> bytes:
        shown = [track for track in tracks if len(track.start_ms)]
        self._title(title)
        if not shown:
            self.c.text(EDGE, _HEAD + 30, "nothing was measured", self.colours.ink3, 12)
            return self.c.png()
        self.first_ms = min(int(track.start_ms[0]) for track in shown)
        self.last_ms = max(int(track.start_ms[-1]) + track.window_ms for track in shown)
        said = [number(track.key.metric, now_of(track)) for track in shown]
        self.right = self.width - 20 - max(self.c.width_of(words, 13, bold=True) for words in said) - EDGE
        marked = False
        for at, track in enumerate(shown):
            panel = Panel(self, track, _HEAD + PANEL * at)
            marked = panel.draw(self._head(track, show_labels=show_labels), marked=marked)
            self._events(panel, deployments, words=at == 0)
        self._clock(_HEAD + PANEL * len(shown) + 10)
        return self.c.png()

    def _title(self, title: str) -> None:
        if not title and self.incident is not None:
            version = f" {self.incident.version}" if self.incident.version else ""
            where = f"{self.incident.pipeline} / " if self.incident.stage else ""
            title = f"{where}{self.incident.title}{version}"
        self.c.text(EDGE, 20, self.fit(title, self.width - 2 * EDGE, 14), self.colours.ink, 14, bold=True)

    def _head(self, track: Track, *, show_labels: bool) -> str:
        key = track.key
        if key.metric == "prediction_ratio":
            return f"{key.stage} {key.label} ratio" if show_labels else f"{key.stage} share of a label"
        return name_of_series(key)

    def _events(self, panel: Panel, deployments: Sequence[Deployment], *, words: bool) -> None:
        """The fault and the deployments; in words once, above the first series."""
        fault = self.incident.onset_ms if self.incident is not None else 0
        seen = [d for d in deployments if self.first_ms < d.at_ms < self.last_ms]
        for deployment in seen:
            panel.deployment(self.at(deployment.at_ms), line=deployment.at_ms != fault)
        if not words:
            return
        with_fault = [d.version for d in seen if d.at_ms == fault]
        taken = float(self.width)
        if self.first_ms <= fault < self.last_ms:
            said = ", ".join([*with_fault, f"fault {numbers.clock(fault)}"])
            taken = panel.fault_words(said, self.at(fault), beside=bool(with_fault))
        for deployment in reversed([d for d in seen if d.at_ms != fault]):
            taken = panel.version_words(deployment.version, self.at(deployment.at_ms), taken)

    def _clock(self, y: float) -> None:
        utc = self.width - EDGE - self.c.width_of("UTC", 11)
        self.c.text(utc, y, "UTC", self.colours.ink3, 11)
        free = self.left
        for tick in time_ticks(self.first_ms, self.last_ms):
            half = self.c.width_of(tick.label, 11) / 2
            x = self.at(tick.value)
            if x - half >= free and x + half <= min(utc - 8, self.right + half):
                self.c.text(x, y, tick.label, self.colours.ink3, 11, side="center")
                free = x + half + 8
