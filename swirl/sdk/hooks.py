"""What a user hangs on a stage: ``valid=``, ``predicts=``, ``features=``, ``at=`` and ``segment=``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from swirl.sdk.note import Feature, Note, event_ms, feature, prediction
from swirl.sdk.note import segment as segment_of

__all__ = ["Complain", "Failed", "Hook", "Hooks", "Judge", "OnInvalid", "invalid_reason"]

OnInvalid: TypeAlias = Literal["drop", "raise", "pass"]

Hook: TypeAlias = Callable[..., Any]
"""A function of the result; with two parameters it gets the first argument of the call, then the result."""

Judge: TypeAlias = Callable[[Any, tuple[Any, ...], dict[str, Any]], Note]
"""From result, positional and named arguments of a call to what there is to note."""

_Reader: TypeAlias = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]
_Step: TypeAlias = Callable[[Note, Any, tuple[Any, ...], dict[str, Any]], None]

Complain: TypeAlias = Callable[[str, BaseException], None]


class Failed:
    """In the place of a result: the call ended with an exception, and has none."""


@dataclass(frozen=True)
class Hooks:
    """The hooks of one stage, as the user gave them.

    Attributes:
        valid: says whether a result is valid.
        predicts: True: the result is the prediction; or a function that gives it.
        features: True: the result is the mapping of names to values; or a function that gives it.
        at: gives the event time.
        on_invalid: see :meth:`swirl.Pipeline.stage`.
        segment: gives the segment. Of a call that ended with an exception there is no result: a function with
            two parameters is asked with the argument and None, one of the result is not asked, and the record
            belongs to no segment.
    """

    valid: Hook | None = None
    predicts: Hook | bool = False
    features: Hook | bool = False
    at: Hook | None = None
    on_invalid: OnInvalid = "pass"
    segment: Hook | None = None

    @property
    def simple(self) -> bool:
        """Whether the hot path needs no judge: ``valid=`` of the result and ``predicts=True`` at most."""
        return (
            isinstance(self.predicts, bool)
            and not self.features
            and self.at is None
            and self.segment is None
            and (self.valid is None or not _takes_argument(self.valid))
        )

    def judge(self, complain: Complain, *, method: bool) -> Judge:
        """The hooks as one function.

        Args:
            complain: is told of a hook that raised.
            method: the first argument of a call is ``self`` or ``cls``.

        Returns:
            A function that is asked with :class:`Failed` as the result only where there is a ``segment``.
        """
        steps: list[tuple[str, _Step]] = []
        if self.valid is not None:
            steps.append(("valid", self._validate(_bound(self.valid, method=method))))
        if (predicts := _reader(self.predicts, method=method)) is not None:
            steps.append(("predicts", _predict(predicts)))
        if (features := _reader(self.features, method=method)) is not None:
            steps.append(("features", _measure(features, complain)))
        if self.at is not None:
            steps.append(("at", _date(_bound(self.at, method=method))))
        if self.segment is None:
            return _judge(steps, complain)
        place = ("segment", _place(_bound(self.segment, method=method)))
        ended = _judge([*steps, place], complain)
        failed = _judge([place] if _takes_argument(self.segment) else [], complain)

        def judge(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Note:
            return failed(None, args, kwargs) if result is Failed else ended(result, args, kwargs)

        return judge

    def _validate(self, valid: _Reader) -> _Step:
        reason, handed_on = invalid_reason(self.valid), int(self.on_invalid == "pass")

        def step(note: Note, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if not valid(result, args, kwargs):
                note.invalid, note.out = reason, handed_on

        return step


def _judge(steps: list[tuple[str, _Step]], complain: Complain) -> Judge:
    def judge(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Note:
        note = Note()
        for name, step in steps:
            try:
                step(note, result, args, kwargs)
            except Exception as error:  # noqa: BLE001 - a hook of the user's may raise anything
                note.failed += 1
                complain(name, error)
        return note

    return judge


def _predict(predicts: _Reader) -> _Step:
    def step(note: Note, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if note.invalid is None:
            note.prediction = prediction(predicts(result, args, kwargs))

    return step


def _measure(features: _Reader, complain: Complain) -> _Step:
    def step(note: Note, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found: list[Feature] = []
        for name, value in features(result, args, kwargs).items():
            try:
                found.append((name, feature(value)))
            except Exception as error:  # noqa: BLE001 - one odd feature must not cost the others
                note.failed += 1
                complain(f"features[{name!r:.80}]", error)
        note.features = tuple(found)

    return step


def _date(at: _Reader) -> _Step:
    def step(note: Note, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        note.at = event_ms(at(result, args, kwargs))

    return step


def _place(segment: _Reader) -> _Step:
    def step(note: Note, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        note.segment = segment_of(segment(result, args, kwargs))

    return step


def invalid_reason(valid: Hook | None) -> str:
    """The reason under which a predicate's no is counted: ``not has_text`` for ``valid=has_text``."""
    name = getattr(valid, "__name__", "<lambda>")
    return "invalid" if name == "<lambda>" else f"not {name}"


def _reader(hook: Hook | Literal[True, False], *, method: bool) -> _Reader | None:
    if isinstance(hook, bool):
        return (lambda result, _args, _kwargs: result) if hook else None
    return _bound(hook, method=method)


def _bound(hook: Hook, *, method: bool) -> _Reader:
    """A hook as a function of result and arguments."""
    if not _takes_argument(hook):
        return lambda result, _args, _kwargs: hook(result)
    place = int(method)

    def both(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        first = args[place] if len(args) > place else next(iter(kwargs.values()), None)
        return hook(first, result)

    return both


def _takes_argument(hook: Hook) -> bool:
    try:
        parameters = inspect.signature(hook).parameters.values()
    except (TypeError, ValueError):  # some builtins have no signature; they are asked about the result
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is p.empty for p in parameters) == 2
