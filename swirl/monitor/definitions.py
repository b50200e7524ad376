"""What the emitters of a pipeline have defined, and the one graph of all that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from swirl.frame import Definition, StageDefinition
from swirl.monitor.batch import period_of
from swirl.monitor.packable import builtins

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from swirl.frame import Frame
    from swirl.monitor.emitters import Emitter

__all__ = ["Definitions"]


class Definitions:
    """The definitions of one pipeline.

    Attributes:
        united: the graph.
    """

    def __init__(self) -> None:
        self.united = Definition(())
        self._known: dict[bytes, Definition] = {}

    @property
    def differ(self) -> bool:
        """Whether emitters define different things, so that the graph may change when one leaves."""
        return len(self._known) > 1

    def add(self, frame: Frame) -> bool:
        """Take note of what a frame defines; whether it is new."""
        if frame.definition is None or frame.definition_hash in self._known:
            return False
        self._known[frame.definition_hash] = frame.definition
        return True

    def unite(self, emitters: Iterable[Emitter]) -> Definition:
        """The graph of all emitters that are there; where two define a stage, the newer definition counts.

        When it runs is as it was until all of them agree on something else: much is forgotten then.
        Once all have said goodbye it is the graph of the last one: a run may be a single frame.
        """
        in_use = self._in_use(emitters)
        if not in_use:
            return self.united
        self._known = {key: self._known[key] for key in in_use}
        stages: dict[str, StageDefinition] = {}
        ratios = {}
        for definition in self._known.values():
            stages.update({stage.name: stage for stage in definition.stages})
            ratios.update({ratio.name: ratio for ratio in definition.ratios})
        limits = dict.fromkeys(limit for definition in self._known.values() for limit in definition.limits)
        given = {
            reference.stage: reference
            for definition in self._known.values()
            for reference in definition.references
        }
        agreed = len({period_of(definition) for definition in self._known.values()}) == 1
        self.united = Definition(
            tuple(stages.values()),
            tuple(ratios.values()),
            tuple(limits),
            tuple(given.values()),
            (self._known[in_use[-1]] if agreed else self.united).run_seconds,
        )
        return self.united

    def _in_use(self, emitters: Iterable[Emitter]) -> list[bytes]:
        """Hashes of those that count, oldest first."""
        defined = [emitter for emitter in emitters if emitter.definition_hash in self._known]
        last = sorted(defined, key=lambda emitter: (emitter.last_ms, emitter.first_ms))[-1:]
        present = sorted(
            [emitter for emitter in defined if not emitter.gone] or last,
            key=lambda emitter: (emitter.first_ms, emitter.definition_hash),
        )
        return list(dict.fromkeys(emitter.definition_hash for emitter in present))

    def parts(self) -> Iterator[tuple[str, Any]]:
        """State by name, of types that MessagePack knows."""
        yield "definitions", [[key, builtins(value)] for key, value in self._known.items()]
        yield "definition", builtins(self.united)

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take what ``parts`` gave."""
        self._known = {key: msgspec.convert(value, Definition) for key, value in data["definitions"]}
        self.united = msgspec.convert(data["definition"], Definition)
