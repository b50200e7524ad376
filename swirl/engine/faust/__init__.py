"""The engine of many machines: the same monitor behind Kafka, driven by Faust.

``swirl worker`` runs it, and so does ``faust -A swirl.engine.faust worker``. Settings come from the
environment.
"""

from __future__ import annotations

from typing import Any

__all__: list[str] = []


def __getattr__(name: str) -> Any:
    """``app`` is made when it is asked for: nothing is read and nobody called at import."""
    if name != "app":
        raise AttributeError(name)
    from swirl.engine.faust.app import from_environment  # noqa: PLC0415

    globals()["app"] = made = from_environment()
    return made
