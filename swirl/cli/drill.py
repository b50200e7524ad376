"""``swirl drill``: every fault that a user's own pipeline can have, in virtual time, and what Swirl says."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from swirl.errors import DefinitionError
from swirl.incident.causes import words_of
from swirl.sdk.pipeline import Pipeline
from swirl.testing.drill import KINDS, Drill, Finding, Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from swirl.testing.drill.run import Made

__all__ = ["Options", "maker", "row", "run", "summary"]

_WIDTHS = (24, 12, 9, 36)
_HEAD = ("fault", "stage", "told", "said")


class Options(NamedTuple):
    """How a drill goes.

    Attributes:
        target: ``module:name`` of a function that gives a pipeline and what sends a record, or of a pipeline.
        send: ``module:name`` of what sends a record, where the target is a pipeline.
        per_second: calls of it, a second of virtual time.
        strength: of the faults, in (0, 1].
        quiet: windows of the past.
        only: kinds of faults; none: all.
        seed: of the traffic.
    """

    target: str
    send: str = ""
    per_second: float = 50.0
    strength: float = 0.5
    quiet: int = 300
    only: tuple[str, ...] = ()
    seed: int = 0


def run(options: Options, say: Callable[[str], object]) -> int:
    """Drill, and say what came of it.

    Args:
        options: see there.
        say: told each line.

    Returns:
        0 if every fault was told as it should be and nothing else was told, otherwise 1.

    Raises:
        DefinitionError: the target cannot be imported or used.
    """
    drill = Drill(
        maker(options.target, options.send),
        per_second=options.per_second,
        strength=options.strength,
        quiet_windows=options.quiet,
        kinds=options.only or tuple(KINDS),
        seed=options.seed,
    )
    say(_line(*_HEAD, "right"))
    report = drill.run(lambda finding: say(row(finding)))
    for line in summary(report):
        say(line)
    return 0 if report.right == len(report.findings) and not report.false_alarms else 1


def maker(target: str, send: str = "") -> Callable[[], Made]:
    """What gives a pipeline and what sends one record through it.

    Args:
        target: ``module:name`` of a function that gives both, or of a pipeline.
        send: ``module:name`` of a function that sends one record; for a pipeline only.

    Raises:
        DefinitionError: they cannot be imported, or are something else.
    """
    found = _imported(target)
    pipeline = getattr(found, "pipeline", found)
    if isinstance(pipeline, Pipeline):
        if not send:
            raise DefinitionError(
                f"{target} is a pipeline; name what sends one record: --send module:function"
            )
        sender = _imported(send)
        return lambda: (pipeline, sender)
    if send or not callable(found):
        raise DefinitionError(f"{target} is no pipeline, so --send has no use; it must give both itself")
    return lambda: _made(target, found())


def _made(target: str, given: Any) -> Made:
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], Pipeline) and callable(given[1]):
        return given
    wanted = "it must give a pipeline and what sends one record through it"
    raise DefinitionError(f"{target}() gives {type(given).__name__}; {wanted}")


def _imported(target: str) -> Any:
    module, _, name = target.partition(":")
    if not (module and name):
        raise DefinitionError(f"{target!r} names nothing; write module:name, such as shop.pipeline:make")
    if "" not in sys.path:
        sys.path.insert(0, "")  # what lies in the folder of the caller can be named, as by python -m
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise DefinitionError(f"{target} cannot be imported: {error}") from None
    return found


def row(finding: Finding) -> str:
    """A line of the table.

    Example:
        >>> from swirl.testing.drill import Fault
        >>> row(Finding(Fault("surge")))
        'traffic surge                         -         nothing                              yes'
    """
    fault, incident = finding.fault, finding.incident
    told = f"{finding.windows} win." if incident is not None else "-"
    said = finding.said or "nothing"
    if finding.right:
        verdict = "yes"
    elif fault.truth.benign:
        verdict = "no: nothing is wrong"
    elif finding.hidden:
        verdict = f"no: {fault.stage} measures nothing that shows it"
    else:
        verdict = f"no: {fault.stage + ': ' if fault.stage else ''}{words_of(fault.truth.cause)}"
    return _line(fault.truth.words, fault.stage, told, said, verdict)


def _line(*cells: str) -> str:
    padded = [f"{cell:<{width}}" for cell, width in zip(cells, _WIDTHS, strict=False)]
    return " ".join([*padded, cells[-1]]).rstrip()


def summary(report: Report) -> list[str]:
    """What is said below the table.

    Example:
        >>> summary(Report(quiet_windows=300, left_out={"late": "no stage has at="}))
        ['', '0 of 0 right; 0 false alarms in 300 quiet windows.', 'Left out: late data (no stage has at=).']
    """
    alarms = len(report.false_alarms)
    listed = f": {', '.join(report.false_alarms)}" if alarms else ""
    right = f"{report.right} of {len(report.findings)} right"
    false = f"{alarms} false alarm{'' if alarms == 1 else 's'} in {report.quiet_windows} quiet windows"
    lines = ["", f"{right}; {false}{listed}."]
    if report.left_out:
        what = "; ".join(f"{KINDS[kind].words} ({why})" for kind, why in report.left_out.items())
        lines.append(f"Left out: {what}.")
    hidden = [finding.fault for finding in report.findings if finding.hidden and not finding.right]
    if hidden:
        stages = ", ".join(dict.fromkeys(fault.stage for fault in hidden))
        lines.append(f"What broke unseen at {stages} is seen where valid= refuses it or features= shows it.")
    return lines
