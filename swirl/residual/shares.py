"""The fit of the model of a stage's input: which of its parents' outputs arrive, what share, and how late."""

from __future__ import annotations

from itertools import product
from math import inf, isfinite
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import nnls

from swirl.residual.counts import LEAST_WINDOWS, bounded, outputs, total
from swirl.residual.input import InputModel, between

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from swirl.history import History

__all__ = ["fit_input", "fit_shares", "later"]

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


def later(series: NDArray[np.float64], windows: int) -> NDArray[np.float64]:
    """The values of so many windows earlier; the first one stands for those before it.

    Example:
        >>> later(np.array([1.0, 2.0, 3.0]), 1).tolist()
        [1.0, 1.0, 2.0]
    """
    if not windows:
        return series
    return np.concatenate([np.repeat(series[:1], windows), series])[: len(series)]
