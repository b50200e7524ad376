"""What every sink offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from swirl.effect import Effect

__all__ = ["Doubting", "Sink"]


class Sink(Protocol):
    """Carries effects out: tells a person, a file, another system."""

    @property
    def name(self) -> str:
        """One word, the same for ever: a label of the exported metrics."""
        ...

    def handle(self, effect: Effect) -> None:
        """Carry one effect out, or ignore it when it is not of this sink's kind.

        It may block, and it may be called again with the same effect. Whatever it raises is tried again
        later; a :class:`swirl.errors.DeliveryError` says more about when, and whether.
        """
        ...


@runtime_checkable
class Doubting(Protocol):
    """A sink that can look up whether an effect was carried out already."""

    def doubt(self, identity: str) -> None:
        """The effect of this identity may have been carried out by another: look before it is done again."""
        ...
