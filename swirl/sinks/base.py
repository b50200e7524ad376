"""What every sink offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from swirl.effect import Effect

__all__ = ["Doubting", "Pacing", "Sink", "Troubled"]


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


@runtime_checkable
class Pacing(Protocol):
    """A sink that knows when it may tell something: its receiver limits the pace, or sleeps."""

    def wait(self, effect: Effect) -> float:
        """Seconds that this effect should still wait, 0 or less for none; meanwhile others are carried out.

        Asked often, and with a lock held: it answers at once.
        """
        ...


@runtime_checkable
class Troubled(Protocol):
    """A sink that can say what is wrong with it."""

    @property
    def trouble(self) -> str:
        """What is wrong and what to do about it, ``""`` when all is well. Any thread may ask."""
        ...
