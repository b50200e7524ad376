"""Seams: where a drill reaches into decorated stages from outside. The user's code stays as it is.

A stage is a wrapper that measures around the user's function. A seam takes the place of that function inside
the wrapper, so whoever holds the stage calls it as before, and what the seam does is measured as if the world
or the function had done it.
"""

from __future__ import annotations

import functools
import gc
import inspect
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from types import FunctionType
from typing import TYPE_CHECKING, Any

from swirl.errors import DefinitionError
from swirl.testing.drill.records import nulled, renamed, scaled, strike

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator

    from swirl.sdk.pipeline import Pipeline

__all__ = ["DrillError", "Seam", "seams_of"]

_SAMPLE = 200


class DrillError(Exception):
    """What a stage raises while a drill makes it fail."""


@dataclass
class Seam:
    """One stage of one pipeline.

    Attributes:
        stage: its name.
        rest: told of every call and of the factor on its time.
        luck: decides which records are hit.
        nulls, format, unit: shares of what it receives that is changed.
        drift: what its numbers gain, as a share of themselves.
        errors: share of its calls that raise.
        swap: share of its labels that are swapped.
        slow: factor on the time of a call.
        seen: what it received, a few.
        labels: what it returned, as far as that may be labels.
    """

    stage: str
    rest: Callable[[float], None]
    luck: random.Random
    nulls: float = 0.0
    format: float = 0.0
    unit: float = 0.0
    drift: float = 0.0
    errors: float = 0.0
    swap: float = 0.0
    slow: float = 1.0
    seen: list[Any] = field(default_factory=list)
    labels: Counter[Hashable] = field(default_factory=Counter)
    _undo: Callable[[], None] = field(default=lambda: None)

    def heal(self) -> None:
        """Do nothing from now on but pass on, and let time pass."""
        self.nulls = self.format = self.unit = self.drift = self.errors = self.swap = 0.0
        self.slow = 1.0

    def open(self, stage: FunctionType) -> None:
        """Take the place of the user's function inside its wrapper.

        Raises:
            DefinitionError: the wrapper is not one of Swirl's.
        """
        names = stage.__code__.co_freevars
        if "function" not in names or stage.__closure__ is None:
            raise DefinitionError(f"stage {self.stage!r} is not measured, so nothing can be drilled in it")
        cell = stage.__closure__[names.index("function")]
        function = cell.cell_contents
        cell.cell_contents = _around(function, self)

        def undo() -> None:
            cell.cell_contents = function

        self._undo = undo

    def close(self) -> None:
        """Give the function its place back."""
        self._undo()

    def take(self, record: Any) -> Any:
        """What the function receives instead."""
        if len(self.seen) < _SAMPLE:
            self.seen.append(record)
        luck = self.luck.random
        if self.nulls:
            record = strike(record, nulled, self.nulls, luck)
        if self.format:
            record = strike(record, renamed, self.format, luck)
        if self.unit:
            record = strike(record, scaled, self.unit, luck)
        if self.drift:
            record = strike(record, lambda one: scaled(one, 1.0 + self.drift), 1.0, luck)
        return record

    def work(self) -> None:
        """Time passes, and the call may fail.

        Raises:
            DrillError: it shall.
        """
        self.rest(self.slow)
        if self.errors and self.luck.random() < self.errors:
            raise DrillError(f"the drill made {self.stage} fail")

    def give(self, result: Any) -> Any:
        """What the function returns instead."""
        if isinstance(result, (str, bool, int, Enum)) and len(self.labels) < _SAMPLE:
            self.labels[result] += 1
        if self.swap and result in self.labels and self.luck.random() < self.swap:
            known = sorted(self.labels, key=repr)
            return known[(known.index(result) + 1) % len(known)]
        return result


def seams_of(pipeline: Pipeline, rest: Callable[[float], None], luck: random.Random) -> dict[str, Seam]:
    """Seams in all stages of a pipeline, opened, by name; wherever the user keeps the functions.

    Raises:
        DefinitionError: no stage is to be found, or it cannot be opened.
    """
    found = {}
    for function in [each for each in gc.get_objects() if type(each) is FunctionType]:
        given = function.__dict__
        if given.get("pipeline") is pipeline and isinstance(name := given.get("name"), str):
            found[name] = seam = Seam(name, rest, luck)
            seam.open(function)
    if not found:
        raise DefinitionError(f"{pipeline!r} has no stages that could be drilled; SWIRL_OFF must not be set")
    return found


def _around(function: Callable[..., Any], seam: Seam) -> Callable[..., Any]:
    """The function with the seam around it, of the same kind."""
    method = next(iter(inspect.signature(function).parameters), "") in ("self", "cls")
    place = int(method)

    def changed(args: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(args) <= place:
            return args
        record = args[place]
        stream = hasattr(record, "__next__")
        return (*args[:place], map(seam.take, record) if stream else seam.take(record), *args[place + 1 :])

    kinds: tuple[tuple[Callable[[Any], bool], Any], ...] = (
        (inspect.iscoroutinefunction, _async),
        (inspect.isasyncgenfunction, _async_generator),
        (inspect.isgeneratorfunction, _generator),
    )
    for is_one, make in kinds:
        if is_one(function):
            return functools.wraps(function)(make(function, seam, changed))
    return functools.wraps(function)(_plain(function, seam, changed))


_Changed = Callable[[tuple[Any, ...]], tuple[Any, ...]]


def _plain(function: Callable[..., Any], seam: Seam, changed: _Changed) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        seam.work()
        return seam.give(function(*changed(args), **kwargs))

    return call


def _async(function: Callable[..., Any], seam: Seam, changed: _Changed) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        seam.work()
        return seam.give(await function(*changed(args), **kwargs))

    return call


def _generator(function: Callable[..., Any], seam: Seam, changed: _Changed) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Iterator[Any]:
        for value in function(*changed(args), **kwargs):
            seam.work()
            yield seam.give(value if args else seam.take(value))

    return call


def _async_generator(function: Callable[..., Any], seam: Seam, changed: _Changed) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async for value in function(*changed(args), **kwargs):
            seam.work()
            yield seam.give(value if args else seam.take(value))

    return call
