"""When and how an effect began: at once or slowly, and in which window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from swirl.effect import SeriesKey
from swirl.incident.residuals import Residuals, collect

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from swirl.history import History
    from swirl.incident.series import Series

__all__ = ["locate", "ramp_against_step", "residual_key"]

_ONSET = 30
"""So many windows before the evidence are looked at."""


def ramp_against_step(residuals: Residuals, series: Series) -> float:
    """Slow against sudden onset, as a ln likelihood ratio in [-4, 4], over the windows around it."""
    span = residuals.span
    index = np.arange(max(span.first - _ONSET, 0), span.stop)
    # What was suspected before the evidence begins, without a gap, may be where it began to grow.
    sound = np.flatnonzero(span.clean[: span.first])
    suspected = sound[-1] + 1 if len(sound) else 0
    z = series.by_window()[index[span.clean[index] | (index >= suspected)]]
    z = np.clip(z[np.isfinite(z)], -40, 40)
    n = len(z)
    if n < 10:
        return 0.0
    t = np.arange(n)
    total = float(np.sum(z * z))

    def misfit(length: int) -> float:
        starts = np.arange(1, n - min(length, 3) + 1)
        shapes: NDArray[np.float64] = np.clip((t[None, :] - starts[:, None] + 1) / length, 0, 1)
        fits = np.sum(shapes * z, axis=1) ** 2 / np.sum(shapes * shapes, axis=1)
        return total - float(fits.max())

    noise = 2 * max(1.0, 0.02 * float(np.max(np.abs(z))) ** 2)
    # A ramp has one more free number than a step.
    ratio = (misfit(1) - min(misfit(length) for length in (4, 8, 16, 30))) / noise - 1
    return min(max(ratio, -4.0), 4.0)


def locate(history: History, since_ms: int, last_ms: int, key: SeriesKey) -> Generator[None, None, int]:
    """Where within ``[since_ms, last_ms]`` a series really left: the most likely step.

    A detector knows when its evidence began to grow, and that may be some quiet windows too early, which
    would dilute the size of the effect.

    Returns:
        The start of the first window of the effect; ``since_ms`` where the series says nothing.
    """
    residuals = (yield from collect(history, since_ms, last_ms)) if since_ms < last_ms else None
    series = residuals.series.get(residual_key(key)) if residuals is not None else None
    if residuals is None or series is None:
        return since_ms
    span = residuals.span
    z = np.clip(np.nan_to_num(series.by_window()[span.first : span.stop]), -40, 40)
    after = np.cumsum(z[::-1])[::-1]
    gain = after * after / np.arange(len(z), 0, -1)
    return residuals.windows[span.first + int(np.argmax(gain))].start_ms


def residual_key(key: SeriesKey) -> SeriesKey:
    """The residual series in which a judged series is seen.

    Example:
        >>> residual_key(SeriesKey("classify", "prediction_ratio", "positive"))
        SeriesKey(stage='classify', metric='prediction_ratio', label='')
    """
    metric = {"counter_level": "ratio"}.get(key.metric, key.metric)
    return SeriesKey(key.stage, metric)
