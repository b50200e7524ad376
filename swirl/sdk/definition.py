"""The definition of a pipeline: what its user wrote down, checked, and what its records have shown since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from swirl.errors import DefinitionError
from swirl.frame import Definition, StageDefinition
from swirl.sdk.reference import Reference

if TYPE_CHECKING:
    from swirl.sdk.hooks import Hooks
    from swirl.sdk.recorder import Gate, Recorder
    from swirl.sdk.version import VersionSource
    from swirl.sdk.written import Written

__all__ = ["LONGEST_NAME", "Definer", "check_hooks", "checked_name", "checked_version", "profile"]

LONGEST_NAME = 80


class Definer:
    """Gives the definition as it is now: what was written down, and what the records have shown since."""

    def __init__(self, written: Written, gate: Gate, run_seconds: float = 0.0) -> None:
        self._written = written
        self._gate = gate
        self._run_seconds = run_seconds

    def __call__(self) -> Definition:
        """The definition now."""
        written, recorders = self._written, {r.stage: r for r in self._gate.recorders}
        stages = tuple(_shown(stage, recorders.get(name)) for name, stage in list(written.stages.items()))
        return Definition(
            stages,
            tuple(written.ratios.values()),
            tuple(written.limits),
            tuple(written.references.values()),
            self._run_seconds,
        )


def _shown(stage: StageDefinition, recorder: Recorder | None) -> StageDefinition:
    if recorder is None:
        return stage
    return StageDefinition(
        stage.name,
        stage.after,
        validates=stage.validates,
        predicts=recorder.sums.predicts or stage.predicts,
        features=tuple(recorder.sums.features),
        detectors=stage.detectors,
    )


def checked_name(name: object, what: str, example: str) -> str:
    """A name, if it is one.

    Raises:
        DefinitionError: it is empty, too long, or not printable; it says what to write.
    """
    if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise DefinitionError(
            f"{name!r} is no name of a {what}: give it 1 to {LONGEST_NAME} printable characters: {example}"
        )
    return name


def profile(data: Any) -> Reference:
    """The profile of a reference: of a table with its predictions, where a pair is given."""
    pair = isinstance(data, tuple) and len(data) == 2
    return Reference.of(*data) if pair else Reference.of(data)


def checked_version(version: object) -> VersionSource:
    """A version, if it is one.

    Raises:
        DefinitionError: it is neither a text nor a function.
    """
    if isinstance(version, str) or callable(version):
        return cast("VersionSource", version)
    raise DefinitionError(f"a version is a text or a function that gives one, not {version!r}")


def check_hooks(hooks: Hooks) -> None:
    """See that the hooks can be called.

    Raises:
        DefinitionError: one cannot, or ``on_invalid`` is none of its three.
    """
    if hooks.on_invalid not in ("drop", "raise", "pass"):
        raise DefinitionError(f'on_invalid is {hooks.on_invalid!r}; it must be "drop", "raise" or "pass"')
    for name in ("valid", "predicts", "features", "at", "segment"):
        hook = getattr(hooks, name)
        if (
            hook is not None
            and not callable(hook)
            and not (isinstance(hook, bool) and name in ("predicts", "features"))
        ):
            also = ", or True for the result itself" if name in ("predicts", "features") else ""
            raise DefinitionError(f"{name}= is {hook!r}; it must be a function of the result{also}")
