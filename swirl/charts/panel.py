"""One series of a chart: its band, its line, what is usual, and the value now."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from swirl.charts.scale import Scale, number, scale_of, usual_of
from swirl.charts.telling import same_series, usual_before, windows_before
from swirl.effect import State

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swirl.charts.canvas import Canvas
    from swirl.effect import Evidence, Incident
    from swirl.sinks.board import Track

__all__ = ["DARK", "EDGE", "LIGHT", "PANEL", "Colours", "Panel", "Sheet", "now_of"]

EDGE = 8
"""Pixels left free at the edges of the picture."""
PANEL = 122
"""Height of a series with its head."""

_PLOT, _GAP, _BELOW = 66, 7, 12
_LONGEST = 400
"""Letters of a name that are looked at."""
_SHOWS = 0.5
"""What follows from the root is marked from this change on, as a share of the usual."""


class Colours(NamedTuple):
    """By the rules of the face: what has colour is wrong."""

    ground: str
    ink: str
    ink2: str
    ink3: str
    rule: str
    hatch: str
    band: str
    bad: str
    follows: str


LIGHT = Colours(
    "#ffffff", "#17191c", "#4d5358", "#5f656b", "#e2e4e6", "#c9cdd1", "#e6e9ec", "#b5360a", "#7c5300"
)
DARK = Colours(
    "#16191c", "#e9ebed", "#adb3b9", "#9aa1a8", "#262b30", "#40474e", "#2b3137", "#ff8f66", "#e2b354"
)


@dataclass
class Sheet:
    """What the series of a chart share.

    Attributes:
        c: the canvas.
        width: of it, pixels.
        colours: of the chart.
        incident: that it tells of, None while nothing is wrong.
        left, right: of the plots.
        first_ms, last_ms: event time there.
    """

    c: Canvas
    width: int
    colours: Colours
    incident: Incident | None
    left: float = 40.0
    right: float = 0.0
    first_ms: int = 0
    last_ms: int = 0

    def x(self, ms: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where moments lie."""
        span = max(1, self.last_ms - self.first_ms)
        return np.asarray(self.left + (ms - self.first_ms) / span * (self.right - self.left))

    def at(self, ms: float) -> float:
        """Where one moment lies."""
        return float(self.x(np.array([float(ms)]))[0])

    def fit(self, words: str, width: float, size: float) -> str:
        """Bold words cut to a width."""
        if len(words) < _LONGEST and self.c.width_of(words, size, bold=True) <= width:
            return words
        kept, lost = 0, min(len(words), _LONGEST)
        while lost - kept > 1:
            middle = (kept + lost) // 2
            fits = self.c.width_of(words[:middle] + "…", size, bold=True) <= width
            kept, lost = (middle, lost) if fits else (kept, middle)
        return words[:kept].rstrip() + "…"


class Panel:
    """One series, ready to be drawn.

    Args:
        chart: what it shares with the others.
        track: the series.
        top: of its head, pixels.
    """

    def __init__(self, chart: Sheet, track: Track, top: float) -> None:
        self.chart, self.track, self.c, self.colours = chart, track, chart.c, chart.colours
        self.top, self.upper = top, top + PANEL - _PLOT - _BELOW
        self.ends = chart.x(track.start_ms.astype(np.float64) + track.window_ms)
        onset_ms = chart.incident.onset_ms if chart.incident is not None else None
        self.fault = windows_before(track, onset_ms)
        self.band = usual_before(track, onset_ms)
        self.piece = _piece(track, chart.incident)
        if self.piece is not None and not isfinite(self.band.level):
            self.band = self.band._replace(level=self.piece.usual_value)
        self.scale: Scale = scale_of(track, self.band.level, self.band.low)
        self.off = self._off()

    def y(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where values lie."""
        return np.asarray(self.upper + _PLOT - self.scale.place(value) * _PLOT)

    def at(self, value: float) -> float:
        """Where one value lies."""
        return float(self.y(np.array([value]))[0])

    def _off(self) -> NDArray[np.bool_]:
        """The windows since the fault in which the series shows it."""
        held = (self.track.state == State.ANOMALY) | (self.track.state == State.HELD)
        far = np.abs(self.track.value - self.band.level) > _SHOWS * abs(self.band.level)
        follows = self.piece is not None and not self.piece.root
        since = np.arange(len(held)) >= self.fault
        return np.asarray(since & (held | _outside(self.track) | (far & follows)))

    def draw(self, head: str, *, marked: bool) -> bool:
        """Draw it; whether the mark of the root stands now."""
        self._head(head)
        self._grid()
        self._limits()
        self._fault()
        colour, mark = self._standing(marked=marked)
        self._line(colour)
        self._usual()
        self._value(colour, mark)
        return marked or mark == "root"

    def _head(self, head: str) -> None:
        words, y = self.chart.fit(head, self.chart.width - 110, 12.5), self.top + 16
        self.c.text(EDGE, y, words, self.colours.ink, 12.5, bold=True)
        beside = EDGE + self.c.width_of(words, 12.5, bold=True) + 6
        self.c.text(beside, y, self.scale.unit, self.colours.ink3, 11.5)

    def _grid(self) -> None:
        for tick in self.scale.ticks:
            y = self.at(tick.value)
            self.c.line([self.chart.left, self.chart.right], [y, y], self.colours.rule, 0.8)
            x = self.chart.left - 5
            self.c.text(x, y + 4, tick.label, self.colours.ink3, 11, side="right")

    def _limits(self) -> None:
        """The band through the limits at each point; where one side has none, it goes to the edge."""
        low, high = self.track.low, self.track.high
        there = (self.track.state >= State.NORMAL) & (np.isfinite(low) | np.isfinite(high))
        lower = self.y(np.where(np.isfinite(low), low, self.scale.floor))
        upper = self.y(np.where(np.isfinite(high), high, self.scale.top))
        for run in np.split(np.arange(len(there)), np.flatnonzero(np.diff(there.astype(np.int8))) + 1):
            if len(run) and there[run[0]]:
                begin = [self.ends[run[0] - 1] if run[0] else self.chart.left]
                xs = [*begin, *self.ends[run]]
                over, under = [upper[run[0]], *upper[run]], [lower[run[0]], *lower[run]]
                self.c.shape(
                    [*zip(xs, over, strict=True), *reversed([*zip(xs, under, strict=True)])],
                    self.colours.band,
                )

    def _fault(self) -> None:
        incident = self.chart.incident
        if incident is None or not self.chart.first_ms <= incident.onset_ms < self.chart.last_ms:
            return
        begin = self.chart.at(incident.onset_ms)
        end = self.chart.at(min(incident.resolved_ms or self.chart.last_ms, self.chart.last_ms))
        foot = self.upper + _PLOT
        self.c.hatch(begin, self.upper, end - begin, foot - self.upper, self.colours.hatch)
        self.c.line([begin, begin], [self.upper, foot], self.colours.ink, 1.2)

    def _standing(self, *, marked: bool) -> tuple[str, str]:
        """Colour and mark of what the series does since the fault."""
        incident, piece = self.chart.incident, self.piece
        if incident is not None and piece is not None and piece.root:
            return self.colours.bad, "" if marked else "root"
        if (
            incident is not None
            and piece is not None
            and (piece.stage in incident.follows or not piece.stage)
        ):
            return self.colours.follows, "follows"
        return self.colours.ink2, ""

    def _line(self, colour: str) -> None:
        """Grey before the fault and after its last trace, coloured between them."""
        values, n, out = self.y(self.track.value), self.fault, _outside(self.track)
        traces = np.flatnonzero(self.off)
        end = min(len(values), int(traces[-1]) + 2) if len(traces) else n
        parts = (
            (0, n, self.colours.ink2, 1.2),
            (n - 1, end, colour, 2.2),
            (end - 1, len(values), self.colours.ink2, 1.2),
        )
        for first, last, shade, size in parts:
            part = slice(max(0, first), last)
            thick = 1.2 if shade == self.colours.ink2 else size
            self.c.line(self.ends[part], values[part], shade, thick)
            self.c.points(
                self.ends[part][_alone(values)[part]], values[part][_alone(values)[part]], shade, 2.4
            )
        since = np.arange(len(values)) >= n
        for chosen, shade in ((out & ~since, self.colours.ink2), (out & since, colour)):
            self.c.points(self.ends[chosen], values[chosen], shade)

    def _usual(self) -> None:
        said = usual_of(self.track.key.metric, *self.band)
        if not said:
            return
        if self.c.width_of(said, 11) > self._calm() - self.chart.left - 10:
            said = said.partition(", ")[0]  # words across the fault could be read by nobody
        low = self.band.low if isfinite(self.band.low) else self.band.level
        high = self.band.high if isfinite(self.band.high) else self.band.level
        below = self.at(low) < self.upper + 0.75 * _PLOT
        y = self.at(low) + 12 if below else max(self.at(high) - 4, self.upper + 11)
        lines = [self.at(tick.value) for tick in self.scale.ticks]
        for line in sorted(lines, reverse=not below):
            if y - 9 < line < y + 2:  # a line through words can be read by nobody
                y = line + 12 if below else line - 4
        self.c.text(self.chart.left + 5, max(y, self.upper + 11), said, self.colours.ink3, 11)

    def _calm(self) -> float:
        """Where the calm part ends: at the fault, or at the edge."""
        incident = self.chart.incident
        if incident is None or not self.chart.first_ms < incident.onset_ms < self.chart.last_ms:
            return self.chart.right
        return self.chart.at(incident.onset_ms)

    def _value(self, colour: str, mark: str) -> None:
        now, x = now_of(self.track), self.chart.right + _GAP
        foot = self.upper + _PLOT
        y = min(foot - 1, max(self.upper + 4, self.at(now))) if isfinite(now) else foot - 10
        wrong = bool(len(self.off)) and bool(self.off[-1]) and colour != self.colours.ink2
        if mark and wrong:
            corners = [(x, y), (x + 5.5, y - 5.5), (x + 11, y), (x + 5.5, y + 5.5)]
            self.c.shape(corners, colour if mark == "root" else self.colours.ground, colour)
            x += 15
        self.c.text(
            x,
            y + 4.5,
            number(self.track.key.metric, now),
            colour if wrong else self.colours.ink,
            13,
            bold=True,
        )

    def deployment(self, x: float, *, line: bool) -> None:
        """A triangle, and a row of dashes where no fault begins."""
        self.c.shape(
            [(x - 4, self.upper - 8), (x + 4, self.upper - 8), (x, self.upper - 1)], self.colours.ink2
        )
        if line:
            self.c.line([x, x], [self.upper, self.upper + _PLOT], self.colours.ink2, 1.0, dots=True)

    def fault_words(self, said: str, x: float, *, beside: bool) -> float:
        """When the fault began; where the words begin."""
        width, y = self.c.width_of(said, 11), self.upper - 4
        if beside:
            begin = x - 7 - width if x - 7 - width >= EDGE else x + 7
        else:
            begin = max(EDGE, min(x - 2, self.chart.width - EDGE - width))
        self.c.text(begin, y, said, self.colours.ink, 11)
        return begin

    def version_words(self, version: str, x: float, taken: float) -> float:
        """Which version went out, if there is room; where the words begin."""
        words = version if len(version) <= 24 else version[:23] + "…"
        begin = x + 7
        if begin + self.c.width_of(words, 11) + 8 > taken:
            return min(taken, x - 6)
        self.c.text(begin, self.upper - 4, words, self.colours.ink2, 11)
        return x - 6


def now_of(track: Track) -> float:
    """The newest value, NaN where there is none."""
    return float(track.value[-1]) if len(track.value) else float("nan")


def _piece(track: Track, incident: Incident | None) -> Evidence | None:
    """What the incident says of a series."""
    found = (
        e
        for e in (incident.evidence if incident else ())
        if same_series(track.key, e.stage, e.metric, e.label)
    )
    return next(found, None)


def _outside(track: Track) -> NDArray[np.bool_]:
    """The points that raised an alarm, and those that lie outside their limits."""
    judged = track.state >= State.NORMAL
    beyond = (track.value < track.low) | (track.value > track.high)
    return np.asarray((track.state == State.ANOMALY) | (judged & beyond))


def _alone(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Points between gaps, through which no line goes."""
    known = np.isfinite(values)
    return np.asarray(known & ~np.r_[False, known[:-1]] & ~np.r_[known[1:], False])
