"""A user's function as a stage: it is measured when it is called, and has the stage's metrics."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, cast

from swirl.sdk.stage import Metrics
from swirl.sdk.wrappers import wrap

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl.sdk.hooks import Hooks
    from swirl.sdk.pipeline import Pipeline
    from swirl.sdk.recorder import Recorder
    from swirl.sdk.stage import Stage

__all__ = ["decorated", "expected_kind"]

_API = ("name", "count", "observe", "observe_many", "batch", "timed", "counter")


def decorated(
    function: Callable[..., Any], pipeline: Pipeline, recorder: Recorder, hooks: Hooks, *, source: bool
) -> Stage[..., Any]:
    """The stage that a function becomes.

    Args:
        function: the user's.
        pipeline: that it belongs to.
        recorder: of the stage; from here on it knows how to judge its records.
        hooks: of the stage.
        source: it comes after no other stage.
    """
    judge = hooks.judge(recorder.complain, method=_is_method(function))
    recorder.slim = judge
    recorder.judge = None if hooks.simple else judge
    off = pipeline.settings.off
    call = function if off else wrap(function, recorder, hooks, judge, source=source)
    return _with_api(call, Metrics(recorder, off=off), pipeline)


def _with_api(call: Any, metrics: Metrics, pipeline: Pipeline) -> Stage[..., Any]:
    """The function with what :class:`~swirl.sdk.stage.Stage` promises; only plain ones take attributes."""
    if not inspect.isfunction(call):
        inner = call
        call = _plain(inner)
    for name in _API:
        setattr(call, name, getattr(metrics, name))
    call.pipeline = pipeline
    return cast("Stage[..., Any]", call)


def _plain(inner: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(inner)
    def call(*args: Any, **kwargs: Any) -> Any:
        return inner(*args, **kwargs)

    return call


def expected_kind(function: Callable[..., Any], hooks: Hooks) -> str:
    """Label or number, until the first prediction shows it."""
    if hooks.predicts is False:
        return ""
    annotations = getattr(function, "__annotations__", {})
    is_number = hooks.predicts is True and annotations.get("return") in (float, "float")
    return "number" if is_number else "label"


def _is_method(function: Callable[..., Any]) -> bool:
    code = getattr(function, "__code__", None)
    names = list(code.co_varnames[: code.co_argcount]) if code is not None else []
    return bool(names) and names[0] in ("self", "cls", "mcs")
