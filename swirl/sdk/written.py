"""What the user of a pipeline wrote down: stages in the order of flow, ratios, limits, references."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from swirl.errors import DefinitionError
from swirl.frame import RatioDefinition
from swirl.sdk.definition import LONGEST_NAME, checked_name
from swirl.sdk.note import BUILT_IN_COUNTERS

if TYPE_CHECKING:
    from swirl.frame import LimitDefinition, ReferenceDefinition, StageDefinition
    from swirl.sdk.stage import After, CounterLike

__all__ = ["Written"]

_SINGULARS = frozenset(name.rstrip("s") for name in BUILT_IN_COUNTERS)


class Written:
    """The words of one pipeline's user, checked where they name each other.

    Args:
        pipeline: its name.

    Attributes:
        stages, ratios, references: by name, in the order in which they were written.
        limits: in order; each of them once.
    """

    def __init__(self, pipeline: str) -> None:
        self.stages: dict[str, StageDefinition] = {}
        self.ratios: dict[str, RatioDefinition] = {}
        self.limits: dict[LimitDefinition, None] = {}
        self.references: dict[str, ReferenceDefinition] = {}
        self._pipeline = pipeline
        self._origins: dict[str, tuple[str, str]] = {}

    def add_stage(
        self, stage: StageDefinition, origin: tuple[str, str], reference: ReferenceDefinition | None
    ) -> None:
        """Take down a stage whose name is free, or that is written again.

        Args:
            stage: its definition.
            origin: module and name of its function.
            reference: the profile of its training data, if there is one.
        """
        self.stages[stage.name] = stage
        self.references.pop(stage.name, None)
        if reference is not None:
            self.references[stage.name] = reference
        self._origins[stage.name] = origin

    def check_free(self, name: str, origin: tuple[str, str]) -> None:
        """See that a stage may have this name.

        Raises:
            DefinitionError: another has it.
        """
        if name in self.stages and not (_interactive() and self._origins[name] == origin):
            raise DefinitionError(
                f"pipeline {self._pipeline!r} has a stage {name!r} already; name this one with name=..."
            )

    def parents(self, name: str, after: After, owner: object) -> tuple[str, ...]:
        """The names of the stages that a stage comes after.

        Args:
            name: of the stage.
            after: what was given for them.
            owner: the pipeline.

        Raises:
            DefinitionError: one is no stage of this pipeline, or records would flow in a circle.
        """
        given = [after] if isinstance(after, str) or callable(after) else list(after)
        names = tuple(
            dict.fromkeys(self.known(one, owner, f"after= of stage {name!r}", before=name) for one in given)
        )
        for one in names:
            if one == name or name in self._ancestors(one):
                raise DefinitionError(
                    f"stage {name!r} after {one!r} makes a cycle; records flow one way, so leave one out"
                )
        return names

    def _ancestors(self, name: str) -> set[str]:
        found: set[str] = set()
        waiting = [name]
        while waiting:
            for before in self.stages[waiting.pop()].after:
                if before not in found:
                    found.add(before)
                    waiting.append(before)
        return found

    def known(self, one: object, owner: object, where: str, before: str = "") -> str:
        """The name of a stage of this pipeline.

        Args:
            one: its name, or its function.
            owner: the pipeline.
            where: it was given.
            before: the name of a stage that is just being written.

        Raises:
            DefinitionError: there is no such stage.
        """
        named = getattr(one, "__func__", one)
        name = named if isinstance(named, str) else getattr(named, "name", None)
        ours = getattr(named, "pipeline", owner) is owner
        if isinstance(name, str) and ours and (name in self.stages or name == before != ""):
            return name
        known = ", ".join(map(repr, self.stages)) or "none yet"
        raise DefinitionError(
            f"{where} names {name or one!r}, which is no stage of pipeline {self._pipeline!r} "
            f"(there are: {known}); write the stages in the order in which records flow"
        )

    def add_ratio(self, name: str, numerator: CounterLike, per: CounterLike, owner: object) -> None:
        """Take down a ratio of two counters.

        Raises:
            DefinitionError: the name is taken or empty, or a stage or counter cannot be.
        """
        name = checked_name(name, "ratio", 'pipeline.ratio("click rate", (serve, "clicks"), per=serve)')
        if name in self.ratios and not _interactive():
            raise DefinitionError(
                f"pipeline {self._pipeline!r} has a ratio {name!r} already; choose another name"
            )
        above, below = (self._counter(name, like, owner) for like in (numerator, per))
        self.ratios[name] = RatioDefinition(name, above, below)

    def _counter(self, ratio: str, like: CounterLike, owner: object) -> tuple[str, str]:
        stage, counter = like if isinstance(like, tuple) else (like, "out")
        name = self.known(stage, owner, f"ratio {ratio!r}")
        if not isinstance(counter, str) or not counter or len(counter) > LONGEST_NAME:
            raise DefinitionError(
                f'ratio {ratio!r}: {counter!r} is no name of a counter; write (stage, "clicks")'
            )
        wrong = counter not in BUILT_IN_COUNTERS and counter.lower().rstrip("s") in _SINGULARS
        if wrong:
            known = ", ".join(sorted(BUILT_IN_COUNTERS))
            raise DefinitionError(
                f"ratio {ratio!r}: Swirl counts {known}; {counter!r} is too close to be one of your own"
            )
        return name, counter


def _interactive() -> bool:
    """In a notebook or at a prompt a cell is run again, and defines its stages anew."""
    return not hasattr(sys.modules.get("__main__"), "__file__")
