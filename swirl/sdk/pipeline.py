"""``swirl.Pipeline``: what a user writes."""

from __future__ import annotations

import functools
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from swirl.clock import Clock, SystemClock
from swirl.errors import DefinitionError
from swirl.frame import StageDefinition, Verdict
from swirl.sdk import feedback, kafka
from swirl.sdk.decorated import decorated, expected_kind
from swirl.sdk.definition import Definer, check_hooks, checked_name, checked_version, profile
from swirl.sdk.emitter import Emitter
from swirl.sdk.hooks import Hook, Hooks, OnInvalid
from swirl.sdk.recorder import Gate, Recorder
from swirl.sdk.runs import Every, Run, RunRecorder, Runs, seconds_between
from swirl.sdk.sigterm import say_goodbye_on_sigterm
from swirl.sdk.version import Version, VersionSource
from swirl.sdk.wanted import wanted_detectors, wanted_limit
from swirl.sdk.written import Written
from swirl.settings import EmitterSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from swirl.sdk.reference import Reference
    from swirl.sdk.stage import After, CounterLike, Stage
    from swirl.sdk.transport import Transport
    from swirl.sdk.wanted import DetectorLike

__all__ = ["Pipeline"]

P = ParamSpec("P")
R = TypeVar("R")


class Pipeline:
    """An ML pipeline whose stages are measured.

    Making it reads the settings (``SWIRL_...`` variables) and starts nothing; the first record starts a
    thread. Copies made by pickle or cloudpickle are emitters of their own, send through the transport of
    their process, and start with nothing recorded.

    Args:
        name: its name, everywhere: the key of its frames, its title in an incident.
        version: a text, or a function without arguments that is asked at each flush; stages without a version
            of their own have this one.
        redact: applied to labels, reasons and categories before they leave; if it raises, ``(redacted)``
            leaves.
        settings: instead of those of the environment.
        clock: instead of the machine's.
        transport: instead of the one installed for the process, which goes to Kafka where ``SWIRL_KAFKA``
            is set.
        every: of a pipeline that runs in batches, the time from one run to the next: ``"1 day"``, ``"6
            hours"``, seconds or a timedelta. Each run is one window, compared with earlier runs; one that
            stays away or does not finish is told. See :meth:`run`.

    Raises:
        DefinitionError: the name is empty or too long, or ``every`` is no length of time.
        SettingsError: a setting has an unusable value.

    Attributes:
        name: its name.
        verdict: what the monitor holds of it; read it as often as you like, it costs an attribute.

    Example:
        >>> ads = Pipeline("ads", version="2026.11.2")
        >>> @ads.stage(valid=lambda tweet: "text" in tweet)
        ... def ingest(line):
        ...     return {"text": line}
        >>> @ads.stage(after=ingest, predicts=True)
        ... def classify(tweet):
        ...     return "positive" if "love" in tweet["text"] else "negative"
        >>> classify(ingest("I love it"))
        'positive'
    """

    def __init__(
        self,
        name: str,
        version: VersionSource = "",
        *,
        redact: Callable[[str], str] | None = None,
        settings: EmitterSettings | None = None,
        clock: Clock | None = None,
        transport: Transport | None = None,
        every: Every | None = None,
    ) -> None:
        self.name = checked_name(name, "pipeline", 'swirl.Pipeline("ads")')
        self.settings = EmitterSettings.from_environment() if settings is None else settings
        self.verdict = Verdict()
        self._clock: Clock = SystemClock() if clock is None else clock
        self._version = Version(checked_version(version))
        self._written = Written(self.name)
        self._gate = Gate(self.settings.buffer_records, self.settings.labels, redact)
        self._runs = None if every is None else Runs(seconds_between(every))
        self._wire(transport)

    def _wire(self, transport: Transport | None) -> None:
        if not self.settings.off:
            if transport is None:
                kafka.from_environment()
            if self.settings.sigterm:
                say_goodbye_on_sigterm()
        self._emitter = Emitter(
            self.name,
            self.settings,
            self._clock,
            self._gate,
            Definer(self._written, self._gate, 0.0 if self._runs is None else self._runs.seconds),
            transport,
            self._runs,
        )
        weakref.finalize(self, self._emitter.close_soon).atexit = False
        feedback.register(self)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_emitter", "verdict")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.verdict = Verdict()
        self._wire(None)

    def __repr__(self) -> str:
        return f"<swirl.Pipeline {self.name!r}: {' -> '.join(self._written.stages) or 'no stages yet'}>"

    @property
    def version(self) -> VersionSource:
        """The version, or the function that tells it. Assign another when a new model takes over."""
        return self._version.source

    @version.setter
    def version(self, source: VersionSource) -> None:
        """What runs from this moment on."""
        self._version.become(checked_version(source), self._clock.ticks())

    @overload
    def stage(self, function: Callable[P, R], /) -> Stage[P, R]: ...
    @overload
    def stage(
        self,
        function: None = None,
        /,
        *,
        name: str | None = None,
        after: After = (),
        version: VersionSource | None = None,
        valid: Hook | None = None,
        predicts: Hook | bool = False,
        features: Hook | bool = False,
        at: Hook | None = None,
        on_invalid: OnInvalid = "pass",
        segment: Hook | None = None,
        reference: Any = None,
        detectors: Iterable[DetectorLike] = (),
    ) -> Callable[[Callable[P, R]], Stage[P, R]]: ...
    def stage(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        after: After = (),
        version: VersionSource | None = None,
        valid: Hook | None = None,
        predicts: Hook | bool = False,
        features: Hook | bool = False,
        at: Hook | None = None,
        on_invalid: OnInvalid = "pass",
        segment: Hook | None = None,
        reference: Any = None,
        detectors: Iterable[DetectorLike] = (),
    ) -> Any:
        """Make a function a stage of this pipeline, bare or with arguments; written in the order of flow.

        Functions of every sort and methods behave as before; exceptions are counted by type and go on
        untouched. A call is one record in, a value of a generator one out. A generator that comes first, or
        is given an iterator, works on a stream: there each value is one record in as well.

        The hooks are functions of the result (of each value, for a generator); with two required parameters
        they get the first argument of the call, then the result. A hook that raises is counted
        (``hook_errors``) and told once in the log, and the record counts as valid.

        Args:
            function: when used without arguments.
            name: by default the function's.
            after: the stage or stages whose output it takes; none for a source.
            version: of this stage, a text or a function asked at each flush; by default the pipeline's.
            valid: says whether a result is valid.
            predicts: True if the result is the prediction, or a function that gives it. Text, truth values,
                whole numbers and enumerations are labels, floats are numbers, None is no prediction.
            features: True if the result maps names to values, or a function that gives such a mapping.
                Numbers go to distributions, text and truth values to categories; None and NaN are nulls.
            at: the event time: seconds since 1970, milliseconds (any number above 1e11), ``datetime64``, or
                a datetime with a time zone. By default the time at which the call ended.
            on_invalid: what the caller gets of an invalid record. ``"pass"``: the result, as without Swirl,
                and None where the function raised :class:`~swirl.Invalid`. ``"drop"``: None in both cases; a
                generator leaves the value out. ``"raise"``: ``Invalid`` in both cases.
            segment: gives the segment of a record, such as its country, None for none; 20 a stage are kept
                apart. Where the function raises only a hook of two parameters can know: it gets the argument
                and None.
            reference: a table, file or profile of the training data (:class:`swirl.Reference`), or a pair of
                table and predictions: drift is judged against it from the first window on.
            detectors: names of detectors in place of the default ones, or names and options:
                ``("change", {"sides": "up"})``.

        Raises:
            DefinitionError: a name is taken, a stage unknown, an argument of no use; it says what to write.
        """
        hooks = Hooks(valid, predicts, features, at, on_invalid, segment)
        check_hooks(hooks)
        own = None if version is None else checked_version(version)
        baseline = None if reference is None else profile(reference)
        decorate = functools.partial(self._define, name, after, own, hooks, baseline, detectors)
        return decorate if function is None else decorate(function)

    def _define(
        self,
        name: str | None,
        after: After,
        version: VersionSource | None,
        hooks: Hooks,
        baseline: Reference | None,
        detectors: Iterable[DetectorLike],
        function: Callable[..., Any],
    ) -> Any:
        if isinstance(function, (staticmethod, classmethod)):
            inner = self._define(name, after, version, hooks, baseline, detectors, function.__func__)
            return type(function)(inner)
        if not callable(function):
            raise DefinitionError(
                f"a stage is a function, not {function!r}; write @pipeline.stage above a function"
            )
        name = checked_name(
            getattr(function, "__name__", "") if name is None else name,
            "stage",
            '@pipeline.stage(name="classify")',
        )
        origin = (getattr(function, "__module__", ""), getattr(function, "__qualname__", ""))
        self._written.check_free(name, origin)
        before = self._written.parents(name, after, self)
        given = None if baseline is None else baseline.defined(name, self._written.references)
        stage = StageDefinition(
            name,
            before,
            validates=hooks.valid is not None,
            predicts=expected_kind(function, hooks),
            detectors=wanted_detectors(name, detectors),
        )
        self._written.add_stage(stage, origin, given)
        if self._runs is not None:  # all records are of the run, whatever their event times
            hooks = replace(hooks, at=None)
        recorder = self._recorder(name, version, times=hooks.at is not None)
        found = decorated(function, self, recorder, hooks, source=not before)
        if not self.settings.off:
            self._gate.recorders[:] = [r for r in self._gate.recorders if r.stage != name] + [recorder]
        return found

    def _recorder(self, stage: str, version: VersionSource | None, *, times: bool) -> Recorder:
        source = self._version if version is None else Version(version)
        kind = Recorder if self._runs is None else RunRecorder
        return kind(stage, self._gate, source, self._clock.ticks, times=times)

    def ratio(self, name: str, numerator: CounterLike, *, per: CounterLike) -> None:
        """Watch one counter per another: ``ads.ratio("click rate", (serve, "clicks"), per=serve)``.

        Args:
            name: unique in the pipeline.
            numerator: a stage (what it passed on), ``(stage, counter)``, or ``stage.counter("clicks")``. The
                counter is one of your own (``stage.count``) or one that Swirl keeps: records, invalid,
                errors, out, predictions, nulls, values, hook_errors, non_finite.
            per: the denominator, the same way.

        Raises:
            DefinitionError: the name is taken or empty, or a stage or counter cannot be.
        """
        self._written.add_ratio(name, numerator, per, self)

    def limit(
        self,
        stage: str | Stage[..., Any],
        metric: str = "records",
        label: str = "",
        *,
        above: float | None = None,
        below: float | None = None,
        seconds: float = 0.0,
    ) -> None:
        """Set a limit: no statistics, no warm-up, nothing of the false-alarm budget; it is told at once.

        ``ads.limit(ingest, "invalid_ratio", above=0.01)``: more than 1 % invalid.
        ``ads.limit(ingest, below=0.001, seconds=600)``: no record for ten minutes.

        Args:
            stage: whose series it is.
            metric: which one: records, invalid, errors, out and count (a second), invalid_ratio, error_ratio,
                output_ratio, prediction_ratio, null_ratio, ratio (in 0..1), latency_p50 and latency_p95
                (seconds), input_ratio, counter_level, drift, lag, segment_ratio and its like.
            label: of a prediction, a feature, a segment, or a metric of your own.
            above: more than this is wrong.
            below: less than this is wrong.
            seconds: for how long without a break, event time; 0: one window.

        Raises:
            DefinitionError: there is no such stage or metric, or no limit.
        """
        name = self._written.known(stage, self, f"the limit of {metric!r}")
        self._written.limits[wanted_limit(name, metric, label, above, below, seconds)] = None

    def run(self, *, id: object = "", started: object = None) -> Run:  # noqa: A002 - what people call it
        """Bracket one run of a pipeline that runs in batches: ``with nightly.run(): ...``.

        Without it the process is the run: the first record begins it, and the end of the process, or
        :meth:`close`, ends it. Records belong to the run whatever their event times, and ``at=`` is not
        asked. Once a process has bracketed a run, records outside of one are dropped and counted. A run ends
        with its block, also where that raises. Copies of the pipeline that are made within the block, by a
        fork or by pickle as Spark does, are parts of the run.

        Args:
            id: of the run, such as the number of a job; processes that give the same are one run. Without it
                those are that begin within moments of each other, or give the same ``started``.
            started: when it began or was due, seconds since 1970 or a datetime with a time zone. By default
                now.

        Raises:
            DefinitionError: the pipeline has no ``every=``, ``started`` is no time, or, on entering the
                block, another run is going in this process.

        Example:
            >>> nightly = Pipeline("nightly", every="1 day")
            >>> @nightly.stage
            ... def load(row):
            ...     return row
            >>> with nightly.run():
            ...     rows = [load(row) for row in range(3)]
        """
        return Run(self.name, self._runs, self._emitter, started, identity=id, off=self.settings.off)

    def flush(self, timeout: float = 5.0) -> bool:
        """Send what has been recorded until now, before a serverless function, a cron job or a task ends.

        Args:
            timeout: longest wait in seconds.

        Returns:
            Whether all of it was delivered. False without a transport.
        """
        return self._emitter.flush(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Send what is left and say goodbye; later records are dropped. At exit this happens by itself.

        Args:
            timeout: longest wait in seconds; by default the setting ``exit_seconds``.

        Returns:
            As :meth:`flush`.
        """
        return self._emitter.close(self.settings.exit_seconds if timeout is None else timeout)

    def rebind(
        self, clock: Clock, transport: Transport | None, *, threaded: bool, emitter: bytes | None = None
    ) -> None:
        """For testing kits: put other clocks and another transport under stages that are decorated already.

        What was recorded before is forgotten, and the emitter is a new one.

        Args:
            clock: of durations and of event times.
            transport: where frames go.
            threaded: whether a thread sends them; if not, :meth:`emit_now` does.
            emitter: its identity, 16 bytes; by default random.
        """
        self._clock = clock
        self._emitter.rebind(clock, transport, threaded=threaded, identity=emitter)

    def emit_now(self) -> bool:
        """For testing kits, after ``rebind(threaded=False)``: fold and send one frame in the calling thread.

        Returns:
            As :meth:`flush`.
        """
        return self._emitter.emit_now()
