"""State as a snapshot holds it."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["builtins"]


def builtins(value: Any) -> Any:
    """A struct as types that MessagePack knows; bytes stay bytes."""
    return msgspec.to_builtins(value, builtin_types=(bytes,))
