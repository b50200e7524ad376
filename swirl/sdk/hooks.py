"""What a user hangs on a stage: ``valid=``, ``predicts=``, ``features=`` and ``at=``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from swirl.sdk.note import Feature, Note, event_ms, feature, prediction

__all__ = ["Complain", "Hook", "Hooks", "Judge", "OnInvalid", "invalid_reason"]

OnInvalid: TypeAlias = Literal["drop", "raise", "pass"]

Hook: TypeAlias = Callable[..., Any]
"""A function of the result; with two parameters it gets the first argument of the call, then the result."""

Judge: TypeAlias = Callable[[Any, tuple[Any, ...], dict[str, Any]], Note]
"""From result, positional and named arguments of a call to what there is to note."""

Complain: TypeAlias = Callable[[str, BaseException], None]


@dataclass(frozen=True)
class Hooks:
    """The hooks of one stage, as the user gave them.

    Attributes:
        valid: says whether a result is valid.
        predicts: True: the result is the prediction; or a function that gives it.
        features: True: the result is the mapping of names to values; or a function that gives it.
        at: gives the event time.
        on_invalid: see :meth:`swirl.Pipeline.stage`.
    """

    valid: Hook | None = None
    predicts: Hook | bool = False
    features: Hook | bool = False
    at: Hook | None = None
    on_invalid: OnInvalid = "pass"

    @property
    def simple(self) -> bool:
        """Whether the hot path needs no judge: ``valid=`` of the result and ``predicts=True`` at most."""
        return (
            isinstance(self.predicts, bool)
            and not self.features
            and self.at is None
            and (self.valid is None or not _takes_argument(self.valid))
        )

    def judge(self, complain: Complain, *, method: bool) -> Judge:
        """The hooks as one function.

        Args:
            complain: is told of a hook that raised.
            method: the first argument of a call is ``self`` or ``cls``.
        """
        valid = self.valid and _bound(self.valid, method=method)
        at = self.at and _bound(self.at, method=method)
        predicts = _reader(self.predicts, method=method)
        features = _reader(self.features, method=method)
        reason, handed_on = invalid_reason(self.valid), int(self.on_invalid == "pass")

        def judge(result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Note:
            note = Note()
            if valid is not None:
                try:
                    if not valid(result, args, kwargs):
                        note.invalid, note.out = reason, handed_on
                except Exception as error:  # noqa: BLE001 - a hook of the user's may raise anything, and must not be felt
                    note.failed += 1
                    complain("valid", error)
            if predicts is not None and note.invalid is None:
                try:
                    note.prediction = prediction(predicts(result, args, kwargs))
                except Exception as error:  # noqa: BLE001 - as above
                    note.failed += 1
                    complain("predicts", error)
            if features is not None:
                try:
                    note.features, failed = _features(features(result, args, kwargs), complain)
                    note.failed += failed
                except Exception as error:  # noqa: BLE001 - as above
                    note.failed += 1
                    complain("features", error)
            if at is not None:
                try:
                    note.at = event_ms(at(result, args, kwargs))
                except Exception as error:  # noqa: BLE001 - as above
                    note.failed += 1
                    complain("at", error)
            return note

        return judge


def invalid_reason(valid: Hook | None) -> str:
    """The reason under which a predicate's no is counted: ``not has_text`` for ``valid=has_text``."""
    name = getattr(valid, "__name__", "<lambda>")
    return "invalid" if name == "<lambda>" else f"not {name}"


def _features(mapping: Mapping[str, Any], complain: Complain) -> tuple[tuple[Feature, ...], int]:
    found: list[Feature] = []
    failed = 0
    for name, value in mapping.items():
        try:
            found.append((name, feature(value)))
        except Exception as error:  # noqa: BLE001 - one odd feature must not cost the others
            failed += 1
            complain(f"features[{name!r:.80}]", error)
    return tuple(found), failed


def _reader(hook: Hook | Literal[True, False], *, method: bool) -> Callable[[Any, Any, Any], Any] | None:
    if isinstance(hook, bool):
        return (lambda result, _args, _kwargs: result) if hook else None
    return _bound(hook, method=method)


def _bound(hook: Hook, *, method: bool) -> Callable[[Any, Any, Any], Any]:
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
