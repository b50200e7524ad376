"""What may befall a record of a shape that nobody told us: nulls, another format, another unit.

Mappings, named tuples, dataclasses and JSON objects in text or bytes are understood, and lists of them. What
cannot be changed is returned as it is.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Change", "nulled", "renamed", "scaled", "strike"]

Change: TypeAlias = "Callable[[Any], Any]"
"""From a record to what became of it."""


def nulled(record: Any) -> Any:
    """The record with nulls where values were.

    Example:
        >>> nulled({"id": 7, "text": "hello"}), nulled(b'{"id": 7}'), nulled(3.5)
        ({'id': None, 'text': None}, b'{"id": null}', nan)
    """
    if isinstance(record, float):
        return float("nan")
    return _by_fields(record, dict.fromkeys)


def renamed(record: Any) -> Any:
    """The record with other names for its fields; text that is no object is cut in half.

    Example:
        >>> renamed({"text": "hello"}), renamed("hello!"), renamed(7)
        ({'new_text': 'hello'}, 'hel', 7)
    """
    if isinstance(record, (str, bytes)) and _json_object(record) is None:
        return record[: len(record) // 2]
    return _by_fields(record, lambda fields: {f"new_{name}": value for name, value in fields.items()})


def scaled(record: Any, factor: float = 1000.0, shift: float = 0.0) -> Any:
    """The record with its numbers times a factor, then moved; whole numbers may be names, and stay.

    Example:
        >>> scaled({"id": 7, "price": 1.5}), scaled(0.5, shift=1.0), scaled([0.5, 2.0])
        ({'id': 7, 'price': 1500.0}, 501.0, [500.0, 2000.0])
    """
    if isinstance(record, float):
        return record * factor + shift
    if isinstance(record, np.ndarray) and record.dtype.kind == "f":
        return record * factor + shift
    if isinstance(record, (list, tuple)) and record and all(isinstance(x, float) for x in record):
        return type(record)([x * factor + shift for x in record])
    return _by_fields(
        record,
        lambda fields: {
            n: scaled(v, factor, shift) if isinstance(v, float) else v for n, v in fields.items()
        },
    )


def strike(record: Any, change: Change, share: float, luck: Callable[[], float]) -> Any:
    """Change a record with a probability; of a list of records, each one.

    Args:
        record: or a list of them.
        change: what may become of one.
        share: the probability, in [0, 1].
        luck: gives numbers, even in [0, 1).
    """
    if isinstance(record, list) and record and not isinstance(record[0], float):
        return [change(each) if luck() < share else each for each in record]
    return change(record) if luck() < share else record


def _by_fields(record: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """The record built anew from changed fields; one that has no such fields stays."""
    if isinstance(record, Mapping):
        return change(dict(record))
    if isinstance(record, (str, bytes)):
        found = _json_object(record)
        text = record if found is None else json.dumps(change(found))
        return text.encode() if isinstance(record, bytes) and isinstance(text, str) else text
    fields = _attributes(record)
    changed = change(fields)
    if not fields or changed.keys() != fields.keys():
        return record
    return (
        record._replace(**changed) if hasattr(record, "_replace") else dataclasses.replace(record, **changed)
    )


def _attributes(record: Any) -> dict[str, Any]:
    if isinstance(record, tuple) and hasattr(record, "_asdict"):
        return dict(record._asdict())
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {field.name: getattr(record, field.name) for field in dataclasses.fields(record) if field.init}
    return {}


def _json_object(text: str | bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
