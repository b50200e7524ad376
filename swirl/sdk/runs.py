"""Pipelines that run in batches: how often they run, and which run is going in this process."""

from __future__ import annotations

import re
import threading
from datetime import timedelta
from math import isfinite
from typing import TYPE_CHECKING, Self, TypeAlias

from swirl.errors import DefinitionError
from swirl.sdk.note import event_ms
from swirl.sdk.recorder import Recorder

if TYPE_CHECKING:
    from types import TracebackType

    from swirl.sdk.columns import Columns, Numbers
    from swirl.sdk.emitter import Emitter

__all__ = ["Every", "Run", "RunRecorder", "Runs", "seconds_between"]

Every: TypeAlias = "str | float | timedelta"
"""Time from one run to the next: ``"1 day"``, ``"6 hours"``, seconds, or a timedelta."""

_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86_400.0, "week": 604_800.0}
_LONGEST_ID = 200
_LEAST, _MOST = 60.0, 366 * 86_400.0
_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?)?\s*(second|minute|hour|day|week)s?\s*")


def seconds_between(every: object) -> float:
    """The seconds of ``every=``.

    Raises:
        DefinitionError: it is no length of time, or shorter than a minute or longer than a year.

    Example:
        >>> [seconds_between(every) for every in ("1 day", "6 hours", "15 minutes", "hour", 900)]
        [86400.0, 21600.0, 900.0, 3600.0, 900.0]
    """
    seconds = _seconds(every)
    if seconds is None or not isfinite(seconds):
        raise DefinitionError(
            f'every= is {every!r}; write "1 day", "6 hours", "15 minutes", or a number of seconds'
        )
    if not _LEAST <= seconds <= _MOST:
        raise DefinitionError(
            f"every= is {every!r}; a run comes once a minute at most and once a year at least. "
            "Leave every= out for what runs all the time"
        )
    return seconds


def _seconds(every: object) -> float | None:
    if isinstance(every, timedelta):
        return every.total_seconds()
    if isinstance(every, str):
        found = _TEXT.fullmatch(every.lower())
        return float(found[1] or 1) * _SECONDS[found[2]] if found else None
    return float(every) if isinstance(every, (int, float)) and not isinstance(every, bool) else None


def _started_ms(started: object) -> int | None:
    """Milliseconds since 1970 of ``started=``."""
    if started is None:
        return None
    try:
        return max(1, event_ms(started))
    except (ValueError, OverflowError):
        raise DefinitionError(
            f"started= is {started!r}; write seconds since 1970 or a datetime with a time zone, "
            "the same in all processes of the run"
        ) from None


class Runs:
    """The runs of one pipeline in this process.

    Copies of a pipeline (by pickle, by fork) made within a run are parts of that run: they end when they are
    closed.

    Args:
        seconds: from one run to the next.
        start_ms: of the run that a copy is part of; 0 for none.
        identity: of that run, ``""`` where it has none.

    Attributes:
        seconds, identity: see above.
        start_ms: of the run that is going, event time; 0: none is.
        bracketed: it is a ``with`` block of this process that ends it, not the end of the process.
        used: a ``with`` block has bracketed a run of this process: what comes outside of one is of no run.
    """

    def __init__(self, seconds: float, start_ms: int = 0, identity: str = "") -> None:
        self.seconds = seconds
        self.identity = identity
        self.start_ms = start_ms
        self.bracketed = False
        self.used = False
        self._entering = threading.Lock()

    def __reduce__(self) -> tuple[type[Runs], tuple[float, int, str]]:
        return (Runs, (self.seconds, self.start_ms, self.identity))

    @property
    def resting(self) -> bool:
        """Records that come now are of no run."""
        return self.used and not self.start_ms

    def enter(self, pipeline: str, start_ms: int, identity: str = "") -> None:
        """A ``with`` block begins; what was recorded before the first one is of its run.

        Raises:
            DefinitionError: another one is open.
        """
        with self._entering:
            if self.bracketed:
                raise DefinitionError(
                    f"a run of {pipeline!r} is going in this process already, and records cannot tell which "
                    "of two they are of; end it first, or give what runs beside it a pipeline of its own"
                )
            self.bracketed = self.used = True
            self.start_ms, self.identity = self.start_ms or start_ms, identity

    def begin(self, start_ms: int) -> None:
        """The process is the run, and its first record has come."""
        self.start_ms = start_ms

    def over(self) -> None:
        """The run that was going has ended."""
        self.bracketed, self.start_ms, self.identity = False, 0, ""

    def forked(self) -> None:
        """This is a copy of the process: its end is that of its part of the run."""
        self.bracketed = self.used = False
        self._entering = threading.Lock()

    def forget(self) -> None:
        """Nothing was recorded yet."""
        self.bracketed = self.used = False
        self.start_ms, self.identity = 0, ""


class Run:
    """Brackets one run: ``with nightly.run(): ...``. It is over when the block ends, also by an exception.

    Args:
        pipeline: its name.
        runs: those of the pipeline; None: it does not run in batches.
        emitter: the pipeline's.
        started: when the run began, where that is known better than by entering the block.
        identity: of the run; processes that give the same are one run.
        off: nothing is measured.

    Raises:
        DefinitionError: the pipeline does not run in batches, or ``started`` is no time.
    """

    def __init__(
        self,
        pipeline: str,
        runs: Runs | None,
        emitter: Emitter,
        started: object = None,
        *,
        identity: object = "",
        off: bool = False,
    ) -> None:
        if runs is None:
            raise DefinitionError(
                f"pipeline {pipeline!r} does not run in batches; say how often it runs: "
                f'swirl.Pipeline({pipeline!r}, every="1 day")'
            )
        self._pipeline, self._runs, self._emitter, self._off = pipeline, runs, emitter, off
        self._started_ms = _started_ms(started)
        self._identity = str(identity)[:_LONGEST_ID]

    def __enter__(self) -> Self:
        now_ms = max(1, self._emitter.clock.time_ns() // 1_000_000)
        self._runs.enter(self._pipeline, self._started_ms or now_ms, self._identity)
        if not self._off:
            self._emitter.begin_run()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._off:
            self._runs.over()
        else:
            self._emitter.end_run()


class RunRecorder(Recorder):
    """What a stage of such a pipeline records: all of it is of the run, whatever its event times."""

    def add_batch(self, batch: Columns | Numbers) -> None:
        """Let a batch wait for the fold, without its event times."""
        if getattr(batch, "_at", None) is not None:
            batch._at = None  # type: ignore[union-attr] # noqa: SLF001 - only columns have event times
        super().add_batch(batch)
