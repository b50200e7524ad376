"""What is a user's own in a frame, made fit to leave: texts redacted and capped, names not too many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swirl.sketch import OVERFLOW, cap_label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Names", "Texts"]

_KNOWN_TEXTS = 1000


class Texts:
    """The labels, reasons and categories of one stage.

    Args:
        redact: makes a text of the user's presentable, or None.
        complain: is told where it raises.
    """

    def __init__(
        self, redact: Callable[[str], str] | None, complain: Callable[[str, BaseException], None]
    ) -> None:
        self._redact = redact
        self._complain = complain
        self._known: dict[str, str] = {}

    def __call__(self, value: str) -> str:
        """A text of the user's as it may leave: redacted, capped."""
        known = self._known.get(value)
        if known is None:
            if len(self._known) >= _KNOWN_TEXTS:
                self._known.clear()
            known = self._known[value] = self._presentable(value)
        return known

    def _presentable(self, value: str) -> str:
        if self._redact is None:
            return cap_label(value)
        try:
            return cap_label(self._redact(value))
        except Exception as error:  # noqa: BLE001 - what cannot be redacted does not leave
            self._complain("redact", error)
            return "(redacted)"


class Names:
    """Names of a user's features or metrics: the first ones are kept apart, the others count together.

    Args:
        most: how many are kept apart.

    Example:
        >>> names = Names(2)
        >>> [names(name) for name in ("age", "income", "age", "city")], list(names)
        (['age', 'income', 'age', '(other)'], ['age', 'income'])
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[str, None] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __call__(self, name: object) -> str:
        """The name under which something counts."""
        text = _read(name)
        if text not in self._known:
            if len(self._known) >= self._most:
                return OVERFLOW
            self._known[text] = None
        return text


def _read(name: object) -> str:
    try:
        return cap_label(name)
    except Exception:  # noqa: BLE001 - whatever was given for a name, the host must not feel it
        return "(unreadable)"
