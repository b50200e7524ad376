"""What a stage should have received and how long it should have taken, given what the stages around it did.

Both models are fitted to the windows of a history that lie in no incident, and judge one window at a time.
Detection and diagnosis use the same ones, so that they look at the same numbers.
"""

from __future__ import annotations

from itertools import product
from math import exp, inf, isfinite, log, sqrt
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np
from scipy.optimize import nnls

from swirl.history import StageCounts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from swirl.history import History, WindowCounts

__all__ = [
    "MOST",
    "InputModel",
    "LoadModel",
    "between",
    "bounded",
    "fit_input",
    "fit_load",
    "fit_load_to",
    "fit_shares",
    "is_timed",
    "later",
    "outputs",
    "total",
]

N = TypeVar("N", int, float)
Numbers = Any
"""A number, or an array of them: the formulas are elementwise."""

LEAST_WINDOWS = 12
"""Fewer baseline windows than this give no model."""

LOAD_CLIP = 0.3
"""The load explains latency up to 30 % beyond its usual value; further out the slope is not known."""

MOST = 1e15
"""Counts are taken for no more than this: what is larger is no count."""

_SHORTEST, _LONGEST = 1e-12, 1e9
"""Seconds between which a time per record is taken for one."""

_TRIED = 16
"""Combinations of parents' labels that are compared for one stage."""
_TIE = 0.02
"""Parents whose outputs move together cannot be told apart; this weak pull splits them evenly."""
_LATE = (0.0, 0.2, 0.5)
"""Shares of the records that are under way when a window ends, of which the best is taken."""
_WHOLE_WINDOWS = 4
"""Records may take up to so many windows from a stage to the next."""
_CLEARLY = 0.7
"""More windows on the way have to leave less than this share of what fewer leave unexplained."""
_FEW = 30
"""Below so many records a count is told from its forecast by chance alone."""


class InputModel(msgspec.Struct, frozen=True):
    """Records that arrive at a stage, given what its parents sent.

    Attributes:
        stage: the stage.
        parents: per parent its name, and the label of the predictions that are passed on; ``""`` for all
            records.
        shares: per parent, records that arrive per record sent.
        sd: standard deviation of the ln residual in an ordinary window.
        usual: mean forecast of a baseline window.
        late: whole windows that records take from the parents to the stage.
    """

    stage: str
    parents: tuple[tuple[str, str], ...]
    shares: tuple[float, ...]
    sd: float
    usual: float
    late: int = 0

    def forecast(self, window: WindowCounts) -> float:
        """Records that what the parents sent in this window should give."""
        sent = (outputs(total(window, parent)).get(label, 0.0) for parent, label in self.parents)
        return sum(share * count for share, count in zip(self.shares, sent, strict=True))

    def residual(
        self, now: WindowCounts, before: WindowCounts | None, earlier: Sequence[WindowCounts] = ()
    ) -> tuple[float, float] | None:
        """How far the input is from its forecast, as a natural logarithm, and the standard deviation of that.

        Zero between the forecasts from the parents' window that arrives now and the one before it: records
        may be under way. None where nothing was sent and nothing came, or where an emitter of the stage or of
        a parent was not heard.

        Args:
            now: the window.
            before: the one before it.
            earlier: those before that, newest first: asked for where records take whole windows.
        """
        if any(
            now.heard.get(s, 0) < now.known.get(s, 0) for s in (self.stage, *(p for p, _ in self.parents))
        ):
            return None
        known = [now] if before is None else [now, before, *earlier]
        arriving = known[min(self.late, len(known) - 1)]
        arrived, sent = total(now, self.stage).records, self.forecast(arriving)
        if arrived == 0 and sent == 0:
            return None
        return self.judge(arrived, sent, self.forecast(known[min(self.late + 1, len(known) - 1)]))

    def judge(self, arrived: float, sent: float, sent_before: float) -> tuple[float, float]:
        """The residual of a count, given the forecasts from this window and the last, and its deviation."""
        return float(between(arrived, sent, sent_before)), sqrt(
            self.sd**2 + float(self.widening(arrived, sent))
        )

    def widening(self, arrived: Numbers, sent: Numbers) -> Numbers:
        """Variance that a thin window has beyond an ordinary one."""
        few = np.where(np.less(arrived, _FEW), 0.2 / np.maximum(sent, 1.0), 0.0)
        found: Numbers = self.sd**2 * _thinness(self.usual, sent) + few
        return found


def between(arrived: Numbers, sent: Numbers, sent_before: Numbers) -> Numbers:
    """The ln of a count over the nearer of two forecasts, zero between them; elementwise.

    Example:
        >>> between(95.0, 100.0, 90.0).round(2), between(45.0, 100.0, 90.0).round(2)
        (np.float64(0.0), np.float64(-0.69))
    """
    y = np.log(np.add(arrived, 0.5))
    a, b = np.log(np.maximum(sent, 0.0) + 0.5), np.log(np.maximum(sent_before, 0.0) + 0.5)
    found: Numbers = np.minimum(y - np.minimum(a, b), 0.0) + np.maximum(y - np.maximum(a, b), 0.0)
    return found


class LoadModel(msgspec.Struct, frozen=True):
    """Time per record of a stage, given its load.

    Attributes:
        stage: the stage.
        slope: ln latency per ln load, in [0, 2].
        load: ln of the usual records a window.
        centre: ln of the usual latency, seconds, at the usual load.
        sd: standard deviation of the residual.
        usual: mean records of a baseline window.
        emitters: the usual number of them, 0 where they were not counted. More of them share the load.
    """

    stage: str
    slope: float
    load: float
    centre: float
    sd: float
    usual: float
    emitters: float = 0.0

    def residual(self, now: WindowCounts) -> tuple[float, float] | None:
        """What the load leaves of ln latency, and its standard deviation; None where nothing was measured."""
        counts = total(now, self.stage)
        if not is_timed(counts):
            return None
        known = now.known.get(self.stage, 0)
        shared = known / self.emitters if known and self.emitters else 1.0
        value = self.judge(counts.records, counts.latency, shared)
        return float(value), sqrt(self.sd**2 + float(self.widening(counts.records, value, shared)))

    def judge(self, records: Numbers, latency: Numbers, shared: Numbers = 1.0) -> Numbers:
        """What the load leaves of ln latency; elementwise.

        Args:
            records: in the window.
            latency: the usual time per record, seconds.
            shared: emitters, as a multiple of the usual number.
        """
        load = np.log(np.divide(records, shared) + 0.5) - self.load
        found: Numbers = np.log(latency) - self.slope * np.clip(load, -LOAD_CLIP, LOAD_CLIP) - self.centre
        return found

    def widening(self, records: Numbers, value: Numbers, shared: Numbers = 1.0) -> Numbers:
        """Variance beyond that of an ordinary window: few records, or a load that history does not know.

        Less load than ever cannot explain that a stage became slower, so there the law is nearly kept.
        """
        load = np.log(np.divide(records, shared) + 0.5) - self.load
        doubt = np.where(load > 0, 1.5, np.where(np.less(value, 0), 0.5, 0.1))
        strange = np.maximum(np.abs(load) - 0.1, 0.0) * doubt
        found: Numbers = self.sd**2 * _thinness(self.usual, records) + strange * strange
        return found


def bounded(counts: Numbers, most: float = MOST) -> NDArray[np.float64]:
    """Counts as an array of floats that no formula here can break on: from 0 to :data:`MOST`, 0 for NaN.

    Example:
        >>> bounded([3, -1, float("nan"), 1e300]).tolist()
        [3.0, 0.0, 0.0, 1000000000000000.0]
    """
    found: NDArray[np.float64] = np.clip(
        np.nan_to_num(np.asarray(counts, dtype=np.float64), posinf=most), 0.0, most
    )
    return found


def total(window: WindowCounts, stage: str) -> StageCounts:
    """What all versions of a stage did in a window; the latency is the mean over records, in logarithms."""
    versions = window.stages.get(stage)
    if not versions:
        return _NOTHING
    if len(versions) == 1:
        return next(iter(versions.values()))
    return _summed([versions[v] for v in sorted(versions)])


_NOTHING = StageCounts()


def is_timed(counts: StageCounts) -> bool:
    """Whether a time per record was measured, and is one.

    Example:
        >>> [is_timed(StageCounts(10, latency=seconds)) for seconds in (0.01, 0.0, 1e300)]
        [True, False, False]
    """
    return counts.records > 0 and _SHORTEST <= counts.latency <= _LONGEST


def _summed(parts: Sequence[StageCounts]) -> StageCounts:
    timed = [(p.records, p.latency, p.latency_spread) for p in parts if is_timed(p)]
    weight = sum(n for n, _, _ in timed)
    return StageCounts(
        records=sum(p.records for p in parts),
        invalid=sum(p.invalid for p in parts),
        errors=sum(p.errors for p in parts),
        out=sum(p.out for p in parts),
        predictions=sum(p.predictions for p in parts),
        labels=_added([p.labels for p in parts]),
        nulls=sum(p.nulls for p in parts),
        values=sum(p.values for p in parts),
        hook_errors=sum(p.hook_errors for p in parts),
        non_finite=sum(p.non_finite for p in parts),
        latency=exp(sum(n * log(x) for n, x, _ in timed) / weight) if weight else 0.0,
        latency_spread=sum(n * s for n, _, s in timed) / weight if weight else 0.0,
        counters=_added([p.counters for p in parts]),
        reasons=_added([p.reasons for p in parts]),
        error_types=_added([p.error_types for p in parts]),
    )


def _added(counts: Sequence[Mapping[str, N]]) -> dict[str, N]:
    found: dict[str, N] = {}
    for part in counts:
        for label, count in part.items():
            found[label] = found[label] + count if label in found else count
    return found


def outputs(counts: StageCounts) -> dict[str, float]:
    """What a stage may have handed on: all that it passed on under ``""``, and its predictions by label."""
    return {"": float(counts.out), **{label: float(n) for label, n in counts.labels.items() if label}}


def fit_input(history: History, stage: str) -> InputModel | None:
    """The model of a stage's input from baseline windows; None for a source or a short history."""
    definition = (
        next((s for s in history.definition.stages if s.name == stage), None) if history.definition else None
    )
    if definition is None or not definition.after:
        return None
    windows = history.windows
    base = np.array([w.normal and w.whole for w in windows], dtype=np.bool_)
    arrived = np.array([total(w, stage).records for w in windows], dtype=np.float64)
    sent = {parent: [outputs(total(w, parent)) for w in windows] for parent in definition.after}
    return fit_shares(stage, arrived, sent, base)


def fit_shares(
    stage: str,
    arrived: NDArray[np.float64],
    sent: Mapping[str, Sequence[Mapping[str, float]]],
    base: NDArray[np.bool_],
) -> InputModel | None:
    """Per parent all records or those of one label, whichever explain best what arrived.

    Args:
        stage: its name.
        arrived: records by window, without gaps in time, shape ``(n,)``.
        sent: per parent and window, what :func:`outputs` gives.
        base: which windows to learn from, shape ``(n,)``.
    """
    arrived = bounded(arrived)
    base = base & (arrived > 0)
    if int(base.sum()) < LEAST_WINDOWS or not sent:
        return None
    kept = max(1, int(_TRIED ** (1 / len(sent)) + 1e-9))
    columns = [_columns(parts, kept, base) for parts in sent.values()]
    tries = [_fit(columns, labels, arrived, base, _LATE[1]) for labels in product(*columns)]
    labels = min(tries, key=lambda fit: fit[0])[1]
    # How much is under way at the end of a window is not known; a wrong guess would pull the shares down.
    error, shares, late = _latest(columns, labels, arrived, base)
    if not (isfinite(error) and np.any(shares > 0)):
        return None
    forecast = np.zeros(len(arrived))
    for column, label, share in zip(columns, labels, shares.tolist(), strict=True):
        forecast += share * column[label]
    parents = tuple(zip(sent, labels, strict=True))
    return _input_model(stage, parents, tuple(shares.tolist()), arrived, later(forecast, late), base, late)


def _latest(
    columns: Sequence[Mapping[str, NDArray[np.float64]]],
    labels: tuple[str, ...],
    arrived: NDArray[np.float64],
    base: NDArray[np.bool_],
) -> tuple[float, NDArray[np.float64], int]:
    """How many whole windows records take, and the shares; no windows unless more explain clearly better."""
    found: tuple[float, NDArray[np.float64], int] | None = None
    for windows in range(_WHOLE_WINDOWS + 1):
        moved = [{label: later(c[label], windows)} for c, label in zip(columns, labels, strict=True)]
        for late in _LATE:
            error, _, shares = _fit(moved, labels, arrived, base, late)
            if found is None or error < found[0] * (_CLEARLY if windows > found[2] else 1.0):
                found = (error, shares, windows)
    assert found is not None
    return found


def _fit(
    columns: Sequence[Mapping[str, NDArray[np.float64]]],
    labels: tuple[str, ...],
    arrived: NDArray[np.float64],
    base: NDArray[np.bool_],
    late: float,
) -> tuple[float, tuple[str, ...], NDArray[np.float64]]:
    """What remains, the labels and the shares, if so much of what is sent arrives a window late."""
    sent = [column[label] for column, label in zip(columns, labels, strict=True)]
    table = np.stack([(1 - late) * x + late * later(x, 1) for x in sent], 1)[base]
    shares, error = _solve(table / arrived[base][:, None])
    return error, labels, shares


def _input_model(
    stage: str,
    parents: tuple[tuple[str, str], ...],
    shares: tuple[float, ...],
    arrived: NDArray[np.float64],
    forecast: NDArray[np.float64],
    base: NDArray[np.bool_],
    late: int,
) -> InputModel:
    residuals = between(arrived[base], forecast[base], later(forecast, 1)[base])
    sd, usual = max(float(np.std(residuals)), 0.01), float(np.mean(forecast[base]))
    return InputModel(stage, parents, shares, sd, usual, late)


def _columns(
    parts: Sequence[Mapping[str, float]], kept: int, base: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    """Series of all records and of the commonest labels of a parent."""
    counts: dict[str, float] = {}
    for window, part in enumerate(parts):
        if base[window]:
            for label, count in part.items():
                counts[label] = counts.get(label, 0.0) + count
    common = sorted((label for label in counts if label), key=lambda label: (-counts[label], label))[
        : kept - 1
    ]
    return {label: bounded([part.get(label, 0.0) for part in parts]) for label in ("", *common)}


def _solve(table: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Shares ``b >= 0`` with ``table b`` near 1, and the root of the summed squares of what remains."""
    rows, n = table.shape
    if n == 1:
        column = table[:, 0]
        share = max(float(np.sum(column)) / max(float(np.sum(column * column)), 1e-12), 0.0)
        return np.array([share]), float(np.sum((1 - share * column) ** 2)) ** 0.5
    pull = _TIE * rows**0.5 * float(table.mean())
    ties = [[pull * ((column == a) - (column == a - 1)) for column in range(n)] for a in range(1, n)]
    matrix = np.vstack([table, np.array(ties)]) if ties else table
    try:
        shares, error = nnls(matrix, np.concatenate([np.ones(rows), np.zeros(len(ties))]))
    except (RuntimeError, ValueError):  # it did not converge, or the numbers are beyond its arithmetic
        return np.zeros(n), inf
    return shares, float(error)


def fit_load(history: History, stage: str) -> LoadModel | None:
    """The model of a stage's latency from the baseline windows of a history; None if they are too few."""
    base = [w for w in history.windows if w.normal and w.whole]
    model = fit_load_to(stage, [total(w, stage) for w in base])
    if model is None:
        return None
    return msgspec.structs.replace(model, emitters=float(np.median([w.known.get(stage, 0) for w in base])))


def fit_load_to(stage: str, baseline: Sequence[StageCounts]) -> LoadModel | None:
    """The same from the counts of baseline windows."""
    timed = [(min(c.records, MOST), c.latency) for c in baseline if is_timed(c)]
    if len(timed) < LEAST_WINDOWS:
        return None
    records, latency = np.array(timed, dtype=np.float64).T
    load, y = np.log(records + 0.5), np.log(latency)
    usual = float(np.median(load))
    x = load - usual
    spread = x - x.mean()
    variance = float(np.sum(spread * spread))
    slope = 0.0
    if len(timed) > 20 and variance > 1e-9 * len(timed):
        slope = min(max(float(np.sum(spread * (y - y.mean()))) / variance, 0.0), 2.0)
    rest = y - slope * np.clip(x, -LOAD_CLIP, LOAD_CLIP)
    centre = float(np.median(rest))
    sd = max(float(np.std(np.clip(rest - centre, -1, 1))), 0.02)
    return LoadModel(stage, slope, usual, centre, sd, float(records.mean()))


def later(series: NDArray[np.float64], windows: int) -> NDArray[np.float64]:
    """The values of so many windows earlier; the first one stands for those before it.

    Example:
        >>> later(np.array([1.0, 2.0, 3.0]), 1).tolist()
        [1.0, 1.0, 2.0]
    """
    if not windows:
        return series
    return np.concatenate([np.repeat(series[:1], windows), series])[: len(series)]


def _thinness(usual: float, count: Numbers) -> Numbers:
    """How much larger than usual the variance of a mean over so few records is, less one."""
    found: Numbers = np.maximum(usual / np.maximum(count, 1.0), 1.0) - 1.0
    return found
