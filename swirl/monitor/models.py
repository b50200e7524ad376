"""The models of input and of load of a pipeline's stages: fitted now and then, forgotten with their stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from swirl.monitor.packable import builtins
from swirl.residual import InputModel, LoadModel, fit_input, fit_load

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from swirl.frame import Definition
    from swirl.history import History

__all__ = ["Models"]


class Models(NamedTuple):
    """The models of one pipeline, by stage.

    Attributes:
        inputs: records that arrive, given what the parents sent.
        loads: time per record, given the load.
    """

    inputs: dict[str, InputModel]
    loads: dict[str, LoadModel]

    def of(self, definition: Definition) -> Models:
        """Those that still hold.

        A stage with other parents is another stage: what it received from the old ones says nothing.
        """
        after = {stage.name: tuple(dict.fromkeys(stage.after)) for stage in definition.stages}
        return Models(
            {n: m for n, m in self.inputs.items() if after.get(n) == tuple(p for p, _ in m.parents)},
            {n: m for n, m in self.loads.items() if n in after},
        )

    def fit(self, history: History, definition: Definition) -> Generator[None, None, None]:
        """Fit them anew, pausing after each stage; where it cannot be done, the old ones stay."""
        for stage in definition.stages:
            if stage.after and (model := fit_input(history, stage.name)) is not None:
                self.inputs[stage.name] = model
            if (load := fit_load(history, stage.name)) is not None:
                self.loads[stage.name] = load
            yield

    def parts(self) -> Iterator[tuple[str, Any]]:
        """State by name, of types that MessagePack knows."""
        yield "inputs", {name: builtins(model) for name, model in self.inputs.items()}
        yield "loads", {name: builtins(model) for name, model in self.loads.items()}

    @classmethod
    def restored(cls, data: Mapping[str, Any]) -> Models:
        """From what ``parts`` gave."""
        return cls(
            {name: msgspec.convert(model, InputModel) for name, model in data["inputs"].items()},
            {name: msgspec.convert(model, LoadModel) for name, model in data["loads"].items()},
        )
