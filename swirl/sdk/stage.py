"""What a stage is to its user: a callable of the same signature, with metrics."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    NamedTuple,
    ParamSpec,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
    overload,
)

from swirl.sdk.columns import Columns, Numbers
from swirl.sdk.note import Note
from swirl.sdk.wrappers import failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sized
    from types import TracebackType

    from swirl.sdk.recorder import Recorder

__all__ = ["After", "CounterLike", "CounterOf", "Metrics", "Stage", "TimedBatch"]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")

After: TypeAlias = "str | Stage[..., Any] | Iterable[str | Stage[..., Any]]"
"""One stage or several: decorated functions or their names."""

CounterLike: TypeAlias = "str | Stage[..., Any] | tuple[str | Stage[..., Any], str]"
"""A stage (what it passed on), or a stage and the name of a counter."""


class CounterOf(NamedTuple):
    """A counter of a stage, for :meth:`swirl.Pipeline.ratio`.

    Attributes:
        stage: name of the stage.
        counter: name of the counter.
    """

    stage: str
    counter: str


class Stage(Protocol[P, R_co]):
    """A decorated function: it is called as before, and has metrics of its own."""

    name: str
    count: Callable[..., None]
    observe: Callable[[str, Any], None]
    observe_many: Callable[[str, Any], None]
    batch: Callable[..., None]
    timed: Callable[[], TimedBatch]
    counter: Callable[[str], CounterOf]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function."""
        ...

    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(
        self: Stage[Concatenate[S, Q], R], instance: S, owner: type | None = None, /
    ) -> Callable[Q, R]: ...


class Metrics:
    """What a stage offers beside being called; nothing here raises or blocks.

    Args:
        recorder: where it goes.
        off: measure nothing.
    """

    def __init__(self, recorder: Recorder, *, off: bool) -> None:
        self._recorder = recorder
        self._off = off
        self.name = recorder.stage

    def count(self, name: str, n: float = 1) -> None:
        """Add to a counter of your own.

        Args:
            name: stays the same from call to call; at most as many names as the setting ``labels`` are kept
                apart.
            n: at least 0.
        """
        if self._off:
            return
        recorder = self._recorder
        ticks = recorder.ticks()
        if len(recorder.counts) < recorder.marks_limit:
            recorder.counts.extend((ticks, name, n))
        else:
            recorder.overflow(recorder.counts, ticks, name, n)

    def observe(self, name: str, value: float) -> None:
        """Add a number to a distribution of your own; what is not finite is counted under ``non_finite``."""
        if self._off:
            return
        recorder = self._recorder
        ticks = recorder.ticks()
        if len(recorder.observations) < recorder.marks_limit:
            recorder.observations.extend((ticks, name, value))
        else:
            recorder.overflow(recorder.observations, ticks, name, value)

    def observe_many(self, name: str, values: Any) -> None:
        """Add many numbers: a list, a numpy array, a pandas or polars column. They are copied."""
        self._add(lambda ticks: Numbers(ticks, name, values))

    def batch(
        self,
        records: int | Sized | None = None,
        *,
        invalid: Any = None,
        predictions: Any = None,
        features: Mapping[str, Any] | None = None,
        at: Any = None,
        seconds: float | None = None,
        segments: Any = None,
    ) -> None:
        """Record many records at once. Columns are copied; lists, numpy, pandas and polars are understood.

        Args:
            records: how many, or the batch itself (its length is taken); by default the length of its
                columns.
            invalid: a mask, a number, or a mapping from reason to one of these.
            predictions: labels or numbers, one a record (those of invalid records are left out if ``invalid``
                is a mask), or one a valid record.
            features: columns by name.
            at: event time of all, or a column of event times; as for ``at=`` of a stage.
            seconds: how long the batch took; each record counts an equal share.
            segments: a column, one a record, such as the country of each: what goes wrong in one segment is
                seen there. Invalid records count in their segment if ``invalid`` says which they are,
                predictions if there is one a record.

        Example:
            >>> import swirl
            >>> ads = swirl.Pipeline("ads")
            >>> @ads.stage
            ... def classify(tweets): ...
            >>> moods = ["positive", "", "negative"]
            >>> classify.batch(3, invalid=[False, True, False], predictions=moods, seconds=0.01)
        """
        self._add(
            lambda ticks: Columns(
                ticks,
                records=records,
                invalid=invalid,
                predictions=predictions,
                features=features,
                at=at,
                seconds=seconds,
                segments=segments,
            )
        )

    def timed(self) -> TimedBatch:
        """A batch that is timed: ``with stage.timed() as batch: ...; batch(table, predictions=moods)``."""
        return TimedBatch(self, self._recorder)

    def counter(self, name: str) -> CounterOf:
        """A counter of this stage, for :meth:`swirl.Pipeline.ratio`."""
        return CounterOf(self.name, name)

    def failed(self, hook: str, error: BaseException) -> None:
        """Something of the user's could not be measured."""
        recorder = self._recorder
        recorder.complain(hook, error)
        ticks = recorder.ticks()
        recorder.overflow(recorder.buffer, ticks, ticks, Note(records=0, out=0, failed=1))

    def _add(self, make: Callable[[int], Columns | Numbers]) -> None:
        if self._off:
            return
        try:
            self._recorder.add_batch(make(self._recorder.ticks()))
        except Exception as error:  # noqa: BLE001 - whatever was given, the host must not feel it
            self.failed("batch", error)


class TimedBatch:
    """Times a block, and records what it is called with as one batch when the block ends.

    An exception that leaves the block counts as one error, ``Invalid`` as one invalid record; both propagate.
    """

    def __init__(self, metrics: Metrics, recorder: Recorder) -> None:
        self._metrics = metrics
        self._recorder = recorder
        self._given: list[dict[str, Any]] = []
        self._start = 0

    def __call__(self, records: int | Sized | None = None, **columns: Any) -> None:
        """What was in the batch; the arguments of :meth:`Metrics.batch` without ``seconds``."""
        self._given.append({"records": records, **columns})

    def __enter__(self) -> Self:
        self._start = self._recorder.ticks()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        end = self._recorder.ticks()
        seconds = (end - self._start) * 1e-9 / max(1, len(self._given))
        for given in self._given:
            self._metrics.batch(**{**given, "seconds": seconds})
        if error is not None and not self._metrics._off:  # noqa: SLF001 - two halves of one thing
            self._recorder.overflow(self._recorder.buffer, end, end, failure(error))
