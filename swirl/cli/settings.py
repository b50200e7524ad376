"""``swirl settings``: every setting with its value now; secrets stay secret."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from swirl.settings import (
    EmitterSettings,
    KafkaSettings,
    MonitorSettings,
    Settings,
    WatchSettings,
    WorkerSettings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["table"]

_KINDS: tuple[tuple[str, type[Settings]], ...] = (
    ("Inside your pipeline", EmitterSettings),
    ("What decides", MonitorSettings),
    ("How it is reached, and whom it tells", WatchSettings),
    ("Kafka, if it is used", KafkaSettings),
    ("A worker", WorkerSettings),
)

_LOGIN = re.compile(r"//[^/?#\s]*@")
"""User and password within an address, which have no place there and are shown to nobody."""


def table(environ: Mapping[str, str] | None = None) -> list[str]:
    """The settings as lines of text.

    Args:
        environ: to read them from; default: the environment of this process.

    Raises:
        SettingsError: a variable has a value that cannot be used.
    """
    lines: list[str] = []
    for title, kind in _KINDS:
        now = kind.from_environment(environ)
        lines += [*([""] if lines else []), title]
        values = {spec: _shown(getattr(now, spec.name), secret=not spec.repr) for spec in fields(now)}
        width = max(14, *map(len, values.values()))
        for spec, value in values.items():
            mark = " " if getattr(now, spec.name) == spec.default else "*"
            lines.append(f"{mark} {spec.metadata['variable']:<27} {value:<{width}} {spec.metadata['doc']}")
    return [*lines, "", "* differs from its default"]


def _shown(value: Any, *, secret: bool) -> str:
    if secret:
        return "(set)" if value else "(not set)"
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return f"{value:g}"
    return _LOGIN.sub("//(set)@", str(value)) if value != "" else "(empty)"
