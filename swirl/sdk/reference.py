"""What data looked like when a model was made: a baseline to hand over, to save and to load.

A profile, not the data: a digest of each number, counts of each category. It is made once, where the training
data is, and lies beside the model.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from swirl.errors import DefinitionError
from swirl.frame import ReferenceDefinition, Summary
from swirl.sketch import Categories, Distribution, cap_label

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Reference"]

_K = 200
_LABELS = 50
_FEATURES = 200
MOST_BYTES = 400_000
"""Of all references of one pipeline, which travel in one frame."""


class Reference(msgspec.Struct, frozen=True):
    """A baseline of a stage's features and predictions.

    Attributes:
        categories: ``feature:<name>`` and ``label``: counts by label.
        distributions: ``feature:<name>`` and ``prediction``.

    Example:
        >>> reference = Reference.of({"age": [31.0, 47.0, 29.0], "country": ["de", "fr", "de"]})
        >>> reference.categories
        {'feature:country': {'de': 2, 'fr': 1}}
        >>> reference.distributions["feature:age"].count
        3
    """

    categories: dict[str, dict[str, int]] = {}
    distributions: dict[str, Summary] = {}

    @classmethod
    def of(cls, data: Any, predictions: Any = None) -> Reference:
        """The profile of a table.

        Args:
            data: a mapping from name to column, a pandas or polars frame, a path to a CSV file with a header,
                or one that :meth:`save` wrote.
            predictions: what the model said of it, or should have said: labels or numbers, one a row.

        Raises:
            DefinitionError: it is none of these, or has more than 200 columns.
        """
        if isinstance(data, Reference):
            return data
        if isinstance(data, (str, Path)):
            return cls._read(Path(data), predictions)
        columns = _columns(data)
        if len(columns) > _FEATURES:
            raise DefinitionError(f"a reference of {len(columns)} columns; at most {_FEATURES} are kept")
        categories: dict[str, dict[str, int]] = {}
        distributions: dict[str, Summary] = {}
        for name, values in columns.items():
            _add(f"feature:{cap_label(name)}", values, categories, distributions)
        if predictions is not None:
            _add_predictions(list(np.asarray(predictions).tolist()), categories, distributions)
        return cls(categories, distributions)

    @classmethod
    def _read(cls, path: Path, predictions: Any) -> Reference:
        try:
            if path.suffix == ".csv":
                with path.open(newline="", encoding="utf-8") as file:
                    return cls.of(_table(csv.DictReader(file)), predictions)
            return cls.load(path)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DefinitionError(f"the reference {path} cannot be read: {error}") from None

    def save(self, path: str | Path) -> None:
        """Write the profile to a file, a few kilobytes a feature."""
        Path(path).write_bytes(msgspec.msgpack.encode(self))

    @classmethod
    def load(cls, path: str | Path) -> Reference:
        """Read what :meth:`save` wrote.

        Raises:
            OSError: the file cannot be read.
            DefinitionError: it is no profile.
        """
        try:
            return msgspec.msgpack.decode(Path(path).read_bytes(), type=cls)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise DefinitionError(
                f"{path} is no reference: {error}; write one with Reference.of(table).save(path)"
            ) from None

    def defined(
        self, stage: str, others: Mapping[str, ReferenceDefinition] | None = None
    ) -> ReferenceDefinition:
        """The profile as a part of a pipeline's definition.

        Args:
            stage: whose baseline it is.
            others: the baselines of the pipeline by stage; one of this stage is replaced.

        Raises:
            DefinitionError: all together are too large to travel in one frame.
        """
        found = ReferenceDefinition(stage, self.categories, self.distributions)
        size = len(msgspec.msgpack.encode(found))
        kept = [reference for name, reference in (others or {}).items() if name != stage]
        total = size + sum(len(msgspec.msgpack.encode(reference)) for reference in kept)
        if total > MOST_BYTES:
            raise DefinitionError(
                f"the reference of stage {stage!r} takes {size // 1000} kB, and those of the pipeline "
                f"{total // 1000} kB together; at most {MOST_BYTES // 1000} kB travel with its definition. "
                "Give fewer columns: those that the model rests on"
            )
        return found


def _columns(data: Any) -> dict[str, list[Any]]:
    """Columns by name, of a mapping or of a frame that is indexed by its columns."""
    names: Iterable[Any]
    if isinstance(data, Mapping):
        names = data.keys()
    elif hasattr(data, "columns") and hasattr(data, "__getitem__"):
        names = list(data.columns)
    else:
        raise DefinitionError(
            "a reference is a table: a mapping from name to column, a frame or a file; "
            f"not a {type(data).__name__}"
        )
    return {str(name): list(_listed(data[name])) for name in names}


def _listed(column: Any) -> list[Any]:
    if isinstance(column, (list, tuple)):
        return list(column)
    found = np.asarray(column)
    if found.ndim != 1:
        raise DefinitionError(f"a column of a reference has one dimension, not {found.ndim}")
    listed: list[Any] = found.tolist()
    return listed


def _table(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for row in rows:
        for name, text in row.items():
            if name is not None:
                columns.setdefault(name, []).append(text if isinstance(text, str) else "")
    return {name: _parsed(texts) for name, texts in columns.items()}


def _parsed(texts: list[str]) -> list[Any]:
    """Numbers where all are numbers or empty, otherwise the texts."""
    try:
        return [float(text) if text.strip() else None for text in texts]
    except ValueError:
        return [text or None for text in texts]


def _add(
    name: str, values: list[Any], categories: dict[str, dict[str, int]], distributions: dict[str, Summary]
) -> None:
    """One column: numbers to a digest, texts and truth values to counts; nulls are left out."""
    numbers = [float(v) for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    labels = Counter(cap_label(v) for v in values if isinstance(v, (str, bool)))
    if numbers:
        digest = Distribution(_K)
        digest.update(np.sort(np.array(numbers)))
        if digest.count:
            distributions[name] = Summary(digest.count, digest.total, digest.encode())
    if labels:
        kept = Categories(_LABELS)
        kept.add(labels.most_common())
        categories[name] = kept.counts


def _add_predictions(
    values: list[Any], categories: dict[str, dict[str, int]], distributions: dict[str, Summary]
) -> None:
    """Floats are numbers, everything else is a label, as for ``predicts=``."""
    if values and all(isinstance(v, float) for v in values):
        _add("prediction", values, categories, distributions)
    else:
        _add("label", [str(v) for v in values if v is not None], categories, distributions)
