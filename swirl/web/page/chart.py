"""One series as a small chart: its limits as a band, its line, the fault. Numbers become percentages."""

from __future__ import annotations

from math import ceil, floor, isfinite, log10
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from swirl.effect import State
from swirl.incident.numbers import clock
from swirl.web.page.figures import RATES, limits, name_of, telling_limits, tick, unit_of, value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from swirl.effect import SeriesKey
    from swirl.sinks.board import Track

__all__ = ["Chart", "Deployment", "Label", "draw"]

_LOG_SPAN = 50.0
"""A view that spans a larger factor has a logarithmic axis."""

_ROOM = 1.12
_OUT = (State.ANOMALY, State.HELD)


class Deployment(NamedTuple):
    """A version that was seen for the first time: where, and in the window that begins when."""

    stage: str
    version: str
    since_ms: int


class Label(NamedTuple):
    """A text at a place along an axis, per cent."""

    at: float
    text: str


class Chart(NamedTuple):
    """What the template draws; places are per cent of the plot, from its upper left corner.

    Attributes:
        key: the series.
        name, unit: of the series within its stage.
        role: ``"root"``, ``"follows"`` or ``""``.
        line, hot, dots, band: paths; ``hot`` is the line since the fault, ``dots`` are anomalous points.
        rows, columns: labels of the axes.
        fault: where it began, None for nowhere in view; ``lasts``: how far it goes on.
        over: the incident has ended.
        deployments: that are in view.
        now: the value, where the line ends.
        limits: in words, where the band leaves room for them; None without limits.
        log: the axis is logarithmic.
        say: all of it as a sentence.
    """

    key: SeriesKey
    name: str
    unit: str
    role: str
    line: str
    hot: str
    dots: str
    band: str
    rows: tuple[Label, ...]
    columns: tuple[Label, ...]
    fault: float | None
    lasts: float
    over: bool
    deployments: tuple[Label, ...]
    now: Label
    limits: Label | None
    log: bool
    say: str


class _Axis:
    """Where values lie on a vertical axis."""

    def __init__(self, track: Track, usual_high: float) -> None:
        known = track.value[np.isfinite(track.value)]
        top = float(known.max()) if known.size else 0.0
        positive = known[known > 0]
        self.log = (
            track.key.metric in RATES
            and positive.size > 0
            and top / max(float(positive.min()), 1.0) > _LOG_SPAN
        )
        if isfinite(usual_high):
            top = max(top, min(usual_high, 2.0 * top)) if top > 0 else usual_high
        share = "ratio" in track.key.metric and top > 0.3
        top = max(1.0, top) if share else (top or 1.0) * _ROOM
        self.low, self.high = (1.0, max(top, 10.0)) if self.log else (0.0, top)

    def place(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Per cent from above, within the plot."""
        if self.log:
            span = log10(self.high) - log10(self.low)
            share = (np.log10(np.maximum(values, self.low)) - log10(self.low)) / span
        else:
            share = (values - self.low) / (self.high - self.low)
        clipped: NDArray[np.float64] = 100.0 * (1.0 - np.clip(share, 0.0, 1.0))
        return clipped

    def at(self, value: float) -> float:
        """The same for one value."""
        return float(self.place(np.array(value)))

    def ticks(self) -> list[float]:
        """Two or three round values."""
        if self.log:
            whole = range(ceil(log10(self.low)), floor(log10(self.high)) + 1)
            return [10.0**power for power in whole[:: max(1, ceil(len(whole) / 3))]]
        raw = self.high / 3
        size = 10.0 ** floor(log10(raw))
        step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= raw * 0.999)
        return [step * i for i in range(int(self.high / step * 1.001) + 1)]


def draw(
    track: Track,
    *,
    role: str = "",
    fault_ms: int = 0,
    until_ms: int = 0,
    deployments: Sequence[Deployment] = (),
    judged: bool = True,
) -> Chart:
    """A series over its windows.

    Args:
        track: the series; at least one window.
        role: in the incident.
        fault_ms: when the incident began, 0 for none.
        until_ms: when it ended, 0 for not yet.
        deployments: of all stages.
        judged: its limits are shown.
    """
    span = _Span(track)
    low, high = _limits(track) if judged else (float("nan"), float("nan"))
    axis = _Axis(track, high)
    down = axis.place(track.value)
    since = fault_ms if role and fault_ms else span.end
    outside = np.isin(track.state, _OUT) & (track.start_ms >= since)
    last = _last(track.value)
    low, high = telling_limits(track.key, low, high)
    band = _told(track.key, low, high)
    until = min(span.end, until_ms or span.end)
    line, hot = _lines(track, span, down, since, until)
    points = zip(span.across[outside], down[outside], strict=True)
    return Chart(
        key=track.key,
        name=name_of(track.key),
        unit=unit_of(track.key),
        role=role,
        line=line,
        hot=hot,
        dots="".join(f"M{x:.1f},{y:.1f}h0" for x, y in points),
        band=_band(track, axis, span.across) if judged else "",
        rows=tuple(Label(round(axis.at(tick_at), 1), tick(track.key, tick_at)) for tick_at in axis.ticks()),
        columns=_times(span.start, span.end),
        fault=span.share(fault_ms) if span.has(fault_ms) else None,
        lasts=round(span.share(until) - span.share(max(span.start, fault_ms)), 2),
        over=bool(until_ms),
        deployments=tuple(
            Label(span.share(d.since_ms), d.version) for d in deployments if span.has(d.since_ms)
        ),
        now=Label(_clear(float(down[last])) if last is not None else 97.0, _now(track, last)),
        limits=Label(_above(axis, low, high), band) if band else None,
        log=axis.log,
        say=_say(track, band, last, outside, judged=judged),
    )


class _Span:
    """The time that is in view; a window's value stands at its end."""

    def __init__(self, track: Track) -> None:
        self.start, self.end = int(track.start_ms[0]), int(track.start_ms[-1]) + track.window_ms
        self.across = 100.0 * (track.start_ms + track.window_ms - self.start) / (self.end - self.start)

    def share(self, at_ms: int) -> float:
        """Per cent from the left."""
        return round(100.0 * (at_ms - self.start) / (self.end - self.start), 2)

    def has(self, at_ms: int) -> bool:
        """Whether a moment is in view."""
        return self.start < at_ms < self.end


def _lines(
    track: Track, span: _Span, down: NDArray[np.float64], since_ms: int, until_ms: int
) -> tuple[str, str]:
    """The line before a fault and after it, and the line while it lasts."""
    split = int(np.searchsorted(track.start_ms, since_ms))
    back = max(split, int(np.searchsorted(track.start_ms, until_ms)))
    hot, rest = slice(max(0, split - 1), back), slice(max(0, back - 1), None)
    before, after = _path(span.across[:split], down[:split]), ""
    if back < len(down):
        after = _path(span.across[rest], down[rest])
    return before + after, _path(span.across[hot], down[hot]) if split < len(down) else ""


def _told(key: SeriesKey, low: float, high: float) -> str:
    """The limits in words."""
    words = limits(key, low, high)
    return f"{'limits' if isfinite(low) and isfinite(high) else 'alarm'} {words}" if words else ""


def _limits(track: Track) -> tuple[float, float]:
    """Those of the last window that has some."""
    known = np.flatnonzero(np.isfinite(track.low) | np.isfinite(track.high))
    return (float(track.low[known[-1]]), float(track.high[known[-1]])) if known.size else (np.nan, np.nan)


def _last(values: NDArray[np.float64]) -> int | None:
    known = np.flatnonzero(np.isfinite(values))
    return int(known[-1]) if known.size else None


def _now(track: Track, last: int | None) -> str:
    stale = last is None or last < len(track.value) - 1
    return "–" if stale else value(track.key, float(track.value[-1]))


def _path(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    """A line with a gap wherever nothing was measured."""
    told, pen = [], "M"
    for across, down in zip(x.tolist(), y.tolist(), strict=True):
        if down != down:  # noqa: PLR0124 - not a number
            pen = "M"
            continue
        told.append(f"{pen}{across:.1f},{down:.1f}")
        pen = "L"
    return "".join(told)


def _band(track: Track, axis: _Axis, x: NDArray[np.float64]) -> str:
    """The limits as one area for each stretch of windows that have some."""
    pairs = zip(track.low.tolist(), track.high.tolist(), strict=True)
    told = np.array([telling_limits(track.key, *pair) for pair in pairs]).reshape(-1, 2)
    low = axis.place(np.where(np.isfinite(told[:, 0]), told[:, 0], 0.0 if axis.log else -np.inf))
    high = axis.place(np.where(np.isfinite(told[:, 1]), told[:, 1], np.inf))
    known = np.isfinite(told).any(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], known.astype(np.int8), [0]))))
    shapes = []
    width = float(x[1] - x[0]) if len(x) > 1 else 100.0
    for begin, stop in zip(edges[::2], edges[1::2], strict=True):
        # A limit belongs to its whole window, so a band of one window has a width too.
        xs = [float(x[begin]) - width, *x[begin:stop].tolist()]
        tops, bottoms = high[begin:stop].tolist(), low[begin:stop].tolist()
        there = zip(xs, [tops[0], *tops], strict=True)
        back = zip(reversed(xs), reversed([bottoms[0], *bottoms]), strict=True)
        points = "L".join(f"{max(0.0, a):.1f},{b:.1f}" for a, b in [*there, *back])
        shapes.append(f"M{points}Z")
    return "".join(shapes)


def _clear(at: float) -> float:
    """A label that does not leave the plot."""
    return round(min(96.0, max(4.0, at)), 1)


def _above(axis: _Axis, low: float, high: float) -> float:
    """Above the band where there is room, below it otherwise, else inside."""
    top = axis.at(high) if isfinite(high) else 0.0
    bottom = axis.at(low) if isfinite(low) else 100.0
    if top > 22.0:
        return round(top - 4.0, 1)
    return round(bottom + 13.0, 1) if bottom < 84.0 else 12.0


def _times(start: int, end: int) -> tuple[Label, ...]:
    """Two to four round times of day."""
    span = end - start
    wanted = (10, 20, 30, 60, 120, 300, 600, 1200, 3600, 7200, 21_600, 86_400)
    step = 1000 * next((s for s in wanted if span / (1000 * s) <= (3 if s < 60 else 4)), 86_400)
    first = -(-start // step) * step
    cut = 8 if step < 60_000 else 5
    return tuple(
        Label(round(100.0 * (at - start) / span, 1), clock(at)[:cut])
        for at in range(first, end, step)
        if 6.0 < 100.0 * (at - start) / span < 96.0
    )


def _say(track: Track, band: str, last: int | None, outside: NDArray[np.bool_], *, judged: bool) -> str:
    start, end = clock(int(track.start_ms[0])), clock(int(track.start_ms[-1]) + track.window_ms)
    said = f"{track.key.stage} {name_of(track.key)}, {start} to {end} UTC: ".lstrip()
    said += f"{band}; " if band else "" if judged else "no limits yet; "
    said += "nothing measured now" if last is None else f"{_now(track, last)} now"
    where = np.flatnonzero(outside)
    return f"{said}, outside since {clock(int(track.start_ms[where[0]]))}." if where.size else f"{said}."
