"""Spans of time as people type them: ``90s``, ``30m``, ``2h``, ``1d``."""

from __future__ import annotations

import re
from typing import Any

import click

__all__ = ["MOST_MS", "Span", "milliseconds"]

MOST_MS = 30 * 86_400_000
"""The longest: what is to last longer is no longer planned work."""

_UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART = re.compile(r"(\d{1,6})\s*([smhd])")


def milliseconds(text: str) -> int:
    """Read a span.

    Raises:
        ValueError: it is none, is nothing, or is longer than 30 days; the message says what is.

    Example:
        >>> [milliseconds(text) for text in ("90s", "30m", "2h", "1d", "1h30m")]
        [90000, 1800000, 7200000, 86400000, 5400000]
    """
    whole = text.strip().lower()
    parts = _PART.findall(whole)
    if not parts or _PART.sub("", whole).strip():
        raise ValueError(f"{text!r} is no span of time; write 90s, 30m, 2h, 1d or 1h30m")
    found = sum(int(count) * _UNITS[unit] for count, unit in parts)
    if not 0 < found <= MOST_MS:
        raise ValueError(f"{text!r} must be longer than nothing and at most 30d")
    return found


class Span(click.ParamType):
    """An option that takes a span; its value is in milliseconds."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it, or say what is wrong with it."""
        if isinstance(value, int):
            return value
        try:
            return milliseconds(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
