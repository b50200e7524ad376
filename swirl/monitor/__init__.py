"""The pure core of one shard: records of a log in, effects out.

No clock, no input or output, no threads, no randomness: the same log gives the same effects, byte for byte,
whether it is read live, replayed, or read on after a snapshot was restored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from swirl.detector import Kind, detectors
from swirl.errors import FrameError, SnapshotError
from swirl.frame import Frame, decode
from swirl.monitor.pipeline import PipelineMonitor
from swirl.settings import MonitorSettings
from swirl.steps import finished

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from swirl.detector import Detector
    from swirl.effect import Effect, Incident
    from swirl.frame import Act, Tick

__all__ = ["FoldError", "Monitor", "default_detectors"]

_SNAPSHOT = 1
_PIPELINES = 10_000


def default_detectors(settings: MonitorSettings) -> dict[Kind, tuple[Detector, ...]]:
    """The detectors that judge each kind of series where nobody says otherwise."""
    found = detectors()
    built_in = ("change", "silence", "drift")
    change, silence, drift = (found[name](warm_up=settings.warm_up_windows) for name in built_in)  # type: ignore[call-arg] # all three have it
    return {
        Kind.RATE: (change, silence),
        Kind.RATIO: (change,),
        Kind.LEVEL: (change,),
        Kind.POSITIVE: (change,),
        Kind.DISTRIBUTION: (drift,),
    }


def _packed(pipeline: PipelineMonitor) -> Generator[None, None, dict[str, msgspec.Raw]]:
    parts: dict[str, msgspec.Raw] = {}
    for part, content in pipeline.parts():
        if part:
            parts[part] = msgspec.Raw(msgspec.msgpack.encode(content))
        yield
    return parts


class FoldError(Exception):
    """An error of ours: pipelines could not stand a record. It went into the others all the same.

    Attributes:
        effects: of the others.
    """

    def __init__(self, pipelines: Sequence[str], effects: list[Effect]) -> None:
        super().__init__(f"the record could not be folded into {', '.join(pipelines)}")
        self.effects = effects


class Monitor:
    """Folds the log of one shard.

    Args:
        settings: what decides; the default is read from nowhere.
        detectors: kind of series -> its detectors; default: change and silence, drift for distributions.

    Attributes:
        refused: records that could not be read, by cause.
        refusal: why the record that was folded last could not be read; None if it could.
        folded: names of the pipelines that the last record went into.
        next_offset: the offset that comes next; lower ones have been folded already and are ignored.
    """

    def __init__(
        self,
        settings: MonitorSettings | None = None,
        detectors: Mapping[Kind, Sequence[Detector]] | None = None,
    ) -> None:
        self._settings = settings or MonitorSettings()
        self._detectors = detectors or default_detectors(self._settings)
        self._pipelines: dict[str, PipelineMonitor] = {}
        self.refused: dict[str, int] = {}
        self.refusal: FrameError | None = None
        self.folded: tuple[str, ...] = ()
        self.next_offset = 0

    @property
    def pipelines(self) -> tuple[str, ...]:
        """Names of the pipelines that were heard of."""
        return tuple(self._pipelines)

    @property
    def awake(self) -> tuple[str, ...]:
        """Names of the pipelines for which time passes: they want a tick where they say nothing."""
        return tuple(name for name, pipeline in self._pipelines.items() if pipeline.awake)

    def apply(self, offset: int, log_ms: int, payload: bytes) -> list[Effect]:
        """Fold one record.

        Args:
            offset: its place in the log; what lies below ``next_offset`` is ignored.
            log_ms: when the log took it, milliseconds since 1970.
            payload: bytes of a frame or a tick. What cannot be read is counted in ``refused`` and never
                raises.

        Returns:
            What shall be done, in order.

        Raises:
            FoldError: an error of ours; what the other pipelines have said is in it.
        """
        return finished(self.fold(offset, log_ms, payload))

    def fold(self, offset: int, log_ms: int, payload: bytes) -> Generator[None, None, list[Effect]]:
        """:meth:`apply` in slices well below a millisecond, for engines that share the pipeline's process."""
        if offset < self.next_offset:
            return []
        self.next_offset = offset + 1
        self.refusal, self.folded = None, ()
        try:
            record = decode(payload)
            behind = [p for p in self._meant(record) if offset >= p.next_offset]
        except FrameError as error:
            self.refusal = error
            self.refused[error.cause] = self.refused.get(error.cause, 0) + 1
            return []
        self.folded = tuple(pipeline.name for pipeline in behind)
        effects: list[Effect] = []
        failed: dict[str, Exception] = {}
        for pipeline in behind:
            pipeline.next_offset = offset + 1
            try:
                effects += yield from pipeline.apply(log_ms, record)
            except Exception as error:  # noqa: BLE001 - raised below, when time has passed for the others too
                failed[pipeline.name] = error
        if failed:
            raise FoldError(list(failed), effects) from next(iter(failed.values()))
        return effects

    def _meant(self, record: Frame | Tick | Act) -> list[PipelineMonitor]:
        """The pipelines that a record goes into; only a frame makes one that was not heard of before."""
        if isinstance(record, Frame):
            return [self._pipeline(record.pipeline)]
        names = (record.pipeline,) if record.pipeline else self.awake
        return [self._pipelines[name] for name in names if name in self._pipelines]

    def _pipeline(self, name: str) -> PipelineMonitor:
        pipeline = self._pipelines.get(name)
        if pipeline is None:
            if len(self._pipelines) >= _PIPELINES:
                raise FrameError("pipelines", f"{name!r} would be one pipeline more than {_PIPELINES}")
            pipeline = self._pipelines[name] = self._new(name)
        return pipeline

    def _new(self, name: str) -> PipelineMonitor:
        return PipelineMonitor(name, self._settings, self._detectors)

    def standing(self) -> list[Effect]:
        """How all pipelines stand, for those who must know it after a restart. All of it was told before."""
        return [effect for pipeline in self._pipelines.values() for effect in pipeline.standing()]

    def recent(self, pipeline: str) -> tuple[Incident, ...]:
        """The last incidents of a pipeline as they stand, oldest first, the open one last."""
        known = self._pipelines.get(pipeline)
        return () if known is None else known.recent

    def snapshot(self) -> bytes:
        """All state, from which :meth:`restore` goes on exactly."""
        return finished(self.snapshot_steps())

    def snapshot_steps(self) -> Generator[None, None, bytes]:
        """:meth:`snapshot` in slices, as :meth:`fold` is :meth:`apply`; no record may be folded meanwhile."""
        pipelines: dict[str, dict[str, msgspec.Raw]] = {}
        for name, pipeline in self._pipelines.items():
            pipelines[name] = yield from _packed(pipeline)
        state = {
            "schema": _SNAPSHOT,
            "next": self.next_offset,
            "refused": self.refused,
            "pipelines": pipelines,
        }
        return msgspec.msgpack.encode(state)

    def pipeline_steps(self, name: str) -> Generator[None, None, bytes]:
        """All state of one pipeline, in slices, for :meth:`restore_pipeline`; see :meth:`snapshot_steps`."""
        parts = yield from _packed(self._pipelines[name])
        return msgspec.msgpack.encode({"schema": _SNAPSHOT, "name": name, "parts": parts})

    def restore_pipeline(self, snapshot: bytes) -> int:
        """Go on with one pipeline from where its snapshot was taken, beside whatever else is watched.

        Returns:
            The offset from which on records of this pipeline are folded; those before it are ignored.

        Raises:
            SnapshotError: see :meth:`restore`. The monitor is unchanged.
        """
        state, pipeline = self._read(snapshot, lambda state: {state["name"]: state["parts"]})
        self._pipelines.update(pipeline)
        return pipeline[state["name"]].next_offset

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot.

        Raises:
            SnapshotError: it is damaged, of a version that this Swirl does not know, or of windows of
                another length. The monitor is unchanged.
        """
        state, pipelines = self._read(snapshot, lambda state: state["pipelines"])
        self._pipelines, self.next_offset, self.refused = pipelines, state["next"], state["refused"]

    def _read(
        self, snapshot: bytes, of: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> tuple[dict[str, Any], dict[str, PipelineMonitor]]:
        try:
            state: dict[str, Any] = msgspec.msgpack.decode(snapshot)
            known = state["schema"] == _SNAPSHOT
            pipelines = {}
            for name, data in of(state).items() if known else ():
                pipelines[name] = self._new(name)
                pipelines[name].restore(data)
        except SnapshotError:
            raise
        except Exception as error:
            raise SnapshotError(f"the snapshot is damaged: {error}") from error
        if not known:
            raise SnapshotError(f"the snapshot has version {state['schema']!r}; this one reads {_SNAPSHOT}")
        return state, pipelines
