"""One residual series, judged: how many sigmas the evidence is away from the baseline, honestly.

All three kinds pool several windows, know their autocorrelation, and grow uncertain with a short baseline.
"""

from __future__ import annotations

from math import exp, log, sqrt
from typing import TYPE_CHECKING, Protocol

import numpy as np

from swirl.contrast import deviance_root
from swirl.incident.sigmas import (
    FEWEST_WINDOWS,
    LARGEST,
    as_normal,
    autocorrelation,
    beyond_spikes,
    pooling,
    spikes,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Level", "Ratio", "Series", "Span", "Tied"]

_RATIO_FLOOR = 0.01
"""A change of the odds below 1 % is never significant, however many records."""


class Span:
    """Which windows are which, as indices into the columns.

    Attributes:
        size: number of windows.
        base: baseline windows, increasing.
        evidence: first and last-plus-one window of the evidence.
        clean: windows that may be looked at for the shape of the onset: baseline-worthy or evidence.
    """

    def __init__(self, base: NDArray[np.intp], first: int, stop: int, clean: NDArray[np.bool_]) -> None:
        self.base = base
        self.first = first
        self.stop = stop
        self.clean = clean
        self.size = len(clean)

    @property
    def windows(self) -> int:
        """How many windows the evidence has."""
        return self.stop - self.first


class Series(Protocol):
    """What diagnosis asks of a residual series."""

    @property
    def label(self) -> str:
        """Of the prediction, the feature or the custom metric; ``""`` where there is none."""
        ...

    def z(self) -> float | None:
        """Sigmas of the pooled evidence, in [-40, 40]; None where nothing was measured."""
        ...

    def by_window(self) -> NDArray[np.float64]:
        """Sigmas window by window, shape ``(size,)``, NaN where nothing was measured."""
        ...


def _root(k: float, n: float, r: float) -> float:
    """:func:`swirl.contrast.deviance_root` of one count."""
    mean = n * r
    k = max(k - 0.5, mean) if k > mean else min(k + 0.5, mean)
    hit = k * log(k / max(mean, 1e-9)) if k > 0 else 0.0
    miss = (n - k) * log((n - k) / max(n - mean, 1e-9)) if n > k else 0.0
    size = sqrt(max(2 * (hit + miss), 0.0))
    return size if k > mean else -size if k < mean else 0.0


def _clipped(z: float) -> float:
    return min(max(z, -LARGEST), LARGEST)


def _limited(z: float, limit: float) -> float:
    return min(max(z, -limit), limit)


def _nearer(z: float, other: float) -> float:
    """The one of two that says less; nothing where they contradict each other."""
    if z * other <= 0:
        return 0.0
    return min(z, other, key=abs)


class Ratio:
    """A count out of another, beta-binomial: beyond the binomial it varies as in the baseline, or a floor.

    Args:
        k, n: counts by window, shape ``(size,)``.
        span: which windows are which.
        label: of the prediction or the custom metric.
    """

    def __init__(self, k: NDArray[np.float64], n: NDArray[np.float64], span: Span, label: str = "") -> None:
        # No part is larger than its whole, whatever was counted.
        n = np.maximum(n, 0.0)
        k = np.clip(k, 0.0, n)
        self.k, self.n, self.span, self.label = k, n, span, label
        base_k, base_n = k[span.base], n[span.base]
        self.usual = (float(base_k.sum()) + 0.5) / (float(base_n.sum()) + 1.0)
        self.weight = max(float(base_n.mean()), 1.0)
        roots = deviance_root(base_k, base_n, self.usual)
        self.spikes, roots = spikes(roots, 1.0)
        squares = roots * roots
        ceiling = 20 * max(float(np.median(squares)), 0.45)
        beyond = max(0.0, float(np.mean(np.minimum(squares, ceiling))) - 1.0)
        self.rho = autocorrelation(roots)
        self.dispersion = beyond + self.weight * self.usual * (1 - self.usual) * _RATIO_FLOOR**2

    @property
    def counted(self) -> tuple[float, float]:
        """K and n of the evidence."""
        span = self.span
        return float(self.k[span.first : span.stop].sum()), float(self.n[span.first : span.stop].sum())

    @property
    def now(self) -> float:
        """The ratio in the evidence, NaN without records."""
        k, n = self.counted
        return k / n if n else float("nan")

    @property
    def excess(self) -> float:
        """How many more than usual."""
        k, n = self.counted
        return k - self.usual * n

    def z(self) -> float | None:
        """See :class:`Series`."""
        k, n = self.counted
        if n < 1:
            return None
        z = self.sigmas(k, n)
        if not self.spikes:
            return z
        span = self.span
        roots = np.abs(self.by_window()[span.first : span.stop])
        furthest = span.first + int(np.argmax(roots))
        rest = n - float(self.n[furthest])
        if span.windows == 1 or rest < 1:
            return _limited(z, beyond_spikes(self.spikes))
        # Where lone windows are far out, the others have to say the same.
        return _nearer(z, self.sigmas(k - float(self.k[furthest]), rest, span.windows - 1))

    def sigmas(self, k: float, n: float, windows: int = 0) -> float:
        """The z of counts from so many windows; by default as many as the evidence has."""
        windows, baseline = windows or self.span.windows, len(self.span.base)
        beyond = self.dispersion * n / self.weight / windows * pooling(windows, self.rho, baseline)
        z = _root(k, n, self.usual) / sqrt(1 + beyond)
        # Only the part of the variance that was estimated makes the tail heavier.
        estimated = max(beyond / (1 + beyond), 1e-3)
        return _clipped(as_normal(z, (baseline - 1) / estimated**2))

    def by_window(self) -> NDArray[np.float64]:
        """See :class:`Series`."""
        roots = deviance_root(self.k, self.n, self.usual)
        found: NDArray[np.float64] = roots / np.sqrt(1 + self.dispersion * self.n / self.weight)
        return found


class Level:
    """A value on a logarithmic scale, or in sigmas, with the scale of its baseline.

    Args:
        x: values by window, NaN where not measured, shape ``(size,)``.
        span: which windows are which.
        floor: the standard deviation is never below.
        widen: variance of each window beyond that of an ordinary one, shape ``(size,)``.
        least: a pooled change that lies between ``-least[0]`` and ``least[1]`` counts as none.
        clip: baseline values further from the centre than this do not widen the scale.
        usual: ln of the usual value, where ``x`` is what a model leaves of it.
        label: of the feature or the custom metric.
    """

    def __init__(
        self,
        x: NDArray[np.float64],
        span: Span,
        *,
        floor: float = 0.01,
        widen: NDArray[np.float64] | None = None,
        least: tuple[float, float] = (0.0, 0.0),
        clip: float = 1.0,
        usual: float = 0.0,
        label: str = "",
    ) -> None:
        self.x, self.span, self.least, self.usual, self.label = x, span, least, usual, label
        base = x[span.base]
        base = base[np.isfinite(base)]
        self.baseline = len(base)
        self.centre = float(np.median(base)) if self.baseline else 0.0
        rest = np.clip(base - self.centre, -clip, clip)
        self.spikes, rest = spikes(rest, floor)
        self.sd = max(float(np.std(rest)), floor) if self.baseline else 1.0
        self.rho = autocorrelation(rest)
        self.widen = np.zeros(span.size) if widen is None else widen

    @property
    def known(self) -> bool:
        """There is a baseline."""
        return self.baseline >= FEWEST_WINDOWS

    def change(self, first: int | None = None, *, beside: bool = False) -> float:
        """Mean of the evidence less the centre, NaN where nothing was measured.

        Args:
            first: window from which on; by default all of the evidence.
            beside: leave out the window furthest out, where there are others.
        """
        span = self.span
        x = self.x[span.first if first is None else first : span.stop]
        x = x[np.isfinite(x)]
        if beside and len(x) > 2:
            x = np.delete(x, int(np.argmax(np.abs(x - np.median(x)))))
        return float(x.mean()) - self.centre if len(x) else float("nan")

    @property
    def factor(self) -> float:
        """The evidence as a multiple of the usual value."""
        return exp(self.change())

    def error(self, windows: int) -> float:
        """Standard deviation of a mean of so many windows against the centre."""
        return sqrt(self.sd**2 * pooling(windows, self.rho, max(self.baseline, 1)) / windows)

    def z(self) -> float | None:
        """See :class:`Series`."""
        span = self.span
        x, widen = self.x[span.first : span.stop], self.widen[span.first : span.stop]
        measured = np.isfinite(x)
        x, widen = x[measured] - self.centre, widen[measured]
        if not len(x) or not self.known:
            return None
        z = self._sigmas(x, widen)
        if not self.spikes:
            return z
        if len(x) == 1:
            return _limited(z, beyond_spikes(self.spikes))
        others = np.arange(len(x)) != int(np.argmax(np.abs(x)))
        return _nearer(z, self._sigmas(x[others], widen[others]))

    def _sigmas(self, x: NDArray[np.float64], widen: NDArray[np.float64]) -> float:
        change = float(x.mean())
        if -self.least[0] < change < self.least[1]:
            return 0.0
        z = change / sqrt(self.error(len(x)) ** 2 + float(widen.mean()))
        return _clipped(as_normal(z, self.baseline - 1))

    def by_window(self) -> NDArray[np.float64]:
        """See :class:`Series`."""
        found: NDArray[np.float64] = (self.x - self.centre) / np.sqrt(self.sd**2 + self.widen)
        return found


class Tied:
    """Several series of one kind at one stage (labels, features) that stand for one: the loudest speaks.

    Its z pays for the choice: ``z^2 - 2 ln K`` is Bonferroni's correction to first order.
    """

    def __init__(self, members: Sequence[Ratio | Level], choices: int) -> None:
        self.members = members
        scored = [(m.z(), m) for m in members]
        measured = [(z, m) for z, m in scored if z is not None]
        self.choices = choices
        self._z: float | None
        self.lead: Ratio | Level
        self._z, self.lead = max(measured, key=lambda s: abs(s[0])) if measured else (None, members[0])

    @property
    def label(self) -> str:
        """Of the loudest member."""
        return self.lead.label

    def z(self) -> float | None:
        """See :class:`Series`."""
        if self._z is None or self.choices < 2:
            return self._z
        size = sqrt(max(self._z**2 - 2 * log(self.choices), 0.0))
        return size if self._z > 0 else -size

    def by_window(self) -> NDArray[np.float64]:
        """See :class:`Series`; those of the loudest member."""
        return self.lead.by_window()
