"""Numbers, bars and lines of text characters, by the rules of the face: few, fixed, honest."""

from __future__ import annotations

from math import floor, isfinite, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["bar", "number", "per_second", "ratio", "rounded", "spark", "usual_rate", "usual_ratio"]

MISSING = "–"
_STEPS = "▁▂▃▄▅▆▇█"


def number(value: float) -> str:
    """A count or a rate: ``20 000``, ``10``, ``0.4``; a dash where it is not known.

    Example:
        >>> [number(v) for v in (20012.4, 9.6, 0.44, 0.0, float("nan"))]
        ['20 012', '10', '0.4', '0', '–']
    """
    if not isfinite(value):
        return MISSING
    if 0 < value < 0.95:
        return f"{value:.1f}" if value >= 0.05 else "< 0.1"
    return f"{value:,.0f}".replace(",", " ")


def per_second(value: float) -> str:
    """A rate with its unit.

    Example:
        >>> per_second(20012.4), per_second(float("nan"))
        ('20 012/s', '–')
    """
    return f"{number(value)}/s" if isfinite(value) else MISSING


def ratio(value: float) -> str:
    """Two decimals, below 0.01 one significant figure.

    Example:
        >>> ratio(0.2049), ratio(0.0004), ratio(float("nan"))
        ('0.20', '0.0004', '–')
    """
    if not isfinite(value):
        return MISSING
    return f"{value:.2f}" if value >= 0.01 or value <= 0 else f"{value:.1g}"


def rounded(value: float, digits: int = 3) -> float:
    """To so many significant figures.

    Example:
        >>> rounded(24987.0, 2), rounded(1723.4)
        (25000.0, 1720.0)
    """
    if not isfinite(value) or value == 0:
        return value
    return round(value, digits - 1 - floor(log10(abs(value))))


def usual_rate(low: float, high: float) -> str:
    """A band of rates.

    Example:
        >>> usual_rate(1723.4, 2289.1), usual_rate(-3.0, 22.4)
        ('usual 1 720–2 290', 'usual 0–22')
    """
    return f"usual {number(rounded(max(0.0, low)))}–{number(rounded(high))}"


def usual_ratio(low: float, high: float) -> str:
    """A band of ratios.

    Example:
        >>> usual_ratio(0.7712, 0.8304)
        'usual 0.77–0.83'
    """
    return f"usual {ratio(max(0.0, low))}–{ratio(min(1.0, high))}"


def bar(value: float, usual: float, full: float, width: int) -> tuple[str, str]:
    """What flows, and what is missing of the usual, as two pieces of a bar.

    Example:
        >>> bar(5_000, 25_000, 25_000, 12)
        ('██', '░░░░░░░░░░')
        >>> bar(10, 2_000, 25_000, 12)
        ('▏', '')
    """
    now = 0 if not isfinite(value) else min(width, round(value / full * width))
    then = 0 if not isfinite(usual) else min(width, round(usual / full * width))
    return "█" * now or "▏", "░" * max(0, then - max(now, 1))


def spark(values: Iterable[float], low: float, high: float, *, log: bool = False) -> str:
    """Values between fixed bounds, so that a height always means the same; a gap where unknown.

    Example:
        >>> spark([0.8, 0.8, float("nan"), 0.2], 0, 1)
        '▇▇ ▂'
    """
    return "".join(_step(value, low, high, log=log) for value in values)


def _step(value: float, low: float, high: float, *, log: bool) -> str:
    if not isfinite(value):
        return " "
    inside = min(max(value, low), high)
    share = log10(inside / low) / log10(high / low) if log else (inside - low) / (high - low)
    return _STEPS[round(share * 7)]
