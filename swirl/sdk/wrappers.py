"""The measuring wrappers: one for each kind of function, chosen once.

Those of plain and of async functions are written out in full, since a call into a shared helper would cost a
third of the measuring itself.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from swirl.errors import Invalid
from swirl.sdk.hooks import Failed, invalid_reason
from swirl.sdk.note import Note, text

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from swirl.sdk.hooks import Hooks, Judge
    from swirl.sdk.recorder import Recorder

__all__ = ["failure", "wrap"]


def failure(error: BaseException, *, records: int = 1) -> Note:
    """The note of a call that ended with an exception."""
    if isinstance(error, Invalid):
        return Note(records=records, out=0, invalid=_reason(error))
    if isinstance(error, (StopIteration, StopAsyncIteration)):
        return Note(records=0, out=0)
    kind = type(error).__name__
    if isinstance(error, Exception) or kind == "CancelledError":
        return Note(records=records, out=0, error=kind)
    return Note(records=records, out=0)


def _reason(error: Invalid) -> str:
    try:
        # One derived from Invalid need not have called its __init__.
        return text(str(getattr(error, "reason", type(error).__name__)))
    except Exception:  # noqa: BLE001 - a reason is whatever was given, and may fail to say what it is
        return "invalid"


def wrap(
    function: Callable[..., Any], recorder: Recorder, hooks: Hooks, judge: Judge, *, source: bool
) -> Callable[..., Any]:
    """The measuring wrapper of a function.

    Args:
        function: of any of the four kinds.
        recorder: of its stage.
        hooks: of its stage.
        judge: the hooks as one function.
        source: nothing comes before the stage.
    """
    if hooks.segment is not None:
        recorder.divide()
    asked = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004 - a callable object is of the kind of its method
    if any(map(inspect.iscoroutinefunction, (function, asked))):
        return _wrap_async(function, recorder, hooks)
    if any(map(inspect.isgeneratorfunction, (function, asked))):
        return _wrap_generator(function, _Flow(recorder, hooks, judge, source=source))
    if any(map(inspect.isasyncgenfunction, (function, asked))):
        return _wrap_async_generator(function, _Flow(recorder, hooks, judge, source=source))
    return _wrap_plain(function, recorder, hooks)


def _wrap_plain(function: Callable[..., Any], recorder: Recorder, hooks: Hooks) -> Callable[..., Any]:
    buffer, extend, valid, keep = recorder.buffer, recorder.buffer.extend, hooks.valid, hooks.predicts is True
    hands_on, raises = hooks.on_invalid == "pass", hooks.on_invalid == "raise"
    no = Note(invalid=invalid_reason(valid), out=int(hands_on))

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        ticks = recorder.ticks
        start = ticks()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            if _swallow(error, recorder, raises, args, kwargs):
                return None
            raise
        end = ticks()
        note = result if keep else None
        judge = recorder.judge
        if judge is not None:
            note = judge(result, args, kwargs)
        elif valid is not None:
            try:
                if not valid(result):
                    note = no
            except Exception as error:  # noqa: BLE001 - the user's predicate may raise anything, and must not be felt
                note = _doubt(recorder, error, note)
        if len(buffer) < recorder.limit:
            extend((end, start, note))
        else:
            recorder.overflow(buffer, end, start, note)
        if hands_on or note.__class__ is not Note or note.invalid is None:
            return result
        if raises:
            raise Invalid(note.invalid)
        return None

    return call


def _wrap_async(function: Callable[..., Any], recorder: Recorder, hooks: Hooks) -> Callable[..., Any]:
    buffer, extend, valid, keep = recorder.buffer, recorder.buffer.extend, hooks.valid, hooks.predicts is True
    hands_on, raises = hooks.on_invalid == "pass", hooks.on_invalid == "raise"
    no = Note(invalid=invalid_reason(valid), out=int(hands_on))

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        ticks = recorder.ticks
        start = ticks()
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            if _swallow(error, recorder, raises, args, kwargs):
                return None
            raise
        end = ticks()
        note = result if keep else None
        judge = recorder.judge
        if judge is not None:
            note = judge(result, args, kwargs)
        elif valid is not None:
            try:
                if not valid(result):
                    note = no
            except Exception as error:  # noqa: BLE001 - as above
                note = _doubt(recorder, error, note)
        if len(buffer) < recorder.limit:
            extend((end, start, note))
        else:
            recorder.overflow(buffer, end, start, note)
        if hands_on or note.__class__ is not Note or note.invalid is None:
            return result
        if raises:
            raise Invalid(note.invalid)
        return None

    return call


def _swallow(
    error: BaseException,
    recorder: Recorder,
    raises: bool,  # noqa: FBT001 - positional for speed
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> bool:
    """Note a call that ended with an exception; whether it ends here."""
    _note(recorder, _placed(failure(error), recorder, args, kwargs))
    return isinstance(error, Invalid) and not raises


def _placed(note: Note, recorder: Recorder, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Note:
    """The note of a call without a result, with its segment if that can be known."""
    if recorder.segmented and recorder.slim is not None:
        known = recorder.slim(Failed, args, kwargs)
        note.segment, note.failed = known.segment, known.failed
    return note


def _note(recorder: Recorder, note: Note) -> None:
    ticks = recorder.ticks()
    if len(recorder.buffer) < recorder.limit:
        recorder.buffer.extend((ticks, ticks, note))
    else:
        recorder.overflow(recorder.buffer, ticks, ticks, note)


def _doubt(recorder: Recorder, error: Exception, prediction: object) -> Note:
    """The note of a record whose ``valid=`` raised: nobody knows, so it counts as valid."""
    recorder.complain("valid", error)
    return Note(failed=1, prediction=prediction)


class _Flow:
    """What generator stages share: one call, many values.

    Args:
        recorder: of the stage.
        hooks: of the stage.
        judge: the hooks as one function.
        source: nothing comes before the stage.
    """

    def __init__(self, recorder: Recorder, hooks: Hooks, judge: Judge, *, source: bool) -> None:
        self.recorder = recorder
        self.judge = judge
        self.hands_on = hooks.on_invalid == "pass"
        self.raises = hooks.on_invalid == "raise"
        self._source = source

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Run:
        """A call begins to run."""
        # Of their types, since asking a proxy of the user's for an attribute may raise.
        given = map(type, (*args, *kwargs.values()))
        stream = self._source or any(hasattr(a, "__next__") or hasattr(a, "__anext__") for a in given)
        late = not stream and self.recorder.segmented
        if not stream and not late:
            _note(self.recorder, Note(out=0))
        return _Run(self, args, kwargs, stream=stream, due=late)


class _Run:
    """One run of a generator.

    On a stream (a source, or a generator that was given an iterator) every value is a record of its own.
    Otherwise the call is the record, its values are what it passed on, and it is invalid at most once. Such a
    record is ``due`` until its first value where only a value can say its segment.
    """

    __slots__ = ("_args", "_bad", "_due", "_flow", "_kwargs", "_stream", "start")

    def __init__(
        self, flow: _Flow, args: tuple[Any, ...], kwargs: dict[str, Any], *, stream: bool, due: bool
    ) -> None:
        self._flow = flow
        self._args = args
        self._kwargs = kwargs
        self._stream = stream
        self._due = due
        self._bad = False
        self.start = flow.recorder.ticks()

    def value(self, value: Any) -> bool:
        """A value is about to be passed on; whether it is.

        Raises:
            Invalid: it is invalid and the stage was told to raise.
        """
        flow, recorder = self._flow, self._flow.recorder
        end = recorder.ticks()
        note = flow.judge(value, self._args, self._kwargs)
        reason = note.invalid
        if not self._stream:
            note.records, self._due = int(self._due), False
            if self._bad:
                note.invalid = None
            self._bad = self._bad or reason is not None
        if len(recorder.buffer) < recorder.limit:
            recorder.buffer.extend((end, self.start, note))
        else:
            recorder.overflow(recorder.buffer, end, self.start, note)
        if reason is not None and flow.raises:
            raise Invalid(reason)
        return reason is None or flow.hands_on

    def ended(self, error: BaseException) -> bool:
        """The generator ended with an exception; whether that ends here."""
        note = failure(error, records=int(self._stream or self._due))
        self._due = False
        if not (self._bad and note.invalid is not None) and not isinstance(error, GeneratorExit):
            _note(self._flow.recorder, _placed(note, self._flow.recorder, self._args, self._kwargs))
        return isinstance(error, Invalid) and not self._flow.raises

    def finish(self) -> None:
        """The generator has no more values."""
        if self._due:
            self._due = False
            _note(self._flow.recorder, _placed(Note(out=0), self._flow.recorder, self._args, self._kwargs))

    def resume(self) -> None:
        """The generator runs again."""
        self.start = self._flow.recorder.ticks()


def _wrap_generator(function: Callable[..., Generator[Any, Any, Any]], flow: _Flow) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        run = flow.begin(args, kwargs)
        generator = function(*args, **kwargs)
        advance: Callable[[], Any] = generator.__next__
        try:
            while True:
                run.resume()
                try:
                    value = advance()
                except StopIteration as stop:
                    run.finish()
                    return stop.value
                except BaseException as error:
                    if run.ended(error):
                        return None
                    raise
                advance = generator.__next__
                if run.value(value):
                    try:
                        sent = yield value
                    except GeneratorExit:
                        raise
                    except BaseException as thrown:  # noqa: BLE001 - it belongs into the generator, whatever it is
                        advance = functools.partial(generator.throw, thrown)
                    else:
                        if sent is not None:
                            advance = functools.partial(generator.send, sent)
        finally:
            generator.close()

    return call


def _wrap_async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]], flow: _Flow
) -> Callable[..., Any]:
    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        run = flow.begin(args, kwargs)
        generator = function(*args, **kwargs)
        advance: Callable[[], Any] = generator.__anext__
        try:
            while True:
                run.resume()
                try:
                    value = await advance()
                except StopAsyncIteration:
                    run.finish()
                    return
                except BaseException as error:
                    if run.ended(error):
                        return
                    raise
                advance = generator.__anext__
                if run.value(value):
                    try:
                        sent = yield value
                    except GeneratorExit:
                        raise
                    except BaseException as thrown:  # noqa: BLE001 - as above
                        advance = functools.partial(generator.athrow, thrown)
                    else:
                        if sent is not None:
                            advance = functools.partial(generator.asend, sent)
        finally:
            await generator.aclose()

    return call
